-- Deploy customer_monthly_snapshot:pre_etl_check to pg
-- requires: snapshot_month_of
-- requires: lock_snapshot_month
-- requires: lock_open_snapshot_month
-- requires: warn
-- requires: period_to_snapshot_month
-- What the platform's ETL calls first: whether what it is about to load has a month that is open.

BEGIN;

-- What others made in public is not for the package to use.
SET LOCAL search_path = pg_catalog, pg_temp;

CREATE OR REPLACE FUNCTION customer.pre_etl_check(p_domain text, p_period text DEFAULT NULL)
RETURNS jsonb
LANGUAGE plpgsql
SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    c_aum_domain CONSTANT text := 'annuity_performance';
    -- The platform loads them after the AUM, also for months that are published.
    c_event_domains CONSTANT text[] := ARRAY['annual_award', 'annual_loss'];
    v_month date;
    v_control customer.monthly_snapshot_control;
    v_status text := 'open';
    v_warnings jsonb := jsonb_build_array();
    v_reason text;
BEGIN
    IF p_domain IS NULL THEN
        RAISE EXCEPTION 'the domain must not be NULL'
            USING
                ERRCODE = 'null_value_not_allowed',
                HINT = 'Pass the domain that is loaded, such as ''annuity_performance''.';
    END IF;

    IF p_domain <> ALL (c_aum_domain || c_event_domains) THEN
        v_status := 'skipped';
        v_reason := format(
            'domain "%s" is unknown to the monthly snapshot; it knows %s, %s and %s',
            p_domain, c_aum_domain, c_event_domains[1], c_event_domains[2]
        );
    ELSE
        v_month := customer.snapshot_month_of(
            CASE
                WHEN p_period IS NULL THEN CURRENT_DATE
                ELSE customer.period_to_snapshot_month(p_period)
            END
        );
        v_control := customer.lock_snapshot_month(v_month);

        IF v_control.closed_at IS NOT NULL AND p_domain = c_aum_domain THEN
            PERFORM customer.lock_open_snapshot_month(v_month);
        ELSIF v_control.closed_at IS NOT NULL THEN
            v_status := 'skipped';
            v_reason := format('month %s is closed and stays as it is', to_char(v_month, 'YYYY-MM-DD'));
            v_warnings := v_warnings || customer.warn(
                'month_closed',
                format('month %s is closed: what domain %s loads for it will not show there', to_char(v_month, 'YYYY-MM-DD'), p_domain),
                format(
                    'If its published numbers must change, who has the right to reopen months runs: SELECT customer.reopen_snapshot_month(DATE %L, ''why''); and refresh it, '
                    'which takes today''s contracts, too.',
                    to_char(v_month, 'YYYY-MM-DD')
                )
            );
        END IF;
    END IF;

    RETURN jsonb_build_object(
        'status', v_status,
        'snapshot_month', to_char(v_month, 'YYYY-MM-DD'),
        'log_id', NULL,
        'warnings', v_warnings,
        'reason', v_reason
    );
END
$$;

CALL customer.revoke_default_grants('customer.pre_etl_check(text, text)'::regprocedure);

COMMENT ON FUNCTION customer.pre_etl_check(text, text) IS
'The first call of the platform''s ETL, with the same arguments as customer.post_etl_hook after the load: refuses a load into a closed month before it begins, so that a load that commits by itself does not change what the published numbers were made of. In the load''s own transaction it also keeps the month from being closed, or written by others, until the load commits. EXECUTE on this function alone is enough.

p_domain: the domain that is about to be loaded. annuity_performance, annual_award and annual_loss are known; others are skipped.
p_period: the period that is about to be loaded, a text YYYYMM; NULL means the month of CURRENT_DATE.

Returns a JSON object: status (open, or skipped: there is nothing to check, or awards or losses are loaded for a closed month, which stays as it is), snapshot_month (its last day, YYYY-MM-DD; NULL for an unknown domain), log_id (NULL), warnings (month_closed or none, as objects of code, message and hint), reason (why it was skipped, otherwise NULL).

Errors: SQLSTATE 55000 the month is closed and the domain is annuity_performance; 22004 the domain is NULL; 22023 the period is not YYYYMM; 40001 the caller''s snapshot is older than the last write to the month, run the transaction again.';

-- A period that is no text, which would otherwise find no function: an error that helps.
CREATE OR REPLACE FUNCTION customer.pre_etl_check(p_domain text, p_period anyelement)
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
                'Pass it as text: customer.pre_etl_check(%L, ''202601''). For a date, to_char(the_date, ''YYYYMM'') makes one.', p_domain
            );
END
$$;

CALL customer.revoke_default_grants('customer.pre_etl_check(text, anyelement)'::regprocedure);

COMMENT ON FUNCTION customer.pre_etl_check(text, anyelement) IS
'Refuses a period that is a number, a date or a timestamp, and says how to pass it to the function of the same name that takes a text.
p_domain: the domain, for the hint. p_period: the period of another type.
SQLSTATE 22023: always.';

COMMIT;
