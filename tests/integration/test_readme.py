"""What the README prints is run as printed, on databases and roles of the tests' own.

What it prints for adopting runs in test_adopt.py, for restoring and replicas in test_restore.py.
And the CHANGELOG names whatever a user meets.
"""

import re
import sys
from collections.abc import Iterator
from datetime import date
from decimal import Decimal

import psycopg
import pytest
from support import PROJECT, README, Source, blocks, fail, psql, run, shell_command, succeed

DATABASE = "workdatahub"
JANUARY = date(2026, 1, 31)


@pytest.fixture
def workdatahub(package_template) -> Iterator[psycopg.Connection]:
    """A connection to a small platform, whose database has the README's name."""
    with psycopg.connect(autocommit=True) as server:
        server.execute(f"CREATE DATABASE {DATABASE} TEMPLATE {package_template}")
        try:
            with psycopg.connect(dbname=DATABASE, autocommit=True) as connection:
                source = Source(connection)
                source.contract("C1", is_strategic=True)
                source.contract("C2", plan_code="P2")
                source.award("C2")
                source.detail("C1", "100.005")
                yield connection
        finally:
            server.execute(f"DROP DATABASE {DATABASE} WITH (FORCE)")


def snapshot(connection: psycopg.Connection) -> list[tuple]:
    return connection.execute(
        "SELECT snapshot_month, company_id, is_strategic, is_new, aum_balance, plan_count"
        " FROM customer.fct_customer_business_monthly_status ORDER BY company_id"
    ).fetchall()


EXPECTED = [
    (JANUARY, "C1", True, False, Decimal("100.01"), 1),
    (JANUARY, "C2", False, True, Decimal("0.00"), 1),
]


def test_python_example_of_the_load(workdatahub):
    Source(workdatahub).detail("C1", "0", day="2026-01-31")
    [example] = blocks("python")

    output = succeed(run(sys.executable, "-c", example))

    assert output == (
        "refreshed 2 rows written\n"
        "several_month_dates: the AUM detail of 2026-01-31 stands under several days:"
        " 1 rows under 2026-01-01, 1 rows under 2026-01-31:"
        " All of them are added up. Look whether the month was loaded twice.\n"
    )
    assert snapshot(workdatahub) == EXPECTED


def test_python_example_when_the_hook_skips(workdatahub):
    workdatahub.execute(f"ALTER DATABASE {DATABASE} SET customer.post_etl_hooks = off")
    [example] = blocks("python")

    assert succeed(run(sys.executable, "-c", example)) == "skipped customer.post_etl_hooks is off\n"
    assert snapshot(workdatahub) == []


def test_python_example_when_the_month_is_refused(workdatahub):
    """The load is rolled back with it: here a row that it would have brought."""
    [example] = blocks("python")
    load = 'connection.execute("DELETE FROM customer.customer_plan_contract")'
    workdatahub.execute("SELECT customer.refresh_monthly_snapshot('2026-01-31')")
    workdatahub.execute('DELETE FROM business."规模明细"')

    errors = fail(run(sys.executable, "-c", re.sub(r"# \.\.\. load .*", load, example)))

    assert "the AUM detail has no row for 2026-01-31, though stored months have AUM" in errors
    assert snapshot(workdatahub) == EXPECTED
    assert workdatahub.execute(
        "SELECT count(*) FROM customer.customer_plan_contract"
    ).fetchone() == (2,)


def test_sql_example_of_the_load(workdatahub):
    [example] = [block for block in blocks("sql") if "post_etl_hook" in block]

    output = succeed(psql(DATABASE, "-At", "-c", example))

    assert '"status": "refreshed"' in output
    assert snapshot(workdatahub) == EXPECTED


def test_dry_run_in_psql_writes_nothing(workdatahub):
    [example] = [block for block in blocks("sql") if "ROLLBACK" in block]

    output = succeed(psql(DATABASE, "-At", "-c", example))

    assert '"inserted": 2' in output
    assert snapshot(workdatahub) == []


