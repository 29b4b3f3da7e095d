-- Proves that whatever changes rows of a month, or what stands behind them, brings the month's summary up to date,
-- and no other's; and that what changes nothing leaves it untouched.
SET client_encoding = 'UTF8';

BEGIN;

SELECT plan(31);

\ir fixture.psql
\ir by_hand.psql

INSERT INTO contract (company_id, product_line_code)
VALUES ('A', 'PL201'), ('A', 'PL202'), ('B', 'PL202');

INSERT INTO known_customer (company_id)
VALUES ('C');

INSERT INTO aum (company_id, product_line_code, as_of, amount)
VALUES
    ('A', 'PL201', '2026-01-01', 5), ('A', 'PL202', '2026-01-01', 10), ('B', 'PL202', '2026-01-01', 20),
    ('A', 'PL202', '2026-02-01', 11);

SELECT customer.refresh_monthly_snapshot(month)
FROM (VALUES (DATE '2026-01-31'), ('2026-02-28')) AS written (month) \g /dev/null

-- For brevity.
ALTER VIEW fact RENAME COLUMN snapshot_month TO month;
ALTER VIEW fact RENAME COLUMN company_id TO company;
ALTER VIEW fact RENAME COLUMN product_line_code TO line;
ALTER VIEW fact RENAME COLUMN aum_balance TO aum;
ALTER VIEW fact RENAME COLUMN plan_count TO plans;

-- As month and product line (or all): rows, their AUM, stale rows and their AUM.
CREATE TEMPORARY VIEW summary AS
SELECT
    ctid AS place,
    concat_ws(' ', to_char(snapshot_month, 'MM'), coalesce(product_line_code, 'all')) AS key,
    concat_ws(' ', row_count, aum_balance, stale_rows, stale_aum) AS numbers
FROM customer.monthly_status_summary;

SELECT results_eq(
    'SELECT key, numbers FROM summary ORDER BY key COLLATE "C"',
    $$ VALUES
        ('01 PL201', '1 5.00 0 0.00'), ('01 PL202', '2 30.00 0 0.00'), ('01 all', '3 35.00 0 0.00'),
        ('02 PL201', '1 0.00 0 0.00'), ('02 PL202', '2 11.00 0 0.00'), ('02 all', '3 11.00 0 0.00') $$,
    'premise: so they were refreshed'
);

-- What is written anew since, which months say that their rows changed, and whether control rows tell of other stale rows.
CREATE TEMPORARY TABLE remembered_summary AS
SELECT *
FROM summary;

UPDATE customer.monthly_snapshot_control SET last_changed_at = '2000-01-01';

CREATE TEMPORARY VIEW news AS
SELECT concat_ws(
    '; ',
    (
        SELECT string_agg(format('%s: %s', key, coalesce(summary.numbers, 'gone')), ', ' ORDER BY key COLLATE "C")
        FROM summary
        FULL JOIN remembered_summary AS remembered
            USING (key)
        WHERE summary.place IS DISTINCT FROM remembered.place
    ),
    (
        SELECT 'changed ' || string_agg(to_char(snapshot_month, 'MM'), ', ' ORDER BY snapshot_month)
        FROM customer.monthly_snapshot_control
        WHERE last_changed_at > CURRENT_TIMESTAMP
    ),
    (
        SELECT 'other number of stale rows: ' || string_agg(to_char(control.snapshot_month, 'MM'), ', ')
        FROM customer.monthly_snapshot_control AS control
        LEFT JOIN customer.monthly_status_summary AS total
            ON total.snapshot_month = control.snapshot_month
            AND total.product_line_code IS NULL
        WHERE control.stale_rows <> coalesce(total.stale_rows, 0)
    )
);

