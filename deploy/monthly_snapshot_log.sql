-- Deploy customer_monthly_snapshot:monthly_snapshot_log to pg
-- requires: sources
-- What was done to each month. Written in the transaction that did it, so that it holds what committed.

SET client_encoding = 'UTF8';

BEGIN;

-- What others made in public is not for the package to use.
SET LOCAL search_path = pg_catalog, pg_temp;

CREATE TABLE IF NOT EXISTS customer.monthly_snapshot_log (
    log_id BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    snapshot_month DATE NOT NULL,
    operation TEXT NOT NULL,
    rule TEXT,
    reason TEXT,
    started_at TIMESTAMPTZ NOT NULL,
    finished_at TIMESTAMPTZ NOT NULL,
    total BIGINT,
    upserted BIGINT,
    inserted BIGINT,
    updated BIGINT,
    unchanged BIGINT,
    stale BIGINT,
    deleted BIGINT,
    aum_total NUMERIC,
    aum_unattributed NUMERIC,
    accepted BOOLEAN,
    month_rows BIGINT NOT NULL,
    month_aum NUMERIC NOT NULL,
    month_sha256 TEXT,
    invoked_by TEXT NOT NULL,
    application_name TEXT NOT NULL,
    CONSTRAINT chk_log_operation CHECK (
        operation IN ('refresh', 'restate', 'by_hand', 'close', 'reopen', 'discard', 'adopt')
    ),
    CONSTRAINT chk_log_rule CHECK (rule IN ('current', 'as_of')),
    CONSTRAINT chk_log_counts CHECK (
        num_nulls(rule, total, upserted, unchanged, stale, aum_total, aum_unattributed)
        = CASE WHEN operation IN ('refresh', 'restate') THEN 0 ELSE 7 END
        AND CASE
            WHEN operation IN ('refresh', 'restate') THEN accepted IS NOT NULL
            ELSE accepted IS NULL OR operation = 'close'
        END
        AND (inserted IS NOT NULL) = (operation IN ('refresh', 'restate', 'by_hand', 'adopt'))
        AND (updated IS NOT NULL) = (operation IN ('refresh', 'restate', 'by_hand'))
        AND (deleted IS NOT NULL) = (operation IN ('refresh', 'restate', 'by_hand', 'discard'))
        AND (month_sha256 IS NOT NULL) = (operation = 'close')
    ),
    CONSTRAINT chk_log_reason CHECK (operation IN ('refresh', 'by_hand') OR reason IS NOT NULL)
);

CREATE INDEX IF NOT EXISTS idx_snapshot_log_month
    ON customer.monthly_snapshot_log (snapshot_month, log_id);

-- Called under the month's lock, so that the entries of a month rise in the order of its writers.
CREATE OR REPLACE FUNCTION customer.next_log_id(p_last_log_id bigint)
RETURNS bigint
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    v_log_id bigint := nextval('customer.monthly_snapshot_log_log_id_seq');
BEGIN
    IF v_log_id <= p_last_log_id THEN
        RAISE EXCEPTION 'the next log entry would be %, and the month already has %', v_log_id, p_last_log_id
            USING
                ERRCODE = 'object_not_in_prerequisite_state',
                HINT = 'The sequence lags behind the log, as after a switch to a logical replica. As the owner: '
                    'SELECT setval(''customer.monthly_snapshot_log_log_id_seq'', (SELECT max(log_id) FROM customer.monthly_snapshot_log));';
    END IF;

    RETURN v_log_id;
END
$$;

CALL customer.revoke_default_grants('customer.monthly_snapshot_log'::regclass);
CALL customer.revoke_default_grants('customer.next_log_id(bigint)'::regprocedure);
CALL customer.revoke_default_grants('customer.monthly_snapshot_log_log_id_seq'::regclass);

