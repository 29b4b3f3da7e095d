-- Verify customer_monthly_snapshot:monthly_status_trend on pg

SET client_encoding = 'UTF8';

BEGIN;

-- The definition is printed with the names of what the search_path does not find.
SET LOCAL search_path = pg_catalog;
SET LOCAL quote_all_identifiers = off;

DO $$
DECLARE
    v_view regclass := 'customer.monthly_status_trend';
    v_expected text[] := ARRAY[
        'snapshot_month date',
        'product_line_code character varying(20)',
        'product_line_name text',
        'customers bigint',
        'strategic_customers bigint',
        'existing_customers bigint',
        'new_customers bigint',
        'winning_customers bigint',
        'churned_customers bigint',
        'winning_rate numeric',
        'churn_rate numeric',
        'plans bigint',
        'aum_balance numeric',
        'aum_change numeric',
        'aum_change_ratio numeric',
        'stale_rows bigint',
        'is_closed boolean'
    ];
    v_wrong text;
BEGIN
    SELECT string_agg(fact, ', ')
    INTO v_wrong
    FROM pg_class
    CROSS JOIN LATERAL (
        VALUES
            -- By its hash, so that a definition replaced by hand is found.
            ('definition', encode(sha256(convert_to(pg_get_viewdef(v_view), 'UTF8')), 'hex')
                = '95f2cbb3cd823b95fb5f0cff6e0e30c7e003db4da21816628a2222712d33def9'),
            ('columns', v_expected = (
                SELECT array_agg(format('%s %s', attname, format_type(atttypid, atttypmod)) ORDER BY attnum)
                FROM pg_attribute
                WHERE attrelid = v_view
                    AND attnum > 0
            )),
            ('comment', obj_description(v_view, 'pg_class') <> ''),
            ('comments on all columns', NOT EXISTS (
                SELECT
                FROM pg_attribute
                WHERE attrelid = v_view
                    AND attnum > 0
                    AND coalesce(col_description(attrelid, attnum), '') = ''
            )),
            -- Readers of the view need no right to the tables below it.
            ('reading with its owner''s rights', reloptions IS NULL),
            ('owner', relowner = (
                SELECT fact_table.relowner
                FROM pg_class AS fact_table
                WHERE fact_table.oid = 'customer.fct_customer_business_monthly_status'::regclass
            )),
            ('SELECT by its owner', has_table_privilege(relowner, v_view, 'SELECT')),
            ('no privilege for PUBLIC', NOT EXISTS (
                SELECT
                FROM aclexplode(relacl)
                WHERE grantee = 0
                UNION ALL
                SELECT
                FROM pg_attribute
                CROSS JOIN aclexplode(attacl)
                WHERE attrelid = v_view
                    AND grantee = 0
            ))
    ) AS expected (fact, holds)
    WHERE pg_class.oid = v_view
        AND holds IS NOT TRUE;

    IF v_wrong IS NOT NULL THEN
        RAISE EXCEPTION 'view customer.monthly_status_trend is not as deployed: %', v_wrong;
    END IF;
END
$$;

ROLLBACK;
