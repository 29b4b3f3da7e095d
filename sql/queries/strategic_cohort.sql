-- Of the customers that were strategic (战客) when the year began, how many still have AUM, and whom
-- have we lost since? The cohort is who was marked strategic at the end of last December.
-- The first row, without a name, is all whom we have not lost; each other row is one that had AUM
-- then and has none now, in any product line, the largest first. AUM in yuan. No rows if the month
-- or last December is not stored.
--   psql -v month=2026-01-31 -f sql/queries/strategic_cohort.sql

\encoding UTF8

SELECT (date_trunc('month', :'month'::timestamp) + INTERVAL '1 month')::date - 1 AS month, date_trunc('year', :'month'::timestamp)::date - 1 AS opening \gset

WITH member AS (
    SELECT company_id, sum(aum_balance) FILTER (WHERE snapshot_month = :'opening') AS december_aum,
        coalesce(sum(aum_balance) FILTER (WHERE snapshot_month = :'month'), 0.00) AS aum_balance
    FROM customer.fct_customer_business_monthly_status
    WHERE snapshot_month IN (:'opening', :'month') AND EXISTS (SELECT FROM customer.dim_snapshot_month WHERE snapshot_month = :'month')
    GROUP BY company_id HAVING bool_or(is_strategic AND snapshot_month = :'opening')
)
SELECT lost.company_id, customer_name, count(*) AS customers, count(nullif(aum_balance, 0)) AS customers_with_aum, sum(december_aum) AS december_aum
FROM member
LEFT JOIN customer.dim_customer AS lost ON lost.company_id = member.company_id AND aum_balance = 0 AND december_aum <> 0
GROUP BY lost.company_id, customer_name ORDER BY lost.company_id IS NOT NULL, sum(december_aum) DESC, lost.company_id;
