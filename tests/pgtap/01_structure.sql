-- Proves that the tables, keys, checks, indexes, trigger and functions are as specified.
SET client_encoding = 'UTF8';

BEGIN;

SELECT plan(67);

\ir fixture.psql

-- Columns

CREATE FUNCTION pg_temp.columns_of(p_table regclass)
RETURNS TABLE (name text, type text, is_not_null boolean, default_value text)
LANGUAGE sql
AS $$
    SELECT
        attname::text,
        format_type(atttypid, atttypmod),
        attnotnull,
        coalesce(
            pg_get_expr(adbin, adrelid),
            CASE attidentity WHEN 'a' THEN 'GENERATED ALWAYS AS IDENTITY' END
        )
    FROM pg_attribute
    LEFT JOIN pg_attrdef
        ON adrelid = attrelid
        AND adnum = attnum
    WHERE attrelid = p_table
        AND attnum > 0
        AND NOT attisdropped
    ORDER BY attnum
$$;

SELECT results_eq(
    $$ SELECT * FROM pg_temp.columns_of('customer.fct_customer_business_monthly_status') $$,
    $$ VALUES
        ('snapshot_month',       'date',                     TRUE, NULL),
        ('company_id',           'character varying',        TRUE, NULL),
        ('product_line_code',    'character varying(20)',    TRUE, NULL),
        ('product_line_name',    'character varying(50)',    TRUE, NULL),
        ('is_strategic',         'boolean',                  TRUE, 'false'),
        ('is_existing',          'boolean',                  TRUE, 'false'),
        ('is_new',               'boolean',                  TRUE, 'false'),
        ('is_winning_this_year', 'boolean',                  TRUE, 'false'),
        ('is_churned_this_year', 'boolean',                  TRUE, 'false'),
        ('aum_balance',          'numeric(20,2)',            TRUE, '0'),
        ('plan_count',           'integer',                  TRUE, '0'),
        ('updated_at',           'timestamp with time zone', TRUE, 'CURRENT_TIMESTAMP') $$,
    'the fact table has exactly these columns, none of which admits NULL'
);

SELECT results_eq(
    $$ SELECT * FROM pg_temp.columns_of('customer.monthly_snapshot_control') $$,
    $$ VALUES
        ('snapshot_month', 'date',                     TRUE,  NULL),
        ('last_rule',      'text',                     FALSE, NULL),
        ('last_log_id',    'bigint',                   FALSE, NULL),
        ('stale_rows',     'bigint',                   TRUE,  '0'),
        ('closed_at',      'timestamp with time zone', FALSE, NULL),
        ('closed_by',      'text',                     FALSE, NULL),
        ('close_note',     'text',                     FALSE, NULL) $$,
    'the control table has exactly these columns'
);

SELECT results_eq(
    $$ SELECT * FROM pg_temp.columns_of('customer.monthly_snapshot_log') $$,
    $$ VALUES
        ('log_id',           'bigint',                   TRUE,  'GENERATED ALWAYS AS IDENTITY'),
        ('snapshot_month',   'date',                     TRUE,  NULL),
        ('operation',        'text',                     TRUE,  NULL),
        ('reason',           'text',                     FALSE, NULL),
        ('started_at',       'timestamp with time zone', TRUE,  NULL),
        ('finished_at',      'timestamp with time zone', TRUE,  NULL),
        ('total',            'bigint',                   FALSE, NULL),
        ('upserted',         'bigint',                   FALSE, NULL),
        ('inserted',         'bigint',                   FALSE, NULL),
        ('updated',          'bigint',                   FALSE, NULL),
        ('unchanged',        'bigint',                   FALSE, NULL),
        ('stale',            'bigint',                   FALSE, NULL),
        ('deleted',          'bigint',                   FALSE, NULL),
        ('aum_total',        'numeric',                  FALSE, NULL),
        ('aum_unattributed', 'numeric',                  FALSE, NULL),
        ('invoked_by',       'text',                     TRUE,  NULL),
        ('application_name', 'text',                     TRUE,  NULL) $$,
    'the log table has exactly these columns'
);

SELECT is_empty(
    $$ SELECT relname
       FROM pg_class
       WHERE relnamespace = 'customer'::regnamespace
           AND relname IN (
               'fct_customer_business_monthly_status', 'monthly_snapshot_control', 'monthly_snapshot_log'
           )
           AND (relkind <> 'r' OR relpersistence <> 'p') $$,
    'the three tables are ordinary and survive a crash (not UNLOGGED)'
);

-- Keys

SELECT col_is_pk(
    'customer', 'fct_customer_business_monthly_status',
    ARRAY['snapshot_month', 'company_id', 'product_line_code'],
    'the fact table holds one row per month, customer and product line'
);

SELECT col_is_pk(
    'customer', 'monthly_snapshot_control', 'snapshot_month',
    'the control table holds one row a month'
);

SELECT col_is_pk('customer', 'monthly_snapshot_log', 'log_id', 'log_id identifies a row of the log');

