-- Verify customer_monthly_snapshot:lock_snapshot_month on pg

BEGIN;

CALL customer.verify_function(
    'customer.lock_snapshot_month(date)',
    '4e9970b9dc366db7958b9db60fd991f1ae81c29f94dbe1a85fb02fa4f0f7ac95',
    'lock_snapshot_month',
    p_is_internal => TRUE
);

ROLLBACK;
