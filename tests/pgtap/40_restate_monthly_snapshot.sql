-- Proves that restating makes a month exactly what its sources say as of its last day.
SET client_encoding = 'UTF8';

BEGIN;

SELECT plan(50);

-- As timestamps the columns can say more than as dates, which all tests of tests/integration have.
ALTER TABLE customer.customer_plan_contract
    ALTER COLUMN valid_from TYPE timestamp,
    ALTER COLUMN valid_to TYPE timestamp;

\ir fixture.psql

CALL pg_temp.accept_source_types();

-- The day is 2025-06-30 unless a test says otherwise. Companies are named after their case.

CREATE FUNCTION pg_temp.restate(p_month date DEFAULT '2025-06-30')
RETURNS jsonb
LANGUAGE sql
AS $$
    SELECT pg_temp.counts(customer.restate_monthly_snapshot(p_month, 'why')) - ARRAY[
        'snapshot_month', 'upserted', 'aum_total', 'aum_unattributed'
    ]
$$;

-- Which versions cover the day ------------------------------------------------------------------

CREATE TEMPORARY TABLE version (company_id, valid_from, valid_to, has_row) AS VALUES
    ('over, ended since', TIMESTAMP '2020-01-01', TIMESTAMP '2025-12-31', TRUE),
    ('begins on the day',    '2025-06-30',                 '9999-12-31',                 TRUE),
    ('begins at its end',    '2025-06-30 23:59:59.999999', '9999-12-31',                 TRUE),
    ('begins the day after', '2025-07-01',                 '9999-12-31',                 FALSE),
    ('ends the day before',  '2020-01-01',                 '2025-06-29',                 FALSE),
    ('ends at its end',      '2020-01-01',                 '2025-06-29 23:59:59.999999', FALSE),
    ('ends on the day',      '2020-01-01',                 '2025-06-30',                 TRUE),
    ('ends on it at 23:59',  '2020-01-01',                 '2025-06-30 23:59',           TRUE),
    ('that day alone',       '2025-06-30',                 '2025-06-30',                 TRUE),
    ('no end',               '2020-01-01',                 NULL,                         FALSE),
    ('endless',              '2020-01-01',                 'infinity',                   TRUE),
    ('without beginning',    '-infinity',                  '9999-12-31',                 TRUE);

INSERT INTO contract (company_id, valid_from, valid_to)
SELECT company_id, valid_from, valid_to
FROM version;

SELECT is(
    pg_temp.restate(),
    '{"total": 8, "inserted": 8, "updated": 0, "unchanged": 0, "stale": 0, "deleted": 0}',
    'eight of twelve customers have a version that covers the day'
);

SELECT is(
    (pg_temp.stored(company_id, 'PL202', '2025-06-30')).company_id IS NOT NULL, has_row,
    format('%s: it is %s that a row is written', company_id, has_row)
)
FROM version;

-- Several versions that cover the day -----------------------------------------------------------

-- The package does not rely on this key of the platform.
ALTER TABLE customer.customer_plan_contract DROP CONSTRAINT uq_active_contract;

-- In each the winner is neither strategic nor existing and has the name that is less in bytes,
-- so that whatever a loser adds to it shows.
INSERT INTO contract (contract_id, company_id, valid_from, valid_to, product_line_name, is_strategic, is_existing)
VALUES
    (1001, 'first day of the successor', '2020-01-01', '2025-06-30', '受托', TRUE,  TRUE),
    (1002, 'first day of the successor', '2025-06-30', '9999-12-31', '企年', FALSE, FALSE),
    (1004, 'loaded in the other order',  '2020-01-01', '2025-06-30', '受托', TRUE,  TRUE),
    (1003, 'loaded in the other order',  '2025-06-30', '9999-12-31', '企年', FALSE, FALSE),
    (1009, 'same beginning',             '2025-01-01', '9999-12-31', '受托', TRUE,  TRUE),
    (1010, 'same beginning',             '2025-01-01', '2025-12-31', '企年', FALSE, FALSE),
    (1011, 'same beginning by day',      '2025-06-30 15:00', '9999-12-31', '受托', TRUE, TRUE),
    (1012, 'same beginning by day',      '2025-06-30 09:00', '2025-06-30 15:00', '企年', FALSE, FALSE),
    (1021, 'a later one that is over',   '2020-01-01', '9999-12-31', '企年', FALSE, FALSE),
    (1022, 'a later one that is over',   '2025-06-01', '2025-06-29', '受托', TRUE,  TRUE),
    (1023, 'a later one yet to come',    '2020-01-01', '9999-12-31', '企年', FALSE, FALSE),
    (1024, 'a later one yet to come',    '2025-07-01', '9999-12-31', '受托', TRUE,  TRUE),
    (1025, 'the winner''s flags NULL',   '2020-01-01', '9999-12-31', '受托', TRUE,  TRUE),
    (1026, 'the winner''s flags NULL',   '2025-01-01', '9999-12-31', '企年', NULL,  NULL);

