-- Proves which rows stay that no current contract supports, which go, and what is kept up to date in those that stay.
SET client_encoding = 'UTF8';

BEGIN;

SELECT plan(55);

\ir fixture.psql

CREATE FUNCTION pg_temp.refresh(p_month date DEFAULT '2026-01-31')
RETURNS jsonb
LANGUAGE sql
AS $$
    SELECT pg_temp.counts(customer.refresh_monthly_snapshot(p_month)) - ARRAY['snapshot_month', 'aum_total', 'aum_unattributed']
$$;

-- What becomes of a row ------------------------------------------------------------------------------

-- Contracts run from 2020, until they become these; the AUM of January and of December was 100 where
-- there is any, and that of January becomes this. Then: the AUM in the row, or NULL for no row.
CREATE TEMPORARY TABLE example (company_id, had_aum, valid_from, valid_to, aum, january, december, reason) AS VALUES
    ('current', TRUE, DATE '2020-01-01', DATE '9999-12-31', 100, 100.00, 100.00, 'a contract that goes on'),
    ('later',     TRUE,  '2026-02-10',      '9999-12-31',      100,  100.00, 100.00, 'a current contract whose version begins after the month'),
    ('in June',   TRUE,  '2020-01-01',      '2026-06-30',      100,  100.00, 100.00, 'a contract that ended after the month'),
    ('corrected', TRUE,  '2020-01-01',      '2026-02-05',      150,  150.00, 100.00, 'it ended after the month; an AUM correction reaches it'),
    ('zero',      TRUE,  '2020-01-01',      '2026-02-05',      0,    0.00,   100.00, 'it ended after the month; the AUM is corrected to 0'),
    ('NULL',      TRUE,  '2020-01-01',      '2026-02-05',      NULL, NULL,   100.00, 'it ended after the month, and its AUM is gone'),
    ('no AUM',    FALSE, '2020-01-01',      '2026-02-05',      NULL, 0.00,   0.00,   'it ended after the month, and never had any AUM'),
    ('late AUM',  FALSE, '2020-01-01',      '2026-02-05',      70,   70.00,  0.00,   'it ended after the month, and its AUM came late'),
    ('last day',  TRUE,  '2020-01-01',      '2026-01-31',      100,  100.00, 100.00, 'it ended on the last day'),
    ('that day',  TRUE,  '2026-01-31',      '2026-01-31',      100,  100.00, NULL,   'it began and ended on the last day'),
    ('before',    TRUE,  '2020-01-01',      '2026-01-30',      100,  NULL,   100.00, 'it ended before the last day, though its AUM is there'),
    ('after',     TRUE,  '2026-02-01',      '2026-02-20',      100,  NULL,   NULL,   'its versions are dated after the month'),
    ('no end',    TRUE,  '2020-01-01',      NULL,              100,  NULL,   NULL,   'it has no end any more, and covers nothing'),
    ('deleted',   TRUE,  NULL,              NULL,              100,  NULL,   NULL,   'it was deleted'),
    ('re-coded',  TRUE,  '2020-01-01',      '2026-02-09',      NULL, NULL,   100.00, 're-coded to another line, and its AUM of January with it'),
    ('IN1',       TRUE,  '2020-01-01',      '2026-02-09',      NULL, NULL,   100.00, 'a temporary customer that was resolved, in January');

INSERT INTO contract (company_id)
SELECT company_id
FROM example;

INSERT INTO aum (company_id, as_of, amount)
SELECT company_id, as_of, 100
FROM example
CROSS JOIN (VALUES (DATE '2025-12-01'), ('2026-01-01')) AS month (as_of)
WHERE had_aum;

SELECT customer.refresh_monthly_snapshot('2025-12-31') \g /dev/null
SELECT customer.refresh_monthly_snapshot('2026-01-31') \g /dev/null

UPDATE contract
SET valid_from = example.valid_from, valid_to = example.valid_to
FROM example
WHERE contract.company_id = example.company_id
    AND example.valid_from IS NOT NULL;

DELETE FROM contract WHERE company_id = 'deleted';
DELETE FROM aum WHERE as_of = '2026-01-01';

INSERT INTO aum (company_id, amount)
SELECT company_id, aum
FROM example
WHERE aum IS NOT NULL;

INSERT INTO contract (company_id, product_line_code, valid_from)
VALUES ('re-coded', 'PL203', '2026-02-10'), ('a real customer', 'PL202', '2026-02-10');

INSERT INTO aum (company_id, product_line_code, amount)
VALUES ('re-coded', 'PL203', 100), ('a real customer', 'PL202', 100);

CALL pg_temp.remember();

SELECT customer.refresh_monthly_snapshot('2026-01-31') AS result \gset

