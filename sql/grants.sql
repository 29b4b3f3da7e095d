-- Who may do what with the customer monthly snapshot. Roles belong to the site: name
-- those that are to be granted something, and run this as the owner of the package, who
-- must be allowed to pass on USAGE of schema customer if it belongs to another role.
--
--   psql -v ON_ERROR_STOP=1 -v etl=wdh_etl -v operator=wdh_ops -v reader=bi -f sql/grants.sql
--
-- etl       the load's first and last step: check and hook, and the version that is installed
-- operator  refreshing a month by hand (scripts/refresh_snapshot.py)
-- restater  restating months gone by (sql/backfill.sql), discarding what was written by mistake
-- closer    closing and reopening months
-- reader    BI: reading the snapshot, its views, its log, its history and the state of each
--           month, checking a month, and what was published of it; operator, restater and
--           closer may read all of this, too
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
    IF NOT has_schema_privilege('customer', 'USAGE')
        OR NOT has_function_privilege('customer.post_etl_hook(text, text)', 'EXECUTE WITH GRANT OPTION')
    THEN
        RAISE EXCEPTION 'role % may not grant rights on the package', current_user
            USING
                ERRCODE = 'insufficient_privilege',
                HINT = 'Run this as the owner of the package, or as a superuser.';
    END IF;

    IF NOT has_schema_privilege('customer', 'USAGE WITH GRANT OPTION') THEN
        RAISE EXCEPTION 'role % may not grant rights on schema customer, which is %''s',
            current_user,
            (SELECT pg_get_userbyid(nspowner) FROM pg_namespace WHERE nspname = 'customer')
            USING
                ERRCODE = 'insufficient_privilege',
                HINT = format('As its owner, or as a superuser: GRANT USAGE ON SCHEMA customer TO %I WITH GRANT OPTION;', current_user);
    END IF;
END
$$;

BEGIN;

-- What others made in public is not for its owner to run.
SET LOCAL search_path = pg_catalog, pg_temp;

-- The cast to regrole refuses what is no role; GRANT would take even "public" for everyone.
\if :{?etl}
    SELECT quote_ident(:'etl')::regrole AS etl_role
    \gset
    GRANT USAGE ON SCHEMA customer TO :"etl";
    GRANT EXECUTE ON FUNCTION
        customer.pre_etl_check(text, text),
        customer.post_etl_hook(text, text),
        -- What these say to a period that is no text.
        customer.pre_etl_check(text, anyelement),
        customer.post_etl_hook(text, anyelement),
        customer.snapshot_version()
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
\endif

-- All but the load read: hints and warnings send who writes a month to its log and its validation.
\if :{?operator}
\else
    \set operator ''
\endif
\if :{?restater}
\else
    \set restater ''
\endif
\if :{?closer}
\else
    \set closer ''
\endif
\if :{?reader}
\else
    \set reader ''
\endif

SELECT
    format(
        $tables$
        GRANT SELECT ON TABLE
            customer.fct_customer_business_monthly_status,
            customer.monthly_status_summary,
            customer.monthly_status_trend,
            customer.monthly_status_total,
            customer.monthly_status_movement,
            customer.monthly_status_bridge,
            customer.monthly_status_bridge_total,
            customer.dim_customer,
            customer.dim_product_line,
            customer.dim_snapshot_month,
            customer.unmatched_awards_and_losses,
            customer.monthly_snapshot_control,
            customer.monthly_snapshot_log,
            customer.monthly_status_history
        TO %I
        $tables$,
        role
    ),
    format(
        $functions$
        GRANT EXECUTE ON FUNCTION
            customer.validate_monthly_snapshot(date),
            customer.monthly_status_as_at(date, bigint),
            customer.published_changes(date),
            customer.snapshot_version(),
            -- What the views over customers, product lines and events read.
            customer.customer_names(),
            customer.product_line_names(),
            customer.unmatched_events()
        TO %I
        $functions$,
        role
    )
FROM unnest(ARRAY[:'operator', :'restater', :'closer', :'reader']) AS role
WHERE role <> ''
\gexec

COMMIT;