-- What makes two contracts of two versions: plan, product line, customer.
INSERT INTO contract (
    contract_id, company_id, plan_code, product_line_code, valid_from, valid_to,
    product_line_name, is_strategic, is_existing
)
VALUES
    (1103, 'two plans, overlaps',  'P1', 'PL202', '2020-01-01', '2025-06-30', '受托', TRUE,  TRUE),
    (1104, 'two plans, overlaps',  'P1', 'PL202', '2025-06-30', '9999-12-31', '企年', FALSE, FALSE),
    (1105, 'two plans, overlaps',  'P2', 'PL202', '2020-01-01', '2025-06-30', '受托', TRUE,  TRUE),
    (1106, 'two plans, overlaps',  'P2', 'PL202', '2025-06-30', '9999-12-31', '年金', FALSE, TRUE),
    (1111, 'two lines, overlaps',  'P1', 'PL201', '2025-01-01', '9999-12-31', '投资', FALSE, TRUE),
    (1112, 'two lines, overlaps',  'P1', 'PL201', '2020-01-01', '9999-12-31', '旧名', TRUE,  FALSE),
    (1113, 'two lines, overlaps',  'P1', 'PL202', '2020-01-01', '9999-12-31', '企年', TRUE,  FALSE),
    (1114, 'two lines, overlaps',  'P1', 'PL202', '2019-01-01', '9999-12-31', '旧名', FALSE, TRUE),
    (1115, 'a plan with another',  'P9', 'PL202', '2020-01-01', '9999-12-31', '企年', FALSE, TRUE),
    (1116, 'another with a plan',  'P9', 'PL202', '2025-01-01', '9999-12-31', '企年', TRUE,  FALSE);

SELECT is(
    pg_temp.restate() - 'unchanged',
    '{"total": 20, "inserted": 12, "updated": 0, "stale": 0, "deleted": 0}',
    'versions of one customer and product line make one row'
);

SELECT is(
    pg_temp.stored(company_id, product_line_code, '2025-06-30'),
    ROW('2025-06-30', company_id, product_line_code, name, is_strategic, is_existing, FALSE, FALSE, FALSE, 0.00, plans, CURRENT_TIMESTAMP)
        ::customer.fct_customer_business_monthly_status,
    format('%s: %s', company_id, reason)
)
FROM (VALUES
    ('first day of the successor', 'PL202', '企年', FALSE, FALSE, 1, 'of two versions the one that begins later counts, alone'),
    ('loaded in the other order',  'PL202', '企年', FALSE, FALSE, 1, 'the later one counts, though its contract_id is lower'),
    ('same beginning',             'PL202', '企年', FALSE, FALSE, 1, 'of two that begin the same day, the higher contract_id counts'),
    ('same beginning by day',      'PL202', '企年', FALSE, FALSE, 1, 'whatever the hour'),
    ('a later one that is over',   'PL202', '企年', FALSE, FALSE, 1, 'only versions that cover the day compete: not one that ended'),
    ('a later one yet to come',    'PL202', '企年', FALSE, FALSE, 1, 'nor one yet to begin'),
    ('the winner''s flags NULL',   'PL202', '企年', FALSE, FALSE, 1, 'NULL flags of the winner count as false, and not as none given'),
    ('two plans, overlaps',        'PL202', '年金', FALSE, TRUE,  2, 'each plan has its own winner'),
    ('two lines, overlaps',        'PL201', '投资', FALSE, TRUE,  1, 'the winner is found within a product line'),
    ('two lines, overlaps',        'PL202', '企年', TRUE,  FALSE, 1, 'also where a version of another line begins later'),
    ('a plan with another',        'PL202', '企年', FALSE, TRUE,  1, 'a plan of two customers counts for one'),
    ('another with a plan',        'PL202', '企年', TRUE,  FALSE, 1, 'and for the other')
) AS example (company_id, product_line_code, name, is_strategic, is_existing, plans, reason);

SELECT is_empty(
    $$ SELECT check_name, violations, detail
       FROM customer.validate_monthly_snapshot('2025-06-30')
       WHERE severity = 'error' AND violations > 0 $$,
    'validate_monthly_snapshot reads the versions the same way'
);

