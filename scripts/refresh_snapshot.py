#!/usr/bin/env python3
# /// script
# requires-python = ">=3.11"
# dependencies = ["psycopg[binary]>=3.1,<4"]
# ///
"""Refresh the customer snapshot of one month by hand, as the ETL's last step does.

  scripts/refresh_snapshot.py --period 202601 --dry-run
  uv run --env-file .wdh_env scripts/refresh_snapshot.py --period 202601

The database is the one of --dsn, otherwise of the environment variable
DATABASE_URL, otherwise of libpq's own variables (PGHOST, PGHOSTADDR,
PGDATABASE, PGSERVICE); if none of them is set, that is a wrong call. Before it
connects, it says where to, and which of them says so. A password in --dsn
shows in the list of processes; better put it in DATABASE_URL, PGPASSWORD or
~/.pgpass.

While another session writes the same month, this waits, and after 5 seconds
says for whom; Ctrl-C gives up. Messages, the server's warnings among them, go
to standard error, the result to standard output. Exit status: 0 done, 1 the
database refused or was not reached, 2 wrong call, such as a month to come,
3 done, with warnings (--fail-on-warning). Once the month is committed, neither
Ctrl-C nor a result that cannot be printed changes the status.
"""

import argparse
import json
import os
import re
import signal
import sys
from contextlib import suppress
from datetime import date
from decimal import Decimal
from threading import Thread
from time import sleep
from typing import NoReturn

try:
    import psycopg
    from psycopg.conninfo import conninfo_to_dict
    from psycopg.types.json import Jsonb
except ImportError as error:
    sys.exit(
        f"psycopg 3 cannot be loaded: {error}\n"
        "Run this with uv, which brings it:  uv run scripts/refresh_snapshot.py --period YYYYMM\n"
        "or install it:  pip install 'psycopg[binary]'  (Debian: apt-get install python3-psycopg)"
    )

ACCEPT_IMPLAUSIBLE = "SET LOCAL customer.accept_implausible = on"

# As text, so that every number stays as the server wrote it.
REFRESH = """
    SELECT (result || %s)::text, result -> 'warnings' <> '[]'
    FROM customer.refresh_monthly_snapshot(customer.period_to_snapshot_month(%s)) AS result
"""
REAL_RUN = {"dry_run": False}
DRY_RUN = {"dry_run": True, "status": "dry_run", "log_id": None}

BLOCKERS = """
    SELECT DISTINCT pid, usename, application_name
    FROM unnest(pg_catalog.pg_blocking_pids(%s)) AS pid
    LEFT JOIN pg_catalog.pg_stat_activity USING (pid)
    ORDER BY pid
"""

# What says where to connect to: libpq's keyword, its variable, and a word for people.
TARGET = {
    "service": ("PGSERVICE", "service"),
    "dbname": ("PGDATABASE", "database"),
    "host": ("PGHOST", "host"),
    "hostaddr": ("PGHOSTADDR", "address"),
    "port": ("PGPORT", "port"),
    "user": ("PGUSER", "user"),
}

COUNTS = {
    "total": "rows",
    "inserted": "  inserted",
    "updated": "  updated",
    "unchanged": "  unchanged",
    "stale": "stale rows, kept",
    "deleted": "rows deleted",
    "aum_total": "AUM, yuan",
    "aum_unattributed": "unattributed, yuan",
}


class ArgumentParser(argparse.ArgumentParser):
    """Does not repeat an argument that it has no place for: it may hold a password."""

    def error(self, message: str) -> NoReturn:
        hidden = r"\1 (not shown, as it may hold a password)"
        super().error(re.sub(r"(?s)((unrecognized|explicit) argument).*", hidden, message))


def connection_string(text: str) -> str:
    """Turn a URL as SQLAlchemy writes it into libpq's; refuse what cannot be right.

    libpq's errors quote what it could not use. That may be a part of the password
    if its special characters are not encoded, so such errors are not left to libpq.
    """
    if not text.strip():
        raise argparse.ArgumentTypeError("the connection string is empty")
    text = re.sub(r"^(postgres(?:ql)?)\+\w+://", r"\1://", text)
    try:
        parameters = conninfo_to_dict(text)
        ports = parameters.get("port", "").split(",")
        for number in [*ports, parameters.get("connect_timeout")]:
            int(number or 0)
        # Before the query of a URL one @ at most, and before that no slash.
        if re.match(r"postgres(ql)?://(?!([^@/]*@)?[^@?]*(\?|$))", text):
            raise ValueError
    except (psycopg.Error, ValueError):
        raise argparse.ArgumentTypeError(
            "the connection string (--dsn or DATABASE_URL) is malformed; it is not shown, as it "
            "may hold a password. Write postgresql://USER:PASSWORD@HOST:PORT/DATABASE, special "
            "characters encoded (%40 for @, %2F for /, %25 for %), or host=HOST dbname=DATABASE"
        ) from None
    return text


