-- Verify customer_monthly_snapshot:unmatched_awards_and_losses on pg

BEGIN;

CALL customer.verify_view(
    'customer.unmatched_awards_and_losses',
    'af3b8bd6384836fb0fe51c9ba8141524ead52bcbdbed222b356cefbcd2faccc8'
);

CALL customer.verify_function(
    'customer.unmatched_events()',
    'c2d1a90469f94cb5036122e8fe899439e3ff6a4d0a77c2eb3670eccc2df66186',
    'unmatched_awards_and_losses',
    p_is_internal => FALSE
);

ROLLBACK;
