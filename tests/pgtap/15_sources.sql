-- Proves how the platform's tables are read: inlined, without a dependency, and checked against
-- their own columns; and what deploy and verify scripts call.
SET client_encoding = 'UTF8';

BEGIN;

SELECT plan(33);

\ir fixture.psql

-- Inlined

CREATE FUNCTION pg_temp.plan_of(p_query text)
RETURNS SETOF text
LANGUAGE plpgsql
AS $$
BEGIN
    RETURN QUERY EXECUTE 'EXPLAIN (COSTS OFF) ' || p_query;
END
$$;

SELECT is_empty(
    format('SELECT line FROM pg_temp.plan_of(%L) AS line WHERE line LIKE ''%%Function Scan%%''', 'SELECT * FROM customer.' || call),
    format('%s is inlined: the plan shows its table', call)
)
FROM (VALUES
    ('source_contracts()'), ('source_awards()'), ('source_losses()'), ('source_aum(''2026-01-01'', ''2026-01-31'')'),
    ('source_customers()'), ('source_product_lines()')
) AS reader (call);

SELECT is(
    (
        SELECT array_agg(format('%s %s %s', proname, lanname, provolatile) ORDER BY proname COLLATE "C")
        FROM pg_proc
        JOIN pg_language
            ON pg_language.oid = prolang
        WHERE pronamespace = 'customer'::regnamespace
            AND proname LIKE 'source\_%'
            AND NOT prosecdef
            AND NOT proisstrict
            AND proconfig IS NULL
    ),
    ARRAY[
        'source_aum sql s', 'source_awards sql s', 'source_columns sql i', 'source_contracts sql s',
        'source_control_totals sql s', 'source_customer_names sql s', 'source_customers sql s', 'source_late_changes sql s',
        'source_losses sql s', 'source_product_line_names sql s', 'source_product_lines sql s', 'source_reported_events sql s',
        'source_types sql s'
    ],
    'they are what PostgreSQL inlines: SQL, not volatile, not strict, without rights or settings of their own'
);

SET LOCAL enable_seqscan = off;

SELECT ok(
    EXISTS (
        SELECT
        FROM pg_temp.plan_of($$ SELECT * FROM customer.source_aum('2026-01-01', '2026-01-31') $$) AS line
        WHERE line LIKE '%Index Cond: (("月度" >= ''2026-01-01''::date) AND ("月度" <= ''2026-01-31''::date))%'
    ),
    'a month of AUM detail is found by the index on 月度'
);

RESET enable_seqscan;

-- A snapshot that is older than a TRUNCATE sees an empty table, whatever was loaded since

CREATE FUNCTION pg_temp.truncate(p_table text)
RETURNS void
LANGUAGE plpgsql
AS $$
BEGIN
    EXECUTE format('TRUNCATE %s', p_table);
END
$$;

SELECT is(
    pg_temp.error_of(
        $$ SELECT customer.check_snapshot_sources_are_seen()
           FROM pg_temp.truncate('customer."当年中标", business."规模明细"') OFFSET 0 $$
    ),
    ARRAY[
        '40001',
        'source tables were emptied, rewritten or exchanged after this transaction''s snapshot was taken: business."规模明细", customer."当年中标"',
        'What was loaded into them since cannot be seen. Run the transaction again.'
    ],
    'source tables that were truncated after the snapshot was taken are told'
);

SELECT lives_ok(
    $$ SELECT pg_temp.truncate('business."规模明细"'); SELECT customer.check_snapshot_sources_are_seen() $$,
    'those that were truncated before are in order'
);

-- No dependency but the two foreign keys

