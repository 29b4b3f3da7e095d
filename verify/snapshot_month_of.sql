-- Verify customer_monthly_snapshot:snapshot_month_of on pg

SET client_encoding = 'UTF8';

BEGIN;

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
                = '87d246d7932bb67d859dcc0b8bbd65614e9eeac61616f87d8c30c643738919b7'),
            ('language', prolang = (SELECT oid FROM pg_language WHERE lanname = 'plpgsql')),
            ('result', pg_get_function_result(pg_proc.oid) = 'date'),
            ('volatility', provolatile = 'i'),
            ('parallel safety', proparallel = 's'),
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
    WHERE pg_proc.oid = 'customer.snapshot_month_of(date)'::regprocedure
        AND holds IS NOT TRUE;

    IF v_wrong IS NOT NULL THEN
        RAISE EXCEPTION 'function customer.snapshot_month_of(date) is not as deployed: %', v_wrong;
    END IF;
END
$$;

ROLLBACK;
