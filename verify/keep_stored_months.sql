-- Verify customer_monthly_snapshot:keep_stored_months on pg
-- What it keeps is there. A table that is not would be reverted as if it were empty.

BEGIN;

SELECT FROM customer.fct_customer_business_monthly_status WHERE FALSE;
SELECT FROM customer.monthly_snapshot_control WHERE FALSE;
SELECT FROM customer.monthly_snapshot_log WHERE FALSE;
SELECT FROM customer.monthly_status_history WHERE FALSE;

ROLLBACK;
