-- Deploy customer_monthly_snapshot:lock_open_snapshot_month to pg
-- requires: sources
-- requires: lock_snapshot_month
-- The lock for all who want to change a month, and so the one place that refuses a closed one.

BEGIN;

-- What others made in public is not for the package to use.
SET LOCAL search_path = pg_catalog, pg_temp;

CREATE OR REPLACE FUNCTION customer.lock_open_snapshot_month(p_snapshot_month date)
RETURNS customer.monthly_snapshot_control
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_control customer.monthly_snapshot_control := customer.lock_snapshot_month(p_snapshot_month);
BEGIN
    IF v_control.closed_at IS NOT NULL THEN
        RAISE EXCEPTION 'month % is closed: by % at % (%)',
            to_char(p_snapshot_month, 'YYYY-MM-DD'),
            customer.for_client(v_control.closed_by),
            to_char(v_control.closed_at AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI:SS "UTC"'),
            customer.for_client(v_control.close_note)
            USING
                ERRCODE = 'object_not_in_prerequisite_state',
                HINT = format(
                    'If its published numbers must change, who has the right to reopen months runs: SELECT customer.reopen_snapshot_month(DATE %L, ''why'');',
                    to_char(p_snapshot_month, 'YYYY-MM-DD')
                );
    END IF;

    RETURN v_control;
END
$$;

CALL customer.revoke_default_grants('customer.lock_open_snapshot_month(date)'::regprocedure);

COMMENT ON FUNCTION customer.lock_open_snapshot_month(date) IS
'Internal: locks the month as customer.lock_snapshot_month does, and refuses it if it is closed.
SQLSTATE 55000: the month is closed; the message says by whom, when and why. Others as customer.lock_snapshot_month.';

COMMIT;
