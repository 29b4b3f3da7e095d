-- Revert customer_monthly_snapshot:dim_snapshot_month from pg

BEGIN;

DROP VIEW IF EXISTS customer.dim_snapshot_month;

COMMIT;
