-- Deploy customer_monthly_snapshot:write_monthly_snapshot to pg
-- requires: sources
-- requires: fct_customer_business_monthly_status
-- requires: monthly_snapshot_log
-- requires: snapshot_month_of
-- requires: lock_open_snapshot_month
-- The heart: the one place that says what a row of the snapshot is, and writes a month.

SET client_encoding = 'UTF8';

BEGIN;

-- What others made in public is not for the package to use.
SET LOCAL search_path = pg_catalog, pg_temp;

CREATE OR REPLACE FUNCTION customer.write_monthly_snapshot(
    p_snapshot_month date,
    p_operation text,
    p_reason text
)
RETURNS jsonb
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
-- An error rather than a month that lacks what a policy hides.
SET row_security = off
-- On tables never analysed the planner expects a handful of rows, for which a
-- nested loop looks cheap.
SET enable_nestloop = off
-- Compiling the statement takes longer than running it.
SET jit = off
-- Not plan_cache_mode: custom plans gain nothing here, and the foreign-key checks, which run
-- under these settings, would be planned anew for each row. Not work_mem: more of it saves
-- temporary files, and no time.
AS $$
DECLARE
    v_started_at timestamptz := clock_timestamp();
    v_is_restating boolean := p_operation = 'restate';
    v_month date := customer.snapshot_month_of(p_snapshot_month);
    v_month_label text := to_char(v_month, 'YYYY-MM-DD');
    v_month_start date := date_trunc('month', v_month::timestamp)::date;
    v_next_month_start date := v_month + 1;
    v_year_start date := date_trunc('year', v_month::timestamp)::date;
    v_next_year_start date := (v_year_start + INTERVAL '1 year')::date;
    v_control customer.monthly_snapshot_control;
    v_count record;
    v_unusable record;
    v_unfit_column text;
    v_newest_month date;
    v_log_id bigint;
