-- Deploy customer_monthly_snapshot:refresh_monthly_snapshot to pg
-- requires: write_monthly_snapshot
-- What the ETL's last transaction calls: the month by today's contracts.

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
'Writes the snapshot of one month into customer.fct_customer_business_monthly_status: one row for each customer and product line with a current contract (valid_to = 9999-12-31). A month that was last restated keeps that rule: the contract versions that cover its last day, awards and losses up to it. Rows that are right already are left untouched. Runs in the caller''s transaction and commits nothing.

Rows of the month that no current contract supports: one whose contract was true on the last day of the month is stale and stays, its AUM and its award and loss marks brought up to date; one that nothing speaks for is removed, because no contract version covers that day, or because its AUM is gone from the detail (re-coded, or resolved to another customer). In a restated month every unsupported row is removed.

p_snapshot_month: any day of the month.

Returns a JSON object, whose keys are always all there and fixed for good:
status: refreshed (restated, skipped from the functions that share these keys).
snapshot_month: the month as its last day, YYYY-MM-DD.
rule: current or as_of, the rule that the month was written by.
total: rows that the sources support = inserted + updated + unchanged.
upserted: rows written = inserted + updated + stale rows that were brought up to date.
inserted, updated, unchanged: supported rows new to the month, changed, and found right.
stale: rows stored for the month that no current contract supports; kept.
deleted: rows removed.
aum_total: sum of aum_balance over the supported rows, yuan.
aum_unattributed: 期末资产规模 of the month that no supported row carries (no customer, no product line, no contract for them), yuan.
accepted: true if the month looked implausible and the caller accepted that.
warnings: array of {code, message, hint}; each is raised as a WARNING, too.
log_id: the entry in customer.monthly_snapshot_log.
reason: NULL.
A NOTICE says the same in words.

A month that cannot be right is refused with 55000, against the rows that the sources supported when it was last written or, if it holds nothing, against the nearest month within a year: no AUM detail though stored months have AUM; rows or AUM below half (AUM of a new month: below a tenth). With SET LOCAL customer.accept_implausible = on it is written all the same, with a warning implausible_accepted. Below 100 rows these are warnings only.

WARNING (the snapshot is written all the same), by code: no_aum_detail (and no stored month has AUM), no_current_contract, rows_differ and aum_differs (by more than a tenth), aum_unattributed (more than a tenth), several_month_dates (the detail stands under several days), rows_removed, stale_rows, todays_contracts (the month is older than the newest stored), implausible_accepted.

Errors (nothing is written): SQLSTATE 22004 the month is NULL; 22023 it is infinite or outside the years 1 to 9999, or customer.accept_implausible is neither on nor off; 55000 the month is closed, or cannot be right, or a source table is not as it was when the package was deployed; 22001, 22003, 23502 a name, code or amount does not fit into the snapshot, a contract lacks its name or code, or an amount is NaN or infinite; 40001 the caller''s snapshot is older than the last write to the month, run the transaction again.

Two calls for one month wait for each other; the lock lasts to the end of the transaction. A transaction that writes several months writes them in ascending order.';

COMMIT;
