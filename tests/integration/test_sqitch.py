"""The Sqitch project: what deploying, verifying and reverting do, and what they refuse."""

import re
from collections.abc import Callable, Iterator
from datetime import date

import psycopg
import pytest
from support import (
    CONTROL,
    FACT,
    HISTORY,
    KINDS,
    LOG,
    PROJECT,
    SOURCES,
    STORED,
    VIEWS,
    Source,
    changes,
    deploy_scripts,
    do,
    fail,
    grant,
    listen,
    psql,
    reverts,
    rows,
    run,
    schema_dump,
    schema_objects,
    sqitch,
    stored,
    succeed,
    wait_for_lock,
)


def script(path: str) -> str:
    return (PROJECT / path).read_text(encoding="utf-8")


def revert_with_psql(database: str) -> None:
    succeed(psql(database, *(word for path in reverts() for word in ("-f", path))))


def fill_all(connection: psycopg.Connection) -> None:
    """Store a month, and close it."""
    source = Source(connection)
    source.contract("C1")
    source.detail("C1", "1")
    for name in ("refresh", "close"):
        do(connection, name, date(2026, 1, 31))


@pytest.fixture(scope="module")
def source_dump(source_template) -> str:
    return schema_dump(source_template)


@pytest.fixture(scope="module")
def package_dump(package_template) -> str:
    return schema_dump(package_template)


# --- There and back ----------------------------------------------------------


def test_every_change_can_be_deployed_verified_and_reverted():
    assert changes()
    for folder in ("deploy", "verify", "revert"):
        # Of a change that was reworked, Sqitch keeps CHANGE@TAG.sql, too.
        stems = {path.stem.partition("@")[0] for path in (PROJECT / folder).glob("*.sql")}
        assert stems == set(changes())


@pytest.mark.distribution
def test_bundle_reverts_all_that_was_deployed_and_deploys_it_again(
    database, connection, tmp_path, source_dump, package_dump
):
    """By the folder that Sqitch puts together for a site, and after a check before a load.

    Without a terminal it reverts nothing unless told.
    """
    untold = sqitch(database, "revert")
    assert "Nothing reverted" in fail(untold) + untold.stdout
    assert schema_dump(database) == package_dump
    do(connection, "check", date(2026, 1, 31))
    succeed(run("sqitch", "bundle", "--dest-dir", tmp_path))

    def from_bundle(command: str, *options: str) -> str:
        target = f"db:pg:{database}"
        return succeed(run("sqitch", "--chdir", tmp_path, command, target, *options))

    output = from_bundle("revert", "-y")

    assert schema_dump(database) == source_dump
    # One line a change, with no other output between.
    assert [line.split()[1:2] + line.split()[-1:] for line in output.splitlines()[1:]] == [
        [change, "ok"] for change in reversed(changes())
    ]

    from_bundle("deploy")
    assert schema_dump(database) == package_dump
    assert "Verify successful" in from_bundle("verify")


def test_deploying_what_is_deployed_changes_nothing(database, connection, create_role):
    """As Sqitch does where its registry lost entries; test_upgrade.py has the upgrades."""
    fill_all(connection)
    succeed(grant(database, **dict.fromkeys(KINDS, create_role())))
    before = schema_dump(database), stored(connection)

    succeed(deploy_scripts(database))

    assert (schema_dump(database), stored(connection)) == before


# --- Consoles and settings of the site ---------------------------------------


@pytest.mark.distribution
def test_gbk_console_deploys_verifies_and_reverts(source_database, source_dump, package_dump):
    gbk = {"PGCLIENTENCODING": "GBK"}

    succeed(sqitch(source_database, "deploy", **gbk))
    assert schema_dump(source_database) == package_dump

    succeed(sqitch(source_database, "verify", **gbk))
    succeed(sqitch(source_database, "revert", "-y", **gbk))
    assert schema_dump(source_database) == source_dump


