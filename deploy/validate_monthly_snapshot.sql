-- Deploy customer_monthly_snapshot:validate_monthly_snapshot to pg
-- requires: sources
-- requires: fct_customer_business_monthly_status
-- requires: monthly_snapshot_control
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
ROWS 30
SET search_path = pg_catalog, pg_temp
-- An error rather than a judgement on what a policy shows.
SET row_security = off
-- As in the refresh: tables that were never analysed.
SET enable_nestloop = off
SET jit = off
AS $$
DECLARE
    v_year integer;
    v_month integer;
    v_last_day date;
    v_rule text;
    v_last_event_day date;
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
    v_last_day := make_date(v_year + v_month / 12, v_month % 12 + 1, 1) - 1;

    PERFORM customer.check_snapshot_sources();

    -- A month that the package never wrote is held against today's contracts.
    v_rule := coalesce(
        (
            SELECT control.last_rule
            FROM customer.monthly_snapshot_control AS control
            WHERE control.snapshot_month = v_last_day
        ),
        'current'
    );
    v_last_event_day := CASE v_rule
        WHEN 'as_of' THEN v_last_day
        ELSE make_date(v_year, 12, 31)
    END;

    RETURN QUERY
    WITH version AS (
        SELECT
            contract.company_id COLLATE "C" AS company_id,
            contract.plan_code COLLATE "C" AS plan_code,
            contract.product_line_code COLLATE "C" AS product_line_code,
            contract.product_line_name COLLATE "C" AS product_line_name,
            contract.is_strategic,
            contract.is_existing,
            CASE v_rule
                WHEN 'as_of' THEN rank() OVER (
                    PARTITION BY
                        contract.company_id COLLATE "C",
                        contract.plan_code COLLATE "C",
                        contract.product_line_code COLLATE "C"
                    ORDER BY
                        contract.valid_from DESC,
                        contract.contract_id DESC
                )
                ELSE 1
            END AS newest_first
        FROM customer.source_contracts() AS contract
        WHERE CASE v_rule
            WHEN 'as_of' THEN v_last_day BETWEEN contract.valid_from AND contract.valid_to
            ELSE contract.is_current
        END
    ),
    fact AS (
        SELECT
            'contract' AS origin,
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
            NULL::integer AS plan_count
        FROM version
        WHERE version.newest_first = 1
        UNION ALL
        SELECT
            'award', award.company_id COLLATE "C", award.product_line_code COLLATE "C",
            NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL
        FROM customer.source_awards() AS award
        WHERE extract(year FROM award.reported_on) = v_year
            AND award.reported_on <= v_last_event_day
        UNION ALL
        SELECT
            'loss', loss.company_id COLLATE "C", loss.product_line_code COLLATE "C",
            NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL
        FROM customer.source_losses() AS loss
        WHERE extract(year FROM loss.reported_on) = v_year
            AND loss.reported_on <= v_last_event_day
        UNION ALL
        SELECT
            'detail', detail.company_id COLLATE "C", detail.product_line_code COLLATE "C",
            NULL, NULL, NULL, NULL, NULL, NULL, NULL, detail.amount, NULL
        FROM customer.source_aum() AS detail
        WHERE extract(year FROM detail.as_of) = v_year
            AND extract(month FROM detail.as_of) = v_month
        UNION ALL
        SELECT
            'stored', stored.company_id COLLATE "C", stored.product_line_code COLLATE "C",
            NULL, stored.product_line_name COLLATE "C", stored.is_strategic, stored.is_existing,
            stored.is_new, stored.is_winning_this_year, stored.is_churned_this_year,
            stored.aum_balance, stored.plan_count
        FROM customer.fct_customer_business_monthly_status AS stored
        WHERE stored.snapshot_month = v_last_day
    ),
    standing AS (
        SELECT
            fact.company_id,
            fact.product_line_code,
            count(*) FILTER (WHERE fact.origin = 'contract') > 0 AS is_supported,
            count(*) FILTER (WHERE fact.origin = 'stored') > 0 AS is_stored,
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
            max(fact.aum) FILTER (WHERE fact.origin = 'stored') AS stored_aum,
            max(fact.plan_count) AS stored_plans,
            coalesce(fact.company_id !~ '[^[:space:]]', TRUE) AS lacks_company,
            coalesce(fact.product_line_code !~ '[^[:space:]]', TRUE) AS lacks_product_line
        FROM fact
        GROUP BY fact.company_id, fact.product_line_code
    ),
    judged AS (
        SELECT
            standing.*,
            bool_or(standing.is_supported) OVER (PARTITION BY standing.company_id) AS has_contract,
            jsonb_build_object(
                'company_id', standing.company_id,
                'product_line_code', standing.product_line_code
            ) AS key
        FROM standing
    ),
    -- One row for each key that a check finds fault with; weight is what it counts.
    finding (check_name, key, weight, aum) AS (
        SELECT 'blank_key', judged.key, 1, NULL::numeric
        FROM judged
        WHERE judged.is_stored
            AND (judged.lacks_company OR judged.lacks_product_line)
        UNION ALL
        SELECT 'orphaned_company', judged.key, 1, NULL
        FROM judged
        WHERE judged.is_stored
            AND NOT EXISTS (
                SELECT 1
                FROM customer.source_customers() AS known
                WHERE known.company_id COLLATE "C" = judged.company_id
            )
        UNION ALL
        SELECT 'orphaned_product_line', judged.key, 1, NULL
        FROM judged
        WHERE judged.is_stored
            AND NOT EXISTS (
                SELECT 1
                FROM customer.source_product_lines() AS known
                WHERE known.product_line_code COLLATE "C" = judged.product_line_code
            )
        UNION ALL
        SELECT compared.check_name, judged.key, 1, NULL
        FROM judged
        CROSS JOIN LATERAL (
            VALUES
                ('product_line_name', judged.stored_name IS NOT DISTINCT FROM judged.name),
                ('is_strategic', judged.stored_strategic IS NOT DISTINCT FROM judged.strategic),
                ('is_existing', judged.stored_existing IS NOT DISTINCT FROM judged.existing),
                ('is_new', judged.stored_new IS NOT DISTINCT FROM (
                    judged.awards > 0 AND NOT CASE WHEN judged.is_supported THEN judged.existing ELSE judged.stored_existing END
                )),
                ('is_winning_this_year', judged.stored_winning IS NOT DISTINCT FROM (judged.awards > 0)),
                ('is_churned_this_year', judged.stored_churned IS NOT DISTINCT FROM (judged.losses > 0)),
                -- A table that holds NaN is wrong, even if a source says so.
                ('aum_balance', judged.stored_aum = round(judged.aum, 2) AND judged.stored_aum <> 'NaN'),
                ('plan_count', judged.stored_plans IS NOT DISTINCT FROM judged.plans)
        ) AS compared (check_name, is_right)
        WHERE judged.is_stored
            -- A stale row keeps what its contracts said.
            AND (
                judged.is_supported
                OR compared.check_name IN ('is_new', 'is_winning_this_year', 'is_churned_this_year', 'aum_balance')
            )
            AND NOT compared.is_right
        UNION ALL
        SELECT 'missing_row', judged.key, 1, judged.aum
        FROM judged
        WHERE judged.is_supported
            AND NOT judged.is_stored
        UNION ALL
        SELECT 'stale_row', judged.key, 1, judged.stored_aum
        FROM judged
        WHERE judged.is_stored
            AND NOT judged.is_supported
        UNION ALL
        SELECT 'unmatched_award', judged.key, judged.awards, NULL
        FROM judged
        WHERE judged.awards > 0
            AND NOT judged.is_stored
        UNION ALL
        SELECT 'unmatched_loss', judged.key, judged.losses, NULL
        FROM judged
        WHERE judged.losses > 0
            AND NOT judged.is_stored
        UNION ALL
        SELECT 'aum_without_customer', judged.key, judged.details, judged.aum
        FROM judged
        WHERE judged.details > 0
            AND NOT judged.is_supported
            AND judged.lacks_company
        UNION ALL
        SELECT 'aum_without_contract', judged.key, judged.details, judged.aum
        FROM judged
        WHERE judged.details > 0
            AND NOT judged.lacks_company
            AND NOT judged.has_contract
        UNION ALL
        SELECT 'aum_without_product_line', judged.key, judged.details, judged.aum
        FROM judged
        WHERE judged.details > 0
            AND NOT judged.is_supported
            AND NOT judged.lacks_company
            AND judged.has_contract
    ),
    counted AS (
        SELECT
            ranked.check_name,
            sum(ranked.weight)::bigint AS violations,
            sum(ranked.aum) AS aum,
            jsonb_agg(ranked.key ORDER BY ranked.position) FILTER (WHERE ranked.position <= 5) AS sample
        FROM (
            SELECT
                finding.*,
                row_number() OVER (
                    PARTITION BY finding.check_name
                    ORDER BY finding.key ->> 'company_id' COLLATE "C", finding.key ->> 'product_line_code' COLLATE "C"
                ) AS position
            FROM finding
        ) AS ranked
        GROUP BY ranked.check_name
    ),
    total AS (
        SELECT
            count(*) FILTER (WHERE judged.is_stored) AS stored_rows,
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
                WHERE NOT judged.is_stored AND NOT judged.lacks_company AND NOT judged.has_contract
            ), 0) AS awards_without_contract,
            coalesce(sum(judged.losses) FILTER (
                WHERE NOT judged.is_stored AND (judged.lacks_company OR judged.lacks_product_line)
            ), 0) AS losses_without_key,
            coalesce(sum(judged.losses) FILTER (
                WHERE NOT judged.is_stored AND NOT judged.lacks_company AND NOT judged.has_contract
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
                FROM customer.source_control_totals(make_date(v_year, v_month, 1), v_last_day, v_last_event_day) AS raw
            ) AS misread
        FROM judged
    )
    SELECT
        report.check_name,
        report.severity,
        coalesce(report.violations, counted.violations, 0),
        replace(replace(
            report.detail,
            '{violations}', coalesce(report.violations, counted.violations, 0)::text),
            '{aum}', coalesce(counted.aum, 0)::text
        ),
        coalesce(counted.sample, '[]')
    FROM total
    CROSS JOIN LATERAL (
        VALUES
            (1, 'snapshot_exists', 'error', (total.stored_rows = 0)::integer::bigint,
                format('%s holds %s rows; the sources support %s by rule %s',
                    to_char(v_last_day, 'YYYY-MM-DD'), total.stored_rows, total.supported_rows, v_rule)),
            (2, 'blank_key', 'error', NULL,
                '{violations} rows with a blank company_id or product_line_code'),
            (3, 'orphaned_company', 'error', NULL,
                '{violations} rows whose company_id is no customer of the source system'),
            (4, 'orphaned_product_line', 'error', NULL,
                '{violations} rows whose product_line_code is no product line of the source system'),
            (5, 'product_line_name', 'error', NULL,
                '{violations} rows whose product_line_name is not what their contracts say'),
            (6, 'is_strategic', 'error', NULL,
                '{violations} rows whose is_strategic (战客) is not what their contracts say'),
            (7, 'is_existing', 'error', NULL,
                '{violations} rows whose is_existing (已客) is not what their contracts say'),
            (8, 'is_new', 'error', NULL,
                '{violations} rows whose is_new (新客) is not what their awards and contracts say'),
            (9, 'is_winning_this_year', 'error', NULL,
                format('{violations} rows whose is_winning_this_year is not what 当年中标 says of %s', v_year)),
            (10, 'is_churned_this_year', 'error', NULL,
                format('{violations} rows whose is_churned_this_year is not what 当年流失 says of %s', v_year)),
            (11, 'aum_balance', 'error', NULL,
                '{violations} rows whose aum_balance is not the sum of 期末资产规模, rounded to 2 decimals'),
            (12, 'plan_count', 'error', NULL,
                '{violations} rows whose plan_count is not the number of their plans'),
            (13, 'missing_row', 'error', NULL,
                '{violations} customers'' product lines have a contract and no row; {aum} yuan of AUM'),
            (14, 'stale_row', 'warning', NULL,
                '{violations} rows that no contract supports; they carry {aum} yuan'),
            (15, 'unmatched_award', 'warning', NULL,
                format('{violations} of the %s awards of %s match no row: %s lack a key, %s name a customer without a contract',
                    total.awards, v_year, total.awards_without_key, total.awards_without_contract)),
            (16, 'unmatched_loss', 'warning', NULL,
                format('{violations} of the %s losses of %s match no row: %s lack a key, %s name a customer without a contract',
                    total.losses, v_year, total.losses_without_key, total.losses_without_contract)),
            (17, 'source_reading', 'error', total.misread,
                '{violations} control totals are not those of the source tables: current contracts, awards, losses, rows or sum of the AUM detail'),
            (18, 'aum_in_source', 'info', 0,
                format('%s yuan of 期末资产规模 in %s rows of the AUM detail; the next four lines add up to it',
                    total.aum, total.details)),
            (19, 'aum_attributed', 'info', 0,
                format('%s yuan belong to rows of the snapshot, before rounding', total.attributed_aum)),
            (20, 'aum_without_customer', 'info', NULL,
                '{aum} yuan in {violations} rows of the AUM detail whose customer is NULL or blank'),
            (21, 'aum_without_contract', 'info', NULL,
                '{aum} yuan in {violations} rows of the AUM detail whose customer has no contract'),
            (22, 'aum_without_product_line', 'info', NULL,
                '{aum} yuan in {violations} rows of the AUM detail whose customer has contracts, but none in that product line'),
            (23, 'rounding', 'info', 0,
                format('%s yuan: attributed AUM less the sum of aum_balance (%s) over supported rows',
                    total.attributed_aum - total.stored_aum, total.stored_aum))
    ) AS report (position, check_name, severity, violations, detail)
    LEFT JOIN counted
        ON counted.check_name = report.check_name
    ORDER BY report.position;
