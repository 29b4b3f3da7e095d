-- Verify customer_monthly_snapshot:monthly_status_bridge on pg

BEGIN;

CALL customer.verify_view(
    'customer.monthly_status_bridge',
    'c5d4b8da48c9cf2c9caa6848a867165e25febc1b2fd1e172985dafa7cd6559db'
);

ROLLBACK;
