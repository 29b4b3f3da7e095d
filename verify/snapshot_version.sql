-- Verify customer_monthly_snapshot:snapshot_version on pg

BEGIN;

CALL customer.verify_function(
    'customer.snapshot_version()',
    'b0030aef8aeb682a0a5fedd7ce5a2ab358d8a8614c99ae49192d3075096b0351',
    'snapshot_version',
    p_is_internal => FALSE
);

ROLLBACK;
