-- Deploy customer_monthly_snapshot:monthly_status_trend to pg
-- requires: sources
-- requires: monthly_snapshot_control
-- requires: monthly_status_summary
-- What BI reads over time: a row a month and product line, beside the month before and the year before.

SET client_encoding = 'UTF8';

BEGIN;

-- What others made in public is not for the package to use.
SET LOCAL search_path = pg_catalog, pg_temp;

CREATE OR REPLACE VIEW customer.monthly_status_trend AS
WITH stored_month AS NOT MATERIALIZED (
    SELECT
        snapshot_month,
        snapshot_month - extract(day FROM snapshot_month)::integer AS previous_month,
        -- A year before the first day of the next month, less one day: the last of February, too.
        ((snapshot_month + 1)::timestamp - INTERVAL '1 year')::date - 1 AS year_ago_month
    FROM customer.monthly_status_summary
    WHERE product_line_code IS NULL
),
product_line AS (
    SELECT
        snapshot_month,
        product_line_code,
        product_line_name,
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
    FROM customer.monthly_status_summary
    WHERE product_line_code IS NOT NULL
    UNION ALL
    -- What was there the month before and is gone: a line in a chart ends at 0.
    SELECT
        stored_month.snapshot_month,
        gone.product_line_code,
        gone.product_line_name,
        0,
        0,
        0,
        0,
        0,
        0,
        0,
        0,
        0.00,
        0.00,
        0,
        0.00
    FROM stored_month
    JOIN customer.monthly_status_summary AS gone
        ON gone.snapshot_month = stored_month.previous_month
        AND gone.product_line_code IS NOT NULL
    LEFT JOIN customer.monthly_status_summary AS still_there
        ON still_there.snapshot_month = stored_month.snapshot_month
        AND still_there.product_line_code = gone.product_line_code
    WHERE still_there.snapshot_month IS NULL
),
compared AS (
    SELECT
        this.*,
        CASE WHEN previous.snapshot_month IS NOT NULL THEN coalesce(line_before.aum_balance, 0.00) END AS previous_aum_balance,
        CASE WHEN year_ago.snapshot_month IS NOT NULL THEN coalesce(line_year_ago.customers_with_aum, 0) END AS year_ago_customers_with_aum,
        CASE WHEN year_ago.snapshot_month IS NOT NULL THEN coalesce(line_year_ago.aum_balance, 0.00) END AS year_ago_aum_balance
    FROM product_line AS this
    JOIN stored_month
        ON stored_month.snapshot_month = this.snapshot_month
    LEFT JOIN customer.monthly_status_summary AS previous
        ON previous.snapshot_month = stored_month.previous_month
        AND previous.product_line_code IS NULL
    LEFT JOIN customer.monthly_status_summary AS line_before
        ON line_before.snapshot_month = stored_month.previous_month
        AND line_before.product_line_code = this.product_line_code
    LEFT JOIN customer.monthly_status_summary AS year_ago
        ON year_ago.snapshot_month = stored_month.year_ago_month
        AND year_ago.product_line_code IS NULL
    LEFT JOIN customer.monthly_status_summary AS line_year_ago
        ON line_year_ago.snapshot_month = stored_month.year_ago_month
        AND line_year_ago.product_line_code = this.product_line_code
)
SELECT
    compared.snapshot_month,
    compared.product_line_code,
    compared.product_line_name,
    compared.customers,
    compared.customers_with_aum,
    compared.strategic_customers,
    compared.existing_customers,
    compared.new_this_year_customers,
    compared.winning_this_year_customers,
    compared.churned_this_year_customers,
    compared.plans,
    compared.aum_balance,
    compared.strategic_aum,
    compared.stale_rows,
    compared.stale_aum,
    compared.aum_balance - compared.previous_aum_balance AS aum_change,
    CASE
        WHEN compared.previous_aum_balance > 0
            THEN round((compared.aum_balance - compared.previous_aum_balance) / compared.previous_aum_balance, 4)
    END AS aum_change_ratio,
    compared.year_ago_customers_with_aum,
    compared.year_ago_aum_balance,
    compared.aum_balance - compared.year_ago_aum_balance AS year_ago_aum_change,
    CASE
        WHEN compared.year_ago_aum_balance > 0
            THEN round((compared.aum_balance - compared.year_ago_aum_balance) / compared.year_ago_aum_balance, 4)
    END AS year_ago_aum_change_ratio,
    control.last_rule AS rule,
    control.closed_at IS NOT NULL AS is_closed,
    control.last_changed_at
FROM compared
LEFT JOIN customer.monthly_snapshot_control AS control
    ON control.snapshot_month = compared.snapshot_month;

CALL customer.revoke_default_grants('customer.monthly_status_trend'::regclass);

