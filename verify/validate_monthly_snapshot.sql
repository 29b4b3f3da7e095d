-- Verify customer_monthly_snapshot:validate_monthly_snapshot on pg

BEGIN;

CALL customer.verify_function(
    'customer.validate_monthly_snapshot(date)',
    '146cea099bf1e606dbe7be4271d69c0fa43baf3caa4bef3391af6644479d8868',
    'validate_monthly_snapshot',
    p_is_internal => FALSE
);

ROLLBACK;
