-- Deploy customer_monthly_snapshot:validate_monthly_snapshot to pg
-- requires: sources
-- requires: fct_customer_business_monthly_status
-- requires: monthly_snapshot_control
-- requires: monthly_snapshot_log
-- requires: monthly_status_history
-- requires: snapshot_rows_after
-- requires: monthly_status_summary
-- Is a month right? Worked out a second time, another way, and compared with what is stored.

SET client_encoding = 'UTF8';

BEGIN;

-- What others made in public is not for the package to use.
SET LOCAL search_path = pg_catalog, pg_temp;

-- It shares nothing with the refresh but the functions that read the sources, and is written the other way about (all
-- facts of a customer and product line piled up and grouped, where the refresh
-- groups each source and joins), so that one mistake does not hide in both.
CREATE OR REPLACE FUNCTION customer.validate_monthly_snapshot(p_snapshot_month date)
RETURNS TABLE (
    check_name text,
    severity text,
    violations bigint,
    detail text,
    sample jsonb
)
LANGUAGE plpgsql
STABLE
SECURITY DEFINER
ROWS 46
SET search_path = pg_catalog, pg_temp
-- An error rather than a judgement on what a policy shows.
SET row_security = off
-- As in the refresh: tables that were never analysed.
SET enable_nestloop = off
SET jit = off
-- The day on which a contract was changed is not the session's.
SET timezone = 'UTC'
AS $$
DECLARE
    v_year integer;
    v_month integer;
    v_first_day date;
    v_last_day date;
    v_last_event_day date;
    v_month_label text;
    v_control customer.monthly_snapshot_control;
    v_last customer.monthly_snapshot_log;
    v_change customer.monthly_snapshot_log;
    v_base customer.monthly_snapshot_log;
    v_closing customer.monthly_snapshot_log;
    v_by_hand customer.monthly_snapshot_log;
    v_rule text;
    v_is_written boolean;
    v_is_closed boolean;
    v_closed_with_errors boolean;
    v_is_newest boolean;
    v_totals record;