-- A whole month by hand ------------------------------------------------------------------------------

DELETE FROM contract;
DELETE FROM customer.fct_customer_business_monthly_status;

INSERT INTO contract (
    company_id, product_line_code, plan_code, product_line_name,
    is_strategic, is_existing, valid_from, valid_to
)
VALUES
    -- Two plans, one of them with versions that overlap on the day.
    ('A', 'PL202', 'P1', '企年受托', FALSE, TRUE,  '2020-01-01', '2025-06-30'),
    ('A', 'PL202', 'P1', '企年受托', TRUE,  FALSE, '2025-06-30', '9999-12-31'),
    ('A', 'PL202', 'P2', '受托',     FALSE, FALSE, '2024-01-01', '2025-07-31'),
    ('A', 'PL201', 'P1', '企年投资', FALSE, TRUE,  '2024-01-01', '2025-07-31'),
    -- Ended since, with AUM; its marks were others before.
    ('B', 'PL202', 'P3', '企年受托', TRUE,  FALSE, '2020-01-01', '2024-12-31'),
    ('B', 'PL202', 'P3', '企年受托', NULL,  TRUE,  '2025-01-01', '2025-09-30'),
    -- Not there yet.
    ('C', 'PL202', 'P4', '企年受托', TRUE,  TRUE,  '2025-07-01', '9999-12-31'),
    -- No more there, but with AUM and awards.
    ('D', 'PL202', 'P5', '企年受托', TRUE,  TRUE,  '2020-01-01', '2025-06-29'),
    -- In two product lines, of which it has left one.
    ('E', 'PL203', 'P6', '职年投资', FALSE, FALSE, '2020-01-01', '2025-05-31'),
    ('E', 'PL204', 'P6', '职年受托', NULL,  NULL,  '2020-01-01', '9999-12-31'),
    -- Without an end.
    ('F', 'PL202', 'P7', '企年受托', TRUE,  TRUE,  '2020-01-01', NULL);

INSERT INTO award (company_id, product_line_code, reported_on)
VALUES
    ('A', 'PL202', '2025-07-01'),
    ('A', 'PL201', '2025-01-01'),
    ('A', 'PL201', '2025-01-01'),
    ('B', 'PL202', '2024-12-31'),
    ('D', 'PL202', '2025-06-01'),
    ('E', 'PL203', '2025-06-01'),
    ('E', NULL,    '2025-06-01');

INSERT INTO loss (company_id, product_line_code, reported_on)
VALUES
    ('B', 'PL202', '2025-06-30'),
    ('A', 'PL202', '2025-07-01'),
    ('E', 'PL204', '2025-01-31'),
    (NULL, 'PL202', '2025-06-01');

INSERT INTO aum (company_id, product_line_code, as_of, amount)
VALUES
    ('A', 'PL202', '2025-06-01', 1000.0049),
    ('A', 'PL202', '2025-06-30', 0.0002),
    ('A', 'PL202', '2025-07-01', 7),
    ('A', 'PL202', '2025-05-31', 7),
    ('B', 'PL202', '2025-06-15', -20.5050),
    ('C', 'PL202', '2025-06-01', 300),
    ('D', 'PL202', '2025-06-01', 4000.0001),
    ('E', 'PL203', '2025-06-01', 50000),
    ('E', 'PL204', '2025-06-01', NULL),
    (NULL, 'PL202', '2025-06-01', 600000),
    ('F', NULL,    '2025-06-01', 0.3333);

-- Wrong, and to be put right; supported by nothing, and to go; and right already.
INSERT INTO customer.fct_customer_business_monthly_status (
    snapshot_month, company_id, product_line_code, product_line_name,
    is_strategic, is_existing, is_new, is_winning_this_year, is_churned_this_year, aum_balance, plan_count,
    updated_at
)
VALUES
    ('2025-06-30', 'A', 'PL202', '企年受托', FALSE, TRUE,  FALSE, TRUE,  FALSE, 1000.01,  2, '2025-07-05'),
    ('2025-06-30', 'C', 'PL202', '企年受托', TRUE,  TRUE,  FALSE, FALSE, FALSE, 300.00,   1, '2025-07-05'),
    ('2025-06-30', 'D', 'PL202', '企年受托', TRUE,  TRUE,  FALSE, TRUE,  FALSE, 4000.00,  1, '2025-07-05'),
    ('2025-06-30', 'E', 'PL203', '职年投资', FALSE, FALSE, TRUE,  TRUE,  FALSE, 50000.00, 1, '2025-07-05'),
    ('2025-06-30', 'E', 'PL204', '职年受托', FALSE, FALSE, FALSE, FALSE, TRUE,  0.00,     1, '2025-07-05'),
    ('2025-05-31', 'D', 'PL202', '企年受托', TRUE,  TRUE,  FALSE, TRUE,  FALSE, 5.00,     1, '2025-07-05'),
    ('2025-07-31', 'D', 'PL202', '企年受托', TRUE,  TRUE,  FALSE, TRUE,  FALSE, 6.00,     1, '2025-07-05'),
    ('2024-06-30', 'D', 'PL202', '企年受托', TRUE,  TRUE,  FALSE, TRUE,  FALSE, 7.00,     1, '2025-07-05');

