-- Deploy customer_monthly_snapshot:write_monthly_snapshot to pg
-- requires: sources
-- requires: fct_customer_business_monthly_status
-- requires: monthly_snapshot_log
-- requires: monthly_status_history
-- requires: snapshot_rows_after
-- requires: monthly_status_summary
-- requires: snapshot_month_of
-- requires: lock_open_snapshot_month
-- requires: setting_is_on
-- requires: warn
-- requires: baseline_month_of
-- requires: judge_monthly_snapshot
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
-- It knows nothing of keys that are worked out, and would rather sort everything than hash them.
SET enable_mergejoin = off
-- Compiling the statement takes longer than running it.
SET jit = off
-- Not plan_cache_mode: custom plans gain nothing here, and the foreign-key checks, which run
-- under these settings, would be planned anew for each row. Not work_mem: more of it saves
-- temporary files, and no time.
AS $$
DECLARE
    v_started_at timestamptz := clock_timestamp();
    v_accepts_implausible boolean := customer.setting_is_on('customer.accept_implausible', FALSE);
    v_month date := customer.snapshot_month_of(p_snapshot_month);
    v_month_label text := to_char(v_month, 'YYYY-MM-DD');
    v_month_start date := date_trunc('month', v_month::timestamp)::date;
    v_next_month_start date := v_month + 1;
    v_year_start date := date_trunc('year', v_month::timestamp)::date;
    v_control customer.monthly_snapshot_control;
    v_rule text;
    v_is_as_of boolean;
    v_events_end date;
    v_baseline_month date;
    v_baseline_rows bigint;
    v_baseline_aum numeric;
    v_count record;
    v_unusable record;
    v_unfit_column text;
    v_finding record;
    v_is_accepted boolean := FALSE;
    v_warnings jsonb := jsonb_build_array();
    v_upserted bigint;
    v_is_changed boolean;
    v_absolute_aum numeric;
    v_aum_unattributed numeric;
    v_newest_month date;
    v_log_id bigint;
    v_keeps_history boolean;
