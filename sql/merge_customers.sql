-- Moves what is stored of one customer to another, when master data finds them to be the same.
--
--   psql -v from=IN7K2M9QX4T1B8ZC -v into=600012345 -v reason='found to be one' -f sql/merge_customers.sql
--
-- from, into  the customer that goes, and the one that stays
-- reason      why; kept in customer.monthly_snapshot_log
--
-- Move contracts, AUM detail, awards and losses first; they are the platform's. Then run this as the
-- owner of the package. It moves all months or, after an error, none. It waits for loads under way, and
-- loads wait for it: half a second for each closed month, which is validated as it is closed.
-- Closed months are opened and closed again; what was published of them stays in log and history. Closing
-- may warn of differences from the sources that are no errors once the month is closed: validate it then.
--
-- Where both have a row for the same month and product line, the two become one: AUM and plans are
-- added up, and a flag is true if either was. So a plan that both held counts twice, for the
-- snapshot knows how many plans, not which, and AUM, rounded in each of them, may be a cent off;
-- refreshing an open month works both out anew.

\set ON_ERROR_STOP on
\set QUIET on

\if :{?from}
\else
    \set from ''
\endif
\if :{?into}
\else
    \set into ''
\endif
\if :{?reason}
\else
    \set reason ''
\endif

BEGIN ISOLATION LEVEL READ COMMITTED;

SET LOCAL client_min_messages = notice;
-- What others made in public is not for the owner of the package to run.
SET LOCAL search_path = pg_catalog, pg_temp;

-- The block below sees settings, but not psql's variables.
SELECT
    set_config('snapshot_merge.from', :'from', TRUE) AS "from",
    set_config('snapshot_merge.into', :'into', TRUE) AS "into",
    set_config('snapshot_merge.reason', :'reason', TRUE) AS reason
\gset

DO $$
DECLARE
    v_from CONSTANT text := current_setting('snapshot_merge.from');
    v_into CONSTANT text := current_setting('snapshot_merge.into');
    v_reason CONSTANT text := current_setting('snapshot_merge.reason');
    v_month date;
    v_control customer.monthly_snapshot_control;
    v_stale jsonb;
    v_written bigint;
    v_close_id bigint;
    v_moved bigint;
    v_added bigint;
    v_months integer := 0;
BEGIN
    PERFORM customer.require_reason(v_reason, 'reason for merging customers');

    IF v_from IN ('', v_into) OR NOT EXISTS (SELECT 1 FROM customer.source_customers() WHERE company_id = v_into) THEN
        RAISE EXCEPTION 'customer "%" cannot be merged into "%"', v_from, v_into
            USING
                ERRCODE = 'invalid_parameter_value',
                HINT = 'Name two different customers; the second must be in the platform''s table of customers: psql -v from=OLD -v into=NEW -v reason=''why'' -f sql/merge_customers.sql';
    END IF;

    -- As a change by hand does, but for all months, so that no load adds a row meanwhile.
    PERFORM customer.check_snapshot_sources();
    LOCK TABLE customer.monthly_snapshot_control IN SHARE ROW EXCLUSIVE MODE;

    FOR v_month IN
        SELECT DISTINCT snapshot_month
        FROM customer.fct_customer_business_monthly_status
        WHERE company_id = v_from
        ORDER BY snapshot_month
    LOOP
        v_control := customer.lock_snapshot_month(v_month);

        SELECT coalesce(max(log_id), 0)
        INTO STRICT v_written
        FROM customer.monthly_snapshot_log
        WHERE snapshot_month = v_month
            AND operation IN ('refresh', 'restate', 'discard', 'adopt');

        IF v_control.closed_at IS NOT NULL THEN
            PERFORM customer.reopen_snapshot_month(v_month, v_reason);

            SELECT coalesce(jsonb_agg(to_jsonb(summary)), '[]')
            INTO STRICT v_stale
            FROM customer.monthly_status_summary AS summary
            WHERE snapshot_month = v_month
                AND product_line_code IS NOT NULL;
        END IF;

        UPDATE customer.fct_customer_business_monthly_status AS kept
        SET
            product_line_name = greatest(kept.product_line_name COLLATE "C", gone.product_line_name COLLATE "C"),
            is_strategic = kept.is_strategic OR gone.is_strategic,
            is_existing = kept.is_existing OR gone.is_existing,
            is_new = (kept.is_winning_this_year OR gone.is_winning_this_year) AND NOT (kept.is_existing OR gone.is_existing),
            is_winning_this_year = kept.is_winning_this_year OR gone.is_winning_this_year,
            is_churned_this_year = kept.is_churned_this_year OR gone.is_churned_this_year,
            aum_balance = kept.aum_balance + gone.aum_balance,
            plan_count = kept.plan_count + gone.plan_count
        FROM customer.fct_customer_business_monthly_status AS gone
        WHERE (gone.snapshot_month, gone.company_id) = (v_month, v_from)
            AND (kept.snapshot_month, kept.company_id, kept.product_line_code) = (v_month, v_into, gone.product_line_code);
        GET DIAGNOSTICS v_added = ROW_COUNT;

        DELETE FROM customer.fct_customer_business_monthly_status AS gone
        USING customer.fct_customer_business_monthly_status AS kept
        WHERE (gone.snapshot_month, gone.company_id) = (v_month, v_from)
            AND (kept.snapshot_month, kept.company_id, kept.product_line_code) = (v_month, v_into, gone.product_line_code);

        UPDATE customer.fct_customer_business_monthly_status
        SET company_id = v_into
        WHERE (snapshot_month, company_id) = (v_month, v_from);
        GET DIAGNOSTICS v_moved = ROW_COUNT;
        v_months := v_months + 1;

        UPDATE customer.monthly_snapshot_log
        SET reason = v_reason
        WHERE snapshot_month = v_month
            AND operation = 'by_hand'
            AND log_id > coalesce(v_control.last_log_id, 0)
            -- A row that was changed by hand since the month was written stays one for validation: without a reason.
            AND NOT EXISTS (
                SELECT 1
                FROM customer.monthly_status_history AS changed
                JOIN customer.monthly_snapshot_log AS earlier
                    ON earlier.log_id = changed.log_id
                WHERE changed.snapshot_month = v_month
                    AND changed.company_id = v_from
                    AND changed.log_id BETWEEN v_written AND v_control.last_log_id
                    AND earlier.operation = 'by_hand'
                    AND earlier.reason IS NULL
            );

        IF v_control.closed_at IS NOT NULL THEN
            -- What the sources say since is no fault of a month that was published.
            PERFORM customer.summarise_snapshot_month(v_month, v_stale);
            v_close_id := customer.close_snapshot_month(v_month, v_reason) ->> 'log_id';

            UPDATE customer.monthly_snapshot_log
            SET accepted = (SELECT accepted FROM customer.monthly_snapshot_log WHERE log_id = v_control.last_log_id)
            WHERE log_id = v_close_id;
        END IF;

        RAISE NOTICE '%: % rows moved, % added to rows that % had%',
            to_char(v_month, 'YYYY-MM-DD'), v_moved, v_added, v_into, CASE WHEN v_control.closed_at IS NULL THEN '' ELSE '; closed again' END;
    END LOOP;

    IF v_months = 0 THEN
        RAISE NOTICE 'no month has a row of "%", so nothing was changed', v_from;
    ELSE
        RAISE NOTICE '% months changed, and none has a row of % any more', v_months, v_from
            USING HINT = 'Validate these months. Once contracts, AUM detail, awards and losses are moved, too, the customer can be deleted.';
    END IF;
END
$$;

COMMIT;
