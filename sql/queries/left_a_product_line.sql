-- Which customers left a product line this month, but stayed in another? They count as lost in the
-- line, and as kept in the total.
-- previous_aum_balance: what they had in the line that they left; customer_aum_balance: what they have now, in
-- all others. AUM in yuan. No rows if the month before is not stored.
--   psql -v month=2026-01-31 -f sql/queries/left_a_product_line.sql

\encoding UTF8

SELECT
    movement.product_line_code, movement.product_line_name, movement.company_id, known.customer_name,
    movement.previous_aum_balance, movement.customer_previous_aum_balance, movement.customer_aum_balance
FROM customer.monthly_status_movement AS movement
LEFT JOIN customer.dim_customer AS known
    ON known.company_id = movement.company_id
WHERE movement.snapshot_month = (date_trunc('month', :'month'::timestamp) + INTERVAL '1 month')::date - 1
    AND movement.movement = 'ended'
    AND movement.customer_aum_balance <> 0
ORDER BY movement.product_line_code, movement.previous_aum_balance DESC, movement.company_id;