END
$$;

CALL customer.revoke_default_grants('customer.validate_monthly_snapshot(date)'::regprocedure);

COMMENT ON FUNCTION customer.validate_monthly_snapshot(date) IS
'Checks the snapshot of one month against its sources: every value is worked out anew, in another way than the refresh does it and by the rule with which the month was last written, and compared with what is stored. Writes nothing, also runs on a hot standby. A month is right if no check of severity error has violations:
SELECT * FROM customer.validate_monthly_snapshot(''2026-01-31'') WHERE violations > 0;

p_snapshot_month: any day of the month.

Returns one row a check, always the same checks in the same order:
check_name: what was checked.
severity: error (the snapshot is wrong), warning (the sources hold something that the snapshot cannot show), info (figures that reconcile AUM).
violations: rows found; for unmatched_ checks awards or losses, for aum_ checks rows of the AUM detail. 0 if all is well.
detail: the finding in words, with figures; AUM in yuan.
sample: at most 5 of the keys found, company_id and product_line_code.

Checks: snapshot_exists, blank_key, orphaned_company, orphaned_product_line, product_line_name, is_strategic, is_existing, is_new, is_winning_this_year, is_churned_this_year, aum_balance, plan_count, missing_row (error); stale_row, unmatched_award, unmatched_loss (warning); source_reading (error; what the package reads is what the source tables'' columns say); aum_in_source = aum_attributed + aum_without_customer + aum_without_contract + aum_without_product_line, and rounding (info). What changed at the sources after the refresh shows as an error, too: refresh again.

Errors: SQLSTATE 22004 the month is NULL; 22023 it is infinite or outside the years 1 to 9999; 55000 a source table is not as it was when the package was deployed.';

COMMIT;
