-- Revert customer_monthly_snapshot:unmatched_awards_and_losses from pg

BEGIN;

DROP VIEW IF EXISTS customer.unmatched_awards_and_losses;
DROP FUNCTION IF EXISTS customer.unmatched_events();

COMMIT;
