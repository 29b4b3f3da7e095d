-- Proves that published_changes tells each value that is not as it was last published, and what last changed it.
SET client_encoding = 'UTF8';

BEGIN;

SELECT plan(18);

\ir fixture.psql

INSERT INTO contract (company_id)
VALUES ('A'), ('B'), ('C');

INSERT INTO contract (company_id, product_line_code)
VALUES ('A', 'PL204');

INSERT INTO known_customer (company_id)
VALUES ('D');

INSERT INTO aum (company_id, as_of, amount)
VALUES ('A', '2026-01-01', 10), ('B', '2026-01-01', 20.5), ('C', '2026-01-01', 30), ('A', '2026-02-01', 11);

SELECT customer.refresh_monthly_snapshot(month)
FROM (VALUES (DATE '2026-01-31'), ('2026-02-28')) AS written (month) \g /dev/null

-- In the order of the answer; the log entry is told by its number among those after the last close.
CREATE FUNCTION pg_temp.changes(p_month date DEFAULT '2026-01-31')
RETURNS text
LANGUAGE sql
AS $$
    SELECT string_agg(
        concat_ws(' ',
            company_id, nullif(product_line_code, 'PL202'), change, column_name, coalesce(published_value, '-'), '>', coalesce(current_value, '-'),
            aum_difference, format('(%s %s)', later.entries, concat_ws(': ', operation, reason))
        ),
        ', ' ORDER BY number
    )
    FROM customer.published_changes(p_month)
        WITH ORDINALITY AS found (
            company_id, product_line_code, change, column_name, published_value, current_value, aum_difference, log_id, operation, reason, number
        )
    CROSS JOIN LATERAL (
        SELECT count(*) FILTER (WHERE entry.log_id <= found.log_id) AS entries
        FROM customer.monthly_snapshot_log AS entry
        WHERE snapshot_month = p_month
            AND entry.log_id > (SELECT max(log_id) FROM customer.monthly_snapshot_log WHERE snapshot_month = p_month AND operation = 'close')
    ) AS later
$$;

-- What is said after some changes, which are undone. fact names the rows of January, but not that of A in another product line.
CREATE TEMPORARY VIEW fact AS
SELECT *
FROM customer.fct_customer_business_monthly_status
WHERE snapshot_month = '2026-01-31'
    AND product_line_code = 'PL202';

ALTER VIEW fact ALTER COLUMN snapshot_month SET DEFAULT '2026-01-31';
ALTER VIEW fact ALTER COLUMN product_line_code SET DEFAULT 'PL202';

SELECT is(
    pg_temp.after($$ UPDATE fact SET aum_balance = 12 WHERE company_id = 'A' $$, 'SELECT pg_temp.changes()'), NULL,
    'a month that was never closed: nothing, whatever changed'
);

SELECT customer.close_snapshot_month(month, 'published')
FROM (VALUES (DATE '2026-01-31'), ('2026-02-28')) AS published (month) \g /dev/null

SELECT is(pg_temp.changes(), NULL, 'a closed month: nothing');

-- With what changed before it was closed, behind it.
SELECT customer.reopen_snapshot_month(month, 'a mistake')
FROM (VALUES (DATE '2026-01-31'), ('2026-02-28')) AS published (month) \g /dev/null

SELECT is(pg_temp.changes(), NULL, 'reopened, as it was: nothing');

