-- Proves that missing_snapshot_sources() names all that is missing or unusable, and demands no more.
SET client_encoding = 'UTF8';

BEGIN;

SELECT plan(127);

SET LOCAL client_min_messages = error;

-- What the function reports after some DDL, which is undone again.
CREATE FUNCTION pg_temp.findings_after(p_ddl text)
RETURNS text[]
LANGUAGE plpgsql
AS $$
DECLARE
    v_findings text[];
BEGIN
    BEGIN
        EXECUTE p_ddl;
        SELECT coalesce(array_agg(source_object || ' ' || problem), '{}')
        INTO v_findings
        FROM customer.missing_snapshot_sources();
        RAISE EXCEPTION USING ERRCODE = 'UNDO1';
    EXCEPTION
        WHEN SQLSTATE 'UNDO1' THEN
            RETURN v_findings;
    END;
END
$$;

CREATE FUNCTION pg_temp.change_type(p_table text, p_column text, p_type text)
RETURNS text
LANGUAGE sql
AS $$
    SELECT format(
        'ALTER TABLE %1$s DROP COLUMN %2$s CASCADE; ALTER TABLE %1$s ADD COLUMN %2$s %3$s',
        p_table, p_column, p_type
    )
$$;

SELECT is(
    pg_temp.findings_after('SELECT'),
    '{}'::text[],
    'the platform''s tables have all that is needed'
);

-- Tables

SELECT is(
    pg_temp.findings_after(format('DROP TABLE %s CASCADE', table_name)),
    ARRAY[format('table %s is missing', table_name)],
    format('%s dropped is reported once, as a table', table_name)
)
FROM unnest(ARRAY[
    'customer.customer_plan_contract', 'customer."当年中标"', 'customer."当年流失"', 'business."规模明细"', 'customer."年金客户"',
    'mapping."产品线"'
]) AS table_name;

SELECT is(pg_temp.findings_after(ddl), findings, what)
FROM (VALUES
    ('ALTER TABLE business."规模明细" RENAME TO "规模明细_2025"',
        ARRAY['table business."规模明细" is missing'], 'a renamed table is missing'),
    ('ALTER TABLE business."规模明细" SET SCHEMA mapping',
        ARRAY['table business."规模明细" is missing'], 'a table of the same name in another schema does not count'),
    ('DROP SCHEMA mapping CASCADE',
        ARRAY['table mapping."产品线" is missing'], 'where the schema is missing its table is'),
    ('DROP TABLE business."规模明细"; CREATE SEQUENCE business."规模明细"',
        ARRAY['table business."规模明细" is missing'], 'a sequence of that name is no table'),
    ('DROP TABLE business."规模明细"; CREATE TYPE business."规模明细" AS (id integer)',
        ARRAY['table business."规模明细" is missing'], 'a composite type of that name is no table'),
    ('ALTER TABLE business."规模明细" RENAME TO detail; CREATE VIEW business."规模明细" AS SELECT * FROM business.detail',
        '{}'::text[], 'a view serves where the refresh only reads'),
    ('ALTER TABLE business."规模明细" RENAME TO detail; CREATE MATERIALIZED VIEW business."规模明细" AS SELECT * FROM business.detail',
        '{}', 'so does a materialized view'),
    ('CREATE TABLE business.detail (LIKE business."规模明细") PARTITION BY RANGE ("月度");
      DROP TABLE business."规模明细";
      ALTER TABLE business.detail RENAME TO "规模明细"',
        '{}', 'so does a partitioned table'),
    ('CREATE TEMPORARY TABLE "规模明细" (id integer); SET LOCAL search_path = pg_temp, public',
        '{}', 'neither a temporary table of the same name nor the search_path changes the answer')
) AS example (ddl, findings, what);

-- Columns

SELECT is(
    pg_temp.findings_after(format('ALTER TABLE %s DROP COLUMN %s CASCADE', table_name, column_name)),
    ARRAY[format('column %s.%s is missing', table_name, column_name)],
    format('%s.%s dropped is reported', table_name, column_name)
)
FROM (VALUES
    ('customer.customer_plan_contract', ARRAY['company_id', 'plan_code', 'product_line_code', 'product_line_name', 'is_strategic',
        'is_existing', 'valid_from', 'valid_to', 'contract_id']),
    ('customer."当年中标"', ARRAY['company_id', '"产品线代码"', '"上报月份"']),
    ('customer."当年流失"', ARRAY['company_id', '"产品线代码"', '"上报月份"']),
    ('business."规模明细"', ARRAY['company_id', '"产品线代码"', '"月度"', '"期末资产规模"']),
    ('customer."年金客户"', ARRAY['company_id']),
    ('mapping."产品线"', ARRAY['"产品线代码"'])
) AS needed (table_name, column_names)
CROSS JOIN unnest(column_names) AS column_name;