CALL pg_temp.remember();

SELECT customer.restate_monthly_snapshot('2025-06-12', '  ''quoted'' "%s" 中文 ') AS result \gset

SELECT is(
    :'result'::jsonb - ARRAY['log_id', 'warnings'],
    '{
        "status": "restated", "rule": "as_of", "accepted": false, "reason": "  ''quoted'' \"%s\" 中文 ", "snapshot_month": "2025-06-30",
        "total": 4, "upserted": 3, "inserted": 2, "updated": 1, "unchanged": 1, "stale": 0, "deleted": 3, "aum_total": 979.50,
        "aum_unattributed": 654300.33
    }',
    'the result counts what was inserted, updated, left and deleted, and where the AUM went'
);

SELECT results_eq(
    $$ SELECT *
       FROM customer.fct_customer_business_monthly_status
       WHERE snapshot_month = '2025-06-30'
       ORDER BY company_id COLLATE "C", product_line_code COLLATE "C" $$,
    $$ VALUES
        (DATE '2025-06-30', 'A'::varchar, 'PL201'::varchar, '企年投资'::varchar,
            FALSE, TRUE,  FALSE, TRUE,  FALSE, 0.00,    1, CURRENT_TIMESTAMP),
        ('2025-06-30', 'A', 'PL202', '受托',
            TRUE,  FALSE, FALSE, FALSE, FALSE, 1000.01, 2, CURRENT_TIMESTAMP),
        ('2025-06-30', 'B', 'PL202', '企年受托',
            FALSE, TRUE,  FALSE, FALSE, TRUE,  -20.51,  1, CURRENT_TIMESTAMP),
        ('2025-06-30', 'E', 'PL204', '职年受托',
            FALSE, FALSE, FALSE, FALSE, TRUE,  0.00,    1, '2025-07-05') $$,
    'the month is what its sources say as of its last day, in every column'
);

SELECT is(
    (
        SELECT string_agg(concat_ws(' ', snapshot_month, company_id, product_line_code), ', ' ORDER BY snapshot_month, company_id, product_line_code)
        FROM written
    ),
    '2025-06-30 A PL201, 2025-06-30 A PL202, 2025-06-30 B PL202, 2025-06-30 C PL202, 2025-06-30 D PL202, 2025-06-30 E PL203',
    'the row that was right is left untouched; other months, also that of a year ago, keep rows that no contract supports'
);

-- The log and the control row ---------------------------------------------------------------------------

SELECT is(
    pg_temp.log_entry(:'result'),
    :'result'::jsonb - ARRAY['status', 'log_id', 'warnings'] || jsonb_build_object(
        'operation', 'restate', 'month_rows', 4, 'month_aum', 979.50, 'invoked_by', session_user,
        'application_name', current_setting('application_name'), 'was_timed', TRUE
    ),
    'the log says what was done, when, by whom, with which counts, and why, word for word'
);

SELECT is(
    (SELECT jsonb_strip_nulls(to_jsonb(c)) - 'last_changed_at' FROM customer.monthly_snapshot_control AS c WHERE snapshot_month = '2025-06-30'),
    jsonb_build_object(
        'snapshot_month', '2025-06-30', 'last_rule', 'as_of', 'last_log_id', (SELECT max(log_id) FROM customer.monthly_snapshot_log),
        'stale_rows', 0, 'baseline_rows', 4, 'baseline_aum', 1020.52
    ),
    'the control row says that the month was last written as of its day, by which entry, without stale rows, and with which rows and AUM'
);

-- A refresh of a restated month ---------------------------------------------------------------------------

-- A version that covers the day is taken back, and AUM is corrected.
UPDATE contract SET valid_to = '2025-06-29' WHERE company_id = 'B' AND valid_to = '2025-09-30';
UPDATE aum SET amount = 1001 WHERE amount = 1000.0049;

