CREATE FUNCTION customer.close_snapshot_month(p_snapshot_month date, p_note text) RETURNS jsonb
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS …;

COMMENT ON FUNCTION customer.close_snapshot_month(p_snapshot_month date, p_note text) IS 'Closes a month, so that its published numbers stay: from then on refreshing and restating it fail, and so does any other change to its rows, until customer.reopen_snapshot_month. Waits for a refresh of the month that is under way. Runs in the caller''s transaction and commits nothing.

p_snapshot_month: any day of the month.
p_note: why, such as when and where the month was published; kept in customer.monthly_snapshot_control and customer.monthly_snapshot_log.

Returns a JSON object: snapshot_month (its last day, YYYY-MM-DD), status (closed), log_id (the entry in customer.monthly_snapshot_log).

Errors: SQLSTATE 22004 the month or the note is NULL; 22023 the month is infinite or outside the years 1 to 9999, or the note is blank; 55000 the month is closed already, or holds no rows; 40001 the caller''s snapshot is older than the last write to the month, run the transaction again.';

CREATE FUNCTION customer.contracts_as_of(p_day date) RETURNS TABLE(company_id text, plan_code text, product_line_code text, product_line_name text, is_strategic boolean, is_existing boolean)
    LANGUAGE plpgsql STABLE ROWS 20000
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS …;

COMMENT ON FUNCTION customer.contracts_as_of(p_day date) IS 'Internal: for each customer, product line and plan the contract version that was true on p_day: valid_from <= p_day <= valid_to (a NULL valid_to covers no day); where several versions cover it, the one with the latest valid_from, then the highest contract_id.
SQLSTATE 42703: the contracts have no valid_from or no contract_id; customer.restate_monthly_snapshot checks that first.';

CREATE FUNCTION customer.guard_closed_months() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS …;

COMMENT ON FUNCTION customer.guard_closed_months() IS 'Trigger function: refuses any statement that would insert, update, delete or truncate rows of a closed month, or move rows into one. Per statement, not per row.
SQLSTATE 55000: the month is closed (the message says by whom, when and why), or TRUNCATE at another isolation level than READ COMMITTED. 40001: the writer''s snapshot is older than the last write to the month.';

CREATE TABLE customer.monthly_snapshot_control (
    snapshot_month date NOT NULL,
    last_rule text,
    last_log_id bigint,
    stale_rows bigint DEFAULT 0 NOT NULL,
    closed_at timestamp with time zone,
    closed_by text,
    close_note text,
    CONSTRAINT chk_control_closed CHECK ((num_nulls(closed_at, closed_by, close_note) = ANY (ARRAY[0, 3]))),
    CONSTRAINT chk_control_month_end CHECK ((isfinite(snapshot_month) AND (EXTRACT(day FROM (snapshot_month + 1)) = (1)::numeric))),
    CONSTRAINT chk_control_rule CHECK ((last_rule = ANY (ARRAY['current'::text, 'as_of'::text])))
);

COMMENT ON TABLE customer.monthly_snapshot_control IS 'Control table of the customer monthly snapshot: one row for each month that was ever written or closed. Whoever writes or closes a month locks its row first, so the row is the month''s lock. Maintained by the package''s functions; read it, do not write it.';

COMMENT ON COLUMN customer.monthly_snapshot_control.snapshot_month IS 'The month, as its last day.';

COMMENT ON COLUMN customer.monthly_snapshot_control.last_rule IS 'The rule by which the month was last written: current (refresh: contracts current on the day of the refresh) or as_of (restate: contract versions that cover the last day of the month). NULL if the package never wrote it.';

COMMENT ON COLUMN customer.monthly_snapshot_control.last_log_id IS 'log_id of the newest entry for the month in customer.monthly_snapshot_log. NULL if there is none.';

COMMENT ON COLUMN customer.monthly_snapshot_control.stale_rows IS 'Rows of the month that no contract supported when it was last written; they are still stored. 0 after a restate.';

COMMENT ON COLUMN customer.monthly_snapshot_control.closed_at IS 'When the month was closed; NULL while it is open.';

COMMENT ON COLUMN customer.monthly_snapshot_control.closed_by IS 'Role that closed the month (session_user); NULL while it is open.';

COMMENT ON COLUMN customer.monthly_snapshot_control.close_note IS 'Why the month was closed; NULL while it is open.';

COMMENT ON CONSTRAINT chk_control_closed ON customer.monthly_snapshot_control IS 'A closed month says when, by whom and why; an open one says nothing of it.';

COMMENT ON CONSTRAINT chk_control_month_end ON customer.monthly_snapshot_control IS 'snapshot_month is the last day of a month, whatever the session''s TimeZone.';

COMMENT ON CONSTRAINT chk_control_rule ON customer.monthly_snapshot_control IS 'The rules are current and as_of.';

CREATE FUNCTION customer.lock_open_snapshot_month(p_snapshot_month date) RETURNS customer.monthly_snapshot_control
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS …;

