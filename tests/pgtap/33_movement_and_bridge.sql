-- Proves what movement says of each customer and product line, and how the bridges add it up.
SET client_encoding = 'UTF8';

BEGIN;

SELECT plan(54);

\ir fixture.psql
\ir by_hand.psql

-- The query for a month's rows in a view, as text, which tells NULL from 0 and shows decimals; by customer and product line.
CREATE FUNCTION pg_temp.view_rows(p_name text, p_month date, p_condition text DEFAULT 'TRUE')
RETURNS text
LANGUAGE sql
AS $$
    SELECT format(
        'SELECT found::text FROM customer.monthly_status_%s AS found WHERE snapshot_month = %L AND %s ORDER BY found::text COLLATE "C"',
        p_name, p_month, p_condition
    )
$$;

-- Each presence with each movement ---------------------------------------------------------------------------------

-- What customers and product lines had in August and in September, if they had a row. Expected: presence and movement of the
-- row; its AUM, that of before and the change; and of the customer its movement, AUM and that of before.
CREATE TEMPORARY TABLE example (company_id, product_line_code, before, now, expected) AS VALUES
    ('came',                    'PL202', NULL,     5.00,  'added started 5.00 0.00 5.00, started 5.00 0.00'),
    ('came with a debt',        'PL202', NULL,    -5.00,  'added started -5.00 0.00 -5.00, started -5.00 0.00'),
    ('came with nothing',       'PL202', NULL,     0.00,  'added none 0.00 0.00 0.00, none 0.00 0.00'),
    ('left',                    'PL202', 5.00,     NULL,  'dropped ended 0.00 5.00 -5.00, ended 0.00 5.00'),
    ('left with a debt',        'PL202', -5.00,    NULL,  'dropped ended 0.00 -5.00 5.00, ended 0.00 -5.00'),
    ('left with nothing',       'PL202', 0.00,     NULL,  'dropped none 0.00 0.00 0.00, none 0.00 0.00'),
    ('from nothing',            'PL202', 0.00,     0.01,  'kept started 0.01 0.00 0.01, started 0.01 0.00'),
    ('from nothing to a debt',  'PL202', 0.00,    -0.01,  'kept started -0.01 0.00 -0.01, started -0.01 0.00'),
    ('to nothing',              'PL202', 5.00,     0.00,  'kept ended 0.00 5.00 -5.00, ended 0.00 5.00'),
    ('from a debt to nothing',  'PL202', -5.00,    0.00,  'kept ended 0.00 -5.00 5.00, ended 0.00 -5.00'),
    ('more',                    'PL202', 5.00,     5.01,  'kept grew 5.01 5.00 0.01, grew 5.01 5.00'),
    ('less of a debt',          'PL202', -5.01,   -5.00,  'kept grew -5.00 -5.01 0.01, grew -5.00 -5.01'),
    ('from a debt',             'PL202', -5.00,    5.00,  'kept grew 5.00 -5.00 10.00, grew 5.00 -5.00'),
    ('less',                    'PL202', 5.01,     5.00,  'kept shrank 5.00 5.01 -0.01, shrank 5.00 5.01'),
    ('more of a debt',          'PL202', -5.00,   -5.01,  'kept shrank -5.01 -5.00 -0.01, shrank -5.01 -5.00'),
    ('to a debt',               'PL202', 5.00,    -5.00,  'kept shrank -5.00 5.00 -10.00, shrank -5.00 5.00'),
    ('the same',                'PL202', 5.00,     5.00,  'kept steady 5.00 5.00 0.00, steady 5.00 5.00'),
    ('the same debt',           'PL202', -5.00,   -5.00,  'kept steady -5.00 -5.00 0.00, steady -5.00 -5.00'),
    ('nothing',                 'PL202', 0.00,     0.00,  'kept none 0.00 0.00 0.00, none 0.00 0.00'),
    -- Of two product lines.
    ('moved',                   'PL202', 100.00,   NULL,  'dropped ended 0.00 100.00 -100.00, steady 100.00 100.00'),
    ('moved',                   'PL203', NULL,   100.00,  'added started 100.00 0.00 100.00, steady 100.00 100.00'),
    ('ended in one, and grew',  'PL202', 20.00,    0.00,  'kept ended 0.00 20.00 -20.00, grew 60.00 30.00'),
    ('ended in one, and grew',  'PL203', 10.00,   60.00,  'kept grew 60.00 10.00 50.00, grew 60.00 30.00'),
    ('balanced before',         'PL202', 5.00,     5.00,  'kept steady 5.00 5.00 0.00, started 1.00 0.00'),
    ('balanced before',         'PL203', -5.00,   -4.00,  'kept grew -4.00 -5.00 1.00, started 1.00 0.00'),
    ('balanced now',            'PL202', 7.00,     4.00,  'kept shrank 4.00 7.00 -3.00, ended 0.00 10.00'),
    ('balanced now',            'PL203', 3.00,    -4.00,  'kept shrank -4.00 3.00 -7.00, ended 0.00 10.00'),
    ('balanced in both',        'PL202', 5.00,     6.00,  'kept grew 6.00 5.00 1.00, none 0.00 0.00'),
    ('balanced in both',        'PL203', -5.00,    NULL,  'dropped ended 0.00 -5.00 5.00, none 0.00 0.00'),
    ('balanced in both',        'PL204', NULL,    -6.00,  'added started -6.00 0.00 -6.00, none 0.00 0.00'),
    ('left both',               'PL202', 5.00,     NULL,  'dropped ended 0.00 5.00 -5.00, ended 0.00 4.00'),
    ('left both',               'PL203', -1.00,    NULL,  'dropped ended 0.00 -1.00 1.00, ended 0.00 4.00');

