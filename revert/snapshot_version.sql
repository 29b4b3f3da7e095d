-- Revert customer_monthly_snapshot:snapshot_version from pg

BEGIN;

DROP FUNCTION IF EXISTS customer.snapshot_version();

COMMIT;
