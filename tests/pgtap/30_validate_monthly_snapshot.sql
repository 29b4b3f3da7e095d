-- Proves that validating a month finds each kind of fault, names the rows, and finds nothing else.
SET client_encoding = 'UTF8';

BEGIN;

SELECT plan(69);

\ir fixture.psql

CREATE FUNCTION pg_temp.report(p_month date DEFAULT '2026-01-31')
RETURNS TABLE (
    check_name text,
    severity text,
    violations bigint,
    detail text,
    sample jsonb,
    check_number bigint
)
LANGUAGE sql
AS $$
    SELECT *
    FROM customer.validate_monthly_snapshot(p_month) WITH ORDINALITY
$$;

-- What a report says otherwise than the one that was last remembered.
CREATE TEMPORARY TABLE remembered_report AS
SELECT *
FROM pg_temp.report();

CREATE PROCEDURE pg_temp.remember_report(p_month date DEFAULT '2026-01-31')
LANGUAGE sql
AS $$
    TRUNCATE remembered_report;
    INSERT INTO remembered_report
    SELECT *
    FROM pg_temp.report(p_month);
$$;

CREATE FUNCTION pg_temp.differences(p_month date DEFAULT '2026-01-31')
RETURNS TABLE (check_name text, severity text, violations bigint, detail text, sample jsonb)
LANGUAGE sql
AS $$
    SELECT check_name, severity, violations, detail, sample
    FROM (
        SELECT *
        FROM pg_temp.report(p_month)
        EXCEPT
        SELECT *
        FROM remembered_report
    ) AS different
    ORDER BY check_number
$$;

-- The same after a change that is then taken back.
CREATE FUNCTION pg_temp.differences_after(p_change text, p_month date DEFAULT '2026-01-31')
RETURNS TABLE (check_name text, severity text, violations bigint, detail text, sample jsonb)
LANGUAGE sql
AS $$
    SELECT *
    FROM jsonb_to_recordset(
        pg_temp.after(p_change, format('SELECT jsonb_agg(difference) FROM pg_temp.differences(%L) AS difference', p_month))::jsonb
    ) AS (check_name text, severity text, violations bigint, detail text, sample jsonb)
$$;

-- Which months it takes -----------------------------------------------------------------------------

SELECT throws_ok(
    'SELECT * FROM customer.validate_monthly_snapshot(NULL)', '22004',
    'the month to validate must not be NULL',
    'NULL is no month'
);

SELECT throws_ok(
    format('SELECT * FROM customer.validate_monthly_snapshot(%L)', day), '22023',
    format('the month to validate must lie in the years 1 to 9999, but is %s', day),
    format('%s is no month', day)
)
FROM (VALUES ('infinity'), ('-infinity'), ('0001-12-31 BC'), ('10000-01-01')) AS refused (day);

SELECT lives_ok(
    format('SELECT * FROM customer.validate_monthly_snapshot(%L)', day),
    format('%s is in a month', day)
)
FROM (VALUES ('0001-01-01'), ('9999-12-31')) AS taken (day);

-- Nothing anywhere -----------------------------------------------------------------------------------

SELECT results_eq(
    $$ SELECT check_name, violations, detail
       FROM pg_temp.report()
       WHERE violations > 0
           OR detail ~ 'yuan|awards of|awards, |losses of' $$,
    $$ VALUES
        ('snapshot_exists', 1::bigint, '2026-01-31 holds 0 rows; the sources support 0 by rule current'),
        ('missing_row', 0, '0 customers'' product lines have a contract and no row; 0 yuan of AUM'),
        ('stale_row', 0, '0 rows that no contract supports; they carry 0 yuan'),
        ('unmatched_award', 0,
            '0 of the 0 awards of 2026 match no row: 0 lack a key, 0 name a customer without a contract'),
        ('unmatched_loss', 0,
            '0 of the 0 losses of 2026 match no row: 0 lack a key, 0 name a customer without a contract'),
        ('source_reading', 0,
            '0 control totals are not those of the source tables: current contracts, awards, losses, rows or sum of the AUM detail'),
        ('aum_in_source', 0,
            '0 yuan of 期末资产规模 in 0 rows of the AUM detail; the next four lines add up to it'),
        ('aum_attributed', 0, '0 yuan belong to rows of the snapshot, before rounding'),
        ('aum_without_customer', 0, '0 yuan in 0 rows of the AUM detail whose customer is NULL or blank'),
        ('aum_without_contract', 0, '0 yuan in 0 rows of the AUM detail whose customer has no contract'),
        ('aum_without_product_line', 0,
            '0 yuan in 0 rows of the AUM detail whose customer has contracts, but none in that product line'),
        ('rounding', 0, '0 yuan: attributed AUM less the sum of aum_balance (0) over supported rows') $$,
    'where nothing is stored it says so, and counts 0 of everything'
);

