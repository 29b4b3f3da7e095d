-- Proves what the dimensions say, which awards and losses no row shows, and who may read them.
SET client_encoding = 'UTF8';

BEGIN;

SELECT plan(25);

\ir fixture.psql

-- A has contracts, so that its rows are not stale; Z is no customer of the snapshot.
INSERT INTO contract (company_id)
VALUES ('A');

UPDATE customer."年金客户"
SET "客户名称" = '甲公司';

INSERT INTO customer."年金客户" (company_id, "客户名称")
VALUES
    ('B', NULL), ('IN0123456789ABCDEF', '未识别'), ('IN0123456789ABCDE', '短'),
    ('IN0123456789ABCDEFG', '长'), ('XX0123456789ABCDEF', '别'), ('Z', '未入快照');

INSERT INTO customer.fct_customer_business_monthly_status (snapshot_month, company_id, product_line_code, product_line_name)
VALUES
    ('2025-11-30', 'A', 'PL202', '企年受托'), ('2025-12-31', 'A', 'PL201', '企年投资'),
    ('2025-12-31', 'A', 'PL202', '企年受托'), ('2026-02-28', 'A', 'PL202', '企年受托'),
    ('2026-02-28', 'B', 'PL202', '企年受托'), ('2026-02-28', 'IN0123456789ABCDEF', 'PL202', '企年受托'),
    ('2026-03-31', 'A', 'PL202', '企年受托'), ('2026-03-31', 'IN0123456789ABCDE', 'PL202', '企年受托'),
    ('2026-03-31', 'XX0123456789ABCDEF', 'PL202', '企年受托'), ('2026-03-31', 'IN0123456789ABCDEFG', 'PL202', '企年受托');

-- Nothing is known of November, December is closed, February was restated and March refreshed.
DELETE FROM customer.monthly_snapshot_control;

INSERT INTO customer.monthly_snapshot_control (
    snapshot_month, last_rule, baseline_rows, baseline_aum, last_changed_at,
    closed_at, closed_by, close_note, closed_rows, closed_aum, closed_sha256
)
VALUES
    ('2025-12-31', NULL, NULL, NULL, '2026-01-04 09:00+00', '2026-01-05 10:00+00', 'finance', '年报', 2, 0, ''),
    ('2026-02-28', 'as_of', 0, 0, '2026-04-02 09:00+00', NULL, NULL, NULL, NULL, NULL, NULL),
    ('2026-03-31', 'current', 0, 0, '2026-04-03 09:00+00', NULL, NULL, NULL, NULL, NULL, NULL);

-- Dimensions ------------------------------------------------------------------------------------------

SELECT results_eq(
    'SELECT * FROM customer.dim_customer ORDER BY company_id COLLATE "C"',
    $$ VALUES
        ('A'::varchar, '甲公司'::varchar, FALSE, DATE '2025-11-30', DATE '2026-03-31'),
        ('B', NULL, FALSE, '2026-02-28', '2026-02-28'),
        ('IN0123456789ABCDE', '短', FALSE, '2026-03-31', '2026-03-31'),
        ('IN0123456789ABCDEF', '未识别', TRUE, '2026-02-28', '2026-02-28'),
        ('IN0123456789ABCDEFG', '长', FALSE, '2026-03-31', '2026-03-31'),
        ('XX0123456789ABCDEF', '别', FALSE, '2026-03-31', '2026-03-31') $$,
    'the customers of the snapshot and no others, with their names, and whether the id is a temporary one'
);

INSERT INTO mapping."产品线" ("产品线代码")
VALUES ('PL999');

SELECT results_eq(
    $$ SELECT * FROM customer.dim_product_line WHERE product_line_code IN ('PL202', 'PL999') ORDER BY 1 $$,
    $$ VALUES
        ('PL202'::varchar, '企年受托'::varchar, '企业年金'::varchar, '受托'::varchar),
        ('PL999', NULL, NULL, NULL) $$,
    'the product lines of the platform, stored or not, with their names and categories, or NULL'
);