def test_what_is_deployed_gives_nobody_what_the_site_grants_by_default(
    source_database, package_template
):
    """Neither the public nor a role; settings of a site are in test_environment.py."""
    with psycopg.connect(dbname=source_database) as connection:
        for scope, grantee in (("", "PUBLIC"), ("IN SCHEMA customer", "pg_monitor")):
            for kind in ("TABLES", "SEQUENCES", "FUNCTIONS"):
                connection.execute(
                    f"ALTER DEFAULT PRIVILEGES {scope} GRANT ALL ON {kind} TO {grantee}"
                )

    succeed(deploy_scripts(source_database))

    deployed = schema_objects(source_database)
    assert {
        name: text for name, text in deployed.items() if not name.startswith("DEFAULT ACL ")
    } == schema_objects(package_template)


def test_all_rights_that_are_missing_are_one_error_whose_hint_grants_them(
    create_test_database, source_database, create_role
):
    """Those on the table that --set names among them, and only what the role has not yet."""
    owner, options = create_role("Owner"), ("-v", "contracts=customer.own")
    as_owner = {"PGOPTIONS": f"-c role={owner}"}

    def lacking(database: str) -> list[str]:
        """What the error lists, and then its hint."""
        sources = (*options, "-v", "VERBOSITY=verbose", "-f", "deploy/sources.sql")
        errors = fail(psql(database, *sources, **as_owner))
        assert f"ERROR:  42501: role {owner} lacks rights that the package needs:\n" in errors
        return re.findall("^    (.*)$", errors, re.MULTILINE)

    rename = "ALTER TABLE customer.customer_plan_contract RENAME TO own"
    decoy = "CREATE TABLE customer.customer_plan_contract ()"
    half = f'GRANT SELECT ON mapping."产品线" TO "{owner}"'
    succeed(psql(source_database, "-c", f"{rename}; {decoy}; {half}"))
    rights = [
        "CREATE ON SCHEMA customer",
        "USAGE ON SCHEMA business, customer, mapping",
        'SELECT ON business."规模明细", customer."年金客户", customer."当年中标",'
        ' customer."当年流失", customer.own',
        'REFERENCES ON customer."年金客户", mapping."产品线"',
    ]
    statements = [f'GRANT {right} TO "{owner}";' for right in rights]
    for number, statement in enumerate(statements):
        assert lacking(source_database) == rights[number:] + statements[number:]
        succeed(psql(source_database, "-c", statement))
    succeed(deploy_scripts(source_database, *options, **as_owner))

    # Nor does an owner who lost USAGE meet anything else, nor who may not make the schema.
    succeed(psql(source_database, "-c", f'REVOKE USAGE ON SCHEMA customer FROM "{owner}"'))
    assert lacking(source_database)[0] == "USAGE ON SCHEMA customer"
    empty = create_test_database()
    assert lacking(empty)[0] == f"CREATE ON DATABASE {empty}"
    succeed(psql(empty, "-c", "CREATE SCHEMA customer"))
    assert lacking(empty)[:2] == ["CREATE ON SCHEMA customer", "USAGE ON SCHEMA customer"]


# --- Reverting without losing data -------------------------------------------

ROWS = {
    FACT: f"""
        INSERT INTO {FACT} (snapshot_month, company_id, product_line_code, product_line_name)
        VALUES ('2026-01-31', 'C1', 'PL202', '企年受托')
    """,
    CONTROL: f"INSERT INTO {CONTROL} (snapshot_month, last_log_id) VALUES ('2026-01-31', 1)",
    LOG: f"""
        INSERT INTO {LOG} (snapshot_month, operation, reason, started_at, finished_at,
            month_rows, month_aum, invoked_by, application_name)
        VALUES ('2026-01-31', 'reopen', 'why', now(), now(), 0, 0, 'auditor', '')
    """,
    HISTORY: f"INSERT INTO {HISTORY} VALUES ('2026-01-31', 1, 'C1', 'PL202', 'insert')",
}
# What a view of the site may stand over.
READ = (
    *(f"table {table}" for table in STORED),
    *(f"view {view}" for view in VIEWS),
    "function customer.monthly_status_as_at(date,bigint)",
    "function customer.published_changes(date)",
    "function customer.snapshot_version()",
    "function customer.validate_monthly_snapshot(date)",
    "function customer.period_to_snapshot_month(text)",
    "function customer.customer_names()",
    "function customer.product_line_names()",
    "function customer.unmatched_events()",
)


def fill_only(connection: psycopg.Connection, table: str) -> None:
    """Put a row into one of the package's tables alone."""
    connection.execute("SET session_replication_role = replica")
    connection.execute(ROWS[table])


