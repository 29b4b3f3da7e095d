-- Deploy customer_monthly_snapshot:snapshot_month_of to pg
-- requires: sources
-- Which month a day names; the one place that refuses a day which names none.

BEGIN;

-- What others made in public is not for the package to use.
SET LOCAL search_path = pg_catalog, pg_temp;

CREATE OR REPLACE FUNCTION customer.snapshot_month_of(p_day date)
RETURNS date
LANGUAGE plpgsql
IMMUTABLE
PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF p_day IS NULL THEN
        RAISE EXCEPTION 'the snapshot month must not be NULL'
            USING
                ERRCODE = 'null_value_not_allowed',
                HINT = 'Pass any day of the month, such as DATE ''2026-01-31''.';
    END IF;

    IF p_day NOT BETWEEN DATE '0001-01-01' AND DATE '9999-12-31' THEN
        RAISE EXCEPTION 'the snapshot month must lie in the years 1 to 9999, but is %',
            -- ISO 8601 whatever the DateStyle, also where to_char has nothing to say.
            to_json(p_day) #>> '{}'
            USING
                ERRCODE = 'invalid_parameter_value',
                HINT = 'Pass any day of the month, such as DATE ''2026-01-31''.';
    END IF;

    -- On a timestamp without time zone, date_trunc does not depend on the TimeZone.
    RETURN (date_trunc('month', p_day::timestamp) + INTERVAL '1 month - 1 day')::date;
END
$$;

CALL customer.revoke_default_grants('customer.snapshot_month_of(date)'::regprocedure);

COMMENT ON FUNCTION customer.snapshot_month_of(date) IS
'Internal: the last day of the month in which p_day lies, by which a snapshot is known. Does not depend on any setting.
SQLSTATE 22004: p_day is NULL. 22023: p_day is infinite or outside the years 1 to 9999.';

COMMIT;