COMMENT ON FUNCTION customer.lock_open_snapshot_month(p_snapshot_month date) IS 'Internal: locks the month as customer.lock_snapshot_month does, and refuses it if it is closed.
SQLSTATE 55000: the month is closed; the message says by whom, when and why. Others as customer.lock_snapshot_month.';

CREATE FUNCTION customer.lock_snapshot_month(p_snapshot_month date) RETURNS customer.monthly_snapshot_control
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS …;

COMMENT ON FUNCTION customer.lock_snapshot_month(p_snapshot_month date) IS 'Internal: creates the month''s row in customer.monthly_snapshot_control if there is none, locks it to the end of the transaction and returns it. Waits for whoever holds it. p_snapshot_month is the last day of a month.
SQLSTATE 40001: the caller''s snapshot (REPEATABLE READ or SERIALIZABLE) is older than the last write to the month; run the transaction again. 55P03, 57014: lock_timeout or statement_timeout passed while waiting.';

CREATE FUNCTION customer.missing_snapshot_sources() RETURNS TABLE(source_object text, problem text)
    LANGUAGE sql STABLE
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS …;

COMMENT ON FUNCTION customer.missing_snapshot_sources() IS 'What the monthly snapshot reads and does not find in the source system: one row for each table, column or unique key that is missing, and for each column whose type cannot work. No rows: all is there. Deploying and sqitch verify both refuse while it returns rows. Raises nothing.

source_object: the kind and qualified name of what is wanted, such as column customer.customer_plan_contract.valid_to.
problem: "is missing", or the type found and the kind of type that is needed. Text means any string type; date or timestamp means date or timestamp without time zone (with a time zone, the month would depend on the reader).

It asks for no more than the refresh reads. What restating needs besides is checked by customer.restate_monthly_snapshot.';

CREATE FUNCTION customer.period_to_snapshot_month(p_period text) RETURNS date
    LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS …;

COMMENT ON FUNCTION customer.period_to_snapshot_month(p_period text) IS 'The last day of the month that a period of the ETL names: 202601 gives 2026-01-31. Depends on no setting.
p_period: six digits, YYYYMM.
SQLSTATE 22023: p_period is anything else, NULL included.';

CREATE FUNCTION customer.post_etl_hook(p_domain text, p_period text DEFAULT NULL::text) RETURNS jsonb
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS …;

COMMENT ON FUNCTION customer.post_etl_hook(p_domain text, p_period text) IS 'The last call of the platform''s ETL: refreshes the snapshot of the month that was loaded, in the ETL''s own transaction. EXECUTE on this function alone is enough to do so. Its errors reach the caller, so that the load fails as a whole.

p_domain: the domain that was loaded. Only annuity_performance has a snapshot; others are skipped.
p_period: the period that was loaded, YYYYMM; NULL means the month of CURRENT_DATE.
Setting customer.post_etl_hooks: off (or anything else that reads as false) skips the refresh; on, unset or empty does not.

Returns a JSON object: either what customer.refresh_monthly_snapshot returns and "status": "refreshed", or "status": "skipped" and the reason.

Errors: SQLSTATE 22004 the domain is NULL; 22023 the period is not YYYYMM, or the setting does not read as boolean; and those of customer.refresh_monthly_snapshot.';

CREATE FUNCTION customer.refresh_monthly_snapshot(p_snapshot_month date) RETURNS jsonb
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS …;

COMMENT ON FUNCTION customer.refresh_monthly_snapshot(p_snapshot_month date) IS 'Writes the snapshot of one month into customer.fct_customer_business_monthly_status: one row for each customer and product line with a current contract (valid_to = 9999-12-31). Rows that are right already are left untouched; rows that no contract supports are kept and reported. Runs in the caller''s transaction and commits nothing.

p_snapshot_month: any day of the month.

Returns a JSON object:
snapshot_month: the month as its last day, YYYY-MM-DD.
total: rows that the sources support = inserted + updated + unchanged.
upserted: rows written = inserted + updated.
inserted, updated, unchanged: rows new to the month, changed, and found right.
stale: rows stored for the month that no current contract supports; kept.
deleted: 0 (only restating deletes).
aum_total: sum of aum_balance over the supported rows, yuan.
aum_unattributed: 期末资产规模 of the month that no supported row carries (no customer, no product line, no contract for them), yuan.
log_id: the entry in customer.monthly_snapshot_log.
A NOTICE says the same in words.

WARNING (the snapshot is written all the same): no AUM for the month and none stored; no current contract; stale rows; a month older than the newest stored, or one that restating wrote.

Errors (nothing is written): SQLSTATE 22004 the month is NULL; 22023 it is infinite or outside the years 1 to 9999; 55000 the month is closed, or has no AUM at the source while stored rows have some; 40001 the caller''s snapshot is older than the last write to the month, run the transaction again.

Two calls for one month wait for each other; the lock lasts to the end of the transaction. A transaction that writes several months writes them in ascending order.';

CREATE FUNCTION customer.reopen_snapshot_month(p_snapshot_month date, p_reason text) RETURNS jsonb
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS …;

