-- Proves that restating makes a month exactly what its sources say as of its last day.
SET client_encoding = 'UTF8';

BEGIN;

SELECT plan(141);

\ir fixture.psql

-- The day is 2025-06-30 unless a test says otherwise. Companies are named after their case.

CREATE FUNCTION pg_temp.restate(p_month date DEFAULT '2025-06-30')
RETURNS jsonb
LANGUAGE sql
AS $$
    SELECT customer.restate_monthly_snapshot(p_month, 'why') - ARRAY[
        'snapshot_month', 'upserted', 'aum_total', 'aum_unattributed', 'log_id'
    ]
$$;

-- SQLSTATE, message and hint of the error in which a statement ends.
CREATE FUNCTION pg_temp.error_of(p_sql text)
RETURNS text[]
LANGUAGE plpgsql
AS $$
DECLARE
    v_hint text;
BEGIN
    EXECUTE p_sql;
    RETURN '{no error}';
EXCEPTION
    WHEN OTHERS THEN
        GET STACKED DIAGNOSTICS v_hint = PG_EXCEPTION_HINT;
        RETURN ARRAY[SQLSTATE, SQLERRM, v_hint];
END
$$;

-- Changes when any row of the package's tables does, or is written anew.
CREATE FUNCTION pg_temp.fingerprint()
RETURNS text
LANGUAGE sql
AS $$
    SELECT md5(string_agg(version, E'\n' ORDER BY version))
    FROM (
        SELECT concat_ws(' ', 'fact', ctid, fact)
        FROM customer.fct_customer_business_monthly_status AS fact
        UNION ALL
        SELECT concat_ws(' ', 'control', ctid, control)
        FROM customer.monthly_snapshot_control AS control
        UNION ALL
        SELECT concat_ws(' ', 'log', ctid, entry)
        FROM customer.monthly_snapshot_log AS entry
    ) AS stored (version)
$$;

-- Which versions cover the day ------------------------------------------------------------------

INSERT INTO contract (company_id, valid_from, valid_to)
VALUES
    ('over',                      '2020-01-01', '9999-12-31'),
    ('over, ended since',         '2020-01-01', '2025-12-31'),
    ('before',                    '2020-01-01', '2024-12-31'),
    ('after',                     '2026-01-01', '9999-12-31'),
    ('begins the day before',     '2025-06-29', '9999-12-31'),
    ('begins on the day',         '2025-06-30', '9999-12-31'),
    ('begins the day after',      '2025-07-01', '9999-12-31'),
    ('ends the day before',       '2020-01-01', '2025-06-29'),
    ('ends on the day',           '2020-01-01', '2025-06-30'),
    ('ends the day after',        '2020-01-01', '2025-07-01'),
    ('that day alone',            '2025-06-30', '2025-06-30'),
    ('the rest of the month',     '2025-06-01', '2025-06-29'),
    ('the next month',            '2025-07-01', '2025-07-31'),
    ('the wrong way about',       '2025-07-15', '2025-06-15'),
    ('no end',                    '2020-01-01', NULL),
    ('no end, but another',       '2020-01-01', '9999-12-31'),
    ('no end, but another',       '2025-01-01', NULL),
    ('endless',                   '2020-01-01', 'infinity'),
    ('without beginning',         '-infinity',  '9999-12-31'),
    ('ended before it began',     '-infinity',  '-infinity'),
    ('the same day a year ago',   '2024-06-30', '2024-06-30');

UPDATE contract SET is_strategic = TRUE WHERE valid_to IS NULL;

INSERT INTO known_customer (company_id)
VALUES ('no contract');

INSERT INTO award (company_id, reported_on)
VALUES ('no contract', '2025-06-30'), ('before', '2025-06-30');

INSERT INTO loss (company_id, reported_on)
VALUES ('no contract', '2025-06-30'), ('before', '2025-06-30');

INSERT INTO aum (company_id, as_of, amount)
VALUES ('no contract', '2025-06-30', 100), ('before', '2025-06-30', 100), ('over', '2025-06-30', 100);

SELECT is(
    pg_temp.restate(),
    '{"total": 10, "inserted": 10, "updated": 0, "unchanged": 0, "stale": 0, "deleted": 0}',
    'ten of twenty customers have a version that covers the day'
);

SELECT is(
    (pg_temp.stored(company_id, 'PL202', '2025-06-30')).company_id IS NOT NULL,
    has_row,
    format('%s: a row is %s', company_id, CASE WHEN has_row THEN 'written' ELSE 'not written' END)
)
FROM (VALUES
    ('over',                      TRUE),
    ('over, ended since',         TRUE),
    ('before',                    FALSE),
    ('after',                     FALSE),
    ('begins the day before',     TRUE),
    ('begins on the day',         TRUE),
    ('begins the day after',      FALSE),
    ('ends the day before',       FALSE),
    ('ends on the day',           TRUE),
    ('ends the day after',        TRUE),
    ('that day alone',            TRUE),
    ('the rest of the month',     FALSE),
    ('the next month',            FALSE),
    ('the wrong way about',       FALSE),
    ('no end',                    FALSE),
    ('no end, but another',       TRUE),
    ('endless',                   TRUE),
    ('without beginning',         TRUE),
    ('ended before it began',     FALSE),
    ('the same day a year ago',   FALSE),
    ('no contract',               FALSE)
) AS example (company_id, has_row);

SELECT is(
    (pg_temp.stored('no end, but another', 'PL202', '2025-06-30')).is_strategic, FALSE,
    'a version without an end does not count beside one that covers the day, though it began later'
);

SELECT is(
    (SELECT array_agg(DISTINCT snapshot_month) FROM customer.fct_customer_business_monthly_status),
    ARRAY[DATE '2025-06-30'],
    'no other month is written'
);

-- Several versions that cover the day -----------------------------------------------------------

