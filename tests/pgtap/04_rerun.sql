-- Proves that a second refresh leaves the table untouched, and that a changed source changes only its row.
-- Within one transaction updated_at and xmin stay: a rewritten row shows by its ctid, a locked one by its xmax.
SET client_encoding = 'UTF8';

BEGIN;

SELECT plan(58);

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
    (:'result'::jsonb ->> 'unchanged')::integer, 5,
    'a second refresh finds all five rows right'
);

SELECT is(
    (:'result'::jsonb ->> 'upserted')::integer, 0,
    'a second refresh writes none'
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

UPDATE customer.fct_customer_business_monthly_status
SET aum_balance = aum_balance + 1
WHERE company_id = 'C';

SELECT is(
    (SELECT count(*) FROM written), 1::bigint,
    'premise: a written row does show here'
);

SELECT customer.refresh_monthly_snapshot('2026-01-31') AS result \gset

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
    pg_temp.rows_written_after($$
        UPDATE contract SET product_line_name = '新名' WHERE company_id = 'A' AND product_line_code = 'PL202'
    $$),
    ARRAY['0', '1', '4', 'A PL202'],
    'a contract''s product line name changes only its row'
);

SELECT is((pg_temp.stored('A')).product_line_name, '新名', 'and the row has the new name');

SELECT is(
    pg_temp.rows_written_after($$
        UPDATE contract SET is_strategic = TRUE WHERE company_id = 'B' AND plan_code = 'P2'
    $$),
    ARRAY['0', '1', '4', 'B PL202'],
    'a mark strategic changes only its row'
);

SELECT is((pg_temp.stored('B')).is_strategic, TRUE, 'and the row is strategic');

SELECT is(
    pg_temp.rows_written_after($$
        UPDATE contract SET is_strategic = FALSE WHERE company_id = 'B' AND plan_code = 'P2'
    $$),
    ARRAY['0', '1', '4', 'B PL202'],
    'a mark strategic taken back changes only its row'
);

SELECT is((pg_temp.stored('B')).is_strategic, FALSE, 'and the row is not strategic any more');

SELECT is(
    pg_temp.rows_written_after($$
        UPDATE contract SET is_existing = TRUE WHERE company_id = 'C'
    $$),
    ARRAY['0', '1', '4', 'C PL202'],
    'a mark existing changes only its row'
);

SELECT is((pg_temp.stored('C')).is_existing, TRUE, 'and the row is existing');

SELECT is(
    pg_temp.rows_written_after($$
        INSERT INTO award (company_id, product_line_code) VALUES ('C', 'PL202')
    $$),
    ARRAY['0', '1', '4', 'C PL202'],
    'an award changes only its row, though the customer is not new'
);

SELECT is((pg_temp.stored('C')).is_winning_this_year, TRUE, 'and the row is winning');

SELECT is((pg_temp.stored('C')).is_new, FALSE, 'but not new');

SELECT is(
    pg_temp.rows_written_after($$
        UPDATE contract SET is_existing = FALSE WHERE company_id = 'C'
    $$),
    ARRAY['0', '1', '4', 'C PL202'],
    'a mark existing taken from a winner changes only its row'
);

SELECT is((pg_temp.stored('C')).is_new, TRUE, 'and the row is new');

SELECT is(
    pg_temp.rows_written_after($$
        DELETE FROM award WHERE company_id = 'A'
    $$),
    ARRAY['0', '1', '4', 'A PL201'],
    'an award taken back changes only its row'
);

SELECT is((pg_temp.stored('A', 'PL201')).is_winning_this_year, FALSE, 'and the row is not winning any more');

SELECT is(
    pg_temp.rows_written_after($$
        INSERT INTO loss (company_id, product_line_code) VALUES ('B', 'PL201')
    $$),
    ARRAY['0', '1', '4', 'B PL201'],
    'a loss changes only its row'
);

SELECT is((pg_temp.stored('B', 'PL201')).is_churned_this_year, TRUE, 'and the row is churned');

SELECT is(
    pg_temp.rows_written_after($$
        UPDATE aum SET amount = -5.51 WHERE company_id = 'B'
    $$),
    ARRAY['0', '1', '4', 'B PL202'],
    'an AUM that differs by a cent changes only its row'
);

SELECT is((pg_temp.stored('B')).aum_balance, -5.51, 'and the row has the new AUM');

SELECT is(
    pg_temp.rows_written_after($$
        UPDATE aum SET company_id = 'C' WHERE company_id = 'B'
    $$),
    ARRAY['0', '2', '3', 'B PL202', 'C PL202'],
    'AUM that moves from one customer to another changes both rows'
);

SELECT is(
    pg_temp.rows_written_after($$
        INSERT INTO contract (company_id, product_line_code, plan_code) VALUES ('A', 'PL202', 'P2')
    $$),
    ARRAY['0', '1', '4', 'A PL202'],
    'a second plan changes only its row'
);

SELECT is((pg_temp.stored('A')).plan_count, 2, 'and the row counts it');

SELECT is(
    pg_temp.rows_written_after($$
        UPDATE contract SET valid_to = '2026-01-31' WHERE company_id = 'A' AND plan_code = 'P2'
    $$),
    ARRAY['0', '1', '4', 'A PL202'],
    'a plan that ends changes only its row'
);

SELECT is((pg_temp.stored('A')).plan_count, 1, 'and the row counts it no more');

SELECT is(
    pg_temp.rows_written_after($$
        INSERT INTO contract (company_id, product_line_code) VALUES ('D', 'PL203')
    $$),
    ARRAY['1', '0', '5', 'D PL203'],
    'a new customer''s contract adds a row and touches no other'
);

SELECT is(
    pg_temp.rows_written_after($$
        INSERT INTO contract (company_id, product_line_code) VALUES ('C', 'PL201')
    $$),
    ARRAY['1', '0', '6', 'C PL201'],
    'a contract in another product line adds a row and touches no other'
);

SELECT is(
    pg_temp.rows_written_after($$
        INSERT INTO contract (company_id, product_line_code) VALUES ('E', 'PL201');
        UPDATE contract SET is_strategic = TRUE WHERE company_id = 'D';
        INSERT INTO loss (company_id, product_line_code) VALUES ('C', 'PL201')
    $$),
    ARRAY['1', '2', '5', 'C PL201', 'D PL203', 'E PL201'],
    'several changes at once write just their rows'
);

-- Changes that make no difference

SELECT is(
    pg_temp.rows_written_after(change),
    ARRAY['0', '0', '8'],
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
    ARRAY['0', '1', '7', 'B PL202'],
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

SELECT is(
    (SELECT count(*) FROM customer.fct_customer_business_monthly_status), 8::bigint,
    'after all these refreshes there are the eight rows that the contracts support'
);

SELECT * FROM finish();

ROLLBACK;
