-- Verify customer_monthly_snapshot:close_snapshot_month on pg

BEGIN;

CALL customer.verify_function(
    'customer.close_snapshot_month(date, text)',
    'a9836a8734c18a830098d8e2ddcceb4f7a994ce89415ee66445efa0080b07df6',
    'close_snapshot_month',
    p_is_internal => FALSE
);

ROLLBACK;
