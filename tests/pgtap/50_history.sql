-- Proves that the history gives the rows of a month exactly as any entry of its log left them, that it holds no more
-- than that takes, that nobody changes it, and that the control totals are of these rows and of nothing else.
SET client_encoding = 'UTF8';

BEGIN;

SELECT plan(60);

\ir fixture.psql
\ir by_hand.psql

SET LOCAL TimeZone = 'UTC';

INSERT INTO contract (company_id) VALUES ('A'), ('B');
INSERT INTO known_customer (company_id) VALUES ('C'), ('D'), ('b');
INSERT INTO award (company_id) VALUES ('B');
INSERT INTO aum (company_id, amount) VALUES ('A', 10), ('B', 20.5);

-- A month, step by step ------------------------------------------------------------------------------

-- What is done, what the history says of it, and the rows that it leaves.
CREATE TEMPORARY TABLE step (
    number integer GENERATED ALWAYS AS IDENTITY,
    log_id bigint,
    change text,
    events text,
    rows text
);

\set two 'A 企年受托 f f f f f 10.00 1 02-03; B 企年受托 f f t t f 20.50 1 02-03'
\set three 'A 企年受托 f f f f t 11.00 1 02-05; B 企年受托 f f t t f 20.50 1 02-03; C by hand f f f f f 0.00 1 01-01'
\set one 'A 企年受托 f f f f f 12.00 1 02-11'
\set again 'A 企年受托 f f f f f 10.00 1 02-15; B 企年受托 f f t t f 20.50 1 02-15; D 企年受托 f f f f f 0.00 1 02-15'
\set refresh 'SELECT customer.refresh_monthly_snapshot(''2026-01-31'')'

-- A row that stood there before, and its entry as deploying leaves it.
SELECT pg_temp.silently($$
    INSERT INTO fact (company_id, product_line_name, is_strategic, is_existing, is_churned_this_year, aum_balance, plan_count)
    VALUES ('A', 'old', TRUE, TRUE, TRUE, 9, 7) $$) \gexec

