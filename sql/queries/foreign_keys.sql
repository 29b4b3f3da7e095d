-- Does each row of a month name a customer and a product line that exist? Expected: 0 and 0.
--   psql -v month=2026-01-31 -f sql/queries/foreign_keys.sql

\encoding UTF8

SELECT
    count(*) FILTER (WHERE known_customer.company_id IS NULL) AS unknown_customers,
    count(*) FILTER (WHERE known_product_line."产品线代码" IS NULL) AS unknown_product_lines
FROM customer.fct_customer_business_monthly_status AS snapshot
LEFT JOIN customer."年金客户" AS known_customer
    ON known_customer.company_id = snapshot.company_id
LEFT JOIN mapping."产品线" AS known_product_line
    ON known_product_line."产品线代码" = snapshot.product_line_code
WHERE snapshot.snapshot_month = :'month';
