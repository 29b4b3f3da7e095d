-- Revert customer_monthly_snapshot:monthly_status_movement from pg

BEGIN;

DROP VIEW IF EXISTS customer.monthly_status_movement;

COMMIT;
