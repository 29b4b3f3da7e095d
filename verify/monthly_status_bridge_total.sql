-- Verify customer_monthly_snapshot:monthly_status_bridge_total on pg

BEGIN;

CALL customer.verify_view(
    'customer.monthly_status_bridge_total',
    'cc08e4b454c58413b8e70ff30f665c4dde4d49ae8bd7ea41a50739364d8294ef'
);

ROLLBACK;
