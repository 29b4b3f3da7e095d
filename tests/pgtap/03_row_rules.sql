-- Proves what each row and column of a snapshot says, with the cases that would break each rule.
SET client_encoding = 'UTF8';

BEGIN;

SELECT plan(74);

\ir fixture.psql

-- Companies are named after their case. All are in one load, of which January and June 2026 are written; what is
-- expected of them stands at the end.

-- Which rows there are

INSERT INTO contract (company_id, plan_code, product_line_code, valid_to)
VALUES
    ('current',          'P1', 'PL202', '9999-12-31'),
    ('ends later',       'P1', 'PL202', '2027-06-30'),
    ('ends a day early', 'P1', 'PL202', '9999-12-30'),
    ('endless',          'P1', 'PL202', 'infinity'),
    ('no end',           'P1', 'PL202', NULL),
    ('two lines',        'P1', 'PL201', '9999-12-31'),
    ('two lines',        'P1', 'PL202', '9999-12-31'),
    ('one line left',    'P1', 'PL201', '2025-12-31'),
    ('one line left',    'P1', 'PL202', '9999-12-31'),
    ('two plans',        'P1', 'PL202', '9999-12-31'),
    ('two plans',        'P2', 'PL202', '9999-12-31');

INSERT INTO contract (company_id, contract_status, valid_from)
VALUES ('in arrears', '停缴', '2020-01-01'), ('not begun', '正常', '2030-01-01');

INSERT INTO known_customer (company_id)
VALUES ('no contract');

-- product_line_name, is_strategic, is_existing

INSERT INTO contract (company_id, plan_code, product_line_name, valid_to)
VALUES
    ('last wins',   'P1', 'Trust',    '9999-12-31'),
    ('last wins',   'P2', 'trust',    '9999-12-31'),
    ('old name',    'P1', '旧名',     '2025-12-31'),
    ('old name',    'P1', '企年受托', '9999-12-31');

INSERT INTO contract (company_id, plan_code, is_strategic, is_existing)
VALUES
    ('strategic',         'P1', TRUE,  FALSE),
    ('existing',          'P1', FALSE, TRUE),
    ('unmarked',          'P1', NULL,  NULL),
    ('one of two',        'P1', TRUE,  FALSE),
    ('one of two',        'P2', FALSE, TRUE),
    ('false and NULL',    'P1', FALSE, FALSE),
    ('false and NULL',    'P2', NULL,  NULL),
    ('won, new',          'P1', FALSE, FALSE),
    ('won, existing',     'P1', FALSE, TRUE),
    ('won, one existing', 'P1', FALSE, FALSE),
    ('won, one existing', 'P2', FALSE, TRUE),
    ('won and lost',      'P1', TRUE,  FALSE),
    ('existing, not won', 'P1', FALSE, TRUE);

INSERT INTO contract (company_id, product_line_code, is_strategic, is_existing, valid_to)
VALUES
    ('other line',     'PL202', FALSE, FALSE, '9999-12-31'),
    ('other line',     'PL201', TRUE,  TRUE,  '9999-12-31'),
    ('was marked',     'PL202', FALSE, FALSE, '9999-12-31'),
    ('was marked',     'PL202', TRUE,  TRUE,  '2025-12-31');

-- is_winning_this_year, is_churned_this_year

CREATE TEMPORARY TABLE in_june (company_id, product_line_code, has_event, reason) AS VALUES
    ('last year',     'PL202', FALSE, 'on the last day of the year before'),
    ('new year',      'PL202', TRUE,  'on the first day of the year'),
    ('year''s end',   'PL202', TRUE,  'on the last day of the year'),
    ('next year',     'PL202', FALSE, 'on the first day of the next year'),
    ('year before',   'PL202', FALSE, 'on the same day of the year before'),
    ('twice',         'PL202', TRUE,  'three times in the year'),
    ('this line',     'PL201', TRUE,  'in one of two product lines, looked at in that one'),
    ('this line',     'PL202', FALSE, 'in one of two product lines, looked at in the other'),
    ('someone else',  'PL202', FALSE, 'of another customer in the same product line'),
    ('no line',       'PL202', FALSE, 'without a product line');

INSERT INTO contract (company_id, product_line_code)
SELECT company_id || suffix, product_line_code
FROM in_june
CROSS JOIN (VALUES (''), (' (loss)')) AS kind (suffix);

