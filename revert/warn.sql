-- Revert customer_monthly_snapshot:warn from pg

BEGIN;

DROP FUNCTION IF EXISTS customer.warn(text, text, text);

COMMIT;
