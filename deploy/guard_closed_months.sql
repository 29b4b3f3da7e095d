-- Deploy customer_monthly_snapshot:guard_closed_months to pg
-- requires: sources
-- requires: fct_customer_business_monthly_status
-- requires: lock_open_snapshot_month
-- Triggers that keep the rows of closed months from everyone, the owner included, and count the
-- stale rows of others anew when rows are changed by hand.

BEGIN;

-- What others made in public is not for the package to use.
SET LOCAL search_path = pg_catalog, pg_temp;

CREATE OR REPLACE FUNCTION customer.guard_closed_months()
RETURNS trigger
LANGUAGE plpgsql
SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
-- An error rather than a count of what a policy shows.
SET row_security = off
-- As in the refresh: tables that were never analysed.
SET enable_nestloop = off
AS $$
DECLARE
    v_month date;
    v_months date[];
    v_control customer.monthly_snapshot_control;
    v_stale_rows bigint;
BEGIN
    IF TG_OP = 'INSERT' THEN
        SELECT array_agg(snapshot_month)
        INTO v_months
        FROM (
            SELECT DISTINCT snapshot_month
            FROM new_row
        ) AS written_month;
    ELSIF TG_OP = 'UPDATE' THEN
        SELECT array_agg(snapshot_month)
        INTO v_months
        FROM (
            SELECT snapshot_month
            FROM old_row
            UNION
            SELECT snapshot_month
            FROM new_row
        ) AS written_month;
    ELSIF TG_OP = 'DELETE' THEN
        SELECT array_agg(snapshot_month)
        INTO v_months
        FROM (
            SELECT DISTINCT snapshot_month
            FROM old_row
        ) AS written_month;
    ELSE
        -- TRUNCATE empties also what an older snapshot does not show, and so it must be
        -- refused where the months closed since then cannot be seen.
        IF current_setting('transaction_isolation') NOT IN ('read committed', 'read uncommitted') THEN
            RAISE EXCEPTION 'customer.fct_customer_business_monthly_status can be truncated at READ COMMITTED only, not at %',
                upper(current_setting('transaction_isolation'))
                USING
                    ERRCODE = 'object_not_in_prerequisite_state',
                    HINT = 'DELETE the rows, or truncate in a transaction at READ COMMITTED.';
        END IF;

        SELECT array_agg(snapshot_month)
        INTO v_months
        FROM customer.monthly_snapshot_control;
    END IF;

    -- Each month that was written is locked as a refresh locks it, so that it cannot be
    -- closed between this check and the writer's commit: in ascending order, as all do who
    -- lock several. And its control row gets a new version, so that whoever closes it with
    -- an older snapshot gets a serialization failure.
    FOR v_month IN
        SELECT month
        FROM unnest(v_months) AS month
        ORDER BY month
    LOOP
        v_control := customer.lock_open_snapshot_month(v_month);

        -- The package's functions count their own rows, and say that they are at it by a setting
        -- that holds this transaction, the month and how deep in triggers they run.
        IF current_setting('customer.snapshot_writer', TRUE)
            = concat_ws(' ', pg_current_xact_id(), to_char(v_month, 'YYYY-MM-DD'), pg_trigger_depth() - 1)
        THEN
            v_stale_rows := v_control.stale_rows;
        ELSIF TG_OP = 'TRUNCATE' THEN
            v_stale_rows := 0;
        ELSE
            PERFORM customer.check_snapshot_sources();

            SELECT count(*)
            INTO v_stale_rows
            FROM customer.fct_customer_business_monthly_status AS stored
            WHERE stored.snapshot_month = v_month
                AND NOT EXISTS (
                    SELECT 1
                    FROM customer.source_contracts() AS contract
                    WHERE contract.company_id COLLATE "C" = stored.company_id
                        AND contract.product_line_code COLLATE "C" = stored.product_line_code
                        AND CASE v_control.last_rule
                            WHEN 'as_of' THEN v_month BETWEEN contract.valid_from AND contract.valid_to
                            ELSE contract.is_current
                        END
                );
        END IF;

        UPDATE customer.monthly_snapshot_control
        SET stale_rows = v_stale_rows
        WHERE snapshot_month = v_month;
    END LOOP;

    RETURN NULL;
END
$$;

CREATE OR REPLACE TRIGGER trg_snapshot_guard_insert
    AFTER INSERT ON customer.fct_customer_business_monthly_status
    REFERENCING NEW TABLE AS new_row
    FOR EACH STATEMENT
    EXECUTE FUNCTION customer.guard_closed_months();

CREATE OR REPLACE TRIGGER trg_snapshot_guard_update
    AFTER UPDATE ON customer.fct_customer_business_monthly_status
    REFERENCING OLD TABLE AS old_row NEW TABLE AS new_row
    FOR EACH STATEMENT
    EXECUTE FUNCTION customer.guard_closed_months();

CREATE OR REPLACE TRIGGER trg_snapshot_guard_delete
    AFTER DELETE ON customer.fct_customer_business_monthly_status
    REFERENCING OLD TABLE AS old_row
    FOR EACH STATEMENT
    EXECUTE FUNCTION customer.guard_closed_months();

CREATE OR REPLACE TRIGGER trg_snapshot_guard_truncate
    BEFORE TRUNCATE ON customer.fct_customer_business_monthly_status
    FOR EACH STATEMENT
    EXECUTE FUNCTION customer.guard_closed_months();

CALL customer.revoke_default_grants('customer.guard_closed_months()'::regprocedure);

COMMENT ON FUNCTION customer.guard_closed_months() IS
'Trigger function: refuses any statement that would insert, update, delete or truncate rows of a closed month, or move rows into one. Where rows of an open month are changed by hand, it counts anew which of the month''s rows no contract supports (customer.monthly_snapshot_control.stale_rows). Per statement, not per row.
SQLSTATE 55000: the month is closed (the message says by whom, when and why), or TRUNCATE at another isolation level than READ COMMITTED, or a source table is not as it was when the package was deployed. 40001: the writer''s snapshot is older than the last write to the month.';
COMMENT ON TRIGGER trg_snapshot_guard_insert ON customer.fct_customer_business_monthly_status IS
'No row is added to a closed month.';
COMMENT ON TRIGGER trg_snapshot_guard_update ON customer.fct_customer_business_monthly_status IS
'No row of a closed month changes, leaves it or is moved into it.';
COMMENT ON TRIGGER trg_snapshot_guard_delete ON customer.fct_customer_business_monthly_status IS
'No row of a closed month is deleted.';
COMMENT ON TRIGGER trg_snapshot_guard_truncate ON customer.fct_customer_business_monthly_status IS
'The table is not truncated while it holds a closed month.';

COMMIT;
