"""Closing and reopening months: what only several sessions, roles or databases can show."""

from collections.abc import Callable
from datetime import date
from typing import Any

import psycopg
import pytest
from psycopg import sql
from psycopg.errors import (
    LockNotAvailable,
    ObjectNotInPrerequisiteState,
    SerializationFailure,
)
from support import BY_HAND, CALLS, FACT, LEVELS, Source, versions, wait_for_lock

DECEMBER = date(2025, 12, 31)
JANUARY = date(2026, 1, 31)
FEBRUARY = date(2026, 2, 28)

# All the ways to change a month. Those of the package lock the month's control row and renew it,
# so that snapshots of before are refused; for those by hand the triggers do.
BY_PACKAGE = {name: CALLS[name] for name in ("refresh", "restate", "hook", "discard")}
CHANGES = BY_PACKAGE | BY_HAND

every_change = pytest.mark.parametrize("name", CHANGES)
every_level = pytest.mark.parametrize("level", LEVELS)
# TRUNCATE does not wait for who changes a month (test_concurrency.py).
every_change_that_waits = pytest.mark.parametrize(
    "name", [*BY_PACKAGE, "insert", "update", "delete"]
)
every_old_snapshot = pytest.mark.parametrize("level", ["repeatable read", "serializable"])


@pytest.fixture
def database(emptied_database) -> str:
    return emptied_database


@pytest.fixture
def session(connect) -> Callable[[str], psycopg.Connection]:
    """A function that opens a connection whose transactions have an isolation level."""

    def open_session(level: str = "read committed") -> psycopg.Connection:
        connection = connect()
        connection.isolation_level = LEVELS[level]
        return connection

    return open_session


@pytest.fixture
def source(connection) -> Source:
    """Two contracts with AUM in three months."""
    source = Source(connection)
    with connection.transaction():
        for company_id in ("C1", "C2"):
            source.contract(company_id)
            for day in ("2025-12-01", "2026-01-01", "2026-02-01"):
                source.detail(company_id, "100", day=day)
    return source


@pytest.fixture
def filled(connection, source) -> Source:
    """December and January are filled, and their sources have changed since."""
    with connection.transaction():
        for month in (DECEMBER, JANUARY):
            change(connection, "refresh", month)
        source.contract("C3")
        for day in ("2025-12-01", "2026-01-01"):
            source.detail("C1", "0.25", day=day)
    return source


# --- What the sessions do, and what is there afterwards ----------------------


def change(connection: psycopg.Connection, name: str, month: date = JANUARY) -> int:
    """Change a month in one of the CHANGES; the number of rows that the statement tells."""
    return connection.execute(CHANGES[name], {"month": month}).rowcount


def close(
    connection: psycopg.Connection, month: date = JANUARY, note: str = "published"
) -> dict[str, Any]:
    return connection.execute(
        "SELECT customer.close_snapshot_month(%s, %s)", [month, note]
    ).fetchone()[0]


def reopen(connection: psycopg.Connection, month: date = JANUARY) -> dict[str, Any]:
    return connection.execute(
        "SELECT customer.reopen_snapshot_month(%s, 'a mistake')", [month]
    ).fetchone()[0]


def adopt(connection: psycopg.Connection, month: date = FEBRUARY) -> None:
    """Rows of a month of which the package knows nothing, such as those of an adopted table."""
    with connection.transaction():
        connection.execute("SET LOCAL session_replication_role = replica")
        connection.execute(CHANGES["insert"].replace("PL204", "PL203"), {"month": month})


def rows(connection: psycopg.Connection, month: date = JANUARY) -> list[tuple]:
    """The rows of a month, with what changes when one is written, but not when it is locked."""
    return [(*row[:5], row[6]) for row in versions(connection, month)]


def is_closed(connection: psycopg.Connection, month: date = JANUARY) -> bool:
    return (
        connection.execute(
            "SELECT count(closed_at) FROM customer.monthly_snapshot_control"
            " WHERE snapshot_month = %s",
            [month],
        ).fetchone()[0]
        == 1
    )


def operations(connection: psycopg.Connection, month: date = JANUARY) -> list[str]:
    """What the log says was done to a month."""
    return [
        operation
        for (operation,) in connection.execute(
            "SELECT operation FROM customer.monthly_snapshot_log"
            " WHERE snapshot_month = %s ORDER BY log_id",
            [month],
        )
    ]


def refusals(name: str, level: str) -> tuple[type[psycopg.Error], ...]:
    """What a change of a month gets that was closed since its transaction's snapshot, if any."""
    if level == "read committed":
        return (ObjectNotInPrerequisiteState,)
    if name == "truncate":  # which has no use for a snapshot: any refusal is right
        return (ObjectNotInPrerequisiteState, SerializationFailure)
    return (SerializationFailure,)


# --- A change is under way, and a close comes --------------------------------


