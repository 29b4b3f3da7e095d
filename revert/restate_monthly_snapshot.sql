-- Revert customer_monthly_snapshot:restate_monthly_snapshot from pg

BEGIN;

DROP FUNCTION IF EXISTS customer.restate_monthly_snapshot(date, text);

COMMIT;