COMMENT ON VIEW customer.monthly_status_trend IS
'月度趋势（按产品线）: the trend by product line, one row for each stored month and product line, from customer.monthly_status_summary, so that it costs the same at any number of customers. Holds no total, so that a tool may add its lines up: AUM, plans and stale columns then give those of customer.monthly_status_total; customers do not, since one who holds two lines counts in each. A product line that was there the calendar month before and is gone has a row with 0 customers. Counts every stored row, stale ones included.';
COMMENT ON COLUMN customer.monthly_status_trend.snapshot_month IS
'快照月份: the month, as its last day (2026-01-31 is January 2026).';
COMMENT ON COLUMN customer.monthly_status_trend.product_line_code IS
'产品线代码: the product line, such as PL202; customer.dim_product_line has today''s name and categories.';
COMMENT ON COLUMN customer.monthly_status_trend.product_line_name IS
'产品线名称: name of the product line as stored in the month, the greatest in byte order if its rows differ. customer.dim_product_line has today''s.';
COMMENT ON COLUMN customer.monthly_status_trend.customers IS
'客户数: customers, which are rows of the product line; 0 where it was there the month before and is gone. Adds up over product lines: no, a customer of two lines counts in each. Adds up over months: no.';
COMMENT ON COLUMN customer.monthly_status_trend.customers_with_aum IS
'有规模客户数: customers with AUM, which are rows whose aum_balance is not 0. Adds up over product lines: no, a customer of two lines counts in each. Adds up over months: no.';
COMMENT ON COLUMN customer.monthly_status_trend.strategic_customers IS
'战客数: strategic customers (is_strategic). Adds up over product lines: no, a customer of two lines counts in each. Adds up over months: no.';
COMMENT ON COLUMN customer.monthly_status_trend.existing_customers IS
'已客数: existing customers (is_existing). Adds up over product lines: no, a customer of two lines counts in each. Adds up over months: no.';
COMMENT ON COLUMN customer.monthly_status_trend.new_this_year_customers IS
'当年新客数: new customers of the calendar year (is_new), with an award since January, and not an existing customer. New in the year, not in the month: customer.monthly_status_bridge says who started in the month. Adds up over product lines: no, a customer of two lines counts in each. Adds up over months: no.';
COMMENT ON COLUMN customer.monthly_status_trend.winning_this_year_customers IS
'当年中标客户数: customers with an award reported in the calendar year (is_winning_this_year): up to the month by rule as_of, in the whole year by rule current. Awards that no row shows are in customer.unmatched_awards_and_losses. Adds up over product lines: no, a customer of two lines counts in each. Adds up over months: no.';
COMMENT ON COLUMN customer.monthly_status_trend.churned_this_year_customers IS
'当年流失客户数: customers with a loss reported in the calendar year (is_churned_this_year): up to the month by rule as_of, in the whole year by rule current. It counts those who still have a row: who left and has none is in customer.unmatched_awards_and_losses, and must be added to a rate of reported losses. Adds up over product lines: no, a customer of two lines counts in each. Adds up over months: no.';
COMMENT ON COLUMN customer.monthly_status_trend.plans IS
'计划数合计: sum of plan_count. A plan of two customers, or in two product lines, counts for each. Adds up over product lines: yes. Over months: no, it is a balance.';
COMMENT ON COLUMN customer.monthly_status_trend.aum_balance IS
'期末资产规模: AUM at month end, yuan, negative amounts included. Adds up over product lines: yes. Over months: no, it is a balance.';
COMMENT ON COLUMN customer.monthly_status_trend.strategic_aum IS
'战客资产规模: AUM of the rows marked strategic, yuan. A customer that is strategic in one product line counts with that line only. Adds up over product lines: yes. Over months: no, it is a balance.';
COMMENT ON COLUMN customer.monthly_status_trend.stale_rows IS
'无对应合同行数: rows that no contract of the month''s rule supported when the month was last written or changed. They are included in all that stands before. Adds up over product lines: yes. Over months: no, it is a state.';
COMMENT ON COLUMN customer.monthly_status_trend.stale_aum IS
'无对应合同资产规模: AUM of the stale rows, yuan; included in aum_balance. Adds up over product lines: yes. Over months: no, it is a balance.';
COMMENT ON COLUMN customer.monthly_status_trend.aum_change IS
'月环比变动额: aum_balance less that of the calendar month before, yuan. NULL if that month is not stored; a product line that it does not hold counts as 0. Adds up over product lines: yes. Over months: yes, if none is missing.';
COMMENT ON COLUMN customer.monthly_status_trend.aum_change_ratio IS
'月环比变动率: aum_change divided by the AUM of the calendar month before, 4 decimals (0.0125 is 1.25 %). NULL if that month is not stored or its AUM is not above 0. Adds up: no.';
COMMENT ON COLUMN customer.monthly_status_trend.year_ago_customers_with_aum IS
'上年同期有规模客户数: customers_with_aum of the same month a year before. NULL if that month is not stored; a product line that it does not hold counts as 0. Adds up over product lines: no, a customer of two lines counts in each. Adds up over months: no.';
COMMENT ON COLUMN customer.monthly_status_trend.year_ago_aum_balance IS
'上年同期资产规模: aum_balance of the same month a year before, yuan. NULL if that month is not stored; a product line that it does not hold counts as 0. Adds up over product lines: yes, but for lines that neither this month nor the one before holds. Over months: no.';
COMMENT ON COLUMN customer.monthly_status_trend.year_ago_aum_change IS
'同比变动额: aum_balance less that of the same month a year before, yuan. NULL if that month is not stored. Adds up over product lines: yes, but for lines that neither this month nor the one before holds. Over months: no.';
COMMENT ON COLUMN customer.monthly_status_trend.year_ago_aum_change_ratio IS
'同比变动率: year_ago_aum_change divided by the AUM of the same month a year before, 4 decimals. NULL if that month is not stored or its AUM is not above 0. Adds up: no.';
COMMENT ON COLUMN customer.monthly_status_trend.rule IS
'取数口径: the rule by which the month was last written: current (the contracts of the day on which it was refreshed, awards and losses of the whole calendar year) or as_of (the contracts of its last day, awards and losses up to it). NULL: the package never wrote it. Months of different rules do not compare in the calendar-year marks.';
COMMENT ON COLUMN customer.monthly_status_trend.is_closed IS
'是否已关账: whether the month is closed (customer.close_snapshot_month), so that its numbers are final.';
COMMENT ON COLUMN customer.monthly_status_trend.last_changed_at IS
'最近变更时间: when rows of the month last changed. A refresh that found the month right did not change it.';

COMMIT;
