-- Proves that whatever changes rows of an open month past the package's functions gets a log entry for each month
-- and kind of change, with history, and that the functions' own writes get no second one.
SET client_encoding = 'UTF8';

BEGIN;

SELECT plan(35);

\ir fixture.psql
\ir by_hand.psql

INSERT INTO contract (company_id)
VALUES ('A'), ('B');

INSERT INTO known_customer (company_id)
VALUES ('C'), ('D');

INSERT INTO aum (company_id, as_of, amount)
VALUES ('A', '2026-01-01', 10), ('B', '2026-01-01', 20), ('A', '2026-02-01', 11), ('B', '2026-02-01', 21);

-- TRUNCATE beside a refresh: another session holds the lock that each of them takes ----------------------

SELECT EXISTS (SELECT FROM pg_available_extensions WHERE name = 'dblink') AS has_dblink \gset
\if :has_dblink
CREATE EXTENSION IF NOT EXISTS dblink;

SELECT
    dblink_connect('other', format(
        'host=%s port=%s dbname=%s',
        split_part(current_setting('unix_socket_directories'), ',', 1), current_setting('port'), current_database()
    )),
    dblink_exec('other', 'BEGIN'),
    dblink_exec('other', 'LOCK TABLE customer.monthly_snapshot_control IN ROW EXCLUSIVE MODE') \g /dev/null

-- Should it wait all the same, it waits for ever.
SET LOCAL statement_timeout = '10s';

SELECT is(
    pg_temp.error_of('TRUNCATE customer.fct_customer_business_monthly_status'),
    ARRAY[
        '55P03',
        'customer.fct_customer_business_monthly_status cannot be truncated while a month is being changed',
        'Wait for it, in the same transaction: LOCK TABLE customer.monthly_snapshot_control IN SHARE ROW EXCLUSIVE MODE; before TRUNCATE.'
    ],
    'TRUNCATE does not wait for a refresh under way'
);

SET LOCAL statement_timeout = 0;

SELECT dblink_disconnect('other') \g /dev/null
\else
SELECT skip('no dblink on this server', 1);
\endif

-- The functions' own writes ---------------------------------------------------------------------------

SELECT customer.refresh_monthly_snapshot('2026-02-28') \g /dev/null
SELECT customer.restate_monthly_snapshot('2026-01-31', 'why') \g /dev/null
SELECT customer.discard_snapshot_month('2026-01-31', 'why') \g /dev/null
SELECT customer.refresh_monthly_snapshot('2026-01-31') \g /dev/null

SELECT is(
    array_agg(operation ORDER BY log_id), '{refresh,restate,discard,refresh}',
    'refreshing, restating and discarding leave one entry each'
)
FROM customer.monthly_snapshot_log;

CREATE FUNCTION pg_temp.locks()
RETURNS bigint
LANGUAGE sql
AS $$
    SELECT count(*)
    FROM pg_locks
    WHERE pid = pg_backend_pid()
        AND relation = 'customer.monthly_snapshot_control'::regclass
        AND mode = 'ShareRowExclusiveLock'
$$;

SELECT is_empty('SELECT snapshot_month FROM customer.monthly_snapshot_control WHERE writer IS NOT NULL', 'afterwards no month has a writer');

SELECT is(pg_temp.locks(), 0::bigint, 'they do not lock the control table as a whole, so that months are written side by side');

-- Changes by hand ------------------------------------------------------------------------------------------

CREATE TEMPORARY VIEW told AS
SELECT
    log_id,
    format(
        '%s %s: +%s ~%s -%s = %s, %s yuan%s', to_char(snapshot_month, 'MM'), operation, inserted, updated, deleted, month_rows, month_aum, history
    ) AS entry
FROM customer.monthly_snapshot_log
CROSS JOIN LATERAL (
    SELECT string_agg(concat_ws(' ', ';', event.company_id, event.operation, aum_balance), '' ORDER BY company_id) AS history
    FROM customer.monthly_status_history AS event
    WHERE event.log_id = monthly_snapshot_log.log_id
        AND event.snapshot_month = monthly_snapshot_log.snapshot_month
) AS kept;

-- The entries that a change leaves, which is undone: month, operation, counts, what is left, and history.
CREATE FUNCTION pg_temp.entries(p_change text)
RETURNS text
LANGUAGE sql
AS $$
    SELECT pg_temp.after(p_change, format(
        'SELECT string_agg(entry, '' | '' ORDER BY log_id) FROM told WHERE log_id > %s', (SELECT max(log_id) FROM customer.monthly_snapshot_log)
    ))