COMMENT ON FUNCTION customer.reopen_snapshot_month(p_snapshot_month date, p_reason text) IS 'Opens a closed month again, so that it can be refreshed, restated and closed anew. Changes no row of it. Runs in the caller''s transaction and commits nothing.

p_snapshot_month: any day of the month.
p_reason: why a published month must change; kept in customer.monthly_snapshot_log.

Returns a JSON object: snapshot_month (its last day, YYYY-MM-DD), status (open), log_id (the entry in customer.monthly_snapshot_log).

Errors: SQLSTATE 22004 the month or the reason is NULL; 22023 the month is infinite or outside the years 1 to 9999, or the reason is blank; 55000 the month is not closed; 40001 the caller''s snapshot is older than the last write to the month, run the transaction again.';

CREATE FUNCTION customer.restate_monthly_snapshot(p_snapshot_month date, p_reason text) RETURNS jsonb
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS …;

COMMENT ON FUNCTION customer.restate_monthly_snapshot(p_snapshot_month date, p_reason text) IS 'Makes the snapshot of one month exactly what its sources say as of the last day of the month: contract versions that cover that day (valid_from <= day <= valid_to) take the place of current ones, and stored rows that none supports are deleted. Where several versions of one customer, plan and product line cover the day, the one with the latest valid_from counts, then the highest contract_id. Awards, losses and AUM are taken as customer.refresh_monthly_snapshot takes them. Runs in the caller''s transaction and commits nothing.

p_snapshot_month: any day of the month.
p_reason: why; kept in customer.monthly_snapshot_log.

Returns what customer.refresh_monthly_snapshot returns; deleted counts the rows that were removed, and stale is 0.

WARNING (the snapshot is written all the same): no AUM for the month.

Errors (nothing is written): SQLSTATE 22004 the month or the reason is NULL; 22023 the month is infinite or outside the years 1 to 9999, or the reason is blank; 55000 the month is closed, no contract version covers it, or the contracts have no valid_from or contract_id; 40001 the caller''s snapshot is older than the last write to the month, run the transaction again.';

CREATE FUNCTION customer.set_snapshot_updated_at() RETURNS trigger
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS …;

COMMENT ON FUNCTION customer.set_snapshot_updated_at() IS 'Trigger function: sets updated_at to the start of the current transaction. Raises nothing.';

CREATE FUNCTION customer.snapshot_month_of(p_day date) RETURNS date
    LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE
    SET search_path TO 'pg_catalog', 'pg_temp'
    AS …;

COMMENT ON FUNCTION customer.snapshot_month_of(p_day date) IS 'Internal: the last day of the month in which p_day lies, by which a snapshot is known. Does not depend on any setting.
SQLSTATE 22004: p_day is NULL. 22023: p_day is infinite or outside the years 1 to 9999.';

CREATE FUNCTION customer.validate_monthly_snapshot(p_snapshot_month date) RETURNS TABLE(check_name text, severity text, violations bigint, detail text, sample jsonb)
    LANGUAGE plpgsql STABLE SECURITY DEFINER ROWS 30
    SET search_path TO 'pg_catalog', 'pg_temp'
    SET enable_nestloop TO 'off'
    SET jit TO 'off'
    AS …;

COMMENT ON FUNCTION customer.validate_monthly_snapshot(p_snapshot_month date) IS 'Checks the snapshot of one month against its sources: every value is worked out anew, in another way than the refresh does it and by the rule with which the month was last written, and compared with what is stored. Writes nothing, also runs on a hot standby. A month is right if no check of severity error has violations:
SELECT * FROM customer.validate_monthly_snapshot(''2026-01-31'') WHERE violations > 0;

p_snapshot_month: any day of the month.

Returns one row a check, always the same checks in the same order:
check_name: what was checked.
severity: error (the snapshot is wrong), warning (the sources hold something that the snapshot cannot show), info (figures that reconcile AUM).
violations: rows found; for unmatched_ checks awards or losses, for aum_ checks rows of 规模明细. 0 if all is well.
detail: the finding in words, with figures; AUM in yuan.
sample: at most 5 of the keys found, company_id and product_line_code.

Checks: snapshot_exists, blank_key, orphaned_company, orphaned_product_line, product_line_name, is_strategic, is_existing, is_new, is_winning_this_year, is_churned_this_year, aum_balance, plan_count, missing_row (error); stale_row, unmatched_award, unmatched_loss (warning); aum_in_source = aum_attributed + aum_without_customer + aum_without_contract + aum_without_product_line, and rounding (info). What changed at the sources after the refresh shows as an error, too: refresh again.

Errors: SQLSTATE 22004 the month is NULL; 22023 it is infinite or outside the years 1 to 9999.';

CREATE FUNCTION customer.write_monthly_snapshot(p_snapshot_month date, p_operation text, p_reason text) RETURNS jsonb
    LANGUAGE plpgsql
    SET search_path TO 'pg_catalog', 'pg_temp'
    SET enable_nestloop TO 'off'
    SET jit TO 'off'
    AS …;

