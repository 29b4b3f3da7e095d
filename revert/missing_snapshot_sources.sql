-- Revert customer_monthly_snapshot:missing_snapshot_sources from pg
-- The schema customer belongs to the source system and stays.

BEGIN;

DROP FUNCTION IF EXISTS customer.missing_snapshot_sources();

COMMIT;
