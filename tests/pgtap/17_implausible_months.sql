-- Proves that refresh and restate refuse a month that cannot be right, write nothing of it, and take it if told to.
SET client_encoding = 'UTF8';

BEGIN;

SELECT plan(41);

\ir fixture.psql

-- The codes of the warnings with which January is written after a change; or the error.
CREATE FUNCTION pg_temp.words_after(p_change text, p_write text DEFAULT 'refresh_monthly_snapshot(''2026-01-31'')')
RETURNS text
LANGUAGE sql
AS $$
    SELECT pg_temp.after(p_change, format('SELECT pg_temp.codes(customer.%s)', p_write))
$$;

-- The first month of all -------------------------------------------------------------------------------------

INSERT INTO contract (company_id)
SELECT 'c' || 100 + number
FROM generate_series(1, 100) AS number;

SELECT customer.refresh_monthly_snapshot('2026-01-31') AS result \gset

SELECT is(
    :'result'::jsonb - 'log_id',
    '{"status": "refreshed", "snapshot_month": "2026-01-31", "rule": "current", "total": 100, "upserted": 100, "inserted": 100,
      "updated": 0, "unchanged": 0, "stale": 0, "deleted": 0, "aum_total": 0.00, "aum_unattributed": 0.00, "accepted": false,
      "warnings": [{
          "code": "no_aum_detail",
          "message": "the AUM detail has no row for 2026-01-31: every AUM of the month is 0",
          "hint": "Load the AUM of the month and refresh again."
      }], "reason": null}',
    'without detail the very first month is written with AUM 0, and a warning'
);

SELECT is(
    pg_temp.words_after('SELECT 1', 'restate_monthly_snapshot(''2026-02-28'', ''why'')'), '{no_aum_detail}',
    'so is a second one, while nothing stored has AUM'
);

-- Half of them 10, half of them -10.
CREATE FUNCTION pg_temp.load(p_month date DEFAULT '2026-01-01', p_amount numeric DEFAULT 10, p_customers integer DEFAULT 100)
RETURNS void
LANGUAGE sql
AS $$
    INSERT INTO aum (company_id, as_of, amount)
    SELECT 'c' || 100 + number, p_month, CASE number % 2 WHEN 0 THEN p_amount ELSE -p_amount END
    FROM generate_series(1, p_customers) AS number
$$;

SELECT is(
    pg_temp.words_after($$
        DELETE FROM customer.fct_customer_business_monthly_status;
        SELECT pg_temp.load();
    $$),
    '{}',
    'of the first month with detail there is no word'
);

SELECT pg_temp.load() \g /dev/null

SELECT is(pg_temp.codes(customer.refresh_monthly_snapshot('2026-01-31')), '{}', 'nor of a month stored without AUM, once its AUM is loaded');

SELECT is(pg_temp.codes(customer.refresh_monthly_snapshot('2026-01-31')), '{}', 'nor when it is refreshed again');

SELECT is(
    (SELECT ARRAY[baseline_rows, baseline_aum] FROM customer.monthly_snapshot_control WHERE snapshot_month = '2026-01-31'),
    '{100, 1000.00}'::numeric[],
    'the baseline is of absolute amounts'
);

SELECT is(
    pg_temp.words_after($$
        UPDATE aum SET amount = -10;
        SELECT customer.refresh_monthly_snapshot('2026-01-31');
    $$),
    '{}',
    'nor of a month whose sum is negative, when it is refreshed again'
);

\set last_time 'when the month was last written: expected are at least 50 %'
\set half_the_aum '55000 the AUM of 2026-01-31 is 490.00 yuan (sum of absolute amounts), which is 49.0 % of the 1000.00 ' :last_time
\set no_aum '55000 the AUM of 2026-01-31 is 0.00 yuan (sum of absolute amounts), which is 0.0 % of the 1000.00 ' :last_time
\set half_the_rows '55000 the sources support 49 rows of 2026-01-31, which is 49.0 % of the 100 ' :last_time
\set no_detail '55000 the AUM detail has no row for 2026-01-31, though stored months have AUM'

