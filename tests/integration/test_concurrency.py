"""Several sessions at once: who waits for whom, and what each one finds and leaves.

Closing and reopening against every change is in test_close.py. Here are any two writers of a
month, writers of many months, loads that have not committed, timeouts, callers at the higher
isolation levels and their retries, transactions over several months, and all of it at once. What
readers see meanwhile is in test_faults.py, too.

SNAPSHOT_SOAK_SECONDS says for how long the last tests keep everything busy.
"""

import os
import random
import re
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import FIRST_COMPLETED, FIRST_EXCEPTION, ThreadPoolExecutor, wait
from datetime import date
from typing import Any

import psycopg
import pytest
from oracle import last_day
from psycopg.errors import (
    DeadlockDetected,
    LockNotAvailable,
    ObjectNotInPrerequisiteState,
    QueryCanceled,
    SerializationFailure,
)
from support import (
    BY_HAND,
    CALLS,
    CONTROL,
    FACT,
    HISTORY,
    LEVELS,
    LOG,
    SOURCES,
    SUMMARY,
    Source,
    counts,
    do,
    errors_in,
    listen,
    month_as_at,
    months_stored,
    stored,
    unfaithful,
    wait_for_lock,
)

SOAK_SECONDS = float(os.environ.get("SNAPSHOT_SOAK_SECONDS", "2"))

MONTHS_OF_2026 = [last_day(date(2026, month, 1)) for month in range(1, 13)]
JANUARY, FEBRUARY, MARCH = MONTHS_OF_2026[:3]

# The ways to write a month; the others look at it, close, reopen and discard it.
WRITES = ("refresh", "restate", "hook")
OPERATIONS = (*CALLS,)
# What the log has of an operation, where that is not its name.
LOGGED = {"hook": ["refresh"], "check": []} | {name: ["by_hand"] for name in BY_HAND}

every_snapshot_level = pytest.mark.parametrize("level", ["repeatable read", "serializable"])


@pytest.fixture
def database(emptied_database) -> str:
    return emptied_database


@pytest.fixture
def connection(session) -> psycopg.Connection:
    return session(autocommit=True)


@pytest.fixture
def hasty(session) -> psycopg.Connection:
    """A session in autocommit mode to which waiting for a lock is an error."""
    return session(autocommit=True, options="-c lock_timeout=500ms")


@pytest.fixture
def source(connection) -> Source:
    """Three customers, each with a contract and AUM in every month of 2026."""
    with connection.transaction():
        add_customers(connection, "C1", "C2", "C3")
    return Source(connection)


# --- What the sessions do, and what is there afterwards ----------------------


def add_customers(connection: psycopg.Connection, *company_ids: str) -> None:
    """Customers with a contract, and the same AUM in every month of 2026."""
    for company_id in company_ids:
        Source(connection).contract(company_id)
    connection.execute(
        """
        INSERT INTO business."规模明细"
            ("月度", "计划代码", "产品线代码", "期末资产规模", company_id)
        SELECT date_trunc('month', month), 'P1', 'PL202', 100, company_id
        FROM unnest(%s::date[]) AS month
        CROSS JOIN unnest(%s::text[]) AS company_id
        """,
        [MONTHS_OF_2026, [*company_ids]],
    )


def write(
    connection: psycopg.Connection, month: date = JANUARY, name: str = "refresh"
) -> dict[str, Any]:
    return do(connection, name, month)


def amounts(connection: psycopg.Connection, month: date = JANUARY) -> dict[str, int]:
    """The AUM of each customer in a month."""
    return dict(
        connection.execute(
            f"SELECT company_id, aum_balance::integer FROM {FACT} WHERE snapshot_month = %s",
            [month],
        ).fetchall()
    )


def reprice(connection: psycopg.Connection, amount: int, company_id: str = "%") -> None:
    """Change the AUM of a customer, or of all, in January."""
    # In the same order whoever does it: two that meet wait for each other, and no more.
    connection.execute(
        """
        SELECT FROM business."规模明细"
        WHERE company_id LIKE %s
            AND "月度" = '2026-01-01'
        ORDER BY id
        FOR UPDATE
        """,
        [company_id],
    )
    connection.execute(
        """
        UPDATE business."规模明细"
        SET "期末资产规模" = %s
        WHERE company_id LIKE %s
            AND "月度" = '2026-01-01'
        """,
        [amount, company_id],
    )


