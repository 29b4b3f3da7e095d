-- Verify customer_monthly_snapshot:monthly_snapshot_log on pg

SET client_encoding = 'UTF8';

BEGIN;

-- Definitions are printed with the names of what the search_path does not find.
SET LOCAL search_path = pg_catalog;
SET LOCAL quote_all_identifiers = off;

DO $$
DECLARE
    v_table regclass := 'customer.monthly_snapshot_log';
    v_expected text[] := ARRAY[
        'column log_id bigint NOT NULL GENERATED ALWAYS AS IDENTITY, with comment',
        'column snapshot_month date NOT NULL, with comment',
        'column operation text NOT NULL, with comment',
        'column reason text, with comment',
        'column started_at timestamp with time zone NOT NULL, with comment',
        'column finished_at timestamp with time zone NOT NULL, with comment',
        'column total bigint, with comment',
        'column upserted bigint, with comment',
        'column inserted bigint, with comment',
        'column updated bigint, with comment',
        'column unchanged bigint, with comment',
        'column stale bigint, with comment',
        'column deleted bigint, with comment',
        'column aum_total numeric, with comment',
        'column aum_unattributed numeric, with comment',
        'column invoked_by text NOT NULL, with comment',
        'column application_name text NOT NULL, with comment',
        'constraint chk_log_operation CHECK ((operation = ANY (ARRAY[''refresh''::text, ''restate''::text, ''close''::text, ''reopen''::text]))), with comment',
        'constraint chk_log_counts CHECK ((num_nulls(total, upserted, inserted, updated, unchanged, stale, deleted, aum_total, aum_unattributed) =
CASE
    WHEN (operation = ANY (ARRAY[''refresh''::text, ''restate''::text])) THEN 0
    ELSE 9
END)), with comment',
        'constraint chk_log_reason CHECK (((operation = ''refresh''::text) OR (reason IS NOT NULL))), with comment',
        'constraint monthly_snapshot_log_pkey PRIMARY KEY (log_id), with comment',
        'CREATE UNIQUE INDEX monthly_snapshot_log_pkey ON customer.monthly_snapshot_log USING btree (log_id), with comment',
        'CREATE INDEX idx_snapshot_log_month ON customer.monthly_snapshot_log USING btree (snapshot_month, log_id), with comment',
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
        RAISE EXCEPTION E'table customer.monthly_snapshot_log is not as deployed, but lacks:\n    %', v_missing;
    END IF;
END
$$;

DO $$
BEGIN
    IF EXISTS (
        SELECT
        FROM pg_class
        CROSS JOIN aclexplode(relacl)
        WHERE oid = 'customer.monthly_snapshot_log_log_id_seq'::regclass
            AND grantee = 0
    ) THEN
        RAISE EXCEPTION 'sequence customer.monthly_snapshot_log_log_id_seq is granted to PUBLIC';
    END IF;

    IF coalesce(obj_description('customer.monthly_snapshot_log_log_id_seq'::regclass, 'pg_class'), '') = '' THEN
        RAISE EXCEPTION 'sequence customer.monthly_snapshot_log_log_id_seq lacks its comment';
    END IF;
END
$$;

ROLLBACK;