SELECT is(
    pg_temp.counts(:'result'),
    -- Supported: current, later, re-coded and the real customer.
    '{"snapshot_month": "2026-01-31", "total": 4, "upserted": 5, "inserted": 2, "updated": 0, "unchanged": 2,
      "stale": 7, "deleted": 7, "aum_total": 400.00, "aum_unattributed": 920.00}',
    'rows that stay count as stale and, if they were written, as upserted; rows that go as deleted'
);

SELECT results_eq(
    format(
        $$ SELECT warning ->> 'message'
           FROM jsonb_array_elements(%L) AS warning
           WHERE warning ->> 'code' IN ('rows_removed', 'stale_rows') $$,
        :'result'::jsonb -> 'warnings'
    ),
    $$ VALUES
        ('rows removed from 2026-01-31: 7, with 700.00 yuan; no contract covers the last day of the month, or their AUM is gone from the detail'),
        ('stale rows of 2026-01-31 kept, which no current contract supports: 7, of which brought up to date: 3') $$,
    'the warnings say how many went, with how much AUM, and how many stayed'
);

SELECT is((pg_temp.stored(company_id)).aum_balance, january, format('January: %s', reason))
FROM example;

SELECT customer.refresh_monthly_snapshot('2025-12-31') \g /dev/null

SELECT is((pg_temp.stored(company_id, 'PL202', '2025-12-31')).aum_balance, december, format('in the month before: %s', reason))
FROM example;

SELECT results_eq(
    $$ SELECT product_line_code, aum_balance
       FROM customer.monthly_status_trend
       WHERE snapshot_month = '2026-01-31'
       ORDER BY product_line_code $$,
    -- Current and later, five stale ones with 520 yuan, and the real customer.
    $$ VALUES ('PL202'::varchar, 820.00), ('PL203', 100.00) $$,
    'AUM that was re-coded or resolved to another customer counts once'
);

-- What is kept up to date in a row that stays ------------------------------------------------------------

DELETE FROM contract;
DELETE FROM aum;
DELETE FROM customer.fct_customer_business_monthly_status;

INSERT INTO contract (company_id, plan_code, product_line_name, is_strategic, is_existing)
VALUES
    ('A', 'P1', '企年受托', TRUE,  FALSE),
    ('A', 'P2', '受托',     FALSE, FALSE),
    ('B', 'P1', '企年受托', FALSE, TRUE),
    ('C', 'P1', '企年受托', FALSE, FALSE);

INSERT INTO aum (company_id, amount)
VALUES ('A', 1), ('B', 20), ('C', 300);

INSERT INTO award (company_id)
VALUES ('C');

SELECT pg_temp.refresh() \g /dev/null

-- They end; what their versions say meanwhile is not what they said.
UPDATE contract
SET valid_to = '2026-01-31', product_line_name = '新名', is_strategic = NOT is_strategic, is_existing = NOT is_existing
WHERE company_id <> 'C';

DELETE FROM contract WHERE plan_code = 'P2';

INSERT INTO award (company_id, reported_on)
VALUES ('A', '2026-12-31'), ('B', '2026-12-31');

INSERT INTO loss (company_id, reported_on)
VALUES ('A', '2026-12-31');

UPDATE aum SET amount = 2.005 WHERE company_id = 'A';

SELECT is(
    pg_temp.refresh(),
    '{"total": 1, "upserted": 2, "inserted": 0, "updated": 0, "unchanged": 1, "stale": 2, "deleted": 0}',
    'rows that stay are brought up to date'
);

SELECT is(
    pg_temp.stored(company_id),
    ROW('2026-01-31', company_id, 'PL202', name, is_strategic, is_existing, is_new, TRUE, is_churned, aum, plans, CURRENT_TIMESTAMP)
        ::customer.fct_customer_business_monthly_status,
    format('%s: %s', company_id, what)
)
FROM (VALUES
    ('A', '受托',     TRUE,  FALSE, TRUE,  TRUE,  2.01,  2, 'AUM, award and loss are those of today; name, marks and plans stay as stored'),
    ('B', '企年受托', FALSE, TRUE,  FALSE, FALSE, 20.00, 1, 'with an award, a row that is stored as existing is not new')
) AS stays (company_id, name, is_strategic, is_existing, is_new, is_churned, aum, plans, what);

CALL pg_temp.remember();

SELECT is(
    pg_temp.refresh(),
    '{"total": 1, "upserted": 0, "inserted": 0, "updated": 0, "unchanged": 1, "stale": 2, "deleted": 0}',
    'each refresh counts them again'
);

SELECT is_empty('SELECT * FROM written', 'and leaves them untouched if they are right');

DELETE FROM award;
DELETE FROM loss;

