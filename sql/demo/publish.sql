-- January is published, and corrected afterwards: what was published, what is there now, and why?
-- Once for each sample, after January was refreshed. Nothing is wider than 80 columns.

\pset border 0
\pset footer off
\pset pager off

\echo January goes into the board report, and is closed:
SELECT result.*
FROM jsonb_to_record(customer.close_snapshot_month('2026-01-31', 'board report of January'))
         AS result (status text, snapshot_month date, log_id bigint, reason text);
-- Its log entry is what was published.
SELECT max(log_id) AS published
FROM customer.monthly_snapshot_log
WHERE operation = 'close' \gset

\echo From now on, a refresh is refused:
\set ON_ERROR_STOP off
\set SHOW_CONTEXT never
SELECT customer.refresh_monthly_snapshot('2026-01-31');
\set SHOW_CONTEXT errors
\set ON_ERROR_STOP on

\echo
\echo Late figures reach the source: AUM of 600000007, and an award of 600000006.
SET client_encoding = 'UTF8';
UPDATE business."规模明细"
SET "期末资产规模" = 2500000
WHERE id = (
    SELECT min(id)
    FROM business."规模明细"
    WHERE company_id = '600000007'
      AND "产品线代码" = 'PL201'
      AND "月度" = '2026-01-01'
);
INSERT INTO customer."当年中标" ("上报月份", "业务类型", "产品线代码", "上报客户名称", company_id)
VALUES ('2026-01-01', '企年受托', 'PL202', '名称待核实', '600000006');
RESET client_encoding;

\echo January is reopened, and refreshed:
SELECT customer.reopen_snapshot_month('2026-01-31', 'late AUM of customer 600000007') \gset
SELECT customer.refresh_monthly_snapshot('2026-01-31') \gset

\echo
\echo What was published (log entry :published), and what is there now (AUM in yuan)
SELECT product_line_code                                        AS code,
       published.customers                                      AS published,
       now.customers                                            AS now,
       published.aum_balance                                    AS "AUM published",
       now.aum_balance                                          AS "AUM now",
       now.aum_balance - published.aum_balance                  AS difference
FROM (
    SELECT product_line_code, count(*) AS customers, sum(aum_balance) AS aum_balance
    FROM customer.monthly_status_as_at('2026-01-31', :published)
    GROUP BY product_line_code
) AS published
FULL JOIN (
    SELECT product_line_code, customers, aum_balance
    FROM customer.monthly_status_trend
    WHERE snapshot_month = '2026-01-31'
) AS now USING (product_line_code)
ORDER BY product_line_code;

\echo The same value by value, and the log entry that did it (published_changes)
SELECT company_id                                               AS customer,
       product_line_code                                        AS line,
       column_name                                              AS "column",
       published_value                                          AS published,
       current_value                                            AS now,
       aum_difference                                           AS difference,
       log_id                                                   AS entry
FROM customer.published_changes('2026-01-31')
ORDER BY company_id, product_line_code, column_name;

\echo And why: all that was done to the month (monthly_snapshot_log)
SELECT log_id,
       operation,
       inserted + updated                                       AS "rows written",
       month_aum                                                AS "AUM",
       reason
FROM customer.monthly_snapshot_log
WHERE snapshot_month = '2026-01-31'
ORDER BY log_id;
