-- How many rows does a month hold, for how many customers, and when did they last change?
--   psql -v month=2026-01-31 -f sql/queries/rows_in_month.sql

\encoding UTF8

SELECT
    :'month'::date AS snapshot_month,
    count(*) AS row_count,
    count(DISTINCT company_id) AS customers,
    count(DISTINCT product_line_code) AS product_lines,
    max(updated_at) AS last_change
FROM customer.fct_customer_business_monthly_status
WHERE snapshot_month = :'month';
