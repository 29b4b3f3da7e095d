-- What share of its customers and of its AUM did the month lose, and what did it keep, by product line
-- and in total (合计)? A customer that had AUM and has none has ended; the others are retained (留存).
-- Against the month before: NULL if that is not stored. In the total a customer counts once: who ends
-- in one line and stays in another is retained. Rates with 4 decimals; of AUM only what ended is
-- lost, not what shrank. What was reported as lost is another question: reported_losses.sql.
--   psql -v month=2026-01-31 -f sql/queries/churn_and_retention.sql

\encoding UTF8

SELECT (date_trunc('month', :'month'::timestamp) + INTERVAL '1 month')::date - 1 AS month \gset

WITH bridge AS (
    SELECT product_line_code, product_line_name, previous_customers_with_aum, ended_customers, ended_rate, ended_aum_rate
    FROM customer.monthly_status_bridge WHERE snapshot_month = :'month'
    UNION ALL
    SELECT NULL, '合计', previous_customers_with_aum, ended_customers, ended_rate, ended_aum_rate
    FROM customer.monthly_status_bridge_total WHERE snapshot_month = :'month'
)
SELECT *, 1 - ended_rate AS retention_rate, 1 - ended_aum_rate AS aum_retention_rate
FROM bridge
ORDER BY product_line_code;
