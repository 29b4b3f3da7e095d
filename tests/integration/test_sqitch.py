"""The Sqitch project: what deploying, verifying and reverting do, and what they refuse."""

import re
from collections.abc import Callable, Iterator
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import NamedTuple

import psycopg
import pytest
from psycopg import sql
from support import (
    CONTROL,
    FACT,
    LOG,
    PROJECT,
    STORED,
    Source,
    changes,
    fail,
    psql,
    run,
    schema_dump,
    sqitch,
    succeed,
    wait_for_lock,
)

TREND = "customer.monthly_status_trend"


def script(path: str) -> str:
    return (PROJECT / path).read_text(encoding="utf-8")


def with_psql(database: str, folders: tuple[str, ...], names: list[str], *options: str) -> None:
    """Run scripts of changes as Sqitch does, but quicker, and without its registry."""
    paths = [f"{folder}/{name}.sql" for name in names for folder in folders]
    succeed(psql(database, *options, *(word for path in paths for word in ("-f", path))))


def deploy_with_psql(database: str, *options: str) -> None:
    with_psql(database, ("deploy", "verify"), changes(), *options)


def revert_with_psql(database: str, *options: str) -> None:
    with_psql(database, ("revert",), changes()[::-1], *options)


def rows(database: str, table: str) -> list[tuple]:
    with psycopg.connect(dbname=database) as connection:
        return connection.execute(f"SELECT * FROM {table} ORDER BY 1, 2").fetchall()


@pytest.fixture(scope="module")
def source_dump(source_template) -> str:
    return schema_dump(source_template)


@pytest.fixture(scope="module")
def package_dump(package_template) -> str:
    return schema_dump(package_template)


@pytest.fixture
def source_database(create_test_database, source_template) -> str:
    """A database of this test's own, with empty source tables and without the package."""
    return create_test_database(source_template)


@pytest.fixture
def bundle(tmp_path) -> Path:
    """A folder with all that a site needs to deploy, as Sqitch puts it together."""
    succeed(run("sqitch", "bundle", "--dest-dir", tmp_path))
    return tmp_path


# --- There and back ----------------------------------------------------------


def test_verify_passes_after_deploy(database):
    assert "Verify successful" in succeed(sqitch(database, "verify"))


def test_check_passes_after_deploy(database):
    assert "Check successful" in succeed(sqitch(database, "check"))


def test_check_notices_a_deploy_script_changed_since(database, bundle):
    path = bundle / "deploy" / "post_etl_hook.sql"
    succeed(run("sqitch", "--chdir", bundle, "check", f"db:pg:{database}"))
    path.write_text(path.read_text(encoding="utf-8") + "-- later\n", encoding="utf-8")

    result = run("sqitch", "--chdir", bundle, "check", f"db:pg:{database}")

    assert result.returncode != 0
    [problem] = [line for line in result.stdout.splitlines() if "post_etl_hook" in line]
    assert "signatures diverge" in problem
    assert result.stdout.count("diverge") == 1


def test_bundle_deploys_verifies_and_reverts_on_its_own(
    source_database, bundle, source_dump, package_dump
):
    def from_bundle(command: str, *options: str) -> str:
        target = f"db:pg:{source_database}"
        return succeed(run("sqitch", "--chdir", bundle, command, target, *options))

    from_bundle("deploy")
    assert schema_dump(source_database) == package_dump
    assert "Verify successful" in from_bundle("verify")

    from_bundle("revert", "-y")
    assert schema_dump(source_database) == source_dump


def test_every_change_can_be_deployed_verified_and_reverted():
    assert changes()
    for folder in ("deploy", "verify", "revert"):
        assert sorted(path.stem for path in (PROJECT / folder).glob("*.sql")) == sorted(changes())


def test_revert_leaves_what_was_there_before_and_deploy_restores_all(
    database, source_dump, package_dump
):
    output = succeed(sqitch(database, "revert", "-y"))

    assert schema_dump(database) == source_dump
    # One line a change, with no other output between.
    assert [line.split()[1:2] + line.split()[-1:] for line in output.splitlines()[1:]] == [
        [change, "ok"] for change in reversed(changes())
    ]

    succeed(sqitch(database, "deploy"))
    assert schema_dump(database) == package_dump


def test_deploy_and_revert_leave_the_sources_rows(source_database):
    with psycopg.connect(dbname=source_database) as connection:
        source = Source(connection)
        source.contract("C1")
        source.award("C1")
        source.loss("C1")
        source.detail("C1", "1")
    tables = (
        "customer.customer_plan_contract",
        'customer."年金客户"',
        'customer."当年中标"',
        'customer."当年流失"',
        'business."规模明细"',
    )
    before = [rows(source_database, table) for table in tables]

    deploy_with_psql(source_database)
    with psycopg.connect(dbname=source_database) as connection:
        connection.execute("SELECT customer.refresh_monthly_snapshot('2026-01-31')")
    revert_with_psql(source_database, "-v", "discard_snapshots=true")

    assert [rows(source_database, table) for table in tables] == before


def test_revert_without_terminal_does_nothing_unless_told(database, package_dump):
    result = sqitch(database, "revert")

    assert result.returncode != 0
    assert "Nothing reverted" in result.stdout + result.stderr
    assert schema_dump(database) == package_dump


# --- Upgrading ---------------------------------------------------------------


def test_upgrade_keeps_what_an_earlier_version_wrote(source_database):
    """Each change comes to a database that holds months already."""
    refresh = "SELECT customer.refresh_monthly_snapshot('2026-01-31')"
    succeed(sqitch(source_database, "deploy", "--to-change", "refresh_monthly_snapshot"))
    with psycopg.connect(dbname=source_database) as connection:
        source = Source(connection)
        source.contract("C1", is_strategic=True)
        source.contract("C2")
        source.detail("C1", "1.50")
        first = connection.execute(refresh).fetchone()[0]
    before = [rows(source_database, table) for table in STORED]
    assert [len(table) for table in before] == [2, 1, 1]

    succeed(sqitch(source_database, "deploy"))

    assert [rows(source_database, table) for table in STORED] == before
    assert "Verify successful" in succeed(sqitch(source_database, "verify"))
    with psycopg.connect(dbname=source_database) as connection:
        second = connection.execute(refresh).fetchone()[0]
    assert (first["inserted"], second["unchanged"], second["upserted"]) == (2, 2, 0)


def test_upgrade_guards_a_month_that_was_closed_before_there_was_a_guard(source_database):
    succeed(sqitch(source_database, "deploy", "--to-change", "reopen_snapshot_month"))
    with psycopg.connect(dbname=source_database) as connection:
        fill_all(connection)
        connection.execute("SELECT customer.close_snapshot_month('2026-01-31', 'published')")
        connection.execute(f"UPDATE {FACT} SET plan_count = 7")

    succeed(sqitch(source_database, "deploy"))

    with (
        psycopg.connect(dbname=source_database) as connection,
        pytest.raises(psycopg.errors.ObjectNotInPrerequisiteState, match="is closed"),
    ):
        connection.execute(f"UPDATE {FACT} SET plan_count = 8")
    assert [row[10] for row in rows(source_database, FACT)] == [7]


