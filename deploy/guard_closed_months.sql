-- Deploy customer_monthly_snapshot:guard_closed_months to pg
-- requires: sources
-- requires: fct_customer_business_monthly_status
-- requires: monthly_snapshot_log
-- requires: monthly_status_history
-- requires: monthly_status_summary
-- requires: lock_open_snapshot_month
-- Triggers that keep the rows of closed months from everyone, the owner included, and what rows of
-- other months were before they were changed by hand.

BEGIN;

-- What others made in public is not for the package to use.
SET LOCAL search_path = pg_catalog, pg_temp;

CREATE OR REPLACE FUNCTION customer.guard_closed_months()
RETURNS trigger
LANGUAGE plpgsql
SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
-- An error rather than a count of what a policy shows.
SET row_security = off
-- As in the refresh: tables that were never analysed.
SET enable_nestloop = off
-- Plans that must do with a nested loop look dear enough to be compiled.
SET jit = off
AS $$
DECLARE
    v_writer text := concat_ws(' ', pg_current_xact_id(), pg_trigger_depth() - 1);
    v_changed record;
    v_first date;
    v_last date;
    v_month date;
    v_control customer.monthly_snapshot_control;
    v_log_ids bigint[] := ARRAY[]::bigint[];
    v_changed_twice date;
    v_entry record;
    v_event record;
    v_is_change boolean;
    v_month_rows bigint;
    v_month_aum numeric;