-- The package does not rely on this key of the platform.
ALTER TABLE customer.customer_plan_contract DROP CONSTRAINT uq_active_contract;

CREATE TEMPORARY VIEW version AS
SELECT
    contract_id,
    company_id,
    product_line_code,
    plan_code,
    product_line_name,
    is_strategic,
    is_existing,
    valid_from,
    valid_to,
    contract_status,
    status_year
FROM customer.customer_plan_contract;

ALTER VIEW version ALTER COLUMN product_line_code SET DEFAULT 'PL202';
ALTER VIEW version ALTER COLUMN plan_code SET DEFAULT 'P1';
ALTER VIEW version ALTER COLUMN product_line_name SET DEFAULT '企年受托';
ALTER VIEW version ALTER COLUMN contract_status SET DEFAULT '正常';
ALTER VIEW version ALTER COLUMN status_year SET DEFAULT 2025;

-- In each the winner is neither strategic nor existing and has the name that is less in bytes,
-- so that whatever a loser adds to it shows.
INSERT INTO version (contract_id, company_id, valid_from, valid_to, product_line_name, is_strategic, is_existing)
VALUES
    (1001, 'first day of the successor', '2020-01-01', '2025-06-30', '受托', TRUE,  TRUE),
    (1002, 'first day of the successor', '2025-06-30', '9999-12-31', '企年', FALSE, FALSE),
    (1004, 'loaded in the other order',  '2020-01-01', '2025-06-30', '受托', TRUE,  TRUE),
    (1003, 'loaded in the other order',  '2025-06-30', '9999-12-31', '企年', FALSE, FALSE),
    (1005, 'one within the other',       '2020-01-01', '9999-12-31', '受托', TRUE,  TRUE),
    (1006, 'one within the other',       '2025-06-01', '2025-07-31', '企年', FALSE, FALSE),
    (1008, 'within, the other order',    '2020-01-01', '9999-12-31', '受托', TRUE,  TRUE),
    (1007, 'within, the other order',    '2025-06-01', '2025-07-31', '企年', FALSE, FALSE),
    (1009, 'same beginning',             '2025-01-01', '9999-12-31', '受托', TRUE,  TRUE),
    (1010, 'same beginning',             '2025-01-01', '2025-12-31', '企年', FALSE, FALSE),
    (1012, 'same beginning, longer',     '2025-01-01', '9999-12-31', '企年', FALSE, FALSE),
    (1011, 'same beginning, longer',     '2025-01-01', '2025-12-31', '受托', TRUE,  TRUE),
    (1013, 'the same twice',             '2025-01-01', '9999-12-31', '受托', TRUE,  TRUE),
    (1014, 'the same twice',             '2025-01-01', '9999-12-31', '企年', FALSE, FALSE),
    (1016, 'the same twice, reversed',   '2025-01-01', '9999-12-31', '企年', FALSE, FALSE),
    (1015, 'the same twice, reversed',   '2025-01-01', '9999-12-31', '受托', TRUE,  TRUE),
    (1017, 'number of two digits',       '2025-01-01', '9999-12-31', '企年', FALSE, FALSE),
    (99,   'number of two digits',       '2025-01-01', '9999-12-31', '受托', TRUE,  TRUE),
    (1018, 'three of them',              '2025-06-30', '2025-06-30', '受托', TRUE,  TRUE),
    (1020, 'three of them',              '2025-05-31', '2025-06-30', '受托', TRUE,  TRUE),
    (1019, 'three of them',              '2025-06-30', '9999-12-31', '企年', FALSE, FALSE),
    (1021, 'a later one that is over',   '2020-01-01', '9999-12-31', '企年', FALSE, FALSE),
    (1022, 'a later one that is over',   '2025-06-01', '2025-06-29', '受托', TRUE,  TRUE),
    (1023, 'a later one yet to come',    '2020-01-01', '9999-12-31', '企年', FALSE, FALSE),
    (1024, 'a later one yet to come',    '2025-07-01', '9999-12-31', '受托', TRUE,  TRUE),
    (1025, 'the winner''s flags NULL',   '2020-01-01', '9999-12-31', '受托', TRUE,  TRUE),
    (1026, 'the winner''s flags NULL',   '2025-01-01', '9999-12-31', '企年', NULL,  NULL);

-- What makes two contracts of two versions: plan, product line, customer.
INSERT INTO version (
    contract_id, company_id, plan_code, product_line_code, valid_from, valid_to,
    product_line_name, is_strategic, is_existing
)
VALUES
    (1101, 'two plans',            'P1', 'PL202', '2020-01-01', '9999-12-31', '企年', TRUE,  FALSE),
    (1102, 'two plans',            'P2', 'PL202', '2025-01-01', '9999-12-31', '企年', FALSE, TRUE),
    (1103, 'two plans, overlaps',  'P1', 'PL202', '2020-01-01', '2025-06-30', '受托', TRUE,  TRUE),
    (1104, 'two plans, overlaps',  'P1', 'PL202', '2025-06-30', '9999-12-31', '企年', FALSE, FALSE),
    (1105, 'two plans, overlaps',  'P2', 'PL202', '2020-01-01', '2025-06-30', '受托', TRUE,  TRUE),
    (1106, 'two plans, overlaps',  'P2', 'PL202', '2025-06-30', '9999-12-31', '年金', FALSE, TRUE),
    (1107, 'two plans, one over',  'P1', 'PL202', '2020-01-01', '9999-12-31', '企年', FALSE, FALSE),
    (1108, 'two plans, one over',  'P2', 'PL202', '2020-01-01', '2025-06-29', '受托', TRUE,  TRUE),
    (1109, 'two product lines',    'P1', 'PL201', '2020-01-01', '9999-12-31', '投资', TRUE,  FALSE),
    (1110, 'two product lines',    'P1', 'PL202', '2025-01-01', '9999-12-31', '企年', FALSE, TRUE),
    (1111, 'two lines, overlaps',  'P1', 'PL201', '2025-01-01', '9999-12-31', '投资', FALSE, TRUE),
    (1112, 'two lines, overlaps',  'P1', 'PL201', '2020-01-01', '9999-12-31', '旧名', TRUE,  FALSE),
    (1113, 'two lines, overlaps',  'P1', 'PL202', '2020-01-01', '9999-12-31', '企年', TRUE,  FALSE),
    (1114, 'two lines, overlaps',  'P1', 'PL202', '2019-01-01', '9999-12-31', '旧名', FALSE, TRUE),
    (1115, 'a plan with another',  'P9', 'PL202', '2020-01-01', '9999-12-31', '企年', FALSE, TRUE),
    (1116, 'another with a plan',  'P9', 'PL202', '2025-01-01', '9999-12-31', '企年', TRUE,  FALSE);