INSERT INTO step (change, events, rows)
VALUES
    ($$ WITH entry AS (
            INSERT INTO customer.monthly_snapshot_log (
                snapshot_month, operation, reason, started_at, finished_at, inserted, month_rows, month_aum, invoked_by, application_name
            )
            VALUES ('2026-01-31', 'adopt', 'stood there', now(), now(), 1, 1, 9, 'ann', '')
            RETURNING snapshot_month, log_id
        )
        INSERT INTO customer.monthly_snapshot_control (snapshot_month, last_log_id) SELECT * FROM entry $$, '', 'A old t t f f t 9.00 7 02-02'),
    (:'refresh', 'A update, B insert', :'two'),
    (:'refresh', '', :'two'),
    ($$ UPDATE fact SET aum_balance = 11, is_churned_this_year = TRUE WHERE company_id = 'A' $$, 'A update',
        'A 企年受托 f f f f t 11.00 1 02-05; B 企年受托 f f t t f 20.50 1 02-03'),
    ($$ INSERT INTO fact (snapshot_month, company_id, product_line_name, updated_at)
        VALUES ('2026-01-31', 'C', 'by hand', '2000-01-01'), ('2026-02-28', 'C', 'other month', '2000-01-01') $$, 'C insert', :'three'),
    ($$ SELECT customer.close_snapshot_month('2026-01-31', 'published') $$, '', :'three'),
    ($$ SELECT customer.reopen_snapshot_month('2026-01-31', 'why') $$, '', :'three'),
    ($$ UPDATE fact SET company_id = 'D' WHERE company_id = 'C' AND snapshot_month = '2026-01-31' $$, 'C delete, D insert',
        'A 企年受托 f f f f t 11.00 1 02-05; B 企年受托 f f t t f 20.50 1 02-03; D by hand f f f f f 0.00 1 02-09'),
    -- A is stale, and brought up to date; D is supported, and B not any more.
    ($$ UPDATE contract SET valid_to = '2026-02-10' WHERE company_id = 'A'; UPDATE contract SET valid_to = '2025-12-31' WHERE company_id = 'B';
        INSERT INTO contract (company_id, valid_from) VALUES ('D', '2026-02-01');
        DELETE FROM fact WHERE snapshot_month = '2026-02-28'; SELECT customer.refresh_monthly_snapshot('2026-01-31') $$,
        'A update, B delete, D update', 'A 企年受托 f f f f f 10.00 1 02-10; D 企年受托 f f f f f 0.00 1 02-10'),
    ($$ UPDATE aum SET amount = 12 WHERE company_id = 'A'; SELECT customer.restate_monthly_snapshot('2026-01-31', 'why') $$,
        'A update, D delete', :'one'),
    ($$ SELECT customer.close_snapshot_month('2026-01-31', 'published anew') $$, '', :'one'),
    ($$ SELECT customer.reopen_snapshot_month('2026-01-31', 'why') $$, '', :'one'),
    ($$ SELECT customer.discard_snapshot_month('2026-01-31', 'why') $$, 'A delete', ''),
    ($$ UPDATE contract SET valid_to = '9999-12-31'; UPDATE aum SET amount = 10 WHERE company_id = 'A';
        SELECT customer.refresh_monthly_snapshot('2026-01-31') $$, 'A insert, B insert, D insert', :'again'),
    ('TRUNCATE customer.fct_customer_business_monthly_status', 'A delete, B delete, D delete', ''),
    -- A in another product line, too.
    ($$ INSERT INTO contract (company_id, product_line_code) VALUES ('A', 'PL204'); SELECT customer.refresh_monthly_snapshot('2026-01-31') $$,
        'A insert, A insert, B insert, D insert',
        'A 企年受托 f f f f f 10.00 1 02-17; A PL204 企年受托 f f f f f 0.00 1 02-17; B 企年受托 f f t t f 20.50 1 02-17; '
        'D 企年受托 f f f f f 0.00 1 02-17'),
    ($$ UPDATE aum SET amount = 11 WHERE company_id = 'A'; SELECT customer.refresh_monthly_snapshot('2026-01-31') $$, 'A update',
        'A 企年受托 f f f f f 11.00 1 02-18; A PL204 企年受托 f f f f f 0.00 1 02-17; B 企年受托 f f t t f 20.50 1 02-17; '
        'D 企年受托 f f f f f 0.00 1 02-17');

-- After each step the clock goes on by a day, as if it were a transaction of its own.
DO $$
DECLARE
    v_step step;
BEGIN
    FOR v_step IN SELECT * FROM step ORDER BY number LOOP
        EXECUTE v_step.change;
        UPDATE step
        SET log_id = (SELECT max(log_id) FROM customer.monthly_snapshot_log WHERE snapshot_month = '2026-01-31')
        WHERE number = v_step.number;
        EXECUTE pg_temp.silently(format('UPDATE fact SET updated_at = DATE ''2026-02-01'' + %s WHERE updated_at = now()', v_step.number));
    END LOOP;
END
$$;

CREATE FUNCTION pg_temp.rows_as_at(p_month date, p_log_id bigint)
RETURNS text
LANGUAGE sql
AS $$
    SELECT coalesce(string_agg(
        concat_ws(' ',
            nullif(snapshot_month, '2026-01-31'), company_id, nullif(product_line_code, 'PL202'), product_line_name, is_strategic,
            is_existing, is_new, is_winning_this_year, is_churned_this_year, aum_balance, plan_count, to_char(updated_at, 'MM-DD')
        ),
        '; ' ORDER BY company_id, product_line_code
    ), '')
    FROM customer.monthly_status_as_at(p_month, p_log_id)
$$;

SELECT is(pg_temp.rows_as_at('2026-01-01', log_id), rows, format('the rows as step %s left them', number))
FROM step
ORDER BY number;

SELECT is(
    coalesce(string_agg(event.company_id || ' ' || event.operation, ', ' ORDER BY event.company_id), ''), events,
    format('the history of step %s: %s', number, events)
)
FROM step
LEFT JOIN customer.monthly_status_history AS event
    USING (log_id)
GROUP BY number, events
ORDER BY number;

