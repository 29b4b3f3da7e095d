-- Revert customer_monthly_snapshot:monthly_status_as_at from pg

BEGIN;

DROP FUNCTION IF EXISTS customer.monthly_status_as_at(date, bigint);

COMMIT;
