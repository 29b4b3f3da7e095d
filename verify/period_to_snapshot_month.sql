-- Verify customer_monthly_snapshot:period_to_snapshot_month on pg

BEGIN;

CALL customer.verify_function(
    'customer.period_to_snapshot_month(text)',
    'a29fdc5f5ee296be1feaa31f9d7189ff8a45729c83b7604bd5a3ba242549c865',
    'period_to_snapshot_month',
    p_is_internal => FALSE
);

ROLLBACK;
