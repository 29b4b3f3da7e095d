-- Proves that the snapshot is not truncated by a transaction that may not see what is closed.
-- A file of its own, because the isolation level is that of a whole transaction.
SET client_encoding = 'UTF8';

BEGIN ISOLATION LEVEL REPEATABLE READ;

SELECT plan(5);

\ir fixture.psql

INSERT INTO contract (company_id)
VALUES ('A');

SELECT customer.refresh_monthly_snapshot('2026-01-31') AS result \gset

SELECT is(
    (SELECT count(*) FROM customer.monthly_snapshot_control WHERE closed_at IS NOT NULL),
    0::bigint,
    'premise: no month is closed'
);

SELECT throws_ok(
    'TRUNCATE customer.fct_customer_business_monthly_status',
    '55000',
    'customer.fct_customer_business_monthly_status can be truncated at READ COMMITTED only, not at REPEATABLE READ',
    'TRUNCATE is refused at REPEATABLE READ though all months are open'
);

SELECT throws_ok(
    'TRUNCATE customer."年金客户" CASCADE',
    '55000',
    'customer.fct_customer_business_monthly_status can be truncated at READ COMMITTED only, not at REPEATABLE READ',
    'so it is by way of the customers'
);

SELECT is(
    (pg_temp.stored('A')).plan_count,
    1,
    'the row is still there'
);

SELECT lives_ok(
    'DELETE FROM customer.fct_customer_business_monthly_status',
    'DELETE, which touches only what the transaction sees, works'
);

SELECT * FROM finish();

ROLLBACK;
