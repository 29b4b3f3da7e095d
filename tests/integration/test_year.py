"""The sample's year: 2025 restated from its history, January 2026 refreshed, and as BI reads it."""

import json
import statistics
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from datetime import date
from decimal import Decimal
from functools import partial

import oracle
import psycopg
import pytest
from psycopg.types.json import set_json_loads
from support import FACT, SOURCES, busy, do, refresh, restate

pytestmark = pytest.mark.distribution

*YEAR, JANUARY = MONTHS = [
    oracle.last_day(date(2025 + number // 12, number % 12 + 1, 1)) for number in range(13)
]
EXACTLY = partial(json.loads, parse_float=Decimal)


@pytest.fixture(scope="module")
def took() -> dict[str, list[float]]:
    """The seconds that restating each month of the year took, and that first fills take."""
    return {"refresh": [], "restate": []}


@pytest.fixture(scope="module")
def year(create_database, sample_template, took) -> Iterator[psycopg.Connection]:
    """A connection to a database of this file's own, in which nothing is changed thereafter."""

    def clock(call: Callable, month: date) -> None:
        started = busy(connection)
        call(connection, month)
        took[call.__name__].append(busy(connection) - started)

    with psycopg.connect(
        dbname=create_database(sample_template),
        autocommit=True,
        options="-c client_min_messages=error -c synchronous_commit=off",
    ) as connection:
        set_json_loads(EXACTLY, connection)
        for month in YEAR:
            # In turns, so that both meet what has been written by then.
            if month.month % 2:
                with connection.transaction(force_rollback=True):
                    clock(refresh, month)
            clock(restate, month)
        refresh(connection, JANUARY)
        yield connection


@pytest.fixture(scope="module")
def sources(year) -> oracle.Sources:
    return oracle.read_sources(year)


@pytest.fixture(scope="module")
def sources_of(sources) -> Callable[[date], oracle.Sources]:
    """A function that gives the sources of a month, with no AUM detail but its own: quicker."""
    details = defaultdict(list)
    for detail in sources.details:
        details[oracle.last_day(detail.as_of)].append(detail)
    return lambda month: sources._replace(details=details[month])


# --- Restating ------------------------------------------------------------------


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
    versions = sources_of(YEAR[5]).contracts
    assert sum(version.valid_to is None for version in versions) > 0
    assert sum(version.valid_to != oracle.OPEN for version in versions) > 2_000
    covering = Counter(
        (version.key, version.plan_code, month)
        for month in YEAR
        for version in versions
        if version.valid_to and version.valid_from <= month <= version.valid_to
    )
    assert sum(count > 1 for count in covering.values()) > 10


def test_months_are_what_the_oracle_says(year, sources_of):
    stored = oracle.read_stored(year)
    assert sorted(stored) == MONTHS
    for month in MONTHS:
        assert len(stored[month]) > 19_000
        rule = "current" if month == JANUARY else "as_of"
        assert stored[month] == oracle.snapshot(sources_of(month), month, rule)


def test_result_on_the_sample_is_what_the_oracle_says(year, sources_of):
    """A month refreshed today, then restated: rows go, come and change."""
    month = YEAR[4]
    before = state(year)
    with year.transaction(force_rollback=True):
        # Otherwise a refresh goes by the contracts of the month's last day, too.
        year.execute("SELECT customer.discard_snapshot_month(%s, 'to be refreshed')", [month])
        stored = oracle.read_stored(year)
        for operation in ("refresh", "restate"):
            control = oracle.read_control(year)[month]
            expected = oracle.call(operation, month, sources_of(month), stored, control)
            result = do(year, operation, month)
            stored = oracle.read_stored(year)

            result["warnings"] = [warning["code"] for warning in result["warnings"]]
            assert result == expected.result | {"log_id": result["log_id"]}
            assert stored[month] == expected.rows

        assert min(result[key] for key in ("updated", "unchanged", "deleted")) > 10
        after = state(year)
        assert after.pop(month)[0] == before.pop(month)[0]
        assert after == before


def test_second_backfill_leaves_the_fact_table_untouched(year):
    before = state(year)

    results = [restate(year, month) for month in YEAR]

    assert all(result["upserted"] == result["deleted"] == 0 for result in results)
    assert [result["unchanged"] for result in results] == [before[month][0] for month in YEAR]
    assert state(year) == before


def test_backfill_takes_little_longer_than_first_fills(year, took):
    """At most 1.3 times as long: the median month against the median month."""
    assert statistics.median(took["restate"]) <= 1.3 * statistics.median(took["refresh"])


# --- Awards and losses ----------------------------------------------------------


@pytest.mark.parametrize(
    ("event", "mark", "marked", "missing_in_december"),
    [
        ("award", "winning", [12, 30, 51, 68, 89, 105, 127, 146, 167, 182, 204, 223, 12], 33),
        ("loss", "churned", [12, 19, 25, 33, 40, 47, 53, 60, 67, 75, 83, 91, 8], 57),
    ],
)
def test_marks_grow_as_events_are_reported_and_start_anew_in_january(
    year, sources, event, mark, marked, missing_in_december
):
    """Customers marked, and what no row shows, are what was reported in the year by then."""
    found = year.execute(
        f"""
        SELECT {mark}_this_year_customers, ARRAY(
            SELECT ARRAY[company_id, product_line_code]
            FROM customer.unmatched_awards_and_losses
            WHERE (snapshot_month, event) = (total.snapshot_month, %s)
        ), (
            SELECT sum({mark}_this_year_customers)
            FROM customer.monthly_status_trend
            WHERE snapshot_month = total.snapshot_month
        )
        FROM customer.monthly_status_total AS total
        ORDER BY snapshot_month
        """,
        [event],
    ).fetchall()

    assert [row[0] for row in found] == marked
    assert len(found[11][1]) == missing_in_december
    events = sources.awards if event == "award" else sources.losses
    for month, (customers, missing, by_line) in zip(MONTHS, found, strict=True):
        reported = [each.key for each in oracle.events_of(events, month, "as_of")]
        held = oracle.keys_by("current" if month == JANUARY else "as_of", month, sources)
        assert Counter(map(tuple, missing)) == Counter(key for key in reported if key not in held)
        assert by_line + len({*map(tuple, missing)}) == len({*reported})
        assert customers == len({key[0] for key in reported if key in held})


# --- Customers and AUM ----------------------------------------------------------


@pytest.mark.parametrize(
    ("stocks", "moves", "line", "count"),
    [("trend", "bridge", ", product_line_code", 48), ("total", "bridge_total", "", 12)],
)
def test_what_was_there_and_what_came_and_went_is_what_is_there(year, stocks, moves, line, count):
    """From the stock of a month to that of the next, in customers and to the cent in AUM."""
    right = year.execute(
        f"""
        SELECT count(*)
        FROM (
            SELECT *,
                lag(customers_with_aum) OVER by_month AS customers_before,
                lag(aum_balance) OVER by_month AS aum_before
            FROM customer.monthly_status_{stocks}
            WINDOW by_month AS (PARTITION BY TRUE{line} ORDER BY snapshot_month)
        ) AS stock
        JOIN customer.monthly_status_{moves} AS moved USING (snapshot_month{line})
        WHERE stock.customers_with_aum = customers_before + started_customers - ended_customers
            AND stock.aum_balance = aum_before + started_aum + ended_aum + grew_aum + shrank_aum
        """
    )
    assert right.fetchone() == (count,)


def test_what_ends_seldom_starts_again_the_next_month(year):
    """As in a real book, in which at most one in ten might: here none of 236 does."""
    moved = year.execute(
        "SELECT movement, snapshot_month, company_id, product_line_code"
        " FROM customer.monthly_status_movement WHERE movement IN ('started', 'ended')"
    ).fetchall()
    ended = {row[1:] for row in moved if row[0] == "ended"}
    started = {(oracle.month_before(row[1]), *row[2:]) for row in moved if row[0] == "started"}
    assert (len(ended), len(started), len(ended & started)) == (236, 237, 0)


# --- Restated and live ----------------------------------------------------------

CONTRACT, AWARD, LOSS, DETAIL, _ = SOURCES
# What the platform knew on the last day of a month: the newest version of a contract was current
# then, unless it had ended before.
LOAD = f"""
    TRUNCATE {CONTRACT}, {AWARD}, {LOSS}, {DETAIL};
    INSERT INTO {CONTRACT} SELECT * FROM later.customer_plan_contract WHERE valid_from <= '{{0}}';
    UPDATE {CONTRACT} AS version SET valid_to = '9999-12-31'
    FROM (
        SELECT DISTINCT ON (company_id, plan_code, product_line_code) contract_id
        FROM {CONTRACT}
        ORDER BY company_id, plan_code, product_line_code, valid_from DESC
    ) AS newest
    WHERE version.contract_id = newest.contract_id AND valid_to >= '{{0}}';
    INSERT INTO {AWARD} SELECT * FROM later."当年中标" WHERE "上报月份" <= '{{0}}';
    INSERT INTO {LOSS} SELECT * FROM later."当年流失" WHERE "上报月份" <= '{{0}}';
    INSERT INTO {DETAIL}
    SELECT * FROM later."规模明细" WHERE "月度" BETWEEN DATE '{{0}}' - 30 AND '{{0}}';
"""
# What is read, but for how and when a month was written; of the rows a checksum each month.
READS = (
    *(
        f"SELECT to_jsonb(t) - '{{rule,last_changed_at}}'::text[] AS line"
        f" FROM customer.monthly_status_{view} AS t ORDER BY line"
        for view in ("trend", "total")
    ),
    f"SELECT snapshot_month, sum(hashtextextended((to_jsonb(t) - 'updated_at')::text, 0))"
    f" FROM {FACT} AS t GROUP BY 1 ORDER BY 1",
)


def test_restated_months_are_what_they_were_when_refreshed_in_their_own_time(
    year, create_test_database, sample_template
):
    """With no contract version, award, loss or detail but those that there were by then."""
    name = create_test_database(sample_template)
    with psycopg.connect(dbname=name, autocommit=True) as live:
        set_json_loads(EXACTLY, live)
        live.execute("CREATE SCHEMA later")
        for table in (CONTRACT, AWARD, LOSS, DETAIL):
            live.execute(
                f"ALTER TABLE {table} SET SCHEMA later;"
                f"CREATE TABLE {table} (LIKE later.{table.partition('.')[2]})"
            )
        for month in MONTHS:
            live.execute(LOAD.format(month))
            assert refresh(live, month)["warnings"] == []

        for read, count in zip(READS, (52, 13, 13), strict=True):
            found = live.execute(read).fetchall()
            assert (len(found), found) == (count, year.execute(read).fetchall())
