-- Verify customer_monthly_snapshot:write_monthly_snapshot on pg

BEGIN;

CALL customer.verify_function(
    'customer.write_monthly_snapshot(date, text, text)',
    'a30d3c56b56842589e4b919bb477f678be7d2dfb84525492026a39e6a69d8d6e',
    'write_monthly_snapshot',
    p_is_internal => TRUE
);

ROLLBACK;
