-- Deploy customer_monthly_snapshot:monthly_status_movement to pg
-- requires: sources
-- requires: fct_customer_business_monthly_status
-- requires: monthly_status_summary
-- Each customer and product line against the month before: what came, went, grew and shrank.

SET client_encoding = 'UTF8';

BEGIN;

-- What others made in public is not for the package to use.
SET LOCAL search_path = pg_catalog, pg_temp;

-- A month and the month before it are joined for one month after the other, so that a query for one
-- month reads no others. Their rows are found by a range, although it is one day: of an equality the
-- planner may believe that it meets every row, when statistics come from a time with one month stored.
CREATE OR REPLACE VIEW customer.monthly_status_movement AS
SELECT
    month.snapshot_month,
    row.company_id,
    row.product_line_code,
    row.product_line_name,
    CASE
        WHEN previous.snapshot_month IS NULL THEN NULL
        WHEN row.previous_plan_count IS NULL THEN 'added'
        WHEN row.plan_count IS NULL THEN 'dropped'
        ELSE 'kept'
    END AS presence,
    CASE
        WHEN previous.snapshot_month IS NULL THEN NULL
        WHEN row.previous_aum_balance = 0 AND row.aum_balance = 0 THEN 'none'
        WHEN row.previous_aum_balance = 0 THEN 'started'
        WHEN row.aum_balance = 0 THEN 'ended'
        WHEN row.aum_balance > row.previous_aum_balance THEN 'grew'
        WHEN row.aum_balance < row.previous_aum_balance THEN 'shrank'
        ELSE 'steady'
    END AS movement,
    row.aum_balance,
    CASE WHEN previous.snapshot_month IS NOT NULL THEN row.previous_aum_balance END AS previous_aum_balance,
    CASE WHEN previous.snapshot_month IS NOT NULL THEN row.aum_balance - row.previous_aum_balance END AS aum_change,
    row.plan_count,
    row.is_strategic,
    row.is_existing,
    row.is_new,
    row.is_winning_this_year,
    row.is_churned_this_year,
    row.previous_plan_count,
    row.previous_is_strategic,
    row.previous_is_existing,
    row.previous_is_new,
    row.previous_is_winning_this_year,
    row.previous_is_churned_this_year,
    row.customer_aum_balance,
    CASE WHEN previous.snapshot_month IS NOT NULL THEN row.customer_previous_aum_balance END AS customer_previous_aum_balance,
    CASE
        WHEN previous.snapshot_month IS NULL THEN NULL
        WHEN row.customer_previous_aum_balance = 0 AND row.customer_aum_balance = 0 THEN 'none'
        WHEN row.customer_previous_aum_balance = 0 THEN 'started'
        WHEN row.customer_aum_balance = 0 THEN 'ended'
        WHEN row.customer_aum_balance > row.customer_previous_aum_balance THEN 'grew'
        WHEN row.customer_aum_balance < row.customer_previous_aum_balance THEN 'shrank'
        ELSE 'steady'
    END AS customer_movement
FROM customer.monthly_status_summary AS month
LEFT JOIN customer.monthly_status_summary AS previous
    ON previous.snapshot_month = month.snapshot_month - extract(day FROM month.snapshot_month)::integer
    AND previous.product_line_code IS NULL
CROSS JOIN LATERAL (
    SELECT
        coalesce(this.company_id, before.company_id) AS company_id,
        coalesce(this.product_line_code, before.product_line_code) AS product_line_code,
        coalesce(this.product_line_name, before.product_line_name) AS product_line_name,
        coalesce(this.aum_balance, 0.00) AS aum_balance,
        coalesce(before.aum_balance, 0.00) AS previous_aum_balance,
        this.plan_count,
        this.is_strategic,
        this.is_existing,
        this.is_new,
        this.is_winning_this_year,
        this.is_churned_this_year,
        before.plan_count AS previous_plan_count,
        before.is_strategic AS previous_is_strategic,
        before.is_existing AS previous_is_existing,
        before.is_new AS previous_is_new,
        before.is_winning_this_year AS previous_is_winning_this_year,
        before.is_churned_this_year AS previous_is_churned_this_year,
        coalesce(sum(this.aum_balance) OVER of_customer, 0.00) AS customer_aum_balance,
        coalesce(sum(before.aum_balance) OVER of_customer, 0.00) AS customer_previous_aum_balance
    FROM (
        SELECT
            company_id,
            product_line_code,
            product_line_name,
            is_strategic,
            is_existing,
            is_new,
            is_winning_this_year,
            is_churned_this_year,
            aum_balance,
            plan_count
        FROM customer.fct_customer_business_monthly_status
        WHERE snapshot_month BETWEEN month.snapshot_month AND month.snapshot_month
    ) AS this
    FULL JOIN (
        SELECT
            company_id,
            product_line_code,
            product_line_name,
            is_strategic,
            is_existing,
            is_new,
            is_winning_this_year,
            is_churned_this_year,
            aum_balance,
            plan_count
        FROM customer.fct_customer_business_monthly_status
        WHERE snapshot_month BETWEEN
            month.snapshot_month - extract(day FROM month.snapshot_month)::integer
            AND month.snapshot_month - extract(day FROM month.snapshot_month)::integer
    ) AS before
        ON before.company_id = this.company_id
        AND before.product_line_code = this.product_line_code
    WINDOW of_customer AS (PARTITION BY coalesce(this.company_id, before.company_id) COLLATE "C")
) AS row
WHERE month.product_line_code IS NULL;

