-- Proves by which counts a month is refused or warned of, at each threshold, and with which month it is compared.
SET client_encoding = 'UTF8';

BEGIN;

SELECT plan(66);

\ir fixture.psql

-- The baseline: which month ------------------------------------------------------------------------------

INSERT INTO known_customer (company_id)
VALUES ('A'), ('B');

-- Months are stored as given: for each the AUM of its rows.
CREATE FUNCTION pg_temp.baseline_month_of(p_month date, p_stored jsonb)
RETURNS date
LANGUAGE plpgsql
AS $$
BEGIN
    DELETE FROM customer.fct_customer_business_monthly_status;
    INSERT INTO customer.fct_customer_business_monthly_status (
        snapshot_month, company_id, product_line_code, product_line_name, aum_balance
    )
    SELECT written.month::date, known.customer, 'PL202', '企年受托', fact.amount::numeric
    FROM jsonb_each(p_stored) AS written (month, amounts)
    CROSS JOIN (VALUES ('A', 0), ('B', 1)) AS known (customer, number)
    CROSS JOIN LATERAL (SELECT written.amounts ->> known.number) AS fact (amount)
    WHERE fact.amount IS NOT NULL;

    RETURN customer.baseline_month_of(p_month);
END
$$;

SELECT is(
    pg_temp.baseline_month_of(month, stored), baseline,
    format('compared with %s: %s', coalesce(baseline::text, 'nothing'), reason)
)
FROM (VALUES
    (DATE '2026-01-31', '{}'::jsonb, NULL::date, 'nothing is stored'),
    ('2026-01-31', '{"2025-12-31": [5], "2026-01-31": [0]}', '2026-01-31', 'the month itself if it holds rows, though without AUM'),
    ('2026-01-31', '{"2025-12-31": [5], "2026-02-28": [5]}', '2025-12-31', 'the earlier of two that are as near'),
    ('2026-01-31', '{"2025-11-30": [5], "2026-02-28": [5]}', '2026-02-28', 'the nearer one, though later'),
    ('2026-01-31', '{"2025-01-31": [5], "2024-12-31": [5]}', '2025-01-31', 'a month twelve months before'),
    ('2026-01-31', '{"2024-12-31": [5]}', NULL, 'thirteen months before is too far'),
    ('2026-01-31', '{"2027-01-31": [5]}', '2027-01-31', 'a month twelve months after'),
    ('2026-01-31', '{"2027-02-28": [5]}', NULL, 'thirteen months after is too far'),
    ('2026-01-31', '{"2025-12-31": [0, 0], "2025-10-31": [5]}', '2025-10-31', 'a month whose AUM is all 0 is not taken'),
    ('2026-01-31', '{"2025-12-31": [0, -5], "2025-11-30": [5]}', '2025-12-31', 'a single row with AUM is enough, though negative'),
    ('2025-02-28', '{"2024-02-29": [5]}', '2024-02-29', 'twelve months before, in a leap year'),
    ('2024-02-29', '{"2025-02-28": [5]}', '2025-02-28', 'twelve months after, from a leap year')
) AS example (month, stored, baseline, reason);

-- The judgement: codes, and an exclamation mark for what is refused --------------------------------------------

-- What is given, over a month that is as it was.
CREATE FUNCTION pg_temp.judgement(p_given jsonb)
RETURNS TABLE (code text, is_error boolean, message text, hint text, number bigint)
LANGUAGE sql
AS $$
    SELECT finding.*
    FROM jsonb_to_record(
        '{"rows": 100, "aum": 1000, "baseline_month": "2026-01-31", "baseline_rows": 100, "baseline_aum": 1000,
          "unattributed_aum": 0}' || p_given
    ) AS given (
        rows bigint, aum numeric, baseline_month date, baseline_rows bigint, baseline_aum numeric,
        unattributed_aum numeric, detail_days jsonb, has_stored_aum boolean
    )
    CROSS JOIN LATERAL customer.judge_monthly_snapshot(
        '2026-01-31', given.rows, given.aum, given.baseline_month, given.baseline_rows, given.baseline_aum,
        given.unattributed_aum, given.detail_days, given.has_stored_aum
    ) WITH ORDINALITY AS finding (code, is_error, message, hint, number)