def period(text: str) -> str:
    """Refuse a month to come; whatever else may be wrong with it, the database says."""
    current = f"{date.today():%Y%m}"
    if re.fullmatch("[0-9]{4}(0[1-9]|1[0-2])", text) and text > current:
        raise argparse.ArgumentTypeError(
            f"{text} is a month to come: by this machine's calendar the current month is "
            f"{current}. Pass that or an earlier one; if the calendar is wrong, correct it"
        )
    return text


def without_password(text: str) -> str:
    """Hide the password of a connection string that stands where a name should."""
    return re.sub(r"(?s)(://).*(?=@)|(password\s*=).*", r"\1\2...", text)


def target(dsn: str, source: str) -> str | None:
    """Where libpq will connect to, as far as that is known before, and what says so."""
    values = conninfo_to_dict(dsn)
    sources = dict.fromkeys(values, source)
    for keyword, (variable, _) in TARGET.items():
        # What a service's file says is not known here, and goes before the other variables.
        if "service" not in values and variable in os.environ:
            sources.setdefault(keyword, variable)
            values.setdefault(keyword, os.environ[variable])
    named = [keyword for keyword in TARGET if values.get(keyword)]
    if not {"service", "dbname", "host", "hostaddr"}.intersection(named):
        return None
    places = [f"{TARGET[keyword][1]} {without_password(values[keyword])}" for keyword in named]
    # Each once, in order.
    origins = dict.fromkeys(sources[keyword] for keyword in named)
    return f"{', '.join(places)} (from {', '.join(origins)})"


