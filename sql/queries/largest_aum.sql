-- Which 20 customers' product lines carry the largest AUM of a month, and what share is it?
--   psql -v month=2026-01-31 -f sql/queries/largest_aum.sql

\encoding UTF8

SELECT
    snapshot.company_id,
    known_customer."客户名称",
    snapshot.product_line_name,
    snapshot.is_strategic AS "战客",
    snapshot.aum_balance,
    round(100 * snapshot.aum_balance / nullif(sum(snapshot.aum_balance) OVER (), 0), 2) AS percent_of_month
FROM customer.fct_customer_business_monthly_status AS snapshot
LEFT JOIN customer."年金客户" AS known_customer
    ON known_customer.company_id = snapshot.company_id
WHERE snapshot.snapshot_month = :'month'
ORDER BY snapshot.aum_balance DESC, snapshot.company_id, snapshot.product_line_code
LIMIT 20;