-- contype n: the NOT NULL constraints of PostgreSQL 18 and later.
SELECT is(
    (
        SELECT array_agg(conname::text ORDER BY conname)
        FROM pg_constraint
        WHERE conrelid = 'customer.fct_customer_business_monthly_status'::regclass
            AND contype <> 'n'
    ),
    ARRAY[
        'chk_snapshot_month_end',
        'fct_customer_business_monthly_status_pkey',
        'fk_snapshot_company',
        'fk_snapshot_product_line'
    ],
    'the fact table has these constraints and no others'
);

SELECT is(
    (SELECT pg_get_constraintdef(oid) FROM pg_constraint WHERE conname = 'fk_snapshot_company'),
    'FOREIGN KEY (company_id) REFERENCES customer."年金客户"(company_id)',
    'fk_snapshot_company points at the customers, and refuses to follow their changes'
);

SELECT is(
    (SELECT pg_get_constraintdef(oid) FROM pg_constraint WHERE conname = 'fk_snapshot_product_line'),
    'FOREIGN KEY (product_line_code) REFERENCES mapping."产品线"("产品线代码")',
    'fk_snapshot_product_line points at the product lines, and refuses to follow their changes'
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
    ('2024-02-29'), ('2023-02-28'), ('2000-02-29'), ('1900-02-28'),
    ('2026-04-30'), ('2025-12-31'), ('0001-01-31'), ('9999-12-31')
) AS good (month_end);