SELECT is(pg_temp.after(change, 'SELECT * FROM news'), news, what)
FROM (VALUES
    -- Functions.
    ('a refresh that finds the month right leaves it untouched',
        $$ SELECT customer.refresh_monthly_snapshot('2026-01-31') $$, ''),
    ('so does a restate',
        $$ SELECT customer.restate_monthly_snapshot('2026-01-31', 'why') $$, ''),
    ('so does closing and reopening',
        $$ SELECT customer.close_snapshot_month('2026-01-31', 'why'), customer.reopen_snapshot_month('2026-01-31', 'why') $$, ''),
    ('a refresh that updates rows',
        $$ UPDATE aum SET amount = 12 WHERE amount = 11; SELECT customer.refresh_monthly_snapshot('2026-02-28') $$,
        '02 PL201: 1 0.00 0 0.00, 02 PL202: 2 12.00 0 0.00, 02 all: 3 12.00 0 0.00; changed 02'),
    ('a refresh that inserts rows',
        $$ INSERT INTO contract (company_id, product_line_code) VALUES ('C', 'PL203'); SELECT customer.refresh_monthly_snapshot('2026-01-31') $$,
        '01 PL201: 1 5.00 0 0.00, 01 PL202: 2 30.00 0 0.00, 01 PL203: 1 0.00 0 0.00, 01 all: 4 35.00 0 0.00; changed 01'),
    ('a refresh that deletes rows',
        $$ UPDATE contract SET valid_to = '2026-01-30' WHERE company_id = 'B'; SELECT customer.refresh_monthly_snapshot('2026-01-31') $$,
        '01 PL201: 1 5.00 0 0.00, 01 PL202: 1 10.00 0 0.00, 01 all: 2 15.00 0 0.00; changed 01'),
    ('a refresh of a month that was not there',
        $$ INSERT INTO aum (company_id, as_of, amount) VALUES ('A', '2026-03-01', 13); SELECT customer.refresh_monthly_snapshot('2026-03-31') $$,
        '03 PL201: 1 0.00 0 0.00, 03 PL202: 2 13.00 0 0.00, 03 all: 3 13.00 0 0.00; changed 03'),
    ('a refresh that finds no summary',
        $$ DELETE FROM customer.monthly_status_summary WHERE snapshot_month = '2026-01-31'; SELECT customer.refresh_monthly_snapshot('2026-01-31') $$,
        '01 PL201: 1 5.00 0 0.00, 01 PL202: 2 30.00 0 0.00, 01 all: 3 35.00 0 0.00'),
    ('a refresh that finds rows stale, and no row changed',
        $$ UPDATE contract SET valid_to = '2026-02-10' WHERE company_id = 'B' OR product_line_code = 'PL201';
           SELECT customer.refresh_monthly_snapshot('2026-01-31') $$,
        '01 PL201: 1 5.00 1 5.00, 01 PL202: 2 30.00 1 20.00, 01 all: 3 35.00 2 25.00'),
    ('a refresh that finds the same rows stale leaves it untouched',
        $$ UPDATE contract SET valid_to = '2026-02-10' WHERE company_id = 'B' OR product_line_code = 'PL201';
           SELECT customer.refresh_monthly_snapshot('2026-01-31'); DELETE FROM remembered_summary; INSERT INTO remembered_summary TABLE summary;
           SELECT customer.refresh_monthly_snapshot('2026-01-31') $$, ''),
    ('a refresh that finds them stale no more',
        $$ UPDATE contract SET valid_to = '2026-02-10' WHERE company_id = 'B'; SELECT customer.refresh_monthly_snapshot('2026-01-31');
           UPDATE contract SET valid_to = '9999-12-31' WHERE company_id = 'B'; SELECT customer.refresh_monthly_snapshot('2026-01-31') $$,
        '01 PL201: 1 5.00 0 0.00, 01 PL202: 2 30.00 0 0.00, 01 all: 3 35.00 0 0.00'),
    ('a refresh that updates a stale row',
        $$ UPDATE contract SET valid_to = '2026-02-10' WHERE company_id = 'B'; UPDATE aum SET amount = 21 WHERE amount = 20;
           SELECT customer.refresh_monthly_snapshot('2026-01-31') $$,
        '01 PL201: 1 5.00 0 0.00, 01 PL202: 2 31.00 1 21.00, 01 all: 3 36.00 1 21.00; changed 01'),
    ('a restate that deletes rows',
        $$ UPDATE contract SET valid_from = '2026-02-01' WHERE product_line_code = 'PL201';
           SELECT customer.restate_monthly_snapshot('2026-01-31', 'why') $$,
        '01 PL201: gone, 01 PL202: 2 30.00 0 0.00, 01 all: 2 30.00 0 0.00; changed 01'),
    ('discarding a month',
        $$ SELECT customer.discard_snapshot_month('2026-01-31', 'why') $$,
        '01 PL201: gone, 01 PL202: gone, 01 all: gone; changed 01'),
    ('discarding a month without rows changes none',
        $$ DELETE FROM fact WHERE month = '2026-01-31'; UPDATE customer.monthly_snapshot_control SET last_changed_at = '2000-01-01';
           SELECT customer.discard_snapshot_month('2026-01-31', 'why') $$,
        '01 PL201: gone, 01 PL202: gone, 01 all: gone'),
    -- By hand.
    ('INSERT by hand; nobody has a contract for it',
        $$ INSERT INTO fact (month, company, aum) VALUES ('2026-01-31', 'C', 7) $$,
        '01 PL201: 1 5.00 0 0.00, 01 PL202: 3 37.00 1 7.00, 01 all: 4 42.00 1 7.00; changed 01'),
    ('INSERT by hand into several months',
        $$ INSERT INTO fact (month, company, line, aum) VALUES ('2026-01-31', 'B', 'PL201', 7), ('2026-03-31', 'A', 'PL202', 8) $$,
        '01 PL201: 2 12.00 1 7.00, 01 PL202: 2 30.00 0 0.00, 01 all: 4 42.00 1 7.00, 03 PL202: 1 8.00 0 0.00, 03 all: 1 8.00 0 0.00; changed 01, 03'),
    ('UPDATE by hand',
        $$ UPDATE fact SET aum = 21 WHERE aum = 20 $$,
        '01 PL201: 1 5.00 0 0.00, 01 PL202: 2 31.00 0 0.00, 01 all: 3 36.00 0 0.00; changed 01'),
    ('UPDATE by hand that moves rows from one month into another',
        $$ UPDATE fact SET month = '2026-02-28', company = 'C' WHERE aum = 20 $$,
        '01 PL201: 1 5.00 0 0.00, 01 PL202: 1 10.00 0 0.00, 01 all: 2 15.00 0 0.00, '
            '02 PL201: 1 0.00 0 0.00, 02 PL202: 3 31.00 1 20.00, 02 all: 4 31.00 1 20.00; changed 01, 02'),
    ('UPDATE by hand to what is stored already: no row changes, but their contracts are looked at',
        $$ UPDATE contract SET valid_to = '2026-02-10' WHERE company_id = 'B'; UPDATE fact SET plans = plans WHERE aum = 5 $$,
        '01 PL201: 1 5.00 0 0.00, 01 PL202: 2 30.00 1 20.00, 01 all: 3 35.00 1 20.00'),
    ('UPDATE by hand of no row', $$ UPDATE fact SET plans = 9 WHERE month = '2026-03-31' $$, ''),
    ('by hand in a restated month: the contracts of its last day are looked at',
        $$ SELECT customer.restate_monthly_snapshot('2026-01-31', 'why'); UPDATE contract SET valid_from = '2026-02-01' WHERE company_id = 'B';
           UPDATE fact SET aum = 6 WHERE aum = 5 $$,
        '01 PL201: 1 6.00 0 0.00, 01 PL202: 2 30.00 1 20.00, 01 all: 3 36.00 1 20.00; changed 01'),
    ('DELETE by hand',
        $$ DELETE FROM fact WHERE aum = 20 $$,
        '01 PL201: 1 5.00 0 0.00, 01 PL202: 1 10.00 0 0.00, 01 all: 2 15.00 0 0.00; changed 01'),
    ('DELETE by hand of the last rows',
        $$ DELETE FROM fact WHERE month = '2026-01-31' $$,
        '01 PL201: gone, 01 PL202: gone, 01 all: gone; changed 01'),
    ('TRUNCATE',
        $$ TRUNCATE customer.fct_customer_business_monthly_status $$,
        '01 PL201: gone, 01 PL202: gone, 01 all: gone, 02 PL201: gone, 02 PL202: gone, 02 all: gone; changed 01, 02')
) AS example (what, change, news);

