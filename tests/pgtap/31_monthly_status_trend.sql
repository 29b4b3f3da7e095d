-- Proves, column by column, what trend and total say of a month, and with what they compare it.
SET client_encoding = 'UTF8';

BEGIN;

SELECT plan(8);

\ir fixture.psql

-- The snapshot under a short name, with the columns that a test does not care about left out.
CREATE TEMPORARY VIEW snapshot AS
SELECT
    snapshot_month AS month,
    company_id,
    product_line_code AS line,
    aum_balance AS aum,
    plan_count AS plans,
    is_strategic,
    is_existing,
    is_new,
    is_winning_this_year AS is_winning,
    is_churned_this_year AS is_churned,
    product_line_name AS name
FROM customer.fct_customer_business_monthly_status;

ALTER VIEW snapshot ALTER COLUMN line SET DEFAULT 'PL202';
ALTER VIEW snapshot ALTER COLUMN name SET DEFAULT '企年受托';

-- B and C have rows and no contract: theirs are stale.
INSERT INTO known_customer (company_id)
VALUES ('B'), ('C'), ('E');

INSERT INTO contract (company_id, product_line_code)
VALUES ('A', 'PL201'), ('A', 'PL202'), ('D', 'PL201'), ('D', 'PL202');

SELECT is_empty(
    'SELECT snapshot_month FROM customer.monthly_status_trend UNION ALL SELECT snapshot_month FROM customer.monthly_status_total',
    'without rows there is neither trend nor total'
);

-- What a month says by itself ------------------------------------------------------------------------------

INSERT INTO snapshot (month, company_id, line, name, aum)
VALUES
    ('2025-12-31', 'A', 'PL201', '企年投资', 100.00),
    ('2025-12-31', 'A', 'PL202', '企年受托', 50.00),
    ('2025-12-31', 'B', 'PL202', '企年受托', 25.55),
    ('2025-12-31', 'E', 'PL204', '职年受托', 9.00);

-- What D has in one product line it owes in another.
INSERT INTO snapshot (month, company_id, line, name, aum, plans, is_strategic, is_existing, is_new, is_winning, is_churned)
VALUES
    ('2026-01-31', 'A', 'PL201', '企年投资', 150.00, 1, TRUE,  TRUE,  FALSE, FALSE, FALSE),
    ('2026-01-31', 'A', 'PL202', '企业受托',   0.00, 2, FALSE, FALSE, TRUE,  TRUE,  FALSE),
    ('2026-01-31', 'B', 'PL202', '企年受托',  20.55, 1, FALSE, TRUE,  FALSE, TRUE,  TRUE),
    ('2026-01-31', 'C', 'PL203', '职年投资',   7.00, 4, FALSE, FALSE, FALSE, FALSE, TRUE),
    ('2026-01-31', 'D', 'PL201', '企年投资',   5.00, 1, TRUE,  TRUE,  FALSE, FALSE, TRUE),
    ('2026-01-31', 'D', 'PL202', 'Z',         -5.00, 1, TRUE,  TRUE,  FALSE, FALSE, FALSE);

SELECT results_eq(
    format(
        $$ SELECT product_line_code, product_line_name, %1$s
           FROM customer.monthly_status_trend
           WHERE snapshot_month = '2026-01-31'
           UNION ALL
           SELECT NULL, NULL, %1$s
           FROM customer.monthly_status_total
           WHERE snapshot_month = '2026-01-31'
           ORDER BY product_line_code $$,
        'customers, customers_with_aum, strategic_customers, existing_customers, new_this_year_customers,
        winning_this_year_customers, churned_this_year_customers, plans, aum_balance, strategic_aum, stale_rows, stale_aum'
    ),
    $$ VALUES
        ('PL201'::varchar, '企年投资'::varchar, 2::bigint, 2::bigint, 2::bigint, 2::bigint, 0::bigint, 0::bigint, 1::bigint,
            2::bigint, 155.00, 155.00, 0::bigint, 0.00),
        -- Of several names the greatest in byte order.
        ('PL202', '企年受托', 3, 2, 1, 2, 1, 2, 1, 4, 15.55, -5.00, 1, 20.55),
        ('PL203', '职年投资', 1, 1, 0, 0, 0, 0, 1, 4, 7.00, 0.00, 1, 7.00),
        -- There in December, and gone.
        ('PL204', '职年受托', 0, 0, 0, 0, 0, 0, 0, 0, 0.00, 0.00, 0, 0.00),
        -- A and D count once, and as what they are in any product line; of D's AUM nothing is left.
        (NULL, NULL, 4, 3, 2, 3, 1, 2, 3, 10, 177.55, 150.00, 2, 27.55) $$,
    'a month has a row for each product line, and a total in which each customer counts once'
);

