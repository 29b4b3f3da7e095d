-- Proves what the trend says of each month, product line and total, and with what it compares them.
SET client_encoding = 'UTF8';

BEGIN;

SELECT plan(20);

\ir fixture.psql

-- The snapshot under a short name, with the columns that a test does not care about left out.
CREATE TEMPORARY VIEW snapshot AS
SELECT
    snapshot_month,
    company_id,
    product_line_code,
    aum_balance,
    plan_count,
    is_strategic,
    is_existing,
    is_new,
    is_winning_this_year,
    is_churned_this_year,
    product_line_name
FROM customer.fct_customer_business_monthly_status;

ALTER VIEW snapshot ALTER COLUMN product_line_code SET DEFAULT 'PL202';
ALTER VIEW snapshot ALTER COLUMN product_line_name SET DEFAULT '企年受托';
ALTER VIEW snapshot ALTER COLUMN plan_count SET DEFAULT 1;
ALTER VIEW snapshot ALTER COLUMN aum_balance SET DEFAULT 0;
ALTER VIEW snapshot ALTER COLUMN is_strategic SET DEFAULT FALSE;
ALTER VIEW snapshot ALTER COLUMN is_existing SET DEFAULT FALSE;
ALTER VIEW snapshot ALTER COLUMN is_new SET DEFAULT FALSE;
ALTER VIEW snapshot ALTER COLUMN is_winning_this_year SET DEFAULT FALSE;
ALTER VIEW snapshot ALTER COLUMN is_churned_this_year SET DEFAULT FALSE;

INSERT INTO known_customer (company_id)
VALUES ('A'), ('B'), ('C'), ('D');

INSERT INTO known_customer (company_id)
SELECT 'c' || number
FROM generate_series(1, 32) AS number;

SELECT is_empty(
    'SELECT * FROM customer.monthly_status_trend',
    'without snapshots there is no trend'
);

-- Two months, December and January -------------------------------------------------------------------

INSERT INTO snapshot (
    snapshot_month, company_id, product_line_code, product_line_name, aum_balance, plan_count, is_strategic, is_existing
)
VALUES
    ('2025-12-31', 'A', 'PL201', '企年投资', 100.00, 1, TRUE,  TRUE),
    ('2025-12-31', 'A', 'PL202', '企年受托',  50.00, 2, FALSE, TRUE),
    ('2025-12-31', 'B', 'PL202', '企年受托',  25.55, 1, FALSE, FALSE);

INSERT INTO snapshot (
    snapshot_month, company_id, product_line_code, product_line_name, aum_balance, plan_count,
    is_strategic, is_existing, is_new, is_winning_this_year, is_churned_this_year
)
VALUES
    ('2026-01-31', 'A', 'PL201', '企年投资', 150.00, 1, TRUE,  TRUE,  FALSE, FALSE, FALSE),
    ('2026-01-31', 'A', 'PL202', '企年受托',   0.00, 2, FALSE, FALSE, TRUE,  TRUE,  FALSE),
    ('2026-01-31', 'B', 'PL202', '企年受托',  20.55, 1, FALSE, FALSE, TRUE,  TRUE,  TRUE),
    ('2026-01-31', 'C', 'PL203', '职年投资',   7.00, 1, FALSE, FALSE, FALSE, FALSE, TRUE);

SELECT results_eq(
    $$ SELECT *
       FROM customer.monthly_status_trend
       ORDER BY snapshot_month, product_line_code COLLATE "C" $$,
    $$ VALUES
        -- No month before: no change. Nobody wrote the months, so that none has stale rows.
        (DATE '2025-12-31', 'PL201'::varchar, '企年投资' COLLATE "C", 1::bigint, 1::bigint, 1::bigint, 0::bigint, 0::bigint, 0::bigint,
            0.0000, 0.0000, 1::bigint, 100.00, NULL::numeric, NULL::numeric, NULL::bigint, FALSE),
        ('2025-12-31', 'PL202', '企年受托', 2, 0, 1, 0, 0, 0, 0.0000, 0.0000, 3,  75.55, NULL, NULL, NULL, FALSE),
        -- A counts once, as strategic and as existing too.
        ('2025-12-31', NULL,    '合计',     2, 1, 1, 0, 0, 0, 0.0000, 0.0000, 4, 175.55, NULL, NULL, NULL, FALSE),
        ('2026-01-31', 'PL201', '企年投资', 1, 1, 1, 0, 0, 0, 0.0000, 0.0000, 1, 150.00, 50.00, 0.5000, NULL, FALSE),
        -- 20.55 - 75.55 = -55; -55 / 75.55 = -0.727995
        ('2026-01-31', 'PL202', '企年受托', 2, 0, 0, 2, 2, 1, 1.0000, 0.5000, 3,  20.55, -55.00, -0.7280, NULL, FALSE),
        -- A product line that was not there before: 7.00 more than 0, and no ratio.
        ('2026-01-31', 'PL203', '职年投资', 1, 0, 0, 0, 0, 1, 0.0000, 1.0000, 1,   7.00, 7.00, NULL, NULL, FALSE),
        -- 177.55 - 175.55 = 2; 2 / 175.55 = 0.011393
        ('2026-01-31', NULL,    '合计',     3, 1, 1, 2, 2, 2, 0.6667, 0.6667, 5, 177.55, 2.00, 0.0114, NULL, FALSE) $$,
    'there is a row for each month and product line, and a total in which each customer counts once'
);

