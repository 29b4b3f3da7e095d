-- Verify customer_monthly_snapshot:baseline_month_of on pg

BEGIN;

CALL customer.verify_function(
    'customer.baseline_month_of(date)',
    'a9810b96f998d546ed63682f8deeac86fa313687fa67648526fa3bd414229dbf',
    'baseline_month_of',
    p_is_internal => TRUE
);

ROLLBACK;
