-- Verify customer_monthly_snapshot:close_snapshot_month on pg

BEGIN;

CALL customer.verify_function(
    'customer.close_snapshot_month(date, text)',
    '5aa5c3eedd1167de7ec6f3cce7d0a55b8330a660ec38fa3fbfee6470df1844e4',
    'close_snapshot_month',
    p_is_internal => FALSE
);

ROLLBACK;
