"""The refresh on data of production's size: right in every value, idle when idle, and quick."""

import itertools
import json
import unicodedata
from datetime import date
from decimal import Decimal
from functools import partial
from typing import NamedTuple

import oracle
import psycopg
import pytest
from psycopg.errors import ObjectNotInPrerequisiteState
from psycopg.types.json import set_json_loads
from support import SOURCES, busy, forget_statistics, psql, refresh, restate, succeed, versions

DECEMBER = date(2025, 12, 31)
JANUARY = date(2026, 1, 31)
JUNE = date(2025, 6, 30)
"""Loaded under its last day; the others under their first."""


@pytest.fixture
def template(sample_template) -> str:
    return sample_template


# --- What the definitions give ------------------------------------------------


@pytest.fixture(scope="module")
def sources(sample_template) -> oracle.Sources:
    with psycopg.connect(dbname=sample_template) as connection:
        return oracle.read_sources(connection)


def test_every_value_is_what_the_definitions_give(connection, sources):
    """Month by month, not in their order; and refreshed again, no row is touched.

    For what restating gives see test_year.py.
    """
    set_json_loads(partial(json.loads, parse_float=Decimal), connection)
    stored = {}
    for month in (JUNE, date(2025, 2, 28), JANUARY):
        expected = oracle.call("refresh", month, sources, stored, oracle.Control())
        stored[month] = expected.rows

        result = refresh(connection, month)

        result["warnings"] = [warning["code"] for warning in result["warnings"]]
        assert result == expected.result | {"log_id": result["log_id"]}
        assert result["total"] == 19_524
        assert oracle.read_stored(connection) == stored
        assert oracle.read_control(connection)[month] == expected.control

        before = versions(connection)
        again = refresh(connection, month)
        assert (again["upserted"], again["unchanged"]) == (0, 19_524)
        assert versions(connection) == before

    # Of January's AUM most is lost.
    connection.execute(
        """DELETE FROM business."规模明细" WHERE id % 3 > 0 AND "月度" = '2026-01-01'"""
    )
    rest = sources._replace(details=[detail for detail in sources.details if detail.id % 3 == 0])
    with pytest.raises(oracle.Refused, match="aum_differs"):
        oracle.call("refresh", JANUARY, rest, stored, expected.control)
    with pytest.raises(ObjectNotInPrerequisiteState, match="the AUM of 2026-01-31 is"):
        refresh(connection, JANUARY)


def test_sample_holds_each_case_of_the_definitions(sources):
    rows = oracle.snapshot(sources, JANUARY, "current").values()

    # What a customer can be at once: is_new follows.
    assert {
        (row.is_existing, row.is_winning_this_year, row.is_churned_this_year) for row in rows
    } == {*itertools.product((False, True), repeat=3)}
    assert {row.is_strategic for row in rows} == {False, True}
    assert {row.plan_count for row in rows} == {1, 2}
    assert min(row.aum_balance for row in rows) < 0
    assert any(row.aum_balance == 0 for row in rows)
    january = oracle.details_of(sources, JANUARY)
    assert {detail.as_of.day for detail in january} == {1}
    assert {detail.as_of.day for detail in oracle.details_of(sources, JUNE)} == {30}
    assert any(detail.amount is None for detail in january)
    assert any(
        detail.amount and detail.amount != oracle.rounded(detail.amount) for detail in january
    )
    assert any(contract.is_strategic is None for contract in sources.contracts)
    assert any(contract.is_existing is None for contract in sources.contracts)
    assert any(contract.valid_to is None for contract in sources.contracts)


def test_sources_are_left_as_they_are(connection):
    """Each row where it was and what it was; foreign keys lock customers, which does not show."""

    def sources() -> dict[str, tuple]:
        return {
            table: connection.execute(
                f"SELECT count(*), sum(hashtextextended(ctid::text || source::text, 0))"
                f" FROM {table} AS source"
            ).fetchone()
            for table in (*SOURCES, 'mapping."产品线"')
        }

    before = sources()
    assert before["customer.customer_plan_contract"][0] == 22_997

    refresh(connection, JANUARY)
    restate(connection, DECEMBER)
    connection.execute("SELECT * FROM customer.validate_monthly_snapshot('2026-01-31')")

    assert sources() == before


