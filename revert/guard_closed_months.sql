-- Revert customer_monthly_snapshot:guard_closed_months from pg

BEGIN;

-- The triggers go with the function; CASCADE also where someone dropped the table.
DROP FUNCTION IF EXISTS customer.guard_closed_months() CASCADE;

COMMIT;
