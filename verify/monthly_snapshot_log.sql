-- Verify customer_monthly_snapshot:monthly_snapshot_log on pg

BEGIN;

-- Definitions are printed with the names of what the search_path does not find.
SET LOCAL search_path = pg_catalog;
SET LOCAL quote_all_identifiers = off;

CALL customer.verify_function(
    'customer.next_log_id(bigint)',
    '71fee100a490be5cb1f936d3425e12f2a6968de4a45593daab64d34b78a0c813',
    'monthly_snapshot_log',
    p_is_internal => TRUE
);

DO $$
DECLARE
    v_table CONSTANT regclass := to_regclass('customer.monthly_snapshot_log');
    v_sequence CONSTANT regclass := to_regclass('customer.monthly_snapshot_log_log_id_seq');
    v_expected CONSTANT text[] := ARRAY[
        'column log_id bigint NOT NULL GENERATED ALWAYS AS IDENTITY, with comment',
        'column snapshot_month date NOT NULL, with comment',
        'column operation text NOT NULL, with comment',
        'column rule text, with comment',
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
        'column accepted boolean, with comment',
        'column month_rows bigint NOT NULL, with comment',
        'column month_aum numeric NOT NULL, with comment',
        'column month_sha256 text, with comment',
        'column invoked_by text NOT NULL, with comment',
        'column application_name text NOT NULL, with comment',
        'constraint chk_log_operation CHECK ((operation = ANY (ARRAY[''refresh''::text, ''restate''::text, ''by_hand''::text, ''close''::text, ''reopen''::text, ''discard''::text, ''adopt''::text]))), with comment',
        'constraint chk_log_rule CHECK ((rule = ANY (ARRAY[''current''::text, ''as_of''::text]))), with comment',
        'constraint chk_log_counts CHECK (((num_nulls(rule, total, upserted, unchanged, stale, aum_total, aum_unattributed) =
CASE
    WHEN (operation = ANY (ARRAY[''refresh''::text, ''restate''::text])) THEN 0
    ELSE 7
END) AND
CASE
    WHEN (operation = ANY (ARRAY[''refresh''::text, ''restate''::text])) THEN (accepted IS NOT NULL)
    ELSE ((accepted IS NULL) OR (operation = ''close''::text))
END AND ((inserted IS NOT NULL) = (operation = ANY (ARRAY[''refresh''::text, ''restate''::text, ''by_hand''::text, ''adopt''::text]))) AND ((updated IS NOT NULL) = (operation = ANY (ARRAY[''refresh''::text, ''restate''::text, ''by_hand''::text]))) AND ((deleted IS NOT NULL) = (operation = ANY (ARRAY[''refresh''::text, ''restate''::text, ''by_hand''::text, ''discard''::text]))) AND ((month_sha256 IS NOT NULL) = (operation = ''close''::text)))), with comment',
        'constraint chk_log_reason CHECK (((operation = ANY (ARRAY[''refresh''::text, ''by_hand''::text])) OR (reason IS NOT NULL))), with comment',
        'constraint monthly_snapshot_log_pkey PRIMARY KEY (log_id), with comment',
        'CREATE UNIQUE INDEX monthly_snapshot_log_pkey ON customer.monthly_snapshot_log USING btree (log_id), with comment',
        'CREATE INDEX idx_snapshot_log_month ON customer.monthly_snapshot_log USING btree (snapshot_month, log_id), with comment',
        'sequence customer.monthly_snapshot_log_log_id_seq, with comment',
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
                SELECT 'sequence ' || oid::regclass, obj_description(oid, 'pg_class')
                FROM pg_class
                WHERE oid = v_sequence
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
        SELECT DISTINCT format('it grants %s on %s to %s', privilege_type, pg_class.oid::regclass, coalesce(nullif(grantee, 0)::regrole::text, 'PUBLIC'))
        FROM pg_class
        JOIN pg_attribute
            ON attrelid = pg_class.oid
        CROSS JOIN aclexplode(relacl || attacl)
        WHERE pg_class.oid IN (v_table, v_sequence)
            AND grantee <> relowner
            AND (grantee = 0 OR privilege_type NOT IN ('SELECT', 'MAINTAIN'))
    ) AS found (problem);

    IF v_wrong IS NOT NULL THEN
        RAISE EXCEPTION E'table customer.monthly_snapshot_log is not as deployed:\n    %', v_wrong
            USING HINT = 'To bring comments, rights and missing indexes up to date, run as the owner of the package: '
                '"psql -d DATABASE -f deploy/monthly_snapshot_log.sql", and then sql/grants.sql again; columns and constraints take ALTER TABLE.';
    END IF;
END
$$;

ROLLBACK;
