-- Verify customer_monthly_snapshot:monthly_status_trend on pg

BEGIN;

CALL customer.verify_view(
    'customer.monthly_status_trend',
    'd01feb91a926a05c1e271473302353f65dc2ba9c92a7c4db4fa0d61f13e22c62'
);

ROLLBACK;
