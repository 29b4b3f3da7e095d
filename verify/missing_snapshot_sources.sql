-- Verify customer_monthly_snapshot:missing_snapshot_sources on pg

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
                = '9f80f7570203e0fb07cbf07eacc0c155be6fd89d237faf7838a23d0b83287fb3'),
            ('language', prolang = (SELECT oid FROM pg_language WHERE lanname = 'sql')),
            ('result', pg_get_function_result(pg_proc.oid) = 'TABLE(source_object text, problem text)'),
            ('not strict', NOT proisstrict),
            ('volatility', provolatile = 's'),
            ('parallel safety', proparallel = 'u'),
            ('security invoker', NOT prosecdef),
            ('settings', proconfig = ARRAY['search_path=pg_catalog, pg_temp']),
            ('comment', obj_description(pg_proc.oid, 'pg_proc') <> ''),
            ('EXECUTE by its owner', has_function_privilege(proowner, pg_proc.oid, 'EXECUTE')),
            ('no EXECUTE by PUBLIC', NOT EXISTS (
                SELECT
                FROM aclexplode(coalesce(proacl, acldefault('f', proowner)))
                WHERE grantee = 0
            ))
    ) AS expected (fact, holds)
    WHERE pg_proc.oid = 'customer.missing_snapshot_sources()'::regprocedure
        AND holds IS NOT TRUE;

    IF v_wrong IS NOT NULL THEN
        RAISE EXCEPTION 'function customer.missing_snapshot_sources() is not as deployed: %', v_wrong;
    END IF;
END
$$;

DO $$
DECLARE
    v_missing text;
BEGIN
    SELECT string_agg(source_object || ' ' || problem, E'\n    ')
    INTO v_missing
    FROM customer.missing_snapshot_sources();

    IF v_missing IS NOT NULL THEN
        RAISE EXCEPTION E'the source system lacks what the monthly snapshot reads:\n    %', v_missing;
    END IF;
END
$$;

ROLLBACK;
