-- Verify customer_monthly_snapshot:monthly_snapshot_control on pg

BEGIN;

-- Definitions are printed with the names of what the search_path does not find.
SET LOCAL search_path = pg_catalog;
SET LOCAL quote_all_identifiers = off;

DO $$
DECLARE
    v_table CONSTANT regclass := to_regclass('customer.monthly_snapshot_control');
    v_expected CONSTANT text[] := ARRAY[
        'column snapshot_month date NOT NULL, with comment',
        'column last_rule text, with comment',
        'column last_log_id bigint, with comment',
        'column stale_rows bigint NOT NULL DEFAULT 0, with comment',
        'column baseline_rows bigint, with comment',
        'column baseline_aum numeric, with comment',
        'column writer text, with comment',
        'column closed_at timestamp with time zone, with comment',
        'column closed_by text, with comment',
        'column close_note text, with comment',
        'column closed_rows bigint, with comment',
        'column closed_aum numeric, with comment',
        'column closed_sha256 text, with comment',
        'constraint chk_control_month_end CHECK ((isfinite(snapshot_month) AND (EXTRACT(day FROM (snapshot_month + 1)) = (1)::numeric))), with comment',
        'constraint chk_control_rule CHECK ((last_rule = ANY (ARRAY[''current''::text, ''as_of''::text]))), with comment',
        'constraint chk_control_baseline CHECK ((num_nulls(last_rule, baseline_rows, baseline_aum) = ANY (ARRAY[0, 3]))), with comment',
        'constraint chk_control_closed CHECK ((num_nulls(closed_at, closed_by, close_note, closed_rows, closed_aum, closed_sha256) = ANY (ARRAY[0, 6]))), with comment',
        'constraint monthly_snapshot_control_pkey PRIMARY KEY (snapshot_month), with comment',
        'CREATE UNIQUE INDEX monthly_snapshot_control_pkey ON customer.monthly_snapshot_control USING btree (snapshot_month), with comment',
        'comment on table',
        'write-ahead logging',
        'no row security',
        'the owner of the fact table',
        'all privileges for its owner'
    ];
    v_wrong text;
BEGIN
    SELECT string_agg(problem, E'\n    ')
    INTO v_wrong
    FROM (
        SELECT 'expected ' || fact
        FROM unnest(v_expected) AS expected (fact)
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
                UNION ALL
                SELECT pg_get_indexdef(indexrelid), obj_description(indexrelid, 'pg_class')
                FROM pg_index
                WHERE indrelid = v_table
                    AND indisvalid
                UNION ALL
                SELECT unnest(ARRAY[
                    CASE WHEN obj_description(v_table, 'pg_class') <> '' THEN 'comment on table' END,
                    CASE this_table.relpersistence WHEN 'p' THEN 'write-ahead logging' END,
                    CASE WHEN NOT this_table.relrowsecurity THEN 'no row security' END,
                    CASE this_table.relowner WHEN fact_table.relowner THEN 'the owner of the fact table' END,
                    CASE
                        WHEN has_table_privilege(this_table.relowner, v_table, 'SELECT')
                            AND has_table_privilege(this_table.relowner, v_table, 'INSERT')
                            AND has_table_privilege(this_table.relowner, v_table, 'UPDATE')
                            AND has_table_privilege(this_table.relowner, v_table, 'DELETE')
                            THEN 'all privileges for its owner'
                    END
                ]), NULL
                FROM pg_class AS this_table
                JOIN pg_class AS fact_table
                    ON fact_table.oid = 'customer.fct_customer_business_monthly_status'::regclass
                WHERE this_table.oid = v_table
            ) AS found (fact, description)
        )
        UNION ALL
        -- Reading is the site's to grant, and so is VACUUM and its like.
        SELECT DISTINCT format('it grants %s to %s', privilege_type, coalesce(nullif(grantee, 0)::regrole::text, 'PUBLIC'))
        FROM pg_class
        JOIN pg_attribute
            ON attrelid = pg_class.oid
        CROSS JOIN aclexplode(relacl || attacl)
        WHERE pg_class.oid = v_table
            AND grantee <> relowner
            AND (grantee = 0 OR privilege_type NOT IN ('SELECT', 'MAINTAIN'))
    ) AS found (problem);

    IF v_wrong IS NOT NULL THEN
        RAISE EXCEPTION E'table customer.monthly_snapshot_control is not as deployed:\n    %', v_wrong
            USING HINT = 'To bring comments and rights up to date, run as the owner of the package: '
                '"psql -d DATABASE -f deploy/monthly_snapshot_control.sql", and then sql/grants.sql again; columns and constraints take ALTER TABLE.';
    END IF;
END
$$;

ROLLBACK;
