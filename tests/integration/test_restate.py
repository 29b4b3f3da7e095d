"""What restating says, and what leads to it; a whole year of it is in test_year.py."""

from datetime import date

import psycopg
import pytest
from support import FACT, Notice, Source, listen, refresh, restate

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
