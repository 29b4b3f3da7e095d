-- Revert customer_monthly_snapshot:fct_customer_business_monthly_status from pg
-- Keeps a table that holds rows, unless told: sqitch revert --set discard_snapshots=true

\if :{?discard_snapshots}
\else
    \set discard_snapshots false
\endif

BEGIN;

-- The block below sees settings, but not psql's variables.
SELECT set_config('customer.discard_snapshots', :'discard_snapshots', TRUE) AS discard_snapshots
\gset

DO $$
DECLARE
    v_holds_rows boolean;
BEGIN
    -- Someone may have dropped the table by hand: then there is nothing to keep.
    IF to_regclass('customer.fct_customer_business_monthly_status') IS NULL
        OR current_setting('customer.discard_snapshots')::boolean
    THEN
        RETURN;
    END IF;

    LOCK TABLE customer.fct_customer_business_monthly_status IN ACCESS EXCLUSIVE MODE;
    v_holds_rows := EXISTS (SELECT FROM customer.fct_customer_business_monthly_status);

    IF v_holds_rows THEN
        RAISE EXCEPTION 'table customer.fct_customer_business_monthly_status holds rows, and reverting would drop them'
            USING
                ERRCODE = 'object_not_in_prerequisite_state',
                HINT = 'The changes after this one are reverted already, and with them the guard of closed months and all grants: '
                    'run "sqitch deploy" and sql/grants.sql again. '
                    'To drop the rows, too: "sqitch revert -y --set discard_snapshots=true".';
    END IF;
END
$$;

DROP TABLE IF EXISTS customer.fct_customer_business_monthly_status;
DROP FUNCTION IF EXISTS customer.set_snapshot_updated_at();

COMMIT;