SELECT is(
    pg_temp.findings_after(
        $$ DROP TABLE mapping."产品线" CASCADE;
           ALTER TABLE business."规模明细" DROP COLUMN "期末资产规模";
           ALTER TABLE business."规模明细" RENAME COLUMN "月度" TO "月份";
           ALTER TABLE customer."当年流失" ALTER COLUMN "上报月份" TYPE text;
           ALTER TABLE customer."年金客户" DROP CONSTRAINT "年金客户_pkey" CASCADE;
           DROP TABLE customer."当年中标";
           ALTER TABLE customer.customer_plan_contract DROP COLUMN valid_to $$
    ),
    ARRAY[
        'column customer.customer_plan_contract.valid_to is missing',
        'table customer."当年中标" is missing',
        'column customer."当年流失"."上报月份" has type text where a date or timestamp is needed',
        'column business."规模明细"."月度" is missing',
        'column business."规模明细"."期末资产规模" is missing',
        'unique key on customer."年金客户".company_id is missing',
        'table mapping."产品线" is missing'
    ],
    'all that is wrong is listed at once, table by table; a renamed column is missing'
);

-- Types

CREATE DOMAIN pg_temp.some_text AS varchar(30);
CREATE DOMAIN pg_temp.some_date AS date;
CREATE DOMAIN pg_temp.some_date_of_some_kind AS pg_temp.some_date;
CREATE DOMAIN pg_temp.some_instant AS timestamptz;
CREATE DOMAIN pg_temp.some_instant_of_some_kind AS pg_temp.some_instant;
CREATE DOMAIN pg_temp.some_number AS numeric(18,4);
CREATE DOMAIN pg_temp.some_flag AS boolean;
CREATE DOMAIN pg_temp.some_flag_of_some_kind AS pg_temp.some_flag;
CREATE TYPE pg_temp.some_enum AS ENUM ('P1');

SELECT is(
    pg_temp.findings_after(pg_temp.change_type(table_name, column_name, type_name)),
    '{}'::text[],
    format('%s may be %s', column_name, type_name)
)
FROM (VALUES
    ('customer.customer_plan_contract', 'plan_code', ARRAY['text', 'character varying', 'character varying(7)', 'character(7)', 'name',
        'pg_temp.some_text']),
    ('customer.customer_plan_contract', 'is_strategic', ARRAY['pg_temp.some_flag', 'pg_temp.some_flag_of_some_kind']),
    ('customer.customer_plan_contract', 'valid_from', ARRAY['timestamp without time zone']),
    ('customer.customer_plan_contract', 'valid_to', ARRAY['timestamp without time zone']),
    ('customer.customer_plan_contract', 'contract_id', ARRAY['smallint', 'bigint']),
    ('customer."当年中标"', '"上报月份"', ARRAY['timestamp without time zone']),
    ('customer."当年流失"', '"上报月份"', ARRAY['timestamp without time zone']),
    ('business."规模明细"', '"月度"', ARRAY['timestamp without time zone', 'timestamp(0) without time zone', 'pg_temp.some_date',
        'pg_temp.some_date_of_some_kind']),
    ('business."规模明细"', '"期末资产规模"', ARRAY['numeric', 'smallint', 'integer', 'bigint', 'pg_temp.some_number'])
) AS good (table_name, column_name, type_names)
CROSS JOIN unnest(type_names) AS type_name;

