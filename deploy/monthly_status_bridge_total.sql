-- Deploy customer_monthly_snapshot:monthly_status_bridge_total to pg
-- requires: sources
-- requires: monthly_status_summary
-- requires: monthly_status_movement
-- The movement of each month summed up, each customer once: how the AUM of the month before became that of the month.

SET client_encoding = 'UTF8';

BEGIN;

-- What others made in public is not for the package to use.
SET LOCAL search_path = pg_catalog, pg_temp;

-- Summed up for one month after the other, so that a query for some months reads no others, also
-- where it names them by a join.
CREATE OR REPLACE VIEW customer.monthly_status_bridge_total AS
SELECT
    snapshot_month,
    previous_aum_balance,
    CASE WHEN has_previous THEN coalesce(started_aum, 0.00) END AS started_aum,
    CASE WHEN has_previous THEN coalesce(ended_aum, 0.00) END AS ended_aum,
    CASE WHEN has_previous THEN coalesce(grew_aum, 0.00) END AS grew_aum,
    CASE WHEN has_previous THEN coalesce(shrank_aum, 0.00) END AS shrank_aum,
    aum_balance,
    CASE WHEN has_previous THEN previous_customers_with_aum END AS previous_customers_with_aum,
    CASE WHEN has_previous THEN started_customers END AS started_customers,
    CASE WHEN has_previous THEN ended_customers END AS ended_customers,
    customers_with_aum,
    CASE WHEN has_previous THEN grew_customers END AS grew_customers,
    CASE WHEN has_previous THEN shrank_customers END AS shrank_customers,
    CASE WHEN has_previous THEN steady_customers END AS steady_customers,
    CASE WHEN has_previous THEN added_customers END AS added_customers,
    CASE WHEN has_previous THEN dropped_customers END AS dropped_customers,
    round(started_customers::numeric / nullif(previous_customers_with_aum, 0), 4) AS started_rate,
    round(ended_customers::numeric / nullif(previous_customers_with_aum, 0), 4) AS ended_rate,
    CASE WHEN previous_aum_balance > 0 THEN round(-coalesce(ended_aum, 0.00) / previous_aum_balance, 4) END AS ended_aum_rate
FROM (
    SELECT
        month.snapshot_month,
        summed_up.*
    FROM customer.monthly_status_summary AS month
    CROSS JOIN LATERAL (
        SELECT
            count(movement) > 0 AS has_previous,
            sum(previous_aum_balance) AS previous_aum_balance,
            sum(aum_change) FILTER (WHERE movement = 'started') AS started_aum,
            sum(aum_change) FILTER (WHERE movement = 'ended') AS ended_aum,
            sum(aum_change) FILTER (WHERE movement = 'grew') AS grew_aum,
            sum(aum_change) FILTER (WHERE movement = 'shrank') AS shrank_aum,
            sum(aum_balance) AS aum_balance,
            count(*) FILTER (WHERE previous_aum_balance <> 0) AS previous_customers_with_aum,
            count(*) FILTER (WHERE movement = 'started') AS started_customers,
            count(*) FILTER (WHERE movement = 'ended') AS ended_customers,
            count(*) FILTER (WHERE aum_balance <> 0) AS customers_with_aum,
            count(*) FILTER (WHERE movement = 'grew') AS grew_customers,
            count(*) FILTER (WHERE movement = 'shrank') AS shrank_customers,
            count(*) FILTER (WHERE movement = 'steady') AS steady_customers,
            count(*) FILTER (WHERE is_added) AS added_customers,
            count(*) FILTER (WHERE is_dropped) AS dropped_customers
        -- By customer first: who ends in one product line and stays in another has not ended.
        FROM (
            SELECT
                min(customer_movement) AS movement,
                bool_and(presence = 'added') AS is_added,
                bool_and(presence = 'dropped') AS is_dropped,
                sum(previous_aum_balance) AS previous_aum_balance,
                sum(aum_change) AS aum_change,
                sum(aum_balance) AS aum_balance
            FROM customer.monthly_status_movement AS movement_of
            WHERE movement_of.snapshot_month = month.snapshot_month
            GROUP BY company_id COLLATE "C"
        ) AS each_customer
    ) AS summed_up
    WHERE month.product_line_code IS NULL
) AS total;

CALL customer.revoke_default_grants('customer.monthly_status_bridge_total'::regclass);

