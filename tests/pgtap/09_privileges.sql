-- Proves who may do what: PUBLIC nothing, a role with EXECUTE on the refresh that and no more.
SET client_encoding = 'UTF8';

BEGIN;

SELECT plan(46);

\ir fixture.psql

-- Nobody is given anything with the package

SELECT is(
    (
        SELECT count(*)
        FROM package_function
        WHERE proname IN (
            'refresh_monthly_snapshot', 'write_monthly_snapshot', 'lock_snapshot_month',
            'snapshot_month_of', 'missing_snapshot_sources', 'set_snapshot_updated_at'
        )
    ),
    6::bigint,
    'premise: the package''s functions are found in the catalog'
);

SELECT is(
    (
        SELECT count(*)
        FROM package_relation
        WHERE oid IN (
            'customer.fct_customer_business_monthly_status'::regclass,
            'customer.monthly_snapshot_control'::regclass,
            'customer.monthly_snapshot_log'::regclass,
            'customer.monthly_snapshot_log_log_id_seq'::regclass
        )
    ),
    4::bigint,
    'premise: the package''s tables and its sequence are found in the catalog'
);

SELECT is_empty(
    $$ SELECT name, privilege_type
       FROM package_function
       CROSS JOIN aclexplode(coalesce(proacl, acldefault('f', proowner)))
       WHERE grantee = 0 $$,
    'PUBLIC may execute no function of the package'
);

SELECT is_empty(
    $$ SELECT name, privilege_type
       FROM package_relation
       CROSS JOIN aclexplode(
           coalesce(relacl, acldefault(CASE relkind WHEN 'S' THEN 's' ELSE 'r' END::"char", relowner))
       )
       WHERE grantee = 0 $$,
    'PUBLIC may do nothing with a table, view or sequence of the package'
);

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
    'nor does anybody else but the owner get anything by deploying: roles belong to the site'
);

-- Whose rights a function uses

SELECT is_empty(
    $$ SELECT name, proconfig
       FROM package_function
       WHERE prosecdef
           AND array_position(proconfig, 'search_path=pg_catalog, pg_temp') IS NULL $$,
    'each SECURITY DEFINER function has its search_path pinned to pg_catalog, pg_temp'
);

SELECT is_empty(
    $$ SELECT name, proconfig
       FROM package_function
       WHERE NOT prosecdef
           AND proname NOT LIKE 'source\_%'
           AND array_position(proconfig, 'search_path=pg_catalog, pg_temp') IS NULL $$,
    'and so has each internal function, which the owner may call as well, but for those that are inlined'
);

SELECT set_eq(
    'SELECT proname::text FROM package_function WHERE prosecdef',
    ARRAY[
        'refresh_monthly_snapshot', 'restate_monthly_snapshot', 'pre_etl_check', 'post_etl_hook', 'close_snapshot_month',
        'reopen_snapshot_month', 'discard_snapshot_month', 'validate_monthly_snapshot', 'guard_closed_months',
        'monthly_status_as_at', 'published_changes'
    ],
    'these lend their owner''s rights to whoever may call them, and no others'
);

-- A role with EXECUTE on the refresh, and nothing else

CREATE ROLE pgtap_refresher;
GRANT USAGE ON SCHEMA customer TO pgtap_refresher;
GRANT EXECUTE ON FUNCTION customer.refresh_monthly_snapshot(date) TO pgtap_refresher;

CREATE ROLE pgtap_stranger;
GRANT USAGE ON SCHEMA customer TO pgtap_stranger;

INSERT INTO contract (company_id)
VALUES ('A');

INSERT INTO aum (company_id, amount)
VALUES ('A', 100);

INSERT INTO aum (company_id, as_of, amount)
VALUES ('A', '2026-02-01', 0);

SELECT is_empty(
    $$ SELECT name
       FROM package_function
       WHERE has_function_privilege('pgtap_refresher', oid, 'EXECUTE')
           AND proname <> 'refresh_monthly_snapshot' $$,
    'premise: the role may execute no other function of the package'
);

SELECT is_empty(
    $$ SELECT name
       FROM package_relation
       WHERE CASE
           WHEN relkind = 'S' THEN has_sequence_privilege('pgtap_refresher', oid, 'USAGE, SELECT, UPDATE')
           WHEN relkind IN ('i', 'I') THEN FALSE
           ELSE has_table_privilege(
               'pgtap_refresher', oid, 'SELECT, INSERT, UPDATE, DELETE, TRUNCATE, REFERENCES, TRIGGER'
           )
       END $$,
    'premise: the role may do nothing with a table, view or sequence of the package'
);

SET LOCAL ROLE pgtap_refresher;

SELECT is(
    customer.refresh_monthly_snapshot('2026-01-31') - ARRAY['status', 'rule', 'accepted', 'warnings', 'log_id', 'reason'],
    '{"snapshot_month": "2026-01-31", "total": 1, "upserted": 1, "inserted": 1, "updated": 0, "unchanged": 0,
      "stale": 0, "deleted": 0, "aum_total": 100, "aum_unattributed": 0}'::jsonb,
    'with EXECUTE on refresh_monthly_snapshot alone the refresh works'
);

