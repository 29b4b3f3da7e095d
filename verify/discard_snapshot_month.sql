-- Verify customer_monthly_snapshot:discard_snapshot_month on pg

BEGIN;

CALL customer.verify_function(
    'customer.discard_snapshot_month(date, text)',
    '741d57fd025d712d2f81ab3dd9e31c2eae47ecbf16b921bbe0532cc0f2d4ee3b',
    'discard_snapshot_month',
    p_is_internal => FALSE
);

ROLLBACK;