def parse_arguments() -> argparse.Namespace:
    """Read the command line, and the environment where it leaves the database open."""
    parser = ArgumentParser(
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    option = parser.add_argument
    option(
        "--period",
        type=period,
        metavar="YYYYMM",
        required=True,
        help="the month, such as 202601; not one to come",
    )
    option("--dry-run", action="store_true", help="do the work, report it and roll it back")
    option(
        "--fail-on-warning",
        action="store_true",
        help="exit with status 3 if there are warnings; the month is committed all the same, "
        "so look first, without writing: --dry-run --fail-on-warning",
    )
    option(
        "--accept-implausible",
        action="store_true",
        help="write the month although it is refused as one that cannot be right; "
        "the log says that it was accepted",
    )
    option("--json", action="store_true", help="print the result alone, as JSON")
    option(
        "--dsn",
        type=connection_string,
        help="libpq connection string or URL; postgresql+driver:// as SQLAlchemy writes it, too",
    )
    arguments = parser.parse_args()
    source = "--dsn"
    if arguments.dsn is None:
        source = "DATABASE_URL"
        url = os.environ.get(source, "")
        try:
            arguments.dsn = connection_string(url) if url.strip() else ""
        except argparse.ArgumentTypeError as error:
            parser.error(str(error))
    arguments.target = target(arguments.dsn, source)
    if arguments.target is None:
        parser.error(
            "no database is named. Set DATABASE_URL=postgresql://USER:PASSWORD@HOST:PORT/DATABASE, "
            "or one of PGHOST, PGHOSTADDR, PGDATABASE and PGSERVICE, or pass --dsn. In a file for "
            "uv run --env-file, values that hold blanks or $ stand in single quotes"
        )
    return arguments


def say(*lines: str | None) -> None:
    """Tell the user something, on standard error if that works; leave out what is None."""
    # Closed, it is None, which print() takes for standard output.
    if sys.stderr is not None:
        with suppress(OSError):
            print(*filter(None, lines), sep="\n", file=sys.stderr)


def pass_on(said: psycopg.errors.Diagnostic, *more: str | None) -> None:
    """Say what the server said, as psql does."""
    say(
        f"{said.severity}:  {said.message_primary}",
        said.message_detail and f"DETAIL:  {said.message_detail}",
        said.message_hint and f"HINT:  {said.message_hint}",
        *more,
    )


def connect(dsn: str, *, autocommit: bool = False) -> psycopg.Connection:
    """Connect to the database."""
    return psycopg.connect(
        dsn,
        autocommit=autocommit,
        client_encoding="UTF8",
        fallback_application_name="refresh_snapshot.py",
    )


def say_who_blocks(dsn: str, pid: int) -> None:
    """Look every 5 seconds whom this session waits for, and say so when that has changed."""
    told = []
    sleep(5)
    # It is but a courtesy: if it fails, the run goes on without.
    with suppress(Exception), connect(dsn, autocommit=True) as observer:
        while True:
            blockers = observer.execute(BLOCKERS, [pid]).fetchall()
            if blockers and blockers != told:
                told = blockers
                for blocker, user, application in blockers:
                    name = f"session {blocker} of {user} (application {application or 'unnamed'})"
                    # A prepared transaction has no session.
                    say(f"Waiting for {name if blocker else 'a transaction in pg_prepared_xacts'}.")
            sleep(5)


def readable(result: str) -> str:
    """Lay out the result for people; yuan have 2 decimals there already."""
    values = json.loads(result, parse_int=Decimal, parse_float=Decimal)
    title = f"Snapshot of {values['snapshot_month']}"
    title += ", dry run" if values["dry_run"] else f", log entry {values['log_id']}"
    title += ", accepted though implausible" if values["accepted"] else ""
    numbers = {
        label: f"{values[key]:,}"
        for key, label in COUNTS.items()
        if key != "deleted" or values[key] != 0
    }
    width = max(map(len, numbers.values()))
    lines = [f"{label:<18}  {number:>{width}}" for label, number in numbers.items()]
    warnings = [f"{warning['code']}: {warning['message']}" for warning in values["warnings"]]
    return "\n".join([title, *lines, *warnings])


def main() -> int:
    """Refresh the month in one transaction; return the exit status."""
    arguments = parse_arguments()
    outcome = "Nothing was written."
    try:
        say(f"Connecting to {arguments.target}.")
        with connect(arguments.dsn) as connection:
            connection.add_notice_handler(pass_on)
            server = connection.info
            say(
                f"Refreshing the snapshot of {arguments.period} in database {server.dbname}"
                f" on {server.host}, port {server.port}, as {server.user}."
            )
            Thread(
                target=say_who_blocks, args=[arguments.dsn, server.backend_pid], daemon=True
            ).start()
            if arguments.accept_implausible:
                connection.execute(ACCEPT_IMPLAUSIBLE)
            mark = Jsonb(DRY_RUN if arguments.dry_run else REAL_RUN)
            [(result, has_warnings)] = connection.execute(REFRESH, [mark, arguments.period])
            if arguments.dry_run:
                connection.rollback()
                outcome = "Dry run: rolled back. Nothing was written."
            else:
                outcome = "Whether it was committed, customer.monthly_snapshot_log tells."
                connection.commit()
                outcome = "Committed."
            # From here on nothing, Ctrl-C included, may make it look as if it had failed.
            signal.signal(signal.SIGINT, signal.SIG_IGN)
    except psycopg.Error as error:
        if error.diag.message_primary:
            can_insist = "customer.accept_implausible" in (error.diag.message_hint or "")
            pass_on(
                error.diag,
                "Here the option --accept-implausible does that." if can_insist else None,
                f"SQLSTATE:  {error.sqlstate}",
                outcome,
            )
        else:
            # In libpq's own words, as when it cannot connect.
            say(f"ERROR:  {without_password(str(error))}", outcome)
        return 1
    except KeyboardInterrupt:
        say(f"Interrupted. {outcome}")
        # Die of it, without a traceback, so that a shell's loop over months ends too.
        sys.excepthook = lambda *_: None
        raise
    say(outcome)
    try:
        print(result if arguments.json else readable(result), flush=True)
    except Exception as error:
        say(f"The result could not be shown, which changes nothing: {error!r}")
    return 3 if has_warnings and arguments.fail_on_warning else 0


if __name__ == "__main__":
    # sys.exit() would write once more what could not be written, and fail with status 120.
    os._exit(main())
