-- Who came and who left this month? Customers that have AUM and had none the month before
-- (started), and those that had some and have none now (ended).
-- A customer counts as a whole: who ends in one product line and stays in another has not left
-- (left_a_product_line.sql). product_lines: where its AUM changed. AUM in yuan. No rows if the
-- month before is not stored. What was reported as won or lost is another question: see
-- churn_and_retention.sql.
--   psql -v month=2026-01-31 -f sql/queries/new_and_lost.sql

\encoding UTF8

SELECT
    movement.customer_movement, movement.company_id, known.customer_name,
    string_agg(movement.product_line_name, ', ' ORDER BY movement.product_line_code) FILTER (WHERE movement.aum_change <> 0) AS product_lines,
    sum(movement.previous_aum_balance) AS previous_aum_balance, sum(movement.aum_balance) AS aum_balance
FROM customer.monthly_status_movement AS movement
LEFT JOIN customer.dim_customer AS known
    ON known.company_id = movement.company_id
WHERE movement.snapshot_month = (date_trunc('month', :'month'::timestamp) + INTERVAL '1 month')::date - 1
    AND movement.customer_movement IN ('started', 'ended')
GROUP BY movement.customer_movement, movement.company_id, known.customer_name
ORDER BY movement.customer_movement DESC, abs(sum(movement.aum_change)) DESC, movement.company_id;
