-- How many customers were reported as lost (当年流失) this year, and how many of them do the marks of
-- the month forget, because no row shows them any more?
-- marked_customers: those with a marked row. reported_customers: these, and all whose loss no row
-- shows (customer.unmatched_awards_and_losses says why); without an id they count by name.
-- reported_rate: their share of the month's customers and those without a row. Counts the calendar
-- year: by rule as_of up to the month, by rule current all of it.
--   psql -v month=2026-01-31 -f sql/queries/reported_losses.sql

\encoding UTF8

SELECT (date_trunc('month', :'month'::timestamp) + INTERVAL '1 month')::date - 1 AS month \gset

WITH each_customer AS (
    SELECT company_id, is_churned_this_year AS is_marked, is_churned_this_year AS is_reported
    FROM customer.fct_customer_business_monthly_status WHERE snapshot_month = :'month'
    UNION ALL
    SELECT coalesce(nullif(trim(company_id), ''), reported_name), FALSE, TRUE
    FROM customer.unmatched_awards_and_losses WHERE snapshot_month = :'month' AND event = 'loss'
)
SELECT count(DISTINCT company_id) FILTER (WHERE is_marked) AS marked_customers,
    count(DISTINCT company_id) FILTER (WHERE is_reported) AS reported_customers,
    round(count(DISTINCT company_id) FILTER (WHERE is_reported)::numeric / nullif(count(DISTINCT company_id), 0), 4) AS reported_rate
FROM each_customer;
