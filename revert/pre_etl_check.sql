-- Revert customer_monthly_snapshot:pre_etl_check from pg

BEGIN;

DROP FUNCTION IF EXISTS customer.pre_etl_check(text, anyelement);
DROP FUNCTION IF EXISTS customer.pre_etl_check(text, text);

COMMIT;