COMMENT ON VIEW customer.monthly_status_bridge_total IS
'规模变动分解（合计）: the AUM bridge of the whole, which shows how the AUM and the customers of the calendar month before became those of the month. One row for each stored month; a customer counts once, by its AUM over all its product lines, so that the parts of customer.monthly_status_bridge do not add up to these. Ask for one month or a range: each month is worked out from its rows and those of the month before.';
COMMENT ON COLUMN customer.monthly_status_bridge_total.snapshot_month IS
'快照月份: the month, as its last day (2026-01-31 is January 2026).';
COMMENT ON COLUMN customer.monthly_status_bridge_total.previous_aum_balance IS
'上月末资产规模: AUM at the end of the month before, yuan. NULL if the month before is not stored. Adds up over months: no, it is a balance.';
COMMENT ON COLUMN customer.monthly_status_bridge_total.started_aum IS
'新增规模: aum_change of those who started (customer_movement), yuan, signed. NULL if the month before is not stored. Adds up over months: no, for some start again.';
COMMENT ON COLUMN customer.monthly_status_bridge_total.ended_aum IS
'流失规模: aum_change of those who ended (customer_movement), yuan, signed: what left is negative. NULL if the month before is not stored. Adds up over months: no, for some start again.';
COMMENT ON COLUMN customer.monthly_status_bridge_total.grew_aum IS
'存量增长规模: aum_change of those who grew, yuan. NULL if the month before is not stored. Adds up over months: no, for some start again.';
COMMENT ON COLUMN customer.monthly_status_bridge_total.shrank_aum IS
'存量减少规模: aum_change of those who shrank, yuan, negative. NULL if the month before is not stored. Adds up over months: no, for some start again.';
COMMENT ON COLUMN customer.monthly_status_bridge_total.aum_balance IS
'期末资产规模: AUM at month end, yuan, which is previous_aum_balance + started_aum + ended_aum + grew_aum + shrank_aum, to the cent. Adds up over months: no, it is a balance.';
COMMENT ON COLUMN customer.monthly_status_bridge_total.previous_customers_with_aum IS
'上月有规模客户数: customers with AUM other than 0 in the month before. NULL if the month before is not stored. Each customer once, however many product lines it holds. Adds up over months: no.';
COMMENT ON COLUMN customer.monthly_status_bridge_total.started_customers IS
'新增有规模客户数: customers who started, with AUM 0 or no row before, and not 0 now. NULL if the month before is not stored. Adds up over months: no, for some start again.';
COMMENT ON COLUMN customer.monthly_status_bridge_total.ended_customers IS
'流失有规模客户数: customers who ended, with AUM not 0 before, and 0 or no row now. NULL if the month before is not stored. Adds up over months: no, for some start again.';
COMMENT ON COLUMN customer.monthly_status_bridge_total.customers_with_aum IS
'有规模客户数: customers with AUM other than 0, which are previous_customers_with_aum + started_customers - ended_customers. Each customer once, however many product lines it holds. Adds up over months: no.';
COMMENT ON COLUMN customer.monthly_status_bridge_total.grew_customers IS
'规模增长客户数: customers who grew. NULL if the month before is not stored. Adds up over months: no, for some start again.';
COMMENT ON COLUMN customer.monthly_status_bridge_total.shrank_customers IS
'规模减少客户数: customers who shrank. NULL if the month before is not stored. Adds up over months: no, for some start again.';
COMMENT ON COLUMN customer.monthly_status_bridge_total.steady_customers IS
'规模不变客户数: customers whose AUM is not 0 and the same. NULL if the month before is not stored. Adds up over months: no, for some start again.';
COMMENT ON COLUMN customer.monthly_status_bridge_total.added_customers IS
'新增在册客户数: customers who have a row and had none in the month before, in any product line. NULL if the month before is not stored. Adds up over months: no, for some start again.';
COMMENT ON COLUMN customer.monthly_status_bridge_total.dropped_customers IS
'退出在册客户数: customers who had a row in the month before and have none, in any product line. NULL if the month before is not stored. Adds up over months: no, for some start again.';
COMMENT ON COLUMN customer.monthly_status_bridge_total.started_rate IS
'客户新增率: started_customers divided by previous_customers_with_aum, 4 decimals. NULL if that is 0, or the month before is not stored. Adds up: no.';
COMMENT ON COLUMN customer.monthly_status_bridge_total.ended_rate IS
'客户流失率: ended_customers divided by previous_customers_with_aum, 4 decimals; the retention rate (留存率) is 1 less this. NULL if that is 0, or the month before is not stored. Adds up: no.';
COMMENT ON COLUMN customer.monthly_status_bridge_total.ended_aum_rate IS
'规模流失率: -ended_aum divided by previous_aum_balance, 4 decimals. NULL if that is not above 0, or the month before is not stored. Adds up: no.';

COMMIT;
