-- Deploy customer_monthly_snapshot:restate_monthly_snapshot to pg
-- requires: write_monthly_snapshot
-- For months gone by: the month exactly as its sources say it was on its last day.

SET client_encoding = 'UTF8';

BEGIN;

-- What others made in public is not for the package to use.
SET LOCAL search_path = pg_catalog, pg_temp;

CREATE FUNCTION customer.restate_monthly_snapshot(p_snapshot_month date, p_reason text)
RETURNS jsonb
LANGUAGE plpgsql
SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_missing text;
BEGIN
    IF p_reason IS NULL THEN
        RAISE EXCEPTION 'the reason for restating must not be NULL'
            USING
                ERRCODE = 'null_value_not_allowed',
                HINT = 'Say why the month is restated; the log keeps it.';
    END IF;

    IF p_reason !~ '[^[:space:]]' THEN
        RAISE EXCEPTION 'the reason for restating must not be blank, but is "%"', p_reason
            USING
                ERRCODE = 'invalid_parameter_value',
                HINT = 'Say why the month is restated; the log keeps it.';
    END IF;

    SELECT string_agg(column_name, ', ')
    INTO v_missing
    FROM unnest(ARRAY['valid_from', 'contract_id']) AS required (column_name)
    WHERE NOT EXISTS (
        SELECT
        FROM pg_attribute
        WHERE attrelid = 'customer.customer_plan_contract'::regclass
            AND attname = column_name
            AND NOT attisdropped
    );

    IF v_missing IS NOT NULL THEN
        RAISE EXCEPTION 'customer.customer_plan_contract lacks what restating needs: column %', v_missing
            USING
                ERRCODE = 'object_not_in_prerequisite_state',
                HINT = 'Restating works out which contract versions covered a day, so it needs valid_from and contract_id. Refreshing does not.';
    END IF;

    RETURN customer.write_monthly_snapshot(p_snapshot_month, 'restate', p_reason);
END
$$;

REVOKE ALL ON FUNCTION customer.restate_monthly_snapshot(date, text) FROM PUBLIC;

COMMENT ON FUNCTION customer.restate_monthly_snapshot(date, text) IS
'Makes the snapshot of one month exactly what its sources say as of the last day of the month: contract versions that cover that day (valid_from <= day <= valid_to) take the place of current ones, and stored rows that none supports are deleted. Where several versions of one customer, plan and product line cover the day, the one with the latest valid_from counts, then the highest contract_id. Awards, losses and AUM are taken as customer.refresh_monthly_snapshot takes them. Runs in the caller''s transaction and commits nothing.

p_snapshot_month: any day of the month.
p_reason: why; kept in customer.monthly_snapshot_log.

Returns what customer.refresh_monthly_snapshot returns; deleted counts the rows that were removed, and stale is 0.

WARNING (the snapshot is written all the same): no AUM for the month.

Errors (nothing is written): SQLSTATE 22004 the month or the reason is NULL; 22023 the month is infinite or outside the years 1 to 9999, or the reason is blank; 55000 the month is closed, no contract version covers it, or the contracts have no valid_from or contract_id; 40001 the caller''s snapshot is older than the last write to the month, run the transaction again.';

COMMIT;
