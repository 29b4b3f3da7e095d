-- Proves what a refresh returns, and that log and control table say the same.
SET client_encoding = 'UTF8';

BEGIN;

SELECT plan(25);

\ir fixture.psql

-- An empty source system

SELECT customer.refresh_monthly_snapshot('2026-01-31') AS result \gset

SELECT is(
    pg_temp.counts(:'result')::text,
    '{"stale": 0, "total": 0, "deleted": 0, "updated": 0, "inserted": 0, "upserted": 0, "aum_total": 0.00, '
    '"unchanged": 0, "snapshot_month": "2026-01-31", "aum_unattributed": 0.00}',
    'without any source row every count is 0, and AUM has 2 decimals'
);

-- Every kind of row in one refresh, each a different number of times:
-- 2 new, 3 changed, 4 right, 1 stale, and 1 whose customer is unknown

INSERT INTO contract (company_id)
SELECT 'right ' || number FROM generate_series(1, 4) AS number
UNION ALL
SELECT 'changed ' || number FROM generate_series(1, 3) AS number
UNION ALL
SELECT 'stale';

INSERT INTO aum (company_id, amount)
VALUES
    ('right 1', 100), ('right 2', 20.25), ('right 3', 3), ('right 4', -0.25),
    ('changed 1', 1000), ('changed 2', 2000), ('stale', 50000);

SELECT customer.refresh_monthly_snapshot('2026-01-31') AS result \gset

SELECT is(
    pg_temp.counts(:'result'),
    '{"snapshot_month": "2026-01-31", "total": 8, "upserted": 8, "inserted": 8, "updated": 0, "unchanged": 0,
      "stale": 0, "deleted": 0, "aum_total": 53123.00, "aum_unattributed": 0.00}',
    'the first refresh of a month inserts all of it'
);

UPDATE contract SET valid_to = '2026-01-31' WHERE company_id = 'stale';
UPDATE aum SET amount = 60000 WHERE company_id = 'stale';
UPDATE contract SET is_strategic = TRUE WHERE company_id = 'changed 1';
UPDATE contract SET is_existing = TRUE WHERE company_id = 'changed 2';

INSERT INTO loss (company_id)
VALUES ('changed 3');

INSERT INTO contract (company_id)
VALUES ('new 1'), ('new 2');

INSERT INTO aum (company_id, amount)
VALUES ('new 1', 0.5), ('unknown', 600000.125);

SELECT customer.refresh_monthly_snapshot('2026-01-31') AS result \gset

SELECT is(
    pg_temp.counts(:'result'),
    '{"snapshot_month": "2026-01-31", "total": 9, "upserted": 6, "inserted": 2, "updated": 3, "unchanged": 4,
      "stale": 1, "deleted": 0, "aum_total": 3123.50, "aum_unattributed": 660000.13}',
    'each kind of row is counted for itself: 2 new, 3 changed, 4 right and 1 stale, which was written, too'
);

SELECT customer.refresh_monthly_snapshot('2026-01-31') AS result \gset

SELECT is(
    pg_temp.counts(:'result'),
    '{"snapshot_month": "2026-01-31", "total": 9, "upserted": 0, "inserted": 0, "updated": 0, "unchanged": 9,
      "stale": 1, "deleted": 0, "aum_total": 3123.50, "aum_unattributed": 660000.13}',
    'a second refresh counts the same rows as unchanged, and the same sums'
);

SELECT is(
    pg_temp.log_entry(:'result') - ARRAY['operation', 'invoked_by', 'application_name', 'was_timed'],
    jsonb_strip_nulls(:'result'::jsonb - ARRAY['status', 'warnings', 'log_id'] || '{"month_rows": 10, "month_aum": 63123.50}'),
    'the log has the same month, rule, counts, log_id, reason, and whether it was accepted, though nothing was written; '
    'and the totals of all rows, stale ones too'
);

-- aum_total, month by month, each with its own AUM

DELETE FROM contract;
DELETE FROM aum;