SELECT is(
    pg_temp.restate() - 'unchanged',
    '{"total": 32, "inserted": 22, "updated": 0, "stale": 0, "deleted": 0}',
    'versions of one customer and product line make one row'
);

SELECT is(
    pg_temp.stored(company_id, 'PL202', '2025-06-30'),
    ROW('2025-06-30', company_id, 'PL202', '企年', FALSE, FALSE, FALSE, FALSE, FALSE, 0.00, 1, CURRENT_TIMESTAMP)
        ::customer.fct_customer_business_monthly_status,
    format('%s: %s', company_id, reason)
)
FROM (VALUES
    ('first day of the successor', 'of two versions the one that begins later counts, alone'),
    ('loaded in the other order',  'the later one counts, though its contract_id is lower'),
    ('one within the other',       'the later one counts, though it is not current'),
    ('within, the other order',    'so it does with a lower contract_id'),
    ('same beginning',             'of two that begin the same day, the higher contract_id counts'),
    ('same beginning, longer',     'whichever of them ends later'),
    ('the same twice',             'of two over the same days, the higher contract_id counts'),
    ('the same twice, reversed',   'in whatever order they were stored'),
    ('number of two digits',       'the higher contract_id as a number, not as text'),
    ('three of them',              'of three, beginning comes before contract_id'),
    ('a later one that is over',   'only versions that cover the day compete: not one that ended'),
    ('a later one yet to come',    'nor one yet to begin'),
    ('the winner''s flags NULL',   'NULL flags of the winner count as false, and not as none given')
) AS example (company_id, reason);

SELECT is(
    pg_temp.stored(company_id, product_line_code, '2025-06-30'),
    ROW('2025-06-30', company_id, product_line_code, name, is_strategic, is_existing, FALSE, FALSE, FALSE, 0.00, plans, CURRENT_TIMESTAMP)
        ::customer.fct_customer_business_monthly_status,
    format('%s: %s', company_id, reason)
)
FROM (VALUES
    ('two plans',           'PL202', '企年', TRUE,  TRUE,  2, 'a plan displaces no other; the flags are those of any'),
    ('two plans, overlaps', 'PL202', '年金', FALSE, TRUE,  2, 'each plan has its own winner'),
    ('two plans, one over', 'PL202', '企年', FALSE, FALSE, 1, 'a plan that ended adds nothing'),
    ('two product lines',   'PL201', '投资', TRUE,  FALSE, 1, 'the same plan counts in one product line'),
    ('two product lines',   'PL202', '企年', FALSE, TRUE,  1, 'and in the other, each for itself'),
    ('two lines, overlaps', 'PL201', '投资', FALSE, TRUE,  1, 'the winner is found within a product line'),
    ('two lines, overlaps', 'PL202', '企年', TRUE,  FALSE, 1, 'also where a version of another line begins later'),
    ('a plan with another', 'PL202', '企年', FALSE, TRUE,  1, 'a plan of two customers counts for one'),
    ('another with a plan', 'PL202', '企年', TRUE,  FALSE, 1, 'and for the other')
) AS example (company_id, product_line_code, name, is_strategic, is_existing, plans, reason);

SELECT results_eq(
    $$ SELECT is_strategic, plan_code, product_line_code
       FROM customer.contracts_as_of('2025-06-30')
       WHERE company_id IN ('two lines, overlaps', 'two plans, overlaps')
       ORDER BY plan_code, product_line_code, is_strategic $$,
    $$ VALUES
        (FALSE, 'P1', 'PL201'),
        (FALSE, 'P1', 'PL202'),
        (TRUE,  'P1', 'PL202'),
        (FALSE, 'P2', 'PL202') $$,
    'contracts_as_of returns one version for each customer, plan and product line'
);

-- Restating what was restated writes nothing ------------------------------------------------------

CALL pg_temp.remember();

SELECT is(
    pg_temp.restate(),
    '{"total": 32, "inserted": 0, "updated": 0, "unchanged": 32, "stale": 0, "deleted": 0}',
    'restating again finds every row right'
);

SELECT is(
    pg_temp.restate('2025-06-01'),
    '{"total": 32, "inserted": 0, "updated": 0, "unchanged": 32, "stale": 0, "deleted": 0}',
    'whatever day names the month'
);

SELECT is_empty('SELECT * FROM written', 'and no row is written');

-- A customer through the months --------------------------------------------------------------------

DELETE FROM contract;
DELETE FROM award;
DELETE FROM loss;
DELETE FROM aum;
DELETE FROM customer.fct_customer_business_monthly_status;

-- It left, and came back under the same plan with other flags and another name.
INSERT INTO contract (company_id, valid_from, valid_to, product_line_name, is_strategic, is_existing)
VALUES
    ('came back', '2024-02-29', '2025-03-31', '旧名',     FALSE, TRUE),
    ('came back', '2025-09-01', '2025-10-31', '企年受托', TRUE,  FALSE),
    ('came back', '2025-11-01', '9999-12-31', '企年受托', TRUE,  NULL),
    ('stayed',    '2020-01-01', '9999-12-31', '企年受托', FALSE, FALSE);

