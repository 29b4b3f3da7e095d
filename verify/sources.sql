-- Verify customer_monthly_snapshot:sources on pg

SET client_encoding = 'UTF8';

BEGIN;

-- Definitions are printed with the names of what the search_path does not find.
SET LOCAL search_path = pg_catalog;
SET LOCAL quote_all_identifiers = off;
-- What a policy would hide is an error.
SET LOCAL row_security = off;

-- The names of the platform's tables stand in the bodies of the functions that read them:
-- of these the properties are compared, and each is called once.
DO $$
DECLARE
    v_wrong text;
BEGIN
    WITH expected (name, is_internal, hash, definition) AS (
        VALUES
            ('customer.revoke_default_grants(regprocedure)', TRUE, 'c45dd6af082d453250a6b0279113ead1ea90184d4785d1997d0b0d30115f86f8', NULL),
            ('customer.revoke_default_grants(regclass)', TRUE, '076f808722fd83955305277e3db6f40ca334fdf20b667c48a25e99ef1e2a2414', NULL),
            ('customer.verify_function(text,text,text,boolean)', TRUE, '67daf468f3b3ea43a08816323d35272419c28da45e75d3c043bf31016c497444', NULL),
            ('customer.verify_table(text,text[])', TRUE, 'e8f8e388b56e6e68becb9fb8712c21c9de7d6371aad54c9fa5d5249a540e5e40', NULL),
            ('customer.verify_view(text,text)', TRUE, 'f2abb1d54c03916fb3aa07406ff34351027fdf726e2dc4ab2ed270971809edf2', NULL),
            ('customer.missing_snapshot_sources()', FALSE, 'd625ae45286b8ee5288e3f9587e2e98c0e2538ee5ac9ddd302f6fcbb8c2ef1f2', NULL),
            ('customer.check_snapshot_sources()', TRUE, 'c6a597fe2e30e7932bedca4cfd721e35b9cb34f014a334aa63b23af6be94cb4e', NULL),
            ('customer.check_snapshot_sources_are_seen()', TRUE, '490867e9bf15600795223de6716b08b74bdc86381de53cff8156230abadf0a10', NULL),
            ('customer.for_client(text)', TRUE, '9b6820cb876884ce098affb2ed3ed10afa5f6ff5b0ad5f18274ccecf542546b7', NULL),
            ('customer.source_columns()', TRUE, NULL, 'TABLE("position" integer, source text, table_name text, '
                'column_name text, kind text, type_name text) i'),
            ('customer.source_contracts()', TRUE, NULL, 'TABLE(company_id character varying, plan_code character varying, '
                'product_line_code character varying, product_line_name character varying, is_strategic boolean, is_existing boolean, '
                'valid_from date, valid_to date, is_current boolean, contract_id bigint) s'),
            ('customer.source_types()', TRUE, NULL, 'TABLE(type_names text[]) s'),
            ('customer.source_awards()', TRUE, NULL, 'TABLE(company_id character varying, product_line_code character varying, reported_on date) s'),
            ('customer.source_losses()', TRUE, NULL, 'TABLE(company_id character varying, product_line_code character varying, reported_on date) s'),
            ('customer.source_aum(date,date)', TRUE, NULL, 'TABLE(company_id character varying, '
                'product_line_code character varying, as_of date, amount numeric) s'),
            ('customer.source_customers()', TRUE, NULL, 'TABLE(company_id character varying) s'),
            ('customer.source_product_lines()', TRUE, NULL, 'TABLE(product_line_code character varying) s'),
            ('customer.source_customer_names()', TRUE, NULL, 'TABLE(company_id character varying, customer_name character varying) s'),
            ('customer.source_product_line_names()', TRUE, NULL, 'TABLE(product_line_code character varying, '
                'product_line_name character varying, product_category character varying, business_category character varying) s'),
            ('customer.source_reported_events()', TRUE, NULL, 'TABLE(event text, reported_on date, reported_name character varying, '
                'company_id character varying, product_line_code character varying) s'),
            ('customer.source_late_changes(date)', TRUE, NULL, 'TABLE(company_id character varying, product_line_code character varying) s'),
            ('customer.source_control_totals(date,date,date)', TRUE, NULL, 'TABLE(contracts bigint, awards bigint, '
                'losses bigint, details bigint, amount numeric) s')
    ),
    found AS (
        SELECT
            expected.*,
            pg_proc.*,
            encode(sha256(convert_to(pg_get_functiondef(pg_proc.oid), 'UTF8')), 'hex') AS found_hash,
            pg_get_function_result(pg_proc.oid) || ' ' || provolatile::text AS found_definition
        FROM expected
        LEFT JOIN pg_proc
            ON pg_proc.oid = to_regprocedure(expected.name)
    )
    SELECT string_agg(format('function %s: %s', name, problem), E'\n    ')
    INTO v_wrong
    FROM found
    CROSS JOIN LATERAL (
        VALUES
            (CASE WHEN oid IS NULL THEN 'it does not exist' END),
            (CASE WHEN found_hash <> hash THEN format('hash %s, expected %s', found_hash, hash) END),
            (CASE WHEN found_definition <> definition THEN format('%s, expected %s', found_definition, definition) END),
            (CASE
                WHEN definition IS NOT NULL AND NOT (
                    prolang = (
                        SELECT oid
                        FROM pg_language
                        WHERE lanname = CASE
                            -- There, what reads a table must not be inlined.
                            WHEN provolatile = 's' AND EXISTS (SELECT 1 FROM pg_extension WHERE extname = 'citus') THEN 'plpgsql'
                            ELSE 'sql'
                        END
                    )
                    AND NOT prosecdef
                    AND NOT proisstrict
                    AND proconfig IS NULL
                ) THEN 'it is not inlined (or, where Citus is installed, it is), because of its language, security, strictness or settings'
            END),
            -- The tables' owner is not known yet when the package is deployed.
            (CASE
                WHEN proowner <> (
                    SELECT first.proowner
                    FROM pg_proc AS first
                    WHERE first.oid = to_regprocedure('customer.missing_snapshot_sources()')
                ) THEN 'owner ' || proowner::regrole
            END),
            (CASE WHEN coalesce(obj_description(oid, 'pg_proc'), '') = '' THEN 'no comment' END),
            (CASE WHEN NOT has_function_privilege(proowner, oid, 'EXECUTE') THEN 'no EXECUTE by its owner' END),
            ((
                SELECT string_agg(DISTINCT 'EXECUTE by ' || coalesce(nullif(grantee, 0)::regrole::text, 'PUBLIC'), ', ')
                FROM aclexplode(coalesce(proacl, acldefault('f', proowner)))
                WHERE CASE WHEN is_internal THEN grantee <> proowner ELSE grantee = 0 END
            ))
    ) AS comparison (problem)
    WHERE problem IS NOT NULL;

    IF v_wrong IS NOT NULL THEN
        RAISE EXCEPTION E'the sources are not read as deployed:\n    %', v_wrong
            USING HINT = 'To bring it up to date, run as the owner of the package: "psql -d DATABASE -f deploy/sources.sql".';
    END IF;
