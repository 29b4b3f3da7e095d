-- How much of each product line, and of the whole (合计), is strategic (战客)? Customers and AUM.
-- In the total a customer counts once, and is strategic if it is in any line; its AUM is strategic
-- in those lines only in which it is. Over time: the same columns of customer.monthly_status_trend
-- and customer.monthly_status_total. AUM in yuan, shares with 4 decimals.
--   psql -v month=2026-01-31 -f sql/queries/strategic_share.sql

\encoding UTF8

SELECT (date_trunc('month', :'month'::timestamp) + INTERVAL '1 month')::date - 1 AS month \gset

WITH line AS (
    SELECT product_line_code, product_line_name, customers, strategic_customers, aum_balance, strategic_aum
    FROM customer.monthly_status_trend WHERE snapshot_month = :'month'
    UNION ALL
    SELECT NULL, '合计', customers, strategic_customers, aum_balance, strategic_aum
    FROM customer.monthly_status_total WHERE snapshot_month = :'month'
)
SELECT *, round(strategic_customers::numeric / nullif(customers, 0), 4) AS customer_share,
    round(strategic_aum / nullif(aum_balance, 0), 4) AS aum_share
FROM line
ORDER BY product_line_code;