-- With what it is compared ---------------------------------------------------------------------------------

INSERT INTO snapshot (month, company_id, line, aum)
VALUES
    -- February is left out.
    ('2026-03-31', 'A', 'PL201', 160.00), ('2026-03-31', 'C', 'PL203', 0.00), ('2026-03-31', 'E', 'PL204', -8.00),
    ('2026-04-30', 'B', 'PL202', 10.00), ('2026-04-30', 'C', 'PL203', 5.00), ('2026-04-30', 'E', 'PL204', 4.00),
    ('2026-05-31', 'E', 'PL204', 1.00), ('2026-06-30', 'E', 'PL204', -2.00), ('2026-07-31', 'E', 'PL204', 0.00),
    ('2026-08-31', 'E', 'PL204', 3.00),
    -- Two years around a leap day.
    ('2011-02-28', 'A', 'PL202', 20.00), ('2011-02-28', 'B', 'PL201', 8.00), ('2011-02-28', 'C', 'PL201', 0.00),
    ('2012-02-29', 'A', 'PL202', 30.00), ('2012-02-29', 'C', 'PL203', 5.00),
    ('2012-03-31', 'A', 'PL202', 40.00),
    ('2013-02-28', 'A', 'PL202', 24.00),
    ('2013-03-31', 'C', 'PL203', 1.00),
    -- A year after less than nothing, and after nothing.
    ('2011-07-31', 'E', 'PL204', -2.00), ('2011-09-30', 'E', 'PL204', 0.00),
    ('2012-07-31', 'E', 'PL204', 3.00), ('2012-09-30', 'E', 'PL204', 3.00);

CREATE FUNCTION pg_temp.compared(p_from date, p_to date)
RETURNS TABLE (
    month date, line text, aum numeric, change numeric, ratio numeric, year_ago_customers bigint, year_ago numeric, year_change numeric,
    year_ratio numeric
)
LANGUAGE sql
AS $$
    SELECT
        snapshot_month, product_line_code, aum_balance, aum_change, aum_change_ratio, year_ago_customers_with_aum, year_ago_aum_balance,
        year_ago_aum_change, year_ago_aum_change_ratio
    FROM customer.monthly_status_trend
    WHERE snapshot_month BETWEEN p_from AND p_to
    UNION ALL
    SELECT
        snapshot_month, 'total', aum_balance, aum_change, aum_change_ratio, year_ago_customers_with_aum, year_ago_aum_balance,
        year_ago_aum_change, year_ago_aum_change_ratio
    FROM customer.monthly_status_total
    WHERE snapshot_month BETWEEN p_from AND p_to
    ORDER BY 1, 2
$$;

