-- Proves that validating a month finds each kind of fault, says what to do about it, and finds nothing else.
SET client_encoding = 'UTF8';

BEGIN;

SELECT plan(255);

\ir fixture.psql
\ir by_hand.psql

CREATE FUNCTION pg_temp.report(p_month date DEFAULT '2026-01-31')
RETURNS TABLE (check_name text, severity text, violations bigint, detail text, sample jsonb, number bigint)
LANGUAGE sql
AS $$
    SELECT *
    FROM customer.validate_monthly_snapshot(p_month) WITH ORDINALITY
$$;

-- What a report finds in the month, on one line: not what the sources hold besides.
CREATE FUNCTION pg_temp.faults(p_month date DEFAULT '2026-01-31')
RETURNS text
LANGUAGE sql
AS $$
    SELECT coalesce(string_agg(concat_ws(' ', severity, check_name, violations), ', ' ORDER BY number), 'nothing')
    FROM pg_temp.report(p_month)
    WHERE violations > 0
        AND check_name !~ '^(unmatched|aum_without|temporary)'
$$;

CREATE FUNCTION pg_temp.faults_after(p_change text, p_month date DEFAULT '2026-01-31')
RETURNS text
LANGUAGE sql
AS $$
    SELECT pg_temp.after(p_change, format('SELECT pg_temp.faults(%L)', p_month))
$$;

-- Of one check what it says, without times and the numbers of log entries.
CREATE FUNCTION pg_temp.detail_after(p_change text, p_check_name text, p_month date DEFAULT '2026-01-31')
RETURNS text
LANGUAGE sql
AS $$
    SELECT regexp_replace(
        pg_temp.after(
            p_change,
            format('SELECT detail FROM pg_temp.report(%L) WHERE check_name = %L ORDER BY violations DESC LIMIT 1', p_month, p_check_name)
        ),
        ' \d{4}-\d\d-\d\d \d\d:\d\d UTC| \(log entry \d+\)|(?<=entry) \(?\d+\)?', '', 'g'
    )
$$;

-- Which months it takes -----------------------------------------------------------------------------

SELECT is(
    (pg_temp.error_of(format('SELECT * FROM customer.validate_monthly_snapshot(%L)', day)))[1:2], answer,
    format('%s: %s', coalesce(day, 'NULL'), array_to_string(answer, ' '))
)
FROM (
    VALUES
        (NULL, ARRAY['22004', 'the month to validate must not be NULL']), ('0001-01-01', '{no error}'), ('9999-12-31', '{no error}')
    UNION ALL
    SELECT day, ARRAY['22023', 'the month to validate must lie in the years 1 to 9999, but is ' || day]
    FROM unnest('{infinity,-infinity,0001-12-31 BC,10000-01-01}'::text[]) AS day
) AS asked (day, answer);

-- Nothing anywhere -----------------------------------------------------------------------------------

