-- Deploy customer_monthly_snapshot:restate_monthly_snapshot to pg
-- requires: require_reason
-- requires: write_monthly_snapshot
-- For months gone by: the month exactly as its sources say it was on its last day.

SET client_encoding = 'UTF8';

BEGIN;

-- What others made in public is not for the package to use.
SET LOCAL search_path = pg_catalog, pg_temp;

CREATE OR REPLACE FUNCTION customer.restate_monthly_snapshot(p_snapshot_month date, p_reason text)
RETURNS jsonb
LANGUAGE plpgsql
SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    PERFORM customer.require_reason(p_reason, 'reason for restating');

    RETURN customer.write_monthly_snapshot(p_snapshot_month, 'restate', p_reason);
END
$$;

CALL customer.revoke_default_grants('customer.restate_monthly_snapshot(date, text)'::regprocedure);

COMMENT ON FUNCTION customer.restate_monthly_snapshot(date, text) IS
'Makes the snapshot of one month exactly what its sources say as of the last day of the month: contract versions that cover that day (valid_from <= day <= valid_to) take the place of current ones, and stored rows that none supports are deleted. Where several versions of one customer, plan and product line cover the day, the one with the latest valid_from counts, then the highest contract_id. Awards and losses count up to the last day of the month, so that a history restated afterwards reads as if each month had been refreshed in its own time. Later refreshes of the month keep to this rule; customer.discard_snapshot_month ends it. Runs in the caller''s transaction and commits nothing.

p_snapshot_month: any day of the month.
p_reason: why; kept in customer.monthly_snapshot_log.

Returns what customer.refresh_monthly_snapshot returns: status is restated, rule as_of, stale 0, and reason as given.

A month that cannot be right is refused, or accepted, as customer.refresh_monthly_snapshot documents; warnings, too, but those that concern current contracts.

Errors (nothing is written): SQLSTATE 22004 the month or the reason is NULL; 22023 the month is infinite or outside the years 1 to 9999, or the reason is blank, holds control characters or is longer than 1000 characters, or customer.accept_implausible is neither on nor off; 55000 the month is closed, cannot be right, no contract version covers it, or a source table is not as it was when the package was deployed; 22001, 22003, 23502 as customer.refresh_monthly_snapshot; 40001 the caller''s snapshot is older than the last write to the month, run the transaction again.';

COMMIT;
