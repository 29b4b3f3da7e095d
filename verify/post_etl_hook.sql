-- Verify customer_monthly_snapshot:post_etl_hook on pg

BEGIN;

CALL customer.verify_function(
    'customer.post_etl_hook(text, text)',
    'edce1bfda13da0707cb90e491e97afed716ff7f43fe5b629247967777eef2b7f',
    'post_etl_hook',
    p_is_internal => FALSE
);

ROLLBACK;
