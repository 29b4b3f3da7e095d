-- Verify customer_monthly_snapshot:judge_monthly_snapshot on pg

BEGIN;

CALL customer.verify_function(
    'customer.judge_monthly_snapshot(date, bigint, numeric, date, bigint, numeric, numeric, numeric, jsonb, boolean)',
    'e6d7c35be5d6a7f66165c27c78d926676958563abb79bed8024004aa902c578e',
    'judge_monthly_snapshot',
    p_is_internal => TRUE
);

ROLLBACK;
