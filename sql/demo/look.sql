-- A look at the newest snapshot: its product lines and its largest customers.

\pset border 0
\pset footer off

SELECT max(snapshot_month) AS month
FROM customer.fct_customer_business_monthly_status \gset

\echo Product lines on :month (AUM in billion yuan)
SELECT product_line_code                             AS code,
       product_line_name                             AS "product line",
       count(*)                                      AS customers,
       count(*) FILTER (WHERE is_strategic)          AS strategic,
       count(*) FILTER (WHERE is_existing)           AS existing,
       count(*) FILTER (WHERE is_new)                AS new,
       count(*) FILTER (WHERE is_winning_this_year)  AS winning,
       count(*) FILTER (WHERE is_churned_this_year)  AS churned,
       sum(plan_count)                               AS plans,
       round(sum(aum_balance) / 1e9, 1)          AS "AUM"
FROM customer.fct_customer_business_monthly_status
WHERE snapshot_month = :'month'
GROUP BY product_line_code, product_line_name
ORDER BY product_line_code;

\echo Largest customers on :month (AUM in billion yuan)
SELECT company_id                                    AS customer,
       "客户名称"                                     AS name,
       count(*)                                      AS "product lines",
       bool_or(is_strategic)                         AS strategic,
       sum(plan_count)                               AS plans,
       round(sum(aum_balance) / 1e9, 1)          AS "AUM"
FROM customer.fct_customer_business_monthly_status
JOIN customer."年金客户" USING (company_id)
WHERE snapshot_month = :'month'
GROUP BY company_id, "客户名称"
ORDER BY sum(aum_balance) DESC, company_id
LIMIT 5;

\echo The last three months and what changed (AUM in billion yuan)
SELECT to_char(snapshot_month, 'YYYY-MM')            AS month,
       customers,
       new_customers                                 AS new,
       winning_customers                             AS winning,
       churned_customers                             AS churned,
       round(aum_balance / 1e9, 1)                   AS "AUM",
       round(100 * aum_change_ratio, 2)              AS "change %",
       CASE WHEN is_closed THEN 'closed' ELSE '' END AS state
FROM customer.monthly_status_trend
WHERE product_line_code IS NULL
ORDER BY snapshot_month DESC
LIMIT 3;
