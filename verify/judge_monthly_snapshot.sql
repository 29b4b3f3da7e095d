-- Verify customer_monthly_snapshot:judge_monthly_snapshot on pg

BEGIN;

CALL customer.verify_function(
    'customer.judge_monthly_snapshot(date, bigint, numeric, date, bigint, numeric, numeric, jsonb, boolean)',
    '81b60f99cc95d7d65a6133b2fbaff9d5d937188de4d28542de4f5cc27acfc3ab',
    'judge_monthly_snapshot',
    p_is_internal => TRUE
);

ROLLBACK;