-- What is warned of, what is refused ----------------------------------------------------------------------------

SELECT pg_temp.fingerprint() AS before \gset

SELECT is(pg_temp.words_after(change), words, format('%s: %s', what, left(words, 90)))
FROM (VALUES
    ('all of it is loaded again', $$ SELECT pg_temp.load() $$, '{aum_differs}'),
    ('the signs change', $$ UPDATE aum SET amount = -amount $$, '{}'),
    ('the negative amounts are gone, which is half of all', $$ DELETE FROM aum WHERE amount < 0 $$, '{aum_differs}'),
    ('unknown customers have as much less as others have more',
        $$ INSERT INTO aum (company_id, amount) VALUES ('less', -70), ('more', 70) $$, '{aum_unattributed}'),
    ('more than half of the AUM is gone', $$ DELETE FROM aum WHERE company_id <= 'c151' $$, :'half_the_aum'),
    ('all amounts are 0', $$ UPDATE aum SET amount = 0 $$, :'no_aum'),
    ('no customer is resolved', $$ UPDATE aum SET company_id = NULL $$, :'no_aum'),
    ('more than half of the contracts are gone', $$ UPDATE contract SET valid_to = '2026-01-01' WHERE company_id <= 'c151' $$, :'half_the_rows'),
    ('rows are changed by hand, too, which are not what it is compared with', $$
        UPDATE contract SET valid_to = '2026-01-01' WHERE company_id <= 'c151';
        DELETE FROM customer.fct_customer_business_monthly_status WHERE company_id <= 'c151' $$, :'half_the_rows'),
    ('its rows are not the package''s, and are counted', $$
        DELETE FROM customer.monthly_snapshot_control;
        DELETE FROM aum WHERE company_id <= 'c151' $$, :'half_the_aum'),
    ('its rows were deleted, and there is nothing to compare it with', $$
        DELETE FROM customer.fct_customer_business_monthly_status;
        DELETE FROM aum WHERE company_id <= 'c151' $$, '{}'),
    ('the detail is gone', $$ DELETE FROM aum $$, :'no_detail')
) AS example (what, change, words);

SELECT is(
    pg_temp.words_after(change, 'restate_monthly_snapshot(''2026-01-31'', ''why'')'), words,
    format('restate, too: %s', words)
)
FROM (VALUES
    ('DELETE FROM aum', :'no_detail'),
    ('UPDATE contract SET valid_to = ''2026-01-01'' WHERE company_id <= ''c151''', :'half_the_rows')
) AS example (change, words);

SELECT is(pg_temp.fingerprint(), :'before', 'premise: all of this is undone');

-- A month that holds nothing, against its neighbour.
SELECT is(pg_temp.words_after(change, 'refresh_monthly_snapshot(''2026-02-28'')'), words, format('February: %s', left(words, 90)))
FROM (VALUES
    ('SELECT pg_temp.load(''2026-02-01'', 5)', '{aum_differs}'),
    ('SELECT pg_temp.load(''2026-02-01'', 0.9)',
        '55000 the AUM of 2026-02-28 is 90.00 yuan (sum of absolute amounts), which is 9.0 % of the 1000.00 '
            'stored for 2026-01-31: expected are at least 10 %'),
    ('UPDATE contract SET valid_to = ''2026-02-01'' WHERE company_id <= ''c151''; SELECT pg_temp.load(''2026-02-01'')',
        '55000 the sources support 49 rows of 2026-02-28, which is 49.0 % of the 100 stored for 2026-01-31: expected are at least 50 %'),
    ('SELECT 1', '55000 the AUM detail has no row for 2026-02-28, though stored months have AUM')
) AS example (change, words);

-- What is refused leaves nothing, and says how to insist -----------------------------------------------------------

DELETE FROM aum WHERE company_id <= 'c151';
UPDATE contract SET is_strategic = TRUE;

SELECT pg_temp.fingerprint() AS before \gset