# --- Consoles and settings of the site ---------------------------------------


def test_deploys_and_verifies_from_a_gbk_console(source_database, package_dump):
    succeed(sqitch(source_database, "deploy", PGCLIENTENCODING="GBK"))

    assert "Verify successful" in succeed(sqitch(source_database, "verify", PGCLIENTENCODING="GBK"))
    assert schema_dump(source_database) == package_dump


def test_gbk_console_reverts(database, source_dump):
    revert_with_psql(database, "--set=ON_ERROR_STOP=1", "-c", "SET client_encoding = GBK")

    assert schema_dump(database) == source_dump


@pytest.mark.parametrize(
    "setting",
    [
        "search_path = customer, mapping, business, public",
        "search_path = ''",
        "DateStyle = 'German, DMY'",
    ],
)
def test_deploys_whatever_the_databases_settings(source_database, package_dump, setting):
    with psycopg.connect(dbname=source_database) as connection:
        connection.execute(
            sql.SQL(f"ALTER DATABASE {{}} SET {setting}").format(sql.Identifier(source_database))
        )

    deploy_with_psql(source_database)

    assert schema_dump(source_database) == package_dump


def test_public_is_granted_nothing_even_where_that_is_the_default(source_database):
    with psycopg.connect(dbname=source_database) as connection:
        for kind in ("TABLES", "SEQUENCES", "FUNCTIONS"):
            connection.execute(f"ALTER DEFAULT PRIVILEGES GRANT ALL ON {kind} TO PUBLIC")
        sources = {
            row[0]
            for row in connection.execute(
                "SELECT oid FROM pg_class UNION ALL SELECT oid FROM pg_proc"
            )
        }

    deploy_with_psql(source_database)

    with psycopg.connect(dbname=source_database) as connection:
        granted = connection.execute(
            """
            SELECT oid, relname::text, privilege_type
            FROM pg_class
            CROSS JOIN aclexplode(coalesce(relacl, acldefault('r', relowner)))
            WHERE grantee = 0 AND relnamespace = 'customer'::regnamespace
            UNION ALL
            SELECT oid, proname, privilege_type
            FROM pg_proc
            CROSS JOIN aclexplode(coalesce(proacl, acldefault('f', proowner)))
            WHERE grantee = 0 AND pronamespace = 'customer'::regnamespace
            """
        ).fetchall()
    assert [grant[1:] for grant in granted if grant[0] not in sources] == []


def test_deploy_refuses_a_deployer_who_may_not_read_the_sources(source_database, create_role):
    role = create_role()
    with psycopg.connect(dbname=source_database) as connection:
        connection.execute(
            f"""
            GRANT USAGE, CREATE ON SCHEMA customer TO {role};
            GRANT USAGE ON SCHEMA business TO {role};
            GRANT SELECT ON ALL TABLES IN SCHEMA customer, mapping TO {role}
            """
        )

    errors = fail(
        psql(
            source_database,
            "-c",
            f"SET SESSION AUTHORIZATION {role}",
            "-f",
            "deploy/missing_snapshot_sources.sql",
        )
    )

    problem = f"may not be read by {role}: it takes USAGE on the schema and SELECT"
    assert (
        in_words(f'table business."规模明细" {problem}', f'table mapping."产品线" {problem}')
        in errors
    )


def test_deployer_need_not_be_a_superuser(source_database, create_role):
    role = create_role()
    with psycopg.connect(dbname=source_database) as connection:
        connection.execute(
            sql.SQL(
                """
                GRANT USAGE, CREATE ON SCHEMA customer TO {role};
                GRANT USAGE ON SCHEMA business, mapping TO {role};
                GRANT SELECT, REFERENCES
                ON ALL TABLES IN SCHEMA customer, business, mapping TO {role}
                """
            ).format(role=sql.Identifier(role))
        )
        Source(connection).contract("C1")
    owner = f"SET SESSION AUTHORIZATION {role}"

    deploy_with_psql(source_database, "-c", owner)
    refresh = "SELECT customer.refresh_monthly_snapshot('2026-01-31')"
    succeed(psql(source_database, "-c", owner, "-c", refresh))
    assert len(rows(source_database, FACT)) == 1

    revert_with_psql(source_database, "-v", "discard_snapshots=true", "-c", owner)


# --- What deploying demands --------------------------------------------------

SOURCE_COLUMNS = {
    "customer.customer_plan_contract": (
        "company_id",
        "plan_code",
        "product_line_code",
        "product_line_name",
        "is_strategic",
        "is_existing",
        "valid_to",
    ),
    'customer."当年中标"': ("company_id", '"产品线代码"', '"上报月份"'),
    'customer."当年流失"': ("company_id", '"产品线代码"', '"上报月份"'),
    'business."规模明细"': ("company_id", '"产品线代码"', '"月度"', '"期末资产规模"'),
    'customer."年金客户"': ("company_id",),
    'mapping."产品线"': ('"产品线代码"',),
}
CUSTOMER_KEY = 'unique key on customer."年金客户".company_id is missing'
LINE_KEY = 'unique key on mapping."产品线"."产品线代码" is missing'
DROP_CUSTOMER_KEY = 'ALTER TABLE customer."年金客户" DROP CONSTRAINT "年金客户_pkey" CASCADE;'
DROP_LINE_KEY = 'ALTER TABLE mapping."产品线" DROP CONSTRAINT "产品线_pkey" CASCADE;'


class Lack(NamedTuple):
    """Something that the source system lacks once the damage is done."""

    damage: str
    finding: str


def change_type(table: str, column: str, other_type: str) -> str:
    return f"""
        ALTER TABLE {table} DROP COLUMN {column} CASCADE;
        ALTER TABLE {table} ADD COLUMN {column} {other_type}
    """


