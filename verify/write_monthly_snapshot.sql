-- Verify customer_monthly_snapshot:write_monthly_snapshot on pg

BEGIN;

CALL customer.verify_function(
    'customer.write_monthly_snapshot(date, text, text)',
    'ff775c138b034e815734150cc39f89ade9ad532ee0f56ee813f613f337b89518',
    'write_monthly_snapshot',
    p_is_internal => TRUE
);

ROLLBACK;
