-- Verify customer_monthly_snapshot:monthly_status_trend on pg

BEGIN;

-- Definitions are printed with the names of what the search_path does not find.
SET LOCAL search_path = pg_catalog;
SET LOCAL quote_all_identifiers = off;

DO $$
DECLARE
    v_view CONSTANT text := 'customer.monthly_status_trend';
    v_expected_hash CONSTANT text := '01269c7355fe3b21087caa262591a6b025766f98b1b6b688023cac6deef2acb5';
    v_wrong text;
BEGIN
    SELECT concat_ws(', ',
        CASE WHEN hash <> v_expected_hash THEN format('hash %s, expected %s', hash, v_expected_hash) END,
        CASE
            WHEN this_view.relowner <> fact_table.relowner
                THEN format('owner %s, expected %s', this_view.relowner::regrole, fact_table.relowner::regrole)
        END,
        -- Readers of the view need no right to the tables below it.
        CASE WHEN this_view.reloptions IS NOT NULL THEN format('options %s', this_view.reloptions) END,
        CASE WHEN coalesce(obj_description(this_view.oid, 'pg_class'), '') = '' THEN 'no comment' END,
        'no comment on ' || uncommented,
        CASE WHEN NOT has_table_privilege(this_view.relowner, this_view.oid, 'SELECT') THEN 'no SELECT by its owner' END,
        (
            SELECT string_agg(DISTINCT privilege_type || ' by PUBLIC', ', ')
            FROM pg_attribute
            CROSS JOIN aclexplode(this_view.relacl || attacl)
            WHERE attrelid = this_view.oid
                AND grantee = 0
        )
    )
    INTO v_wrong
    FROM pg_class AS this_view
    JOIN pg_class AS fact_table
        ON fact_table.oid = 'customer.fct_customer_business_monthly_status'::regclass
    CROSS JOIN LATERAL (
        SELECT
            string_agg(format('%s %s', attname, format_type(atttypid, atttypmod)), ', ' ORDER BY attnum) AS columns,
            string_agg(attname, ', ' ORDER BY attnum) FILTER (
                WHERE coalesce(col_description(attrelid, attnum), '') = ''
            ) AS uncommented
        FROM pg_attribute
        WHERE attrelid = this_view.oid
            AND attnum > 0
    ) AS described
    CROSS JOIN encode(sha256(convert_to(columns || pg_get_viewdef(this_view.oid), 'UTF8')), 'hex') AS hash
    WHERE this_view.oid = to_regclass(v_view);

    IF v_wrong IS DISTINCT FROM '' THEN
        RAISE EXCEPTION 'view % is not as deployed: %', v_view, coalesce(v_wrong, 'it does not exist')
            USING HINT = 'To bring it up to date, run as the owner of the package: "psql -d DATABASE -f deploy/monthly_status_trend.sql", and then sql/grants.sql again.';
    END IF;
END
$$;

ROLLBACK;
