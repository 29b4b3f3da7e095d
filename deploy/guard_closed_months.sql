-- Deploy customer_monthly_snapshot:guard_closed_months to pg
-- requires: fct_customer_business_monthly_status
-- requires: lock_open_snapshot_month
-- Triggers that keep the rows of closed months from everyone, the owner included.

BEGIN;

CREATE FUNCTION customer.guard_closed_months()
RETURNS trigger
LANGUAGE plpgsql
SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    -- Each month that was written is locked as a refresh locks it, so that a month
    -- cannot be closed between this check and the writer's commit. In ascending
    -- order, as all do who lock several months.
    IF TG_OP = 'INSERT' THEN
        PERFORM customer.lock_open_snapshot_month(snapshot_month)
        FROM (
            SELECT DISTINCT snapshot_month
            FROM new_row
            ORDER BY snapshot_month
        ) AS written_month;
    ELSIF TG_OP = 'UPDATE' THEN
        PERFORM customer.lock_open_snapshot_month(snapshot_month)
        FROM (
            SELECT snapshot_month
            FROM old_row
            UNION
            SELECT snapshot_month
            FROM new_row
            ORDER BY snapshot_month
        ) AS written_month;
    ELSIF TG_OP = 'DELETE' THEN
        PERFORM customer.lock_open_snapshot_month(snapshot_month)
        FROM (
            SELECT DISTINCT snapshot_month
            FROM old_row
            ORDER BY snapshot_month
        ) AS written_month;
    ELSE
        -- TRUNCATE: all months there are.
        PERFORM customer.lock_open_snapshot_month(snapshot_month)
        FROM (
            SELECT snapshot_month
            FROM customer.monthly_snapshot_control
            ORDER BY snapshot_month
        ) AS written_month;
    END IF;

    RETURN NULL;
END
$$;

CREATE TRIGGER trg_snapshot_guard_insert
    AFTER INSERT ON customer.fct_customer_business_monthly_status
    REFERENCING NEW TABLE AS new_row
    FOR EACH STATEMENT
    EXECUTE FUNCTION customer.guard_closed_months();

CREATE TRIGGER trg_snapshot_guard_update
    AFTER UPDATE ON customer.fct_customer_business_monthly_status
    REFERENCING OLD TABLE AS old_row NEW TABLE AS new_row
    FOR EACH STATEMENT
    EXECUTE FUNCTION customer.guard_closed_months();

CREATE TRIGGER trg_snapshot_guard_delete
    AFTER DELETE ON customer.fct_customer_business_monthly_status
    REFERENCING OLD TABLE AS old_row
    FOR EACH STATEMENT
    EXECUTE FUNCTION customer.guard_closed_months();

CREATE TRIGGER trg_snapshot_guard_truncate
    BEFORE TRUNCATE ON customer.fct_customer_business_monthly_status
    FOR EACH STATEMENT
    EXECUTE FUNCTION customer.guard_closed_months();

REVOKE ALL ON FUNCTION customer.guard_closed_months() FROM PUBLIC;

COMMENT ON FUNCTION customer.guard_closed_months() IS
'Trigger function: refuses any statement that would insert, update, delete or truncate rows of a closed month, or move rows into one. Per statement, not per row.
SQLSTATE 55000: the month is closed; the message says by whom, when and why. 40001: the writer''s snapshot is older than the last write to the month.';
COMMENT ON TRIGGER trg_snapshot_guard_insert ON customer.fct_customer_business_monthly_status IS
'No row is added to a closed month.';
COMMENT ON TRIGGER trg_snapshot_guard_update ON customer.fct_customer_business_monthly_status IS
'No row of a closed month changes, leaves it or is moved into it.';
COMMENT ON TRIGGER trg_snapshot_guard_delete ON customer.fct_customer_business_monthly_status IS
'No row of a closed month is deleted.';
COMMENT ON TRIGGER trg_snapshot_guard_truncate ON customer.fct_customer_business_monthly_status IS
'The table is not truncated while it holds a closed month.';

COMMIT;
