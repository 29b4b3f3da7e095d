-- Who stands behind a total? The month's AUM, that of each product line, and in each line the ten
-- largest customers by name and all others together (place 11): each level adds up to the one above.
-- The first row is the whole; the first row of a line is the line. A customer counts once in each line.
-- AUM in yuan.
--   psql -v month=2026-01-31 -f sql/queries/drill_down.sql

\encoding UTF8

WITH placed AS (
    SELECT *, least(row_number() OVER (PARTITION BY product_line_code ORDER BY aum_balance DESC, company_id), 11) AS place
    FROM customer.fct_customer_business_monthly_status
    WHERE snapshot_month = (date_trunc('month', :'month'::timestamp) + INTERVAL '1 month')::date - 1
)
SELECT product_line_code, CASE grouping(product_line_code) WHEN 0 THEN max(product_line_name) END AS product_line_name, place,
    top.company_id, customer_name, count(*) AS customer_rows, sum(aum_balance) AS aum_balance
FROM placed
LEFT JOIN customer.dim_customer AS top ON top.company_id = placed.company_id AND place <= 10
GROUP BY GROUPING SETS ((), (product_line_code), (product_line_code, place, top.company_id, customer_name))
HAVING count(*) > 0
ORDER BY product_line_code NULLS FIRST, place NULLS FIRST;
