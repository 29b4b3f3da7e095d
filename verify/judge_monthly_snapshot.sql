-- Verify customer_monthly_snapshot:judge_monthly_snapshot on pg

BEGIN;

CALL customer.verify_function(
    'customer.judge_monthly_snapshot(date, bigint, numeric, date, bigint, numeric, numeric, jsonb, boolean)',
    'ae96f2abfd70950712ce44c0c941cc487f18b4cd53dc90815220e375a58a1b67',
    'judge_monthly_snapshot',
    p_is_internal => TRUE
);

ROLLBACK;
