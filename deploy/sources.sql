-- Deploy customer_monthly_snapshot:sources to pg
-- The platform's tables: which they are, whether they will do, and the functions through which
-- everything else reads them. Nothing is deployed while something is missing.
--
-- The names of both generations of the platform are found by themselves. Others are given, and
-- stay for as long as they exist:
--
--   sqitch deploy --set contracts='customer."客户年金计划"' …
--
-- If the platform renames a table later, this file mends it, run by the owner of the package as
-- often as you like, with the same variables (contracts, awards, losses, aum, customers, product_lines):
--
--   psql -v contracts='customer."客户年金计划"' -f deploy/sources.sql

\set ON_ERROR_STOP on

SET client_encoding = 'UTF8';

\if :{?contracts}
\else
    \set contracts ''
\endif
\if :{?awards}
\else
    \set awards ''
\endif
\if :{?losses}
\else
    \set losses ''
\endif
\if :{?aum}
\else
    \set aum ''
\endif
\if :{?customers}
\else
    \set customers ''
\endif
\if :{?product_lines}
\else
    \set product_lines ''
\endif

BEGIN;

-- What others made in public is not for the package to use.
SET LOCAL search_path = pg_catalog, pg_temp;
-- Names are kept as they are shown.
SET LOCAL quote_all_identifiers = off;

-- A database without the schema gets the whole list of what is missing, too: the schema made
-- here only carries the functions until the check below fails and takes all of it away.
DO $$
DECLARE
    v_foreign text;
BEGIN
    IF to_regnamespace('customer') IS NULL AND has_database_privilege(current_database(), 'CREATE') THEN
        CREATE SCHEMA customer;
    END IF;

    -- CREATE OR REPLACE would leave a function to whoever made it first.
    SELECT string_agg(format('%s belongs to %s', oid::regprocedure, proowner::regrole), E'\n    ')
    INTO v_foreign
    FROM pg_proc
    WHERE pronamespace = to_regnamespace('customer')
        AND proname ~ '^(source_|check_snapshot_sources$|for_client$|missing_snapshot_sources$|revoke_default_grants$|verify_(function|table|view)$)'
        AND proowner <> (SELECT oid FROM pg_roles WHERE rolname = current_user);

    IF v_foreign IS NOT NULL THEN
        RAISE EXCEPTION E'role % does not own what is there already:\n    %', current_user, v_foreign
            USING
                ERRCODE = 'insufficient_privilege',
                HINT = 'Run this as the owner of the package (SET ROLE, or PGOPTIONS=''-c role=wdh_owner''), or drop what is not the package''s.';
    END IF;

    IF (SELECT rolsuper FROM pg_roles WHERE rolname = current_user) THEN
        RAISE WARNING 'role % is a superuser: the package will read and write with a superuser''s rights', current_user
            USING HINT = 'Deploy as a role that owns nothing but the package, such as wdh_owner.';
    END IF;
END
$$;

-- --- Which tables they are ------------------------------------------------------------------

-- The blocks below see settings, but not psql's variables.
SELECT
    set_config('customer.source_contracts', :'contracts', TRUE),
    set_config('customer.source_awards', :'awards', TRUE),
    set_config('customer.source_losses', :'losses', TRUE),
    set_config('customer.source_aum', :'aum', TRUE),
    set_config('customer.source_customers', :'customers', TRUE),
    set_config('customer.source_product_lines', :'product_lines', TRUE)
\gset ignored_

DO $$
DECLARE
    v_remembered jsonb;
    v_chosen jsonb := '{}';
    v_both text;
    v_missing text;
    v_grants text;
    v_columns text;
    v_source record;
    v_name text[];
