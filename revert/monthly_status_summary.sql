-- Revert customer_monthly_snapshot:monthly_status_summary from pg
-- What it holds is worked out from the fact table's rows, and is made anew from them.

BEGIN;

DROP FUNCTION IF EXISTS customer.summarise_snapshot_month(date, jsonb);
DROP FUNCTION IF EXISTS customer.stale_rows_by_product_line(date);
DROP TABLE IF EXISTS customer.monthly_status_summary;

COMMIT;