def retried(connection: psycopg.Connection, work: Callable[[], Any]) -> Any:
    """Do work in a transaction, and again after a serialization failure, as the README says."""
    for _ in range(100):
        try:
            with connection.transaction():
                return work()
        except SerializationFailure:
            continue
    raise AssertionError("a hundred serialization failures in a row")


# --- Two writers of one month ------------------------------------------------


# Who is first and how its transaction ends; who waits for it, and what that counts or removes.
TURNS = (
    *((first, "commit", second, (3, 0, 0, 3, 0)) for first in WRITES for second in WRITES),
    *((name, "commit", "discard", 3) for name in WRITES),
    *(("discard", "commit", name, (3, 3, 0, 0, 0)) for name in WRITES),
    *(("discard", "rollback", name, (3, 0, 3, 0, 0)) for name in WRITES),
    ("discard", "rollback", "discard", 3),
    ("discard", "commit", "discard", None),
)


@pytest.mark.parametrize(
    ("month_is", "first_name", "end", "second_name", "found"),
    [("written", *turn) for turn in TURNS]
    + [("new", *turn) for turn in TURNS if turn[0] != "discard"],
)
def test_second_waits_and_finds_what_the_first_left(
    session, connection, hasty, start, source, month_is, first_name, end, second_name, found
):
    if month_is == "written":
        write(connection)
        reprice(connection, 7)
    before = stored(connection)
    first, second = session(), session()
    result = write(first, JANUARY, first_name)
    if first_name != "discard":
        assert counts(result) == ((3, 3, 0, 0, 0) if month_is == "new" else (3, 0, 3, 0, 0))
    # Readers see nothing of it.
    assert stored(hasty) == before

    call = start(write, second, JANUARY, second_name)
    wait_for_lock(connection, first, call)
    getattr(first, end)()
    left = stored(connection)

    if found is None:
        with pytest.raises(ObjectNotInPrerequisiteState, match="2026-01-31 was never written"):
            call.result(timeout=20)
        assert left[FACT] == []
        return
    result = call.result(timeout=20)
    assert stored(hasty) == left
    second.commit()
    assert len(stored(connection)[LOG]) == len(before[LOG]) + (end == "commit") + 1
    if second_name == "discard":
        query = f"SELECT deleted FROM {LOG} WHERE log_id = %s"
        assert connection.execute(query, [result["log_id"]]).fetchone() == (found,)
        assert months_stored(connection) == {}
        assert counts(write(connection)) == (3, 3, 0, 0, 0)
    else:
        assert counts(result) == found
        assert (stored(connection)[FACT] == left[FACT]) == (found == (3, 0, 0, 3, 0))
    assert errors_in(connection, JANUARY) == []


def test_third_writer_waits_for_the_second(session, connection, start, source):
    """Each finds what the one before it left, and none is overtaken by what it read before."""
    write(connection)
    first, *others = (session() for _ in range(3))
    reprice(first, 1, "C1")
    write(first)

    calls = {start(write, other): other for other in others}
    for call in calls:
        wait_for_lock(connection, first, call)
    first.commit()
    [quicker], [slower] = wait(calls, timeout=20, return_when=FIRST_COMPLETED)
    assert counts(quicker.result()) == (3, 0, 0, 3, 0)
    wait_for_lock(connection, calls[quicker], slower)
    reprice(connection, 2, "C2")
    calls[quicker].commit()

    assert counts(slower.result(timeout=20)) == (3, 0, 1, 2, 0)
    calls[slower].commit()
    assert amounts(connection) == {"C1": 1, "C2": 2, "C3": 100}


def test_who_mends_a_summary_waits_for_a_writer_and_adds_up_what_it_wrote(
    session, connection, start, source
):
    """Before anything of the summary is touched, which would be a deadlock."""
    write(connection)
    reprice(connection, 7)
    writer, other = session(), session()
    writer.execute(f"SELECT FROM {CONTROL} WHERE snapshot_month = '2026-01-31' FOR UPDATE")

    call = start(other.execute, "SELECT customer.summarise_snapshot_month('2026-01-31')")
    wait_for_lock(connection, writer, call)
    write(writer)
    writer.commit()

    call.result(timeout=20)
    other.commit()
    query = "SELECT aum_balance FROM customer.monthly_status_total"
    assert connection.execute(query).fetchall() == [(21,)]


