-- Verify customer_monthly_snapshot:write_monthly_snapshot on pg

BEGIN;

CALL customer.verify_function(
    'customer.write_monthly_snapshot(date, text, text)',
    '7f4ff7619cc0054d7efe14ba38b7b3737b5c85b80dfcf61707b1d6e2f7d5942f',
    'write_monthly_snapshot',
    p_is_internal => TRUE
);

ROLLBACK;
