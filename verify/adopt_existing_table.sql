-- Verify customer_monthly_snapshot:adopt_existing_table on pg
-- Where nothing was adopted there is no table before the fact table's change. Once there is one,
-- that change's own verify script compares its shape.

BEGIN;

DO $$
DECLARE
    v_table CONSTANT regclass := to_regclass('customer.fct_customer_business_monthly_status');
BEGIN
    IF EXISTS (
        SELECT
        FROM pg_class
        WHERE oid = v_table
            AND (relkind <> 'r' OR relispartition)
    ) THEN
        RAISE EXCEPTION '% is no table of its own', v_table;
    END IF;

    IF EXISTS (
        SELECT
        FROM pg_class
        JOIN pg_proc
            ON pg_proc.oid = to_regprocedure('customer.missing_snapshot_sources()')
        WHERE pg_class.oid = v_table
            AND relowner <> proowner
    ) THEN
        RAISE EXCEPTION 'table % has another owner than the rest of the package', v_table;
    END IF;
END
$$;

ROLLBACK;
