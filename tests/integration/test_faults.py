"""What breaks off half-way: statements, sessions, the server; and what is moved by a dump.

A refresh is held up at a known point by a lock that another session has, unseen by readers, and
broken off there. Afterwards the month is as it was, or complete; the log says the same; and the
next refresh is right. Loads that fail are in test_etl.py, other dumps in test_restore.py.

SNAPSHOT_SOAK_SECONDS says for how long sessions and servers are killed at random moments.
"""

import os
import random
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import FIRST_COMPLETED, ThreadPoolExecutor, wait
from contextlib import ExitStack, closing, contextmanager, suppress
from datetime import date
from pathlib import Path
from typing import Any, NamedTuple

import psycopg
import pytest
from oracle import last_day
from psycopg.errors import AdminShutdown, QueryCanceled
from support import (
    CONTROL,
    FACT,
    HISTORY,
    KINDS,
    LOG,
    STORED,
    SUMMARY,
    VIEWS,
    deploy_scripts,
    do,
    errors_in,
    grant,
    psql,
    run,
    schema_dump,
    succeed,
    unfaithful,
    wait_for_lock,
)

SOAK_SECONDS = float(os.environ.get("SNAPSHOT_SOAK_SECONDS", "0"))


def month_number(number: int) -> date:
    """The last day of a month, the first of them in January 2010."""
    return last_day(date(2010 + number // 12, number % 12 + 1, 1))


MONTH = month_number(0)


# --- The month, before and after ---------------------------------------------

CUSTOMERS = 120


def fill_sources(
    connection: psycopg.Connection, customers: int = CUSTOMERS, months: int = 1
) -> None:
    """Customers C0001 and so on; all have contracts and AUM, and some an award or a loss."""
    connection.execute(
        f"""
        INSERT INTO customer."年金客户" (company_id)
        SELECT to_char(n, '"C"FM0000')
        FROM generate_series(1, {customers}) AS n;

        INSERT INTO customer.customer_plan_contract (
            company_id, plan_code, product_line_code, product_line_name,
            is_strategic, is_existing, status_year, contract_status, valid_from
        )
        SELECT to_char(n, '"C"FM0000'), 'P' || plan, 'PL202', '企年受托',
            n % 7 = 0, n % 3 = 0, 2026, '正常', '2000-01-01'
        FROM generate_series(1, {customers}) AS n
        CROSS JOIN generate_series(1, 2) AS plan;

        INSERT INTO business."规模明细"
            (company_id, "月度", "计划代码", "产品线代码", "期末资产规模")
        SELECT to_char(n, '"C"FM0000'), DATE '2010-01-15' + month * INTERVAL '1 month', 'P1',
            'PL202', n + month / 3.0
        FROM generate_series(1, {customers}) AS n
        CROSS JOIN generate_series(0, {months} - 1) AS month;
        """
    )
    for table, years in (("当年中标", 8), ("当年流失", 11)):
        connection.execute(
            f"""
            INSERT INTO customer."{table}"
                (company_id, "上报月份", "产品线代码", "业务类型", "上报客户名称")
            SELECT to_char(n, '"C"FM0000'), make_date(2010 + n % {years}, 3, 1), 'PL202', '受托',
                '甲'
            FROM generate_series(1, {customers}) AS n
            """
        )


def fill_months(connection: psycopg.Connection, *months: date) -> None:
    """The months as they were before everything changed, with three quarters of the customers."""
    connection.execute(
        f"""
        UPDATE customer.customer_plan_contract SET valid_to = '2005-01-31'
        WHERE company_id > to_char({CUSTOMERS} * 3 / 4, '"C"FM0000')
        """
    )
    for month in months:
        do(connection, "refresh", month)
    connection.execute("UPDATE customer.customer_plan_contract SET valid_to = '9999-12-31'")
    change_sources(connection)


def change_sources(connection: psycopg.Connection, month: date | None = None) -> None:
    """Every row of the month, or of all months, changes; of ten contracts none is current.

    Five of these ended before any month, and five will end after all of them.
    """
    connection.execute(
        """
        UPDATE business."规模明细"
        SET "期末资产规模" = "期末资产规模" + 1
        WHERE %(month)s::date IS NULL OR "月度" BETWEEN %(month)s::date - 30 AND %(month)s
        """,
        {"month": month},
    )
    connection.execute(
        "UPDATE customer.customer_plan_contract SET valid_to ="
        " CASE WHEN company_id <= 'C0005' THEN DATE '2005-01-31' ELSE '2100-01-31' END"
        " WHERE company_id <= 'C0010'"
    )


# What is broken off, and whether the month is filled before.
CASES = {
    "first refresh": ("refresh", False),
    "later refresh": ("refresh", True),
    "restate": ("restate", True),
    "discard": ("discard", True),
    "by hand": ("update", True),
}
WAYS = ("refresh", "restate", "update", "discard")


class State(NamedTuple):
    """What is stored of a month."""

    rows: list
    control: list
    log: list
    history: list
    summary: list


def state(connection: psycopg.Connection, month: date = MONTH) -> State:
    return State(
        *(
            connection.execute(query, [month]).fetchall()
            for query in (
                f"SELECT to_jsonb(t) - 'updated_at' FROM {FACT} AS t"
                " WHERE snapshot_month = %s ORDER BY company_id",
                f"SELECT last_rule, last_log_id, stale_rows, closed_at FROM {CONTROL}"
                " WHERE snapshot_month = %s AND last_rule IS NOT NULL",
                f"SELECT log_id, operation, stale, month_rows FROM {LOG}"
                " WHERE snapshot_month = %s ORDER BY log_id",
                f"SELECT t::text FROM {HISTORY} AS t WHERE snapshot_month = %s"
                " ORDER BY log_id, company_id",
                f"SELECT row_count, aum_balance::float FROM {SUMMARY} WHERE snapshot_month = %s",
            )
        )
    )


def rows_after(connection: psycopg.Connection, name: str, month: date = MONTH) -> list:
    """The rows that a change would leave if nothing came between."""
    with connection.transaction(force_rollback=True):
        do(connection, name, month)
        return state(connection, month).rows


def agrees(month: State) -> bool:
    """Whether the log, the control row and the summary say of the rows what is true."""
    log_id, operation, stale, month_rows = month.log[-1]
    if operation == "discard":
        return month.rows == month.control == month.summary == []
    [(_, last_log_id, stale_rows, _)] = month.control
    rows, aum = len(month.rows), round(sum(row["aum_balance"] for (row,) in month.rows), 2)
    # The summary of the one product line that there is, and of the whole.
    is_true = (log_id, month_rows, month.summary) == (last_log_id, rows, [(rows, aum)] * 2)
    return is_true and stale in (None, stale_rows)


def outcome(before: State, after: State, rows: list) -> str:
    """Whether a month is as before or complete; anything else is torn."""
    if after == before:
        return "as before"
    log_is_one_longer = after.log[:-1] == before.log and len(after.log) == len(before.log) + 1
    history_is_kept = after.history[: len(before.history)] == before.history
    if after.rows == rows and log_is_one_longer and history_is_kept and agrees(after):
        return "complete"
    return f"torn: {len(after.rows)} rows, {after.control}, {after.log}"


def must_go_on(connection: psycopg.Connection, name: str, rows: list, month: date = MONTH) -> None:
    """The next call is right, and so is every one after it. What is discarded is written anew."""
    if state(connection, month).rows != rows:
        do(connection, name, month)
    after = state(connection, month)
    assert after.rows == rows
    assert agrees(after)
    if name in ("discard", "update"):
        name = "refresh"
        do(connection, name, month)
    assert errors_in(connection, month) == []
    assert do(connection, name, month)["upserted"] == 0


# --- Points at which a refresh can be held up --------------------------------

# Some row of the month, its entry in the log or its summary waits for an advisory lock.
PAUSES = f"""
    CREATE FUNCTION public.pause() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
        PERFORM pg_advisory_xact_lock_shared(
            TG_ARGV[0]::integer,
            coalesce(NEW.snapshot_month, OLD.snapshot_month) - DATE '2010-01-01'
        );
        RETURN coalesce(NEW, OLD);
    END
    $$;
    CREATE TRIGGER pause BEFORE INSERT OR UPDATE ON {FACT}
    FOR EACH ROW WHEN (NEW.company_id = 'C0060') EXECUTE FUNCTION public.pause(1);
    CREATE TRIGGER pause_delete BEFORE DELETE ON {FACT}
    FOR EACH ROW WHEN (OLD.company_id = 'C0060') EXECUTE FUNCTION public.pause(1);
    CREATE TRIGGER pause BEFORE INSERT ON {LOG}
    FOR EACH ROW EXECUTE FUNCTION public.pause(2);
    CREATE TRIGGER pause BEFORE INSERT OR DELETE ON {SUMMARY}
    FOR EACH ROW EXECUTE FUNCTION public.pause(3);
"""

# What another session does so that writing a month stops there.
POINTS = {
    "waiting for the month": (
        f"INSERT INTO {CONTROL} (snapshot_month) VALUES ('{{month}}') ON CONFLICT DO NOTHING;"
        f" SELECT FROM {CONTROL} WHERE snapshot_month = '{{month}}' FOR UPDATE"
    ),
    "reading the sources": 'LOCK TABLE business."规模明细" IN ACCESS EXCLUSIVE MODE',
    "half-way through the rows": "SELECT pg_advisory_xact_lock(1, DATE '{month}' - '2010-01-01')",
    # A new row refers to a customer, and the reference locks it.
    "checking foreign keys": (
        """SELECT FROM customer."年金客户" WHERE company_id = 'C0110' FOR UPDATE"""
    ),
    "writing the log": "SELECT pg_advisory_xact_lock(2, DATE '{month}' - '2010-01-01')",
    "writing the summary": "SELECT pg_advisory_xact_lock(3, DATE '{month}' - '2010-01-01')",
}
# Where a discard, or a change by hand, has no business.
NEVER = {
    ("discard", "reading the sources"),
    ("discard", "checking foreign keys"),
    ("by hand", "checking foreign keys"),
}


def execute(connection: psycopg.Connection, statement: str) -> Any:
    return connection.execute(statement).fetchone()[0]


# --- Statements and sessions that are broken off -----------------------------


@pytest.fixture(scope="module")
def pausing_database(common_database) -> str:
    with psycopg.connect(dbname=common_database) as connection:
        connection.execute(PAUSES)
    return common_database


@pytest.fixture
def database(pausing_database, emptied_database) -> str:
    return emptied_database


# Ways to break off what a session does. Timeouts are in test_concurrency.py.
BREAKS = {"pg_cancel_backend({})": QueryCanceled, "pg_terminate_backend({}, 20000)": AdminShutdown}


# What is stored, and the views that read no source.
READS = (*STORED, *(view for view in VIEWS if "monthly_status" in view))


def read(connection: psycopg.Connection) -> dict[str, list[tuple]]:
    query = "SELECT to_jsonb(t) AS line FROM {} AS t ORDER BY line"
    return {name: connection.execute(query.format(name)).fetchall() for name in READS}


@pytest.mark.parametrize(
    ("case", "point"),
    [(case, point) for case in CASES for point in POINTS if (case, point) not in NEVER],
)
def test_what_is_held_up_is_unseen_and_broken_off_leaves_nothing(
    connect, connection, start, case, point
):
    name, is_filled = CASES[case]
    fill_sources(connection)
    if is_filled:
        fill_months(connection, MONTH)
    before, rows = state(connection), rows_after(connection, name)
    assert before.rows != rows
    blocker, writer = connect(), connect(autocommit=True)
    reader = connect(autocommit=True, options="-c lock_timeout=500ms")
    seen = read(reader)
    blocker.execute(POINTS[point].format(month=MONTH))

    for function, error in BREAKS.items():
        running = start(do, writer, name, MONTH)
        wait_for_lock(connection, blocker, running)
        # Readers do not wait, and to them the month is not what the sources say.
        assert read(reader) == seen
        assert point == "reading the sources" or errors_in(reader, MONTH) != []
        assert execute(connection, f"SELECT {function.format(writer.info.backend_pid)}")
        with pytest.raises(error):
            running.result(timeout=20)

        # Even while the other session is still there.
        assert outcome(before, state(connection), rows) == "as before"

    blocker.rollback()
    must_go_on(connection, name, rows)
    assert unfaithful(connection) == []


# --- The server stops --------------------------------------------------------


class Server:
    """A PostgreSQL server of our own, to be stopped as by a crash."""

    CONFIGURATION = """
        port = 5432
        listen_addresses = ''
        unix_socket_directories = '{folder}'
        max_connections = 90
        shared_buffers = 32MB
        # Whoever asks for synchronous_commit = on waits for a standby that never comes: its
        # commit is written, and not yet acknowledged.
        synchronous_standby_names = 'nobody'
        synchronous_commit = local
        checkpoint_timeout = 1h
        autovacuum = off
        # What a killed process had written, the machine still has.
        fsync = off
        # Without this it would not come back when a backend was killed.
        restart_after_crash = on
    """

    def __init__(self, programs: Path) -> None:
        self.programs = programs
        # Not pytest's tmp_path: the server's user cannot enter it.
        self.folder = Path(tempfile.mkdtemp(prefix="snapshot_crash_"))
        self.data = self.folder / "data"
        self.process: subprocess.Popen | None = None
        # The variables that point to the other server would win over this one's configuration.
        self.options: dict[str, Any] = {
            "cwd": self.folder,
            "stdin": subprocess.DEVNULL,
            "env": {name: text for name, text in os.environ.items() if not name.startswith("PG")},
        }
        # PostgreSQL does not run as root.
        if os.getuid() == 0:
            self.options |= {"user": "postgres", "group": "postgres", "extra_groups": []}
            shutil.chown(self.folder, "postgres", "postgres")
        options = "--no-sync --auth=trust --username=postgres --encoding=UTF8 --locale=C.UTF-8"
        self._run("initdb", *options.split(), f"--pgdata={self.data}")
        with (self.data / "postgresql.conf").open("a") as file:
            file.write(self.CONFIGURATION.format(folder=self.folder))

    def _run(self, program: str, *arguments: str) -> None:
        succeed(
            subprocess.run(
                [str(self.programs / program), *arguments],
                capture_output=True,
                encoding="utf-8",
                check=False,
                **self.options,
            )
        )

    def start(self) -> None:
        """Start, again and again while backends of the one that was killed are still there."""
        deadline = time.monotonic() + 60
        while True:
            # Our own child, so that after SIGKILL there is somebody to reap it.
            with self.log.open("a") as log:
                self.process = subprocess.Popen(
                    [str(self.programs / "postgres"), "-D", str(self.data)],
                    stdout=log,
                    stderr=log,
                    start_new_session=True,
                    **self.options,
                )
            if self.is_up():
                return
            assert time.monotonic() < deadline, self.log.read_text()

    def is_up(self) -> bool:
        """Wait until the server takes connections; False if it ends instead."""
        deadline = time.monotonic() + 60
        while self.process.poll() is None:
            with suppress(psycopg.OperationalError):
                self.connect("postgres").close()
                return True
            assert time.monotonic() < deadline, self.log.read_text()
            with suppress(subprocess.TimeoutExpired):
                self.process.wait(timeout=0.02)
        return False

    @property
    def environment(self) -> dict[str, str]:
        return {"PGHOST": str(self.folder), "PGPORT": "5432", "PGUSER": "postgres"}

    @property
    def log(self) -> Path:
        return self.folder / "log"

    def stop_immediately(self) -> None:
        self._run("pg_ctl", "stop", "--mode=immediate", f"--pgdata={self.data}")
        self.process.wait()

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()

    def connect(self, database: str, **parameters: Any) -> psycopg.Connection:
        return psycopg.connect(
            host=str(self.folder),
            port=5432,
            user="postgres",
            dbname=database,
            **({"autocommit": True} | parameters),
        )

    def remove(self) -> None:
        if self.process is not None and self.process.poll() is None:
            self.stop_immediately()
        shutil.rmtree(self.folder)


CRASHES = ("stopped immediately", "killed", "one backend killed")

# What a call can leave, wherever another session holds it up, and at its end.
PLACES = {point: {"as before"} for point in POINTS} | {
    "before the commit": {"as before"},
    "while the commit is acknowledged": {"complete"},
    "after the commit": {"complete"},
    # Such a commit may be lost, but not in part.
    "after an asynchronous commit": {"as before", "complete"},
}

# These hold up every month, so they have databases of their own.
DATABASES = {"reading the sources": "reading", "checking foreign keys": "checking"}

# Each has a month of its own. A change by hand lets nobody else begin.
SITUATIONS = [
    (crash, case, place)
    for crash in CRASHES
    for case in CASES
    for place in PLACES
    if (case, place) not in NEVER and case != "by hand"
]
SOAK_MONTH = month_number(len(SITUATIONS))


def month_of(*situation: str) -> date:
    return month_number(SITUATIONS.index(situation))


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    """A server of our own with the package; its months are filled where the case wants it."""
    with psycopg.connect() as connection:
        programs = execute(connection, "SELECT setting FROM pg_config WHERE name = 'BINDIR'")
    server = Server(Path(programs))
    try:
        server.start()
        with server.connect("postgres") as connection:
            connection.execute("CREATE DATABASE main")
        succeed(psql("main", "-f", "sql/demo/source_system.sql", **server.environment))
        succeed(deploy_scripts("main", folders=("deploy",), **server.environment))
        with server.connect("main") as connection:
            connection.execute(PAUSES)
            with connection.transaction():
                fill_sources(connection, months=len(SITUATIONS) + 1)
                fill_months(
                    connection,
                    *(month_of(*each) for each in SITUATIONS if CASES[each[1]][1]),
                    SOAK_MONTH,
                )
        with server.connect("postgres") as connection:
            for name in DATABASES.values():
                connection.execute(f"CREATE DATABASE {name} TEMPLATE main")
            # A sequence of a database that was just copied would fall back after a crash:
            # PostgreSQL takes its next values for logged already, as they are in the original.
            connection.execute("CHECKPOINT")
        yield server
    finally:
        server.remove()


@contextmanager
def connected(server: Server) -> Iterator[dict[str, psycopg.Connection]]:
    """A session in each database with the package."""
    with ExitStack() as stack:
        yield {
            name: stack.enter_context(closing(server.connect(name)))
            for name in ("main", *DATABASES.values())
        }


@pytest.mark.parametrize("crash", CRASHES)
def test_month_is_as_before_or_complete_after_a_crash(server, crash):
    """Every case is at every place, each with a month of its own, when the server stops."""
    months = {each[1:]: month_of(*each) for each in SITUATIONS if each[0] == crash}
    before, rows, writers, blockers, running = {}, {}, {}, {}, []

    def blocking(place: str, month: date) -> tuple[str, str]:
        return (DATABASES.get(place, "main"), POINTS[place].format(month=month))

    with (
        server.connect("postgres") as observer,
        ThreadPoolExecutor(64) as executor,
        connected(server) as databases,
    ):
        for (case, place), month in months.items():
            database = databases[DATABASES.get(place, "main")]
            before[case, place] = state(database, month)
            rows[case, place] = rows_after(database, CASES[case][0], month)
            writers[case, place] = server.connect(database.info.dbname)

        for (_, place), month in months.items():
            if place in POINTS and blocking(place, month) not in blockers:
                database, statement = blocking(place, month)
                blocker = server.connect(database, autocommit=False)
                blocker.execute(statement)
                blockers[database, statement] = blocker

        for (case, place), month in months.items():
            name, writer = CASES[case][0], writers[case, place]
            pid = writer.info.backend_pid
            if place in POINTS:
                blocker = blockers[blocking(place, month)].info.backend_pid
                condition = f"{blocker} = ANY (pg_blocking_pids({pid}))"
            elif place == "while the commit is acknowledged":
                writer.execute("SET synchronous_commit = on")
                condition = (
                    f"(SELECT wait_event = 'SyncRep' FROM pg_stat_activity WHERE pid = {pid})"
                )
            else:
                writer.autocommit = place != "before the commit"
                if place == "after an asynchronous commit":
                    writer.execute("SET synchronous_commit = off")
                do(writer, name, month)
                continue
            running.append(executor.submit(do, writer, name, month))
            while not execute(observer, f"SELECT {condition}"):
                ended, _ = wait(running, timeout=0.01, return_when=FIRST_COMPLETED)
                assert not ended, ended

        if crash == "stopped immediately":
            # What is half written is on disk.
            observer.execute("CHECKPOINT")
            server.stop_immediately()
            server.start()
        elif crash == "killed":
            server.kill()
            server.start()
        else:
            os.kill(writer.info.backend_pid, signal.SIGKILL)
            # The server stops all others, too, and starts anew.
            wait(running, timeout=60)
            assert server.is_up()
        for call in running:
            assert isinstance(call.exception(timeout=60), psycopg.OperationalError)
        for session in (*writers.values(), *blockers.values()):
            session.close()

    with connected(server) as databases:
        for (case, place), month in months.items():
            database = databases[DATABASES.get(place, "main")]
            found = outcome(before[case, place], state(database, month), rows[case, place])
            assert found in PLACES[place], (case, place)
            must_go_on(database, CASES[case][0], rows[case, place], month)
        for database in databases.values():
            assert unfaithful(database) == []


def test_killed_at_any_moment_it_leaves_all_or_nothing(server):
    """At moments spread over the time that a change takes, its commit included."""
    choice = random.Random(20260131)
    deadline = time.monotonic() + SOAK_SECONDS
    trial = 0
    while trial < 12 or time.monotonic() < deadline:
        name, way = WAYS[trial % 4], trial % 3
        with (
            server.connect("postgres") as other,
            server.connect("main") as connection,
            ThreadPoolExecutor(1) as executor,
        ):
            pid = connection.info.backend_pid
            before = state(connection, SOAK_MONTH)
            started = time.monotonic()
            rows = rows_after(connection, name, SOAK_MONTH)
            duration = time.monotonic() - started
            running = executor.submit(do, connection, name, SOAK_MONTH)
            wait([running], timeout=duration * choice.random())
            if way == 0:
                assert execute(other, f"SELECT pg_terminate_backend({pid}, 20000)")
            else:
                (server.stop_immediately if way == 1 else server.kill)()
                server.start()
            ended = running.exception(timeout=60)
            assert ended is None or isinstance(ended, psycopg.OperationalError)
        with server.connect("main") as connection:
            found = outcome(before, state(connection, SOAK_MONTH), rows)
            assert found in {"as before", "complete"}
            # What was acknowledged stays.
            assert found == "complete" or ended is not None
            must_go_on(connection, name, rows, SOAK_MONTH)
            change_sources(connection, SOAK_MONTH)
        trial += 1
    with server.connect("main") as connection:
        assert unfaithful(connection) == []


# --- Dumps -------------------------------------------------------------------

CLOSED = month_number(1)


@pytest.mark.distribution
def test_dump_restores_a_package_that_works(
    database, connection, connect, create_role, create_test_database, tmp_path
):
    """Functions, triggers, comments and rights; taken while a refresh is under way.

    A site's own generated column stands in the way of a trigger that compares whole rows. Plain
    dumps, and what they tell of history, are in test_restore.py.
    """
    fill_sources(connection, months=2)
    fill_months(connection, MONTH, CLOSED)
    do(connection, "close", CLOSED)
    role = create_role()
    succeed(grant(database, **dict.fromkeys(KINDS, role)))
    connection.execute(
        f"ALTER TABLE {FACT} ADD IF NOT EXISTS million numeric"
        " GENERATED ALWAYS AS (aum_balance / 1000000) STORED"
    )
    before, rows = state(connection), rows_after(connection, "refresh")
    do(connect(), "refresh", MONTH)
    name = create_test_database("template0")

    succeed(run("pg_dump", "--format=custom", f"--file={tmp_path}/dump", database))
    succeed(run("pg_restore", "--exit-on-error", tmp_path / "dump", f"--dbname={name}"))

    assert schema_dump(name) == schema_dump(database)
    succeed(deploy_scripts(name, folders=("verify",)))

    with (
        psycopg.connect(dbname=name, autocommit=True) as restored,
        psycopg.connect(dbname=name, user=role, password=role, autocommit=True) as operator,
    ):
        assert state(restored) == before
        result = do(operator, "refresh", MONTH)
        assert (result["stale"], result["deleted"]) == (5, 5)
        assert state(restored).rows == rows
        assert agrees(state(restored))
        old = execute(restored, f"SELECT max(updated_at) FROM {FACT}")
        change_sources(restored)
        assert do(restored, "hook", MONTH)["updated"] == 110
        changed = f"company_id > 'C0010' AND snapshot_month = '{MONTH}'"
        assert execute(restored, f"SELECT min(updated_at) FROM {FACT} WHERE {changed}") > old
        assert errors_in(restored, MONTH) == []
        with pytest.raises(psycopg.errors.ObjectNotInPrerequisiteState, match="is closed"):
            do(operator, "refresh", CLOSED)
