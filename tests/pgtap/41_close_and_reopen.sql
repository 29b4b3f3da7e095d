-- Proves that a closed month keeps its rows from everyone, until it is reopened.
SET client_encoding = 'UTF8';

BEGIN;

SELECT plan(78);

\ir fixture.psql
\ir by_hand.psql

-- Messages are the same whatever a session sets.
SET LOCAL TimeZone = 'Asia/Shanghai';
SET LOCAL DateStyle = 'German, DMY';

-- What is said of January 2026 once it is closed below.
CREATE FUNCTION pg_temp.closed(p_note text DEFAULT 'published')
RETURNS text[]
LANGUAGE sql
AS $$
    SELECT ARRAY[
        '55000',
        format(
            'month 2026-01-31 is closed: by %s at %s UTC (%s)',
            session_user,
            to_char(CURRENT_TIMESTAMP AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI:SS'),
            p_note
        ),
        'If its published numbers must change, who has the right to reopen months runs: '
            'SELECT customer.reopen_snapshot_month(DATE ''2026-01-31'', ''why'');'
    ]
$$;

CREATE FUNCTION pg_temp.control(p_month date DEFAULT '2026-01-31')
RETURNS jsonb
LANGUAGE sql
AS $$
    SELECT jsonb_strip_nulls(to_jsonb(control)) - 'last_changed_at'
    FROM customer.monthly_snapshot_control AS control
    WHERE snapshot_month = p_month
$$;

-- December 2025 to March 2026, of which January and, later on, March are closed.
INSERT INTO contract (company_id, product_line_code)
VALUES ('A', 'PL201'), ('A', 'PL202'), ('B', 'PL202');

INSERT INTO aum (company_id, as_of, amount)
VALUES
    ('A', '2025-12-01', 10), ('B', '2025-12-01', 20),
    ('A', '2026-01-01', 11), ('B', '2026-01-01', 21),
    ('A', '2026-02-01', 12), ('B', '2026-02-01', 22),
    ('A', '2026-03-01', 13), ('B', '2026-03-01', 23);

SELECT customer.refresh_monthly_snapshot(month)
FROM unnest(ARRAY[DATE '2025-12-31', '2026-01-31', '2026-02-28', '2026-03-31']) AS month \g /dev/null

-- Arguments ---------------------------------------------------------------------------------------

SELECT pg_temp.fingerprint() AS before \gset

-- Which days and which reasons are refused is proved in 11 and 40.
SELECT throws_ok(format('SELECT customer.%s', call), code, message, format('%s: SQLSTATE %s', call, code))
FROM (VALUES
    ('close_snapshot_month(''2026-01-31'', NULL)', '22004', 'the note for closing must not be NULL'),
    ('close_snapshot_month(NULL, ''why'')', '22004', 'the snapshot month must not be NULL'),
    ('reopen_snapshot_month(''2026-01-31'', NULL)', '22004', 'the reason for reopening must not be NULL'),
    ('reopen_snapshot_month(NULL, ''why'')', '22004', 'the snapshot month must not be NULL')
) AS bad (call, code, message);

-- What cannot be closed, and what cannot be reopened --------------------------------------------------

SELECT is(
    pg_temp.error_of($$ SELECT customer.close_snapshot_month('2026-04-15', 'published') $$),
    ARRAY[
        '55000',
        'month 2026-04-30 holds no rows, so there is nothing to close',
        'It must be filled first; who has the right to refresh months runs: SELECT customer.refresh_monthly_snapshot(DATE ''2026-04-30'');'
    ],
    'a month that holds no rows cannot be closed'
);

SELECT is(
    pg_temp.error_of($$ SELECT customer.reopen_snapshot_month('2026-01-15', 'a mistake') $$),
    ARRAY[
        '55000',
        'month 2026-01-31 is not closed',
        'It can be refreshed and restated as it is. '
        'Closed months: SELECT snapshot_month FROM customer.monthly_snapshot_control WHERE closed_at IS NOT NULL;'
    ],
    'a month that is open cannot be reopened'
);

SELECT is(
    pg_temp.fingerprint(), :'before',
    'what is refused leaves neither row, control nor log entry'
);

-- Closing --------------------------------------------------------------------------------------------

CALL pg_temp.remember();

SELECT customer.close_snapshot_month('2026-01-07', 'published') AS result \gset

SELECT is(
    :'result'::jsonb,
    jsonb_build_object(
        'snapshot_month', '2026-01-31', 'status', 'closed', 'log_id', (SELECT max(log_id) FROM customer.monthly_snapshot_log),
        'warnings', jsonb_build_array(), 'reason', 'published'
    ),
    'closing returns the month of the day given, that it is closed, the log entry, the note, and no warning'
);

SELECT is(
    pg_temp.log_entry(:'result'),
    jsonb_build_object(
        'snapshot_month', '2026-01-31', 'operation', 'close', 'reason', 'published', 'month_rows', 3, 'month_aum', 32.00,
        'month_sha256', (SELECT sha256 FROM customer.snapshot_control_totals('2026-01-31', NULL)), 'invoked_by', session_user,
        'application_name', current_setting('application_name'), 'was_timed', TRUE
    ),
    'the log says what was done, why, by whom, when and with which totals, and has no counts'
);

SELECT is(
    pg_temp.control(),
    jsonb_build_object(
        'snapshot_month', '2026-01-31', 'last_log_id', (SELECT max(log_id) FROM customer.monthly_snapshot_log), 'last_rule', 'current',
        'stale_rows', 0, 'baseline_rows', 3, 'baseline_aum', 32.00,
        'closed_at', CURRENT_TIMESTAMP, 'closed_by', session_user, 'close_note', 'published', 'closed_rows', 3, 'closed_aum', 32.00,
        'closed_sha256', (SELECT sha256 FROM customer.snapshot_control_totals('2026-01-31', NULL))
    ),
    'the control row says when the month was closed, by whom, why and with which totals, and keeps what it knew'
);

SELECT is_empty('SELECT * FROM written', 'no row is written');

SELECT is(
    (SELECT array_agg(snapshot_month) FROM customer.monthly_snapshot_control WHERE closed_at IS NOT NULL),
    ARRAY[DATE '2026-01-31'],
    'no other month is closed'
);

-- All the ways to change a closed month ------------------------------------------------------------------

SELECT pg_temp.fingerprint() AS before \gset

INSERT INTO known_customer (company_id)
VALUES ('C'), ('D');

-- The month is right, and nothing would be written.
CREATE TEMPORARY TABLE attempt (
    id integer GENERATED ALWAYS AS IDENTITY,
    attempt text,
    change text
);

INSERT INTO attempt (attempt, change)
VALUES
    ('refreshing', $$ SELECT customer.refresh_monthly_snapshot('2026-01-31') $$),
    ('restating', $$ SELECT customer.restate_monthly_snapshot('2026-01-31', 'why') $$),
    ('the hook', $$ SELECT customer.post_etl_hook('annuity_performance', '202601') $$),
    ('closing again', $$ SELECT customer.close_snapshot_month('2026-01-31', 'again') $$),
    ('INSERT of a new row', $$ INSERT INTO fact (snapshot_month, company_id) VALUES ('2026-01-31', 'D') $$),
    ('INSERT of rows of several months',
        $$ INSERT INTO fact (snapshot_month, company_id) VALUES ('2025-12-31', 'D'), ('2026-01-31', 'D'), ('2026-02-28', 'D') $$),
    ('INSERT … ON CONFLICT DO UPDATE of a row that is there',
        $$ INSERT INTO fact (snapshot_month, company_id) VALUES ('2026-01-31', 'A')
           ON CONFLICT (snapshot_month, company_id, product_line_code) DO UPDATE SET plan_count = 9 $$),
    ('INSERT … ON CONFLICT DO UPDATE that moves the row of an open month',
        $$ INSERT INTO fact (snapshot_month, company_id) VALUES ('2026-02-28', 'B')
           ON CONFLICT (snapshot_month, company_id, product_line_code) DO UPDATE SET snapshot_month = '2026-01-31', company_id = 'D' $$),
    ('UPDATE of a value', $$ UPDATE fact SET aum_balance = 1 WHERE snapshot_month = '2026-01-31' AND company_id = 'B' $$),
    ('UPDATE that changes nothing', $$ UPDATE fact SET aum_balance = aum_balance WHERE snapshot_month = '2026-01-31' $$),
    ('UPDATE of several months, of which one is closed', 'UPDATE fact SET plan_count = 9'),
    ('UPDATE that moves a row out of the month',
        $$ UPDATE fact SET snapshot_month = '2026-04-30' WHERE snapshot_month = '2026-01-31' AND company_id = 'B' $$),
    ('UPDATE that moves a row into the month',
        $$ UPDATE fact SET snapshot_month = '2026-01-31', product_line_code = 'PL204' WHERE snapshot_month = '2026-02-28' AND company_id = 'B' $$),
    ('DELETE of a row', $$ DELETE FROM fact WHERE snapshot_month = '2026-01-31' AND company_id = 'B' $$),
    ('DELETE of the month', $$ DELETE FROM fact WHERE snapshot_month = '2026-01-31' $$),
    ('a statement that moves rows in a WITH clause',
        $$ WITH gone AS (DELETE FROM fact WHERE snapshot_month = '2026-02-28' AND company_id = 'B' RETURNING *)
           INSERT INTO fact (snapshot_month, company_id) SELECT '2026-01-31', 'D' FROM gone $$),
    ('TRUNCATE', 'TRUNCATE customer.fct_customer_business_monthly_status'),
    ('TRUNCATE … CASCADE of the customers', 'TRUNCATE customer."年金客户" CASCADE'),
    ('MERGE',
        $$ MERGE INTO customer.fct_customer_business_monthly_status AS fact
           USING (VALUES (DATE '2026-01-31', 'B')) AS new (snapshot_month, company_id)
           ON fact.snapshot_month = new.snapshot_month AND fact.company_id = new.company_id
           WHEN MATCHED THEN DELETE $$);

SELECT is(pg_temp.error_of(change), pg_temp.closed(), format('refused: %s', attempt))
FROM (
    SELECT * FROM attempt
    UNION ALL
    -- Nor are the sources looked at first.
    SELECT 0, 'refreshing without ' || source, format('DELETE FROM %s; SELECT customer.refresh_monthly_snapshot(''2026-01-31'')', source)
    FROM unnest('{contract,aum}'::text[]) AS source
) AS each_attempt
ORDER BY id;

SELECT is(
    pg_temp.fingerprint(), :'before',
    'after all of that, every row of every month, control and log is where and as it was'
);

-- What a closed month does not stop -----------------------------------------------------------------------

SELECT lives_ok(change, format('allowed: %s', attempt))
FROM (VALUES
    ('INSERT … ON CONFLICT DO NOTHING of a row that is there',
        $$ INSERT INTO fact (snapshot_month, company_id) VALUES ('2026-01-31', 'A') ON CONFLICT DO NOTHING $$),
    ('INSERT of no row', 'INSERT INTO fact SELECT * FROM fact WHERE FALSE'),
    ('UPDATE of no row of the month',
        $$ UPDATE fact SET plan_count = 9 WHERE snapshot_month = '2026-01-31' AND company_id = 'nobody' $$),
    ('DELETE of no row of the month', $$ DELETE FROM fact WHERE snapshot_month = '2026-01-31' AND company_id = 'nobody' $$),
    ('the hook for another domain', $$ SELECT customer.post_etl_hook('something_else', '202601') $$)
) AS harmless (attempt, change);

SELECT is_empty('SELECT * FROM written', 'none of them writes a row');

-- Two closed months ------------------------------------------------------------------------------------------

SELECT customer.close_snapshot_month('2026-03-31', E'second ''note'' — 公布 (%s)') \g /dev/null

SELECT throws_like(
    $$ SELECT customer.refresh_monthly_snapshot('2026-03-01') $$,
    E'month 2026-03-31 is closed: by % (second ''note'' — 公布 (\%s))',
    'each closed month is refused with its own note, word for word'
);

SELECT is(
    pg_temp.error_of(change), pg_temp.closed(),
    format('of several closed months the first is named: %s', attempt)
)
FROM (VALUES
    ('INSERT', $$ INSERT INTO fact (snapshot_month, company_id) VALUES ('2026-03-31', 'C'), ('2026-01-31', 'C') $$),
    ('UPDATE', 'UPDATE fact SET plan_count = 8'),
    ('DELETE', 'DELETE FROM fact'),
    ('TRUNCATE', 'TRUNCATE customer.fct_customer_business_monthly_status')
) AS several (attempt, change);

-- Reopening ----------------------------------------------------------------------------------------------------

CALL pg_temp.remember();

SELECT customer.reopen_snapshot_month('2026-01-20', 'a mistake of ''ours''') AS result \gset

SELECT is(
    :'result'::jsonb,
    jsonb_build_object(
        'snapshot_month', '2026-01-31', 'status', 'open', 'log_id', (SELECT max(log_id) FROM customer.monthly_snapshot_log),
        'warnings', jsonb_build_array(), 'reason', 'a mistake of ''ours'''
    ),
    'reopening returns the month of the day given, that it is open, the log entry and the reason'
);

SELECT is(
    pg_temp.log_entry(:'result'),
    jsonb_build_object(
        'snapshot_month', '2026-01-31', 'operation', 'reopen', 'reason', 'a mistake of ''ours''', 'month_rows', 3, 'month_aum', 32.00,
        'invoked_by', session_user, 'application_name', current_setting('application_name'), 'was_timed', TRUE
    ),
    'the log says what was done, why, by whom and when, and has no counts'
);

SELECT is(
    pg_temp.control(),
    jsonb_build_object(
        'snapshot_month', '2026-01-31', 'last_log_id', :'result'::jsonb -> 'log_id', 'last_rule', 'current',
        'stale_rows', 0, 'baseline_rows', 3, 'baseline_aum', 32.00
    ),
    'the control row points at the log entry, says nothing of closing any more, and keeps the rest'
);

SELECT is_empty('SELECT * FROM written', 'no row is written');

SELECT is(
    (SELECT array_agg(snapshot_month) FROM customer.monthly_snapshot_control WHERE closed_at IS NOT NULL),
    ARRAY[DATE '2026-03-31'],
    'the other closed month stays closed'
);

SELECT customer.reopen_snapshot_month('2026-03-31', 'why') \g /dev/null

UPDATE aum SET amount = amount + 1;
UPDATE contract SET is_strategic = TRUE WHERE company_id = 'A';
UPDATE contract SET valid_to = '2026-01-31' WHERE company_id = 'B';

INSERT INTO contract (company_id)
VALUES ('C');

-- Each in a block that undoes it again.
SELECT is(
    pg_temp.error_of(format('DO %L', format('BEGIN EXECUTE %L; RAISE EXCEPTION ''undo''; END', change))),
    '{P0001, undo, ""}',
    format('after reopening it works: %s', attempt)
)
FROM attempt
ORDER BY id;

SELECT customer.refresh_monthly_snapshot('2026-01-31') \g /dev/null
SELECT customer.close_snapshot_month('2026-01-31', 'published anew') \g /dev/null

SELECT is(
    pg_temp.control() - ARRAY['closed_at', 'closed_by', 'closed_sha256'],
    jsonb_build_object(
        'snapshot_month', '2026-01-31', 'last_log_id', (SELECT max(log_id) FROM customer.monthly_snapshot_log), 'last_rule', 'current',
        'stale_rows', 1, 'baseline_rows', 3, 'baseline_aum', 12.00, 'close_note', 'published anew', 'closed_rows', 4, 'closed_aum', 34.00
    ),
    'refreshed, it can be closed anew; the control row keeps what the refresh said'
);

SELECT is(pg_temp.error_of('DELETE FROM fact'), pg_temp.closed('published anew'), 'and is refused again');

SELECT customer.reopen_snapshot_month('2026-01-31', 'why') \g /dev/null

-- Closing looks first ---------------------------------------------------------------------------------------------

-- Of A in two product lines, and of C.
DELETE FROM fact WHERE snapshot_month = '2026-02-28';
SELECT customer.refresh_monthly_snapshot('2026-02-28') \g /dev/null

CREATE TEMPORARY TABLE look (warning_number, warning) AS VALUES
    (1, '{
        "code": "invalid_month",
        "message": "month 2026-02-28 is closed although validation finds errors: is_strategic (2), plan_count (3)",
        "hint": "A ROLLBACK leaves it open. SELECT * FROM customer.validate_monthly_snapshot(DATE ''2026-02-28''); says what they are."
    }'::jsonb),
    (2, '{
        "code": "invalid_month",
        "message": "month 2026-02-28 is closed with stale rows, which no contract supports any more: 1",
        "hint": "If their contracts were true on the last day of the month, they are right. customer.validate_monthly_snapshot names some of them."
    }');

SELECT is(
    pg_temp.after(change, $$ SELECT customer.close_snapshot_month('2026-02-28', 'published') -> 'warnings' $$)::jsonb,
    (SELECT coalesce(jsonb_agg(warning ORDER BY warning_number), '[]') FROM look WHERE numbers @> ARRAY[warning_number]),
    format('closing warns of %s', what)
)
FROM (VALUES
    ('nothing in a month that is right', 'SELECT 1', '{}'::integer[]),
    ('nothing that is a warning in validation only', 'INSERT INTO award (company_id) VALUES (''nobody'')', '{}'),
    ('errors that validation finds, with their numbers', $$
        UPDATE fact SET plan_count = 9, is_strategic = FALSE WHERE snapshot_month = '2026-02-28';
        INSERT INTO contract (company_id) VALUES ('D') $$, '{1}'),
    ('stale rows', $$ UPDATE contract SET valid_to = '2026-03-31' WHERE company_id = 'C'; SELECT customer.refresh_monthly_snapshot('2026-02-28') $$,
        '{2}'),
    ('both', $$
        UPDATE contract SET valid_to = '2026-03-31' WHERE company_id = 'B';
        UPDATE aum SET as_of = '2026-02-01' WHERE company_id = 'B';
        INSERT INTO fact (snapshot_month, company_id, aum_balance, plan_count)
        SELECT '2026-02-28', 'B', sum(amount), 1 FROM aum WHERE company_id = 'B';
        UPDATE fact SET plan_count = 9, is_strategic = FALSE WHERE snapshot_month = '2026-02-28' AND company_id <> 'B' $$, '{1,2}')
) AS found (what, change, numbers);

-- A month that the package never wrote ----------------------------------------------------------------------------

DELETE FROM customer.monthly_snapshot_control;

SELECT pg_temp.silently($$ INSERT INTO fact (snapshot_month, company_id) VALUES ('2024-12-31', 'A') $$) \gexec
SELECT customer.close_snapshot_month('2024-12-31', 'adopted') \g /dev/null

SELECT is(
    pg_temp.control('2024-12-31'),
    jsonb_build_object(
        'snapshot_month', '2024-12-31', 'last_log_id', (SELECT max(log_id) FROM customer.monthly_snapshot_log), 'stale_rows', 0,
        'closed_at', CURRENT_TIMESTAMP, 'closed_by', session_user, 'close_note', 'adopted', 'closed_rows', 1, 'closed_aum', 0.00,
        'closed_sha256', (SELECT sha256 FROM customer.snapshot_control_totals('2024-12-31', NULL))
    ),
    'a month without a control row, such as one of an adopted table, can be closed, by a control row that knows of no rule'
);

SELECT throws_like('DELETE FROM fact', 'month 2024-12-31 is closed: %', 'and keeps its rows then');

SELECT * FROM finish();

ROLLBACK;
