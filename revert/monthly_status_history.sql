-- Revert customer_monthly_snapshot:monthly_status_history from pg
-- The guard keep_stored_months may be gone by now, or not there yet, where Sqitch takes
-- back a deployment that failed. So rows are kept here, too.

\if :{?discard_snapshots}
\else
    \set discard_snapshots false
\endif

BEGIN;

-- Rows that a policy would hide are an error.
SET LOCAL row_security = off;

SELECT
    NOT :'discard_snapshots'::boolean
    AND to_regclass('customer.monthly_status_history') IS NOT NULL AS keeps_rows
\gset

\if :keeps_rows
    LOCK TABLE customer.monthly_status_history IN ACCESS EXCLUSIVE MODE;

    DO $$
    BEGIN
        IF EXISTS (SELECT FROM customer.monthly_status_history) THEN
            RAISE EXCEPTION 'table customer.monthly_status_history holds rows, and reverting would drop them'
                USING
                    ERRCODE = 'object_not_in_prerequisite_state',
                    HINT = 'Only changes after this one have been reverted, if there were any: "sqitch deploy" and sql/grants.sql bring them back. '
                        'To drop the rows, too: "sqitch revert -y --set discard_snapshots=true".';
        END IF;
    END
    $$;
\endif

DROP TABLE IF EXISTS customer.monthly_status_history;
DROP FUNCTION IF EXISTS customer.keep_history();

COMMIT;
