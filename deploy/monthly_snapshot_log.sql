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
    invoked_by TEXT NOT NULL,
    application_name TEXT NOT NULL,
    CONSTRAINT chk_log_operation CHECK (operation IN ('refresh', 'restate', 'close', 'reopen', 'discard')),
    CONSTRAINT chk_log_rule CHECK (rule IN ('current', 'as_of')),
    CONSTRAINT chk_log_counts CHECK (
        num_nulls(
            rule, total, upserted, inserted, updated, unchanged, stale,
            aum_total, aum_unattributed, accepted
        ) = CASE WHEN operation IN ('refresh', 'restate') THEN 0 ELSE 10 END
    ),
    CONSTRAINT chk_log_deleted CHECK (
        (deleted IS NOT NULL) = (operation IN ('refresh', 'restate', 'discard'))
    ),
    CONSTRAINT chk_log_reason CHECK (operation = 'refresh' OR reason IS NOT NULL)
);

CREATE INDEX IF NOT EXISTS idx_snapshot_log_month
    ON customer.monthly_snapshot_log (snapshot_month, log_id);

CALL customer.revoke_default_grants('customer.monthly_snapshot_log'::regclass);
CALL customer.revoke_default_grants('customer.monthly_snapshot_log_log_id_seq'::regclass);

COMMENT ON TABLE customer.monthly_snapshot_log IS
'One row for each refresh, restate, close, reopen and discard of a month that committed; what was rolled back leaves none. Written by the package''s functions.';
COMMENT ON COLUMN customer.monthly_snapshot_log.log_id IS
'Number of the entry, rising; gaps are calls that were rolled back.';
COMMENT ON COLUMN customer.monthly_snapshot_log.snapshot_month IS
'The month, as its last day.';
COMMENT ON COLUMN customer.monthly_snapshot_log.operation IS
'What was done: refresh, restate, close, reopen or discard.';
COMMENT ON COLUMN customer.monthly_snapshot_log.rule IS
'The rule that a refresh or restate went by: current (contracts that were current then) or as_of (contract versions that cover the last day of the month). NULL for others.';
COMMENT ON COLUMN customer.monthly_snapshot_log.reason IS
'Why, in the caller''s words. NULL for a refresh.';
COMMENT ON COLUMN customer.monthly_snapshot_log.started_at IS
'Wall clock when the call began, before it waited for the month''s lock.';
COMMENT ON COLUMN customer.monthly_snapshot_log.finished_at IS
'Wall clock when the work was done; the caller''s commit comes later.';
COMMENT ON COLUMN customer.monthly_snapshot_log.total IS
'Rows that the sources supported. NULL but for refresh and restate.';
COMMENT ON COLUMN customer.monthly_snapshot_log.upserted IS
'Rows written: inserted + updated + stale rows that were brought up to date. NULL but for refresh and restate.';
COMMENT ON COLUMN customer.monthly_snapshot_log.inserted IS
'Rows that were new in the month. NULL but for refresh and restate.';
COMMENT ON COLUMN customer.monthly_snapshot_log.updated IS
'Supported rows of which some value changed. NULL but for refresh and restate.';
COMMENT ON COLUMN customer.monthly_snapshot_log.unchanged IS
'Supported rows found right and left untouched. NULL but for refresh and restate.';
COMMENT ON COLUMN customer.monthly_snapshot_log.stale IS
'Rows stored for the month that no contract supported and that were kept. NULL but for refresh and restate.';
COMMENT ON COLUMN customer.monthly_snapshot_log.deleted IS
'Rows that were removed: by refresh and restate those that nothing in the sources supported any more, by discard all. NULL for close and reopen.';
COMMENT ON COLUMN customer.monthly_snapshot_log.aum_total IS
'Sum of aum_balance over the supported rows, in yuan. NULL but for refresh and restate.';
COMMENT ON COLUMN customer.monthly_snapshot_log.aum_unattributed IS
'期末资产规模 of the month that no supported row carries, in yuan, 2 decimals. NULL but for refresh and restate.';
COMMENT ON COLUMN customer.monthly_snapshot_log.accepted IS
'Whether the month looked implausible, and was written all the same because the caller had set customer.accept_implausible. NULL but for refresh and restate.';
COMMENT ON COLUMN customer.monthly_snapshot_log.invoked_by IS
'Role that called, as it logged in (session_user).';
COMMENT ON COLUMN customer.monthly_snapshot_log.application_name IS
'application_name of the calling session; empty if it set none.';
COMMENT ON SEQUENCE customer.monthly_snapshot_log_log_id_seq IS
'Numbers the entries of customer.monthly_snapshot_log.';
COMMENT ON CONSTRAINT monthly_snapshot_log_pkey ON customer.monthly_snapshot_log IS
'One number an entry.';
COMMENT ON INDEX customer.monthly_snapshot_log_pkey IS
'Finds an entry by its number.';
COMMENT ON CONSTRAINT chk_log_operation ON customer.monthly_snapshot_log IS
'The operations are refresh, restate, close, reopen and discard.';
COMMENT ON CONSTRAINT chk_log_rule ON customer.monthly_snapshot_log IS
'The rules are current and as_of.';
COMMENT ON CONSTRAINT chk_log_counts ON customer.monthly_snapshot_log IS
'Refresh and restate count their rows and say by which rule; the others have none to count.';
COMMENT ON CONSTRAINT chk_log_deleted ON customer.monthly_snapshot_log IS
'What can remove rows says how many.';
COMMENT ON CONSTRAINT chk_log_reason ON customer.monthly_snapshot_log IS
'Whoever restates, closes, reopens or discards a month says why.';
COMMENT ON INDEX customer.idx_snapshot_log_month IS
'History of a month, oldest first.';

COMMIT;