def lacks() -> Iterator[Lack]:
    for table, columns in SOURCE_COLUMNS.items():
        yield Lack(f"DROP TABLE {table} CASCADE", f"table {table} is missing")
        for column in columns:
            yield Lack(
                f"ALTER TABLE {table} DROP COLUMN {column} CASCADE",
                f"column {table}.{column} is missing",
            )
    yield Lack(DROP_CUSTOMER_KEY, CUSTOMER_KEY)
    yield Lack(DROP_LINE_KEY, LINE_KEY)
    for other_key in (
        'CREATE INDEX ON customer."年金客户" (company_id)',
        """CREATE UNIQUE INDEX ON customer."年金客户" (company_id) WHERE company_id <> ''""",
        'CREATE UNIQUE INDEX ON customer."年金客户" (company_id, "客户名称")',
        'CREATE UNIQUE INDEX ON customer."年金客户" (lower(company_id))',
        'CREATE UNIQUE INDEX ON customer."年金客户" ("客户名称")',
        'ALTER TABLE customer."年金客户" ADD UNIQUE (company_id) DEFERRABLE',
    ):
        yield Lack(DROP_CUSTOMER_KEY + other_key, CUSTOMER_KEY)
    for table, column, other_type, kind in (
        ("customer.customer_plan_contract", "company_id", "bigint", "text"),
        ("customer.customer_plan_contract", "is_existing", "integer", "boolean"),
        ("customer.customer_plan_contract", "valid_to", "text", "date or timestamp"),
        (
            'business."规模明细"',
            '"月度"',
            "timestamp with time zone",
            "date or timestamp",
        ),
        ('business."规模明细"', '"期末资产规模"', "text", "number"),
    ):
        yield Lack(
            change_type(table, column, other_type),
            f"column {table}.{column} has type {other_type} where a {kind} is needed",
        )
    # A thing of that name, but none that can be read.
    yield Lack(
        'DROP TABLE customer."当年中标"; CREATE SEQUENCE customer."当年中标"',
        'table customer."当年中标" is missing',
    )
    yield Lack("DROP SCHEMA mapping CASCADE", 'table mapping."产品线" is missing')


def in_words(*findings: str) -> str:
    return "\n    ".join(("the source system lacks what the monthly snapshot reads:", *findings))


EACH_LACK = pytest.mark.parametrize("lack", list(lacks()), ids=lambda lack: lack.finding)


@pytest.fixture(scope="module")
def common_source_connection(create_database, source_template) -> Iterator[psycopg.Connection]:
    with psycopg.connect(dbname=create_database(source_template)) as connection:
        yield connection


@pytest.fixture
def source_transaction(common_source_connection) -> Iterator[psycopg.Connection]:
    """A transaction over empty source tables that is rolled back in the end."""
    yield common_source_connection
    common_source_connection.rollback()


@EACH_LACK
def test_deploy_refuses_a_source_system_that_lacks_something(source_transaction, lack):
    source_transaction.execute(lack.damage)

    with pytest.raises(psycopg.errors.ObjectNotInPrerequisiteState) as caught:
        source_transaction.execute(script("deploy/missing_snapshot_sources.sql"))

    assert caught.value.diag.message_primary == in_words(lack.finding)
    assert "Alembic" in caught.value.diag.message_hint
    assert "nothing has been deployed" in caught.value.diag.message_hint


def test_deploy_names_all_that_is_missing_and_leaves_nothing(source_database):
    with psycopg.connect(dbname=source_database) as connection:
        connection.execute(
            'DROP TABLE business."规模明细";'
            ' ALTER TABLE customer."当年流失" DROP COLUMN "上报月份";'
            " ALTER TABLE customer.customer_plan_contract DROP COLUMN valid_to,"
            " DROP COLUMN plan_code CASCADE;" + DROP_LINE_KEY
        )
    before = schema_dump(source_database)

    errors = fail(sqitch(source_database, "deploy"))

    assert (
        in_words(
            "column customer.customer_plan_contract.plan_code is missing",
            "column customer.customer_plan_contract.valid_to is missing",
            'column customer."当年流失"."上报月份" is missing',
            'table business."规模明细" is missing',
            LINE_KEY,
        )
        + "\nHINT:"
    ) in errors
    assert schema_dump(source_database) == before


def test_deploy_to_a_database_without_the_schema_names_every_table(create_test_database):
    database = create_test_database()
    before = schema_dump(database)

    errors = fail(sqitch(database, "deploy"))

    assert in_words(*(f"table {table} is missing" for table in SOURCE_COLUMNS)) in errors
    assert schema_dump(database) == before


def test_deploy_fails_with_sqlstate_55000(create_test_database):
    errors = fail(
        psql(
            create_test_database(),
            *("-v", "VERBOSITY=verbose", "-f", "deploy/missing_snapshot_sources.sql"),
        )
    )

    assert "ERROR:  55000: the source system lacks" in errors


def test_deploy_goes_on_once_the_source_system_is_complete(source_database):
    with psycopg.connect(dbname=source_database) as connection:
        connection.execute('ALTER TABLE business."规模明细" RENAME TO "明细"')
    deploy = ("deploy", "--to-change", "missing_snapshot_sources")
    fail(sqitch(source_database, *deploy))
    with psycopg.connect(dbname=source_database) as connection:
        connection.execute('ALTER TABLE business."明细" RENAME TO "规模明细"')

    succeed(sqitch(source_database, *deploy))


# --- A minimal source system -------------------------------------------------

PLATFORM_TYPES = {"code": "varchar", "day": "date", "amount": "numeric(18,4)", "flag": "boolean"}
OTHER_TYPES = {
    "the platform's": {},
    "text, timestamp, double precision": {
        "code": "text",
        "day": "timestamp",
        "amount": "double precision",
    },
    "char, integer": {"code": "char(12)", "amount": "integer"},
    "domains": {
        "code": "some_code",
        "day": "some_day",
        "amount": "some_amount",
        "flag": "some_flag",
    },
    "domains over domains": {
        "code": "own_code",
        "day": "own_day",
        "amount": "own_amount",
        "flag": "own_flag",
    },
}
DOMAINS = """
    CREATE DOMAIN some_code AS text CHECK (VALUE <> '');
    CREATE DOMAIN some_day AS timestamp;
    CREATE DOMAIN some_amount AS double precision;
    CREATE DOMAIN some_flag AS boolean;
    CREATE DOMAIN own_code AS some_code;
    CREATE DOMAIN own_day AS some_day;
    CREATE DOMAIN own_amount AS some_amount;
    CREATE DOMAIN own_flag AS some_flag;
"""
MINIMAL_TABLES = """
    CREATE SCHEMA customer;
    CREATE SCHEMA mapping;
    CREATE SCHEMA business;
    CREATE TABLE customer."年金客户" (company_id {code});
    CREATE UNIQUE INDEX ON customer."年金客户" (company_id);
    CREATE TABLE mapping."产品线" ("产品线代码" {code} UNIQUE);
    CREATE TABLE customer.customer_plan_contract (
        company_id {code},
        plan_code {code},
        product_line_code {code},
        product_line_name {code},
        is_strategic {flag},
        is_existing {flag},
        valid_to {day}
    );
    CREATE TABLE customer."当年中标" (company_id {code}, "产品线代码" {code}, "上报月份" {day});
    CREATE TABLE customer."当年流失" (company_id {code}, "产品线代码" {code}, "上报月份" {day});
    CREATE TABLE business."规模明细" (
        company_id {code}, "产品线代码" {code}, "月度" {day}, "期末资产规模" {amount}
    );
"""
MINIMAL_ROWS = """
    INSERT INTO customer."年金客户" VALUES ('C1'), ('C2'), (NULL);
    INSERT INTO mapping."产品线" VALUES ('PL1'), ('PL2'), (NULL);
    INSERT INTO customer.customer_plan_contract VALUES
        ('C1', 'P1', 'PL1', '受托', TRUE, NULL, '9999-12-31'),
        ('C1', 'P2', 'PL1', '受托', FALSE, FALSE, '9999-12-31'),
        ('C1', 'P1', 'PL2', '投资', NULL, NULL, NULL),
        ('C2', 'P1', 'PL1', '受托', FALSE, TRUE, '9999-12-31'),
        ('C2', 'P1', 'PL2', '投资', FALSE, TRUE, '2026-01-31');
    INSERT INTO customer."当年中标" VALUES
        ('C1', 'PL1', '2026-12-31 23:59:59'),
        ('C2', 'PL1', '2025-12-31 23:59:59'),
        (NULL, 'PL1', '2026-01-01'),
        ('C2', NULL, '2026-01-01'),
        ('C2', 'PL1', NULL);
    INSERT INTO customer."当年流失" VALUES
        ('C1', 'PL1', '2027-01-01 00:00:00'),
        ('C2', 'PL1', '2026-01-01 00:00:00');
    INSERT INTO business."规模明细" VALUES
        ('C1', 'PL1', '2026-01-01 00:00:00', 100),
        ('C1', 'PL1', '2026-01-31 23:59:59', 50),
        ('C1', 'PL1', '2026-02-01 00:00:00', 1000),
        ('C1', 'PL1', '2025-12-31 23:59:59', 1000),
        ('C1', 'PL1', NULL, 1000),
        ('C1', 'PL1', '2026-01-15', NULL),
        ('C1', 'PL2', '2026-01-15', 7),
        (NULL, NULL, '2026-01-15', 1);
"""