-- A day with a time zone lies in one month or another, depending on who looks. Of binary
-- floating point, a cast to numeric keeps 6 or 15 digits.
SELECT is(
    pg_temp.findings_after(pg_temp.change_type(table_name, column_name, type_name)),
    ARRAY[format('column %s.%s has type %s where %s is needed', table_name, column_name, type_name, kind)],
    format('%s.%s of type %s is refused', table_name, column_name, type_name)
)
FROM (VALUES
    ('customer.customer_plan_contract', 'company_id', 'a text', ARRAY['integer']),
    ('customer.customer_plan_contract', 'plan_code', 'a text', ARRAY['uuid', 'text[]', 'some_enum']),
    ('customer.customer_plan_contract', 'product_line_code', 'a text', ARRAY['bigint']),
    ('customer.customer_plan_contract', 'product_line_name', 'a text', ARRAY['jsonb']),
    ('customer.customer_plan_contract', 'is_strategic', 'a boolean', ARRAY['integer', 'text']),
    ('customer.customer_plan_contract', 'is_existing', 'a boolean', ARRAY['bit(1)']),
    ('customer.customer_plan_contract', 'valid_to', 'a date or timestamp', ARRAY['timestamp with time zone', 'text']),
    ('customer.customer_plan_contract', 'valid_from', 'a date or timestamp', ARRAY['timestamp with time zone', 'text']),
    ('customer.customer_plan_contract', 'contract_id', 'a whole number', ARRAY['uuid', 'numeric']),
    ('customer."当年中标"', 'company_id', 'a text', ARRAY['integer']),
    ('customer."当年中标"', '"产品线代码"', 'a text', ARRAY['integer']),
    ('customer."当年中标"', '"上报月份"', 'a date or timestamp', ARRAY['timestamp with time zone', 'character varying(6)']),
    ('customer."当年流失"', 'company_id', 'a text', ARRAY['integer']),
    ('customer."当年流失"', '"产品线代码"', 'a text', ARRAY['integer']),
    ('customer."当年流失"', '"上报月份"', 'a date or timestamp', ARRAY['timestamp with time zone', 'integer']),
    ('business."规模明细"', 'company_id', 'a text', ARRAY['integer']),
    ('business."规模明细"', '"产品线代码"', 'a text', ARRAY['integer']),
    ('business."规模明细"', '"月度"', 'a date or timestamp', ARRAY['timestamp with time zone', 'timestamp(0) with time zone',
        'time without time zone', 'date[]', 'some_instant', 'some_instant_of_some_kind']),
    ('business."规模明细"', '"期末资产规模"', 'an exact number', ARRAY['text', 'real', 'double precision', 'money', 'oid', 'interval'])
) AS bad (table_name, column_name, kind, type_names)
CROSS JOIN unnest(type_names) AS type_name;

SELECT is(pg_temp.findings_after(ddl), findings, what)
FROM (VALUES
    ('ALTER TABLE mapping."产品线" DROP COLUMN "产品线代码" CASCADE;
      ALTER TABLE mapping."产品线" ADD COLUMN "产品线代码" serial PRIMARY KEY',
        ARRAY['column mapping."产品线"."产品线代码" has type integer where a text is needed'],
        'a key of a type that cannot work is reported for its type'),
    ('ALTER TABLE mapping."产品线" ALTER COLUMN "产品线代码" TYPE name',
        ARRAY['column mapping."产品线"."产品线代码" has type name where a text is needed'],
        'a key of another type than a varchar''s is refused: no foreign key could point at it'),
    ('ALTER TABLE mapping."产品线" ALTER COLUMN "产品线代码" TYPE character(6)',
        '{}'::text[], 'one that is padded with blanks will do'),
    ('CREATE COLLATION mapping.no_case (PROVIDER = icu, LOCALE = ''und-u-ks-level2'', DETERMINISTIC = FALSE);
      ALTER TABLE customer.customer_plan_contract DROP CONSTRAINT fk_contract_company;
      ALTER TABLE customer.fct_customer_business_monthly_status DROP CONSTRAINT fk_snapshot_company;
      ALTER TABLE customer."年金客户" ALTER COLUMN company_id TYPE varchar COLLATE mapping.no_case',
        ARRAY['column customer."年金客户".company_id has collation no_case where a deterministic one is needed'],
        'so is a key by which A and a are alike'),
    ('ALTER TABLE mapping."产品线" DROP CONSTRAINT "产品线_pkey" CASCADE',
        ARRAY['unique key on mapping."产品线"."产品线代码" is missing'], 'the product lines, too, need a unique key'),
    ('ALTER TABLE customer."年金客户" RENAME TO company; CREATE VIEW customer."年金客户" AS SELECT * FROM customer.company',
        ARRAY['unique key on customer."年金客户".company_id is missing'], 'no foreign key can point at a view'),
    ('ALTER TABLE customer."年金客户" RENAME TO company;
      CREATE MATERIALIZED VIEW customer."年金客户" AS SELECT * FROM customer.company;
      CREATE UNIQUE INDEX ON customer."年金客户" (company_id)',
        ARRAY['unique key on customer."年金客户".company_id is missing'], 'nor at a materialized view, though it has a unique index')
) AS example (ddl, findings, what);

-- Keys: what a foreign key can point at