-- Triggers of others -----------------------------------------------------------------------------------------

UPDATE aum SET amount = 6 WHERE amount = 5;

SELECT is(
    pg_temp.after(
        format(
            $$ CREATE TRIGGER interfere AFTER UPDATE ON customer.fct_customer_business_monthly_status
               FOR EACH %s WHEN (pg_trigger_depth() = 0) EXECUTE FUNCTION pg_temp.interfere(%L);
               SELECT customer.%s $$,
            level, interference, call
        ),
        'SELECT * FROM news'
    ),
    news,
    format('while a function writes, a trigger changes %s', what)
)
FROM (VALUES
    ('a row of the month', 'ROW', 'refresh_monthly_snapshot(''2026-01-31'')', $$ UPDATE fact SET aum = 21 WHERE aum = 20 $$,
        '01 PL201: 1 6.00 0 0.00, 01 PL202: 2 31.00 0 0.00, 01 all: 3 37.00 0 0.00; changed 01'),
    ('a row of another month', 'ROW', 'refresh_monthly_snapshot(''2026-01-31'')', $$ UPDATE fact SET aum = 22 WHERE aum = 11 $$,
        '01 PL201: 1 6.00 0 0.00, 01 PL202: 2 30.00 0 0.00, 01 all: 3 36.00 0 0.00, '
            '02 PL201: 1 0.00 0 0.00, 02 PL202: 2 22.00 0 0.00, 02 all: 3 22.00 0 0.00; changed 01, 02'),
    ('a row of the month, of which the refresh changes none', 'STATEMENT', 'refresh_monthly_snapshot(''2026-02-28'')',
        $$ UPDATE fact SET aum = 22 WHERE aum = 11 $$,
        '02 PL201: 1 0.00 0 0.00, 02 PL202: 2 22.00 0 0.00, 02 all: 3 22.00 0 0.00; changed 02'),
    ('the month by a row that nobody has a contract for', 'ROW', 'refresh_monthly_snapshot(''2026-01-31'')',
        $$ INSERT INTO fact (month, company, aum) VALUES ('2026-01-31', 'C', 7) $$,
        '01 PL201: 1 6.00 0 0.00, 01 PL202: 3 37.00 1 7.00, 01 all: 4 43.00 1 7.00; changed 01'),
    ('a row whose contract ended since: stale by the rule that the month had, not by the one that it gets', 'STATEMENT',
        'restate_monthly_snapshot(''2026-02-28'', ''why'')',
        $$ UPDATE contract SET valid_to = '2026-03-31' WHERE company_id = 'B'; UPDATE fact SET aum = 22 WHERE aum = 11 $$,
        '02 PL201: 1 0.00 0 0.00, 02 PL202: 2 22.00 0 0.00, 02 all: 3 22.00 0 0.00; changed 02')
) AS example (what, level, call, interference, news);

SELECT * FROM finish();

ROLLBACK;
