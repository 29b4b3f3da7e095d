-- How much of the AUM do the largest customers carry? The share of the ten largest, and the
-- Herfindahl-Hirschman index (HHI): the sum of the squared shares in percent, from near 0 (many
-- alike) to 10,000 (one has all).
-- A customer counts as a whole, over all its product lines. Shares are of the customers whose AUM is
-- above 0; adjustments below 0 are left out, so that aum_balance may be above the month's. In yuan.
--   psql -v month=2026-01-31 -f sql/queries/concentration.sql

\encoding UTF8

WITH each_customer AS (
    SELECT sum(aum_balance) AS aum_balance, sum(aum_balance) / sum(sum(aum_balance)) OVER () AS share,
        row_number() OVER (ORDER BY sum(aum_balance) DESC) AS place
    FROM customer.fct_customer_business_monthly_status
    WHERE snapshot_month = (date_trunc('month', :'month'::timestamp) + INTERVAL '1 month')::date - 1
    GROUP BY company_id HAVING sum(aum_balance) > 0
)
SELECT count(*) AS customers, sum(aum_balance) AS aum_balance, sum(aum_balance) FILTER (WHERE place <= 10) AS top_ten_aum,
    round(sum(share) FILTER (WHERE place <= 10), 4) AS top_ten_share, round(sum(share * share) * 10000, 2) AS hhi
FROM each_customer
HAVING count(*) > 0;
