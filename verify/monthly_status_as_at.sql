-- Verify customer_monthly_snapshot:monthly_status_as_at on pg

BEGIN;

CALL customer.verify_function(
    'customer.monthly_status_as_at(date, bigint)',
    '03cc0812b271d2b484d07f720cc745365c95dad1599c79b0968803769c240c10',
    'monthly_status_as_at',
    p_is_internal => FALSE
);

ROLLBACK;
