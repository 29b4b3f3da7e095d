-- Revert customer_monthly_snapshot:discard_snapshot_month from pg

BEGIN;

DROP FUNCTION IF EXISTS customer.discard_snapshot_month(date, text);

COMMIT;
