-- Deploy customer_monthly_snapshot:monthly_status_as_at to pg
-- requires: monthly_snapshot_log
-- requires: snapshot_month_of
-- requires: snapshot_rows_after
-- What a month was like: its rows as any entry of its log left them.

SET client_encoding = 'UTF8';

BEGIN;

-- What others made in public is not for the package to use.
SET LOCAL search_path = pg_catalog, pg_temp;

CREATE OR REPLACE FUNCTION customer.monthly_status_as_at(p_snapshot_month date, p_log_id bigint)
RETURNS TABLE (
    snapshot_month date,
    company_id varchar,
    product_line_code varchar,
    product_line_name varchar,
    is_strategic boolean,
    is_existing boolean,
    is_new boolean,
    is_winning_this_year boolean,
    is_churned_this_year boolean,
    aum_balance numeric,
    plan_count integer,
    updated_at timestamptz
)
LANGUAGE plpgsql
STABLE
SECURITY DEFINER
ROWS 20000
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_month date := customer.snapshot_month_of(p_snapshot_month);
    v_month_label text := to_char(v_month, 'YYYY-MM-DD');
    v_entry customer.monthly_snapshot_log;
    v_totals record;
BEGIN
    IF p_log_id IS NULL THEN
        RAISE EXCEPTION 'the log entry must not be NULL'
            USING
                ERRCODE = 'null_value_not_allowed',
                HINT = format('Those of the month: SELECT * FROM customer.monthly_snapshot_log WHERE snapshot_month = DATE %L ORDER BY log_id;', v_month_label);
    END IF;

    SELECT *
    INTO v_entry
    FROM customer.monthly_snapshot_log AS entry
    WHERE entry.log_id = p_log_id
        AND entry.snapshot_month = v_month;

    IF NOT FOUND THEN
        RAISE EXCEPTION 'log entry % does not belong to month %', p_log_id, v_month_label
            USING
                ERRCODE = 'invalid_parameter_value',
                HINT = format('Those of the month: SELECT * FROM customer.monthly_snapshot_log WHERE snapshot_month = DATE %L ORDER BY log_id;', v_month_label);
    END IF;

    IF v_entry.operation = 'close' THEN
        SELECT *
        INTO STRICT v_totals
        FROM customer.snapshot_control_totals(v_month, p_log_id);

        IF (v_totals.row_count, v_totals.aum, v_totals.sha256)
            IS DISTINCT FROM (v_entry.month_rows, v_entry.month_aum, v_entry.month_sha256)
        THEN
            RAISE WARNING 'month % as of log entry % is not what that entry closed: it has % rows with % yuan, and % rows with % yuan were closed',
                v_month_label, p_log_id, v_totals.row_count, v_totals.aum, v_entry.month_rows, v_entry.month_aum
                USING HINT = 'Rows of the month or its history were changed while triggers were disabled. Compare with a backup.';
        END IF;
    END IF;

    RETURN QUERY
    SELECT *
    FROM customer.snapshot_rows_after(v_month, p_log_id);
END
$$;

CALL customer.revoke_default_grants('customer.monthly_status_as_at(date, bigint)'::regprocedure);

COMMENT ON FUNCTION customer.monthly_status_as_at(date, bigint) IS
'快照回溯: the rows of a month exactly as an entry of its log left them, updated_at included, put together from customer.fct_customer_business_monthly_status and customer.monthly_status_history. What was published for January:
SELECT * FROM customer.monthly_status_as_at(''2026-01-31'', (SELECT max(log_id) FROM customer.monthly_snapshot_log WHERE snapshot_month = ''2026-01-31'' AND operation = ''close''));

p_snapshot_month: any day of the month.
p_log_id: an entry of customer.monthly_snapshot_log for that month, whatever its operation.

Returns the columns of customer.fct_customer_business_monthly_status, in no particular order.

WARNING: the entry closed the month, and the rows do not have the control totals that it recorded.

Errors: SQLSTATE 22004 the month or the entry is NULL; 22023 the entry does not belong to that month, or the month is infinite or outside the years 1 to 9999.';

COMMIT;