def check_minimal_rows(database: str) -> None:
    with psycopg.connect(dbname=database) as connection:
        result = connection.execute(
            "SELECT customer.refresh_monthly_snapshot('2026-01-31')"
        ).fetchone()[0]
    assert (result["total"], result["aum_total"], result["aum_unattributed"]) == (2, 150, 8)
    assert [row[:-1] for row in rows(database, FACT)] == [
        # company, line, name, strategic, existing, new, winning, churned, AUM, plans
        (date(2026, 1, 31), "C1", "PL1", "受托", True, False, True, True, False, Decimal(150), 2),
        (date(2026, 1, 31), "C2", "PL1", "受托", False, True, False, False, True, Decimal(0), 1),
    ]


@pytest.mark.parametrize("other_types", OTHER_TYPES.values(), ids=OTHER_TYPES.keys())
def test_minimal_source_system_is_enough(create_test_database, other_types):
    database = create_test_database()
    tables = MINIMAL_TABLES.format(**(PLATFORM_TYPES | other_types))
    succeed(psql(database, "-c", DOMAINS + tables + MINIMAL_ROWS))

    deploy_with_psql(database)

    check_minimal_rows(database)


@pytest.mark.parametrize(
    "replace",
    [
        "CREATE VIEW {table} AS TABLE {kept};",
        "CREATE MATERIALIZED VIEW {table} AS TABLE {kept};",
        "CREATE TABLE {table} (LIKE {kept}) PARTITION BY RANGE ({day});"
        " CREATE TABLE {table}_1 PARTITION OF {table} FOR VALUES FROM (MINVALUE) TO ('2026-01-01');"
        " CREATE TABLE {table}_2 PARTITION OF {table} FOR VALUES FROM ('2026-01-01') TO (MAXVALUE);"
        " CREATE TABLE {table}_3 PARTITION OF {table} DEFAULT;"
        " INSERT INTO {table} TABLE {kept};",
    ],
    ids=["views", "materialized views", "partitioned tables"],
)
def test_what_is_read_need_not_be_a_plain_table(create_test_database, replace):
    database = create_test_database()
    statement = MINIMAL_TABLES.format(**PLATFORM_TYPES) + MINIMAL_ROWS
    for schema, table, day in (
        ("customer", "customer_plan_contract", "valid_to"),
        ("customer", "当年中标", "上报月份"),
        ("customer", "当年流失", "上报月份"),
        ("business", "规模明细", "月度"),
    ):
        statement += f"ALTER TABLE {schema}.{table} RENAME TO kept_{table};"
        statement += replace.format(
            table=f"{schema}.{table}", kept=f"{schema}.kept_{table}", day=day
        )
    succeed(psql(database, "-c", statement))

    deploy_with_psql(database)

    check_minimal_rows(database)


# --- Reverting without losing data -------------------------------------------

ROWS = {
    FACT: f"""
        INSERT INTO customer."年金客户" VALUES ('C1');
        INSERT INTO {FACT} (snapshot_month, company_id, product_line_code, product_line_name)
        VALUES ('2026-01-31', 'C1', 'PL202', '企年受托')
    """,
    CONTROL: f"INSERT INTO {CONTROL} (snapshot_month) VALUES ('2026-01-31')",
    LOG: f"""
        INSERT INTO {LOG} (snapshot_month, operation, reason, started_at, finished_at,
            invoked_by, application_name)
        VALUES ('2026-01-31', 'close', 'published', now(), now(), 'auditor', '')
    """,
}


def fill_only(database: str, table: str) -> None:
    """Put a row into one of the package's tables, and leave none in the others."""
    with psycopg.connect(dbname=database) as connection:
        connection.execute("SET session_replication_role = replica")
        connection.execute(ROWS[table])
        for other in set(STORED) - {table}:
            connection.execute(f"DELETE FROM {other}")


def fill_all(connection: psycopg.Connection) -> None:
    source = Source(connection)
    source.contract("C1")
    source.detail("C1", "1")
    connection.execute("SELECT customer.refresh_monthly_snapshot('2026-01-31')")


def test_revert_keeps_the_snapshots_and_deploy_restores_the_rest(
    database, connection, package_dump
):
    fill_all(connection)
    before = [rows(database, table) for table in STORED]

    errors = fail(sqitch(database, "revert", "-y"))

    assert "holds rows, and reverting would drop them" in errors
    assert [rows(database, table) for table in STORED] == before

    succeed(sqitch(database, "deploy"))
    assert [rows(database, table) for table in STORED] == before
    assert schema_dump(database) == package_dump


@pytest.mark.parametrize("table", STORED)
def test_revert_keeps_a_table_that_holds_rows_and_says_how_to_insist(database, table):
    fill_only(database, table)
    before = rows(database, table)
    path = f"revert/{table.removeprefix('customer.')}.sql"

    errors = fail(psql(database, "-v", "VERBOSITY=verbose", "-f", path))

    assert (
        f"ERROR:  55000: table {table} holds rows, and reverting would drop them\n"
        "HINT:  The changes after this one are reverted already, and with them the guard of closed"
        ' months and all grants: run "sqitch deploy" and sql/grants.sql again.'
        ' To drop the rows, too: "sqitch revert -y --set discard_snapshots=true".\n'
    ) in errors
    assert rows(database, table) == before