SELECT customer.restate_monthly_snapshot(month, 'history') AS result
FROM unnest(ARRAY[
    DATE '2024-01-31', '2024-02-10', '2024-03-01', '2025-03-31', '2025-04-30', '2025-08-31',
    '2025-09-30', '2025-10-31', '2025-11-30', '2027-02-28'
]) AS month \g /dev/null

SELECT results_eq(
    $$ SELECT snapshot_month, product_line_name, is_strategic, is_existing
       FROM customer.fct_customer_business_monthly_status
       WHERE company_id = 'came back'
       ORDER BY snapshot_month $$,
    $$ VALUES
        (DATE '2024-02-29', '旧名'::varchar, FALSE, TRUE),
        ('2024-03-31', '旧名',     FALSE, TRUE),
        ('2025-03-31', '旧名',     FALSE, TRUE),
        ('2025-09-30', '企年受托', TRUE,  FALSE),
        ('2025-10-31', '企年受托', TRUE,  FALSE),
        ('2025-11-30', '企年受托', TRUE,  FALSE),
        ('2027-02-28', '企年受托', TRUE,  FALSE) $$,
    'a customer that left and came back is there in the months it was, as it then was'
);

SELECT is(
    (SELECT count(*) FROM customer.fct_customer_business_monthly_status WHERE company_id = 'stayed'),
    10::bigint,
    'one that stayed is there in all of them'
);

SELECT is(
    pg_temp.restate('2024-02-29'),
    '{"total": 2, "inserted": 0, "updated": 0, "unchanged": 2, "stale": 0, "deleted": 0}',
    'a month restated by its 10th day is the one of its 29th'
);

-- Flags that change in the midst of a month: what holds on its last day counts.
INSERT INTO contract (company_id, valid_from, valid_to, product_line_name, is_strategic, is_existing)
VALUES
    ('changed', '2020-01-01', '2025-05-31', '甲', TRUE,  FALSE),
    ('changed', '2025-06-01', '2025-06-14', '乙', FALSE, TRUE),
    ('changed', '2025-06-15', '2025-07-31', '丙', TRUE,  TRUE),
    ('changed', '2025-07-31', '2025-08-30', '丁', NULL,  FALSE),
    ('changed', '2025-08-31', '9999-12-31', '戊', FALSE, NULL);

SELECT customer.restate_monthly_snapshot(month, 'history') AS result
FROM unnest(ARRAY[DATE '2025-05-31', '2025-06-30', '2025-07-31', '2025-08-31']) AS month \g /dev/null

SELECT is(
    pg_temp.stored('changed', 'PL202', month),
    ROW(month, 'changed', 'PL202', name, is_strategic, is_existing, FALSE, FALSE, FALSE, 0.00, 1, CURRENT_TIMESTAMP)
        ::customer.fct_customer_business_monthly_status,
    format('flags and name on %s are those of %s', month, reason)
)
FROM (VALUES
    (DATE '2025-05-31', '甲', TRUE,  FALSE, 'the version that ends that day'),
    ('2025-06-30',      '丙', TRUE,  TRUE,  'the third version: the second came and went within the month'),
    ('2025-07-31',      '丁', FALSE, FALSE, 'the version that begins that day, though its predecessor covers it, too'),
    ('2025-08-31',      '戊', FALSE, FALSE, 'the version that begins that day, the predecessor having ended the day before')
) AS example (month, name, is_strategic, is_existing, reason);

SELECT throws_ok(
    $$ SELECT customer.restate_monthly_snapshot('2019-12-31', 'why') $$,
    '55000',
    'no contract version covers 2019-12-31, and restating would empty the month',
    'the day before the first version is covered by none'
);

SELECT is(
    customer.restate_monthly_snapshot(day, 'why') ->> 'snapshot_month', month,
    format('the month of %s is restated as %s', day, month)
)
FROM (VALUES
    (DATE '2024-02-01', '2024-02-29'),
    (DATE '2023-02-01', '2023-02-28'),
    (DATE '2025-12-15', '2025-12-31'),
    (DATE '9999-12-31', '9999-12-31')
) AS example (day, month);

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
    ('A', 'PL202', '2025-12-31'),
    ('A', 'PL201', '2025-01-01'),
    ('A', 'PL201', '2025-01-01'),
    ('B', 'PL202', '2024-12-31'),
    ('D', 'PL202', '2025-06-01'),
    ('E', 'PL203', '2025-06-01'),
    ('E', NULL,    '2025-06-01');

INSERT INTO loss (company_id, product_line_code, reported_on)
VALUES
    ('B', 'PL202', '2025-10-01'),
    ('A', 'PL202', '2026-01-01'),
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

SELECT is(
    customer.restate_monthly_snapshot('2025-06-12', 'by hand') - 'log_id',
    '{
        "snapshot_month": "2025-06-30",
        "total": 4,
        "upserted": 3,
        "inserted": 2,
        "updated": 1,
        "unchanged": 1,
        "stale": 0,
        "deleted": 3,
        "aum_total": 979.50,
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
            TRUE,  FALSE, TRUE,  TRUE,  FALSE, 1000.01, 2, CURRENT_TIMESTAMP),
        ('2025-06-30', 'B', 'PL202', '企年受托',
            FALSE, TRUE,  FALSE, FALSE, TRUE,  -20.51,  1, CURRENT_TIMESTAMP),
        ('2025-06-30', 'E', 'PL204', '职年受托',
            FALSE, FALSE, FALSE, FALSE, TRUE,  0.00,    1, '2025-07-05') $$,
    'the month is what its sources say as of its last day, in every column'
);

