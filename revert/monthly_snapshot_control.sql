-- Revert customer_monthly_snapshot:monthly_snapshot_control from pg
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
    IF to_regclass('customer.monthly_snapshot_control') IS NULL
        OR current_setting('customer.discard_snapshots')::boolean
    THEN
        RETURN;
    END IF;

    LOCK TABLE customer.monthly_snapshot_control IN ACCESS EXCLUSIVE MODE;
    v_holds_rows := EXISTS (SELECT FROM customer.monthly_snapshot_control);

    IF v_holds_rows THEN
        RAISE EXCEPTION 'table customer.monthly_snapshot_control holds rows, and reverting would drop them'
            USING
                ERRCODE = 'object_not_in_prerequisite_state',
                HINT = 'The changes after this one are reverted already, and with them the guard of closed months and all grants: '
                    'run "sqitch deploy" and sql/grants.sql again. '
                    'To drop the rows, too: "sqitch revert -y --set discard_snapshots=true".';
    END IF;
END
$$;

DROP TABLE IF EXISTS customer.monthly_snapshot_control;

COMMIT;