def revert_of(table: str) -> str:
    return f"revert/{table.removeprefix('customer.')}.sql"


def test_revert_refuses_before_it_has_taken_anything_away(database, connection):
    fill_all(connection)
    before = schema_dump(database), stored(connection)

    errors = fail(sqitch(database, "revert", "-y"))

    assert "holds rows, and reverting would drop them" in errors
    # But what later releases brought, and that comes again.
    again = re.findall(r"^  \+ (\w+)", succeed(sqitch(database, "deploy")), re.MULTILINE)
    assert again == changes()[changes().index("keep_stored_months") + 1 :]
    assert (schema_dump(database), stored(connection)) == before


@pytest.mark.parametrize("path", ["revert/keep_stored_months.sql", None], ids=["guard", "table"])
@pytest.mark.parametrize("table", ROWS)
def test_revert_keeps_rows_and_says_how_to_insist(database, connection, table, path):
    path = path or revert_of(table)
    fill_only(connection, table)
    refusal = (
        f"ERROR:  55000: table {table} holds rows, and reverting would drop them\n"
        "HINT:  Only changes after this one have been reverted, if there were any:"
        ' "sqitch deploy" and sql/grants.sql bring them back.'
        ' To drop the rows, too: "sqitch revert -y --set discard_snapshots=true".\n'
    )

    assert refusal in fail(psql(database, "-v", "VERBOSITY=verbose", "-f", path))
    for value, message in (
        ("off", "holds rows, and reverting would drop them"),
        ("maybe", "invalid input syntax for type boolean"),
        ("", "invalid input syntax for type boolean"),
    ):
        assert message in fail(psql(database, "-v", f"discard_snapshots={value}", "-f", path))
    assert len(rows(connection, table)[table]) == 1


@pytest.mark.parametrize("table", ROWS)
def test_revert_waits_for_a_writer_and_keeps_what_it_wrote(
    connect, connection, database, start: Callable, table
):
    writer = connect()
    fill_only(writer, table)

    call = start(psql, database, "-f", revert_of(table))
    wait_for_lock(connection, writer, call)
    writer.commit()

    assert "holds rows" in fail(call.result(timeout=20))
    assert len(rows(connection, table)[table]) == 1


@pytest.mark.parametrize("table", ROWS)
def test_revert_fails_where_row_security_hides_rows(database, connection, create_role, table):
    owner = create_role()
    fill_only(connection, table)
    connection.execute(f"GRANT USAGE ON SCHEMA customer TO {owner}")
    for stored_table in STORED:
        connection.execute(f"ALTER TABLE {stored_table} OWNER TO {owner}")
    connection.execute(f"ALTER TABLE {table} ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY")

    errors = fail(
        psql(database, "-f", revert_of("keep_stored_months"), PGOPTIONS=f"-c role={owner}")
    )

    assert "query would be affected by row-level security policy" in errors


def test_revert_refuses_at_first_where_it_could_not_drop_something_later(database, connection):
    """A site's own views over it stand in the way."""
    for number, read in enumerate(READ):
        source = re.sub(r"\b(date|bigint|text)\b", "NULL", read.partition(" ")[2])
        connection.execute(f"CREATE VIEW mapping.own_{number} AS SELECT * FROM {source}")
    before = schema_dump(database)

    errors = fail(sqitch(database, "revert", "-y", "--set", "discard_snapshots=true"))

    named = re.search(r"from being dropped:\n(.*?)\nHINT:  Drop these views", errors, re.DOTALL)[1]
    assert sorted(named.split("\n")) == sorted(
        f"    mapping.own_{number} over {read}" for number, read in enumerate(READ)
    )
    succeed(sqitch(database, "deploy"))
    assert schema_dump(database) == before


def test_revert_discards_rows_when_told_and_leaves_the_sources(database, connection, source_dump):
    fill_all(connection)
    sources = rows(connection, *SOURCES)

    succeed(sqitch(database, "revert", "-y", "--set", "discard_snapshots=true"))

    assert schema_dump(database) == source_dump
    assert rows(connection, *SOURCES) == sources


