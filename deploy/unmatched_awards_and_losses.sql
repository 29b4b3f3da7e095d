-- Deploy customer_monthly_snapshot:unmatched_awards_and_losses to pg
-- requires: sources
-- requires: fct_customer_business_monthly_status
-- requires: monthly_snapshot_control
-- requires: monthly_status_summary
-- Awards and losses that no row of a month shows: what the marks of customers forget.

SET client_encoding = 'UTF8';

BEGIN;

-- What others made in public is not for the package to use.
SET LOCAL search_path = pg_catalog, pg_temp;

-- The view reads it with the rights of its owner, who may read the sources.
CREATE OR REPLACE FUNCTION customer.unmatched_events()
RETURNS TABLE (
    snapshot_month date,
    event text,
    reported_on date,
    reported_name varchar,
    company_id varchar,
    product_line_code varchar,
    reason text
)
LANGUAGE plpgsql
STABLE
SECURITY DEFINER
ROWS 1000
SET search_path = pg_catalog, pg_temp
SET row_security = off
SET jit = off
AS $$
BEGIN
    PERFORM customer.check_snapshot_sources();

    RETURN QUERY
    WITH event AS MATERIALIZED (
        SELECT *
        FROM customer.source_reported_events()
    )
    SELECT
        month.snapshot_month,
        event.event,
        event.reported_on,
        event.reported_name,
        event.company_id,
        event.product_line_code,
        CASE
            WHEN coalesce(event.company_id !~ '[^[:space:]]', TRUE) OR coalesce(event.product_line_code !~ '[^[:space:]]', TRUE)
                THEN 'no_key'
            WHEN shown.has_other_rows THEN 'other_product_line'
            ELSE 'no_contract'
        END AS reason
    FROM customer.monthly_status_summary AS month
    LEFT JOIN customer.monthly_snapshot_control AS control
        ON control.snapshot_month = month.snapshot_month
    -- What the marks of the month count: its calendar year, by rule as_of up to its last day.
    JOIN event
        ON extract(year FROM event.reported_on) = extract(year FROM month.snapshot_month)
        AND (event.reported_on <= month.snapshot_month OR control.last_rule IS DISTINCT FROM 'as_of')
    CROSS JOIN LATERAL (
        SELECT
            coalesce(bool_or(stored.product_line_code = event.product_line_code), FALSE) AS has_row,
            count(*) > 0 AS has_other_rows
        FROM customer.fct_customer_business_monthly_status AS stored
        WHERE stored.snapshot_month = month.snapshot_month
            AND stored.company_id = event.company_id
    ) AS shown
    WHERE month.product_line_code IS NULL
        AND NOT shown.has_row;
EXCEPTION
    WHEN undefined_column OR datatype_mismatch THEN
        RAISE EXCEPTION 'the source tables are not as they were when the package was deployed: %', customer.for_client(sqlerrm)
            USING
                ERRCODE = 'object_not_in_prerequisite_state',
                HINT = format('As the owner of the package, look at them again: "psql -d %s -f deploy/sources.sql".', current_database());
END
$$;

CREATE OR REPLACE VIEW customer.unmatched_awards_and_losses AS
SELECT
    snapshot_month,
    event,
    reported_on,
    reported_name,
    company_id,
    product_line_code,
    reason
FROM customer.unmatched_events();

CALL customer.revoke_default_grants('customer.unmatched_events()'::regprocedure);
CALL customer.revoke_default_grants('customer.unmatched_awards_and_losses'::regclass);

COMMENT ON FUNCTION customer.unmatched_events() IS
'Internal: awards and losses that no row of a month shows, for the view customer.unmatched_awards_and_losses, whose readers need EXECUTE on this and no right on the sources.
SQLSTATE 55000: a source table is not as it was when the package was deployed; the hint says what mends it.';
COMMENT ON VIEW customer.unmatched_awards_and_losses IS
'未匹配的中标与流失: awards and losses that no row of a month shows, although its calendar-year marks would count them: one row for each stored month and each award or loss of its calendar year, by rule as_of up to its last day, for whose customer and product line the month holds no row. Whoever counts reported losses must add these to the churned_this_year_customers of the month; these are reports, of which a customer may have several, those are customers. Ask for one month: an event stands in each month of its year. Read from the sources as they are now, so that a closed month may get rows when its sources are corrected.';
COMMENT ON COLUMN customer.unmatched_awards_and_losses.snapshot_month IS
'快照月份: the month, as its last day (2026-01-31 is January 2026).';
COMMENT ON COLUMN customer.unmatched_awards_and_losses.event IS
'事件类型: award (中标) or loss (流失).';
COMMENT ON COLUMN customer.unmatched_awards_and_losses.reported_on IS
'上报月份: when it was reported, usually the first day of a month.';
COMMENT ON COLUMN customer.unmatched_awards_and_losses.reported_name IS
'上报客户名称: the customer as it was reported. NULL if the platform has no such column, or the package may not read it.';
COMMENT ON COLUMN customer.unmatched_awards_and_losses.company_id IS
'客户号: the customer. NULL or blank if it was not resolved.';
COMMENT ON COLUMN customer.unmatched_awards_and_losses.product_line_code IS
'产品线代码: the product line. NULL or blank if it was not coded.';
COMMENT ON COLUMN customer.unmatched_awards_and_losses.reason IS
'原因: why no row shows it: no_key (customer or product line is NULL or blank), other_product_line (the month has rows of the customer, but in other product lines only) or no_contract (it has no row of the customer: no contract yet, or none any more).';

COMMIT;
