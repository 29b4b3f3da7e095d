-- Revert customer_monthly_snapshot:published_changes from pg

BEGIN;

DROP FUNCTION IF EXISTS customer.published_changes(date);

COMMIT;
