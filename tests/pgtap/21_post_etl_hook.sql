-- Proves when the hook refreshes, which month, and what it says; a skip writes nothing, an error is the caller's.
SET client_encoding = 'UTF8';

BEGIN;

SELECT plan(96);

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
    ('甲', 'PL202', '2025-12-31', 4),
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
    current_setting('customer.post_etl_hooks', TRUE), NULL,
    'premise: the setting was never made in this session'
);

SELECT is(
    pg_temp.tried('annuity_performance', '202601') ->> 'status', 'refreshed',
    'while the setting was never made, the hook refreshes'
);

SELECT is_empty(
    'SELECT * FROM trace',
    'premise: the helper takes back what the hook wrote'
);

-- Skipping --------------------------------------------------------------------------------------

CREATE TEMPORARY TABLE other_domain (domain, reason) AS VALUES
    ('annuity_income',       'another domain'),
    ('annual_award',         'the domain of the awards'),
    ('annuity_plans',        'a domain that begins alike'),
    ('Annuity_Performance',  'other capitals'),
    ('annuity_performance ', 'a space after'),
    (' annuity_performance', 'a space before'),
    ('annuity',              'a part of the name'),
    ('annuity%',             'a pattern'),
    ('规模明细',             'a table''s name'),
    ('',                     'the empty string');

SELECT is(
    customer.post_etl_hook(domain, '202601'),
    jsonb_build_object('status', 'skipped', 'reason', format('domain %s has no monthly snapshot', domain)),
    format('skipped, and the reason names the domain: %s', reason)
)
FROM other_domain;

SELECT is(
    customer.post_etl_hook('annuity_income'),
    '{"status": "skipped", "reason": "domain annuity_income has no monthly snapshot"}',
    'another domain is skipped without a period, too'
);

SELECT is(
    customer.post_etl_hook('annuity_income', period),
    '{"status": "skipped", "reason": "domain annuity_income has no monthly snapshot"}',
    format('for another domain the period is not looked at: %s', coalesce('"' || period || '"', 'NULL'))
)
FROM unnest(ARRAY[NULL, '', '2026', '202613', '2026-01']) AS period;

CREATE TEMPORARY TABLE off (value) AS VALUES
    ('off'), ('OFF'), ('Off'), ('false'), ('FALSE'), ('no'), ('0'), ('f'), ('n'), (' off ');

SELECT is(
    pg_temp.tried_with(value, 'annuity_performance', '202601'),
    jsonb_build_object('status', 'skipped', 'reason', format('customer.post_etl_hooks is %s', value)),
    format('skipped, and the reason names the setting: "%s"', value)
)
FROM off;

SET LOCAL customer.post_etl_hooks = off;

SELECT is(
    customer.post_etl_hook('annuity_performance', '202601'),
    '{"status": "skipped", "reason": "customer.post_etl_hooks is off"}',
    'SET LOCAL … = off, as an operator writes it, skips'
);

SELECT is(
    customer.post_etl_hook('annuity_performance'),
    '{"status": "skipped", "reason": "customer.post_etl_hooks is off"}',
    'switched off, it skips without a period, too'
);

SELECT is(
    customer.post_etl_hook('annuity_performance', period),
    '{"status": "skipped", "reason": "customer.post_etl_hooks is off"}',
    format('switched off, the period is not looked at: "%s"', period)
)
FROM unnest(ARRAY['', '2026', '202613', '2026-01']) AS period;

