"""customer.restate_monthly_snapshot: messages, and data of production's size."""

import json
import statistics
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from datetime import date
from decimal import Decimal
from functools import partial

import oracle
import psycopg
import pytest
from psycopg.types.json import set_json_loads
from support import FACT, Notice, Source, do, listen, refresh, restate

JUNE = date(2025, 6, 30)
JULY = date(2025, 7, 31)


@pytest.fixture
def database(emptied_database) -> str:
    return emptied_database


@pytest.fixture
def source(connection) -> Source:
    """In June 2025 there were C1 and C2; today there are C1, with another mark, and C3."""
    source = Source(connection)
    with connection.transaction():
        source.contract("C1", valid_to="2025-12-31")
        source.contract("C1", valid_from="2026-01-01", is_strategic=True)
        source.contract("C2", valid_to="2025-06-30")
        source.contract("C3", valid_from="2025-07-01")
        source.detail("C1", "1000.25", day="2025-06-01")
        source.detail("C2", "20.50", day="2025-06-01")
        source.detail("C3", "5", day="2025-06-01")
        source.detail("C1", "1000", day="2025-07-01")
    return source


def customers(connection: psycopg.Connection, month: date = JUNE) -> list[str]:
    """Who has a row in a month; strategic ones have an asterisk."""
    return [
        company_id
        for (company_id,) in connection.execute(
            f"SELECT company_id || CASE WHEN is_strategic THEN '*' ELSE '' END FROM {FACT}"
            " WHERE snapshot_month = %s ORDER BY 1",
            [month],
        )
    ]


# --- Messages ----------------------------------------------------------------


def done(counts: str) -> Notice:
    return Notice(
        "NOTICE", "00000", f"snapshot of 2025-06-30: {counts} yuan, 5.00 unattributed", None
    )


def test_restate_and_refresh_thereafter_say_no_more_than_their_counts(connection, source):
    """Nor is an older month anything to warn of; it stays what it was restated to be."""
    refresh(connection, JULY)
    refresh(connection, JUNE)
    assert customers(connection) == ["C1*", "C3"]
    notices = listen(connection)

    restate(connection, JUNE)
    refresh(connection, JUNE)

    assert customers(connection) == ["C1", "C2"]
    assert notices == [
        done("2 rows, 1 inserted, 1 updated, 0 unchanged, 0 stale, 1 deleted; AUM 1020.75"),
        done("2 rows, 0 inserted, 0 updated, 2 unchanged, 0 stale, 0 deleted; AUM 1020.75"),
    ]


def test_hint_of_todays_contracts_leads_out_of_it(connection, source):
    refresh(connection, JULY)
    notices = listen(connection)
    refresh(connection, JUNE)
    [hint] = [notice.hint for notice in notices if "today's contracts" in notice.message]

    connection.execute(hint.partition(": ")[2])

    assert customers(connection) == ["C1", "C2"]


# --- Data of production's size -----------------------------------------------

YEAR = [oracle.last_day(date(2025, month, 1)) for month in range(1, 13)]


@pytest.fixture(scope="module")
def sample(create_database, sample_template) -> Iterator[psycopg.Connection]:
    """A connection to a database with the sample, for all tests of this file."""
    with psycopg.connect(
        dbname=create_database(sample_template),
        autocommit=True,
        options="-c client_min_messages=error -c synchronous_commit=off",
    ) as connection:
        set_json_loads(partial(json.loads, parse_float=Decimal), connection)
        yield connection


@pytest.fixture(scope="module")
def sources_of(sample) -> Callable[[date], oracle.Sources]:
    """A function that gives the sources of a month, with no AUM detail but its own: quicker."""
    sources = oracle.read_sources(sample)
    details = defaultdict(list)
    for detail in sources.details:
        details[oracle.last_day(detail.as_of)].append(detail)
    return lambda month: sources._replace(details=details[month])


def seconds(call: Callable, *arguments) -> float:
    started = time.perf_counter()
    call(*arguments)
    return time.perf_counter() - started


@pytest.fixture(scope="module")
def backfilled(sample) -> dict[str, list[float]]:
    """2025 restated, month by month; the seconds that it took, and that first fills take."""
    took: dict[str, list[float]] = {"refresh": [], "restate": []}
    for month in YEAR:
        # In turns, so that what else the machine does slows both.
        if month.month % 2:
            with sample.transaction(force_rollback=True):
                took["refresh"].append(seconds(refresh, sample, month))
        took["restate"].append(seconds(restate, sample, month))
    return took


def state(connection: psycopg.Connection) -> dict[date, tuple[int, Decimal]]:
    """The rows of each month, and a sum that changes when one of them is written or locked."""
    return {
        month: (count, checksum)
        for month, count, checksum in connection.execute(
            f"""
            SELECT
                snapshot_month,
                count(*),
                sum(hashtextextended(concat_ws(' ', ctid, xmin, xmax, fact), 0))
            FROM {FACT} AS fact
            GROUP BY snapshot_month
            """
        )
    }


def test_sample_has_what_makes_restating_hard(sources_of):
    """Premise: versions that ended, overlap on the last day of a month, or have no end."""
    versions = sources_of(JUNE).contracts
    assert sum(version.valid_to is None for version in versions) > 0
    assert sum(version.valid_to != oracle.OPEN for version in versions) > 2_000
    covering = Counter(
        (version.key, version.plan_code, month)
        for month in YEAR
        for version in versions
        if version.valid_to and version.valid_from <= month <= version.valid_to
    )
    assert sum(count > 1 for count in covering.values()) > 10


def test_backfilled_months_are_what_the_oracle_says(sample, backfilled, sources_of):
    stored = oracle.read_stored(sample)
    assert sorted(stored) == YEAR
    for month in YEAR:
        assert len(stored[month]) > 19_000
        assert stored[month] == oracle.snapshot(sources_of(month), month, "as_of")


def test_result_on_the_sample_is_what_the_oracle_says(sample, backfilled, sources_of):
    """A month refreshed today, then restated: rows go, come and change."""
    month = YEAR[4]
    before = state(sample)
    with sample.transaction(force_rollback=True):
        # Otherwise a refresh goes by the contracts of the month's last day, too.
        sample.execute("SELECT customer.discard_snapshot_month(%s, 'to be refreshed')", [month])
        for operation in ("refresh", "restate"):
            expected = oracle.call(
                operation,
                month,
                sources_of(month),
                oracle.read_stored(sample),
                oracle.read_control(sample)[month],
            )
            result = do(sample, operation, month)

            result["warnings"] = [warning["code"] for warning in result["warnings"]]
            assert result == expected.result | {"log_id": result["log_id"]}
            assert oracle.read_stored(sample)[month] == expected.rows

        assert min(result[key] for key in ("updated", "unchanged", "deleted")) > 10
        after = state(sample)
        assert after.pop(month)[0] == before.pop(month)[0]
        assert after == before


def test_second_backfill_leaves_the_fact_table_untouched(sample, backfilled):
    before = state(sample)

    results = [restate(sample, month) for month in YEAR]

    assert all(result["upserted"] == result["deleted"] == 0 for result in results)
    assert [result["unchanged"] for result in results] == [before[month][0] for month in YEAR]
    assert state(sample) == before


def test_backfill_takes_little_longer_than_first_fills(backfilled):
    """At most 1.3 times as long: the median month against the median month."""
    restated = statistics.median(backfilled["restate"])
    filled = statistics.median(backfilled["refresh"])
    assert restated <= 1.3 * filled