COMMENT ON FUNCTION customer.write_monthly_snapshot(p_snapshot_month date, p_operation text, p_reason text) IS 'Internal: locks the month, works out its rows from the sources, writes those that are new or changed, logs it and returns the counts; what customer.refresh_monthly_snapshot and customer.restate_monthly_snapshot document. Runs with the rights of its caller, and is granted to nobody.
p_operation: refresh (contracts that are current; deletes nothing) or restate (contract versions that cover the last day of the month; deletes what they do not support). p_reason: what the log shall say as the reason.';

CREATE TABLE customer.fct_customer_business_monthly_status (
    snapshot_month date NOT NULL,
    company_id character varying NOT NULL,
    product_line_code character varying(20) NOT NULL,
    product_line_name character varying(50) NOT NULL,
    is_strategic boolean DEFAULT false NOT NULL,
    is_existing boolean DEFAULT false NOT NULL,
    is_new boolean DEFAULT false NOT NULL,
    is_winning_this_year boolean DEFAULT false NOT NULL,
    is_churned_this_year boolean DEFAULT false NOT NULL,
    aum_balance numeric(20,2) DEFAULT 0 NOT NULL,
    plan_count integer DEFAULT 0 NOT NULL,
    updated_at timestamp with time zone DEFAULT CURRENT_TIMESTAMP NOT NULL,
    CONSTRAINT chk_snapshot_month_end CHECK ((isfinite(snapshot_month) AND (EXTRACT(day FROM (snapshot_month + 1)) = (1)::numeric)))
)
WITH (fillfactor='80');

COMMENT ON TABLE customer.fct_customer_business_monthly_status IS 'Customer monthly snapshot (periodic snapshot fact table): the standing of each customer in each product line at the end of a month. One row per month, customer and product line. Written by customer.refresh_monthly_snapshot; nothing else should write it.';

COMMENT ON COLUMN customer.fct_customer_business_monthly_status.snapshot_month IS 'The month, as its last day (2026-01-31 is January 2026).';

COMMENT ON COLUMN customer.fct_customer_business_monthly_status.company_id IS 'Customer; refers to customer."年金客户".company_id.';

COMMENT ON COLUMN customer.fct_customer_business_monthly_status.product_line_code IS 'Product line, such as PL202; refers to mapping."产品线"."产品线代码".';

COMMENT ON COLUMN customer.fct_customer_business_monthly_status.product_line_name IS 'Name of the product line, such as 企年受托, as its contracts spell it; where they differ, the greatest in byte order (COLLATE "C").';

COMMENT ON COLUMN customer.fct_customer_business_monthly_status.is_strategic IS '战客, strategic customer: true if any of the contracts behind this row is marked strategic. A NULL mark counts as false.';

COMMENT ON COLUMN customer.fct_customer_business_monthly_status.is_existing IS '已客, existing customer: true if any of the contracts behind this row is marked existing. A NULL mark counts as false.';

COMMENT ON COLUMN customer.fct_customer_business_monthly_status.is_new IS '新客, new customer: an award was won this year and the customer is not an existing one (is_winning_this_year AND NOT is_existing).';

COMMENT ON COLUMN customer.fct_customer_business_monthly_status.is_winning_this_year IS '当年中标: customer."当年中标" has a row for this customer and product line whose 上报月份 lies in the calendar year of snapshot_month (the whole year, later months included).';

COMMENT ON COLUMN customer.fct_customer_business_monthly_status.is_churned_this_year IS '当年流失: customer."当年流失" has a row for this customer and product line whose 上报月份 lies in the calendar year of snapshot_month (the whole year, later months included).';

COMMENT ON COLUMN customer.fct_customer_business_monthly_status.aum_balance IS 'AUM at month end in yuan, 2 decimals: the sum of 期末资产规模 in business."规模明细" for this customer and product line where 月度 is any day of the month, rounded after summing. 0 where there is none.';

COMMENT ON COLUMN customer.fct_customer_business_monthly_status.plan_count IS 'Number of distinct plans (plan_code) among the contracts behind this row.';

COMMENT ON COLUMN customer.fct_customer_business_monthly_status.updated_at IS 'When a value of this row last changed: the start of the transaction that changed it. A refresh that finds the row right leaves it.';

COMMENT ON CONSTRAINT chk_snapshot_month_end ON customer.fct_customer_business_monthly_status IS 'snapshot_month is the last day of a month, whatever the session''s TimeZone.';

