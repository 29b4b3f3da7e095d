-- Verify customer_monthly_snapshot:validate_monthly_snapshot on pg

BEGIN;

CALL customer.verify_function(
    'customer.validate_monthly_snapshot(date)',
    'dc83eeed89db5e1483f1d6c3e617796d10643e3b70474eb360b50cca1df5cc20',
    'validate_monthly_snapshot',
    p_is_internal => FALSE
);

ROLLBACK;
