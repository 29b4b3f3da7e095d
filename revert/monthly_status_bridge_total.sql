-- Revert customer_monthly_snapshot:monthly_status_bridge_total from pg

BEGIN;

DROP VIEW IF EXISTS customer.monthly_status_bridge_total;

COMMIT;