CREATE TABLE customer.monthly_snapshot_log (
    log_id bigint NOT NULL,
    snapshot_month date NOT NULL,
    operation text NOT NULL,
    reason text,
    started_at timestamp with time zone NOT NULL,
    finished_at timestamp with time zone NOT NULL,
    total bigint,
    upserted bigint,
    inserted bigint,
    updated bigint,
    unchanged bigint,
    stale bigint,
    deleted bigint,
    aum_total numeric,
    aum_unattributed numeric,
    invoked_by text NOT NULL,
    application_name text NOT NULL,
    CONSTRAINT chk_log_counts CHECK ((num_nulls(total, upserted, inserted, updated, unchanged, stale, deleted, aum_total, aum_unattributed) =
CASE
    WHEN (operation = ANY (ARRAY['refresh'::text, 'restate'::text])) THEN 0
    ELSE 9
END)),
    CONSTRAINT chk_log_operation CHECK ((operation = ANY (ARRAY['refresh'::text, 'restate'::text, 'close'::text, 'reopen'::text]))),
    CONSTRAINT chk_log_reason CHECK (((operation = 'refresh'::text) OR (reason IS NOT NULL)))
);

COMMENT ON TABLE customer.monthly_snapshot_log IS 'One row for each refresh, restate, close and reopen of a month that committed; what was rolled back leaves none. Written by the package''s functions.';

COMMENT ON COLUMN customer.monthly_snapshot_log.log_id IS 'Number of the entry, rising; gaps are calls that were rolled back.';

COMMENT ON COLUMN customer.monthly_snapshot_log.snapshot_month IS 'The month, as its last day.';

COMMENT ON COLUMN customer.monthly_snapshot_log.operation IS 'What was done: refresh, restate, close or reopen.';

COMMENT ON COLUMN customer.monthly_snapshot_log.reason IS 'Why, in the caller''s words. NULL for a refresh.';

COMMENT ON COLUMN customer.monthly_snapshot_log.started_at IS 'Wall clock when the call began, before it waited for the month''s lock.';

COMMENT ON COLUMN customer.monthly_snapshot_log.finished_at IS 'Wall clock when the work was done; the caller''s commit comes later.';

COMMENT ON COLUMN customer.monthly_snapshot_log.total IS 'Rows that the sources supported. NULL for close and reopen.';

COMMENT ON COLUMN customer.monthly_snapshot_log.upserted IS 'Rows written: inserted + updated. NULL for close and reopen.';

COMMENT ON COLUMN customer.monthly_snapshot_log.inserted IS 'Rows that were new in the month. NULL for close and reopen.';

COMMENT ON COLUMN customer.monthly_snapshot_log.updated IS 'Rows of which some value changed. NULL for close and reopen.';

COMMENT ON COLUMN customer.monthly_snapshot_log.unchanged IS 'Rows found right and left untouched. NULL for close and reopen.';

COMMENT ON COLUMN customer.monthly_snapshot_log.stale IS 'Rows stored for the month that no contract supported and that were kept. NULL for close and reopen.';

COMMENT ON COLUMN customer.monthly_snapshot_log.deleted IS 'Rows that restating removed because no contract supported them; 0 for a refresh, NULL for close and reopen.';

COMMENT ON COLUMN customer.monthly_snapshot_log.aum_total IS 'Sum of aum_balance over the supported rows, in yuan. NULL for close and reopen.';

COMMENT ON COLUMN customer.monthly_snapshot_log.aum_unattributed IS '期末资产规模 of the month that no supported row carries, in yuan, 2 decimals. NULL for close and reopen.';

COMMENT ON COLUMN customer.monthly_snapshot_log.invoked_by IS 'Role that called, as it logged in (session_user).';

COMMENT ON COLUMN customer.monthly_snapshot_log.application_name IS 'application_name of the calling session; empty if it set none.';

COMMENT ON CONSTRAINT chk_log_counts ON customer.monthly_snapshot_log IS 'Refresh and restate count their rows; close and reopen have none to count.';

COMMENT ON CONSTRAINT chk_log_operation ON customer.monthly_snapshot_log IS 'The operations are refresh, restate, close and reopen.';

COMMENT ON CONSTRAINT chk_log_reason ON customer.monthly_snapshot_log IS 'Whoever restates, closes or reopens a month says why.';

ALTER TABLE customer.monthly_snapshot_log ALTER COLUMN log_id ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME customer.monthly_snapshot_log_log_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);

COMMENT ON SEQUENCE customer.monthly_snapshot_log_log_id_seq IS 'Numbers the entries of customer.monthly_snapshot_log.';

