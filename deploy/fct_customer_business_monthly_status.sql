-- Deploy customer_monthly_snapshot:fct_customer_business_monthly_status to pg
-- requires: adopt_existing_table
-- The fact table: a periodic snapshot, one row per month, customer and product line.

SET client_encoding = 'UTF8';

BEGIN;

-- What others made in public is not for the package to use.
SET LOCAL search_path = pg_catalog, pg_temp;
-- Otherwise Citus would take the table over where those that it refers to are its reference tables.
SET LOCAL citus.enable_local_reference_table_foreign_keys = off;

-- The foreign keys' targets.
SELECT
    max(table_name) FILTER (WHERE source = 'customers') AS customers,
    max(table_name) FILTER (WHERE source = 'product_lines') AS product_lines
FROM customer.source_columns()
\gset

-- One that is there already is the package's: adopt_existing_table has seen to it.
CREATE TABLE IF NOT EXISTS customer.fct_customer_business_monthly_status (
    snapshot_month DATE NOT NULL,
    company_id VARCHAR NOT NULL,
    product_line_code VARCHAR(20) NOT NULL,
    product_line_name VARCHAR(50) NOT NULL,
    is_strategic BOOLEAN NOT NULL DEFAULT FALSE,
    is_existing BOOLEAN NOT NULL DEFAULT FALSE,
    is_new BOOLEAN NOT NULL DEFAULT FALSE,
    is_winning_this_year BOOLEAN NOT NULL DEFAULT FALSE,
    is_churned_this_year BOOLEAN NOT NULL DEFAULT FALSE,
    aum_balance DECIMAL(20,2) NOT NULL DEFAULT 0,
    plan_count INTEGER NOT NULL DEFAULT 0,
    updated_at TIMESTAMPTZ NOT NULL DEFAULT CURRENT_TIMESTAMP,
    PRIMARY KEY (snapshot_month, company_id, product_line_code),
    CONSTRAINT fk_snapshot_company FOREIGN KEY (company_id)
        REFERENCES :customers (company_id),
    CONSTRAINT fk_snapshot_product_line FOREIGN KEY (product_line_code)
        REFERENCES :product_lines ("产品线代码"),
    -- Not date_trunc: on a date it depends on the TimeZone.
    CONSTRAINT chk_snapshot_month_end CHECK (
        isfinite(snapshot_month) AND extract(day FROM snapshot_month + 1) = 1
    )
)
-- Room in each page lets a changed AUM be a HOT update, which touches no index.
WITH (fillfactor = 80);

CREATE INDEX IF NOT EXISTS idx_snapshot_month
    ON customer.fct_customer_business_monthly_status (snapshot_month);
CREATE INDEX IF NOT EXISTS idx_snapshot_company
    ON customer.fct_customer_business_monthly_status (company_id);
CREATE INDEX IF NOT EXISTS idx_snapshot_product_line
    ON customer.fct_customer_business_monthly_status (product_line_code);
CREATE INDEX IF NOT EXISTS idx_snapshot_month_product
    ON customer.fct_customer_business_monthly_status (snapshot_month, product_line_code);
CREATE INDEX IF NOT EXISTS idx_snapshot_month_brin
    ON customer.fct_customer_business_monthly_status USING BRIN (snapshot_month);
CREATE INDEX IF NOT EXISTS idx_snapshot_strategic
    ON customer.fct_customer_business_monthly_status (snapshot_month)
    WHERE is_strategic = TRUE;

CREATE OR REPLACE FUNCTION customer.set_snapshot_updated_at()
RETURNS trigger
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    NEW.updated_at := CURRENT_TIMESTAMP;
    RETURN NEW;
END
$$;

CREATE OR REPLACE TRIGGER trg_snapshot_updated_at
    BEFORE UPDATE ON customer.fct_customer_business_monthly_status
    FOR EACH ROW
    -- By name: a comparison of whole rows breaks a dump once somebody adds a generated column.
    WHEN (
        OLD.snapshot_month IS DISTINCT FROM NEW.snapshot_month
        OR OLD.company_id IS DISTINCT FROM NEW.company_id
        OR OLD.product_line_code IS DISTINCT FROM NEW.product_line_code
        OR OLD.product_line_name IS DISTINCT FROM NEW.product_line_name
        OR OLD.is_strategic IS DISTINCT FROM NEW.is_strategic
        OR OLD.is_existing IS DISTINCT FROM NEW.is_existing
        OR OLD.is_new IS DISTINCT FROM NEW.is_new
        OR OLD.is_winning_this_year IS DISTINCT FROM NEW.is_winning_this_year
        OR OLD.is_churned_this_year IS DISTINCT FROM NEW.is_churned_this_year
        OR OLD.aum_balance IS DISTINCT FROM NEW.aum_balance
        OR OLD.plan_count IS DISTINCT FROM NEW.plan_count
        OR OLD.updated_at IS DISTINCT FROM NEW.updated_at
    )
    EXECUTE FUNCTION customer.set_snapshot_updated_at();

CALL customer.revoke_default_grants('customer.fct_customer_business_monthly_status'::regclass);
CALL customer.revoke_default_grants('customer.set_snapshot_updated_at()'::regprocedure);