SELECT is(
    customer.post_etl_hook('annuity_income', '202601'),
    '{"status": "skipped", "reason": "customer.post_etl_hooks is off"}',
    'switched off and for another domain, the reason is the setting'
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
FROM unnest(ARRAY['on', 'ON', 'On', 'true', 'TRUE', 'yes', '1', 't', 'y', ' on ', '']) AS value;

RESET customer.post_etl_hooks;

SELECT is(
    pg_temp.tried('annuity_performance', '202601') ->> 'status', 'refreshed',
    'not skipped after RESET'
);

SET LOCAL customer.post_etl_hook = off;

SELECT is(
    pg_temp.tried('annuity_performance', '202601') ->> 'status', 'refreshed',
    'not skipped by a setting of another name'
);

-- Errors of the call ----------------------------------------------------------------------------

SELECT throws_ok(
    format('SELECT pg_temp.tried_with(%L, %L, %L)', value, 'annuity_performance', '202601'),
    '22023',
    format('the setting customer.post_etl_hooks must be on or off, but is "%s"', value),
    format('refused, and the message names the setting and its value: "%s"', value)
)
FROM unnest(ARRAY['maybe', '2', '-1', 'o', 'offf', 'disabled', 'on off', ' ', '关', '%', 'NULL']) AS value;

SELECT throws_ok(
    $$ SELECT pg_temp.tried_with('maybe', 'annuity_income', '202601') $$,
    '22023',
    'the setting customer.post_etl_hooks must be on or off, but is "maybe"',
    'a senseless setting is an error for every domain'
);

SELECT throws_ok(
    $$ SELECT customer.post_etl_hook(NULL, '202601') $$,
    '22004',
    'the domain must not be NULL',
    'a NULL domain is an error'
);

SELECT throws_ok(
    $$ SELECT customer.post_etl_hook(NULL) $$,
    '22004',
    'the domain must not be NULL',
    'a NULL domain is an error without a period, too'
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
FROM unnest(ARRAY['', '2026', '202600', '202613', '2026-01', '2026-01-31', '20260131', '202601 ', '000001']) AS period;

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

SELECT is(
    (SELECT array_agg(key ORDER BY key COLLATE "C") FROM jsonb_object_keys(:'result'::jsonb) AS key),
    ARRAY[
        'aum_total', 'aum_unattributed', 'deleted', 'inserted', 'log_id', 'snapshot_month',
        'stale', 'status', 'total', 'unchanged', 'updated', 'upserted'
    ],
    'it returns these keys and no other'
);

SELECT results_eq(
    $$ SELECT log_id, snapshot_month, operation, reason FROM customer.monthly_snapshot_log $$,
    format(
        $$ VALUES (%s::bigint, DATE '2026-01-31', 'refresh', NULL::text) $$,
        :'result'::jsonb ->> 'log_id'
    ),
    'it refreshed once, and log_id is the entry in the log'
);

SELECT results_eq(
    $$ SELECT
           snapshot_month, company_id COLLATE "C", product_line_code, product_line_name,
           is_strategic, is_existing, is_new, is_winning_this_year, is_churned_this_year,
           aum_balance, plan_count
       FROM customer.fct_customer_business_monthly_status
       ORDER BY product_line_code $$,
    $$ VALUES
        (DATE '2026-01-31', '乙'::varchar COLLATE "C", 'PL201'::varchar, '企年受托'::varchar,
         FALSE, FALSE, FALSE, FALSE, FALSE, 200.00, 1),
        ('2026-01-31', '甲', 'PL202', '企年受托',
         TRUE, FALSE, FALSE, FALSE, FALSE, 1000.50, 1) $$,
    'it wrote the month that the period names, and no other'
);

SELECT results_eq(
    $$ SELECT snapshot_month, last_rule FROM customer.monthly_snapshot_control $$,
    $$ VALUES (DATE '2026-01-31', 'current') $$,
    'the month counts as refreshed, not as restated'
);

SELECT is(
    customer.post_etl_hook('annuity_performance', '202601') - 'log_id',
    '{
        "status": "refreshed",
        "snapshot_month": "2026-01-31",
        "total": 2,
        "upserted": 0,
        "inserted": 0,
        "updated": 0,
        "unchanged": 2,
        "stale": 0,
        "deleted": 0,
        "aum_total": 1200.50,
        "aum_unattributed": 30.00
    }',
    'called again it finds all as it is, and its status is refreshed all the same'
);

SELECT is(
    customer.post_etl_hook(p_period => period, p_domain => 'annuity_performance')
        - '{log_id,stale,deleted,updated,unchanged,upserted,total}'::text[],
    expected,
    format('period %s refreshes its month', period)
)
FROM (VALUES
    ('202512', '{"status": "refreshed", "snapshot_month": "2025-12-31", "inserted": 2, "aum_total": 4.00, "aum_unattributed": 0.00}'::jsonb),
    ('202402', '{"status": "refreshed", "snapshot_month": "2024-02-29", "inserted": 2, "aum_total": 5.00, "aum_unattributed": 0.00}')
) AS example (period, expected);

SELECT results_eq(
    $$ SELECT snapshot_month, sum(aum_balance)
       FROM customer.fct_customer_business_monthly_status
       GROUP BY snapshot_month
       ORDER BY snapshot_month $$,
    $$ VALUES
        (DATE '2024-02-29', 5.00),
        ('2025-12-31', 4.00),
        ('2026-01-31', 1200.50) $$,
    'each month holds its own AUM'
);

SELECT is(
    customer.refresh_monthly_snapshot('2026-01-31') ? 'status', FALSE,
    'the refresh by itself returns no status'
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

SELECT is(
    (
        SELECT count(*)
        FROM customer.fct_customer_business_monthly_status
        WHERE to_char(snapshot_month, 'YYYYMM') = to_char(now(), 'YYYYMM')
    ),
    2::bigint,
    'and that month''s rows are written'
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

DELETE FROM business."规模明细" WHERE "月度" BETWEEN '2025-12-01' AND '2025-12-31';

SELECT throws_ok(
    $$ SELECT customer.post_etl_hook('annuity_performance', '202512') $$,
    '55000',
    'business."规模明细" has no row for 2025-12-31, and refreshing would overwrite its AUM with zeros',
    'a month that would lose its AUM: the error of the refresh is the hook''s'
);

SELECT is(
    (pg_temp.stored('甲', 'PL202', '2025-12-31')).aum_balance, 4.00,
    'and the month keeps its AUM'
);

SELECT customer.close_snapshot_month('2026-01-31', 'published') AS closed \gset

SELECT throws_ok(
    $$ SELECT customer.post_etl_hook('annuity_performance', '202601') $$,
    '55000',
    NULL,
    'a closed month: the error of the refresh is the hook''s'
);

SELECT throws_like(
    $$ SELECT customer.post_etl_hook('annuity_performance', '202601') $$,
    'month 2026-01-31 is closed%',
    'and its message says so'
);

SET LOCAL customer.post_etl_hooks = off;

SELECT is(
    customer.post_etl_hook('annuity_performance', '202601'),
    '{"status": "skipped", "reason": "customer.post_etl_hooks is off"}',
    'switched off, a closed month is no error'
);

SET LOCAL customer.post_etl_hooks = on;

ALTER TABLE customer."当年中标" RENAME TO "往年中标";

SELECT throws_ok(
    $$ SELECT customer.post_etl_hook('annuity_performance', '202603') $$,
    '42P01',
    'relation "customer.当年中标" does not exist',
    'a source table gone: PostgreSQL''s own error is the hook''s'
);

SELECT * FROM finish();

ROLLBACK;
