-- Proves that every object and column of the package says what it is for.
SET client_encoding = 'UTF8';

BEGIN;

SELECT plan(12);

\ir fixture.psql

-- Everything that can have a comment, with the one it has.

CREATE TEMPORARY VIEW commented AS
SELECT
    'relation' AS kind,
    name,
    obj_description(oid, 'pg_class') AS comment
FROM package_relation
UNION ALL
SELECT
    'column',
    name || '.' || attname,
    col_description(attrelid, attnum)
FROM package_relation
JOIN pg_attribute
    ON attrelid = package_relation.oid
WHERE relkind IN ('r', 'p', 'v', 'm', 'f')
    AND attnum > 0
    AND NOT attisdropped
UNION ALL
SELECT
    'function',
    name,
    obj_description(oid, 'pg_proc')
FROM package_function
UNION ALL
SELECT
    'constraint',
    name || ' ' || conname,
    obj_description(pg_constraint.oid, 'pg_constraint')
FROM package_relation
JOIN pg_constraint
    ON conrelid = package_relation.oid
-- n: the NOT NULL constraints of PostgreSQL 18 and later; t: triggers.
WHERE contype NOT IN ('n', 't')
UNION ALL
SELECT
    'trigger',
    name || ' ' || tgname,
    obj_description(pg_trigger.oid, 'pg_trigger')
FROM package_relation
JOIN pg_trigger
    ON tgrelid = package_relation.oid
WHERE NOT tgisinternal;

SELECT isnt_empty(
    format('SELECT * FROM commented WHERE kind = %L AND name = %L', kind, name),
    format('premise: %s %s is looked at', kind, name)
)
FROM (VALUES
    ('relation',   'customer.fct_customer_business_monthly_status'),
    ('relation',   'customer.monthly_snapshot_log_log_id_seq'),
    ('relation',   'customer.idx_snapshot_strategic'),
    ('column',     'customer.monthly_snapshot_control.closed_by'),
    ('function',   'customer.refresh_monthly_snapshot(date)'),
    ('constraint', 'customer.fct_customer_business_monthly_status fk_snapshot_company'),
    ('trigger',    'customer.fct_customer_business_monthly_status trg_snapshot_updated_at')
) AS example (kind, name);

SELECT is_empty(
    format(
        'SELECT name
         FROM commented
         WHERE kind = %L
             AND coalesce(comment, '''') !~ ''\S''',
        kind
    ),
    format('every %s of the package has a comment', what)
)
FROM (VALUES
    ('relation',   'table, view, sequence and index'),
    ('column',     'column'),
    ('function',   'function'),
    ('constraint', 'constraint'),
    ('trigger',    'trigger')
) AS expected (kind, what);

SELECT * FROM finish();

ROLLBACK;
