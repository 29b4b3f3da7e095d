-- Deploy customer_monthly_snapshot:baseline_month_of to pg
-- requires: fct_customer_business_monthly_status
-- Which stored month a month that is about to be written is compared with.

BEGIN;

-- What others made in public is not for the package to use.
SET LOCAL search_path = pg_catalog, pg_temp;

CREATE OR REPLACE FUNCTION customer.baseline_month_of(p_snapshot_month date)
RETURNS date
LANGUAGE plpgsql
STABLE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    -- In a year the book grows by more than what a month of it can be held against.
    c_most_months CONSTANT integer := 12;
    v_month date;
BEGIN
    -- min() reads one entry of an index, whatever the statistics say.
    SELECT min(snapshot_month)
    INTO v_month
    FROM customer.fct_customer_business_monthly_status
    WHERE snapshot_month >= p_snapshot_month;

    IF v_month = p_snapshot_month THEN
        RETURN v_month;
    END IF;

    SELECT neighbour.month
    INTO v_month
    FROM generate_series(-c_most_months, c_most_months) AS distance
    CROSS JOIN LATERAL (
        SELECT (p_snapshot_month + 1 + make_interval(months => distance))::date - 1
    ) AS neighbour (month)
    WHERE (
        SELECT stored.aum_balance <> 0
        FROM customer.fct_customer_business_monthly_status AS stored
        -- As a range, so that the index is used where statistics know few months.
        WHERE stored.snapshot_month >= neighbour.month
            AND stored.snapshot_month <= neighbour.month
            AND stored.aum_balance <> 0
        ORDER BY stored.snapshot_month
        LIMIT 1
    )
    ORDER BY abs(distance), distance
    LIMIT 1;

    RETURN v_month;
END
$$;

CALL customer.revoke_default_grants('customer.baseline_month_of(date)'::regprocedure);

COMMENT ON FUNCTION customer.baseline_month_of(date) IS
'Internal: the stored month with which a month that is about to be written is compared: the month itself if it holds rows, otherwise the nearest month within a year that holds rows with AUM, of two as near the earlier one. NULL if there is none.
p_snapshot_month: the last day of a month. Raises nothing.';

COMMIT;
