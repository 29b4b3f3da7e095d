-- Verify customer_monthly_snapshot:refresh_monthly_snapshot on pg

BEGIN;

CALL customer.verify_function(
    'customer.refresh_monthly_snapshot(date)',
    '608e62796544ee32cc78a1cfd2d28b389f94362e8c8529a8b949c2bee088b06f',
    'refresh_monthly_snapshot',
    p_is_internal => FALSE
);

ROLLBACK;
