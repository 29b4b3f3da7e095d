-- Revert customer_monthly_snapshot:dim_customer from pg

BEGIN;

DROP VIEW IF EXISTS customer.dim_customer;
DROP FUNCTION IF EXISTS customer.customer_names();

COMMIT;
