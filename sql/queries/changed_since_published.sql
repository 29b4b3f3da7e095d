-- What is not as it was published, since when, by whom and why? One row a changed value of the
-- month, against what was last closed; an added or removed row has one a column. The largest first.
-- aum_difference: current less published, yuan. reason: of the log entry that changed it last, NULL for a
-- refresh and a change by hand. reopened_for: why the month was opened again. No rows while the month is
-- closed, and if it never was.
--   psql -v month=2026-01-31 -f sql/queries/changed_since_published.sql

\encoding UTF8

WITH reopened AS (
    SELECT reason FROM customer.monthly_snapshot_log
    WHERE snapshot_month = (date_trunc('month', :'month'::timestamp) + INTERVAL '1 month')::date - 1 AND operation = 'reopen'
    ORDER BY log_id DESC LIMIT 1
)
SELECT company_id, customer_name, product_line_code, change, column_name, published_value, current_value, aum_difference,
    changed.operation, entry.invoked_by, entry.finished_at, changed.reason, reopened.reason AS reopened_for
FROM customer.published_changes(:'month') AS changed
JOIN customer.monthly_snapshot_log AS entry USING (log_id)
LEFT JOIN customer.dim_customer USING (company_id)
LEFT JOIN reopened ON TRUE
ORDER BY abs(aum_difference) DESC NULLS LAST, company_id, product_line_code, column_name;
