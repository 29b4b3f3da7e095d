"""scripts/refresh_snapshot.py: run as a process, as an operator runs it."""

import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from datetime import date, timedelta
from decimal import Decimal
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import quote

import psycopg
import pytest
from psycopg import sql
from support import NOTHING, PROJECT, Source, grant, months_stored, run, stored, succeed
from uv import find_uv_bin

pytestmark = pytest.mark.distribution

SCRIPT = PROJECT / "scripts" / "refresh_snapshot.py"
JANUARY = ("--period", "202601")
TODAY = date.today()
NEXT_MONTH = TODAY.replace(day=1) + timedelta(days=31)

# In a URL all of its special characters are encoded but the +, which means itself.
PASSWORD = "s3cret+p@ss/w0rd% $x #"
ENCODED = quote(PASSWORD, safe="+")
# In no output, whatever came of the run: the parts show where only some of it was hidden.
SECRETS = (PASSWORD, ENCODED, "s3cret", "w0rd", os.environ["PGPASSWORD"])

# A call in which all is right but the password, up to the encoding of it.
URL = "postgresql://somebody:{}@localhost/somewhere"


def checked(result: subprocess.CompletedProcess[str]) -> subprocess.CompletedProcess[str]:
    """A run that has ended, and that showed neither a password nor a traceback."""
    output = result.stdout + result.stderr
    assert not [secret for secret in SECRETS if secret in output]
    assert "Traceback" not in output
    return result


def call(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run the script with this Python."""
    return checked(run(sys.executable, SCRIPT, *arguments, **environment))


def answer(connection: psycopg.Connection, statement: str = "", **values: Any) -> None:
    """Let the refresh run this statement first, and put these values into its result."""
    connection.execute(
        f"""
        ALTER FUNCTION customer.refresh_monthly_snapshot(date) RENAME TO real_refresh;
        CREATE FUNCTION customer.refresh_monthly_snapshot(p_snapshot_month date)
        RETURNS jsonb LANGUAGE plpgsql SECURITY DEFINER AS $$
        BEGIN
            {statement}
            RETURN customer.real_refresh(p_snapshot_month) || '{json.dumps(values)}';
        END
        $$
        """
    )


@pytest.fixture(autouse=True)
def plain_environment(monkeypatch) -> None:
    monkeypatch.delenv("DATABASE_URL", raising=False)
    monkeypatch.delenv("PYTHONUNBUFFERED", raising=False)


@pytest.fixture
def refresh(database, monkeypatch) -> Callable[..., subprocess.CompletedProcess[str]]:
    """A function that runs the script; libpq's variables name this test's database."""
    monkeypatch.setenv("PGDATABASE", database)
    return call


class Running:
    """The script, under way."""

    def __init__(self, folder: Path, stdout: int | None = None, **environment: str) -> None:
        self.output = folder / "output"
        self.messages = folder / "messages"
        with self.output.open("w") as output, self.messages.open("w") as messages:
            self.process = subprocess.Popen(
                [sys.executable, SCRIPT, *JANUARY],
                env=os.environ | environment,
                stdin=subprocess.DEVNULL,
                stdout=output if stdout is None else stdout,
                stderr=messages,
                # A shell lets what it starts in the background ignore Ctrl-C.
                preexec_fn=partial(signal.signal, signal.SIGINT, signal.SIG_DFL),
            )

    def says(self, text: str) -> bool:
        return text in self.messages.read_text("utf-8")

    def interrupt(self) -> None:
        self.process.send_signal(signal.SIGINT)

    def end(self) -> subprocess.CompletedProcess[str]:
        """What it was once it has ended, which must be soon."""
        status = self.process.wait(timeout=60)
        output, messages = self.output.read_text("utf-8"), self.messages.read_text("utf-8")
        return checked(subprocess.CompletedProcess([], status, output, messages))


@pytest.fixture
def launch(refresh, tmp_path_factory) -> Iterator[Callable[..., Running]]:
    """A function that starts the script where refresh would run it, and does not wait for it."""
    started = []

    def start_script(*arguments, **environment) -> Running:
        started.append(Running(tmp_path_factory.mktemp("run"), *arguments, **environment))
        return started[-1]

    yield start_script
    for running in started:
        running.process.kill()
        running.process.wait()


@pytest.fixture
def source(connection) -> Source:
    """Two contracts with AUM that a float cannot hold, and AUM that belongs to nobody."""
    source = Source(connection)
    source.contract("C1")
    source.contract("C2")
    source.detail("C1", "90071992546409.83")
    source.detail("C2", "1000.10")
    source.detail(None, "250.50")
    return source


@pytest.fixture
def operator(connection, create_role, database) -> str:
    """A role with that password and with what sql/grants.sql gives an operator."""
    role = create_role()
    connection.execute(
        sql.SQL("ALTER ROLE {} PASSWORD {}").format(sql.Identifier(role), sql.Literal(PASSWORD))
    )
    succeed(grant(database, operator=role))
    return role


def last_caller(connection: psycopg.Connection) -> tuple[str, str]:
    """Whom and what program the newest entry of the log names."""
    return connection.execute(
        "SELECT invoked_by, application_name FROM customer.monthly_snapshot_log"
        " ORDER BY log_id DESC LIMIT 1"
    ).fetchone()


def sessions(connection: psycopg.Connection) -> list[str | None]:
    """What each of the script's sessions in this database waits for."""
    rows = connection.execute(
        "SELECT wait_event_type FROM pg_stat_activity"
        " WHERE datname = current_database() AND application_name = 'refresh_snapshot.py'"
    )
    return [wait_event_type for (wait_event_type,) in rows]


def wait_until(condition: Callable[[], bool]) -> None:
    """Return when it is true, which must be soon."""
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.01)