SELECT is(
    pg_temp.after(change, 'SELECT pg_temp.changes()'), changes,
    what
)
FROM (VALUES
    ('one value changed',
        $$ UPDATE fact SET aum_balance = 12.25 WHERE company_id = 'A' $$,
        'A changed aum_balance 10.00 > 12.25 2.25 (2 by_hand)'),
    ('every value changed, in the order of the key and the columns',
        $$ UPDATE fact SET product_line_name = 'x', is_strategic = TRUE, is_existing = TRUE, is_new = TRUE, is_winning_this_year = TRUE,
               is_churned_this_year = TRUE, aum_balance = -1, plan_count = 2 WHERE company_id = 'B';
           UPDATE fact SET plan_count = 3 WHERE company_id = 'A' $$,
        'A changed plan_count 1 > 3 (3 by_hand), B changed product_line_name 企年受托 > x (2 by_hand), '
            'B changed is_strategic false > true (2 by_hand), B changed is_existing false > true (2 by_hand), '
            'B changed is_new false > true (2 by_hand), B changed is_winning_this_year false > true (2 by_hand), '
            'B changed is_churned_this_year false > true (2 by_hand), B changed aum_balance 20.50 > -1.00 -21.50 (2 by_hand), '
            'B changed plan_count 1 > 2 (2 by_hand)'),
    ('changed and changed back',
        $$ UPDATE fact SET plan_count = 2 WHERE company_id = 'A'; UPDATE fact SET plan_count = 1 WHERE company_id = 'A' $$, NULL),
    ('a new updated_at only',
        $$ ALTER TABLE customer.fct_customer_business_monthly_status DISABLE TRIGGER trg_snapshot_updated_at;
           UPDATE fact SET updated_at = '2000-01-01' $$, NULL),
    ('changed several times: each value has the entry that last changed it, not its row',
        $$ UPDATE fact SET is_new = TRUE, plan_count = 2 WHERE company_id = 'A';
           UPDATE fact SET is_new = FALSE WHERE company_id = 'A';
           UPDATE fact SET is_new = TRUE WHERE company_id = 'A';
           UPDATE fact SET aum_balance = 11 WHERE company_id = 'A' $$,
        'A changed is_new false > true (4 by_hand), A changed aum_balance 10.00 > 11.00 1.00 (5 by_hand), '
            'A changed plan_count 1 > 2 (2 by_hand)'),
    ('a row added, and changed again',
        $$ INSERT INTO fact (company_id, product_line_name, aum_balance) VALUES ('D', 'x', 5);
           UPDATE fact SET aum_balance = 6 WHERE company_id = 'D' $$,
        'D added product_line_name - > x (2 by_hand), D added is_strategic - > false (2 by_hand), '
            'D added is_existing - > false (2 by_hand), D added is_new - > false (2 by_hand), '
            'D added is_winning_this_year - > false (2 by_hand), D added is_churned_this_year - > false (2 by_hand), '
            'D added aum_balance - > 6.00 6.00 (3 by_hand), D added plan_count - > 0 (2 by_hand)'),
    ('a row added and removed',
        $$ INSERT INTO fact (company_id, product_line_name) VALUES ('D', 'x'); DELETE FROM fact WHERE company_id = 'D' $$, NULL),
    ('a row changed and removed: by what removed it',
        $$ UPDATE fact SET aum_balance = 31 WHERE company_id = 'C';
           UPDATE contract SET valid_from = '2026-02-01' WHERE company_id = 'C';
           SELECT customer.restate_monthly_snapshot('2026-01-31', 'late news') $$,
        'C removed product_line_name 企年受托 > - (3 restate: late news), C removed is_strategic false > - (3 restate: late news), '
            'C removed is_existing false > - (3 restate: late news), C removed is_new false > - (3 restate: late news), '
            'C removed is_winning_this_year false > - (3 restate: late news), '
            'C removed is_churned_this_year false > - (3 restate: late news), '
            'C removed aum_balance 30.00 > - -30.00 (3 restate: late news), C removed plan_count 1 > - (3 restate: late news)'),
    ('a row removed and brought back with another value',
        $$ DELETE FROM fact WHERE company_id = 'C'; UPDATE aum SET amount = 33 WHERE company_id = 'C';
           SELECT customer.refresh_monthly_snapshot('2026-01-31') $$,
        'C changed aum_balance 30.00 > 33.00 3.00 (3 refresh)'),
    ('discarded and filled again, the same but for one value',
        $$ SELECT customer.discard_snapshot_month('2026-01-31', 'why'); UPDATE contract SET is_strategic = TRUE WHERE company_id = 'B';
           SELECT customer.refresh_monthly_snapshot('2026-01-31'); SELECT customer.refresh_monthly_snapshot('2026-01-31') $$,
        'B changed is_strategic false > true (3 refresh)'),
    ('closed again: nothing',
        $$ UPDATE fact SET plan_count = 2; SELECT customer.close_snapshot_month('2026-01-31', 'published anew') $$, NULL),
    ('closed and reopened again: only what changed since',
        $$ UPDATE fact SET plan_count = 2; SELECT customer.close_snapshot_month('2026-01-31', 'published anew');
           SELECT customer.reopen_snapshot_month('2026-01-31', 'why'); UPDATE fact SET is_new = TRUE WHERE company_id = 'A' $$,
        'A changed is_new false > true (2 by_hand)')
) AS example (what, change, changes);

SELECT is(
    pg_temp.after($$ UPDATE fact SET plan_count = 9 $$, 'SELECT pg_temp.changes(''2026-02-01'')'), NULL,
    'any day names the month, and each month has its own changes'
);

SELECT throws_ok(
    format('SELECT customer.published_changes(%L)', month), code, NULL,
    format('published_changes(%s): %s', coalesce(month, 'NULL'), code)
)
FROM (VALUES (NULL, '22004'), ('infinity', '22023')) AS bad (month, code);

SELECT * FROM finish();

ROLLBACK;
