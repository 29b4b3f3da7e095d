-- Proves that the tables refuse what makes no sense, and that updated_at tells when a row last changed.
-- How they are defined, word by word, verify/ and tests/golden/schema.txt hold.
SET client_encoding = 'UTF8';

BEGIN;

SELECT plan(72);

\ir fixture.psql

SELECT is_empty(
    $$ SELECT attname
       FROM pg_attribute
       WHERE attrelid = 'customer.fct_customer_business_monthly_status'::regclass
           AND attnum > 0
           AND NOT attnotnull $$,
    'no column of the fact table admits NULL'
);

INSERT INTO known_customer (company_id)
VALUES ('C1');

CREATE FUNCTION pg_temp.insert_fact(
    p_snapshot_month date,
    p_company_id text DEFAULT 'C1',
    p_product_line_code text DEFAULT 'PL202'
)
RETURNS void
LANGUAGE sql
AS $$
    INSERT INTO customer.fct_customer_business_monthly_status (
        snapshot_month, company_id, product_line_code, product_line_name
    )
    VALUES (p_snapshot_month, p_company_id, p_product_line_code, '企年受托')
$$;

SELECT throws_ok(
    $$ SELECT pg_temp.insert_fact('2026-01-31', 'nobody') $$,
    '23503', NULL,
    'an unknown customer is refused'
);

SELECT throws_ok(
    $$ SELECT pg_temp.insert_fact('2026-01-31', 'C1', 'PL999') $$,
    '23503', NULL,
    'an unknown product line is refused'
);

SELECT pg_temp.insert_fact('2026-01-31') \g /dev/null

SELECT is(
    pg_temp.stored('C1'),
    ROW('2026-01-31', 'C1', 'PL202', '企年受托', FALSE, FALSE, FALSE, FALSE, FALSE, 0.00, 0, CURRENT_TIMESTAMP)
        ::customer.fct_customer_business_monthly_status,
    'flags default to false, AUM and plan count to 0, updated_at to now'
);

SELECT throws_ok(
    $$ SELECT pg_temp.insert_fact('2026-01-31') $$,
    '23505', NULL,
    'a second row for the same month, customer and product line is refused'
);

SELECT throws_ok(
    format('INSERT INTO customer.monthly_status_summary SELECT * FROM customer.monthly_status_summary WHERE product_line_code %s', which),
    '23505', NULL,
    format('the summary refuses a second row for %s', what)
)
FROM (VALUES ('IS NULL', 'the same month'), ('= ''PL202''', 'the same month and product line')) AS summary (which, what);

SELECT throws_ok(
    $$ DELETE FROM customer."年金客户" WHERE company_id = 'C1' $$,
    '23503', NULL,
    'a customer in a snapshot cannot be deleted'
);

-- CHECK: the last day of a month

SELECT lives_ok(
    format('SELECT pg_temp.insert_fact(%L)', month_end),
    format('%s, the last day of its month, is accepted', month_end)
)
FROM (VALUES
    ('2024-02-29'), ('1900-02-28'),
    ('2026-04-30'), ('0001-01-31'), ('9999-12-31')
) AS good (month_end);

SELECT throws_ok(
    format('SELECT pg_temp.insert_fact(%L)', other_day),
    '23514',
    'new row for relation "fct_customer_business_monthly_status" violates check constraint "chk_snapshot_month_end"',
    format('%s, %s, is refused', other_day, reason)
)
FROM (VALUES
    ('2024-02-28', 'the day before a leap day'),
    ('2026-02-01', 'the first day of a month'),
    ('infinity', 'no day at all'),
    ('-infinity', 'no day at all')
) AS bad (other_day, reason);

-- Both sides of the date line, one hour's change at midnight, and a time zone
-- that once left a day out.
CREATE FUNCTION pg_temp.check_in_time_zone(p_time_zone text)
RETURNS text[]
LANGUAGE plpgsql
AS $$
DECLARE
    v_day date;
    v_accepted text[] := '{}';
