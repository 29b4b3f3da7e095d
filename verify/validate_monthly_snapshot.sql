-- Verify customer_monthly_snapshot:validate_monthly_snapshot on pg

BEGIN;

CALL customer.verify_function(
    'customer.validate_monthly_snapshot(date)',
    'c9f58721a0943d083a80fc2fe815264f16225b9d5dd8793391da36e683f9e8b5',
    'validate_monthly_snapshot',
    p_is_internal => FALSE
);

ROLLBACK;