CALL customer.revoke_default_grants('customer.monthly_status_movement'::regclass);

COMMENT ON VIEW customer.monthly_status_movement IS
'月度变动明细: movement of each customer and product line of a month against the calendar month before, those included that have no row any more. If the month before is not stored, the rows of the month with all that compares NULL. Ask for one month or a range (WHERE snapshot_month = …): each costs the same, whatever else is stored. For one customer over the years read the fact table. customer.monthly_status_bridge adds it up.';
COMMENT ON COLUMN customer.monthly_status_movement.snapshot_month IS
'快照月份: the month, as its last day (2026-01-31 is January 2026).';
COMMENT ON COLUMN customer.monthly_status_movement.company_id IS
'客户号: the customer; customer.dim_customer has its name.';
COMMENT ON COLUMN customer.monthly_status_movement.product_line_code IS
'产品线代码: the product line, such as PL202; customer.dim_product_line has today''s name and categories.';
COMMENT ON COLUMN customer.monthly_status_movement.product_line_name IS
'产品线名称: its name as stored in the month; in a dropped row, in the month before.';
COMMENT ON COLUMN customer.monthly_status_movement.presence IS
'在册变动类型: whether there is a row: added (none the month before), dropped (none now) or kept. NULL if the month before is not stored.';
COMMENT ON COLUMN customer.monthly_status_movement.movement IS
'规模变动类型: by AUM: started (0 or no row before, not 0 now), ended (not 0 before, 0 or no row now), grew, shrank, steady (not 0, and the same) or none (0 or no row in both months). A lost customer (流失) has ended: is_churned_this_year only says that a loss was reported. NULL if the month before is not stored.';
COMMENT ON COLUMN customer.monthly_status_movement.aum_balance IS
'期末资产规模: AUM at month end, yuan; 0 in a dropped row. Adds up over customers and product lines: yes. Over months: no.';
COMMENT ON COLUMN customer.monthly_status_movement.previous_aum_balance IS
'上月末资产规模: AUM at the end of the month before, yuan; 0 in an added row. NULL if the month before is not stored. Adds up as aum_balance.';
COMMENT ON COLUMN customer.monthly_status_movement.aum_change IS
'月环比变动额: aum_balance less previous_aum_balance, yuan. NULL if the month before is not stored. Adds up over customers and product lines: yes. Over months: yes, if none is missing.';
COMMENT ON COLUMN customer.monthly_status_movement.plan_count IS
'计划数: plans of the row. NULL in a dropped row.';
COMMENT ON COLUMN customer.monthly_status_movement.is_strategic IS
'战客: is_strategic of the row. NULL in a dropped row.';
COMMENT ON COLUMN customer.monthly_status_movement.is_existing IS
'已客: is_existing of the row. NULL in a dropped row.';
COMMENT ON COLUMN customer.monthly_status_movement.is_new IS
'新客: is_new of the row. NULL in a dropped row.';
COMMENT ON COLUMN customer.monthly_status_movement.is_winning_this_year IS
'当年中标: is_winning_this_year of the row. NULL in a dropped row.';
COMMENT ON COLUMN customer.monthly_status_movement.is_churned_this_year IS
'当年流失: is_churned_this_year of the row. NULL in a dropped row.';
COMMENT ON COLUMN customer.monthly_status_movement.previous_plan_count IS
'上月计划数: plans of the row in the month before. NULL in an added row, and if that month is not stored.';
COMMENT ON COLUMN customer.monthly_status_movement.previous_is_strategic IS
'上月战客: is_strategic of the row in the month before. NULL in an added row, and if that month is not stored.';
COMMENT ON COLUMN customer.monthly_status_movement.previous_is_existing IS
'上月已客: is_existing of the row in the month before. NULL in an added row, and if that month is not stored.';
COMMENT ON COLUMN customer.monthly_status_movement.previous_is_new IS
'上月新客: is_new of the row in the month before. NULL in an added row, and if that month is not stored.';
COMMENT ON COLUMN customer.monthly_status_movement.previous_is_winning_this_year IS
'上月当年中标: is_winning_this_year of the row in the month before. NULL in an added row, and if that month is not stored.';
COMMENT ON COLUMN customer.monthly_status_movement.previous_is_churned_this_year IS
'上月当年流失: is_churned_this_year of the row in the month before. NULL in an added row, and if that month is not stored.';
COMMENT ON COLUMN customer.monthly_status_movement.customer_aum_balance IS
'客户整体期末资产规模: AUM of the customer over all its product lines, yuan; the same in each of its rows, so it must not be added up.';
COMMENT ON COLUMN customer.monthly_status_movement.customer_previous_aum_balance IS
'客户整体上月末资产规模: the same in the month before, yuan. NULL if that month is not stored. Must not be added up.';
COMMENT ON COLUMN customer.monthly_status_movement.customer_movement IS
'客户整体规模变动类型: movement of the customer over all its product lines, as customer.monthly_status_bridge_total counts it. NULL if the month before is not stored.';

COMMIT;
