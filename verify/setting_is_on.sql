-- Verify customer_monthly_snapshot:setting_is_on on pg

BEGIN;

CALL customer.verify_function(
    'customer.setting_is_on(text, boolean)',
    'c1c4674842136d9e98ba56b7c424b419e259e3065762a4e1810c6753808b9d7d',
    'setting_is_on',
    p_is_internal => TRUE
);

ROLLBACK;
