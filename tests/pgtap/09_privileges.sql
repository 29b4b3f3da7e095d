-- Proves that deploying lets nobody but the owner do anything, whose rights a function uses, and whom the log names.
-- What each kind of role may do then is proved by integration/test_grants.py.
SET client_encoding = 'UTF8';

BEGIN;

SELECT plan(6);

\ir fixture.psql

-- Nobody is given anything with the package

SELECT is_empty(
    $$ SELECT name, attname, privilege_type
       FROM package_relation
       JOIN pg_attribute
           ON attrelid = package_relation.oid
       CROSS JOIN aclexplode(attacl) $$,
    'nobody may do anything with a single column of the package'
);

SELECT is_empty(
    $$ SELECT name, grantee::regrole
       FROM package_function
       CROSS JOIN aclexplode(coalesce(proacl, acldefault('f', proowner)))
       WHERE grantee <> proowner
       UNION ALL
       SELECT name, grantee::regrole
       FROM package_relation
       CROSS JOIN aclexplode(relacl)
       WHERE grantee <> relowner $$,
    'nor does anybody but the owner, PUBLIC included, get anything by deploying: roles belong to the site'
);

-- Whose rights a function uses

SELECT is_empty(
    $$ SELECT name, proconfig
       FROM package_function
       WHERE proname NOT LIKE 'source\_%'
           AND array_position(proconfig, 'search_path=pg_catalog, pg_temp') IS NULL $$,
    'each function has its search_path pinned to pg_catalog, pg_temp, but for those that are inlined'
);

SELECT set_eq(
    'SELECT proname::text FROM package_function WHERE prosecdef',
    ARRAY[
        'refresh_monthly_snapshot', 'restate_monthly_snapshot', 'pre_etl_check', 'post_etl_hook', 'close_snapshot_month',
        'reopen_snapshot_month', 'discard_snapshot_month', 'validate_monthly_snapshot', 'guard_closed_months',
        'monthly_status_as_at', 'published_changes', 'customer_names', 'product_line_names', 'unmatched_events'
    ],
    'these lend their owner''s rights to whoever may call them, and no others'
);

-- Who is logged

CREATE ROLE pgtap_refresher;
GRANT USAGE ON SCHEMA customer TO pgtap_refresher;

GRANT EXECUTE ON FUNCTION
    customer.refresh_monthly_snapshot(date),
    customer.restate_monthly_snapshot(date, text), customer.close_snapshot_month(date, text),
    customer.reopen_snapshot_month(date, text), customer.discard_snapshot_month(date, text)
TO pgtap_refresher;

GRANT SELECT, UPDATE ON customer.fct_customer_business_monthly_status TO pgtap_refresher;

INSERT INTO contract (company_id)
VALUES ('A');

INSERT INTO aum (company_id, amount)
VALUES ('A', 100);

SET LOCAL SESSION AUTHORIZATION pgtap_refresher;

SELECT customer.restate_monthly_snapshot('2026-01-31', 'why') \g /dev/null
UPDATE customer.fct_customer_business_monthly_status SET plan_count = 9;
SELECT customer.discard_snapshot_month('2026-01-31', 'why') \g /dev/null
SELECT customer.refresh_monthly_snapshot('2026-01-31') \g /dev/null
SELECT customer.close_snapshot_month('2026-01-31', 'why') \g /dev/null

SET LOCAL SESSION AUTHORIZATION DEFAULT;

SELECT is(
    (SELECT closed_by FROM customer.monthly_snapshot_control WHERE snapshot_month = '2026-01-31'), 'pgtap_refresher',
    'the control row names the role that logged in and closed the month, not the function''s owner'
);

SET LOCAL SESSION AUTHORIZATION pgtap_refresher;

SELECT customer.reopen_snapshot_month('2026-01-31', 'why') \g /dev/null

SET LOCAL SESSION AUTHORIZATION DEFAULT;

SELECT results_eq(
    'SELECT operation, invoked_by FROM customer.monthly_snapshot_log ORDER BY log_id',
    $$ VALUES
        ('restate', 'pgtap_refresher'), ('by_hand', 'pgtap_refresher'), ('discard', 'pgtap_refresher'), ('refresh', 'pgtap_refresher'),
        ('close', 'pgtap_refresher'), ('reopen', 'pgtap_refresher') $$,
    'so does the log, whatever was done'
);

SELECT * FROM finish();

ROLLBACK;
