-- Verify customer_monthly_snapshot:reopen_snapshot_month on pg

BEGIN;

CALL customer.verify_function(
    'customer.reopen_snapshot_month(date, text)',
    '6e9eb53041861e6f7ed058ed94d00e48f3fbc9c24f7729134ac46614ae5939a7',
    'reopen_snapshot_month',
    p_is_internal => FALSE
);

ROLLBACK;
