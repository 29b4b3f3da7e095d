-- Revert customer_monthly_snapshot:lock_snapshot_month from pg

BEGIN;

DROP FUNCTION IF EXISTS customer.lock_snapshot_month(date);

COMMIT;
