-- Revert customer_monthly_snapshot:dim_product_line from pg

BEGIN;

DROP VIEW IF EXISTS customer.dim_product_line;
DROP FUNCTION IF EXISTS customer.product_line_names();

COMMIT;
