-- Verify customer_monthly_snapshot:monthly_status_total on pg

BEGIN;

CALL customer.verify_view(
    'customer.monthly_status_total',
    'a36a40ed392ceb52b44817cae0d610ccf840deed68db6056169c5a32eca0923b'
);

ROLLBACK;