BEGIN
    -- Before anything is read, so that all that is read is at least as new as
    -- what the last holder of the lock committed.
    v_control := customer.lock_open_snapshot_month(v_month);

    PERFORM customer.check_snapshot_sources();

    -- Keys and names are compared and sorted as bytes, whatever collations the sources'
    -- columns have: that is exact, and two collations never meet.
    WITH detail AS (
        -- Rows without customer or product line stay: they are unattributed AUM.
        SELECT
            company_id COLLATE "C" AS company_id,
            product_line_code COLLATE "C" AS product_line_code,
            sum(amount) AS aum
        FROM customer.source_aum()
        WHERE as_of >= v_month_start
            AND as_of < v_next_month_start
        GROUP BY 1, 2
    ),
    -- One of the two branches is empty, and the planner knows which.
    contract AS (
        SELECT
            company_id COLLATE "C" AS company_id,
            plan_code COLLATE "C" AS plan_code,
            product_line_code COLLATE "C" AS product_line_code,
            product_line_name COLLATE "C" AS product_line_name,
            is_strategic,
            is_existing
        FROM customer.source_contracts()
        WHERE NOT v_is_restating
            AND is_current
        UNION ALL
        SELECT *
        FROM (
            -- Where two versions of a contract cover the day, the newer one counts.
            SELECT DISTINCT ON (company_id COLLATE "C", product_line_code COLLATE "C", plan_code COLLATE "C")
                company_id COLLATE "C" AS company_id,
                plan_code COLLATE "C" AS plan_code,
                product_line_code COLLATE "C" AS product_line_code,
                product_line_name COLLATE "C" AS product_line_name,
                is_strategic,
                is_existing
            FROM customer.source_contracts()
            WHERE v_is_restating
                AND valid_from <= v_month
                AND valid_to >= v_month
            ORDER BY
                company_id COLLATE "C",
                product_line_code COLLATE "C",
                plan_code COLLATE "C",
                valid_from DESC,
                contract_id DESC
        ) AS newest_version
        -- Said again, so that the planner leaves the branch out where it is empty.
        WHERE v_is_restating
    ),
    standing AS (
        SELECT
            company_id,
            product_line_code,
            max(product_line_name) AS product_line_name,
            coalesce(bool_or(is_strategic), FALSE) AS is_strategic,
            coalesce(bool_or(is_existing), FALSE) AS is_existing,
            -- Grouping by plan first, to do without DISTINCT, is no faster.
            count(DISTINCT plan_code) AS plan_count
        FROM contract
        GROUP BY company_id, product_line_code
    ),
    winning AS (
        SELECT DISTINCT
            company_id COLLATE "C" AS company_id,
            product_line_code COLLATE "C" AS product_line_code
        FROM customer.source_awards()
        WHERE reported_on >= v_year_start
            AND reported_on < v_next_year_start
    ),
    churned AS (
        SELECT DISTINCT
            company_id COLLATE "C" AS company_id,
            product_line_code COLLATE "C" AS product_line_code
        FROM customer.source_losses()
        WHERE reported_on >= v_year_start
            AND reported_on < v_next_year_start
    ),
    supported AS (
        SELECT
            standing.company_id,
            standing.product_line_code,
            standing.product_line_name,
            standing.is_strategic,
            standing.is_existing,
            winning.company_id IS NOT NULL AND NOT standing.is_existing AS is_new,
            winning.company_id IS NOT NULL AS is_winning_this_year,
            churned.company_id IS NOT NULL AS is_churned_this_year,
            detail.aum AS attributed_aum,
            coalesce(round(detail.aum, 2), 0.00) AS aum_balance,
            standing.plan_count::integer AS plan_count
        FROM standing
        LEFT JOIN winning
            ON winning.company_id = standing.company_id
            AND winning.product_line_code = standing.product_line_code
        LEFT JOIN churned
            ON churned.company_id = standing.company_id
            AND churned.product_line_code = standing.product_line_code
        LEFT JOIN detail
            ON detail.company_id = standing.company_id
            AND detail.product_line_code = standing.product_line_code
    ),
    stored AS (
        SELECT *
        FROM customer.fct_customer_business_monthly_status
        WHERE snapshot_month = v_month
    ),
    compared AS (
        SELECT
            supported.*,
            stored.company_id IS NULL AS is_inserted,
            stored.company_id IS NOT NULL
            AND (
                stored.product_line_name,
                stored.is_strategic,
                stored.is_existing,
                stored.is_new,
                stored.is_winning_this_year,
                stored.is_churned_this_year,
                stored.aum_balance,
                stored.plan_count
            ) IS DISTINCT FROM (
                supported.product_line_name,
                supported.is_strategic,
                supported.is_existing,
                supported.is_new,
                supported.is_winning_this_year,
                supported.is_churned_this_year,
                supported.aum_balance,
                supported.plan_count
            ) AS is_updated
        FROM supported
        LEFT JOIN stored
            ON stored.company_id = supported.company_id
            AND stored.product_line_code = supported.product_line_code
    ),
    -- Nothing is cut to fit: where something does not, nothing is written, and an error says what.
    -- What is stored did fit, so that an unchanged row does.
    unfit AS (
        SELECT *
        FROM compared
        WHERE (is_inserted OR is_updated)
            AND (
                company_id IS NOT NULL
                AND length(product_line_code) <= 20
                AND length(product_line_name) <= 50
                -- Neither are NaN and the infinite ones.
                AND abs(aum_balance) < 1e18
            ) IS NOT TRUE
        ORDER BY company_id, product_line_code
        LIMIT 1
    ),
    written AS (
        INSERT INTO customer.fct_customer_business_monthly_status (
            snapshot_month,
            company_id,
            product_line_code,
            product_line_name,
            is_strategic,
            is_existing,
            is_new,
            is_winning_this_year,
            is_churned_this_year,
            aum_balance,
            plan_count,
            updated_at
        )
        SELECT
            v_month,
            company_id,
            product_line_code,
            product_line_name,
            is_strategic,
            is_existing,
            is_new,
            is_winning_this_year,
            is_churned_this_year,
            aum_balance,
            plan_count,
            CURRENT_TIMESTAMP
        FROM compared
        WHERE (is_inserted OR is_updated)
            AND NOT EXISTS (SELECT 1 FROM unfit)
        -- In the order of the primary key its pages fill one after the other.
        ORDER BY company_id, product_line_code
        ON CONFLICT (snapshot_month, company_id, product_line_code) DO UPDATE SET
            product_line_name = EXCLUDED.product_line_name,
            is_strategic = EXCLUDED.is_strategic,
            is_existing = EXCLUDED.is_existing,
            is_new = EXCLUDED.is_new,
            is_winning_this_year = EXCLUDED.is_winning_this_year,
            is_churned_this_year = EXCLUDED.is_churned_this_year,
            aum_balance = EXCLUDED.aum_balance,
            plan_count = EXCLUDED.plan_count,
            updated_at = EXCLUDED.updated_at
    ),
    deleted AS (
        DELETE FROM customer.fct_customer_business_monthly_status AS unsupported
        WHERE v_is_restating
            AND unsupported.snapshot_month = v_month
            AND NOT EXISTS (
                SELECT 1
                FROM compared
                WHERE compared.company_id = unsupported.company_id
                    AND compared.product_line_code = unsupported.product_line_code
            )
        RETURNING unsupported.company_id
    )
    SELECT
        count(*) AS total,
        count(*) FILTER (WHERE is_inserted) AS inserted,
        count(*) FILTER (WHERE is_updated) AS updated,
        count(*) FILTER (WHERE NOT is_inserted AND NOT is_updated) AS unchanged,
        (SELECT count(*) FROM stored)
        - count(*) FILTER (WHERE NOT is_inserted)
        - (SELECT count(*) FROM deleted) AS stale,
        (SELECT count(*) FROM deleted) AS deleted,
        coalesce(sum(aum_balance), 0.00) AS aum_total,
        round(
            coalesce((SELECT sum(aum) FROM detail), 0) - coalesce(sum(attributed_aum), 0),
            2
        ) AS aum_unattributed,
        EXISTS (SELECT 1 FROM detail) AS has_detail,
        EXISTS (SELECT 1 FROM stored WHERE aum_balance <> 0) AS had_aum,
        (SELECT to_jsonb(unfit) FROM unfit) AS unfit
    INTO STRICT v_count
    FROM compared;

    -- A single amount that is no number makes the sum none.
    IF v_count.aum_unattributed IN ('NaN', 'Infinity', '-Infinity') THEN
        SELECT
            count(*) AS row_count,
            min(concat_ws(', product line ', coalesce(company_id, 'NULL'), product_line_code) COLLATE "C") AS example
        INTO STRICT v_unusable
        FROM customer.source_aum()
        WHERE as_of >= v_month_start
            AND as_of < v_next_month_start
            AND amount IN ('NaN', 'Infinity', '-Infinity');

        RAISE EXCEPTION '% rows of the AUM detail of % hold NaN or an infinite amount, such as that of customer %',
            v_unusable.row_count, v_month_label, customer.for_client(v_unusable.example)
            USING
                ERRCODE = 'numeric_value_out_of_range',
                HINT = 'Correct these rows at the source: no sum over them is a number.';
    END IF;

    IF v_count.unfit IS NOT NULL THEN
        v_unfit_column := CASE
            WHEN v_count.unfit ->> 'company_id' IS NULL THEN 'company_id'
            WHEN (length(v_count.unfit ->> 'product_line_code') <= 20) IS NOT TRUE THEN 'product_line_code'
            WHEN (length(v_count.unfit ->> 'product_line_name') <= 50) IS NOT TRUE THEN 'product_line_name'
            ELSE 'aum_balance'
        END;

        RAISE EXCEPTION '% % of customer %, product line % does not fit into the snapshot',
            v_unfit_column,
            customer.for_client(coalesce('"' || (v_count.unfit ->> v_unfit_column) || '"', 'NULL')),
            customer.for_client(coalesce(v_count.unfit ->> 'company_id', 'NULL')),
            customer.for_client(coalesce(v_count.unfit ->> 'product_line_code', 'NULL'))
            USING
                ERRCODE = CASE
                    WHEN v_count.unfit ->> v_unfit_column IS NULL THEN 'not_null_violation'
                    WHEN v_unfit_column = 'aum_balance' THEN 'numeric_value_out_of_range'
                    ELSE 'string_data_right_truncation'
                END,
                HINT = 'A code has at most 20 characters, a name 50, blanks at their end included, and an amount 18 digits before the point; '
                    'none of them is NULL. Correct it at the source.';
    END IF;

    IF v_is_restating AND v_count.total = 0 THEN
        RAISE EXCEPTION 'no contract version covers %, and restating would empty the month', v_month_label
            USING
                ERRCODE = 'object_not_in_prerequisite_state',
                HINT = 'Load the versions that were true on that day (valid_from <= day <= valid_to) into the contracts, or choose another month.';
    END IF;

    IF NOT v_is_restating AND v_count.had_aum AND NOT v_count.has_detail THEN
        RAISE EXCEPTION 'the AUM detail has no row for %, and refreshing would overwrite its AUM with zeros',
            v_month_label
            USING
                ERRCODE = 'object_not_in_prerequisite_state',
                HINT = format(
                    'Load the month''s AUM and refresh again. If it really is zero: SELECT customer.restate_monthly_snapshot(DATE %L, ''why'');',
                    v_month_label
                );
    END IF;

    IF NOT v_count.has_detail THEN
        RAISE WARNING 'the AUM detail has no row for %: every AUM of the month is 0', v_month_label
            USING HINT = format('Load the month''s AUM and %s again.', p_operation);
    END IF;

    IF v_count.total = 0 THEN
        RAISE WARNING 'no contract is current (valid_to = 9999-12-31): nothing was written for %', v_month_label
            USING HINT = 'Bring the contracts up to date and refresh again.';
    END IF;

    IF v_count.stale > 0 THEN
        RAISE WARNING '% stale rows of % are supported by no current contract and were kept',
            v_count.stale, v_month_label
            USING HINT = format(
                'To make the month exactly what its contracts say: SELECT customer.restate_monthly_snapshot(DATE %L, ''why'');',
                v_month_label
            );
    END IF;

    -- max() reads one entry of an index, whatever the statistics say.
    SELECT max(snapshot_month)
    INTO v_newest_month
    FROM customer.fct_customer_business_monthly_status;

    IF NOT v_is_restating AND (v_newest_month > v_month OR v_control.last_rule = 'as_of') THEN
        RAISE WARNING 'today''s contracts were used for %, which is %',
            v_month_label,
            CASE
                WHEN v_newest_month > v_month
                    THEN 'older than ' || to_char(v_newest_month, 'YYYY-MM-DD') || ', the newest month stored'
                ELSE 'a month last written by restating'
            END
            USING HINT = format(
                'To use the contracts of its last day: SELECT customer.restate_monthly_snapshot(DATE %L, ''why'');',
                v_month_label
            );
    END IF;

    INSERT INTO customer.monthly_snapshot_log (
        snapshot_month,
        operation,
        reason,
        started_at,
        finished_at,
        total,
        upserted,
        inserted,
        updated,
        unchanged,
        stale,
        deleted,
        aum_total,
        aum_unattributed,
        invoked_by,
        application_name
    )
    VALUES (
        v_month,
        p_operation,
        p_reason,
        v_started_at,
        clock_timestamp(),
        v_count.total,
        v_count.inserted + v_count.updated,
        v_count.inserted,
        v_count.updated,
        v_count.unchanged,
        v_count.stale,
        v_count.deleted,
        v_count.aum_total,
        v_count.aum_unattributed,
        session_user,
        coalesce(current_setting('application_name'), '')
    )
    RETURNING log_id INTO STRICT v_log_id;

    -- Always a new row version, also where nothing changed: by it an older
    -- snapshot is told from a newer one when the row is locked.
    UPDATE customer.monthly_snapshot_control
    SET
        last_rule = CASE WHEN v_is_restating THEN 'as_of' ELSE 'current' END,
        last_log_id = v_log_id,
        stale_rows = v_count.stale
    WHERE snapshot_month = v_month;

    RAISE NOTICE 'snapshot of %: % rows, % inserted, % updated, % unchanged, % stale, % deleted; AUM % yuan, % unattributed',
        v_month_label,
        v_count.total,
        v_count.inserted,
        v_count.updated,
        v_count.unchanged,
        v_count.stale,
        v_count.deleted,
        v_count.aum_total,
        v_count.aum_unattributed;

    RETURN jsonb_build_object(
        'snapshot_month', v_month_label,
        'total', v_count.total,
        'upserted', v_count.inserted + v_count.updated,
        'inserted', v_count.inserted,
        'updated', v_count.updated,
        'unchanged', v_count.unchanged,
        'stale', v_count.stale,
        'deleted', v_count.deleted,
        'aum_total', v_count.aum_total,
        'aum_unattributed', v_count.aum_unattributed,
        'log_id', v_log_id
    );
END
$$;

CALL customer.revoke_default_grants('customer.write_monthly_snapshot(date, text, text)'::regprocedure);

COMMENT ON FUNCTION customer.write_monthly_snapshot(date, text, text) IS
'Internal: locks the month, works out its rows from the sources, writes those that are new or changed, logs it and returns the counts; what customer.refresh_monthly_snapshot and customer.restate_monthly_snapshot document. Runs with the rights of its caller, and is granted to nobody.
p_operation: refresh (contracts that are current; deletes nothing) or restate (contract versions that cover the last day of the month; deletes what they do not support). p_reason: what the log shall say as the reason.';

COMMIT;