def test_hook_for_awards_waits_for_a_load_of_its_month_and_sees_its_rows(
    session, connection, start, source
):
    """Whether the month has been written it asks once it has the lock."""
    load, award = session(), session()
    write(load, JANUARY, "hook")
    Source(award).award("C1")

    call = start(award.execute, "SELECT customer.post_etl_hook('annual_award', '202601')")
    wait_for_lock(connection, load, call)
    load.commit()

    [result] = call.result(timeout=20).fetchone()
    assert (result["status"], counts(result)) == ("refreshed", (3, 0, 1, 2, 0))
    award.commit()
    assert connection.execute(
        f"SELECT company_id FROM {FACT} WHERE is_winning_this_year"
    ).fetchall() == [("C1",)]


# --- Changes by hand beside them ---------------------------------------------


@pytest.mark.parametrize("month", [JANUARY, FEBRUARY], ids=["same month", "other month"])
@pytest.mark.parametrize(
    ("first_name", "second_name"),
    [
        (name, other)
        for name in ("insert", "update", "delete")
        for other in ("refresh", "restate", "discard", "update")
    ]
    + [("refresh", "insert"), ("restate", "update"), ("hook", "delete"), ("check", "update")],
)
def test_change_by_hand_and_another_change_wait_for_each_other(
    session, connection, start, source, first_name, second_name, month
):
    """Whichever comes first, and whatever the month: the log has them in the order they went."""
    for each in (JANUARY, FEBRUARY):
        write(connection, each)
    reprice(connection, 7)
    first, second = session(), session(options="-c deadlock_timeout=20ms")
    write(first, JANUARY, first_name)

    call = start(write, second, month, second_name)
    wait_for_lock(connection, first, call)
    left = [month_as_at(first, JANUARY)]
    first.commit()
    call.result(timeout=20)
    left.append(month_as_at(second, month))
    second.commit()

    entries = connection.execute(
        f"SELECT snapshot_month, operation, log_id FROM {LOG} ORDER BY log_id OFFSET 2"
    ).fetchall()
    assert [entry[:2] for entry in entries] == [
        (changed, operation)
        for changed, name in ((JANUARY, first_name), (month, second_name))
        for operation in LOGGED.get(name, [name])
    ]
    assert [month_as_at(connection, changed, log_id) for changed, _, log_id in entries] == left[
        -len(entries) :
    ]
    assert unfaithful(connection) == []
    if second_name in WRITES:
        # What came by hand while it waited does not outlive it.
        assert errors_in(connection, month) == []


def test_changes_by_hand_that_wait_go_one_after_the_other(session, connection, start, source):
    write(connection)
    holder = session()
    write(holder, JANUARY, "check")

    hands = [session(autocommit=True) for _ in range(2)]
    calls = [start(write, hand, JANUARY, "update") for hand in hands]
    waiting = "SELECT count(*) FROM pg_locks WHERE relation = %s::regclass AND NOT granted"
    while connection.execute(waiting, [CONTROL]).fetchone() != (2,):
        time.sleep(0.01)
    holder.commit()

    for call in calls:
        call.result(timeout=20)
    assert amounts(connection) == dict.fromkeys(("C1", "C2", "C3"), 102)
    assert unfaithful(connection) == []


def test_truncate_does_not_wait_for_who_changes_a_month(session, connection, hasty, start, source):
    """It holds up the whole table; so it gives way, and its hint says how to wait without that."""
    write(connection)
    writer, cleaner = session(), session()
    write(writer, JANUARY, "check")

    with pytest.raises(LockNotAvailable, match="while a month is being changed") as caught:
        write(session(options="-c statement_timeout=10s"), JANUARY, "truncate")

    assert counts(write(writer)) == (3, 0, 0, 3, 0)
    [wait_first] = re.findall("LOCK TABLE .*?;", caught.value.diag.message_hint)
    call = start(cleaner.execute, wait_first)
    wait_for_lock(connection, writer, call)
    writer.commit()
    call.result(timeout=20)
    write(cleaner, JANUARY, "truncate")
    cleaner.commit()
    assert months_stored(connection) == {}
    assert unfaithful(connection) == []
    assert connection.execute(f"SELECT count(*) FROM {HISTORY}").fetchone() == (3,)


# --- Different months --------------------------------------------------------


