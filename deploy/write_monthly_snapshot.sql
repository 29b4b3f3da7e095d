-- Deploy customer_monthly_snapshot:write_monthly_snapshot to pg
-- requires: fct_customer_business_monthly_status
-- requires: monthly_snapshot_log
-- requires: snapshot_month_of
-- requires: lock_open_snapshot_month
-- requires: contracts_as_of
-- The heart: the one place that says what a row of the snapshot is, and writes a month.

SET client_encoding = 'UTF8';

BEGIN;

-- What others made in public is not for the package to use.
SET LOCAL search_path = pg_catalog, pg_temp;

CREATE FUNCTION customer.write_monthly_snapshot(
    p_snapshot_month date,
    p_operation text,
    p_reason text
)
RETURNS jsonb
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
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
    v_newest_month date;
    v_log_id bigint;
BEGIN
    -- Before anything is read, so that all that is read is at least as new as
    -- what the last holder of the lock committed.
    v_control := customer.lock_open_snapshot_month(v_month);

    -- Keys and names are compared and sorted as bytes, whatever collations the sources'
    -- columns have: that is exact, and two collations never meet.
    WITH detail AS (
        -- Rows without customer or product line stay: they are unattributed AUM.
        SELECT
            company_id::text COLLATE "C" AS company_id,
            "产品线代码"::text COLLATE "C" AS product_line_code,
            sum("期末资产规模"::numeric) AS aum
        FROM business."规模明细"
        WHERE "月度" >= v_month_start
            AND "月度" < v_next_month_start
        GROUP BY 1, 2
    ),
    -- One of the two branches is empty, and the planner knows which.
    contract AS (
        SELECT
            company_id::text COLLATE "C" AS company_id,
            plan_code::text COLLATE "C" AS plan_code,
            product_line_code::text COLLATE "C" AS product_line_code,
            product_line_name::text COLLATE "C" AS product_line_name,
            is_strategic,
            is_existing
        FROM customer.customer_plan_contract
        WHERE NOT v_is_restating
            AND valid_to = DATE '9999-12-31'
        UNION ALL
        SELECT
            company_id,
            plan_code,
            product_line_code,
            product_line_name,
            is_strategic,
            is_existing
        FROM customer.contracts_as_of(v_month)
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
            company_id::text COLLATE "C" AS company_id,
            "产品线代码"::text COLLATE "C" AS product_line_code
        FROM customer."当年中标"
        WHERE "上报月份" >= v_year_start
            AND "上报月份" < v_next_year_start
    ),
    churned AS (
        SELECT DISTINCT
            company_id::text COLLATE "C" AS company_id,
            "产品线代码"::text COLLATE "C" AS product_line_code
        FROM customer."当年流失"
        WHERE "上报月份" >= v_year_start
            AND "上报月份" < v_next_year_start
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
        WHERE is_inserted
            OR is_updated
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
                SELECT
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
        EXISTS (SELECT FROM detail) AS has_detail,
        EXISTS (SELECT FROM stored WHERE aum_balance <> 0) AS had_aum
    INTO STRICT v_count
    FROM compared;

    IF v_is_restating AND v_count.total = 0 THEN
        RAISE EXCEPTION 'no contract version covers %, and restating would empty the month', v_month_label
            USING
                ERRCODE = 'object_not_in_prerequisite_state',
                HINT = 'Load the versions that were true on that day (valid_from <= day <= valid_to) into customer.customer_plan_contract, or choose another month.';
    END IF;

    IF NOT v_is_restating AND v_count.had_aum AND NOT v_count.has_detail THEN
        RAISE EXCEPTION 'business."规模明细" has no row for %, and refreshing would overwrite its AUM with zeros',
            v_month_label
            USING
                ERRCODE = 'object_not_in_prerequisite_state',
                HINT = format(
                    'Load the month''s AUM and refresh again. If it really is zero: SELECT customer.restate_monthly_snapshot(DATE %L, ''why'');',
                    v_month_label
                );
    END IF;

    IF NOT v_count.has_detail THEN
        RAISE WARNING 'business."规模明细" has no row for %: every AUM of the month is 0', v_month_label
            USING HINT = format('Load the month''s AUM and %s again.', p_operation);
    END IF;

    IF v_count.total = 0 THEN
        RAISE WARNING 'no contract is current (valid_to = 9999-12-31): nothing was written for %', v_month_label
            USING HINT = 'Bring customer.customer_plan_contract up to date and refresh again.';
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

REVOKE ALL ON FUNCTION customer.write_monthly_snapshot(date, text, text) FROM PUBLIC;

COMMENT ON FUNCTION customer.write_monthly_snapshot(date, text, text) IS
'Internal: locks the month, works out its rows from the sources, writes those that are new or changed, logs it and returns the counts; what customer.refresh_monthly_snapshot and customer.restate_monthly_snapshot document. Runs with the rights of its caller, and is granted to nobody.
p_operation: refresh (contracts that are current; deletes nothing) or restate (contract versions that cover the last day of the month; deletes what they do not support). p_reason: what the log shall say as the reason.';

COMMIT;
