-- Proves when the hook refreshes, which month, and what it says; a skip writes nothing, an error is the caller's.
SET client_encoding = 'UTF8';

BEGIN;

SELECT plan(49);

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
    ('丙', 'PL202', '2026-02-01', 30),
    ('甲', 'PL202', '2024-02-29', 5);

-- What the hook wrote so far: the months of the fact, control and log tables.
CREATE TEMPORARY VIEW trace AS
SELECT 'fact' AS place, snapshot_month FROM customer.fct_customer_business_monthly_status
UNION ALL
SELECT 'control', snapshot_month FROM customer.monthly_snapshot_control
UNION ALL
SELECT 'log', snapshot_month FROM customer.monthly_snapshot_log;

-- What the hook returns, with a setting or without, or its error; undone again.
CREATE FUNCTION pg_temp.tried(p_domain text, p_period text, p_setting text DEFAULT NULL)
RETURNS text
LANGUAGE sql
AS $$
    SELECT pg_temp.after(
        coalesce('SET LOCAL customer.post_etl_hooks = ' || quote_literal(p_setting), 'SELECT 1'),
        format('SELECT customer.post_etl_hook(%L, %L)', p_domain, p_period)
    )
$$;

-- Every key that a result has, for a hook that skipped.
CREATE FUNCTION pg_temp.skipped(p_reason text, p_month text DEFAULT NULL)
RETURNS jsonb
LANGUAGE sql
AS $$
    SELECT jsonb_build_object(
        'status', 'skipped', 'snapshot_month', p_month, 'rule', NULL, 'total', NULL, 'upserted', NULL, 'inserted', NULL,
        'updated', NULL, 'unchanged', NULL, 'stale', NULL, 'deleted', NULL, 'aum_total', NULL, 'aum_unattributed', NULL,
        'accepted', FALSE, 'warnings', jsonb_build_array(), 'log_id', NULL, 'reason', p_reason
    )
$$;

-- A setting never made --------------------------------------------------------------------------
-- First of all: once made in a session, a setting of one's own is empty at most.

SELECT is(
    pg_temp.tried('annuity_performance', '202601')::jsonb ->> 'status', 'refreshed',
    'while the setting was never made, the hook refreshes'
);

-- Skipping --------------------------------------------------------------------------------------

SELECT is(
    customer.post_etl_hook('annuity_income', period),
    pg_temp.skipped('domain "annuity_income" is unknown to the monthly snapshot; it knows annuity_performance, annual_award and annual_loss'),
    format('another domain is skipped, and the reason names the known ones; the period %s is not looked at', coalesce(period, 'NULL'))
)
FROM unnest(ARRAY[NULL, '202613']) AS period;

SELECT is(
    pg_temp.tried(domain, period, value)::jsonb, pg_temp.skipped('customer.post_etl_hooks is off'),
    format('the setting "%s" skips before domain %s and period %s are looked at', value, domain, period)
)
FROM (VALUES
    ('off', 'annuity_performance', '202601'), ('off', 'annuity_performance', '202613'), ('off', 'annuity_income', '202613'),
    ('OFF', 'annuity_performance', '202601'), ('false', 'annuity_performance', '202601'), ('no', 'annuity_performance', '202601'),
    ('0', 'annuity_performance', '202601'), (' off ', 'annuity_performance', '202601')
) AS example (value, domain, period);

SELECT is_empty(
    'SELECT * FROM trace',
    'a skip writes nothing: no row of the fact, control or log table'
);

-- Not skipping ----------------------------------------------------------------------------------

SELECT is(
    pg_temp.tried('annuity_performance', '202601', value)::jsonb ->> 'status', 'refreshed',
    format('not skipped: the setting is "%s"', value)
)
FROM unnest(ARRAY['ON', 'true', 'yes', '1', ' on ', '']) AS value;

-- Errors of the call ----------------------------------------------------------------------------

SELECT is(
    pg_temp.tried('annuity_performance', '202601', value),
    format('22023 the setting customer.post_etl_hooks must be on or off, but is "%s"', value),
    format('refused, and the message names the setting and its value: "%s"', value)
)
FROM unnest(ARRAY['maybe', '2', 'o', ' ', '%']) AS value;

SELECT is(
    pg_temp.tried(NULL, '202601', value), '22004 the domain must not be NULL',
    format('a NULL domain is an error, also where the hook is %s', value)
)
FROM unnest(ARRAY['on', 'off']) AS value;

SELECT throws_ok(
    format('SELECT customer.post_etl_hook(%L, %L)', domain, period),
    '22023',
    format('the period must be six digits YYYYMM with a month 01 to 12, but is "%s"', period),
    format('a bad period of %s is an error: "%s"', domain, period)
)
FROM (VALUES
    ('annuity_performance', ''), ('annuity_performance', '202613'), ('annuity_performance', '2026-01-31'), ('annual_award', '202613')
) AS bad (domain, period);