SELECT results_eq(
    $$ SELECT DISTINCT pg_describe_object(dependency.classid, dependency.objid, 0)
       FROM pg_depend AS dependency
       WHERE refclassid = 'pg_class'::regclass
           AND refobjid IN (SELECT table_name::regclass FROM customer.source_columns())
           AND (
               classid = 'pg_proc'::regclass
               OR classid = 'pg_rewrite'::regclass AND EXISTS (
                   SELECT
                   FROM pg_rewrite
                   WHERE pg_rewrite.oid = objid
                       AND ev_class IN (SELECT oid FROM package_relation)
               )
               OR classid = 'pg_constraint'::regclass AND EXISTS (
                   SELECT
                   FROM pg_constraint
                   WHERE pg_constraint.oid = objid
                       AND conrelid IN (SELECT oid FROM package_relation)
               )
           )
       ORDER BY 1 $$,
    $$ VALUES
        ('constraint fk_snapshot_company on table customer.fct_customer_business_monthly_status'),
        ('constraint fk_snapshot_product_line on table customer.fct_customer_business_monthly_status') $$,
    'nothing of the package depends on the platform''s tables but the two foreign keys'
);

-- What they give

INSERT INTO contract (company_id, plan_code, valid_to)
VALUES ('A', 'P1', '9999-12-31'), ('A', 'P2', '9999-12-30'), ('A', 'P3', NULL);

SELECT results_eq(
    'SELECT plan_code::text, is_current FROM customer.source_contracts() ORDER BY plan_code',
    $$ VALUES ('P1', TRUE), ('P2', FALSE), ('P3', NULL) $$,
    'a contract is current if its valid_to is 9999-12-31'
);

-- Against the tables' own columns

INSERT INTO award (company_id) VALUES ('A');
INSERT INTO loss (company_id) VALUES ('A');
INSERT INTO aum (company_id, amount) VALUES ('A', 1), ('A', NULL), (NULL, 2.5);
INSERT INTO aum (company_id, as_of, amount) VALUES ('A', '2026-01-31', 4), ('A', '2026-02-01', 8), ('A', '2025-12-31', 16);
INSERT INTO award (company_id, reported_on) VALUES ('A', '2025-12-31'), (NULL, '2026-12-31'), ('A', '2027-01-01');
INSERT INTO loss (company_id, reported_on) VALUES ('A', '2025-12-31'), (NULL, '2026-12-31'), ('A', '2027-01-01');

SELECT results_eq(
    $$ SELECT * FROM customer.source_control_totals('2026-01-01', '2026-01-31', '2026-12-31') $$,
    $$ VALUES (1::bigint, 2::bigint, 2::bigint, 4::bigint, 7.5) $$,
    'control totals: current contracts, awards and losses of the year, rows and sum of the month'
);

SELECT results_eq(
    $$ SELECT awards, losses FROM customer.source_control_totals('2026-01-01', '2026-01-31', '2026-12-30') $$,
    $$ VALUES (1::bigint, 1::bigint) $$,
    'awards and losses up to the day given'
);

SELECT results_eq(
    $$ SELECT * FROM customer.source_control_totals('2024-01-01', '2024-01-31', '2024-12-31') $$,
    $$ VALUES (1::bigint, 0::bigint, 0::bigint, 0::bigint, 0::numeric) $$,
    'and where there is nothing'
);

SELECT customer.refresh_monthly_snapshot('2026-01-31') \g /dev/null

SELECT is(
    pg_temp.after(
        replace(pg_get_functiondef(function::regprocedure), old, new),
        $$ SELECT violations FROM customer.validate_monthly_snapshot('2026-01-31') WHERE check_name = 'source_reading' $$
    ),
    found,
    format('validation finds %s misread by %s', found, new)
)
FROM (VALUES
    ('customer.source_aum(date, date)', 'FROM business', 'FROM business', '0'),
    ('customer.source_aum(date, date)', '"期末资产规模"::numeric', 'round("期末资产规模")', '1'),
    ('customer.source_aum(date, date)', '"月度"::date', '"月度"::date + 1', '1'),
    ('customer.source_aum(date, date)', 'WHERE', 'WHERE "期末资产规模" > 0 AND', '1'),
    ('customer.source_contracts()', '9999-12-31', '9999-12-30', '0'),
    ('customer.source_contracts()', 'DATE ''9999-12-31''', 'DATE ''2026-01-01''', '1'),
    ('customer.source_awards()',    '"上报月份"::date', '"上报月份"::date - 366', '1'),
    ('customer.source_losses()',    '"上报月份"::date', '"上报月份"::date - 366', '1')
) AS wrong (function, old, new, found);

