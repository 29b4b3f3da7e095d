"""Closing and reopening months: what only several sessions, roles or databases can show."""

from collections.abc import Callable
from datetime import UTC, date
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg import sql
from psycopg.errors import ObjectNotInPrerequisiteState, SerializationFailure
from support import FACT, LEVELS, Source, fail, listen, run, sqitch, succeed, wait_for_lock

DECEMBER = date(2025, 12, 31)
JANUARY = date(2026, 1, 31)
FEBRUARY = date(2026, 2, 28)

# All the ways to change a month. Those of the package lock the month's control row and renew it,
# so that snapshots of before are refused; for those by hand the triggers do.
BY_PACKAGE = {
    "refresh": "SELECT customer.refresh_monthly_snapshot(%(month)s)",
    "restate": "SELECT customer.restate_monthly_snapshot(%(month)s, 'why')",
    "hook": "SELECT customer.post_etl_hook('annuity_performance', to_char(%(month)s, 'YYYYMM'))",
}
BY_HAND = {
    "insert": f"""
        INSERT INTO {FACT} (snapshot_month, company_id, product_line_code, product_line_name)
        VALUES (%(month)s, 'C1', 'PL204', '职年受托')
        """,
    "update": f"UPDATE {FACT} SET aum_balance = aum_balance + 1 WHERE snapshot_month = %(month)s",
    "delete": f"DELETE FROM {FACT} WHERE snapshot_month = %(month)s AND company_id = 'C1'",
    "truncate": f"TRUNCATE {FACT}",
}
CHANGES = BY_PACKAGE | BY_HAND

