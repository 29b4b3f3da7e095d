-- Verify customer_monthly_snapshot:warn on pg

BEGIN;

CALL customer.verify_function(
    'customer.warn(text, text, text)',
    '84decce028f7e7e46e8fd68eeb498c2c2165fd0984f5701597ba062cb1df577c',
    'warn',
    p_is_internal => TRUE
);

ROLLBACK;
