-- Revert customer_monthly_snapshot:post_etl_hook from pg

BEGIN;

DROP FUNCTION IF EXISTS customer.post_etl_hook(text, anyelement);
DROP FUNCTION IF EXISTS customer.post_etl_hook(text, text);

COMMIT;
