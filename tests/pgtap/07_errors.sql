-- Proves each error of a refresh: SQLSTATE, message, hint, and that nothing is written.
SET client_encoding = 'UTF8';

BEGIN;

SELECT plan(58);

\ir fixture.psql

-- A month that is none

INSERT INTO contract (company_id)
VALUES ('A'), ('B'), ('C');

INSERT INTO aum (company_id, amount)
VALUES ('A', 100), ('B', -100);

SELECT pg_temp.fingerprint() AS before \gset

SELECT is(
    pg_temp.error_of(format('SELECT customer.refresh_monthly_snapshot(%L)', day)),
    ARRAY[code, 'the snapshot month must ' || message, 'Pass any day of the month, such as DATE ''2026-01-31''.'],
    format('the month of %s is refused', coalesce(day, 'NULL'))
)
FROM (VALUES
    (NULL, '22004', 'not be NULL'),
    ('infinity', '22023', 'lie in the years 1 to 9999, but is infinity'),
    ('-infinity', '22023', 'lie in the years 1 to 9999, but is -infinity'),
    ('0001-12-31 BC', '22023', 'lie in the years 1 to 9999, but is 0001-12-31 BC'),
    ('10000-01-01', '22023', 'lie in the years 1 to 9999, but is 10000-01-01')
) AS bad (day, code, message);

SELECT is(
    pg_temp.fingerprint(), :'before',
    'a month that is refused leaves neither fact, control nor log row'
);

SELECT is(customer.snapshot_month_of('9999-12-31'), DATE '9999-12-31', 'the last day of all is accepted');

-- No AUM detail

-- What the month has stored, and what the source has for it: does it stop the refresh?
CREATE FUNCTION pg_temp.refresh_over(p_stored numeric[], p_source numeric[])
RETURNS text
LANGUAGE plpgsql
AS $$
BEGIN
    DELETE FROM aum;
    DELETE FROM customer.fct_customer_business_monthly_status;

    INSERT INTO customer.fct_customer_business_monthly_status (
        snapshot_month, company_id, product_line_code, product_line_name, aum_balance
    )
    SELECT '2026-01-31', (ARRAY['A', 'B', 'C'])[number], 'PL202', '企年受托', stored
    FROM unnest(p_stored) WITH ORDINALITY AS month (stored, number);

    INSERT INTO aum (company_id, amount)
    SELECT (ARRAY['A', 'unknown'])[number], amount
    FROM unnest(p_source) WITH ORDINALITY AS detail (amount, number);

    RETURN left(pg_temp.after('SELECT 1', 'SELECT customer.refresh_monthly_snapshot(''2026-01-31'') ->> ''status'''), 9);
END
$$;

SELECT is(
    pg_temp.refresh_over(stored, source), answer,
    format('%s: %s', situation, answer)
)
FROM (VALUES
    ('{5}'::numeric[],  '{}'::numeric[], '55000 the', 'AUM stored, none at the source'),
    ('{-5}',            '{}',            '55000 the', 'negative AUM stored, none at the source'),
    ('{0.01}',          '{}',            '55000 the', 'a cent stored, none at the source'),
    ('{0, 0, 5}',       '{}',            '55000 the', 'one row of three with AUM, none at the source'),
    ('{5, -5}',         '{}',            '55000 the', 'AUM stored that sums to zero, none at the source'),
    ('{0, 0}',          '{}',            'refreshed', 'no AUM stored, none at the source'),
    ('{}',              '{}',            'refreshed', 'no row stored, no AUM at the source'),
    ('{5}',             '{0}',           'refreshed', 'AUM stored, zero at the source'),
    ('{5}',             '{NULL}',        'refreshed', 'AUM stored, a row without amount at the source'),
    ('{5}',             '{NULL, 8}',     'refreshed', 'AUM stored, that of an unknown customer at the source')
) AS example (stored, source, answer, situation);

DELETE FROM aum;

INSERT INTO aum (company_id, product_line_code, amount)
VALUES (NULL, NULL, NULL);

SELECT lives_ok(
    $$ SELECT customer.refresh_monthly_snapshot('2026-01-31') $$,
    'a row that says nothing still says that the month was loaded'
);

DELETE FROM aum;

INSERT INTO aum (company_id, as_of, amount)
VALUES ('A', '2026-02-28', 5), ('other', '2026-05-01', 1);

SELECT customer.refresh_monthly_snapshot('2026-02-28') AS result \gset

-- Errors of others come out as they are

SAVEPOINT broken_source;

ALTER TABLE customer.customer_plan_contract DROP CONSTRAINT fk_contract_company;
ALTER TABLE customer.customer_plan_contract DISABLE TRIGGER know_customer;

INSERT INTO contract (company_id)
VALUES ('unknown');

SELECT throws_ok(
    $$ SELECT customer.refresh_monthly_snapshot('2026-05-31') $$,
    '23503',
    'insert or update on table "fct_customer_business_monthly_status" violates foreign key constraint "fk_snapshot_company"',
    'a contract for a customer who is none ends in the foreign key''s error, not in silence'
);

