-- Whose AUM changed most this month? The 20 customers with the largest change, up or down.
-- A customer counts as a whole, over all its product lines. AUM in yuan. No rows if the month
-- before is not stored.
--   psql -v month=2026-01-31 -f sql/queries/top_movers.sql

\encoding UTF8

WITH mover AS (
    SELECT DISTINCT company_id, customer_movement, customer_previous_aum_balance, customer_aum_balance
    FROM customer.monthly_status_movement
    WHERE snapshot_month = (date_trunc('month', :'month'::timestamp) + INTERVAL '1 month')::date - 1
        AND customer_movement NOT IN ('steady', 'none')
)
SELECT company_id, customer_name, customer_movement, customer_previous_aum_balance, customer_aum_balance,
    customer_aum_balance - customer_previous_aum_balance AS customer_aum_change
FROM mover
LEFT JOIN customer.dim_customer USING (company_id)
ORDER BY abs(customer_aum_balance - customer_previous_aum_balance) DESC, company_id
LIMIT 20;
