-- Deploy customer_monthly_snapshot:dim_customer to pg
-- requires: sources
-- requires: fct_customer_business_monthly_status
-- The star's dimension of customers, read by whoever has no right on the source.

SET client_encoding = 'UTF8';

BEGIN;

-- What others made in public is not for the package to use.
SET LOCAL search_path = pg_catalog, pg_temp;

-- The view reads it with the rights of its owner. A view over the platform's table would keep the
-- platform from altering it.
CREATE OR REPLACE FUNCTION customer.customer_names()
RETURNS TABLE (company_id varchar, customer_name varchar)
LANGUAGE plpgsql
STABLE
SECURITY DEFINER
ROWS 10000
SET search_path = pg_catalog, pg_temp
SET row_security = off
SET jit = off
AS $$
BEGIN
    PERFORM customer.check_snapshot_sources();

    RETURN QUERY
    WITH known AS MATERIALIZED (
        SELECT
            source.company_id,
            source.customer_name
        FROM customer.source_customer_names() AS source
    )
    SELECT
        known.company_id,
        known.customer_name
    FROM known
    -- One row of each is looked up, however many months are stored. Customers that the snapshot
    -- does not hold are not the reader's to see.
    CROSS JOIN LATERAL (
        SELECT 1 AS row_count
        FROM customer.fct_customer_business_monthly_status AS stored
        WHERE stored.company_id = known.company_id
        ORDER BY stored.company_id
        LIMIT 1
    ) AS found;
EXCEPTION
    WHEN undefined_column OR datatype_mismatch THEN
        RAISE EXCEPTION 'the source tables are not as they were when the package was deployed: %', customer.for_client(sqlerrm)
            USING
                ERRCODE = 'object_not_in_prerequisite_state',
                HINT = format('As the owner of the package, look at them again: "psql -d %s -f deploy/sources.sql".', current_database());
END
$$;

CREATE OR REPLACE VIEW customer.dim_customer AS
SELECT
    known.company_id,
    known.customer_name,
    starts_with(known.company_id, 'IN') AND length(known.company_id) = 18 AS is_temporary,
    stored.first_snapshot_month,
    stored.last_snapshot_month
FROM customer.customer_names() AS known
-- Read only where one of its columns is asked for.
LEFT JOIN (
    SELECT
        company_id,
        min(snapshot_month) AS first_snapshot_month,
        max(snapshot_month) AS last_snapshot_month
    FROM customer.fct_customer_business_monthly_status
    GROUP BY company_id
) AS stored
    ON stored.company_id = known.company_id;

CALL customer.revoke_default_grants('customer.customer_names()'::regprocedure);
CALL customer.revoke_default_grants('customer.dim_customer'::regclass);

COMMENT ON FUNCTION customer.customer_names() IS
'Internal: the customers that the snapshot holds in any month, with their names of today, for the view customer.dim_customer, whose readers need EXECUTE on this and no right on the source.
SQLSTATE 55000: a source table is not as it was when the package was deployed; the hint says what mends it.';
COMMENT ON VIEW customer.dim_customer IS
'客户维度: dimension of customers, one row for each customer that the snapshot holds in any month, with its name of today. Relate it to company_id of the fact table and of customer.monthly_status_movement.';
COMMENT ON COLUMN customer.dim_customer.company_id IS
'客户号: id of the customer.';
COMMENT ON COLUMN customer.dim_customer.customer_name IS
'客户名称: its name in the platform today. NULL if the platform has none, or the package may not read it.';
COMMENT ON COLUMN customer.dim_customer.is_temporary IS
'是否临时客户号: whether the id is a temporary one (IN and 16 characters): the customer was not resolved yet, and gets another id later.';
COMMENT ON COLUMN customer.dim_customer.first_snapshot_month IS
'首次出现月份: the first stored month in which it has a row.';
COMMENT ON COLUMN customer.dim_customer.last_snapshot_month IS
'最近出现月份: the last stored month in which it has a row.';

COMMIT;