# The first rows of a month bring its control row with them.
@every_level
@pytest.mark.parametrize(
    ("name", "month"), [*((name, JANUARY) for name in CHANGES), ("insert", FEBRUARY)]
)
@pytest.mark.parametrize("end", ["commit", "rollback"])
def test_close_waits_for_a_change_under_way(
    session, connection, start, filled, end, name, month, level
):
    before = rows(connection, month)
    writer, closer = session(), session(level)
    change(writer, name, month)
    left = rows(writer, month) if end == "commit" else before

    call = start(close, closer, month)
    wait_for_lock(connection, writer, call)
    getattr(writer, end)()

    if end == "commit" and level != "read committed":
        with pytest.raises(SerializationFailure):
            call.result(timeout=20)
    elif not left:
        with pytest.raises(ObjectNotInPrerequisiteState, match=f"{month} holds no rows"):
            call.result(timeout=20)
    else:
        assert call.result(timeout=20)["status"] == "closed"
    assert not is_closed(connection, month)
    closer.commit()
    assert is_closed(connection, month) == (call.exception() is None)
    assert rows(connection, month) == left


# --- A close is under way, and a change comes --------------------------------


@every_level
@every_change
@pytest.mark.parametrize("month", [JANUARY, FEBRUARY], ids=["written", "adopted"])
def test_change_waits_for_a_close_under_way(session, connection, start, filled, month, name, level):
    """Also where there are rows without a control row, and the close makes it."""
    adopt(connection)
    before = rows(connection, month)
    closer, writer = session(), session(level)
    close(closer, month)

    call = start(change, writer, name, month)
    wait_for_lock(connection, closer, call)
    closer.commit()

    # TRUNCATE has waited for the rows, and may ask for the month before the close lets go of it.
    with pytest.raises((*refusals(name, level), LockNotAvailable)):
        call.result(timeout=20)
    writer.commit()
    assert rows(connection, month) == before
    assert operations(connection, month)[-1] == "close"


@every_level
@every_change_that_waits
def test_change_goes_on_when_the_close_is_rolled_back(
    session, connection, start, filled, name, level
):
    before = rows(connection)
    closer, writer = session(), session(level)
    close(closer)

    call = start(change, writer, name)
    wait_for_lock(connection, closer, call)
    closer.rollback()

    call.result(timeout=20)
    writer.commit()
    assert rows(connection) != before
    assert not is_closed(connection)
    assert "close" not in operations(connection)


# --- A snapshot that was taken before the close -------------------------------


@every_old_snapshot
@every_change
def test_change_with_a_snapshot_older_than_the_close_is_refused(
    session, connection, filled, name, level
):
    writer = session(level)
    before = rows(writer)
    close(connection)

    with pytest.raises(refusals(name, level)):
        change(writer, name)

    writer.commit()
    assert rows(connection) == before
    assert is_closed(connection)
    assert operations(connection) == ["refresh", "close"]


@every_old_snapshot
@every_change
def test_change_with_a_snapshot_older_than_the_month_is_refused(
    session, connection, filled, name, level
):
    """Filled and closed since: the snapshot knows neither the rows nor their control row."""
    writer = session(level)
    assert rows(writer, FEBRUARY) == []
    change(connection, "refresh", FEBRUARY)
    close(connection, FEBRUARY)
    closed = rows(connection, FEBRUARY)

    if name in ("update", "delete"):
        assert change(writer, name, FEBRUARY) == 0
    else:
        with pytest.raises(refusals(name, level)):
            change(writer, name, FEBRUARY)

    writer.commit()
    assert rows(connection, FEBRUARY) == closed
    assert len(closed) == 3


@every_old_snapshot
def test_row_cannot_be_moved_into_a_month_closed_since(session, connection, filled, level):
    writer = session(level)
    rows(writer)
    change(connection, "refresh", FEBRUARY)
    close(connection, FEBRUARY)
    closed = rows(connection, FEBRUARY)

    with pytest.raises(SerializationFailure):
        writer.execute(
            f"UPDATE {FACT} SET snapshot_month = %s, product_line_code = 'PL204'"
            " WHERE snapshot_month = %s",
            [FEBRUARY, JANUARY],
        )

    writer.commit()
    assert rows(connection, FEBRUARY) == closed


@every_old_snapshot
@every_change_that_waits
def test_close_with_a_snapshot_older_than_a_change_is_refused(
    session, connection, filled, name, level
):
    closer = session(level)
    rows(closer)
    change(connection, name)

    with pytest.raises(SerializationFailure):
        close(closer)

    closer.commit()
    assert not is_closed(connection)


@every_old_snapshot
def test_snapshot_older_than_a_close_does_not_hinder_other_months(
    session, connection, filled, level
):
    writer = session(level)
    rows(writer)
    close(connection)

    change(writer, "refresh", DECEMBER)

    writer.commit()
    assert operations(connection, DECEMBER) == ["refresh", "refresh"]


