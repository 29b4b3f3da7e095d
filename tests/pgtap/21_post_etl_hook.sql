-- Proves when the hook refreshes, which month, and what it says; a skip writes nothing, an error is the caller's.
SET client_encoding = 'UTF8';

BEGIN;

SELECT plan(44);

\ir fixture.psql

INSERT INTO contract (company_id, product_line_code, is_strategic)
VALUES
    ('甲', 'PL202', TRUE),
    ('乙', 'PL201', FALSE);

INSERT INTO aum (company_id, product_line_code, as_of, amount)
VALUES
    ('甲', 'PL202', '2026-01-01', 1000.50),
    ('乙', 'PL201', '2026-01-31', 200),
    ('丙', 'PL202', '2026-01-01', 30),
    ('甲', 'PL202', '2024-02-29', 5);

-- What the hook wrote so far: the months of the fact, control and log tables.
CREATE TEMPORARY VIEW trace AS
SELECT 'fact' AS place, snapshot_month FROM customer.fct_customer_business_monthly_status
UNION ALL
SELECT 'control', snapshot_month FROM customer.monthly_snapshot_control
UNION ALL
SELECT 'log', snapshot_month FROM customer.monthly_snapshot_log;

-- Calls the hook and takes back what it wrote.
CREATE FUNCTION pg_temp.tried(p_domain text, p_period text)
RETURNS jsonb
LANGUAGE plpgsql
AS $$
DECLARE
    v_result jsonb;
BEGIN
    v_result := customer.post_etl_hook(p_domain, p_period);
    RAISE EXCEPTION USING ERRCODE = 'UNDO1';
EXCEPTION
    WHEN SQLSTATE 'UNDO1' THEN
        RETURN v_result;
END
$$;

-- The same with the setting at a value.
CREATE FUNCTION pg_temp.tried_with(p_setting text, p_domain text, p_period text)
RETURNS jsonb
LANGUAGE plpgsql
AS $$
BEGIN
    PERFORM set_config('customer.post_etl_hooks', p_setting, TRUE);
    RETURN pg_temp.tried(p_domain, p_period);
END
$$;

-- A setting never made --------------------------------------------------------------------------
-- First of all: once made in a session, a setting of one's own is empty at most.

SELECT is(
    pg_temp.tried('annuity_performance', '202601') ->> 'status', 'refreshed',
    'while the setting was never made, the hook refreshes'
);

-- Skipping --------------------------------------------------------------------------------------

SELECT is(
    customer.post_etl_hook(domain, '202601'),
    jsonb_build_object('status', 'skipped', 'reason', format('domain %s has no monthly snapshot', domain)),
    format('skipped, and the reason names the domain: %s', reason)
)
FROM (VALUES
    ('annuity_income',       'another domain'),
    ('annuity_plans',        'a domain that begins alike'),
    ('Annuity_Performance',  'other capitals'),
    ('annuity_performance ', 'a space after'),
    ('',                     'the empty string')
) AS other (domain, reason);

SELECT is(
    customer.post_etl_hook('annuity_income', period),
    '{"status": "skipped", "reason": "domain annuity_income has no monthly snapshot"}',
    format('for another domain the period is not looked at: %s', coalesce('"' || period || '"', 'NULL'))
)
FROM unnest(ARRAY[NULL, '202613']) AS period;

SELECT is(
    pg_temp.tried_with(value, 'annuity_performance', '202601'),
    jsonb_build_object('status', 'skipped', 'reason', format('customer.post_etl_hooks is %s', value)),
    format('skipped, and the reason names the setting: "%s"', value)
)
FROM unnest(ARRAY['OFF', 'false', 'no', '0', ' off ']) AS value;

SET LOCAL customer.post_etl_hooks = off;

SELECT is(
    customer.post_etl_hook('annuity_performance', '202601'),
    '{"status": "skipped", "reason": "customer.post_etl_hooks is off"}',
    'SET LOCAL … = off, as an operator writes it, skips'
);

SELECT is(
    customer.post_etl_hook('annuity_income', '202613'),
    '{"status": "skipped", "reason": "customer.post_etl_hooks is off"}',
    'switched off and for another domain, the reason is the setting, and the period is not looked at'
);

SELECT is_empty(
    'SELECT * FROM trace',
    'a skip writes nothing: no row of the fact, control or log table'
);

-- Not skipping ----------------------------------------------------------------------------------

SELECT is(
    pg_temp.tried_with(value, 'annuity_performance', '202601') ->> 'status', 'refreshed',
    format('not skipped: the setting is "%s"', value)
)
FROM unnest(ARRAY['ON', 'true', 'yes', '1', ' on ', '']) AS value;

RESET customer.post_etl_hooks;

SELECT is(
    pg_temp.tried('annuity_performance', '202601') ->> 'status', 'refreshed',
    'not skipped after RESET'
);

-- Errors of the call ----------------------------------------------------------------------------

