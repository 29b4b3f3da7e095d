-- Verify customer_monthly_snapshot:validate_monthly_snapshot on pg

BEGIN;

CALL customer.verify_function(
    'customer.validate_monthly_snapshot(date)',
    '0a42a279eb603d14b3b1a2fa440d2c22fd529a49f1491f927c4d609aed2efa51',
    'validate_monthly_snapshot',
    p_is_internal => FALSE
);

ROLLBACK;
