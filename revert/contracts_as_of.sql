-- Revert customer_monthly_snapshot:contracts_as_of from pg

BEGIN;

DROP FUNCTION IF EXISTS customer.contracts_as_of(date);

COMMIT;
