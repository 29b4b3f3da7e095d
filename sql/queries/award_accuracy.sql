-- Is is_winning_this_year right? Each row of a month against 当年中标 of the month's own
-- calendar year. Expected: no wrong rows.
--   psql -v month=2026-01-31 -f sql/queries/award_accuracy.sql

\encoding UTF8

WITH award AS (
    SELECT DISTINCT
        company_id,
        "产品线代码" AS product_line_code
    FROM customer."当年中标"
    WHERE extract(year FROM "上报月份") = extract(year FROM :'month'::date)
),
compared AS (
    SELECT
        snapshot.is_winning_this_year AS is_marked,
        award.company_id IS NOT NULL AS has_award
    FROM customer.fct_customer_business_monthly_status AS snapshot
    LEFT JOIN award
        ON award.company_id = snapshot.company_id
        AND award.product_line_code = snapshot.product_line_code
    WHERE snapshot.snapshot_month = :'month'
)
SELECT
    count(*) AS row_count,
    count(*) FILTER (WHERE has_award) AS with_award,
    count(*) FILTER (WHERE is_marked) AS marked,
    count(*) FILTER (WHERE is_marked AND NOT has_award) AS marked_without_award,
    count(*) FILTER (WHERE has_award AND NOT is_marked) AS award_not_marked,
    round(
        100.0 * count(*) FILTER (WHERE is_marked = has_award) / nullif(count(*), 0), 2
    ) AS percent_right
FROM compared;