def test_revert_copes_with_what_is_gone_already(database, connection, source_dump):
    for table in STORED:
        connection.execute(f"DROP TABLE {table} CASCADE")
    for _ in range(2):
        revert_with_psql(database)
        assert schema_dump(database) == source_dump

    connection.execute("DROP SCHEMA customer CASCADE")
    revert_with_psql(database)


# --- Verifying ---------------------------------------------------------------


def test_verify_names_each_change_that_is_not_as_deployed_and_what_to_do(database, connection):
    connection.execute(
        f"""
        ALTER TABLE business."规模明细" DROP COLUMN "期末资产规模";
        ALTER TABLE {FACT} ALTER COLUMN plan_count DROP NOT NULL;
        GRANT SELECT ON {LOG} TO PUBLIC;
        ALTER FUNCTION customer.refresh_monthly_snapshot(date) SECURITY INVOKER
        """
    )

    result = sqitch(database, "verify")

    assert result.returncode != 0
    assert re.findall(r'# Verify script "verify/(\w+)\.sql" failed', result.stdout) == [
        "sources",
        "fct_customer_business_monthly_status",
        "monthly_snapshot_log",
        "refresh_monthly_snapshot",
    ]
    assert '    column business."规模明细"."期末资产规模" is missing\n' in result.stderr
    assert "expected column plan_count integer NOT NULL DEFAULT 0" in result.stderr
    assert "it grants SELECT on customer.monthly_snapshot_log to PUBLIC" in result.stderr
    [expected] = re.findall("'([0-9a-f]{64})'", script("verify/refresh_monthly_snapshot.sql"))
    assert re.search(f"hash [0-9a-f]{{64}}, expected {expected}\n", result.stderr)
    for change in ("monthly_snapshot_log", "refresh_monthly_snapshot"):
        assert f'"psql -d DATABASE -f deploy/{change}.sql"' in result.stderr


@pytest.mark.parametrize(
    ("change", "damage"),
    [
        ("write_monthly_snapshot", "ALTER FUNCTION {}(date, text, text) RESET ALL"),
        ("post_etl_hook", "DROP FUNCTION {}(text, text)"),
        ("monthly_status_trend", "DROP VIEW {}"),
        ("monthly_snapshot_control", "COMMENT ON TABLE {} IS NULL"),
        ("guard_closed_months", f"ALTER TABLE {FACT} DISABLE TRIGGER trg_snapshot_guard_update"),
    ],
)
def test_what_verify_says_to_do_brings_back_what_was_changed(
    database, connection, package_dump, change, damage
):
    connection.execute(damage.format(f"customer.{change}"))

    [command] = re.findall('"(psql .*)"', fail(psql(database, "-f", f"verify/{change}.sql")))
    succeed(run(*command.replace("DATABASE", database).split()))

    succeed(psql(database, "-f", f"verify/{change}.sql"))
    assert schema_dump(database) == package_dump


@pytest.fixture(scope="module")
def common_connection(create_database, package_template) -> Iterator[psycopg.Connection]:
    with psycopg.connect(dbname=create_database(package_template)) as connection:
        yield connection


@pytest.fixture
def transaction(common_connection) -> Iterator[psycopg.Connection]:
    """A transaction in a database with the package that is rolled back in the end."""
    common_connection.execute("CREATE ROLE other")
    yield common_connection
    common_connection.rollback()


def verify(transaction: psycopg.Connection, change: str) -> None:
    """Run a verify script within the transaction, which goes on if it passes."""
    statements = script(f"verify/{change}.sql").partition("\nBEGIN;\n")[2].partition("\nROLLBACK;")
    transaction.execute(statements[0])


def test_verify_forgets_no_object(transaction):
    """Each thing of the package is damaged in turn, and one of its verify scripts notices."""
    damages = transaction.execute(
        r"""
        SELECT identity, format(damage, regexp_replace(type, '^\w+ ', ''), identity)
        FROM pg_description
        CROSS JOIN pg_identify_object(classoid, objoid, objsubid)
        JOIN (
            VALUES
                ('', 'COMMENT ON %s %s IS NULL'),
                ('^(function|procedure)$', 'ALTER %s %s SET work_mem = 64'),
                ('^(function|procedure)$', 'GRANT EXECUTE ON %s %s TO PUBLIC'),
                ('^(table|view)$', 'GRANT SELECT ON %2$s TO PUBLIC'),
                ('^table$', 'GRANT INSERT ON %2$s TO other')
        ) AS damage (of_type, damage)
            ON type ~ of_type
        WHERE identity ~ '^(\S+ on )?customer\.'
        """
    ).fetchall()
    assert len(damages) > 100

    def is_noticed(identity: str, damage: str) -> bool:
        for change in sorted(changes(), key=lambda change: change not in identity):
            try:
                with transaction.transaction(force_rollback=True):
                    transaction.execute(damage)
                    verify(transaction, change)
            except psycopg.errors.RaiseException:
                return True
        return False

    assert [damage for damage in damages if not is_noticed(*damage)] == []


