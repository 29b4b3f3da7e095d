-- Proves which month a period of the ETL names, and that anything but YYYYMM is refused by its value.
SET client_encoding = 'UTF8';

BEGIN;

SELECT plan(34);

-- None of which makes a difference.
SET LOCAL TimeZone = 'Pacific/Kiritimati';
SET LOCAL DateStyle = 'German, DMY';

-- Periods that name a month ---------------------------------------------------------------------

SELECT is(
    customer.period_to_snapshot_month(period), last_day,
    format('%s ends on %s: %s', period, last_day, reason)
)
FROM (VALUES
    ('202601', DATE '2026-01-31', 'a year''s first month'),
    ('202602', DATE '2026-02-28', 'a short month'),
    ('202610', DATE '2026-10-31', 'a month of two digits'),
    ('202402', DATE '2024-02-29', 'a leap year'),
    ('202302', DATE '2023-02-28', 'no leap year'),
    ('200002', DATE '2000-02-29', 'a century that is a leap year'),
    ('190002', DATE '1900-02-28', 'a century that is none'),
    ('202512', DATE '2025-12-31', 'a year''s last month'),
    ('000101', DATE '0001-01-31', 'the first month that has a date'),
    ('009912', DATE '0099-12-31', 'a year of two digits is not of the last century'),
    ('999912', DATE '9999-12-31', 'the last month that six digits can name')
) AS example (period, last_day, reason);

-- Anything else ---------------------------------------------------------------------------------

SELECT throws_ok(
    format('SELECT customer.period_to_snapshot_month(%L)', period),
    '22023',
    format('the period must be six digits YYYYMM with a month 01 to 12, but is "%s"', period),
    format('refused by its value: %s', reason)
)
FROM (VALUES
    ('',           'the empty string'),
    (' 202601',    'a space before'),
    ('202601 ',    'a space after'),
    (E'202601\n',  'a line feed after'),
    (E'\n202601',  'a line feed before'),
    (E'202601\n202602', 'two periods in two lines'),
    ('20261',      'five digits'),
    ('2026010',    'seven digits'),
    ('20260131',   'a day'),
    ('202601.0',   'a number as spreadsheets write it'),
    ('202600',     'month 00'),
    ('202613',     'month 13'),
    ('000001',     'the year 0000, which has no date'),
    ('202O01',     'a letter for a digit'),
    ('2026-01',    'a hyphen'),
    ('-02601',     'a minus, in six characters'),
    ('２０２６０１', 'full-width digits'),
    ('٢٠٢٦٠١',     'Arabic digits'),
    ('''; --',     'a quotation mark'),
    ('%s',         'what format() would replace'),
    ('%',          'what RAISE would replace')
) AS example (period, reason);

SELECT throws_ok(
    $$ SELECT customer.period_to_snapshot_month(NULL) $$,
    '22023',
    'the period must be six digits YYYYMM with a month 01 to 12, but is NULL',
    'refused by its value: NULL'
);

-- What it depends on ----------------------------------------------------------------------------

SELECT lives_ok(
    $$
        CREATE TEMPORARY TABLE load (
            period text,
            snapshot_month date GENERATED ALWAYS AS (customer.period_to_snapshot_month(period)) STORED
        )
    $$,
    'it is immutable: a generated column may call it'
);

SELECT * FROM finish();

ROLLBACK;
