-- Who may do what with the customer monthly snapshot. Roles belong to the site: name
-- those that are to be granted something, and run this as the owner of the package.
--
--   psql -v ON_ERROR_STOP=1 -v etl=wdh_etl -v operator=wdh_ops -v reader=bi -f sql/grants.sql
--
-- etl       the load's first and last step: check and hook, and nothing else
-- operator  refreshing a month by hand (scripts/refresh_snapshot.py)
-- restater  restating months gone by (sql/backfill.sql), discarding what was written by mistake
-- closer    closing and reopening months
-- reader    BI: reading the snapshot, its trend, its log, its history and the state of each
--           month, checking a month, and what was published of it
--
-- Each is a grant of its own; one role may be named for several. A role that is not named
-- is left alone, and running this again changes nothing. It only grants: to take something
-- away, REVOKE it.

\set ON_ERROR_STOP on

\if :{?etl}
\elif :{?operator}
\elif :{?restater}
\elif :{?closer}
\elif :{?reader}
\else
    DO $$
    BEGIN
        RAISE EXCEPTION 'no role is named, so there is nothing to grant'
            USING
                ERRCODE = 'invalid_parameter_value',
                HINT = 'Name at least one: psql -v etl=wdh_etl -v reader=bi -f sql/grants.sql';
    END
    $$;
\endif

-- A GRANT by someone who may not grant is but a warning.
DO $$
BEGIN
    IF NOT has_schema_privilege('customer', 'USAGE WITH GRANT OPTION')
        OR NOT has_function_privilege('customer.post_etl_hook(text, text)', 'EXECUTE WITH GRANT OPTION')
    THEN
        RAISE EXCEPTION 'role % may not grant rights on schema customer and on the package', current_user
            USING
                ERRCODE = 'insufficient_privilege',
                HINT = 'Run this as the owner of both, or as a superuser.';
    END IF;
END
$$;

BEGIN;

-- The cast to regrole refuses what is no role; GRANT would take even "public" for everyone.
\if :{?etl}
    SELECT quote_ident(:'etl')::regrole AS etl_role
    \gset
    GRANT USAGE ON SCHEMA customer TO :"etl";
    GRANT EXECUTE ON FUNCTION
        customer.pre_etl_check(text, text),
        customer.post_etl_hook(text, text)
    TO :"etl";
\endif

\if :{?operator}
    SELECT quote_ident(:'operator')::regrole AS operator_role
    \gset
    GRANT USAGE ON SCHEMA customer TO :"operator";
    GRANT EXECUTE ON FUNCTION
        customer.refresh_monthly_snapshot(date),
        customer.period_to_snapshot_month(text)
    TO :"operator";
\endif

\if :{?restater}
    SELECT quote_ident(:'restater')::regrole AS restater_role
    \gset
    GRANT USAGE ON SCHEMA customer TO :"restater";
    GRANT EXECUTE ON FUNCTION
        customer.restate_monthly_snapshot(date, text),
        customer.discard_snapshot_month(date, text)
    TO :"restater";
    -- sql/backfill.sql goes over closed months and names them.
    GRANT SELECT ON TABLE customer.monthly_snapshot_control TO :"restater";
\endif

\if :{?closer}
    SELECT quote_ident(:'closer')::regrole AS closer_role
    \gset
    GRANT USAGE ON SCHEMA customer TO :"closer";
    GRANT EXECUTE ON FUNCTION
        customer.close_snapshot_month(date, text),
        customer.reopen_snapshot_month(date, text)
    TO :"closer";
\endif

\if :{?reader}
    SELECT quote_ident(:'reader')::regrole AS reader_role
    \gset
    GRANT USAGE ON SCHEMA customer TO :"reader";
    GRANT SELECT ON TABLE
        customer.fct_customer_business_monthly_status,
        customer.monthly_status_trend,
        customer.monthly_snapshot_control,
        customer.monthly_snapshot_log,
        customer.monthly_status_history
    TO :"reader";
    GRANT EXECUTE ON FUNCTION
        customer.validate_monthly_snapshot(date),
        customer.monthly_status_as_at(date, bigint),
        customer.published_changes(date)
    TO :"reader";
\endif

COMMIT;