-- A clean month --------------------------------------------------------------------------------------

INSERT INTO contract (company_id, product_line_code, plan_code, is_strategic, is_existing, valid_to)
VALUES
    ('A',    'PL201', 'P1', TRUE,  TRUE,  '9999-12-31'),
    ('A',    'PL202', 'P1', FALSE, NULL,  '9999-12-31'),
    ('B',    'PL202', 'P1', NULL,  TRUE,  '9999-12-31'),
    ('B',    'PL202', 'P2', FALSE, FALSE, '9999-12-31'),
    ('C',    'PL202', 'P1', FALSE, FALSE, '9999-12-31'),
    ('gone', 'PL202', 'P1', TRUE,  TRUE,  '2025-12-31');

INSERT INTO known_customer (company_id)
VALUES ('D');

INSERT INTO award (company_id, product_line_code, reported_on)
VALUES
    ('A',    'PL202', '2026-06-01'),
    ('B',    'PL202', '2026-01-01'),
    ('B',    'PL202', '2026-12-31'),
    ('C',    'PL201', '2026-01-01'),    -- from here on they match no row
    ('A',    NULL,    '2026-01-01'),
    (NULL,   'PL202', '2026-01-01'),
    ('',     ' ',     '2026-01-01'),
    ('D',    'PL202', '2026-01-01'),
    ('D',    'PL202', '2026-02-01'),
    ('X',    NULL,    '2026-01-01'),    -- of no contract and no key, both
    ('C',    'PL202', '2025-12-31'),    -- of other years
    ('X',    'PL202', '2025-12-31'),
    ('C',    'PL202', '2027-01-01'),
    ('X',    'PL202', '2027-01-01');

INSERT INTO loss (company_id, product_line_code, reported_on)
VALUES
    ('C',    'PL202', '2026-03-31'),
    ('gone', 'PL202', '2026-01-15'),
    (NULL,   NULL,    '2026-01-15'),
    (NULL,   NULL,    '2026-01-15'),
    ('A',    'PL202', '2025-12-31'),
    ('A',    'PL202', '2027-01-01');

INSERT INTO aum (company_id, product_line_code, as_of, amount)
VALUES
    ('A',    'PL202', '2026-01-01',  100.0049),
    ('A',    'PL202', '2026-01-31',    0.0001),
    ('B',    'PL202', '2026-01-15',  200.3333),
    (NULL,   'PL202', '2026-01-01',   10.5000),
    ('',     'PL202', '2026-01-01',    0.2500),
    (E' \t', NULL,    '2026-01-01',    1.0000),
    ('X',    'PL202', '2026-01-01', 1000.0000),
    ('gone', 'PL202', '2026-01-01',  -20.5000),
    ('A',    'PL203', '2026-01-01',    7.0000),
    ('A',    NULL,    '2026-01-01',    3.0000),
    ('B',    '',      '2026-01-01',    NULL),
    ('A',    'PL202', '2025-12-31', 9999.0000),
    ('X',    'PL202', '2026-02-01', 9999.0000),
    ('A',    'PL202', '2025-01-01', 9999.0000);

SELECT results_eq(
    $$ SELECT check_name, violations, detail, sample
       FROM pg_temp.report()
       WHERE check_name IN ('snapshot_exists', 'missing_row', 'rounding') $$,
    $$ VALUES
        ('snapshot_exists', 1::bigint, '2026-01-31 holds 0 rows; the sources support 4 by rule current', '[]'::jsonb),
        ('missing_row', 4, '4 customers'' product lines have a contract and no row; 300.3383 yuan of AUM',
            '[{"company_id": "A", "product_line_code": "PL201"}, {"company_id": "A", "product_line_code": "PL202"},
              {"company_id": "B", "product_line_code": "PL202"}, {"company_id": "C", "product_line_code": "PL202"}]'),
        ('rounding', 0,
            '300.3383 yuan: attributed AUM less the sum of aum_balance (0) over supported rows', '[]') $$,
    'before the first refresh all rows are missing'
);

SELECT customer.refresh_monthly_snapshot('2026-01-31') AS result \gset

CALL pg_temp.remember_report();