$$;

-- For brevity.
ALTER VIEW fact RENAME COLUMN snapshot_month TO month;
ALTER VIEW fact RENAME COLUMN company_id TO company;
ALTER VIEW fact RENAME COLUMN product_line_code TO line;
ALTER VIEW fact RENAME COLUMN aum_balance TO aum;
ALTER VIEW fact RENAME COLUMN plan_count TO plans;

SELECT is(pg_temp.entries(change), entries, format('by hand: %s', regexp_replace(btrim(change), '\s+', ' ', 'g')))
FROM (VALUES
    ($$ INSERT INTO fact (month, company, aum) VALUES ('2026-01-31', 'C', 5), ('2026-01-31', 'D', 0.5) $$,
        '01 by_hand: +2 ~0 -0 = 4, 35.50 yuan; C insert; D insert'),
    ($$ INSERT INTO fact (month, company, aum) VALUES ('2026-03-31', 'C', 7), ('2026-02-28', 'C', 6), ('2026-01-31', 'C', 5) $$,
        '01 by_hand: +1 ~0 -0 = 3, 35.00 yuan; C insert | 02 by_hand: +1 ~0 -0 = 3, 38.00 yuan; C insert | '
            '03 by_hand: +1 ~0 -0 = 1, 7.00 yuan'),
    ($$ UPDATE fact SET aum = 12 WHERE month = '2026-01-31' AND company = 'A' $$,
        '01 by_hand: +0 ~1 -0 = 2, 32.00 yuan; A update 10.00'),
    ($$ UPDATE fact SET plans = 9 $$,
        '01 by_hand: +0 ~2 -0 = 2, 30.00 yuan; A update 10.00; B update 20.00 | '
            '02 by_hand: +0 ~2 -0 = 2, 32.00 yuan; A update 11.00; B update 21.00'),
    ($$ UPDATE fact SET aum = aum, plans = 1 $$, NULL),
    ($$ UPDATE fact SET month = '2026-03-31' WHERE month = '2026-01-31' AND company = 'A' $$,
        '01 by_hand: +0 ~0 -1 = 1, 20.00 yuan; A delete 10.00 | 03 by_hand: +1 ~0 -0 = 1, 10.00 yuan'),
    ($$ UPDATE fact SET month = '2026-02-28', company = 'C' WHERE month = '2026-01-31' AND company = 'A' $$,
        '01 by_hand: +0 ~0 -1 = 1, 20.00 yuan; A delete 10.00 | 02 by_hand: +1 ~0 -0 = 3, 42.00 yuan; C insert'),
    ($$ UPDATE fact SET company = CASE company WHEN 'A' THEN 'C' ELSE company END, aum = aum + 1 WHERE month = '2026-01-31' $$,
        '01 by_hand: +1 ~1 -1 = 2, 32.00 yuan; A delete 10.00; B update 20.00; C insert'),
    ($$ DELETE FROM fact WHERE company = 'B' $$,
        '01 by_hand: +0 ~0 -1 = 1, 10.00 yuan; B delete 20.00 | 02 by_hand: +0 ~0 -1 = 1, 11.00 yuan; B delete 21.00'),
    ($$ INSERT INTO fact (month, company, line) VALUES ('2026-01-31', 'A', 'PL201');
        DELETE FROM fact WHERE month = '2026-01-31' AND company = 'A' AND line = 'PL202' $$,
        '01 by_hand: +1 ~0 -0 = 3, 30.00 yuan; A insert | 01 by_hand: +0 ~0 -1 = 2, 20.00 yuan; A delete 10.00'),
    ($$ UPDATE fact SET aum = 'NaN' WHERE month = '2026-01-31' AND company = 'A'; UPDATE fact SET aum = 1 WHERE aum = 'NaN' $$,
        '01 by_hand: +0 ~1 -0 = 2, NaN yuan; A update 10.00 | 01 by_hand: +0 ~1 -0 = 2, 21.00 yuan; A update NaN'),
    ($$ UPDATE fact SET aum = 'NaN' WHERE month = '2026-01-31' AND company = 'A'; TRUNCATE customer.fct_customer_business_monthly_status $$,
        '01 by_hand: +0 ~1 -0 = 2, NaN yuan; A update 10.00 | 01 by_hand: +0 ~0 -2 = 0, 0.00 yuan; A delete NaN; B delete 20.00 | '
            '02 by_hand: +0 ~0 -2 = 0, 0.00 yuan; A delete 11.00; B delete 21.00'),
    -- Each kind of change of a statement has an entry.
    ($$ INSERT INTO fact (month, company, aum) VALUES ('2026-01-31', 'A', 12), ('2026-01-31', 'C', 5)
        ON CONFLICT (month, company, line) DO UPDATE SET aum = EXCLUDED.aum $$,
        '01 by_hand: +0 ~1 -0 = 2, 32.00 yuan; A update 10.00 | 01 by_hand: +1 ~0 -0 = 3, 37.00 yuan; C insert'),
    ($$ WITH gone AS (DELETE FROM fact WHERE month = '2026-01-31' AND company = 'A' RETURNING *)
        INSERT INTO fact (month, company, aum) SELECT '2026-02-28', 'C', aum FROM gone $$,
        '01 by_hand: +0 ~0 -1 = 1, 20.00 yuan; A delete 10.00 | 02 by_hand: +1 ~0 -0 = 3, 42.00 yuan; C insert'),
    ($$ MERGE INTO customer.fct_customer_business_monthly_status AS fact
        USING (VALUES ('A', 12), ('B', NULL), ('C', 5)) AS new (company_id, aum)
        ON fact.snapshot_month = '2026-01-31' AND fact.company_id = new.company_id
        WHEN MATCHED AND aum IS NULL THEN DELETE
        WHEN MATCHED THEN UPDATE SET aum_balance = aum
        WHEN NOT MATCHED THEN INSERT (snapshot_month, company_id, product_line_code, product_line_name, aum_balance)
            VALUES ('2026-01-31', new.company_id, 'PL202', '企年受托', aum) $$,
        '01 by_hand: +0 ~0 -1 = 1, 10.00 yuan; B delete 20.00 | 01 by_hand: +0 ~1 -0 = 1, 12.00 yuan; A update 10.00 | '
            '01 by_hand: +1 ~0 -0 = 2, 17.00 yuan; C insert')
) AS example (change, entries);