BEGIN
    IF p_snapshot_month IS NULL THEN
        RAISE EXCEPTION 'the month to validate must not be NULL'
            USING
                ERRCODE = 'null_value_not_allowed',
                HINT = 'Pass any day of the month, such as DATE ''2026-01-31''.';
    END IF;

    IF p_snapshot_month < DATE '0001-01-01' OR p_snapshot_month > DATE '9999-12-31' THEN
        RAISE EXCEPTION 'the month to validate must lie in the years 1 to 9999, but is %',
            -- ISO 8601 whatever the DateStyle, also where to_char has nothing to say.
            to_json(p_snapshot_month) #>> '{}'
            USING
                ERRCODE = 'invalid_parameter_value',
                HINT = 'Pass any day of the month, such as DATE ''2026-01-31''.';
    END IF;

    v_year := extract(year FROM p_snapshot_month)::integer;
    v_month := extract(month FROM p_snapshot_month)::integer;
    v_first_day := make_date(v_year, v_month, 1);
    v_last_day := make_date(v_year + v_month / 12, v_month % 12 + 1, 1) - 1;
    v_month_label := to_char(v_last_day, 'YYYY-MM-DD');

    PERFORM customer.check_snapshot_sources();

    SELECT *
    INTO v_control
    FROM customer.monthly_snapshot_control
    WHERE snapshot_month = v_last_day;

    -- Of the month's log: the newest entry, ...
    SELECT *
    INTO v_last
    FROM customer.monthly_snapshot_log
    WHERE snapshot_month = v_last_day
    ORDER BY log_id DESC
    LIMIT 1;

    -- ... the newest that changed rows, ...
    SELECT *
    INTO v_change
    FROM customer.monthly_snapshot_log
    WHERE snapshot_month = v_last_day
        AND operation NOT IN ('close', 'reopen')
    ORDER BY log_id DESC
    LIMIT 1;

    -- ... the one that said what each of its rows is, ...
    SELECT *
    INTO v_base
    FROM customer.monthly_snapshot_log
    WHERE snapshot_month = v_last_day
        AND operation IN ('refresh', 'restate', 'discard', 'adopt')
    ORDER BY log_id DESC
    LIMIT 1;

    -- ... the newest change by hand since, which nothing has looked at, ...
    SELECT *
    INTO v_by_hand
    FROM customer.monthly_snapshot_log
    WHERE snapshot_month = v_last_day
        AND operation = 'by_hand'
        AND log_id > coalesce(v_base.log_id, 0)
    ORDER BY log_id DESC
    LIMIT 1;

    -- ... and the one that closed it or opened it again.
    SELECT *
    INTO v_closing
    FROM customer.monthly_snapshot_log
    WHERE snapshot_month = v_last_day
        AND operation IN ('close', 'reopen')
    ORDER BY log_id DESC
    LIMIT 1;

    v_is_written := v_control.last_rule IS NOT NULL;
    v_is_closed := v_control.closed_at IS NOT NULL;
    v_closed_with_errors := v_is_closed AND coalesce(v_closing.accepted, FALSE);
    v_is_newest := NOT EXISTS (
        SELECT 1
        FROM customer.fct_customer_business_monthly_status
        WHERE snapshot_month > v_last_day
    );
    -- A month that the package never wrote is held against today's contracts.
    v_rule := coalesce(v_control.last_rule, 'current');
    v_last_event_day := CASE v_rule
        WHEN 'as_of' THEN v_last_day
        ELSE make_date(v_year, 12, 31)
    END;

    SELECT *
    INTO v_totals
    FROM customer.snapshot_control_totals(v_last_day, v_last.log_id)
    WHERE v_is_closed;

    RETURN QUERY
    WITH version AS (
        SELECT
            contract.company_id COLLATE "C" AS company_id,
            contract.plan_code COLLATE "C" AS plan_code,
            contract.product_line_code COLLATE "C" AS product_line_code,
            contract.product_line_name COLLATE "C" AS product_line_name,
            contract.is_strategic,
            contract.is_existing,
            coalesce(v_last_day BETWEEN contract.valid_from AND contract.valid_to, FALSE) AS covers,
            CASE v_rule
                WHEN 'as_of' THEN rank() OVER (
                    PARTITION BY
                        contract.company_id COLLATE "C",
                        contract.plan_code COLLATE "C",
                        contract.product_line_code COLLATE "C"
                    ORDER BY
                        contract.valid_from DESC,
                        contract.contract_id DESC
                ) = 1
                ELSE coalesce(contract.is_current, FALSE)
            END AS counts
        FROM customer.source_contracts() AS contract
        WHERE v_last_day BETWEEN contract.valid_from AND contract.valid_to
            OR v_rule = 'current' AND contract.is_current
    ),
    fact AS (
        SELECT
            CASE WHEN version.counts THEN 'contract' ELSE 'earlier' END AS origin,
            version.company_id,
            version.product_line_code,
            version.plan_code,
            version.product_line_name,
            version.is_strategic,
            version.is_existing,
            NULL::boolean AS is_new,
            NULL::boolean AS is_winning_this_year,
            NULL::boolean AS is_churned_this_year,
            NULL::numeric AS aum,
            NULL::integer AS plan_count,
            version.covers
        FROM version
        UNION ALL
        SELECT
            'award', award.company_id COLLATE "C", award.product_line_code COLLATE "C",
            NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL
        FROM customer.source_awards() AS award
        WHERE extract(year FROM award.reported_on) = v_year
            AND award.reported_on <= v_last_event_day
        UNION ALL
        SELECT
            'loss', loss.company_id COLLATE "C", loss.product_line_code COLLATE "C",
            NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL
        FROM customer.source_losses() AS loss
        WHERE extract(year FROM loss.reported_on) = v_year
            AND loss.reported_on <= v_last_event_day
        UNION ALL
        SELECT
            'detail', detail.company_id COLLATE "C", detail.product_line_code COLLATE "C",
            NULL, NULL, NULL, NULL, NULL, NULL, NULL, detail.amount, NULL, NULL
        FROM customer.source_aum(v_first_day, v_last_day) AS detail
        UNION ALL
        SELECT
            'stored', stored.company_id COLLATE "C", stored.product_line_code COLLATE "C",
            NULL, stored.product_line_name COLLATE "C", stored.is_strategic, stored.is_existing,
            stored.is_new, stored.is_winning_this_year, stored.is_churned_this_year,
            stored.aum_balance, stored.plan_count, NULL
        FROM customer.fct_customer_business_monthly_status AS stored
        WHERE stored.snapshot_month = v_last_day
        UNION ALL
        -- Rows that somebody changed by hand since. Where the log has a reason, they were moved to
        -- another customer (sql/merge_customers.sql), and are as old as before.
        SELECT
            'by hand', event.company_id COLLATE "C", event.product_line_code COLLATE "C",
            NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL
        FROM customer.monthly_status_history AS event
        JOIN customer.monthly_snapshot_log AS entry
            ON entry.log_id = event.log_id
        WHERE event.snapshot_month = v_last_day
            AND event.log_id > v_base.log_id
            AND entry.reason IS NULL
    ),
    standing AS (
        SELECT
            fact.company_id,
            fact.product_line_code,
            count(*) FILTER (WHERE fact.origin = 'contract') > 0 AS is_supported,
            coalesce(bool_or(fact.covers), FALSE) AS is_covered,
            count(*) FILTER (WHERE fact.origin = 'by hand') > 0 AS is_by_hand,
            count(*) FILTER (WHERE fact.origin = 'stored') AS stored_rows,
            count(*) FILTER (WHERE fact.origin = 'award') AS awards,
            count(*) FILTER (WHERE fact.origin = 'loss') AS losses,
            count(*) FILTER (WHERE fact.origin = 'detail') AS details,
            coalesce(sum(fact.aum) FILTER (WHERE fact.origin = 'detail'), 0) AS aum,
            count(DISTINCT fact.plan_code) FILTER (WHERE fact.origin = 'contract') AS plans,
            max(fact.product_line_name) FILTER (WHERE fact.origin = 'contract') AS name,
            count(*) FILTER (WHERE fact.origin = 'contract' AND fact.is_strategic) > 0 AS strategic,
            count(*) FILTER (WHERE fact.origin = 'contract' AND fact.is_existing) > 0 AS existing,
            max(fact.product_line_name) FILTER (WHERE fact.origin = 'stored') AS stored_name,
            bool_or(fact.is_strategic) FILTER (WHERE fact.origin = 'stored') AS stored_strategic,
            bool_or(fact.is_existing) FILTER (WHERE fact.origin = 'stored') AS stored_existing,
            bool_or(fact.is_new) AS stored_new,
            bool_or(fact.is_winning_this_year) AS stored_winning,
            bool_or(fact.is_churned_this_year) AS stored_churned,
            sum(fact.aum) FILTER (WHERE fact.origin = 'stored') AS stored_aum,
            max(fact.plan_count) AS stored_plans,
            coalesce(fact.company_id !~ '[^[:space:]]', TRUE) AS lacks_company,
            coalesce(fact.product_line_code !~ '[^[:space:]]', TRUE) AS lacks_product_line
        FROM fact
        GROUP BY fact.company_id, fact.product_line_code
    ),
    judged AS (
        SELECT
            standing.*,
            standing.stored_rows > 0 AS is_stored,
            -- A row that a refresh would keep, although no contract supports it.
            standing.stored_rows > 0
            AND NOT standing.is_supported
            AND standing.is_covered
            AND (standing.stored_aum = 0 OR standing.details > 0) AS is_stale,
            -- A difference is an error if refreshing the month would end it, and should: otherwise it
            -- is the sources that have moved on. A closed month is as wrong as it was when it was closed.
            CASE
                WHEN NOT v_is_written THEN 'drift'
                WHEN v_is_closed AND NOT (standing.is_by_hand AND v_closed_with_errors) THEN 'drift'
                WHEN standing.is_by_hand THEN 'error'
                WHEN v_is_newest AND (standing.stored_rows > 0 OR standing.is_covered) THEN 'error'
                ELSE 'drift'
            END AS severity,
            -- The detail of a month is its own; contracts and events may be of later ones.
            CASE
                WHEN NOT v_is_written THEN 'drift'
                WHEN v_is_closed AND NOT (standing.is_by_hand AND v_closed_with_errors) THEN 'drift'
                ELSE 'error'
            END AS aum_severity,
            bool_or(standing.is_supported) OVER (PARTITION BY standing.company_id) AS has_contract
        FROM standing
    ),
    -- The month added up a second time: by product line and, each customer once, as a whole.
    each_customer AS (
        SELECT
            judged.product_line_code,
            max(judged.stored_name) AS product_line_name,
            sum(judged.stored_rows) AS row_count,
            sum(judged.stored_aum) AS aum_balance,
            coalesce(sum(judged.stored_aum) FILTER (WHERE judged.stored_strategic), 0) AS strategic_aum,
            bool_or(judged.stored_strategic) AS is_strategic,
            bool_or(judged.stored_existing) AS is_existing,
            bool_or(judged.stored_new) AS is_new,
            bool_or(judged.stored_winning) AS is_winning_this_year,
            bool_or(judged.stored_churned) AS is_churned_this_year,
            sum(judged.stored_plans) AS plans
        FROM judged
        WHERE judged.is_stored
        GROUP BY GROUPING SETS ((judged.company_id, judged.product_line_code), (judged.company_id))
    ),
    added_up AS (
        SELECT
            customer.product_line_code,
            CASE WHEN customer.product_line_code IS NOT NULL THEN max(customer.product_line_name) END AS product_line_name,
            sum(customer.row_count) AS row_count,
            count(*) AS customers,
            count(*) FILTER (WHERE customer.aum_balance <> 0) AS customers_with_aum,
            count(*) FILTER (WHERE customer.is_strategic) AS strategic_customers,
            count(*) FILTER (WHERE customer.is_existing) AS existing_customers,
            count(*) FILTER (WHERE customer.is_new) AS new_this_year_customers,
            count(*) FILTER (WHERE customer.is_winning_this_year) AS winning_this_year_customers,
            count(*) FILTER (WHERE customer.is_churned_this_year) AS churned_this_year_customers,
            sum(customer.plans) AS plans,
            sum(customer.aum_balance) AS aum_balance,
            sum(customer.strategic_aum) AS strategic_aum
        FROM each_customer AS customer
        GROUP BY customer.product_line_code
    ),
    summary AS (
        SELECT *
        FROM customer.monthly_status_summary AS stored
        WHERE stored.snapshot_month = v_last_day
    ),
    summarised AS (
        SELECT
            summary.product_line_code COLLATE "C" AS product_line_code,
            summary.product_line_name COLLATE "C" AS product_line_name,
            summary.row_count,
            summary.customers,
            summary.customers_with_aum,
            summary.strategic_customers,
            summary.existing_customers,
            summary.new_this_year_customers,
            summary.winning_this_year_customers,
            summary.churned_this_year_customers,
            summary.plans,
            summary.aum_balance,
            summary.strategic_aum
        FROM summary
    ),
    missummarised AS (
        SELECT wrong.product_line_code
        FROM (
            (
                SELECT * FROM added_up
                EXCEPT
                SELECT * FROM summarised
            )
            UNION ALL
            (
                SELECT * FROM summarised
                EXCEPT
                SELECT * FROM added_up
            )
        ) AS wrong
        UNION
        -- Which rows were stale only its own numbers say, and the control row.
        SELECT NULL
        FROM summary
        HAVING (
            coalesce(sum(summary.stale_rows) FILTER (WHERE summary.product_line_code IS NULL), 0),
            coalesce(sum(summary.stale_aum) FILTER (WHERE summary.product_line_code IS NULL), 0)
        ) IS DISTINCT FROM (
            coalesce(sum(summary.stale_rows) FILTER (WHERE summary.product_line_code IS NOT NULL), 0),
            coalesce(sum(summary.stale_aum) FILTER (WHERE summary.product_line_code IS NOT NULL), 0)
        )
            OR coalesce(sum(summary.stale_rows) FILTER (WHERE summary.product_line_code IS NULL), 0) <> coalesce(v_control.stale_rows, 0)
    ),
    -- One row for each key that a check finds fault with; weight is what it counts.
    finding (check_name, severity, company_id, product_line_code, weight, aum) AS (
        SELECT 'summary', 'error', NULL, wrong.product_line_code, 1, NULL::numeric
        FROM missummarised AS wrong
        UNION ALL
        SELECT 'blank_key', 'error', judged.company_id, judged.product_line_code, 1, NULL
        FROM judged
        WHERE judged.is_stored
            AND (judged.lacks_company OR judged.lacks_product_line)
        UNION ALL
        SELECT 'duplicate_key', 'error', judged.company_id, judged.product_line_code, 1, NULL
        FROM judged
        WHERE judged.stored_rows > 1
        UNION ALL
        SELECT 'contradiction', 'error', judged.company_id, judged.product_line_code, 1, NULL
        FROM judged
        WHERE judged.stored_new <> (judged.stored_winning AND NOT judged.stored_existing)
        UNION ALL
        SELECT 'orphaned_company', 'error', judged.company_id, judged.product_line_code, 1, NULL
        FROM judged
        WHERE judged.is_stored
            AND NOT EXISTS (
                SELECT 1
                FROM customer.source_customers() AS known
                WHERE known.company_id COLLATE "C" = judged.company_id
            )
        UNION ALL
        SELECT 'orphaned_product_line', 'error', judged.company_id, judged.product_line_code, 1, NULL
        FROM judged
        WHERE judged.is_stored
            AND NOT EXISTS (
                SELECT 1
                FROM customer.source_product_lines() AS known
                WHERE known.product_line_code COLLATE "C" = judged.product_line_code
            )
        UNION ALL
        SELECT compared.check_name, judged.severity, judged.company_id, judged.product_line_code, 1, NULL
        FROM judged
        CROSS JOIN LATERAL (
            VALUES
                -- A stale row keeps what its contracts said.
                ('product_line_name', judged.is_stale OR judged.stored_name IS NOT DISTINCT FROM judged.name),
                ('is_strategic', judged.is_stale OR judged.stored_strategic IS NOT DISTINCT FROM judged.strategic),
                ('is_existing', judged.is_stale OR judged.stored_existing IS NOT DISTINCT FROM judged.existing),
                ('is_new', judged.stored_new IS NOT DISTINCT FROM (
                    judged.awards > 0 AND NOT CASE WHEN judged.is_stale THEN judged.stored_existing ELSE judged.existing END
                )),
                ('is_winning_this_year', judged.stored_winning IS NOT DISTINCT FROM (judged.awards > 0)),
                ('is_churned_this_year', judged.stored_churned IS NOT DISTINCT FROM (judged.losses > 0)),
                ('plan_count', judged.is_stale OR judged.stored_plans IS NOT DISTINCT FROM judged.plans)
        ) AS compared (check_name, is_right)
        WHERE judged.is_stored
            AND (judged.is_supported OR judged.is_stale)
            -- Looking closer at those alone that differ in something saves a tenth of the time.
            AND (
                judged.stored_name,
                judged.stored_strategic,
                judged.stored_existing,
                judged.stored_new,
                judged.stored_winning,
                judged.stored_churned,
                judged.stored_plans
            ) IS DISTINCT FROM (
                judged.name,
                judged.strategic,
                judged.existing,
                judged.awards > 0 AND NOT judged.existing,
                judged.awards > 0,
                judged.losses > 0,
                judged.plans
            )
            AND NOT compared.is_right
        UNION ALL
        SELECT 'aum_balance', judged.aum_severity, judged.company_id, judged.product_line_code, 1, round(judged.aum, 2) - judged.stored_aum
        FROM judged
        WHERE judged.is_stored
            AND (judged.is_supported OR judged.is_stale)
            -- A table that holds NaN is wrong, even if a source says so.
            AND (judged.stored_aum <> round(judged.aum, 2) OR judged.stored_aum = 'NaN')
        UNION ALL
        SELECT
            'missing_row',
            CASE WHEN judged.is_covered AND round(judged.aum, 2) <> 0 THEN judged.aum_severity ELSE judged.severity END,
            judged.company_id,
            judged.product_line_code,
            1,
            judged.aum
        FROM judged
        WHERE judged.is_supported
            AND NOT judged.is_stored
        UNION ALL
        SELECT
            'unsupported_row',
            CASE WHEN judged.stored_aum = round(judged.aum, 2) THEN judged.severity ELSE judged.aum_severity END,
            judged.company_id,
            judged.product_line_code,
            1,
            judged.stored_aum
        FROM judged
        WHERE judged.is_stored
            AND NOT judged.is_supported
            AND NOT judged.is_stale
        UNION ALL
        SELECT 'stale_row', 'warning', judged.company_id, judged.product_line_code, 1, judged.stored_aum
        FROM judged
        WHERE judged.is_stale
        UNION ALL
        SELECT 'unmatched_award', 'warning', judged.company_id, judged.product_line_code, judged.awards, NULL
        FROM judged
        WHERE judged.awards > 0
            AND NOT judged.is_stored
        UNION ALL
        SELECT 'unmatched_loss', 'warning', judged.company_id, judged.product_line_code, judged.losses, NULL
        FROM judged
        WHERE judged.losses > 0
            AND NOT judged.is_stored
        UNION ALL
        SELECT 'late_change', 'warning', late.company_id COLLATE "C", late.product_line_code COLLATE "C", 1, NULL
        FROM customer.source_late_changes(v_last_day) AS late
        WHERE v_rule = 'as_of'
        UNION ALL
        SELECT 'temporary_customer', 'info', judged.company_id, judged.product_line_code, 1, judged.stored_aum
        FROM judged
        WHERE judged.is_stored
            AND starts_with(judged.company_id, 'IN')
            AND length(judged.company_id) = 18
        UNION ALL
        SELECT 'aum_without_customer', 'info', judged.company_id, judged.product_line_code, judged.details, judged.aum
        FROM judged
        WHERE judged.details > 0
            AND NOT judged.is_supported
            AND judged.lacks_company
        UNION ALL
        SELECT 'aum_without_contract', 'info', judged.company_id, judged.product_line_code, judged.details, judged.aum
        FROM judged
        WHERE judged.details > 0
            AND NOT judged.lacks_company
            AND NOT judged.has_contract
        UNION ALL
        SELECT 'aum_without_product_line', 'info', judged.company_id, judged.product_line_code, judged.details, judged.aum
        FROM judged
        WHERE judged.details > 0
            AND NOT judged.is_supported
            AND NOT judged.lacks_company
            AND judged.has_contract
    ),
    counted AS (
        SELECT
            ranked.check_name,
            ranked.severity,
            sum(ranked.weight)::bigint AS violations,
            sum(ranked.aum) AS aum,
            jsonb_agg(
                jsonb_build_object('company_id', ranked.company_id, 'product_line_code', ranked.product_line_code)
                ORDER BY ranked.position
            ) FILTER (WHERE ranked.position <= 5) AS sample
        FROM (
            SELECT
                finding.*,
                row_number() OVER (
                    PARTITION BY finding.check_name, finding.severity
                    ORDER BY finding.company_id, finding.product_line_code
                ) AS position
            FROM finding
        ) AS ranked
        GROUP BY ranked.check_name, ranked.severity
    ),
    total AS (
        SELECT
            coalesce(sum(judged.stored_rows), 0) AS stored_rows,
            coalesce(sum(judged.stored_aum), 0) AS all_stored_aum,
            count(*) FILTER (WHERE judged.is_supported) AS supported_rows,
            coalesce(sum(judged.awards), 0) AS awards,
            coalesce(sum(judged.losses), 0) AS losses,
            coalesce(sum(judged.details), 0) AS details,
            coalesce(sum(judged.aum), 0) AS aum,
            coalesce(sum(judged.aum) FILTER (WHERE judged.is_supported), 0) AS attributed_aum,
            coalesce(sum(judged.stored_aum) FILTER (WHERE judged.is_supported), 0) AS stored_aum,
            coalesce(sum(judged.awards) FILTER (
                WHERE NOT judged.is_stored AND (judged.lacks_company OR judged.lacks_product_line)
            ), 0) AS awards_without_key,
            coalesce(sum(judged.awards) FILTER (
                WHERE NOT judged.is_stored
                    AND NOT judged.lacks_company
                    AND NOT judged.lacks_product_line
                    AND NOT judged.has_contract
            ), 0) AS awards_without_contract,
            coalesce(sum(judged.losses) FILTER (
                WHERE NOT judged.is_stored AND (judged.lacks_company OR judged.lacks_product_line)
            ), 0) AS losses_without_key,
            coalesce(sum(judged.losses) FILTER (
                WHERE NOT judged.is_stored
                    AND NOT judged.lacks_company
                    AND NOT judged.lacks_product_line
                    AND NOT judged.has_contract
            ), 0) AS losses_without_contract,
            -- The functions that read the sources against the tables' own columns.
            (
                SELECT num_nonnulls(
                    nullif(raw.contracts, (SELECT count(*) FROM customer.source_contracts() AS contract WHERE contract.is_current)),
                    nullif(raw.awards, coalesce(sum(judged.awards), 0)),
                    nullif(raw.losses, coalesce(sum(judged.losses), 0)),
                    nullif(raw.details, coalesce(sum(judged.details), 0)),
                    nullif(raw.amount, coalesce(sum(judged.aum), 0))
                )::bigint
                FROM customer.source_control_totals(v_first_day, v_last_day, v_last_event_day) AS raw
            ) AS misread
        FROM judged
    ),
    line AS (
        SELECT
            report.position,
            report.check_name,
            severity.severity,
            coalesce(report.violations, counted.violations, 0) AS violations,
            replace(replace(
                report.detail,
                '{violations}', coalesce(report.violations, counted.violations, 0)::text),
                '{aum}', coalesce(counted.aum, 0)::text
            ) AS detail,
            coalesce(counted.sample, '[]') AS sample
        FROM total
        CROSS JOIN LATERAL (
            VALUES
                (1, 'snapshot_exists', '{error}', (total.stored_rows = 0)::integer::bigint,
                    format('%s holds %s rows; the sources support %s by rule %s',
                        v_month_label, total.stored_rows, total.supported_rows, v_rule)),
                (2, 'log_totals', '{error}', ((total.stored_rows, total.all_stored_aum)
                    IS DISTINCT FROM (coalesce(v_change.month_rows, 0), coalesce(v_change.month_aum, 0)))::integer::bigint,
                    format('%s holds %s rows with %s yuan; log entry %s says %s with %s',
                        v_month_label, total.stored_rows, total.all_stored_aum,
                        coalesce(v_change.log_id::text, 'none'), coalesce(v_change.month_rows, 0), coalesce(v_change.month_aum, 0))),
                (3, 'control_row', '{error}', ((v_control.last_log_id, v_control.last_rule, v_is_closed)
                    IS DISTINCT FROM (v_last.log_id, v_base.rule, coalesce(v_closing.operation = 'close', FALSE)))::integer::bigint,
                    format('the control row of %s says log entry %s, rule %s, %s; the log says log entry %s, rule %s, %s',
                        v_month_label,
                        coalesce(v_control.last_log_id::text, 'none'), coalesce(v_control.last_rule, 'none'),
                        CASE WHEN v_is_closed THEN 'closed' ELSE 'open' END,
                        coalesce(v_last.log_id::text, 'none'), coalesce(v_base.rule, 'none'),
                        CASE WHEN v_closing.operation = 'close' THEN 'closed' ELSE 'open' END)),
                (4, 'control_totals', '{error}', (
                    v_is_closed AND (
                        (v_totals.row_count, v_totals.aum, v_totals.sha256)
                            IS DISTINCT FROM (v_control.closed_rows, v_control.closed_aum, v_control.closed_sha256)
                        OR (v_totals.row_count, v_totals.aum, v_totals.sha256)
                            IS DISTINCT FROM (v_closing.month_rows, v_closing.month_aum, v_closing.month_sha256)
                    ))::integer::bigint,
                    CASE
                        WHEN v_is_closed THEN
                            format('%s holds %s rows with %s yuan and sha256 %s; it was closed with %s rows with %s yuan and sha256 %s, '
                                'or, as the log says, %s with %s and %s',
                                v_month_label, v_totals.row_count, v_totals.aum, v_totals.sha256,
                                v_control.closed_rows, v_control.closed_aum, v_control.closed_sha256,
                                v_closing.month_rows, v_closing.month_aum, v_closing.month_sha256)
                        ELSE format('%s is open, and has none', v_month_label)
                    END),
                (5, 'summary', '{error}', NULL,
                    format('{violations} rows of customer.monthly_status_summary, which the trend reads, are not what the rows of %s say: '
                        'one or the other was changed past the package; if the rows are right, its owner mends it: '
                        'SELECT customer.summarise_snapshot_month(DATE %L);',
                        v_month_label, v_month_label)),
                (6, 'blank_key', '{error}', NULL,
                    '{violations} rows with a blank company_id or product_line_code'),
                (7, 'duplicate_key', '{error}', NULL,
                    '{violations} customers'' product lines have more than one row'),
                (8, 'contradiction', '{error}', NULL,
                    '{violations} rows whose is_new is not "award this year, and not existing"'),
                (9, 'orphaned_company', '{error}', NULL,
                    '{violations} rows whose company_id is no customer of the source system'),
                (10, 'orphaned_product_line', '{error}', NULL,
                    '{violations} rows whose product_line_code is no product line of the source system'),
                (11, 'source_reading', '{error}', total.misread,
                    '{violations} control totals are not those of the source tables: current contracts, awards, losses, rows or sum of the AUM detail'),
                (12, 'product_line_name', '{error,drift}', NULL,
                    '{violations} rows whose product_line_name is not what their contracts say'),
                (13, 'is_strategic', '{error,drift}', NULL,
                    '{violations} rows whose is_strategic (战客) is not what their contracts say'),
                (14, 'is_existing', '{error,drift}', NULL,
                    '{violations} rows whose is_existing (已客) is not what their contracts say'),
                (15, 'is_new', '{error,drift}', NULL,
                    '{violations} rows whose is_new (新客) is not what their awards and contracts say'),
                (16, 'is_winning_this_year', '{error,drift}', NULL,
                    format('{violations} rows whose is_winning_this_year is not what 当年中标 says of %s', v_year)),
                (17, 'is_churned_this_year', '{error,drift}', NULL,
                    format('{violations} rows whose is_churned_this_year is not what 当年流失 says of %s', v_year)),
                (18, 'aum_balance', '{error,drift}', NULL,
                    '{violations} rows whose aum_balance is not the sum of 期末资产规模, rounded to 2 decimals; by the detail they would hold {aum} yuan more'),
                (19, 'plan_count', '{error,drift}', NULL,
                    '{violations} rows whose plan_count is not the number of their plans'),
                (20, 'missing_row', '{error,drift}', NULL,
                    '{violations} customers'' product lines have a contract and no row; {aum} yuan of AUM'),
                (21, 'unsupported_row', '{error,drift}', NULL,
                    '{violations} rows that nothing in the sources speaks for; they carry {aum} yuan'),
                (22, 'never_written', '{warning}', (total.stored_rows > 0 AND NOT v_is_written)::integer::bigint,
                    CASE
                        WHEN total.stored_rows > 0 AND NOT v_is_written THEN
                            format('the package never wrote the rows of %s, so that differences are drift; to bring them in order: '
                                'SELECT customer.restate_monthly_snapshot(DATE %L, ''why''); and read its warnings before you commit',
                                v_month_label, v_month_label)
                        ELSE format('the package wrote %s, or it holds no rows', v_month_label)
                    END),
                (23, 'stale_row', '{warning}', NULL,
                    '{violations} rows that no current contract supports, kept because one covers the last day of the month; they carry {aum} yuan'),
                (24, 'unmatched_award', '{warning}', NULL,
                    format('{violations} of the %s awards of %s match no row: %s lack a key, %s name a customer without a contract',
                        total.awards, v_year, total.awards_without_key, total.awards_without_contract)),
                (25, 'unmatched_loss', '{warning}', NULL,
                    format('{violations} of the %s losses of %s match no row: %s lack a key, %s name a customer without a contract',
                        total.losses, v_year, total.losses_without_key, total.losses_without_contract)),
                (26, 'late_change', '{warning}', NULL,
                    '{violations} contract versions that this month was restated from were changed after they had ended: their flags may be of later'),
                (27, 'temporary_customer', '{info}', NULL,
                    '{violations} rows of customers with a temporary id (IN and 16 characters); they carry {aum} yuan'),
                (28, 'aum_in_source', '{info}', 0,
                    format('%s yuan of 期末资产规模 in %s rows of the AUM detail; the next four lines add up to it',
                        total.aum, total.details)),
                (29, 'aum_attributed', '{info}', 0,
                    format('%s yuan belong to rows of the snapshot, before rounding', total.attributed_aum)),
                (30, 'aum_without_customer', '{info}', NULL,
                    '{aum} yuan in {violations} rows of the AUM detail whose customer is NULL or blank'),
                (31, 'aum_without_contract', '{info}', NULL,
                    '{aum} yuan in {violations} rows of the AUM detail whose customer has no contract'),
                (32, 'aum_without_product_line', '{info}', NULL,
                    '{aum} yuan in {violations} rows of the AUM detail whose customer has contracts, but none in that product line'),
                (33, 'aum_unattributed', '{info}', 0,
                    format('%s yuan are the sum of the last three lines; when the month was last written it was %s',
                        round(total.aum - total.attributed_aum, 2), coalesce(v_base.aum_unattributed::text, 'not counted'))),
                (34, 'rounding', '{info}', 0,
                    format('%s yuan: attributed AUM less the sum of aum_balance (%s) over supported rows',
                        total.attributed_aum - total.stored_aum, total.stored_aum))
        ) AS report (position, check_name, severities, violations, detail)
        CROSS JOIN LATERAL unnest(report.severities::text[]) AS severity (severity)
        LEFT JOIN counted
            ON counted.check_name = report.check_name
            AND counted.severity = severity.severity
    )
    SELECT
        verdict.check_name,
        verdict.severity,
        verdict.violations,
        verdict.detail,
        verdict.sample
    FROM (
        SELECT
            line.position,
            line.check_name,
            line.severity,
            line.violations,
            line.detail,
            line.sample
        FROM line
        UNION ALL
        SELECT
            0,
            'verdict',
            'info',
            0::bigint,
            concat(
                v_month_label,
                coalesce(
                    ' is not right: '
                    || string_agg(line.check_name, ', ' ORDER BY line.position) FILTER (WHERE line.severity = 'error' AND line.violations > 0),
                    ' is right'
                ),
                '. ',
                concat_ws(
                    '; ',
                    CASE
                        WHEN v_is_written THEN format(
                            'Written %s UTC by rule %s (log entry %s)', to_char(v_base.finished_at, 'YYYY-MM-DD HH24:MI'), v_rule, v_base.log_id
                        )
                        WHEN v_base.operation = 'discard' THEN format(
                            'Discarded %s UTC (log entry %s)', to_char(v_base.finished_at, 'YYYY-MM-DD HH24:MI'), v_base.log_id
                        )
                        ELSE 'Never written by the package'
                    END,
                    CASE
                        WHEN v_by_hand.log_id IS NOT NULL THEN format(
                            'changed by hand %s UTC (log entry %s)', to_char(v_by_hand.finished_at, 'YYYY-MM-DD HH24:MI'), v_by_hand.log_id
                        )
                    END,
                    CASE
                        WHEN v_is_closed THEN format(
                            'closed %s UTC (log entry %s)%s', to_char(v_control.closed_at, 'YYYY-MM-DD HH24:MI'), v_closing.log_id,
                            CASE WHEN v_closed_with_errors THEN ' although it had errors' END
                        )
                        ELSE 'open'
                    END,
                    'the sources say otherwise now: '
                    || string_agg(line.check_name, ', ' ORDER BY line.position) FILTER (WHERE line.severity = 'drift' AND line.violations > 0)
                ),
                '.'
            ),
            '[]'::jsonb
        FROM line
    ) AS verdict
    ORDER BY verdict.position, verdict.severity DESC;

    -- Only now are all tables locked that were read, partitions included.
    PERFORM customer.check_snapshot_sources_are_seen();