$$;

SELECT is(
    (SELECT string_agg(code || CASE WHEN is_error THEN '!' ELSE '' END, ' ' ORDER BY number) FROM pg_temp.judgement(given)), found,
    format('%s: %s', given, coalesce(found, 'no word'))
)
FROM (VALUES
    -- Rows, against the same month.
    ('{}'::jsonb, NULL),
    ('{"rows": 110}', NULL),
    ('{"rows": 111}', 'rows_differ'),
    ('{"rows": 900}', 'rows_differ'),
    ('{"rows": 90}', NULL),
    ('{"rows": 89}', 'rows_differ'),
    ('{"rows": 50}', 'rows_differ'),
    ('{"rows": 49}', 'rows_differ!'),
    ('{"rows": 0}', 'rows_differ!'),
    -- Against a neighbour.
    ('{"baseline_month": "2025-12-31", "rows": 90}', NULL),
    ('{"baseline_month": "2025-12-31", "rows": 50}', 'rows_differ'),
    ('{"baseline_month": "2025-12-31", "rows": 49}', 'rows_differ!'),
    -- AUM, against the same month.
    ('{"aum": 1100}', NULL),
    ('{"aum": 1100.01}', 'aum_differs'),
    ('{"aum": 9000}', 'aum_differs'),
    ('{"aum": 900}', NULL),
    ('{"aum": 899.99}', 'aum_differs'),
    ('{"aum": 500}', 'aum_differs'),
    ('{"aum": 499.99}', 'aum_differs!'),
    ('{"aum": 0}', 'aum_differs!'),
    -- Against a neighbour.
    ('{"baseline_month": "2025-12-31", "aum": 1100.01}', 'aum_differs'),
    ('{"baseline_month": "2025-12-31", "aum": 900}', NULL),
    ('{"baseline_month": "2025-12-31", "aum": 499.99}', 'aum_differs'),
    ('{"baseline_month": "2025-12-31", "aum": 100}', 'aum_differs'),
    ('{"baseline_month": "2025-12-31", "aum": 99.99}', 'aum_differs!'),
    -- Fewer than 100 rows to compare with.
    ('{"baseline_rows": 99, "rows": 49}', 'rows_differ'),
    ('{"baseline_rows": 99, "aum": 499}', 'aum_differs'),
    ('{"baseline_rows": 99, "rows": 0, "aum": 0}', 'rows_differ aum_differs'),
    ('{"baseline_rows": 101, "rows": 0, "aum": 0}', 'rows_differ! aum_differs!'),
    -- Nothing to compare with.
    ('{"baseline_month": null, "baseline_rows": 0, "baseline_aum": null, "rows": 5, "aum": 5}', NULL),
    ('{"baseline_month": null, "baseline_rows": null, "baseline_aum": null, "rows": 5, "aum": 5}', NULL),
    ('{"baseline_rows": 0, "baseline_aum": 0, "rows": 5, "aum": 5}', NULL),
    ('{"baseline_aum": 0, "aum": 5}', NULL),
    -- No detail; nothing more is said of the AUM then.
    ('{"has_stored_aum": true, "aum": 0}', 'no_aum_detail!'),
    ('{"has_stored_aum": false, "aum": 0}', 'no_aum_detail'),
    ('{"has_stored_aum": true, "aum": 0, "baseline_rows": 99, "rows": 99}', 'no_aum_detail!'),
    ('{"has_stored_aum": true, "aum": 0, "rows": 49}', 'no_aum_detail! rows_differ!'),
    -- AUM that no row carries.
    ('{"aum": 900, "unattributed_aum": 100}', NULL),
    ('{"aum": 900, "unattributed_aum": 100.01}', 'aum_unattributed'),
    ('{"aum": 0, "baseline_aum": 0, "unattributed_aum": 1}', 'aum_unattributed'),
    ('{"aum": 0, "baseline_aum": 0}', NULL),
    -- Days.
    ('{"detail_days": {"2026-01-31": 7}}', NULL),
    ('{"detail_days": {"2026-01-01": 7, "2026-01-31": 7}}', 'several_month_dates'),
    -- All at once.
    ('{"rows": 49, "aum": 499, "unattributed_aum": 56, "detail_days": {"2026-01-01": 7, "2026-01-31": 7, "2026-01-15": 7}}',
        'rows_differ! aum_differs! aum_unattributed several_month_dates')
) AS example (given, found);

