-- Verify customer_monthly_snapshot:dim_customer on pg

BEGIN;

CALL customer.verify_view(
    'customer.dim_customer',
    '5e68598a0ca478fffadb6f9101762341289616e25f06827152eef99ab80f9d6a'
);

CALL customer.verify_function(
    'customer.customer_names()',
    '8451d2662e16a55c2653aa9164c20c2ba421d014c737989bd580f9f7cb779085',
    'dim_customer',
    p_is_internal => FALSE
);

ROLLBACK;
