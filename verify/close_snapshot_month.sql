-- Verify customer_monthly_snapshot:close_snapshot_month on pg

BEGIN;

CALL customer.verify_function(
    'customer.close_snapshot_month(date, text)',
    '04801fef25c61dcc673d2bdbc579588e2e5f7cee4b93d65dcd28fcb6bd1bff3d',
    'close_snapshot_month',
    p_is_internal => FALSE
);

ROLLBACK;
