-- Deploy customer_monthly_snapshot:monthly_status_summary to pg
-- requires: sources
-- requires: fct_customer_business_monthly_status
-- requires: monthly_snapshot_control
-- The aggregate fact table: each month added up by product line, and as a whole, so that a trend
-- costs the same however many customers there are.

SET client_encoding = 'UTF8';

BEGIN;

-- What others made in public is not for the package to use.
SET LOCAL search_path = pg_catalog, pg_temp;

-- Only what a month says by itself: what compares two months is worked out when it is read, so that
-- whoever writes a month need not touch the next one's.
CREATE TABLE IF NOT EXISTS customer.monthly_status_summary (
    snapshot_month DATE NOT NULL,
    product_line_code VARCHAR(20),
    product_line_name VARCHAR(50),
    row_count BIGINT NOT NULL,
    customers BIGINT NOT NULL,
    customers_with_aum BIGINT NOT NULL,
    strategic_customers BIGINT NOT NULL,
    existing_customers BIGINT NOT NULL,
    new_this_year_customers BIGINT NOT NULL,
    winning_this_year_customers BIGINT NOT NULL,
    churned_this_year_customers BIGINT NOT NULL,
    plans BIGINT NOT NULL,
    aum_balance NUMERIC NOT NULL,
    strategic_aum NUMERIC NOT NULL,
    stale_rows BIGINT NOT NULL,
    stale_aum NUMERIC NOT NULL,
    CONSTRAINT monthly_status_summary_key UNIQUE NULLS NOT DISTINCT (snapshot_month, product_line_code)
);

-- A logical replica finds its rows without a primary key, which NULL would not go into.
ALTER TABLE customer.monthly_status_summary REPLICA IDENTITY FULL;

CREATE OR REPLACE FUNCTION customer.stale_rows_by_product_line(p_snapshot_month date)
RETURNS jsonb
LANGUAGE sql
STABLE
SET search_path = pg_catalog, pg_temp
SET row_security = off
-- As in the refresh: tables that were never analysed.
SET enable_nestloop = off
SET jit = off
AS $$
    WITH supported AS (
        SELECT DISTINCT
            company_id COLLATE "C" AS company_id,
            product_line_code COLLATE "C" AS product_line_code
        FROM customer.source_contracts()
        WHERE CASE (SELECT last_rule FROM customer.monthly_snapshot_control WHERE snapshot_month = p_snapshot_month)
            WHEN 'as_of' THEN p_snapshot_month BETWEEN valid_from AND valid_to
            ELSE is_current
        END
    ),
    stale AS (
        SELECT
            stored.product_line_code COLLATE "C" AS product_line_code,
            count(*) AS stale_rows,
            sum(stored.aum_balance) AS stale_aum
        FROM customer.fct_customer_business_monthly_status AS stored
        LEFT JOIN supported
            ON supported.company_id = stored.company_id
            AND supported.product_line_code = stored.product_line_code
        WHERE stored.snapshot_month = p_snapshot_month
            AND supported.company_id IS NULL
        GROUP BY 1
    )
    SELECT coalesce(jsonb_agg(to_jsonb(stale) ORDER BY stale.product_line_code), '[]')
    FROM stale
$$;

