-- Revert customer_monthly_snapshot:guard_closed_months from pg

BEGIN;

-- The triggers go with the function, and that is no news. By CASCADE they do also where
-- someone dropped the table.
SET LOCAL client_min_messages = warning;
DROP FUNCTION IF EXISTS customer.guard_closed_months() CASCADE;

COMMIT;
