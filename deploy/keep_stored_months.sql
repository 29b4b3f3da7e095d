-- Deploy customer_monthly_snapshot:keep_stored_months to pg
-- requires: fct_customer_business_monthly_status
-- requires: monthly_snapshot_control
-- requires: monthly_snapshot_log
-- requires: monthly_status_history
-- Makes nothing. It is the last change of the first release, so that its revert comes before the
-- others' and refuses, while months are stored, before anything of them has been taken away.

BEGIN;
COMMIT;
