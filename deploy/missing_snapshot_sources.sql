-- Deploy customer_monthly_snapshot:missing_snapshot_sources to pg
-- Says what the source system lacks, and lets nothing be deployed while it lacks anything.

SET client_encoding = 'UTF8';

BEGIN;

-- What others made in public is not for the package to use.
SET LOCAL search_path = pg_catalog, pg_temp;

-- A database without the schema gets the whole list, too: the schema made here
-- only carries the function until the check below fails and takes both away.
DO $$
BEGIN
    IF to_regnamespace('customer') IS NULL THEN
        CREATE SCHEMA customer;
    END IF;
END
$$;

CREATE FUNCTION customer.missing_snapshot_sources()
RETURNS TABLE (source_object text, problem text)
LANGUAGE sql
STABLE
SET search_path = pg_catalog, pg_temp
AS $$
    WITH required_column (position, schema_name, table_name, column_name, kind) AS (
        VALUES
            ( 1, 'customer', 'customer_plan_contract', 'company_id',        'text'),
            ( 2, 'customer', 'customer_plan_contract', 'plan_code',         'text'),
            ( 3, 'customer', 'customer_plan_contract', 'product_line_code', 'text'),
            ( 4, 'customer', 'customer_plan_contract', 'product_line_name', 'text'),
            ( 5, 'customer', 'customer_plan_contract', 'is_strategic',      'boolean'),
            ( 6, 'customer', 'customer_plan_contract', 'is_existing',       'boolean'),
            ( 7, 'customer', 'customer_plan_contract', 'valid_to',          'date or timestamp'),
            ( 8, 'customer', '当年中标',               'company_id',        'text'),
            ( 9, 'customer', '当年中标',               '产品线代码',        'text'),
            (10, 'customer', '当年中标',               '上报月份',          'date or timestamp'),
            (11, 'customer', '当年流失',               'company_id',        'text'),
            (12, 'customer', '当年流失',               '产品线代码',        'text'),
            (13, 'customer', '当年流失',               '上报月份',          'date or timestamp'),
            (14, 'business', '规模明细',               'company_id',        'text'),
            (15, 'business', '规模明细',               '产品线代码',        'text'),
            (16, 'business', '规模明细',               '月度',              'date or timestamp'),
            (17, 'business', '规模明细',               '期末资产规模',      'number'),
            (18, 'customer', '年金客户',               'company_id',        'text'),
            (19, 'mapping',  '产品线',                 '产品线代码',        'text')
    ),
    -- The foreign keys of the snapshot point at these two columns.
    required_key (schema_name, table_name, column_name) AS (
        VALUES
            ('customer', '年金客户', 'company_id'),
            ('mapping',  '产品线',   '产品线代码')
    ),
    found_column AS (
        SELECT
            required_column.*,
            format('%I.%I', schema_name, table_name) AS table_label,
            format('%I.%I.%I', schema_name, table_name, column_name) AS column_label,
            pg_namespace.oid AS schema_oid,
            pg_class.oid AS table_oid,
            pg_class.relkind,
            pg_attribute.attnum,
            format_type(pg_attribute.atttypid, pg_attribute.atttypmod) AS type_label,
            pg_type.typcategory,
            base.type AS base_type
        FROM required_column
        LEFT JOIN pg_namespace
            ON pg_namespace.nspname = required_column.schema_name
        LEFT JOIN pg_class
            ON pg_class.relnamespace = pg_namespace.oid
            AND pg_class.relname = required_column.table_name
            AND pg_class.relkind IN ('r', 'p', 'v', 'm', 'f')
        LEFT JOIN pg_attribute
            ON pg_attribute.attrelid = pg_class.oid
            AND pg_attribute.attname = required_column.column_name
            AND pg_attribute.attnum > 0
            AND NOT pg_attribute.attisdropped
        LEFT JOIN pg_type
            ON pg_type.oid = pg_attribute.atttypid
        -- A domain counts as the type that it restricts, which may be a domain itself.
        LEFT JOIN LATERAL (
            WITH RECURSIVE step (type, next_type) AS (
                SELECT pg_type.oid, pg_type.typbasetype
                UNION ALL
                SELECT inner_type.oid, inner_type.typbasetype
                FROM step
                JOIN pg_type AS inner_type
                    ON inner_type.oid = step.next_type
            )
            SELECT type::regtype
            FROM step
            WHERE next_type = 0
        ) AS base
            ON TRUE
    ),
    missing_table AS (
        SELECT min(position) AS position, 'table ' || table_label AS source_object, 'is missing' AS problem
        FROM found_column
        WHERE table_oid IS NULL
        GROUP BY table_label
    ),
    missing_column AS (
        SELECT position, 'column ' || column_label, 'is missing'
        FROM found_column
        WHERE table_oid IS NOT NULL
            AND attnum IS NULL
    ),
    unusable_column AS (
        SELECT position, 'column ' || column_label, format('has type %s where a %s is needed', type_label, kind)
        FROM found_column
        WHERE attnum IS NOT NULL
            AND NOT CASE kind
                WHEN 'text' THEN typcategory = 'S'
                WHEN 'boolean' THEN base_type = 'boolean'::regtype
                -- A timestamp with time zone lies in one month or another
                -- depending on who looks at it.
                WHEN 'date or timestamp' THEN base_type IN ('date'::regtype, 'timestamp'::regtype)
                WHEN 'number' THEN base_type IN (
                    'numeric'::regtype, 'smallint'::regtype, 'integer'::regtype,
                    'bigint'::regtype, 'real'::regtype, 'double precision'::regtype
                )
            END
    ),
    -- The package reads with the rights of its owner, whoever asks here.
    unreadable_table AS (
        SELECT
            min(position),
            'table ' || table_label,
            format('may not be read by %s: it takes USAGE on the schema and SELECT', proowner::regrole)
        FROM found_column
        JOIN pg_proc
            ON pg_proc.oid = to_regprocedure('customer.missing_snapshot_sources()')
        WHERE attnum IS NOT NULL
            AND NOT (
                has_schema_privilege(proowner, schema_oid, 'USAGE')
                AND has_column_privilege(proowner, table_oid, attnum, 'SELECT')
            )
        GROUP BY table_label, proowner
    ),
    missing_key AS (
        SELECT position, 'unique key on ' || column_label, 'is missing'
        FROM found_column
        JOIN required_key USING (schema_name, table_name, column_name)
        WHERE attnum IS NOT NULL
            AND NOT EXISTS (
                SELECT
                FROM pg_index
                WHERE indrelid = table_oid
                    -- A foreign key points at a table, not at a materialized view.
                    AND relkind IN ('r', 'p')
                    AND indisunique
                    AND indisvalid
                    AND indimmediate
                    AND indpred IS NULL
                    AND indnkeyatts = 1
                    AND indkey[0] = attnum
            )
    )
    SELECT source_object, problem
    FROM (
        SELECT * FROM missing_table
        UNION ALL
        SELECT * FROM missing_column
        UNION ALL
        SELECT * FROM unusable_column
        UNION ALL
        SELECT * FROM unreadable_table
        UNION ALL
        SELECT * FROM missing_key
    ) AS finding
    ORDER BY position, source_object COLLATE "C"