END
$$;

CALL customer.revoke_default_grants('customer.validate_monthly_snapshot(date)'::regprocedure);

COMMENT ON FUNCTION customer.validate_monthly_snapshot(date) IS
'快照校验: checks the snapshot of one month against itself, its log and its sources: every value is worked out anew, in another way than the refresh does it and by the rule with which the month was last written, and compared with what is stored. Writes nothing, also runs on a hot standby. A month is right if no check of severity error has violations; the first line says so in a sentence:
SELECT * FROM customer.validate_monthly_snapshot(''2026-01-31'') WHERE violations > 0 OR check_name = ''verdict'';

p_snapshot_month: any day of the month.

Returns one row a check and severity, always the same in the same order; a check that may be error or drift has one of each:
check_name: what was checked.
severity: what to do. error: the month is wrong; refresh or restate it, or find out who changed it. drift: the sources say otherwise now than when the month was written; nothing to be done, unless it shall be published anew. warning: something to know that the month cannot show. info: figures.
violations: rows found; for unmatched_ checks awards or losses, for aum_ checks rows of the AUM detail, for late_change contract versions. 0 if all is well.
detail: the finding in words, with figures; AUM in yuan.
sample: at most 5 of the keys found, company_id and product_line_code.

verdict (info): whether the month is right or which checks fail, when and by which rule it was written, whether it was changed by hand since, whether it is closed, and whether the sources say otherwise now.
Errors in any month, whatever the sources say: snapshot_exists (it holds no row), log_totals (rows and AUM are not what the log says: somebody changed rows past the triggers), control_row (customer.monthly_snapshot_control is not what the log says: somebody changed it by hand), control_totals (a closed month is not what was closed), summary (customer.monthly_status_summary, which the trend reads, is not what the rows say: somebody changed it by hand, or rows past the triggers), blank_key, duplicate_key, contradiction (is_new), orphaned_company, orphaned_product_line, source_reading (the package does not read what the source tables'' columns say).
Differences from the sources: product_line_name, is_strategic, is_existing, is_new, is_winning_this_year, is_churned_this_year, aum_balance, plan_count, missing_row (a contract and no row), unsupported_row (neither contract nor anything else that would keep the row).
They are errors in an open month that the package wrote, where refreshing it would and should end them: what is wrong with AUM; in rows that were changed by hand since the month was last written (not those that sql/merge_customers.sql moved), everything; in the newest month stored, what contracts, awards and losses say, but for contracts that began after it. All else is drift: contracts, awards and losses of later months, everything in a month that the package never wrote, and in a closed month. A closed month so never becomes wrong by the passing of time. One that was closed although it had errors keeps those of rows changed by hand.
Warnings: never_written (rows that the package never wrote, such as those of an adopted table), stale_row (no current contract supports the row, but one covers the last day of the month), unmatched_award, unmatched_loss, late_change (by rule as_of: versions changed after their last day, be it only to end them, if the contracts have a column updated_at, and the package may read it; their flags may be of later).
Info: temporary_customer (customers whose id is IN and 16 characters); aum_in_source = aum_attributed + aum_without_customer + aum_without_contract + aum_without_product_line; aum_unattributed, the sum of the last three, beside what it was when the month was last written; rounding.

Errors: SQLSTATE 22004 the month is NULL; 22023 it is infinite or outside the years 1 to 9999; 55000 a source table is not as it was when the package was deployed; 40001 a source table was emptied while this waited for it, or after the transaction''s snapshot: run it again.';

COMMIT;