def constraint(name: str, definition: str) -> str:
    return f"""
        ALTER TABLE {{0}} DROP CONSTRAINT {name}, ADD CONSTRAINT {name} {definition};
        COMMENT ON CONSTRAINT {name} ON {{0}} IS 'as before'
    """


def redefine(pattern: str, replacement: str) -> str:
    """Run the definition of a function or view in another wording."""
    return f"""
        DO $do$
        DECLARE
            v_old text := CASE
                WHEN '{{0}}' LIKE '%)' THEN pg_get_functiondef(to_regprocedure('{{0}}'))
                ELSE 'CREATE OR REPLACE VIEW {{0}} AS' || pg_get_viewdef('{{0}}')
            END;
            v_new text := regexp_replace(v_old, $a${pattern}$a$, $b${replacement}$b$);
        BEGIN
            ASSERT v_new <> v_old, v_old;
            EXECUTE v_new;
        END
        $do$
    """


def take_from_owner(privilege: str, kind: str = "TABLE") -> str:
    return f"ALTER {kind} {{0}} OWNER TO other; REVOKE {privilege} ON {kind} {{0}} FROM other"


OBJECTS = {
    "guard_closed_months": FACT,
    "write_monthly_snapshot": "customer.write_monthly_snapshot(date, text, text)",
}
LINE = 'FOREIGN KEY (product_line_code) REFERENCES mapping."产品线"'
GUARD = "trg_snapshot_guard_update"

