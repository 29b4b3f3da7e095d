-- Verify customer_monthly_snapshot:snapshot_rows_after on pg

BEGIN;

CALL customer.verify_function(
    'customer.snapshot_rows_after(date, bigint)',
    'bd013171088d713796a6d4417e3cf69374845674cc933e312bd810f7ba93db29',
    'snapshot_rows_after',
    p_is_internal => TRUE
);

CALL customer.verify_function(
    'customer.snapshot_control_totals(date, bigint)',
    '9763af84e792215c6c1358761045ebf6c8c4a23a2120383b45aae7b5ae61dfc3',
    'snapshot_rows_after',
    p_is_internal => TRUE
);

ROLLBACK;
