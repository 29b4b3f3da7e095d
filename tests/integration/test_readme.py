"""What the README prints is run as printed, on databases and roles of the tests' own.

What it prints for adopting runs in test_adopt.py, for restoring and replicas in test_restore.py,
for the programs that call the package in test_callers.py, for the platform in test_platform.py.
And the CHANGELOG names whatever a user meets.
"""

import re
from collections.abc import Iterator
from datetime import date
from decimal import Decimal

import psycopg
import pytest
from support import PROJECT, README, Source, blocks, do, psql, run, shell_command, succeed

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


def test_every_sql_example_runs(workdatahub):
    for block in blocks("sql"):
        # What names roles runs below, and in test_platform.py.
        if "wdh_owner" not in block:
            succeed(psql(DATABASE, "-c", block))
        if "refresh_monthly_snapshot" in block:
            do(workdatahub, "close", JANUARY)
    assert snapshot(workdatahub) == EXPECTED


@pytest.mark.parametrize("file", ["backfill", "queries/new_and_lost", "merge_customers"])
def test_psql_command_runs(workdatahub, file):
    Source(workdatahub).contract("IN7K2M9QX4T1B8ZC")
    Source(workdatahub).customer("600012345")
    for month in range(1, 13):
        Source(workdatahub).detail("C1", "100", f"2025-{month:02}-01")
    workdatahub.execute("SELECT customer.refresh_monthly_snapshot('2026-01-31')")

    result = run("bash", "-c", shell_command(f"-f sql/{file}.sql"), PGDATABASE=DATABASE)
    assert succeed(result) or "1 months changed" in result.stderr


def test_files_that_it_names_exist():
    named = set(re.findall(r"\b(?:sql|scripts|tests)/[\w./-]*\w", README))
    assert named
    assert [name for name in sorted(named) if not (PROJECT / name).exists()] == []


def told(file: str) -> dict[str, list[str]]:
    """What a manual must say alike in every language."""
    text = (PROJECT / file).read_text(encoding="utf-8")
    fences = re.findall(r"(?ms)^```(\w*)\n(.*?)^```$", text)
    prose = re.sub(r"(?ms)^```.*?^```$", "", text)
    rows = "".join(re.findall(r"(?m)^\|.*\|$", prose))
    return {
        "code and output": sorted(fence for fence in fences if fence[0] != "mermaid"),
        "relations in pictures": sorted(re.findall(r"(?m)^ +(\w+ (?:\||\}).*)$", text)),
        "codes in tables": sorted(set(re.findall(r"`[^`]+`|\b[0-9][0-9A-Z]{4}\b", rows))),
        "figures": sorted(re.findall(r"[\d.,]+ (?:ms|s|MB|kB|%)(?![a-z])", prose)),
    }


def test_both_languages_tell_the_same():
    english, chinese = told("README.md"), told("README.zh-CN.md")
    assert all(english.values())
    assert chinese == english


@pytest.mark.parametrize("file", ["README.md", "README.zh-CN.md", "CONTRIBUTING.md"])
def test_links_lead_somewhere(file):
    text = (PROJECT / file).read_text(encoding="utf-8")
    headings = re.findall(r"(?m)^#+ (.*)$", re.sub(r"(?ms)^```.*?^```$", "", text))
    anchors = {re.sub(r"[^\w -]", "", heading).lower().replace(" ", "-") for heading in headings}
    linked = re.findall(r"\]\((#[^)]+|[^:)]+)\)", text)
    assert [
        link
        for link in linked
        if not (link[1:] in anchors if link[0] == "#" else (PROJECT / link).exists())
    ] == []


def test_tests_that_keep_its_promises_exist():
    contributing = (PROJECT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    named = re.findall(r"`((?:integration|pgtap)/\w+\.(?:py|sql))(?:::(\w+))?`", contributing)
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