@pytest.mark.parametrize("table", STORED)
def test_revert_keeps_rows_unless_told_true(database, table):
    fill_only(database, table)
    path = f"revert/{table.removeprefix('customer.')}.sql"

    for value, message in (
        ("false", "holds rows, and reverting would drop them"),
        ("off", "holds rows, and reverting would drop them"),
        ("maybe", "invalid input syntax for type boolean"),
        ("", "invalid input syntax for type boolean"),
    ):
        assert message in fail(psql(database, "-v", f"discard_snapshots={value}", "-f", path))

    assert len(rows(database, table)) == 1


@pytest.mark.parametrize("table", STORED)
def test_revert_waits_for_a_writer_and_keeps_what_it_wrote(
    connect, connection, database, start: Callable, table
):
    path = f"revert/{table.removeprefix('customer.')}.sql"
    writer = connect()
    writer.execute("SET session_replication_role = replica")
    writer.execute(ROWS[table])

    call = start(psql, database, "-f", path)
    wait_for_lock(connection, writer, call)
    writer.commit()

    assert "holds rows" in fail(call.result(timeout=20))
    assert len(rows(database, table)) == 1


def test_revert_discards_rows_when_told(database, connection, source_dump):
    fill_all(connection)

    succeed(sqitch(database, "revert", "-y", "--set", "discard_snapshots=true"))

    assert schema_dump(database) == source_dump


@pytest.mark.parametrize("table", STORED)
def test_revert_copes_with_a_table_dropped_by_hand(database, connection, source_dump, table):
    connection.execute(f"DROP TABLE {table} CASCADE")

    revert_with_psql(database)

    assert schema_dump(database) == source_dump


def test_sqitch_reverts_what_was_dropped_by_hand(database, connection, source_dump):
    for table in STORED:
        connection.execute(f"DROP TABLE {table} CASCADE")

    succeed(sqitch(database, "revert", "-y"))

    assert schema_dump(database) == source_dump


def test_revert_copes_with_the_schema_dropped_by_hand(database, connection):
    connection.execute("DROP SCHEMA customer CASCADE")

    revert_with_psql(database)


# --- Verifying ---------------------------------------------------------------


def test_verify_names_each_change_that_is_not_as_deployed(database, connection):
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
        "missing_snapshot_sources",
        "fct_customer_business_monthly_status",
        "monthly_snapshot_log",
        "refresh_monthly_snapshot",
    ]
    assert in_words('column business."规模明细"."期末资产规模" is missing') in result.stderr
    assert "column plan_count integer NOT NULL DEFAULT 0" in result.stderr
    assert "no privilege for PUBLIC" in result.stderr
    assert "security definer" in result.stderr


class Damage(NamedTuple):
    """What is done to the package, and what the message of the verify script then names."""

    change: str
    name: str
    statement: str
    message: str


class Column(NamedTuple):
    """A column, its type and another one, and the rest of its definition."""

    table: str
    name: str
    own_type: str
    other_type: str
    rest: str


def columns() -> list[Column]:
    flag = ("boolean", "text", "NOT NULL DEFAULT false")
    count = ("bigint", "integer", "")
    amount = ("numeric", "numeric(20,2)", "")
    specification = {
        FACT: {
            "snapshot_month": ("date", "timestamp", "NOT NULL"),
            "company_id": ("varchar", "text", "NOT NULL"),
            "product_line_code": ("varchar(20)", "varchar(10)", "NOT NULL"),
            "product_line_name": ("varchar(50)", "varchar", "NOT NULL"),
            "is_strategic": flag,
            "is_existing": flag,
            "is_new": flag,
            "is_winning_this_year": flag,
            "is_churned_this_year": flag,
            "aum_balance": ("numeric(20,2)", "numeric(18,2)", "NOT NULL DEFAULT 0"),
            "plan_count": ("integer", "bigint", "NOT NULL DEFAULT 0"),
            "updated_at": ("timestamptz", "timestamp", "NOT NULL DEFAULT CURRENT_TIMESTAMP"),
        },
        CONTROL: {
            "snapshot_month": ("date", "timestamp", "NOT NULL"),
            "last_rule": ("text", "varchar", ""),
            "last_log_id": ("bigint", "integer", ""),
            "stale_rows": ("bigint", "integer", "NOT NULL DEFAULT 0"),
            "closed_at": ("timestamptz", "timestamp", ""),
            "closed_by": ("text", "name", ""),
            "close_note": ("text", "varchar", ""),
        },
        LOG: {
            "log_id": ("bigint", "integer", "GENERATED ALWAYS AS IDENTITY"),
            "snapshot_month": ("date", "timestamp", "NOT NULL"),
            "operation": ("text", "varchar", "NOT NULL"),
            "reason": ("text", "varchar", ""),
            "started_at": ("timestamptz", "timestamp", "NOT NULL"),
            "finished_at": ("timestamptz", "timestamp", "NOT NULL"),
            "total": count,
            "upserted": count,
            "inserted": count,
            "updated": count,
            "unchanged": count,
            "stale": count,
            "deleted": count,
            "aum_total": amount,
            "aum_unattributed": amount,
            "invoked_by": ("text", "name", "NOT NULL"),
            "application_name": ("text", "name", "NOT NULL"),
        },
    }
    return [
        Column(table, name, *of_column)
        for table, of_table in specification.items()
        for name, of_column in of_table.items()
    ]


PRIMARY_KEYS = {
    FACT: ("snapshot_month", "company_id", "product_line_code"),
    CONTROL: ("snapshot_month",),
    LOG: ("log_id",),
}


def column_damages() -> Iterator[Damage]:
    for table, name, own_type, other_type, rest in columns():
        alter = f"ALTER TABLE {table} ALTER COLUMN {name}"
        statements = {
            "dropped": f"ALTER TABLE {table} DROP COLUMN {name} CASCADE",
            "of another type": replace_column(table, name, f"{other_type} {rest}"),
            "without comment": f"COMMENT ON COLUMN {table}.{name} IS NULL",
        }
        if table == FACT and own_type.startswith("varchar"):
            statements["of another collation"] = replace_column(
                table, name, f'{own_type} COLLATE "POSIX" {rest}'
            )
        if name not in PRIMARY_KEYS[table]:
            if "NOT NULL" in rest:
                statements["nullable"] = f"{alter} DROP NOT NULL"
            else:
                statements["not nullable"] = f"{alter} SET NOT NULL"
        if "DEFAULT" in rest:
            statements["without default"] = f"{alter} DROP DEFAULT"
        elif "IDENTITY" in rest:
            statements["without identity"] = f"{alter} DROP IDENTITY"
            statements["of other identity"] = f"{alter} SET GENERATED BY DEFAULT"
        else:
            statements["with default"] = f"{alter} SET DEFAULT CAST(current_user AS {own_type})"
        for what, statement in statements.items():
            change = table.removeprefix("customer.")
            yield Damage(change, f"column {name} {what}", statement, f"column {name} ")