@pytest.mark.parametrize("level", LEVELS)
def test_writers_of_different_months_do_not_wait(session, connection, source, level):
    """Twelve transactions, open at once, each with a month of its own and a snapshot before all.

    SERIALIZABLE may refuse what would have been right, and a retry cures it.
    """
    writers = [session(level, options="-c lock_timeout=500ms") for _ in MONTHS_OF_2026]
    work = [*zip(writers, MONTHS_OF_2026, WRITES * 4, strict=True)]
    refused = []
    for writer in writers:
        writer.execute("SELECT count(*) FROM customer.customer_plan_contract")
    for writer, month, name in work:
        try:
            assert counts(write(writer, month, name)) == (3, 3, 0, 0, 0)
        except SerializationFailure:
            refused.append((writer, month, name))
            writer.rollback()
    assert months_stored(connection) == {}
    for writer, month, name in reversed(work):
        try:
            writer.commit()
        except SerializationFailure:
            refused.append((writer, month, name))
            writer.rollback()

    assert not refused or level == "serializable"
    for each in refused:
        retried(each[0], lambda each=each: write(*each))
    assert months_stored(connection) == dict.fromkeys(MONTHS_OF_2026, 3)
    for month in MONTHS_OF_2026:
        assert errors_in(connection, month) == []


@pytest.mark.parametrize("name", OPERATIONS)
@pytest.mark.parametrize("other_name", OPERATIONS)
def test_no_operation_waits_for_another_month(session, connection, hasty, source, name, other_name):
    for month, operation in ((JANUARY, name), (FEBRUARY, other_name)):
        write(connection, month)
        if operation == "reopen":
            write(connection, month, "close")
    holder = session()
    write(holder, JANUARY, name)

    log_entries = len(stored(connection)[LOG])

    write(hasty, FEBRUARY, other_name)

    holder.commit()
    assert connection.execute(
        f"SELECT operation FROM {LOG} ORDER BY log_id OFFSET %s", [log_entries]
    ).fetchall() == [
        (operation,) for each in (name, other_name) for operation in LOGGED.get(each, [each])
    ]


# --- A load under way --------------------------------------------------------


def contracts(etl: psycopg.Connection, assignment: str) -> None:
    etl.execute(f"UPDATE customer.customer_plan_contract SET {assignment} WHERE company_id = 'C1'")


# What a load does, and what the refresh after it counts.
LOADS: dict[str, tuple[Callable[[psycopg.Connection], None], tuple[int, ...]]] = {
    "detail inserted": (lambda etl: Source(etl).detail("C1", "1"), (3, 0, 1, 2, 0)),
    "detail changed": (lambda etl: reprice(etl, 7), (3, 0, 3, 0, 0)),
    "contract and customer added": (lambda etl: Source(etl).contract("C4"), (4, 1, 0, 3, 0)),
    "contract ended": (lambda etl: contracts(etl, "valid_to = '2026-02-05'"), (2, 0, 0, 2, 1)),
    "contract marked": (lambda etl: contracts(etl, "is_strategic = TRUE"), (3, 0, 1, 2, 0)),
    "award": (lambda etl: Source(etl).award("C1"), (3, 0, 1, 2, 0)),
    "loss": (lambda etl: Source(etl).loss("C1"), (3, 0, 1, 2, 0)),
    "customer renamed": (
        lambda etl: etl.execute("""UPDATE customer."年金客户" SET "客户名称" = '乙'"""),
        (3, 0, 0, 3, 0),
    ),
}


@pytest.mark.parametrize(("load", "expected"), LOADS.values(), ids=LOADS.keys())
def test_load_under_way_is_not_seen_and_then_seen(
    session, connection, hasty, start, source, load, expected
):
    """Nor is it waited for. Who waits for the month reads the sources after the wait."""
    write(connection)
    before = stored(connection)
    holder, waiting, etl = session(), session(), session()
    load(etl)
    assert counts(write(hasty)) == (3, 0, 0, 3, 0)
    assert stored(connection)[FACT] == before[FACT]

    write(holder)
    call = start(write, waiting)
    wait_for_lock(connection, holder, call)
    etl.commit()
    holder.commit()

    assert counts(call.result(timeout=20)) == expected
    waiting.commit()
    assert errors_in(connection, JANUARY) == []


# What README says is locked. READ: by whoever reads; only a change of the table itself waits.
READ = {"AccessShareLock"}


def table_locks(connection: psycopg.Connection, holder: psycopg.Connection) -> dict[str, set[str]]:
    """The locks that a session holds on tables of the package and of the source system."""
    locks: dict[str, set[str]] = {}
    for table, mode in connection.execute(
        """
        SELECT relation::regclass::text, mode
        FROM pg_locks
        JOIN pg_class
            ON pg_class.oid = relation
        WHERE pid = %s
            AND relnamespace = ANY ('{customer,business,mapping}'::regnamespace[])
            AND relkind = 'r'
        """,
        [holder.info.backend_pid],
    ):
        locks.setdefault(table, set()).add(mode)
    return locks


