-- The contracts as they were on the month's last day; where two versions cover it, the newer one counts.
SELECT DISTINCT ON (company_id COLLATE "C", product_line_code COLLATE "C", plan_code COLLATE "C") *
FROM customer.customer_plan_contract
WHERE DATE '2026-01-31' BETWEEN valid_from AND valid_to
ORDER BY company_id COLLATE "C", product_line_code COLLATE "C", plan_code COLLATE "C", valid_from DESC, contract_id DESC