CREATE VIEW customer.monthly_status_trend AS
 WITH product_line AS (
         SELECT fct_customer_business_monthly_status.snapshot_month,
            fct_customer_business_monthly_status.product_line_code,
            max(((fct_customer_business_monthly_status.product_line_name)::text COLLATE "C")) AS product_line_name,
            count(*) AS customers,
            count(*) FILTER (WHERE fct_customer_business_monthly_status.is_strategic) AS strategic_customers,
            count(*) FILTER (WHERE fct_customer_business_monthly_status.is_existing) AS existing_customers,
            count(*) FILTER (WHERE fct_customer_business_monthly_status.is_new) AS new_customers,
            count(*) FILTER (WHERE fct_customer_business_monthly_status.is_winning_this_year) AS winning_customers,
            count(*) FILTER (WHERE fct_customer_business_monthly_status.is_churned_this_year) AS churned_customers,
            sum(fct_customer_business_monthly_status.plan_count) AS plans,
            sum(fct_customer_business_monthly_status.aum_balance) AS aum_balance
           FROM customer.fct_customer_business_monthly_status
          GROUP BY fct_customer_business_monthly_status.snapshot_month, fct_customer_business_monthly_status.product_line_code
        ), customer_in_month AS (
         SELECT fct_customer_business_monthly_status.snapshot_month,
            fct_customer_business_monthly_status.company_id,
            bool_or(fct_customer_business_monthly_status.is_strategic) AS is_strategic,
            bool_or(fct_customer_business_monthly_status.is_existing) AS is_existing,
            bool_or(fct_customer_business_monthly_status.is_new) AS is_new,
            bool_or(fct_customer_business_monthly_status.is_winning_this_year) AS is_winning_this_year,
            bool_or(fct_customer_business_monthly_status.is_churned_this_year) AS is_churned_this_year,
            sum(fct_customer_business_monthly_status.plan_count) AS plans,
            sum(fct_customer_business_monthly_status.aum_balance) AS aum_balance
           FROM customer.fct_customer_business_monthly_status
          GROUP BY fct_customer_business_monthly_status.snapshot_month, fct_customer_business_monthly_status.company_id
        ), grand_total AS (
         SELECT customer_in_month.snapshot_month,
            NULL::character varying(20) AS product_line_code,
            '合计'::text AS product_line_name,
            count(*) AS customers,
            count(*) FILTER (WHERE customer_in_month.is_strategic) AS strategic_customers,
            count(*) FILTER (WHERE customer_in_month.is_existing) AS existing_customers,
            count(*) FILTER (WHERE customer_in_month.is_new) AS new_customers,
            count(*) FILTER (WHERE customer_in_month.is_winning_this_year) AS winning_customers,
            count(*) FILTER (WHERE customer_in_month.is_churned_this_year) AS churned_customers,
            (sum(customer_in_month.plans))::bigint AS plans,
            sum(customer_in_month.aum_balance) AS aum_balance
           FROM customer_in_month
          GROUP BY customer_in_month.snapshot_month
        ), month_and_product_line AS (
         SELECT product_line.snapshot_month,
            product_line.product_line_code,
            product_line.product_line_name,
            product_line.customers,
            product_line.strategic_customers,
            product_line.existing_customers,
            product_line.new_customers,
            product_line.winning_customers,
            product_line.churned_customers,
            product_line.plans,
            product_line.aum_balance
           FROM product_line
        UNION ALL
         SELECT grand_total.snapshot_month,
            grand_total.product_line_code,
            grand_total.product_line_name,
            grand_total.customers,
            grand_total.strategic_customers,
            grand_total.existing_customers,
            grand_total.new_customers,
            grand_total.winning_customers,
            grand_total.churned_customers,
            grand_total.plans,
            grand_total.aum_balance
           FROM grand_total
        )
 SELECT this.snapshot_month,
    this.product_line_code,
    this.product_line_name,
    this.customers,
    this.strategic_customers,
    this.existing_customers,
    this.new_customers,
    this.winning_customers,
    this.churned_customers,
    round(((this.winning_customers)::numeric / (this.customers)::numeric), 4) AS winning_rate,
    round(((this.churned_customers)::numeric / (this.customers)::numeric), 4) AS churn_rate,
    this.plans,
    this.aum_balance,
    (this.aum_balance - before.aum_balance) AS aum_change,
    round(((this.aum_balance - before.aum_balance) / NULLIF(before.aum_balance, (0)::numeric)), 4) AS aum_change_ratio,
    control.stale_rows,
    (control.closed_at IS NOT NULL) AS is_closed
   FROM ((month_and_product_line this
     LEFT JOIN LATERAL ( SELECT COALESCE(sum(stored.aum_balance) FILTER (WHERE ((this.product_line_code IS NULL) OR ((stored.product_line_code)::text = (this.product_line_code)::text))), (0)::numeric) AS aum_balance
           FROM customer.fct_customer_business_monthly_status stored
          WHERE ((stored.snapshot_month >= (this.snapshot_month - (EXTRACT(day FROM this.snapshot_month))::integer)) AND (stored.snapshot_month <= (this.snapshot_month - (EXTRACT(day FROM this.snapshot_month))::integer)))
         HAVING (count(*) > 0)) before ON (true))
     LEFT JOIN customer.monthly_snapshot_control control ON ((control.snapshot_month = this.snapshot_month)));

COMMENT ON VIEW customer.monthly_status_trend IS 'The trend of the customer monthly snapshot: one row for each stored month and product line, and a total per month (product_line_code NULL, product_line_name 合计). Counts every stored row, stale ones included. Quick for one month (WHERE snapshot_month = …), a few seconds for all.';

COMMENT ON COLUMN customer.monthly_status_trend.snapshot_month IS 'The month, as its last day.';

COMMENT ON COLUMN customer.monthly_status_trend.product_line_code IS 'Product line; NULL in the month''s total.';

COMMENT ON COLUMN customer.monthly_status_trend.product_line_name IS 'Name of the product line; 合计 in the month''s total.';

