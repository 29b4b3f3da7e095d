-- Revert customer_monthly_snapshot:require_reason from pg

BEGIN;

DROP FUNCTION IF EXISTS customer.require_reason(text, text);

COMMIT;