SELECT customer.refresh_monthly_snapshot('2025-06-30') AS result \gset

SELECT is(
    :'result'::jsonb - ARRAY['log_id', 'warnings', 'snapshot_month', 'aum_unattributed'],
    '{"status": "refreshed", "rule": "as_of", "total": 3, "upserted": 1, "inserted": 0, "updated": 1, "unchanged": 2,
      "stale": 0, "deleted": 1, "aum_total": 1001.00, "accepted": false, "reason": null}',
    'it keeps its rule: today''s contracts do not count, and what no version of the last day supports is deleted'
);

SELECT is(
    pg_temp.codes(:'result'), '{rows_differ, aum_unattributed, several_month_dates, rows_removed}',
    'the row that went is warned of; that the month is older than the newest is not, as it does not take today''s contracts'
);

SELECT is(
    (SELECT ARRAY[last_rule, stale_rows::text] FROM customer.monthly_snapshot_control WHERE snapshot_month = '2025-06-30'),
    '{as_of, 0}',
    'the control row says so'
);

DELETE FROM contract;
DELETE FROM aum;
DELETE FROM customer.fct_customer_business_monthly_status;

-- No version covers the month ----------------------------------------------------------------------------------

INSERT INTO contract (company_id)
VALUES ('A'), ('B');

INSERT INTO aum (company_id, as_of, amount)
VALUES ('A', '2025-06-01', 5);

SELECT pg_temp.restate() \g /dev/null

UPDATE contract SET valid_from = '2025-07-01' WHERE company_id = 'A';
UPDATE contract SET valid_to = '2025-06-29' WHERE company_id = 'B';

INSERT INTO contract (company_id, plan_code, valid_from, valid_to)
VALUES ('B', 'P2', '2020-01-01', NULL);

SELECT pg_temp.fingerprint() AS before \gset

SELECT is(
    pg_temp.error_of(call),
    ARRAY[
        '55000',
        'no contract version covers 2025-06-30, and by the contracts of that day the month would be empty',
        'Load the versions that were true on that day (valid_from <= day <= valid_to) into the contracts, or choose another month.'
    ],
    format('a month that no version covers is not emptied, but refused, also where an implausible month is accepted: %s', call)
)
FROM (VALUES
    ($$ SELECT customer.restate_monthly_snapshot('2025-06-05', 'why') $$),
    ($$ SELECT customer.refresh_monthly_snapshot('2025-06-05'), set_config('customer.accept_implausible', 'on', TRUE) $$),
    ($$ SELECT set_config('customer.accept_implausible', 'on', TRUE), customer.restate_monthly_snapshot('2025-06-05', 'why') $$)
) AS restating (call);

SELECT is(pg_temp.fingerprint(), :'before', 'nothing has changed then: row, control or log');

DELETE FROM contract;

-- Arguments ------------------------------------------------------------------------------------------------------

INSERT INTO contract (company_id)
VALUES ('A');

SELECT pg_temp.fingerprint() AS before \gset

SELECT is(
    pg_temp.error_of(format('SELECT customer.restate_monthly_snapshot(%L, %L)', '2025-06-30', reason)),
    ARRAY[
        code,
        'the reason for restating must ' || message,
        'Say why in a line of plain text, such as ''published 2026-02-10''; the log keeps it.'
    ],
    format('reason %s: SQLSTATE %s', coalesce(to_json(reason)::text, 'NULL'), code)
)
FROM (VALUES
    (NULL, '22004', 'not be NULL'),
    ('', '22023', 'not be blank, but is ""'),
    (E'　\u00A0', '22023', E'not be blank, but is "　\u00A0"'),
    (E'a\nb', '22023', 'hold no control characters such as line breaks, but is "a\nb"'),
    (repeat('字', 1001), '22023', 'have at most 1000 characters, but has 1001')
) AS bad (reason, code, message);

SELECT throws_ok(
    format('SELECT customer.restate_monthly_snapshot(%L, %L)', '2025-06-30', 'a' || chr(code)), '22023', NULL,
    format('character %s is a control character', code)
)
FROM (VALUES (1), (31), (127)) AS control (code);

SELECT is(pg_temp.fingerprint(), :'before', 'bad arguments leave neither row, control nor log entry');

SELECT lives_ok(
    format('SELECT customer.restate_monthly_snapshot(%L, %L)', '2025-06-30', reason),
    format('%s is reason enough', to_json(reason))
)
FROM (VALUES ('　x'), (repeat('字', 1000))) AS good (reason);

SELECT * FROM finish();

ROLLBACK;
