-- Deploy customer_monthly_snapshot:post_etl_hook to pg
-- requires: refresh_monthly_snapshot
-- requires: period_to_snapshot_month
-- What the platform's ETL calls last, whatever domain it has loaded.

BEGIN;

-- What others made in public is not for the package to use.
SET LOCAL search_path = pg_catalog, pg_temp;

CREATE OR REPLACE FUNCTION customer.post_etl_hook(p_domain text, p_period text DEFAULT NULL)
RETURNS jsonb
LANGUAGE plpgsql
SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    -- After SET LOCAL a setting of one's own is empty rather than unset.
    v_setting text := coalesce(nullif(current_setting('customer.post_etl_hooks', TRUE), ''), 'on');
    v_is_enabled boolean;
    v_month date;
BEGIN
    BEGIN
        v_is_enabled := v_setting::boolean;
    EXCEPTION
        WHEN invalid_text_representation THEN
            RAISE EXCEPTION 'the setting customer.post_etl_hooks must be on or off, but is "%"', v_setting
                USING
                    ERRCODE = 'invalid_parameter_value',
                    HINT = 'SET LOCAL customer.post_etl_hooks = off; skips the hook, RESET customer.post_etl_hooks; brings it back.';
    END;

    IF p_domain IS NULL THEN
        RAISE EXCEPTION 'the domain must not be NULL'
            USING
                ERRCODE = 'null_value_not_allowed',
                HINT = 'Pass the domain that was loaded, such as ''annuity_performance''.';
    END IF;

    IF NOT v_is_enabled THEN
        RETURN jsonb_build_object(
            'status', 'skipped',
            'reason', format('customer.post_etl_hooks is %s', v_setting)
        );
    END IF;

    IF p_domain <> 'annuity_performance' THEN
        RETURN jsonb_build_object(
            'status', 'skipped',
            'reason', format('domain %s has no monthly snapshot', p_domain)
        );
    END IF;

    v_month := CASE
        WHEN p_period IS NULL THEN CURRENT_DATE
        ELSE customer.period_to_snapshot_month(p_period)
    END;

    RETURN customer.refresh_monthly_snapshot(v_month) || '{"status": "refreshed"}';
END
$$;

CALL customer.revoke_default_grants('customer.post_etl_hook(text, text)'::regprocedure);

COMMENT ON FUNCTION customer.post_etl_hook(text, text) IS
'The last call of the platform''s ETL: refreshes the snapshot of the month that was loaded, in the ETL''s own transaction. EXECUTE on this function alone is enough to do so. Its errors reach the caller, so that the load fails as a whole.

p_domain: the domain that was loaded. Only annuity_performance has a snapshot; others are skipped.
p_period: the period that was loaded, YYYYMM; NULL means the month of CURRENT_DATE.
Setting customer.post_etl_hooks: off (or anything else that reads as false) skips the refresh; on, unset or empty does not.

Returns a JSON object: either what customer.refresh_monthly_snapshot returns and "status": "refreshed", or "status": "skipped" and the reason.

Errors: SQLSTATE 22004 the domain is NULL; 22023 the period is not YYYYMM, or the setting does not read as boolean; and those of customer.refresh_monthly_snapshot.';

COMMIT;
