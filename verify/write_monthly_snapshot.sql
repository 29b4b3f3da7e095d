-- Verify customer_monthly_snapshot:write_monthly_snapshot on pg

BEGIN;

CALL customer.verify_function(
    'customer.write_monthly_snapshot(date, text, text)',
    '481cd3379013aa0e56d9f12401d27ed0d7a609c2c055922774e580138373d118',
    'write_monthly_snapshot',
    p_is_internal => TRUE
);

ROLLBACK;
