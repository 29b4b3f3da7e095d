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
BEGIN
    CALL customer.verify_table('customer.fct_customer_business_monthly_status', v_expected);
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
