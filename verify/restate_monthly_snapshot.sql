-- Verify customer_monthly_snapshot:restate_monthly_snapshot on pg

BEGIN;

CALL customer.verify_function(
    'customer.restate_monthly_snapshot(date, text)',
    'c50095bb069886d8a142151dd6ad614244c17e2ad72db226b17153bbeb79280d',
    'restate_monthly_snapshot',
    p_is_internal => FALSE
);

ROLLBACK;