def test_locks_are_the_weakest_that_writing_takes(session, connection, source):
    """On no table one that another reader or writer waits for, and all gone at the end."""
    refresher = session()
    written = {
        FACT: READ | {"RowExclusiveLock"},
        CONTROL: READ | {"RowShareLock", "RowExclusiveLock"},
        LOG: {"RowExclusiveLock"},
        HISTORY: {"RowExclusiveLock"},
        **dict.fromkeys((*SOURCES, 'mapping."产品线"', SUMMARY), READ),
    }

    write(refresher)
    assert table_locks(connection, refresher) == written | {
        # By the foreign keys of new rows.
        'customer."年金客户"': READ | {"RowShareLock"},
        'mapping."产品线"': READ | {"RowShareLock"},
        SUMMARY: READ | {"RowExclusiveLock"},
    }

    refresher.commit()
    assert table_locks(connection, refresher) == {}

    write(refresher)
    assert table_locks(connection, refresher) == written

    refresher.commit()
    write(refresher, JANUARY, "check")
    assert table_locks(connection, refresher) == {CONTROL: written[CONTROL] - READ}
    write(refresher, JANUARY, "discard")
    locks = table_locks(connection, refresher)
    assert {table: modes for table, modes in locks.items() if modes != READ} == {
        FACT: written[FACT],
        CONTROL: written[CONTROL],
        LOG: written[LOG],
        HISTORY: written[HISTORY],
        SUMMARY: READ | {"RowExclusiveLock"},
    }


# --- Timeouts ----------------------------------------------------------------

TIMEOUTS = {"lock_timeout": LockNotAvailable, "statement_timeout": QueryCanceled}


@pytest.mark.parametrize("timeout", TIMEOUTS)
@pytest.mark.parametrize("name", [*OPERATIONS, "update"])
def test_timeout_is_a_clear_error_and_leaves_nothing(session, connection, source, name, timeout):
    write(connection)
    if name == "reopen":
        write(connection, JANUARY, "close")
    reprice(connection, 7)
    before = stored(connection)
    holder, caller = session(), session()
    holder.execute(f"SELECT FROM {CONTROL} WHERE snapshot_month = %s FOR UPDATE", [JANUARY])
    Source(caller).contract("C9")
    # Long enough to come to the lock, however busy the machine.
    caller.execute(f"SET LOCAL {timeout} = '500ms'")
    notices = listen(caller)

    with pytest.raises(TIMEOUTS[timeout]) as caught:
        write(caller, JANUARY, name)
    caller.commit()  # of a failed transaction: a rollback
    holder.rollback()

    # It says what it waited for.
    assert "lock_snapshot_month" in caught.value.diag.context
    assert notices == []
    assert stored(connection) == before
    assert connection.execute(
        """SELECT count(*) FROM customer."年金客户" WHERE company_id = 'C9'"""
    ).fetchone() == (0,)
    write(caller, JANUARY, name)
    caller.commit()
    assert len(stored(connection)[LOG]) == len(before[LOG]) + len(LOGGED.get(name, [name]))


# --- Callers at REPEATABLE READ and SERIALIZABLE -----------------------------


@every_snapshot_level
@pytest.mark.parametrize(
    ("name", "written_before"),
    [(name, count) for name in (*WRITES, "check", "discard", "insert") for count in (0, 1)]
    # By hand, what cannot be seen is not changed.
    + [("update", 1), ("delete", 1)],
)
def test_snapshot_older_than_a_write_to_the_month_is_refused(
    session, connection, source, name, written_before, level
):
    """Though that write, a later one, found nothing to do."""
    for _ in range(written_before):
        write(connection)
    caller = session(level)
    caller.execute("SELECT count(*) FROM customer.customer_plan_contract")
    write(connection)
    before = stored(connection)

    with pytest.raises(SerializationFailure):
        write(caller, JANUARY, name)
    caller.commit()

    assert stored(connection) == before


@every_snapshot_level
@pytest.mark.parametrize("name", WRITES)
def test_two_loads_of_one_month_are_both_in_it_after_a_retry(
    session, connection, start, source, name, level
):
    write(connection)
    first, second = session(level), session(level)
    reprice(first, 1, "C1")
    reprice(second, 2, "C2")
    write(first, JANUARY, name)

    call = start(write, second, JANUARY, name)
    wait_for_lock(connection, first, call)
    first.commit()
    with pytest.raises(SerializationFailure):
        call.result(timeout=20)
    second.rollback()
    assert amounts(connection) == {"C1": 1, "C2": 100, "C3": 100}

    def load() -> dict[str, Any]:
        reprice(second, 2, "C2")
        return write(second, JANUARY, name)

    assert counts(retried(second, load)) == (3, 0, 1, 2, 0)
    assert amounts(connection) == {"C1": 1, "C2": 2, "C3": 100}
    assert errors_in(connection, JANUARY) == []