COMMENT ON COLUMN customer.monthly_status_trend.customers IS 'Customers. In the total a customer counts once, however many product lines it holds.';

COMMENT ON COLUMN customer.monthly_status_trend.strategic_customers IS '战客, strategic customers. In the total: customers strategic in any product line.';

COMMENT ON COLUMN customer.monthly_status_trend.existing_customers IS '已客, existing customers. In the total: customers existing in any product line.';

COMMENT ON COLUMN customer.monthly_status_trend.new_customers IS '新客, new customers. In the total: customers new in any product line.';

COMMENT ON COLUMN customer.monthly_status_trend.winning_customers IS 'Customers with an award in the calendar year of the month (当年中标). In the total: in any product line.';

COMMENT ON COLUMN customer.monthly_status_trend.churned_customers IS 'Customers with a loss in the calendar year of the month (当年流失). In the total: in any product line.';

COMMENT ON COLUMN customer.monthly_status_trend.winning_rate IS 'winning_customers as a share of customers, 4 decimals (0.0125 is 1.25 %).';

COMMENT ON COLUMN customer.monthly_status_trend.churn_rate IS 'churned_customers as a share of customers, 4 decimals (0.0125 is 1.25 %).';

COMMENT ON COLUMN customer.monthly_status_trend.plans IS 'Plans: sum of plan_count. A plan of two customers, or in two product lines, counts for each.';

COMMENT ON COLUMN customer.monthly_status_trend.aum_balance IS 'AUM at month end, yuan.';

COMMENT ON COLUMN customer.monthly_status_trend.aum_change IS 'aum_balance less that of the calendar month before, yuan. NULL if that month is not stored; a product line that it does not hold counts as 0.';

COMMENT ON COLUMN customer.monthly_status_trend.aum_change_ratio IS 'aum_change as a share of the AUM of the calendar month before, 4 decimals. NULL if that month is not stored or its AUM is 0.';

COMMENT ON COLUMN customer.monthly_status_trend.stale_rows IS 'Rows of the whole month, all product lines, that no contract supported when it was last refreshed; the same in each row of the month. NULL if the package never wrote the month.';

COMMENT ON COLUMN customer.monthly_status_trend.is_closed IS 'Whether the month is closed (customer.close_snapshot_month).';

ALTER TABLE ONLY customer.fct_customer_business_monthly_status
    ADD CONSTRAINT fct_customer_business_monthly_status_pkey PRIMARY KEY (snapshot_month, company_id, product_line_code);

COMMENT ON CONSTRAINT fct_customer_business_monthly_status_pkey ON customer.fct_customer_business_monthly_status IS 'One row per month, customer and product line.';

ALTER TABLE ONLY customer.monthly_snapshot_control
    ADD CONSTRAINT monthly_snapshot_control_pkey PRIMARY KEY (snapshot_month);

COMMENT ON CONSTRAINT monthly_snapshot_control_pkey ON customer.monthly_snapshot_control IS 'One row a month.';

ALTER TABLE ONLY customer.monthly_snapshot_log
    ADD CONSTRAINT monthly_snapshot_log_pkey PRIMARY KEY (log_id);

COMMENT ON CONSTRAINT monthly_snapshot_log_pkey ON customer.monthly_snapshot_log IS 'One number an entry.';

COMMENT ON INDEX customer.fct_customer_business_monthly_status_pkey IS 'Finds the rows of a month, and each row by its key.';

CREATE INDEX idx_snapshot_company ON customer.fct_customer_business_monthly_status USING btree (company_id);

COMMENT ON INDEX customer.idx_snapshot_company IS 'History of a customer.';

CREATE INDEX idx_snapshot_log_month ON customer.monthly_snapshot_log USING btree (snapshot_month, log_id);

COMMENT ON INDEX customer.idx_snapshot_log_month IS 'History of a month, oldest first.';

CREATE INDEX idx_snapshot_month ON customer.fct_customer_business_monthly_status USING btree (snapshot_month);

COMMENT ON INDEX customer.idx_snapshot_month IS 'Rows of a month.';

CREATE INDEX idx_snapshot_month_brin ON customer.fct_customer_business_monthly_status USING brin (snapshot_month);

COMMENT ON INDEX customer.idx_snapshot_month_brin IS 'Ranges of months over a long history, at next to no size.';

CREATE INDEX idx_snapshot_month_product ON customer.fct_customer_business_monthly_status USING btree (snapshot_month, product_line_code);

COMMENT ON INDEX customer.idx_snapshot_month_product IS 'A product line in a month.';

CREATE INDEX idx_snapshot_product_line ON customer.fct_customer_business_monthly_status USING btree (product_line_code);

COMMENT ON INDEX customer.idx_snapshot_product_line IS 'History of a product line.';

CREATE INDEX idx_snapshot_strategic ON customer.fct_customer_business_monthly_status USING btree (snapshot_month) WHERE (is_strategic = true);

COMMENT ON INDEX customer.idx_snapshot_strategic IS 'Strategic customers (战客) of a month.';

