-- Deploy customer_monthly_snapshot:close_snapshot_month to pg
-- requires: fct_customer_business_monthly_status
-- requires: monthly_snapshot_log
-- requires: snapshot_month_of
-- requires: require_reason
-- requires: lock_open_snapshot_month
-- requires: warn
-- requires: validate_monthly_snapshot
-- requires: snapshot_rows_after
-- Published months stay as published: closing a month.

BEGIN;

-- What others made in public is not for the package to use.
SET LOCAL search_path = pg_catalog, pg_temp;

CREATE OR REPLACE FUNCTION customer.close_snapshot_month(p_snapshot_month date, p_note text)
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
    v_found record;
    v_warnings jsonb := jsonb_build_array();
    v_totals record;
    v_log_id bigint;
BEGIN
    PERFORM customer.require_reason(p_note, 'note for closing');
    v_control := customer.lock_open_snapshot_month(v_month);

    IF NOT EXISTS (
        SELECT
        FROM customer.fct_customer_business_monthly_status
        WHERE snapshot_month = v_month
    ) THEN
        RAISE EXCEPTION 'month % holds no rows, so there is nothing to close', v_month_label
            USING
                ERRCODE = 'object_not_in_prerequisite_state',
                HINT = format('It must be filled first; who has the right to refresh months runs: SELECT customer.refresh_monthly_snapshot(DATE %L);', v_month_label);
    END IF;

    SELECT
        string_agg(format('%s (%s)', check_name, violations), ', ') FILTER (WHERE severity = 'error') AS errors,
        max(violations) FILTER (WHERE check_name = 'stale_row') AS stale_rows
    INTO STRICT v_found
    FROM customer.validate_monthly_snapshot(v_month)
    WHERE violations > 0;

    IF v_found.errors IS NOT NULL THEN
        v_warnings := v_warnings || customer.warn(
            'invalid_month',
            format('month %s is closed although validation finds errors: %s', v_month_label, v_found.errors),
            format(
                'A ROLLBACK leaves it open. SELECT * FROM customer.validate_monthly_snapshot(DATE %L); says what they are.',
                v_month_label
            )
        );
    END IF;

    IF v_found.stale_rows IS NOT NULL THEN
        v_warnings := v_warnings || customer.warn(
            'invalid_month',
            format('month %s is closed with stale rows, which no contract supports any more: %s', v_month_label, v_found.stale_rows),
            'If their contracts were true on the last day of the month, they are right. customer.validate_monthly_snapshot names some of them.'
        );
    END IF;

    v_log_id := customer.next_log_id(v_control.last_log_id);

    SELECT *
    INTO STRICT v_totals
    FROM customer.snapshot_control_totals(v_month, v_log_id);

    INSERT INTO customer.monthly_snapshot_log (
        log_id, snapshot_month, operation, reason, started_at, finished_at, accepted, month_rows, month_aum, month_sha256, invoked_by, application_name
    )
    OVERRIDING SYSTEM VALUE
    VALUES (
        v_log_id,
        v_month,
        'close',
        p_note,
        v_started_at,
        clock_timestamp(),
        -- By it validation knows that what is wrong did not come with time.
        CASE WHEN v_found.errors IS NOT NULL THEN TRUE END,
        v_totals.row_count,
        v_totals.aum,
        v_totals.sha256,
        session_user,
        current_setting('application_name')
    );

    UPDATE customer.monthly_snapshot_control
    SET
        last_log_id = v_log_id,
        closed_at = CURRENT_TIMESTAMP,
        closed_by = session_user,
        close_note = p_note,
        closed_rows = v_totals.row_count,
        closed_aum = v_totals.aum,
        closed_sha256 = v_totals.sha256
    WHERE snapshot_month = v_month;

    RETURN jsonb_build_object(
        'status', 'closed',
        'snapshot_month', v_month_label,
        'log_id', v_log_id,
        'warnings', v_warnings,
        'reason', p_note
    );
END
$$;

CALL customer.revoke_default_grants('customer.close_snapshot_month(date, text)'::regprocedure);

COMMENT ON FUNCTION customer.close_snapshot_month(date, text) IS
'Closes a month, so that its published numbers stay: from then on refreshing, restating and discarding it fail, and so does any other change to its rows, until customer.reopen_snapshot_month. Waits for a refresh of the month that is under way. Runs in the caller''s transaction and commits nothing.

p_snapshot_month: any day of the month.
p_note: why, such as when and where the month was published; kept in customer.monthly_snapshot_control and customer.monthly_snapshot_log.

Returns a JSON object: status (closed), snapshot_month (its last day, YYYY-MM-DD), log_id (the entry in customer.monthly_snapshot_log), warnings (objects of code, message and hint), reason (the note).

WARNING (the month is closed all the same), code invalid_month: customer.validate_monthly_snapshot finds errors, or the month holds stale rows; with their numbers.

Errors: SQLSTATE 22004 the month or the note is NULL; 22023 the month is infinite or outside the years 1 to 9999, or the note is blank, holds control characters or is longer than 1000 characters; 55000 the month is closed already, or holds no rows, or a source table is not as it was when the package was deployed; 40001 the caller''s snapshot is older than the last write to the month, run the transaction again.';

COMMIT;