INSERT INTO award (company_id, product_line_code, reported_on)
VALUES
    ('last year',     'PL202', '2025-12-31'),
    ('new year',      'PL202', '2026-01-01'),
    ('year''s end',   'PL202', '2026-12-31'),
    ('next year',     'PL202', '2027-01-01'),
    ('year before',   'PL202', '2025-06-30'),
    ('twice',         'PL202', '2026-03-01'),
    ('twice',         'PL202', '2026-03-01'),
    ('twice',         'PL202', '2026-04-01'),
    ('this line',     'PL201', '2026-06-01'),
    ('no line',       NULL,    '2026-06-01'),
    (NULL,            'PL202', '2026-06-01'),
    (NULL,            NULL,    '2026-06-01'),
    ('unknown',       'PL202', '2026-06-01'),
    ('twice',         'PL999', '2026-06-01');

INSERT INTO loss (company_id, product_line_code, reported_on)
SELECT company_id || ' (loss)', product_line_code, reported_on
FROM award;

INSERT INTO aum (as_of, amount)
VALUES ('2026-06-01', 1);

INSERT INTO award (company_id)
VALUES ('won, new'), ('won, existing'), ('won, one existing'), ('won and lost'), ('won twice'), ('won twice'), ('no contract');

INSERT INTO loss (company_id)
VALUES ('won and lost'), ('won twice'), ('won twice'), ('no contract');

-- aum_balance: which days, whose rows, and rounding

INSERT INTO aum (company_id, product_line_code, as_of, amount, plan_code)
VALUES
    ('first day',       'PL202', '2026-01-01', 100,     'P1'),
    ('last day',        'PL202', '2026-01-31', 300,     'P1'),
    ('day before',      'PL202', '2025-12-31', 400,     'P1'),
    ('day after',       'PL202', '2026-02-01', 500,     'P1'),
    ('all three',       'PL202', '2025-12-31', 1,       'P1'),
    ('all three',       'PL202', '2026-01-01', 20,      'P1'),
    ('all three',       'PL202', '2026-01-20', 300,     'P1'),
    ('all three',       'PL202', '2026-01-31', 4000,    'P1'),
    ('all three',       'PL202', '2026-02-01', 50000,   'P1'),
    ('many plans',      'PL202', '2026-01-01', 1000,    'P1'),
    ('other plan',      'PL202', '2026-01-01', 44,      'P9'),
    ('NULL and 7',      'PL202', '2026-01-01', NULL,    'P1'),
    ('NULL and 7',      'PL202', '2026-01-01', 7,       'P1'),
    ('to zero',         'PL202', '2026-01-01', 66.66,   'P1'),
    ('to zero',         'PL202', '2026-01-01', -66.66,  'P1'),
    ('won twice',       'PL202', '2026-01-01', 77,      'P1'),
    ('large',           'PL202', '2026-01-01', 98765432109876.5432, 'P1'),
    ('large',           'PL202', '2026-01-01', 0.0018,  'P1'),
    (NULL,              'PL202', '2026-01-01', 8888,    'P1'),
    ('neighbour',       NULL,    '2026-01-01', 9999,    'P1'),
    (NULL,              NULL,    '2026-01-01', 9999,    'P1');

INSERT INTO aum (company_id, amount)
VALUES
    ('no contract',   100),
    ('half up',       0.0050),
    ('half down',     -0.0050),
    ('half away',     1.2250),
    ('half of a sum', 2.0025), ('half of a sum', 2.0025),
    ('three small',   0.0049), ('three small', 0.0049), ('three small', 0.0049);

INSERT INTO contract (company_id, plan_code)
SELECT DISTINCT company_id, 'P1'
FROM aum
WHERE company_id NOT IN (SELECT company_id FROM contract)
    AND company_id <> 'no contract'
UNION ALL
VALUES ('many plans', 'P2'), ('many plans', 'P3');

-- plan_count

-- The package does not rely on this key of the platform.
ALTER TABLE customer.customer_plan_contract DROP CONSTRAINT uq_active_contract;

INSERT INTO contract (company_id, plan_code, product_line_code, valid_to)
VALUES
    ('three plans',     'P1', 'PL202', '9999-12-31'),
    ('three plans',     'P2', 'PL202', '9999-12-31'),
    ('three plans',     'P3', 'PL202', '9999-12-31'),
    ('same plan twice', 'P1', 'PL202', '9999-12-31'),
    ('same plan twice', 'P1', 'PL202', '9999-12-31'),
    ('same plan twice', 'P2', 'PL202', '9999-12-31'),
    ('closed plan',     'P1', 'PL202', '9999-12-31'),
    ('closed plan',     'P2', 'PL202', '2025-12-31'),
    ('closed plan',     'P3', 'PL202', NULL),
    ('alike',           'p1', 'PL202', '9999-12-31'),
    ('alike',           'P1', 'PL202', '9999-12-31');