-- Which month it compares with ------------------------------------------------------------------------

CREATE FUNCTION pg_temp.change_in(p_month date, p_line text DEFAULT 'PL202')
RETURNS numeric[]
LANGUAGE sql
AS $$
    SELECT ARRAY[aum_change, aum_change_ratio]
    FROM customer.monthly_status_trend
    WHERE snapshot_month = p_month
        AND product_line_code IS NOT DISTINCT FROM p_line
$$;

-- February is left out.
INSERT INTO snapshot (snapshot_month, company_id, product_line_code, aum_balance)
VALUES
    ('2026-03-31', 'A', 'PL201', 160.00),
    ('2026-03-31', 'C', 'PL203',   0.00),
    ('2026-03-31', 'D', 'PL204',  -8.00),
    ('2026-04-30', 'B', 'PL202',  10.00),
    ('2026-04-30', 'C', 'PL203',   5.00),
    ('2026-04-30', 'D', 'PL204',   4.00);

SELECT is(
    pg_temp.change_in('2026-03-31', line), ARRAY[NULL, NULL]::numeric[],
    format('March, line %s: no change, since February is not stored, though January is', coalesce(line, '合计'))
)
FROM (VALUES ('PL201'), (NULL)) AS march (line);

SELECT is(
    pg_temp.change_in('2026-04-30', line), ARRAY[change, ratio],
    format('April, line %s: %s', coalesce(line, '合计'), reason)
)
FROM (VALUES
    ('PL202', 10.00, NULL, 'a product line that March does not hold counts as 0, and gives no ratio'),
    ('PL203', 5.00, NULL, 'no ratio to a product line whose AUM was 0'),
    ('PL204', 12.00, -1.5000, 'a ratio to what was negative is negative'),
    (NULL, -133.00, -0.8750, 'the total counts the product line that has gone, too')    -- 19 - 152, / 152
) AS april (line, change, ratio, reason);

SELECT is_empty(
    $$ SELECT *
       FROM customer.monthly_status_trend
       WHERE snapshot_month = '2026-04-30'
           AND product_line_code = 'PL201' $$,
    'a product line that is gone has no row of its own'
);

INSERT INTO snapshot (snapshot_month, company_id, aum_balance)
VALUES
    ('2024-01-31', 'A', 10.00),
    ('2024-02-29', 'A', 30.00),
    ('2024-03-31', 'A', 20.00),
    ('2025-01-31', 'A', 5.00);

SELECT is(
    pg_temp.change_in(month), ARRAY[change, ratio],
    format('%s: %s', month, reason)
)
FROM (VALUES
    (DATE '2024-01-31', NULL, NULL, 'the first month'),
    ('2024-02-29', 20.00,  2.0000, 'February of a leap year follows January'),
    ('2024-03-31', -10.00, -0.3333, 'March follows the 29th of February'),
    ('2025-01-31',  NULL,  NULL,   'January a year after January')
) AS example (month, change, ratio, reason);

-- Rates ------------------------------------------------------------------------------------------------

-- 1 in 32 is 0.03125, 3 in 32 is 0.09375.
INSERT INTO snapshot (snapshot_month, company_id, is_winning_this_year, is_churned_this_year)
SELECT
    '2022-06-30',
    'c' || number,
    number <= 1,
    number <= 3
FROM generate_series(1, 32) AS number;

SELECT results_eq(
    $$ SELECT winning_customers, churned_customers, customers, winning_rate::text, churn_rate::text
       FROM customer.monthly_status_trend
       WHERE snapshot_month = '2022-06-30' $$,
    $$ VALUES
        (1::bigint, 3::bigint, 32::bigint, '0.0313', '0.0938'),
        (1, 3, 32, '0.0313', '0.0938') $$,
    'rates have 4 decimals, halves away from zero'
);