COMMENT ON TABLE customer.monthly_snapshot_log IS
'快照操作日志表: one row for each refresh, restate, close, reopen and discard of a month that committed, for each change of its rows by hand, and for each month of a table that was adopted; what was rolled back leaves none. Written by the package''s functions and triggers.';
COMMENT ON COLUMN customer.monthly_snapshot_log.log_id IS
'日志号: number of the entry, rising; gaps are calls that were rolled back, and statements by hand that changed nothing.';
COMMENT ON COLUMN customer.monthly_snapshot_log.snapshot_month IS
'快照月份: the month, as its last day.';
COMMENT ON COLUMN customer.monthly_snapshot_log.operation IS
'操作类型: what was done: refresh, restate, close, reopen, discard; by_hand (somebody changed rows past the package''s functions, one entry for each month and kind of change); adopt (the month stood in the table before the package recorded changes).';
COMMENT ON COLUMN customer.monthly_snapshot_log.rule IS
'取数口径: the rule that a refresh or restate went by: current (contracts that were current then) or as_of (contract versions that cover the last day of the month). NULL for others.';
COMMENT ON COLUMN customer.monthly_snapshot_log.reason IS
'原因: why, in the caller''s words. NULL for a refresh, and for a change by hand but that of sql/merge_customers.sql.';
COMMENT ON COLUMN customer.monthly_snapshot_log.started_at IS
'开始时间: wall clock when the call began, before it waited for the month''s lock.';
COMMENT ON COLUMN customer.monthly_snapshot_log.finished_at IS
'完成时间: wall clock when the work was done; the caller''s commit comes later.';
COMMENT ON COLUMN customer.monthly_snapshot_log.total IS
'有对应合同行数: rows that the sources supported. NULL but for refresh and restate.';
COMMENT ON COLUMN customer.monthly_snapshot_log.upserted IS
'写入行数: rows written: inserted + updated + stale rows that were brought up to date. NULL but for refresh and restate.';
COMMENT ON COLUMN customer.monthly_snapshot_log.inserted IS
'新增行数: rows that were new in the month; for adopt, those that stood there. NULL for close, reopen and discard.';
COMMENT ON COLUMN customer.monthly_snapshot_log.updated IS
'更新行数: rows of which some value changed; for refresh and restate, supported ones. NULL but for refresh, restate and by_hand.';
COMMENT ON COLUMN customer.monthly_snapshot_log.unchanged IS
'未变行数: supported rows found right and left untouched. NULL but for refresh and restate.';
COMMENT ON COLUMN customer.monthly_snapshot_log.stale IS
'保留的无对应合同行数: rows stored for the month that no contract supported and that were kept. NULL but for refresh and restate.';
COMMENT ON COLUMN customer.monthly_snapshot_log.deleted IS
'删除行数: rows that were removed: by refresh and restate those that nothing in the sources supported any more, by discard all. NULL for close and reopen.';
COMMENT ON COLUMN customer.monthly_snapshot_log.aum_total IS
'已归属资产规模: sum of aum_balance over the supported rows, in yuan. NULL but for refresh and restate.';
COMMENT ON COLUMN customer.monthly_snapshot_log.aum_unattributed IS
'未归属资产规模: 期末资产规模 of the month that no supported row carries, in yuan, 2 decimals. NULL but for refresh and restate.';
COMMENT ON COLUMN customer.monthly_snapshot_log.accepted IS
'是否异常放行: whether the month looked implausible, and was written all the same because the caller had set customer.accept_implausible; for close TRUE if validation found errors in it, NULL if none. NULL for others.';
COMMENT ON COLUMN customer.monthly_snapshot_log.month_rows IS
'操作后行数: control total, rows that the entry left in the month, stale ones included. A change by hand takes those of the entry before it and adds what it changed, so that what was changed past the triggers stays in sight.';
COMMENT ON COLUMN customer.monthly_snapshot_log.month_aum IS
'操作后资产规模: control total, sum of aum_balance over these rows, yuan.';
COMMENT ON COLUMN customer.monthly_snapshot_log.month_sha256 IS
'操作后校验值: control total of a close, sha256 over these rows, all columns but updated_at, as customer.snapshot_control_totals works it out. NULL for others.';
COMMENT ON COLUMN customer.monthly_snapshot_log.invoked_by IS
'操作人: role that called, as it logged in (session_user).';
COMMENT ON COLUMN customer.monthly_snapshot_log.application_name IS
'应用程序名: application_name of the calling session; empty if it set none.';
COMMENT ON FUNCTION customer.next_log_id(bigint) IS
'Internal: draws the number of the next log entry for a month, whose lock the caller holds.
p_last_log_id: the newest entry of the month; NULL if there is none.
SQLSTATE 55000: the sequence lags behind the log; the hint says how to set it.';
COMMENT ON SEQUENCE customer.monthly_snapshot_log_log_id_seq IS
'Numbers the entries of customer.monthly_snapshot_log.';
COMMENT ON CONSTRAINT monthly_snapshot_log_pkey ON customer.monthly_snapshot_log IS
'One number an entry.';
COMMENT ON INDEX customer.monthly_snapshot_log_pkey IS
'Finds an entry by its number.';
COMMENT ON CONSTRAINT chk_log_operation ON customer.monthly_snapshot_log IS
'The operations are refresh, restate, by_hand, close, reopen, discard and adopt.';
COMMENT ON CONSTRAINT chk_log_rule ON customer.monthly_snapshot_log IS
'The rules are current and as_of.';
COMMENT ON CONSTRAINT chk_log_counts ON customer.monthly_snapshot_log IS
'Each operation counts what it can count, and nothing else.';
COMMENT ON CONSTRAINT chk_log_reason ON customer.monthly_snapshot_log IS
'Whoever restates, closes, reopens or discards a month says why.';
COMMENT ON INDEX customer.idx_snapshot_log_month IS
'History of a month, oldest first.';

COMMIT;
