"""What breaks off half-way: statements, sessions, the server; and what is moved by a dump.

A refresh is held up at a known point by a lock that another session has, and broken off there.
Afterwards the month is as it was, or complete; the log says the same; and the next refresh is
right. Loads that fail are in test_etl.py, dumps of closed months in test_close.py.

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
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import suppress
from datetime import date
from pathlib import Path
from typing import Any, NamedTuple

import psycopg
import pytest
from psycopg.errors import (
    AdminShutdown,
    ConfigurationLimitExceeded,
    LockNotAvailable,
    QueryCanceled,
)
from support import changes, psql, run, schema_dump, sqitch, succeed

SOAK_SECONDS = float(os.environ.get("SNAPSHOT_SOAK_SECONDS", "0"))

JANUARY = date(2026, 1, 31)
FACT = "customer.fct_customer_business_monthly_status"
CONTROL = "customer.monthly_snapshot_control"
LOG = "customer.monthly_snapshot_log"
TABLES = (
    FACT,
    CONTROL,
    LOG,
    "customer.customer_plan_contract",
    'customer."当年中标"',
    'customer."当年流失"',
    'customer."年金客户"',
    'business."规模明细"',
)
CALLS = {
    "refresh": "SELECT customer.refresh_monthly_snapshot('2026-01-31')",
    "restate": "SELECT customer.restate_monthly_snapshot('2026-01-31', 'why')",
}


# --- The month, before and after ---------------------------------------------


def fill_sources(connection: psycopg.Connection, customers: int = 200) -> None:
    """Customers C0001 and so on; all have a contract and AUM, and some an award or a loss."""
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
            n % 7 = 0, n % 3 = 0, 2026, '正常', '2020-01-01'
        FROM generate_series(1, {customers}) AS n
        CROSS JOIN generate_series(1, 2) AS plan;

        INSERT INTO customer."当年中标" (company_id, "上报月份", "产品线代码", "业务类型", "上报客户名称")
        SELECT to_char(n, '"C"FM0000'), '2026-03-01', 'PL202', '受托', '甲'
        FROM generate_series(1, {customers}, 5) AS n;

        INSERT INTO customer."当年流失" (company_id, "上报月份", "产品线代码", "业务类型", "上报客户名称")
        SELECT to_char(n, '"C"FM0000'), '2026-03-01', 'PL202', '受托', '甲'
        FROM generate_series(1, {customers}, 11) AS n;

        INSERT INTO business."规模明细" (company_id, "月度", "计划代码", "产品线代码", "期末资产规模")
        SELECT to_char(n, '"C"FM0000'), '2026-01-15', 'P1', 'PL202', n + part / 3.0
        FROM generate_series(1, {customers}) AS n
        CROSS JOIN generate_series(1, 2) AS part;
        """
    )


def change_sources(connection: psycopg.Connection) -> None:
    """Every row of the month changes; ten lose their contracts."""
    connection.execute(
        """
        UPDATE business."规模明细" SET "期末资产规模" = "期末资产规模" + 1;
        UPDATE customer.customer_plan_contract
        SET valid_to = '2026-01-15'
        WHERE company_id <= 'C0010';
        """
    )


def fill_month(connection: psycopg.Connection) -> None:
    """The month as it was before the last customers came and everything changed."""
    connection.execute(
        "UPDATE customer.customer_plan_contract SET valid_to = '2020-01-31'"
        " WHERE company_id > 'C0150'"
    )
    connection.execute(CALLS["refresh"])
    connection.execute(
        "UPDATE customer.customer_plan_contract SET valid_to = '9999-12-31'"
        " WHERE company_id > 'C0150'"
    )
    change_sources(connection)


class Case(NamedTuple):
    """What is broken off."""

    call: str
    is_filled: bool


CASES = {
    "first refresh": Case(CALLS["refresh"], is_filled=False),
    "later refresh": Case(CALLS["refresh"], is_filled=True),
    "restate": Case(CALLS["restate"], is_filled=True),
}