def server_address(connection: psycopg.Connection) -> str:
    """The part of a URL that follows the password."""
    return f"{connection.info.host}:{connection.info.port}/{connection.info.dbname}"


# --- What it does and says ---------------------------------------------------


def test_help_says_how_to_call_it():
    # The file itself is called here, with the interpreter that has psycopg.
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    url = URL.format(ENCODED)
    result = checked(run(SCRIPT, "--help", PATH=path, COLUMNS="80", DATABASE_URL=url))

    assert (result.returncode, result.stderr) == (0, "")
    assert " ".join(re.findall(r"^  (--\S+)", result.stdout, flags=re.MULTILINE)) == (
        "--period --dry-run --fail-on-warning --accept-implausible --json --dsn"
    )
    assert "\n  scripts/refresh_snapshot.py --period 202601 --dry-run\n" in result.stdout
    assert max(map(len, result.stdout.splitlines())) <= 80


def test_refreshes_the_month_and_says_what_it_does(refresh, connection, source):
    with connection.transaction():
        for number in range(1, 1102):
            source.contract(f"D{number}")
    refresh(*JANUARY)
    connection.execute(
        """
        UPDATE customer.customer_plan_contract SET is_strategic = TRUE WHERE company_id LIKE 'D%';
        UPDATE customer.customer_plan_contract SET valid_to = '2026-02-05' WHERE company_id = 'D1';
        """
    )
    source.contract("E1")
    server = connection.info

    result = refresh(*JANUARY)

    assert result.returncode == 0
    assert result.stdout.startswith(
        "Snapshot of 2026-01-31, log entry 2\n"
        "rows                                1,103\n"
        "  inserted                              1\n"
        "  updated                           1,100\n"
        "  unchanged                             2\n"
        "stale rows, kept                        1\n"
        "AUM, yuan           90,071,992,547,409.93\n"
        "unattributed, yuan                 250.50\n"
    )
    said = result.stderr.splitlines()
    assert said[:2] == [
        f"Connecting to database {server.dbname}, host {server.host}, port {server.port},"
        f" user {server.user} (from PGDATABASE, PGHOST, PGPORT, PGUSER).",
        f"Refreshing the snapshot of 202601 in database {server.dbname}"
        f" on {server.host}, port {server.port}, as {server.user}.",
    ]
    assert said[-1] == "Committed."
    assert months_stored(connection) == {date(2026, 1, 31): 1104}


