-- Deploy customer_monthly_snapshot:contracts_as_of to pg
-- requires: missing_snapshot_sources
-- The contract versions behind a restated month, as rows for the one statement that writes a month.

BEGIN;

-- What others made in public is not for the package to use.
SET LOCAL search_path = pg_catalog, pg_temp;

-- PL/pgSQL, because its body is parsed when it first runs: refreshing must not
-- need the columns valid_from and contract_id.
CREATE FUNCTION customer.contracts_as_of(p_day date)
RETURNS TABLE (
    company_id text,
    plan_code text,
    product_line_code text,
    product_line_name text,
    is_strategic boolean,
    is_existing boolean
)
LANGUAGE plpgsql
STABLE
ROWS 20000
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    RETURN QUERY
    SELECT DISTINCT ON (contract.company_id, contract.product_line_code, contract.plan_code)
        contract.company_id::text,
        contract.plan_code::text,
        contract.product_line_code::text,
        contract.product_line_name::text,
        contract.is_strategic,
        contract.is_existing
    FROM customer.customer_plan_contract AS contract
    WHERE contract.valid_from < p_day + 1
        AND contract.valid_to >= p_day
    ORDER BY
        contract.company_id,
        contract.product_line_code,
        contract.plan_code,
        contract.valid_from DESC,
        contract.contract_id DESC;
END
$$;

REVOKE ALL ON FUNCTION customer.contracts_as_of(date) FROM PUBLIC;

COMMENT ON FUNCTION customer.contracts_as_of(date) IS
'Internal: for each customer, product line and plan the contract version that was true on p_day: valid_from <= p_day <= valid_to (a NULL valid_to covers no day); where several versions cover it, the one with the latest valid_from, then the highest contract_id.
SQLSTATE 42703: the contracts have no valid_from or no contract_id; customer.restate_monthly_snapshot checks that first.';

COMMIT;