SELECT results_eq(
    $$ SELECT company_id COLLATE "C", product_line_code COLLATE "C" FROM written ORDER BY 1, 2 $$,
    $$ VALUES
        ('A'::varchar COLLATE "C", 'PL201'::varchar COLLATE "C"),
        ('A', 'PL202'),
        ('B', 'PL202'),
        ('C', 'PL202'),
        ('D', 'PL202'),
        ('E', 'PL203') $$,
    'the row that was right is left untouched'
);

SELECT is_empty(
    $$ SELECT * FROM written WHERE snapshot_month <> '2025-06-30' $$,
    'the months before and after, and the same month a year ago, keep rows that no contract supports'
);

SELECT is_empty(
    $$ SELECT check_name, violations, detail
       FROM customer.validate_monthly_snapshot('2025-06-30')
       WHERE severity = 'error' AND violations > 0 $$,
    'validate_monthly_snapshot finds no error in it'
);

CALL pg_temp.remember();

SELECT is(
    pg_temp.restate(),
    '{"total": 4, "inserted": 0, "updated": 0, "unchanged": 4, "stale": 0, "deleted": 0}',
    'restating again has nothing to write and nothing to delete'
);

SELECT is_empty('SELECT * FROM written', 'and leaves every row of every month where it was');

-- The log and the control row ---------------------------------------------------------------------------

SELECT is(
    to_jsonb(entry) - ARRAY['log_id', 'started_at', 'finished_at'],
    jsonb_build_object(
        'snapshot_month', '2025-06-30',
        'operation', 'restate',
        'reason', 'by hand',
        'total', 4,
        'upserted', 3,
        'inserted', 2,
        'updated', 1,
        'unchanged', 1,
        'stale', 0,
        'deleted', 3,
        'aum_total', 979.50,
        'aum_unattributed', 654300.33,
        'invoked_by', session_user,
        'application_name', current_setting('application_name')
    ),
    'the log says what was done, why, by whom and with which counts'
)
FROM customer.monthly_snapshot_log AS entry
WHERE reason = 'by hand';

SELECT ok(
    started_at BETWEEN CURRENT_TIMESTAMP AND finished_at AND finished_at <= clock_timestamp(),
    'and when'
)
FROM customer.monthly_snapshot_log
WHERE reason = 'by hand';

SELECT customer.restate_monthly_snapshot('2025-06-30', E'  line 1\n''quoted'' "%s" 中文 ') AS result \gset

SELECT is(
    :'result'::jsonb -> 'log_id',
    (SELECT to_jsonb(max(log_id)) FROM customer.monthly_snapshot_log),
    'log_id is that of the new entry'
);

SELECT is(
    (SELECT reason FROM customer.monthly_snapshot_log ORDER BY log_id DESC LIMIT 1),
    E'  line 1\n''quoted'' "%s" 中文 ',
    'the reason is kept word for word'
);

SELECT is(
    (SELECT to_jsonb(control) FROM customer.monthly_snapshot_control AS control WHERE snapshot_month = '2025-06-30'),
    jsonb_build_object(
        'snapshot_month', '2025-06-30',
        'last_rule', 'as_of',
        'last_log_id', (SELECT max(log_id) FROM customer.monthly_snapshot_log),
        'stale_rows', 0,
        'closed_at', NULL,
        'closed_by', NULL,
        'close_note', NULL
    ),
    'the control row says that the month was last written as of its day, by which entry, and without stale rows'
);

-- Refresh and restate, one after the other ---------------------------------------------------------------

-- Today's contracts: A in PL202 with P1, C, and E in PL204.
SELECT is(
    customer.refresh_monthly_snapshot('2025-06-30') - ARRAY['log_id', 'snapshot_month'],
    '{
        "total": 3,
        "upserted": 2,
        "inserted": 1,
        "updated": 1,
        "unchanged": 1,
        "stale": 2,
        "deleted": 0,
        "aum_total": 1300.01,
        "aum_unattributed": 653979.83
    }',
    'a refresh after it takes today''s contracts again, and deletes nothing'
);

SELECT is(
    (pg_temp.stored('A', 'PL202', '2025-06-30')).product_line_name, '企年受托',
    'a row of both has its refreshed values'
);

SELECT is(
    (SELECT ARRAY[last_rule, stale_rows::text] FROM customer.monthly_snapshot_control WHERE snapshot_month = '2025-06-30'),
    '{current, 2}',
    'the control row says that the month was last refreshed, and how many rows are stale'
);

SELECT is(
    pg_temp.restate(),
    '{"total": 4, "inserted": 0, "updated": 1, "unchanged": 3, "stale": 0, "deleted": 1}',
    'restating takes it back: the row of the future customer goes, the stale ones are supported'
);

SELECT results_eq(
    $$ SELECT company_id, product_line_code, product_line_name, aum_balance
       FROM customer.fct_customer_business_monthly_status
       WHERE snapshot_month = '2025-06-30'
       ORDER BY company_id COLLATE "C", product_line_code COLLATE "C" $$,
    $$ VALUES
        ('A'::varchar, 'PL201'::varchar, '企年投资'::varchar, 0.00),
        ('A', 'PL202', '受托',     1000.01),
        ('B', 'PL202', '企年受托', -20.51),
        ('E', 'PL204', '职年受托', 0.00) $$,
    'and the month is again as restated'
);

SELECT is(
    (SELECT ARRAY[last_rule, stale_rows::text] FROM customer.monthly_snapshot_control WHERE snapshot_month = '2025-06-30'),
    '{as_of, 0}',
    'so says the control row'
);

-- Where today's contracts are those of the day, both rules say the same.
DELETE FROM contract WHERE valid_to IS DISTINCT FROM '9999-12-31';
UPDATE contract SET valid_from = '2025-06-30';

SELECT customer.refresh_monthly_snapshot('2025-06-30') - ARRAY['inserted', 'updated', 'unchanged', 'upserted', 'stale', 'log_id'] AS refreshed \gset

SELECT pg_temp.restate() \g /dev/null

