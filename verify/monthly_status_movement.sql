-- Verify customer_monthly_snapshot:monthly_status_movement on pg

BEGIN;

CALL customer.verify_view(
    'customer.monthly_status_movement',
    '9240b9f075a444f03b60abe913999a0fcf1f863466ef5aa976dd731689c81ba6'
);

ROLLBACK;
