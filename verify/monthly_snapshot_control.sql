-- Verify customer_monthly_snapshot:monthly_snapshot_control on pg

SET client_encoding = 'UTF8';

BEGIN;

-- Definitions are printed with the names of what the search_path does not find.
SET LOCAL search_path = pg_catalog;
SET LOCAL quote_all_identifiers = off;

DO $$
DECLARE
    v_table regclass := 'customer.monthly_snapshot_control';
    v_expected text[] := ARRAY[
        'column snapshot_month date NOT NULL, with comment',
        'column last_rule text, with comment',
        'column last_log_id bigint, with comment',
        'column stale_rows bigint NOT NULL DEFAULT 0, with comment',
        'column closed_at timestamp with time zone, with comment',
        'column closed_by text, with comment',
        'column close_note text, with comment',
        'constraint chk_control_month_end CHECK ((isfinite(snapshot_month) AND (EXTRACT(day FROM (snapshot_month + 1)) = (1)::numeric))), with comment',
        'constraint chk_control_rule CHECK ((last_rule = ANY (ARRAY[''current''::text, ''as_of''::text]))), with comment',
        'constraint chk_control_closed CHECK ((num_nulls(closed_at, closed_by, close_note) = ANY (ARRAY[0, 3]))), with comment',
        'constraint monthly_snapshot_control_pkey PRIMARY KEY (snapshot_month), with comment',
        'CREATE UNIQUE INDEX monthly_snapshot_control_pkey ON customer.monthly_snapshot_control USING btree (snapshot_month), with comment',
        'comment on table',
        'write-ahead logging',
        'no row security',
        'the owner of the fact table',
        'all privileges for its owner',
        'no privilege for PUBLIC'
    ];
    v_missing text;
BEGIN
    SELECT string_agg(fact, E'\n    ')
    INTO v_missing
    FROM unnest(v_expected) AS expected (fact)
    WHERE fact NOT IN (
        SELECT fact
        FROM (
            SELECT format('column %s %s%s%s%s', attname, format_type(atttypid, atttypmod),
                CASE WHEN attnotnull THEN ' NOT NULL' END,
                coalesce(
                    ' DEFAULT ' || pg_get_expr(adbin, adrelid),
                    CASE attidentity WHEN 'a' THEN ' GENERATED ALWAYS AS IDENTITY' END
                ),
                CASE WHEN col_description(attrelid, attnum) <> '' THEN ', with comment' END
            ) AS fact
            FROM pg_attribute
            LEFT JOIN pg_attrdef
                ON adrelid = attrelid
                AND adnum = attnum
            WHERE attrelid = v_table
                AND attnum > 0
                AND NOT attisdropped
            UNION ALL
            SELECT format('constraint %s %s%s', conname, pg_get_constraintdef(oid),
                CASE WHEN obj_description(oid, 'pg_constraint') <> '' THEN ', with comment' END
            )
            FROM pg_constraint
            WHERE conrelid = v_table
                AND convalidated
            UNION ALL
            SELECT format('%s%s', pg_get_indexdef(indexrelid),
                CASE WHEN obj_description(indexrelid, 'pg_class') <> '' THEN ', with comment' END
            )
            FROM pg_index
            WHERE indrelid = v_table
                AND indisvalid
            UNION ALL
            SELECT format('%s%s', pg_get_triggerdef(oid),
                CASE WHEN obj_description(oid, 'pg_trigger') <> '' THEN ', with comment' END
            )
            FROM pg_trigger
            WHERE tgrelid = v_table
                AND tgenabled = 'O'
            UNION ALL
            SELECT 'storage option ' || unnest(reloptions)
            FROM pg_class
            WHERE oid = v_table
            UNION ALL
            SELECT 'comment on table'
            WHERE obj_description(v_table, 'pg_class') <> ''
            UNION ALL
            SELECT 'write-ahead logging'
            FROM pg_class
            WHERE oid = v_table
                AND relpersistence = 'p'
            UNION ALL
            SELECT 'no row security'
            FROM pg_class
            WHERE oid = v_table
                AND NOT relrowsecurity
            UNION ALL
            SELECT 'the owner of the fact table'
            FROM pg_class AS this_table
            JOIN pg_class AS fact_table
                USING (relowner)
            WHERE this_table.oid = v_table
                AND fact_table.oid = 'customer.fct_customer_business_monthly_status'::regclass
            UNION ALL
            SELECT 'all privileges for its owner'
            FROM pg_class
            WHERE oid = v_table
                AND has_table_privilege(relowner, oid, 'SELECT')
                AND has_table_privilege(relowner, oid, 'INSERT')
                AND has_table_privilege(relowner, oid, 'UPDATE')
                AND has_table_privilege(relowner, oid, 'DELETE')
            UNION ALL
            SELECT 'no privilege for PUBLIC'
            WHERE NOT EXISTS (
                SELECT
                FROM pg_class
                CROSS JOIN aclexplode(relacl)
                WHERE oid = v_table
                    AND grantee = 0
                UNION ALL
                SELECT
                FROM pg_attribute
                CROSS JOIN aclexplode(attacl)
                WHERE attrelid = v_table
                    AND grantee = 0
            )
        ) AS found
        WHERE fact IS NOT NULL
    );

    IF v_missing IS NOT NULL THEN
        RAISE EXCEPTION E'table customer.monthly_snapshot_control is not as deployed, but lacks:\n    %', v_missing;
    END IF;
END
$$;

ROLLBACK;
