-- Verify customer_monthly_snapshot:write_monthly_snapshot on pg

BEGIN;

CALL customer.verify_function(
    'customer.write_monthly_snapshot(date, text, text)',
    '94c2badd6e954ac618e48ba9e60816e9e9d391499fbdcf8153fea53053291989',
    'write_monthly_snapshot',
    p_is_internal => TRUE
);

ROLLBACK;
