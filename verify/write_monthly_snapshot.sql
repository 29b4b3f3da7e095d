-- Verify customer_monthly_snapshot:write_monthly_snapshot on pg

BEGIN;

CALL customer.verify_function(
    'customer.write_monthly_snapshot(date, text, text)',
    '6a6e9384638f9c060d5b70dd1203e99a9bf98a8c3f056f759c77f5281560d2f3',
    'write_monthly_snapshot',
    p_is_internal => TRUE
);

ROLLBACK;
