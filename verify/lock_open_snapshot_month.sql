-- Verify customer_monthly_snapshot:lock_open_snapshot_month on pg

BEGIN;

CALL customer.verify_function(
    'customer.lock_open_snapshot_month(date)',
    '6b0ab9b547723332e1f14840460b55ce3807e13668614d5ed5369e48932a147b',
    'lock_open_snapshot_month',
    p_is_internal => TRUE
);

ROLLBACK;
