-- Revert customer_monthly_snapshot:monthly_status_trend from pg

BEGIN;

DROP VIEW IF EXISTS customer.monthly_status_trend;

COMMIT;
