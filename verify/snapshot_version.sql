-- Verify customer_monthly_snapshot:snapshot_version on pg

BEGIN;

CALL customer.verify_function(
    'customer.snapshot_version()',
    '1e039a10e5e20ed151e7607f2f3e19ea63c46b21dc3a8e4cf396f00869134b3e',
    'snapshot_version',
    p_is_internal => FALSE
);

ROLLBACK;