SELECT results_eq(
    $$ SELECT check_name, violations, detail
       FROM pg_temp.report()
       WHERE violations > 0
           OR detail ~ '^0(.00)? (yuan|of)|none says' $$,
    $$ VALUES
        ('snapshot_exists', 1::bigint, '2026-01-31 holds 0 rows; the sources support 0 by rule current'),
        ('log_totals', 0, '2026-01-31 holds 0 rows with 0 yuan; log entry none says 0 with 0'),
        ('unmatched_award', 0, '0 of the 0 awards of 2026 match no row: 0 lack a key, 0 name a customer without a contract'),
        ('unmatched_loss', 0, '0 of the 0 losses of 2026 match no row: 0 lack a key, 0 name a customer without a contract'),
        ('aum_in_source', 0, '0 yuan of 期末资产规模 in 0 rows of the AUM detail; the next four lines add up to it'),
        ('aum_attributed', 0, '0 yuan belong to rows of the snapshot, before rounding'),
        ('aum_without_customer', 0, '0 yuan in 0 rows of the AUM detail whose customer is NULL or blank'),
        ('aum_without_contract', 0, '0 yuan in 0 rows of the AUM detail whose customer has no contract'),
        ('aum_without_product_line', 0,
            '0 yuan in 0 rows of the AUM detail whose customer has contracts, but none in that product line'),
        ('aum_unattributed', 0, '0.00 yuan are the sum of the last three lines; when the month was last written it was not counted'),
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

SELECT is(pg_temp.faults(), 'error snapshot_exists 1, drift missing_row 4', 'before the first refresh all rows are missing');

SELECT customer.refresh_monthly_snapshot('2026-01-31') AS result \gset

SELECT is(
    (
        SELECT string_agg(concat(CASE severity WHEN 'drift' THEN '/' ELSE ' ' END, check_name, ' ', severity), '' ORDER BY number)
        FROM pg_temp.report()
    ),
    ' verdict info snapshot_exists error log_totals error control_row error control_totals error summary error blank_key error duplicate_key error'
    ' contradiction error orphaned_company error orphaned_product_line error source_reading error'
    ' product_line_name error/product_line_name drift is_strategic error/is_strategic drift is_existing error/is_existing drift'
    ' is_new error/is_new drift is_winning_this_year error/is_winning_this_year drift is_churned_this_year error/is_churned_this_year drift'
    ' aum_balance error/aum_balance drift plan_count error/plan_count drift missing_row error/missing_row drift'
    ' unsupported_row error/unsupported_row drift never_written warning stale_row warning unmatched_award warning unmatched_loss warning'
    ' late_change warning temporary_customer info aum_in_source info aum_attributed info aum_without_customer info'
    ' aum_without_contract info aum_without_product_line info aum_unattributed info rounding info',
    'the checks are always the same, in the same order'
);

SELECT results_eq(
    $$ SELECT check_name, violations, regexp_replace(detail, 'entry \(?\d+\)?', 'entry', 'g'), sample
       FROM pg_temp.report()
       WHERE number > 1
           AND (violations > 0 OR detail !~ '^0 ')
           AND check_name <> 'never_written' $$,
    $$ VALUES
        ('snapshot_exists', 0::bigint, '2026-01-31 holds 4 rows; the sources support 4 by rule current', '[]'::jsonb),
        ('log_totals', 0, '2026-01-31 holds 4 rows with 300.34 yuan; log entry says 4 with 300.34', '[]'),
        ('control_row', 0,
            'the control row of 2026-01-31 says log entry, rule current, open; the log says log entry, rule current, open', '[]'),
        ('control_totals', 0, '2026-01-31 is open, and has none', '[]'),
        -- D's two awards are one key; NULLs come last, so customer NULL is the sixth.
        ('unmatched_award', 7,
            '7 of the 10 awards of 2026 match no row: 4 lack a key, 2 name a customer without a contract',
            '[{"company_id": "", "product_line_code": " "}, {"company_id": "A", "product_line_code": null},
              {"company_id": "C", "product_line_code": "PL201"}, {"company_id": "D", "product_line_code": "PL202"},
              {"company_id": "X", "product_line_code": null}]'),
        ('unmatched_loss', 3,
            '3 of the 4 losses of 2026 match no row: 2 lack a key, 1 name a customer without a contract',
            '[{"company_id": "gone", "product_line_code": "PL202"}, {"company_id": null, "product_line_code": null}]'),
        -- 300.3383 + 11.7500 + 979.5000 + 10.0000
        ('aum_in_source', 0,
            '1301.5883 yuan of 期末资产规模 in 11 rows of the AUM detail; the next four lines add up to it', '[]'),
        -- 100.0050 + 200.3333
        ('aum_attributed', 0, '300.3383 yuan belong to rows of the snapshot, before rounding', '[]'),
        ('aum_without_customer', 3, '11.7500 yuan in 3 rows of the AUM detail whose customer is NULL or blank',
            '[{"company_id": "", "product_line_code": "PL202"}, {"company_id": " \t", "product_line_code": null},
              {"company_id": null, "product_line_code": "PL202"}]'),
        ('aum_without_contract', 2, '979.5000 yuan in 2 rows of the AUM detail whose customer has no contract',
            '[{"company_id": "X", "product_line_code": "PL202"}, {"company_id": "gone", "product_line_code": "PL202"}]'),
        ('aum_without_product_line', 3,
            '10.0000 yuan in 3 rows of the AUM detail whose customer has contracts, but none in that product line',
            '[{"company_id": "A", "product_line_code": "PL203"}, {"company_id": "A", "product_line_code": null},
              {"company_id": "B", "product_line_code": ""}]'),
        -- 11.7500 + 979.5000 + 10.0000
        ('aum_unattributed', 0,
            '1001.25 yuan are the sum of the last three lines; when the month was last written it was 1001.25', '[]'),
        -- 100.01 + 200.33
        ('rounding', 0, '-0.0017 yuan: attributed AUM less the sum of aum_balance (300.34) over supported rows', '[]') $$,
    'a month that was just refreshed is clean, and all AUM, awards and losses are accounted for'
);

SELECT is(
    (SELECT detail FROM pg_temp.report(day) WHERE check_name = 'snapshot_exists'),
    format('%s holds %s rows; the sources support 4 by rule current', month, row_count),
    format('%s is in %s', day, month)
)
FROM (VALUES
    (DATE '2026-01-01', '2026-01-31', 4),
    ('2025-12-31', '2025-12-31', 0),
    ('2027-01-31', '2027-01-31', 0),
    ('2024-02-10', '2024-02-29', 0)
) AS asked (day, month, row_count);

-- Each kind of fault -----------------------------------------------------------------------------------

SELECT is(
    pg_temp.after(
        format('UPDATE fact SET %s = %s WHERE company_id = %L AND product_line_code = ''PL202''', column_name, new_value, company_id),
        $$ SELECT string_agg(concat_ws(' ', severity, check_name, violations, sample), ', ' ORDER BY number)
           FROM pg_temp.report()
           WHERE severity IN ('error', 'drift')
               AND violations > 0 $$
    ),
    (
        SELECT string_agg(format('error %s 1 [{"company_id": "%s", "product_line_code": "PL202"}]', check_name, company_id), ', ')
        FROM unnest(contradiction || column_name) AS check_name
    ),
    format('it finds a wrong %s: %s', column_name, reason)
)
FROM (VALUES
    ('product_line_name', 'A', $$'企年受托 '$$, '{}'::text[], 'another name'),
    ('is_strategic', 'B', 'TRUE', '{}', 'true for false or NULL'),
    ('is_existing', 'A', 'TRUE', '{contradiction}', 'true for NULL'),
    ('is_existing', 'B', 'FALSE', '{contradiction}', 'false for true'),
    ('is_new', 'A', 'FALSE', '{contradiction}', 'false with an award and not existing'),
    ('is_new', 'B', 'TRUE', '{contradiction}', 'true with an award, but existing'),
    ('is_new', 'C', 'TRUE', '{contradiction}', 'true without an award'),
    ('is_winning_this_year', 'A', 'FALSE', '{contradiction}', 'false with an award later in the year'),
    ('is_winning_this_year', 'C', 'TRUE', '{contradiction}', 'true with awards in other years and another line'),
    ('is_churned_this_year', 'A', 'TRUE', '{}', 'true with losses in other years'),
    ('is_churned_this_year', 'C', 'FALSE', '{}', 'false with a loss later in the year'),
    ('aum_balance', 'A', '100.00', '{}', '100.0050 rounded to 100.00'),
    ('aum_balance', 'C', '0.01', '{}', 'AUM where there is none'),
    ('plan_count', 'B', '1', '{}', 'one for two')
) AS fault (column_name, company_id, new_value, contradiction, reason);

SELECT is(pg_temp.detail_after(change, check_name), found, format('it says how much: %s', reason))
FROM (VALUES
    ('wrong AUM', 'UPDATE fact SET aum_balance = 100.00 WHERE aum_balance = 100.01', 'aum_balance',
        '1 rows whose aum_balance is not the sum of 期末资产规模, rounded to 2 decimals; by the detail they would hold 0.01 yuan more'),
    ('rounding, then', 'UPDATE fact SET aum_balance = 100.00 WHERE aum_balance = 100.01', 'rounding',
        '0.0083 yuan: attributed AUM less the sum of aum_balance (300.33) over supported rows'),
    ('a row that is not supported, whose AUM is no rounding', $$ INSERT INTO fact (company_id, aum_balance) VALUES ('D', 1000) $$, 'rounding',
        '-0.0017 yuan: attributed AUM less the sum of aum_balance (300.34) over supported rows'),
    ('a missing row', $$ DELETE FROM fact WHERE company_id = 'B' $$, 'missing_row',
        '1 customers'' product lines have a contract and no row; 200.3333 yuan of AUM'),
    ('the awards that it does not show', $$ DELETE FROM fact WHERE company_id = 'B' $$, 'unmatched_award',
        '9 of the 10 awards of 2026 match no row: 4 lack a key, 2 name a customer without a contract'),
    ('a forged row', $$ INSERT INTO fact (company_id, aum_balance) VALUES ('D', 1000000000000) $$, 'unsupported_row',
        '1 rows that nothing in the sources speaks for; they carry 1000000000000.00 yuan'),
    ('a stale row', $$ UPDATE contract SET valid_to = '2026-03-10' WHERE company_id = 'B' $$, 'stale_row',
        '1 rows that no current contract supports, kept because one covers the last day of the month; they carry 200.33 yuan'),
    ('unattributed AUM of now and of then', $$ INSERT INTO aum (company_id, amount) VALUES ('X', 0.005) $$, 'aum_unattributed',
        '1001.26 yuan are the sum of the last three lines; when the month was last written it was 1001.25'),
    ('a summary that is gone', 'DELETE FROM customer.monthly_status_summary', 'summary',
        '3 rows of customer.monthly_status_summary, which the trend reads, are not what the rows of 2026-01-31 say: '
        'one or the other was changed past the package; if the rows are right, its owner mends it: '
        'SELECT customer.summarise_snapshot_month(DATE ''2026-01-31'');'),
    ('temporary customers', $$
        INSERT INTO contract (company_id) VALUES ('IN0123456789ABCDEF'), ('IN0123456789ABCDE'), ('in0123456789ABCDEF');
        INSERT INTO aum (company_id, amount) VALUES ('IN0123456789ABCDEF', 7);
        SELECT customer.refresh_monthly_snapshot('2026-01-31') $$, 'temporary_customer',
        '1 rows of customers with a temporary id (IN and 16 characters); they carry 7.00 yuan'),
    ('AUM of a blank customer who has a contract', $$ INSERT INTO contract (company_id) VALUES ('') $$, 'aum_without_customer',
        '11.5000 yuan in 2 rows of the AUM detail whose customer is NULL or blank'),
    ('his AUM in another product line', $$ INSERT INTO contract (company_id, product_line_code) VALUES ('', 'PL201') $$, 'aum_without_product_line',
        '10.0000 yuan in 3 rows of the AUM detail whose customer has contracts, but none in that product line'),
    ('rows that are not those of the log', pg_temp.silently($$ DELETE FROM fact WHERE company_id = 'C' $$)
        || $$ DELETE FROM fact WHERE company_id = 'B' $$, 'log_totals',
        '2026-01-31 holds 2 rows with 100.01 yuan; log entry says 3 with 100.01'),
    ('nothing of an empty month', $$ SELECT customer.discard_snapshot_month('2026-01-31', 'why') $$, 'never_written',
        'the package wrote 2026-01-31, or it holds no rows')
) AS fault (reason, change, check_name, found);

SELECT is(
    pg_temp.after(
        $$ INSERT INTO contract (company_id) SELECT 'N' || suffix FROM generate_series(0, 10) AS suffix $$,
        $$ SELECT concat(violations, sample) FROM pg_temp.report() WHERE check_name = 'missing_row' AND severity = 'error' $$
    ),
    '11[{"company_id": "N0", "product_line_code": "PL202"}, {"company_id": "N1", "product_line_code": "PL202"}, '
    '{"company_id": "N10", "product_line_code": "PL202"}, {"company_id": "N2", "product_line_code": "PL202"}, '
    '{"company_id": "N3", "product_line_code": "PL202"}]',
    'of many keys at fault it names the first five'
);

SELECT is(pg_temp.faults_after(change), found, format('it finds %s', reason))
FROM (VALUES
    ('blank keys', $$
        INSERT INTO known_customer VALUES (''), (E' \n');
        INSERT INTO mapping."产品线" ("产品线代码") VALUES ('  ');
        INSERT INTO fact (company_id, product_line_code) VALUES ('', '  '), (E' \n', 'PL202'), ('A', '  ') $$,
        'error blank_key 3, error unsupported_row 3'),
    ('a key that stands twice', $$
        ALTER TABLE customer.fct_customer_business_monthly_status DROP CONSTRAINT fct_customer_business_monthly_status_pkey;
        INSERT INTO fact SELECT * FROM fact WHERE company_id = 'C' $$,
        'error summary 2, error duplicate_key 1'),
    ('rows without their customer', $$
        ALTER TABLE customer.fct_customer_business_monthly_status DROP CONSTRAINT fk_snapshot_company;
        ALTER TABLE customer.customer_plan_contract DROP CONSTRAINT fk_contract_company;
        DELETE FROM customer."年金客户" WHERE company_id = 'A' $$,
        'error orphaned_company 2'),
    ('rows without their product line', $$
        ALTER TABLE customer.fct_customer_business_monthly_status DROP CONSTRAINT fk_snapshot_product_line;
        ALTER TABLE customer.customer_plan_contract DROP CONSTRAINT fk_contract_product_line;
        DELETE FROM mapping."产品线" WHERE "产品线代码" = 'PL201' $$,
        'error orphaned_product_line 1'),
    ('AUM that is no number, though the source says the same', $$
        UPDATE aum SET amount = 'NaN' WHERE as_of = '2026-01-31';
        UPDATE fact SET aum_balance = 'NaN' WHERE company_id = 'A' AND product_line_code = 'PL202' $$,
        'error aum_balance 1'),
    ('that a stale row lacks awards, losses and AUM of its own', $$
        UPDATE contract SET valid_to = '2026-03-10' WHERE company_id = 'B';
        UPDATE fact SET is_winning_this_year = FALSE, is_churned_this_year = TRUE, aum_balance = 7 WHERE company_id = 'B' $$,
        'error is_winning_this_year 1, error is_churned_this_year 1, error aum_balance 1, warning stale_row 1'),
    ('a contract of a blank customer', $$ INSERT INTO contract (company_id) VALUES ('') $$, 'error missing_row 1'),
    ('nothing in a contract that has ended since, and never had a row', $$
        INSERT INTO contract (company_id, valid_to) VALUES ('N', '2026-03-10');
        INSERT INTO aum (company_id, amount) VALUES ('N', 5) $$,
        'nothing'),
    ('nothing in what other months hold', $$
        INSERT INTO fact (snapshot_month, company_id, is_strategic) VALUES ('2025-12-31', 'A', TRUE), ('2026-02-28', 'gone', FALSE) $$,
        'nothing'),
    ('nothing in a plan that came in twice', $$
        ALTER TABLE customer.customer_plan_contract DROP CONSTRAINT uq_active_contract;
        INSERT INTO contract (company_id) VALUES ('A') $$,
        'nothing'),
    ('nothing in a lesser name of one of two contracts', $$ UPDATE contract SET product_line_name = '企业受托' WHERE plan_code = 'P2' $$, 'nothing'),
    ('nothing in an award that came in twice', $$ UPDATE award SET reported_on = '2026-03-01' WHERE company_id = 'B' $$, 'nothing'),
    ('nothing in a contract of the past', $$ INSERT INTO contract (company_id, plan_code, valid_to) VALUES ('A', 'P9', '2025-12-31') $$, 'nothing')
) AS fault (reason, change, found);

-- What is to be done about what moved: by the state of the month ------------------------------------------------

CREATE TEMPORARY TABLE state (state_number, state, preparation) AS VALUES
    (1, 'the newest month', ''),
    (2, 'an older month', $$
        INSERT INTO aum (company_id, as_of, amount) VALUES ('A', '2026-02-01', 1);
        SELECT customer.refresh_monthly_snapshot('2026-02-28'); $$),
    (3, 'a closed month', $$ SELECT customer.close_snapshot_month('2026-01-31', 'published'); $$),
    (4, 'a month never written', $$
        CREATE TEMPORARY TABLE adopted AS TABLE fact;
        SELECT customer.discard_snapshot_month('2026-01-31', 'never written'); $$ || pg_temp.silently('INSERT INTO fact TABLE adopted') || $$
        SELECT customer.summarise_snapshot_month('2026-01-31', '[]');
        INSERT INTO customer.monthly_snapshot_log (
            snapshot_month, operation, reason, started_at, finished_at, inserted, month_rows, month_aum, invoked_by, application_name
        )
        VALUES ('2026-01-31', 'adopt', 'stood there', now(), now(), 4, 4, 300.34, 'me', '');
        UPDATE customer.monthly_snapshot_control
        SET last_log_id = (SELECT max(log_id) FROM customer.monthly_snapshot_log); $$);

SELECT is(
    pg_temp.faults_after(preparation || change),
    concat_ws(', ', (ARRAY[newest, older, closed])[least(state_number, 3)], CASE state_number WHEN 4 THEN 'warning never_written 1' END),
    format('%s: %s', state, reason)
)
FROM (VALUES
    ('a customer came in March', $$ INSERT INTO contract (company_id, valid_from) VALUES ('N', '2026-03-05') $$,
        'drift missing_row 1', 'drift missing_row 1', 'drift missing_row 1'),
    ('a customer was there on the last day', $$ INSERT INTO contract (company_id, valid_from) VALUES ('N', '2026-01-31') $$,
        'error missing_row 1', 'drift missing_row 1', 'drift missing_row 1'),
    ('... with AUM', $$
        INSERT INTO contract (company_id, valid_from) VALUES ('N', '2026-01-31');
        INSERT INTO aum (company_id, amount) VALUES ('N', -0.005) $$,
        'error missing_row 1', 'error missing_row 1', 'drift missing_row 1'),
    ('... with AUM of less than a cent', $$
        INSERT INTO contract (company_id, valid_from) VALUES ('N', '2026-01-31');
        INSERT INTO aum (company_id, amount) VALUES ('N', 0.0049) $$,
        'error missing_row 1', 'drift missing_row 1', 'drift missing_row 1'),
    ('a customer with AUM came in March', $$
        INSERT INTO contract (company_id, valid_from) VALUES ('N', '2026-03-05');
        INSERT INTO aum (company_id, amount) VALUES ('N', 5) $$,
        'drift missing_row 1', 'drift missing_row 1', 'drift missing_row 1'),
    ('a contract ended before the last day', $$ UPDATE contract SET valid_to = '2026-01-30' WHERE company_id = 'C' $$,
        'error unsupported_row 1', 'drift unsupported_row 1', 'drift unsupported_row 1'),
    ('a contract ended in March, and its AUM is gone', $$
        UPDATE contract SET valid_to = '2026-03-10' WHERE company_id = 'B';
        DELETE FROM aum WHERE company_id = 'B' $$,
        'error unsupported_row 1', 'error unsupported_row 1', 'drift unsupported_row 1'),
    ('a contract was renewed in March, as a strategic one', $$
        UPDATE contract SET is_strategic = TRUE, valid_from = '2026-03-01' WHERE company_id = 'C' $$,
        'error is_strategic 1', 'drift is_strategic 1', 'drift is_strategic 1'),
    ('an award was won in June', $$ INSERT INTO award (company_id, reported_on) VALUES ('C', '2026-06-01') $$,
        'error is_new 1, error is_winning_this_year 1',
        'drift is_new 1, drift is_winning_this_year 1', 'drift is_new 1, drift is_winning_this_year 1'),
    ('AUM was corrected', $$ INSERT INTO aum (company_id, as_of, amount) VALUES ('C', '2026-01-31', 0.005) $$,
        'error aum_balance 1', 'error aum_balance 1', 'drift aum_balance 1'),
    ('a customer was resolved to another', $$
        UPDATE aum SET company_id = 'D' WHERE company_id = 'B';
        UPDATE contract SET company_id = 'D' WHERE company_id = 'B' $$,
        'error missing_row 1, error unsupported_row 1', 'error missing_row 1, error unsupported_row 1',
        'drift missing_row 1, drift unsupported_row 1')
) AS moved (reason, change, newest, older, closed)
CROSS JOIN state
ORDER BY reason, state_number;

-- A closed month keeps the errors of what was changed by hand before, and gets none later.
SELECT is(
    pg_temp.faults_after(preparation || change || ';' || ending || later),
    CASE WHEN later = '' OR ending = '' THEN found ELSE replace(found, 'error', 'drift') END,
    format('%s, %s%s: %s', state, CASE WHEN ending = '' THEN 'open' ELSE 'closed' END, CASE WHEN later <> '' THEN ' and time passed' END, reason)
)
FROM (VALUES
    ('a row was forged by hand', $$ INSERT INTO fact (company_id, aum_balance) VALUES ('D', 1000000000000) $$, 'error unsupported_row 1', ''),
    ('a row without AUM', $$ INSERT INTO fact (company_id) VALUES ('D') $$, 'error unsupported_row 1', ''),
    ('a row was deleted', $$ DELETE FROM fact WHERE company_id = 'C' $$, 'error missing_row 1', ''),
    ('a flag was changed', $$ UPDATE fact SET is_strategic = TRUE WHERE company_id = 'C' $$, 'error is_strategic 1', ''),
    ('AUM was changed', $$ UPDATE fact SET aum_balance = 1 WHERE company_id = 'C' $$, 'error aum_balance 1', ''),
    ('a row was changed rightly', $$
        UPDATE contract SET is_strategic = TRUE WHERE company_id = 'C';
        UPDATE fact SET is_strategic = TRUE WHERE company_id = 'C' $$, 'nothing', ''),
    ('a row was changed rightly', $$
        UPDATE contract SET is_strategic = TRUE WHERE company_id = 'C';
        UPDATE fact SET is_strategic = TRUE WHERE company_id = 'C' $$, 'error is_strategic 1, error aum_balance 1', $$
        UPDATE contract SET is_strategic = FALSE WHERE company_id = 'C';
        INSERT INTO aum (company_id, amount) VALUES ('C', 5) $$)
) AS by_hand (reason, change, found, later)
CROSS JOIN (VALUES (''), ($$ SELECT customer.close_snapshot_month('2026-01-31', 'published'); $$)) AS closing (ending)
CROSS JOIN state
WHERE state_number < 3
ORDER BY reason, state_number, later, ending;

SELECT is(pg_temp.faults_after(change), found, reason)
FROM (VALUES
    ('what was changed by hand before the month was last written is of no matter', $$
        UPDATE fact SET is_strategic = TRUE WHERE company_id = 'C';
        INSERT INTO fact (company_id) VALUES ('D');
        SELECT customer.refresh_monthly_snapshot('2026-01-31');
        SELECT customer.close_snapshot_month('2026-01-31', 'published');
        INSERT INTO award (company_id) VALUES ('C') $$,
        'drift is_new 1, drift is_winning_this_year 1'),
    ('what was not changed by hand is drift in a month that was closed with errors, too', $$
        UPDATE fact SET is_strategic = TRUE WHERE company_id = 'C';
        SELECT customer.close_snapshot_month('2026-01-31', 'published');
        INSERT INTO award (company_id, product_line_code) VALUES ('A', 'PL201');
        INSERT INTO aum (company_id, product_line_code, amount) VALUES ('A', 'PL201', 5) $$,
        'error is_strategic 1, drift is_winning_this_year 1, drift aum_balance 1'),
    ('what was changed and changed back is right', $$
        UPDATE fact SET aum_balance = aum_balance + 9;
        UPDATE fact SET aum_balance = aum_balance - 9 $$,
        'nothing'),
    -- What was changed past the triggers stays an error, whatever is logged afterwards; until the month is written again.
    ('a row was removed past the triggers, and then another by hand', pg_temp.silently($$ DELETE FROM fact WHERE company_id = 'C' $$)
        || $$ DELETE FROM fact WHERE company_id = 'B' $$, 'error log_totals 1, error missing_row 2'),
    ('a row was removed past the triggers, and then the month was closed', pg_temp.silently($$ DELETE FROM fact WHERE company_id = 'C' $$)
        || $$ SELECT customer.close_snapshot_month('2026-01-31', 'published') $$, 'error log_totals 1, error summary 2, drift missing_row 1'),
    ('a row was removed past the triggers, and then the month was refreshed', pg_temp.silently($$ DELETE FROM fact WHERE company_id = 'C' $$)
        || $$ SELECT customer.refresh_monthly_snapshot('2026-01-31') $$, 'nothing')
) AS by_hand (reason, change, found);

-- Past the triggers, and past the functions ---------------------------------------------------------------------

SELECT is(pg_temp.faults_after(preparation || change), CASE state_number WHEN 1 THEN open ELSE closed END, format('%s: %s', state, reason))
FROM (VALUES
    ('a row was added', pg_temp.silently($$ INSERT INTO fact (company_id) VALUES ('D') $$),
        'error log_totals 1, error summary 2, error unsupported_row 1',
        'error log_totals 1, error control_totals 1, error summary 2, drift unsupported_row 1'),
    ('a row was removed', pg_temp.silently($$ DELETE FROM fact WHERE company_id = 'C' $$),
        'error log_totals 1, error summary 2, error missing_row 1',
        'error log_totals 1, error control_totals 1, error summary 2, drift missing_row 1'),
    ('a cent was added', pg_temp.silently($$ UPDATE fact SET aum_balance = aum_balance + 0.01 WHERE company_id = 'B' $$),
        'error log_totals 1, error summary 2, error aum_balance 1',
        'error log_totals 1, error control_totals 1, error summary 2, drift aum_balance 1'),
    ('a cent was moved', pg_temp.silently($$
        UPDATE fact SET aum_balance = aum_balance + CASE company_id WHEN 'B' THEN 0.01 ELSE -0.01 END WHERE company_id IN ('B', 'C') $$),
        'error summary 2, error aum_balance 2', 'error control_totals 1, error summary 2, drift aum_balance 2'),
    ('a flag was flipped', pg_temp.silently($$ UPDATE fact SET is_strategic = TRUE WHERE company_id = 'C' $$),
        'error summary 2, error is_strategic 1', 'error control_totals 1, error summary 2, drift is_strategic 1'),
    ('a child table adds a row', $$
        CREATE TEMPORARY TABLE child () INHERITS (customer.fct_customer_business_monthly_status);
        INSERT INTO child SELECT * FROM fact WHERE company_id = 'C' $$,
        'error log_totals 1, error summary 2, error duplicate_key 1',
        'error log_totals 1, error control_totals 1, error summary 2, error duplicate_key 1'),
    ('the control row says another rule', $$ UPDATE customer.monthly_snapshot_control SET last_rule = 'as_of' $$,
        -- By which awards and losses of later months do not count.
        'error control_row 1, error is_new 1, error is_winning_this_year 1, error is_churned_this_year 1',
        'error control_row 1, drift is_new 1, drift is_winning_this_year 1, drift is_churned_this_year 1'),
    ('the control row says another entry', 'UPDATE customer.monthly_snapshot_control SET last_log_id = last_log_id + 1',
        'error control_row 1', 'error control_row 1'),
    ('there is no control row', 'DELETE FROM customer.monthly_snapshot_control',
        'error control_row 1, warning never_written 1', 'error control_row 1, warning never_written 1'),
    ('the control row says that it is open', $$
        UPDATE customer.monthly_snapshot_control
        SET closed_at = NULL, closed_by = NULL, close_note = NULL, closed_rows = NULL, closed_aum = NULL, closed_sha256 = NULL $$,
        'nothing', 'error control_row 1'),
    ('it was opened past the function, and refreshed', $$
        UPDATE customer.monthly_snapshot_control
        SET closed_at = NULL, closed_by = NULL, close_note = NULL, closed_rows = NULL, closed_aum = NULL, closed_sha256 = NULL;
        SELECT customer.refresh_monthly_snapshot('2026-01-31') $$,
        'nothing', 'error control_row 1'),
    ('AUM was changed in a row that was changed by hand before', $$ UPDATE fact SET plan_count = 9 WHERE company_id = 'C'; $$
        || pg_temp.silently($$ UPDATE fact SET aum_balance = 1, plan_count = 1 WHERE company_id = 'C' $$),
        'error log_totals 1, error summary 2, error aum_balance 1', NULL),
    ('the control row says that it is closed', $$
        UPDATE customer.monthly_snapshot_control
        SET (closed_at, closed_by, close_note, closed_rows, closed_aum, closed_sha256) = (now(), 'me', 'why', row_count, aum, sha256)
        FROM customer.snapshot_control_totals('2026-01-31', NULL) $$,
        'error control_row 1, error control_totals 1', 'nothing'),
    ('control and log have lost all', 'DELETE FROM customer.monthly_snapshot_control; DELETE FROM customer.monthly_snapshot_log',
        'error log_totals 1, warning never_written 1', 'error log_totals 1, warning never_written 1')
) AS past (reason, change, open, closed)
CROSS JOIN state
WHERE state_number = 1
    OR state_number = 3 AND closed IS NOT NULL
ORDER BY reason, state_number;

SELECT is(
    split_part(pg_temp.detail_after(preparation || format('UPDATE customer.monthly_snapshot_%s', change), 'verdict'), '.', 1),
    '2026-01-31 is not right: control_totals',
    format('control totals of a closed month were changed: %s', change)
)
FROM (VALUES
    ('control SET closed_rows = closed_rows + 1'), ('control SET closed_aum = closed_aum + 0.01'), ('control SET closed_sha256 = ''x'''),
    ('log SET month_sha256 = ''x'' WHERE operation = ''close''')
) AS totals (change)
CROSS JOIN state
WHERE state_number = 3;

SELECT is(
    pg_temp.faults_after(preparation || change),
    concat_ws(', ', found, CASE state_number WHEN 4 THEN 'warning never_written 1' END, stale),
    format('%s: %s', state, reason)
)
FROM (VALUES
    ('{1,2,4}'::integer[], 'a cent was added, and then taken away by hand',
        pg_temp.silently($$ UPDATE fact SET aum_balance = 0.01 WHERE company_id = 'C' $$)
        || $$ UPDATE fact SET aum_balance = 0 WHERE company_id = 'C' $$, 'error log_totals 1', NULL),
    ('{2,4}', 'a flag was flipped', pg_temp.silently($$ UPDATE fact SET is_strategic = TRUE WHERE company_id = 'C' $$),
        'error summary 2, drift is_strategic 1', NULL),
    ('{1,2,3,4}', 'contracts ended on the last day', $$ UPDATE contract SET valid_to = '2026-01-31' WHERE valid_to > '2026-01-31' $$,
        NULL, 'warning stale_row 4'),
    ('{1,2,3,4}', 'contracts ended, the summary was emptied, and then mended as the detail says', $$
        UPDATE contract SET valid_to = '2026-01-31' WHERE valid_to > '2026-01-31';
        DELETE FROM customer.monthly_status_summary;
        SELECT customer.summarise_snapshot_month('2026-01-31') $$, NULL, 'warning stale_row 4')
) AS what (states, reason, change, found, stale)
JOIN state
    ON states @> ARRAY[state_number];

SELECT is(
    pg_temp.faults_after(pg_temp.silently($$ INSERT INTO fact (snapshot_month, company_id) VALUES ('2025-11-30', 'D') $$), '2025-11-30'),
    'error log_totals 1, error summary 2, drift missing_row 4, drift unsupported_row 1, warning never_written 1',
    'a month that nobody ever changed holds no rows'
);

-- The summary -----------------------------------------------------------------------------------------------------

SELECT is(
    pg_temp.faults_after(format(
        'UPDATE customer.monthly_status_summary SET %s WHERE product_line_code IS NOT DISTINCT FROM %L', change, product_line
    )),
    'error summary 1',
    format('it finds a wrong number or name in the summary of %s: %s', coalesce(product_line, 'the month'), change)
)
FROM unnest(
    '{row_count,customers,customers_with_aum,strategic_customers,existing_customers,new_this_year_customers,winning_this_year_customers,
      churned_this_year_customers,plans,aum_balance,strategic_aum,stale_rows,stale_aum}'::text[] || ARRAY['product_line_name']
) AS column_name
CROSS JOIN LATERAL (
    SELECT format(CASE WHEN column_name LIKE '%_name' THEN '%1$s = ''别名''' ELSE '%1$s = %1$s + 1' END, column_name)
) AS forged (change)
CROSS JOIN (VALUES ('PL202'), (NULL)) AS summarised (product_line);

