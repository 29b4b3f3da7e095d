-- Verify customer_monthly_snapshot:pre_etl_check on pg

BEGIN;

CALL customer.verify_function(
    'customer.pre_etl_check(text, text)',
    'f0431ec4c7c239f1f8fb95304265c901555df2e6c39b4cab154aed36ce8d4e04',
    'pre_etl_check',
    p_is_internal => FALSE
);

CALL customer.verify_function(
    'customer.pre_etl_check(text, anyelement)',
    '7544de7baa4c1f6a03ad69d59addbd2888c3054aee54fcd1b895809ed567bb29',
    'pre_etl_check',
    p_is_internal => FALSE
);

ROLLBACK;