SELECT pg_temp.refresh() \g /dev/null

SELECT is(
    pg_temp.stored('A'),
    ROW('2026-01-31', 'A', 'PL202', '受托', TRUE, FALSE, FALSE, FALSE, FALSE, 2.01, 2, CURRENT_TIMESTAMP)
        ::customer.fct_customer_business_monthly_status,
    'awards and losses that were taken back are gone from it'
);

-- Support that comes back ---------------------------------------------------------------------------------

UPDATE contract SET valid_to = '9999-12-31' WHERE company_id = 'A';
UPDATE contract SET valid_to = '9999-12-31', product_line_name = '企年受托', is_strategic = FALSE, is_existing = TRUE WHERE company_id = 'B';

SELECT is(
    pg_temp.refresh(),
    '{"total": 3, "upserted": 1, "inserted": 0, "updated": 1, "unchanged": 2, "stale": 0, "deleted": 0}',
    'a row that has support again is updated, or unchanged if it is right, and stale no more'
);

SELECT is((pg_temp.stored('A')).product_line_name, '新名', 'it says what its contracts say then');

-- No contract left at all ---------------------------------------------------------------------------------

UPDATE contract SET valid_to = '2026-03-31';

SELECT customer.refresh_monthly_snapshot('2026-01-31') AS result \gset

SELECT is(
    pg_temp.counts(:'result') - ARRAY['snapshot_month', 'aum_total', 'aum_unattributed'],
    '{"total": 0, "upserted": 0, "inserted": 0, "updated": 0, "unchanged": 0, "stale": 3, "deleted": 0}',
    'where every contract ended after the month all of its rows stay'
);

SELECT is(
    pg_temp.codes(:'result'), '{rows_differ, aum_differs, aum_unattributed, no_current_contract, stale_rows}',
    'and the warnings say that no contract is current'
);

-- The control row counts anew when rows are changed by hand ----------------------------------------------------

-- A current, B and C ended; January holds A, B and C as stale rows.
UPDATE contract SET valid_to = '9999-12-31' WHERE company_id = 'A';

INSERT INTO known_customer (company_id)
VALUES ('X');

CREATE TEMPORARY VIEW fact AS
SELECT *
FROM customer.fct_customer_business_monthly_status;

SELECT pg_temp.refresh() \g /dev/null

SELECT is(
    pg_temp.after(change, format('SELECT stale_rows FROM customer.monthly_snapshot_control WHERE snapshot_month = %L', month)), stale_rows,
    format('2 stale rows of 3 become %s: %s', stale_rows, what)
)
FROM (VALUES
    ('1', '2026-01-31', 'one is deleted', $$ DELETE FROM fact WHERE company_id = 'B' $$),
    ('2', '2026-01-31', 'a row that is not stale is deleted', $$ DELETE FROM fact WHERE company_id = 'A' $$),
    ('3', '2026-01-31', 'a row without a contract is added', $$ INSERT INTO fact VALUES ('2026-01-31', 'X', 'PL202', '企年受托') $$),
    ('3', '2026-01-31', 'a row is added whose customer has a contract in another product line only',
        $$ INSERT INTO fact VALUES ('2026-01-31', 'A', 'PL203', '职年投资') $$),
    ('1', '2026-01-31', 'one is moved to another month', $$ UPDATE fact SET snapshot_month = '2026-02-28' WHERE company_id = 'B' $$),
    ('3', '2026-01-31', 'a row that is not stale is given to another customer', $$ UPDATE fact SET company_id = 'X' WHERE company_id = 'A' $$),
    ('0', '2026-01-31', 'the table is truncated', 'TRUNCATE customer.fct_customer_business_monthly_status'),
    ('3', '2026-01-31', 'a contract ended since, when any row is changed',
        $$ UPDATE contract SET valid_to = '2026-04-30' WHERE company_id = 'A'; UPDATE fact SET plan_count = 9 WHERE company_id = 'C' $$),
    ('2', '2026-02-28', 'a month that the package never wrote is held against current contracts',
        $$ UPDATE fact SET snapshot_month = '2026-02-28' $$),
    -- The versions of B end before the last day of January, those of C begin after it.
    ('2', '2026-01-31', 'a restated month is held against the versions that cover its last day',
        $$ SELECT customer.restate_monthly_snapshot('2026-01-31', 'why');
           UPDATE contract SET valid_to = '2026-01-30' WHERE company_id = 'B';
           UPDATE contract SET valid_from = '2026-02-01' WHERE company_id = 'C';
           UPDATE fact SET plan_count = 9 WHERE company_id = 'A' $$)
) AS by_hand (stale_rows, month, what, change);

SELECT * FROM finish();

ROLLBACK;