# --- Sources that are emptied and filled again -------------------------------

# What TRUNCATE and DDL do they do to older snapshots, too: these find nothing where it was done.
REFILLS = {
    "table": 'TRUNCATE business."规模明细"',
    "partition": "TRUNCATE business.january",
    "partition exchanged": """
        ALTER TABLE business."规模明细" DETACH PARTITION business.january;
        CREATE TABLE business.january_again PARTITION OF business."规模明细"
        FOR VALUES FROM ('2026-01-01') TO ('2026-02-01')
        """,
    "table exchanged": """
        ALTER TABLE business."规模明细" RENAME TO gone;
        CREATE TABLE business."规模明细" (LIKE business.gone) PARTITION BY RANGE ("月度");
        CREATE TABLE business.january_again PARTITION OF business."规模明细" DEFAULT
        """,
    "table staged": """
        ALTER TABLE business."规模明细" RENAME TO gone;
        ALTER TABLE business.staged RENAME TO "规模明细"
        """,
    "child": """
        DELETE FROM business."规模明细" WHERE "月度" = '2026-01-01';
        CREATE TEMPORARY TABLE contract ON COMMIT DROP AS SELECT * FROM customer.child;
        TRUNCATE customer.child;
        INSERT INTO customer.child SELECT * FROM contract
        """,
}


@pytest.fixture
def parted(connection) -> Iterator[None]:
    """AUM detail in partitions, and a table that inherits from the contracts."""
    connection.execute(
        """
        ALTER TABLE business."规模明细" RENAME TO kept;
        CREATE TABLE business."规模明细" (LIKE business.kept INCLUDING IDENTITY)
        PARTITION BY RANGE ("月度");
        CREATE TABLE business.others PARTITION OF business."规模明细" DEFAULT;
        CREATE TABLE business.january PARTITION OF business."规模明细"
        FOR VALUES FROM ('2026-01-01') TO ('2026-02-01');
        CREATE TABLE business.staged (LIKE business.kept);
        CREATE TABLE customer.child () INHERITS (customer.customer_plan_contract);
        """
    )
    yield
    connection.execute(
        """
        -- Whoever a test that failed has left behind.
        SELECT pg_terminate_backend(pid) FROM pg_stat_activity
        WHERE datname = current_database() AND state LIKE 'idle in transaction%';
        DROP TABLE business."规模明细", customer.child;
        DROP TABLE IF EXISTS business.gone, business.january, business.staged;
        ALTER TABLE business.kept RENAME TO "规模明细";
        """
    )


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize(
    ("refill", "name"),
    [(refill, "refresh") for refill in REFILLS]
    + [("child", name) for name in ("restate", "close", "validate", "update")],
)
def test_source_emptied_and_filled_again_is_seen_or_refused(
    session, connection, start, parted, source, refill, name, level
):
    """Whoever has looked before, and then waited for it."""
    connection.execute(
        "WITH contract AS ("
        " DELETE FROM ONLY customer.customer_plan_contract WHERE company_id = 'C3' RETURNING *)"
        " INSERT INTO customer.child SELECT * FROM contract"
    )
    write(connection)
    before = stored(connection)
    caller, etl = session(level), session()
    caller.execute(f"SELECT count(*) FROM {FACT}")
    etl.execute(
        "CREATE TEMPORARY TABLE again ON COMMIT DROP AS"
        """ SELECT * FROM business."规模明细" WHERE "月度" = '2026-01-01';"""
        f"""UPDATE again SET "期末资产规模" = 7; {REFILLS[refill]};"""
        'INSERT INTO business."规模明细" SELECT * FROM again'
    )

    call = start(
        *(errors_in, caller, JANUARY) if name == "validate" else (write, caller, JANUARY, name)
    )
    wait_for_lock(connection, etl, call)
    etl.commit()

    # What reads in one statement has a snapshot older than its wait, at any level.
    if level == "read committed" and name in ("refresh", "restate", "update"):
        result = call.result(timeout=20)
        caller.commit()
        if name != "update":
            assert counts(result) == (3, 0, 3, 0, 0)
            assert errors_in(connection, JANUARY) == []
    else:
        with pytest.raises(SerializationFailure, match="emptied, rewritten or exchanged"):
            call.result(timeout=20)
        caller.rollback()
        assert stored(connection) == before


