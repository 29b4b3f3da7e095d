-- Lets the platform rename a product line while months are closed: makes a function that writes the
-- new name to the open months only, for the platform's trigger on mapping."产品线" to call.
--
--   psql -v platform=wdh_etl -f sql/rename_product_line.sql
--
-- platform  the role that renames product lines
--
-- Run this as the owner of the package. In the platform's own trigger function,
-- customer.sync_product_line_name(), drop the UPDATE of the snapshot, and begin with
--   PERFORM customer.rename_product_line(NEW."产品线代码", NEW."产品线");

\set ON_ERROR_STOP on

SET client_encoding = 'UTF8';

BEGIN;

-- What others made in public is not for the owner of the package to run.
SET LOCAL search_path = pg_catalog, pg_temp;

CREATE OR REPLACE FUNCTION customer.rename_product_line(p_product_line_code text, p_product_line_name text)
RETURNS void
LANGUAGE plpgsql
SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    -- First, as loads do: it waits for them, and no month is closed or written until the commit.
    LOCK TABLE customer.monthly_snapshot_control IN SHARE ROW EXCLUSIVE MODE;

    UPDATE customer.fct_customer_business_monthly_status AS stored
    SET product_line_name = p_product_line_name
    FROM customer.monthly_snapshot_control AS control
    WHERE control.snapshot_month = stored.snapshot_month
        AND control.closed_at IS NULL
        AND stored.product_line_code = p_product_line_code
        AND stored.product_line_name <> p_product_line_name;
END
$$;

CALL customer.revoke_default_grants('customer.rename_product_line(text, text)'::regprocedure);
GRANT EXECUTE ON FUNCTION customer.rename_product_line(text, text) TO :platform;

COMMENT ON FUNCTION customer.rename_product_line(text, text) IS
'Writes the new name of a product line to all open months, logged as by_hand; closed months keep the name that was published. For the platform''s trigger on product lines.
p_product_line_code, p_product_line_name: the line, and its new name. Waits for loads under way. A name that is NULL changes nothing. SQLSTATE 22001: it is longer than 50 characters.';

COMMIT;