SAVEPOINT copied;

COPY customer.fct_customer_business_monthly_status (snapshot_month, company_id, product_line_code, product_line_name)
FROM PROGRAM 'printf "2026-01-31\\tC\\tPL202\\ta\\n2026-01-31\\tD\\tPL202\\ta\\n"';

-- Changes nothing, and so leaves no entry.
UPDATE fact SET aum = aum WHERE month = '2026-01-31';

SELECT is(
    pg_temp.log_entry(jsonb_build_object('log_id', last_log_id)),
    jsonb_build_object(
        'snapshot_month', '2026-01-31', 'operation', 'by_hand', 'inserted', 2, 'updated', 0, 'deleted', 0, 'month_rows', 4,
        'month_aum', 30.00, 'invoked_by', session_user, 'application_name', current_setting('application_name'), 'was_timed', TRUE
    ),
    'by hand: COPY; the control row names the entry, which says who it was, from where and when'
)
FROM customer.monthly_snapshot_control
WHERE snapshot_month = '2026-01-31';

SELECT is_empty(
    $$ SELECT control
       FROM customer.monthly_snapshot_control AS control
       JOIN customer.monthly_snapshot_log AS entry
           ON log_id = last_log_id
       WHERE entry.snapshot_month <> control.snapshot_month $$,
    'no other month''s control row does'
);

ROLLBACK TO SAVEPOINT copied;

SELECT is(
    pg_temp.after(change, 'SELECT pg_temp.locks()'), '0',
    format('who changed a month before, in the same transaction, does not wait for all others: %s', change)
)
FROM (VALUES
    ($$ INSERT INTO fact (month, company) VALUES ('2026-01-31', 'C') $$), ('UPDATE fact SET aum = 1'), ('DELETE FROM fact')
) AS by_hand (change);

-- One row twice in one statement -----------------------------------------------------------------------------

CREATE FUNCTION pg_temp.with_trigger(p_event text, p_interference text, p_change text)
RETURNS text
LANGUAGE sql
AS $$
    SELECT format(
        'CREATE TRIGGER interfere AFTER %s ON customer.fct_customer_business_monthly_status
         FOR EACH ROW WHEN (pg_trigger_depth() = 0) EXECUTE FUNCTION pg_temp.interfere(%L); %s',
        p_event, p_interference, p_change
    )
$$;

