-- Verify customer_monthly_snapshot:monthly_status_history on pg

BEGIN;

-- Definitions are printed with the names of what the search_path does not find.
SET LOCAL search_path = pg_catalog;
SET LOCAL quote_all_identifiers = off;

CALL customer.verify_function(
    'customer.keep_history()',
    'f73955f210804523f83b0caf23fe0dd25dc975931f20e483e57a5ba6a15d43bd',
    'monthly_status_history',
    p_is_internal => TRUE
);

DO $$
DECLARE
    v_table CONSTANT regclass := to_regclass('customer.monthly_status_history');
    v_expected CONSTANT text[] := ARRAY[
        'column snapshot_month date NOT NULL, with comment',
        'column log_id bigint NOT NULL, with comment',
        'column company_id character varying NOT NULL, with comment',
        'column product_line_code character varying(20) NOT NULL, with comment',
        'column operation text NOT NULL, with comment',
        'column product_line_name character varying(50), with comment',
        'column is_strategic boolean, with comment',
        'column is_existing boolean, with comment',
        'column is_new boolean, with comment',
        'column is_winning_this_year boolean, with comment',
        'column is_churned_this_year boolean, with comment',
        'column aum_balance numeric(20,2), with comment',
        'column plan_count integer, with comment',
        'column updated_at timestamp with time zone, with comment',
        'constraint chk_history_operation CHECK ((operation = ANY (ARRAY[''insert''::text, ''update''::text, ''delete''::text]))), with comment',
        'constraint chk_history_values CHECK ((num_nulls(product_line_name, is_strategic, is_existing, is_new, is_winning_this_year, is_churned_this_year, aum_balance, plan_count, updated_at) =
CASE
    WHEN (operation = ''insert''::text) THEN 9
    ELSE 0
END)), with comment',
        'constraint monthly_status_history_pkey PRIMARY KEY (snapshot_month, log_id, company_id, product_line_code), with comment',
        'CREATE UNIQUE INDEX monthly_status_history_pkey ON customer.monthly_status_history USING btree (snapshot_month, log_id, company_id, product_line_code), with comment',
        'CREATE TRIGGER trg_history_keep BEFORE DELETE OR UPDATE OR TRUNCATE ON customer.monthly_status_history'
        ' FOR EACH STATEMENT EXECUTE FUNCTION customer.keep_history(), with comment',
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
                SELECT pg_get_triggerdef(oid), obj_description(oid, 'pg_trigger')
                FROM pg_trigger
                WHERE tgrelid = v_table
                    AND tgenabled = 'O'
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
        RAISE EXCEPTION E'table customer.monthly_status_history is not as deployed:\n    %', v_wrong
            USING HINT = 'To bring comments and rights up to date, run as the owner of the package: '
                '"psql -d DATABASE -f deploy/monthly_status_history.sql", and then sql/grants.sql again; columns and constraints take ALTER TABLE.';
    END IF;
END
$$;

ROLLBACK;