BEGIN
    -- Without USAGE even this question is an error.
    IF has_schema_privilege(to_regnamespace('customer'), 'USAGE') THEN
        v_columns := to_regprocedure('customer.source_columns()');
    END IF;

    IF v_columns IS NOT NULL THEN
        SELECT jsonb_object_agg(deployed.source, deployed.table_name)
        INTO v_remembered
        FROM customer.source_columns() AS deployed;
    END IF;

    FOR v_source IN
        SELECT
            known.source,
            known.names,
            nullif(current_setting('customer.source_' || known.source), '') AS given,
            -- Looked up without to_regclass, which needs USAGE on the schema.
            ARRAY(
                SELECT format('%I.%I', nspname, relname)
                FROM pg_class
                JOIN pg_namespace
                    ON pg_namespace.oid = relnamespace
                WHERE format('%I.%I', nspname, relname) IN (SELECT unnest(known.names || (v_remembered ->> known.source)))
                    AND relkind IN ('r', 'p', 'v', 'm', 'f')
            ) AS found
        FROM (
            VALUES
                ('contracts', ARRAY['customer.customer_plan_contract', 'customer."客户年金计划"']),
                ('awards', ARRAY['customer."当年中标"', 'customer."中标客户明细"']),
                ('losses', ARRAY['customer."当年流失"', 'customer."流失客户明细"']),
                ('aum', ARRAY['business."规模明细"']),
                ('customers', ARRAY['customer."年金客户"', 'customer."客户明细"']),
                ('product_lines', ARRAY['mapping."产品线"'])
        ) AS known (source, names)
    LOOP
        IF v_source.given IS NOT NULL THEN
            v_name := parse_ident(v_source.given);

            IF cardinality(v_name) <> 2 THEN
                RAISE EXCEPTION 'the table for % must be given as SCHEMA.TABLE, but is %', v_source.source, v_source.given
                    USING
                        ERRCODE = 'invalid_parameter_value',
                        HINT = format('Such as: --set %s=%s', v_source.source, v_source.names[1]);
            END IF;

            v_source.given := format('%I.%I', v_name[1], v_name[2]);
        ELSIF v_source.found @> ARRAY[v_remembered ->> v_source.source] THEN
            v_source.given := v_remembered ->> v_source.source;
        ELSIF cardinality(v_source.found) > 1 THEN
            v_both := concat_ws(E'\n    ', v_both, format(
                '%s or %s: say --set %s=%s, or the other', v_source.names[1], v_source.names[2], v_source.source, v_source.names[2]
            ));
        END IF;

        v_chosen := v_chosen || jsonb_build_object(
            v_source.source, coalesce(v_source.given, v_source.found[1], v_source.names[1])
        );
    END LOOP;

    IF v_both IS NOT NULL THEN
        RAISE EXCEPTION E'both generations of a table are there, and only one of them can be read:\n    %', v_both
            USING
                ERRCODE = 'object_not_in_prerequisite_state',
                HINT = 'Run sqitch deploy again with these options, or psql -f deploy/sources.sql with -v instead of --set.';
    END IF;

    -- All at once: PostgreSQL itself would ask for one right after the other.
    WITH source AS (
        SELECT
            key AS source,
            value AS table_name,
            nspname,
            pg_namespace.oid AS schema_oid,
            pg_class.oid AS table_oid
        FROM jsonb_each_text(v_chosen)
        JOIN pg_namespace
            ON nspname = (parse_ident(value))[1]
        JOIN pg_class
            ON relnamespace = pg_namespace.oid
            AND relname = (parse_ident(value))[2]
    ),
    needed (position, privilege, object, is_granted) AS (
        SELECT 1, 'CREATE ON DATABASE', quote_ident(current_database()), to_regnamespace('customer') IS NOT NULL
        UNION
        SELECT 2, 'CREATE ON SCHEMA', 'customer', has_schema_privilege(to_regnamespace('customer'), 'CREATE')
        UNION
        SELECT 3, 'USAGE ON SCHEMA', 'customer', has_schema_privilege(to_regnamespace('customer'), 'USAGE')
        UNION
        SELECT 3, 'USAGE ON SCHEMA', quote_ident(nspname), has_schema_privilege(schema_oid, 'USAGE') FROM source
        UNION
        -- Rights on single columns: customer.missing_snapshot_sources() checks each.
        SELECT 4, 'SELECT ON', table_name, has_any_column_privilege(table_oid, 'SELECT') FROM source
        UNION
        SELECT 5, 'REFERENCES ON', table_name, has_any_column_privilege(table_oid, 'REFERENCES')
        FROM source
        WHERE source IN ('customers', 'product_lines')
    ),
    missing AS (
        SELECT position, privilege || ' ' || string_agg(object, ', ' ORDER BY object COLLATE "C") AS privilege
        FROM needed
        WHERE NOT is_granted
        GROUP BY position, needed.privilege
    )
    SELECT
        string_agg(E'\n    ' || privilege, '' ORDER BY position),
        string_agg(format(E'\n    GRANT %s TO %I;', privilege, current_user), '' ORDER BY position)
    INTO v_missing, v_grants
    FROM missing;

    IF v_missing IS NOT NULL THEN
        RAISE EXCEPTION 'role % lacks rights that the package needs:%', current_user, v_missing
            USING
                ERRCODE = 'insufficient_privilege',
                HINT = 'Nothing of the package has been changed. As the owner of these, or as a superuser, run this; then deploy again:' || v_grants;
    END IF;

    SELECT string_agg(
        format('(%s, %L, %L, %L, %L, %L)', position, source, table_name, column_name, kind, atttypid::regtype),
        E',\n        ' ORDER BY position
    )
    INTO v_columns
    FROM (
        VALUES
            ( 1, 'contracts',     'company_id',        'text'),
            ( 2, 'contracts',     'plan_code',         'text'),
            ( 3, 'contracts',     'product_line_code', 'text'),
            ( 4, 'contracts',     'product_line_name', 'text'),
            ( 5, 'contracts',     'is_strategic',      'boolean'),
            ( 6, 'contracts',     'is_existing',       'boolean'),
            ( 7, 'contracts',     'valid_from',        'date or timestamp'),
            ( 8, 'contracts',     'valid_to',          'date or timestamp'),
            ( 9, 'contracts',     'contract_id',       'whole number'),
            (10, 'awards',        'company_id',        'text'),
            (11, 'awards',        '产品线代码',        'text'),
            (12, 'awards',        '上报月份',          'date or timestamp'),
            (13, 'losses',        'company_id',        'text'),
            (14, 'losses',        '产品线代码',        'text'),
            (15, 'losses',        '上报月份',          'date or timestamp'),
            (16, 'aum',           'company_id',        'text'),
            (17, 'aum',           '产品线代码',        'text'),
            (18, 'aum',           '月度',              'date or timestamp'),
            (19, 'aum',           '期末资产规模',      'exact number'),
            (20, 'customers',     'company_id',        'key'),
            (21, 'product_lines', '产品线代码',        'key')
    ) AS required (position, source, column_name, kind)
    CROSS JOIN LATERAL (
        SELECT v_chosen ->> required.source
    ) AS chosen (table_name)
    LEFT JOIN pg_namespace
        ON nspname = (parse_ident(chosen.table_name))[1]
    LEFT JOIN pg_class
        ON relnamespace = pg_namespace.oid
        AND relname = (parse_ident(chosen.table_name))[2]
    LEFT JOIN pg_attribute
        ON attrelid = pg_class.oid
        AND attname = required.column_name
        AND attnum > 0
        AND NOT attisdropped;

    EXECUTE format(
        $create$
CREATE OR REPLACE FUNCTION customer.source_columns()
RETURNS TABLE ("position" integer, source text, table_name text, column_name text, kind text, type_name text)
LANGUAGE sql
IMMUTABLE
AS %L
        $create$,
        E'\n    VALUES\n        ' || v_columns || E'\n'
    );
END
$$;

-- --- Who may use what is deployed -----------------------------------------------------------

CREATE OR REPLACE PROCEDURE customer.revoke_default_grants(p_routine regprocedure)
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_role regrole;
BEGIN
    -- What has its comment was there before, and keeps what it was granted since.
    IF obj_description(p_routine, 'pg_proc') IS NOT NULL THEN
        RETURN;
    END IF;

    EXECUTE format('REVOKE ALL ON ROUTINE %s FROM PUBLIC', p_routine);

    FOR v_role IN
        SELECT DISTINCT grantee::regrole
        FROM pg_proc
        CROSS JOIN aclexplode(proacl)
        WHERE pg_proc.oid = p_routine
            AND grantee <> proowner
    LOOP
        EXECUTE format('REVOKE ALL ON ROUTINE %s FROM %s', p_routine, v_role);
    END LOOP;
END
$$;

CREATE OR REPLACE PROCEDURE customer.revoke_default_grants(p_relation regclass)
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_role regrole;
BEGIN
    -- What has its comment was there before, and keeps what it was granted since.
    IF obj_description(p_relation, 'pg_class') IS NOT NULL THEN
        RETURN;
    END IF;

    EXECUTE format('REVOKE ALL ON TABLE %s FROM PUBLIC', p_relation);

    FOR v_role IN
        SELECT DISTINCT grantee::regrole
        FROM pg_class
        CROSS JOIN aclexplode(relacl)
        WHERE pg_class.oid = p_relation
            AND grantee <> relowner
    LOOP
        EXECUTE format('REVOKE ALL ON TABLE %s FROM %s', p_relation, v_role);
    END LOOP;
END
$$;

CALL customer.revoke_default_grants('customer.revoke_default_grants(regprocedure)'::regprocedure);
CALL customer.revoke_default_grants('customer.revoke_default_grants(regclass)'::regprocedure);

COMMENT ON PROCEDURE customer.revoke_default_grants(regprocedure) IS
'Internal, for deploy scripts: takes back what PostgreSQL, or default privileges of the site, granted on a function that was just created, from everyone but its owner. A function that has its comment was there before and is left alone, so that an upgrade keeps what sql/grants.sql granted; hence a script calls this before it comments.
p_routine: the function or procedure. SQLSTATE 42501: the caller may not revoke.';
COMMENT ON PROCEDURE customer.revoke_default_grants(regclass) IS
'Internal, for deploy scripts: the same for a table, view or sequence.
p_relation: the table, view or sequence. SQLSTATE 42501: the caller may not revoke.';

CALL customer.revoke_default_grants('customer.source_columns()'::regprocedure);

COMMENT ON FUNCTION customer.source_columns() IS
'Internal: the columns of the platform''s tables that the package reads, as they were when it was deployed. Written by deploy/sources.sql, which finds out the names of the tables.
source: contracts, awards, losses, aum, customers or product_lines. table_name: the table, qualified. kind: the kind of type that is needed. type_name: the type that was found. Raises nothing.';