SELECT results_eq(
    'SELECT * FROM customer.dim_snapshot_month ORDER BY snapshot_month',
    $$ VALUES
        (DATE '2025-11-30', 2025, 4, 11, '2025-11', DATE '2025-10-31', FALSE, FALSE,
            FALSE, NULL::timestamptz, NULL, NULL, NULL::timestamptz, 1::bigint, 0::bigint),
        ('2025-12-31', 2025, 4, 12, '2025-12', '2025-11-30', TRUE, FALSE,
            TRUE, '2026-01-05 10:00+00', '年报', NULL, '2026-01-04 09:00+00', 2, 1),
        ('2026-02-28', 2026, 1, 2, '2026-02', '2026-01-31', FALSE, FALSE,
            FALSE, NULL, NULL, 'as_of', '2026-04-02 09:00+00', 3, 2),
        ('2026-03-31', 2026, 1, 3, '2026-03', '2026-02-28', TRUE, TRUE,
            FALSE, NULL, NULL, 'current', '2026-04-03 09:00+00', 4, 3) $$,
    'the stored months, one that the control table knows nothing of too, and how final each is'
);

SELECT is(
    (
        SELECT count(*)
        FROM customer.fct_customer_business_monthly_status
        JOIN customer.dim_customer USING (company_id)
        JOIN customer.dim_product_line USING (product_line_code)
        JOIN customer.dim_snapshot_month USING (snapshot_month)
    ),
    10::bigint,
    'each row of the fact table finds its customer, product line and month, once'
);

-- Awards and losses that no row shows -------------------------------------------------------------------

INSERT INTO award (company_id, product_line_code, reported_on, reported_name)
VALUES
    ('A', 'PL202', '2026-01-01', '甲'),
    ('A', 'PL201', '2026-02-28', '甲投资'),
    -- December shows it; November, of which no rule is known, would count it.
    ('A', 'PL201', '2025-12-15', '去年'),
    ('Z', 'PL202', '2026-03-01', '乙'),
    ('A', 'PL202', '2027-01-01', '明年');

INSERT INTO loss (company_id, product_line_code, reported_on, reported_name)
VALUES
    -- The same loss twice is two.
    (NULL, 'PL202', '2026-02-01', '无主'),
    (NULL, 'PL202', '2026-02-01', '无主'),
    (E' \t', 'PL202', '2026-02-02', '空白'),
    ('B', NULL, '2026-02-03', '无线'),
    ('B', E'\n', '2026-02-04', '空线'),
    ('Z', 'PL202', '2026-12-31', '年底'),
    ('B', 'PL202', '2026-02-05', '有行');

SELECT results_eq(
    $$ SELECT * FROM customer.unmatched_awards_and_losses WHERE snapshot_month < '2026-01-31' $$,
    $$ VALUES (DATE '2025-11-30', 'award', DATE '2025-12-15', '去年'::varchar, 'A'::varchar, 'PL201'::varchar, 'other_product_line') $$,
    'an award of the calendar year that no row of the month shows, as it was reported'
);

SELECT results_eq(
    $$ SELECT
           snapshot_month,
           event,
           string_agg(reported_name || ' ' || reason, ', ' ORDER BY reported_on)
       FROM customer.unmatched_awards_and_losses
       WHERE snapshot_month > '2026-01-31'
       GROUP BY 1, 2
       ORDER BY 1, 2 $$,
    $$ VALUES
        -- By rule as_of up to the last day.
        (DATE '2026-02-28', 'award', '甲投资 other_product_line'),
        ('2026-02-28', 'loss', '无主 no_key, 无主 no_key, 空白 no_key, 无线 no_key, 空线 no_key'),
        -- By rule current of the whole year; and March has no row of B any more.
        ('2026-03-31', 'award', '甲投资 other_product_line, 乙 no_contract'),
        ('2026-03-31', 'loss', '无主 no_key, 无主 no_key, 空白 no_key, 无线 no_key, 空线 no_key, 有行 no_contract, 年底 no_contract') $$,
    'the reason is a missing key, no row of the customer, or rows in other product lines only'
);

-- What only people read, altered below the package ------------------------------------------------------

SELECT is(
    pg_temp.after(
        'DROP VIEW award; ALTER TABLE ' || change,
        format(
            $$ SELECT pg_temp.error_of('TABLE customer.%I')
                   || (customer.refresh_monthly_snapshot('2026-03-31') ->> 'status')
                   || (SELECT count(*)::text FROM customer.validate_monthly_snapshot('2026-03-31') WHERE check_name = 'source_reading') $$,
            view_name
        )
    )::text[],
    ARRAY[
        '55000',
        'the source tables are not as they were when the package was deployed: ' || problem,
        format('As the owner of the package, look at them again: "psql -d %s -f deploy/sources.sql".', current_database()),
        'refreshed',
        '1'
    ],
    format('of %s %s says what mends it, and months are written and validated all the same', change, view_name)
)
FROM (VALUES
    ('dim_customer', 'customer."年金客户" RENAME "客户名称" TO "名称"', 'column "客户名称" does not exist'),
    ('dim_product_line', 'mapping."产品线" RENAME "产品类别" TO "类别"', 'column "产品类别" does not exist'),
    ('unmatched_awards_and_losses', 'customer."当年中标" RENAME "上报客户名称" TO "名称"', 'column "上报客户名称" does not exist'),
    ('dim_customer', 'customer."年金客户" ALTER "客户名称" TYPE integer USING 1', 'collations are not supported by type integer'),
    ('dim_product_line', 'mapping."产品线" ALTER "产品线" TYPE integer USING 1', 'collations are not supported by type integer'),
    ('unmatched_awards_and_losses', 'customer."当年中标" ALTER "上报客户名称" TYPE integer USING 1', 'collations are not supported by type integer')
) AS altered (view_name, change, problem);

