-- Deploy customer_monthly_snapshot:snapshot_version to pg
-- requires: sources
-- Each release reworks this as the last of its changes: scripts/bundle goes by it, too.

BEGIN;

-- What others made in public is not for the package to use.
SET LOCAL search_path = pg_catalog, pg_temp;

CREATE OR REPLACE FUNCTION customer.snapshot_version()
RETURNS text
LANGUAGE sql
IMMUTABLE
PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT '1.0.0'
$$;

CALL customer.revoke_default_grants('customer.snapshot_version()'::regprocedure);

COMMENT ON FUNCTION customer.snapshot_version() IS
'The version of the customer monthly snapshot that is installed, as in CHANGELOG.md: 1.0.0, or 1.0.0-dev before it is released.
It says what was deployed last. To check that everything is there, run sqitch verify, or the same install.sql again.';

COMMIT;
