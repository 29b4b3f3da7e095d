-- Verify customer_monthly_snapshot:contracts_as_of on pg

SET client_encoding = 'UTF8';

BEGIN;

-- Types are printed with the names of what the search_path does not find.
SET LOCAL search_path = pg_catalog;
SET LOCAL quote_all_identifiers = off;

DO $$
DECLARE
    v_wrong text;
BEGIN
    SELECT string_agg(fact, ', ')
    INTO v_wrong
    FROM pg_proc
    CROSS JOIN LATERAL (
        VALUES
            -- By its hash, so that a body replaced by hand is found.
            ('body', encode(sha256(convert_to(prosrc, 'UTF8')), 'hex')
                = 'd96a2f06b921592168e2a91c47fe00de623d17838fd101ee51a71e4c859f7e1f'),
            ('language', prolang = (SELECT oid FROM pg_language WHERE lanname = 'plpgsql')),
            ('arguments', pg_get_function_arguments(pg_proc.oid) = 'p_day date'),
            ('result', pg_get_function_result(pg_proc.oid)
                = 'TABLE(company_id text, plan_code text, product_line_code text, '
                'product_line_name text, is_strategic boolean, is_existing boolean)'),
            ('not strict', NOT proisstrict),
            ('volatility', provolatile = 's'),
            ('parallel safety', proparallel = 'u'),
            ('security invoker', NOT prosecdef),
            ('settings', proconfig = ARRAY['search_path=pg_catalog, pg_temp']),
            ('comment', obj_description(pg_proc.oid, 'pg_proc') <> ''),
            ('owner', proowner = (SELECT relowner FROM pg_class WHERE oid = 'customer.fct_customer_business_monthly_status'::regclass)),
            ('EXECUTE by its owner', has_function_privilege(proowner, pg_proc.oid, 'EXECUTE')),
            ('no EXECUTE by PUBLIC', NOT EXISTS (
                SELECT
                FROM aclexplode(coalesce(proacl, acldefault('f', proowner)))
                WHERE grantee = 0
            ))
    ) AS expected (fact, holds)
    WHERE pg_proc.oid = 'customer.contracts_as_of(date)'::regprocedure
        AND holds IS NOT TRUE;

    IF v_wrong IS NOT NULL THEN
        RAISE EXCEPTION 'function customer.contracts_as_of(date) is not as deployed: %', v_wrong;
    END IF;
END
$$;

ROLLBACK;
