-- Verify customer_monthly_snapshot:pre_etl_check on pg

BEGIN;

CALL customer.verify_function(
    'customer.pre_etl_check(text, text)',
    'fd39099bda267b9c522da8c8352292ef62a58f920b3c6e3324661f242894e002',
    'pre_etl_check',
    p_is_internal => FALSE
);

ROLLBACK;