def test_json_is_the_result_and_nothing_else(refresh, connection, source):
    result = refresh(*JANUARY, "--json", "--fail-on-warning")

    assert result.returncode == 0
    text = "SELECT customer.refresh_monthly_snapshot('2026-01-31')::text"
    again = json.loads(connection.execute(text).fetchone()[0], parse_float=Decimal)
    first = {"inserted": 2, "upserted": 2, "unchanged": 0, "log_id": 1, "dry_run": False}
    assert json.loads(result.stdout, parse_float=Decimal) == again | first
    # To the last digit as the database has it.
    assert '"aum_total": 90071992547409.93,' in result.stdout
    assert '"aum_unattributed": 250.50}' in result.stdout
    assert result.stdout.count("\n") == 1
    assert "NOTICE:  snapshot of 2026-01-31: 2 rows" in result.stderr
    assert result.stderr.endswith("Committed.\n")


def test_dry_run_reports_what_a_refresh_would_change_and_changes_nothing(
    refresh, connection, source
):
    refresh(*JANUARY)
    source.contract("C3")
    source.detail("C2", "99.90")
    before = stored(connection)

    trial = refresh(*JANUARY, "--dry-run", "--json")
    trial_for_people = refresh(*JANUARY, "--dry-run")

    assert (trial.returncode, trial_for_people.returncode) == (0, 0)
    assert stored(connection) == before
    assert trial_for_people.stdout.startswith("Snapshot of 2026-01-31, dry run\nrows ")
    assert trial.stderr.endswith("Dry run: rolled back. Nothing was written.\n")
    real = json.loads(refresh(*JANUARY, "--json").stdout)
    assert (real["inserted"], real["updated"], real["unchanged"]) == (1, 1, 1)
    marks = {"dry_run": True, "status": "dry_run", "log_id": None}
    assert json.loads(trial.stdout) == real | marks


WARN = "RAISE WARNING 'two' USING DETAIL = 'lines', HINT = 'more';"
WARNINGS = [{"code": code, "message": "two", "hint": "more"} for code in ("one", "other")]


@pytest.mark.parametrize(
    ("options", "status"),
    [((), 0), (("--fail-on-warning",), 3), (("--fail-on-warning", "--dry-run"), 3)],
)
def test_warnings_are_shown_and_make_it_fail_if_so_asked(
    refresh, connection, source, options, status
):
    answer(connection, WARN, warnings=WARNINGS)

    result = refresh(*JANUARY, *options)

    assert result.returncode == status
    assert result.stderr.count("\nWARNING:  two\nDETAIL:  lines\nHINT:  more\n") == 1
    assert result.stdout.endswith("\none: two\nother: two\n")
    assert (stored(connection) == NOTHING) == ("--dry-run" in options)


def test_what_is_implausible_is_written_if_accepted(refresh, connection, source):
    refresh(*JANUARY)
    connection.execute(
        """
        DELETE FROM business."规模明细";
        UPDATE customer.customer_plan_contract SET valid_to = '2026-01-15' WHERE company_id = 'C2'
        """
    )

    refused = refresh(*JANUARY)
    accepted = refresh(*JANUARY, "--accept-implausible")

    assert refused.returncode == 1
    error, hint, *others = refused.stderr.splitlines()[2:]
    assert error == (
        "ERROR:  the AUM detail has no row for 2026-01-31, though stored months have AUM"
    )
    assert hint.startswith("HINT:  Load the AUM of the month first")
    assert others == [
        "Here the option --accept-implausible does that.",
        "SQLSTATE:  55000",
        "Nothing was written.",
    ]
    assert accepted.returncode == 0
    title, *_, deleted, _, _, one, two, three = accepted.stdout.splitlines()
    # The refused call has taken number 2 with it.
    assert title == "Snapshot of 2026-01-31, log entry 3, accepted though implausible"
    assert deleted == "rows deleted           1"
    codes = [warning.split(": ")[0] for warning in (one, two, three)]
    assert codes == ["implausible_accepted", "rows_differ", "rows_removed"]
    assert months_stored(connection) == {date(2026, 1, 31): 1}


