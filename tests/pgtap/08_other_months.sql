-- Proves that a refresh touches the rows of no other month.
SET client_encoding = 'UTF8';

BEGIN;

SELECT plan(8);

\ir fixture.psql

INSERT INTO contract (company_id, product_line_code)
VALUES ('A', 'PL201'), ('A', 'PL202'), ('B', 'PL202');

INSERT INTO aum (company_id, as_of, amount)
VALUES
    ('A', '2025-01-31', 1), ('A', '2025-12-31', 20), ('A', '2026-01-01', 300), ('A', '2026-01-31', 4000),
    ('A', '2026-02-01', 50000), ('A', '2027-01-01', 600000);

-- January 2026 with its neighbours, and the same month of the years around it.
SELECT customer.refresh_monthly_snapshot(month)
FROM unnest(ARRAY[DATE '2025-01-31', '2025-12-31', '2026-02-28', '2027-01-31', '2026-01-31']) AS month \g /dev/null

-- Every source and every column changes

UPDATE contract SET product_line_name = '新名', is_strategic = TRUE WHERE company_id = 'A';
UPDATE contract SET is_existing = TRUE WHERE company_id = 'B';
UPDATE contract SET valid_to = '2027-12-31' WHERE company_id = 'A' AND product_line_code = 'PL201';
UPDATE aum SET amount = amount * 2;

INSERT INTO contract (company_id, plan_code)
VALUES ('A', 'P2'), ('C', 'P1');

INSERT INTO award (company_id, reported_on)
VALUES ('A', '2025-06-01'), ('A', '2026-06-01'), ('A', '2027-06-01');

INSERT INTO loss (company_id, reported_on)
VALUES ('B', '2025-06-01'), ('B', '2026-06-01'), ('B', '2027-06-01');

CREATE TEMPORARY VIEW other AS
SELECT concat_ws(' ', 'control', ctid, control) AS version
FROM customer.monthly_snapshot_control AS control
WHERE snapshot_month <> '2026-01-31'
UNION ALL
SELECT concat_ws(' ', 'log', ctid, entry)
FROM customer.monthly_snapshot_log AS entry;

CREATE TEMPORARY TABLE other_before AS TABLE other;

CALL pg_temp.remember();

SELECT customer.refresh_monthly_snapshot('2026-01-31') AS result \gset

SELECT is(
    pg_temp.counts(:'result'),
    '{"snapshot_month": "2026-01-31", "total": 3, "upserted": 3, "inserted": 1, "updated": 2, "unchanged": 0,
      "stale": 1, "deleted": 0, "aum_total": 8600, "aum_unattributed": 0}',
    'the counts are of this month alone'
);

SELECT results_eq(
    'SELECT snapshot_month, company_id, product_line_code FROM written ORDER BY company_id',
    $$ VALUES
        (DATE '2026-01-31', 'A'::varchar, 'PL202'::varchar),
        ('2026-01-31', 'B', 'PL202'),
        ('2026-01-31', 'C', 'PL202') $$,
    'with every source changed, still only rows of the month are written'
);

SELECT is(
    pg_temp.stored('A', 'PL202', month),
    ROW(month, 'A', 'PL202', '企年受托', FALSE, FALSE, FALSE, FALSE, FALSE, aum_balance, 1, CURRENT_TIMESTAMP)
        ::customer.fct_customer_business_monthly_status,
    format('the row of %s says what it said', month)
)
FROM (VALUES
    (DATE '2025-01-31', 1.00), ('2025-12-31', 20), ('2026-02-28', 50000), ('2027-01-31', 600000)
) AS expected (month, aum_balance);

SELECT is_empty('TABLE other_before EXCEPT TABLE other', 'no other month''s control row is written, nor an entry of the log over');

SELECT customer.refresh_monthly_snapshot('2027-01-31') AS result \gset

SELECT is(
    pg_temp.stored('A', 'PL202', '2027-01-31'),
    ROW('2027-01-31', 'A', 'PL202', '新名', TRUE, FALSE, TRUE, TRUE, FALSE, 1200000, 2, CURRENT_TIMESTAMP)
        ::customer.fct_customer_business_monthly_status,
    'premise: every one of these changes does show once the month is refreshed'
);

SELECT * FROM finish();

ROLLBACK;