SELECT throws_ok(
    call, '42501', format('permission denied for function %s', name),
    format('but %s is refused', name)
)
FROM (VALUES
    ('write_monthly_snapshot',   $$ SELECT customer.write_monthly_snapshot('2026-01-31', 'refresh', NULL) $$),
    ('lock_snapshot_month',      $$ SELECT customer.lock_snapshot_month('2026-01-31') $$),
    ('snapshot_month_of',        $$ SELECT customer.snapshot_month_of('2026-01-31') $$),
    ('missing_snapshot_sources', $$ SELECT * FROM customer.missing_snapshot_sources() $$)
) AS refused (name, call);

SELECT throws_ok(
    format(statement, 'customer.' || name), '42501', format('permission denied for table %s', name),
    format('%s is refused', format(statement, name))
)
FROM (VALUES
    ('fct_customer_business_monthly_status'), ('monthly_snapshot_control'), ('monthly_snapshot_log')
) AS package (name)
CROSS JOIN (VALUES
    ('SELECT * FROM %s'),
    ('INSERT INTO %s (snapshot_month) VALUES (''2026-01-31'')'),
    ('UPDATE %s SET snapshot_month = ''2026-02-28'''),
    ('DELETE FROM %s'),
    ('TRUNCATE %s')
) AS attempt (statement);

SELECT throws_ok(
    format('SELECT * FROM %s', source), '42501', format('permission denied for %s', refused),
    format('%s stays out of reach', source)
)
FROM (VALUES
    ('customer.customer_plan_contract', 'table customer_plan_contract'),
    ('customer."年金客户"', 'table 年金客户'),
    ('customer."当年中标"', 'table 当年中标'),
    ('customer."当年流失"', 'table 当年流失'),
    ('business."规模明细"', 'schema business'),
    ('mapping."产品线"', 'schema mapping')
) AS platform (source, refused);

SELECT throws_ok(
    $$ SELECT nextval('customer.monthly_snapshot_log_log_id_seq') $$,
    '42501', 'permission denied for sequence monthly_snapshot_log_log_id_seq',
    'the log''s numbers cannot be used up'
);

SELECT throws_ok(
    $$ SET LOCAL session_replication_role = replica $$,
    '42501', NULL,
    'the triggers cannot be switched off'
);

SELECT throws_ok(
    $$ ALTER FUNCTION customer.refresh_monthly_snapshot(date) RESET ALL $$,
    '42501', NULL,
    'the function cannot be altered'
);

RESET ROLE;
SET LOCAL ROLE pgtap_stranger;

SELECT throws_ok(
    $$ SELECT customer.refresh_monthly_snapshot('2026-01-31') $$,
    '42501', 'permission denied for function refresh_monthly_snapshot',
    'a role without EXECUTE cannot refresh'
);

RESET ROLE;

-- Who is logged

GRANT EXECUTE ON FUNCTION
    customer.restate_monthly_snapshot(date, text), customer.close_snapshot_month(date, text),
    customer.reopen_snapshot_month(date, text), customer.discard_snapshot_month(date, text)
TO pgtap_refresher;

GRANT SELECT, UPDATE ON customer.fct_customer_business_monthly_status TO pgtap_refresher;

DELETE FROM customer.monthly_snapshot_log;

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

-- A caller's own search_path

CREATE SCHEMA pgtap_trap;

CREATE FUNCTION pgtap_trap.never(text, text)
RETURNS boolean
LANGUAGE sql
AS 'SELECT FALSE';

CREATE OPERATOR pgtap_trap.= (LEFTARG = text, RIGHTARG = text, FUNCTION = pgtap_trap.never);

CREATE FUNCTION pgtap_trap.to_char(date, text)
RETURNS text
LANGUAGE sql
AS $$ SELECT 'trapped'::text $$;

CREATE TEMPORARY TABLE monthly_snapshot_log (log_id bigint);
CREATE TEMPORARY TABLE fct_customer_business_monthly_status (snapshot_month date);

SET LOCAL search_path = pgtap_trap, pg_temp, pg_catalog, public;

SELECT
    to_char(DATE '2026-01-31', 'YYYY') AS shown,
    customer.refresh_monthly_snapshot('2026-02-28') AS first_result,
    customer.refresh_monthly_snapshot('2026-01-31') AS second_result
\gset

-- Not in the trap: pgTAP would fall into it.
SET LOCAL search_path = public;

SELECT is(:'shown'::text, 'trapped', 'premise: the trap was set');

SELECT is(
    pg_temp.counts(:'first_result'),
    '{"snapshot_month": "2026-02-28", "total": 1, "upserted": 1, "inserted": 1, "updated": 0, "unchanged": 0,
      "stale": 0, "deleted": 0, "aum_total": 0, "aum_unattributed": 0}',
    'what a caller puts before PostgreSQL''s own functions, operators and tables is not used on a first refresh'
);

SELECT is(
    pg_temp.counts(:'second_result'),
    '{"snapshot_month": "2026-01-31", "total": 1, "upserted": 0, "inserted": 0, "updated": 0, "unchanged": 1,
      "stale": 0, "deleted": 0, "aum_total": 100, "aum_unattributed": 0}',
    'nor on a second'
);

SELECT * FROM finish();

ROLLBACK;
