-- Verify customer_monthly_snapshot:monthly_status_summary on pg

BEGIN;

CALL customer.verify_function(
    'customer.stale_rows_by_product_line(date)',
    '5fbed1d04d70e956f6b3cda3455ec4bb70bde2b661d635788f38a17cdd00bd26',
    'monthly_status_summary',
    p_is_internal => TRUE
);

CALL customer.verify_function(
    'customer.summarise_snapshot_month(date, jsonb)',
    'b65ff2347ed087cfc8488b9af3490debdd177a84ca52127df03074bcf5c877c8',
    'monthly_status_summary',
    p_is_internal => TRUE
);

CALL customer.verify_table('customer.monthly_status_summary', ARRAY[
    'column snapshot_month date NOT NULL, with comment',
    'column product_line_code character varying(20), with comment',
    'column product_line_name character varying(50), with comment',
    'column row_count bigint NOT NULL, with comment',
    'column customers bigint NOT NULL, with comment',
    'column customers_with_aum bigint NOT NULL, with comment',
    'column strategic_customers bigint NOT NULL, with comment',
    'column existing_customers bigint NOT NULL, with comment',
    'column new_this_year_customers bigint NOT NULL, with comment',
    'column winning_this_year_customers bigint NOT NULL, with comment',
    'column churned_this_year_customers bigint NOT NULL, with comment',
    'column plans bigint NOT NULL, with comment',
    'column aum_balance numeric NOT NULL, with comment',
    'column strategic_aum numeric NOT NULL, with comment',
    'column stale_rows bigint NOT NULL, with comment',
    'column stale_aum numeric NOT NULL, with comment',
    'constraint monthly_status_summary_key UNIQUE NULLS NOT DISTINCT (snapshot_month, product_line_code), with comment',
    'CREATE UNIQUE INDEX monthly_status_summary_key ON customer.monthly_status_summary USING btree'
    ' (snapshot_month, product_line_code) NULLS NOT DISTINCT, with comment',
    'comment on table',
    'write-ahead logging',
    'replica identity full',
    'no row security',
    'the owner of customer.missing_snapshot_sources()',
    'all privileges for its owner'
]);

ROLLBACK;
