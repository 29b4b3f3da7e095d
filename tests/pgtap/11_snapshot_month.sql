-- Proves that any day of a month names that month, under every TimeZone and DateStyle.
SET client_encoding = 'UTF8';

BEGIN;

SELECT plan(43);

\ir fixture.psql

-- AUM is loaded for few of the many months below.
SET LOCAL customer.accept_implausible = on;

INSERT INTO contract (company_id)
VALUES ('first'), ('last'), ('neighbours');

INSERT INTO aum (company_id, as_of, amount)
VALUES
    ('neighbours', '2025-12-31', 1),
    ('first',      '2026-01-01', 20),
    ('last',       '2026-01-31', 300),
    ('neighbours', '2026-02-01', 4000);

INSERT INTO award (company_id, reported_on)
VALUES ('first', '2026-01-01'), ('last', '2026-12-31'), ('neighbours', '2025-12-31'), ('neighbours', '2027-01-01');

-- Days

SELECT is(
    customer.refresh_monthly_snapshot(day) ->> 'snapshot_month', month,
    format('%s names %s', day, month)
)
FROM (VALUES
    (DATE '2023-12-31', '2023-12-31'),
    ('2024-01-01', '2024-01-31'), ('2024-01-31', '2024-01-31'),
    ('2024-02-01', '2024-02-29'), ('2024-02-28', '2024-02-29'), ('2024-02-29', '2024-02-29'),
    ('2024-12-01', '2024-12-31'), ('2024-12-31', '2024-12-31'),
    ('2025-01-01', '2025-01-31'),
    ('2026-01-02', '2026-01-31'), ('2026-01-15', '2026-01-31'), ('2026-01-30', '2026-01-31'),
    ('2023-02-01', '2023-02-28'), ('2023-02-28', '2023-02-28'),
    ('2000-02-01', '2000-02-29'), ('1900-02-01', '1900-02-28'), ('2100-02-28', '2100-02-28'),
    ('0001-01-01', '0001-01-31'), ('0099-06-15', '0099-06-30'), ('9999-12-01', '9999-12-31')
) AS example (day, month);

SELECT is_empty(
    $$ SELECT
           to_char(day, 'YYYY-MM-DD')
       FROM generate_series(TIMESTAMP '2024-01-01', '2025-12-31', '1 day') AS day
       WHERE to_char(customer.snapshot_month_of(day::date), 'YYYY-MM-DD') <>
           CASE to_char(day, 'YYYY-MM')
               WHEN '2024-01' THEN '2024-01-31' WHEN '2024-02' THEN '2024-02-29' WHEN '2024-03' THEN '2024-03-31'
               WHEN '2024-04' THEN '2024-04-30' WHEN '2024-05' THEN '2024-05-31' WHEN '2024-06' THEN '2024-06-30'
               WHEN '2024-07' THEN '2024-07-31' WHEN '2024-08' THEN '2024-08-31' WHEN '2024-09' THEN '2024-09-30'
               WHEN '2024-10' THEN '2024-10-31' WHEN '2024-11' THEN '2024-11-30' WHEN '2024-12' THEN '2024-12-31'
               WHEN '2025-01' THEN '2025-01-31' WHEN '2025-02' THEN '2025-02-28' WHEN '2025-03' THEN '2025-03-31'
               WHEN '2025-04' THEN '2025-04-30' WHEN '2025-05' THEN '2025-05-31' WHEN '2025-06' THEN '2025-06-30'
               WHEN '2025-07' THEN '2025-07-31' WHEN '2025-08' THEN '2025-08-31' WHEN '2025-09' THEN '2025-09-30'
               WHEN '2025-10' THEN '2025-10-31' WHEN '2025-11' THEN '2025-11-30' WHEN '2025-12' THEN '2025-12-31'
           END $$,
    'each of the 731 days of 2024 and 2025 names its month'
);

SELECT is(
    (
        SELECT array_agg(DISTINCT snapshot_month)
        FROM customer.fct_customer_business_monthly_status
        WHERE snapshot_month BETWEEN '2026-01-01' AND '2026-12-31'
    ),
    ARRAY[DATE '2026-01-31'],
    'several days of a month have filled one month'
);

SELECT is(
    (SELECT count(*) FROM customer.monthly_snapshot_control WHERE snapshot_month BETWEEN '2026-01-01' AND '2026-12-31'),
    1::bigint,
    'and left one control row'
);

SELECT volatility_is(
    'customer', 'snapshot_month_of', ARRAY['date'], 'immutable',
    'the month of a day depends on nothing else'
);

-- Settings

-- Both sides of the date line; Shanghai; a summer time; a midnight that was left out.
SELECT is(
    pg_temp.after(
        format(
            'SET LOCAL DateStyle = %s; SET LOCAL TimeZone = %L; DELETE FROM customer.fct_customer_business_monthly_status;
             SELECT customer.refresh_monthly_snapshot(DATE %L)',
            datestyle, time_zone, day
        ),
        $$ SELECT string_agg(
               concat_ws(' ', to_char(snapshot_month, 'YYYY-MM-DD'), company_id, aum_balance, is_winning_this_year), ', ' ORDER BY company_id
           )
           FROM customer.fct_customer_business_monthly_status $$
    ),
    '2026-01-31 first 20.00 t, 2026-01-31 last 300.00 t, 2026-01-31 neighbours 0.00 f',
    format('%s, %s: %s names January, with all its days, and the whole year', datestyle, time_zone, to_char(day, 'YYYY-MM-DD'))
)
FROM (VALUES
    ('ISO, MDY',      'UTC'),
    ('ISO, YMD',      'Etc/GMT+12'),
    ('SQL, DMY',      'Pacific/Kiritimati'),
    ('SQL, MDY',      'Asia/Shanghai'),
    ('German, DMY',   'America/New_York'),
    ('Postgres, DMY', 'Europe/London'),
    ('Postgres, MDY', 'America/Sao_Paulo')
) AS settings (datestyle, time_zone)
CROSS JOIN (VALUES (DATE '2026-01-01'), ('2026-01-31')) AS border (day);

SELECT set_config('DateStyle', 'ISO, YMD', TRUE), set_config('TimeZone', 'Pacific/Apia', TRUE) \g /dev/null

-- Samoa went over the date line: it had no 2011-12-30.
SELECT is(
    customer.refresh_monthly_snapshot(day) ->> 'snapshot_month', month,
    format('Pacific/Apia: %s names %s', day, month)
)
FROM (VALUES
    (DATE '2011-12-01', '2011-12-31'), ('2011-12-29', '2011-12-31'), ('2011-12-30', '2011-12-31'),
    ('2011-12-31', '2011-12-31'), ('2012-01-01', '2012-01-31')
) AS example (day, month);

SELECT * FROM finish();

ROLLBACK;
