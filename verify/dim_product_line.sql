-- Verify customer_monthly_snapshot:dim_product_line on pg

BEGIN;

CALL customer.verify_view(
    'customer.dim_product_line',
    'ff4468646a5e37d770f04037c6c75502fdf6ebcd4b6a505d857c30238adea031'
);

CALL customer.verify_function(
    'customer.product_line_names()',
    'e98c162dc73682572a0af38341421124a695322d8a0aab931d73a1d442f98571',
    'dim_product_line',
    p_is_internal => FALSE
);

ROLLBACK;