$$;

REVOKE ALL ON FUNCTION customer.missing_snapshot_sources() FROM PUBLIC;

COMMENT ON FUNCTION customer.missing_snapshot_sources() IS
'What the monthly snapshot reads and does not find in the source system: one row for each table, column or unique key that is missing, for each column whose type cannot work, and for each table that the owner of the package may not read. No rows: all is there. Deploying and sqitch verify both refuse while it returns rows. Raises nothing.

source_object: the kind and qualified name of what is wanted, such as column customer.customer_plan_contract.valid_to.
problem: "is missing", or the type found and the kind of type that is needed, or who may not read it. Text means any string type; date or timestamp means date or timestamp without time zone (with a time zone, the month would depend on the reader).

It asks for no more than the refresh reads. What restating needs besides is checked by customer.restate_monthly_snapshot.';

DO $$
DECLARE
    v_missing text;
BEGIN
    SELECT string_agg(source_object || ' ' || problem, E'\n    ')
    INTO v_missing
    FROM customer.missing_snapshot_sources();

    IF v_missing IS NOT NULL THEN
        RAISE EXCEPTION E'the source system lacks what the monthly snapshot reads:\n    %', v_missing
            USING
                ERRCODE = 'object_not_in_prerequisite_state',
                HINT = 'Create what is missing (WorkDataHub''s Alembic migrations do), grant what may not be read, or connect to the database that holds it. '
                    'Then run sqitch deploy again; nothing has been deployed but Sqitch''s own schema.';
    END IF;
END
$$;

COMMIT;
