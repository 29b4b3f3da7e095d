-- Verify customer_monthly_snapshot:discard_snapshot_month on pg

BEGIN;

CALL customer.verify_function(
    'customer.discard_snapshot_month(date, text)',
    '78ddae3ac93d3871cabc0e70be0dafd9979a8d1f92665547f0a12e2c0f59140b',
    'discard_snapshot_month',
    p_is_internal => FALSE
);

ROLLBACK;