SELECT is(pg_temp.faults_after(change), found, format('it finds that %s', reason))
FROM (VALUES
    ('the summary lacks a product line', $$ DELETE FROM customer.monthly_status_summary WHERE product_line_code = 'PL201' $$, 'error summary 1'),
    ('the summary lacks the month as a whole', 'DELETE FROM customer.monthly_status_summary WHERE product_line_code IS NULL', 'error summary 1'),
    ('the summary lacks all', 'DELETE FROM customer.monthly_status_summary', 'error summary 3'),
    ('the summary holds a product line more', $$
        UPDATE customer.monthly_status_summary SET product_line_code = 'PL203' WHERE product_line_code = 'PL201' $$, 'error summary 2'),
    ('a month without rows has a summary', $$
        CREATE TEMPORARY TABLE forged AS TABLE customer.monthly_status_summary;
        SELECT customer.discard_snapshot_month('2026-01-31', 'why');
        INSERT INTO customer.monthly_status_summary TABLE forged $$, 'error snapshot_exists 1, error summary 3, drift missing_row 4'),
    ('more rows were stale than the control row says', $$
        UPDATE customer.monthly_status_summary SET stale_rows = 1 WHERE product_line_code = 'PL202' OR product_line_code IS NULL $$,
        'error summary 1'),
    ('rows were stale, and there is no control row', $$
        UPDATE customer.monthly_status_summary SET stale_rows = 1 WHERE product_line_code = 'PL202' OR product_line_code IS NULL;
        DELETE FROM customer.monthly_snapshot_control $$, 'error control_row 1, error summary 1, warning never_written 1'),
    ('fewer rows were stale than the control row says', 'UPDATE customer.monthly_snapshot_control SET stale_rows = 1', 'error summary 1'),
    ('nothing is wrong where rows are stale', $$
        UPDATE contract SET is_strategic = TRUE;
        SELECT customer.refresh_monthly_snapshot('2026-01-31');
        UPDATE contract SET valid_to = '2026-03-10' WHERE company_id IN ('A', 'B');
        INSERT INTO loss (company_id, product_line_code) VALUES ('A', 'PL201');
        SELECT customer.refresh_monthly_snapshot('2026-01-31');
        UPDATE fact SET product_line_name = 'Z' WHERE company_id = 'C';
        UPDATE contract SET valid_to = '9999-12-31' WHERE company_id = 'B' $$, 'error product_line_name 1, warning stale_row 2'),
    ('nothing is wrong where a trigger of others has added a row', $$
        CREATE FUNCTION pg_temp.intrude() RETURNS trigger LANGUAGE plpgsql AS
            'BEGIN INSERT INTO fact (company_id) VALUES (''D''); RETURN NULL; END';
        CREATE TRIGGER intrude AFTER UPDATE ON customer.fct_customer_business_monthly_status
            FOR EACH STATEMENT EXECUTE FUNCTION pg_temp.intrude();
        SELECT customer.refresh_monthly_snapshot('2026-01-31') $$, 'error unsupported_row 1')
) AS fault (reason, change, found);

