-- Proves the row rules where source columns have other types: timestamps, fixed-width text,
-- whole numbers, other collations.
SET client_encoding = 'UTF8';

BEGIN;

SELECT plan(11);

-- One that takes capitals and small letters for the same.
CREATE COLLATION mapping.no_case (PROVIDER = icu, LOCALE = 'und-u-ks-level2', DETERMINISTIC = FALSE);

ALTER TABLE customer.customer_plan_contract
    -- It would take plans P2 and p2 for the same.
    DROP CONSTRAINT uq_active_contract,
    ALTER COLUMN company_id TYPE text COLLATE "und-x-icu",
    ALTER COLUMN plan_code TYPE character(8) COLLATE mapping.no_case,
    ALTER COLUMN product_line_code TYPE character(8) COLLATE "und-x-icu",
    -- A dictionary's order, by which small letters come before capitals.
    ALTER COLUMN product_line_name TYPE text COLLATE "und-x-icu",
    ALTER COLUMN valid_to TYPE timestamp;

ALTER TABLE customer."当年中标"
    ALTER COLUMN company_id TYPE character(12) COLLATE mapping.no_case,
    ALTER COLUMN "产品线代码" TYPE text COLLATE mapping.no_case,
    ALTER COLUMN "上报月份" TYPE timestamp;

ALTER TABLE customer."当年流失"
    ALTER COLUMN company_id TYPE character(12) COLLATE mapping.no_case,
    ALTER COLUMN "产品线代码" TYPE text COLLATE mapping.no_case,
    ALTER COLUMN "上报月份" TYPE timestamp(0);

ALTER TABLE business."规模明细"
    ALTER COLUMN company_id TYPE character(16) COLLATE mapping.no_case,
    ALTER COLUMN "产品线代码" TYPE character(6) COLLATE mapping.no_case,
    ALTER COLUMN "月度" TYPE timestamp,
    ALTER COLUMN "期末资产规模" TYPE bigint;

\ir fixture.psql

CALL pg_temp.accept_source_types();

SELECT is_empty(
    'SELECT * FROM customer.missing_snapshot_sources()',
    'premise: with these types nothing is missing'
);

-- Contracts

INSERT INTO contract (company_id, plan_code, product_line_name, valid_to)
VALUES
    ('current',     'P1', 'a', '9999-12-31 00:00'),
    ('current',     'P2', 'B', '9999-12-31 00:00'),
    ('current',     'p2', 'B', '9999-12-31 00:00'),
    ('second less', 'P1', 'a', '9999-12-30 23:59:59'),
    ('endless',     'P1', 'a', 'infinity'),
    ('AUM',         'P1', 'a', '9999-12-31 00:00');

INSERT INTO contract (company_id, product_line_name, valid_to)
SELECT company_id, 'a', '9999-12-31 00:00'
FROM unnest('{first,last,before,after}'::text[]) AS company_id;

-- Events at the first and last moment of the year, and just outside; AUM at those of the month. Keys that
-- differ in a letter's case are different keys, whatever the collation says.

INSERT INTO award (company_id, reported_on)
VALUES
    ('first',  '2026-01-01 00:00:00'),
    ('last',   '2026-12-31 23:59:59.999999'),
    ('before', '2025-12-31 23:59:59.999999'),
    ('after',  '2027-01-01 00:00:00'),
    ('CURRENT', '2026-06-01 00:00:00');

INSERT INTO loss (company_id, product_line_code, reported_on)
VALUES
    ('first',   'PL202', '2026-01-01 00:00:00'),
    ('last',    'PL202', '2026-12-31 23:59:59'),
    ('before',  'PL202', '2025-12-31 23:59:59'),
    ('after',   'PL202', '2027-01-01 00:00:00'),
    ('current', 'pl202', '2026-06-01 00:00:00');

INSERT INTO aum (company_id, product_line_code, as_of, amount)
VALUES
    ('first',  'PL202', '2026-01-01 00:00:00', 100),
    ('last',   'PL202', '2026-01-31 23:59:59.999999', 200),
    ('before', 'PL202', '2025-12-31 23:59:59.999999', 400),
    ('after',  'PL202', '2026-02-01 00:00:00', 800),
    ('AUM',    'PL202', '2026-01-15 12:00:00', 9007199254740993),
    ('AUM',    'PL202', '2026-01-15 12:00:00', 1),
    ('AUM',    'pl202', '2026-01-15 12:00:00', 20000),
    ('aum',    'PL202', '2026-01-15 12:00:00', 1000);

-- The last moment of a month is not 2026-01-31 in every time zone.
SET LOCAL TimeZone = 'Pacific/Kiritimati';

SELECT customer.refresh_monthly_snapshot('2026-01-31') AS result \gset

SELECT is(
    pg_temp.counts(:'result'),
    '{"snapshot_month": "2026-01-31", "total": 6, "upserted": 6, "inserted": 6, "updated": 0, "unchanged": 0,
      "stale": 0, "deleted": 0, "aum_total": 9007199254741294.00, "aum_unattributed": 21000}',
    'the current contracts make the rows: valid_to is 9999-12-31, neither a second less nor infinity; aum makes none besides AUM'
);

SELECT is(
    pg_temp.stored(company_id),
    ROW('2026-01-31', company_id, 'PL202', 'a', FALSE, FALSE, counts, counts, counts, aum, plans, CURRENT_TIMESTAMP)
        ::customer.fct_customer_business_monthly_status,
    format('%s: %s', company_id, what)
)
FROM (VALUES
    ('current', FALSE, 0.00, 3, 'the name is the greatest in bytes, whatever order the column has; plan P2 is not p2; '
        'an award of CURRENT is none of current, a loss in pl202 none in PL202'),
    ('first',   TRUE,  100.00, 1, 'what counts at the first moment of the year, and of the month'),
    ('last',    TRUE,  200.00, 1, 'what counts at their last moment'),
    ('before',  FALSE, 0.00,   1, 'what does not, at the last moment before'),
    ('after',   FALSE, 0.00,   1, 'and at the first moment after'),
    ('AUM',     FALSE, 9007199254740994.00, 1, 'whole numbers are summed exactly, and none of aum or of pl202')
) AS expected (company_id, counts, aum, plans, what);

INSERT INTO contract (company_id, plan_code, product_line_name, valid_to)
VALUES ('aum', 'P1', 'a', '9999-12-31 00:00');

SELECT customer.refresh_monthly_snapshot('2026-01-31') AS result \gset

SELECT results_eq(
    $$ SELECT (pg_temp.stored('AUM')).aum_balance, (pg_temp.stored('aum')).aum_balance $$,
    $$ VALUES (9007199254740994.00, 1000.00) $$,
    'AUM and aum are two customers, each with its own AUM'
);

CALL pg_temp.remember();

SELECT customer.refresh_monthly_snapshot('2026-01-31') AS result \gset

SELECT is(
    (:'result'::jsonb ->> 'unchanged')::integer, 7,
    'with these types, too, a second refresh finds every row right'
);

SELECT is_empty('SELECT * FROM written', 'and leaves it where it was');

SELECT * FROM finish();

ROLLBACK;
