-- Deploy customer_monthly_snapshot:lock_snapshot_month to pg
-- requires: monthly_snapshot_control
-- The lock with which all that changes a month, or asks before a load, begins.

BEGIN;

-- What others made in public is not for the package to use.
SET LOCAL search_path = pg_catalog, pg_temp;

CREATE OR REPLACE FUNCTION customer.lock_snapshot_month(p_snapshot_month date)
RETURNS customer.monthly_snapshot_control
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_control customer.monthly_snapshot_control;
BEGIN
    INSERT INTO customer.monthly_snapshot_control (snapshot_month)
    VALUES (p_snapshot_month)
    ON CONFLICT (snapshot_month) DO NOTHING;

    -- A row lock rather than an advisory lock: a caller at REPEATABLE READ whose
    -- snapshot is older than the last change of this row gets a serialization
    -- failure here, where an advisory lock would let it go on with the old state.
    -- It lasts to the end of the caller's transaction, because until then the
    -- next one could not see what this one wrote.
    SELECT *
    INTO STRICT v_control
    FROM customer.monthly_snapshot_control
    WHERE snapshot_month = p_snapshot_month
    FOR UPDATE;

    RETURN v_control;
END
$$;

CALL customer.revoke_default_grants('customer.lock_snapshot_month(date)'::regprocedure);

COMMENT ON FUNCTION customer.lock_snapshot_month(date) IS
'Internal: creates the month''s row in customer.monthly_snapshot_control if there is none, locks it to the end of the transaction and returns it. Waits for whoever holds it. p_snapshot_month is the last day of a month.
SQLSTATE 40001: the caller''s snapshot (REPEATABLE READ or SERIALIZABLE) is older than the last write to the month; run the transaction again. 55P03, 57014: lock_timeout or statement_timeout passed while waiting.';

COMMIT;
