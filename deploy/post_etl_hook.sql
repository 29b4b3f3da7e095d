-- Deploy customer_monthly_snapshot:post_etl_hook to pg
-- requires: fct_customer_business_monthly_status
-- requires: setting_is_on
-- requires: refresh_monthly_snapshot
-- requires: pre_etl_check
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
    -- The keys of every result.
    c_skipped CONSTANT jsonb := jsonb '{
        "status": "skipped", "snapshot_month": null, "rule": null, "total": null, "upserted": null, "inserted": null,
        "updated": null, "unchanged": null, "stale": null, "deleted": null, "aum_total": null, "aum_unattributed": null,
        "accepted": false, "warnings": [], "log_id": null, "reason": null
    }';
    v_check jsonb;
    v_month date;
BEGIN
    IF p_domain IS NOT NULL AND NOT customer.setting_is_on('customer.post_etl_hooks', TRUE) THEN
        RETURN c_skipped || '{"reason": "customer.post_etl_hooks is off"}';
    END IF;

    -- The same questions as before the load: whose domain, which month, and whether it is closed.
    v_check := customer.pre_etl_check(p_domain, p_period);
    v_month := (v_check ->> 'snapshot_month')::date;

    IF v_check ->> 'status' = 'skipped' THEN
        RETURN c_skipped || v_check;
    END IF;

    -- The platform loads awards and losses after the AUM; without that there is nothing to mark.
    IF p_domain <> 'annuity_performance'
        AND NOT EXISTS (
            SELECT 1
            FROM customer.fct_customer_business_monthly_status
            WHERE snapshot_month >= v_month
                AND snapshot_month <= v_month
        )
    THEN
        RETURN c_skipped || v_check || jsonb_build_object(
            'status', 'skipped',
            'reason', format(
                'month %s holds no rows; loading annuity_performance writes it, with what domain %s has loaded',
                v_check ->> 'snapshot_month', p_domain
            )
        );
    END IF;

    RETURN customer.refresh_monthly_snapshot(v_month);
END
$$;

CALL customer.revoke_default_grants('customer.post_etl_hook(text, text)'::regprocedure);

COMMENT ON FUNCTION customer.post_etl_hook(text, text) IS
'The last call of the platform''s ETL: refreshes the snapshot of the month that was loaded, in the ETL''s own transaction. EXECUTE on this function alone is enough to do so. Its errors reach the caller, so that the load fails as a whole.

p_domain: the domain that was loaded. annuity_performance refreshes the month. annual_award and annual_loss, which the platform loads after it, refresh the month if it holds rows, and leave a closed one as it is, with a warning. Others are skipped.
p_period: the period that was loaded, a text YYYYMM; NULL means the month of CURRENT_DATE, which is refused like any other when its AUM is not there.
Setting customer.post_etl_hooks: off (or anything else that reads as false) skips the refresh; on, unset or empty does not.

Returns a JSON object, always with the keys that customer.refresh_monthly_snapshot documents: either what that returns, or status "skipped" with the reason, counts NULL.

WARNING: as customer.refresh_monthly_snapshot; month_closed, awards or losses were loaded for a closed month.

Errors: SQLSTATE 22004 the domain is NULL; 22023 the period is not YYYYMM, or the setting does not read as boolean; and those of customer.refresh_monthly_snapshot, 55000 for a month that is closed or cannot be right among them.';

-- A period that is no text, which would otherwise find no function: an error that helps.
CREATE OR REPLACE FUNCTION customer.post_etl_hook(p_domain text, p_period anyelement)
RETURNS jsonb
LANGUAGE plpgsql
STABLE
SET search_path = pg_catalog, pg_temp
SET datestyle = 'ISO'
AS $$
BEGIN
    RAISE EXCEPTION 'the period must be a text YYYYMM, but is % of type %', p_period, pg_typeof(p_period)
        USING
            ERRCODE = 'invalid_parameter_value',
            HINT = format(
                'Pass it as text: customer.post_etl_hook(%L, ''202601''). For a date, to_char(the_date, ''YYYYMM'') makes one.', p_domain
            );
END
$$;

CALL customer.revoke_default_grants('customer.post_etl_hook(text, anyelement)'::regprocedure);

COMMENT ON FUNCTION customer.post_etl_hook(text, anyelement) IS
'Refuses a period that is a number, a date or a timestamp, and says how to pass it to the function of the same name that takes a text.
p_domain: the domain, for the hint. p_period: the period of another type.
SQLSTATE 22023: always.';

COMMIT;
