-- Verify customer_monthly_snapshot:require_reason on pg

BEGIN;

CALL customer.verify_function(
    'customer.require_reason(text, text)',
    'a1eba0adc033586f81a9842842867ba0a2fe939b768e0fd5aa56063f6f032681',
    'require_reason',
    p_is_internal => TRUE
);

ROLLBACK;