ROLLBACK TO SAVEPOINT broken_source;

-- Sources that changed under the package

-- The error of a call after some DDL, which is undone again. The views would forbid changes that the platform may make.
CREATE FUNCTION pg_temp.error_after(p_ddl text, p_call text DEFAULT 'customer.refresh_monthly_snapshot')
RETURNS text[]
LANGUAGE sql
AS $$
    SELECT pg_temp.error_of(format('DO %L', format(
        'BEGIN DROP VIEW contract, award, loss, aum, known_customer; %s; PERFORM %s(''2026-05-31''); RAISE EXCEPTION ''no error''; END',
        p_ddl, p_call
    )))
$$;

-- What the guard says of a change by hand, of which it has to count stale rows.
CREATE FUNCTION pg_temp.change_by_hand(p_month date)
RETURNS void
LANGUAGE sql
AS $$
    UPDATE customer.fct_customer_business_monthly_status
    SET plan_count = 9
    WHERE snapshot_month = '2026-02-28'
        AND p_month = '2026-05-31'
$$;

SELECT is(
    pg_temp.error_after(ddl, call),
    ARRAY[
        '55000',
        E'the source tables are not as they were when the package was deployed:\n    ' || problem,
        format(
            'As the owner of the package, look at them again: "psql -d %1$s -f deploy/sources.sql". '
            'If a table has another name now, say so: "psql -d %1$s -v %2$s=SCHEMA.TABLE -f deploy/sources.sql".',
            current_database(), source
        )
    ],
    format('%s: %s', call, replace(problem, E'\n   ', ','))
)
FROM (VALUES
    ('ALTER SCHEMA business RENAME TO other', 'aum', 'table business."规模明细" is missing'),
    ('DROP TABLE customer."当年中标"', 'awards', 'table customer."当年中标" is missing'),
    ('ALTER TABLE business."规模明细" RENAME TO detail; DROP TABLE customer."当年中标"', 'awards',
        E'table business."规模明细" is missing\n    table customer."当年中标" is missing'),
    ('ALTER TABLE customer."年金客户" SET SCHEMA mapping', 'customers', 'table customer."年金客户" is missing'),
    ('ALTER TABLE customer."当年流失" RENAME COLUMN "上报月份" TO "月份"', 'losses', 'column customer."当年流失"."上报月份" is missing'),
    ('ALTER TABLE business."规模明细" ALTER COLUMN "期末资产规模" TYPE double precision', 'aum',
        'column business."规模明细"."期末资产规模" has type double precision and had numeric'),
    ('ALTER TABLE customer.customer_plan_contract ALTER COLUMN valid_from TYPE timestamptz', 'contracts',
        'column customer.customer_plan_contract.valid_from has type timestamp with time zone and had date')
) AS change (ddl, source, problem)
CROSS JOIN (VALUES ('customer.refresh_monthly_snapshot'), ('customer.validate_monthly_snapshot'), ('pg_temp.change_by_hand')) AS function (call);

SELECT is(
    pg_temp.error_after('SET LOCAL client_encoding = LATIN1; ALTER TABLE business."规模明细" RENAME TO detail'),
    ARRAY[
        '55000',
        E'the source tables are not as they were when the package was deployed:\n    table business."\\u89c4\\u6a21\\u660e\\u7ec6" is missing',
        format(
            'As the owner of the package, look at them again: "psql -d %1$s -f deploy/sources.sql". '
            'If a table has another name now, say so: "psql -d %1$s -v aum=SCHEMA.TABLE -f deploy/sources.sql".',
            current_database()
        )
    ],
    'a client whose encoding has no Chinese is told its letters by their codes'
);

SELECT is(
    pg_temp.error_after(
        'ALTER TABLE business."规模明细" ALTER COLUMN "期末资产规模" TYPE numeric(30, 6), ADD COLUMN other text;
         ALTER TABLE customer.customer_plan_contract ALTER COLUMN product_line_name TYPE varchar(200);
         CREATE VIEW customer.same_name AS SELECT 1'
    ),
    '{P0001,no error,""}',
    'wider columns and new ones are the platform''s business'
);

-- Values that do not fit

