-- Revert customer_monthly_snapshot:close_snapshot_month from pg

BEGIN;

DROP FUNCTION IF EXISTS customer.close_snapshot_month(date, text);

COMMIT;