SELECT results_eq(
    'SELECT check_name, severity, violations, detail, sample FROM pg_temp.report()',
    $$ VALUES
        ('snapshot_exists', 'error', 0::bigint,
            '2026-01-31 holds 4 rows; the sources support 4 by rule current', '[]'::jsonb),
        ('blank_key', 'error', 0, '0 rows with a blank company_id or product_line_code', '[]'),
        ('orphaned_company', 'error', 0, '0 rows whose company_id is no customer of the source system', '[]'),
        ('orphaned_product_line', 'error', 0, '0 rows whose product_line_code is no product line of the source system', '[]'),
        ('product_line_name', 'error', 0, '0 rows whose product_line_name is not what their contracts say', '[]'),
        ('is_strategic', 'error', 0, '0 rows whose is_strategic (战客) is not what their contracts say', '[]'),
        ('is_existing', 'error', 0, '0 rows whose is_existing (已客) is not what their contracts say', '[]'),
        ('is_new', 'error', 0, '0 rows whose is_new (新客) is not what their awards and contracts say', '[]'),
        ('is_winning_this_year', 'error', 0, '0 rows whose is_winning_this_year is not what 当年中标 says of 2026', '[]'),
        ('is_churned_this_year', 'error', 0, '0 rows whose is_churned_this_year is not what 当年流失 says of 2026', '[]'),
        ('aum_balance', 'error', 0,
            '0 rows whose aum_balance is not the sum of 期末资产规模, rounded to 2 decimals', '[]'),
        ('plan_count', 'error', 0, '0 rows whose plan_count is not the number of their plans', '[]'),
        ('missing_row', 'error', 0, '0 customers'' product lines have a contract and no row; 0 yuan of AUM', '[]'),
        ('stale_row', 'warning', 0, '0 rows that no contract supports; they carry 0 yuan', '[]'),
        -- D's two awards are one key; NULLs come last, so customer NULL is the sixth.
        ('unmatched_award', 'warning', 7,
            '7 of the 10 awards of 2026 match no row: 4 lack a key, 3 name a customer without a contract',
            '[{"company_id": "", "product_line_code": " "}, {"company_id": "A", "product_line_code": null},
              {"company_id": "C", "product_line_code": "PL201"}, {"company_id": "D", "product_line_code": "PL202"},
              {"company_id": "X", "product_line_code": null}]'),
        ('unmatched_loss', 'warning', 3,
            '3 of the 4 losses of 2026 match no row: 2 lack a key, 1 name a customer without a contract',
            '[{"company_id": "gone", "product_line_code": "PL202"}, {"company_id": null, "product_line_code": null}]'),
        -- 300.3383 + 11.7500 + 979.5000 + 10.0000
        ('source_reading', 'error', 0,
            '0 control totals are not those of the source tables: current contracts, awards, losses, rows or sum of the AUM detail', '[]'),
        ('aum_in_source', 'info', 0,
            '1301.5883 yuan of 期末资产规模 in 11 rows of the AUM detail; the next four lines add up to it', '[]'),
        -- 100.0050 + 200.3333
        ('aum_attributed', 'info', 0, '300.3383 yuan belong to rows of the snapshot, before rounding', '[]'),
        ('aum_without_customer', 'info', 3, '11.7500 yuan in 3 rows of the AUM detail whose customer is NULL or blank',
            '[{"company_id": "", "product_line_code": "PL202"}, {"company_id": " \t", "product_line_code": null},
              {"company_id": null, "product_line_code": "PL202"}]'),
        ('aum_without_contract', 'info', 2, '979.5000 yuan in 2 rows of the AUM detail whose customer has no contract',
            '[{"company_id": "X", "product_line_code": "PL202"}, {"company_id": "gone", "product_line_code": "PL202"}]'),
        ('aum_without_product_line', 'info', 3,
            '10.0000 yuan in 3 rows of the AUM detail whose customer has contracts, but none in that product line',
            '[{"company_id": "A", "product_line_code": "PL203"}, {"company_id": "A", "product_line_code": null},
              {"company_id": "B", "product_line_code": ""}]'),
        -- 100.01 + 200.33
        ('rounding', 'info', 0,
            '-0.0017 yuan: attributed AUM less the sum of aum_balance (300.34) over supported rows', '[]') $$,
    'a month that was just refreshed is clean, and all AUM, awards and losses are accounted for'
);

SELECT is_empty(
    format('SELECT * FROM pg_temp.differences(%L)', day),
    format('%s names the same month', day)
)
FROM (VALUES ('2026-01-01'), ('2026-01-31')) AS january (day);

SELECT is(
    (SELECT detail FROM pg_temp.report(day) WHERE check_name = 'snapshot_exists'),
    format('%s holds 0 rows; the sources support 4 by rule current', month),
    format('%s does not', day)
)
FROM (VALUES
    (DATE '2025-12-31', '2025-12-31'),
    ('2027-01-31', '2027-01-31'),
    ('2024-02-10', '2024-02-29')
) AS other (day, month);

-- Each kind of fault -----------------------------------------------------------------------------------