-- A flag in any product line is one in the total.
INSERT INTO snapshot (
    snapshot_month, company_id, product_line_code, is_strategic, is_existing, is_new, is_winning_this_year, is_churned_this_year
)
VALUES
    ('2022-01-31', 'A', 'PL201', TRUE,  FALSE, FALSE, FALSE, TRUE),
    ('2022-01-31', 'A', 'PL202', FALSE, TRUE,  FALSE, TRUE,  FALSE),
    ('2022-01-31', 'A', 'PL203', TRUE,  FALSE, TRUE,  TRUE,  FALSE),
    ('2022-01-31', 'B', 'PL201', FALSE, FALSE, FALSE, FALSE, FALSE);

SELECT results_eq(
    $$ SELECT customers, strategic_customers, existing_customers, new_customers,
           winning_customers, churned_customers, winning_rate, churn_rate
       FROM customer.monthly_status_trend
       WHERE snapshot_month = '2022-01-31'
           AND product_line_code IS NULL $$,
    $$ VALUES (2::bigint, 1::bigint, 1::bigint, 1::bigint, 1::bigint, 1::bigint, 0.5000, 0.5000) $$,
    'in the total a customer is what it is in any of its product lines, once'
);

-- Names ------------------------------------------------------------------------------------------------

INSERT INTO snapshot (snapshot_month, company_id, product_line_name)
VALUES ('2022-02-28', 'A', '企业受托'), ('2022-02-28', 'B', '企年受托'), ('2022-02-28', 'C', 'Z');

SELECT results_eq(
    $$ SELECT product_line_code, product_line_name, customers
       FROM customer.monthly_status_trend
       WHERE snapshot_month = '2022-02-28'
       ORDER BY product_line_code $$,
    $$ VALUES ('PL202'::varchar, '企年受托' COLLATE "C", 3::bigint), (NULL, '合计', 3) $$,
    'a product line with several names has one row, under the name greatest in bytes'
);

-- Stale rows, closed months -------------------------------------------------------------------------------

INSERT INTO contract (company_id, product_line_code)
VALUES ('A', 'PL201'), ('A', 'PL202'), ('B', 'PL202'), ('C', 'PL202');

INSERT INTO aum (as_of)
VALUES ('2021-06-01');

SELECT customer.refresh_monthly_snapshot('2021-06-30') AS result \gset

UPDATE contract SET valid_to = '2021-06-30' WHERE company_id IN ('B', 'C');

SELECT customer.refresh_monthly_snapshot('2021-06-30') AS result \gset
SELECT customer.close_snapshot_month('2021-06-30', 'published') AS result \gset

CREATE FUNCTION pg_temp.state_of(p_month date)
RETURNS TABLE (product_line_code varchar, customers bigint, stale_rows bigint, is_closed boolean)
LANGUAGE sql
AS $$
    SELECT product_line_code, customers, stale_rows, is_closed
    FROM customer.monthly_status_trend
    WHERE snapshot_month = p_month
    ORDER BY product_line_code COLLATE "C"
$$;

SELECT results_eq(
    $$ SELECT * FROM pg_temp.state_of('2021-06-30') $$,
    $$ VALUES ('PL201'::varchar, 1::bigint, 2::bigint, TRUE), ('PL202', 3, 2, TRUE), (NULL, 3, 2, TRUE) $$,
    'stale rows count in the trend, and each row of the month tells how many they are and that it is closed'
);

UPDATE contract SET valid_to = '2021-05-31' WHERE company_id IN ('B', 'C');

SELECT customer.reopen_snapshot_month('2021-06-30', 'a mistake') AS result \gset
SELECT customer.restate_monthly_snapshot('2021-06-30', 'a mistake') AS result \gset

SELECT results_eq(
    $$ SELECT * FROM pg_temp.state_of('2021-06-30') $$,
    $$ VALUES ('PL201'::varchar, 1::bigint, 0::bigint, FALSE), ('PL202', 1, 0, FALSE), (NULL, 1, 0, FALSE) $$,
    'restated, it has none; reopened, it is not closed'
);

DELETE FROM customer.monthly_snapshot_control
WHERE snapshot_month = '2021-06-30';

SELECT results_eq(
    $$ SELECT * FROM pg_temp.state_of('2021-06-30') $$,
    $$ VALUES ('PL201'::varchar, 1::bigint, NULL::bigint, FALSE), ('PL202', 1, NULL, FALSE), (NULL, 1, NULL, FALSE) $$,
    'a month that the package knows nothing of has no number of stale rows, and is not closed'
);

-- Who may read it --------------------------------------------------------------------------------------------

CREATE ROLE pgtap_reader;
GRANT USAGE ON SCHEMA customer TO pgtap_reader;

GRANT SELECT ON customer.monthly_status_trend TO pgtap_reader;
SET LOCAL ROLE pgtap_reader;

SELECT isnt_empty(
    'SELECT * FROM customer.monthly_status_trend',
    'with SELECT on the trend alone it reads the trend'
);

RESET ROLE;

SELECT * FROM finish();

ROLLBACK;
