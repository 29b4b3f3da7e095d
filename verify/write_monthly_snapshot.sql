-- Verify customer_monthly_snapshot:write_monthly_snapshot on pg

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
                = 'e0b159f3527b262dcdd6b3500c27dd1ddbf49864a6eb2649454b586e8f6ec004'),
            ('language', prolang = (SELECT oid FROM pg_language WHERE lanname = 'plpgsql')),
            ('arguments', pg_get_function_arguments(pg_proc.oid) = 'p_snapshot_month date, p_operation text, p_reason text'),
            ('result', pg_get_function_result(pg_proc.oid) = 'jsonb'),
            ('not strict', NOT proisstrict),
            ('volatility', provolatile = 'v'),
            ('parallel safety', proparallel = 'u'),
            ('security invoker', NOT prosecdef),
            ('settings', proconfig = ARRAY[
                'search_path=pg_catalog, pg_temp',
                'enable_nestloop=off',
                'jit=off'
            ]),
            ('comment', obj_description(pg_proc.oid, 'pg_proc') <> ''),
            ('owner', proowner = (SELECT relowner FROM pg_class WHERE oid = 'customer.fct_customer_business_monthly_status'::regclass)),
            ('EXECUTE by its owner', has_function_privilege(proowner, pg_proc.oid, 'EXECUTE')),
            ('no EXECUTE by PUBLIC', NOT EXISTS (
                SELECT
                FROM aclexplode(coalesce(proacl, acldefault('f', proowner)))
                WHERE grantee = 0
            ))
    ) AS expected (fact, holds)
    WHERE pg_proc.oid = 'customer.write_monthly_snapshot(date, text, text)'::regprocedure
        AND holds IS NOT TRUE;

    IF v_wrong IS NOT NULL THEN
        RAISE EXCEPTION 'function customer.write_monthly_snapshot(date, text, text) is not as deployed: %', v_wrong;
    END IF;
END
$$;

ROLLBACK;
