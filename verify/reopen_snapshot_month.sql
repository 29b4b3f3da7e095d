-- Verify customer_monthly_snapshot:reopen_snapshot_month on pg

BEGIN;

CALL customer.verify_function(
    'customer.reopen_snapshot_month(date, text)',
    '098da0eca2fe03a49cbeecaf945cd33b326ca1945958cc3e1a06d7ac8e98bc2c',
    'reopen_snapshot_month',
    p_is_internal => FALSE
);

ROLLBACK;