COMMENT ON INDEX customer.monthly_snapshot_control_pkey IS 'Finds a month''s row.';

COMMENT ON INDEX customer.monthly_snapshot_log_pkey IS 'Finds an entry by its number.';

CREATE TRIGGER trg_snapshot_guard_delete AFTER DELETE ON customer.fct_customer_business_monthly_status REFERENCING OLD TABLE AS old_row FOR EACH STATEMENT EXECUTE FUNCTION customer.guard_closed_months();

COMMENT ON TRIGGER trg_snapshot_guard_delete ON customer.fct_customer_business_monthly_status IS 'No row of a closed month is deleted.';

CREATE TRIGGER trg_snapshot_guard_insert AFTER INSERT ON customer.fct_customer_business_monthly_status REFERENCING NEW TABLE AS new_row FOR EACH STATEMENT EXECUTE FUNCTION customer.guard_closed_months();

COMMENT ON TRIGGER trg_snapshot_guard_insert ON customer.fct_customer_business_monthly_status IS 'No row is added to a closed month.';

CREATE TRIGGER trg_snapshot_guard_truncate BEFORE TRUNCATE ON customer.fct_customer_business_monthly_status FOR EACH STATEMENT EXECUTE FUNCTION customer.guard_closed_months();

COMMENT ON TRIGGER trg_snapshot_guard_truncate ON customer.fct_customer_business_monthly_status IS 'The table is not truncated while it holds a closed month.';

CREATE TRIGGER trg_snapshot_guard_update AFTER UPDATE ON customer.fct_customer_business_monthly_status REFERENCING OLD TABLE AS old_row NEW TABLE AS new_row FOR EACH STATEMENT EXECUTE FUNCTION customer.guard_closed_months();

COMMENT ON TRIGGER trg_snapshot_guard_update ON customer.fct_customer_business_monthly_status IS 'No row of a closed month changes, leaves it or is moved into it.';

CREATE TRIGGER trg_snapshot_updated_at BEFORE UPDATE ON customer.fct_customer_business_monthly_status FOR EACH ROW WHEN ((old.* IS DISTINCT FROM new.*)) EXECUTE FUNCTION customer.set_snapshot_updated_at();

COMMENT ON TRIGGER trg_snapshot_updated_at ON customer.fct_customer_business_monthly_status IS 'Moves updated_at when, and only when, an update really changes the row.';

ALTER TABLE ONLY customer.fct_customer_business_monthly_status
    ADD CONSTRAINT fk_snapshot_company FOREIGN KEY (company_id) REFERENCES customer."年金客户"(company_id);

COMMENT ON CONSTRAINT fk_snapshot_company ON customer.fct_customer_business_monthly_status IS 'Each customer of a snapshot is a known customer.';

ALTER TABLE ONLY customer.fct_customer_business_monthly_status
    ADD CONSTRAINT fk_snapshot_product_line FOREIGN KEY (product_line_code) REFERENCES mapping."产品线"("产品线代码");

COMMENT ON CONSTRAINT fk_snapshot_product_line ON customer.fct_customer_business_monthly_status IS 'Each product line of a snapshot is a known product line.';

REVOKE ALL ON FUNCTION customer.close_snapshot_month(p_snapshot_month date, p_note text) FROM PUBLIC;

REVOKE ALL ON FUNCTION customer.contracts_as_of(p_day date) FROM PUBLIC;

REVOKE ALL ON FUNCTION customer.guard_closed_months() FROM PUBLIC;

REVOKE ALL ON FUNCTION customer.lock_open_snapshot_month(p_snapshot_month date) FROM PUBLIC;

REVOKE ALL ON FUNCTION customer.lock_snapshot_month(p_snapshot_month date) FROM PUBLIC;

REVOKE ALL ON FUNCTION customer.missing_snapshot_sources() FROM PUBLIC;

REVOKE ALL ON FUNCTION customer.period_to_snapshot_month(p_period text) FROM PUBLIC;

REVOKE ALL ON FUNCTION customer.post_etl_hook(p_domain text, p_period text) FROM PUBLIC;

REVOKE ALL ON FUNCTION customer.refresh_monthly_snapshot(p_snapshot_month date) FROM PUBLIC;

REVOKE ALL ON FUNCTION customer.reopen_snapshot_month(p_snapshot_month date, p_reason text) FROM PUBLIC;

REVOKE ALL ON FUNCTION customer.restate_monthly_snapshot(p_snapshot_month date, p_reason text) FROM PUBLIC;

REVOKE ALL ON FUNCTION customer.set_snapshot_updated_at() FROM PUBLIC;

REVOKE ALL ON FUNCTION customer.snapshot_month_of(p_day date) FROM PUBLIC;

REVOKE ALL ON FUNCTION customer.validate_monthly_snapshot(p_snapshot_month date) FROM PUBLIC;

REVOKE ALL ON FUNCTION customer.write_monthly_snapshot(p_snapshot_month date, p_operation text, p_reason text) FROM PUBLIC;
