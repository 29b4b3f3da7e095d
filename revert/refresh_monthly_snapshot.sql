-- Revert customer_monthly_snapshot:refresh_monthly_snapshot from pg

BEGIN;

DROP FUNCTION IF EXISTS customer.refresh_monthly_snapshot(date);

COMMIT;
