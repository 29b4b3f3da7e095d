-- Verify customer_monthly_snapshot:write_monthly_snapshot on pg

BEGIN;

CALL customer.verify_function(
    'customer.write_monthly_snapshot(date, text, text)',
    '015b206dade8e3256084be581b08f6a60bb80541d20fea1a32f629f3f071ef0a',
    'write_monthly_snapshot',
    p_is_internal => TRUE
);

ROLLBACK;
