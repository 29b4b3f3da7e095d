-- Verify customer_monthly_snapshot:fct_customer_business_monthly_status on pg

SET client_encoding = 'UTF8';

BEGIN;

-- Definitions are printed with the names of what the search_path does not find.
SET LOCAL search_path = pg_catalog;
SET LOCAL quote_all_identifiers = off;

DO $$
DECLARE
    v_table regclass := 'customer.fct_customer_business_monthly_status';
    v_expected text[] := ARRAY[
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
        'constraint fk_snapshot_company FOREIGN KEY (company_id) REFERENCES customer."年金客户"(company_id), with comment',
        'constraint fk_snapshot_product_line FOREIGN KEY (product_line_code) REFERENCES mapping."产品线"("产品线代码"), with comment',
        'CREATE UNIQUE INDEX fct_customer_business_monthly_status_pkey ON customer.fct_customer_business_monthly_status USING btree (snapshot_month, company_id, product_line_code), with comment',
        'CREATE INDEX idx_snapshot_month ON customer.fct_customer_business_monthly_status USING btree (snapshot_month), with comment',
        'CREATE INDEX idx_snapshot_company ON customer.fct_customer_business_monthly_status USING btree (company_id), with comment',
        'CREATE INDEX idx_snapshot_product_line ON customer.fct_customer_business_monthly_status USING btree (product_line_code), with comment',
        'CREATE INDEX idx_snapshot_month_product ON customer.fct_customer_business_monthly_status USING btree (snapshot_month, product_line_code), with comment',
        'CREATE INDEX idx_snapshot_month_brin ON customer.fct_customer_business_monthly_status USING brin (snapshot_month), with comment',
        'CREATE INDEX idx_snapshot_strategic ON customer.fct_customer_business_monthly_status USING btree (snapshot_month) WHERE (is_strategic = true), with comment',
        'CREATE TRIGGER trg_snapshot_updated_at BEFORE UPDATE ON customer.fct_customer_business_monthly_status FOR EACH ROW WHEN ((old.* IS DISTINCT FROM new.*)) EXECUTE FUNCTION customer.set_snapshot_updated_at(), with comment',
        'storage option fillfactor=80',
        'comment on table',
        'write-ahead logging',
        'no row security',
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
            SELECT format('column %s %s%s%s%s%s', attname, format_type(atttypid, atttypmod),
                CASE WHEN attcollation <> typcollation THEN ' COLLATE ' || attcollation::regcollation END,
                CASE WHEN attnotnull THEN ' NOT NULL' END,
                coalesce(
                    ' DEFAULT ' || pg_get_expr(adbin, adrelid),
                    CASE attidentity WHEN 'a' THEN ' GENERATED ALWAYS AS IDENTITY' END
                ),
                CASE WHEN col_description(attrelid, attnum) <> '' THEN ', with comment' END
            ) AS fact
            FROM pg_attribute
            JOIN pg_type
                ON pg_type.oid = atttypid
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
                AND NOT EXISTS (
                    SELECT
                    FROM pg_trigger
                    WHERE tgconstraint = pg_constraint.oid
                        AND tgenabled <> 'O'
                )
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
        RAISE EXCEPTION E'table customer.fct_customer_business_monthly_status is not as deployed, but lacks:\n    %', v_missing;
    END IF;
END
$$;

DO $$
DECLARE
    v_wrong text;
BEGIN
    SELECT string_agg(fact, ', ')
    INTO v_wrong
    FROM pg_proc
    CROSS JOIN LATERAL (
        VALUES
            -- By its hash, so that a body replaced by hand is found.
            ('body', encode(sha256(convert_to(prosrc, 'UTF8')), 'hex')
                = 'ff97e7cdbeacedf00a3e69a8ad79ef294d49784ad0a57a3a4173d7a33ce5db13'),
            ('language', prolang = (SELECT oid FROM pg_language WHERE lanname = 'plpgsql')),
            ('result', pg_get_function_result(pg_proc.oid) = 'trigger'),
            ('not strict', NOT proisstrict),
            ('volatility', provolatile = 'v'),
            ('parallel safety', proparallel = 'u'),
            ('security invoker', NOT prosecdef),
            ('settings', proconfig = ARRAY['search_path=pg_catalog, pg_temp']),
            ('comment', obj_description(pg_proc.oid, 'pg_proc') <> ''),
            ('owner', proowner = (SELECT relowner FROM pg_class WHERE oid = 'customer.fct_customer_business_monthly_status'::regclass)),
            ('EXECUTE by its owner', has_function_privilege(proowner, pg_proc.oid, 'EXECUTE')),
            ('no EXECUTE by PUBLIC', NOT EXISTS (
                SELECT
                FROM aclexplode(coalesce(proacl, acldefault('f', proowner)))
                WHERE grantee = 0
            ))
    ) AS expected (fact, holds)
    WHERE pg_proc.oid = 'customer.set_snapshot_updated_at()'::regprocedure
        AND holds IS NOT TRUE;

    IF v_wrong IS NOT NULL THEN
        RAISE EXCEPTION 'function customer.set_snapshot_updated_at() is not as deployed: %', v_wrong;
    END IF;
END
$$;

ROLLBACK;
