-- Deploy customer_monthly_snapshot:published_changes to pg
-- requires: fct_customer_business_monthly_status
-- requires: monthly_snapshot_log
-- requires: monthly_status_history
-- requires: snapshot_month_of
-- What was published, what is different now, and why: value by value.

SET client_encoding = 'UTF8';

BEGIN;

-- What others made in public is not for the package to use.
SET LOCAL search_path = pg_catalog, pg_temp;

CREATE OR REPLACE FUNCTION customer.published_changes(p_snapshot_month date)
RETURNS TABLE (
    company_id varchar,
    product_line_code varchar,
    change text,
    column_name text,
    published_value text,
    current_value text,
    aum_difference numeric,
    log_id bigint,
    operation text,
    reason text
)
LANGUAGE plpgsql
STABLE
SECURITY DEFINER
ROWS 100
SET search_path = pg_catalog, pg_temp
SET row_security = off
SET enable_nestloop = off
SET jit = off
AS $$
DECLARE
    v_month date := customer.snapshot_month_of(p_snapshot_month);
    v_published bigint;
BEGIN
    -- While the month is closed nothing happens to it, and so nothing has since.
    SELECT max(entry.log_id)
    INTO v_published
    FROM customer.monthly_snapshot_log AS entry
    WHERE entry.snapshot_month = v_month
        AND entry.operation = 'close';

    RETURN QUERY
    WITH event AS (
        SELECT
            history.*,
            -- What the row was before its first change is what was published.
            row_number() OVER (
                PARTITION BY history.company_id COLLATE "C", history.product_line_code COLLATE "C"
                ORDER BY history.log_id
            ) = 1 AS is_published
        FROM customer.monthly_status_history AS history
        WHERE history.snapshot_month = v_month
            AND history.log_id > v_published
    ),
    -- Each value that a row had before some change, and does not have now.
    difference AS (
        SELECT
            event.company_id,
            event.product_line_code,
            event.log_id,
            event.is_published,
            cell.position,
            cell.column_name,
            cell.earlier_value,
            cell.current_value
        FROM event
        LEFT JOIN customer.fct_customer_business_monthly_status AS stored
            ON stored.snapshot_month = v_month
            AND stored.company_id = event.company_id
            AND stored.product_line_code = event.product_line_code
        CROSS JOIN LATERAL (
            VALUES
                (1, 'product_line_name', event.product_line_name::text, stored.product_line_name::text),
                (2, 'is_strategic', event.is_strategic::text, stored.is_strategic::text),
                (3, 'is_existing', event.is_existing::text, stored.is_existing::text),
                (4, 'is_new', event.is_new::text, stored.is_new::text),
                (5, 'is_winning_this_year', event.is_winning_this_year::text, stored.is_winning_this_year::text),
                (6, 'is_churned_this_year', event.is_churned_this_year::text, stored.is_churned_this_year::text),
                (7, 'aum_balance', event.aum_balance::text, stored.aum_balance::text),
                (8, 'plan_count', event.plan_count::text, stored.plan_count::text)
        ) AS cell (position, column_name, earlier_value, current_value)
        WHERE cell.earlier_value IS DISTINCT FROM cell.current_value
    ),
    changed_value AS (
        SELECT
            difference.company_id COLLATE "C" AS company_id,
            difference.product_line_code COLLATE "C" AS product_line_code,
            difference.position,
            difference.column_name,
            max(difference.earlier_value) FILTER (WHERE difference.is_published) AS published_value,
            max(difference.current_value) AS current_value,
            -- After the last change from another value it has been what it is now.
            max(difference.log_id) AS log_id
        FROM difference
        GROUP BY
            difference.company_id COLLATE "C",
            difference.product_line_code COLLATE "C",
            difference.position,
            difference.column_name
        -- A value that is again what was published is no change.
        HAVING bool_or(difference.is_published)
    )
    SELECT
        changed_value.company_id,
        changed_value.product_line_code,
        -- No column of a row is NULL.
        CASE
            WHEN changed_value.published_value IS NULL THEN 'added'
            WHEN changed_value.current_value IS NULL THEN 'removed'
            ELSE 'changed'
        END,
        changed_value.column_name,
        changed_value.published_value,
        changed_value.current_value,
        CASE changed_value.column_name
            WHEN 'aum_balance' THEN
                coalesce(changed_value.current_value, '0')::numeric - coalesce(changed_value.published_value, '0')::numeric
        END,
        changed_value.log_id,
        entry.operation,
        entry.reason
    FROM changed_value
    JOIN customer.monthly_snapshot_log AS entry
        ON entry.log_id = changed_value.log_id
    ORDER BY
        changed_value.company_id,
        changed_value.product_line_code,
        changed_value.position;
END
$$;

CALL customer.revoke_default_grants('customer.published_changes(date)'::regprocedure);

COMMENT ON FUNCTION customer.published_changes(date) IS
'发布后变更: what differs now from what was last published, one row for each value of the month that is not what customer.close_snapshot_month last closed, with the log entry that last changed it, and why. No rows while the month is closed, and if it never was.

p_snapshot_month: any day of the month.

Returns, in the order of the key:
company_id, product_line_code: the row.
change: changed, added (not there when published) or removed (not there any more). An added or removed row has one row a column.
column_name: the column of customer.fct_customer_business_monthly_status.
published_value, current_value: as text; NULL where there is no row.
aum_difference: for aum_balance, current less published value, yuan, so that its sum is what the month''s AUM has changed by; NULL for other columns.
log_id, operation, reason: the entry in customer.monthly_snapshot_log that last changed the value; reason is NULL for a refresh and a change by hand.

Errors: SQLSTATE 22004 the month is NULL; 22023 it is infinite or outside the years 1 to 9999.';

COMMIT;