def replace_column(table: str, name: str, definition: str) -> str:
    return f"""
        ALTER TABLE {table} DROP COLUMN {name} CASCADE;
        ALTER TABLE {table} ADD COLUMN {name} {definition};
        COMMENT ON COLUMN {table}.{name} IS 'as before'
    """


def constraint_damages() -> Iterator[Damage]:
    for table, constraint, other_definition in (
        (FACT, "fct_customer_business_monthly_status_pkey", "UNIQUE (snapshot_month, company_id)"),
        (FACT, "chk_snapshot_month_end", "CHECK (isfinite(snapshot_month))"),
        (
            FACT,
            "fk_snapshot_company",
            'FOREIGN KEY (company_id) REFERENCES customer."年金客户" ON DELETE CASCADE',
        ),
        (
            FACT,
            "fk_snapshot_product_line",
            'FOREIGN KEY (product_line_code) REFERENCES mapping."产品线" NOT VALID',
        ),
        (CONTROL, "monthly_snapshot_control_pkey", "UNIQUE (snapshot_month)"),
        (CONTROL, "chk_control_month_end", "CHECK (isfinite(snapshot_month))"),
        (CONTROL, "chk_control_rule", "CHECK (last_rule <> '')"),
        (CONTROL, "chk_control_closed", "CHECK (num_nulls(closed_at, closed_by) IN (0, 2))"),
        (LOG, "monthly_snapshot_log_pkey", "UNIQUE (log_id)"),
        (LOG, "chk_log_operation", "CHECK (operation <> '')"),
        (LOG, "chk_log_counts", "CHECK (total >= 0)"),
        (LOG, "chk_log_reason", "CHECK (reason <> '')"),
    ):
        change = table.removeprefix("customer.")
        message = f"constraint {constraint} "
        drop = f"ALTER TABLE {table} DROP CONSTRAINT {constraint} CASCADE;"
        add = f"ALTER TABLE {table} ADD CONSTRAINT {constraint} {other_definition};"
        comment = f"COMMENT ON CONSTRAINT {constraint} ON {table} IS "
        yield Damage(change, f"{constraint} dropped", drop, message)
        yield Damage(
            change, f"{constraint} replaced", drop + add + comment + "'as before'", message
        )
        yield Damage(change, f"{constraint} without comment", comment + "NULL", message)
    for constraint, referenced in (
        ("fk_snapshot_company", 'customer."年金客户"'),
        ("fk_snapshot_product_line", 'mapping."产品线"'),
    ):
        for table in (FACT, referenced):
            yield Damage(
                FACT.removeprefix("customer."),
                f"{constraint} not enforced at {table}",
                f"ALTER TABLE {table} DISABLE TRIGGER ALL",
                f"constraint {constraint} ",
            )


def index_damages() -> Iterator[Damage]:
    for table, index, other_definition in (
        (FACT, "idx_snapshot_month", "(snapshot_month DESC)"),
        (FACT, "idx_snapshot_company", "(company_id, snapshot_month)"),
        (FACT, "idx_snapshot_product_line", "USING hash (product_line_code)"),
        (FACT, "idx_snapshot_month_product", "(product_line_code, snapshot_month)"),
        (FACT, "idx_snapshot_month_brin", "(snapshot_month)"),
        (FACT, "idx_snapshot_strategic", "(snapshot_month)"),
        (LOG, "idx_snapshot_log_month", "(snapshot_month)"),
    ):
        change = table.removeprefix("customer.")
        message = f"INDEX {index} "
        drop = f"DROP INDEX customer.{index};"
        add = f"CREATE INDEX {index} ON {table} {other_definition};"
        comment = f"COMMENT ON INDEX customer.{index} IS "
        yield Damage(change, f"{index} dropped", drop, message)
        yield Damage(change, f"{index} replaced", drop + add + comment + "'as before'", message)
        yield Damage(change, f"{index} without comment", comment + "NULL", message)
    for table in STORED:
        change = table.removeprefix("customer.")
        yield Damage(
            change,
            "primary key's index invalid",
            f"UPDATE pg_index SET indisvalid = FALSE WHERE indexrelid = '{table}_pkey'::regclass",
            f"INDEX {change}_pkey ",
        )
        yield Damage(
            change,
            "primary key's index without comment",
            f"COMMENT ON INDEX {table}_pkey IS NULL",
            f"INDEX {change}_pkey ",
        )


def trigger_damages() -> Iterator[Damage]:
    drop = f"DROP TRIGGER trg_snapshot_updated_at ON {FACT};"
    comment = f"COMMENT ON TRIGGER trg_snapshot_updated_at ON {FACT} IS "
    create = (
        "CREATE TRIGGER trg_snapshot_updated_at {} EXECUTE FUNCTION {};" + comment + "'as before'"
    )
    when = "FOR EACH ROW WHEN (OLD.* IS DISTINCT FROM NEW.*)"
    function = "customer.set_snapshot_updated_at()"
    for name, statement in {
        "disabled": f"ALTER TABLE {FACT} DISABLE TRIGGER trg_snapshot_updated_at",
        "for replicas": f"ALTER TABLE {FACT} ENABLE REPLICA TRIGGER trg_snapshot_updated_at",
        "dropped": drop,
        "without comment": comment + "NULL",
        "without condition": drop
        + create.format(f"BEFORE UPDATE ON {FACT} FOR EACH ROW", function),
        "after": drop + create.format(f"AFTER UPDATE ON {FACT} {when}", function),
        "of a column": drop
        + create.format(f"BEFORE UPDATE OF aum_balance ON {FACT} {when}", function),
        "of another function": drop
        + create.format(f"BEFORE UPDATE ON {FACT} {when}", "suppress_redundant_updates_trigger()"),
    }.items():
        yield Damage(
            "fct_customer_business_monthly_status",
            f"trigger {name}",
            statement,
            "TRIGGER trg_snapshot_updated_at ",
        )