SELECT is(
    pg_temp.findings_after('ALTER TABLE customer."年金客户" DROP CONSTRAINT "年金客户_pkey" CASCADE; ' || ddl),
    CASE WHEN is_enough THEN '{}' ELSE ARRAY['unique key on customer."年金客户".company_id is missing'] END,
    format('%s is %s', what, CASE WHEN is_enough THEN 'enough' ELSE 'not enough' END)
)
FROM (VALUES
    (FALSE, 'no key', ''),
    (FALSE, 'an index that is not unique', 'CREATE INDEX ON customer."年金客户" (company_id)'),
    (FALSE, 'a partial unique index', 'CREATE UNIQUE INDEX ON customer."年金客户" (company_id) WHERE company_id <> '''''),
    (FALSE, 'a unique index on an expression', 'CREATE UNIQUE INDEX ON customer."年金客户" (lower(company_id))'),
    (FALSE, 'a unique key of two columns', 'ALTER TABLE customer."年金客户" ADD UNIQUE (company_id, "客户名称")'),
    (FALSE, 'a unique key on another column', 'ALTER TABLE customer."年金客户" ADD UNIQUE ("客户名称")'),
    (FALSE, 'a unique index that carries the column along', 'CREATE UNIQUE INDEX ON customer."年金客户" ("客户名称") INCLUDE (company_id)'),
    (FALSE, 'a deferrable unique key', 'ALTER TABLE customer."年金客户" ADD UNIQUE (company_id) DEFERRABLE'),
    (FALSE, 'a deferrable primary key', 'ALTER TABLE customer."年金客户" ADD PRIMARY KEY (company_id) DEFERRABLE INITIALLY DEFERRED'),
    (FALSE, 'a unique index left invalid', 'CREATE UNIQUE INDEX broken ON customer."年金客户" (company_id);
         UPDATE pg_index SET indisvalid = FALSE WHERE indexrelid = ''customer.broken''::regclass'),
    (FALSE, 'a unique key on a table of the same name elsewhere', 'CREATE TABLE mapping."年金客户" (company_id text PRIMARY KEY)'),
    (TRUE, 'a unique key that is not the primary key', 'ALTER TABLE customer."年金客户" ADD UNIQUE (company_id)'),
    (TRUE, 'a unique index without a constraint', 'CREATE UNIQUE INDEX ON customer."年金客户" (company_id)'),
    (TRUE, 'a unique key that carries other columns along', 'ALTER TABLE customer."年金客户" ADD UNIQUE (company_id) INCLUDE ("客户名称")'),
    (TRUE, 'a good key among poor ones', 'ALTER TABLE customer."年金客户" ADD PRIMARY KEY (company_id), ADD UNIQUE (company_id) DEFERRABLE')
) AS key (is_enough, what, ddl);

-- Who owns it

CREATE FUNCTION pg_temp.findings_of_owner(p_grants text)
RETURNS text[]
LANGUAGE sql
AS $$
    SELECT pg_temp.findings_after(
        'CREATE ROLE "Package owner";
         GRANT USAGE, CREATE ON SCHEMA customer TO "Package owner";
         ALTER FUNCTION customer.missing_snapshot_sources() OWNER TO "Package owner";
         GRANT USAGE ON SCHEMA business, mapping TO "Package owner";
         GRANT SELECT ON customer.customer_plan_contract, customer."当年中标", customer."当年流失",
            customer."年金客户", business."规模明细", mapping."产品线" TO "Package owner";
         GRANT REFERENCES ON customer."年金客户", mapping."产品线" TO "Package owner";'
            || p_grants
    )
$$;

SELECT is(pg_temp.findings_of_owner(ddl), findings, what)
FROM (VALUES
    ('', '{}'::text[], 'an owner that may read the tables and refer to two, and do nothing else with them, is enough'),
    ('REVOKE REFERENCES ON mapping."产品线" FROM "Package owner"',
        ARRAY['table mapping."产品线" may not be referred to by a foreign key of "Package owner": it takes REFERENCES'],
        'an owner that may not refer to a table is told'),
    ('REVOKE SELECT ON business."规模明细" FROM "Package owner";
      GRANT SELECT (company_id, "产品线代码", "月度", "期末资产规模") ON business."规模明细" TO "Package owner"',
        '{}', 'the columns that are read are enough'),
    ('REVOKE SELECT ON customer.customer_plan_contract FROM "Package owner"',
        ARRAY['table customer.customer_plan_contract may not be read by "Package owner": it takes USAGE on the schema and SELECT'],
        'an owner that may not read a table is told, once'),
    ('REVOKE SELECT ON customer."年金客户" FROM "Package owner"',
        ARRAY['table customer."年金客户" may not be read by "Package owner": it takes USAGE on the schema and SELECT'],
        'also of one that has a key'),
    ('REVOKE USAGE ON SCHEMA business FROM "Package owner"',
        ARRAY['table business."规模明细" may not be read by "Package owner": it takes USAGE on the schema and SELECT'],
        'and of one in a schema that it may not use'),
    ('REVOKE SELECT ON business."规模明细" FROM "Package owner";
      GRANT SELECT (company_id, "产品线代码", "月度") ON business."规模明细" TO "Package owner"',
        ARRAY['table business."规模明细" may not be read by "Package owner": it takes USAGE on the schema and SELECT'],
        'and of one of which it lacks a column')
) AS example (ddl, findings, what);

SELECT * FROM finish();

ROLLBACK;