-- Keys that are the same when written one after the other, or but for case or white space

INSERT INTO mapping."产品线" ("产品线代码")
VALUES ('L'), ('2L'), ('12L');

INSERT INTO contract (company_id, product_line_code, plan_code, is_strategic, is_existing)
VALUES
    ('12', 'L',  'P1', FALSE, FALSE),
    ('1',  '2L', 'P1', TRUE,  NULL),
    ('1',  '2L', 'P2', NULL,  TRUE),
    ('1',  'L',  'P1', FALSE, FALSE),
    ('key',  'PL202', 'P1', FALSE, FALSE),
    ('KEY',  'PL202', 'P1', FALSE, FALSE),
    ('key ', 'PL202', 'P1', FALSE, FALSE);

INSERT INTO award (company_id, product_line_code, reported_on)
VALUES ('12', 'L', '2026-07-01'), ('', '12L', '2026-07-01'), ('key', 'PL202', '2026-07-01');

INSERT INTO loss (company_id, product_line_code, reported_on)
VALUES ('1', '2L', '2026-12-01'), ('', '12L', '2026-12-01'), ('key', 'PL202', '2026-12-01');

INSERT INTO aum (company_id, product_line_code, amount)
VALUES ('12', 'L', 100), ('1', '2L', 2000), ('', '12L', 30000), ('key', 'PL202', 10);

-- What is expected

SELECT customer.refresh_monthly_snapshot(month)
-- Again, so that the keys are compared with the stored ones, too.
FROM (VALUES (DATE '2026-01-31'), ('2026-01-31'), ('2026-06-30')) AS written (month) \g /dev/null

SELECT is(
    (SELECT to_jsonb(stored) ->> column_name FROM pg_temp.stored(company_id) AS stored), value,
    format('%s is %s: %s', column_name, coalesce(value, 'NULL, as there is no row'), reason)
)
FROM (VALUES
    -- Where there is a row, it has the customer that it was asked for.
    ('company_id', 'current', 'current', 'valid_to is 9999-12-31'),
    ('company_id', 'ends later', NULL, 'valid_to after the month, but not 9999-12-31'),
    ('company_id', 'ends a day early', NULL, 'valid_to 9999-12-30'),
    ('company_id', 'endless', NULL, 'valid_to infinity'),
    ('company_id', 'no end', NULL, 'valid_to NULL'),
    ('company_id', 'in arrears', 'in arrears', 'contract_status 停缴'),
    ('company_id', 'not begun', 'not begun', 'valid_from in the future'),
    ('company_id', 'no contract', NULL, 'award, loss and AUM but no contract'),
    ('product_line_name', 'last wins', 'trust', 'of two the one greater in bytes is taken: small letters over capitals'),
    ('product_line_name', 'old name', '企年受托', 'that of a closed contract does not count, though greater'),
    ('is_new', 'won, new', 'true', 'an award and no mark existing'),
    ('is_new', 'won, existing', 'false', 'an award and the mark existing'),
    ('is_new', 'won, one existing', 'false', 'an award and the mark existing on one of two contracts'),
    ('is_new', 'won and lost', 'true', 'an award, a loss and no mark existing'),
    ('is_new', 'existing, not won', 'false', 'the mark existing and no award'),
    ('aum_balance', 'first day', '100.00', '月度 on the first day of the month'),
    ('aum_balance', 'last day', '300.00', '月度 on the last day of the month'),
    ('aum_balance', 'day before', '0.00', '月度 on the last day of the month before'),
    ('aum_balance', 'day after', '0.00', '月度 on the first day of the next month'),
    ('aum_balance', 'all three', '4320.00', 'each kind of day has its part, neighbouring months left out'),
    ('aum_balance', 'neighbour', '0.00', 'only other customers in the product line, or no product line, have AUM'),
    ('aum_balance', 'many plans', '1000.00', 'it is counted once, however many plans the row stands for'),
    ('aum_balance', 'other plan', '44.00', 'whatever the plan that the AUM is of'),
    ('aum_balance', 'NULL and 7', '7.00', 'one of two amounts is NULL'),
    ('aum_balance', 'to zero', '0.00', 'the amounts cancel out'),
    ('aum_balance', 'won twice', '77.00', 'it is counted once, however many awards and losses there are'),
    ('aum_balance', 'large', '98765432109876.55', 'to the last digit: 98765432109876.5432 + 0.0018'),
    ('aum_balance', 'half up', '0.01', 'of 0.0050'),
    ('aum_balance', 'half down', '-0.01', 'of -0.0050'),
    ('aum_balance', 'half away', '1.23', 'of 1.2250 (away from zero, not to the even digit)'),
    ('aum_balance', 'half of a sum', '4.01', 'of 2.0025 + 2.0025, summed first'),
    ('aum_balance', 'three small', '0.01', 'of 0.0049 + 0.0049 + 0.0049, summed first'),
    ('plan_count', 'three plans', '3', 'three plans'),
    ('plan_count', 'same plan twice', '2', 'three contracts over two plans'),
    ('plan_count', 'closed plan', '1', 'one plan besides a closed one and one without an end'),
    ('plan_count', 'alike', '2', 'two plans that differ in a capital letter')
) AS example (column_name, company_id, value, reason);

