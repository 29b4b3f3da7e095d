-- Revert customer_monthly_snapshot:keep_stored_months from pg
-- Refuses while months are stored, unless told: sqitch revert --set discard_snapshots=true

\if :{?discard_snapshots}
\else
    \set discard_snapshots false
\endif

BEGIN;

-- What others made in public is not for the package to use.
SET LOCAL search_path = pg_catalog, pg_temp;
-- Rows that a policy would hide are an error.
SET LOCAL row_security = off;

-- The block below sees settings, but not psql's variables.
SELECT set_config('customer.discard_snapshots', :'discard_snapshots', TRUE) AS discard_snapshots
\gset

DO $$
DECLARE
    -- Someone may have dropped one by hand.
    v_views CONSTANT oid[] := array_remove(ARRAY[
        to_regclass('customer.monthly_status_trend'),
        to_regclass('customer.monthly_status_total'),
        to_regclass('customer.monthly_status_movement'),
        to_regclass('customer.monthly_status_bridge'),
        to_regclass('customer.monthly_status_bridge_total'),
        to_regclass('customer.dim_customer'),
        to_regclass('customer.dim_product_line'),
        to_regclass('customer.dim_snapshot_month'),
        to_regclass('customer.unmatched_awards_and_losses')
    ]::oid[], NULL);
    v_others CONSTANT oid[] := ARRAY[
        to_regclass('customer.fct_customer_business_monthly_status'),
        to_regclass('customer.monthly_snapshot_control'),
        to_regclass('customer.monthly_snapshot_log'),
        to_regclass('customer.monthly_status_history'),
        to_regclass('customer.monthly_status_summary')
    ]::oid[] || ARRAY[
        to_regprocedure('customer.period_to_snapshot_month(text)'),
        to_regprocedure('customer.validate_monthly_snapshot(date)'),
        to_regprocedure('customer.monthly_status_as_at(date, bigint)'),
        to_regprocedure('customer.published_changes(date)'),
        to_regprocedure('customer.snapshot_version()'),
        to_regprocedure('customer.customer_names()'),
        to_regprocedure('customer.product_line_names()'),
        to_regprocedure('customer.unmatched_events()')
    ]::oid[];
    v_table text;
    v_holds_rows boolean;
    v_dependents text;
BEGIN
    SELECT string_agg(DISTINCT format('%s over %s', ev_class::regclass, pg_describe_object(refclassid, refobjid, 0)), E'\n    ')
    INTO v_dependents
    FROM pg_depend
    JOIN pg_rewrite
        ON pg_rewrite.oid = objid
    WHERE classid = 'pg_rewrite'::regclass
        AND ev_class <> refobjid
        AND ev_class NOT IN (SELECT unnest(v_views))
        AND refobjid IN (SELECT unnest(v_views || v_others));

    IF v_dependents IS NOT NULL THEN
        RAISE EXCEPTION E'views of others would keep the package from being dropped:\n    %', v_dependents
            USING
                ERRCODE = 'dependent_objects_still_exist',
                HINT = 'Drop these views first. Nothing has been reverted but changes after this one, if there were any.';
    END IF;

    IF current_setting('customer.discard_snapshots')::boolean THEN
        RETURN;
    END IF;

    FOREACH v_table IN ARRAY ARRAY[
        'customer.fct_customer_business_monthly_status',
        -- What a check before a load asked about is no state worth keeping.
        'customer.monthly_snapshot_control WHERE last_log_id IS NOT NULL OR closed_at IS NOT NULL',
        'customer.monthly_snapshot_log',
        'customer.monthly_status_history'
    ]
    LOOP
        -- Someone may have dropped it by hand: then there is nothing to keep.
        CONTINUE WHEN to_regclass(split_part(v_table, ' ', 1)) IS NULL;

        EXECUTE format('SELECT EXISTS (SELECT FROM %s)', v_table) INTO v_holds_rows;

        IF v_holds_rows THEN
            RAISE EXCEPTION 'table % holds rows, and reverting would drop them', split_part(v_table, ' ', 1)
                USING
                    ERRCODE = 'object_not_in_prerequisite_state',
                    HINT = 'Only changes after this one have been reverted, if there were any: "sqitch deploy" and sql/grants.sql bring them back. '
                        'To drop the rows, too: "sqitch revert -y --set discard_snapshots=true".';
        END IF;
    END LOOP;
END
$$;

COMMIT;
