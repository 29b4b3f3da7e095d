-- Verify customer_monthly_snapshot:published_changes on pg

BEGIN;

CALL customer.verify_function(
    'customer.published_changes(date)',
    '76696573db46ea4541e7879c164f962c3a52d23a70229030de1dbf933a430311',
    'published_changes',
    p_is_internal => FALSE
);

ROLLBACK;
