-- Deploy customer_monthly_snapshot:dim_product_line to pg
-- requires: sources
-- The star's dimension of product lines, read by whoever has no right on the source.

SET client_encoding = 'UTF8';

BEGIN;

-- What others made in public is not for the package to use.
SET LOCAL search_path = pg_catalog, pg_temp;

-- The view reads it with the rights of its owner. A view over the platform's table would keep the
-- platform from altering it.
CREATE OR REPLACE FUNCTION customer.product_line_names()
RETURNS TABLE (
    product_line_code varchar,
    product_line_name varchar,
    product_category varchar,
    business_category varchar
)
LANGUAGE plpgsql
STABLE
SECURITY DEFINER
ROWS 12
SET search_path = pg_catalog, pg_temp
SET row_security = off
AS $$
BEGIN
    PERFORM customer.check_snapshot_sources();

    RETURN QUERY
    SELECT
        product_line.product_line_code,
        product_line.product_line_name,
        product_line.product_category,
        product_line.business_category
    FROM customer.source_product_line_names() AS product_line
    WHERE product_line.product_line_code IS NOT NULL;
EXCEPTION
    WHEN undefined_column OR datatype_mismatch THEN
        RAISE EXCEPTION 'the source tables are not as they were when the package was deployed: %', customer.for_client(sqlerrm)
            USING
                ERRCODE = 'object_not_in_prerequisite_state',
                HINT = format('As the owner of the package, look at them again: "psql -d %s -f deploy/sources.sql".', current_database());
END
$$;

CREATE OR REPLACE VIEW customer.dim_product_line AS
SELECT
    product_line_code,
    product_line_name,
    product_category,
    business_category
FROM customer.product_line_names();

CALL customer.revoke_default_grants('customer.product_line_names()'::regprocedure);
CALL customer.revoke_default_grants('customer.dim_product_line'::regclass);

COMMENT ON FUNCTION customer.product_line_names() IS
'Internal: the product lines of the platform with their names of today, for the view customer.dim_product_line, whose readers need EXECUTE on this and no right on the source.
SQLSTATE 55000: a source table is not as it was when the package was deployed; the hint says what mends it.';
COMMENT ON VIEW customer.dim_product_line IS
'产品线维度: dimension of product lines, one row for each product line of the platform, with its name of today. Relate it to product_line_code of the fact table and of the views.';
COMMENT ON COLUMN customer.dim_product_line.product_line_code IS
'产品线代码: the product line, such as PL202.';
COMMENT ON COLUMN customer.dim_product_line.product_line_name IS
'产品线名称: its name in the platform today; the fact table keeps the name that the contracts had. NULL if the platform has none.';
COMMENT ON COLUMN customer.dim_product_line.product_category IS
'产品类别: category of the product. NULL if the platform has none, or the package may not read it.';
COMMENT ON COLUMN customer.dim_product_line.business_category IS
'业务大类: category of the business. NULL if the platform has none, or the package may not read it.';

COMMIT;
