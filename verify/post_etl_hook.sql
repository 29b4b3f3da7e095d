-- Verify customer_monthly_snapshot:post_etl_hook on pg

BEGIN;

CALL customer.verify_function(
    'customer.post_etl_hook(text, text)',
    '34dde0e4a47eeab89465eb15ecaed73c8382f4362b54186241ca9f7212c61f33',
    'post_etl_hook',
    p_is_internal => FALSE
);

ROLLBACK;
