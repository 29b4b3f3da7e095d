-- Verify customer_monthly_snapshot:close_snapshot_month on pg

BEGIN;

CALL customer.verify_function(
    'customer.close_snapshot_month(date, text)',
    'b9cc176d85c199415a57fb91f1313179e0b63a2b90eb83ac98342302e68b0ab6',
    'close_snapshot_month',
    p_is_internal => FALSE
);

ROLLBACK;
