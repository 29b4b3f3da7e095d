-- Proves that every object and column of the package says what it is for.
SET client_encoding = 'UTF8';

BEGIN;

SELECT plan(3);

\ir fixture.psql

-- Everything that can have a comment, with the one it has; kind is the relkind of a relation.
CREATE TEMPORARY VIEW commented AS
SELECT
    relkind::text AS kind,
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

SELECT set_eq(
    'SELECT DISTINCT kind FROM commented',
    ARRAY['r', 'v', 'S', 'i', 'column', 'function', 'constraint', 'trigger'],
    'premise: tables, views, sequences, indexes and all that can have a comment are looked at'
);

SELECT is_empty(
    $$ SELECT kind, name FROM commented WHERE coalesce(comment, '') !~ '\S' $$,
    'everything of the package has a comment'
);

-- Tools show tables, views and columns; people call these functions.
SELECT is_empty(
    $$
    WITH shown AS (
        SELECT
            name,
            regexp_replace(name, '^customer\.\w+\.', '') AS subject,
            substring(comment FROM '^([一-龥（）]+): \S') AS term
        FROM commented
        WHERE kind IN ('r', 'v', 'column')
            OR name ~ '^customer\.(validate_monthly_snapshot|monthly_status_as_at|published_changes)\('
    )
    SELECT name, term
    FROM shown
    WHERE term IS NULL
        OR EXISTS (SELECT FROM shown AS other WHERE (other.term = shown.term) <> (other.subject = shown.subject))
    $$,
    'what BI shows has a comment that begins with a Chinese term: one for each name of a column, and for no other'
);

SELECT * FROM finish();

ROLLBACK;