CALL pg_temp.remember();

SELECT is(
    customer.restate_monthly_snapshot('2025-06-30', 'why') - ARRAY['inserted', 'updated', 'unchanged', 'upserted', 'stale', 'log_id'],
    :'refreshed'::jsonb,
    'on the same contracts restating says the same of rows and AUM as refreshing'
);

SELECT is(
    customer.refresh_monthly_snapshot('2025-06-30') - ARRAY['snapshot_month', 'log_id', 'aum_total', 'aum_unattributed', 'upserted'],
    '{"total": 3, "inserted": 0, "updated": 0, "unchanged": 3, "stale": 0, "deleted": 0}',
    'and refreshing finds what restating wrote right'
);

SELECT is_empty('SELECT * FROM written', 'without writing a row');

-- What is deleted ------------------------------------------------------------------------------------------

DELETE FROM contract;
DELETE FROM award;
DELETE FROM loss;
DELETE FROM aum;
DELETE FROM customer.fct_customer_business_monthly_status;

INSERT INTO known_customer (company_id)
VALUES ('unsupported');

INSERT INTO contract (company_id, product_line_code)
VALUES ('A', 'PL201'), ('B', 'PL202');

INSERT INTO customer.fct_customer_business_monthly_status (
    snapshot_month, company_id, product_line_code, product_line_name, aum_balance
)
SELECT month, company_id, product_line_code, '企年受托', 1
FROM unnest(ARRAY[DATE '2025-05-31', '2025-06-30', '2025-07-31']) AS month
CROSS JOIN unnest(ARRAY['A', 'B', 'unsupported']) AS company_id
CROSS JOIN unnest(ARRAY['PL201', 'PL202', 'PL203']) AS product_line_code;

INSERT INTO aum (company_id, product_line_code, as_of, amount)
VALUES ('unsupported', 'PL202', '2025-06-01', 1), ('A', 'PL202', '2025-06-01', 1);

CALL pg_temp.remember();

SELECT is(
    pg_temp.restate(),
    '{"total": 2, "inserted": 0, "updated": 2, "unchanged": 0, "stale": 0, "deleted": 7}',
    'rows are deleted by customer and product line, whatever AUM they have at the source'
);

SELECT results_eq(
    $$ SELECT snapshot_month, count(*)
       FROM customer.fct_customer_business_monthly_status
       GROUP BY snapshot_month
       ORDER BY snapshot_month $$,
    $$ VALUES (DATE '2025-05-31', 9::bigint), ('2025-06-30', 2), ('2025-07-31', 9) $$,
    'the neighbouring months keep all of theirs'
);

SELECT is_empty(
    $$ SELECT * FROM written WHERE snapshot_month <> '2025-06-30' $$,
    'and none of them is written'
);

-- No AUM at the source ---------------------------------------------------------------------------------------

DELETE FROM contract;
DELETE FROM aum;
DELETE FROM customer.fct_customer_business_monthly_status;

INSERT INTO contract (company_id)
VALUES ('A'), ('B');

INSERT INTO aum (company_id, as_of, amount)
VALUES
    ('A', '2025-06-01', 5), ('B', '2025-06-01', 6),
    ('A', '2025-05-31', 8), ('B', '2025-07-01', 9);

SELECT pg_temp.restate() \g /dev/null

DELETE FROM aum WHERE as_of = '2025-06-01';

SELECT throws_ok(
    $$ SELECT customer.refresh_monthly_snapshot('2025-06-30') $$,
    '55000',
    'business."规模明细" has no row for 2025-06-30, and refreshing would overwrite its AUM with zeros',
    'premise: refreshing refuses to overwrite AUM with zeros'
);

SELECT is(
    customer.restate_monthly_snapshot('2025-06-30', 'it really is zero') - ARRAY['log_id', 'snapshot_month', 'upserted'],
    '{"total": 2, "inserted": 0, "updated": 2, "unchanged": 0, "stale": 0, "deleted": 0, "aum_total": 0.00, "aum_unattributed": 0.00}',
    'restating is the way out: it writes the zeros'
);

SELECT is(
    (SELECT array_agg(aum_balance) FROM customer.fct_customer_business_monthly_status WHERE snapshot_month = '2025-06-30'),
    '{0.00, 0.00}',
    'which are now stored'
);

SELECT lives_ok(
    $$ SELECT customer.refresh_monthly_snapshot('2025-06-30') $$,
    'after which refreshing works, too'
);

-- No version covers the month ----------------------------------------------------------------------------------

INSERT INTO aum (company_id, as_of, amount)
VALUES ('A', '2025-06-01', 5);

SELECT pg_temp.restate() \g /dev/null

UPDATE contract SET valid_from = '2025-07-01' WHERE company_id = 'A';
UPDATE contract SET valid_to = '2025-06-29' WHERE company_id = 'B';

INSERT INTO contract (company_id, plan_code, valid_from, valid_to)
VALUES ('B', 'P2', '2020-01-01', NULL);

SELECT pg_temp.fingerprint() AS before \gset

SELECT is(
    pg_temp.error_of($$ SELECT customer.restate_monthly_snapshot('2025-06-05', 'why') $$),
    ARRAY[
        '55000',
        'no contract version covers 2025-06-30, and restating would empty the month',
        'Load the versions that were true on that day (valid_from <= day <= valid_to) into customer.customer_plan_contract, or choose another month.'
    ],
    'a month that no version covers is not emptied, but refused'
);

SELECT is(pg_temp.fingerprint(), :'before', 'nothing has changed then: row, control or log');

SELECT is(
    (pg_temp.stored('A', 'PL202', '2025-06-30')).aum_balance, 5.00,
    'the rows are still there'
);

SELECT throws_ok(
    $$ SELECT customer.restate_monthly_snapshot('2019-06-30', 'why') $$,
    '55000',
    'no contract version covers 2019-06-30, and restating would empty the month',
    'a month that holds no rows either is refused, too'
);