# What is done to a change's table, function or view, by what its verify script then names: each
# kind of damage once. That nothing is forgotten, nor any grant, is tested above.
DAMAGES = {
    "adopt_existing_table": {
        "has another owner than the rest": [f"ALTER TABLE {FACT} OWNER TO other"],
    },
    "fct_customer_business_monthly_status": {
        "does not exist": ["DROP TABLE {0} CASCADE"],
        "expected column updated_at ": ["ALTER TABLE {0} DROP COLUMN updated_at CASCADE"],
        "expected column plan_count ": [
            "ALTER TABLE {0} ALTER plan_count DROP NOT NULL",
            "ALTER TABLE {0} ALTER plan_count SET DEFAULT 1",
        ],
        "expected constraint fct_customer_business_monthly_status_pkey ": [
            constraint("fct_customer_business_monthly_status_pkey", "UNIQUE (company_id)"),
        ],
        "expected constraint fk_snapshot_product_line ": [
            constraint("fk_snapshot_product_line", f"{LINE} ON DELETE CASCADE"),
            constraint("fk_snapshot_product_line", f"{LINE} NOT VALID"),
            "ALTER TABLE {0} DISABLE TRIGGER ALL",
            'ALTER TABLE mapping."产品线" DISABLE TRIGGER ALL',
        ],
        "INDEX fct_customer_business_monthly_status_pkey ": [
            "UPDATE pg_index SET indisvalid = FALSE WHERE indexrelid = '{0}_pkey'::regclass",
        ],
        "INDEX idx_snapshot_month ": [
            """
            DROP INDEX customer.idx_snapshot_month;
            CREATE INDEX idx_snapshot_month ON {0} (snapshot_month DESC);
            COMMENT ON INDEX customer.idx_snapshot_month IS 'as before'
            """
        ],
        "TRIGGER trg_snapshot_updated_at ": [
            "ALTER TABLE {0} ENABLE REPLICA TRIGGER trg_snapshot_updated_at",
        ],
        "expected fillfactor=80": ["ALTER TABLE {0} SET (fillfactor = 90)"],
        "expected no row security": ["ALTER TABLE {0} ENABLE ROW LEVEL SECURITY"],
        "expected write-ahead logging": ["ALTER TABLE {0} SET UNLOGGED"],
        **{
            f"it grants {privilege} on {FACT} to other": [f"GRANT {privilege} ON {{0}} TO other"]
            for privilege in ("INSERT", "DELETE", "TRUNCATE", "REFERENCES", "TRIGGER")
        },
        f"it grants UPDATE on {FACT} to other": ["GRANT UPDATE (plan_count) ON {0} TO other"],
        f"it grants SELECT on {FACT} to PUBLIC": ["GRANT SELECT (plan_count) ON {0} TO PUBLIC"],
    },
    "monthly_snapshot_control": {
        "expected column snapshot_month ": ["DROP TABLE {0} CASCADE"],
        "expected column last_rule ": ["ALTER TABLE {0} ALTER last_rule SET NOT NULL"],
        "expected column close_note ": ["ALTER TABLE {0} ALTER close_note SET DEFAULT ''"],
        "expected the owner of customer.missing_snapshot_sources()": [
            "ALTER TABLE {0} OWNER TO other"
        ],
        "expected all privileges for its owner": [
            take_from_owner(privilege) for privilege in ("SELECT", "INSERT", "UPDATE", "DELETE")
        ],
        "it grants UPDATE on customer.monthly_snapshot_control to other": [
            "GRANT UPDATE ON {0} TO other"
        ],
    },
    "monthly_snapshot_log": {
        "expected column aum_total ": ["ALTER TABLE {0} ALTER aum_total TYPE numeric(20, 2)"],
        "expected column reason ": ['ALTER TABLE {0} ALTER reason TYPE text COLLATE "POSIX"'],
        "expected column log_id ": [
            "ALTER TABLE {0} ALTER log_id DROP IDENTITY",
            "ALTER TABLE {0} ALTER log_id SET GENERATED BY DEFAULT",
        ],
        f"it grants INSERT on {LOG} to other": ["GRANT INSERT ON {0} TO other"],
        f"it grants USAGE on {LOG}_log_id_seq to PUBLIC": [
            "GRANT USAGE ON SEQUENCE {0}_log_id_seq TO PUBLIC"
        ],
        f"it grants UPDATE on {LOG}_log_id_seq to other": [
            "GRANT UPDATE ON SEQUENCE {0}_log_id_seq TO other"
        ],
    },
    "monthly_status_history": {
        "expected column plan_count ": ["ALTER TABLE {0} ALTER plan_count SET DEFAULT 0"],
        "TRIGGER trg_history_keep ": ["ALTER TABLE {0} DISABLE TRIGGER trg_history_keep"],
        "it grants DELETE on customer.monthly_status_history to other": [
            "GRANT DELETE ON {0} TO other"
        ],
    },
    "monthly_status_summary": {
        "expected constraint monthly_status_summary_key ": [
            constraint("monthly_status_summary_key", "UNIQUE (snapshot_month, product_line_code)"),
        ],
        "expected replica identity full": ["ALTER TABLE {0} REPLICA IDENTITY DEFAULT"],
        "function customer.summarise_snapshot_month(date, jsonb) ": [
            "DROP FUNCTION customer.summarise_snapshot_month(date, jsonb)"
        ],
    },
    "write_monthly_snapshot": {
        "it does not exist": ["DROP FUNCTION {0}"],
        "hash ": [
            # All else that makes a function stands in the definition, too.
            redefine(r"(AS \$function\$)", r"\1 -- other" + "\n"),
            "ALTER FUNCTION {0} COST 1",
        ],
        "owner other, expected postgres": ["ALTER FUNCTION {0} OWNER TO other"],
        "no EXECUTE by its owner": [take_from_owner("EXECUTE", "FUNCTION")],
        "EXECUTE by other": ["GRANT EXECUTE ON FUNCTION {0} TO other"],
    },
    "guard_closed_months": {
        f"TRIGGER {GUARD} ": [
            f"DROP TRIGGER {GUARD} ON {{0}}",
            f"ALTER TRIGGER {GUARD} ON {{0}} RENAME TO other",
            f"ALTER TABLE {{0}} DISABLE TRIGGER {GUARD}",
            f"""
            CREATE OR REPLACE TRIGGER {GUARD} BEFORE UPDATE ON {{0}}
            FOR EACH STATEMENT EXECUTE FUNCTION customer.guard_closed_months()
            """,
        ],
    },
    "monthly_status_trend": {
        "it does not exist": ["DROP VIEW {0}"],
        "hash ": [redefine(";$", " WHERE TRUE"), "ALTER VIEW {0} RENAME plans TO other"],
        "options {security_invoker=true}": ["ALTER VIEW {0} SET (security_invoker)"],
        "owner other, expected postgres": ["ALTER VIEW {0} OWNER TO other"],
        "no SELECT by its owner": [take_from_owner("SELECT")],
        "SELECT by PUBLIC": ["GRANT SELECT (customers) ON {0} TO PUBLIC"],
    },
    "sources": {
        "unique key on mapping.": [
            'ALTER TABLE mapping."产品线" DROP CONSTRAINT "产品线_pkey" CASCADE'
        ],
        "function customer.missing_snapshot_sources(): hash ": [
            "ALTER FUNCTION customer.missing_snapshot_sources() VOLATILE"
        ],
        "function customer.source_aum(date,date): it does not exist": [
            "DROP FUNCTION customer.source_aum(date, date)"
        ],
        "function customer.source_aum(date,date): TABLE": [
            "ALTER FUNCTION customer.source_aum(date, date) VOLATILE"
        ],
        "function customer.source_aum(date,date): it is not inlined": [
            "ALTER FUNCTION customer.source_aum(date, date) STRICT",
            "ALTER FUNCTION customer.source_aum(date, date) SECURITY DEFINER",
            "ALTER FUNCTION customer.source_aum(date, date) SET work_mem = 64",
        ],
        "function customer.source_aum(date,date): owner other": [
            "ALTER FUNCTION customer.source_aum(date, date) OWNER TO other"
        ],
        "function customer.source_aum(date,date): EXECUTE by other": [
            "GRANT EXECUTE ON FUNCTION customer.source_aum(date, date) TO other"
        ],
        "the source tables are not as they were": [
            'ALTER TABLE business."规模明细" ALTER "期末资产规模" TYPE bigint'
        ],
    },
}