CREATE OR REPLACE FUNCTION customer.summarise_snapshot_month(p_snapshot_month date, p_stale jsonb DEFAULT NULL)
RETURNS void
LANGUAGE sql
SET search_path = pg_catalog, pg_temp
SET row_security = off
SET jit = off
AS $$
    -- Those who change the month have its lock already; who mends a summary by hand waits for them.
    SELECT
    FROM customer.monthly_snapshot_control
    WHERE snapshot_month = p_snapshot_month
    FOR UPDATE;

    DELETE FROM customer.monthly_status_summary
    WHERE snapshot_month = p_snapshot_month;

    WITH line AS (
        SELECT
            stored.product_line_code COLLATE "C" AS product_line_code,
            max(stored.product_line_name COLLATE "C") AS product_line_name,
            count(*) AS customers,
            count(*) FILTER (WHERE stored.aum_balance <> 0) AS customers_with_aum,
            count(*) FILTER (WHERE stored.is_strategic) AS strategic_customers,
            count(*) FILTER (WHERE stored.is_existing) AS existing_customers,
            count(*) FILTER (WHERE stored.is_new) AS new_this_year_customers,
            count(*) FILTER (WHERE stored.is_winning_this_year) AS winning_this_year_customers,
            count(*) FILTER (WHERE stored.is_churned_this_year) AS churned_this_year_customers,
            sum(stored.plan_count) AS plans,
            sum(stored.aum_balance) AS aum_balance,
            coalesce(sum(stored.aum_balance) FILTER (WHERE stored.is_strategic), 0.00) AS strategic_aum
        FROM customer.fct_customer_business_monthly_status AS stored
        WHERE stored.snapshot_month = p_snapshot_month
        GROUP BY 1
    ),
    line_with_stale AS (
        SELECT
            line.*,
            coalesce(stale.stale_rows, 0) AS stale_rows,
            coalesce(stale.stale_aum, 0.00) AS stale_aum
        FROM line
        LEFT JOIN jsonb_to_recordset(coalesce(p_stale, customer.stale_rows_by_product_line(p_snapshot_month)))
            AS stale (product_line_code varchar, stale_rows bigint, stale_aum numeric)
            ON stale.product_line_code = line.product_line_code
    ),
    -- In the month as a whole a customer counts once, however many product lines it holds.
    each_customer AS (
        SELECT
            sum(stored.aum_balance) <> 0 AS has_aum,
            bool_or(stored.is_strategic) AS is_strategic,
            bool_or(stored.is_existing) AS is_existing,
            bool_or(stored.is_new) AS is_new,
            bool_or(stored.is_winning_this_year) AS is_winning_this_year,
            bool_or(stored.is_churned_this_year) AS is_churned_this_year
        FROM customer.fct_customer_business_monthly_status AS stored
        WHERE stored.snapshot_month = p_snapshot_month
        GROUP BY stored.company_id COLLATE "C"
    ),
    customer_total AS (
        SELECT
            count(*) AS customers,
            count(*) FILTER (WHERE has_aum) AS customers_with_aum,
            count(*) FILTER (WHERE is_strategic) AS strategic_customers,
            count(*) FILTER (WHERE is_existing) AS existing_customers,
            count(*) FILTER (WHERE is_new) AS new_this_year_customers,
            count(*) FILTER (WHERE is_winning_this_year) AS winning_this_year_customers,
            count(*) FILTER (WHERE is_churned_this_year) AS churned_this_year_customers
        FROM each_customer
    ),
    line_total AS (
        SELECT
            sum(customers) AS row_count,
            sum(plans) AS plans,
            sum(aum_balance) AS aum_balance,
            sum(strategic_aum) AS strategic_aum,
            sum(stale_rows) AS stale_rows,
            sum(stale_aum) AS stale_aum
        FROM line_with_stale
        -- A month without rows has no summary.
        HAVING count(*) > 0
    )
    INSERT INTO customer.monthly_status_summary (
        snapshot_month,
        product_line_code,
        product_line_name,
        row_count,
        customers,
        customers_with_aum,
        strategic_customers,
        existing_customers,
        new_this_year_customers,
        winning_this_year_customers,
        churned_this_year_customers,
        plans,
        aum_balance,
        strategic_aum,
        stale_rows,
        stale_aum
    )
    SELECT
        p_snapshot_month,
        product_line_code,
        product_line_name,
        customers AS row_count,
        customers,
        customers_with_aum,
        strategic_customers,
        existing_customers,
        new_this_year_customers,
        winning_this_year_customers,
        churned_this_year_customers,
        plans,
        aum_balance,
        strategic_aum,
        stale_rows,
        stale_aum
    FROM line_with_stale
    UNION ALL
    SELECT
        p_snapshot_month,
        NULL,
        NULL,
        line_total.row_count,
        customer_total.customers,
        customer_total.customers_with_aum,
        customer_total.strategic_customers,
        customer_total.existing_customers,
        customer_total.new_this_year_customers,
        customer_total.winning_this_year_customers,
        customer_total.churned_this_year_customers,
        line_total.plans,
        line_total.aum_balance,
        line_total.strategic_aum,
        line_total.stale_rows,
        line_total.stale_aum
    FROM line_total
    CROSS JOIN customer_total;

    UPDATE customer.monthly_snapshot_control AS control
    SET stale_rows = coalesce(
        (
            SELECT summary.stale_rows
            FROM customer.monthly_status_summary AS summary
            WHERE summary.snapshot_month = control.snapshot_month
                AND summary.product_line_code IS NULL
        ),
        0
    )
    WHERE control.snapshot_month = p_snapshot_month;
$$;

