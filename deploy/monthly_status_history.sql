-- Deploy customer_monthly_snapshot:monthly_status_history to pg
-- requires: sources
-- Nothing stored is lost: each row as it was before it was replaced or deleted, and by which log entry.

SET client_encoding = 'UTF8';

BEGIN;

-- What others made in public is not for the package to use.
SET LOCAL search_path = pg_catalog, pg_temp;

-- No foreign key to the log: its entry is written after the rows that it counts.
CREATE TABLE IF NOT EXISTS customer.monthly_status_history (
    snapshot_month DATE NOT NULL,
    log_id BIGINT NOT NULL,
    company_id VARCHAR NOT NULL,
    product_line_code VARCHAR(20) NOT NULL,
    operation TEXT NOT NULL,
    product_line_name VARCHAR(50),
    is_strategic BOOLEAN,
    is_existing BOOLEAN,
    is_new BOOLEAN,
    is_winning_this_year BOOLEAN,
    is_churned_this_year BOOLEAN,
    aum_balance NUMERIC(20, 2),
    plan_count INTEGER,
    updated_at TIMESTAMPTZ,
    PRIMARY KEY (snapshot_month, log_id, company_id, product_line_code),
    CONSTRAINT chk_history_operation CHECK (operation IN ('insert', 'update', 'delete')),
    CONSTRAINT chk_history_values CHECK (
        num_nulls(
            product_line_name, is_strategic, is_existing, is_new, is_winning_this_year,
            is_churned_this_year, aum_balance, plan_count, updated_at
        ) = CASE WHEN operation = 'insert' THEN 9 ELSE 0 END
    )
);

CREATE OR REPLACE FUNCTION customer.keep_history()
RETURNS trigger
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    RAISE EXCEPTION 'customer.monthly_status_history is never changed: % refused', TG_OP
        USING
            ERRCODE = 'object_not_in_prerequisite_state',
            HINT = 'It is what tells what was published. Rows are added to it by whatever changes the snapshot.';
END
$$;

CREATE OR REPLACE TRIGGER trg_history_keep
    BEFORE UPDATE OR DELETE OR TRUNCATE ON customer.monthly_status_history
    FOR EACH STATEMENT
    EXECUTE FUNCTION customer.keep_history();

CALL customer.revoke_default_grants('customer.monthly_status_history'::regclass);
CALL customer.revoke_default_grants('customer.keep_history()'::regprocedure);

COMMENT ON TABLE customer.monthly_status_history IS
'快照变更历史表: history of customer.fct_customer_business_monthly_status, one row for each key and log entry by which a row was changed, deleted, or added to a month that had been written before, with the values that the row had until then. The first fill of a month leaves none. Written by whatever changes the snapshot, never changed: not even the owner updates, deletes or truncates it without disabling the trigger trg_history_keep. customer.monthly_status_as_at puts a month together as an entry left it.';
COMMENT ON COLUMN customer.monthly_status_history.snapshot_month IS
'快照月份: the month, as its last day.';
COMMENT ON COLUMN customer.monthly_status_history.log_id IS
'日志号: the entry in customer.monthly_snapshot_log that changed the row. Those of one month rise in the order of its writers.';
COMMENT ON COLUMN customer.monthly_status_history.company_id IS
'客户号: the customer.';
COMMENT ON COLUMN customer.monthly_status_history.product_line_code IS
'产品线代码: the product line.';
COMMENT ON COLUMN customer.monthly_status_history.operation IS
'操作类型: what was done to the row: insert (all values NULL: there was no row before), update or delete.';
COMMENT ON COLUMN customer.monthly_status_history.product_line_name IS
'产品线名称: name of the product line until then. NULL for insert.';
COMMENT ON COLUMN customer.monthly_status_history.is_strategic IS
'战客: is_strategic until then. NULL for insert.';
COMMENT ON COLUMN customer.monthly_status_history.is_existing IS
'已客: is_existing until then. NULL for insert.';
COMMENT ON COLUMN customer.monthly_status_history.is_new IS
'新客: is_new until then. NULL for insert.';
COMMENT ON COLUMN customer.monthly_status_history.is_winning_this_year IS
'当年中标: is_winning_this_year until then. NULL for insert.';
COMMENT ON COLUMN customer.monthly_status_history.is_churned_this_year IS
'当年流失: is_churned_this_year until then. NULL for insert.';
COMMENT ON COLUMN customer.monthly_status_history.aum_balance IS
'期末资产规模: AUM at month end until then, yuan. NULL for insert.';
COMMENT ON COLUMN customer.monthly_status_history.plan_count IS
'计划数: number of plans until then. NULL for insert.';
COMMENT ON COLUMN customer.monthly_status_history.updated_at IS
'更新时间: updated_at of the row until then. NULL for insert.';
COMMENT ON CONSTRAINT monthly_status_history_pkey ON customer.monthly_status_history IS
'One event a key and log entry.';
COMMENT ON INDEX customer.monthly_status_history_pkey IS
'Finds what happened to a month after a log entry.';
COMMENT ON CONSTRAINT chk_history_operation ON customer.monthly_status_history IS
'A row was inserted, updated or deleted.';
COMMENT ON CONSTRAINT chk_history_values ON customer.monthly_status_history IS
'An inserted row had no values before; any other had all of them.';
COMMENT ON FUNCTION customer.keep_history() IS
'Trigger function: refuses to update, delete or truncate customer.monthly_status_history. SQLSTATE 55000, always.';
COMMENT ON TRIGGER trg_history_keep ON customer.monthly_status_history IS
'History is added to and never changed.';

COMMIT;
