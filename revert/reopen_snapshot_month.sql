-- Revert customer_monthly_snapshot:reopen_snapshot_month from pg

BEGIN;

DROP FUNCTION IF EXISTS customer.reopen_snapshot_month(date, text);

COMMIT;
