-- Verify customer_monthly_snapshot:close_snapshot_month on pg

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
                = '151ca2bf80e88bf04995fbfabf899abd7e6a7aa55dd913208a4877ef63c46cb1'),
            ('language', prolang = (SELECT oid FROM pg_language WHERE lanname = 'plpgsql')),
            ('arguments', pg_get_function_arguments(pg_proc.oid) = 'p_snapshot_month date, p_note text'),
            ('result', pg_get_function_result(pg_proc.oid) = 'jsonb'),
            ('not strict', NOT proisstrict),
            ('volatility', provolatile = 'v'),
            ('parallel safety', proparallel = 'u'),
            ('security definer', prosecdef),
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
    WHERE pg_proc.oid = 'customer.close_snapshot_month(date, text)'::regprocedure
        AND holds IS NOT TRUE;

    IF v_wrong IS NOT NULL THEN
        RAISE EXCEPTION 'function customer.close_snapshot_month(date, text) is not as deployed: %', v_wrong;
    END IF;
END
$$;

ROLLBACK;
