"""What the manual prints for each program that calls the package, run as printed.

Each loads a month's file into 规模明细, where December is, between check and hook.
"""

import asyncio
import json
import re
import subprocess
import sys
from collections.abc import Callable
from datetime import date, datetime
from decimal import Decimal
from pathlib import Path

import asyncpg
import psycopg
import pytest
from psycopg.errors import InvalidParameterValue
from sqlalchemy import create_engine, func, select
from support import FACT, README, Source, blocks, months_stored, refresh, run, succeed

pytestmark = pytest.mark.distribution

DECEMBER = date(2025, 12, 31)

COLUMNS = '"月度","业务类型","计划类型","计划代码","产品线代码","company_id","期末资产规模"'
ROW = "企年受托,单一计划,P1,PL202,C1,100.005"
INSERT = f'INSERT INTO business."规模明细" ({COLUMNS}) SELECT {COLUMNS} FROM staging."规模明细"'
# What each prints of a month that it wrote.
CALLERS = {
    "psycopg": "refreshed 1 rows written\naum_differs: ",
    "pandas": "refreshed\n",
    "asyncpg": "refreshed\n",
    "dbt": "1 of 1 OK created sql incremental model business.规模明细",
}


def python(caller: str) -> str:
    [example] = [block for block in blocks("python") if block.startswith(f"import {caller}")]
    call = f"{'await ' if caller == 'asyncpg' else ''}connection.execute({INSERT!r})"
    return re.sub(r"# \.\.\. load .*", call, example)


def make_dbt_project(folder: Path, connection: psycopg.Connection) -> None:
    """The model that is printed, a statement on-run-end, and where the database is."""
    names = ("host", "port", "user", "password", "dbname")
    server = {name: getattr(connection.info, name) for name in names}
    target = server | {"type": "postgres", "schema": "business"}
    files = {
        "profiles.yml": {"platform": {"target": "test", "outputs": {"test": target}}},
        "dbt_project.yml": {
            **{"name": "platform", "profile": "platform"},
            "on-run-end": "CREATE TABLE staging.at_the_end AS SELECT 1",
        },
    }
    for name, content in files.items():
        (folder / name).write_text(json.dumps(content))
    (folder / "models").mkdir()
    (folder / "models" / "规模明细.sql").write_text(blocks("jinja")[0], encoding="utf-8")


@pytest.fixture
def load(database, connection, tmp_path) -> Callable[..., subprocess.CompletedProcess[str]]:
    """A function that runs what is printed for a caller, with a file of this day."""
    source = Source(connection)
    source.contract("C1")
    source.detail("C1", "200", day="2025-12-01")
    refresh(connection, DECEMBER)
    connection.execute(
        """
        CREATE SCHEMA staging;
        CREATE TABLE staging."规模明细" (LIKE business."规模明细");
        ALTER TABLE staging."规模明细" DROP COLUMN id
        """
    )
    make_dbt_project(tmp_path, connection)

    def load_file(caller: str, day: str = "2026-01-01") -> subprocess.CompletedProcess[str]:
        file = tmp_path / "规模明细.csv"
        file.write_text(f"{COLUMNS}\n{day},{ROW}\n", encoding="utf-8")
        with connection.cursor().copy(
            f'COPY staging."规模明细" ({COLUMNS}) FROM STDIN (FORMAT csv, HEADER)'
        ) as copy:
            copy.write(file.read_text(encoding="utf-8"))
        if caller == "dbt":
            [command] = re.findall(r"`dbt (run .*?)`", README)
            words = f"{Path(sys.executable).with_name('dbt')} --no-use-colors {command}"
            return run("env", "-C", tmp_path, "bash", "-c", words, DO_NOT_TRACK="1")
        code = python(caller).replace("workdatahub", database)
        return run("env", "-C", tmp_path, sys.executable, "-c", code)

    return load_file


@pytest.mark.parametrize("caller", CALLERS)
def test_month_is_written_in_the_loads_transaction(connection, load, caller):
    assert CALLERS[caller] in succeed(load(caller))

    aum, loaded_by, written_by = connection.execute(
        f"""
        SELECT aum_balance, detail.xmin::text, fact.xmin::text
        FROM {FACT} AS fact
        JOIN business."规模明细" AS detail ON "月度" = date_trunc('month', snapshot_month)
        WHERE snapshot_month <> %s
        """,
        [DECEMBER],
    ).fetchone()
    assert aum == Decimal("100.01")
    assert loaded_by == written_by
    if caller == "dbt":
        [ended_by] = connection.execute("SELECT xmin::text FROM staging.at_the_end").fetchone()
        assert ended_by != written_by


@pytest.mark.parametrize("caller", CALLERS)
def test_refused_month_takes_its_load_back(connection, load, caller):
    result = load(caller, day="2026-03-01")

    assert result.returncode == 1
    refusal = "the AUM detail has no row for 2026-01-31, though stored months have AUM"
    assert refusal in result.stdout + result.stderr
    days = connection.execute('SELECT "月度" FROM business."规模明细"').fetchall()
    assert days == [(date(2025, 12, 1),)]
    assert months_stored(connection) == {DECEMBER: 1}
    # On-run-end is not for the hook: it runs even so.
    assert caller != "dbt" or connection.execute("TABLE staging.at_the_end").fetchall()


def test_psycopg_is_told_why_the_hook_skips(database, connection, load):
    connection.execute(f"ALTER DATABASE {database} SET customer.post_etl_hooks = off")

    assert succeed(load("psycopg")) == "skipped customer.post_etl_hooks is off\n"


def test_statement_for_pg_cron_refreshes_the_month_before(connection):
    [statement] = re.findall(r"cron\.schedule\([^$]*\$\$(.*?)\$\$", README)
    [day] = connection.execute("SELECT (now() - INTERVAL '1 month')::date").fetchone()
    Source(connection).detail(None, "1", day=day)

    [result] = connection.execute(statement).fetchone()

    assert (result["status"], result["snapshot_month"][:7]) == ("refreshed", f"{day:%Y-%m}")


def test_texts_and_null_are_periods_whatever_the_driver_makes_of_them(database, connection):
    checked = []
    engine = create_engine(f"postgresql+psycopg:///{database}")

    async def check(period: str | None) -> str:
        session = await asyncpg.connect(database=database)
        return await session.fetchval("SELECT customer.pre_etl_check('other', $1)", period)

    for period in ("202601", None):
        statement = "SELECT customer.pre_etl_check('other', %s)"
        checked += connection.execute(statement, [period]).fetchone()
        with engine.connect() as session:
            checked += session.execute(select(func.customer.pre_etl_check("other", period))).one()
        checked.append(json.loads(asyncio.run(check(period))))

    assert [result["status"] for result in checked] == ["skipped"] * 6


def test_other_periods_get_an_error_that_helps(connection):
    for period in (202601, Decimal("202601"), date(2026, 1, 31), datetime(2026, 1, 31)):
        for function in ("pre_etl_check", "post_etl_hook"):
            with pytest.raises(InvalidParameterValue, match="be a text YYYYMM, but is 202") as got:
                connection.execute(f"SELECT customer.{function}('annual_award', %s)", [period])
            assert f"Pass it as text: customer.{function}(" in got.value.diag.message_hint