BEGIN
    -- The package's functions lock their month first, and log and keep its rows themselves.
    IF EXISTS (SELECT 1 FROM customer.monthly_snapshot_control WHERE writer = v_writer) THEN
        RETURN NULL;
    END IF;

    IF TG_OP = 'TRUNCATE' THEN
        -- It holds the whole table already, which a refresh under way may be about to ask for.
        -- So it does not wait for that one.
        BEGIN
            LOCK TABLE customer.monthly_snapshot_control IN SHARE ROW EXCLUSIVE MODE NOWAIT;
        EXCEPTION WHEN lock_not_available THEN
            RAISE EXCEPTION 'customer.fct_customer_business_monthly_status cannot be truncated while a month is being changed'
                USING
                    ERRCODE = 'lock_not_available',
                    HINT = 'Wait for it, in the same transaction: LOCK TABLE customer.monthly_snapshot_control IN SHARE ROW EXCLUSIVE MODE; before TRUNCATE.';
        END;

        -- TRUNCATE empties also what an older snapshot does not show, and so it must be
        -- refused where the months closed since then cannot be seen.
        IF current_setting('transaction_isolation') NOT IN ('read committed', 'read uncommitted') THEN
            RAISE EXCEPTION 'customer.fct_customer_business_monthly_status can be truncated at READ COMMITTED only, not at %',
                upper(current_setting('transaction_isolation'))
                USING
                    ERRCODE = 'object_not_in_prerequisite_state',
                    HINT = 'DELETE the rows, or truncate in a transaction at READ COMMITTED.';
        END IF;
    ELSIF TG_WHEN = 'BEFORE' THEN
        -- Loads lock the sources first, and so does this.
        PERFORM customer.check_snapshot_sources();

        -- A change by hand locks rows first and their month afterwards, the functions do it the
        -- other way round. This lock keeps the two apart, unless the transaction has changed a
        -- month before: to wait for others then would be the deadlock that it shall prevent.
        IF NOT EXISTS (
            SELECT 1
            FROM pg_locks
            WHERE pid = pg_backend_pid()
                AND relation = 'customer.monthly_snapshot_control'::regclass
                AND mode = 'RowExclusiveLock'
        ) THEN
            LOCK TABLE customer.monthly_snapshot_control IN SHARE ROW EXCLUSIVE MODE;
        END IF;

        RETURN NULL;
    END IF;

    -- By how much the statement changed the rows and the AUM of each month.
    IF TG_OP = 'INSERT' THEN
        SELECT
            array_agg(snapshot_month ORDER BY snapshot_month) AS months,
            array_agg(row_change ORDER BY snapshot_month) AS row_changes,
            array_agg(aum_change ORDER BY snapshot_month) AS aum_changes
        INTO STRICT v_changed
        FROM (
            SELECT
                snapshot_month,
                count(*) AS row_change,
                sum(aum_balance) AS aum_change
            FROM new_row
            GROUP BY snapshot_month
        ) AS change;
    ELSIF TG_OP = 'UPDATE' THEN
        SELECT
            array_agg(snapshot_month ORDER BY snapshot_month) AS months,
            array_agg(row_change ORDER BY snapshot_month) AS row_changes,
            array_agg(aum_change ORDER BY snapshot_month) AS aum_changes
        INTO STRICT v_changed
        FROM (
            SELECT
                snapshot_month,
                sum(row_count) AS row_change,
                sum(aum) AS aum_change
            FROM (
                SELECT snapshot_month, -1 AS row_count, -aum_balance AS aum FROM old_row
                UNION ALL
                SELECT snapshot_month, 1, aum_balance FROM new_row
            ) AS version
            GROUP BY snapshot_month
        ) AS change;
    ELSIF TG_OP = 'DELETE' THEN
        SELECT
            array_agg(snapshot_month ORDER BY snapshot_month) AS months,
            array_agg(row_change ORDER BY snapshot_month) AS row_changes,
            array_agg(aum_change ORDER BY snapshot_month) AS aum_changes
        INTO STRICT v_changed
        FROM (
            SELECT
                snapshot_month,
                -count(*) AS row_change,
                -sum(aum_balance) AS aum_change
            FROM old_row
            GROUP BY snapshot_month
        ) AS change;
    ELSE
        -- Closed months that hold no row, too.
        SELECT
            array_agg(snapshot_month ORDER BY snapshot_month) AS months,
            array_agg(row_change ORDER BY snapshot_month) AS row_changes,
            array_agg(aum_change ORDER BY snapshot_month) AS aum_changes
        INTO STRICT v_changed
        FROM (
            SELECT
                coalesce(stored.snapshot_month, control.snapshot_month) AS snapshot_month,
                -count(stored.snapshot_month) AS row_change,
                coalesce(-sum(stored.aum_balance), 0) AS aum_change
            FROM customer.fct_customer_business_monthly_status AS stored
            FULL JOIN customer.monthly_snapshot_control AS control
                ON control.snapshot_month = stored.snapshot_month
            GROUP BY 1
        ) AS change;
    END IF;

    IF v_changed.months IS NULL THEN
        RETURN NULL;
    END IF;

    v_first := v_changed.months[1];
    v_last := v_changed.months[cardinality(v_changed.months)];

    -- Each month that was written is locked as a refresh locks it, so that it cannot be
    -- closed between this check and the writer's commit: in ascending order, as all do who
    -- lock several.
    FOREACH v_month IN ARRAY v_changed.months
    LOOP
        v_control := customer.lock_open_snapshot_month(v_month);
        v_log_ids := v_log_ids || customer.next_log_id(v_control.last_log_id);
    END LOOP;

    IF TG_OP = 'INSERT' THEN
        INSERT INTO customer.monthly_status_history (snapshot_month, log_id, company_id, product_line_code, operation)
        SELECT
            entry.snapshot_month,
            entry.log_id,
            added.company_id,
            added.product_line_code,
            'insert'
        FROM unnest(v_changed.months, v_log_ids) AS entry (snapshot_month, log_id)
        JOIN customer.monthly_snapshot_control AS control
            ON control.snapshot_month = entry.snapshot_month
            -- The first fill of a month replaces nothing, but for what comes in between while a
            -- function writes it.
            AND (control.last_log_id IS NOT NULL OR control.writer IS NOT NULL)
        JOIN new_row AS added
            ON added.snapshot_month = entry.snapshot_month;
    ELSIF TG_OP = 'UPDATE' THEN
        INSERT INTO customer.monthly_status_history (
            snapshot_month, log_id, company_id, product_line_code, operation, product_line_name, is_strategic, is_existing, is_new,
            is_winning_this_year, is_churned_this_year, aum_balance, plan_count, updated_at
        )
        SELECT
            entry.snapshot_month,
            entry.log_id,
            coalesce(before.company_id, after.company_id),
            coalesce(before.product_line_code, after.product_line_code),
            CASE
                WHEN before.plan_count IS NULL THEN 'insert'
                WHEN after.plan_count IS NULL THEN 'delete'
                ELSE 'update'
            END,
            before.product_line_name,
            before.is_strategic,
            before.is_existing,
            before.is_new,
            before.is_winning_this_year,
            before.is_churned_this_year,
            before.aum_balance,
            before.plan_count,
            before.updated_at
        FROM old_row AS before
        FULL JOIN new_row AS after
            ON after.snapshot_month = before.snapshot_month
            AND after.company_id = before.company_id
            AND after.product_line_code = before.product_line_code
        JOIN unnest(v_changed.months, v_log_ids) AS entry (snapshot_month, log_id)
            ON entry.snapshot_month = coalesce(before.snapshot_month, after.snapshot_month)
        JOIN customer.monthly_snapshot_control AS control
            ON control.snapshot_month = entry.snapshot_month
        -- Not whole rows: a site may have added columns of its own, of any type.
        WHERE (
            before.product_line_name, before.is_strategic, before.is_existing, before.is_new, before.is_winning_this_year,
            before.is_churned_this_year, before.aum_balance, before.plan_count, before.updated_at
        ) IS DISTINCT FROM (
            after.product_line_name, after.is_strategic, after.is_existing, after.is_new, after.is_winning_this_year,
            after.is_churned_this_year, after.aum_balance, after.plan_count, after.updated_at
        )
            -- As above.
            AND (before.plan_count IS NOT NULL OR control.last_log_id IS NOT NULL OR control.writer IS NOT NULL);
    ELSIF TG_OP = 'DELETE' THEN
        INSERT INTO customer.monthly_status_history (
            snapshot_month, log_id, company_id, product_line_code, operation, product_line_name, is_strategic, is_existing, is_new,
            is_winning_this_year, is_churned_this_year, aum_balance, plan_count, updated_at
        )
        SELECT
            entry.snapshot_month,
            entry.log_id,
            gone.company_id,
            gone.product_line_code,
            'delete',
            gone.product_line_name,
            gone.is_strategic,
            gone.is_existing,
            gone.is_new,
            gone.is_winning_this_year,
            gone.is_churned_this_year,
            gone.aum_balance,
            gone.plan_count,
            gone.updated_at
        FROM unnest(v_changed.months, v_log_ids) AS entry (snapshot_month, log_id)
        JOIN old_row AS gone
            ON gone.snapshot_month = entry.snapshot_month;
    ELSE
        INSERT INTO customer.monthly_status_history (
            snapshot_month, log_id, company_id, product_line_code, operation, product_line_name, is_strategic, is_existing, is_new,
            is_winning_this_year, is_churned_this_year, aum_balance, plan_count, updated_at
        )
        SELECT
            entry.snapshot_month,
            entry.log_id,
            gone.company_id,
            gone.product_line_code,
            'delete',
            gone.product_line_name,
            gone.is_strategic,
            gone.is_existing,
            gone.is_new,
            gone.is_winning_this_year,
            gone.is_churned_this_year,
            gone.aum_balance,
            gone.plan_count,
            gone.updated_at
        FROM unnest(v_changed.months, v_log_ids) AS entry (snapshot_month, log_id)
        JOIN customer.fct_customer_business_monthly_status AS gone
            ON gone.snapshot_month = entry.snapshot_month;
    END IF;

    -- Where a statement changes a row twice, its triggers fire in another order than the changes
    -- were made, and the history would be wrong. Then what it wrote last is not what is stored.
    IF TG_OP IN ('INSERT', 'UPDATE') THEN
        SELECT min(written.snapshot_month)
        INTO v_changed_twice
        FROM new_row AS written
        LEFT JOIN customer.fct_customer_business_monthly_status AS stored
            ON stored.snapshot_month = written.snapshot_month
            AND stored.company_id = written.company_id
            AND stored.product_line_code = written.product_line_code
            AND stored.snapshot_month BETWEEN v_first AND v_last
        WHERE (
            written.product_line_name, written.is_strategic, written.is_existing, written.is_new, written.is_winning_this_year,
            written.is_churned_this_year, written.aum_balance, written.plan_count, written.updated_at
        ) IS DISTINCT FROM (
            stored.product_line_name, stored.is_strategic, stored.is_existing, stored.is_new, stored.is_winning_this_year,
            stored.is_churned_this_year, stored.aum_balance, stored.plan_count, stored.updated_at
        );
    END IF;

    IF TG_OP IN ('UPDATE', 'DELETE') AND v_changed_twice IS NULL THEN
        SELECT min(gone.snapshot_month)
        INTO v_changed_twice
        FROM customer.monthly_status_history AS gone
        JOIN customer.fct_customer_business_monthly_status AS stored
            ON stored.snapshot_month = gone.snapshot_month
            AND stored.company_id = gone.company_id
            AND stored.product_line_code = gone.product_line_code
        WHERE gone.snapshot_month BETWEEN v_first AND v_last
            AND gone.log_id >= v_log_ids[1]
            AND gone.operation = 'delete'
            AND stored.snapshot_month BETWEEN v_first AND v_last;
    END IF;

    IF v_changed_twice IS NOT NULL THEN
        RAISE EXCEPTION 'one statement changed a row of % twice', to_char(v_changed_twice, 'YYYY-MM-DD')
            USING
                ERRCODE = 'feature_not_supported',
                HINT = 'Change it by statements of their own, one after the other: not by DELETE and INSERT in one WITH, '
                    'and not by a trigger on the row that is being changed.';
    END IF;

    FOR v_entry IN
        SELECT
            entry.snapshot_month,
            entry.log_id,
            entry.row_change,
            entry.aum_change,
            coalesce(newest.month_rows, 0) AS earlier_rows,
            coalesce(newest.month_aum, 0.00) AS earlier_aum
        FROM unnest(v_changed.months, v_log_ids, v_changed.row_changes, v_changed.aum_changes)
            AS entry (snapshot_month, log_id, row_change, aum_change)
        JOIN customer.monthly_snapshot_control AS control
            ON control.snapshot_month = entry.snapshot_month
        LEFT JOIN customer.monthly_snapshot_log AS newest
            ON newest.log_id = control.last_log_id
        ORDER BY entry.snapshot_month
    LOOP
        SELECT
            count(*) FILTER (WHERE operation = 'insert') AS inserted,
            count(*) FILTER (WHERE operation = 'update') AS updated,
            count(*) FILTER (WHERE operation = 'delete') AS deleted
        INTO STRICT v_event
        FROM customer.monthly_status_history
        WHERE snapshot_month = v_entry.snapshot_month
            AND log_id = v_entry.log_id;

        -- The first fill of a month has no history.
        IF v_event.inserted + v_event.updated + v_event.deleted = 0 THEN
            v_event.inserted := v_entry.row_change;
        END IF;

        v_is_change := v_event.inserted + v_event.updated + v_event.deleted > 0;

        IF v_is_change THEN
            -- Not counted anew: what was changed while triggers were disabled must not vanish
            -- from sight with the next change by hand.
            v_month_rows := v_entry.earlier_rows + v_entry.row_change;
            v_month_aum := v_entry.earlier_aum + v_entry.aum_change;

            -- A table from before the package may have held NaN, and nothing takes that from a sum.
            IF v_month_aum = 'NaN' THEN
                SELECT coalesce(sum(aum_balance), 0.00)
                INTO STRICT v_month_aum
                FROM customer.fct_customer_business_monthly_status
                WHERE snapshot_month = v_entry.snapshot_month
                    AND tg_op <> 'TRUNCATE';
            END IF;

            INSERT INTO customer.monthly_snapshot_log (
                log_id, snapshot_month, operation, started_at, finished_at, inserted, updated, deleted, month_rows, month_aum, invoked_by,
                application_name
            )
            OVERRIDING SYSTEM VALUE
            VALUES (
                v_entry.log_id,
                v_entry.snapshot_month,
                'by_hand',
                statement_timestamp(),
                clock_timestamp(),
                v_event.inserted,
                v_event.updated,
                v_event.deleted,
                v_month_rows,
                v_month_aum,
                session_user,
                current_setting('application_name')
            );
        END IF;

        -- Always a new row version, so that whoever closes the month with an older snapshot
        -- gets a serialization failure.
        UPDATE customer.monthly_snapshot_control
        SET
            last_log_id = CASE WHEN v_is_change THEN v_entry.log_id ELSE last_log_id END,
            last_changed_at = CASE WHEN v_is_change THEN clock_timestamp() ELSE last_changed_at END,
            stale_rows = CASE WHEN tg_op = 'TRUNCATE' THEN 0 ELSE stale_rows END
        WHERE snapshot_month = v_entry.snapshot_month;

        -- TRUNCATE comes after this, and leaves nothing.
        IF TG_OP = 'TRUNCATE' THEN
            DELETE FROM customer.monthly_status_summary
            WHERE snapshot_month = v_entry.snapshot_month;
        ELSE
            PERFORM customer.summarise_snapshot_month(v_entry.snapshot_month);
            PERFORM customer.check_snapshot_sources_are_seen();
        END IF;
    END LOOP;

    RETURN NULL;
