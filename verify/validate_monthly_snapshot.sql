-- Verify customer_monthly_snapshot:validate_monthly_snapshot on pg

BEGIN;

CALL customer.verify_function(
    'customer.validate_monthly_snapshot(date)',
    'd8c52533c8ad3f2e2b6fb3f69312e62de3d624a8001a7b73902da97f314d6252',
    'validate_monthly_snapshot',
    p_is_internal => FALSE
);

ROLLBACK;
