"""Closing and reopening months: what only several sessions, roles or databases can show."""

from datetime import date

import psycopg
import pytest
from psycopg.errors import LockNotAvailable, ObjectNotInPrerequisiteState, SerializationFailure
from support import BY_HAND, CONTROL, FACT, LEVELS, LOG, Source, do, versions, wait_for_lock

DECEMBER = date(2025, 12, 31)
JANUARY = date(2026, 1, 31)
FEBRUARY = date(2026, 2, 28)

# All the ways to change a month. Those of the package lock the month's control row and renew it,
# so that snapshots of before are refused; for those by hand the triggers do.
CHANGES = ("refresh", "restate", "hook", "discard", *BY_HAND)
# TRUNCATE does not wait for who changes a month (test_concurrency.py).
CHANGES_THAT_WAIT = tuple(name for name in CHANGES if name != "truncate")

every_old_snapshot = pytest.mark.parametrize("level", ["repeatable read", "serializable"])


@pytest.fixture
def database(emptied_database) -> str:
    return emptied_database


@pytest.fixture
def connection(session) -> psycopg.Connection:
    return session(autocommit=True)


@pytest.fixture
def filled(connection) -> Source:
    """Two contracts with AUM in three months; two are filled, and their sources changed since."""
    source = Source(connection)
    with connection.transaction():
        for company_id in ("C1", "C2"):
            source.contract(company_id)
            for day in ("2025-12-01", "2026-01-01", "2026-02-01"):
                source.detail(company_id, "100", day=day)
        for month in (DECEMBER, JANUARY):
            do(connection, "refresh", month)
        source.contract("C3")
        for day in ("2025-12-01", "2026-01-01"):
            source.detail("C1", "0.25", day=day)
    return source


def adopt(connection: psycopg.Connection, month: date) -> None:
    """Rows of a month of which the package knows nothing, such as those of an adopted table."""
    with connection.transaction():
        connection.execute("SET LOCAL session_replication_role = replica")
        connection.execute(BY_HAND["insert"].replace("PL204", "PL203"), {"month": month})


def rows(connection: psycopg.Connection, month: date = JANUARY) -> list[tuple]:
    """The rows of a month, with what changes when one is written, but not when it is locked."""
    return [(*row[:5], row[6]) for row in versions(connection, month)]


def is_closed(connection: psycopg.Connection, month: date = JANUARY) -> bool:
    closed = f"SELECT FROM {CONTROL} WHERE snapshot_month = %s AND closed_at IS NOT NULL"
    return connection.execute(closed, [month]).rowcount == 1


def operations(connection: psycopg.Connection, month: date = JANUARY) -> list[str]:
    """What the log says was done to a month."""
    logged = f"SELECT operation FROM {LOG} WHERE snapshot_month = %s ORDER BY log_id"
    return [operation for (operation,) in connection.execute(logged, [month])]


def state(connection: psycopg.Connection, month: date) -> tuple:
    return rows(connection, month), operations(connection, month), is_closed(connection, month)


# --- One is under way, and another comes --------------------------------------

