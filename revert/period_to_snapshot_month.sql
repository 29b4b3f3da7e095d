-- Revert customer_monthly_snapshot:period_to_snapshot_month from pg

BEGIN;

DROP FUNCTION IF EXISTS customer.period_to_snapshot_month(text);

COMMIT;
