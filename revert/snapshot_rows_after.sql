-- Revert customer_monthly_snapshot:snapshot_rows_after from pg

BEGIN;

DROP FUNCTION IF EXISTS customer.snapshot_control_totals(date, bigint);
DROP FUNCTION IF EXISTS customer.snapshot_rows_after(date, bigint);

COMMIT;
