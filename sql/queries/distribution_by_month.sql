-- How are rows and AUM spread over the twelve months up to this one?
--   psql -v month=2026-01-31 -f sql/queries/distribution_by_month.sql

\encoding UTF8

SELECT
    snapshot_month,
    count(*) AS row_count,
    count(*) FILTER (WHERE is_strategic) AS "战客",
    count(*) FILTER (WHERE is_existing) AS "已客",
    count(*) FILTER (WHERE is_new) AS "新客",
    count(*) FILTER (WHERE aum_balance <> 0) AS rows_with_aum,
    sum(aum_balance) AS aum_balance
FROM customer.fct_customer_business_monthly_status
WHERE snapshot_month <= :'month'
    AND snapshot_month >= date_trunc('month', :'month'::timestamp) - INTERVAL '11 months'
GROUP BY snapshot_month
ORDER BY snapshot_month;
