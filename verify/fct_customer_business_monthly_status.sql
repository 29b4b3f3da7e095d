-- Verify customer_monthly_snapshot:fct_customer_business_monthly_status on pg

SET client_encoding = 'UTF8';

BEGIN;

-- Definitions are printed with the names of what the search_path does not find.
SET LOCAL search_path = pg_catalog;
SET LOCAL quote_all_identifiers = off;

CALL customer.verify_function(
    'customer.set_snapshot_updated_at()',
    '3d48b38f66d917df7460bcf68ceb88fb9a2a933a1bf89890965c38667f83e43e',
    'fct_customer_business_monthly_status',
    p_is_internal => TRUE
);

DO $$
DECLARE
    v_table CONSTANT regclass := to_regclass('customer.fct_customer_business_monthly_status');
    v_expected CONSTANT text[] := ARRAY[
        'column snapshot_month date NOT NULL, with comment',
        'column company_id character varying NOT NULL, with comment',
        'column product_line_code character varying(20) NOT NULL, with comment',
        'column product_line_name character varying(50) NOT NULL, with comment',
        'column is_strategic boolean NOT NULL DEFAULT false, with comment',
        'column is_existing boolean NOT NULL DEFAULT false, with comment',
        'column is_new boolean NOT NULL DEFAULT false, with comment',
        'column is_winning_this_year boolean NOT NULL DEFAULT false, with comment',
        'column is_churned_this_year boolean NOT NULL DEFAULT false, with comment',
        'column aum_balance numeric(20,2) NOT NULL DEFAULT 0, with comment',
        'column plan_count integer NOT NULL DEFAULT 0, with comment',
        'column updated_at timestamp with time zone NOT NULL DEFAULT CURRENT_TIMESTAMP, with comment',
        'constraint chk_snapshot_month_end CHECK ((isfinite(snapshot_month) AND (EXTRACT(day FROM (snapshot_month + 1)) = (1)::numeric))), with comment',
        'constraint fct_customer_business_monthly_status_pkey PRIMARY KEY (snapshot_month, company_id, product_line_code), with comment',
        format('constraint fk_snapshot_company FOREIGN KEY (company_id) REFERENCES %s(company_id), with comment', (
            SELECT DISTINCT table_name FROM customer.source_columns() WHERE source = 'customers'
        )),
        format('constraint fk_snapshot_product_line FOREIGN KEY (product_line_code) REFERENCES %s("产品线代码"), with comment', (
            SELECT DISTINCT table_name FROM customer.source_columns() WHERE source = 'product_lines'
        )),
        'CREATE UNIQUE INDEX fct_customer_business_monthly_status_pkey ON customer.fct_customer_business_monthly_status USING btree (snapshot_month, company_id, product_line_code), with comment',
        'CREATE INDEX idx_snapshot_month ON customer.fct_customer_business_monthly_status USING btree (snapshot_month), with comment',
        'CREATE INDEX idx_snapshot_company ON customer.fct_customer_business_monthly_status USING btree (company_id), with comment',
        'CREATE INDEX idx_snapshot_product_line ON customer.fct_customer_business_monthly_status USING btree (product_line_code), with comment',
        'CREATE INDEX idx_snapshot_month_product ON customer.fct_customer_business_monthly_status USING btree (snapshot_month, product_line_code), with comment',
        'CREATE INDEX idx_snapshot_month_brin ON customer.fct_customer_business_monthly_status USING brin (snapshot_month), with comment',
        'CREATE INDEX idx_snapshot_strategic ON customer.fct_customer_business_monthly_status USING btree (snapshot_month) WHERE (is_strategic = true), with comment',
        'CREATE TRIGGER trg_snapshot_updated_at BEFORE UPDATE ON customer.fct_customer_business_monthly_status FOR EACH ROW WHEN old.snapshot_month IS DISTINCT FROM new.snapshot_month OR old.company_id::text IS DISTINCT FROM new.company_id::text OR old.product_line_code::text IS DISTINCT FROM new.product_line_code::text OR old.product_line_name::text IS DISTINCT FROM new.product_line_name::text OR old.is_strategic IS DISTINCT FROM new.is_strategic OR old.is_existing IS DISTINCT FROM new.is_existing OR old.is_new IS DISTINCT FROM new.is_new OR old.is_winning_this_year IS DISTINCT FROM new.is_winning_this_year OR old.is_churned_this_year IS DISTINCT FROM new.is_churned_this_year OR old.aum_balance IS DISTINCT FROM new.aum_balance OR old.plan_count IS DISTINCT FROM new.plan_count OR old.updated_at IS DISTINCT FROM new.updated_at EXECUTE FUNCTION customer.set_snapshot_updated_at, with comment',
        'fillfactor=80',
        'comment on table',
        'write-ahead logging',
        'no row security',
        'the owner of customer.missing_snapshot_sources()',
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
                SELECT unnest(ARRAY[
                    CASE WHEN obj_description(v_table, 'pg_class') <> '' THEN 'comment on table' END,
                    CASE WHEN relowner = (
                        SELECT proowner FROM pg_proc WHERE pg_proc.oid = to_regprocedure('customer.missing_snapshot_sources()')
                    ) THEN 'the owner of customer.missing_snapshot_sources()' END,
                    CASE relpersistence WHEN 'p' THEN 'write-ahead logging' END,
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
        -- was adopted still may: see below.
        SELECT DISTINCT format('it grants %s to %s', privilege_type, coalesce(nullif(grantee, 0)::regrole::text, 'PUBLIC'))
        FROM pg_class
        JOIN pg_attribute
            ON attrelid = pg_class.oid
        CROSS JOIN aclexplode(relacl || attacl)
        WHERE pg_class.oid = v_table
            AND grantee <> relowner
            AND (
                grantee = 0
                OR (privilege_type NOT IN ('SELECT', 'MAINTAIN') AND obj_description(pg_class.oid, 'pg_class') !~ '(?n)^Adopted ')
            )
    ) AS found (problem);

    IF v_wrong IS NOT NULL THEN
        RAISE EXCEPTION E'table customer.fct_customer_business_monthly_status is not as deployed:\n    %', v_wrong
            USING HINT = 'To bring comments, rights, triggers and missing indexes up to date, run as the owner of the package: '
                '"psql -d DATABASE -f deploy/fct_customer_business_monthly_status.sql", and then sql/grants.sql again; columns and constraints take ALTER TABLE.';
    END IF;
END
$$;

DO $$
DECLARE
    v_table CONSTANT regclass := 'customer.fct_customer_business_monthly_status';
    v_found text;
BEGIN
    SELECT string_agg(DISTINCT format('%s by %s', privilege_type, grantee::regrole), ', ')
    INTO v_found
    FROM pg_class
    JOIN pg_attribute
        ON attrelid = pg_class.oid
    CROSS JOIN aclexplode(relacl || attacl)
    WHERE pg_class.oid = v_table
        AND grantee <> relowner
        AND privilege_type NOT IN ('SELECT', 'MAINTAIN');

    IF v_found IS NOT NULL THEN
        RAISE WARNING 'roles other than its owner may still write the adopted table %: %', v_table, v_found
            USING HINT = 'The package needs none of these rights; REVOKE them once nothing else does.';
    END IF;

    SELECT string_agg(quote_ident(tgname), ', ' ORDER BY tgname)
    INTO v_found
    FROM pg_trigger
    WHERE tgrelid = v_table
        AND NOT tgisinternal
        AND tgname !~ '^trg_snapshot_';

    IF v_found IS NOT NULL THEN
        RAISE WARNING 'table % has triggers that are not the package''s: %', v_table, v_found
            USING HINT = 'Make sure that they do not change what the package writes.';
    END IF;
END
$$;

ROLLBACK;
