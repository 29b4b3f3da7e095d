-- Proves that a second refresh leaves the table untouched, and that a changed source changes only its row.
-- Within one transaction updated_at and xmin stay: a rewritten row shows by its ctid, a locked one by its xmax.
SET client_encoding = 'UTF8';

BEGIN;

SELECT plan(39);

\ir fixture.psql

INSERT INTO contract (company_id, product_line_code, plan_code, is_existing)
VALUES
    ('A', 'PL201', 'P1', FALSE),
    ('A', 'PL202', 'P1', FALSE),
    ('B', 'PL201', 'P1', TRUE),
    ('B', 'PL202', 'P1', TRUE),
    ('B', 'PL202', 'P2', NULL),
    ('C', 'PL202', 'P1', NULL);

INSERT INTO award (company_id, product_line_code)
VALUES ('A', 'PL201'), ('B', 'PL201');

INSERT INTO loss (company_id, product_line_code)
VALUES ('A', 'PL202'), ('C', 'PL202');

INSERT INTO aum (company_id, product_line_code, amount)
VALUES ('A', 'PL201', 100.0049), ('A', 'PL201', 0.0049), ('A', 'PL202', NULL), ('B', 'PL202', -5.5), (NULL, 'PL202', 7);

SELECT customer.refresh_monthly_snapshot('2026-01-31') AS result \gset

CALL pg_temp.remember();

-- Nothing changed

SELECT customer.refresh_monthly_snapshot('2026-01-31') AS result \gset

SELECT is(
    ARRAY[:'result'::jsonb -> 'unchanged', :'result'::jsonb -> 'upserted'], '{5, 0}'::jsonb[],
    'a second refresh finds all five rows right, and writes none'
);

SELECT is_empty(
    'SELECT * FROM written',
    'after a second refresh each row is where it was, and as it was'
);

SELECT is_empty(
    $$ SELECT company_id, product_line_code
       FROM customer.fct_customer_business_monthly_status
       WHERE xmax <> 0 $$,
    'a second refresh does not even lock a row'
);

-- Each source in turn: the change, the one row that it changes, and what the row says then

CREATE FUNCTION pg_temp.rows_written_after(p_change text)
RETURNS text[]
LANGUAGE plpgsql
AS $$
DECLARE
    v_result jsonb;
    v_keys text[];
BEGIN
    CALL pg_temp.remember();
    EXECUTE p_change;
    v_result := customer.refresh_monthly_snapshot('2026-01-31');

    SELECT array_agg(company_id || ' ' || product_line_code ORDER BY company_id, product_line_code)
    INTO v_keys
    FROM written;

    RETURN ARRAY[v_result ->> 'inserted', v_result ->> 'updated', v_result ->> 'unchanged'] || v_keys;
END
$$;

-- In each answer: rows inserted, updated, unchanged; then which were written.
SELECT is(
    pg_temp.rows_written_after(change) || (to_jsonb(pg_temp.stored(company_id, line)) ->> column_name),
    ARRAY['0', '1', '4', company_id || ' ' || line, value],
    format('%s changes only its row, and %s becomes %s', what, column_name, value)
)
FROM (VALUES
    ('a contract''s product line name',
        $$ UPDATE contract SET product_line_name = '新名' WHERE company_id = 'A' AND product_line_code = 'PL202' $$,
        'A', 'PL202', 'product_line_name', '新名'),
    ('a mark strategic', $$ UPDATE contract SET is_strategic = TRUE WHERE company_id = 'B' AND plan_code = 'P2' $$,
        'B', 'PL202', 'is_strategic', 'true'),
    ('a mark existing', $$ UPDATE contract SET is_existing = TRUE WHERE company_id = 'C' $$,
        'C', 'PL202', 'is_existing', 'true'),
    ('an award', $$ INSERT INTO award (company_id) VALUES ('C') $$,
        'C', 'PL202', 'is_winning_this_year', 'true'),
    ('a mark existing taken away', $$ UPDATE contract SET is_existing = FALSE WHERE company_id = 'C' $$,
        'C', 'PL202', 'is_existing', 'false'),
    ('a loss', $$ INSERT INTO loss (company_id, product_line_code) VALUES ('B', 'PL201') $$,
        'B', 'PL201', 'is_churned_this_year', 'true'),
    ('an AUM that differs by a cent', $$ UPDATE aum SET amount = -5.51 WHERE company_id = 'B' $$,
        'B', 'PL202', 'aum_balance', '-5.51'),
    ('a second plan', $$ INSERT INTO contract (company_id, plan_code) VALUES ('A', 'P2') $$,
        'A', 'PL202', 'plan_count', '2')
) AS example (what, change, company_id, line, column_name, value);

SELECT is(
    pg_temp.rows_written_after($$ INSERT INTO contract (company_id, product_line_code) VALUES ('D', 'PL203') $$),
    ARRAY['1', '0', '5', 'D PL203'],
    'a new customer''s contract adds a row and touches no other'
);

