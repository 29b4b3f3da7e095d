-- Verify customer_monthly_snapshot:write_monthly_snapshot on pg

BEGIN;

CALL customer.verify_function(
    'customer.write_monthly_snapshot(date, text, text)',
    '0aabe8acd917aefbf11db2ed0ca442ecd297951a1320a341463fcba7a6adc48a',
    'write_monthly_snapshot',
    p_is_internal => TRUE
);

ROLLBACK;
