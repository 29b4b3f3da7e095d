-- Deploy customer_monthly_snapshot:monthly_status_total to pg
-- requires: sources
-- requires: monthly_snapshot_control
-- requires: monthly_snapshot_log
-- requires: monthly_status_summary
-- What BI reads over time: a row a month, in which a customer counts once.

SET client_encoding = 'UTF8';

BEGIN;

-- What others made in public is not for the package to use.
SET LOCAL search_path = pg_catalog, pg_temp;

CREATE OR REPLACE VIEW customer.monthly_status_total AS
WITH total AS (
    SELECT *
    FROM customer.monthly_status_summary
    WHERE product_line_code IS NULL
)
SELECT
    this.snapshot_month,
    this.customers,
    this.customers_with_aum,
    this.strategic_customers,
    this.existing_customers,
    this.new_this_year_customers,
    this.winning_this_year_customers,
    this.churned_this_year_customers,
    this.plans,
    this.aum_balance,
    this.strategic_aum,
    this.stale_rows,
    this.stale_aum,
    this.aum_balance - previous.aum_balance AS aum_change,
    CASE
        WHEN previous.aum_balance > 0
            THEN round((this.aum_balance - previous.aum_balance) / previous.aum_balance, 4)
    END AS aum_change_ratio,
    year_ago.customers_with_aum AS year_ago_customers_with_aum,
    year_ago.aum_balance AS year_ago_aum_balance,
    this.aum_balance - year_ago.aum_balance AS year_ago_aum_change,
    CASE
        WHEN year_ago.aum_balance > 0
            THEN round((this.aum_balance - year_ago.aum_balance) / year_ago.aum_balance, 4)
    END AS year_ago_aum_change_ratio,
    control.last_rule AS rule,
    control.closed_at IS NOT NULL AS is_closed,
    control.last_changed_at,
    this.row_count,
    written.aum_unattributed
FROM total AS this
LEFT JOIN total AS previous
    ON previous.snapshot_month = this.snapshot_month - extract(day FROM this.snapshot_month)::integer
-- A year before the first day of the next month, less one day: the last of February, too.
LEFT JOIN total AS year_ago
    ON year_ago.snapshot_month = ((this.snapshot_month + 1)::timestamp - INTERVAL '1 year')::date - 1
LEFT JOIN customer.monthly_snapshot_control AS control
    ON control.snapshot_month = this.snapshot_month
LEFT JOIN LATERAL (
    SELECT entry.aum_unattributed
    FROM customer.monthly_snapshot_log AS entry
    WHERE entry.snapshot_month = this.snapshot_month
        AND entry.operation IN ('refresh', 'restate')
    ORDER BY entry.log_id DESC
    LIMIT 1
) AS written
    -- What was refreshed and discarded since is no longer there.
    ON control.last_rule IS NOT NULL;

CALL customer.revoke_default_grants('customer.monthly_status_total'::regclass);