SELECT is_empty(
    $$ SELECT snapshot_month FROM customer.monthly_snapshot_control WHERE snapshot_month = '2019-06-30'
       UNION ALL
       SELECT snapshot_month FROM customer.monthly_snapshot_log WHERE snapshot_month = '2019-06-30' $$,
    'and leaves no control row and no log entry'
);

DELETE FROM contract;

SELECT throws_ok(
    $$ SELECT customer.restate_monthly_snapshot('2025-06-30', 'why') $$,
    '55000',
    'no contract version covers 2025-06-30, and restating would empty the month',
    'where there are no contracts at all no version covers the month'
);

SELECT is(pg_temp.fingerprint(), :'before', 'and the month is not emptied');

-- Arguments ------------------------------------------------------------------------------------------------------

INSERT INTO contract (company_id)
VALUES ('A');

SELECT pg_temp.fingerprint() AS before \gset

SELECT is(
    pg_temp.error_of(format('SELECT customer.restate_monthly_snapshot(%L, %L)', day, reason)),
    ARRAY[code, message, hint],
    format('month %s, reason %s: SQLSTATE %s', coalesce(day, 'NULL'), coalesce(to_json(reason)::text, 'NULL'), code)
)
FROM (VALUES
    ('2025-06-30', NULL, '22004',
        'the reason for restating must not be NULL',
        'Say why the month is restated; the log keeps it.'),
    ('2025-06-30', '', '22023',
        'the reason for restating must not be blank, but is ""',
        'Say why the month is restated; the log keeps it.'),
    ('2025-06-30', '   ', '22023',
        'the reason for restating must not be blank, but is "   "',
        'Say why the month is restated; the log keeps it.'),
    ('2025-06-30', E'\t', '22023',
        E'the reason for restating must not be blank, but is "\t"',
        'Say why the month is restated; the log keeps it.'),
    ('2025-06-30', E'\n', '22023',
        E'the reason for restating must not be blank, but is "\n"',
        'Say why the month is restated; the log keeps it.'),
    ('2025-06-30', E' \r\n\t\f\x0b ', '22023',
        E'the reason for restating must not be blank, but is " \r\n\t\f\x0b "',
        'Say why the month is restated; the log keeps it.'),
    (NULL, 'why', '22004',
        'the snapshot month must not be NULL',
        'Pass any day of the month, such as DATE ''2026-01-31''.'),
    ('infinity', 'why', '22023',
        'the snapshot month must lie in the years 1 to 9999, but is infinity',
        'Pass any day of the month, such as DATE ''2026-01-31''.'),
    ('-infinity', 'why', '22023',
        'the snapshot month must lie in the years 1 to 9999, but is -infinity',
        'Pass any day of the month, such as DATE ''2026-01-31''.'),
    ('0001-12-31 BC', 'why', '22023',
        'the snapshot month must lie in the years 1 to 9999, but is 0001-12-31 BC',
        'Pass any day of the month, such as DATE ''2026-01-31''.'),
    ('10000-01-01', 'why', '22023',
        'the snapshot month must lie in the years 1 to 9999, but is 10000-01-01',
        'Pass any day of the month, such as DATE ''2026-01-31''.')
) AS bad (day, reason, code, message, hint);

SELECT is(
    (pg_temp.error_of('SELECT customer.restate_monthly_snapshot(NULL, NULL)'))[1], '22004',
    'both NULL: SQLSTATE 22004'
);

SELECT is(pg_temp.fingerprint(), :'before', 'bad arguments leave neither row, control nor log entry');

SELECT lives_ok(
    format('SELECT customer.restate_monthly_snapshot(%L, %L)', '2025-06-30', reason),
    format('%s is reason enough', to_json(reason))
)
FROM (VALUES ('.'), (E'\n x'), ('因为')) AS good (reason);

-- A closed month ---------------------------------------------------------------------------------------------------

INSERT INTO aum (company_id, as_of, amount)
VALUES ('A', '2025-06-01', 10);

UPDATE customer.monthly_snapshot_control
SET
    closed_at = '2025-07-10 08:30:15.75+08',
    closed_by = 'ann',
    close_note = 'published'
WHERE snapshot_month = '2025-06-30';

SELECT pg_temp.fingerprint() AS before \gset

SELECT is(
    pg_temp.error_of($$ SELECT customer.restate_monthly_snapshot('2025-06-01', 'why') $$),
    ARRAY[
        '55000',
        'month 2025-06-30 is closed: by ann at 2025-07-10 00:30:15 UTC (published)',
        'If its published numbers must change: SELECT customer.reopen_snapshot_month(DATE ''2025-06-30'', ''why'');'
    ],
    'a closed month is refused, with who closed it, when, why, and how to reopen it'
);

SELECT is(pg_temp.fingerprint(), :'before', 'nothing of it changes');

SELECT lives_ok(
    $$ SELECT customer.restate_monthly_snapshot('2025-07-31', 'why') $$,
    'its neighbour can be restated still'
);

UPDATE customer.monthly_snapshot_control
SET
    closed_at = NULL,
    closed_by = NULL,
    close_note = NULL
WHERE snapshot_month = '2025-06-30';

-- Columns that only restating needs ------------------------------------------------------------------------------------

-- What restating (or refreshing) says after some DDL, which is undone again.
CREATE FUNCTION pg_temp.after_ddl(p_ddl text, p_sql text)
RETURNS text[]
LANGUAGE plpgsql
AS $$
DECLARE
    v_answer text[];
BEGIN
    BEGIN
        EXECUTE p_ddl;
        v_answer := pg_temp.error_of(p_sql);
        RAISE EXCEPTION USING ERRCODE = 'UNDO1';
    EXCEPTION
        WHEN SQLSTATE 'UNDO1' THEN
            RETURN v_answer;
    END;
END
$$;

