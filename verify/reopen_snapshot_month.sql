-- Verify customer_monthly_snapshot:reopen_snapshot_month on pg

BEGIN;

CALL customer.verify_function(
    'customer.reopen_snapshot_month(date, text)',
    '20d8eff32c98968aebf0ea331b4ff36126fd03196e534a8e0b83b295ed4f6f1f',
    'reopen_snapshot_month',
    p_is_internal => FALSE
);

ROLLBACK;