SELECT is(
    pg_temp.rows_written_after($$
        INSERT INTO contract (company_id, product_line_code) VALUES ('E', 'PL201');
        UPDATE contract SET is_strategic = FALSE WHERE company_id = 'B';
        UPDATE aum SET company_id = 'C' WHERE company_id = 'B'
    $$),
    ARRAY['1', '2', '4', 'B PL202', 'C PL202', 'E PL201'],
    'several changes at once write just their rows'
);

-- Changes that make no difference

SELECT is(
    pg_temp.rows_written_after(change),
    ARRAY['0', '0', '7'],
    format('%s writes nothing', what)
)
FROM (VALUES
    ('a contract''s status', $$ UPDATE contract SET contract_status = '停缴', status_year = 2027 $$),
    ('an award reported twice', $$ INSERT INTO award (company_id, product_line_code) VALUES ('B', 'PL201') $$),
    ('an award of another year',
        $$ INSERT INTO award (company_id, reported_on) VALUES ('A', '2025-12-31'), ('A', '2027-01-01') $$),
    ('a loss of another year',
        $$ INSERT INTO loss (company_id, reported_on) VALUES ('B', '2025-12-31'), ('B', '2027-01-01') $$),
    ('an award of a customer without contract', $$ INSERT INTO award (company_id) VALUES ('nobody'), (NULL) $$),
    ('a loss without product line',
        $$ INSERT INTO loss (company_id, product_line_code) VALUES ('B', NULL) $$),
    ('AUM of a neighbouring month',
        $$ INSERT INTO aum (company_id, as_of, amount) VALUES ('A', '2025-12-31', 9), ('A', '2026-02-01', 9) $$),
    ('AUM of an unknown customer', $$ INSERT INTO aum (company_id, amount) VALUES ('nobody', 9) $$),
    ('all of the detail loaded again',
        $$ WITH gone AS (DELETE FROM aum RETURNING *) INSERT INTO aum SELECT * FROM gone $$),
    ('AUM without amount', $$ INSERT INTO aum (company_id, amount) VALUES ('A', NULL) $$),
    ('AUM too small to move a cent',
        $$ INSERT INTO aum (company_id, product_line_code, amount) VALUES ('A', 'PL201', 0.0049) $$),
    ('the same AUM over two portfolios',
        $$ INSERT INTO aum (company_id, amount) VALUES ('E', 8), ('E', -8) $$),
    ('a closed contract',
        $$ INSERT INTO contract (company_id, plan_code, product_line_name, is_strategic, valid_to)
           VALUES ('A', 'P7', '龘', TRUE, '2025-12-31') $$),
    ('a customer without contract', $$ INSERT INTO known_customer (company_id) VALUES ('Z') $$),
    ('a renamed product line', $$ UPDATE mapping."产品线" SET "产品线" = '改名' $$)
) AS harmless (what, change);

-- What someone else wrote into the snapshot is put right

SELECT is(
    pg_temp.rows_written_after(format(
        $$ UPDATE customer.fct_customer_business_monthly_status
           SET %s
           WHERE company_id = 'B' AND product_line_code = 'PL202' $$,
        assignment
    )),
    ARRAY['0', '1', '6', 'B PL202'],
    format('a stored row with %s is put right', assignment)
)
FROM (VALUES
    ('product_line_name = ''wrong'''),
    ('is_strategic = TRUE'),
    ('is_existing = FALSE'),
    ('is_new = TRUE'),
    ('is_winning_this_year = TRUE'),
    ('is_churned_this_year = TRUE'),
    ('aum_balance = 0.01'),
    ('plan_count = 3')
) AS wrong (assignment);

SELECT is(
    pg_temp.stored('B'),
    ROW('2026-01-31', 'B', 'PL202', '企年受托', FALSE, TRUE, FALSE, FALSE, FALSE, 0.00, 2, CURRENT_TIMESTAMP)
        ::customer.fct_customer_business_monthly_status,
    'and says after all what its sources say'
);

-- updated_at

ALTER TABLE customer.fct_customer_business_monthly_status DISABLE TRIGGER trg_snapshot_updated_at;
UPDATE customer.fct_customer_business_monthly_status SET updated_at = '2000-01-01 00:00:00+00';
ALTER TABLE customer.fct_customer_business_monthly_status ENABLE TRIGGER trg_snapshot_updated_at;

UPDATE aum SET amount = 1234 WHERE company_id = 'C';

SELECT customer.refresh_monthly_snapshot('2026-01-31') AS result \gset

SELECT results_eq(
    $$ SELECT company_id, product_line_code
       FROM customer.fct_customer_business_monthly_status
       WHERE updated_at <> '2000-01-01 00:00:00+00' $$,
    $$ VALUES ('C'::varchar, 'PL202'::varchar) $$,
    'updated_at moves on the row that changed, and on no other'
);

SELECT is(
    (pg_temp.stored('C')).updated_at, CURRENT_TIMESTAMP,
    'updated_at becomes the start of the transaction'
);

SELECT * FROM finish();

ROLLBACK;