SELECT results_eq(
    format(
        $$ SELECT check_name, severity, violations, sample
           FROM pg_temp.differences_after($change$
               UPDATE customer.fct_customer_business_monthly_status
               SET %1$s = %2$s
               WHERE company_id = %3$L
                   AND product_line_code = 'PL202'
           $change$) $$,
        column_name, new_value, company_id
    ),
    format(
        $$ VALUES (%L, 'error', 1::bigint, '[{"company_id": "%s", "product_line_code": "PL202"}]'::jsonb) $$,
        column_name, company_id
    ),
    format('it finds a wrong %s: %s', column_name, reason)
)
FROM (VALUES
    ('product_line_name', 'A', $$'企年受托 '$$, 'another name'),
    ('is_strategic', 'B', 'TRUE', 'true for false or NULL'),
    ('is_existing', 'A', 'TRUE', 'true for NULL'),
    ('is_existing', 'B', 'FALSE', 'false for true'),
    ('is_new', 'A', 'FALSE', 'false with an award and not existing'),
    ('is_new', 'B', 'TRUE', 'true with an award, but existing'),
    ('is_new', 'C', 'TRUE', 'true without an award'),
    ('is_winning_this_year', 'A', 'FALSE', 'false with an award later in the year'),
    ('is_winning_this_year', 'C', 'TRUE', 'true with awards in other years and another line'),
    ('is_churned_this_year', 'A', 'TRUE', 'true with losses in other years'),
    ('is_churned_this_year', 'C', 'FALSE', 'false with a loss later in the year'),
    ('plan_count', 'B', '1', 'one for two')
) AS fault (column_name, company_id, new_value, reason);

SELECT results_eq(
    $$ SELECT *
       FROM pg_temp.differences_after($change$
           UPDATE customer.fct_customer_business_monthly_status
           SET aum_balance = 100.00
           WHERE aum_balance = 100.01
       $change$) $$,
    $$ VALUES
        ('aum_balance', 'error', 1::bigint,
            '1 rows whose aum_balance is not the sum of 期末资产规模, rounded to 2 decimals',
            '[{"company_id": "A", "product_line_code": "PL202"}]'::jsonb),
        ('rounding', 'info', 0,
            '0.0083 yuan: attributed AUM less the sum of aum_balance (300.33) over supported rows', '[]') $$,
    'it finds a wrong aum_balance: 100.0050 rounded to 100.00; the rounding line shows the difference'
);

SELECT results_eq(
    $$ SELECT *
       FROM pg_temp.differences_after($change$
           UPDATE customer.fct_customer_business_monthly_status
           SET aum_balance = 0.01
           WHERE aum_balance = 0
       $change$) $$,
    $$ VALUES
        ('aum_balance', 'error', 2::bigint,
            '2 rows whose aum_balance is not the sum of 期末资产规模, rounded to 2 decimals',
            '[{"company_id": "A", "product_line_code": "PL201"}, {"company_id": "C", "product_line_code": "PL202"}]'::jsonb),
        ('rounding', 'info', 0,
            '-0.0217 yuan: attributed AUM less the sum of aum_balance (300.36) over supported rows', '[]') $$,
    'it finds AUM where there is none'
);

SELECT results_eq(
    $$ SELECT *
       FROM pg_temp.differences_after($change$
           DELETE FROM customer.fct_customer_business_monthly_status
           WHERE company_id = 'B'
       $change$) $$,
    $$ VALUES
        ('snapshot_exists', 'error', 0::bigint,
            '2026-01-31 holds 3 rows; the sources support 4 by rule current', '[]'::jsonb),
        ('missing_row', 'error', 1, '1 customers'' product lines have a contract and no row; 200.3333 yuan of AUM',
            '[{"company_id": "B", "product_line_code": "PL202"}]'),
        ('unmatched_award', 'warning', 9,
            '9 of the 10 awards of 2026 match no row: 4 lack a key, 3 name a customer without a contract',
            '[{"company_id": "", "product_line_code": " "}, {"company_id": "A", "product_line_code": null},
              {"company_id": "B", "product_line_code": "PL202"}, {"company_id": "C", "product_line_code": "PL201"},
              {"company_id": "D", "product_line_code": "PL202"}]'),
        ('rounding', 'info', 0,
            '200.3283 yuan: attributed AUM less the sum of aum_balance (100.01) over supported rows', '[]') $$,
    'it finds a missing row, and the AUM and awards that it does not show'
);