SELECT is_empty(
    $$ SELECT entry.log_id, entry.operation, month_rows, month_aum, totals
       FROM customer.monthly_snapshot_log AS entry
       CROSS JOIN LATERAL customer.snapshot_control_totals(snapshot_month, log_id) AS totals
       WHERE (row_count, aum) IS DISTINCT FROM (month_rows, month_aum)
           OR sha256 <> month_sha256 $$,
    'each entry of either month says how many rows and how much AUM it left, and each close their sha256'
);

-- Of a month that pre_etl_check knows, and of one whose rows nobody logged, as after a restore without the log.
SELECT customer.pre_etl_check('annuity_performance', '202511') \g /dev/null
SELECT pg_temp.silently($$ INSERT INTO fact (snapshot_month, company_id, product_line_name) VALUES ('2025-12-31', 'A', 'old') $$) \gexec
UPDATE aum SET as_of = '2025-11-01' WHERE company_id = 'A';
UPDATE aum SET as_of = '2025-12-01' WHERE company_id = 'B';

SELECT customer.refresh_monthly_snapshot(month)
FROM (VALUES (DATE '2025-11-30'), ('2025-12-31')) AS written (month) \g /dev/null

SELECT results_eq(
    $$ SELECT snapshot_month, company_id::text, product_line_code::text, operation, product_line_name::text
       FROM customer.monthly_status_history
       WHERE snapshot_month < '2026-01-01'
       ORDER BY company_id, product_line_code $$,
    $$ VALUES
        (DATE '2025-12-31', 'A', 'PL202', 'update', 'old'), ('2025-12-31', 'A', 'PL204', 'insert', NULL),
        ('2025-12-31', 'B', 'PL202', 'insert', NULL), ('2025-12-31', 'D', 'PL202', 'insert', NULL) $$,
    'the first fill of a month leaves no history, but a month that holds rows is none'
);

SELECT is(
    pg_temp.after(
        pg_temp.silently($$ UPDATE fact SET snapshot_month = '2025-10-31' WHERE snapshot_month = '2025-12-31' AND company_id <> 'A' $$)
        || 'TRUNCATE customer.fct_customer_business_monthly_status',
        $$ SELECT count(*) FROM customer.monthly_status_history WHERE snapshot_month = '2025-10-31' $$
    ),
    '2',
    'TRUNCATE keeps the rows of a month that no log and no control row knows, too'
);

-- What is refused ----------------------------------------------------------------------------------------

SELECT is(
    pg_temp.error_of(format('SELECT customer.monthly_status_as_at(%L, %s)', month, log_id)),
    ARRAY[
        code, message,
        'Those of the month: SELECT * FROM customer.monthly_snapshot_log WHERE snapshot_month = DATE ''2026-02-28'' ORDER BY log_id;'
    ],
    format('as at %s: %s %s', log_id, code, message)
)
FROM (
    SELECT '2026-02-28', 'NULL', '22004', 'the log entry must not be NULL'
    UNION ALL
    SELECT '2026-02-01', '0', '22023', 'log entry 0 does not belong to month 2026-02-28'
    UNION ALL
    SELECT '2026-02-28', log_id::text, '22023', format('log entry %s does not belong to month 2026-02-28', log_id) FROM step WHERE number = 1
) AS bad (month, log_id, code, message);

SELECT throws_ok(format('SELECT customer.monthly_status_as_at(%L, 0)', month), code, NULL, format('as at an entry of %s: %s', month, code))
FROM (VALUES (NULL, '22004'), ('infinity', '22023')) AS bad (month, code);

SELECT throws_ok(
    change, '55000', format('customer.monthly_status_history is never changed: %s refused', split_part(change, ' ', 1)),
    format('even by its owner: %s', change)
)
FROM (VALUES
    ('UPDATE customer.monthly_status_history SET aum_balance = 1 WHERE FALSE'), ('DELETE FROM customer.monthly_status_history'),
    ('TRUNCATE customer.monthly_status_history')
) AS attempt (change);

-- Control totals --------------------------------------------------------------------------------------------

