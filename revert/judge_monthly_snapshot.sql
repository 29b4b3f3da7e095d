-- Revert customer_monthly_snapshot:judge_monthly_snapshot from pg

BEGIN;

DROP FUNCTION IF EXISTS customer.judge_monthly_snapshot(date, bigint, numeric, date, bigint, numeric, numeric, jsonb, boolean);

COMMIT;