-- --- Whether a function is as deployed ------------------------------------------------------

CREATE OR REPLACE PROCEDURE customer.verify_function(
    p_function text,
    p_expected_hash text,
    p_change text,
    p_is_internal boolean
)
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
SET quote_all_identifiers = off
AS $$
DECLARE
    v_wrong text;
BEGIN
    SELECT concat_ws(
        ', ',
        CASE WHEN hash <> p_expected_hash THEN format('hash %s, expected %s', hash, p_expected_hash) END,
        CASE WHEN proowner <> relowner THEN format('owner %s, expected %s', proowner::regrole, relowner::regrole) END,
        CASE WHEN coalesce(obj_description(pg_proc.oid, 'pg_proc'), '') = '' THEN 'no comment' END,
        CASE WHEN NOT has_function_privilege(proowner, pg_proc.oid, 'EXECUTE') THEN 'no EXECUTE by its owner' END,
        (
            SELECT string_agg(DISTINCT 'EXECUTE by ' || coalesce(nullif(grantee, 0)::regrole::text, 'PUBLIC'), ', ')
            FROM aclexplode(coalesce(proacl, acldefault('f', proowner)))
            WHERE grantee = 0
                OR p_is_internal AND grantee <> proowner
        )
    )
    INTO v_wrong
    FROM pg_proc
    JOIN pg_class
        ON pg_class.oid = 'customer.fct_customer_business_monthly_status'::regclass
    CROSS JOIN encode(sha256(convert_to(pg_get_functiondef(pg_proc.oid), 'UTF8')), 'hex') AS hash
    WHERE pg_proc.oid = to_regprocedure(p_function);

    IF v_wrong IS DISTINCT FROM '' THEN
        RAISE EXCEPTION 'function % is not as deployed: %', p_function, coalesce(v_wrong, 'it does not exist')
            USING HINT = format(
                'To bring it up to date, run as the owner of the package: "psql -d DATABASE -f deploy/%s.sql", and then sql/grants.sql again.',
                p_change
            );
    END IF;
END
$$;

CREATE OR REPLACE PROCEDURE customer.verify_table(p_table text, p_expected text[])
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
SET quote_all_identifiers = off
AS $$
DECLARE
    v_table regclass := to_regclass(p_table);
    v_wrong text;
BEGIN
    SELECT string_agg(problem, E'\n    ')
    INTO v_wrong
    FROM (
        SELECT 'expected ' || fact
        FROM unnest(p_expected) AS expected (fact)
        WHERE fact NOT IN (
            SELECT concat(fact, CASE WHEN description <> '' THEN ', with comment' END)
            FROM (
                SELECT
                    concat_ws(' ', 'column', attname, format_type(atttypid, atttypmod),
                        CASE WHEN attcollation <> typcollation THEN 'COLLATE ' || attcollation::regcollation END,
                        CASE WHEN attnotnull THEN 'NOT NULL' END,
                        'DEFAULT ' || pg_get_expr(adbin, adrelid),
                        CASE attidentity WHEN 'a' THEN 'GENERATED ALWAYS AS IDENTITY' END
                    ),
                    col_description(attrelid, attnum)
                FROM pg_attribute
                JOIN pg_type
                    ON pg_type.oid = atttypid
                LEFT JOIN pg_attrdef
                    ON adrelid = attrelid
                    AND adnum = attnum
                WHERE attrelid = v_table
                    AND attnum > 0
                UNION ALL
                SELECT format('constraint %s %s', conname, pg_get_constraintdef(oid)), obj_description(oid, 'pg_constraint')
                FROM pg_constraint
                WHERE conrelid = v_table
                    AND convalidated
                    AND NOT EXISTS (
                        SELECT
                        FROM pg_trigger
                        WHERE tgconstraint = pg_constraint.oid
                            AND tgenabled <> 'O'
                    )
                UNION ALL
                SELECT pg_get_indexdef(indexrelid), obj_description(indexrelid, 'pg_class')
                FROM pg_index
                WHERE indrelid = v_table
                    AND indisvalid
                UNION ALL
                -- Restoring a dump takes some of the parentheses away.
                SELECT translate(pg_get_triggerdef(oid), '()', ''), obj_description(oid, 'pg_trigger')
                FROM pg_trigger
                WHERE tgrelid = v_table
                    AND tgenabled = 'O'
                UNION ALL
                SELECT 'sequence ' || objid::regclass, obj_description(objid, 'pg_class')
                FROM pg_depend
                WHERE classid = 'pg_class'::regclass
                    AND refobjid = v_table
                    AND deptype = 'i'
                UNION ALL
                SELECT unnest(ARRAY[
                    CASE WHEN obj_description(v_table, 'pg_class') <> '' THEN 'comment on table' END,
                    CASE WHEN relowner = (
                        SELECT proowner FROM pg_proc WHERE pg_proc.oid = to_regprocedure('customer.missing_snapshot_sources()')
                    ) THEN 'the owner of customer.missing_snapshot_sources()' END,
                    CASE relpersistence WHEN 'p' THEN 'write-ahead logging' END,
                    CASE relreplident WHEN 'f' THEN 'replica identity full' END,
                    CASE WHEN NOT relrowsecurity THEN 'no row security' END,
                    CASE
                        WHEN has_table_privilege(relowner, v_table, 'SELECT')
                            AND has_table_privilege(relowner, v_table, 'INSERT')
                            AND has_table_privilege(relowner, v_table, 'UPDATE')
                            AND has_table_privilege(relowner, v_table, 'DELETE')
                            THEN 'all privileges for its owner'
                    END
                ] || reloptions), NULL
                FROM pg_class
                WHERE oid = v_table
            ) AS found (fact, description)
        )
        UNION ALL
        -- Reading is the site's to grant, and so is VACUUM and its like. Who could write a table before it
        -- was adopted still may: the verify script of that table warns of it.
        SELECT DISTINCT format('it grants %s on %s to %s', privilege_type, pg_class.oid::regclass, coalesce(nullif(grantee, 0)::regrole::text, 'PUBLIC'))
        FROM pg_class
        JOIN pg_attribute
            ON attrelid = pg_class.oid
        CROSS JOIN aclexplode(relacl || attacl)
        WHERE grantee <> relowner
            AND (
                pg_class.oid = v_table
                OR relkind = 'S' AND pg_class.oid IN (SELECT objid FROM pg_depend WHERE refobjid = v_table AND deptype = 'i')
            )
            AND (
                grantee = 0
                OR (privilege_type NOT IN ('SELECT', 'MAINTAIN') AND obj_description(v_table, 'pg_class') !~ '(?n)^Adopted ')
            )
    ) AS found (problem);

    IF v_wrong IS NOT NULL THEN
        RAISE EXCEPTION E'table % is not as deployed:\n    %', p_table, v_wrong
            USING HINT = format(
                'To bring comments, rights, triggers and missing indexes up to date, run as the owner of the package: '
                '"psql -d DATABASE -f deploy/%s.sql", and then sql/grants.sql again; columns and constraints take ALTER TABLE.',
                split_part(p_table, '.', 2)
            );
    END IF;
END
$$;

CREATE OR REPLACE PROCEDURE customer.verify_view(p_view text, p_expected_hash text)
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
SET quote_all_identifiers = off
-- As an interval in the text of a view is written.
SET IntervalStyle = postgres
AS $$
DECLARE
    v_wrong text;