# --- Several months in one transaction ---------------------------------------


@pytest.mark.parametrize("name", WRITES)
@pytest.mark.parametrize("loser_is_ascending", [True, False])
def test_descending_against_ascending_is_a_clean_deadlock(
    session, connection, start, source, name, loser_is_ascending
):
    """One of the two ends with 40P01 and leaves nothing; the other is not harmed."""
    write(connection, FEBRUARY)
    before = stored(connection)
    # Who looks for deadlocks first finds this one and gives way.
    loser = session(options="-c deadlock_timeout=20ms")
    winner = session(options="-c deadlock_timeout=60s")
    months = (JANUARY, FEBRUARY, MARCH)
    first, _, last = months if loser_is_ascending else months[::-1]
    Source(loser).detail("C1", "1")
    write(loser, first, name)
    Source(winner).detail("C2", "2")
    write(winner, last, name)
    write(winner, FEBRUARY, name)

    call = start(write, winner, first, name)
    wait_for_lock(connection, loser, call)
    with pytest.raises(DeadlockDetected):
        write(loser, FEBRUARY, name)
    loser.rollback()
    call.result(timeout=20)

    assert stored(connection) == before
    winner.commit()
    assert months_stored(connection) == dict.fromkeys(months, 3)
    assert amounts(connection) == {"C1": 100, "C2": 102, "C3": 100}
    assert len(stored(connection)[LOG]) == 1 + len(months)
    # The loser's load, done again in ascending order, is in it.
    Source(loser).detail("C1", "1")
    for month in months:
        write(loser, month, name)
    loser.commit()
    assert amounts(connection) == {"C1": 101, "C2": 102, "C3": 100}
    for month in months:
        assert errors_in(connection, month) == []


# --- All of it at once -------------------------------------------------------

SOAK_MONTHS = MONTHS_OF_2026[:4]

# Customers come in pairs, and every change is made to both of a pair at once. In the order in
# which rows are written all the firsts come before all the seconds.
PAIRS = 12
PAIRS_AT_MOST = 40

# Rows that can only be seen of a month that is half written.
HALF_WRITTEN = f"""
    SELECT snapshot_month::text, substr(company_id, 2), count(*)::text
    FROM {FACT}
    GROUP BY snapshot_month, substr(company_id, 2)
    HAVING count(*) <> 2
        OR min(aum_balance) <> max(aum_balance)
        OR bool_or(is_strategic) <> bool_and(is_strategic)
        OR bool_or(is_winning_this_year) <> bool_and(is_winning_this_year)
        OR min(plan_count) <> max(plan_count)
    UNION ALL
    SELECT control.snapshot_month::text, 'log', last_log_id::text
    FROM {CONTROL} AS control
    JOIN {LOG} ON log_id = last_log_id
    WHERE month_rows <> (
            SELECT count(*) FROM {FACT} WHERE snapshot_month = control.snapshot_month
        )
"""

# The rows added up, and what is read of them. Here nobody holds two product lines.
ADDED_UP = (
    "SELECT snapshot_month, product_line_code, count(*), sum(aum_balance), sum(plan_count)"
    f" FROM {FACT} GROUP BY GROUPING SETS ((1, 2), (1))",
    "SELECT snapshot_month, product_line_code, customers, aum_balance, plans"
    " FROM customer.monthly_status_trend WHERE customers > 0"
    " UNION ALL SELECT snapshot_month, NULL, customers, aum_balance, plans"
    " FROM customer.monthly_status_total",
)


# What a load does to a month, or to a pair that there may be.
CHANGES = (
    """
    UPDATE business."规模明细" SET "期末资产规模" = %(amount)s WHERE "月度" = %(first_day)s
    """,
    """
    WITH gone AS (
        DELETE FROM business."规模明细" WHERE "月度" = %(first_day)s RETURNING *
    )
    INSERT INTO business."规模明细" ("月度", "计划代码", "产品线代码", "期末资产规模", company_id)
    SELECT "月度", "计划代码", "产品线代码", %(amount)s, company_id FROM gone
    """,
    """
    INSERT INTO customer."当年中标"
        (company_id, "上报月份", "产品线代码", "业务类型", "上报客户名称")
    VALUES ('A' || %(pair)s, '2026-01-01', 'PL202', '受托', '甲'),
        ('B' || %(pair)s, '2026-01-01', 'PL202', '受托', '甲')
    """,
    *(
        f"UPDATE customer.customer_plan_contract SET {assignment}"
        " WHERE substr(company_id, 2) = %(pair)s"
        for assignment in (
            # Stale in January, and removed from the others.
            "valid_to = '2026-02-15'",
            "valid_to = '9999-12-31'",
            "is_strategic = NOT is_strategic",
        )
    ),
)


