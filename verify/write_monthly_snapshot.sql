-- Verify customer_monthly_snapshot:write_monthly_snapshot on pg

BEGIN;

CALL customer.verify_function(
    'customer.write_monthly_snapshot(date, text, text)',
    'cee76811a6ae6e5a061f5a61a4bfb72ba8262008cd1078caea5b1a87939b14da',
    'write_monthly_snapshot',
    p_is_internal => TRUE
);

ROLLBACK;
