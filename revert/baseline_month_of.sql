-- Revert customer_monthly_snapshot:baseline_month_of from pg

BEGIN;

DROP FUNCTION IF EXISTS customer.baseline_month_of(date);

COMMIT;
