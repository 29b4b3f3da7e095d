-- Revert customer_monthly_snapshot:validate_monthly_snapshot from pg

BEGIN;

DROP FUNCTION IF EXISTS customer.validate_monthly_snapshot(date);

COMMIT;
