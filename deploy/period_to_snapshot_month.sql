-- Deploy customer_monthly_snapshot:period_to_snapshot_month to pg
-- requires: sources
-- The ETL names a month YYYYMM; the snapshot names it by its last day.

BEGIN;

-- What others made in public is not for the package to use.
SET LOCAL search_path = pg_catalog, pg_temp;

CREATE OR REPLACE FUNCTION customer.period_to_snapshot_month(p_period text)
RETURNS date
LANGUAGE plpgsql
IMMUTABLE
PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    -- The year 0000 has no date. [0-9], because \d may match digits of other scripts.
    IF p_period IS NULL OR p_period !~ '^[0-9]{4}(0[1-9]|1[0-2])$' OR p_period ~ '^0000' THEN
        RAISE EXCEPTION 'the period must be six digits YYYYMM with a month 01 to 12, but is %',
            coalesce('"' || p_period || '"', 'NULL')
            USING
                ERRCODE = 'invalid_parameter_value',
                HINT = 'Pass the period as YYYYMM, such as 202601 for January 2026. For a date, to_char(the_date, ''YYYYMM'') makes one.';
    END IF;

    RETURN (
        make_date(left(p_period, 4)::integer, right(p_period, 2)::integer, 1)
        + INTERVAL '1 month - 1 day'
    )::date;
END
$$;

CALL customer.revoke_default_grants('customer.period_to_snapshot_month(text)'::regprocedure);

COMMENT ON FUNCTION customer.period_to_snapshot_month(text) IS
'The last day of the month that a period of the ETL names: 202601 gives 2026-01-31. Depends on no setting.
p_period: six digits, YYYYMM.
SQLSTATE 22023: p_period is anything else, NULL included.';

COMMIT;