INSERT INTO known_customer
SELECT DISTINCT company_id
FROM example
UNION ALL
SELECT unnest('{A,B,C,D,E,F,G,H,I}'::text[]);

INSERT INTO fact (snapshot_month, company_id, product_line_code, aum_balance)
SELECT DATE '2025-08-31', company_id, product_line_code, before
FROM example
WHERE before IS NOT NULL
UNION ALL
SELECT '2025-09-30', company_id, product_line_code, now
FROM example
WHERE now IS NOT NULL;

SELECT is(
    (
        SELECT string_agg(
            concat_ws(
                ' ', presence, movement, aum_balance, previous_aum_balance, aum_change || ',',
                customer_movement, customer_aum_balance, customer_previous_aum_balance
            ),
            '; '
        )
        FROM customer.monthly_status_movement
        WHERE snapshot_month = '2025-09-30'
            AND company_id = example.company_id
            AND product_line_code = example.product_line_code
    ),
    expected,
    format('%s, %s: from %s to %s', company_id, product_line_code, coalesce(before::text, 'no row'), coalesce(now::text, 'no row'))
)
FROM example;

-- From December to January, in full ---------------------------------------------------------------------------------

INSERT INTO fact (snapshot_month, company_id, product_line_code, aum_balance, plan_count, product_line_name)
VALUES
    ('2025-12-31', 'A', 'PL201', 100.00, 1, '企年投资'),
    ('2025-12-31', 'A', 'PL202',  50.00, 1, '企年受托'),
    ('2025-12-31', 'B', 'PL201',  40.00, 4, '旧名'),
    ('2025-12-31', 'C', 'PL202',  25.55, 1, '企年受托'),
    ('2025-12-31', 'D', 'PL203',   8.00, 1, '职年投资'),
    ('2025-12-31', 'E', 'PL202',  -3.00, 1, '企年受托'),
    ('2025-12-31', 'F', 'PL201',   0.00, 1, '企年投资'),
    ('2025-12-31', 'G', 'PL204',   5.00, 1, '~'),
    ('2026-01-31', 'A', 'PL201', 150.00, 2, '企年投资'),
    ('2026-01-31', 'A', 'PL202',   0.00, 1, '企年受托'),
    ('2026-01-31', 'B', 'PL202',  40.00, 3, '企年受托'),
    ('2026-01-31', 'C', 'PL202',  20.55, 1, 'Z'),
    ('2026-01-31', 'E', 'PL202',  -1.00, 1, '企业受托'),
    ('2026-01-31', 'F', 'PL201',   7.00, 1, '企年投资'),
    ('2026-01-31', 'G', 'PL204',   5.00, 1, 'Z'),
    ('2026-01-31', 'H', 'PL202',   0.00, 1, '企年受托'),
    ('2026-01-31', 'I', 'PL202',   0.00, 1, '企年受托');