def change_sources(connection: psycopg.Connection, choice: random.Random) -> None:
    """A load: something happens to a pair or to a month, and often the hook follows."""
    month = choice.choice(SOAK_MONTHS)
    values = {
        "first_day": month.replace(day=1),
        "pair": f"{choice.randrange(PAIRS_AT_MOST):03}",
        "amount": choice.randrange(1000),
    }
    with connection.transaction():
        if change := choice.choice((None, *CHANGES)):
            connection.execute(change, values)
        else:
            [pairs] = connection.execute('SELECT count(*) / 2 FROM customer."年金客户"').fetchone()
            if pairs < PAIRS_AT_MOST:
                add_customers(connection, f"A{pairs:03}", f"B{pairs:03}")
        if choice.random() < 0.5:
            write(connection, month, "hook")


def look_for_half_a_month(connection: psycopg.Connection, choice: random.Random) -> None:
    connection.isolation_level = LEVELS["repeatable read"]
    with connection.transaction():
        connection.execute("SET LOCAL lock_timeout = '200ms'")
        found = connection.execute(HALF_WRITTEN).fetchall()
        rows, summary = ({*connection.execute(query)} for query in ADDED_UP)
    assert found == []
    assert rows == summary


def do_anything(connection: psycopg.Connection, choice: random.Random) -> None:
    """Any operation at any isolation level; retried until it is right or refused for good."""
    month = choice.choice(SOAK_MONTHS)
    name = choice.choice([*OPERATIONS, "update"])
    connection.isolation_level = LEVELS[choice.choice([*LEVELS])]
    retried(connection, lambda: write(connection, month, name))


# What all do at once, and what the package may refuse of it.
JOBS = (
    *[(do_anything, "is closed|is not closed|was never written|holds no rows")] * 6,
    (change_sources, "is closed"),
    *[(look_for_half_a_month, "nothing")] * 2,
)


def test_every_operation_at_every_level_at_once(database, connection):
    """Errors are either 40001, which a retry cures, or say that a month is closed, open, empty."""
    with connection.transaction():
        for number in range(PAIRS):
            add_customers(connection, f"A{number:03}", f"B{number:03}")
        for month in SOAK_MONTHS:
            write(connection, month)
    stop = threading.Event()

    def over_and_over(number: int, work: Callable, refusals: str) -> int:
        choice = random.Random(number)
        times = 0
        with psycopg.connect(dbname=database, autocommit=True) as session:
            while not stop.is_set():
                try:
                    work(session, choice)
                except ObjectNotInPrerequisiteState as error:
                    assert re.search(refusals, str(error))  # noqa: PT017
                times += 1
        return times

    with ThreadPoolExecutor(len(JOBS)) as executor:
        calls = [executor.submit(over_and_over, number, *job) for number, job in enumerate(JOBS)]
        wait(calls, SOAK_SECONDS, FIRST_EXCEPTION)
        stop.set()
    # A premise: everyone had a turn.
    assert min(call.result() for call in calls) > 0

    look_for_half_a_month(connection, random.Random())
    # Whatever committed is in the log: what was inserted and not deleted is there.
    assert dict(
        connection.execute(
            "SELECT snapshot_month, (sum(inserted) - sum(deleted))::integer"
            f" FROM {LOG} GROUP BY snapshot_month HAVING sum(inserted) <> sum(deleted)"
        ).fetchall()
    ) == months_stored(connection)
    for month in SOAK_MONTHS:
        if connection.execute(
            f"SELECT closed_at IS NOT NULL FROM {CONTROL} WHERE snapshot_month = %s", [month]
        ).fetchone()[0]:
            write(connection, month, "reopen")
        write(connection, month)
        assert errors_in(connection, month) == []
        # The log tells closes and reopens by turns, each of them once.
        turns = [
            operation
            for (operation,) in connection.execute(
                f"SELECT operation FROM {LOG}"
                " WHERE snapshot_month = %s AND operation IN ('close', 'reopen') ORDER BY log_id",
                [month],
            )
        ]
        assert turns == ["close", "reopen"] * (len(turns) // 2)
    look_for_half_a_month(connection, random.Random())
    assert unfaithful(connection) == []