# --- Closing, reopening and refreshing in each other's way --------------------


@every_level
@pytest.mark.parametrize("end", ["commit", "rollback"])
def test_of_two_closes_the_first_that_commits_counts(
    session, connection, start, filled, level, end
):
    first, second = session(), session(level)
    close(first, note="first")

    call = start(close, second, JANUARY, "second")
    wait_for_lock(connection, first, call)
    getattr(first, end)()

    if end == "commit":
        with pytest.raises(refusals("close", level)):
            call.result(timeout=20)
    else:
        call.result(timeout=20)
    second.commit()
    assert connection.execute(
        "SELECT close_note FROM customer.monthly_snapshot_control WHERE snapshot_month = %s",
        [JANUARY],
    ).fetchone() == ("first" if end == "commit" else "second",)
    assert operations(connection) == ["refresh", "close"]


@every_level
@every_change_that_waits
@pytest.mark.parametrize("end", ["commit", "rollback"])
def test_change_waits_for_a_reopening_under_way(
    session, connection, start, filled, end, name, level
):
    close(connection)
    before = rows(connection)
    opener, writer = session(), session(level)
    reopen(opener)

    call = start(change, writer, name)
    wait_for_lock(connection, opener, call)
    getattr(opener, end)()

    if end == "rollback":
        with pytest.raises(ObjectNotInPrerequisiteState):
            call.result(timeout=20)
    elif level == "read committed":
        call.result(timeout=20)
    else:
        with pytest.raises(refusals(name, level)):
            call.result(timeout=20)
    writer.commit()
    assert (rows(connection) == before) == (call.exception() is not None)


@pytest.mark.parametrize("first", [close, reopen])
def test_reopening_waits_for_who_closes_or_reopens(session, connection, start, filled, first):
    if first is reopen:
        close(connection)
    one, two = session(), session()
    first(one)

    call = start(reopen, two)
    wait_for_lock(connection, one, call)
    one.commit()

    if first is reopen:
        with pytest.raises(ObjectNotInPrerequisiteState, match="2026-01-31 is not closed"):
            call.result(timeout=20)
    else:
        assert call.result(timeout=20)["status"] == "open"
    two.commit()
    assert operations(connection) == ["refresh", "close", "reopen"]


@every_old_snapshot
def test_reopening_with_a_snapshot_older_than_the_close_is_refused(
    session, connection, filled, level
):
    opener = session(level)
    rows(opener)
    close(connection)

    with pytest.raises(SerializationFailure):
        reopen(opener)

    opener.commit()
    assert is_closed(connection)


def test_close_under_way_holds_up_no_reader(session, connect, connection, filled):
    closer = session()
    close(closer)
    reader = connect(autocommit=True, options="-c lock_timeout=1ms")

    assert len(rows(reader)) == 2
    assert not is_closed(reader)
    assert reader.execute(
        "SELECT bool_or(is_closed) FROM customer.monthly_status_trend WHERE snapshot_month = %s",
        [JANUARY],
    ).fetchone() == (False,)


# --- Within one transaction ---------------------------------------------------


@pytest.mark.parametrize("name", ["refresh", "restate", "insert", "update", "delete"])
def test_month_can_be_changed_and_closed_in_one_transaction(session, connection, filled, name):
    writer = session()
    change(writer, name)
    written = rows(writer)
    close(writer)

    with pytest.raises(ObjectNotInPrerequisiteState), writer.transaction():
        change(writer, "update")

    writer.commit()
    assert is_closed(connection)
    assert rows(connection) == written


def test_statement_that_closes_the_month_it_writes_is_refused(connection, filled):
    """The rows come first and the guard last: the month is closed by then."""
    before = rows(connection)
    with pytest.raises(ObjectNotInPrerequisiteState):
        connection.execute(
            f"""
            WITH written AS (
                UPDATE {FACT} SET aum_balance = 7 WHERE snapshot_month = '2026-01-31'
                RETURNING company_id
            )
            SELECT customer.close_snapshot_month('2026-01-31', 'published')
            FROM written
            LIMIT 1
            """
        )

    assert rows(connection) == before
    assert not is_closed(connection)


# --- Whoever has the table -----------------------------------------------------


def test_who_may_write_the_table_is_stopped_by_its_triggers(
    connect, connection, filled, create_role
):
    """Whoever a site grants the table to: no right on the package's functions is needed."""
    role = create_role()
    connection.execute(
        sql.SQL(f"GRANT USAGE ON SCHEMA customer TO {{0}}; GRANT ALL ON {FACT} TO {{0}}").format(
            sql.Identifier(role)
        )
    )
    close(connection)
    before = rows(connection)
    writer = connect(autocommit=True, user=role, password=role)

    for name in BY_HAND:
        with pytest.raises(ObjectNotInPrerequisiteState):
            change(writer, name)

    assert rows(connection) == before
    assert change(writer, "update", DECEMBER) == 2