SELECT results_eq(
    $$ SELECT *
       FROM pg_temp.differences_after($change$
           INSERT INTO customer.fct_customer_business_monthly_status (
               snapshot_month, company_id, product_line_code, product_line_name,
               is_strategic, is_existing, is_winning_this_year, is_churned_this_year, aum_balance, plan_count
           )
           VALUES
               ('2026-01-31', 'gone', 'PL202', '旧名', TRUE, FALSE, FALSE, TRUE,  -20.50, 9),
               ('2026-01-31', 'C',    'PL201', '旧名', TRUE, TRUE,  TRUE,  FALSE, 0,      9)
       $change$) $$,
    $$ VALUES
        ('snapshot_exists', 'error', 0::bigint,
            '2026-01-31 holds 6 rows; the sources support 4 by rule current', '[]'::jsonb),
        ('stale_row', 'warning', 2, '2 rows that no contract supports; they carry -20.50 yuan',
            '[{"company_id": "C", "product_line_code": "PL201"}, {"company_id": "gone", "product_line_code": "PL202"}]'),
        ('unmatched_award', 'warning', 6,
            '6 of the 10 awards of 2026 match no row: 4 lack a key, 3 name a customer without a contract',
            '[{"company_id": "", "product_line_code": " "}, {"company_id": "A", "product_line_code": null},
              {"company_id": "D", "product_line_code": "PL202"}, {"company_id": "X", "product_line_code": null},
              {"company_id": null, "product_line_code": "PL202"}]'),
        ('unmatched_loss', 'warning', 2,
            '2 of the 4 losses of 2026 match no row: 2 lack a key, 0 name a customer without a contract',
            '[{"company_id": null, "product_line_code": null}]') $$,
    'it finds stale rows and the AUM that they carry, and warns of them only, whatever their contracts said'
);

SELECT results_eq(
    $$ SELECT check_name, severity, violations, sample
       FROM pg_temp.differences_after($change$
           INSERT INTO customer.fct_customer_business_monthly_status (
               snapshot_month, company_id, product_line_code, product_line_name, is_new, is_winning_this_year, aum_balance
           )
           VALUES ('2026-01-31', 'gone', 'PL202', '企年受托', TRUE, TRUE, 20.50), ('2026-01-31', 'C', 'PL201', '企年投资', FALSE, TRUE, 0)
       $change$)
       WHERE severity = 'error'
           AND violations > 0 $$,
    $$ VALUES
        ('is_new', 'error', 2::bigint,
            '[{"company_id": "C", "product_line_code": "PL201"}, {"company_id": "gone", "product_line_code": "PL202"}]'::jsonb),
        ('is_winning_this_year', 'error', 1, '[{"company_id": "gone", "product_line_code": "PL202"}]'),
        ('is_churned_this_year', 'error', 1, '[{"company_id": "gone", "product_line_code": "PL202"}]'),
        ('aum_balance', 'error', 1, '[{"company_id": "gone", "product_line_code": "PL202"}]') $$,
    'but not whatever their awards, losses and AUM are'
);

SELECT results_eq(
    $$ SELECT *
       FROM pg_temp.differences_after($change$
           INSERT INTO known_customer VALUES (''), (E' \n');
           INSERT INTO mapping."产品线" ("产品线代码") VALUES ('  ');
           INSERT INTO customer.fct_customer_business_monthly_status (
               snapshot_month, company_id, product_line_code, product_line_name
           )
           VALUES ('2026-01-31', '', '  ', '企年受托'), ('2026-01-31', E' \n', 'PL202', ''), ('2026-01-31', 'A', '  ', '')
       $change$)
       WHERE check_name NOT IN ('snapshot_exists', 'stale_row') $$,
    $$ VALUES
        ('blank_key', 'error', 3::bigint, '3 rows with a blank company_id or product_line_code',
            '[{"company_id": "", "product_line_code": "  "}, {"company_id": " \n", "product_line_code": "PL202"},
              {"company_id": "A", "product_line_code": "  "}]'::jsonb) $$,
    'it finds blank keys'
);

SELECT results_eq(
    $$ SELECT *
       FROM pg_temp.differences_after($change$
           ALTER TABLE customer.fct_customer_business_monthly_status DROP CONSTRAINT fk_snapshot_company;
           ALTER TABLE customer.customer_plan_contract DROP CONSTRAINT fk_contract_company;
           DELETE FROM customer."年金客户" WHERE company_id = 'A'
       $change$) $$,
    $$ VALUES
        ('orphaned_company', 'error', 2::bigint, '2 rows whose company_id is no customer of the source system',
            '[{"company_id": "A", "product_line_code": "PL201"}, {"company_id": "A", "product_line_code": "PL202"}]'::jsonb) $$,
    'it finds rows without their customer'
);

SELECT results_eq(
    $$ SELECT *
       FROM pg_temp.differences_after($change$
           ALTER TABLE customer.fct_customer_business_monthly_status DROP CONSTRAINT fk_snapshot_product_line;
           ALTER TABLE customer.customer_plan_contract DROP CONSTRAINT fk_contract_product_line;
           DELETE FROM mapping."产品线" WHERE "产品线代码" = 'PL201'
       $change$) $$,
    $$ VALUES
        ('orphaned_product_line', 'error', 1::bigint, '1 rows whose product_line_code is no product line of the source system',
            '[{"company_id": "A", "product_line_code": "PL201"}]'::jsonb) $$,
    'it finds rows without their product line'
);

