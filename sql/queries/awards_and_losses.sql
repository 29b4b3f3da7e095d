-- 中标 and 流失 per month of the year: how many customers' product lines are marked in each
-- month's snapshot, and how many awards and losses were reported in that month?
--   psql -v month=2026-01-31 -f sql/queries/awards_and_losses.sql
-- The marks of a month are those of its whole calendar year, so a past month refreshed again
-- shows what was reported later in the year, too.

\encoding UTF8

WITH snapshot AS (
    SELECT
        date_trunc('month', snapshot_month::timestamp)::date AS month,
        count(*) FILTER (WHERE is_winning_this_year) AS winning,
        count(*) FILTER (WHERE is_churned_this_year) AS churned
    FROM customer.fct_customer_business_monthly_status
    GROUP BY snapshot_month
),
award AS (
    SELECT
        date_trunc('month', "上报月份"::timestamp)::date AS month,
        count(*) AS awards
    FROM customer."当年中标"
    GROUP BY 1
),
loss AS (
    SELECT
        date_trunc('month', "上报月份"::timestamp)::date AS month,
        count(*) AS losses
    FROM customer."当年流失"
    GROUP BY 1
)
SELECT
    to_char(month, 'YYYY-MM') AS month,
    winning AS "当年中标 rows",
    churned AS "当年流失 rows",
    coalesce(awards, 0) AS "中标 reported",
    coalesce(losses, 0) AS "流失 reported"
FROM snapshot
LEFT JOIN award USING (month)
LEFT JOIN loss USING (month)
WHERE extract(year FROM month) = extract(year FROM :'month'::date)
ORDER BY month;