CREATE TEMPORARY TABLE without_columns (ddl, columns, reason) AS VALUES
    ('ALTER TABLE customer.customer_plan_contract DROP COLUMN valid_from CASCADE',
        'valid_from', 'valid_from dropped'),
    ('ALTER TABLE customer.customer_plan_contract RENAME COLUMN valid_from TO start_date',
        'valid_from', 'valid_from renamed'),
    ('ALTER TABLE customer.customer_plan_contract DROP COLUMN contract_id CASCADE',
        'contract_id', 'contract_id dropped'),
    ('ALTER TABLE customer.customer_plan_contract RENAME COLUMN contract_id TO id',
        'contract_id', 'contract_id renamed'),
    ('ALTER TABLE customer.customer_plan_contract RENAME COLUMN contract_id TO "Contract_Id"',
        'contract_id', 'contract_id with capitals'),
    ('ALTER TABLE customer.customer_plan_contract DROP COLUMN contract_id CASCADE, DROP COLUMN valid_from CASCADE',
        'valid_from, contract_id', 'both dropped');

SELECT is(
    pg_temp.after_ddl(ddl, $$ SELECT customer.restate_monthly_snapshot('2025-06-30', 'why') $$),
    ARRAY[
        '55000',
        'customer.customer_plan_contract lacks what restating needs: column ' || columns,
        'Restating works out which contract versions covered a day, so it needs valid_from and contract_id. Refreshing does not.'
    ],
    format('%s: restating names what it lacks', reason)
)
FROM without_columns;

SELECT is(
    pg_temp.after_ddl(ddl, $$ SELECT customer.refresh_monthly_snapshot('2025-06-30') $$),
    '{no error}',
    format('%s: refreshing works all the same', reason)
)
FROM without_columns;

SELECT is(
    pg_temp.after_ddl(
        'ALTER TABLE customer.customer_plan_contract RENAME TO contracts;
         CREATE VIEW customer.customer_plan_contract AS SELECT * FROM customer.contracts',
        $$ SELECT customer.restate_monthly_snapshot('2025-06-30', 'why') $$
    ),
    '{no error}',
    'a view of the contracts serves as well'
);

-- valid_from and valid_to as timestamps ----------------------------------------------------------------------------------

DELETE FROM contract;
DELETE FROM customer.fct_customer_business_monthly_status;

DROP VIEW contract, version;

ALTER TABLE customer.customer_plan_contract
    ALTER COLUMN valid_from TYPE timestamp,
    ALTER COLUMN valid_to DROP DEFAULT,
    ALTER COLUMN valid_to TYPE timestamp;

INSERT INTO customer.customer_plan_contract (
    company_id, plan_code, product_line_code, product_line_name,
    is_strategic, status_year, contract_status, valid_from, valid_to
)
VALUES
    ('over',                       'P1', 'PL202', '企年受托', FALSE, 2025, '正常', '2020-01-01 00:00', '9999-12-31 00:00'),
    ('begins on the day, 0:00',    'P1', 'PL202', '企年受托', FALSE, 2025, '正常', '2025-06-30 00:00', '9999-12-31 00:00'),
    ('begins on the day, 23:59',   'P1', 'PL202', '企年受托', FALSE, 2025, '正常', '2025-06-30 23:59:59.999999', '9999-12-31 00:00'),
    ('begins the day after, 0:00', 'P1', 'PL202', '企年受托', FALSE, 2025, '正常', '2025-07-01 00:00', '9999-12-31 00:00'),
    ('ends on the day, 0:00',      'P1', 'PL202', '企年受托', FALSE, 2025, '正常', '2020-01-01 00:00', '2025-06-30 00:00'),
    ('ends on the day, 23:59',     'P1', 'PL202', '企年受托', FALSE, 2025, '正常', '2020-01-01 00:00', '2025-06-30 23:59'),
    ('ends the day before, 23:59', 'P1', 'PL202', '企年受托', FALSE, 2025, '正常', '2020-01-01 00:00', '2025-06-29 23:59:59.999999'),
    ('two that day',               'P1', 'PL202', '企年受托', FALSE, 2025, '正常', '2025-06-30 15:00', '9999-12-31 00:00'),
    ('two that day',               'P1', 'PL202', '企年受托', TRUE,  2025, '正常', '2025-06-30 09:00', '2025-06-30 15:00'),
    ('no end',                     'P1', 'PL202', '企年受托', FALSE, 2025, '正常', '2020-01-01 00:00', NULL);

SELECT is(
    pg_temp.restate() - 'unchanged',
    '{"total": 6, "inserted": 6, "updated": 0, "stale": 0, "deleted": 0}',
    'timestamps serve for valid_from and valid_to'
);

SELECT is(
    (pg_temp.stored(company_id, 'PL202', '2025-06-30')).company_id IS NOT NULL,
    has_row,
    format('%s: a row is %s', company_id, CASE WHEN has_row THEN 'written' ELSE 'not written' END)
)
FROM (VALUES
    ('over',                       TRUE),
    ('begins on the day, 0:00',    TRUE),
    ('begins on the day, 23:59',   TRUE),
    ('begins the day after, 0:00', FALSE),
    ('ends on the day, 0:00',      TRUE),
    ('ends on the day, 23:59',     TRUE),
    ('ends the day before, 23:59', FALSE),
    ('no end',                     FALSE)
) AS example (company_id, has_row);

SELECT is(
    (pg_temp.stored('two that day', 'PL202', '2025-06-30')).is_strategic, FALSE,
    'of two versions of that day the one of the later hour counts'
);

SELECT is_empty(
    $$ SELECT check_name, violations, detail
       FROM customer.validate_monthly_snapshot('2025-06-30')
       WHERE severity = 'error' AND violations > 0 $$,
    'validate_monthly_snapshot reads the timestamps the same way'
);

SELECT * FROM finish();

ROLLBACK;