-- The words -------------------------------------------------------------------------------------------------

SELECT results_eq(
    format('SELECT message, hint FROM pg_temp.judgement(%L)', given),
    format('VALUES (%L, %L)', message, hint),
    message
)
FROM (VALUES
    ('{"has_stored_aum": true}',
        'the AUM detail has no row for 2026-01-31, though stored months have AUM',
        'Load the AUM of the month first, or name the month that was loaded.'),
    ('{"has_stored_aum": false}',
        'the AUM detail has no row for 2026-01-31: every AUM of the month is 0',
        'Load the AUM of the month and refresh again.'),
    ('{"rows": 49999, "baseline_rows": 100000}',
        'the sources support 49999 rows of 2026-01-31, which is 49.9 % of the 100000 when the month was last written: expected are at least 50 %',
        'Look whether the contracts are complete and, for a month gone by, reach back that far.'),
    ('{"rows": 200, "baseline_month": "2025-12-31"}',
        'the sources support 200 rows of 2026-01-31, which is 200.0 % of the 100 stored for 2025-12-31',
        'Look whether contracts are current twice, or were incomplete before.'),
    ('{"aum": 1.5, "baseline_month": "2025-12-31"}',
        'the AUM of 2026-01-31 is 1.5 yuan (sum of absolute amounts), which is 0.1 % of the 1000 stored for 2025-12-31: expected are at least 10 %',
        'Look whether the AUM of the month is loaded in whole, and its customers are resolved.'),
    ('{"aum": 500}',
        'the AUM of 2026-01-31 is 500 yuan (sum of absolute amounts), which is 50.0 % of the 1000 when the month was last written',
        'Look whether the AUM of the month is loaded in whole; if it comes in parts, refresh again after the last.'),
    ('{"aum": 1999.99}',
        'the AUM of 2026-01-31 is 1999.99 yuan (sum of absolute amounts), which is 200.0 % of the 1000 when the month was last written',
        'Look whether the AUM of the month is loaded twice, or was loaded in part before.'),
    ('{"aum": 900, "unattributed_aum": 200.005}',
        '18.2 % of the AUM of 2026-01-31 is unattributed, because no contract supports it '
            '(200.01 yuan; the rows carry 900; sums of absolute amounts)',
        'Look whether its customers are resolved and, for a month gone by, whether the contracts reach back '
            'that far. What stale rows carry is part of it.'),
    ('{"detail_days": {"2026-01-31": 7, "2026-01-01": 12}}',
        'the AUM detail of 2026-01-31 stands under several days: 12 rows under 2026-01-01, 7 rows under 2026-01-31',
        'All of them are added up. Look whether the month was loaded twice.')
) AS example (given, message, hint);

SELECT is_empty(
    $$ SELECT name
       FROM package_function
       JOIN pg_proc
           USING (oid)
       WHERE prosrc ~ 'customer\.warn|RAISE WARNING'
           AND prosrc ~ '[^\x01-\x7f]' $$,
    'what warns has no letter beyond ASCII, which a client''s encoding might lack'
);

SELECT * FROM finish();

ROLLBACK;