def test_passes_messages_on_as_they_come_and_says_for_whom_it_waits(
    launch, connect, connection, create_role, source
):
    """The second script cannot look, as its role may have one connection only, and is silent."""
    answer(connection, "RAISE WARNING 'at once';")
    other = connect(application_name="the load")
    other.execute("SELECT customer.lock_snapshot_month('2026-01-31')")
    role = create_role()
    connection.execute(f"ALTER ROLE {role} CONNECTION LIMIT 1")
    succeed(grant(connection.info.dbname, operator=role))
    limited = launch(PGUSER=role, PGPASSWORD=role)
    wait_until(lambda: limited.says("at once"))
    script = launch()

    waiting = f"\nWaiting for session {other.info.backend_pid} of {other.info.user}"
    wait_until(lambda: script.says(f"{waiting} (application the load).\n"))

    other.rollback()
    assert script.end().returncode == 0
    ended = limited.end()
    said = [line.split(":")[0] for line in ended.stderr.splitlines()[2:]]
    assert (ended.returncode, said) == (0, ["WARNING", "NOTICE", "Committed."])


def test_messages_are_readable_whatever_the_encoding(refresh, connection, source):
    """As on a console that knows no Chinese: the server could not convert its messages."""
    connection.execute("SELECT customer.refresh_monthly_snapshot('2026-01-31')")
    connection.execute("SELECT customer.close_snapshot_month('2026-01-31', '已发布')")

    for console, note in (("utf-8", "(已发布)"), ("ascii", r"(\u5df2\u53d1\u5e03)")):
        result = refresh(*JANUARY, PGCLIENTENCODING="LATIN1", PYTHONIOENCODING=console)
        assert result.returncode == 1
        assert note in result.stderr


# --- Which database ----------------------------------------------------------


@pytest.mark.parametrize(
    ("source", "options", "url", "pg"),
    [
        # What is not used may be malformed.
        ("--dsn", ["--dsn", "dbname={}"], URL.format("s3cret%zz"), "absent"),
        ("DATABASE_URL", [], "dbname={}", "absent"),
        ("PGDATABASE", [], " ", "{}"),
    ],
)
def test_dsn_goes_before_database_url_and_that_before_libpqs_variables(
    refresh, database, source, options, url, pg
):
    arguments = [*JANUARY, *(word.format(database) for word in options)]
    environment = {"DATABASE_URL": url.format(database), "PGDATABASE": pg.format(database)}

    result = refresh(*arguments, **environment)

    assert result.returncode == 0
    assert f"database {database}, host" in result.stderr
    assert f"(from {source}, PGHOST, " in result.stderr


@pytest.mark.parametrize("scheme", ["postgresql", "postgres", "postgresql+psycopg2"])
def test_takes_a_url_as_sqlalchemy_writes_it(refresh, connection, operator, scheme):
    """And keeps all of it but the driver; the rights of an operator are enough."""
    url = (
        f"{scheme}://{operator}:{ENCODED}@{server_address(connection)}"
        "?application_name=a@b%20+c%3A%2F%2Fd"
    )

    result = refresh(*JANUARY, DATABASE_URL=url)

    assert result.returncode == 0
    assert f", user {operator} (from DATABASE_URL).\n" in result.stderr
    assert f", as {operator}.\n" in result.stderr
    assert last_caller(connection) == (operator, "a@b +c://d")


# --- What goes wrong ---------------------------------------------------------


