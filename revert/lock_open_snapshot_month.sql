-- Revert customer_monthly_snapshot:lock_open_snapshot_month from pg

BEGIN;

DROP FUNCTION IF EXISTS customer.lock_open_snapshot_month(date);

COMMIT;