SELECT throws_ok(
    format('SELECT pg_temp.tried_with(%L, %L, %L)', value, 'annuity_performance', '202601'),
    '22023',
    format('the setting customer.post_etl_hooks must be on or off, but is "%s"', value),
    format('refused, and the message names the setting and its value: "%s"', value)
)
FROM unnest(ARRAY['maybe', '2', 'o', ' ', '%']) AS value;

SELECT throws_ok(
    $$ SELECT customer.post_etl_hook(NULL, '202601') $$,
    '22004',
    'the domain must not be NULL',
    'a NULL domain is an error'
);

SELECT throws_ok(
    $$ SELECT pg_temp.tried_with('off', NULL, '202601') $$,
    '22004',
    'the domain must not be NULL',
    'a NULL domain is an error though the hook is switched off'
);

SELECT throws_ok(
    format('SELECT customer.post_etl_hook(%L, %L)', 'annuity_performance', period),
    '22023',
    format('the period must be six digits YYYYMM with a month 01 to 12, but is "%s"', period),
    format('where it would refresh, a bad period is an error: "%s"', period)
)
FROM unnest(ARRAY['', '202613', '2026-01-31']) AS period;

SELECT is_empty(
    'SELECT * FROM trace',
    'an error writes nothing: no row of the fact, control or log table'
);

-- Refreshing ------------------------------------------------------------------------------------

SELECT customer.post_etl_hook('annuity_performance', '202601') AS result \gset

SELECT is(
    :'result'::jsonb - 'log_id',
    '{
        "status": "refreshed",
        "snapshot_month": "2026-01-31",
        "total": 2,
        "upserted": 2,
        "inserted": 2,
        "updated": 0,
        "unchanged": 0,
        "stale": 0,
        "deleted": 0,
        "aum_total": 1200.50,
        "aum_unattributed": 30.00
    }',
    'it returns what the refresh counted, and the status'
);

SELECT results_eq(
    $$ SELECT log_id, snapshot_month, operation, reason FROM customer.monthly_snapshot_log $$,
    format(
        $$ VALUES (%s::bigint, DATE '2026-01-31', 'refresh', NULL::text) $$,
        :'result'::jsonb ->> 'log_id'
    ),
    'it refreshed once, and log_id is the entry in the log'
);

SELECT is(
    customer.post_etl_hook(p_period => '202402', p_domain => 'annuity_performance') ->> 'snapshot_month',
    '2024-02-29',
    'another period refreshes its month'
);

SELECT results_eq(
    $$ SELECT snapshot_month, sum(aum_balance)
       FROM customer.fct_customer_business_monthly_status
       GROUP BY snapshot_month
       ORDER BY snapshot_month $$,
    $$ VALUES
        (DATE '2024-02-29', 5.00),
        ('2026-01-31', 1200.50) $$,
    'they and no other months are written, each with its own AUM'
);

-- The current month -----------------------------------------------------------------------------

SELECT is(
    pg_temp.tried('annuity_performance', NULL) ->> 'snapshot_month',
    to_char(now() + INTERVAL '1 month' - extract(day FROM now() + INTERVAL '1 month') * INTERVAL '1 day', 'YYYY-MM-DD'),
    'a NULL period means the month of today'
);

SELECT is(
    customer.post_etl_hook('annuity_performance') ->> 'snapshot_month',
    to_char(now() + INTERVAL '1 month' - extract(day FROM now() + INTERVAL '1 month') * INTERVAL '1 day', 'YYYY-MM-DD'),
    'no period at all means the month of today'
);

-- Time zones that nobody lives in, a week less an hour from UTC: on half the days of a
-- month the one or the other is in another month.
SET LOCAL TimeZone = '<ahead>-167';

SELECT is(
    left(pg_temp.tried('annuity_performance', NULL) ->> 'snapshot_month', 7),
    to_char(now() AT TIME ZONE 'UTC' + INTERVAL '167 hours', 'YYYY-MM'),
    'today is the session''s, where it is ahead'
);

SET LOCAL TimeZone = '<behind>+167';

SELECT is(
    left(pg_temp.tried('annuity_performance', NULL) ->> 'snapshot_month', 7),
    to_char(now() AT TIME ZONE 'UTC' - INTERVAL '167 hours', 'YYYY-MM'),
    'today is the session''s, where it is behind'
);

SET LOCAL TimeZone = 'UTC';

-- Errors of the refresh -------------------------------------------------------------------------

SELECT customer.close_snapshot_month('2026-01-31', 'published') AS closed \gset

SELECT throws_like(
    $$ SELECT customer.post_etl_hook('annuity_performance', '202601') $$,
    'month 2026-01-31 is closed%',
    'a closed month: the error of the refresh is the hook''s'
);

SET LOCAL customer.post_etl_hooks = off;

SELECT is(
    customer.post_etl_hook('annuity_performance', '202601'),
    '{"status": "skipped", "reason": "customer.post_etl_hooks is off"}',
    'switched off, a closed month is no error'
);

SELECT * FROM finish();

ROLLBACK;