SELECT is_empty(
    $$ SELECT *
       FROM pg_temp.differences_after($change$
           INSERT INTO customer.fct_customer_business_monthly_status (
               snapshot_month, company_id, product_line_code, product_line_name
           )
           VALUES ('2025-12-31', 'A', 'PL202', 'wrong'), ('2026-02-28', 'gone', 'PL202', 'stale')
       $change$) $$,
    'faults of other months are none of this one'
);

-- What changed at the sources since ----------------------------------------------------------------------

SELECT results_eq(
    -- What is_new says of it is for 03.
    format('SELECT check_name, violations FROM pg_temp.differences_after(%L) WHERE check_name <> ''is_new''', change),
    found,
    format('it finds that since the refresh %s', reason)
)
FROM (VALUES
    ('a contract began', $$ INSERT INTO contract (company_id) VALUES ('D') $$,
        -- which gives D's awards a contract, but still no row
        $$ VALUES ('snapshot_exists', 0::bigint), ('missing_row', 1), ('unmatched_award', 7) $$),
    ('an award came in', $$ INSERT INTO award (company_id) VALUES ('C') $$,
        $$ VALUES ('is_winning_this_year', 1::bigint), ('unmatched_award', 7) $$),
    ('AUM came in', $$ INSERT INTO aum (company_id, as_of, amount) VALUES ('C', '2026-01-31', 0.005) $$,
        $$ VALUES ('aum_balance', 1::bigint), ('aum_in_source', 0), ('aum_attributed', 0), ('rounding', 0) $$),
    ('an amount is NaN, which the row repeats', $$
        UPDATE aum SET amount = 'NaN' WHERE as_of = '2026-01-31';
        UPDATE customer.fct_customer_business_monthly_status SET aum_balance = 'NaN' WHERE company_id = 'A' AND product_line_code = 'PL202' $$,
        $$ VALUES ('aum_balance', 1::bigint), ('aum_in_source', 0), ('aum_attributed', 0), ('rounding', 0) $$),
    ('a blank customer got a contract', $$ INSERT INTO contract (company_id) VALUES ('') $$,
        -- whose AUM is attributed, and counts once
        $$ VALUES ('snapshot_exists', 0::bigint), ('missing_row', 1), ('aum_attributed', 0), ('aum_without_customer', 2), ('rounding', 0) $$),
    ('it got one in another product line', $$ INSERT INTO contract (company_id, product_line_code) VALUES ('', 'PL201') $$,
        $$ VALUES ('snapshot_exists', 0::bigint), ('missing_row', 1) $$)
) AS fault (reason, change, found);

SELECT is_empty(
    format('SELECT * FROM pg_temp.differences_after(%L)', change),
    format('it finds no fault in that since the refresh %s', reason)
)
FROM (VALUES
    ('a plan came in twice',
        $$ ALTER TABLE customer.customer_plan_contract DROP CONSTRAINT uq_active_contract;
           INSERT INTO contract (company_id) VALUES ('A') $$),
    ('a lesser name was given to one of two contracts',
        $$ UPDATE contract SET product_line_name = '企业受托' WHERE plan_code = 'P2' $$),
    ('an award came in twice',
        $$ UPDATE award SET reported_on = '2026-03-01' WHERE company_id = 'B' $$),
    ('a contract of the past was added',
        $$ INSERT INTO contract (company_id, plan_code, valid_to) VALUES ('A', 'P9', '2025-12-31') $$)
) AS change (reason, change);

-- By which rule --------------------------------------------------------------------------------------------

INSERT INTO contract (company_id, valid_from, valid_to, is_strategic, is_existing, product_line_name)
VALUES
    ('changed',    '2020-01-01', '2025-12-31', TRUE,  FALSE, '旧名'),
    ('changed',    '2026-01-01', '9999-12-31', FALSE, FALSE, '企年受托'),
    ('overlap',    '2020-01-01', '2025-06-30', FALSE, FALSE, '企年受托'),    -- its successor's first day
    ('overlap',    '2025-06-30', '9999-12-31', FALSE, TRUE,  '企年受托'),
    ('two at once', '2020-01-01', '9999-12-31', TRUE,  FALSE, '企年受托'),
    ('two at once', '2020-01-01', '9999-12-30', FALSE, FALSE, '企年受托'),   -- of the higher contract_id
    ('no end',     '2020-01-01', NULL,         TRUE,  TRUE,  '企年受托'),
    ('last day',   '2020-01-01', '2025-06-30', FALSE, FALSE, '企年受托'),
    ('day before', '2020-01-01', '2025-06-29', FALSE, FALSE, '企年受托'),
    ('first day',  '2025-06-30', '9999-12-31', FALSE, FALSE, '企年受托'),
    ('day after',  '2025-07-01', '9999-12-31', FALSE, FALSE, '企年受托');

