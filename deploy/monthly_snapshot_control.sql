-- Deploy customer_monthly_snapshot:monthly_snapshot_control to pg
-- requires: sources
-- One row a month: how it was last written, whether it is closed. The row is the month's lock.

SET client_encoding = 'UTF8';

BEGIN;

-- What others made in public is not for the package to use.
SET LOCAL search_path = pg_catalog, pg_temp;

CREATE TABLE IF NOT EXISTS customer.monthly_snapshot_control (
    snapshot_month DATE NOT NULL PRIMARY KEY,
    last_rule TEXT,
    last_log_id BIGINT,
    stale_rows BIGINT NOT NULL DEFAULT 0,
    last_changed_at TIMESTAMPTZ,
    baseline_rows BIGINT,
    baseline_aum NUMERIC,
    writer TEXT,
    closed_at TIMESTAMPTZ,
    closed_by TEXT,
    close_note TEXT,
    closed_rows BIGINT,
    closed_aum NUMERIC,
    closed_sha256 TEXT,
    CONSTRAINT chk_control_month_end CHECK (
        isfinite(snapshot_month) AND extract(day FROM snapshot_month + 1) = 1
    ),
    CONSTRAINT chk_control_rule CHECK (last_rule IN ('current', 'as_of')),
    CONSTRAINT chk_control_baseline CHECK (num_nulls(last_rule, baseline_rows, baseline_aum) IN (0, 3)),
    CONSTRAINT chk_control_closed CHECK (num_nulls(closed_at, closed_by, close_note, closed_rows, closed_aum, closed_sha256) IN (0, 6))
);

CALL customer.revoke_default_grants('customer.monthly_snapshot_control'::regclass);

COMMENT ON TABLE customer.monthly_snapshot_control IS
'快照控制表: control table of the customer monthly snapshot, one row for each month that was ever written or closed, or that customer.pre_etl_check was asked about. Whoever writes or closes a month locks its row first, so the row is the month''s lock. Maintained by the package''s functions; read it, do not write it.';
COMMENT ON COLUMN customer.monthly_snapshot_control.snapshot_month IS
'快照月份: the month, as its last day.';
COMMENT ON COLUMN customer.monthly_snapshot_control.last_rule IS
'最近取数口径: the rule by which the month was last written: current (contracts current on the day of the refresh) or as_of (contract versions that cover the last day of the month). Restating makes it as_of, and refreshing leaves it so. NULL if the package never wrote the month, or it was discarded.';
COMMENT ON COLUMN customer.monthly_snapshot_control.last_log_id IS
'最近日志号: log_id of the newest entry for the month in customer.monthly_snapshot_log. NULL if there is none.';
COMMENT ON COLUMN customer.monthly_snapshot_control.stale_rows IS
'无对应合同行数: rows of the month that no contract of its rule supported when it was last refreshed or restated, or rows of it were last changed by hand, or adopted; they are still stored.';
COMMENT ON COLUMN customer.monthly_snapshot_control.last_changed_at IS
'最近变更时间: when rows of the month last changed, deleted ones included: it rises with each change. A refresh that finds the month right leaves it. For a month that was adopted, the newest updated_at of its rows. NULL if the month never held a row.';
COMMENT ON COLUMN customer.monthly_snapshot_control.baseline_rows IS
'基准行数: rows that the sources supported when the month was last refreshed or restated, with which the next refresh or restate is compared. NULL if the package never wrote the month, or it was discarded.';
COMMENT ON COLUMN customer.monthly_snapshot_control.baseline_aum IS
'基准资产规模绝对值: sum of the absolute amounts of aum_balance over these rows, yuan, for the same comparison. NULL as baseline_rows.';
COMMENT ON COLUMN customer.monthly_snapshot_control.writer IS
'当前写入者: who changes rows of the month at this very moment, as transaction and depth of triggers: by it the package''s own writes are told from changes by hand. Nobody sees it but the transaction itself; NULL once it is committed.';
COMMENT ON COLUMN customer.monthly_snapshot_control.closed_at IS
'关账时间: when the month was closed; NULL while it is open.';
COMMENT ON COLUMN customer.monthly_snapshot_control.closed_by IS
'关账人: role that closed the month (session_user); NULL while it is open.';
COMMENT ON COLUMN customer.monthly_snapshot_control.close_note IS
'关账说明: why the month was closed; NULL while it is open.';
COMMENT ON COLUMN customer.monthly_snapshot_control.closed_rows IS
'关账时行数: control total, rows of the month when it was closed; NULL while it is open.';
COMMENT ON COLUMN customer.monthly_snapshot_control.closed_aum IS
'关账时资产规模: control total, sum of aum_balance over all rows of the month when it was closed, yuan; NULL while it is open.';
COMMENT ON COLUMN customer.monthly_snapshot_control.closed_sha256 IS
'关账时校验值: control total, sha256 over the rows of the month when it was closed, all columns but updated_at, as customer.snapshot_control_totals works it out; NULL while it is open.';
COMMENT ON CONSTRAINT monthly_snapshot_control_pkey ON customer.monthly_snapshot_control IS
'One row a month.';
COMMENT ON INDEX customer.monthly_snapshot_control_pkey IS
'Finds a month''s row.';
COMMENT ON CONSTRAINT chk_control_month_end ON customer.monthly_snapshot_control IS
'snapshot_month is the last day of a month, whatever the session''s TimeZone.';
COMMENT ON CONSTRAINT chk_control_rule ON customer.monthly_snapshot_control IS
'The rules are current and as_of.';
COMMENT ON CONSTRAINT chk_control_baseline ON customer.monthly_snapshot_control IS
'A month that the package wrote says by which rule, and what the next write is compared with.';
COMMENT ON CONSTRAINT chk_control_closed ON customer.monthly_snapshot_control IS
'A closed month says when, by whom, why and with which control totals; an open one says nothing of it.';

COMMIT;