SELECT alike(
    pg_temp.detail_after($$ SELECT customer.close_snapshot_month('2026-01-31', 'published') $$, 'control_totals'),
    '% holds 4 rows with 300.34 yuan and sha256 %; it was closed with 4 rows with 300.34 yuan and sha256 %, or, as the log says, 4 with 300.34 and %',
    'it says what was closed'
);

-- In a sentence ---------------------------------------------------------------------------------------------------

SELECT is(pg_temp.detail_after(change, 'verdict'), '2026-01-31 ' || said, format('the first line says it all: %s', reason))
FROM (VALUES
    ('right', 'SELECT 1', 'is right. Written by rule current; open.'),
    ('wrong', $$ UPDATE fact SET plan_count = 9, aum_balance = 9 $$,
        'is not right: aum_balance, plan_count. Written by rule current; changed by hand; open.'),
    ('closed, and moved on', $$
        SELECT customer.close_snapshot_month('2026-01-31', 'published');
        INSERT INTO award (company_id) VALUES ('C') $$,
        'is right. Written by rule current; closed; the sources say otherwise now: is_new, is_winning_this_year.'),
    ('closed with errors', $$
        DELETE FROM fact WHERE company_id = 'C';
        SELECT customer.close_snapshot_month('2026-01-31', 'published') $$,
        'is not right: missing_row. Written by rule current; changed by hand; closed although it had errors.'),
    ('reopened', $$
        DELETE FROM fact WHERE company_id = 'C';
        SELECT customer.close_snapshot_month('2026-01-31', 'published');
        SELECT customer.reopen_snapshot_month('2026-01-31', 'why');
        SELECT customer.restate_monthly_snapshot('2026-01-31', 'why') $$,
        'is right. Written by rule as_of; open.'),
    ('never written', $$
        SELECT customer.discard_snapshot_month('2026-01-31', 'why');
        INSERT INTO fact (company_id) VALUES ('D') $$,
        'is right. Discarded; changed by hand; open; the sources say otherwise now: missing_row, unsupported_row.'),
    ('empty', $$ SELECT customer.discard_snapshot_month('2026-01-31', 'why') $$,
        'is not right: snapshot_exists. Discarded; open; the sources say otherwise now: missing_row.')
) AS sentence (reason, change, said);

