-- Proves that a discarded month is gone, and then reads and is written as if it had never been.
SET client_encoding = 'UTF8';

BEGIN;

SELECT plan(15);

\ir fixture.psql

INSERT INTO contract (company_id, valid_to)
VALUES ('A', '9999-12-31'), ('B', '9999-12-31'), ('C', '2026-02-28');

INSERT INTO aum (company_id, as_of, amount)
SELECT 'A', month, 10
FROM (VALUES (DATE '2025-12-01'), ('2026-01-01'), ('2026-02-01')) AS loaded (month);

SELECT customer.refresh_monthly_snapshot(month)
FROM (VALUES (DATE '2025-12-31'), ('2026-01-31'), ('2026-02-28')) AS written (month) \g /dev/null

SELECT customer.restate_monthly_snapshot('2026-01-31', 'why') \g /dev/null

-- A row of January that no contract supports.
UPDATE contract SET valid_to = '2026-01-30' WHERE company_id = 'C';
UPDATE customer.fct_customer_business_monthly_status SET plan_count = 9 WHERE company_id = 'C';

-- Discarding -----------------------------------------------------------------------------------------------

CALL pg_temp.remember();

SELECT customer.discard_snapshot_month('2026-01-07', 'loaded by mistake') AS result \gset

SELECT is(
    :'result'::jsonb,
    jsonb_build_object(
        'status', 'discarded', 'snapshot_month', '2026-01-31', 'log_id', (SELECT max(log_id) FROM customer.monthly_snapshot_log),
        'warnings', jsonb_build_array(), 'reason', 'loaded by mistake'
    ),
    'it returns the month of the day given, the log entry and the reason'
);

SELECT results_eq(
    'SELECT snapshot_month, count(*) FROM written GROUP BY snapshot_month',
    $$ VALUES (DATE '2026-01-31', 3::bigint) $$,
    'all rows of the month are gone, and no other'
);

SELECT is(
    pg_temp.log_entry(:'result'),
    jsonb_build_object(
        'snapshot_month', '2026-01-31', 'operation', 'discard', 'reason', 'loaded by mistake', 'deleted', 3, 'month_rows', 0,
        'month_aum', 0, 'invoked_by', session_user, 'application_name', current_setting('application_name'), 'was_timed', TRUE
    ),
    'the log says what was done, why, by whom and when, and how many rows went'
);

SELECT is(
    (
        SELECT jsonb_strip_nulls(to_jsonb(control)) - 'last_changed_at'
        FROM customer.monthly_snapshot_control AS control
        WHERE snapshot_month = '2026-01-31'
    ),
    jsonb_build_object(
        'snapshot_month', '2026-01-31', 'last_log_id', :'result'::jsonb -> 'log_id', 'stale_rows', 0
    ),
    'the control row keeps nothing but its newest log entry'
);

SELECT results_eq(
    $$ SELECT violations, detail FROM customer.validate_monthly_snapshot('2026-01-31') WHERE check_name = 'snapshot_exists' $$,
    $$ VALUES (1::bigint, '2026-01-31 holds 0 rows; the sources support 2 by rule current') $$,
    'validation reads it as a month that was never written'
);

SELECT throws_ok(
    $$ SELECT customer.close_snapshot_month('2026-01-31', 'published') $$,
    '55000', 'month 2026-01-31 holds no rows, so there is nothing to close',
    'it cannot be closed'
);

-- What is refused ------------------------------------------------------------------------------------------

SELECT customer.close_snapshot_month('2026-02-28', 'published') \g /dev/null
SELECT customer.pre_etl_check('annuity_performance', '202603') \g /dev/null
SELECT pg_temp.fingerprint() AS before \gset

SELECT throws_like(
    $$ SELECT customer.discard_snapshot_month('2026-02-28', 'a mistake') $$, 'month 2026-02-28 is closed: by % (published)',
    'a closed month stays'
);

SELECT is(
    pg_temp.error_of(format('SELECT customer.discard_snapshot_month(%L, ''a mistake'')', month)),
    ARRAY[
        '55000',
        format('month %s was never written, so there is nothing to discard', month),
        'Months that hold rows: SELECT DISTINCT snapshot_month FROM customer.fct_customer_business_monthly_status ORDER BY 1;'
    ],
    format('a month %s cannot be discarded', what)
)
FROM (VALUES ('2026-04-30', 'without a control row'), ('2026-03-31', 'with a bare one'), ('2026-01-31', 'that was discarded')) AS never (month, what);

-- Which days and which reasons are refused is proved in 11 and 40.
SELECT throws_ok(format('SELECT customer.%s', call), code, message, format('%s: SQLSTATE %s', call, code))
FROM (VALUES
    ('discard_snapshot_month(''2026-01-31'', NULL)', '22004', 'the reason for discarding must not be NULL'),
    ('discard_snapshot_month(NULL, ''why'')', '22004', 'the snapshot month must not be NULL')
) AS bad (call, code, message);

SELECT is(pg_temp.fingerprint(), :'before', 'what is refused changes nothing');

-- Written anew ----------------------------------------------------------------------------------------------

SELECT is(
    customer.refresh_monthly_snapshot('2026-01-31') - ARRAY['log_id', 'warnings', 'aum_total', 'aum_unattributed'],
    '{"status": "refreshed", "snapshot_month": "2026-01-31", "rule": "current", "accepted": false, "reason": null,
      "total": 2, "upserted": 2, "inserted": 2, "updated": 0, "unchanged": 0, "stale": 0, "deleted": 0}',
    'the next refresh fills it, by the contracts that are current, though it was restated before'
);

-- Rows that the package never wrote, and a written month that lost its rows, can be discarded, too.
INSERT INTO customer.fct_customer_business_monthly_status (snapshot_month, company_id, product_line_code, product_line_name)
VALUES ('2024-12-31', 'A', 'PL202', '企年受托');

DELETE FROM customer.fct_customer_business_monthly_status WHERE snapshot_month = '2025-12-31';

SELECT customer.discard_snapshot_month(month, 'no rows of ours')
FROM (VALUES (DATE '2024-12-31'), ('2025-12-31')) AS other (month) \g /dev/null

SELECT results_eq(
    $$ SELECT snapshot_month, deleted FROM customer.monthly_snapshot_log WHERE reason = 'no rows of ours' ORDER BY snapshot_month $$,
    $$ VALUES (DATE '2024-12-31', 1::bigint), ('2025-12-31', 0) $$,
    'a month that the package never wrote can be discarded, and so can one that was written and holds no rows any more'
);

SELECT * FROM finish();

ROLLBACK;
