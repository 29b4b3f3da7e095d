-- Restates a range of months, oldest first, each committed by itself.
--
--   psql -v from=202501 -v to=202512 -v reason='first history' -f sql/backfill.sql
--
-- from, to            the first and the last month: YYYYMM, or any day of it
-- reason              why; kept in customer.monthly_snapshot_log
-- accept_implausible  on: also write months that look as if they cannot be right; off by default
--
-- Each month that is done gets a line, which ends with the codes of its warnings if there are
-- any; their full text comes before it. Closed months are skipped and named. Interrupt it when
-- you like: what was committed stays, and the next run finds it right and rewrites nothing.
--
-- It stops at the first error, with a non-zero status. One is a month that cannot be right, such
-- as one whose AUM is not loaded because "to" is too late; accept_implausible=on goes on there.
-- Another is a month that no contract version covers, which cannot be accepted. A bad value fails
-- before anything is done.
--
-- A loop in the client, because a function that writes with the rights of its owner cannot
-- commit: \gexec sends each month as one message, which the server runs as one transaction. What
-- is set is set LOCAL in it, so that no setting is left to the session, nor, behind a
-- pooler in transaction mode, to another client; and a line is shown when its month is committed.

-- psql's own settings, which \i would leave behind.
\set ON_ERROR_STOP on
\set QUIET on
\set AUTOCOMMIT on
\pset format unaligned
\pset tuples_only on

\if :{?from}
\else
    \set from ''
\endif
\if :{?to}
\else
    \set to ''
\endif
\if :{?reason}
\else
    \set reason ''
\endif
\if :{?accept_implausible}
\else
    \set accept_implausible off
\endif

BEGIN;

-- What others made in public is not to run with the rights of the restater.
SET LOCAL search_path = pg_catalog, pg_temp;
-- The block sees settings, but not psql's variables.
SET LOCAL snapshot_backfill."from" = :'from';
SET LOCAL snapshot_backfill."to" = :'to';
SET LOCAL snapshot_backfill.reason = :'reason';
SET LOCAL snapshot_backfill.accept_implausible = :'accept_implausible';

DO $$
DECLARE
    c_usage CONSTANT text :=
        'psql -v from=202501 -v to=202512 -v reason=''first history'' -f sql/backfill.sql';
    v_missing text;
    v_name text;
    v_value text;
    v_day date;
    v_from date;
    v_to date;
    v_months integer;
BEGIN
    SELECT string_agg(name, ', ')
    INTO v_missing
    FROM unnest(ARRAY['from', 'to', 'reason']) AS name
    WHERE current_setting('snapshot_backfill.' || name) !~ '[^[:space:]]';

    IF v_missing IS NOT NULL THEN
        RAISE EXCEPTION 'missing: %', v_missing
            USING ERRCODE = 'invalid_parameter_value', HINT = c_usage;
    END IF;

    FOREACH v_name IN ARRAY ARRAY['from', 'to'] LOOP
        v_value := current_setting('snapshot_backfill.' || v_name);

        BEGIN
            -- PostgreSQL by itself reads six digits as YYMMDD.
            v_day := CASE WHEN v_value ~ '^[0-9]{6}$' THEN v_value || '01' ELSE v_value END;
        EXCEPTION
            WHEN data_exception THEN
                RAISE EXCEPTION '% must be a month YYYYMM or a day, but is "%"', v_name, v_value
                    USING ERRCODE = 'invalid_parameter_value', HINT = c_usage;
        END;

        PERFORM set_config('snapshot_backfill.' || v_name, v_day::text, TRUE);
    END LOOP;

    v_from := current_setting('snapshot_backfill.from');
    v_to := current_setting('snapshot_backfill.to');

    IF NOT (isfinite(v_from) AND isfinite(v_to)) THEN
        RAISE EXCEPTION 'from (%) and to (%) must be finite', v_from, v_to
            USING ERRCODE = 'invalid_parameter_value', HINT = c_usage;
    END IF;

    v_months := (extract(year FROM v_to) - extract(year FROM v_from)) * 12
        + extract(month FROM v_to) - extract(month FROM v_from) + 1;

    IF v_months < 1 THEN
        RAISE EXCEPTION 'from (%) lies after to (%)', to_char(v_from, 'YYYY-MM-DD'), to_char(v_to, 'YYYY-MM-DD')
            USING ERRCODE = 'invalid_parameter_value', HINT = c_usage;
    END IF;

    IF v_months > 600 THEN
        RAISE EXCEPTION 'from (%) to (%) is % months, and more than 600 are surely a mistake',
            to_char(v_from, 'YYYY-MM-DD'), to_char(v_to, 'YYYY-MM-DD'), v_months
            USING ERRCODE = 'invalid_parameter_value', HINT = c_usage;
    END IF;

    BEGIN
        PERFORM current_setting('snapshot_backfill.accept_implausible')::boolean;
    EXCEPTION
        WHEN invalid_text_representation THEN
            RAISE EXCEPTION 'accept_implausible must be on or off, but is "%"', current_setting('snapshot_backfill.accept_implausible')
                USING ERRCODE = 'invalid_parameter_value', HINT = c_usage || ' -v accept_implausible=on';
    END;
END
$$;

SELECT array_agg((month_start + INTERVAL '1 month - 1 day')::date ORDER BY month_start) AS months
FROM generate_series(
    date_trunc('month', current_setting('snapshot_backfill.from')::timestamp),
    date_trunc('month', current_setting('snapshot_backfill.to')::timestamp),
    INTERVAL '1 month'
) AS month_start
\gset

COMMIT;

SELECT pg_catalog.format(
    $statements$
        SET LOCAL search_path = pg_catalog, pg_temp;
        SET LOCAL client_min_messages = warning;
        SET LOCAL customer.accept_implausible = %5$L;

        SELECT format('month %1$s of %2$s: %%s: ', to_char(%3$L::date, 'YYYY-MM-DD')) || CASE
            WHEN EXISTS (
                SELECT
                FROM customer.monthly_snapshot_control
                WHERE snapshot_month = %3$L
                    AND closed_at IS NOT NULL
            ) THEN 'closed, skipped'
            ELSE (
                SELECT format(
                    '%%s rows, %%s inserted, %%s updated, %%s unchanged, %%s deleted in %%s ms%%s',
                    result -> 'total',
                    result -> 'inserted',
                    result -> 'updated',
                    result -> 'unchanged',
                    result -> 'deleted',
                    round(1000 * extract(epoch FROM clock_timestamp() - statement_timestamp())),
                    (
                        SELECT '; warnings: ' || string_agg(warning ->> 'code', ', ')
                        FROM jsonb_array_elements(result -> 'warnings') AS warning
                    )
                )
                FROM customer.restate_monthly_snapshot(%3$L, %4$L) AS result
            )
        END;
    $statements$,
    month.number,
    pg_catalog.cardinality(:'months'::pg_catalog.date[]),
    month.last_day,
    :'reason',
    :'accept_implausible'
)
FROM pg_catalog.unnest(:'months'::pg_catalog.date[]) WITH ORDINALITY AS month (last_day, number)
ORDER BY month.number
\gexec