SELECT alike(
    pg_temp.after(
        $$ INSERT INTO fact (snapshot_month, company_id) VALUES ('2025-11-30', 'D') $$,
        $$ SELECT detail FROM customer.validate_monthly_snapshot('2025-11-30') WHERE check_name = 'verdict' $$
    ),
    '2025-11-30 is right. % changed by hand %',
    'so it does of a month that was only filled by hand'
);

SELECT is(
    pg_temp.after(
        'UPDATE fact SET plan_count = 8; UPDATE fact SET plan_count = 9',
        $$ SELECT detail = (
               SELECT format(
                   '2026-01-31 is not right: plan_count. Written %s by rule current (log entry %s); changed by hand %s (log entry %s); open.',
                   min(moment), min(log_id), max(moment), max(log_id)
               )
               FROM customer.monthly_snapshot_log
               CROSS JOIN to_char(finished_at AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI "UTC"') AS moment
           )
           FROM pg_temp.report()
           WHERE number = 1 $$
    ),
    'true',
    'when, and by which entries'
);

SELECT is(
    pg_temp.detail_after((SELECT preparation FROM state WHERE state_number = 4), 'never_written'),
    'the package never wrote the rows of 2026-01-31, so that differences are drift; to bring them in order: '
    'SELECT customer.restate_monthly_snapshot(DATE ''2026-01-31'', ''why''); and read its warnings before you commit',
    'of a month that the package never wrote it says what to do'
);

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

-- Each was ended on its last day, at the latest.
ALTER TABLE customer.customer_plan_contract DISABLE TRIGGER trg_contract_updated_at;

UPDATE customer.customer_plan_contract
SET updated_at = (valid_to + INTERVAL '1 day' - INTERVAL '1 second') AT TIME ZONE 'UTC'
WHERE valid_to < '9999-12-30';

INSERT INTO aum (company_id, as_of, amount)
VALUES ('A', '2025-06-30', 0);

-- On the last day, and the day after.
INSERT INTO award (company_id, reported_on)
VALUES ('changed', '2025-06-30'), ('overlap', '2025-07-01');

INSERT INTO loss (company_id, reported_on)
VALUES ('changed', '2025-06-30'), ('overlap', '2025-07-01');

SELECT customer.restate_monthly_snapshot('2025-06-30', 'history') AS result \gset

SELECT is(
    pg_temp.faults('2025-06-30') || (SELECT ': ' || detail FROM pg_temp.report('2025-06-30') WHERE check_name = 'snapshot_exists'),
    -- A twice, B, C, gone, changed, overlap, two at once, last day, first day
    'nothing: 2025-06-30 holds 10 rows; the sources support 10 by rule as_of',
    'a month that was just restated is clean: it is held against the versions of its last day'
);

SELECT is(pg_temp.faults_after(change, '2025-06-30'), found, format('by the rule as_of it finds %s', reason))
FROM (VALUES
    ('a value of today''s contract', $$ UPDATE fact SET is_strategic = FALSE WHERE company_id = 'changed' $$, 'error is_strategic 1'),
    ('that of two versions over the day the earlier was taken', $$ UPDATE fact SET is_existing = FALSE WHERE company_id = 'overlap' $$,
        'error is_existing 1'),
    ('that of two versions of one beginning the lower contract_id was taken', $$
        UPDATE fact SET is_strategic = TRUE WHERE company_id = 'two at once' $$,
        'error is_strategic 1'),
    ('that a version that ends on the day was left out', $$ DELETE FROM fact WHERE company_id = 'last day' $$, 'error missing_row 1'),
    ('that a version that begins on the day was left out', $$ DELETE FROM fact WHERE company_id = 'first day' $$, 'error missing_row 1'),
    ('that versions that do not cover the day were taken', $$
        INSERT INTO fact (snapshot_month, company_id)
        SELECT '2025-06-30', company_id FROM unnest('{no end,day before,day after}'::text[]) AS company_id $$, 'error unsupported_row 3'),
    ('that an award and a loss of the last day were left out', $$
        UPDATE fact SET is_new = FALSE, is_winning_this_year = FALSE, is_churned_this_year = FALSE WHERE company_id = 'changed' $$,
        'error is_new 1, error is_winning_this_year 1, error is_churned_this_year 1'),
    ('that an award and a loss of the day after were counted', $$
        UPDATE fact SET is_winning_this_year = TRUE, is_churned_this_year = TRUE WHERE company_id = 'overlap' AND snapshot_month = '2025-06-30' $$,
        'error is_winning_this_year 1, error is_churned_this_year 1'),
    ('two versions of a plan that were counted as two', $$ UPDATE fact SET plan_count = 2 WHERE company_id = 'overlap' $$, 'error plan_count 1'),
    ('a forged row', $$ INSERT INTO fact (snapshot_month, company_id, aum_balance) VALUES ('2025-06-30', 'D', 1000000000000) $$,
        'error unsupported_row 1'),
    ('a row forged past the triggers', pg_temp.silently($$
        INSERT INTO fact (snapshot_month, company_id, aum_balance) VALUES ('2025-06-30', 'D', 1000000000000) $$),
        'error log_totals 1, error summary 2, error unsupported_row 1'),
    ('nothing in an award later in the year', $$ INSERT INTO award (company_id, reported_on) VALUES ('C', '2025-07-01') $$, 'nothing'),
    ('drift in an award reported late', $$ INSERT INTO award (company_id, reported_on) VALUES ('C', '2025-03-01') $$,
        'drift is_new 1, drift is_winning_this_year 1'),
    ('nothing in an award later in the year than a closed month', $$
        SELECT customer.close_snapshot_month('2025-06-30', 'published');
        INSERT INTO award (company_id, reported_on) VALUES ('C', '2025-07-01') $$, 'nothing'),
    ('drift in an award reported late for a closed month', $$
        SELECT customer.close_snapshot_month('2025-06-30', 'published');
        INSERT INTO award (company_id, reported_on) VALUES ('C', '2025-03-01') $$, 'drift is_new 1, drift is_winning_this_year 1'),
    ('a flag that was set later', $$
        UPDATE customer.customer_plan_contract
        SET is_existing = TRUE, updated_at = '2025-07-01 00:00:00 UTC', valid_from = '2025-06-30' WHERE company_id = 'last day' $$,
        'drift is_existing 1, warning late_change 1'),
    ('nothing of the kind where contracts do not say when they were changed', $$
        UPDATE customer.customer_plan_contract SET updated_at = '2025-07-01 00:00:00 UTC' WHERE company_id = 'last day';
        DROP VIEW contract;
        ALTER TABLE customer.customer_plan_contract DROP COLUMN updated_at $$, 'nothing'),
    ('nothing in versions of another day', $$
        UPDATE customer.customer_plan_contract SET updated_at = now() WHERE company_id IN ('day before', 'day after', 'first day', 'no end') $$,
        'nothing'),
    ('nothing once it is discarded and refreshed, nor what was changed late', $$
        UPDATE customer.customer_plan_contract SET updated_at = now() WHERE company_id = 'last day';
        SELECT customer.discard_snapshot_month('2025-06-30', 'back to today');
        SELECT customer.refresh_monthly_snapshot('2025-06-30') $$, 'nothing'),
    ('that it was discarded, and what today''s contracts say', $$ SELECT customer.discard_snapshot_month('2025-06-30', 'back to today') $$,
        'error snapshot_exists 1, drift missing_row 9')
) AS fault (reason, change, found);

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

SELECT is(pg_temp.faults(month), 'nothing', format('%s: and validation agrees', month))
FROM (VALUES (DATE '2026-03-31'), ('2026-04-30')) AS written (month);

-- Settings ----------------------------------------------------------------------------------------------

CREATE TEMPORARY TABLE remembered_report AS
SELECT *
FROM customer.validate_monthly_snapshot('2025-06-30');

SET LOCAL DateStyle = 'German';
SET LOCAL TimeZone = 'Pacific/Kiritimati';
SET LOCAL extra_float_digits = -15;
SET LOCAL transaction_read_only = on;

SELECT results_eq(
    $$ SELECT * FROM customer.validate_monthly_snapshot('2025-06-30') $$, 'TABLE remembered_report',
    'the session''s settings change nothing in the report; and it runs where nothing can be written, as on a standby'
);

SELECT * FROM finish();

ROLLBACK;
