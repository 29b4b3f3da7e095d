-- Verify customer_monthly_snapshot:guard_closed_months on pg

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
                = '98a567da47650594673afd37dea77d069347db41d3d6eabd9ddd051aa6a4c475'),
            ('language', prolang = (SELECT oid FROM pg_language WHERE lanname = 'plpgsql')),
            ('result', pg_get_function_result(pg_proc.oid) = 'trigger'),
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
    WHERE pg_proc.oid = 'customer.guard_closed_months()'::regprocedure
        AND holds IS NOT TRUE;

    IF v_wrong IS NOT NULL THEN
        RAISE EXCEPTION 'function customer.guard_closed_months() is not as deployed: %', v_wrong;
    END IF;
END
$$;

DO $$
DECLARE
    v_missing text;
BEGIN
    SELECT string_agg(expected.tgname, ', ')
    INTO v_missing
    FROM (
        VALUES
            -- Statement triggers: 4 INSERT, 8 DELETE, 16 UPDATE, 32 TRUNCATE, 2 BEFORE.
            ('trg_snapshot_guard_insert', 4, NULL, 'new_row'),
            ('trg_snapshot_guard_update', 16, 'old_row', 'new_row'),
            ('trg_snapshot_guard_delete', 8, 'old_row', NULL),
            ('trg_snapshot_guard_truncate', 34, NULL, NULL)
    ) AS expected (tgname, tgtype, tgoldtable, tgnewtable)
    WHERE NOT EXISTS (
        SELECT
        FROM pg_trigger
        WHERE tgrelid = 'customer.fct_customer_business_monthly_status'::regclass
            AND pg_trigger.tgname = expected.tgname
            AND tgfoid = 'customer.guard_closed_months()'::regprocedure
            AND pg_trigger.tgtype = expected.tgtype
            AND pg_trigger.tgoldtable IS NOT DISTINCT FROM expected.tgoldtable::name
            AND pg_trigger.tgnewtable IS NOT DISTINCT FROM expected.tgnewtable::name
            AND tgqual IS NULL
            AND tgenabled = 'O'
            AND obj_description(pg_trigger.oid, 'pg_trigger') <> ''
    );

    IF v_missing IS NOT NULL THEN
        RAISE EXCEPTION 'closed months are not guarded as deployed: trigger % is missing or changed', v_missing;
    END IF;
END
$$;

ROLLBACK;
