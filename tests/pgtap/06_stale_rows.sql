-- Proves that rows which no current contract supports any more are kept, counted, and left alone.
SET client_encoding = 'UTF8';

BEGIN;

SELECT plan(23);

\ir fixture.psql

CREATE FUNCTION pg_temp.refresh(p_month date DEFAULT '2026-01-31')
RETURNS jsonb
LANGUAGE sql
AS $$
    SELECT customer.refresh_monthly_snapshot(p_month) - ARRAY[
        'snapshot_month', 'upserted', 'aum_total', 'aum_unattributed', 'log_id'
    ]
$$;

CREATE FUNCTION pg_temp.control_stale_rows(p_month date DEFAULT '2026-01-31')
RETURNS bigint
LANGUAGE sql
AS $$
    SELECT stale_rows
    FROM customer.monthly_snapshot_control
    WHERE snapshot_month = p_month
$$;

INSERT INTO contract (company_id, product_line_code, is_strategic)
VALUES
    ('A', 'PL201', FALSE),
    ('A', 'PL202', FALSE),
    ('B', 'PL202', TRUE),
    ('C', 'PL202', FALSE),
    ('D', 'PL202', FALSE);

INSERT INTO aum (company_id, product_line_code, amount)
VALUES ('A', 'PL201', 1), ('A', 'PL202', 20), ('B', 'PL202', 300), ('C', 'PL202', 4000);

SELECT is(
    pg_temp.refresh(),
    '{"total": 5, "inserted": 5, "updated": 0, "unchanged": 0, "stale": 0, "deleted": 0}',
    'premise: five rows are written, none of them stale'
);

-- Ways to lose support

CALL pg_temp.remember();

UPDATE contract SET valid_to = '2026-01-31' WHERE company_id = 'B';
UPDATE aum SET amount = 301 WHERE company_id = 'B';

INSERT INTO award (company_id)
VALUES ('B');

SELECT is(
    pg_temp.refresh(),
    '{"total": 4, "inserted": 0, "updated": 0, "unchanged": 4, "stale": 1, "deleted": 0}',
    'a row whose contract was closed is stale; it counts in no other number'
);

SELECT is_empty(
    'SELECT * FROM written',
    'the stale row is neither removed nor rewritten, though its AUM and award have changed'
);

SELECT is((pg_temp.stored('B')).aum_balance, 300.00, 'the stale row keeps its AUM');

SELECT is((pg_temp.stored('B')).is_strategic, TRUE, 'the stale row keeps its mark');

SELECT is((pg_temp.stored('B')).is_winning_this_year, FALSE, 'the stale row takes no award');

SELECT is(pg_temp.control_stale_rows(), 1::bigint, 'the control row has the number of stale rows');

SELECT is(
    pg_temp.refresh(),
    '{"total": 4, "inserted": 0, "updated": 0, "unchanged": 4, "stale": 1, "deleted": 0}',
    'it is counted again by each refresh'
);

UPDATE contract SET valid_to = NULL WHERE company_id = 'C';

SELECT is(
    pg_temp.refresh(),
    '{"total": 3, "inserted": 0, "updated": 0, "unchanged": 3, "stale": 2, "deleted": 0}',
    'a row whose contract has no end any more is stale'
);

DELETE FROM contract WHERE company_id = 'D';

SELECT is(
    pg_temp.refresh(),
    '{"total": 2, "inserted": 0, "updated": 0, "unchanged": 2, "stale": 3, "deleted": 0}',
    'a row whose contract was deleted is stale'
);

SELECT is_empty('SELECT * FROM written', 'none of them is removed or rewritten');

UPDATE contract SET product_line_code = 'PL203' WHERE company_id = 'A' AND product_line_code = 'PL201';

SELECT is(
    pg_temp.refresh(),
    '{"total": 2, "inserted": 1, "updated": 0, "unchanged": 1, "stale": 4, "deleted": 0}',
    'where a contract is re-coded to another product line, the new row is inserted and the old one stale'
);

SELECT results_eq(
    'SELECT company_id, product_line_code FROM written',
    $$ VALUES ('A'::varchar, 'PL203'::varchar) $$,
    'only the new row is written'
);

INSERT INTO contract (company_id, product_line_code)
VALUES ('A', 'PL201'), ('E', 'PL202');

INSERT INTO contract (company_id, product_line_code, plan_code)
VALUES ('A', 'PL202', 'P2');

SELECT is(
    pg_temp.refresh(),
    '{"total": 4, "inserted": 1, "updated": 1, "unchanged": 2, "stale": 3, "deleted": 0}',
    'inserted, updated, unchanged and stale rows of one refresh are told apart'
);

-- Support that comes back

SELECT is(
    pg_temp.refresh(),
    '{"total": 4, "inserted": 0, "updated": 0, "unchanged": 4, "stale": 3, "deleted": 0}',
    'a row that has support again and is still right counts as unchanged'
);

UPDATE contract SET valid_to = '9999-12-31' WHERE company_id = 'B';

SELECT is(
    pg_temp.refresh(),
    '{"total": 5, "inserted": 0, "updated": 1, "unchanged": 4, "stale": 2, "deleted": 0}',
    'a row that has support again and is not right any more is updated, not inserted'
);

SELECT is((pg_temp.stored('B')).aum_balance, 301.00, 'it has the AUM of today then');

SELECT is((pg_temp.stored('B')).is_winning_this_year, TRUE, 'it has the award of today then');

UPDATE contract SET valid_to = '9999-12-31' WHERE company_id = 'C';
INSERT INTO contract (company_id) VALUES ('D');

SELECT is(
    pg_temp.refresh(),
    '{"total": 7, "inserted": 0, "updated": 0, "unchanged": 7, "stale": 0, "deleted": 0}',
    'where all have support again none is stale'
);

-- A row is stale within its month

INSERT INTO aum (company_id, as_of, amount)
VALUES ('A', '2026-02-01', 5);

UPDATE contract SET valid_to = '2026-02-28' WHERE company_id IN ('C', 'D');

SELECT is(
    pg_temp.refresh('2026-02-28'),
    '{"total": 5, "inserted": 5, "updated": 0, "unchanged": 0, "stale": 0, "deleted": 0}',
    'rows of another month are not stale in this one'
);

SELECT is(
    pg_temp.refresh('2026-01-31'),
    '{"total": 5, "inserted": 0, "updated": 0, "unchanged": 5, "stale": 2, "deleted": 0}',
    'in their own month they are'
);

-- No contract left at all

CALL pg_temp.remember();

DELETE FROM contract;

SELECT is(
    pg_temp.refresh('2026-01-31'),
    '{"total": 0, "inserted": 0, "updated": 0, "unchanged": 0, "stale": 7, "deleted": 0}',
    'without any contract every row of the month is stale'
);

SELECT is_empty('SELECT * FROM written', 'and every row of every month is still there');

SELECT * FROM finish();

ROLLBACK;