def test_an_error_shows_hint_and_sqlstate_and_the_period_is_data(refresh, connection):
    period = "202601')); DROP TABLE customer.monthly_snapshot_log; --"
    result = refresh("--period", period, "--json")

    assert (result.returncode, result.stdout) == (1, "")
    assert result.stderr.splitlines()[2:] == [
        f'ERROR:  the period must be six digits YYYYMM with a month 01 to 12, but is "{period}"',
        "HINT:  Pass the period as YYYYMM, such as 202601 for January 2026."
        " For a date, to_char(the_date, 'YYYYMM') makes one.",
        "SQLSTATE:  22023",
        "Nothing was written.",
    ]
    assert stored(connection) == NOTHING


@pytest.mark.parametrize(
    ("dsn", "database", "said"),
    [
        (f"host=127.0.0.1 port=1 password='{PASSWORD}'", "", "Connection refused"),
        ("", URL.format("s3cret@w0rd"), '"postgresql://...@localhost/somewhere" does not exist'),
        ("", "x password=s3cret w0rd", '"x password=...'),
        ("service=nowhere", "x", "Connecting to service nowhere (from DATABASE_URL).\n"),
    ],
    ids=["no server", "a URL as the name of the database", "a string as that", "no service"],
)
def test_who_cannot_connect_is_told_why_but_no_password(dsn, database, said):
    """And the current month is none to come."""
    result = call("--period", f"{TODAY:%Y%m}", DATABASE_URL=dsn, PGDATABASE=database)

    assert (result.returncode, result.stdout) == (1, "")
    assert "ERROR:  connection " in result.stderr
    assert said in result.stderr
    assert result.stderr.endswith("Nothing was written.\n")


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (("--json",), "the following arguments are required: --period"),
        ((*JANUARY, "--dsn", ""), "argument --dsn: the connection string is empty"),
        ((*JANUARY, "--dry"), "unrecognized argument"),
        # Not repeated, as it holds a password.
        ((*JANUARY, f"--url={URL.format(ENCODED)}"), "unrecognized argument"),
        ((*JANUARY, "--dsn", "host=localhost", f"password={PASSWORD}"), "unrecognized argument"),
        ((*JANUARY, f"--dry-run={URL.format(ENCODED)}"), "--dry-run: ignored explicit argument"),
        (
            ("--period", f"{NEXT_MONTH:%Y%m}", "--accept-implausible", "--dry-run"),
            f"argument --period: {NEXT_MONTH:%Y%m} is a month to come: by this machine's calendar"
            f" the current month is {TODAY:%Y%m}. Pass that or an earlier one;",
        ),
    ],
)
def test_a_wrong_call(arguments, complaint):
    result = call(*arguments)

    assert (result.returncode, result.stdout) == (2, "")
    assert result.stderr.startswith("usage: refresh_snapshot.py ")
    assert complaint in result.stderr
    assert "Connecting" not in result.stderr


@pytest.mark.parametrize(
    ("options", "environment"),
    [((), {}), ((), {"DATABASE_URL": " \n", "PGHOST": ""}), (("--dsn", "user=me port=1"), {})],
)
def test_who_names_no_database_is_asked_for_one(monkeypatch, options, environment):
    for variable in ("PGHOST", "PGHOSTADDR", "PGDATABASE", "PGSERVICE"):
        monkeypatch.delenv(variable, raising=False)

    result = call(*JANUARY, *options, **environment)

    assert (result.returncode, result.stdout) == (2, "")
    assert "error: no database is named. Set DATABASE_URL=postgresql://" in result.stderr
    assert "Connecting" not in result.stderr


def test_without_psycopg_it_says_how_to_run_it():
    # -S: without the packages that are installed.
    result = checked(run(sys.executable, "-S", SCRIPT, *JANUARY))

    assert (result.returncode, result.stdout) == (1, "")
    assert "No module named 'psycopg'" in result.stderr
    assert "uv run scripts/refresh_snapshot.py --period YYYYMM" in result.stderr
    assert "pip install 'psycopg[binary]'" in result.stderr