# Who is first and how its transaction ends, and who waits for it. The first rows of February
# bring its control row with them; before it is closed, it has rows without one.
TURNS = [
    (first, end, second, month)
    for first, second, month in (
        *((name, "close", JANUARY) for name in (*CHANGES, "close")),
        ("insert", "close", FEBRUARY),
        *(("close", name, month) for name in CHANGES for month in (JANUARY, FEBRUARY)),
        *(("reopen", name, JANUARY) for name in (*CHANGES_THAT_WAIT, "reopen")),
        ("close", "reopen", JANUARY),
    )
    for end in ("commit", "rollback")
    if (second, end) != ("truncate", "rollback")
]


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize(("first", "end", "second", "month"), TURNS)
def test_second_waits_for_the_first_and_finds_what_it_left(
    session, connection, start, filled, first, end, second, month, level
):
    if first == "reopen":
        do(connection, "close", month)
    elif first == "close" and month == FEBRUARY:
        adopt(connection, month)
    before = rows(connection, month)
    one, two = session(), session(level)
    do(one, first, month)
    left = rows(one, month) if end == "commit" else before

    call = start(do, two, second, month)
    wait_for_lock(connection, one, call)
    getattr(one, end)()
    error = call.exception(timeout=20)
    two.commit()

    was_closed = first in ("close", "reopen") and (first == "close") == (end == "commit")
    if second == "truncate":
        # It has waited for the rows, and may ask for the month before the close lets go of it.
        # For a snapshot it has no use: at the higher levels any refusal is right.
        refusals = (ObjectNotInPrerequisiteState, LockNotAvailable, SerializationFailure)
        assert isinstance(error, refusals[: 2 if level == "read committed" else 3])
    elif end == "commit" and level != "read committed":
        assert isinstance(error, SerializationFailure)
    elif was_closed and second != "reopen":
        assert f"month {month} is closed" in str(error)
    elif second == "reopen" and not was_closed:
        assert f"month {month} is not closed" in str(error)
    elif second == "close" and not left:
        assert f"month {month} holds no rows" in str(error)
    else:
        assert error is None

    assert (rows(connection, month) == left) == (error is not None or second not in CHANGES)
    committed = (
        *(["close"] if first == "reopen" else []),
        *([first] if end == "commit" else []),
        *([second] if error is None else []),
    )
    turns = [name for name in committed if name in ("close", "reopen")]
    logged = operations(connection, month)
    assert [name for name in logged if name in ("close", "reopen")] == turns
    assert is_closed(connection, month) == (turns[-1:] == ["close"])


# --- A snapshot that was taken before -----------------------------------------

# Rows of January into a month.
MOVE = f"""
    UPDATE {FACT} SET snapshot_month = %s, product_line_code = 'PL204'
    WHERE snapshot_month = '2026-01-31'
"""


@every_old_snapshot
@pytest.mark.parametrize(
    ("since", "name", "month"),
    [
        *(("close", name, JANUARY) for name in (*CHANGES, "reopen")),
        # Filled and closed since: the snapshot knows neither the rows nor their control row.
        *(("close", name, FEBRUARY) for name in (*CHANGES, "move into")),
        *((name, "close", JANUARY) for name in CHANGES_THAT_WAIT),
    ],
)
def test_snapshot_of_before_is_refused(session, connection, filled, since, name, month, level):
    writer = session(level)
    rows(writer)
    if month == FEBRUARY:
        do(connection, "refresh", FEBRUARY)
    do(connection, since, month)
    before = state(connection, month)

    if name == "move into":
        with pytest.raises(SerializationFailure):
            writer.execute(MOVE, [month])
    elif month == FEBRUARY and name in ("update", "delete"):
        do(writer, name, month)
    else:
        # TRUNCATE has no use for a snapshot: any refusal is right.
        refusals = (SerializationFailure, ObjectNotInPrerequisiteState)
        with pytest.raises(refusals[: 2 if name == "truncate" else 1]):
            do(writer, name, month)

    writer.commit()
    assert state(connection, month) == before


@every_old_snapshot
def test_snapshot_older_than_a_close_does_not_hinder_other_months(
    session, connection, filled, level
):
    writer = session(level)
    rows(writer)
    do(connection, "close", JANUARY)

    do(writer, "refresh", DECEMBER)

    writer.commit()
    assert operations(connection, DECEMBER) == ["refresh", "refresh"]


def test_close_under_way_holds_up_no_reader(session, connect, connection, filled):
    do(session(), "close", JANUARY)
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
    do(writer, name, JANUARY)
    written = rows(writer)
    do(writer, "close", JANUARY)

    with pytest.raises(ObjectNotInPrerequisiteState), writer.transaction():
        do(writer, "update", JANUARY)

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
