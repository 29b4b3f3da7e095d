-- Fails unless the tests went through every statement and every branch of the package's
-- PL/pgSQL functions; names what they did not reach. For the database where they ran, with
-- plpgsql_check in shared_preload_libraries and plpgsql_check.profiler on.
--
-- An IF without ELSE has two branches, as one with it. Lines are counted from AS $$.

\set QUIET on
\set ON_ERROR_STOP on
\set VERBOSITY terse
\pset format unaligned
\pset tuples_only on
SET client_encoding = 'UTF8';
SET client_min_messages = warning;

CREATE EXTENSION IF NOT EXISTS plpgsql_check;

CREATE TEMPORARY VIEW package_function AS
SELECT
    pg_proc.oid,
    pg_proc.oid::regprocedure::text AS name,
    string_to_array(prosrc, E'\n') AS source_lines,
    lanname AS language
FROM pg_proc
JOIN pg_language
    ON pg_language.oid = pg_proc.prolang
WHERE pronamespace = 'customer'::regnamespace
    -- The source system's own.
    AND proname <> 'set_contract_updated_at'
    -- Of these plpgsql_check cannot tell it; each is one statement.
    AND pg_get_function_arguments(pg_proc.oid) NOT LIKE '%anyelement';

CREATE TEMPORARY TABLE coverage AS
SELECT
    oid,
    name,
    source_lines,
    plpgsql_coverage_statements(oid) AS statements,
    plpgsql_coverage_branches(oid) AS branches
FROM package_function
WHERE language = 'plpgsql';

CREATE TEMPORARY TABLE statement AS
SELECT
    coverage.oid,
    profiled.*
FROM coverage
CROSS JOIN plpgsql_profiler_function_statements_tb(coverage.oid) AS profiled;

CREATE TEMPORARY TABLE missed AS
SELECT
    oid,
    lineno,
    'never reached' AS finding
FROM statement
WHERE exec_stmts = 0
UNION
-- Its branches, of which block_num 1 is the first statement, were run as often as it was.
SELECT
    oid,
    lineno,
    'never false'
FROM statement AS choice
WHERE stmtname = 'IF'
    AND exec_stmts > 0
    AND exec_stmts = (
        SELECT sum(branch.exec_stmts)
        FROM statement AS branch
        WHERE branch.oid = choice.oid
            AND branch.parent_stmtid = choice.stmtid
            AND branch.block_num = 1
    )
    AND NOT EXISTS (
        SELECT
        FROM statement AS branch
        WHERE branch.oid = choice.oid
            AND branch.parent_stmtid = choice.stmtid
            AND branch.parent_note = 'else body'
    );

SELECT
    format(
        '%s: %s %% of the statements, %s %% of the branches%s',
        name,
        trunc(100 * statements::numeric, 1),
        trunc(100 * branches::numeric, 1),
        (
            SELECT string_agg(
                format(E'\n    line %s %s: %s', lineno, finding, ltrim(source_lines[lineno])),
                '' ORDER BY lineno, finding
            )
            FROM missed
            WHERE missed.oid = coverage.oid
        )
    )
FROM coverage
WHERE statements < 1
    OR branches < 1
ORDER BY name COLLATE "C";

DO $$
BEGIN
    IF NOT EXISTS (SELECT FROM coverage) THEN
        RAISE EXCEPTION 'no PL/pgSQL function found in schema customer';
    END IF;
    IF EXISTS (SELECT FROM coverage WHERE (statements >= 1 AND branches >= 1) IS NOT TRUE) THEN
        RAISE EXCEPTION 'the tests do not go through every statement and branch';
    END IF;
END
$$;

SELECT format(
    'Coverage of %s PL/pgSQL functions: 100 %% of the statements, 100 %% of the branches; SQL functions, which have none: %s',
    (SELECT count(*) FROM coverage),
    (SELECT count(*) FROM package_function WHERE language = 'sql')
);