SELECT is(
    pg_temp.error_of(change),
    ARRAY[
        '0A000',
        'one statement changed a row of 2026-01-31 twice',
        'Change it by statements of their own, one after the other: not by DELETE and INSERT in one WITH, '
        'and not by a trigger on the row that is being changed.'
    ],
    format('refused: %s', what)
)
FROM (VALUES
    ('DELETE and INSERT of one key in a WITH',
        $$ WITH gone AS (DELETE FROM fact WHERE month = '2026-01-31' AND company = 'A' RETURNING *)
           INSERT INTO fact (month, company) SELECT month, company FROM gone $$),
    ('a key that an UPDATE leaves and an INSERT takes',
        $$ WITH moved AS (UPDATE fact SET company = 'C' WHERE month = '2026-01-31' AND company = 'A' RETURNING *)
           INSERT INTO fact (month, company) SELECT month, 'A' FROM moved $$),
    ('UPDATE of a row that a trigger updates again',
        pg_temp.with_trigger('UPDATE', 'UPDATE fact SET aum = 1 WHERE month = ''2026-01-31'' AND company = ''A''',
            $$ UPDATE fact SET aum = 2 WHERE month = '2026-01-31' AND company = 'A' $$)),
    ('INSERT of a row that a trigger deletes',
        pg_temp.with_trigger('INSERT', 'DELETE FROM fact WHERE company = ''C''',
            $$ INSERT INTO fact (month, company) VALUES ('2026-01-31', 'C') $$)),
    ('DELETE of a row that a trigger brings back',
        pg_temp.with_trigger('DELETE', 'INSERT INTO fact (month, company) VALUES (''2026-01-31'', ''A'')',
            $$ DELETE FROM fact WHERE month = '2026-01-31' AND company = 'A' $$))
) AS example (what, change);

-- Triggers of others during a refresh --------------------------------------------------------------------------

UPDATE aum SET amount = 13 WHERE company_id = 'A' AND as_of = '2026-01-01';

SELECT is(
    pg_temp.entries(pg_temp.with_trigger('UPDATE', interference, $$ SELECT customer.refresh_monthly_snapshot('2026-01-31') $$)),
    '01 refresh: +0 ~1 -0 = 2, 33.00 yuan; A update 10.00 | ' || entry,
    format('what a trigger changes while a refresh writes has an entry of its own: %s', what)
)
FROM (VALUES
    ('another row of the month', $$ UPDATE fact SET aum = 22 WHERE month = '2026-01-31' AND company = 'B' $$,
        '01 by_hand: +0 ~1 -0 = 2, 35.00 yuan; B update 20.00'),
    ('the same row', $$ UPDATE fact SET aum = 14 WHERE month = '2026-01-31' AND company = 'A' $$,
        '01 by_hand: +0 ~1 -0 = 2, 34.00 yuan; A update 13.00'),
    ('another month', $$ DELETE FROM fact WHERE month = '2026-02-28' AND company = 'B' $$,
        '02 by_hand: +0 ~0 -1 = 1, 11.00 yuan; B delete 21.00')
) AS example (what, interference, entry);

SELECT is(
    pg_temp.after(
        pg_temp.with_trigger('UPDATE', $$ DELETE FROM fact WHERE month = '2026-01-31' AND company = 'B' $$,
            $$ SELECT customer.refresh_monthly_snapshot('2026-01-31') $$),
        $$ SELECT operation
           FROM customer.monthly_snapshot_control AS control
           JOIN customer.monthly_snapshot_log
               ON log_id = last_log_id
           WHERE control.snapshot_month = '2026-01-31' $$
    ),
    'by_hand',
    'and is the month''s newest'
);

-- A refresh in the same transaction does not keep it quiet, nor does one that failed ----------------------------

SELECT is(
    pg_temp.entries(change || $$; UPDATE fact SET aum = 1 WHERE company = 'B' AND month = '2026-01-31' $$), entries,
    format('changes are logged after: %s', change)
)
FROM (VALUES
    ($$ SELECT customer.refresh_monthly_snapshot('2026-01-31') $$,
        '01 refresh: +0 ~1 -0 = 2, 33.00 yuan; A update 10.00 | 01 by_hand: +0 ~1 -0 = 2, 14.00 yuan; B update 20.00'),
    ($$ SELECT pg_temp.error_of('SELECT customer.refresh_monthly_snapshot(''2026-01-31'') ->> 0 / 0') $$,
        '01 by_hand: +0 ~1 -0 = 2, 11.00 yuan; B update 20.00')
) AS example (change, entries);

SELECT * FROM finish();

ROLLBACK;