BEGIN
    SELECT concat_ws(', ',
        CASE WHEN hash <> p_expected_hash THEN format('hash %s, expected %s', hash, p_expected_hash) END,
        CASE WHEN relowner <> expected_owner THEN format('owner %s, expected %s', relowner::regrole, expected_owner::regrole) END,
        -- Readers of the view need no right to the tables below it.
        CASE WHEN reloptions IS NOT NULL THEN format('options %s', reloptions) END,
        CASE WHEN coalesce(obj_description(pg_class.oid, 'pg_class'), '') = '' THEN 'no comment' END,
        'no comment on ' || uncommented,
        CASE WHEN NOT has_table_privilege(relowner, pg_class.oid, 'SELECT') THEN 'no SELECT by its owner' END,
        (
            SELECT string_agg(DISTINCT privilege_type || ' by PUBLIC', ', ')
            FROM pg_attribute
            CROSS JOIN aclexplode(relacl || attacl)
            WHERE attrelid = pg_class.oid
                AND grantee = 0
        )
    )
    INTO v_wrong
    FROM pg_class
    CROSS JOIN LATERAL (
        SELECT
            string_agg(format('%s %s', attname, format_type(atttypid, atttypmod)), ', ' ORDER BY attnum) AS columns,
            string_agg(attname, ', ' ORDER BY attnum) FILTER (
                WHERE coalesce(col_description(attrelid, attnum), '') = ''
            ) AS uncommented
        FROM pg_attribute
        WHERE attrelid = pg_class.oid
            AND attnum > 0
    ) AS described
    -- PostgreSQL 15 prints the names of tables before columns where later versions do not.
    CROSS JOIN regexp_replace(pg_get_viewdef(pg_class.oid), E'\\m(?!customer\\.)[a-z_]+\\.(?=[a-z_])', '', 'g') AS definition
    CROSS JOIN encode(sha256(convert_to(columns || definition, 'UTF8')), 'hex') AS hash
    CROSS JOIN LATERAL (
        SELECT proowner
        FROM pg_proc
        WHERE pg_proc.oid = to_regprocedure('customer.missing_snapshot_sources()')
    ) AS package (expected_owner)
    WHERE pg_class.oid = to_regclass(p_view);

    IF v_wrong IS DISTINCT FROM '' THEN
        RAISE EXCEPTION 'view % is not as deployed: %', p_view, coalesce(v_wrong, 'it does not exist')
            USING HINT = format(
                'To bring it up to date, run as the owner of the package: "psql -d DATABASE -f deploy/%s.sql", and then sql/grants.sql again.',
                split_part(p_view, '.', 2)
            );
    END IF;
END
$$;

CALL customer.revoke_default_grants('customer.verify_function(text, text, text, boolean)'::regprocedure);
CALL customer.revoke_default_grants('customer.verify_table(text, text[])'::regprocedure);
CALL customer.revoke_default_grants('customer.verify_view(text, text)'::regprocedure);

COMMENT ON PROCEDURE customer.verify_function(text, text, text, boolean) IS
'Internal, for verify scripts: raises an error unless a function of the package is as deployed: the sha256 of its definition (which covers body, language, arguments, result, volatility, security and settings), its owner, its comment and who may execute it.
p_function: the function with its argument types. p_expected_hash: what scripts/accept wrote. p_change: the change that makes it. p_is_internal: whether nobody but its owner may execute it; otherwise PUBLIC may not.
SQLSTATE P0001: it is not as deployed; the message says in what, the hint which command mends it.';
COMMENT ON PROCEDURE customer.verify_table(text, text[]) IS
'Internal, for verify scripts: raises an error unless a table of the package has all the facts that are expected of it (columns, constraints, indexes, triggers that fire, sequences of its columns, comments, owner, options) and grants nothing but reading to roles that are named. What else it has is the site''s.
p_table: its name, which is that of the change that makes it. p_expected: the facts, as PostgreSQL prints them.
SQLSTATE P0001: it is not as deployed; the message says in what, the hint which command mends it.';
COMMENT ON PROCEDURE customer.verify_view(text, text) IS
'Internal, for verify scripts: raises an error unless a view of the package is as deployed: the sha256 of its definition and its columns'' types, its owner, its options and its comments, and nothing of it granted to PUBLIC.
p_view: its name, which is that of the change that makes it. p_expected_hash: what scripts/accept wrote.
SQLSTATE P0001: it is not as deployed; the message says in what, the hint which command mends it.';

-- --- Whether they will do -------------------------------------------------------------------