-- In each answer: aum_total, aum_unattributed.
CREATE FUNCTION pg_temp.aum_figures(p_month date)
RETURNS numeric[]
LANGUAGE plpgsql
AS $$
DECLARE
    v_result jsonb := customer.refresh_monthly_snapshot(p_month);
BEGIN
    RETURN ARRAY[v_result -> 'aum_total', v_result -> 'aum_unattributed']::numeric[];
END
$$;

INSERT INTO contract (company_id, product_line_code, plan_code, valid_to)
VALUES
    ('A', 'PL201', 'P1', '9999-12-31'),
    ('A', 'PL202', 'P1', '9999-12-31'),
    ('B', 'PL202', 'P1', '9999-12-31'),
    ('B', 'PL202', 'P2', '9999-12-31'),
    ('closed', 'PL202', 'P1', '2025-12-31'),
    ('no end', 'PL202', 'P1', NULL);

INSERT INTO aum (as_of, company_id, product_line_code, amount)
VALUES
    ('2020-01-01', 'A', 'PL201', 1), ('2020-01-15', 'A', 'PL202', 20), ('2020-01-31', 'B', 'PL202', 300),
    ('2020-02-01', NULL, 'PL202', 5.25),
    ('2020-03-01', 'A', NULL, 5.25),
    ('2020-05-01', 'nobody', 'PL202', 5.25),
    ('2020-07-01', 'B', 'PL201', 5.25),
    ('2020-08-01', 'closed', 'PL202', 5.25),
    ('2020-10-01', 'A', 'PL202', NULL),
    ('2020-12-01', 'A', 'PL202', 7), ('2020-12-01', 'nobody', 'PL202', NULL), ('2020-12-01', NULL, NULL, -2.5),
    ('2021-01-01', 'A', 'PL201', 0.0049), ('2021-01-01', 'A', 'PL202', 0.0049), ('2021-01-01', 'B', 'PL202', 0.0049),
    ('2021-02-01', 'A', 'PL201', 0.0050), ('2021-02-01', 'A', 'PL202', 0.0050), ('2021-02-01', 'B', 'PL202', 0.0050),
    ('2021-03-01', NULL, 'PL201', 0.0049), ('2021-03-01', NULL, 'PL202', 0.0049), ('2021-03-01', 'nobody', 'PL202', 0.0049),
    ('2021-05-01', 'nobody', 'PL202', -0.0050),
    ('2021-07-01', 'A', 'PL201', 0.0049), ('2021-07-01', 'nobody', 'PL201', 0.0001),
    ('2021-08-01', NULL, 'PL202', 99999999999999.9999), ('2021-08-01', NULL, 'PL202', 99999999999999.9999),
    ('2021-08-01', 'A', 'PL202', 99999999999999.9999), ('2021-08-01', 'A', 'PL202', 99999999999999.9999),
    ('2021-09-30', 'A', 'PL202', 1), ('2021-10-01', 'A', 'PL202', 10), ('2021-10-31', NULL, 'PL202', 5),
    ('2021-11-01', 'A', 'PL202', 100), ('2021-09-30', NULL, 'PL202', 50), ('2021-11-01', NULL, 'PL202', 500);

