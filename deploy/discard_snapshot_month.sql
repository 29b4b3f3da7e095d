-- Deploy customer_monthly_snapshot:discard_snapshot_month to pg
-- requires: fct_customer_business_monthly_status
-- requires: monthly_snapshot_log
-- requires: monthly_status_history
-- requires: monthly_status_summary
-- requires: snapshot_month_of
-- requires: require_reason
-- requires: lock_open_snapshot_month
-- The way back for a month that was written by mistake: it reads as if it never had been.

BEGIN;

-- What others made in public is not for the package to use.
SET LOCAL search_path = pg_catalog, pg_temp;

CREATE OR REPLACE FUNCTION customer.discard_snapshot_month(p_snapshot_month date, p_reason text)
RETURNS jsonb
LANGUAGE plpgsql
SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_started_at timestamptz := clock_timestamp();
    v_month date := customer.snapshot_month_of(p_snapshot_month);
    v_month_label text := to_char(v_month, 'YYYY-MM-DD');
    v_control customer.monthly_snapshot_control;
    v_deleted bigint;
    v_log_id bigint;
BEGIN
    PERFORM customer.require_reason(p_reason, 'reason for discarding');
    v_control := customer.lock_open_snapshot_month(v_month);

    v_log_id := customer.next_log_id(v_control.last_log_id);

    -- By this the guard's triggers tell the statement from a change by hand.
    UPDATE customer.monthly_snapshot_control
    SET writer = concat_ws(' ', pg_current_xact_id(), pg_trigger_depth())
    WHERE snapshot_month = v_month;

    WITH deleted AS (
        DELETE FROM customer.fct_customer_business_monthly_status
        WHERE snapshot_month = v_month
        RETURNING *
    )
    INSERT INTO customer.monthly_status_history (
        snapshot_month, log_id, company_id, product_line_code, operation, product_line_name, is_strategic, is_existing, is_new,
        is_winning_this_year, is_churned_this_year, aum_balance, plan_count, updated_at
    )
    SELECT
        v_month,
        v_log_id,
        company_id,
        product_line_code,
        'delete',
        product_line_name,
        is_strategic,
        is_existing,
        is_new,
        is_winning_this_year,
        is_churned_this_year,
        aum_balance,
        plan_count,
        updated_at
    FROM deleted;

    GET DIAGNOSTICS v_deleted = ROW_COUNT;

    IF v_deleted = 0 AND v_control.last_rule IS NULL THEN
        RAISE EXCEPTION 'month % was never written, so there is nothing to discard', v_month_label
            USING
                ERRCODE = 'object_not_in_prerequisite_state',
                HINT = 'Months that hold rows: SELECT DISTINCT snapshot_month FROM customer.fct_customer_business_monthly_status ORDER BY 1;';
    END IF;

    INSERT INTO customer.monthly_snapshot_log (
        log_id, snapshot_month, operation, reason, started_at, finished_at, deleted, month_rows, month_aum, invoked_by, application_name
    )
    OVERRIDING SYSTEM VALUE
    VALUES (
        v_log_id,
        v_month,
        'discard',
        p_reason,
        v_started_at,
        clock_timestamp(),
        v_deleted,
        0,
        0,
        session_user,
        current_setting('application_name')
    );

    UPDATE customer.monthly_snapshot_control
    SET
        last_rule = NULL,
        last_log_id = greatest(last_log_id, v_log_id),
        last_changed_at = CASE WHEN v_deleted > 0 THEN clock_timestamp() ELSE last_changed_at END,
        baseline_rows = NULL,
        baseline_aum = NULL,
        writer = v_control.writer
    WHERE snapshot_month = v_month;

    PERFORM customer.summarise_snapshot_month(v_month);

    RETURN jsonb_build_object(
        'status', 'discarded',
        'snapshot_month', v_month_label,
        'log_id', v_log_id,
        'warnings', jsonb_build_array(),
        'reason', p_reason
    );
END
$$;

CALL customer.revoke_default_grants('customer.discard_snapshot_month(date, text)'::regprocedure);

COMMENT ON FUNCTION customer.discard_snapshot_month(date, text) IS
'Removes a month that was written by mistake, such as one to come: all its rows, and what customer.monthly_snapshot_control says of them. The month then reads as if it had never been written, and the next refresh goes by the contracts that are current; so it is also the way back for a month that was restated. Its entries in customer.monthly_snapshot_log and its rows in customer.monthly_status_history stay. Runs in the caller''s transaction and commits nothing.

p_snapshot_month: any day of the month.
p_reason: why; kept in customer.monthly_snapshot_log.

Returns a JSON object: status (discarded), snapshot_month (its last day, YYYY-MM-DD), log_id (the entry in customer.monthly_snapshot_log, whose column deleted counts the rows), warnings (none), reason (as given).

Errors: SQLSTATE 22004 the month or the reason is NULL; 22023 the month is infinite or outside the years 1 to 9999, or the reason is blank, holds control characters or is longer than 1000 characters; 55000 the month is closed, or was never written; 40001 the caller''s snapshot is older than the last write to the month, run the transaction again.';

COMMIT;