END
$$;

CREATE OR REPLACE TRIGGER trg_snapshot_guard_before
    BEFORE INSERT OR UPDATE OR DELETE ON customer.fct_customer_business_monthly_status
    FOR EACH STATEMENT
    EXECUTE FUNCTION customer.guard_closed_months();

CREATE OR REPLACE TRIGGER trg_snapshot_guard_insert
    AFTER INSERT ON customer.fct_customer_business_monthly_status
    REFERENCING NEW TABLE AS new_row
    FOR EACH STATEMENT
    EXECUTE FUNCTION customer.guard_closed_months();

CREATE OR REPLACE TRIGGER trg_snapshot_guard_update
    AFTER UPDATE ON customer.fct_customer_business_monthly_status
    REFERENCING OLD TABLE AS old_row NEW TABLE AS new_row
    FOR EACH STATEMENT
    EXECUTE FUNCTION customer.guard_closed_months();

CREATE OR REPLACE TRIGGER trg_snapshot_guard_delete
    AFTER DELETE ON customer.fct_customer_business_monthly_status
    REFERENCING OLD TABLE AS old_row
    FOR EACH STATEMENT
    EXECUTE FUNCTION customer.guard_closed_months();

CREATE OR REPLACE TRIGGER trg_snapshot_guard_truncate
    BEFORE TRUNCATE ON customer.fct_customer_business_monthly_status
    FOR EACH STATEMENT
    EXECUTE FUNCTION customer.guard_closed_months();

