-- Deploy customer_monthly_snapshot:refresh_monthly_snapshot to pg
-- requires: write_monthly_snapshot
-- What the ETL's last transaction calls: the month by today's contracts, nothing deleted.

SET client_encoding = 'UTF8';

BEGIN;

-- What others made in public is not for the package to use.
SET LOCAL search_path = pg_catalog, pg_temp;

CREATE OR REPLACE FUNCTION customer.refresh_monthly_snapshot(p_snapshot_month date)
RETURNS jsonb
LANGUAGE plpgsql
SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    RETURN customer.write_monthly_snapshot(p_snapshot_month, 'refresh', NULL);
END
$$;

CALL customer.revoke_default_grants('customer.refresh_monthly_snapshot(date)'::regprocedure);

COMMENT ON FUNCTION customer.refresh_monthly_snapshot(date) IS
'Writes the snapshot of one month into customer.fct_customer_business_monthly_status: one row for each customer and product line with a current contract (valid_to = 9999-12-31). Rows that are right already are left untouched; rows that no contract supports are kept and reported. Runs in the caller''s transaction and commits nothing.

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

Errors (nothing is written): SQLSTATE 22004 the month is NULL; 22023 it is infinite or outside the years 1 to 9999; 55000 the month is closed, or has no AUM at the source while stored rows have some, or a source table is not as it was when the package was deployed; 22001, 22003, 23502 a name, code or amount does not fit into the snapshot, a contract lacks its name or code, or an amount is NaN or infinite; 40001 the caller''s snapshot is older than the last write to the month, run the transaction again.

Two calls for one month wait for each other; the lock lasts to the end of the transaction. A transaction that writes several months writes them in ascending order.';

COMMIT;
