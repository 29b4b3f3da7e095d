-- Revert customer_monthly_snapshot:write_monthly_snapshot from pg

BEGIN;

DROP FUNCTION IF EXISTS customer.write_monthly_snapshot(date, text, text);

COMMIT;
