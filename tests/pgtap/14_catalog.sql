-- Proves of all the package's objects, known by name or not, that they have one owner, that their
-- parameters are named p_…, and that there is no kind of object that no test looks at.
SET client_encoding = 'UTF8';

BEGIN;

SELECT plan(6);

\ir fixture.psql

CREATE TEMPORARY VIEW foreign_owner AS
SELECT name
FROM (
    SELECT name, relowner AS owner FROM package_relation
    UNION ALL
    SELECT name, proowner FROM package_function
) AS owned
WHERE owner <> (
    SELECT relowner
    FROM pg_class
    WHERE oid = 'customer.fct_customer_business_monthly_status'::regclass
);

CREATE TEMPORARY VIEW misnamed_parameter AS
SELECT
    package_function.name,
    parameter.name AS parameter
FROM package_function
JOIN pg_proc
    ON pg_proc.oid = package_function.oid
CROSS JOIN unnest(
    coalesce(proargnames, array_fill(''::text, ARRAY[pronargs::integer])),
    coalesce(proargmodes, array_fill('i'::"char", ARRAY[pronargs::integer]))
) AS parameter (name, mode)
-- The columns of a result are named for who reads it.
WHERE parameter.mode NOT IN ('o', 't')
    AND parameter.name !~ '^p_.';

-- The privileges and comments of these would go untested.
CREATE TEMPORARY VIEW other_object AS
SELECT pg_describe_object(classid, objid, objsubid) AS description
FROM pg_depend
WHERE refclassid = 'pg_namespace'::regclass
    AND refobjid = 'customer'::regnamespace
    -- pg_rewrite: of views, also of the tests' own, that name the schema.
    AND classid NOT IN ('pg_class'::regclass, 'pg_proc'::regclass, 'pg_rewrite'::regclass)
UNION ALL
SELECT pg_describe_object('pg_policy'::regclass, pg_policy.oid, 0)
FROM pg_policy
JOIN package_relation
    ON package_relation.oid = polrelid
UNION ALL
SELECT pg_describe_object('pg_rewrite'::regclass, pg_rewrite.oid, 0)
FROM pg_rewrite
JOIN package_relation
    ON package_relation.oid = ev_class
WHERE rulename <> '_RETURN';

SELECT is_empty(
    'SELECT * FROM foreign_owner',
    'all that the package made belongs to the role that deployed it'
);

SELECT is_empty(
    'SELECT * FROM misnamed_parameter',
    'each parameter is named p_…'
);

SELECT is_empty(
    'SELECT * FROM other_object',
    'the package consists of tables, views, sequences, indexes, constraints, triggers and functions'
);

-- Objects that forget all this are found

CREATE ROLE pgtap_owner;
GRANT CREATE ON SCHEMA customer TO pgtap_owner;

CREATE TABLE customer.forgetful (id integer);
ALTER TABLE customer.forgetful OWNER TO pgtap_owner;

CREATE FUNCTION customer.forget(integer, day date, p_month date, INOUT total bigint, OUT rest bigint)
LANGUAGE sql
AS 'SELECT 1, 2';
ALTER FUNCTION customer.forget OWNER TO pgtap_owner;

CREATE FUNCTION customer.forget(integer)
RETURNS integer
LANGUAGE sql
AS 'SELECT 1';

CREATE DOMAIN customer.forgotten_domain AS text;
CREATE TYPE customer.forgotten_row AS (id integer);
CREATE STATISTICS customer.forgotten_statistics
    ON company_id, product_line_code
    FROM customer.fct_customer_business_monthly_status;
CREATE POLICY forgotten_policy ON customer.fct_customer_business_monthly_status;
CREATE RULE forgotten_rule AS ON DELETE TO customer.monthly_snapshot_log DO INSTEAD NOTHING;

SELECT set_eq(
    'SELECT name FROM foreign_owner',
    ARRAY['customer.forgetful', 'customer.forget(integer,date,date,bigint)'],
    'an object of another owner is noticed'
);

SELECT set_eq(
    'SELECT name, parameter FROM misnamed_parameter',
    $$ VALUES
        ('customer.forget(integer,date,date,bigint)', ''),
        ('customer.forget(integer,date,date,bigint)', 'day'),
        ('customer.forget(integer,date,date,bigint)', 'total'),
        ('customer.forget(integer)', '') $$,
    'a parameter of another name, or of none, is noticed'
);

SELECT set_eq(
    'SELECT description FROM other_object',
    ARRAY[
        'type customer.forgotten_domain',
        'type customer.forgotten_row',
        'statistics object customer.forgotten_statistics',
        'policy forgotten_policy on table customer.fct_customer_business_monthly_status',
        'rule forgotten_rule on table customer.monthly_snapshot_log'
    ],
    'an object of another kind is noticed'
);

SELECT * FROM finish();

ROLLBACK;
