"""sql/backfill.sql: psql as a user starts it, interrupted in all the ways there are."""

import re
import signal
import subprocess
from collections.abc import Iterator
from datetime import date

import psycopg
import pytest
from support import (
    FACT,
    PROJECT,
    Source,
    fail,
    grant,
    months_stored,
    refresh,
    run,
    succeed,
    versions,
    wait_for_lock,
)

MONTHS = [
    date.fromisoformat(f"2025-{day}") for day in ("01-31", "02-28", "03-31", "04-30", "05-31")
]
# Ten customers in all of them; C2 left in March and came back in May.
ROWS = dict(zip(MONTHS, [11, 11, 10, 10, 11], strict=True))


@pytest.fixture
def database(emptied_database) -> str:
    return emptied_database


@pytest.fixture
def source(connection) -> Source:
    source = Source(connection)
    with connection.transaction():
        for number in (1, *range(3, 12)):
            source.contract(f"C{number}")
        source.contract("C2", valid_to="2025-03-01")
        source.contract("C2", valid_from="2025-05-01", is_strategic=True)
        for month in range(1, 13):
            source.detail("C1", "100", day=date(2025, month, 1))
    return source


# It reaches the log word for word.
REASON = (
    """it's "quoted"; '; DROP TABLE customer.monthly_snapshot_log; -- 100 %s %I %% done\\n"""
    """ $$ $statement$ $1 :from :'to' :"reason" 补历史 — première """
)


# --- Running it --------------------------------------------------------------


def command(
    database: str,
    first: str | None = "2025-01-31",
    last: str | None = "2025-05-31",
    reason: str | None = REASON,
    accept: str | None = None,
) -> list[str]:
    """What the head of sql/backfill.sql says to type; None leaves a variable out."""
    variables = {"from": first, "to": last, "reason": reason, "accept_implausible": accept}
    return [
        "psql",
        "--no-psqlrc",
        f"--dbname={database}",
        *(f"--set={name}={value}" for name, value in variables.items() if value is not None),
        "--file=sql/backfill.sql",
    ]


def backfill(database: str, *values: str | None, **environment: str):
    return run(*command(database, *values), **environment)


def timeless(output: str) -> list[str]:
    """The lines of the output, with N for the milliseconds that they tell."""
    return re.sub(r" in \d+ ms", " in N ms", output).splitlines()


def messages(result: subprocess.CompletedProcess[str]) -> list[str]:
    """The lines of its messages, without the place that psql names."""
    return re.sub(r"(?m)^psql:sql/backfill.sql:\d+: ", "", result.stderr).splitlines()


def line(number: int, inserted: int = 0, unchanged: int = 0, of: int = 5) -> str:
    month = MONTHS[number - 1]
    return (
        f"month {number} of {of}: {month}: {inserted + unchanged} rows, {inserted} inserted,"
        f" 0 updated, {unchanged} unchanged, 0 deleted in N ms"
    )


FIRST_RUN = [line(number, inserted=ROWS[month]) for number, month in enumerate(MONTHS, 1)]
NEXT_RUN = [line(number, unchanged=ROWS[month]) for number, month in enumerate(MONTHS, 1)]


# --- What is there afterwards ------------------------------------------------


def log(connection: psycopg.Connection) -> list[tuple[date, str, str]]:
    return connection.execute(
        "SELECT snapshot_month, operation, reason FROM customer.monthly_snapshot_log"
        " ORDER BY log_id"
    ).fetchall()


def restates(*months: date, reason: str = REASON) -> list[tuple[date, str, str]]:
    return [(month, "restate", reason) for month in months]


def close(connection: psycopg.Connection, month: date) -> None:
    connection.execute("SELECT customer.close_snapshot_month(%s, 'published')", [month])


@pytest.fixture
def holder(connect, source) -> psycopg.Connection:
    """Somebody who keeps the lock of March, as a refresh under way does."""
    holder = connect()
    refresh(holder, MONTHS[2])
    return holder


@pytest.fixture
def process(database, holder) -> Iterator[subprocess.Popen]:
    """psql, which is under way and will wait for March."""
    pipes = dict.fromkeys(("stdout", "stderr"), subprocess.PIPE)
    with subprocess.Popen(command(database), cwd=PROJECT, encoding="utf-8", **pipes) as process:
        yield process
        process.kill()