BEGIN
    -- Before anything is read, so that all that is read is at least as new as
    -- what the last holder of the lock committed.
    v_control := customer.lock_open_snapshot_month(v_month);

    PERFORM customer.check_snapshot_sources();

    v_log_id := customer.next_log_id(v_control.last_log_id);

    -- A restated month keeps its rule: by the contracts of today it would no longer be
    -- what it was restated to be.
    v_rule := CASE
        WHEN p_operation = 'restate' THEN 'as_of'
        ELSE coalesce(v_control.last_rule, 'current')
    END;
    v_is_as_of := v_rule = 'as_of';
    v_events_end := CASE
        WHEN v_is_as_of THEN v_next_month_start
        ELSE (v_year_start + INTERVAL '1 year')::date
    END;
    v_baseline_month := customer.baseline_month_of(v_month);

    IF v_baseline_month = v_month THEN
        v_baseline_rows := v_control.baseline_rows;
        v_baseline_aum := v_control.baseline_aum;
    END IF;

    -- The first fill of a month replaces nothing.
    v_keeps_history := v_control.last_log_id IS NOT NULL OR v_baseline_month IS NOT DISTINCT FROM v_month;

    -- By this the guard's triggers tell the statement from a change by hand.
    UPDATE customer.monthly_snapshot_control
    SET writer = concat_ws(' ', pg_current_xact_id(), pg_trigger_depth())
    WHERE snapshot_month = v_month;

    -- Keys and names are compared and sorted as bytes, whatever collations the sources'
    -- columns have: that is exact, and two collations never meet.
    WITH detail AS (
        -- Rows without customer or product line stay: they are unattributed AUM.
        SELECT
            company_id COLLATE "C" AS company_id,
            product_line_code COLLATE "C" AS product_line_code,
            sum(amount) AS aum,
            -- The platform loads a month under its first day.
            count(*) FILTER (WHERE as_of <> v_month_start) AS rows_of_other_days
        FROM customer.source_aum(v_month_start, v_month)
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
        WHERE NOT v_is_as_of
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
            WHERE v_is_as_of
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
        WHERE v_is_as_of
    ),
    standing AS (
        SELECT
            company_id,
            product_line_code,
            max(product_line_name) AS product_line_name,
            coalesce(bool_or(is_strategic), FALSE) AS is_strategic,
            coalesce(bool_or(is_existing), FALSE) AS is_existing,
            -- Grouping by plan first, to do without DISTINCT, is no faster.
            count(DISTINCT plan_code)::integer AS plan_count
        FROM contract
        GROUP BY company_id, product_line_code
    ),
    winning AS (
        SELECT DISTINCT
            company_id COLLATE "C" AS company_id,
            product_line_code COLLATE "C" AS product_line_code
        FROM customer.source_awards()
        WHERE reported_on >= v_year_start
            AND reported_on < v_events_end
    ),
    churned AS (
        SELECT DISTINCT
            company_id COLLATE "C" AS company_id,
            product_line_code COLLATE "C" AS product_line_code
        FROM customer.source_losses()
        WHERE reported_on >= v_year_start
            AND reported_on < v_events_end
    ),
    stored AS (
        SELECT *
        FROM customer.fct_customer_business_monthly_status
        WHERE snapshot_month = v_month
    ),
    -- Customer and product line of a contract, of detail that no contract supports, or of both.
    sourced AS (
        SELECT
            coalesce(standing.company_id, detail.company_id) AS company_id,
            coalesce(standing.product_line_code, detail.product_line_code) AS product_line_code,
            standing.product_line_name,
            standing.is_strategic,
            standing.is_existing,
            standing.plan_count,
            detail.aum,
            detail.rows_of_other_days
        FROM standing
        FULL JOIN detail
            ON detail.company_id = standing.company_id
            AND detail.product_line_code = standing.product_line_code
    ),
    -- Beside it what is stored; what no contract supports keeps what it said.
    known AS (
        SELECT
            sourced.plan_count IS NOT NULL AS is_supported,
            stored.plan_count IS NOT NULL AS is_stored,
            coalesce(sourced.company_id, stored.company_id) AS company_id,
            coalesce(sourced.product_line_code, stored.product_line_code) AS product_line_code,
            coalesce(sourced.product_line_name, stored.product_line_name) AS product_line_name,
            coalesce(sourced.is_strategic, stored.is_strategic) AS is_strategic,
            coalesce(sourced.is_existing, stored.is_existing) AS is_existing,
            coalesce(sourced.plan_count, stored.plan_count) AS plan_count,
            sourced.aum AS detail_aum,
            coalesce(round(sourced.aum, 2), 0.00) AS aum_balance,
            sourced.rows_of_other_days,
            stored.product_line_name AS stored_product_line_name,
            stored.is_strategic AS stored_is_strategic,
            stored.is_existing AS stored_is_existing,
            stored.is_new AS stored_is_new,
            stored.is_winning_this_year AS stored_is_winning_this_year,
            stored.is_churned_this_year AS stored_is_churned_this_year,
            stored.aum_balance AS stored_aum_balance,
            stored.plan_count AS stored_plan_count
        FROM sourced
        FULL JOIN stored
            ON stored.company_id = sourced.company_id
            AND stored.product_line_code = sourced.product_line_code
    ),
    measured AS (
        SELECT
            known.*,
            winning.company_id IS NOT NULL AND NOT known.is_existing AS is_new,
            winning.company_id IS NOT NULL AS is_winning_this_year,
            churned.company_id IS NOT NULL AS is_churned_this_year
        FROM known
        LEFT JOIN winning
            ON winning.company_id = known.company_id
            AND winning.product_line_code = known.product_line_code
        LEFT JOIN churned
            ON churned.company_id = known.company_id
            AND churned.product_line_code = known.product_line_code
    ),
    -- Several read it, so it is kept. A row is unpacked up to the last column that is asked for:
    -- those that all of them ask for stand first.
    compared AS (
        SELECT
            is_supported,
            is_stored,
            is_stored
            AND (
                stored_product_line_name,
                stored_is_strategic,
                stored_is_existing,
                stored_is_new,
                stored_is_winning_this_year,
                stored_is_churned_this_year,
                stored_aum_balance,
                stored_plan_count
            ) IS DISTINCT FROM (
                product_line_name,
                is_strategic,
                is_existing,
                is_new,
                is_winning_this_year,
                is_churned_this_year,
                aum_balance,
                plan_count
            ) AS is_updated,
            is_strategic,
            is_existing,
            is_new,
            is_winning_this_year,
            is_churned_this_year,
            -- A row that had no AUM, or has detail still, has lost none.
            stored_aum_balance = 0 OR rows_of_other_days IS NOT NULL AS has_its_aum,
            plan_count,
            rows_of_other_days,
            aum_balance,
            detail_aum,
            company_id,
            product_line_code,
            product_line_name
        FROM measured
    ),
    -- Contracts that were true on the month's last day, whatever they are today.
    covering AS (
        SELECT DISTINCT
            company_id COLLATE "C" AS company_id,
            product_line_code COLLATE "C" AS product_line_code
        FROM customer.source_contracts()
        WHERE NOT v_is_as_of
            AND valid_from <= v_month
            AND valid_to >= v_month
    ),
    -- By the contracts of today, a stored row whose contract has but ended since is stale, and
    -- stays. Where its AUM is gone from the detail, it was re-coded or resolved to another
    -- customer, and would count twice.
    unsupported AS (
        SELECT
            compared.*,
            covering.company_id IS NOT NULL AND has_its_aum AS is_stale
        FROM compared
        LEFT JOIN covering
            ON covering.company_id = compared.company_id
            AND covering.product_line_code = compared.product_line_code
        WHERE NOT is_supported
            AND is_stored
    ),
    changed AS (
        SELECT
            company_id,
            product_line_code,
            product_line_name,
            is_strategic,
            is_existing,
            is_new,
            is_winning_this_year,
            is_churned_this_year,
            aum_balance,
            plan_count
        FROM compared
        WHERE is_supported
            AND (NOT is_stored OR is_updated)
        UNION ALL
        SELECT
            company_id,
            product_line_code,
            product_line_name,
            is_strategic,
            is_existing,
            is_new,
            is_winning_this_year,
            is_churned_this_year,
            aum_balance,
            plan_count
        FROM unsupported
        WHERE is_stale
            AND is_updated
    ),
    -- Nothing is cut to fit: where something does not, nothing is written, and an error says what.
    -- What is stored did fit, so that an unchanged row does.
    unfit AS (
        SELECT *
        FROM changed
        WHERE (
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
        FROM changed
        WHERE NOT EXISTS (SELECT 1 FROM unfit)
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
    replaced AS (
        INSERT INTO customer.monthly_status_history (
            snapshot_month,
            log_id,
            company_id,
            product_line_code,
            operation,
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
            v_log_id,
            event.company_id,
            event.product_line_code,
            CASE
                WHEN event.is_deleted THEN 'delete'
                WHEN before.plan_count IS NULL THEN 'insert'
                ELSE 'update'
            END,
            before.product_line_name,
            before.is_strategic,
            before.is_existing,
            before.is_new,
            before.is_winning_this_year,
            before.is_churned_this_year,
            before.aum_balance,
            before.plan_count,
            before.updated_at
        FROM (
            SELECT
                company_id,
                product_line_code,
                FALSE AS is_deleted
            FROM changed
            UNION ALL
            SELECT
                company_id,
                product_line_code,
                TRUE
            FROM unsupported
            WHERE NOT is_stale
        ) AS event
        LEFT JOIN customer.fct_customer_business_monthly_status AS before
            ON before.snapshot_month = v_month
            AND before.company_id = event.company_id
            AND before.product_line_code = event.product_line_code
        WHERE v_keeps_history
            AND NOT EXISTS (SELECT 1 FROM unfit)
    ),
    -- Counted only where nobody has counted it yet.
    baseline AS (
        SELECT
            -- A table from before the package may hold NaN.
            coalesce(nullif(aum_balance, 'NaN'), 0) AS aum_balance
        FROM customer.fct_customer_business_monthly_status
        WHERE snapshot_month = v_baseline_month
            AND v_baseline_rows IS NULL
    ),
    deleted AS (
        DELETE FROM customer.fct_customer_business_monthly_status AS gone
        USING unsupported
        WHERE NOT unsupported.is_stale
            AND gone.snapshot_month = v_month
            AND gone.company_id = unsupported.company_id
            AND gone.product_line_code = unsupported.product_line_code
        RETURNING gone.aum_balance
    )
    SELECT
        count(*) FILTER (WHERE is_supported) AS total,
        count(*) FILTER (WHERE is_supported AND NOT is_stored) AS inserted,
        count(*) FILTER (WHERE is_supported AND is_updated) AS updated,
        count(*) FILTER (WHERE is_supported AND is_stored AND NOT is_updated) AS unchanged,
        (SELECT count(*) FROM unsupported WHERE is_stale) AS stale,
        (SELECT count(*) FROM unsupported WHERE is_stale AND is_updated) AS stale_updated,
        (SELECT coalesce(sum(aum_balance), 0.00) FROM unsupported WHERE is_stale) AS stale_aum,
        (
            SELECT coalesce(jsonb_agg(to_jsonb(stale) ORDER BY product_line_code), '[]')
            FROM (
                SELECT
                    product_line_code,
                    count(*) AS stale_rows,
                    sum(aum_balance) AS stale_aum
                FROM unsupported
                WHERE is_stale
                GROUP BY product_line_code
            ) AS stale
        ) AS stale_by_product_line,
        (SELECT count(*) FROM deleted) AS deleted,
        (SELECT sum(aum_balance) FROM deleted) AS deleted_aum,
        coalesce(sum(aum_balance) FILTER (WHERE is_supported), 0.00) AS aum_total,
        coalesce(sum(aum_balance) FILTER (WHERE is_supported AND aum_balance < 0), 0.00) AS negative_aum,
        (SELECT to_jsonb(unfit) FROM unfit) AS unfit,
        -- For the judgement of the month: the detail that no row carries, and what was there before. A
        -- sum of absolute amounts is the sum less twice the negative ones, which is quicker than abs().
        coalesce(sum(detail_aum) FILTER (WHERE NOT is_supported), 0) AS unattributed_aum,
        coalesce(sum(detail_aum) FILTER (WHERE NOT is_supported AND detail_aum < 0), 0) AS negative_unattributed_aum,
        CASE
            WHEN max(rows_of_other_days) > 0 THEN (
                SELECT jsonb_object_agg(as_of, row_count)
                FROM (
                    SELECT
                        as_of,
                        count(*) AS row_count
                    FROM customer.source_aum(v_month_start, v_month)
                    GROUP BY as_of
                ) AS day
            )
        END AS detail_days,
        CASE
            WHEN max(rows_of_other_days) IS NULL THEN EXISTS (
                SELECT 1
                FROM customer.fct_customer_business_monthly_status
                WHERE aum_balance <> 0
            )
        END AS has_stored_aum,
        (SELECT count(*) FROM baseline) AS baseline_rows,
        (SELECT sum(abs(aum_balance)) FROM baseline) AS baseline_aum
    INTO STRICT v_count
    FROM compared;

    -- Only now are all tables locked that were read, partitions included.
    PERFORM customer.check_snapshot_sources_are_seen();

    v_aum_unattributed := round(v_count.unattributed_aum, 2);

    -- A single amount that is no number makes the sum none.
    IF v_count.aum_total + v_count.unattributed_aum IN ('NaN', 'Infinity', '-Infinity') THEN
        SELECT
            count(*) AS row_count,
            min(concat_ws(', product line ', coalesce(company_id, 'NULL'), product_line_code) COLLATE "C") AS example
        INTO STRICT v_unusable
        FROM customer.source_aum(v_month_start, v_month)
        WHERE amount IN ('NaN', 'Infinity', '-Infinity');

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

    IF v_is_as_of AND v_count.total = 0 THEN
        RAISE EXCEPTION 'no contract version covers %, and by the contracts of that day the month would be empty', v_month_label
            USING
                ERRCODE = 'object_not_in_prerequisite_state',
                HINT = 'Load the versions that were true on that day (valid_from <= day <= valid_to) into the contracts, or choose another month.';
    END IF;

    v_upserted := v_count.inserted + v_count.updated + v_count.stale_updated;
    v_is_changed := v_upserted + v_count.deleted > 0;
    v_absolute_aum := v_count.aum_total - 2 * v_count.negative_aum;

    IF v_baseline_rows IS NULL THEN
        v_baseline_rows := v_count.baseline_rows;
        v_baseline_aum := v_count.baseline_aum;
    END IF;

    FOR v_finding IN
        SELECT *
        FROM customer.judge_monthly_snapshot(
            p_snapshot_month => v_month,
            p_rows => v_count.total,
            p_absolute_aum => v_absolute_aum,
            p_baseline_month => v_baseline_month,
            p_baseline_rows => v_baseline_rows,
            p_baseline_aum => v_baseline_aum,
            p_unattributed_aum => v_count.unattributed_aum - 2 * v_count.negative_unattributed_aum,
            p_detail_days => v_count.detail_days,
            p_has_stored_aum => v_count.has_stored_aum
        )
    LOOP
        IF v_finding.is_error AND NOT v_accepts_implausible THEN
            RAISE EXCEPTION '%', v_finding.message
                USING
                    ERRCODE = 'object_not_in_prerequisite_state',
                    HINT = v_finding.hint
                        || ' If the month is right all the same: SET LOCAL customer.accept_implausible = on; before the call, in its transaction.';
        END IF;

        v_is_accepted := v_is_accepted OR v_finding.is_error;
        v_warnings := v_warnings || customer.warn(
            CASE WHEN v_finding.is_error THEN 'implausible_accepted' ELSE v_finding.code END,
            v_finding.message,
            v_finding.hint
        );
    END LOOP;

    IF v_count.total = 0 THEN
        v_warnings := v_warnings || customer.warn(
            'no_current_contract',
            format('no contract is current (valid_to = 9999-12-31): no row of %s is supported', v_month_label),
            'Bring the contracts up to date and refresh again.'
        );
    END IF;

    -- Who restates a month asks for just that.
    IF v_count.deleted > 0 AND p_operation = 'refresh' THEN
        v_warnings := v_warnings || customer.warn(
            'rows_removed',
            format(
                'rows removed from %s: %s, with %s yuan; no contract covers the last day of the month, or their AUM is gone from the detail',
                v_month_label, v_count.deleted, v_count.deleted_aum
            ),
            'They were re-coded, resolved to another customer, or ended before. If one should have stayed, a ROLLBACK keeps it. '
            'Refreshing does not bring it back; restating does, if the contracts have the version of that day.'
        );
    END IF;

    IF v_count.stale > 0 THEN
        v_warnings := v_warnings || customer.warn(
            'stale_rows',
            format(
                'stale rows of %s kept, which no current contract supports: %s, of which brought up to date: %s',
                v_month_label, v_count.stale, v_count.stale_updated
            ),
            'If their contracts did end after the last day of the month, nothing needs to be done. '
            'If a contract sync closed them by mistake, correct it and refresh again.'
        );
    END IF;

    -- max() reads one entry of an index, whatever the statistics say.
    SELECT max(snapshot_month)
    INTO v_newest_month
    FROM customer.fct_customer_business_monthly_status;

    IF NOT v_is_as_of AND v_newest_month > v_month THEN
        v_warnings := v_warnings || customer.warn(
            'todays_contracts',
            format(
                'today''s contracts were used for %s, which is older than %s, the newest month stored',
                v_month_label, to_char(v_newest_month, 'YYYY-MM-DD')
            ),
            format(
                'Restating takes the contracts of its last day. It removes rows that have no version of that day, and later refreshes '
                'keep to it, so try it in a transaction that you roll back: SELECT customer.restate_monthly_snapshot(DATE %L, ''why'');',
                v_month_label
            )
        );
    END IF;

    INSERT INTO customer.monthly_snapshot_log (
        log_id,
        snapshot_month,
        operation,
        rule,
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
        accepted,
        month_rows,
        month_aum,
        invoked_by,
        application_name
    )
    OVERRIDING SYSTEM VALUE
    VALUES (
        v_log_id,
        v_month,
        p_operation,
        v_rule,
        p_reason,
        v_started_at,
        clock_timestamp(),
        v_count.total,
        v_upserted,
        v_count.inserted,
        v_count.updated,
        v_count.unchanged,
        v_count.stale,
        v_count.deleted,
        v_count.aum_total,
        v_aum_unattributed,
        v_is_accepted,
        v_count.total + v_count.stale,
        v_count.aum_total + v_count.stale_aum,
        session_user,
        current_setting('application_name')
    );

    -- A trigger of others may have changed rows of the month while they were written, with an entry
    -- of its own: what that left is known only now.
    UPDATE customer.monthly_snapshot_log AS entry
    SET (month_rows, month_aum) = (
        SELECT
            totals.row_count,
            totals.aum
        FROM customer.snapshot_control_totals(v_month, entry.log_id) AS totals
    )
    WHERE entry.snapshot_month = v_month
        AND entry.log_id > v_log_id;

    -- So are its stale rows.
    IF FOUND THEN
        v_count.stale_by_product_line := NULL;
    END IF;

    -- Always a new row version, also where nothing changed: by it an older
    -- snapshot is told from a newer one when the row is locked.
    UPDATE customer.monthly_snapshot_control
    SET
        last_rule = v_rule,
        last_log_id = greatest(last_log_id, v_log_id),
        last_changed_at = CASE WHEN v_is_changed THEN clock_timestamp() ELSE last_changed_at END,
        baseline_rows = v_count.total,
        baseline_aum = v_absolute_aum,
        -- That of a caller whose trigger this was called from.
        writer = v_control.writer
    WHERE snapshot_month = v_month;

    -- Contracts alone make rows stale, or take that from them.
    IF v_is_changed OR v_count.stale_by_product_line IS DISTINCT FROM (
        SELECT coalesce(
            jsonb_agg(
                jsonb_build_object('product_line_code', product_line_code, 'stale_rows', stale_rows, 'stale_aum', stale_aum)
                ORDER BY product_line_code COLLATE "C"
            ) FILTER (WHERE product_line_code IS NOT NULL AND stale_rows > 0),
            '[]'
        )
        FROM customer.monthly_status_summary
        WHERE snapshot_month = v_month
        -- A summary that is not there is made.
        HAVING count(*) > 0
    ) THEN
        PERFORM customer.summarise_snapshot_month(v_month, v_count.stale_by_product_line);
    END IF;

    RAISE NOTICE 'snapshot of %: % rows, % inserted, % updated, % unchanged, % stale, % deleted; AUM % yuan, % unattributed',
        v_month_label,
        v_count.total,
        v_count.inserted,
        v_count.updated,
        v_count.unchanged,
        v_count.stale,
        v_count.deleted,
        v_count.aum_total,
        v_aum_unattributed;

    RETURN jsonb_build_object(
        'status', CASE p_operation WHEN 'restate' THEN 'restated' ELSE 'refreshed' END,
        'snapshot_month', v_month_label,
        'rule', v_rule,
        'total', v_count.total,
        'upserted', v_upserted,
        'inserted', v_count.inserted,
        'updated', v_count.updated,
        'unchanged', v_count.unchanged,
        'stale', v_count.stale,
        'deleted', v_count.deleted,
        'aum_total', v_count.aum_total,
        'aum_unattributed', v_aum_unattributed,
        'accepted', v_is_accepted,
        'warnings', v_warnings,
        'log_id', v_log_id,
        'reason', p_reason
    );
END
$$;

CALL customer.revoke_default_grants('customer.write_monthly_snapshot(date, text, text)'::regprocedure);

COMMENT ON FUNCTION customer.write_monthly_snapshot(date, text, text) IS
'Internal: locks the month, works out its rows from the sources, writes those that are new or changed, logs it and returns the counts; what customer.refresh_monthly_snapshot and customer.restate_monthly_snapshot document. Runs with the rights of its caller, and is granted to nobody.
p_operation: refresh (by the rule that last wrote the month; at first by the contracts that are current) or restate (by the contract versions that cover the last day of the month). p_reason: what the log shall say as the reason.';

COMMIT;