BEGIN
    PERFORM set_config('TimeZone', p_time_zone, TRUE);
    FOREACH v_day IN ARRAY ARRAY[
        '2011-12-30', '2011-12-31', '2017-09-30', '2017-10-01', '2026-03-30', '2026-03-31', '2026-04-01'
    ]::date[] LOOP
        BEGIN
            PERFORM pg_temp.insert_fact(v_day);
            v_accepted := v_accepted || to_char(v_day, 'YYYY-MM-DD');
        EXCEPTION
            WHEN check_violation THEN NULL;
        END;
    END LOOP;
    DELETE FROM customer.fct_customer_business_monthly_status;
    RETURN v_accepted;
END
$$;

SELECT is(
    pg_temp.check_in_time_zone(time_zone),
    ARRAY['2011-12-31', '2017-09-30', '2026-03-31'],
    format('the check tells last days from others in time zone %s', time_zone)
)
FROM (VALUES
    ('UTC'), ('Etc/GMT+12'), ('Pacific/Kiritimati'), ('Pacific/Apia'), ('America/Sao_Paulo'), ('Asia/Shanghai')
) AS setting (time_zone);

SET LOCAL TimeZone = 'UTC';

SELECT throws_ok(
    $$ INSERT INTO customer.monthly_snapshot_control (snapshot_month) VALUES ('2024-02-28') $$,
    '23514',
    'new row for relation "monthly_snapshot_control" violates check constraint "chk_control_month_end"',
    'the control table, too, refuses a day that ends no month'
);

SELECT throws_ok(
    $$ INSERT INTO customer.monthly_snapshot_control (snapshot_month) VALUES ('infinity') $$,
    '23514',
    'new row for relation "monthly_snapshot_control" violates check constraint "chk_control_month_end"',
    'the control table, too, refuses infinity'
);

-- CHECK: control and log say what makes sense

CREATE TEMPORARY TABLE closing (name, value) AS VALUES
    ('closed_at', 'CURRENT_TIMESTAMP'), ('closed_by', '''ann'''), ('close_note', '''published'''),
    ('closed_rows', '1'), ('closed_aum', '0'), ('closed_sha256', '''f0''');

SELECT throws_ok(
    $$ UPDATE customer.monthly_snapshot_control SET last_rule = 'refresh', baseline_rows = 0, baseline_aum = 0 $$,
    '23514',
    'new row for relation "monthly_snapshot_control" violates check constraint "chk_control_rule"',
    'a rule other than current and as_of is refused'
);

SELECT throws_ok(
    format('UPDATE customer.monthly_snapshot_control SET %s', assignments),
    '23514',
    'new row for relation "monthly_snapshot_control" violates check constraint "chk_control_baseline"',
    format('a control row is refused with %s', what)
)
FROM (VALUES
    ('last_rule = ''as_of'', baseline_aum = 0', 'a rule and no baseline of rows'),
    ('last_rule = ''as_of'', baseline_rows = 0', 'a rule and no baseline of AUM'),
    ('baseline_rows = 0, baseline_aum = 0', 'a baseline and no rule')
) AS incomplete (assignments, what);

SELECT lives_ok(
    $$ UPDATE customer.monthly_snapshot_control SET last_rule = 'as_of', baseline_rows = 0, baseline_aum = 0 $$,
    'the rule as_of is accepted, with its baseline'
);

SELECT throws_ok(
    format(
        'UPDATE customer.monthly_snapshot_control SET %s, %s = NULL',
        (SELECT string_agg(format('%s = %s', name, value), ', ') FROM closing WHERE closing.name <> lacking.name),
        name
    ),
    '23514',
    'new row for relation "monthly_snapshot_control" violates check constraint "chk_control_closed"',
    format('a month closed without %s is refused', name)
)
FROM closing AS lacking;