# --- A run that nothing disturbs ---------------------------------------------


def test_each_month_is_restated_and_told_and_no_setting_is_left(database, connection, source):
    """So by a pooler, where each transaction may be another server's, nothing leaks to others."""
    settings = """--command=SELECT string_agg(name || '=' || setting, ',' ORDER BY name),
        concat(current_setting('customer.accept_implausible', TRUE),
        current_setting('snapshot_backfill.from', TRUE))
        FROM pg_settings WHERE name NOT LIKE 'plpgsql.%'"""  # there once it is loaded
    *words, _ = command(database, accept="on")

    result = run(*words, "-At", settings, "--command=\\i sql/backfill.sql", settings)

    before, *lines, after = timeless(succeed(result))
    assert (lines, result.stderr) == (FIRST_RUN, "")
    assert months_stored(connection) == ROWS
    assert log(connection) == restates(*MONTHS)
    assert before.endswith("|")
    assert after == before


def test_changes_at_the_source_are_written_by_the_next_run(database, connection, source):
    succeed(backfill(database))
    kept = versions(connection, *MONTHS[:3], MONTHS[4])
    source.detail("C1", "0.5", day="2025-04-01")
    source.contract("D", valid_from="2025-04-02", valid_to="2025-05-30")
    connection.execute(
        f"INSERT INTO {FACT} (snapshot_month, company_id, product_line_code, product_line_name)"
        " VALUES ('2025-04-30', 'C2', 'PL202', '企年受托')"
    )

    lines = timeless(succeed(backfill(database)))

    assert lines[3] == (
        "month 4 of 5: 2025-04-30: 11 rows, 1 inserted, 1 updated, 9 unchanged, 1 deleted in N ms"
    )
    assert lines[:3] + lines[4:] == NEXT_RUN[:3] + NEXT_RUN[4:]
    assert versions(connection, *MONTHS[:3], MONTHS[4]) == kept


@pytest.mark.parametrize(
    ("first", "last", "months"),
    [
        ("2025-01-31", "2025-01-01", ["2025-01-31"]),
        ("202412", "202501", ["2024-12-31", "2025-01-31"]),
        ("2024-01-31", "202403", ["2024-01-31", "2024-02-29", "2024-03-31"]),
    ],
)
def test_any_day_names_its_month_and_yyyymm_does(database, connection, source, first, last, months):
    result = backfill(database, first, last)

    assert [text.split(": ")[1] for text in succeed(result).splitlines()] == months
    assert sorted(map(str, months_stored(connection))) == months


def test_warnings_are_shown_in_full_and_by_their_code_and_notices_are_not(
    database, connection, source
):
    source.detail("C1", "0", day="2025-02-28")

    result = backfill(database)

    february = f"{FIRST_RUN[1]}; warnings: several_month_dates"
    assert timeless(succeed(result)) == [FIRST_RUN[0], february, *FIRST_RUN[2:]]
    assert messages(result) == [
        "WARNING:  the AUM detail of 2025-02-28 stands under several days:"
        " 1 rows under 2025-02-01, 1 rows under 2025-02-28",
        "HINT:  All of them are added up. Look whether the month was loaded twice.",
    ]


# --- Months that cannot be right ------------------------------------------------


def test_run_into_months_whose_aum_is_not_loaded_stops_unless_they_are_accepted(
    database, connection, source
):
    november, december = date(2025, 11, 30), date(2025, 12, 31)
    result = backfill(database, "2025-11-30", "2026-02-28")

    assert "ERROR:  the AUM detail has no row for 2026-01-31, though stored" in fail(result)
    assert months_stored(connection) == {november: 11, december: 11}

    lines = succeed(backfill(database, "2025-11-30", "2026-02-28", REASON, "on")).splitlines()

    warnings = [text.partition("; ")[2] for text in lines]
    assert warnings == ["", "", *["warnings: implausible_accepted"] * 2]
    assert max(months_stored(connection)) == date(2026, 2, 28)


# --- Interruptions ------------------------------------------------------------