SELECT is(
    pg_temp.error_of($$ SELECT customer.refresh_monthly_snapshot('2026-01-31') $$),
    ARRAY[
        '55000',
        'the AUM of 2026-01-31 is 490.00 yuan (sum of absolute amounts), which is 49.0 % of the 1000.00 when '
            'the month was last written: expected are at least 50 %',
        'Look whether the AUM of the month is loaded in whole, and its customers are resolved. '
        'If the month is right all the same: SET LOCAL customer.accept_implausible = on; before the call, in its transaction.'
    ],
    'the error says what was found, what was there before, and how to insist'
);

SELECT is(pg_temp.fingerprint(), :'before', 'and nothing is written: no changed row, no log entry, no control row');

SELECT is(
    pg_temp.words_after(format('SELECT set_config(''customer.accept_implausible'', %L, TRUE)', value)), words,
    format('customer.accept_implausible is "%s": %s', value, left(words, 30))
)
FROM (VALUES
    ('on', '{implausible_accepted}'),
    (' TRUE ', '{implausible_accepted}'),
    ('off', :'half_the_aum'),
    ('', :'half_the_aum'),
    ('maybe', '22023 the setting customer.accept_implausible must be on or off, but is "maybe"')
) AS setting (value, words);

SELECT is(
    (pg_temp.error_of(format(
        'SELECT set_config(''customer.%s'', ''maybe'', TRUE), customer.setting_is_on(''customer.%s'', %L)', setting, setting, by_itself
    )))[3],
    format('SET LOCAL customer.%s = on; or off; and RESET customer.%s; brings back what it is by itself, %s.', setting, setting, by_itself),
    format('the hint says what customer.%s can be', setting)
)
FROM (VALUES ('accept_implausible', 'off'), ('post_etl_hooks', 'on')) AS own (setting, by_itself);

-- Accepted ------------------------------------------------------------------------------------------------------------

SET LOCAL customer.accept_implausible = on;

SELECT customer.refresh_monthly_snapshot('2026-01-31') AS result \gset

SELECT is(
    :'result'::jsonb - 'log_id',
    '{"status": "refreshed", "snapshot_month": "2026-01-31", "rule": "current", "total": 100, "upserted": 100, "inserted": 0,
      "updated": 100, "unchanged": 0, "stale": 0, "deleted": 0, "aum_total": 10.00, "aum_unattributed": 0.00, "accepted": true,
      "warnings": [{
          "code": "implausible_accepted",
          "message": "the AUM of 2026-01-31 is 490.00 yuan (sum of absolute amounts), which is 49.0 % of the 1000.00 when the month was last written: expected are at least 50 %",
          "hint": "Look whether the AUM of the month is loaded in whole, and its customers are resolved."
      }], "reason": null}',
    'with the setting on the month is written, and the result says that it was accepted'
);

SELECT is(
    (SELECT accepted FROM customer.monthly_snapshot_log ORDER BY log_id DESC LIMIT 1), TRUE,
    'so does the log'
);

SELECT is(
    customer.refresh_monthly_snapshot('2026-01-31') -> 'accepted', 'false'::jsonb,
    'of a month that is plausible nothing was accepted, though the setting is on: the baseline is what was accepted'
);

SELECT is(
    pg_temp.after(
        $$ UPDATE aum SET amount = 1; INSERT INTO aum (as_of) VALUES ('2026-01-31') $$,
        $$ SELECT customer.refresh_monthly_snapshot('2026-01-31') -> 'accepted' $$
    ),
    'true',
    'what was accepted stays so if a mere warning follows'
);

SELECT is(
    pg_temp.words_after('DELETE FROM aum', 'restate_monthly_snapshot(''2026-01-31'', ''why'')'), '{implausible_accepted}',
    'restate takes it, too'
);

SELECT customer.close_snapshot_month('2026-01-31', 'published') \g /dev/null

SELECT throws_like(
    $$ SELECT customer.refresh_monthly_snapshot('2026-01-31') $$, 'month 2026-01-31 is closed: %',
    'a closed month stays closed, whatever is accepted'
);

SELECT * FROM finish();

ROLLBACK;
