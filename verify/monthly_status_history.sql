-- Verify customer_monthly_snapshot:monthly_status_history on pg

BEGIN;

CALL customer.verify_function(
    'customer.keep_history()',
    'f73955f210804523f83b0caf23fe0dd25dc975931f20e483e57a5ba6a15d43bd',
    'monthly_status_history',
    p_is_internal => TRUE
);

CALL customer.verify_table('customer.monthly_status_history', ARRAY[
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
    'constraint chk_history_operation CHECK ((operation = ANY (ARRAY[''insert''::text, ''update''::text,'
    ' ''delete''::text]))), with comment',
    'constraint chk_history_values CHECK ((num_nulls(product_line_name, is_strategic, is_existing, is_new, is_winning_this_year,'
    ' is_churned_this_year, aum_balance, plan_count, updated_at) =
CASE
    WHEN (operation = ''insert''::text) THEN 9
    ELSE 0
END)), with comment',
    'constraint monthly_status_history_pkey PRIMARY KEY (snapshot_month, log_id, company_id,'
    ' product_line_code), with comment',
    'CREATE UNIQUE INDEX monthly_status_history_pkey ON customer.monthly_status_history USING btree'
    ' (snapshot_month, log_id, company_id, product_line_code), with comment',
    'CREATE TRIGGER trg_history_keep BEFORE DELETE OR UPDATE OR TRUNCATE ON customer.monthly_status_history'
    ' FOR EACH STATEMENT EXECUTE FUNCTION customer.keep_history, with comment',
    'comment on table',
    'write-ahead logging',
    'no row security',
    'the owner of customer.missing_snapshot_sources()',
    'all privileges for its owner'
]);

ROLLBACK;