-- One count stands for the eight that only refresh and restate have.
CREATE FUNCTION pg_temp.insert_log(
    p_operation text, p_rule text, p_reason text, p_count integer, p_inserted integer, p_updated integer, p_deleted integer, p_sha256 text
)
RETURNS void
LANGUAGE sql
AS $$
    INSERT INTO customer.monthly_snapshot_log (
        snapshot_month, operation, rule, reason, started_at, finished_at,
        total, upserted, unchanged, stale, aum_total, aum_unattributed, accepted,
        inserted, updated, deleted, month_rows, month_aum, month_sha256, invoked_by, application_name
    )
    VALUES (
        '2026-01-31', p_operation, p_rule, p_reason, CURRENT_TIMESTAMP, CURRENT_TIMESTAMP,
        p_count, p_count, p_count, p_count, p_count, p_count, p_count > 0,
        p_inserted, p_updated, p_deleted, 0, 0, p_sha256, 'ann', ''
    )
$$;

SELECT is(
    array_to_string((pg_temp.error_of(format(
        'SELECT pg_temp.insert_log(%L, %L, %L, %L, %L, %L, %L, %L)', operation, rule, reason, any_count, inserted, updated, deleted, sha256
    )))[1:2], ': '),
    coalesce('23514: new row for relation "monthly_snapshot_log" violates check constraint "' || violated || '"', 'no error'),
    format('the log %s %s', CASE WHEN violated IS NULL THEN 'takes' ELSE 'refuses' END, what)
)
FROM (VALUES
    ('refresh', 'current', NULL,           1,    1,    1,    0,    NULL, NULL, 'a refresh'),
    ('restate', 'as_of',   'a correction', 1,    1,    1,    1,    NULL, NULL, 'a restate'),
    ('by_hand', NULL,      NULL,           NULL, 1,    1,    1,    NULL, NULL, 'a change by hand'),
    ('close',   NULL,      'published',    NULL, NULL, NULL, NULL, 'f0', NULL, 'a close'),
    ('reopen',  NULL,      'an error',     NULL, NULL, NULL, NULL, NULL, NULL, 'a reopen'),
    ('discard', NULL,      'a mistake',    NULL, NULL, NULL, 1,    NULL, NULL, 'a discard'),
    ('adopt',   NULL,      'stood there',  NULL, 1,    NULL, NULL, NULL, NULL, 'an adopt'),
    ('delete',  NULL,      'why', NULL, NULL, NULL, NULL, NULL, 'chk_log_operation', 'an operation that is none of the seven'),
    ('refresh', 'today',   NULL,  1,    1,    1,    1,    NULL, 'chk_log_rule',      'a rule that is none of the two'),
    ('refresh', 'current', NULL,  NULL, 1,    1,    1,    NULL, 'chk_log_counts',    'a refresh without counts'),
    ('refresh', NULL,      NULL,  1,    1,    1,    1,    NULL, 'chk_log_counts',    'a refresh without a rule'),
    ('refresh', 'current', NULL,  1,    NULL, 1,    1,    NULL, 'chk_log_counts',    'a refresh that does not say how many rows it inserted'),
    ('by_hand', NULL,      NULL,  1,    1,    1,    1,    NULL, 'chk_log_counts',    'a change by hand with counts of the sources'),
    ('by_hand', NULL,      NULL,  NULL, 1,    NULL, 1,    NULL, 'chk_log_counts',    'a change by hand that does not say how many rows it updated'),
    ('adopt',   NULL,      'why', NULL, NULL, NULL, NULL, NULL, 'chk_log_counts',    'an adopt that does not say how many rows stood there'),
    ('adopt',   NULL,      'why', NULL, 1,    1,    NULL, NULL, 'chk_log_counts',    'an adopt that updated rows'),
    ('close',   NULL,      'why', 1,    NULL, NULL, NULL, 'f0', 'chk_log_counts',    'a close with counts'),
    ('close',   NULL,      'why', NULL, NULL, NULL, NULL, NULL, 'chk_log_counts',    'a close without its sha256'),
    ('reopen',  NULL,      'why', NULL, NULL, NULL, NULL, 'f0', 'chk_log_counts',    'a reopen with a sha256'),
    ('discard', 'as_of',   'why', NULL, NULL, NULL, 1,    NULL, 'chk_log_counts',    'a discard with a rule'),
    ('discard', NULL,      'why', NULL, NULL, NULL, NULL, NULL, 'chk_log_counts',    'a discard that does not say how many rows'),
    ('restate', 'as_of',   'why', 1,    1,    1,    NULL, NULL, 'chk_log_counts',    'a restate that does not say how many rows it removed'),
    ('reopen',  NULL,      'why', NULL, NULL, NULL, 1,    NULL, 'chk_log_counts',    'a reopen that removed rows'),
    ('restate', 'as_of',   NULL,  1,    1,    1,    1,    NULL, 'chk_log_reason',    'a restate without a reason')
) AS entry (operation, rule, reason, any_count, inserted, updated, deleted, sha256, violated, what);

