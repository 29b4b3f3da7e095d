-- The movement without its classes, as everybody would write it: the months of a range, each joined with the one before.
SELECT snapshot_month, company_id, product_line_code,
    coalesce(before.aum_balance, 0.00) AS previous_aum_balance, coalesce(this.aum_balance, 0.00) AS aum_balance
FROM (
    SELECT snapshot_month, company_id, product_line_code, aum_balance
    FROM customer.fct_customer_business_monthly_status
    WHERE snapshot_month BETWEEN DATE '{0}' AND DATE '2026-01-31'
) AS this
FULL JOIN (
    SELECT (snapshot_month + 1 + INTERVAL '1 month')::date - 1 AS snapshot_month, company_id, product_line_code, aum_balance
    FROM customer.fct_customer_business_monthly_status
    WHERE snapshot_month BETWEEN DATE '{0}' - INTERVAL '1 month' AND DATE '2025-12-31'
) AS before
    USING (snapshot_month, company_id, product_line_code)