class State(NamedTuple):
    """What is stored of the month."""

    rows: list
    control: list
    log: list


def state(connection: psycopg.Connection) -> State:
    return State(
        rows=connection.execute(
            f"SELECT to_jsonb(t) - 'updated_at' FROM {FACT} AS t ORDER BY company_id"
        ).fetchall(),
        control=connection.execute(
            f"SELECT last_rule, last_log_id, stale_rows, closed_at FROM {CONTROL}"
            " WHERE last_rule IS NOT NULL"
        ).fetchall(),
        log=connection.execute(
            f"SELECT log_id, operation, total, stale, aum_total FROM {LOG} ORDER BY log_id"
        ).fetchall(),
    )


def rows_of(connection: psycopg.Connection, call: str) -> list:
    """The rows that a call would leave if nothing came between."""
    with connection.transaction(force_rollback=True):
        connection.execute(call)
        return state(connection).rows


def outcome(connection: psycopg.Connection, before: State, rows: list) -> str:
    """Whether the month is as before or complete; anything else is torn."""
    after = state(connection)
    if after == before:
        return "as before"
    log_is_one_longer = after.log[:-1] == before.log and len(after.log) == len(before.log) + 1
    if after.rows == rows and log_is_one_longer and agrees(after):
        return "complete"
    return f"torn: {len(after.rows)} rows, {after.control}, {after.log}"


def agrees(month: State) -> bool:
    """Whether the log and the control row say of the rows what is true."""
    [(_, last_log_id, stale_rows, _)] = month.control
    log_id, _, total, stale, _ = month.log[-1]
    return log_id == last_log_id and stale == stale_rows and total + stale == len(month.rows)


def errors_in(connection: psycopg.Connection) -> list[tuple[str, str]]:
    """What validation finds wrong with the month."""
    return connection.execute(
        "SELECT check_name, detail FROM customer.validate_monthly_snapshot('2026-01-31')"
        " WHERE severity = 'error' AND violations > 0"
    ).fetchall()


def must_go_on(connection: psycopg.Connection, call: str, rows: list) -> None:
    """The next call is right, and so is every one after it."""
    connection.execute(call)
    month = state(connection)
    assert month.rows == rows
    assert agrees(month)
    assert errors_in(connection) == []
    assert connection.execute(call).fetchone()[0]["upserted"] == 0


# --- Points at which a refresh can be held up --------------------------------

PAUSE = f"""
    CREATE FUNCTION public.pause() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
        PERFORM pg_advisory_xact_lock_shared(20260131);
        RETURN NEW;
    END
    $$;
    CREATE TRIGGER pause BEFORE INSERT OR UPDATE ON {FACT}
    FOR EACH ROW WHEN (NEW.company_id = 'C0100') EXECUTE FUNCTION public.pause();
"""

# What another session does so that the refresh stops there.
POINTS = {
    "waiting for the month": (
        f"INSERT INTO {CONTROL} (snapshot_month) VALUES ('2026-01-31') ON CONFLICT DO NOTHING;"
        f" SELECT FROM {CONTROL} WHERE snapshot_month = '2026-01-31' FOR UPDATE"
    ),
    "reading the sources": 'LOCK TABLE business."规模明细" IN ACCESS EXCLUSIVE MODE',
    "half-way through the rows": "SELECT pg_advisory_xact_lock(20260131)",
    # A new row refers to a customer, and the reference locks it.
    "checking foreign keys": (
        """SELECT FROM customer."年金客户" WHERE company_id = 'C0180' FOR UPDATE"""
    ),
    "writing the log": f"LOCK TABLE {LOG} IN SHARE MODE",
}


def wait_until(observer: psycopg.Connection, condition: str, *calls: Future) -> None:
    """Return when a query about the server is true, while none of the calls has ended."""
    deadline = time.monotonic() + 30
    while not observer.execute(f"SELECT {condition}").fetchone()[0]:
        for call in calls:
            assert not call.done(), f"ended: {call.exception() or call.result()}"
        assert time.monotonic() < deadline, f"it never came to pass: {condition}"
        wait(calls, timeout=0.01, return_when="FIRST_COMPLETED")