SELECT is(
    pg_temp.after(
        'ALTER TABLE mapping."产品线" DROP CONSTRAINT "产品线_pkey" CASCADE, ALTER "产品线代码" DROP NOT NULL;
         INSERT INTO mapping."产品线" ("产品线") VALUES (''无代码'')',
        'SELECT count(*) FROM customer.dim_product_line WHERE product_line_code IS NULL'
    ),
    '0',
    'a product line without a code, to which no row can belong, is none'
);

-- Row security --------------------------------------------------------------------------------------

CREATE TEMPORARY TABLE reading (view_name) AS VALUES ('dim_customer'), ('dim_product_line'), ('unmatched_awards_and_losses');

-- An owner that is no superuser, as one is that need not mind row security.
CREATE ROLE pgtap_owner;
GRANT CREATE, USAGE ON SCHEMA customer TO pgtap_owner;
GRANT USAGE ON SCHEMA business, mapping TO pgtap_owner;
GRANT ALL ON ALL TABLES IN SCHEMA business, customer, mapping TO pgtap_owner;
GRANT SELECT ON reading TO pgtap_owner;
GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA customer TO pgtap_owner;
ALTER FUNCTION customer.customer_names() OWNER TO pgtap_owner;
ALTER FUNCTION customer.product_line_names() OWNER TO pgtap_owner;
ALTER FUNCTION customer.unmatched_events() OWNER TO pgtap_owner;

SELECT is_empty(
    $$ SELECT view_name FROM reading WHERE (pg_temp.error_of('TABLE customer.' || view_name))[1] <> 'no error' $$,
    'premise: it reads what the views show'
);

ALTER TABLE customer."年金客户" ENABLE ROW LEVEL SECURITY;
ALTER TABLE mapping."产品线" ENABLE ROW LEVEL SECURITY;
ALTER TABLE customer."当年流失" ENABLE ROW LEVEL SECURITY;
ALTER TABLE customer.fct_customer_business_monthly_status ENABLE ROW LEVEL SECURITY;
SET LOCAL ROLE pgtap_owner;

SELECT matches(
    (pg_temp.error_of('SELECT FROM customer.' || what))[2],
    '^query would be affected by row-level security policy',
    'row security is an error, and takes no row out of ' || what
)
FROM (
    SELECT view_name
    FROM reading
    UNION ALL
    VALUES ('stale_rows_by_product_line(''2026-03-31'')'), ('summarise_snapshot_month(''2026-03-31'', ''[]'')')
) AS read (what);

RESET ROLE;
ALTER FUNCTION customer.customer_names() OWNER TO CURRENT_USER;

-- What the platform may do --------------------------------------------------------------------------------

DROP VIEW award;

SELECT lives_ok(
    $$ ALTER TABLE customer."年金客户" ALTER "客户名称" TYPE text, DROP "客户简称";
       ALTER TABLE mapping."产品线" ALTER "业务大类" TYPE text;
       ALTER TABLE customer."当年中标" ALTER "上报客户名称" TYPE text $$,
    'no view keeps the platform from altering its columns'
);

SELECT is(
    (SELECT customer_name FROM customer.dim_customer WHERE company_id = 'A'),
    '甲公司',
    'and a name of another string type is read as it is'
);

SELECT lives_ok(
    $$ ALTER TABLE customer."年金客户" RENAME TO "客户明细";
       DROP TABLE customer."当年中标" $$,
    'nor from renaming and dropping its tables'
);

SELECT alike((pg_temp.error_of('TABLE customer.' || view_name))[2], '%table customer."年金客户" is missing%', 'which ' || view_name || ' says')
FROM reading;

SELECT *
FROM finish();

ROLLBACK;
