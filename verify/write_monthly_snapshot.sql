-- Verify customer_monthly_snapshot:write_monthly_snapshot on pg

BEGIN;

CALL customer.verify_function(
    'customer.write_monthly_snapshot(date, text, text)',
    '532e59caa9080d872f5fffcbf3bc80bcf99aff943b56333384ea78ba3d82c07b',
    'write_monthly_snapshot',
    p_is_internal => TRUE
);

ROLLBACK;