def test_lines_come_as_the_months_are_done_with_the_time_that_each_took(
    connection, holder, start, process
):
    """A month that was waited for took at least as long as the wait."""
    lines = [start(process.stdout.readline).result(timeout=20) for _ in MONTHS[:2]]

    assert timeless("".join(lines)) == FIRST_RUN[:2]
    assert months_stored(connection) == {month: ROWS[month] for month in MONTHS[:2]}
    wait_for_lock(connection, holder, start(process.wait))
    connection.execute("SELECT pg_sleep(0.3)")
    holder.rollback()
    output, _ = process.communicate(timeout=20)
    assert timeless(output) == FIRST_RUN[2:]
    assert int(re.findall(r" in (\d+) ms", output)[0]) >= 300


@pytest.mark.parametrize(
    "interrupt", ["pg_terminate_backend(pid, 20000)", "pg_cancel_backend(pid)", "Ctrl-C"]
)
def test_interrupted_run_keeps_what_was_done_and_is_taken_up(
    database, connection, holder, start, process, interrupt
):
    wait_for_lock(connection, holder, start(process.wait))

    if interrupt == "Ctrl-C":
        process.send_signal(signal.SIGINT)
    else:
        connection.execute(
            f"SELECT {interrupt} FROM pg_stat_activity"
            " WHERE datname = current_database() AND application_name = 'psql'"
        )
    output, errors = process.communicate(timeout=20)
    holder.rollback()

    assert process.returncode not in (0, None)
    assert timeless(output) == FIRST_RUN[:2]
    assert re.search("terminating connection|canceling statement|Cancel request sent", errors)
    assert months_stored(connection) == {month: ROWS[month] for month in MONTHS[:2]}
    assert log(connection) == restates(*MONTHS[:2])

    done = versions(connection, *MONTHS[:2])
    assert timeless(succeed(backfill(database))) == NEXT_RUN[:2] + FIRST_RUN[2:]
    assert versions(connection, *MONTHS[:2]) == done
    assert months_stored(connection) == ROWS


# --- Closed months --------------------------------------------------------------


def test_closed_months_are_skipped_and_named(database, connection, source):
    succeed(backfill(database))
    close(connection, MONTHS[1])
    close(connection, MONTHS[4])
    before = versions(connection, MONTHS[1], MONTHS[4])
    connection.execute("UPDATE customer.customer_plan_contract SET is_existing = TRUE")

    result = backfill(database, "2025-01-31", "2025-05-31", "marks came late")

    updated = [re.sub(r"(\d+) inserted, 0", r"0 inserted, \1", text) for text in FIRST_RUN]
    closed = [f"month {number} of 5: {MONTHS[number - 1]}: closed, skipped" for number in (2, 5)]
    assert timeless(succeed(result)) == [updated[0], closed[0], *updated[2:4], closed[1]]
    assert result.stderr == ""
    assert versions(connection, MONTHS[1], MONTHS[4]) == before
    restated = restates(MONTHS[0], *MONTHS[2:4], reason="marks came late")
    assert log(connection)[7:] == restated


# --- Errors -----------------------------------------------------------------------


@pytest.mark.parametrize("order", ["ON_ERROR_STOP=1", "ON_ERROR_STOP=0", "AUTOCOMMIT=off"])
def test_first_error_stops_the_run(database, connection, source, order):
    """March is covered by no version. What a psqlrc may say does not matter."""
    connection.execute(
        "UPDATE customer.customer_plan_contract SET valid_to = '2025-03-30'"
        " WHERE valid_from < '2025-05-01' AND valid_to = '9999-12-31'"
    )

    result = run(*command(database)[:-1], f"--set={order}", "--file=sql/backfill.sql")

    assert result.returncode == 3
    assert timeless(result.stdout) == FIRST_RUN[:2]
    assert "ERROR:  no contract version covers 2025-03-31, and by the contracts" in result.stderr
    assert "HINT:  Load the versions that were true on that day" in result.stderr
    assert months_stored(connection) == {month: ROWS[month] for month in MONTHS[:2]}
    assert log(connection) == restates(*MONTHS[:2])


