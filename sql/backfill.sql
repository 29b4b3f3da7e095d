-- Restates a range of months, oldest first, each committed by itself.
--
--   psql -v from=2025-01-31 -v to=2025-12-31 -v reason='first history' -f sql/backfill.sql
--
-- from, to            any day of the first and of the last month
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
-- commit: \gexec runs one statement a month, each in a transaction of its own.

\set ON_ERROR_STOP on
\set QUIET on
\set AUTOCOMMIT on
\pset format unaligned
\pset tuples_only on
SET client_min_messages = warning;
-- What others made in public is not to run with the rights of the restater.
SET search_path = pg_catalog, pg_temp;

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

-- The block below sees settings, but not psql's variables.
SELECT
    set_config('snapshot_backfill.from', :'from', FALSE) AS "from",
    set_config('snapshot_backfill.to', :'to', FALSE) AS "to",
    set_config('snapshot_backfill.reason', :'reason', FALSE) AS reason,
    set_config('snapshot_backfill.accept_implausible', :'accept_implausible', FALSE) AS accept_implausible
\gset

DO $$
DECLARE
    c_usage CONSTANT text :=
        'psql -v from=2025-01-31 -v to=2025-12-31 -v reason=''first history'' -f sql/backfill.sql';
    v_missing text;
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

WITH month AS (
    SELECT
        (month_start + INTERVAL '1 month - 1 day')::date AS last_day,
        row_number() OVER (ORDER BY month_start) AS number,
        count(*) OVER () AS months
    FROM generate_series(
        date_trunc('month', (:'from'::date)::timestamp),
        date_trunc('month', (:'to'::date)::timestamp),
        INTERVAL '1 month'
    ) AS month_start
)
SELECT format(
    $statement$
        SELECT %L || CASE
            WHEN EXISTS (
                SELECT
                FROM customer.monthly_snapshot_control
                WHERE snapshot_month = %L
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
                FROM customer.restate_monthly_snapshot(%L, %L) AS result
            )
        END
        -- What stands here is done first, and is local to the statement's transaction.
        FROM set_config('customer.accept_implausible', %L, TRUE)
    $statement$,
    format('month %s of %s: %s: ', number, months, to_char(last_day, 'YYYY-MM-DD')),
    last_day,
    last_day,
    :'reason',
    :'accept_implausible'
)
FROM month
ORDER BY number
\gexec