def guard_damages() -> Iterator[Damage]:
    """The triggers that keep closed months."""
    function = "customer.guard_closed_months()"
    for event, timing, transition_tables, others in (
        ("insert", "AFTER INSERT", "NEW TABLE AS new_row", ("NEW TABLE AS other", "")),
        (
            "update",
            "AFTER UPDATE",
            "OLD TABLE AS old_row NEW TABLE AS new_row",
            ("OLD TABLE AS other NEW TABLE AS new_row", "OLD TABLE AS old_row"),
        ),
        ("delete", "AFTER DELETE", "OLD TABLE AS old_row", ("OLD TABLE AS other", "")),
        ("truncate", "BEFORE TRUNCATE", "", ()),
    ):
        trigger = f"trg_snapshot_guard_{event}"
        other_timing = "BEFORE" if timing.startswith("AFTER") else "AFTER"

        def create(
            timing: str = timing,
            transition_tables: str = transition_tables,
            scope: str = "STATEMENT",
            function: str = function,
            trigger: str = trigger,
        ) -> str:
            referencing = f"REFERENCING {transition_tables}" if transition_tables else ""
            return f"""
                DROP TRIGGER {trigger} ON {FACT};
                CREATE TRIGGER {trigger} {timing} ON {FACT} {referencing}
                    FOR EACH {scope} EXECUTE FUNCTION {function};
                COMMENT ON TRIGGER {trigger} ON {FACT} IS 'as before'
            """

        statements = {
            "dropped": f"DROP TRIGGER {trigger} ON {FACT}",
            "renamed": f"ALTER TRIGGER {trigger} ON {FACT} RENAME TO other",
            "disabled": f"ALTER TABLE {FACT} DISABLE TRIGGER {trigger}",
            "for replicas": f"ALTER TABLE {FACT} ENABLE REPLICA TRIGGER {trigger}",
            "without comment": f"COMMENT ON TRIGGER {trigger} ON {FACT} IS NULL",
            "of other timing": create(f"{other_timing} {timing.split()[1]}", ""),
            "of another function": create(function="suppress_redundant_updates_trigger()"),
            "with a condition": create(scope="STATEMENT WHEN (1 = 2)"),
        }
        for number, other in enumerate(others):
            statements[f"of other transition tables {number}"] = create(transition_tables=other)
        if transition_tables:
            statements["for each row"] = create(scope="ROW")
        for what, statement in statements.items():
            yield Damage("guard_closed_months", f"{trigger} {what}", statement, trigger)


def view_damages() -> Iterator[Damage]:
    for what, statement, message in (
        ("dropped", f"DROP VIEW {TREND}", "does not exist"),
        (
            "of another definition",
            f"""
            DO $do$
            BEGIN
                EXECUTE 'CREATE OR REPLACE VIEW {TREND} AS '
                    || regexp_replace(pg_get_viewdef('{TREND}'), ';$', ' WHERE TRUE');
            END
            $do$
            """,
            "definition",
        ),
        (
            "with another column",
            f"""
            DO $do$
            BEGIN
                EXECUTE 'CREATE OR REPLACE VIEW {TREND} AS SELECT *, 1 AS other FROM ('
                    || rtrim(pg_get_viewdef('{TREND}'), ';') || ') AS this';
            END
            $do$
            """,
            "definition, columns",
        ),
        ("with another option", f"ALTER VIEW {TREND} SET (security_invoker)", "owner's rights"),
        ("without comment", f"COMMENT ON VIEW {TREND} IS NULL", "comment"),
        (
            "without comment on a column",
            f"COMMENT ON COLUMN {TREND}.is_closed IS NULL",
            "comments on all columns",
        ),
        ("granted to PUBLIC", f"GRANT SELECT ON {TREND} TO PUBLIC", "no privilege for PUBLIC"),
        (
            "a column granted to PUBLIC",
            f"GRANT SELECT (customers) ON {TREND} TO PUBLIC",
            "no privilege for PUBLIC",
        ),
        (
            "of another owner",
            f"CREATE ROLE other_owner; ALTER VIEW {TREND} OWNER TO other_owner",
            "not as deployed: owner",
        ),
        (
            "not for its owner",
            f"""
            CREATE ROLE other_owner;
            ALTER VIEW {TREND} OWNER TO other_owner;
            REVOKE SELECT ON {TREND} FROM other_owner
            """,
            "SELECT by its owner",
        ),
    ):
        yield Damage("monthly_status_trend", what, statement, message)


def table_damages() -> Iterator[Damage]:
    for table in STORED:
        change = table.removeprefix("customer.")
        first_column = PRIMARY_KEYS[table][0]
        yield Damage(change, "dropped", f"DROP TABLE {table} CASCADE", "does not exist")
        yield Damage(change, "comment", f"COMMENT ON TABLE {table} IS NULL", "comment on table")
        yield Damage(
            change,
            "row security",
            f"ALTER TABLE {table} ENABLE ROW LEVEL SECURITY",
            "no row security",
        )
        yield Damage(change, "unlogged", f"ALTER TABLE {table} SET UNLOGGED", "write-ahead logging")
        # The fact table's owner is whom the others are compared with.
        if table != FACT:
            yield Damage(
                change,
                "of another owner",
                f"CREATE ROLE other_owner; ALTER TABLE {table} OWNER TO other_owner",
                "the owner of the fact table",
            )
        for privilege in ("SELECT", "INSERT", "UPDATE", "DELETE"):
            yield Damage(
                change,
                f"owner without {privilege}",
                f"""
                CREATE ROLE other_owner;
                ALTER TABLE {table} OWNER TO other_owner;
                REVOKE {privilege} ON {table} FROM other_owner
                """,
                "all privileges for its owner",
            )
            yield Damage(
                change,
                f"{privilege} granted to PUBLIC",
                f"GRANT {privilege} ON {table} TO PUBLIC",
                "no privilege for PUBLIC",
            )
        yield Damage(
            change,
            "a column granted to PUBLIC",
            f"GRANT SELECT ({first_column}) ON {table} TO PUBLIC",
            "no privilege for PUBLIC",
        )
    yield Damage(
        "monthly_snapshot_log",
        "sequence granted to PUBLIC",
        f"GRANT USAGE ON SEQUENCE {LOG}_log_id_seq TO PUBLIC",
        "monthly_snapshot_log_log_id_seq is granted to PUBLIC",
    )
    yield Damage(
        "monthly_snapshot_log",
        "sequence without comment",
        f"COMMENT ON SEQUENCE {LOG}_log_id_seq IS NULL",
        "monthly_snapshot_log_log_id_seq lacks its comment",
    )
    change = "fct_customer_business_monthly_status"
    option = "storage option fillfactor=80"
    yield Damage(change, "fillfactor reset", f"ALTER TABLE {FACT} RESET (fillfactor)", option)
    yield Damage(change, "fillfactor changed", f"ALTER TABLE {FACT} SET (fillfactor=90)", option)


def functions() -> list[tuple[str, str]]:
    """Each function of the package, whatever the plan has come to: its change and signature."""
    return [
        (change, signature)
        for change in changes()
        for signature in re.findall(
            r"^REVOKE ALL ON FUNCTION (\S+\(.*\)) FROM PUBLIC;$",
            script(f"deploy/{change}.sql"),
            re.MULTILINE,
        )
    ]


def redefine(signature: str, pattern: str, replacement: str) -> str:
    """A statement that puts another definition in a function's place."""
    return f"""
        SET LOCAL check_function_bodies = off;
        CREATE LANGUAGE other HANDLER plpgsql_call_handler;
        DO $do$
        DECLARE
            v_old text := pg_get_functiondef('{signature}'::regprocedure);
            v_new text := regexp_replace(v_old, $a${pattern}$a$, $b${replacement}$b$);
        BEGIN
            ASSERT v_new <> v_old, v_old;
            EXECUTE v_new;
        END
        $do$
    """


