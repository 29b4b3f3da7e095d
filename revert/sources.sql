-- Revert customer_monthly_snapshot:sources from pg
-- The schema customer belongs to the source system and stays.

BEGIN;

DROP FUNCTION IF EXISTS customer.source_late_changes(date);
DROP FUNCTION IF EXISTS customer.source_control_totals(date, date, date);
DROP FUNCTION IF EXISTS customer.source_customer_names();
DROP FUNCTION IF EXISTS customer.source_product_line_names();
DROP FUNCTION IF EXISTS customer.source_reported_events();
DROP FUNCTION IF EXISTS customer.source_types();
DROP FUNCTION IF EXISTS customer.source_contracts();
DROP FUNCTION IF EXISTS customer.source_awards();
DROP FUNCTION IF EXISTS customer.source_losses();
DROP FUNCTION IF EXISTS customer.source_aum(date, date);
DROP FUNCTION IF EXISTS customer.source_customers();
DROP FUNCTION IF EXISTS customer.source_product_lines();
DROP FUNCTION IF EXISTS customer.check_snapshot_sources_are_seen();
DROP FUNCTION IF EXISTS customer.check_snapshot_sources();
DROP FUNCTION IF EXISTS customer.for_client(text);
DROP FUNCTION IF EXISTS customer.missing_snapshot_sources();
DROP FUNCTION IF EXISTS customer.source_columns();
DROP PROCEDURE IF EXISTS customer.verify_function(text, text, text, boolean);
DROP PROCEDURE IF EXISTS customer.verify_table(text, text[]);
DROP PROCEDURE IF EXISTS customer.verify_view(text, text);
DROP PROCEDURE IF EXISTS customer.revoke_default_grants(regprocedure);
DROP PROCEDURE IF EXISTS customer.revoke_default_grants(regclass);

COMMIT;