SELECT is_empty(
    'SELECT * FROM trace',
    'an error writes nothing: no row of the fact, control or log table'
);

-- Refreshing ------------------------------------------------------------------------------------

SELECT customer.post_etl_hook('annuity_performance', '202601') AS result \gset

SELECT is(
    :'result'::jsonb - 'log_id',
    '{
        "status": "refreshed", "snapshot_month": "2026-01-31", "rule": "current", "accepted": false, "reason": null,
        "total": 2, "upserted": 2, "inserted": 2, "updated": 0, "unchanged": 0, "stale": 0, "deleted": 0,
        "aum_total": 1200.50, "aum_unattributed": 30.00,
        "warnings": [{
            "code": "several_month_dates",
            "message": "the AUM detail of 2026-01-31 stands under several days: 2 rows under 2026-01-01, 1 rows under 2026-01-31",
            "hint": "All of them are added up. Look whether the month was loaded twice."
        }]
    }',
    'it returns what the refresh returns, a warning included'
);

SELECT results_eq(
    $$ SELECT log_id, snapshot_month, operation, reason FROM customer.monthly_snapshot_log $$,
    format($$ VALUES (%s::bigint, DATE '2026-01-31', 'refresh', NULL::text) $$, :'result'::jsonb ->> 'log_id'),
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

-- Awards and losses -----------------------------------------------------------------------------

INSERT INTO award (company_id, product_line_code, reported_on)
VALUES ('乙', 'PL201', '2026-06-01');

INSERT INTO loss (company_id, product_line_code, reported_on)
VALUES ('甲', 'PL202', '2026-06-01');

SELECT is(
    pg_temp.tried(domain, '202601')::jsonb - ARRAY['log_id', 'warnings', 'aum_total', 'aum_unattributed'],
    '{"status": "refreshed", "snapshot_month": "2026-01-31", "rule": "current", "total": 2, "upserted": 2, "inserted": 0,
      "updated": 2, "unchanged": 0, "stale": 0, "deleted": 0, "accepted": false, "reason": null}'::jsonb,
    format('%s refreshes a month that holds rows', domain)
)
FROM (VALUES ('annual_award'), ('annual_loss')) AS event (domain);

SELECT is(
    pg_temp.tried(domain, '202512')::jsonb,
    pg_temp.skipped(
        format('month 2025-12-31 holds no rows; loading annuity_performance writes it, with what domain %s has loaded', domain),
        '2025-12-31'
    ),
    format('%s skips a month that holds no rows, though those around it do', domain)
)
FROM (VALUES ('annual_award'), ('annual_loss')) AS event (domain);

-- The current month -----------------------------------------------------------------------------

SELECT throws_like(
    $$ SELECT customer.post_etl_hook('annuity_performance') $$,
    'the AUM detail has no row for %, though stored months have AUM',
    'the month of today is refused like any other while its AUM is not there'
);

SELECT alike(
    customer.post_etl_hook('annual_loss') ->> 'reason', 'month % holds no rows; %',
    'and is skipped for losses'
);

-- Today's, and what is today a week less an hour from here.
INSERT INTO aum (company_id, as_of, amount)
SELECT '甲', now() AT TIME ZONE 'UTC' + hours * INTERVAL '1 hour', 1
FROM unnest(ARRAY[-167, 0, 167]) AS hours;

-- Time zones that nobody lives in, a week less an hour from UTC: on half the days of a
-- month the one or the other is in another month.
SELECT is(
    left(pg_temp.after(
        format('SET LOCAL TimeZone = %L', zone), format('SELECT customer.post_etl_hook(''annuity_performance''%s) ->> ''snapshot_month''', period)
    ), 7),
    to_char(now() AT TIME ZONE 'UTC' + hours * INTERVAL '1 hour', 'YYYY-MM'),
    format('without a period%s it is the month of today, by the session''s time zone: %s', period, zone)
)
FROM (VALUES ('UTC', 0), ('<ahead>-167', 167), ('<behind>+167', -167)) AS session (zone, hours)
CROSS JOIN (VALUES (''), (', NULL')) AS call (period);

-- Errors of the refresh -------------------------------------------------------------------------

SELECT customer.close_snapshot_month('2026-01-31', 'published') AS closed \gset

SELECT throws_like(
    $$ SELECT customer.post_etl_hook('annuity_performance', '202601') $$,
    'month 2026-01-31 is closed%',
    'a closed month: the error of the refresh is the hook''s'
);

-- Its warning word by word is in 22.
SELECT is(
    customer.post_etl_hook(domain, '202601') #- '{warnings,0,message}' #- '{warnings,0,hint}',
    pg_temp.skipped('month 2026-01-31 is closed and stays as it is', '2026-01-31') || '{"warnings": [{"code": "month_closed"}]}',
    format('a closed month: %s leaves it as it is, with a warning', domain)
)
FROM (VALUES ('annual_award'), ('annual_loss')) AS event (domain);

SELECT * FROM finish();

ROLLBACK;
