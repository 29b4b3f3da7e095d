"""The sample's year as BI reads it: 2025 restated from its history, January 2026 refreshed."""

from collections import Counter
from collections.abc import Iterator
from datetime import date

import oracle
import psycopg
import pytest
from support import FACT, SOURCES, refresh, restate

*YEAR, JANUARY = MONTHS = [
    oracle.last_day(date(2025 + number // 12, number % 12 + 1, 1)) for number in range(13)
]


@pytest.fixture(scope="module")
def year(create_database, sample_template) -> Iterator[psycopg.Connection]:
    """A connection to a database of this file's own, in which nothing is changed thereafter."""
    with psycopg.connect(dbname=create_database(sample_template), autocommit=True) as connection:
        for month in YEAR:
            restate(connection, month)
        refresh(connection, JANUARY)
        yield connection


# --- Awards and losses ----------------------------------------------------------


@pytest.mark.parametrize(
    ("event", "mark", "marked", "missing_in_december"),
    [
        ("award", "winning", [12, 30, 51, 68, 89, 105, 127, 146, 167, 182, 204, 223, 12], 33),
        ("loss", "churned", [12, 19, 25, 33, 40, 47, 53, 60, 67, 75, 83, 91, 8], 57),
    ],
)
def test_marks_grow_as_events_are_reported_and_start_anew_in_january(
    year, event, mark, marked, missing_in_december
):
    """Customers marked, and what no row shows, are what was reported in the year by then."""
    sources = oracle.read_sources(year)
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


def test_adding_up_the_lines_of_a_month_gives_its_aum_once(year):
    trend, rows = (
        year.execute(f"SELECT snapshot_month, sum(aum_balance) FROM {name} GROUP BY 1").fetchall()
        for name in ("customer.monthly_status_trend", FACT)
    )
    assert dict(trend) == dict(rows)


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
