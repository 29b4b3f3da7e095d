-- Deploy customer_monthly_snapshot:keep_stored_months to pg
-- requires: fct_customer_business_monthly_status
-- requires: monthly_snapshot_control
-- requires: monthly_snapshot_log
-- requires: monthly_status_history
-- Makes nothing. It is the last change before a release, so that its revert comes first and
-- refuses, while months are stored, before anything has been taken away.

BEGIN;
COMMIT;
