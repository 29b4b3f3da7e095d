-- Verify customer_monthly_snapshot:write_monthly_snapshot on pg

BEGIN;

CALL customer.verify_function(
    'customer.write_monthly_snapshot(date, text, text)',
    'bf0899c9fe0b69ba6673cc7fb9764a14d39b0edf5329270203fbe25a7fc3f11f',
    'write_monthly_snapshot',
    p_is_internal => TRUE
);

ROLLBACK;