DO $$
BEGIN
    EXECUTE format(
        'COMMENT ON TABLE customer.fct_customer_business_monthly_status IS %L',
        concat_ws(
            E'\n\n',
            '客户月度快照表: periodic snapshot fact table with the standing of each customer in each product line '
                'at the end of a month. One row per month, customer and product line. '
                'Written by customer.refresh_monthly_snapshot; nothing else should write it.',
            -- What adopting it said stays.
            substring(
                obj_description('customer.fct_customer_business_monthly_status'::regclass, 'pg_class')
                FROM '(?n)^Adopted .*'
            )
        )
    );
END
$$;

COMMENT ON COLUMN customer.fct_customer_business_monthly_status.snapshot_month IS
'快照月份: the month, as its last day (2026-01-31 is January 2026).';
COMMENT ON COLUMN customer.fct_customer_business_monthly_status.company_id IS
'客户号: customer; refers to the platform''s table of customers.';
COMMENT ON COLUMN customer.fct_customer_business_monthly_status.product_line_code IS
'产品线代码: product line, such as PL202; refers to the platform''s table of product lines.';
COMMENT ON COLUMN customer.fct_customer_business_monthly_status.product_line_name IS
'产品线名称: name of the product line, such as 企年受托, as its contracts spell it; where they differ, the greatest in byte order (COLLATE "C").';
COMMENT ON COLUMN customer.fct_customer_business_monthly_status.is_strategic IS
'战客: strategic customer; true if any of the contracts behind this row is marked strategic. A NULL mark counts as false.';
COMMENT ON COLUMN customer.fct_customer_business_monthly_status.is_existing IS
'已客: existing customer; true if any of the contracts behind this row is marked existing. A NULL mark counts as false.';
COMMENT ON COLUMN customer.fct_customer_business_monthly_status.is_new IS
'新客: new customer; an award was won this year and the customer is not an existing one (is_winning_this_year AND NOT is_existing).';
COMMENT ON COLUMN customer.fct_customer_business_monthly_status.is_winning_this_year IS
'当年中标: the platform''s awards have a row for this customer and product line whose 上报月份 lies in the calendar year of snapshot_month: the whole year, later months included, where the month was written by rule current; up to snapshot_month by rule as_of (customer.monthly_snapshot_control.last_rule).';
COMMENT ON COLUMN customer.fct_customer_business_monthly_status.is_churned_this_year IS
'当年流失: the platform''s losses have a row for this customer and product line whose 上报月份 lies in the calendar year of snapshot_month: the whole year, later months included, where the month was written by rule current; up to snapshot_month by rule as_of (customer.monthly_snapshot_control.last_rule).';
COMMENT ON COLUMN customer.fct_customer_business_monthly_status.aum_balance IS
'期末资产规模: AUM at month end in yuan, 2 decimals; the sum of 期末资产规模 in the platform''s 规模明细 for this customer and product line where 月度 is any day of the month, rounded after summing. 0 where there is none.';
COMMENT ON COLUMN customer.fct_customer_business_monthly_status.plan_count IS
'计划数: number of distinct plans (plan_code) among the contracts behind this row.';
COMMENT ON COLUMN customer.fct_customer_business_monthly_status.updated_at IS
'更新时间: when a value of this row last changed, as the start of the transaction that changed it. A refresh that finds the row right leaves it.';

COMMENT ON CONSTRAINT fct_customer_business_monthly_status_pkey ON customer.fct_customer_business_monthly_status IS
'One row per month, customer and product line.';
COMMENT ON CONSTRAINT fk_snapshot_company ON customer.fct_customer_business_monthly_status IS
'Each customer of a snapshot is a known customer.';
COMMENT ON CONSTRAINT fk_snapshot_product_line ON customer.fct_customer_business_monthly_status IS
'Each product line of a snapshot is a known product line.';
COMMENT ON CONSTRAINT chk_snapshot_month_end ON customer.fct_customer_business_monthly_status IS
'snapshot_month is the last day of a month, whatever the session''s TimeZone.';
COMMENT ON INDEX customer.fct_customer_business_monthly_status_pkey IS
'Finds the rows of a month, and each row by its key.';
COMMENT ON INDEX customer.idx_snapshot_month IS
'Rows of a month.';
COMMENT ON INDEX customer.idx_snapshot_company IS
'History of a customer.';
COMMENT ON INDEX customer.idx_snapshot_product_line IS
'History of a product line.';
COMMENT ON INDEX customer.idx_snapshot_month_product IS
'A product line in a month.';
COMMENT ON INDEX customer.idx_snapshot_month_brin IS
'Ranges of months over a long history, at next to no size.';
COMMENT ON INDEX customer.idx_snapshot_strategic IS
'Strategic customers (战客) of a month.';

COMMENT ON FUNCTION customer.set_snapshot_updated_at() IS
'Trigger function: sets updated_at to the start of the current transaction. Raises nothing.';
COMMENT ON TRIGGER trg_snapshot_updated_at ON customer.fct_customer_business_monthly_status IS
'Moves updated_at when, and only when, an update really changes the row.';

COMMIT;
