-- The trend as it was before there was a summary: when it is read, all rows of all months are added up, by line and in
-- total, and those of the month before for each. The old view had five marks rather than one, and so took rather longer.
WITH each_customer AS (
    SELECT snapshot_month, bool_or(is_strategic) AS is_strategic, sum(plan_count) AS plans, sum(aum_balance) AS aum_balance
    FROM customer.fct_customer_business_monthly_status
    GROUP BY snapshot_month, company_id
),
month_and_line AS (
    SELECT snapshot_month, product_line_code, count(*) AS customers, count(*) FILTER (WHERE is_strategic) AS strategic_customers,
        sum(plan_count) AS plans, sum(aum_balance) AS aum_balance
    FROM customer.fct_customer_business_monthly_status
    GROUP BY snapshot_month, product_line_code
    UNION ALL
    SELECT snapshot_month, NULL, count(*), count(*) FILTER (WHERE is_strategic), sum(plans), sum(aum_balance)
    FROM each_customer
    GROUP BY snapshot_month
)
SELECT this.*, this.aum_balance - before.aum_balance AS aum_change
FROM month_and_line AS this
LEFT JOIN LATERAL (
    SELECT coalesce(sum(aum_balance) FILTER (WHERE product_line_code = this.product_line_code OR this.product_line_code IS NULL), 0) AS aum_balance
    FROM customer.fct_customer_business_monthly_status
    WHERE snapshot_month BETWEEN
        this.snapshot_month - extract(day FROM this.snapshot_month)::integer
        AND this.snapshot_month - extract(day FROM this.snapshot_month)::integer
    HAVING count(*) > 0
) AS before
    ON TRUE