-- snapshot_month, company_id, product_line_code, product_line_name, presence, movement, aum_balance, previous_aum_balance,
-- aum_change, plan_count and five flags, the same of before, customer_aum_balance, customer_previous_aum_balance, customer_movement
SELECT results_eq(
    pg_temp.view_rows('movement', '2026-01-31', 'company_id IN (''A'', ''B'', ''G'')'),
    $$ VALUES
        ('(2026-01-31,A,PL201,企年投资,kept,grew,150.00,100.00,50.00,2,f,f,f,f,f,1,f,f,f,f,f,150.00,150.00,steady)'),
        ('(2026-01-31,A,PL202,企年受托,kept,ended,0.00,50.00,-50.00,1,f,f,f,f,f,1,f,f,f,f,f,150.00,150.00,steady)'),
        ('(2026-01-31,B,PL201,旧名,dropped,ended,0.00,40.00,-40.00,,,,,,,4,f,f,f,f,f,40.00,40.00,steady)'),
        ('(2026-01-31,B,PL202,企年受托,added,started,40.00,0.00,40.00,3,f,f,f,f,f,,,,,,,40.00,40.00,steady)'),
        ('(2026-01-31,G,PL204,Z,kept,steady,5.00,5.00,0.00,1,f,f,f,f,f,1,f,f,f,f,f,5.00,5.00,steady)') $$,
    'what a row says is NULL where there is none, AUM is 0, and the name of a dropped row is that of before'
);

SELECT is(
    pg_temp.after(
        format('UPDATE fact SET %I = TRUE WHERE snapshot_month = %L AND company_id = ''F''', flag, month),
        $$ SELECT string_agg(key, ', ')
           FROM customer.monthly_status_movement AS found
           CROSS JOIN jsonb_each(to_jsonb(found))
           WHERE company_id = 'F'
               AND snapshot_month = '2026-01-31'
               AND value = 'true' $$
    ),
    column_name,
    format('a flag of %s is %s of January, and no other', month, column_name)
)
FROM unnest('{is_strategic,is_existing,is_new,is_winning_this_year,is_churned_this_year}'::text[]) AS flag
CROSS JOIN LATERAL (VALUES ('2026-01-31', flag), ('2025-12-31', 'previous_' || flag)) AS marked (month, column_name);

-- The bridges, in the order of their columns:
-- snapshot_month, product_line_code, product_line_name (not in the total)
-- previous_aum_balance + started_aum + ended_aum + grew_aum + shrank_aum = aum_balance
-- previous_customers_with_aum + started_customers - ended_customers = customers_with_aum
-- grew_customers, shrank_customers, steady_customers, added_customers, dropped_customers, started_rate, ended_rate, ended_aum_rate
SELECT results_eq(
    pg_temp.view_rows('bridge', '2026-01-31'),
    $$ VALUES
        -- A grew, F started, and B is gone: 40 / 140 = 0.28571.
        ('(2026-01-31,PL201,企年投资,140.00,7.00,-40.00,50.00,0.00,157.00,2,1,1,2,1,0,0,0,1,0.5000,0.5000,0.2857)'),
        -- B started, A ended, E grew, C shrank; H and I came with nothing: 50 / 72.55 = 0.68918. Of the names of now the greatest.
        ('(2026-01-31,PL202,企年受托,72.55,40.00,-50.00,2.00,-5.00,59.55,3,1,1,3,1,1,0,3,0,0.3333,0.3333,0.6892)'),
        -- A product line that is gone keeps its name.
        ('(2026-01-31,PL203,职年投资,8.00,0.00,-8.00,0.00,0.00,0.00,1,0,1,0,0,0,0,0,1,0.0000,1.0000,1.0000)'),
        -- One that was renamed has its new name, though the old one is greater.
        ('(2026-01-31,PL204,Z,5.00,0.00,0.00,0.00,0.00,5.00,1,0,0,1,0,0,1,0,0,0.0000,0.0000,0.0000)') $$,
    'how each product line came from December to January'
);

SELECT results_eq(
    pg_temp.view_rows('bridge_total', '2026-01-31'),
    -- Each customer once: F started, D ended, E grew, C shrank; A, B and G are steady; H and I came, and D went: B has only moved.
    -- 1 / 6 = 0.16667; 8 / 225.55 = 0.03547
    $$ VALUES ('(2026-01-31,225.55,7.00,-8.00,2.00,-5.00,221.55,6,1,1,6,1,1,3,2,1,0.1667,0.1667,0.0355)') $$,
    'how all of it did: who ends in one product line and stays in another has not ended'
);

-- Which month it is held against -------------------------------------------------------------------------------------