CALL customer.revoke_default_grants('customer.guard_closed_months()'::regprocedure);

COMMENT ON FUNCTION customer.guard_closed_months() IS
'Trigger function: refuses any statement that would insert, update, delete or truncate rows of a closed month, or move rows into one. Where rows of an open month are changed by hand, it logs that (operation by_hand in customer.monthly_snapshot_log, an entry for each month and kind of change, counts included; one statement may make several), keeps the rows as they were before (customer.monthly_status_history), and adds the month up anew (customer.monthly_status_summary). Changes by hand wait for refreshes under way, and these for them. Per statement, not per row.
SQLSTATE 55000: the month is closed (the message says by whom, when and why), or TRUNCATE at another isolation level than READ COMMITTED, or a source table is not as it was when the package was deployed. 0A000: one statement changed a row twice, such as DELETE and INSERT of one key in a WITH, of which no history could be kept. 55P03: TRUNCATE while a month is being changed. 40001: the writer''s snapshot is older than the last write to the month, or than the emptying of a source table.';
COMMENT ON TRIGGER trg_snapshot_guard_before ON customer.fct_customer_business_monthly_status IS
'Who changes rows by hand waits for refreshes under way, and these for him, so that they do not deadlock.';
COMMENT ON TRIGGER trg_snapshot_guard_insert ON customer.fct_customer_business_monthly_status IS
'No row is added to a closed month.';
COMMENT ON TRIGGER trg_snapshot_guard_update ON customer.fct_customer_business_monthly_status IS
'No row of a closed month changes, leaves it or is moved into it.';
COMMENT ON TRIGGER trg_snapshot_guard_delete ON customer.fct_customer_business_monthly_status IS
'No row of a closed month is deleted.';
COMMENT ON TRIGGER trg_snapshot_guard_truncate ON customer.fct_customer_business_monthly_status IS
'The table is not truncated while it holds a closed month.';