-- What deploy scripts call: the site grants what is new to others

CREATE ROLE site_reader;
ALTER DEFAULT PRIVILEGES IN SCHEMA customer GRANT ALL ON TABLES TO PUBLIC, site_reader;
ALTER DEFAULT PRIVILEGES IN SCHEMA customer GRANT EXECUTE ON FUNCTIONS TO site_reader WITH GRANT OPTION;

CREATE TABLE customer.some_table ();
CREATE FUNCTION customer.some_function() RETURNS integer LANGUAGE sql AS 'SELECT 1';

CREATE FUNCTION pg_temp.rights()
RETURNS text
LANGUAGE sql
AS $$
    SELECT concat_ws(' ', relacl, proacl)
    FROM pg_class
    CROSS JOIN pg_proc
    WHERE pg_class.oid = 'customer.some_table'::regclass
        AND pg_proc.oid = 'customer.some_function()'::regprocedure
$$;

SELECT matches(pg_temp.rights(), '[{,]=.*site_reader=.*[{,]=.*site_reader=', 'premise: they have rights on both, and so has PUBLIC');

CALL customer.revoke_default_grants('customer.some_table'::regclass);
CALL customer.revoke_default_grants('customer.some_function()'::regprocedure);

SELECT matches(pg_temp.rights(), format('^{%1$I=[a-zA-Z]+/%1$I} {%1$I=X/%1$I}$', current_user), 'a deploy script leaves them to the owner alone');

COMMENT ON TABLE customer.some_table IS 'deployed before';
COMMENT ON FUNCTION customer.some_function() IS 'deployed before';
GRANT SELECT ON customer.some_table TO site_reader;
GRANT EXECUTE ON FUNCTION customer.some_function() TO site_reader;

CALL customer.revoke_default_grants('customer.some_table'::regclass);
CALL customer.revoke_default_grants('customer.some_function()'::regprocedure);

SELECT matches(pg_temp.rights(), 'site_reader=r.*site_reader=X', 'what has its comment was deployed before, and keeps what was granted since');

-- What verify scripts call; each damage that they notice is in tests/integration/test_sqitch.py

SELECT lives_ok(format($$ CALL customer.verify_function('customer.snapshot_month_of(date)', '%s', 'snapshot_month_of', TRUE) $$, (
    SELECT encode(sha256(convert_to(pg_get_functiondef('customer.snapshot_month_of(date)'::regprocedure), 'UTF8')), 'hex')
)), 'a function is as deployed if its definition has the hash');

SELECT throws_like('CALL customer.verify_' || call, format('%s is not as deployed:%%', what), what || ' is not as deployed if something is otherwise')
FROM (
    VALUES
        ($$function('customer.snapshot_month_of(date)', 'other', 'snapshot_month_of', TRUE)$$, 'function customer.snapshot_month_of(date)'),
        ($$table('customer.monthly_snapshot_control', ARRAY['column closed_at date, with comment'])$$, 'table customer.monthly_snapshot_control'),
        ($$view('customer.monthly_status_trend', 'other')$$, 'view customer.monthly_status_trend'),
        ($$view('customer.no_such_view', 'other')$$, 'view customer.no_such_view')
) AS wrong (call, what);

SELECT lives_ok(
    $$ CALL customer.verify_table('customer.monthly_snapshot_control', ARRAY['column closed_at timestamp with time zone, with comment']) $$,
    'a table is as deployed if all is true that is expected of it'
);

SELECT lives_ok(
    format(
        'CALL customer.verify_view(''customer.monthly_status_trend'', %L)',
        substring((pg_temp.error_of($$ CALL customer.verify_view('customer.monthly_status_trend', 'other') $$))[2] FROM 'hash (\w+)')
    ),
    'and a view if its definition has the hash'
);

SELECT * FROM finish();

ROLLBACK;
