-- A look at the newest month and the year before it, as a reader sees them: views alone.
--
--   psql -f sql/demo/look.sql
--   psql -v bar='#' -f sql/demo/look.sql    for a console that shows no blocks
--
-- Nothing is wider than 80 columns or longer than 24 lines.

\pset border 0
\pset footer off
\pset pager off

-- In GBK, say, a block is as wide as two letters.
\if :{?bar}
\else
    SELECT CASE pg_client_encoding() WHEN 'UTF8' THEN U&'\2588' ELSE '#' END AS bar \gset
\endif

SELECT snapshot_month                                           AS month,
       to_char(snapshot_month, 'FMMonth YYYY')                  AS month_name,
       to_char(previous_snapshot_month, 'FMMonth YYYY')         AS previous_name
FROM customer.dim_snapshot_month
WHERE is_newest \gset

-- The bars of AUM start at a round number below the least, so that one sees them grow.
SELECT 10 * floor(min(aum_balance) / 1e10)                      AS bars_from,
       ceil(max(aum_balance) / 1e9)                             AS bars_to
FROM customer.monthly_status_total \gset

\echo The product lines in :month_name (won, lost: this year; AUM in billion yuan)
SELECT product_line_code                                        AS code,
       product_line_name                                        AS "product line",
       customers,
       customers_with_aum                                       AS "with AUM",
       strategic_customers                                      AS strategic,
       winning_this_year_customers                              AS won,
       churned_this_year_customers                              AS lost,
       plans,
       round(aum_balance / 1e9, 1)                              AS "AUM",
       round(100 * aum_change_ratio, 2)                         AS "change %"
FROM customer.monthly_status_trend
WHERE snapshot_month = :'month'
ORDER BY product_line_code;

\echo All of them: a customer of two product lines counts once here
SELECT customers,
       customers_with_aum                                       AS "with AUM",
       strategic_customers                                      AS strategic,
       winning_this_year_customers                              AS won,
       churned_this_year_customers                              AS lost,
       plans,
       round(aum_balance / 1e9, 1)                              AS "AUM",
       round(100 * aum_change_ratio, 2)                         AS "change %"
FROM customer.monthly_status_total
WHERE snapshot_month = :'month';

\echo The five largest customers (AUM in billion yuan)
SELECT company_id                                               AS customer,
       customer_name                                            AS name,
       count(*)                                                 AS "product lines",
       round(sum(aum_balance) / 1e9, 1)                         AS "AUM"
FROM customer.fct_customer_business_monthly_status
JOIN customer.dim_customer USING (company_id)
WHERE snapshot_month = :'month'
GROUP BY company_id, customer_name
ORDER BY sum(aum_balance) DESC, company_id
LIMIT 5;

\echo AUM month by month, in billion yuan (the bars start at :bars_from, not at 0)
SELECT to_char(snapshot_month, 'YYYY-MM')                       AS month,
       round(aum_balance / 1e9, 1)                              AS "AUM",
       repeat(:'bar', round(55 * (aum_balance / 1e9 - :bars_from) / (:bars_to - :bars_from))::integer) AS " "
FROM customer.monthly_status_total
ORDER BY snapshot_month;

\echo Customers whose AUM started, or ended, since the month before
SELECT to_char(snapshot_month, 'YYYY-MM')                       AS month,
       started_customers                                        AS started,
       repeat(:'bar', started_customers::integer)               AS " ",
       ended_customers                                          AS ended,
       repeat(:'bar', ended_customers::integer)                 AS "  ",
       customers_with_aum                                       AS "with AUM"
FROM customer.monthly_status_bridge_total
WHERE started_customers IS NOT NULL
ORDER BY snapshot_month;

\echo How :previous_name became :month_name: each column adds up to its last line
SELECT step                                                     AS " ",
       to_char(aum, '9,999,999,999,990.00')                     AS "AUM (yuan)",
       customers                                                AS "customers with AUM"
FROM customer.monthly_status_bridge_total
CROSS JOIN LATERAL (
    VALUES (1, 'in ' || :'previous_name', previous_aum_balance, previous_customers_with_aum),
           (2, '+ started: had none before', started_aum, started_customers),
           (3, '+ ended: has none any more', ended_aum, -ended_customers),
           (4, '+ grew', grew_aum, NULL),
           (5, '+ shrank', shrank_aum, NULL),
           (6, '= in ' || :'month_name', aum_balance, customers_with_aum)
) AS steps (step_no, step, aum, customers)
WHERE snapshot_month = :'month'
ORDER BY step_no;

\echo The same by product line: before + started - ended = now (customers with AUM)
SELECT product_line_code                                        AS code,
       product_line_name                                        AS "product line",
       previous_customers_with_aum                              AS before,
       started_customers                                        AS started,
       ended_customers                                          AS ended,
       customers_with_aum                                       AS now,
       to_char(aum_balance - previous_aum_balance, '999,999,999,990.00')
                                                                AS "AUM change (yuan)"
FROM customer.monthly_status_bridge
WHERE snapshot_month = :'month'
ORDER BY product_line_code;

\echo Who they are that started or ended in :month_name
SELECT customer_movement                                        AS "what happened",
       company_id                                               AS customer,
       customer_name                                            AS name,
       to_char(customer_aum_balance - customer_previous_aum_balance, '999,999,999,990.00')
                                                                AS "AUM change (yuan)"
FROM customer.monthly_status_movement
JOIN customer.dim_customer USING (company_id)
WHERE snapshot_month = :'month'
  AND customer_movement IN ('started', 'ended')
-- A customer has a row for each of its product lines.
GROUP BY company_id, customer_name, customer_movement, customer_aum_balance, customer_previous_aum_balance
ORDER BY customer_movement, abs(customer_aum_balance - customer_previous_aum_balance) DESC;

-- The largest of them.
SELECT company_id, customer_name
FROM customer.monthly_status_movement
JOIN customer.dim_customer USING (company_id)
WHERE snapshot_month = :'month'
  AND customer_movement IN ('started', 'ended')
ORDER BY abs(customer_aum_balance - customer_previous_aum_balance) DESC, company_id
LIMIT 1 \gset

\echo One of them in each month: :company_id :customer_name (million yuan)
SELECT to_char(snapshot_month, 'YYYY-MM')                       AS month,
       product_line_name,
       concat_ws(
           ' ',
           to_char(aum_balance / 1e6, '99,990.0'),
           movement,
           CASE WHEN is_churned_this_year THEN '(reported lost)' END
       )                                                        AS "AUM"
FROM customer.monthly_status_movement
WHERE company_id = :'company_id'
ORDER BY snapshot_month, product_line_code
\crosstabview