-- The 29th of February comes before March.
INSERT INTO fact (snapshot_month, company_id, product_line_code, aum_balance)
VALUES
    ('2024-02-29', 'A', 'PL201',   5.00),
    ('2024-02-29', 'B', 'PL201',  -5.00),
    ('2024-02-29', 'C', 'PL202', -10.00),
    ('2024-02-29', 'D', 'PL203',   0.00),
    ('2024-02-29', 'E', 'PL204',  12.00),
    ('2024-02-29', 'F', 'PL204',  -2.00),
    ('2024-03-31', 'B', 'PL201',  -5.00),
    ('2024-03-31', 'C', 'PL202',   0.00),
    ('2024-03-31', 'D', 'PL203',   3.00),
    ('2024-03-31', 'E', 'PL204',  12.00),
    ('2024-03-31', 'A', 'PL205',   1.00);

SELECT results_eq(
    pg_temp.view_rows('bridge', '2024-03-31'),
    $$ VALUES
        -- AUM before was 0, of two customers; below 0; 0, of none.
        ('(2024-03-31,PL201,企年受托,0.00,0.00,-5.00,0.00,0.00,-5.00,2,0,1,1,0,0,1,0,1,0.0000,0.5000,)'),
        ('(2024-03-31,PL202,企年受托,-10.00,0.00,10.00,0.00,0.00,0.00,1,0,1,0,0,0,0,0,0,0.0000,1.0000,)'),
        ('(2024-03-31,PL203,企年受托,0.00,3.00,0.00,0.00,0.00,3.00,0,1,0,1,0,0,0,0,0,,,)'),
        -- Who ended had a debt.
        ('(2024-03-31,PL204,企年受托,10.00,0.00,2.00,0.00,0.00,12.00,2,0,1,1,0,0,1,0,1,0.0000,0.5000,-0.2000)'),
        -- A product line that was not there before had 0 of everything.
        ('(2024-03-31,PL205,企年受托,0.00,1.00,0.00,0.00,0.00,1.00,0,1,0,1,0,0,0,1,0,,,)') $$,
    'there is no rate of no customers, and none of AUM that is 0 or less'
);

SELECT is(
    pg_temp.after(
        format('UPDATE fact SET aum_balance = %s WHERE snapshot_month = ''2024-02-29''', before),
        pg_temp.view_rows('bridge_total', '2024-03-31')
    ),
    format('(2024-03-31,%s)', expected),
    format('the same in the total: %s', reason)
)
FROM (VALUES
    -- C and F have ended, D started, A has shrunk from 5 to 1.
    ('aum_balance', '0.00,3.00,12.00,0.00,-4.00,11.00,5,1,2,4,0,1,2,0,1,0.2000,0.4000,', 'AUM before was 0'),
    ('aum_balance - 0.01', '-0.06,0.00,12.02,3.03,-3.99,11.00,6,0,2,4,3,1,0,0,1,0.0000,0.3333,', 'AUM before was less than 0'),
    ('0', '0.00,11.00,0.00,0.00,0.00,11.00,0,4,0,4,0,0,0,0,1,,,', 'no customer had AUM'),
    ('CASE WHEN company_id NOT IN (''C'', ''F'') THEN 10 ELSE 0 END',
        '40.00,0.00,0.00,2.00,-31.00,11.00,4,0,0,4,1,3,0,0,1,0.0000,0.0000,0.0000', 'nobody has ended')
) AS total (before, expected, reason);

SELECT results_eq(
    pg_temp.view_rows(name, month, condition), format('VALUES (%L)', row),
    format('%s of %s: what the month says by itself, and NULL in all that compares', name, month)
)
FROM (VALUES
    ('movement', DATE '2024-02-29', 'company_id = ''A''', '(2024-02-29,A,PL201,企年受托,,,5.00,,,1,f,f,f,f,f,,,,,,,5.00,,)'),
    -- October and November are not stored, though September is.
    ('movement', '2025-12-31', 'product_line_code = ''PL204''', '(2025-12-31,G,PL204,~,,,5.00,,,1,f,f,f,f,f,,,,,,,5.00,,)'),
    ('bridge', '2025-12-31', 'product_line_code = ''PL204''', '(2025-12-31,PL204,~,,,,,,5.00,,,,1,,,,,,,,)'),
    ('bridge_total', '2025-12-31', 'TRUE', '(2025-12-31,,,,,,225.55,,,,6,,,,,,,,)')
) AS nothing_before (name, month, condition, row);

SELECT * FROM finish();

ROLLBACK;