INSERT INTO aum (company_id, as_of, amount)
VALUES ('A', '2025-06-30', 0);

-- On the last day, and the day after.
INSERT INTO award (company_id, reported_on)
VALUES ('changed', '2025-06-30'), ('overlap', '2025-07-01');

INSERT INTO loss (company_id, reported_on)
VALUES ('changed', '2025-06-30'), ('overlap', '2025-07-01');

SELECT customer.restate_monthly_snapshot('2025-06-30', 'history') AS result \gset

CALL pg_temp.remember_report('2025-06-30');

SELECT results_eq(
    $$ SELECT check_name, violations, detail
       FROM pg_temp.report('2025-06-30')
       WHERE check_name = 'snapshot_exists'
           OR violations > 0 $$,
    -- A twice, B, C, gone, changed, overlap, two at once, last day, first day
    $$ VALUES
        ('snapshot_exists', 0::bigint, '2025-06-30 holds 10 rows; the sources support 10 by rule as_of') $$,
    'a month that was just restated is clean: it is held against the versions of its last day'
);

SELECT results_eq(
    format('SELECT check_name, violations FROM pg_temp.differences_after(%L, %L)', change, '2025-06-30'),
    found,
    format('by the rule as_of it finds that %s', reason)
)
FROM (VALUES
    ('a value is that of today''s contract',
        $$ UPDATE customer.fct_customer_business_monthly_status SET is_strategic = FALSE
           WHERE company_id = 'changed' $$,
        $$ VALUES ('is_strategic', 1::bigint) $$),
    ('of two versions over the day the earlier was taken',
        $$ UPDATE customer.fct_customer_business_monthly_status SET is_existing = FALSE
           WHERE company_id = 'overlap' $$,
        $$ VALUES ('is_existing', 1::bigint) $$),
    ('of two versions of one beginning the lower contract_id was taken',
        $$ UPDATE customer.fct_customer_business_monthly_status SET is_strategic = TRUE
           WHERE company_id = 'two at once' $$,
        $$ VALUES ('is_strategic', 1::bigint) $$),
    ('a version that ends on the day was left out',
        $$ DELETE FROM customer.fct_customer_business_monthly_status WHERE company_id = 'last day' $$,
        $$ VALUES ('snapshot_exists', 0::bigint), ('missing_row', 1) $$),
    ('a version that begins on the day was left out',
        $$ DELETE FROM customer.fct_customer_business_monthly_status WHERE company_id = 'first day' $$,
        $$ VALUES ('snapshot_exists', 0::bigint), ('missing_row', 1) $$),
    ('versions that do not cover the day were taken',
        $$ INSERT INTO customer.fct_customer_business_monthly_status (
               snapshot_month, company_id, product_line_code, product_line_name
           )
           SELECT '2025-06-30', company_id, 'PL202', '企年受托'
           FROM unnest('{no end,day before,day after}'::text[]) AS company_id $$,
        $$ VALUES ('snapshot_exists', 0::bigint), ('stale_row', 3) $$),
    ('an award and a loss of the last day were left out',
        $$ UPDATE customer.fct_customer_business_monthly_status SET is_winning_this_year = FALSE, is_churned_this_year = FALSE
           WHERE company_id = 'changed' $$,
        $$ VALUES ('is_winning_this_year', 1::bigint), ('is_churned_this_year', 1) $$),
    ('an award and a loss of the day after were counted',
        $$ UPDATE customer.fct_customer_business_monthly_status SET is_winning_this_year = TRUE, is_churned_this_year = TRUE
           WHERE company_id = 'overlap' $$,
        $$ VALUES ('is_winning_this_year', 1::bigint), ('is_churned_this_year', 1) $$),
    ('two versions of a plan were counted as two plans',
        $$ UPDATE customer.fct_customer_business_monthly_status SET plan_count = 2
           WHERE company_id = 'overlap' $$,
        $$ VALUES ('plan_count', 1::bigint) $$)
) AS fault (reason, change, found);

SELECT results_eq(
    $$ SELECT *
       FROM pg_temp.differences_after($change$
           UPDATE customer.fct_customer_business_monthly_status SET plan_count = plan_count + 1
       $change$, '2025-06-30') $$,
    $$ VALUES
        ('plan_count', 'error', 10::bigint, '10 rows whose plan_count is not the number of their plans',
            '[{"company_id": "A", "product_line_code": "PL201"}, {"company_id": "A", "product_line_code": "PL202"},
              {"company_id": "B", "product_line_code": "PL202"}, {"company_id": "C", "product_line_code": "PL202"},
              {"company_id": "changed", "product_line_code": "PL202"}]'::jsonb) $$,
    'of many keys at fault it names the first five'
);

SELECT customer.discard_snapshot_month('2025-06-30', 'back to today') AS result \gset