# --- Passwords in the wrong place --------------------------------------------


@pytest.mark.parametrize(
    "malformed",
    [
        # What libpq itself says of each of these quotes a part of the password.
        URL.format("s3cret%zz"),
        URL.format("12345/s3cret"),
        URL.format("p@s3cret/w0rd"),
        URL.format("p@ss?s3cret"),
        URL.format("s3cret").replace("postgresql", "mysql"),
        "postgresql://somebody:s3cret/somewhere",
        "postgresql://localhost/somewhere?password=p&connect_timeout=s3cret",
        "password='s3cret",
    ],
)
def test_a_malformed_connection_string_is_refused_and_not_repeated(malformed):
    for result in (call(*JANUARY, "--dsn", malformed), call(*JANUARY, DATABASE_URL=malformed)):
        assert (result.returncode, result.stdout) == (2, "")
        assert "the connection string (--dsn or DATABASE_URL) is malformed" in result.stderr
        assert "Connecting" not in result.stderr


# --- Ctrl-C ------------------------------------------------------------------


COMMIT_TRIGGER = """
    CREATE FUNCTION public.at_commit() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
        {}
        RETURN NULL;
    END
    $$;
    CREATE CONSTRAINT TRIGGER at_commit AFTER INSERT ON customer.monthly_snapshot_log
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION public.at_commit();
"""
UNKNOWN = "Whether it was committed, customer.monthly_snapshot_log tells."


@pytest.mark.parametrize(
    ("lock", "said"),
    [
        ("SELECT customer.lock_snapshot_month('2026-01-31')", "Nothing was written."),
        ("LOCK TABLE customer.monthly_snapshot_log IN SHARE MODE", "Nothing was written."),
        ("SELECT pg_advisory_xact_lock(1)", UNKNOWN),
    ],
    ids=["before it writes", "after", "in the commit"],
)
def test_ctrl_c_cancels_and_promises_no_more_than_is_true(
    launch, connect, connection, source, lock, said
):
    connection.execute(COMMIT_TRIGGER.format("PERFORM pg_advisory_xact_lock(1);"))
    other = connect()
    other.execute(lock)
    script = launch()
    wait_until(lambda: sessions(connection) == ["Lock"])

    script.interrupt()

    # While the lock is still held: it was cancelled, it did not just get on.
    result = script.end()
    wait_until(lambda: sessions(connection) == [])
    other.rollback()
    # Killed by the signal, as a shell has to see to end a loop, too.
    assert (result.returncode, result.stdout) == (-signal.SIGINT, "")
    assert result.stderr.endswith(f"\nInterrupted. {said}\n")
    assert "ERROR" not in result.stderr
    assert stored(connection) == NOTHING


