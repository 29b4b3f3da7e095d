-- Revert customer_monthly_snapshot:snapshot_month_of from pg

BEGIN;

DROP FUNCTION IF EXISTS customer.snapshot_month_of(date);

COMMIT;