@pytest.mark.parametrize(
    ("change", "message", "damage"),
    [
        pytest.param(change, message, damage, id=f"{change}: {message}")
        for change, of_change in DAMAGES.items()
        for message, damages in of_change.items()
        for damage in damages
    ],
)
def test_verify_notices(transaction, change, message, damage):
    damaged = OBJECTS.get(change, f"customer.{change}")
    transaction.execute(damage.replace("{0}", damaged))

    with pytest.raises(psycopg.Error) as caught:
        verify(transaction, change)

    assert message in caught.value.diag.message_primary


def test_verify_minds_nothing_that_is_the_sites_to_grant(transaction):
    transaction.execute(
        """
        GRANT ALL ON SCHEMA customer TO other;
        GRANT SELECT ON ALL TABLES IN SCHEMA customer TO other;
        GRANT SELECT ON ALL SEQUENCES IN SCHEMA customer TO other;
        GRANT EXECUTE ON FUNCTION customer.refresh_monthly_snapshot(date) TO other
        """
    )
    notices = listen(transaction)

    for change in changes():
        verify(transaction, change)

    assert notices == []


def test_verify_warns_of_who_may_write_an_adopted_table_and_of_its_other_triggers(transaction):
    transaction.execute(
        f"""
        COMMENT ON TABLE {FACT} IS E'The snapshot.\n\nAdopted from the table that stood here.';
        GRANT SELECT, INSERT, UPDATE (plan_count) ON {FACT} TO other;
        CREATE TRIGGER touch BEFORE INSERT ON {FACT}
        FOR EACH ROW EXECUTE FUNCTION suppress_redundant_updates_trigger()
        """
    )
    notices = listen(transaction)

    verify(transaction, "fct_customer_business_monthly_status")

    assert [(notice.severity, notice.message) for notice in notices] == [
        (
            "WARNING",
            f"roles other than its owner may still write the adopted table {FACT}:"
            " INSERT by other, UPDATE by other",
        ),
        ("WARNING", f"table {FACT} has triggers that are not the package's: touch"),
    ]
