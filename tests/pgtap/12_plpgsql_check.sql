-- Proves that plpgsql_check has nothing to say, not even a warning, of any PL/pgSQL function
-- of the package: names and types that do not exist, hidden casts, unused variables, volatility.

SET client_encoding = 'UTF8';
SET client_min_messages = warning;

BEGIN;

CREATE EXTENSION IF NOT EXISTS plpgsql_check;

CREATE FUNCTION pg_temp.package_functions()
RETURNS SETOF regprocedure
LANGUAGE sql
AS $$
    SELECT pg_proc.oid::regprocedure
    FROM pg_proc
    JOIN pg_language
        ON pg_language.oid = pg_proc.prolang
    WHERE pronamespace = 'customer'::regnamespace
        AND lanname = 'plpgsql'
        -- The source system's own.
        AND proname <> 'set_contract_updated_at'
    ORDER BY proname COLLATE "C"
$$;

SELECT plan((SELECT count(*)::integer + 1 FROM pg_temp.package_functions()));

SELECT cmp_ok(
    (SELECT count(*) FROM pg_temp.package_functions()),
    '>=',
    23::bigint,
    'the functions of the package are found'
);

SELECT is_empty(
    format(
        $query$
            SELECT finding
            FROM plpgsql_check_function(
                %1$L::regprocedure,
                -- A trigger function is checked with the table and the transition tables
                -- that it is called with.
                relid => CASE
                    WHEN %2$L THEN 'customer.fct_customer_business_monthly_status'::regclass
                    ELSE 0
                END,
                oldtable => CASE WHEN %3$L THEN 'old_row' END,
                newtable => CASE WHEN %3$L THEN 'new_row' END,
                all_warnings => TRUE
            ) AS finding
        $query$,
        checked.function,
        prorettype = 'trigger'::regtype,
        prosrc ~ 'old_row'
    ),
    format('%s is free of warnings', checked.function)
)
FROM pg_temp.package_functions() AS checked (function)
JOIN pg_proc
    ON pg_proc.oid = checked.function;

SELECT * FROM finish();

ROLLBACK;
