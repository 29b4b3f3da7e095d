-- Verify customer_monthly_snapshot:lock_open_snapshot_month on pg

BEGIN;

CALL customer.verify_function(
    'customer.lock_open_snapshot_month(date)',
    'ea2fa527fff4ee0c02b69ab3f9d0a7351a5d69a53f1ac8fc7302d0b57f3fb9df',
    'lock_open_snapshot_month',
    p_is_internal => TRUE
);

ROLLBACK;
