-- Verify customer_monthly_snapshot:dim_snapshot_month on pg

BEGIN;

CALL customer.verify_view(
    'customer.dim_snapshot_month',
    '7257d5f01de0e292b96fe787f910927d534b73c199f8b9d510bfaaf07f0d5e4d'
);

ROLLBACK;
