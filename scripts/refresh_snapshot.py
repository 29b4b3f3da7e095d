#!/usr/bin/env python3
# /// script
# requires-python = ">=3.11"
# dependencies = ["psycopg[binary]>=3.1,<4"]
# ///
"""Refresh the customer snapshot of one month by hand, as the ETL's last step does.

  scripts/refresh_snapshot.py --period 202601 --dry-run
  uv run --env-file .wdh_env scripts/refresh_snapshot.py --period 202601

The database is the one of --dsn, otherwise of the environment variable
DATABASE_URL, otherwise of libpq's own variables (PGHOST, PGDATABASE, ...).
A password in --dsn shows in the list of processes; better put it in
DATABASE_URL, PGPASSWORD or ~/.pgpass.

While another session writes the same month, this waits; Ctrl-C gives up.
Messages go to standard error, the result to standard output. Exit status:
0 done, 1 the database refused or was not reached, 2 wrong call.
"""

import argparse
import json
import os
import re
import sys
from decimal import Decimal
from typing import NoReturn

try:
    import psycopg
    from psycopg.conninfo import conninfo_to_dict
except ImportError as error:
    sys.exit(
        f"psycopg 3 cannot be loaded: {error}\n"
        "Run this with uv, which brings it:  uv run scripts/refresh_snapshot.py --period YYYYMM\n"
        "or install it:  pip install 'psycopg[binary]'  (Debian: apt-get install python3-psycopg)"
    )

REFRESH = "SELECT customer.refresh_monthly_snapshot(customer.period_to_snapshot_month(%s))::text"

COUNTS = {
    "total": "rows",
    "inserted": "  inserted",
    "updated": "  updated",
    "unchanged": "  unchanged",
    "stale": "stale rows, kept",
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


def parse_arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = ArgumentParser(
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    option = parser.add_argument
    option("--period", metavar="YYYYMM", required=True, help="the month, such as 202601")
    option("--dry-run", action="store_true", help="do the work, report it and roll it back")
    option("--json", action="store_true", help="print the result alone, as JSON")
    option(
        "--dsn",
        type=connection_string,
        default=os.environ.get("DATABASE_URL", ""),
        help="libpq connection string or URL; postgresql+driver:// as SQLAlchemy writes it, too",
    )
    return parser.parse_args()


def say(*lines: str | None) -> None:
    """Tell the user something, on standard error; leave out what is None."""
    print(*filter(None, lines), sep="\n", file=sys.stderr)


def pass_on(said: psycopg.errors.Diagnostic, *more: str) -> None:
    """Say what the server said, as psql does."""
    say(
        f"{said.severity}:  {said.message_primary}",
        said.message_detail and f"DETAIL:  {said.message_detail}",
        said.message_hint and f"HINT:  {said.message_hint}",
        *more,
    )


def readable(result: str, is_dry_run: bool) -> str:
    """Lay out the result for people; yuan have 2 decimals there already."""
    values = json.loads(result, parse_int=Decimal, parse_float=Decimal)
    numbers = {label: f"{values[key]:,}" for key, label in COUNTS.items()}
    width = max(map(len, numbers.values()))
    lines = [f"{label:<18}  {number:>{width}}" for label, number in numbers.items()]
    origin = "dry run" if is_dry_run else f"log entry {values['log_id']}"
    return "\n".join([f"Snapshot of {values['snapshot_month']}, {origin}", *lines])


def main() -> int:
    """Refresh the month in one transaction; return the exit status."""
    arguments = parse_arguments()
    outcome = "Nothing was written."
    try:
        say("Connecting.")
        with psycopg.connect(
            arguments.dsn,
            client_encoding="UTF8",
            fallback_application_name="refresh_snapshot.py",
        ) as connection:
            connection.add_notice_handler(pass_on)
            server = connection.info
            say(
                f"Refreshing the snapshot of {arguments.period} in database {server.dbname}"
                f" on {server.host}, port {server.port}, as {server.user}."
            )
            [(result,)] = connection.execute(REFRESH, [arguments.period])
            if arguments.dry_run:
                connection.rollback()
                say("Dry run: rolled back. Nothing was written.")
            else:
                outcome = "Whether it was committed, customer.monthly_snapshot_log tells."
                connection.commit()
                say("Committed.")
    except psycopg.Error as error:
        if error.diag.message_primary:
            pass_on(error.diag, f"SQLSTATE:  {error.sqlstate}", outcome)
        else:
            # In libpq's own words, as when it cannot connect. PGDATABASE may be a URL.
            say("ERROR:  " + re.sub(r"(?s)://.*@", "://...@", str(error)), outcome)
        return 1
    except KeyboardInterrupt:
        say(f"Interrupted. {outcome}")
        # Die of it, without a traceback, so that a shell's loop over months ends too.
        sys.excepthook = lambda *_: None
        raise
    print(readable(result, arguments.dry_run) if not arguments.json else result)
    return 0


if __name__ == "__main__":
    sys.exit(main())