CREATE FUNCTION pg_temp.totals(p_change text DEFAULT 'SELECT 1')
RETURNS text
LANGUAGE sql
AS $$
    SELECT pg_temp.after(
        p_change,
        'SELECT concat_ws('' '', row_count, aum, sha256) FROM customer.snapshot_control_totals(''2026-03-31'', 9223372036854775807)'
    )
$$;

SELECT is(
    pg_temp.totals(), '0 0.00 e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855',
    'of no rows: the sha256 of nothing'
);

INSERT INTO customer.fct_customer_business_monthly_status
VALUES
    ('2026-03-31', 'b', 'PL202', '企年"受托', FALSE, FALSE, TRUE, TRUE, FALSE, -0.5, 1),
    ('2026-03-31', 'C', 'PL204', E'a\nb', TRUE, TRUE, FALSE, FALSE, TRUE, 12345678901234567.89, 2),
    ('2026-03-31', 'C', 'PL202', '企年受托', FALSE, FALSE, FALSE, FALSE, FALSE, 10, 1);

SELECT is(
    pg_temp.totals(change), '3 12345678901234577.39 e0789888011b9e89631e84ab6859f9e7166c1f047bbf61ede05b9b2ef9c9f8ed',
    format('as sha256sum says of the three lines in the order of bytes: %s', what)
)
FROM (VALUES
    ('at once', 'SELECT 1'),
    ('written anew, at another time, in another order',
        $$ CREATE TEMPORARY TABLE pile AS SELECT * FROM fact WHERE snapshot_month = '2026-03-31' ORDER BY product_line_code DESC, company_id;
           DELETE FROM fact; INSERT INTO customer.fct_customer_business_monthly_status SELECT * FROM pile; UPDATE fact SET updated_at = '2000-01-01' $$)
) AS harmless (what, change);

SELECT isnt(
    split_part(pg_temp.totals(format('UPDATE fact SET %s WHERE company_id = ''b''', assignment)), ' ', 3),
    split_part(pg_temp.totals(), ' ', 3),
    format('another sha256 with %s', assignment)
)
FROM (VALUES
    ('company_id = ''A'''), ('product_line_code = ''PL201'''), ('product_line_name = ''企年'''), ('is_strategic = TRUE'), ('is_existing = TRUE'),
    ('is_new = FALSE'), ('is_winning_this_year = FALSE'), ('is_churned_this_year = TRUE'), ('aum_balance = -0.49'), ('plan_count = 0')
) AS cell (assignment);

-- A table that was adopted may have columns of its own, of whatever type.
SELECT is(
    pg_temp.after(
        $$ ALTER TABLE customer.fct_customer_business_monthly_status
               ADD note json DEFAULT '{}', ADD million numeric GENERATED ALWAYS AS (aum_balance / 1000000) STORED;
           INSERT INTO fact (company_id, product_line_name) VALUES ('C', 'x');
           UPDATE customer.fct_customer_business_monthly_status SET note = '[]' WHERE snapshot_month = '2026-01-31';
           UPDATE fact SET plan_count = 2 WHERE company_id = 'C' $$,
        $$ SELECT array_agg(row_count ORDER BY log_id)
           FROM customer.monthly_snapshot_log
           CROSS JOIN LATERAL customer.snapshot_control_totals(snapshot_month, log_id)
           WHERE snapshot_month = '2026-01-31'
               AND log_id >= (SELECT max(log_id) FROM step) $$
    ),
    '{4,5,5}',
    'further columns of the table are left alone, and changes of theirs are none of the month''s'
);

-- Rows changed unseen are given as they are. That it warns then is tested in tests/integration.
SELECT is(
    pg_temp.after(
        $$ SELECT customer.close_snapshot_month('2026-01-31', 'published'); $$ || pg_temp.silently('UPDATE fact SET aum_balance = 9.01'),
        $$ SELECT sum(aum_balance)
           FROM customer.monthly_status_as_at('2026-01-31', (SELECT last_log_id FROM customer.monthly_snapshot_control WHERE closed_at IS NOT NULL)) $$
    ),
    '36.04',
    'a closed month whose rows were changed while triggers were disabled can be read all the same'
);

SELECT * FROM finish();

ROLLBACK;