CREATE OR REPLACE FUNCTION customer.missing_snapshot_sources()
RETURNS TABLE (source_object text, problem text)
LANGUAGE sql
STABLE
SET search_path = pg_catalog, pg_temp
AS $$
    WITH found_column AS (
        SELECT
            required.position,
            required.kind,
            required.table_name,
            format('%s.%I', required.table_name, required.column_name) AS column_label,
            pg_class.oid AS table_oid,
            pg_class.relnamespace AS schema_oid,
            pg_class.relkind,
            pg_attribute.attnum,
            format_type(pg_attribute.atttypid, pg_attribute.atttypmod) AS type_label,
            pg_type.typcategory,
            base.type AS base_type,
            pg_collation.collname,
            pg_collation.collisdeterministic
        FROM customer.source_columns() AS required
        -- Not to_regclass, which needs USAGE on the schema.
        LEFT JOIN pg_namespace
            ON pg_namespace.nspname = (parse_ident(required.table_name))[1]
        LEFT JOIN pg_class
            ON pg_class.relnamespace = pg_namespace.oid
            AND pg_class.relname = (parse_ident(required.table_name))[2]
            AND pg_class.relkind IN ('r', 'p', 'v', 'm', 'f')
        LEFT JOIN pg_attribute
            ON pg_attribute.attrelid = pg_class.oid
            AND pg_attribute.attname = required.column_name
            AND pg_attribute.attnum > 0
            AND NOT pg_attribute.attisdropped
        LEFT JOIN pg_type
            ON pg_type.oid = pg_attribute.atttypid
        LEFT JOIN pg_collation
            ON pg_collation.oid = pg_attribute.attcollation
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
        SELECT min(position) AS position, 'table ' || table_name AS source_object, 'is missing' AS problem
        FROM found_column
        WHERE table_oid IS NULL
        GROUP BY table_name
    ),
    missing_column AS (
        SELECT position, 'column ' || column_label, 'is missing'
        FROM found_column
        WHERE table_oid IS NOT NULL
            AND attnum IS NULL
    ),
    unusable_column AS (
        SELECT
            position,
            'column ' || column_label,
            format(
                'has type %s where %s is needed',
                type_label,
                CASE kind WHEN 'key' THEN 'a text' WHEN 'exact number' THEN 'an exact number' ELSE 'a ' || kind END
            )
        FROM found_column
        WHERE attnum IS NOT NULL
            AND NOT CASE kind
                WHEN 'text' THEN typcategory = 'S'
                -- A foreign key compares it with a varchar.
                WHEN 'key' THEN base_type IN ('varchar'::regtype, 'text'::regtype, 'bpchar'::regtype)
                WHEN 'boolean' THEN base_type = 'boolean'::regtype
                -- A timestamp with time zone lies in one month or another
                -- depending on who looks at it.
                WHEN 'date or timestamp' THEN base_type IN ('date'::regtype, 'timestamp'::regtype)
                WHEN 'whole number' THEN base_type IN ('smallint'::regtype, 'integer'::regtype, 'bigint'::regtype)
                -- Binary floating point holds no cents, and its sums depend on the order of the rows.
                WHEN 'exact number' THEN base_type IN (
                    'numeric'::regtype, 'smallint'::regtype, 'integer'::regtype, 'bigint'::regtype
                )
            END
    ),
    -- The foreign keys of the snapshot could not be made over such a column.
    unusable_collation AS (
        SELECT
            position,
            'column ' || column_label,
            format('has collation %I where a deterministic one is needed', collname)
        FROM found_column
        WHERE kind = 'key'
            AND NOT collisdeterministic
    ),
    -- The package reads with the rights of its owner, also where a superuser asks here.
    owner AS (
        SELECT proowner AS oid
        FROM pg_proc
        WHERE pg_proc.oid = to_regprocedure('customer.missing_snapshot_sources()')
    ),
    unreadable_table AS (
        SELECT
            min(position),
            'table ' || table_name,
            format('may not be read by %s: it takes USAGE on the schema and SELECT', owner.oid::regrole)
        FROM found_column
        CROSS JOIN owner
        WHERE attnum IS NOT NULL
            AND NOT (
                has_schema_privilege(owner.oid, schema_oid, 'USAGE')
                AND has_column_privilege(owner.oid, table_oid, attnum, 'SELECT')
            )
        GROUP BY table_name, owner.oid
    ),
    unreferable_table AS (
        SELECT
            position,
            'table ' || table_name,
            format('may not be referred to by a foreign key of %s: it takes REFERENCES', owner.oid::regrole)
        FROM found_column
        CROSS JOIN owner
        WHERE kind = 'key'
            AND attnum IS NOT NULL
            AND NOT has_column_privilege(owner.oid, table_oid, attnum, 'REFERENCES')
    ),
    missing_key AS (
        SELECT position, 'unique key on ' || column_label, 'is missing'
        FROM found_column
        WHERE kind = 'key'
            AND attnum IS NOT NULL
            AND NOT EXISTS (
                SELECT 1
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
        SELECT * FROM unusable_collation
        UNION ALL
        SELECT * FROM unreadable_table
        UNION ALL
        SELECT * FROM unreferable_table
        UNION ALL
        SELECT * FROM missing_key
    ) AS finding
    ORDER BY position, source_object COLLATE "C", problem COLLATE "C"
$$;

CALL customer.revoke_default_grants('customer.missing_snapshot_sources()'::regprocedure);

COMMENT ON FUNCTION customer.missing_snapshot_sources() IS
'What the monthly snapshot needs and does not find in the source system: one row for each table, column or unique key that is missing, for each column whose type or collation cannot work, and for each table that the owner of the package may not read or refer to. No rows: all is there. Deploying and sqitch verify both refuse while it returns rows. Raises nothing.

source_object: the kind and qualified name of what is wanted, such as column customer.customer_plan_contract.valid_to.
problem: "is missing", or the type found and the kind of type that is needed, or who lacks which right. Text means any string type; date or timestamp means date or timestamp without time zone (with a time zone, the month would depend on the reader); an exact number is a numeric, smallint, integer or bigint (binary floating point holds no cents).

The tables are those that customer.source_columns() names.';

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
                HINT = 'Create what is missing (WorkDataHub''s Alembic migrations do), change what has another type, grant what may not be read or referred to, '
                    'name tables that are called otherwise, or connect to the database that holds them. Then '
                    || CASE
                        WHEN to_regclass('customer.fct_customer_business_monthly_status') IS NULL
                            THEN 'run sqitch deploy again, with --set contracts=SCHEMA.TABLE (install.sql: with -v contracts=SCHEMA.TABLE) and likewise '
                                'awards, losses, aum, customers or product_lines for a name; nothing of the package has been deployed.'
                        ELSE 'run this file again, with -v contracts=SCHEMA.TABLE and likewise awards, losses, aum, customers or product_lines '
                            'for a name; nothing has been changed.'
                    END;
    END IF;
END
$$;

-- An error that the client's encoding cannot show is another error, which says nothing.
CREATE OR REPLACE FUNCTION customer.for_client(p_text text)
RETURNS text
LANGUAGE plpgsql
STABLE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    PERFORM convert_to(p_text, pg_client_encoding());
    RETURN p_text;
EXCEPTION
    WHEN untranslatable_character OR undefined_function THEN
        RETURN (
            SELECT string_agg(
                CASE WHEN ascii(letter) < 128 THEN letter ELSE chr(92) || 'u' || lpad(to_hex(ascii(letter)), 4, '0') END,
                '' ORDER BY number
            )
            FROM regexp_split_to_table(p_text, '') WITH ORDINALITY AS character (letter, number)
        );
END
$$;

CALL customer.revoke_default_grants('customer.for_client(text)'::regprocedure);

COMMENT ON FUNCTION customer.for_client(text) IS
'Internal: a text as it can be told to this client: as it is or, where the client''s encoding lacks a character, with all but ASCII written as a backslash, u and its code. Raises nothing.';

CREATE OR REPLACE FUNCTION customer.check_snapshot_sources()
RETURNS void
LANGUAGE plpgsql
STABLE
SET search_path = pg_catalog, pg_temp
SET quote_all_identifiers = off
AS $$
DECLARE
    v_source text;
    v_problems text;
BEGIN
    -- Types as the statement will meet them: this locks the tables against a change of them to the
    -- end of the transaction, whereas catalogs read as tables may be older, or about to change.
    BEGIN
        SELECT
            (array_agg(deployed.source ORDER BY deployed.position))[1],
            string_agg(
                format(
                    'column %s.%I has type %s and had %s',
                    deployed.table_name, deployed.column_name, found.type_names[deployed.position], deployed.type_name
                ),
                E'\n    ' ORDER BY deployed.position
            )
        INTO v_source, v_problems
        FROM customer.source_types() AS found
        JOIN customer.source_columns() AS deployed
            ON deployed.type_name <> found.type_names[deployed.position];
    EXCEPTION
        -- The last where Citus was installed since, and spread a table.
        WHEN undefined_table OR undefined_column OR feature_not_supported THEN
            SELECT
                (array_agg(deployed.source ORDER BY deployed.position))[1],
                coalesce(
                    string_agg(
                        DISTINCT CASE
                            WHEN relname IS NULL THEN format('table %s is missing', deployed.table_name)
                            ELSE format('column %s.%I is missing', deployed.table_name, deployed.column_name)
                        END,
                        E'\n    '
                    ),
                    CASE sqlstate WHEN '0A000' THEN 'one of them is spread over a Citus cluster: ' ELSE '' END || sqlerrm
                )
            INTO v_source, v_problems
            FROM customer.source_columns() AS deployed
            LEFT JOIN pg_namespace
                ON nspname = (parse_ident(deployed.table_name))[1]
            LEFT JOIN pg_class
                ON relnamespace = pg_namespace.oid
                AND relname = (parse_ident(deployed.table_name))[2]
            LEFT JOIN pg_attribute
                ON attrelid = pg_class.oid
                AND attname = deployed.column_name
                AND attnum > 0
                AND NOT attisdropped
            WHERE attname IS NULL;
    END;

    IF v_problems IS NOT NULL THEN
        RAISE EXCEPTION E'the source tables are not as they were when the package was deployed:\n    %', customer.for_client(v_problems)
            USING
                ERRCODE = 'object_not_in_prerequisite_state',
                HINT = format(
                    'As the owner of the package, look at them again: "psql -d %1$s -f deploy/sources.sql".'
                    || CASE
                        WHEN v_source IS NULL THEN ''
                        ELSE ' If a table has another name now, say so: "psql -d %1$s -v %2$s=SCHEMA.TABLE -f deploy/sources.sql".'
                    END,
                    current_database(), v_source
                );
    END IF;
END
$$;

CALL customer.revoke_default_grants('customer.check_snapshot_sources()'::regprocedure);

COMMENT ON FUNCTION customer.check_snapshot_sources() IS
'Internal: raises an error unless each table and column that the package reads is there, with the type that it had when the package was deployed. What reads the sources calls it first, because a renamed table would be an error without a remedy, and another type would be taken without a word.
SQLSTATE 55000: something changed; the message says what, the hint which command mends it. 42501: a table may not be read any more.';

CREATE OR REPLACE FUNCTION customer.check_snapshot_sources_are_seen()
RETURNS void
LANGUAGE plpgsql
STABLE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_rewritten text;
BEGIN
    -- TRUNCATE does not wait for older snapshots: to one, the table is empty, whatever was loaded
    -- since. It gives the table a new file, and the catalog as that snapshot sees it has the old one.
    -- So it is where another table took its name, or a partition was detached or dropped.
    WITH RECURSIVE source AS (
        SELECT DISTINCT
            table_name,
            table_name::regclass::oid AS oid
        FROM customer.source_columns()
    ),
    part AS (
        SELECT
            table_name,
            oid,
            oid AS source_oid
        FROM source
        UNION
        SELECT
            part.table_name,
            child.inhrelid,
            part.source_oid
        FROM part
        JOIN pg_inherits AS child
            ON child.inhparent = part.oid
    )
    SELECT string_agg(DISTINCT part.table_name, ', ')
    INTO v_rewritten
    FROM part
    LEFT JOIN pg_class AS seen
        ON seen.oid = part.oid
    WHERE seen.oid IS NULL
        OR nullif(seen.relfilenode, 0) IS DISTINCT FROM pg_relation_filenode(part.oid)
        OR (part.oid = part.source_oid AND seen.relname <> (parse_ident(part.table_name))[2])
        OR (
            part.oid <> part.source_oid
            AND seen.relispartition
            AND part.source_oid NOT IN (SELECT relid FROM pg_partition_ancestors(part.oid))
        );

    IF v_rewritten IS NOT NULL THEN
        RAISE EXCEPTION 'source tables were emptied, rewritten or exchanged after this transaction''s snapshot was taken: %', customer.for_client(v_rewritten)
            USING
                ERRCODE = 'serialization_failure',
                HINT = 'What was loaded into them since cannot be seen. Run the transaction again.';
    END IF;
END
$$;

CALL customer.revoke_default_grants('customer.check_snapshot_sources_are_seen()'::regprocedure);

COMMENT ON FUNCTION customer.check_snapshot_sources_are_seen() IS
'Internal: raises an error if a source table, or a part of it, was truncated, rewritten or exchanged after the caller''s snapshot was taken (REPEATABLE READ and SERIALIZABLE, or a statement that waited for it), because such a snapshot sees it empty. Called after the sources were read, when nobody can do that to them any more. Tables below a view are not looked at.
SQLSTATE 40001: run the transaction again.';

-- --- Reading them ---------------------------------------------------------------------------

-- Here and nowhere else stand the columns' names, the casts and the mark of a current contract.
-- PostgreSQL inlines these functions, because they are SQL, STABLE and without a SET clause, so
-- that they cost nothing and indexes are used. Their bodies are strings: they hold no dependency
-- on the platform's tables, which the platform may go on altering.
--
-- Strings get their type from the function's result, after COLLATE: Citus cannot send a COLLATE
-- over a cast to its workers. COLLATE "C" compares bytes. A function's column has its type's
-- collation all the same, so that who groups, sorts or takes the greatest says COLLATE "C" again.

SELECT
    max(table_name) FILTER (WHERE source = 'contracts') AS contracts,
    max(table_name) FILTER (WHERE source = 'awards') AS awards,
    max(table_name) FILTER (WHERE source = 'losses') AS losses,
    max(table_name) FILTER (WHERE source = 'aum') AS aum,
    max(table_name) FILTER (WHERE source = 'customers') AS customers,
    max(table_name) FILTER (WHERE source = 'product_lines') AS product_lines
FROM customer.source_columns()
\gset

-- Of the columns as they are, without reading a row.
SELECT format(
    $create$
CREATE OR REPLACE FUNCTION customer.source_types()
RETURNS TABLE (type_names text[])
LANGUAGE sql
STABLE
AS %L
    $create$,
    E'\n    SELECT ARRAY[\n        '
    || string_agg(format('pg_typeof(%s.%I)::text', source, column_name), E',\n        ' ORDER BY position)
    || E'\n    ]\n    FROM (VALUES (1)) AS one_row'
    || (
        SELECT string_agg(
            format(E'\n    LEFT JOIN (SELECT %s FROM %s WHERE FALSE) AS %s\n        ON TRUE', column_names, table_name, source), '' ORDER BY first
        )
        FROM (
            SELECT
                table_name,
                source,
                string_agg(quote_ident(column_name), ', ' ORDER BY position) AS column_names,
                min(position) AS first
            FROM customer.source_columns()
            GROUP BY table_name, source
        ) AS joined
    )
    || E'\n'
)
FROM customer.source_columns()
\gexec

SELECT format(
    $create$
CREATE OR REPLACE FUNCTION customer.source_contracts()
RETURNS TABLE (
    company_id varchar,
    plan_code varchar,
    product_line_code varchar,
    product_line_name varchar,
    is_strategic boolean,
    is_existing boolean,
    valid_from date,
    valid_to date,
    is_current boolean,
    contract_id bigint
)
LANGUAGE sql
STABLE
AS %L
    $create$,
    format(
        $body$
    SELECT
        company_id COLLATE "C",
        plan_code COLLATE "C",
        product_line_code COLLATE "C",
        product_line_name COLLATE "C",
        is_strategic,
        is_existing,
        valid_from::date,
        valid_to::date,
        valid_to = DATE '9999-12-31',
        contract_id
    FROM %s
$body$,
        :'contracts'
    )
)
\gexec

SELECT format(
    $create$
CREATE OR REPLACE FUNCTION customer.source_awards()
RETURNS TABLE (company_id varchar, product_line_code varchar, reported_on date)
LANGUAGE sql
STABLE
AS %L
    $create$,
    format(
        $body$
    SELECT
        company_id COLLATE "C",
        "产品线代码" COLLATE "C",
        "上报月份"::date
    FROM %s
$body$,
        :'awards'
    )
)
\gexec

SELECT format(
    $create$
CREATE OR REPLACE FUNCTION customer.source_losses()
RETURNS TABLE (company_id varchar, product_line_code varchar, reported_on date)
LANGUAGE sql
STABLE
AS %L
    $create$,
    format(
        $body$
    SELECT
        company_id COLLATE "C",
        "产品线代码" COLLATE "C",
        "上报月份"::date
    FROM %s
$body$,
        :'losses'
    )
)
\gexec

SELECT format(
    $create$
CREATE OR REPLACE FUNCTION customer.source_aum(p_first_day date, p_last_day date)
RETURNS TABLE (company_id varchar, product_line_code varchar, as_of date, amount numeric)
LANGUAGE sql
STABLE
AS %L
    $create$,
    format(
        $body$
    SELECT
        company_id COLLATE "C",
        "产品线代码" COLLATE "C",
        "月度"::date,
        "期末资产规模"::numeric
    FROM %s
    WHERE "月度"::date BETWEEN p_first_day AND p_last_day
$body$,
        :'aum'
    )
)
\gexec

SELECT format(
    $create$
CREATE OR REPLACE FUNCTION customer.source_customers()
RETURNS TABLE (company_id varchar)
LANGUAGE sql
STABLE
AS %L
    $create$,
    format(
        $body$
    SELECT company_id COLLATE "C"
    FROM %s
$body$,
        :'customers'
    )
)
\gexec

SELECT format(
    $create$
CREATE OR REPLACE FUNCTION customer.source_product_lines()
RETURNS TABLE (product_line_code varchar)
LANGUAGE sql
STABLE
AS %L
    $create$,
    format(
        $body$
    SELECT "产品线代码" COLLATE "C"
    FROM %s
$body$,
        :'product_lines'
    )
)
\gexec

CALL customer.revoke_default_grants('customer.source_types()'::regprocedure);
CALL customer.revoke_default_grants('customer.source_contracts()'::regprocedure);
CALL customer.revoke_default_grants('customer.source_awards()'::regprocedure);
CALL customer.revoke_default_grants('customer.source_losses()'::regprocedure);
CALL customer.revoke_default_grants('customer.source_aum(date, date)'::regprocedure);
CALL customer.revoke_default_grants('customer.source_customers()'::regprocedure);
CALL customer.revoke_default_grants('customer.source_product_lines()'::regprocedure);

COMMENT ON FUNCTION customer.source_types() IS
'Internal: the types that the columns of customer.source_columns() have now, in the order of their position. Locks the tables against a change of them, as any reading does. Raises what reading the tables raises.';
COMMENT ON FUNCTION customer.source_contracts() IS
'Internal: the contract versions of the platform, one row a version. is_current: valid_to is 9999-12-31; NULL where valid_to is NULL, which is not current. Strings compare as bytes once the reader says COLLATE "C". Raises what reading the table raises.';
COMMENT ON FUNCTION customer.source_awards() IS
'Internal: the awards won (当年中标) of the platform. reported_on is 上报月份, usually the first day of the month. Customer and product line may be NULL. Raises what reading the table raises.';
COMMENT ON FUNCTION customer.source_losses() IS
'Internal: the losses (当年流失) of the platform. reported_on is 上报月份, usually the first day of the month. Customer and product line may be NULL. Raises what reading the table raises.';
COMMENT ON FUNCTION customer.source_aum(date, date) IS
'Internal: the AUM detail (规模明细) of the platform from one day to another, one row a month and portfolio of a contract. as_of is 月度, any day of the month; amount is 期末资产规模, yuan, exact. Customer, product line and amount may be NULL. Raises what reading the table raises.';
COMMENT ON FUNCTION customer.source_customers() IS
'Internal: the customers of the platform. Raises what reading the table raises.';
COMMENT ON FUNCTION customer.source_product_lines() IS
'Internal: the product lines of the platform. Raises what reading the table raises.';

-- --- Names -----------------------------------------------------------------------------------

-- What only people read is in functions of its own, which no month is written by, and is NULL where
-- a table lacks it, or the package may not read it.
SELECT
    coalesce(max(expression) FILTER (WHERE source = 'awards'), 'NULL::varchar') AS award_name,
    coalesce(max(expression) FILTER (WHERE source = 'losses'), 'NULL::varchar') AS loss_name,
    coalesce(max(expression) FILTER (WHERE source = 'customers'), 'NULL::varchar') AS customer_name,
    coalesce(max(expression) FILTER (WHERE column_name = '产品线'), 'NULL::varchar') AS product_line_name,
    coalesce(max(expression) FILTER (WHERE column_name = '产品类别'), 'NULL::varchar') AS product_category,
    coalesce(max(expression) FILTER (WHERE column_name = '业务大类'), 'NULL::varchar') AS business_category
FROM (
    SELECT
        wanted.source,
        wanted.column_name,
        format('%I COLLATE "C"', attname) AS expression
    FROM (
        VALUES
            ('awards', :'awards', '上报客户名称'),
            ('losses', :'losses', '上报客户名称'),
            ('customers', :'customers', '客户名称'),
            ('product_lines', :'product_lines', '产品线'),
            ('product_lines', :'product_lines', '产品类别'),
            ('product_lines', :'product_lines', '业务大类')
    ) AS wanted (source, table_name, column_name)
    JOIN pg_attribute
        ON attrelid = wanted.table_name::regclass
        AND attname = wanted.column_name
        AND NOT attisdropped
    JOIN pg_type
        ON pg_type.oid = atttypid
        AND typcategory = 'S'
    WHERE has_column_privilege(attrelid, attnum, 'SELECT')
) AS readable
\gset

SELECT format(
    $create$
CREATE OR REPLACE FUNCTION customer.source_customer_names()
RETURNS TABLE (company_id varchar, customer_name varchar)
LANGUAGE sql
STABLE
AS %L
    $create$,
    format(
        $body$
    SELECT
        company_id COLLATE "C",
        %s
    FROM %s
$body$,
        :'customer_name', :'customers'
    )
)
\gexec

SELECT format(
    $create$
CREATE OR REPLACE FUNCTION customer.source_product_line_names()
RETURNS TABLE (product_line_code varchar, product_line_name varchar, product_category varchar, business_category varchar)
LANGUAGE sql
STABLE
AS %L
    $create$,
    format(
        $body$
    SELECT
        "产品线代码" COLLATE "C",
        %s,
        %s,
        %s
    FROM %s
$body$,
        :'product_line_name', :'product_category', :'business_category', :'product_lines'
    )
)
\gexec

SELECT format(
    $create$
CREATE OR REPLACE FUNCTION customer.source_reported_events()
RETURNS TABLE (event text, reported_on date, reported_name varchar, company_id varchar, product_line_code varchar)
LANGUAGE sql
STABLE
AS %L
    $create$,
    format(
        $body$
    SELECT
        'award',
        "上报月份"::date,
        %s,
        company_id COLLATE "C",
        "产品线代码" COLLATE "C"
    FROM %s
    UNION ALL
    SELECT
        'loss',
        "上报月份"::date,
        %s,
        company_id COLLATE "C",
        "产品线代码" COLLATE "C"
    FROM %s
$body$,
        :'award_name', :'awards', :'loss_name', :'losses'
    )
)
\gexec

CALL customer.revoke_default_grants('customer.source_customer_names()'::regprocedure);
CALL customer.revoke_default_grants('customer.source_product_line_names()'::regprocedure);
CALL customer.revoke_default_grants('customer.source_reported_events()'::regprocedure);

COMMENT ON FUNCTION customer.source_customer_names() IS
'Internal: the customers of the platform with 客户名称, NULL where the table lacks it or the owner of the package may not read it. Raises what reading the table raises.';
COMMENT ON FUNCTION customer.source_product_line_names() IS
'Internal: the product lines of the platform with 产品线, 产品类别 and 业务大类, each NULL where the table lacks it or the owner of the package may not read it. Raises what reading the table raises.';
COMMENT ON FUNCTION customer.source_reported_events() IS
'Internal: the awards won (当年中标) and the losses (当年流失) of the platform, with 上报客户名称, NULL where a table lacks it or the owner of the package may not read it. Raises what reading the tables raises.';

-- Whether a table has the column is not for the package to demand, and so it is looked for in each row:
-- where the package may read whole rows.
SELECT format(
    $create$
CREATE OR REPLACE FUNCTION customer.source_late_changes(p_day date)
RETURNS TABLE (company_id varchar, product_line_code varchar)
LANGUAGE sql
STABLE
AS %L
    $create$,
    format(
        $body$
    SELECT
        company_id COLLATE "C",
        product_line_code COLLATE "C"
    FROM %s AS version
    WHERE valid_from::date <= p_day
        AND valid_to::date >= p_day
        AND valid_to < '9999-12-31'
        AND %s
$body$,
        :'contracts',
        CASE
            WHEN has_table_privilege(:'contracts', 'SELECT') THEN
                -- As text, so that no value of a column of another type is an error.
                $late$(to_jsonb(version) ->> 'updated_at') ~ '^[0-9]{4}-[0-9]{2}-[0-9]{2}'
        AND left(to_jsonb(version) ->> 'updated_at', 10) COLLATE "C" > to_char(valid_to::date, 'YYYY-MM-DD')$late$
            -- Whole rows are not for the package to read.
            ELSE 'FALSE'
        END
    )
)
\gexec

CALL customer.revoke_default_grants('customer.source_late_changes(date)'::regprocedure);

COMMENT ON FUNCTION customer.source_late_changes(date) IS
'Internal: contract versions that cover a day, have ended, and were changed after their last day (be it only to end them), if the platform''s contracts have a column updated_at and the owner of the package may read whole rows of them: what they say of that day may be of later. The day of a change is that of the session''s TimeZone. Raises what reading the table raises.';

-- Over the columns as they are, so that validation can hold against them what the functions make of them.
SELECT format(
    $create$
CREATE OR REPLACE FUNCTION customer.source_control_totals(p_first_day date, p_last_day date, p_last_event_day date)
RETURNS TABLE (contracts bigint, awards bigint, losses bigint, details bigint, amount numeric)
LANGUAGE sql
STABLE
AS %L
    $create$,
    format(
        $body$
    SELECT
        contract.row_count,
        award.row_count,
        loss.row_count,
        detail.row_count,
        detail.amount
    FROM (
        SELECT count(*)
        FROM %s
        WHERE valid_to = '9999-12-31'
    ) AS contract (row_count)
    CROSS JOIN (
        SELECT count(*)
        FROM %s
        WHERE extract(year FROM "上报月份") = extract(year FROM p_last_day)
            AND "上报月份" < p_last_event_day + 1
    ) AS award (row_count)
    CROSS JOIN (
        SELECT count(*)
        FROM %s
        WHERE extract(year FROM "上报月份") = extract(year FROM p_last_day)
            AND "上报月份" < p_last_event_day + 1
    ) AS loss (row_count)
    CROSS JOIN (
        SELECT
            count(*),
            coalesce(sum("期末资产规模"), 0)
        FROM %s
        WHERE "月度" >= p_first_day
            AND "月度" < p_last_day + 1
    ) AS detail (row_count, amount)
$body$,
        :'contracts', :'awards', :'losses', :'aum'
    )
)
\gexec

CALL customer.revoke_default_grants('customer.source_control_totals(date, date, date)'::regprocedure);

COMMENT ON FUNCTION customer.source_control_totals(date, date, date) IS
'Internal: control totals over the platform''s own columns, without the functions through which all else reads them: current contracts, awards and losses of the calendar year up to p_last_event_day, rows of 规模明细 from p_first_day to p_last_day and their sum in yuan. customer.validate_monthly_snapshot compares them with what it read. Raises what reading the tables raises.';

-- --- On a Citus cluster ---------------------------------------------------------------------

-- Citus looks through a statement for its tables before PostgreSQL inlines a function over them, and
-- refuses the statement where it comes upon them afterwards; a SQL function that is not inlined, it refuses
-- for its parameters. Where Citus is installed, the functions above therefore become PL/pgSQL: statements
-- of their own, which go to the workers with the values of their arguments.
SELECT format(
    $create$
CREATE OR REPLACE FUNCTION customer.%I(%s)
RETURNS %s
LANGUAGE plpgsql
STABLE
AS %L
    $create$,
    proname,
    pg_get_function_arguments(pg_proc.oid),
    pg_get_function_result(pg_proc.oid),
    format(
        $body$
#variable_conflict use_column
BEGIN
    RETURN QUERY
    SELECT %s
    FROM (%s) AS source (%s);
END
$body$,
        expressions, prosrc, names
    )
)
FROM pg_proc
JOIN pg_language
    ON pg_language.oid = prolang
    AND lanname = 'sql'
-- PL/pgSQL casts nothing to the type of the result.
CROSS JOIN LATERAL (
    SELECT
        string_agg(format('source.%I::%s', name, type::regtype), ', ' ORDER BY position) AS expressions,
        string_agg(quote_ident(name), ', ' ORDER BY position) AS names
    FROM unnest(proargnames, proallargtypes, proargmodes) WITH ORDINALITY AS argument (name, type, mode, position)
    WHERE mode = 't'
) AS result_column
WHERE pronamespace = 'customer'::regnamespace
    AND starts_with(proname, 'source_')
    -- Not customer.source_columns(), which reads no table.
    AND provolatile = 's'
    AND EXISTS (SELECT 1 FROM pg_extension WHERE extname = 'citus')
\gexec

-- A view may read further tables with its reader's rights, and row security may hide rows:
-- what a load would stumble over later is found by reading once, for no rows.
DO $$
DECLARE
    v_function text;
BEGIN
    SET LOCAL row_security = off;
    FOREACH v_function IN ARRAY ARRAY[
        'source_contracts()', 'source_awards()', 'source_losses()',
        'source_aum(''2026-01-01'', ''2026-01-31'')', 'source_customers()', 'source_product_lines()'
    ]
    LOOP
        BEGIN
            EXECUTE format('SELECT FROM customer.%s LIMIT 0', v_function);
        EXCEPTION
            WHEN insufficient_privilege THEN
                RAISE EXCEPTION 'customer.% cannot read its table as %: %', split_part(v_function, '(', 1), current_user, SQLERRM
                    USING
                        ERRCODE = 'object_not_in_prerequisite_state',
                        HINT = 'Grant what is missing, or take this role out of row security (BYPASSRLS). Then run this again; nothing has been changed.';
        END;
    END LOOP;
END
$$;

COMMIT;