def test_month_that_fails_in_its_commit_gets_no_line(database, connection, source):
    connection.execute(
        """
        CREATE FUNCTION late() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RAISE ''too late''; END';
        CREATE CONSTRAINT TRIGGER late AFTER INSERT ON customer.monthly_snapshot_log
        DEFERRABLE INITIALLY DEFERRED FOR EACH ROW WHEN (NEW.snapshot_month = '2025-03-31')
        EXECUTE FUNCTION late()
        """
    )

    result = backfill(database)

    connection.execute("DROP FUNCTION late() CASCADE")
    assert "ERROR:  too late" in fail(result)
    assert timeless(result.stdout) == FIRST_RUN[:2]
    assert months_stored(connection) == {month: ROWS[month] for month in MONTHS[:2]}


USAGE = "\nHINT:  psql -v from=202501 -v to=202512 -v reason='first history' -f sql/backfill.sql"
NO_MONTH = "must be a month YYYYMM or a day, but is"
BAD_VALUES = [
    ({"first": None, "last": None, "reason": None}, f"missing: from, to, reason{USAGE}"),
    ({"first": ""}, f"missing: from{USAGE}"),
    ({"last": " "}, f"missing: to{USAGE}"),
    ({"reason": " \t\n "}, f"missing: reason{USAGE}"),
    ({"first": "2025-06-01"}, f"from (2025-06-01) lies after to (2025-05-31){USAGE}"),
    (
        {"first": "1975-05-01"},
        "from (1975-05-01) to (2025-05-31) is 601 months, and more than 600 are surely a mistake",
    ),
    # 600 are none; but no contract is that old. Nor is this December 2020.
    ({"first": "1975-06-30"}, "no contract version covers 1975-06-30"),
    ({"first": "201201"}, "no contract version covers 2012-01-31"),
    ({"first": "-infinity"}, f"from (-infinity) and to (2025-05-31) must be finite{USAGE}"),
    (
        {"accept": "maybe"},
        f'accept_implausible must be on or off, but is "maybe"{USAGE} -v accept_implausible=on',
    ),
    ({"first": "202500"}, f'from {NO_MONTH} "202500"{USAGE}'),
    ({"last": "2025-02-29"}, f'to {NO_MONTH} "2025-02-29"{USAGE}'),
    ({"first": "2025-01-31'; SELECT 1"}, f'from {NO_MONTH} "2025-01-31\'; SELECT 1"{USAGE}'),
]


@pytest.mark.parametrize(("values", "message"), BAD_VALUES)
def test_bad_value_fails_before_anything_is_done(database, connection, source, values, message):
    result = run(*command(database, **values))

    assert f"ERROR:  {message}" in fail(result)
    assert result.stdout == ""
    assert (months_stored(connection), log(connection)) == ({}, [])


# --- Whatever the user's rights and settings ------------------------------


def test_restater_of_the_grants_can_run_it(database, connection, source, create_role):
    role = create_role()
    succeed(grant(database, restater=role))
    succeed(backfill(database, "2025-02-28", "2025-02-28"))
    close(connection, MONTHS[1])

    result = backfill(database, PGUSER=role, PGPASSWORD=role)

    skipped = "month 2 of 5: 2025-02-28: closed, skipped"
    assert timeless(succeed(result)) == [FIRST_RUN[0], skipped, *FIRST_RUN[2:]]
    assert result.stderr == ""
    assert connection.execute(
        "SELECT count(*) FROM customer.monthly_snapshot_log WHERE invoked_by = %s", [role]
    ).fetchone() == (4,)


def test_date_style_and_time_zone_do_not_matter_but_days_may_be_written_in_it(
    database, connection, source
):
    options = {"PGOPTIONS": "-c DateStyle=German,DMY -c TimeZone=Pacific/Kiritimati"}

    assert timeless(succeed(backfill(database, **options))) == FIRST_RUN
    assert "from (2025-02-01) lies after to (2025-01-31)" in fail(
        backfill(database, "2025-02-01", "2025-01-31", **options)
    )

    result = backfill(database, "03/02/2025", "05/03/2025", PGOPTIONS="-c DateStyle=SQL,DMY")
    assert [text.split(": ")[1] for text in succeed(result).splitlines()] == [
        str(month) for month in MONTHS[1:3]
    ]