SELECT results_eq(
    $$ SELECT month, line, aum, change, ratio FROM pg_temp.compared('2025-12-31', '2026-08-31') $$,
    $$ VALUES
        -- Nothing is stored before it.
        (DATE '2025-12-31', 'PL201', 100.00, NULL::numeric, NULL::numeric),
        ('2025-12-31', 'PL202', 75.55, NULL, NULL),
        ('2025-12-31', 'PL204', 9.00, NULL, NULL),
        ('2025-12-31', 'total', 184.55, NULL, NULL),
        ('2026-01-31', 'PL201', 155.00, 55.00, 0.5500),
        -- -60 / 75.55 = -0.794176
        ('2026-01-31', 'PL202', 15.55, -60.00, -0.7942),
        -- A new product line gained all that it has, at no ratio; one that has gone lost all that it had.
        ('2026-01-31', 'PL203', 7.00, 7.00, NULL),
        ('2026-01-31', 'PL204', 0.00, -9.00, -1.0000),
        -- -7 / 184.55 = -0.037930
        ('2026-01-31', 'total', 177.55, -7.00, -0.0379),
        -- January is not the month before, and nothing went in between.
        ('2026-03-31', 'PL201', 160.00, NULL, NULL),
        ('2026-03-31', 'PL203', 0.00, NULL, NULL),
        ('2026-03-31', 'PL204', -8.00, NULL, NULL),
        ('2026-03-31', 'total', 152.00, NULL, NULL),
        ('2026-04-30', 'PL201', 0.00, -160.00, -1.0000),
        ('2026-04-30', 'PL202', 10.00, 10.00, NULL),
        -- No ratio to 0, nor to less.
        ('2026-04-30', 'PL203', 5.00, 5.00, NULL),
        ('2026-04-30', 'PL204', 4.00, 12.00, NULL),
        ('2026-04-30', 'total', 19.00, -133.00, -0.8750),
        -- PL201 went a month earlier.
        ('2026-05-31', 'PL202', 0.00, -10.00, -1.0000),
        ('2026-05-31', 'PL203', 0.00, -5.00, -1.0000),
        ('2026-05-31', 'PL204', 1.00, -3.00, -0.7500),
        -- -18 / 19 = -0.947368
        ('2026-05-31', 'total', 1.00, -18.00, -0.9474),
        ('2026-06-30', 'PL204', -2.00, -3.00, -3.0000),
        ('2026-06-30', 'total', -2.00, -3.00, -3.0000),
        ('2026-07-31', 'PL204', 0.00, 2.00, NULL),
        ('2026-07-31', 'total', 0.00, 2.00, NULL),
        ('2026-08-31', 'PL204', 3.00, 3.00, NULL),
        ('2026-08-31', 'total', 3.00, 3.00, NULL) $$,
    'a month is compared with the calendar month before'
);

SELECT results_eq(
    $$ SELECT month, line, aum, year_ago_customers, year_ago, year_change, year_ratio FROM pg_temp.compared('2012-02-01', '2013-12-31') $$,
    $$ VALUES
        (DATE '2012-02-29', 'PL202', 30.00, 1::bigint, 20.00, 10.00, 0.5000),
        ('2012-02-29', 'PL203', 5.00, 0, 0.00, 5.00, NULL),
        -- What PL201 had is in the total only: neither in this month nor in the one before is there such a line.
        ('2012-02-29', 'total', 35.00, 2, 28.00, 7.00, 0.2500),
        -- March 2011 is not stored.
        ('2012-03-31', 'PL202', 40.00, NULL, NULL, NULL, NULL),
        ('2012-03-31', 'PL203', 0.00, NULL, NULL, NULL, NULL),
        ('2012-03-31', 'total', 40.00, NULL, NULL, NULL, NULL),
        ('2012-07-31', 'PL204', 3.00, 1, -2.00, 5.00, NULL),
        ('2012-07-31', 'total', 3.00, 1, -2.00, 5.00, NULL),
        ('2012-09-30', 'PL204', 3.00, 0, 0.00, 3.00, NULL),
        ('2012-09-30', 'total', 3.00, 0, 0.00, 3.00, NULL),
        ('2013-02-28', 'PL202', 24.00, 1, 30.00, -6.00, -0.2000),
        -- -11 / 35 = -0.314286
        ('2013-02-28', 'total', 24.00, 2, 35.00, -11.00, -0.3143),
        ('2013-03-31', 'PL202', 0.00, 1, 40.00, -40.00, -1.0000),
        ('2013-03-31', 'PL203', 1.00, 0, 0.00, 1.00, NULL),
        ('2013-03-31', 'total', 1.00, 1, 40.00, -39.00, -0.9750) $$,
    'a month is compared with the same month a year before'
);