def is_blocked(backend_pid: int, by_pid: int) -> str:
    return f"{by_pid} = ANY (pg_blocking_pids({backend_pid}))"


def execute(connection: psycopg.Connection, statement: str) -> Any:
    return connection.execute(statement).fetchone()[0]


# --- Statements and sessions that are broken off -----------------------------


@pytest.fixture(scope="module")
def common_database(create_database, package_template) -> str:
    name = create_database(package_template)
    with psycopg.connect(dbname=name, autocommit=True) as connection:
        # Quicker, and nobody is to see what a crash of this server would lose.
        connection.execute(f"ALTER DATABASE {name} SET synchronous_commit = off")
        connection.execute(PAUSE)
    return name


@pytest.fixture
def database(common_database) -> str:
    """One database for these tests, emptied for each: quicker than a new one each."""
    with psycopg.connect(dbname=common_database) as connection:
        # Without triggers: they guard closed months.
        connection.execute("SET LOCAL session_replication_role = replica")
        for table in TABLES:
            connection.execute(f"DELETE FROM {table}")
    return common_database


class Break(NamedTuple):
    """A way to break off what a session does."""

    error: type[psycopg.Error]
    sqlstate: str
    message: str
    setting: str | None = None
    function: str | None = None


BREAKS = {
    "terminated": Break(
        AdminShutdown,
        "57P01",
        "terminating connection due to administrator command",
        function="pg_terminate_backend",
    ),
    "cancelled": Break(
        QueryCanceled,
        "57014",
        "canceling statement due to user request",
        function="pg_cancel_backend",
    ),
    "statement_timeout": Break(
        QueryCanceled,
        "57014",
        "canceling statement due to statement timeout",
        setting="statement_timeout",
    ),
    "lock_timeout": Break(
        LockNotAvailable,
        "55P03",
        "canceling statement due to lock timeout",
        setting="lock_timeout",
    ),
}


@pytest.mark.parametrize("point", POINTS)
@pytest.mark.parametrize("case", CASES)
def test_what_is_broken_off_leaves_nothing(connect, connection, start, case, point):
    call, is_filled = CASES[case]
    fill_sources(connection)
    if is_filled:
        fill_month(connection)
    before, rows = state(connection), rows_of(connection, call)
    assert before.rows != rows
    blocker, writer = connect(), connect(autocommit=True)
    blocker.execute(POINTS[point])

    for way in BREAKS.values():
        pid = writer.info.backend_pid
        if way.setting is not None:
            writer.execute(f"SET {way.setting} = '50ms'")
        running = start(execute, writer, call)
        if way.function is not None:
            wait_until(connection, is_blocked(pid, blocker.info.backend_pid), running)
            connection.execute(f"SELECT {way.function}({pid})")
        with pytest.raises(way.error) as caught:
            running.result(timeout=20)

        assert (caught.value.sqlstate, caught.value.diag.message_primary) == (
            way.sqlstate,
            way.message,
        )
        # Even while the other session is still there.
        assert outcome(connection, before, rows) == "as before"
        if writer.broken:
            wait_until(connection, f"NOT EXISTS (SELECT FROM pg_stat_activity WHERE pid = {pid})")
            writer = connect(autocommit=True)
        else:
            writer.execute("RESET ALL")

    blocker.rollback()
    must_go_on(writer, call, rows)


MANY = 1000


