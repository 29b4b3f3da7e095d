-- Deploy customer_monthly_snapshot:monthly_status_trend to pg
-- requires: fct_customer_business_monthly_status
-- requires: monthly_snapshot_control
-- What BI reads: the snapshot added up by month and product line, with a total per month.

SET client_encoding = 'UTF8';

BEGIN;

-- What others made in public is not for the package to use.
SET LOCAL search_path = pg_catalog, pg_temp;

-- A query for one month must not read the others: hence groups that the month's
-- condition can be pushed into, and the month before looked up for each row.
CREATE OR REPLACE VIEW customer.monthly_status_trend AS
WITH product_line AS (
    SELECT
        snapshot_month,
        product_line_code,
        max(product_line_name COLLATE "C")::text AS product_line_name,
        count(*) AS customers,
        count(*) FILTER (WHERE is_strategic) AS strategic_customers,
        count(*) FILTER (WHERE is_existing) AS existing_customers,
        count(*) FILTER (WHERE is_new) AS new_customers,
        count(*) FILTER (WHERE is_winning_this_year) AS winning_customers,
        count(*) FILTER (WHERE is_churned_this_year) AS churned_customers,
        sum(plan_count) AS plans,
        sum(aum_balance) AS aum_balance
    FROM customer.fct_customer_business_monthly_status
    GROUP BY snapshot_month, product_line_code
),
-- A customer counts once, however many product lines it holds.
customer_in_month AS (
    SELECT
        snapshot_month,
        company_id,
        bool_or(is_strategic) AS is_strategic,
        bool_or(is_existing) AS is_existing,
        bool_or(is_new) AS is_new,
        bool_or(is_winning_this_year) AS is_winning_this_year,
        bool_or(is_churned_this_year) AS is_churned_this_year,
        sum(plan_count) AS plans,
        sum(aum_balance) AS aum_balance
    FROM customer.fct_customer_business_monthly_status
    GROUP BY snapshot_month, company_id
),
grand_total AS (
    SELECT
        snapshot_month,
        NULL::varchar(20) AS product_line_code,
        '合计' AS product_line_name,
        count(*) AS customers,
        count(*) FILTER (WHERE is_strategic) AS strategic_customers,
        count(*) FILTER (WHERE is_existing) AS existing_customers,
        count(*) FILTER (WHERE is_new) AS new_customers,
        count(*) FILTER (WHERE is_winning_this_year) AS winning_customers,
        count(*) FILTER (WHERE is_churned_this_year) AS churned_customers,
        sum(plans)::bigint AS plans,
        sum(aum_balance) AS aum_balance
    FROM customer_in_month
    GROUP BY snapshot_month
),
month_and_product_line AS (
    SELECT * FROM product_line
    UNION ALL
    SELECT * FROM grand_total
)
SELECT
    this.snapshot_month,
    this.product_line_code,
    this.product_line_name,
    this.customers,
    this.strategic_customers,
    this.existing_customers,
    this.new_customers,
    this.winning_customers,
    this.churned_customers,
    round(this.winning_customers::numeric / this.customers, 4) AS winning_rate,
    round(this.churned_customers::numeric / this.customers, 4) AS churn_rate,
    this.plans,
    this.aum_balance,
    this.aum_balance - before.aum_balance AS aum_change,
    round((this.aum_balance - before.aum_balance) / nullif(before.aum_balance, 0), 4) AS aum_change_ratio,
    CASE WHEN control.last_rule IS NOT NULL THEN control.stale_rows END AS stale_rows,
    control.closed_at IS NOT NULL AS is_closed
FROM month_and_product_line AS this
LEFT JOIN LATERAL (
    SELECT coalesce(
        sum(stored.aum_balance) FILTER (
            WHERE this.product_line_code IS NULL
                OR stored.product_line_code = this.product_line_code
        ),
        0
    ) AS aum_balance
    FROM customer.fct_customer_business_monthly_status AS stored
    -- A range, although it is one day: the planner takes a range that it does not know for
    -- a small part of the table and uses the index. Of an equality it may believe that it
    -- meets every row, when statistics come from a time with one month stored.
    WHERE stored.snapshot_month BETWEEN
        this.snapshot_month - extract(day FROM this.snapshot_month)::integer
        AND this.snapshot_month - extract(day FROM this.snapshot_month)::integer
    HAVING count(*) > 0
) AS before
    ON TRUE
LEFT JOIN customer.monthly_snapshot_control AS control
    ON control.snapshot_month = this.snapshot_month;

CALL customer.revoke_default_grants('customer.monthly_status_trend'::regclass);

COMMENT ON VIEW customer.monthly_status_trend IS
'The trend of the customer monthly snapshot: one row for each stored month and product line, and a total per month (product_line_code NULL, product_line_name 合计). Counts every stored row, stale ones included. Quick for one month (WHERE snapshot_month = …), a few seconds for all.';
COMMENT ON COLUMN customer.monthly_status_trend.snapshot_month IS
'The month, as its last day.';
COMMENT ON COLUMN customer.monthly_status_trend.product_line_code IS
'Product line; NULL in the month''s total.';
COMMENT ON COLUMN customer.monthly_status_trend.product_line_name IS
'Name of the product line; 合计 in the month''s total.';
COMMENT ON COLUMN customer.monthly_status_trend.customers IS
'Customers. In the total a customer counts once, however many product lines it holds.';
COMMENT ON COLUMN customer.monthly_status_trend.strategic_customers IS
'战客, strategic customers. In the total: customers strategic in any product line.';
COMMENT ON COLUMN customer.monthly_status_trend.existing_customers IS
'已客, existing customers. In the total: customers existing in any product line.';
COMMENT ON COLUMN customer.monthly_status_trend.new_customers IS
'新客, new customers. In the total: customers new in any product line.';
COMMENT ON COLUMN customer.monthly_status_trend.winning_customers IS
'Customers with an award in the calendar year of the month (当年中标). In the total: in any product line.';
COMMENT ON COLUMN customer.monthly_status_trend.churned_customers IS
'Customers with a loss in the calendar year of the month (当年流失). In the total: in any product line.';
COMMENT ON COLUMN customer.monthly_status_trend.winning_rate IS
'winning_customers as a share of customers, 4 decimals (0.0125 is 1.25 %).';
COMMENT ON COLUMN customer.monthly_status_trend.churn_rate IS
'churned_customers as a share of customers, 4 decimals (0.0125 is 1.25 %).';
COMMENT ON COLUMN customer.monthly_status_trend.plans IS
'Plans: sum of plan_count. A plan of two customers, or in two product lines, counts for each.';
COMMENT ON COLUMN customer.monthly_status_trend.aum_balance IS
'AUM at month end, yuan.';
COMMENT ON COLUMN customer.monthly_status_trend.aum_change IS
'aum_balance less that of the calendar month before, yuan. NULL if that month is not stored; a product line that it does not hold counts as 0.';
COMMENT ON COLUMN customer.monthly_status_trend.aum_change_ratio IS
'aum_change as a share of the AUM of the calendar month before, 4 decimals. NULL if that month is not stored or its AUM is 0.';
COMMENT ON COLUMN customer.monthly_status_trend.stale_rows IS
'Rows of the whole month, all product lines, that no contract supported when rows of it last changed; the same in each row of the month. NULL if the package never wrote the month.';
COMMENT ON COLUMN customer.monthly_status_trend.is_closed IS
'Whether the month is closed (customer.close_snapshot_month).';

COMMIT;
