-- Revert customer_monthly_snapshot:setting_is_on from pg

BEGIN;

DROP FUNCTION IF EXISTS customer.setting_is_on(text, boolean);

COMMIT;