SELECT results_eq(
    $$ SELECT snapshot_month, sum(plans), sum(aum_balance), sum(strategic_aum), sum(stale_rows), sum(stale_aum), sum(aum_change)
       FROM customer.monthly_status_trend
       GROUP BY snapshot_month
       ORDER BY snapshot_month $$,
    $$ SELECT snapshot_month, plans::numeric, aum_balance, strategic_aum, stale_rows::numeric, stale_aum, aum_change
       FROM customer.monthly_status_total
       ORDER BY snapshot_month $$,
    'over the product lines of each month plans, AUM and stale rows add up to the total''s, each once'
);

-- What the package knows of the month ------------------------------------------------------------------------

-- Of the detail of April 2021 3 yuan have no contract, of that of May 4, later 5.
INSERT INTO aum (company_id, as_of, amount)
VALUES
    ('A', '2021-04-01', 1), (NULL, '2021-04-01', 3), ('A', '2021-05-01', 1), (NULL, '2021-05-01', 4), ('A', '2021-06-01', 1),
    ('A', '2021-07-01', 1);

SELECT customer.refresh_monthly_snapshot('2021-05-31') \g /dev/null
SELECT customer.refresh_monthly_snapshot('2021-06-30') \g /dev/null
SELECT customer.refresh_monthly_snapshot('2021-07-31') \g /dev/null

UPDATE aum SET amount = 5 WHERE amount = 4;

SELECT customer.restate_monthly_snapshot('2021-05-31', 'late detail') \g /dev/null
SELECT customer.refresh_monthly_snapshot('2021-04-30') \g /dev/null
SELECT customer.close_snapshot_month('2021-04-30', 'published') \g /dev/null
SELECT customer.discard_snapshot_month('2021-06-30', 'a mistake') \g /dev/null
SELECT customer.discard_snapshot_month('2021-07-31', 'a mistake') \g /dev/null

-- In May there is one row more, and June is but this.
INSERT INTO snapshot (month, company_id)
VALUES ('2021-05-31', 'B'), ('2021-06-30', 'B');

DELETE FROM customer.monthly_snapshot_control WHERE snapshot_month = '2011-02-28';

UPDATE customer.monthly_snapshot_control SET last_changed_at = snapshot_month + TIME '12:00';

SELECT results_eq(
    format(
        $$ SELECT DISTINCT snapshot_month, rule, is_closed, last_changed_at::timestamp
           FROM customer.%s
           WHERE snapshot_month <= '2011-02-28' OR snapshot_month BETWEEN '2021-01-01' AND '2021-12-31'
           ORDER BY snapshot_month $$,
        name
    ),
    $$ VALUES
        (DATE '2011-02-28', NULL, FALSE, NULL::timestamp),
        ('2021-04-30', 'current', TRUE, '2021-04-30 12:00'),
        ('2021-05-31', 'as_of', FALSE, '2021-05-31 12:00'),
        ('2021-06-30', NULL, FALSE, '2021-06-30 12:00') $$,
    format('%s: by which rule a month was written, whether it is closed, and when its rows changed', name)
)
FROM (VALUES ('monthly_status_trend'), ('monthly_status_total')) AS package (name);

SELECT results_eq(
    $$ SELECT snapshot_month, row_count, aum_unattributed
       FROM customer.monthly_status_total
       WHERE snapshot_month < '2011-03-01' OR snapshot_month BETWEEN '2021-01-01' AND '2026-01-31'
       ORDER BY snapshot_month $$,
    $$ VALUES
        (DATE '2011-02-28', 3::bigint, NULL::numeric),
        ('2021-04-30', 4, 3.00),
        -- As its newest refresh or restate said.
        ('2021-05-31', 5, 5.00),
        -- What was written was discarded.
        ('2021-06-30', 1, NULL),
        ('2025-12-31', 4, NULL),
        ('2026-01-31', 6, NULL) $$,
    'the total says how many rows there are, and how much AUM was left without one'
);

SELECT * FROM finish();

ROLLBACK;
