-- Deploy customer_monthly_snapshot:snapshot_rows_after to pg
-- requires: fct_customer_business_monthly_status
-- requires: monthly_status_history
-- A month as a log entry left it, and its control totals: what was published, and the proof of it.

BEGIN;

-- What others made in public is not for the package to use.
SET LOCAL search_path = pg_catalog, pg_temp;

CREATE OR REPLACE FUNCTION customer.snapshot_rows_after(p_snapshot_month date, p_log_id bigint)
RETURNS TABLE (
    snapshot_month date,
    company_id varchar,
    product_line_code varchar,
    product_line_name varchar,
    is_strategic boolean,
    is_existing boolean,
    is_new boolean,
    is_winning_this_year boolean,
    is_churned_this_year boolean,
    aum_balance numeric,
    plan_count integer,
    updated_at timestamptz
)
LANGUAGE sql
STABLE
ROWS 20000
SET search_path = pg_catalog, pg_temp
SET row_security = off
SET enable_nestloop = off
SET jit = off
AS $$
    -- The package's columns by name: a table that was adopted may have others, or another order.
    -- What happened first after the entry to each key: its values are those that the entry left.
    WITH first_event AS (
        SELECT DISTINCT ON (history.company_id COLLATE "C", history.product_line_code COLLATE "C")
            history.*
        FROM customer.monthly_status_history AS history
        WHERE history.snapshot_month = p_snapshot_month
            AND history.log_id > p_log_id
        ORDER BY history.company_id COLLATE "C", history.product_line_code COLLATE "C", history.log_id
    )
    SELECT
        stored.snapshot_month,
        stored.company_id,
        stored.product_line_code,
        stored.product_line_name,
        stored.is_strategic,
        stored.is_existing,
        stored.is_new,
        stored.is_winning_this_year,
        stored.is_churned_this_year,
        stored.aum_balance,
        stored.plan_count,
        stored.updated_at
    FROM customer.fct_customer_business_monthly_status AS stored
    LEFT JOIN first_event
        ON first_event.company_id = stored.company_id
        AND first_event.product_line_code = stored.product_line_code
    WHERE stored.snapshot_month = p_snapshot_month
        AND first_event.log_id IS NULL
    UNION ALL
    SELECT
        first_event.snapshot_month,
        first_event.company_id,
        first_event.product_line_code,
        first_event.product_line_name,
        first_event.is_strategic,
        first_event.is_existing,
        first_event.is_new,
        first_event.is_winning_this_year,
        first_event.is_churned_this_year,
        first_event.aum_balance,
        first_event.plan_count,
        first_event.updated_at
    FROM first_event
    WHERE first_event.operation <> 'insert'
$$;

CREATE OR REPLACE FUNCTION customer.snapshot_control_totals(p_snapshot_month date, p_log_id bigint)
RETURNS TABLE (row_count bigint, aum numeric, sha256 text)
LANGUAGE sql
STABLE
ROWS 1
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT
        count(*),
        coalesce(sum(version.aum_balance), 0.00),
        encode(
            sha256(convert_to(
                coalesce(
                    string_agg(
                        -- As JSON: it depends on no setting, and no two rows read alike.
                        jsonb_build_array(
                            version.snapshot_month,
                            version.company_id,
                            version.product_line_code,
                            version.product_line_name,
                            version.is_strategic,
                            version.is_existing,
                            version.is_new,
                            version.is_winning_this_year,
                            version.is_churned_this_year,
                            version.aum_balance,
                            version.plan_count
                        )::text,
                        E'\n'
                        -- Also where the database comes into another encoding.
                        ORDER BY convert_to(version.company_id, 'UTF8'), convert_to(version.product_line_code, 'UTF8')
                    ),
                    ''
                ),
                'UTF8'
            )),
            'hex'
        )
    FROM customer.snapshot_rows_after(p_snapshot_month, p_log_id) AS version
$$;

CALL customer.revoke_default_grants('customer.snapshot_rows_after(date, bigint)'::regprocedure);
CALL customer.revoke_default_grants('customer.snapshot_control_totals(date, bigint)'::regprocedure);

COMMENT ON FUNCTION customer.snapshot_rows_after(date, bigint) IS
'Internal: the rows of a month as a log entry left them: for each key what its first event after that entry says it was before, otherwise the row as it stands. customer.monthly_status_as_at is for users, and refuses an entry of another month.
p_snapshot_month: the last day of a month. p_log_id: the entry; one that is higher than all gives the rows as they stand. Raises nothing.';
COMMENT ON FUNCTION customer.snapshot_control_totals(date, bigint) IS
'Internal: control totals of a month as a log entry left it: rows, sum of aum_balance in yuan, and the sha256 over the UTF-8 text of its rows (all columns but updated_at, as JSON arrays, one a line, in the order of the UTF-8 bytes of company_id and product_line_code). Depends on no setting, nor on the encoding of the database.
p_snapshot_month, p_log_id: as for customer.snapshot_rows_after. Raises nothing.';

COMMIT;
