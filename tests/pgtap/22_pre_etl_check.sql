-- Proves what the platform's ETL is told before it loads: which domains and months may go on.
SET client_encoding = 'UTF8';

BEGIN;

SELECT plan(45);

\ir fixture.psql

INSERT INTO contract (company_id)
VALUES ('A');

INSERT INTO aum (company_id, as_of, amount)
VALUES ('A', '2026-01-01', 1), ('A', '2026-02-01', 1);

SELECT customer.refresh_monthly_snapshot('2026-01-31') \g /dev/null

CREATE FUNCTION pg_temp.checked(p_status text, p_month text, p_reason text, p_warnings jsonb DEFAULT '[]')
RETURNS jsonb
LANGUAGE sql
AS $$
    SELECT jsonb_build_object(
        'status', p_status, 'snapshot_month', p_month, 'log_id', NULL, 'warnings', p_warnings, 'reason', p_reason
    )
$$;

-- What others may write into the tables meanwhile is for tests/integration.
CREATE FUNCTION pg_temp.control_months()
RETURNS text[]
LANGUAGE sql
AS $$
    SELECT array_agg(concat_ws(' ', snapshot_month, last_rule) ORDER BY snapshot_month)
    FROM customer.monthly_snapshot_control
$$;

-- What there is nothing to check of ------------------------------------------------------------------

SELECT is(
    customer.pre_etl_check(domain, period),
    pg_temp.checked('skipped', NULL, format(
        'domain "%s" is unknown to the monthly snapshot; it knows annuity_performance, annual_award and annual_loss', domain
    )),
    format('"%s" is skipped, whatever the period', domain)
)
FROM (VALUES
    ('annuity_income', '202601'), ('annuity_plans', '202601'), ('annuity_performance ', NULL), ('Annual_Award', '202613'), ('', NULL)
) AS other (domain, period);

SELECT is(
    pg_temp.error_of(call), expected,
    format('refused: %s', call)
)
FROM (VALUES
    ($$ SELECT customer.pre_etl_check(NULL, '202601') $$,
        ARRAY['22004', 'the domain must not be NULL', 'Pass the domain that is loaded, such as ''annuity_performance''.']),
    ($$ SELECT customer.pre_etl_check('annual_loss', '2026-01-31 00:00:00') $$,
        ARRAY['22023', 'the period must be six digits YYYYMM with a month 01 to 12, but is "2026-01-31 00:00:00"',
            'Pass the period as YYYYMM, such as 202601 for January 2026. For a date, to_char(the_date, ''YYYYMM'') makes one.'])
) AS bad (call, expected);

SELECT is(pg_temp.control_months(), '{2026-01-31 current}', 'neither leaves a control row');

-- What is a text for both functions, and what is not ------------------------------------------------------

SELECT alike(
    pg_temp.after('SELECT 1', format('SELECT customer.%s(%s) ->> ''reason''', function, arguments)),
    'domain "other" is unknown%',
    format('a text: %s(%s)', function, arguments)
)
FROM (VALUES ('pre_etl_check'), ('post_etl_hook')) AS called (function)
CROSS JOIN (VALUES
    ($$ 'other', '202601' $$), ($$ 'other', NULL $$), ($$ 'other' $$), ($$ 'other'::varchar, '202601'::varchar $$),
    ($$ 'other', '202601'::char(6) $$), ($$ 'other', p_period => '202601' $$), ($$ p_period => NULL, p_domain => 'other' $$)
) AS call (arguments);

SET LOCAL datestyle = 'German';

SELECT is(
    pg_temp.error_of(format('SELECT customer.%s(''annual_loss'', %s)', function, period)),
    ARRAY[
        '22023', 'the period must be a text YYYYMM, but is ' || told,
        format('Pass it as text: customer.%s(''annual_loss'', ''202601''). For a date, to_char(the_date, ''YYYYMM'') makes one.', function)
    ],
    format('not a text: %s with %s', function, period)
)
FROM (VALUES ('pre_etl_check'), ('post_etl_hook')) AS called (function)
CROSS JOIN (VALUES
    ('202601', '202601 of type integer'), ('p_period => 202601::bigint', '202601 of type bigint'), ('202601.0', '202601.0 of type numeric'),
    ('DATE ''2026-01-31''', '2026-01-31 of type date'),
    ('TIMESTAMP ''2026-01-31''', '2026-01-31 00:00:00 of type timestamp without time zone'), ('NULL::integer', '<NULL> of type integer')
) AS other (period, told);

RESET datestyle;

-- Months that are open ---------------------------------------------------------------------------------

SELECT is(
    customer.pre_etl_check(domain, period), pg_temp.checked('open', month, NULL),
    format('open: %s of %s', domain, period)
)
FROM (VALUES
    ('annuity_performance', '202601', '2026-01-31'),
    ('annuity_performance', '202402', '2024-02-29'),
    ('annual_award', '202601', '2026-01-31'),
    ('annual_loss', '202512', '2025-12-31')
) AS example (domain, period, month);

SELECT is(
    customer.pre_etl_check('annuity_performance') ->> 'snapshot_month',
    to_char(date_trunc('month', CURRENT_DATE) + INTERVAL '1 month - 1 day', 'YYYY-MM-DD'),
    'without a period it is the month of today'
);

SELECT results_eq(
    $$ SELECT snapshot_month, last_rule, last_log_id, stale_rows, baseline_rows, closed_at
       FROM customer.monthly_snapshot_control
       WHERE snapshot_month < '2026-01-01'
       ORDER BY snapshot_month $$,
    $$ VALUES
        (DATE '2024-02-29', NULL::text, NULL::bigint, 0::bigint, NULL::bigint, NULL::timestamptz),
        ('2025-12-31', NULL, NULL, 0, NULL, NULL) $$,
    'a month that was never written has a bare control row then, which is the lock'
);

SELECT is(
    (SELECT violations FROM customer.validate_monthly_snapshot('2025-12-31') WHERE check_name = 'snapshot_exists'), 1::bigint,
    'and still reads as never written'
);

-- Months that are closed ---------------------------------------------------------------------------------

SELECT customer.close_snapshot_month('2026-01-31', 'published') \g /dev/null
SELECT pg_temp.fingerprint() AS before \gset

SELECT alike(
    array_to_string((pg_temp.error_of($$ SELECT customer.pre_etl_check('annuity_performance', '202601') $$))[1:2], ' '),
    '55000 month 2026-01-31 is closed: by % (published)',
    'AUM is not to be loaded for a closed month'
);

SELECT is(
    customer.pre_etl_check(domain, '202601'),
    pg_temp.checked('skipped', '2026-01-31', 'month 2026-01-31 is closed and stays as it is', jsonb_build_array(jsonb_build_object(
        'code', 'month_closed',
        'message', format('month 2026-01-31 is closed: what domain %s loads for it will not show there', domain),
        'hint', 'If its published numbers must change, who has the right to reopen months runs: '
            'SELECT customer.reopen_snapshot_month(DATE ''2026-01-31'', ''why''); and refresh it, which takes today''s contracts, too.'
    ))),
    format('%s may be loaded for it, with a warning', domain)
)
FROM (VALUES ('annual_award'), ('annual_loss')) AS event (domain);

SELECT customer.reopen_snapshot_month('2026-01-31', 'why') \g /dev/null

SELECT is(
    customer.pre_etl_check('annuity_performance', '202601') ->> 'status', 'open',
    'a month that was reopened is open'
);

SELECT * FROM finish();

ROLLBACK;