SELECT throws_ok(
    format('SELECT pg_temp.insert_fact(%L)', other_day),
    '23514',
    'new row for relation "fct_customer_business_monthly_status" violates check constraint "chk_snapshot_month_end"',
    format('%s, %s, is refused', other_day, reason)
)
FROM (VALUES
    ('2024-02-28', 'the day before a leap day'),
    ('2026-01-30', 'the day before a month''s last'),
    ('2026-02-01', 'the first day of a month'),
    ('2026-01-15', 'the middle of a month'),
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

SELECT doesnt_match(
    (SELECT pg_get_constraintdef(oid) FROM pg_constraint WHERE conname = 'chk_snapshot_month_end'),
    'date_trunc|to_char|time zone|timestamptz',
    'the check uses nothing that reads the session''s settings'
);

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

SELECT lives_ok(
    $$ INSERT INTO customer.monthly_snapshot_control (snapshot_month) VALUES ('2028-02-29') $$,
    'the control table accepts a leap day'
);

-- CHECK: control and log say what makes sense

SELECT throws_ok(
    $$ UPDATE customer.monthly_snapshot_control SET last_rule = 'refresh' $$,
    '23514',
    'new row for relation "monthly_snapshot_control" violates check constraint "chk_control_rule"',
    'a rule other than current and as_of is refused'
);

SELECT lives_ok(
    $$ UPDATE customer.monthly_snapshot_control SET last_rule = 'as_of' $$,
    'the rule as_of is accepted'
);

SELECT throws_ok(
    format('UPDATE customer.monthly_snapshot_control SET %s', assignments),
    '23514',
    'new row for relation "monthly_snapshot_control" violates check constraint "chk_control_closed"',
    format('a month closed without %s is refused', lacking)
)
FROM (VALUES
    ('closed_by = ''ann'', close_note = ''published''', 'a time'),
    ('closed_at = CURRENT_TIMESTAMP, close_note = ''published''', 'a name'),
    ('closed_at = CURRENT_TIMESTAMP, closed_by = ''ann''', 'a note')
) AS incomplete (assignments, lacking);

CREATE FUNCTION pg_temp.insert_log(p_operation text, p_reason text, p_count integer)
RETURNS void
LANGUAGE sql
AS $$
    INSERT INTO customer.monthly_snapshot_log (
        snapshot_month, operation, reason, started_at, finished_at,
        total, upserted, inserted, updated, unchanged, stale, deleted, aum_total, aum_unattributed,
        invoked_by, application_name
    )
    VALUES (
        '2026-01-31', p_operation, p_reason, CURRENT_TIMESTAMP, CURRENT_TIMESTAMP,
        p_count, p_count, p_count, p_count, p_count, p_count, p_count, p_count, p_count,
        'ann', ''
    )
$$;

SELECT lives_ok(
    format('SELECT pg_temp.insert_log(%L, %L, %L)', operation, reason, any_count),
    format('the log takes a %s', operation)
)
FROM (VALUES
    ('refresh', NULL, 1), ('restate', 'a correction', 1), ('close', 'published', NULL), ('reopen', 'an error', NULL)
) AS good (operation, reason, any_count);

SELECT throws_ok(
    format('SELECT pg_temp.insert_log(%L, %L, %L)', operation, reason, any_count),
    '23514',
    format('new row for relation "monthly_snapshot_log" violates check constraint "%s"', violated),
    format('the log refuses %s', what)
)
FROM (VALUES
    ('delete',  'why',  1,    'chk_log_counts',    'an operation that is none of the four'),
    ('delete',  'why',  NULL, 'chk_log_operation', 'an operation that is none of the four, without counts'),
    ('refresh', NULL,   NULL, 'chk_log_counts',    'a refresh without counts'),
    ('close',   'why',  1,    'chk_log_counts',    'a close with counts'),
    ('restate', NULL,   1,    'chk_log_reason',    'a restate without a reason')
) AS bad (operation, reason, any_count, violated, what);

SELECT throws_ok(
    $$ INSERT INTO customer.monthly_snapshot_log (
           log_id, snapshot_month, operation, started_at, finished_at, invoked_by, application_name
       )
       VALUES (1, '2026-01-31', 'close', now(), now(), 'ann', '') $$,
    '428C9', NULL,
    'nobody chooses a log_id by hand'
);

-- Indexes

SELECT results_eq(
    $$ SELECT pg_get_indexdef(indexrelid)
       FROM pg_index
       WHERE indrelid IN (
               'customer.fct_customer_business_monthly_status'::regclass,
               'customer.monthly_snapshot_control'::regclass,
               'customer.monthly_snapshot_log'::regclass
           )
           AND indisvalid
       ORDER BY pg_get_indexdef(indexrelid) COLLATE "C" $$,
    $$ VALUES
        ('CREATE INDEX idx_snapshot_company ON customer.fct_customer_business_monthly_status USING btree (company_id)'),
        ('CREATE INDEX idx_snapshot_log_month ON customer.monthly_snapshot_log USING btree (snapshot_month, log_id)'),
        ('CREATE INDEX idx_snapshot_month ON customer.fct_customer_business_monthly_status USING btree (snapshot_month)'),
        ('CREATE INDEX idx_snapshot_month_brin ON customer.fct_customer_business_monthly_status USING brin (snapshot_month)'),
        ('CREATE INDEX idx_snapshot_month_product ON customer.fct_customer_business_monthly_status USING btree (snapshot_month, product_line_code)'),
        ('CREATE INDEX idx_snapshot_product_line ON customer.fct_customer_business_monthly_status USING btree (product_line_code)'),
        ('CREATE INDEX idx_snapshot_strategic ON customer.fct_customer_business_monthly_status USING btree (snapshot_month) WHERE (is_strategic = true)'),
        ('CREATE UNIQUE INDEX fct_customer_business_monthly_status_pkey ON customer.fct_customer_business_monthly_status USING btree (snapshot_month, company_id, product_line_code)'),
        ('CREATE UNIQUE INDEX monthly_snapshot_control_pkey ON customer.monthly_snapshot_control USING btree (snapshot_month)'),
        ('CREATE UNIQUE INDEX monthly_snapshot_log_pkey ON customer.monthly_snapshot_log USING btree (log_id)') $$,
    'the tables have exactly these indexes'
);

SELECT is(
    (SELECT reloptions FROM pg_class WHERE oid = 'customer.fct_customer_business_monthly_status'::regclass),
    ARRAY['fillfactor=80'],
    'the fact table leaves a fifth of each page free for HOT updates'
);

-- updated_at

SELECT results_eq(
    $$ SELECT pg_get_triggerdef(oid), tgenabled::text
       FROM pg_trigger
       WHERE tgrelid = 'customer.fct_customer_business_monthly_status'::regclass
           AND tgname = 'trg_snapshot_updated_at' $$,
    $$ VALUES (
        'CREATE TRIGGER trg_snapshot_updated_at BEFORE UPDATE ON customer.fct_customer_business_monthly_status FOR EACH ROW WHEN ((old.* IS DISTINCT FROM new.*)) EXECUTE FUNCTION customer.set_snapshot_updated_at()',
        'O'
    ) $$,
    'the trigger that keeps updated_at is there and enabled'
);

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

-- Functions

CREATE FUNCTION pg_temp.signatures_of(p_name text)
RETURNS SETOF text
LANGUAGE sql
AS $$
    SELECT format('%s(%s) RETURNS %s', proname, pg_get_function_arguments(oid), pg_get_function_result(oid))
    FROM pg_proc
    WHERE pronamespace = 'customer'::regnamespace
        AND proname = p_name
$$;

SELECT results_eq(
    $$ SELECT * FROM pg_temp.signatures_of('refresh_monthly_snapshot') $$,
    ARRAY['refresh_monthly_snapshot(p_snapshot_month date) RETURNS jsonb'],
    'refresh_monthly_snapshot has this one signature and no other'
);

SELECT results_eq(
    $$ SELECT * FROM pg_temp.signatures_of('missing_snapshot_sources') $$,
    ARRAY['missing_snapshot_sources() RETURNS TABLE(source_object text, problem text)'],
    'missing_snapshot_sources takes nothing and returns a table'
);

SELECT isnt_strict(
    'customer', 'refresh_monthly_snapshot', ARRAY['date'],
    'refresh_monthly_snapshot is called with NULL, too, so that it can refuse it'
);

SELECT volatility_is(
    'customer', 'refresh_monthly_snapshot', ARRAY['date'], 'volatile',
    'refresh_monthly_snapshot is volatile'
);

SELECT volatility_is(
    'customer', 'missing_snapshot_sources', '{}'::name[], 'stable',
    'missing_snapshot_sources only reads'
);

SELECT is_definer(
    'customer', 'refresh_monthly_snapshot', ARRAY['date'],
    'refresh_monthly_snapshot runs with the rights of its owner'
);

SELECT * FROM finish();

ROLLBACK;
