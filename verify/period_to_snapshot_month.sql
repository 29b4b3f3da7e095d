-- Verify customer_monthly_snapshot:period_to_snapshot_month on pg

BEGIN;

CALL customer.verify_function(
    'customer.period_to_snapshot_month(text)',
    '0d2fd4b0a5bd12a28b1aca1512b35b650f6cd8987c7c2f3c4b667c4866b67114',
    'period_to_snapshot_month',
    p_is_internal => FALSE
);

ROLLBACK;