def test_demo_shows_what_bi_reads_in_80_columns(connection, database):
    restate(connection, DECEMBER)
    refresh(connection, JANUARY)
    files = ("sql/demo/look.sql", "sql/demo/publish.sql")
    shown = "".join(succeed(psql(database, "-f", file)) for file in files)
    assert "+ ended: has none any more     -1,405,194,157.32                 -8\n" in shown
    assert "600000007 PL201 aum_balance          1172001.58 3032000.69 1859999.11" in shown
    for line in shown.splitlines():
        wide = sum(unicodedata.east_asian_width(character) == "W" for character in line)
        assert len(line) + wide <= 80, line


# --- Speed -------------------------------------------------------------------


class Times(NamedTuple):
    """Seconds at work."""

    first_fill: float
    rerun: float


def measure(connection: psycopg.Connection) -> Times:
    """How long a month takes that is not there yet, and then the same again."""

    def seconds() -> float:
        started = busy(connection)
        refresh(connection, JANUARY)
        return busy(connection) - started

    # What takes longer than this is not slow, but hopeless.
    connection.execute("SET LOCAL statement_timeout = '60s'")
    return Times(seconds(), seconds())


def measure_rolled_back(connection: psycopg.Connection) -> Times:
    """The same, undone."""
    with connection.transaction(force_rollback=True):
        return measure(connection)


def test_without_indexes_on_detail_it_takes_at_most_three_times_as_long(connection):
    with_indexes = measure_rolled_back(connection)
    connection.execute('ALTER TABLE business."规模明细" DROP CONSTRAINT "规模明细_pkey"')
    for (drop,) in connection.execute(
        "SELECT format('DROP INDEX business.%I', indexname) FROM pg_indexes"
        " WHERE tablename = '规模明细'"
    ).fetchall():
        connection.execute(drop)

    without_indexes = measure_rolled_back(connection)

    assert without_indexes.first_fill <= 3 * with_indexes.first_fill
    assert without_indexes.rerun <= 3 * with_indexes.rerun


def test_quick_on_tables_never_analysed(connection):
    analysed = measure_rolled_back(connection)
    forget_statistics(connection, *SOURCES)

    never_analysed = measure_rolled_back(connection)

    assert never_analysed.first_fill <= 5 * analysed.first_fill
    assert never_analysed.rerun <= 5 * analysed.rerun


def test_quick_where_statistics_are_older_than_the_load(connection):
    """The ETL loads a month and syncs the contracts in the transaction that refreshes.

    The planner then believes that there is no AUM in the month and no current contract.
    """
    analysed = measure_rolled_back(connection)
    for table in SOURCES:
        connection.execute(f"ALTER TABLE {table} SET (autovacuum_enabled = off)")
    connection.execute(
        """
        CREATE TEMPORARY TABLE january AS
        SELECT * FROM business."规模明细" WHERE "月度" >= '2026-01-01';

        DELETE FROM business."规模明细" WHERE "月度" >= '2026-01-01';

        UPDATE customer.customer_plan_contract
        SET valid_to = DATE '9000-01-01' + contract_id
        WHERE valid_to = '9999-12-31'
        """
    )
    connection.execute('ANALYZE customer.customer_plan_contract, business."规模明细"')

    with connection.transaction(force_rollback=True):
        connection.execute(
            """
            INSERT INTO business."规模明细" SELECT * FROM january;

            UPDATE customer.customer_plan_contract
            SET valid_to = '9999-12-31'
            WHERE valid_to > '9000-01-01'
            """
        )
        just_loaded = measure(connection)

    assert just_loaded.first_fill <= 10 * analysed.first_fill
    assert just_loaded.rerun <= 10 * analysed.rerun