SELECT is(
    pg_temp.aum_figures(month), ARRAY[aum_total, aum_unattributed],
    format('%s in rows, %s unattributed: %s', aum_total, aum_unattributed, what)
)
FROM (VALUES
    (DATE '2020-01-31', 321.00, 0.00, 'three supported rows'),
    ('2020-02-29', 0.00, 5.25, 'no customer'),
    ('2020-03-31', 0.00, 5.25, 'no product line'),
    ('2020-05-31', 0.00, 5.25, 'an unknown customer'),
    ('2020-07-31', 0.00, 5.25, 'a customer without contract in that product line'),
    ('2020-08-31', 0.00, 5.25, 'a customer whose contract is closed'),
    ('2020-10-31', 0.00, 0.00, 'a supported row, the amount NULL'),
    ('2020-12-31', 7.00, -2.50, 'a supported row, an unknown customer with NULL, and nobody with less than 0'),
    ('2021-01-31', 0.00, 0.00, 'aum_total sums what the rows say, three times 0.0049 each rounded'),
    ('2021-02-28', 0.03, 0.00, 'aum_total sums what the rows say, three times 0.0050 each rounded'),
    ('2021-03-31', 0.00, 0.01, 'aum_unattributed is rounded at the end, three times 0.0049 summed first'),
    ('2021-05-31', 0.00, -0.01, 'aum_unattributed -0.0050 is rounded away from zero'),
    ('2021-07-31', 0.00, 0.00, 'what a row loses by rounding is not unattributed'),
    ('2021-08-31', 200000000000000.00, 200000000000000.00, 'large sums are exact'),
    ('2021-10-31', 10.00, 5.00, 'neighbouring months count in neither')
) AS expected (month, aum_total, aum_unattributed, what);

-- Who carries AUM is a question of today's contracts, row by row

UPDATE contract SET valid_to = '2020-06-30' WHERE company_id = 'B';

SELECT is(
    pg_temp.aum_figures('2020-01-31'), ARRAY[21.00, 300.00],
    'AUM of a stored row that has become stale is unattributed'
);

-- Log

SELECT set_config('application_name', 'the ETL', TRUE) \g /dev/null

INSERT INTO aum (company_id, as_of, amount)
VALUES ('A', '2022-02-01', 0);

SELECT customer.refresh_monthly_snapshot('2022-02-01') AS result \gset

SELECT is(
    pg_temp.log_entry(:'result') - ARRAY['rule', 'total', 'upserted', 'inserted', 'updated', 'unchanged', 'stale', 'deleted', 'accepted'],
    jsonb_build_object(
        'snapshot_month', '2022-02-28', 'operation', 'refresh', 'aum_total', 0.00, 'aum_unattributed', 0.00, 'month_rows', 2, 'month_aum', 0.00,
        'invoked_by', session_user, 'application_name', 'the ETL', 'was_timed', TRUE
    ),
    'the log says who called, from which application, and when by the wall clock, not the transaction''s; and no reason'
);

SELECT set_config('application_name', '', TRUE) \g /dev/null

-- One of its two rows becomes stale.
UPDATE contract SET valid_to = '2022-02-28' WHERE company_id = 'A' AND product_line_code = 'PL201';

SELECT customer.refresh_monthly_snapshot('2022-02-01') AS result \gset

SELECT is(
    pg_temp.log_entry(:'result') ->> 'application_name', '',
    'a session without application_name is logged with an empty one'
);

-- Control table

SELECT is(
    jsonb_strip_nulls(to_jsonb(control)) - 'last_changed_at',
    jsonb_build_object(
        'snapshot_month', '2022-02-28', 'last_log_id', :'result'::jsonb -> 'log_id', 'last_rule', 'current', 'stale_rows', 1,
        'baseline_rows', 1, 'baseline_aum', 0.00
    ),
    'the month has one control row, which names the newest log entry, and says by which rule it was written, '
    'with how many stale rows, with which rows and AUM, and that it is open'
)
FROM customer.monthly_snapshot_control AS control
WHERE snapshot_month = '2022-02-28';

-- The next entry's number would be that of the last.
SELECT is(
    pg_temp.error_of(format('SELECT customer.next_log_id(%s)', (:'result'::jsonb ->> 'log_id')::bigint + 1)),
    ARRAY[
        '55000',
        format('the next log entry would be %1$s, and the month already has %1$s', (:'result'::jsonb ->> 'log_id')::bigint + 1),
        'The sequence lags behind the log, as after a switch to a logical replica. As the owner: '
        'SELECT setval(''customer.monthly_snapshot_log_log_id_seq'', (SELECT max(log_id) FROM customer.monthly_snapshot_log));'
    ],
    'no month gets an entry that is not its newest'
);

SELECT * FROM finish();

ROLLBACK;