SELECT is(
    ARRAY[(pg_temp.stored(company_id)).is_strategic, (pg_temp.stored(company_id)).is_existing], ARRAY[is_strategic, is_existing],
    format('is_strategic is %s and is_existing is %s where %s', is_strategic, is_existing, reason)
)
FROM (VALUES
    ('strategic',      TRUE,  FALSE, 'the only contract is marked strategic'),
    ('existing',       FALSE, TRUE,  'the only contract is marked existing'),
    ('unmarked',       FALSE, FALSE, 'the marks are NULL'),
    ('one of two',     TRUE,  TRUE,  'one of two contracts has the one mark, and the other the other'),
    ('false and NULL', FALSE, FALSE, 'one mark is false and one NULL'),
    ('other line',     FALSE, FALSE, 'the marks are on another product line of the customer'),
    ('was marked',     FALSE, FALSE, 'the marks are on a closed contract')
) AS example (company_id, is_strategic, is_existing, reason);

SELECT is(
    (
        SELECT ARRAY[is_winning_this_year, is_churned_this_year]
        FROM pg_temp.stored(company_id || suffix, product_line_code, '2026-06-30')
    ),
    ARRAY[has_event AND kind = 'an award', has_event AND kind = 'a loss'],
    format('June is %s for %s %s, and never for the other', CASE WHEN has_event THEN 'marked' ELSE 'not marked' END, kind, reason)
)
FROM in_june
CROSS JOIN (VALUES ('an award', ''), ('a loss', ' (loss)')) AS event (kind, suffix);

SELECT is(
    pg_temp.stored(company_id, line),
    ROW('2026-01-31', company_id, line, '企年受托', strategic, existing, won AND NOT existing, won, lost, aum, plans, CURRENT_TIMESTAMP)
        ::customer.fct_customer_business_monthly_status,
    format('customer "%s" in line %s has its own marks, award, loss, AUM and plans, and no other''s', company_id, line)
)
FROM (VALUES
    ('12',   'L',     FALSE, FALSE, TRUE,  FALSE, 100.00,  1),
    ('1',    '2L',    TRUE,  TRUE,  FALSE, TRUE,  2000.00, 2),
    ('1',    'L',     FALSE, FALSE, FALSE, FALSE, 0.00,    1),
    ('key',  'PL202', FALSE, FALSE, TRUE,  TRUE,  10.00,   1),
    ('KEY',  'PL202', FALSE, FALSE, FALSE, FALSE, 0.00,    1),
    ('key ', 'PL202', FALSE, FALSE, FALSE, FALSE, 0.00,    1),
    ('two lines', 'PL201', FALSE, FALSE, FALSE, FALSE, 0.00, 1),
    ('two lines', 'PL202', FALSE, FALSE, FALSE, FALSE, 0.00, 1),
    ('two plans', 'PL202', FALSE, FALSE, FALSE, FALSE, 0.00, 2)
) AS expected (company_id, line, strategic, existing, won, lost, aum, plans);

SELECT is((pg_temp.stored('one line left', line)).product_line_code::text, row_line, format('a customer who left one of two lines, in %s', line))
FROM (VALUES ('PL201', NULL), ('PL202', 'PL202')) AS expected (line, row_line);

SELECT * FROM finish();

ROLLBACK;