SELECT is(
    (SELECT detail FROM pg_temp.report('2025-06-30') WHERE check_name = 'snapshot_exists'),
    '2025-06-30 holds 0 rows; the sources support 9 by rule current',
    'once it is discarded it reads as a month that was never written'
);

SELECT customer.refresh_monthly_snapshot('2025-06-30') AS result \gset

SELECT results_eq(
    $$ SELECT check_name, violations, detail
       FROM pg_temp.report('2025-06-30')
       WHERE check_name = 'snapshot_exists'
           OR severity = 'error' AND violations > 0 $$,
    $$ VALUES ('snapshot_exists', 0::bigint, '2025-06-30 holds 9 rows; the sources support 9 by rule current') $$,
    'once it is refreshed it is held against today''s contracts, and nothing is wrong either'
);

SELECT customer.restate_monthly_snapshot('2025-06-30', 'history') AS result \gset

SELECT is_empty(
    $$ SELECT * FROM pg_temp.differences('2025-06-30') $$,
    'restated again, it is as it was'
);

INSERT INTO customer.fct_customer_business_monthly_status (
    snapshot_month, company_id, product_line_code, product_line_name
)
VALUES ('2024-02-29', 'day after', 'PL202', '企年受托');

SELECT is(
    (SELECT detail FROM pg_temp.report('2024-02-01') WHERE check_name = 'snapshot_exists'),
    '2024-02-29 holds 1 rows; the sources support 9 by rule current',
    'a month that the package never wrote is held against today''s contracts'
);

-- Names in another collation -----------------------------------------------------------------------------------

-- Here ~ is less than a letter; in bytes it is greater.
DROP VIEW contract;
ALTER TABLE customer.customer_plan_contract
    ALTER COLUMN product_line_name TYPE varchar(50) COLLATE "und-x-icu";

INSERT INTO customer.customer_plan_contract (
    company_id, plan_code, product_line_code, product_line_name, status_year, contract_status, valid_from
)
VALUES
    ('two names', 'P1', 'PL202', '~',  2026, '正常', '2020-01-01'),
    ('two names', 'P2', 'PL202', 'pl', 2026, '正常', '2020-01-01');

INSERT INTO aum (as_of)
VALUES ('2026-03-01'), ('2026-04-01');

SELECT customer.refresh_monthly_snapshot('2026-03-31') AS result \gset
SELECT customer.restate_monthly_snapshot('2026-04-30', 'history') AS result \gset

SELECT is(
    (pg_temp.stored('two names', 'PL202', month)).product_line_name::text, '~',
    format('%s: the name greatest in bytes is taken, whatever the collation of the contracts', month)
)
FROM (VALUES (DATE '2026-03-31'), ('2026-04-30')) AS written (month);

SELECT is_empty(
    format($$ SELECT * FROM pg_temp.report(%L) WHERE severity = 'error' AND violations > 0 $$, month),
    format('%s: and validation agrees', month)
)
FROM (VALUES (DATE '2026-03-31'), ('2026-04-30')) AS written (month);

-- Settings ------------------------------------------------------------------------------------------------------

CALL pg_temp.remember_report('2025-06-30');

SAVEPOINT settings;
SET LOCAL DateStyle = 'German';
SET LOCAL TimeZone = 'Pacific/Kiritimati';
SET LOCAL extra_float_digits = -15;

SELECT is_empty(
    $$ SELECT * FROM pg_temp.differences('2025-06-30') $$,
    'the session''s settings change nothing in the report'
);

ROLLBACK TO settings;

-- Who may, and what it takes ---------------------------------------------------------------------------------------

SAVEPOINT read_only;
SET LOCAL transaction_read_only = on;

SELECT is_empty(
    $$ SELECT * FROM pg_temp.differences('2025-06-30') $$,
    'it runs where nothing can be written, as on a standby'
);

ROLLBACK TO read_only;

CREATE ROLE pgtap_reader;
GRANT USAGE ON SCHEMA customer TO pgtap_reader;
GRANT EXECUTE ON FUNCTION customer.validate_monthly_snapshot(date) TO pgtap_reader;
GRANT SELECT ON remembered_report TO pgtap_reader;

CREATE ROLE pgtap_stranger;
GRANT USAGE ON SCHEMA customer TO pgtap_stranger;

SET LOCAL ROLE pgtap_reader;

SELECT is_empty(
    $$ SELECT * FROM pg_temp.differences('2025-06-30') $$,
    'with EXECUTE alone it gets the whole report'
);

RESET ROLE;
SET LOCAL ROLE pgtap_stranger;

SELECT throws_ok(
    $$ SELECT * FROM customer.validate_monthly_snapshot('2026-01-31') $$,
    '42501', 'permission denied for function validate_monthly_snapshot',
    'without EXECUTE it gets none'
);

RESET ROLE;

SELECT * FROM finish();

ROLLBACK;
