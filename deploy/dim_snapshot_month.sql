-- Deploy customer_monthly_snapshot:dim_snapshot_month to pg
-- requires: sources
-- requires: monthly_snapshot_control
-- requires: monthly_status_summary
-- The star's dimension of months: which there are, and how final each is.

SET client_encoding = 'UTF8';

BEGIN;

-- What others made in public is not for the package to use.
SET LOCAL search_path = pg_catalog, pg_temp;

CREATE OR REPLACE VIEW customer.dim_snapshot_month AS
WITH total AS (
    SELECT
        snapshot_month,
        snapshot_month - extract(day FROM snapshot_month)::integer AS previous_snapshot_month,
        row_count,
        stale_rows
    FROM customer.monthly_status_summary
    WHERE product_line_code IS NULL
)
SELECT
    this.snapshot_month,
    extract(year FROM this.snapshot_month)::integer AS year,
    to_char(this.snapshot_month, 'Q')::integer AS quarter,
    extract(month FROM this.snapshot_month)::integer AS month,
    to_char(this.snapshot_month, 'YYYY-MM') AS month_label,
    this.previous_snapshot_month,
    previous.snapshot_month IS NOT NULL AS is_previous_stored,
    this.snapshot_month = (SELECT max(total.snapshot_month) FROM total) AS is_newest,
    control.closed_at IS NOT NULL AS is_closed,
    control.closed_at,
    control.close_note,
    control.last_rule AS rule,
    control.last_changed_at,
    this.row_count,
    this.stale_rows
FROM total AS this
LEFT JOIN total AS previous
    ON previous.snapshot_month = this.previous_snapshot_month
LEFT JOIN customer.monthly_snapshot_control AS control
    ON control.snapshot_month = this.snapshot_month;

CALL customer.revoke_default_grants('customer.dim_snapshot_month'::regclass);

COMMENT ON VIEW customer.dim_snapshot_month IS
'快照月份维度: dimension of months, one row for each month that holds rows. Relate it to snapshot_month of the fact table and of the views.';
COMMENT ON COLUMN customer.dim_snapshot_month.snapshot_month IS
'快照月份: the month, as its last day (2026-01-31 is January 2026).';
COMMENT ON COLUMN customer.dim_snapshot_month.year IS
'年份: calendar year.';
COMMENT ON COLUMN customer.dim_snapshot_month.quarter IS
'季度: quarter of the year, 1 to 4.';
COMMENT ON COLUMN customer.dim_snapshot_month.month IS
'月份: month of the year, 1 to 12.';
COMMENT ON COLUMN customer.dim_snapshot_month.month_label IS
'年月: the month as text, such as 2026-01, which sorts as it should.';
COMMENT ON COLUMN customer.dim_snapshot_month.previous_snapshot_month IS
'上一自然月: the calendar month before, as its last day, stored or not.';
COMMENT ON COLUMN customer.dim_snapshot_month.is_previous_stored IS
'上一自然月是否有数据: whether that month holds rows, so that this one can be compared with it.';
COMMENT ON COLUMN customer.dim_snapshot_month.is_newest IS
'是否最新月份: whether this is the newest month that holds rows.';
COMMENT ON COLUMN customer.dim_snapshot_month.is_closed IS
'是否已关账: whether the month is closed, so that its numbers are final.';
COMMENT ON COLUMN customer.dim_snapshot_month.closed_at IS
'关账时间: when it was closed. NULL while it is open.';
COMMENT ON COLUMN customer.dim_snapshot_month.close_note IS
'关账说明: why it was closed, such as where it was published. NULL while it is open.';
COMMENT ON COLUMN customer.dim_snapshot_month.rule IS
'取数口径: the rule by which the month was last written: current (the contracts of the day on which it was refreshed, awards and losses of the whole calendar year) or as_of (the contracts of its last day, awards and losses up to it). NULL: the package never wrote it. Months of different rules do not compare in the calendar-year marks.';
COMMENT ON COLUMN customer.dim_snapshot_month.last_changed_at IS
'最近变更时间: when rows of the month last changed. A refresh that found the month right did not change it.';
COMMENT ON COLUMN customer.dim_snapshot_month.row_count IS
'快照行数: rows of the month in the fact table.';
COMMENT ON COLUMN customer.dim_snapshot_month.stale_rows IS
'无对应合同行数: rows that no contract of the month''s rule supported when the month was last written or changed.';

COMMIT;