COMMENT ON VIEW customer.monthly_status_total IS
'月度趋势（合计）: the trend of the whole, one row for each stored month, from customer.monthly_status_summary. A customer counts once: its AUM is the sum over its product lines, and a flag is true if that of any line is. Counts every stored row, stale ones included.';
COMMENT ON COLUMN customer.monthly_status_total.snapshot_month IS
'快照月份: the month, as its last day (2026-01-31 is January 2026).';
COMMENT ON COLUMN customer.monthly_status_total.customers IS
'客户数: distinct customers of the month. Each customer once, however many product lines it holds. Adds up over months: no.';
COMMENT ON COLUMN customer.monthly_status_total.customers_with_aum IS
'有规模客户数: customers whose aum_balance, added up over their product lines, is not 0. Each customer once, however many product lines it holds. Adds up over months: no.';
COMMENT ON COLUMN customer.monthly_status_total.strategic_customers IS
'战客数: strategic customers (is_strategic). A customer counts if any of its rows is. Each customer once, however many product lines it holds. Adds up over months: no.';
COMMENT ON COLUMN customer.monthly_status_total.existing_customers IS
'已客数: existing customers (is_existing). A customer counts if any of its rows is. Each customer once, however many product lines it holds. Adds up over months: no.';
COMMENT ON COLUMN customer.monthly_status_total.new_this_year_customers IS
'当年新客数: new customers of the calendar year (is_new), with an award since January, and not an existing customer. New in the year, not in the month: customer.monthly_status_bridge_total says who started in the month. A customer counts if any of its rows is. Each customer once, however many product lines it holds. Adds up over months: no.';
COMMENT ON COLUMN customer.monthly_status_total.winning_this_year_customers IS
'当年中标客户数: customers with an award reported in the calendar year (is_winning_this_year): up to the month by rule as_of, in the whole year by rule current. A customer counts if any of its rows is. Awards that no row shows are in customer.unmatched_awards_and_losses. Each customer once, however many product lines it holds. Adds up over months: no.';
COMMENT ON COLUMN customer.monthly_status_total.churned_this_year_customers IS
'当年流失客户数: customers with a loss reported in the calendar year (is_churned_this_year): up to the month by rule as_of, in the whole year by rule current. It counts those who still have a row: who left and has none is in customer.unmatched_awards_and_losses, and must be added to a rate of reported losses. A customer counts if any of its rows is. Each customer once, however many product lines it holds. Adds up over months: no.';
COMMENT ON COLUMN customer.monthly_status_total.plans IS
'计划数合计: sum of plan_count. A plan of two customers, or in two product lines, counts for each. Adds up over months: no, it is a balance.';
COMMENT ON COLUMN customer.monthly_status_total.aum_balance IS
'期末资产规模: AUM at month end, yuan, negative amounts included. Adds up over months: no, it is a balance.';
COMMENT ON COLUMN customer.monthly_status_total.strategic_aum IS
'战客资产规模: AUM of the rows marked strategic, yuan. A customer that is strategic in one product line counts with that line only. Adds up over months: no, it is a balance.';
COMMENT ON COLUMN customer.monthly_status_total.stale_rows IS
'无对应合同行数: rows that no contract of the month''s rule supported when the month was last written or changed. They are included in all that stands before. Adds up over months: no, it is a state.';
COMMENT ON COLUMN customer.monthly_status_total.stale_aum IS
'无对应合同资产规模: AUM of the stale rows, yuan; included in aum_balance. Adds up over months: no, it is a balance.';
COMMENT ON COLUMN customer.monthly_status_total.aum_change IS
'月环比变动额: aum_balance less that of the calendar month before, yuan. NULL if that month is not stored. Adds up over months: yes, if none is missing.';
COMMENT ON COLUMN customer.monthly_status_total.aum_change_ratio IS
'月环比变动率: aum_change divided by the AUM of the calendar month before, 4 decimals (0.0125 is 1.25 %). NULL if that month is not stored or its AUM is not above 0. Adds up: no.';
COMMENT ON COLUMN customer.monthly_status_total.year_ago_customers_with_aum IS
'上年同期有规模客户数: customers_with_aum of the same month a year before. NULL if that month is not stored. Each customer once, however many product lines it holds. Adds up over months: no.';
COMMENT ON COLUMN customer.monthly_status_total.year_ago_aum_balance IS
'上年同期资产规模: aum_balance of the same month a year before, yuan. NULL if that month is not stored. Adds up over months: no.';
COMMENT ON COLUMN customer.monthly_status_total.year_ago_aum_change IS
'同比变动额: aum_balance less that of the same month a year before, yuan. NULL if that month is not stored. Adds up over months: no.';
COMMENT ON COLUMN customer.monthly_status_total.year_ago_aum_change_ratio IS
'同比变动率: year_ago_aum_change divided by the AUM of the same month a year before, 4 decimals. NULL if that month is not stored or its AUM is not above 0. Adds up: no.';
COMMENT ON COLUMN customer.monthly_status_total.rule IS
'取数口径: the rule by which the month was last written: current (the contracts of the day on which it was refreshed, awards and losses of the whole calendar year) or as_of (the contracts of its last day, awards and losses up to it). NULL: the package never wrote it. Months of different rules do not compare in the calendar-year marks.';
COMMENT ON COLUMN customer.monthly_status_total.is_closed IS
'是否已关账: whether the month is closed (customer.close_snapshot_month), so that its numbers are final.';
COMMENT ON COLUMN customer.monthly_status_total.last_changed_at IS
'最近变更时间: when rows of the month last changed. A refresh that found the month right did not change it.';
COMMENT ON COLUMN customer.monthly_status_total.row_count IS
'快照行数: rows of the month in customer.fct_customer_business_monthly_status: one a customer and product line. Adds up over months: no.';
COMMENT ON COLUMN customer.monthly_status_total.aum_unattributed IS
'未归属资产规模: AUM of the month''s detail that no supported row carried when the month was last refreshed or restated, yuan: without a customer, a contract or a product line. Not part of aum_balance. NULL if the package never wrote the month. Adds up over months: no.';

COMMIT;
