-- Verify customer_monthly_snapshot:validate_monthly_snapshot on pg

BEGIN;

CALL customer.verify_function(
    'customer.validate_monthly_snapshot(date)',
    '68d819df67080300e907fde72b9301502f828b9d441f409258b45fab995b0cd9',
    'validate_monthly_snapshot',
    p_is_internal => FALSE
);

ROLLBACK;