def test_session_killed_at_any_moment_leaves_all_or_nothing(connect, connection, start):
    """At moments spread over the time that a refresh takes, its commit included."""
    fill_sources(connection, MANY)
    choice = random.Random(20260131)
    deadline = time.monotonic() + SOAK_SECONDS
    outcomes = set()
    duration = 0.0
    trial = 0
    while trial < 4 or time.monotonic() < deadline:
        call = [*CALLS.values()][trial % 2]
        before, rows = state(connection), rows_of(connection, call)
        writer = connect(autocommit=True)
        started = time.monotonic()
        running = start(execute, writer, call)
        # The first one is left alone, to know how long it takes.
        wait([running], timeout=duration * choice.random() * 1.1 if trial else 60)
        pid = writer.info.backend_pid
        connection.execute("SELECT pg_terminate_backend(%s)", [pid])
        wait_until(connection, f"NOT EXISTS (SELECT FROM pg_stat_activity WHERE pid = {pid})")
        ended = running.exception(timeout=20)
        assert ended is None or isinstance(ended, psycopg.OperationalError)
        duration = duration or time.monotonic() - started

        found = outcome(connection, before, rows)
        assert found in {"as before", "complete"}
        # Who was told that it is done can rely on it.
        assert found == "complete" or ended is not None
        outcomes.add(found)
        must_go_on(connection, call, rows)
        change_sources(connection)
        trial += 1

    assert "complete" in outcomes


@pytest.mark.parametrize("case", [*CASES, "validation"])
def test_out_of_room_for_temporary_files_is_a_clear_error_and_leaves_nothing(
    connect, connection, case
):
    """With ever more room, until there is enough: it is refused at many points."""
    call, is_filled = CASES.get(
        case,
        Case(
            "SELECT count(*) FROM customer.validate_monthly_snapshot('2026-01-31')",
            is_filled=True,
        ),
    )
    fill_sources(connection, MANY)
    if is_filled:
        fill_month(connection)
    before, rows = state(connection), rows_of(connection, call)
    writer = connect(autocommit=True)
    writer.execute("SET work_mem = '64kB'; SET hash_mem_multiplier = 1")

    refused = 0
    for limit in (0, 16, 64, 128, 256, 512, 1024, -1):
        writer.execute(f"SET temp_file_limit = {limit}")
        try:
            writer.execute(call)
        except ConfigurationLimitExceeded as error:
            assert error.sqlstate == "53400"
            assert error.diag.message_primary == (
                f"temporary file size exceeds temp_file_limit ({limit}kB)"
            )
            assert outcome(connection, before, rows) == "as before"
            refused += 1
        else:
            break

    assert refused > 1
    if case != "validation":
        assert outcome(connection, before, rows) == "complete"
        must_go_on(connection, call, rows)


# --- The server stops --------------------------------------------------------