def test_ctrl_c_while_connecting(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as silent:
        script = Running(tmp_path, PGHOST="127.0.0.1", PGPORT=str(silent.getsockname()[1]))
        silent.settimeout(20)
        with silent.accept()[0]:
            script.interrupt()
            result = script.end()

    assert (result.returncode, result.stdout) == (-signal.SIGINT, "")
    said = r"Connecting to .*host 127.0.0.1, port .*\nInterrupted. Nothing was written.\n"
    assert re.fullmatch(said, result.stderr)


def test_an_error_in_the_commit_promises_nothing(refresh, connection, source):
    connection.execute(COMMIT_TRIGGER.format("RAISE 'too late';"))

    result = refresh(*JANUARY)

    assert (result.returncode, result.stdout) == (1, "")
    assert result.stderr.endswith(f"\nERROR:  too late\nSQLSTATE:  P0001\n{UNKNOWN}\n")
    assert stored(connection) == NOTHING


# --- Once it is committed ------------------------------------------------------

NOT_SHOWN = "The result could not be shown, which changes nothing: "


@pytest.mark.parametrize(
    ("redirection", "values", "title", "message"),
    [
        (">/dev/full", {}, "", NOT_SHOWN + "OSError(28, 'No space left on device')\n"),
        ("3<>fifo >fifo 3<&-", {}, "", NOT_SHOWN + "BrokenPipeError(32, 'Broken pipe')\n"),
        ("", {"total": "1"}, "", NOT_SHOWN + "ValueError(\"Cannot specify ',' with 's'.\")\n"),
        (">&-", {}, "", "Committed.\n"),
        ("2>/dev/full", {}, "Snapshot of 2026-01-31, log entry 1", ""),
        ("2>&-", {}, "Snapshot of 2026-01-31, log entry 1", ""),
        (">/dev/full 2>&1", {}, "", ""),
    ],
)
def test_what_cannot_be_shown_does_not_change_the_status(
    refresh, connection, source, tmp_path, redirection, values, title, message
):
    answer(connection, WARN, warnings=WARNINGS, **values)
    os.mkfifo(tmp_path / "fifo")
    script = f'cd {tmp_path} && exec "$0" "$@" {redirection}'

    result = checked(run("sh", "-c", script, sys.executable, SCRIPT, *JANUARY, "--fail-on-warning"))

    assert result.returncode == 3
    assert result.stdout.partition("\n")[0] == title
    assert result.stderr[-len(message) :] == message
    assert months_stored(connection) == {date(2026, 1, 31): 2}


def test_ctrl_c_while_it_prints_changes_nothing(launch, source):
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    os.write(writer, b"\n" * 2_000_000)  # as many as it holds
    os.set_blocking(writer, True)
    script = launch(writer)
    os.close(writer)
    wait_until(lambda: script.says("Committed.\n"))

    script.interrupt()

    with open(reader) as output:
        assert output.read().lstrip().startswith("Snapshot of 2026-01-31, log entry 1\n")
    assert script.end().returncode == 0


# --- uv ----------------------------------------------------------------------


def test_uv_brings_what_it_needs_and_passwords_arrive(connection, operator, source, tmp_path):
    """As the README says, with a Python that has no psycopg; what uv drops is noticed."""
    environment_file = tmp_path / ".wdh_env"
    address = server_address(connection)

    def refresh_with(content: str) -> subprocess.CompletedProcess[str]:
        environment_file.write_text(content)
        return checked(
            run(
                # What is set already goes before the file.
                *("env", "-u", "PGDATABASE", "-u", "PGHOST", "-u", "PGPASSWORD"),
                *(find_uv_bin(), "run", "--env-file", environment_file),
                *("scripts/refresh_snapshot.py", *JANUARY, "--json"),
                UV_CACHE_DIR=str(tmp_path / "cache"),
                # The interpreter behind the tests' virtual environment; none is downloaded.
                UV_PYTHON=os.path.realpath(sys.executable),
                UV_PYTHON_DOWNLOADS="never",
                UV_NO_CONFIG="1",
                # As pip does; uv has certificates of its own otherwise.
                UV_SYSTEM_CERTS="1",
                TMPDIR=str(tmp_path),  # where it leaves locks
            )
        )

    encoded = f"DATABASE_URL=postgresql+psycopg2://{operator}:{ENCODED}@{address}\n"
    quoted = f"DATABASE_URL=postgresql://{operator}@{address}\nPGPASSWORD='{PASSWORD}'\n"
    for content in (encoded, quoted):
        result = refresh_with(content)

        assert json.loads(succeed(result))["total"] == 2
        assert last_caller(connection)[0] == operator
        # Of a Python older than the script asks for, uv warns and no more.
        assert "incompatible" not in result.stderr
    # With a libpq of its own: the system need not have one.
    assert list(tmp_path.glob("cache/**/psycopg_binary"))
    for content in ("DATABASE_URL=$URL\n", f"DATABASE_URL=host={address} user={operator}\n"):
        assert "error: no database is named." in refresh_with(content).stderr