-- From here on every change is logged. What stands in the table already gets its entry: without
-- one, nobody could say what it was like before the first change.
WITH unlogged AS (
    SELECT
        fact.snapshot_month,
        count(*) AS row_count,
        sum(fact.aum_balance) AS aum
    FROM customer.fct_customer_business_monthly_status AS fact
    LEFT JOIN customer.monthly_snapshot_control AS control
        ON control.snapshot_month = fact.snapshot_month
    WHERE control.last_log_id IS NULL
    GROUP BY fact.snapshot_month
),
entry AS (
    INSERT INTO customer.monthly_snapshot_log (
        snapshot_month, operation, reason, started_at, finished_at, inserted, month_rows, month_aum, invoked_by, application_name
    )
    SELECT
        snapshot_month,
        'adopt',
        'stood in the table before changes were recorded',
        clock_timestamp(),
        clock_timestamp(),
        row_count,
        row_count AS month_rows,
        aum,
        session_user,
        current_setting('application_name')
    FROM unlogged
    ORDER BY snapshot_month
    RETURNING snapshot_month, log_id
)
INSERT INTO customer.monthly_snapshot_control (snapshot_month, last_log_id)
SELECT
    snapshot_month,
    log_id
FROM entry
ON CONFLICT (snapshot_month) DO UPDATE SET
    last_log_id = EXCLUDED.last_log_id;

UPDATE customer.monthly_snapshot_control AS control
SET last_changed_at = (
    SELECT max(stored.updated_at)
    FROM customer.fct_customer_business_monthly_status AS stored
    WHERE stored.snapshot_month = control.snapshot_month
)
WHERE control.last_changed_at IS NULL;

-- And what BI reads is made, or made anew where rows changed while nobody kept it up to date.
DO $$
DECLARE
    v_month date;
BEGIN
    FOR v_month IN
        SELECT stored.snapshot_month
        FROM customer.fct_customer_business_monthly_status AS stored
        LEFT JOIN customer.monthly_status_summary AS summary
            ON summary.snapshot_month = stored.snapshot_month
            AND summary.product_line_code IS NULL
        GROUP BY stored.snapshot_month, summary.row_count, summary.aum_balance
        HAVING (count(*), sum(stored.aum_balance)) IS DISTINCT FROM (summary.row_count, summary.aum_balance)
        ORDER BY stored.snapshot_month
    LOOP
        PERFORM customer.summarise_snapshot_month(v_month);
    END LOOP;
END
$$;

COMMIT;