-- Two rows of A carry the amount, one of them beside a name and a code; so do the months around.
CREATE FUNCTION pg_temp.error_of_values(p_name text, p_code text, p_amount numeric)
RETURNS text[]
LANGUAGE sql
AS $$
    SELECT pg_temp.error_after(format(
        'ALTER TABLE customer.customer_plan_contract ALTER COLUMN product_line_name TYPE varchar, ALTER COLUMN product_line_name DROP NOT NULL;
         ALTER TABLE customer.customer_plan_contract ALTER COLUMN product_line_code TYPE varchar;
         ALTER TABLE customer.customer_plan_contract DISABLE TRIGGER know_customer;
         INSERT INTO customer."年金客户" (company_id) VALUES (''fits'') ON CONFLICT DO NOTHING;
         ALTER TABLE business."规模明细" ALTER COLUMN "期末资产规模" TYPE numeric;
         INSERT INTO mapping."产品线" ("产品线代码") VALUES (%2$L) ON CONFLICT DO NOTHING;
         UPDATE customer.customer_plan_contract SET product_line_name = %1$L, product_line_code = %2$L;
         INSERT INTO customer.customer_plan_contract (
             company_id, plan_code, product_line_code, product_line_name, status_year, contract_status, valid_from
         ) VALUES (''fits'', ''P1'', ''PL202'', ''企年受托'', 2026, ''正常'', ''2020-01-01'');
         INSERT INTO business."规模明细" (company_id, "产品线代码", "月度", "期末资产规模", "计划代码")
         VALUES (''A'', %2$L, ''2026-05-01'', %3$L, ''P1''), (''A'', NULL, ''2026-05-02'', %3$L, ''P1''),
             (''A'', NULL, ''2026-04-30'', %3$L, ''P1''), (''A'', NULL, ''2026-06-01'', %3$L, ''P1''), (''fits'', ''PL202'', ''2026-05-01'', 1, ''P1'')',
        p_name, p_code, p_amount
    ))
$$;

SELECT is(
    (pg_temp.error_of_values(repeat('名', 50), repeat('c', 20), 499999999999999999.99))[2],
    'no error',
    'a name of 50 characters, a code of 20 and 18 digits of yuan fit'
);

SELECT is(
    pg_temp.error_of_values(name, code, amount),
    ARRAY[sqlstate, message || ' of customer A, product line ' || code || ' does not fit into the snapshot',
        'A code has at most 20 characters, a name 50, blanks at their end included, and an amount 18 digits '
            'before the point; none of them is NULL. Correct it at the source.'],
    'refused: ' || left(message, 30)
)
FROM (VALUES
    (rpad('名', 50, '名') || ' ', 'PL202', 1,     '22001', 'product_line_name "' || rpad('名', 50, '名') || ' "'),
    (repeat('a', 51),             'PL202', 1,     '22001', 'product_line_name "' || repeat('a', 51) || '"'),
    ('a', 'a code of 21 letters.',         1,     '22001', 'product_line_code "a code of 21 letters."'),
    ('a',                         'PL202', 1e18,  '22003', 'aum_balance "1000000000000000000.00"'),
    ('a',                         'PL202', -1e18, '22003', 'aum_balance "-1000000000000000000.00"'),
    (NULL,                        'PL202', 1,     '23502', 'product_line_name NULL'),
    (repeat('a', 50), repeat('c', 20),     1e18,  '22003', 'aum_balance "1000000000000000000.00"')
) AS unfit (name, code, amount, sqlstate, message);

SELECT is(
    (pg_temp.error_after(format(
        'ALTER TABLE customer.customer_plan_contract ALTER COLUMN %I DROP NOT NULL, DISABLE TRIGGER know_customer;
         INSERT INTO customer.customer_plan_contract (
             company_id, plan_code, product_line_code, product_line_name, status_year, contract_status, valid_from
         ) VALUES (%L, ''P1'', %L, ''a'', 2026, ''正常'', ''2020-01-01'')',
        missing, company, line
    )))[1:2],
    ARRAY['23502', format('%s NULL of customer %s does not fit into the snapshot', missing, customer_and_line)],
    format('a contract without its %s is refused, and not left out', missing)
)
FROM (VALUES
    ('product_line_code', 'A', NULL, 'A, product line NULL'),
    ('company_id', NULL, 'PL202', 'NULL, product line PL202')
) AS contract_without (missing, company, line, customer_and_line);

SELECT is(
    (pg_temp.error_of_values('a', 'PL202', amount))[1:2],
    ARRAY['22003', '2 rows of the AUM detail of 2026-05-31 hold NaN or an infinite amount, such as that of customer A'],
    format('an amount of %s is refused, with the number of rows and a key', amount)
)
FROM (VALUES ('NaN'::numeric), ('Infinity'), ('-Infinity')) AS none (amount);

SELECT is(
    (pg_temp.error_after(format(
        'ALTER TABLE business."规模明细" ALTER COLUMN "期末资产规模" TYPE numeric;
         INSERT INTO business."规模明细" ("产品线代码", "月度", "期末资产规模", "计划代码") VALUES (''PL202'', ''2026-05-01'', %L, ''P1'')',
        amount
    )))[1:2],
    ARRAY['22003', '1 rows of the AUM detail of 2026-05-31 hold NaN or an infinite amount, such as that of customer NULL, product line PL202'],
    format('so is %s where no row of the snapshot carries it', amount)
)
FROM (VALUES ('NaN'::numeric), ('Infinity'), ('-Infinity')) AS none (amount);

SELECT * FROM finish();

ROLLBACK;
