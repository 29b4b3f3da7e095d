-- Verify customer_monthly_snapshot:post_etl_hook on pg

BEGIN;

CALL customer.verify_function(
    'customer.post_etl_hook(text, text)',
    '34dde0e4a47eeab89465eb15ecaed73c8382f4362b54186241ca9f7212c61f33',
    'post_etl_hook',
    p_is_internal => FALSE
);

CALL customer.verify_function(
    'customer.post_etl_hook(text, anyelement)',
    '8d9980d286ea87a07ed0f6acd2f109e273d52ceb89a720649d95fb76f729b055',
    'post_etl_hook',
    p_is_internal => FALSE
);

ROLLBACK;
