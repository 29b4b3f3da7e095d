-- Deploy customer_monthly_snapshot:reopen_snapshot_month to pg
-- requires: close_snapshot_month
-- The way back for a closed month, with a reason on record.

BEGIN;

-- What others made in public is not for the package to use.
SET LOCAL search_path = pg_catalog, pg_temp;

CREATE OR REPLACE FUNCTION customer.reopen_snapshot_month(p_snapshot_month date, p_reason text)
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
    v_log_id bigint;
BEGIN
    PERFORM customer.require_reason(p_reason, 'reason for reopening');
    v_control := customer.lock_snapshot_month(v_month);

    IF v_control.closed_at IS NULL THEN
        RAISE EXCEPTION 'month % is not closed', v_month_label
            USING
                ERRCODE = 'object_not_in_prerequisite_state',
                HINT = 'It can be refreshed and restated as it is. Closed months: SELECT snapshot_month FROM customer.monthly_snapshot_control WHERE closed_at IS NOT NULL;';
    END IF;

    v_log_id := customer.next_log_id(v_control.last_log_id);

    INSERT INTO customer.monthly_snapshot_log (
        log_id, snapshot_month, operation, reason, started_at, finished_at, month_rows, month_aum, invoked_by, application_name
    )
    OVERRIDING SYSTEM VALUE
    VALUES (
        v_log_id,
        v_month,
        'reopen',
        p_reason,
        v_started_at,
        clock_timestamp(),
        v_control.closed_rows,
        v_control.closed_aum,
        session_user,
        current_setting('application_name')
    );

    UPDATE customer.monthly_snapshot_control
    SET
        last_log_id = v_log_id,
        closed_at = NULL,
        closed_by = NULL,
        close_note = NULL,
        closed_rows = NULL,
        closed_aum = NULL,
        closed_sha256 = NULL
    WHERE snapshot_month = v_month;

    RETURN jsonb_build_object(
        'status', 'open',
        'snapshot_month', v_month_label,
        'log_id', v_log_id,
        'warnings', jsonb_build_array(),
        'reason', p_reason
    );
END
$$;

CALL customer.revoke_default_grants('customer.reopen_snapshot_month(date, text)'::regprocedure);

COMMENT ON FUNCTION customer.reopen_snapshot_month(date, text) IS
'Opens a closed month again, so that it can be refreshed, restated and closed anew. Changes no row of it. Runs in the caller''s transaction and commits nothing.

p_snapshot_month: any day of the month.
p_reason: why a published month must change; kept in customer.monthly_snapshot_log.

Returns a JSON object: status (open), snapshot_month (its last day, YYYY-MM-DD), log_id (the entry in customer.monthly_snapshot_log), warnings (none), reason (as given).

Errors: SQLSTATE 22004 the month or the reason is NULL; 22023 the month is infinite or outside the years 1 to 9999, or the reason is blank, holds control characters or is longer than 1000 characters; 55000 the month is not closed; 40001 the caller''s snapshot is older than the last write to the month, run the transaction again.';

COMMIT;
