-- Verify customer_monthly_snapshot:judge_monthly_snapshot on pg

BEGIN;

CALL customer.verify_function(
    'customer.judge_monthly_snapshot(date, bigint, numeric, date, bigint, numeric, numeric, jsonb, boolean)',
    'd773de3a96bbac9d8ef33185f18b80d604c550868e7971cac93d6eca96d4f9f5',
    'judge_monthly_snapshot',
    p_is_internal => TRUE
);

ROLLBACK;
