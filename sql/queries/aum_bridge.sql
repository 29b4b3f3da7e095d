-- How did last month's AUM become this month's? What started, ended, grew and shrank, by product
-- line and in total (合计): previous + started + ended + grew + shrank = AUM, to the cent.
-- AUM in yuan, signed. In the total a customer counts once: who ends in one line and stays in another
-- has shrunk, or grown, so that the lines' parts do not add up to the total's. NULL if the month
-- before is not stored.
--   psql -v month=2026-01-31 -f sql/queries/aum_bridge.sql

\encoding UTF8

SELECT (date_trunc('month', :'month'::timestamp) + INTERVAL '1 month')::date - 1 AS month \gset

SELECT
    product_line_code, product_line_name, previous_aum_balance, started_aum, ended_aum, grew_aum, shrank_aum, aum_balance
FROM customer.monthly_status_bridge
WHERE snapshot_month = :'month'
UNION ALL
SELECT
    NULL, '合计', previous_aum_balance, started_aum, ended_aum, grew_aum, shrank_aum, aum_balance
FROM customer.monthly_status_bridge_total
WHERE snapshot_month = :'month'
ORDER BY product_line_code;
