-- One month's rows but for is_new, each source grouped once and joined, with keys compared as bytes, as the
-- package has it: what the delete-and-insert, the materialized view and the floor are made of.
SELECT DATE '2026-01-31' AS snapshot_month, contract.company_id, contract.product_line_code, contract.product_line_name,
    contract.is_strategic, contract.is_existing,
    award.company_id IS NOT NULL AS is_winning_this_year,
    loss.company_id IS NOT NULL AS is_churned_this_year,
    coalesce(round(detail.aum, 2), 0) AS aum_balance,
    contract.plan_count
FROM (
    SELECT company_id COLLATE "C" AS company_id, product_line_code COLLATE "C" AS product_line_code,
        max(product_line_name COLLATE "C") AS product_line_name, coalesce(bool_or(is_strategic), FALSE) AS is_strategic,
        coalesce(bool_or(is_existing), FALSE) AS is_existing, count(DISTINCT plan_code)::integer AS plan_count
    FROM customer.customer_plan_contract
    WHERE valid_to = DATE '9999-12-31'
    GROUP BY 1, 2
) AS contract
LEFT JOIN (
    SELECT DISTINCT company_id COLLATE "C" AS company_id, "产品线代码" COLLATE "C" AS product_line_code
    FROM customer."当年中标"
    WHERE "上报月份" >= DATE '2026-01-01' AND "上报月份" < DATE '2027-01-01'
) AS award
    ON award.company_id = contract.company_id AND award.product_line_code = contract.product_line_code
LEFT JOIN (
    SELECT DISTINCT company_id COLLATE "C" AS company_id, "产品线代码" COLLATE "C" AS product_line_code
    FROM customer."当年流失"
    WHERE "上报月份" >= DATE '2026-01-01' AND "上报月份" < DATE '2027-01-01'
) AS loss
    ON loss.company_id = contract.company_id AND loss.product_line_code = contract.product_line_code
LEFT JOIN (
    SELECT company_id COLLATE "C" AS company_id, "产品线代码" COLLATE "C" AS product_line_code, sum("期末资产规模") AS aum
    FROM business."规模明细"
    WHERE "月度" >= DATE '2026-01-01' AND "月度" < DATE '2026-02-01'
    GROUP BY 1, 2
) AS detail
    ON detail.company_id = contract.company_id AND detail.product_line_code = contract.product_line_code
