-- Verify customer_monthly_snapshot:snapshot_month_of on pg

BEGIN;

CALL customer.verify_function(
    'customer.snapshot_month_of(date)',
    '6c153b72b3875ed1f0ad30cd64731644b22cacb2026c91582822d23da1741c3a',
    'snapshot_month_of',
    p_is_internal => TRUE
);

ROLLBACK;