def alter(signature: str, column: str, value: str, if_so: str, otherwise: str) -> str:
    """A statement that turns a property of a function round."""
    return f"""
        DO $do$
        BEGIN
            IF (SELECT {column} = {value} FROM pg_proc WHERE oid = '{signature}'::regprocedure) THEN
                ALTER FUNCTION {signature} {if_so};
            ELSE
                ALTER FUNCTION {signature} {otherwise};
            END IF;
        END
        $do$
    """


def function_damages() -> Iterator[Damage]:
    for change, signature in functions():
        name = signature.partition("(")[0]

        def damage(what: str, statement: str, message: str) -> Damage:
            return Damage(change, f"{signature} {what}", statement, message)  # noqa: B023

        yield damage("dropped", f"DROP FUNCTION {signature} CASCADE", name)
        yield damage(
            "body replaced",
            redefine(signature, r"(AS \$function\$)", r"\1-- other" + "\n"),
            "body",
        )
        if not signature.endswith("()"):
            yield damage(
                "other default of an argument",
                redefine(
                    signature, r"( DEFAULT [^\n]*)?\)\n RETURNS", " DEFAULT '2026-01-31')\n RETURNS"
                ),
                "arguments",
            )
        yield damage(
            "other language",
            redefine(signature, "LANGUAGE (plpgsql|sql)", "LANGUAGE other"),
            "language",
        )
        yield damage(
            "other result",
            f"""
            CREATE TEMPORARY TABLE definition ON COMMIT DROP AS
            SELECT regexp_replace(
                pg_get_functiondef(oid),
                'RETURNS [^\n]+',
                CASE WHEN proretset THEN 'RETURNS SETOF name' ELSE 'RETURNS name' END
            )
            FROM pg_proc
            WHERE oid = '{signature}'::regprocedure;
            DROP FUNCTION {signature} CASCADE;
            SET LOCAL check_function_bodies = off;
            DO $do$ BEGIN EXECUTE (TABLE definition); END $do$
            """,
            # Without its function the trigger is missed first.
            "trg_snapshot_updated_at" if "set_snapshot_updated_at" in name else "result",
        )
        yield damage(
            "other security",
            alter(signature, "prosecdef", "TRUE", "SECURITY INVOKER", "SECURITY DEFINER"),
            "security",
        )
        yield damage(
            "other volatility",
            alter(signature, "provolatile", "'v'", "STABLE", "VOLATILE"),
            "volatility",
        )
        yield damage(
            "other parallel safety",
            alter(signature, "proparallel", "'u'", "PARALLEL SAFE", "PARALLEL UNSAFE"),
            "parallel safety",
        )
        yield damage("strict", f"ALTER FUNCTION {signature} STRICT", name)
        yield damage("settings reset", f"ALTER FUNCTION {signature} RESET ALL", "settings")
        yield damage(
            "settings changed",
            f"ALTER FUNCTION {signature} SET search_path = public",
            "settings",
        )
        yield damage(
            "settings added", f"ALTER FUNCTION {signature} SET work_mem = '1GB'", "settings"
        )
        yield damage("comment removed", f"COMMENT ON FUNCTION {signature} IS NULL", "comment")
        # This one is deployed when the fact table, with whose owner the others' are compared,
        # may be Alembic's and not yet adopted.
        if change != "missing_snapshot_sources":
            yield damage(
                "of another owner",
                f"CREATE ROLE other_owner; ALTER FUNCTION {signature} OWNER TO other_owner",
                "not as deployed: owner",
            )
        yield damage(
            "owner without EXECUTE",
            f"""
            CREATE ROLE other_owner;
            ALTER FUNCTION {signature} OWNER TO other_owner;
            REVOKE EXECUTE ON FUNCTION {signature} FROM other_owner
            """,
            "EXECUTE by its owner",
        )
        yield damage(
            "EXECUTE granted to PUBLIC",
            f"GRANT EXECUTE ON FUNCTION {signature} TO PUBLIC",
            "no EXECUTE by PUBLIC",
        )


DAMAGES = [
    *table_damages(),
    *column_damages(),
    *constraint_damages(),
    *index_damages(),
    *trigger_damages(),
    *guard_damages(),
    *view_damages(),
    *function_damages(),
]


@pytest.fixture(scope="module")
def common_connection(create_database, package_template) -> Iterator[psycopg.Connection]:
    with psycopg.connect(dbname=create_database(package_template)) as connection:
        yield connection


@pytest.fixture
def transaction(common_connection) -> Iterator[psycopg.Connection]:
    """A transaction in a database with the package that is rolled back in the end."""
    yield common_connection
    common_connection.rollback()


def verify(transaction: psycopg.Connection, change: str) -> str:
    """The message with which a change's verify script fails."""
    with pytest.raises(psycopg.Error) as caught:
        transaction.execute(script(f"verify/{change}.sql"))
    return caught.value.diag.message_primary


@pytest.mark.parametrize("change", changes())
def test_verify_script_passes_after_deploy(transaction, change):
    transaction.execute(script(f"verify/{change}.sql"))


@pytest.mark.parametrize("damage", DAMAGES, ids=lambda damage: f"{damage.change}: {damage.name}")
def test_verify_notices(transaction, damage):
    transaction.execute(damage.statement)

    assert damage.message in verify(transaction, damage.change)


@pytest.mark.parametrize("change", changes())
def test_verify_minds_nothing_that_the_site_grants(transaction, change):
    transaction.execute(
        f"""
        CREATE ROLE reader;
        GRANT ALL ON SCHEMA customer TO reader;
        GRANT ALL ON ALL TABLES IN SCHEMA customer TO reader;
        GRANT ALL ON ALL SEQUENCES IN SCHEMA customer TO reader;
        GRANT ALL ON ALL FUNCTIONS IN SCHEMA customer TO reader;
        GRANT SELECT (snapshot_month) ON {FACT}, {CONTROL}, {LOG} TO reader
        """
    )

    transaction.execute(script(f"verify/{change}.sql"))


@EACH_LACK
def test_verify_notices_what_the_source_system_lacks(transaction, lack):
    transaction.execute(lack.damage)

    assert verify(transaction, "missing_snapshot_sources") == in_words(lack.finding)


@pytest.mark.parametrize("column", columns(), ids=lambda column: f"{column.table}.{column.name}")
def test_verify_finds_a_column_of_its_own_type_right(transaction, column):
    """What the tests with another type change is the type alone, so the type is compared."""
    table, name, own_type, _, rest = column
    transaction.execute(replace_column(table, name, f"{own_type} {rest}"))
    # It has lost its constraints and indexes, if any; this makes the verify script fail anyway.
    transaction.execute(f"COMMENT ON TABLE {table} IS NULL")

    message = verify(transaction, table.removeprefix("customer."))

    assert "comment on table" in message
    assert f"column {name} " not in message