-- CHECK: the history has all values of a row that there was, and none of one that there was not.
SELECT is(
    array_to_string((pg_temp.error_of(format(
        $$ INSERT INTO customer.monthly_status_history
           VALUES ('2026-01-31', %s, 'C1', 'PL202', %L, %s, FALSE, FALSE, FALSE, FALSE, FALSE, 0, 0, now()) $$,
        number, operation, name
    )))[1:2], ': '),
    coalesce('23514: new row for relation "monthly_status_history" violates check constraint "' || violated || '"', 'no error'),
    format('the history: %s', what)
)
FROM (VALUES
    (1, 'update', '''a''', NULL,                    'an update with its values'),
    (2, 'delete', '''a''', NULL,                    'a delete with its values'),
    (3, 'moved',  '''a''', 'chk_history_operation', 'no other operation'),
    (4, 'update', 'NULL',  'chk_history_values',    'no update that lacks a value'),
    (5, 'insert', '''a''', 'chk_history_values',    'no insert that has one')
) AS event (number, operation, name, violated, what);

SELECT lives_ok(
    $$ INSERT INTO customer.monthly_status_history (snapshot_month, log_id, company_id, product_line_code, operation)
       VALUES ('2026-01-31', 6, 'C1', 'PL202', 'insert') $$,
    'the history: an insert without values'
);

SELECT throws_ok(
    $$ INSERT INTO customer.monthly_snapshot_log (
           log_id, snapshot_month, operation, started_at, finished_at, month_rows, month_aum, invoked_by, application_name
       )
       VALUES (1, '2026-01-31', 'close', now(), now(), 0, 0, 'ann', '') $$,
    '428C9', NULL,
    'nobody chooses a log_id by hand'
);

-- updated_at

SELECT is(
    (SELECT count(DISTINCT name) FROM regexp_matches(pg_get_triggerdef(oid), 'old\.(\w+)', 'g') AS name), 12::bigint,
    'the trigger that keeps updated_at compares all 12 columns'
)
FROM pg_trigger
WHERE tgname = 'trg_snapshot_updated_at';

INSERT INTO customer.fct_customer_business_monthly_status (
    snapshot_month, company_id, product_line_code, product_line_name, updated_at
)
VALUES ('2026-01-31', 'C1', 'PL202', '企年受托', '2000-01-01 00:00:00+00');

SELECT is(
    (pg_temp.stored('C1')).updated_at, '2000-01-01 00:00:00+00'::timestamptz,
    'an insert may say when its row was last changed'
);

UPDATE customer.fct_customer_business_monthly_status SET aum_balance = aum_balance, is_new = FALSE;

SELECT is(
    (pg_temp.stored('C1')).updated_at, '2000-01-01 00:00:00+00'::timestamptz,
    'an update that changes nothing leaves updated_at'
);

UPDATE customer.fct_customer_business_monthly_status SET aum_balance = 1;

SELECT is(
    (pg_temp.stored('C1')).updated_at, CURRENT_TIMESTAMP,
    'an update that changes a value sets updated_at to the start of its transaction'
);

UPDATE customer.fct_customer_business_monthly_status SET updated_at = '1999-01-01';

SELECT is(
    (pg_temp.stored('C1')).updated_at, CURRENT_TIMESTAMP,
    'an update cannot set updated_at to anything else'
);

SELECT * FROM finish();

ROLLBACK;
