-- Verify customer_monthly_snapshot:discard_snapshot_month on pg

BEGIN;

CALL customer.verify_function(
    'customer.discard_snapshot_month(date, text)',
    '6df856ac4984ea04e5fb742537730bb583b4544cc2e89563a38b5372e2131437',
    'discard_snapshot_month',
    p_is_internal => FALSE
);

ROLLBACK;