class Server:
    """A PostgreSQL server of our own, to be stopped as by a crash."""

    # So many databases are open at once, each with two sessions.
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
        # Without this a server whose backend was killed would not come back.
        restart_after_crash = on
    """

    def __init__(self, programs: Path) -> None:
        self.programs = programs
        # Not pytest's tmp_path: the server's user cannot enter it.
        self.folder = Path(tempfile.mkdtemp(prefix="snapshot_crash_"))
        self.data = self.folder / "data"
        self.options: dict[str, Any] = {}
        # PostgreSQL does not run as root.
        if os.getuid() == 0:
            self.options = {"user": "postgres", "group": "postgres", "extra_groups": []}
            shutil.chown(self.folder, "postgres", "postgres")
        # The variables that point to the other server would win over its configuration.
        self.options["env"] = {
            name: value for name, value in os.environ.items() if not name.startswith("PG")
        }
        self.process: subprocess.Popen | None = None
        self._run("initdb", "--no-sync", "--auth=trust", "--username=postgres",
                  "--encoding=UTF8", "--locale=C.UTF-8", f"--pgdata={self.data}")  # fmt: skip
        with (self.data / "postgresql.conf").open("a") as file:
            file.write(self.CONFIGURATION.format(folder=self.folder))

    def _run(self, program: str, *arguments: str) -> None:
        succeed(
            subprocess.run(
                [str(self.programs / program), *arguments],
                cwd=self.folder,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                encoding="utf-8",
                check=False,
                **self.options,
            )
        )

    def start(self) -> None:
        # Our own child, so that after SIGKILL there is somebody to reap it.
        with (self.folder / "log").open("a") as log:
            self.process = subprocess.Popen(
                [str(self.programs / "postgres"), "-D", str(self.data)],
                cwd=self.folder,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
                **self.options,
            )

    def restart(self) -> None:
        """Start, again and again while backends of the one that was killed are still there."""
        deadline = time.monotonic() + 60
        while True:
            self.start()
            if self.is_ready():
                return
            self.process.wait()
            assert time.monotonic() < deadline, (self.folder / "log").read_text()

    def is_ready(self) -> bool:
        """Wait until the server takes connections; False if it ends instead."""
        deadline = time.monotonic() + 60
        while self.process.poll() is None:
            with suppress(psycopg.OperationalError):
                self.connect("postgres").close()
                return True
            assert time.monotonic() < deadline, (self.folder / "log").read_text()
            with suppress(subprocess.TimeoutExpired):
                self.process.wait(timeout=0.02)
        return False

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


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    """A server of our own, with a database for each case as it is before the call."""
    with psycopg.connect() as connection:
        programs = connection.execute(
            "SELECT setting FROM pg_config WHERE name = 'BINDIR'"
        ).fetchone()[0]
    server = Server(Path(programs))
    try:
        server.restart()
        files = [f"deploy/{change}.sql" for change in changes()]
        with server.connect("postgres") as connection:
            connection.execute("CREATE DATABASE empty")
        succeed(
            psql(
                "empty",
                *(word for file in ("sql/demo/source_system.sql", *files) for word in ("-f", file)),
                PGHOST=str(server.folder),
                PGPORT="5432",
                PGUSER="postgres",
            )
        )
        with server.connect("empty") as connection:
            connection.execute(PAUSE)
            fill_sources(connection)
        with server.connect("postgres") as connection:
            connection.execute("CREATE DATABASE unfilled TEMPLATE empty")
        with server.connect("empty") as connection:
            fill_month(connection)
        with server.connect("postgres") as connection:
            connection.execute("ALTER DATABASE empty RENAME TO filled")
        yield server
    finally:
        server.remove()


CRASHES = ("stopped immediately", "killed", "one backend killed")

# What there is besides the points at which another session holds the call up.
ENDS = {
    "before the commit": {"as before"},
    "while the commit is acknowledged": {"complete"},
    "after the commit": {"complete"},
    # Such a commit may be lost, but not in part.
    "after an asynchronous commit": {"as before", "complete"},
}
PLACES = dict.fromkeys(POINTS, {"as before"}) | ENDS


class Broken(NamedTuple):
    """What was going on in a database when the server stopped."""

    database: str
    before: State
    rows: list


@pytest.fixture(scope="module", params=CRASHES)
def crashed(server, request) -> Iterator[dict[tuple[str, str], Broken]]:
    """All cases at all places in databases of their own, when the server stops; it is up again."""
    with server.connect("postgres") as observer, ThreadPoolExecutor(64) as executor:
        broken, sessions, calls, conditions = {}, [], [], []
        for number, (case, place) in enumerate((c, p) for c in CASES for p in PLACES):
            call, is_filled = CASES[case]
            name = f"broken_{CRASHES.index(request.param)}_{number}"
            observer.execute(
                f"CREATE DATABASE {name} TEMPLATE {'filled' if is_filled else 'unfilled'}"
            )
            writer = server.connect(name)
            sessions.append(writer)
            broken[case, place] = Broken(name, state(writer), rows_of(writer, call))
            # Of half of them the pages are on disk as they were, half-written ones included.
            if number % 2:
                observer.execute("CHECKPOINT")
            pid = writer.info.backend_pid
            if place in POINTS:
                blocker = server.connect(name, autocommit=False)
                sessions.append(blocker)
                blocker.execute(POINTS[place])
                calls.append(executor.submit(writer.execute, call))
                conditions.append(is_blocked(pid, blocker.info.backend_pid))
            elif place == "while the commit is acknowledged":
                writer.execute("SET synchronous_commit = on")
                calls.append(executor.submit(writer.execute, call))
                conditions.append(
                    "(SELECT wait_event = 'SyncRep' FROM pg_stat_activity"
                    f" WHERE pid = {pid})"
                )
            else:
                if place == "before the commit":
                    writer.autocommit = False
                elif place == "after an asynchronous commit":
                    writer.execute("SET synchronous_commit = off")
                writer.execute(call)
        for condition in conditions:
            wait_until(observer, condition, *calls)
        if request.param != "killed":
            observer.execute("CHECKPOINT")

        if request.param == "stopped immediately":
            server.stop_immediately()
            server.restart()
        elif request.param == "killed":
            server.kill()
            server.restart()
        else:
            os.kill(sessions[0].info.backend_pid, signal.SIGKILL)
            assert isinstance(calls[0].exception(timeout=60), psycopg.OperationalError)
            # The postmaster stops all the others and starts anew.
            wait(calls, timeout=60)
            assert server.is_ready()
        for call in calls:
            assert isinstance(call.exception(timeout=60), psycopg.OperationalError)
        for session in sessions:
            session.close()
    yield broken
    with server.connect("postgres") as observer:
        for database, _, _ in broken.values():
            observer.execute(f"DROP DATABASE {database} WITH (FORCE)")


@pytest.mark.distribution
@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("case", CASES)
def test_month_is_as_before_or_complete_after_a_crash(server, crashed, case, place):
    database, before, rows = crashed[case, place]
    with server.connect(database) as connection:
        assert outcome(connection, before, rows) in PLACES[place]
        must_go_on(connection, CASES[case].call, rows)


@pytest.mark.distribution
def test_server_killed_at_any_moment_leaves_all_or_nothing(server):
    """At moments spread over the time that a refresh takes, its commit included."""
    choice = random.Random(20260131)
    deadline = time.monotonic() + SOAK_SECONDS
    with server.connect("postgres") as observer:
        observer.execute("CREATE DATABASE soak TEMPLATE filled")
    with server.connect("soak") as connection:
        started = time.monotonic()
        rows_of(connection, CALLS["refresh"])
        duration = time.monotonic() - started
    trial = 0
    while trial < 3 or time.monotonic() < deadline:
        call = [*CALLS.values()][trial % 2]
        with server.connect("soak") as connection, ThreadPoolExecutor(1) as executor:
            before, rows = state(connection), rows_of(connection, call)
            running = executor.submit(connection.execute, call)
            wait([running], timeout=duration * choice.random() * 1.2)
            if trial % 2:
                server.stop_immediately()
            else:
                server.kill()
            is_done = running.exception(timeout=60) is None
        server.restart()
        with server.connect("soak") as connection:
            found = outcome(connection, before, rows)
            assert found in {"as before", "complete"}
            # What was acknowledged stays.
            assert found == "complete" or not is_done
            must_go_on(connection, call, rows)
            change_sources(connection)
        trial += 1


# --- Dumps -------------------------------------------------------------------

FORMATS = {
    "plain": lambda dump, database: ("psql", "-X", "-q", "-v", "ON_ERROR_STOP=1", "-d", database,
                                     "-f", dump),
    "custom": lambda dump, database: ("pg_restore", "--exit-on-error", "-d", database, dump),
}  # fmt: skip

KINDS = ("etl", "operator", "restater", "closer", "reader")


@pytest.fixture
def granted(database, connection, create_role) -> dict[str, str]:
    """A month that is filled, and a role of each kind that sql/grants.sql knows."""
    fill_sources(connection)
    fill_month(connection)
    roles = {kind: create_role() for kind in KINDS}
    succeed(
        run(
            *("psql", "-X", "-q", "-d", database, "-f", "sql/grants.sql"),
            *(word for kind, role in roles.items() for word in ("-v", f"{kind}={role}")),
        )
    )
    return roles


def restore(form: str, dump: Path, database: str) -> None:
    succeed(run(*FORMATS[form](dump, database)))


@pytest.mark.distribution
@pytest.mark.parametrize("form", FORMATS)
def test_dump_restores_a_package_that_works(
    database, connection, connect, granted, create_test_database, tmp_path, form
):
    """Functions, triggers, comments and rights; taken while a refresh is under way."""
    before, rows = state(connection), rows_of(connection, CALLS["refresh"])
    connect().execute(CALLS["refresh"])
    dump = tmp_path / "dump"
    name = create_test_database("template0")

    succeed(run("pg_dump", f"--format={form}", f"--file={dump}", database))
    restore(form, dump, name)

    assert schema_dump(name) == schema_dump(database)
    succeed(sqitch(name, "verify"))

    def session(kind: str) -> psycopg.Connection:
        role = granted[kind]
        return psycopg.connect(dbname=name, user=role, password=role, autocommit=True)

    with (
        psycopg.connect(dbname=name, autocommit=True) as restored,
        session("etl") as etl,
        session("operator") as operator,
        session("restater") as restater,
        session("closer") as closer,
        session("reader") as reader,
    ):
        assert state(restored) == before
        assert execute(operator, CALLS["refresh"])["stale"] == 10
        assert state(restored).rows == rows
        assert agrees(state(restored))
        assert errors_in(reader) == []
        restored.execute("SET TimeZone = 'UTC'")
        old = execute(restored, f"SELECT max(updated_at) FROM {FACT}")
        change_sources(restored)
        hook = "SELECT customer.post_etl_hook('annuity_performance', '202601')"
        assert execute(etl, hook)["updated"] == 190
        assert execute(restored, f"SELECT min(updated_at) FROM {FACT} WHERE company_id > 'C0010'") > old
        assert execute(restater, CALLS["restate"])["deleted"] == 10
        execute(closer, "SELECT customer.close_snapshot_month('2026-01-31', 'published')")
        for statement in (CALLS["refresh"], f"UPDATE {FACT} SET plan_count = 9"):
            with pytest.raises(psycopg.errors.ObjectNotInPrerequisiteState, match="is closed"):
                restored.execute(statement)
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            operator.execute(f"SELECT * FROM {FACT}")
        assert execute(reader, f"SELECT count(*) FROM {FACT}") == 190
        assert errors_in(reader) == []


@pytest.mark.distribution
def test_restore_without_privileges_is_noticed_by_verify(
    database, connection, granted, create_test_database, tmp_path
):
    """With --no-acl what was taken from PUBLIC comes back: PostgreSQL's default for functions."""
    dump = tmp_path / "dump"
    name = create_test_database("template0")
    succeed(run("pg_dump", "--format=custom", f"--file={dump}", database))

    succeed(run("pg_restore", "--exit-on-error", "--no-acl", "-d", name, dump))

    result = sqitch(name, "verify")
    assert result.returncode != 0
    assert "EXECUTE by PUBLIC" in result.stdout + result.stderr


@pytest.mark.distribution
def test_comparing_dumps_notices_damage(create_test_database, package_template):
    """A premise: a trigger, a comment, a right or a setting that is lost shows."""
    name = create_test_database(package_template)
    dumps = {schema_dump(name)}
    for damage in (
        f"DROP TRIGGER trg_snapshot_guard_update ON {FACT}",
        f"COMMENT ON COLUMN {FACT}.plan_count IS NULL",
        "GRANT EXECUTE ON FUNCTION customer.refresh_monthly_snapshot(date) TO PUBLIC",
        "ALTER FUNCTION customer.refresh_monthly_snapshot(date) RESET search_path",
    ):
        with psycopg.connect(dbname=name) as connection:
            connection.execute(damage)
        dumps.add(schema_dump(name))

    assert len(dumps) == 5