CALL customer.revoke_default_grants('customer.monthly_status_summary'::regclass);
CALL customer.revoke_default_grants('customer.stale_rows_by_product_line(date)'::regprocedure);
CALL customer.revoke_default_grants('customer.summarise_snapshot_month(date, jsonb)'::regprocedure);

COMMENT ON TABLE customer.monthly_status_summary IS
'月度汇总表: aggregate fact table of the customer monthly snapshot, with a row for each stored month and product line, and one for each month as a whole (product_line_code NULL). Brought up to date by whatever changes rows of customer.fct_customer_business_monthly_status, in the same transaction. Read it through customer.monthly_status_trend and customer.monthly_status_total, in which nothing stands twice; customer.validate_monthly_snapshot holds it against the rows.';
COMMENT ON COLUMN customer.monthly_status_summary.snapshot_month IS
'快照月份: the month, as its last day (2026-01-31 is January 2026).';
COMMENT ON COLUMN customer.monthly_status_summary.product_line_code IS
'产品线代码: the product line. NULL: the month as a whole, in which a customer counts once.';
COMMENT ON COLUMN customer.monthly_status_summary.product_line_name IS
'产品线名称: its name, the greatest in byte order if the rows differ. NULL for the month as a whole.';
COMMENT ON COLUMN customer.monthly_status_summary.row_count IS
'快照行数: rows of the fact table.';
COMMENT ON COLUMN customer.monthly_status_summary.customers IS
'客户数: distinct customers.';
COMMENT ON COLUMN customer.monthly_status_summary.customers_with_aum IS
'有规模客户数: customers whose AUM, added up over the product lines that the row is about, is not 0.';
COMMENT ON COLUMN customer.monthly_status_summary.strategic_customers IS
'战客数: customers with a row that is_strategic.';
COMMENT ON COLUMN customer.monthly_status_summary.existing_customers IS
'已客数: customers with a row that is_existing.';
COMMENT ON COLUMN customer.monthly_status_summary.new_this_year_customers IS
'当年新客数: customers with a row that is_new.';
COMMENT ON COLUMN customer.monthly_status_summary.winning_this_year_customers IS
'当年中标客户数: customers with a row that is_winning_this_year.';
COMMENT ON COLUMN customer.monthly_status_summary.churned_this_year_customers IS
'当年流失客户数: customers with a row that is_churned_this_year.';
COMMENT ON COLUMN customer.monthly_status_summary.plans IS
'计划数合计: sum of plan_count.';
COMMENT ON COLUMN customer.monthly_status_summary.aum_balance IS
'期末资产规模: sum of aum_balance, yuan.';
COMMENT ON COLUMN customer.monthly_status_summary.strategic_aum IS
'战客资产规模: sum of aum_balance over rows that are is_strategic, yuan.';
COMMENT ON COLUMN customer.monthly_status_summary.stale_rows IS
'无对应合同行数: rows that no contract of the month''s rule supported when rows of the month, or contracts behind them, were last seen to change.';
COMMENT ON COLUMN customer.monthly_status_summary.stale_aum IS
'无对应合同资产规模: sum of aum_balance over the stale rows, yuan.';
COMMENT ON CONSTRAINT monthly_status_summary_key ON customer.monthly_status_summary IS
'One row a month and product line, and one a month.';
COMMENT ON INDEX customer.monthly_status_summary_key IS
'Finds a month, and a product line in it.';
COMMENT ON FUNCTION customer.stale_rows_by_product_line(date) IS
'Internal: the rows of a month that no contract of its rule supports now, as customer.summarise_snapshot_month takes them: an array of {"product_line_code", "stale_rows", "stale_aum"}, empty if there is none. A month that the package never wrote goes by current contracts.
p_snapshot_month: the last day of a month. Raises what reading the contracts raises.';
COMMENT ON FUNCTION customer.summarise_snapshot_month(date, jsonb) IS
'Internal: adds up the rows of a month into customer.monthly_status_summary, and says in customer.monthly_snapshot_control how many of them are stale. Called by whatever changes rows. Where validation finds that summary and rows differ, and the rows are right, the owner of the package mends the summary with it, also in a closed month: SELECT customer.summarise_snapshot_month(''2026-01-31'');
p_snapshot_month: the last day of a month, whose lock it takes. p_stale: its stale rows, as customer.stale_rows_by_product_line gives them; NULL counts them anew. Raises what reading the contracts raises.';

COMMIT;