def test_every_sql_example_runs(workdatahub):
    for block in blocks("sql"):
        # The owner's rights are granted below.
        if "wdh_owner" not in block:
            succeed(psql(DATABASE, "-c", block))
    assert snapshot(workdatahub) == EXPECTED


@pytest.mark.parametrize("file", ["sql/backfill.sql", "sql/queries/new_and_lost.sql"])
def test_psql_command_runs(workdatahub, file):
    for month in range(1, 13):
        Source(workdatahub).detail("C1", "100", f"2025-{month:02}-01")
    workdatahub.execute("SELECT customer.refresh_monthly_snapshot('2026-01-31')")

    assert succeed(run("bash", "-c", shell_command(f"-f {file}"), PGDATABASE=DATABASE))


def test_grants_command_runs(workdatahub, create_role):
    """With roles of this test's own instead of the README's."""
    command = shell_command("sql/grants.sql")
    role = create_role()

    succeed(run("bash", "-c", re.sub(r"=(wdh_\w+|bi)\b", f"={role}", command)))

    [granted] = workdatahub.execute(
        "SELECT has_function_privilege(%s, 'customer.post_etl_hook(text, text)', 'EXECUTE')",
        [role],
    ).fetchone()
    assert granted


@pytest.mark.distribution
def test_deploy_commands_run(create_test_database, source_template, create_role):
    """As an owner of this test's own, with the rights that the README grants it."""
    name, role = create_test_database(source_template), create_role()
    [grants] = [block for block in blocks("sql") if "wdh_owner" in block]
    own_grants = grants.replace("workdatahub", name).replace("wdh_owner", role)
    succeed(psql(name, "-c", own_grants))
    [block] = [block for block in blocks("sh") if "sqitch verify" in block]
    lines = re.findall(r"sqitch .*", re.sub(r"db:pg://\S+", f"db:pg:{name}", block))

    deployed, verified = (
        succeed(run("bash", "-c", line, PGOPTIONS=f"-c role={role}")) for line in lines
    )

    assert re.search(r"\+ guard_closed_months \.+ ok\n", deployed)
    assert verified.endswith("Verify successful\n")


def test_files_that_it_names_exist():
    named = set(re.findall(r"\b(?:sql|scripts|tests)/[\w./-]*\w", README))
    assert named
    assert [name for name in sorted(named) if not (PROJECT / name).exists()] == []


def test_tests_that_keep_its_promises_exist():
    named = re.findall(r"`((?:integration|pgtap)/\w+\.(?:py|sql))(?:::(\w+))?`", README)
    assert len(named) >= 15
    for file, test in named:
        content = (PROJECT / "tests" / file).read_text(encoding="utf-8")
        assert not test or f"def {test}(" in content, test


def test_changelog_names_all_that_a_user_meets():
    changelog = (PROJECT / "CHANGELOG.md").read_text(encoding="utf-8")
    deploy = "".join(path.read_text("utf-8") for path in sorted((PROJECT / "deploy").glob("*.sql")))
    made = set(
        re.findall(
            r"^CREATE (?:OR REPLACE )?(?:TABLE|VIEW|FUNCTION) (customer\.\w+)", deploy, re.MULTILINE
        )
    )
    internal = set(
        re.findall(
            r"^COMMENT ON FUNCTION (customer\.\w+)\(.*\) IS\n'(?:Internal|Trigger function):",
            deploy,
            re.MULTILINE,
        )
    )
    files = {
        path.relative_to(PROJECT).as_posix()
        for pattern in ("sql/*.sql", "scripts/*.py")
        for path in PROJECT.glob(pattern)
    }
    # Each of the three finds something, so that none can fall silent.
    assert made > internal
    assert internal
    assert files

    named = set(re.findall(r"`([\w./]+)`", changelog))
    assert sorted((made - internal | files) - named) == []