every_change = pytest.mark.parametrize("name", CHANGES)
every_level = pytest.mark.parametrize("level", LEVELS)
# TRUNCATE goes at READ COMMITTED only.
every_change_with_its_levels = pytest.mark.parametrize(
    ("name", "level"),
    [(name, level) for name in CHANGES for level in LEVELS if name != "truncate"]
    + [("truncate", "read committed")],
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
    """The rows of a month, with what changes when one is written."""
    return connection.execute(
        f"SELECT ctid::text, xmin::text, * FROM {FACT} WHERE snapshot_month = %s ORDER BY ctid",
        [month],
    ).fetchall()


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


def message_of(connection: psycopg.Connection, month: date = JANUARY) -> str:
    """What is to be said to whoever would change a closed month."""
    closed_at, closed_by, note = connection.execute(
        "SELECT closed_at, closed_by, close_note FROM customer.monthly_snapshot_control"
        " WHERE snapshot_month = %s",
        [month],
    ).fetchone()
    when = closed_at.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
    return f"month {month} is closed: by {closed_by} at {when} ({note})"


def refuses(error: psycopg.Error, connection: psycopg.Connection, month: date = JANUARY) -> bool:
    """Whether an error says that a month is closed, and how to reopen it."""
    return (error.diag.message_primary, error.diag.message_hint) == (
        message_of(connection, month),
        "If its published numbers must change:"
        f" SELECT customer.reopen_snapshot_month(DATE '{month}', 'why');",
    )


def refusals(name: str, level: str) -> tuple[type[psycopg.Error], ...]:
    """What a change of a month gets that was closed since its transaction's snapshot, if any."""
    if level == "read committed":
        return (ObjectNotInPrerequisiteState,)
    if name == "truncate":  # which has no use for a snapshot: any refusal is right
        return (ObjectNotInPrerequisiteState, SerializationFailure)
    return (SerializationFailure,)


# --- A change is under way, and a close comes --------------------------------


@every_level
@every_change
def test_close_waits_for_a_change_under_way(session, connection, start, filled, name, level):
    writer, closer = session(), session(level)
    change(writer, name)
    written = rows(writer)

    call = start(close, closer)
    wait_for_lock(connection, writer, call)
    writer.commit()

    if level != "read committed":
        with pytest.raises(SerializationFailure):
            call.result(timeout=20)
    elif name == "truncate":
        with pytest.raises(ObjectNotInPrerequisiteState, match="2026-01-31 holds no rows"):
            call.result(timeout=20)
    else:
        assert call.result(timeout=20)["status"] == "closed"
    assert not is_closed(connection)
    closer.commit()
    assert is_closed(connection) == (call.exception() is None)
    assert rows(connection) == written


@every_level
@every_change
def test_close_goes_on_when_the_change_is_rolled_back(
    session, connection, start, filled, name, level
):
    before = rows(connection)
    writer, closer = session(), session(level)
    change(writer, name)

    call = start(close, closer)
    wait_for_lock(connection, writer, call)
    writer.rollback()

    assert call.result(timeout=20)["status"] == "closed"
    closer.commit()
    assert is_closed(connection)
    assert rows(connection) == before


@every_level
def test_close_waits_for_the_first_rows_of_a_month(session, connection, start, source, level):
    """A month of which nothing is known yet: its control row comes with the rows."""
    writer, closer = session(), session(level)
    change(writer, "insert", FEBRUARY)
    written = rows(writer, FEBRUARY)

    call = start(close, closer, FEBRUARY)
    wait_for_lock(connection, writer, call)
    writer.commit()

    if level == "read committed":
        assert call.result(timeout=20)["status"] == "closed"
    else:
        with pytest.raises(SerializationFailure):
            call.result(timeout=20)
    closer.commit()
    assert is_closed(connection, FEBRUARY) == (level == "read committed")
    assert rows(connection, FEBRUARY) == written
    assert len(written) == 1


@every_level
def test_close_finds_no_rows_when_the_first_ones_are_rolled_back(
    session, connection, start, source, level
):
    writer, closer = session(), session(level)
    change(writer, "insert", FEBRUARY)

    call = start(close, closer, FEBRUARY)
    wait_for_lock(connection, writer, call)
    writer.rollback()

    with pytest.raises(ObjectNotInPrerequisiteState, match="2026-02-28 holds no rows"):
        call.result(timeout=20)
    closer.commit()
    assert not is_closed(connection, FEBRUARY)


def test_close_finds_no_rows_when_they_are_all_deleted_meanwhile(
    session, connection, start, filled
):
    """What it looks at it looks at with the lock in hand."""
    writer, closer = session(), session()
    writer.execute(f"DELETE FROM {FACT} WHERE snapshot_month = %s", [JANUARY])

    call = start(close, closer)
    wait_for_lock(connection, writer, call)
    writer.commit()

    with pytest.raises(ObjectNotInPrerequisiteState, match="2026-01-31 holds no rows"):
        call.result(timeout=20)


@every_level
def test_month_emptied_by_hand_is_not_closed(session, connection, filled, level):
    closer = session(level)
    assert len(rows(closer)) == 2
    connection.execute(f"DELETE FROM {FACT} WHERE snapshot_month = %s", [JANUARY])

    with pytest.raises((ObjectNotInPrerequisiteState, SerializationFailure)):
        close(closer)


# --- A close is under way, and a change comes --------------------------------


@every_level
@every_change
def test_change_waits_for_a_close_under_way(session, connection, start, filled, name, level):
    before = rows(connection)
    closer, writer = session(), session(level)
    close(closer)

    call = start(change, writer, name)
    wait_for_lock(connection, closer, call)
    closer.commit()

    with pytest.raises(refusals(name, level)) as caught:
        call.result(timeout=20)
    writer.commit()
    assert level != "read committed" or refuses(caught.value, connection)
    assert rows(connection) == before
    assert operations(connection) == ["refresh", "close"]


@every_change_with_its_levels
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


@every_level
@every_change
def test_change_waits_for_the_close_of_an_adopted_month(
    session, connection, start, source, name, level
):
    """Rows without a control row: the close makes it."""
    adopt(connection)
    before = rows(connection, FEBRUARY)
    closer, writer = session(), session(level)
    close(closer, FEBRUARY)

    call = start(change, writer, name, FEBRUARY)
    wait_for_lock(connection, closer, call)
    closer.commit()

    with pytest.raises(refusals(name, level)):
        call.result(timeout=20)
    writer.commit()
    assert rows(connection, FEBRUARY) == before
    assert is_closed(connection, FEBRUARY)


@every_old_snapshot
def test_truncate_goes_at_read_committed_only(session, connection, filled, level):
    """It empties what its snapshot does not show, months closed since included."""
    writer = session(level)
    before = rows(connection)

    with pytest.raises(ObjectNotInPrerequisiteState) as caught:
        change(writer, "truncate")

    assert caught.value.diag.message_primary == (
        f"{FACT} can be truncated at READ COMMITTED only, not at {level.upper()}"
    )
    assert caught.value.diag.message_hint == (
        "DELETE the rows, or truncate in a transaction at READ COMMITTED."
    )
    writer.commit()
    assert rows(connection) == before


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
def test_close_with_a_snapshot_older_than_a_refresh_is_refused(session, connection, filled, level):
    closer = session(level)
    rows(closer)
    change(connection, "refresh")

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
def test_of_two_closes_the_first_counts(session, connection, start, filled, level):
    first, second = session(), session(level)
    close(first, note="first")

    call = start(close, second, JANUARY, "second")
    wait_for_lock(connection, first, call)
    first.commit()

    with pytest.raises((ObjectNotInPrerequisiteState, SerializationFailure)) as caught:
        call.result(timeout=20)
    if level == "read committed":
        assert refuses(caught.value, connection)
    else:
        assert caught.type is SerializationFailure
    second.commit()
    assert message_of(connection).endswith("(first)")
    assert operations(connection) == ["refresh", "close"]


@every_level
def test_second_close_counts_when_the_first_is_rolled_back(
    session, connection, start, filled, level
):
    first, second = session(), session(level)
    close(first, note="first")

    call = start(close, second, JANUARY, "second")
    wait_for_lock(connection, first, call)
    first.rollback()

    call.result(timeout=20)
    second.commit()
    assert message_of(connection).endswith("(second)")


@every_change_with_its_levels
def test_change_waits_for_a_reopening_under_way(session, connection, start, filled, name, level):
    close(connection)
    before = rows(connection)
    opener, writer = session(), session(level)
    reopen(opener)

    call = start(change, writer, name)
    wait_for_lock(connection, opener, call)
    opener.commit()

    if level == "read committed":
        call.result(timeout=20)
    else:
        with pytest.raises(refusals(name, level)):
            call.result(timeout=20)
    writer.commit()
    assert (rows(connection) == before) == (level != "read committed")


@every_level
def test_change_is_refused_when_the_reopening_is_rolled_back(
    session, connection, start, filled, level
):
    close(connection)
    opener, writer = session(), session(level)
    reopen(opener)

    call = start(change, writer, "refresh")
    wait_for_lock(connection, opener, call)
    opener.rollback()

    with pytest.raises(ObjectNotInPrerequisiteState) as caught:
        call.result(timeout=20)
    assert refuses(caught.value, connection)


def test_of_two_reopenings_the_first_counts(session, connection, start, filled):
    close(connection)
    first, second = session(), session()
    reopen(first)

    call = start(reopen, second)
    wait_for_lock(connection, first, call)
    first.commit()

    with pytest.raises(ObjectNotInPrerequisiteState, match="2026-01-31 is not closed"):
        call.result(timeout=20)
    assert operations(connection) == ["refresh", "close", "reopen"]


def test_reopening_waits_for_a_close_under_way(session, connection, start, filled):
    closer, opener = session(), session()
    close(closer)

    call = start(reopen, opener)
    wait_for_lock(connection, closer, call)
    closer.commit()

    assert call.result(timeout=20)["status"] == "open"
    opener.commit()
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


@pytest.mark.parametrize("name", ["refresh", "restate", "hook", "insert", "update", "delete"])
def test_close_under_way_holds_up_no_other_month(session, connection, connect, filled, name):
    closer = session()
    close(closer)
    writer = connect(autocommit=True, options="-c lock_timeout=1ms")

    change(writer, name, DECEMBER)
    close(writer, DECEMBER)

    closer.commit()
    assert is_closed(connection)
    assert is_closed(connection, DECEMBER)


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


def test_close_rolled_back_leaves_nothing(session, connection, filled):
    closer = session()
    with closer.transaction(), closer.transaction(force_rollback=True):
        close(closer)

    assert not is_closed(connection)
    assert operations(connection) == ["refresh"]


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


# --- COPY ---------------------------------------------------------------------


def copy_into(connection: psycopg.Connection, *months: date) -> None:
    columns = "(snapshot_month, company_id, product_line_code, product_line_name)"
    with connection.cursor().copy(f"COPY {FACT} {columns} FROM STDIN") as copy:
        for month in months:
            copy.write_row((month, "C3", "PL201", "企年投资"))


def test_copy_into_a_closed_month_is_refused(connection, filled):
    close(connection)
    before = rows(connection)

    with pytest.raises(ObjectNotInPrerequisiteState) as caught:
        copy_into(connection, DECEMBER, JANUARY, FEBRUARY)

    assert refuses(caught.value, connection)
    assert rows(connection) == before
    assert rows(connection, FEBRUARY) == []


def test_copy_into_open_months_works(connection, filled):
    close(connection)

    copy_into(connection, DECEMBER, FEBRUARY)

    assert len(rows(connection, DECEMBER)) == 3
    assert len(rows(connection, FEBRUARY)) == 1


# --- The ETL ------------------------------------------------------------------


def test_load_for_a_closed_month_fails_as_a_whole(session, connection, filled):
    close(connection)
    before = rows(connection)
    etl = session()
    notices = listen(etl)
    etl.execute("""DELETE FROM business."规模明细" WHERE "月度" = '2026-01-01'""")
    Source(etl).detail("C1", "7")
    Source(etl).contract("C9")

    with pytest.raises(ObjectNotInPrerequisiteState) as caught:
        change(etl, "hook")
    etl.commit()  # of a failed transaction: a rollback

    assert refuses(caught.value, connection)
    assert notices == []
    assert rows(connection) == before
    assert operations(connection) == ["refresh", "close"]
    assert connection.execute(
        """SELECT count(*), sum("期末资产规模") FROM business."规模明细" """
        """WHERE "月度" = '2026-01-01'"""
    ).fetchone() == (3, 200.25)
    assert connection.execute(
        """SELECT count(*) FROM customer."年金客户" WHERE company_id = 'C9'"""
    ).fetchone() == (0,)


def test_load_that_does_not_ask_for_the_snapshot_is_not_hindered(session, connection, filled):
    close(connection)
    with session() as etl:
        etl.execute("SET LOCAL customer.post_etl_hooks = off")
        Source(etl).detail("C1", "7")
        assert etl.execute(
            "SELECT customer.post_etl_hook('annuity_performance', '202601') ->> 'status'"
        ).fetchone() == ("skipped",)

    assert operations(connection) == ["refresh", "close"]


# --- Who, when and why ---------------------------------------------------------


def grant(connection: psycopg.Connection, role: str, *functions: str) -> None:
    connection.execute(sql.SQL("GRANT USAGE ON SCHEMA customer TO {}").format(sql.Identifier(role)))
    for function in functions:
        connection.execute(
            sql.SQL("GRANT EXECUTE ON FUNCTION customer.{} TO {}").format(
                sql.SQL(function), sql.Identifier(role)
            )
        )


CLOSING = ("close_snapshot_month(date, text)", "reopen_snapshot_month(date, text)")


def test_log_and_control_row_say_who_closed_when_and_why(connect, connection, filled, create_role):
    role, group = create_role(), create_role()
    grant(connection, group, *CLOSING)
    connection.execute(
        sql.SQL("GRANT {} TO {}").format(sql.Identifier(group), sql.Identifier(role))
    )
    closer = connect(user=role, password=role, application_name="month end")
    closer.execute(sql.SQL("SET ROLE {}").format(sql.Identifier(group)))
    now = closer.execute("SELECT now()").fetchone()[0]

    result = close(closer, date(2026, 1, 5), note="公布于 2026-02-10")
    closer.commit()

    assert connection.execute(
        "SELECT last_rule, last_log_id, stale_rows, closed_at, closed_by, close_note"
        " FROM customer.monthly_snapshot_control WHERE snapshot_month = %s",
        [JANUARY],
    ).fetchone() == ("current", result["log_id"], 0, now, role, "公布于 2026-02-10")
    assert connection.execute(
        "SELECT snapshot_month, operation, reason, invoked_by, application_name,"
        " started_at >= %s AND finished_at >= started_at AND finished_at <= clock_timestamp()"
        " FROM customer.monthly_snapshot_log WHERE log_id = %s",
        [now, result["log_id"]],
    ).fetchone() == (JANUARY, "close", "公布于 2026-02-10", role, "month end", True)


def test_log_says_who_reopened_when_and_why(connect, connection, filled, create_role):
    role = create_role()
    grant(connection, role, *CLOSING)
    close(connection)
    opener = connect(user=role, password=role, application_name="month end")
    now = opener.execute("SELECT now()").fetchone()[0]

    result = reopen(opener)
    opener.commit()

    assert not is_closed(connection)
    assert connection.execute(
        "SELECT snapshot_month, operation, reason, invoked_by, application_name,"
        " started_at >= %s AND finished_at >= started_at AND finished_at <= clock_timestamp()"
        " FROM customer.monthly_snapshot_log WHERE log_id = %s",
        [now, result["log_id"]],
    ).fetchone() == (JANUARY, "reopen", "a mistake", role, "month end", True)


@pytest.mark.parametrize("name", BY_PACKAGE)
def test_who_may_write_but_not_close_is_told_who_closed(
    connect, connection, filled, create_role, name
):
    closing, writing = create_role(), create_role()
    grant(connection, closing, *CLOSING)
    grant(
        connection,
        writing,
        "refresh_monthly_snapshot(date)",
        "restate_monthly_snapshot(date, text)",
        "post_etl_hook(text, text)",
    )
    close(connect(autocommit=True, user=closing, password=closing))
    writer = connect(
        autocommit=True,
        user=writing,
        password=writing,
        options="-c DateStyle=SQL,DMY -c TimeZone=Pacific/Kiritimati",
    )

    with pytest.raises(ObjectNotInPrerequisiteState, match=f"by {closing} at ") as caught:
        change(writer, name)

    assert refuses(caught.value, connection)
    for function in ("close", "reopen"):
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            writer.execute(f"SELECT customer.{function}_snapshot_month('2026-01-31', 'why')")


def test_who_may_write_the_table_is_stopped_by_its_triggers(
    connect, connection, filled, create_role
):
    """Whoever a site grants the table to: no right on the package's functions is needed."""
    role = create_role()
    grant(connection, role)
    connection.execute(sql.SQL(f"GRANT ALL ON {FACT} TO {{}}").format(sql.Identifier(role)))
    close(connection)
    before = rows(connection)
    writer = connect(autocommit=True, user=role, password=role)

    for name in BY_HAND:
        with pytest.raises(ObjectNotInPrerequisiteState) as caught:
            change(writer, name)
        assert refuses(caught.value, connection)

    assert rows(connection) == before
    assert change(writer, "update", DECEMBER) == 2


def test_closing_and_reopening_say_nothing_but_their_result(connection, filled):
    notices = listen(connection)

    close(connection)
    reopen(connection)

    assert notices == []


# --- Dumps ----------------------------------------------------------------------

STORED = (
    ("fct_customer_business_monthly_status", "snapshot_month, company_id, product_line_code"),
    ("monthly_snapshot_control", "snapshot_month"),
    ("monthly_snapshot_log", "log_id"),
)
PACKAGE_TABLES = tuple(f"--table=customer.{table}" for table, _ in STORED)


@pytest.fixture
def closed(connection, filled) -> dict[str, Any]:
    """December and January, of which January is closed."""
    return close(connection)


def everything(connection: psycopg.Connection) -> dict[str, list[tuple]]:
    """The rows of the package's tables."""
    return {
        table: connection.execute(f"SELECT * FROM customer.{table} ORDER BY {order}").fetchall()
        for table, order in STORED
    }


def must_work_as_before(name: str, original: psycopg.Connection) -> None:
    """A restored database has what the original has, keeps its closed month, and goes on."""
    with psycopg.connect(dbname=name, autocommit=True) as restored:
        stored = everything(original)
        assert [len(table) for table in stored.values()] == [4, 2, 3]
        assert everything(restored) == stored
        for change_name in CHANGES:
            with pytest.raises(ObjectNotInPrerequisiteState) as caught:
                change(restored, change_name)
            assert refuses(caught.value, original)
        assert everything(restored) == stored
        last_log_id = stored["monthly_snapshot_log"][-1][0]
        assert reopen(restored)["log_id"] > last_log_id
        assert change(restored, "update") == 2


@pytest.mark.distribution
def test_full_dump_restores_a_closed_month(
    database, connection, closed, create_test_database, tmp_path: Path
):
    dump = tmp_path / "all.dump"
    succeed(run("pg_dump", "--format=custom", f"--file={dump}", database))
    name = create_test_database("template0")

    succeed(run("pg_restore", "--exit-on-error", f"--dbname={name}", dump))

    must_work_as_before(name, connection)
    succeed(sqitch(name, "verify"))


@pytest.mark.distribution
def test_plain_dump_restores_a_closed_month(
    database, connection, closed, create_test_database, tmp_path: Path
):
    dump = tmp_path / "all.sql"
    succeed(run("pg_dump", f"--file={dump}", database))
    name = create_test_database("template0")

    succeed(run("psql", "-X", "-q", "-v", "ON_ERROR_STOP=1", "-d", name, "-f", dump))

    must_work_as_before(name, connection)


@pytest.fixture
def new_home(create_test_database, package_template) -> str:
    """A database with the package and the same customers, and nothing else."""
    name = create_test_database(package_template)
    with psycopg.connect(dbname=name) as connection:
        for company_id in ("C1", "C2", "C3"):
            Source(connection).contract(company_id)
            Source(connection).detail(company_id, "100")
    return name


@pytest.mark.distribution
@pytest.mark.parametrize("dumped", ["the package's tables", "the data alone", "everything"])
def test_data_alone_is_restored_without_triggers(
    database, connection, closed, new_home, tmp_path: Path, dumped
):
    dump = tmp_path / "data.dump"
    what = {
        "the package's tables": PACKAGE_TABLES,
        "the data alone": ("--data-only", *PACKAGE_TABLES),
        "everything": (),
    }[dumped]
    succeed(run("pg_dump", "--format=custom", f"--file={dump}", *what, database))
    # pg_restore's names have no schema; the log's sequence is one of them.
    tables = [f"--table={table}" for table, _ in STORED]

    succeed(
        run(
            "pg_restore",
            "--data-only",
            "--disable-triggers",
            "--single-transaction",
            f"--dbname={new_home}",
            *(
                ["--schema=customer", *tables, "--table=monthly_snapshot_log_log_id_seq"]
                if dumped == "everything"
                else []
            ),
            dump,
        )
    )

    must_work_as_before(new_home, connection)


@pytest.mark.distribution
def test_data_alone_does_not_restore_with_triggers(
    database, connection, closed, new_home, tmp_path: Path
):
    """The guards make the control rows that are then restored a second time."""
    dump = tmp_path / "data.dump"
    succeed(
        run(
            "pg_dump", "--format=custom", f"--file={dump}", "--data-only", *PACKAGE_TABLES, database
        )
    )

    result = run("pg_restore", "--data-only", "--single-transaction", f"--dbname={new_home}", dump)

    assert "monthly_snapshot_control_pkey" in fail(result)
    with psycopg.connect(dbname=new_home) as restored:
        assert everything(restored) == {table: [] for table, _ in STORED}


@pytest.mark.distribution
def test_data_alone_is_not_restored_into_a_month_that_is_closed(
    database, connection, closed, new_home, tmp_path: Path
):
    dump = tmp_path / "data.dump"
    succeed(
        run(
            "pg_dump",
            "--format=custom",
            f"--file={dump}",
            "--data-only",
            "--table=customer.fct_customer_business_monthly_status",
            database,
        )
    )
    with psycopg.connect(dbname=new_home, autocommit=True) as target:
        change(target, "refresh")
        close(target)
        before = everything(target)

        result = run(
            "pg_restore", "--data-only", "--single-transaction", f"--dbname={new_home}", dump
        )

        # Were it not closed, its rows would be there twice.
        fail(result)
        assert everything(target) == before