END
$$;

DO $$
DECLARE
    v_missing text;
BEGIN
    SELECT string_agg(source_object || ' ' || problem, E'\n    ')
    INTO v_missing
    FROM customer.missing_snapshot_sources();

    IF v_missing IS NOT NULL THEN
        RAISE EXCEPTION E'the source system lacks what the monthly snapshot reads:\n    %', v_missing
            USING HINT = 'Create what is missing (WorkDataHub''s Alembic migrations do) and grant what may not be read. '
                'If a table has another name now, say so, as the owner of the package: "psql -d DATABASE -v contracts=SCHEMA.TABLE -f deploy/sources.sql".';
    END IF;
END
$$;

DO $$
BEGIN
    PERFORM customer.check_snapshot_sources();
    PERFORM FROM customer.source_contracts() LIMIT 0;
    PERFORM FROM customer.source_awards() LIMIT 0;
    PERFORM FROM customer.source_losses() LIMIT 0;
    PERFORM FROM customer.source_aum('2026-01-01', '2026-01-31') LIMIT 0;
    PERFORM FROM customer.source_customers() LIMIT 0;
    PERFORM FROM customer.source_product_lines() LIMIT 0;
    PERFORM FROM customer.source_customer_names() LIMIT 0;
    PERFORM FROM customer.source_product_line_names() LIMIT 0;
    PERFORM FROM customer.source_reported_events() LIMIT 0;
    PERFORM FROM customer.source_late_changes('2026-01-31') LIMIT 0;
    PERFORM FROM customer.source_control_totals('2026-01-01', '2026-01-31', '2026-12-31') LIMIT 0;
END
$$;

ROLLBACK;
