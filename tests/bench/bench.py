"""The benchmark behind every figure that the README quotes; run it with scripts/bench.

In each situation the contenders are measured by turns, round after round, so that a machine's
drift hits all alike. A measurement is one transaction, rolled back, with the tables that it
touched vacuumed before the next one: every contender finds the same state. JIT is off for all,
as the package has it. The first round warms up, and checks that all contenders come to the same
rows. With --against, the contenders are the package as it is here and as it is in another commit,
each in a database of its own over the same sample, and what counts is the ratio within each pair.
"""

import argparse
import os
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from itertools import count
from pathlib import Path
from subprocess import PIPE, CalledProcessError, run
from tempfile import TemporaryDirectory

import psycopg
import report
from psycopg import sql
from rich.console import Console

PROJECT = Path(__file__).resolve().parents[2]
FACT = "customer.fct_customer_business_monthly_status"
KEY = ("snapshot_month", "company_id", "product_line_code")
VALUES = (
    "product_line_name",
    "is_strategic",
    "is_existing",
    "is_new",
    "is_winning_this_year",
    "is_churned_this_year",
    "aum_balance",
    "plan_count",
)


def read(name: str) -> str:
    return (Path(__file__).parent / f"{name}.sql").read_text(encoding="utf-8")


def month(name: str) -> str:
    """The query of a file, with is_new, which follows from its other columns."""
    query = read(name)
    columns = ", ".join((*KEY, *VALUES))
    is_new = "is_winning_this_year AND NOT is_existing"
    columns = columns.replace("is_new", f"{is_new} AS is_new")
    return f"SELECT {columns} FROM ({query}) AS without_is_new"


MONTH_QUERY = month("month_query")
ROW_BY_ROW = (
    f"INSERT INTO {FACT} SELECT *, CURRENT_TIMESTAMP FROM ({month('row_by_row')}) AS this_month"
    f" ON CONFLICT ({', '.join(KEY)}) DO UPDATE SET "
    + ", ".join(f"{column} = EXCLUDED.{column}" for column in (*VALUES, "updated_at"))
)
PACKAGE = "SELECT customer.refresh_monthly_snapshot('2026-01-31')"
RESTATE = "SELECT customer.restate_monthly_snapshot('2026-01-31', 'measured')"
DETAIL = 'business."规模明细"'
progress = Console(stderr=True, highlight=False)


# --- Databases ---------------------------------------------------------------


@dataclass(frozen=True)
class Variant:
    """A state of the database that situations are measured on."""

    indexes: bool = True  # the platform's, on 规模明细
    analysed: bool = True
    other_months: int = 0
    scale: int = 1  # times production's size
    detail_months: int = 13  # of AUM detail; contracts and events do not depend on it
    commit: str = ""  # whose package is deployed; none is this state of it

    @property
    def label(self) -> str:
        return ", ".join(
            (
                "platform's indexes" if self.indexes else "no index on 规模明细",
                "fresh statistics" if self.analysed else "never analysed",
                f"{self.other_months} other months",
                f"{self.scale} × production size",
            )
        )


@dataclass(frozen=True)
class Database:
    """Where a variant stands, and the two sessions that stay for as long as it is measured."""

    name: str
    variant: Variant
    session: psycopg.Connection
    observer: psycopg.Connection


def connect(database: str) -> psycopg.Connection:
    options = "-c client_min_messages=error -c jit=off"
    return psycopg.connect(dbname=database, autocommit=True, options=options)


def create_database(name: str, *, template: str = "template1") -> None:
    with connect("postgres") as server:
        server.execute(
            sql.SQL("CREATE DATABASE {} TEMPLATE {} STRATEGY file_copy").format(
                sql.Identifier(name), sql.Identifier(template)
            )
        )


def create_sample(name: str, variant: Variant) -> None:
    """The sample, to copy with its statistics: each ANALYZE would draw other rows."""
    progress.print(f"  loading the sample at {variant.scale} × production size …")
    create_database(name)
    psql = ["psql", "-X", "-q", "-d", name]
    for variable in (
        "ON_ERROR_STOP=1",
        f"scale={variant.scale}",
        f"months={variant.detail_months}",
        f"analyze={'on' if variant.analysed else 'off'}",
    ):
        psql += ["-v", variable]
    for file in ("source_system", "sample_data"):
        run([*psql, "-f", f"sql/demo/{file}.sql"], cwd=PROJECT, check=True)


def deploy(name: str, commit: str) -> None:
    """Deploy the package as it is here or, without touching what is here, in a commit."""
    with TemporaryDirectory() as folder:
        if commit:
            archive = run(["git", "archive", commit], cwd=PROJECT, check=True, stdout=PIPE).stdout
            run(["tar", "-x", "-C", folder], input=archive, check=True)
        command = ["sqitch", "deploy", "--quiet", f"db:pg:{name}"]
        # Without the warning of a superuser, who measures.
        environment = os.environ | {"PGOPTIONS": "-c client_min_messages=error"}
        if run(command, cwd=folder if commit else PROJECT, env=environment).returncode:
            raise SystemExit(
                f"the package of {commit or 'this state'} cannot be deployed over the sample"
                " of this state; what Sqitch says stands above"
            )


numbers = count()  # of databases


@contextmanager
def databases_for(variants: list[Variant]) -> Iterator[list[Database]]:
    """A database for each variant, dropped at the end."""
    names: list[str] = []
    samples: dict[Variant, str] = {}
    with ExitStack() as sessions:
        databases = []
        for variant in variants:
            sample = replace(variant, indexes=True, other_months=0, commit="")
            if sample not in samples:
                names.append(f"bench_{next(numbers)}")
                create_sample(names[-1], sample)
                samples[sample] = names[-1]
            names.append(f"bench_{next(numbers)}")
            create_database(names[-1], template=samples[sample])
            deploy(names[-1], variant.commit)
            session, observer = (sessions.enter_context(connect(names[-1])) for _ in range(2))
            set_up(session, variant)
            databases.append(Database(names[-1], variant, session, observer))
        yield databases
    with connect("postgres") as server:
        for name in names:
            server.execute(sql.SQL("DROP DATABASE {}").format(sql.Identifier(name)))


def set_up(session: psycopg.Connection, variant: Variant) -> None:
    """Bring the sample into the state that the variant says, and make the contenders' objects."""
    if not variant.indexes:
        drop_detail_indexes(session)
    # The other months: this one's rows, moved back month by month.
    for age in range(variant.other_months, 0, -1):
        session.execute(
            f"INSERT INTO {FACT}"
            f" SELECT (DATE '2026-02-01' - INTERVAL '{age} months')::date - 1,"
            " company_id, product_line_code, product_line_name, is_strategic, is_existing,"
            " is_new, is_winning_this_year, is_churned_this_year, aum_balance, plan_count,"
            f" CURRENT_TIMESTAMP FROM ({MONTH_QUERY}) AS this_month"
            " ORDER BY company_id, product_line_code"
        )
    # The floor writes into an empty table with all that the fact table has.
    session.execute(f"CREATE TABLE floor (LIKE {FACT} INCLUDING ALL)")
    for name, definition in session.execute(
        "SELECT conname, pg_get_constraintdef(oid) FROM pg_constraint"
        f" WHERE conrelid = '{FACT}'::regclass AND contype = 'f'"
    ).fetchall():
        session.execute(f"ALTER TABLE floor ADD CONSTRAINT {name} {definition}")
    for (definition,) in session.execute(
        "SELECT pg_get_triggerdef(oid) FROM pg_trigger"
        f" WHERE tgrelid = '{FACT}'::regclass AND NOT tgisinternal"
    ).fetchall():
        session.execute(definition.replace(FACT, "public.floor"))
    session.execute(f"CREATE MATERIALIZED VIEW month_view AS {MONTH_QUERY}")
    session.execute("CREATE UNIQUE INDEX ON month_view (company_id, product_line_code)")
    if variant.analysed:
        # The sample's statistics came with it; the package's tables get theirs in prepare().
        session.execute("VACUUM")


def drop_detail_indexes(connection: psycopg.Connection) -> None:
    connection.execute(f'ALTER TABLE {DETAIL} DROP CONSTRAINT IF EXISTS "规模明细_pkey"')
    for (index,) in connection.execute(
        f"SELECT indexrelid::regclass::text FROM pg_index WHERE indrelid = '{DETAIL}'::regclass"
    ).fetchall():
        connection.execute(f"DROP INDEX {index}")


# --- Contenders --------------------------------------------------------------


def package(connection: psycopg.Connection) -> None:
    connection.execute(PACKAGE)


def restate(connection: psycopg.Connection) -> None:
    connection.execute(RESTATE)


def row_by_row(connection: psycopg.Connection) -> None:
    connection.execute(ROW_BY_ROW)


def delete_and_insert(connection: psycopg.Connection) -> None:
    connection.execute(f"DELETE FROM {FACT} WHERE snapshot_month = '2026-01-31'")
    connection.execute(f"INSERT INTO {FACT} {MONTH_QUERY}")


def materialized_view(connection: psycopg.Connection) -> None:
    connection.execute("REFRESH MATERIALIZED VIEW CONCURRENTLY month_view")


def floor(connection: psycopg.Connection) -> None:
    connection.execute(f"CREATE TEMPORARY TABLE month ON COMMIT DROP AS {MONTH_QUERY}")
    connection.execute(
        "INSERT INTO floor SELECT *, CURRENT_TIMESTAMP FROM month"
        " ORDER BY company_id, product_line_code"
    )


CONTENDERS: dict[str, Callable[[psycopg.Connection], None]] = {
    "package": package,
    "restate": restate,
    "row by row": row_by_row,
    "delete and insert": delete_and_insert,
    "materialized view": materialized_view,
    "floor": floor,
}
# What is written by hand is logged and kept by the package's triggers. It is not here: the rivals
# keep nothing, and it is they who are compared.
NO_LOGGING = """
    INSERT INTO customer.monthly_snapshot_control (snapshot_month, writer)
    VALUES ('2026-01-31', concat_ws(' ', pg_current_xact_id(), 0))
    ON CONFLICT (snapshot_month) DO UPDATE SET writer = EXCLUDED.writer
"""
# Where a contender's rows are, if not in the fact table.
WRITES_TO = {"materialized view": "month_view", "floor": "floor"}
FIRST_FILL = ("package", "row by row", "delete and insert", "floor")
RE_RUN = ("package", "row by row", "delete and insert", "materialized view")


# --- Measuring ---------------------------------------------------------------


@dataclass
class Measurement:
    """What one contender took in one situation, run by run."""

    situation: str
    variant: Variant
    contender: str
    times: list[float] = field(default_factory=list)
    wal: list[int] = field(default_factory=list)
    written: list[int] = field(default_factory=list)
    dead: list[int] = field(default_factory=list)
    hot: list[float] = field(default_factory=list)
    temp: list[int] = field(default_factory=list)
    timed_out: bool = False

    def median(self, measure: str) -> float:
        return statistics.median(getattr(self, measure))


@dataclass(frozen=True)
class Situation:
    """What has happened before the contender runs."""

    name: str
    contenders: tuple[str, ...]
    filled: bool  # the month is stored already
    changed_percent: int = 0  # of the month's rows, in AUM
    new_session: bool = False  # the first that its session does


SITUATIONS = (
    Situation("first fill", FIRST_FILL, filled=False),
    Situation("re-run, nothing changed", RE_RUN, filled=True),
    Situation("re-run, new session", ("package", "row by row"), filled=True, new_session=True),
    Situation("re-run, 1 % changed", RE_RUN, filled=True, changed_percent=1),
    Situation("re-run, 20 % changed", RE_RUN, filled=True, changed_percent=20),
)

# What --against compares: the package alone.
AGAINST = (
    *(replace(situation, contenders=("package",)) for situation in SITUATIONS),
    Situation("restate, all changed", ("restate",), filled=True, changed_percent=100),
)

# A further yuan, which also those get that had no AUM. Whatever it takes is not the contender's.
CHANGE_AUM = f"""
    INSERT INTO {DETAIL} ("月度", "计划代码", company_id, "产品线代码", "期末资产规模")
    SELECT DATE '2026-01-01', 'P0', company_id, product_line_code, 1
    FROM {FACT}
    WHERE snapshot_month = '2026-01-31'
        AND (hashtext(company_id || product_line_code) & 2147483647) %% 100 < %s
"""


def prepare(database: Database, *, filled: bool) -> None:
    """Leave the month filled or empty, committed, vacuumed, and no checkpoint due for long."""
    session = database.session
    [stored] = session.execute(
        f"SELECT EXISTS (SELECT FROM {FACT} WHERE snapshot_month = '2026-01-31')"
    ).fetchone()
    if filled and not stored:
        package(session)
    elif stored and not filled:
        session.execute(f"DELETE FROM {FACT} WHERE snapshot_month = '2026-01-31'")
    vacuum(database)
    session.execute("CHECKPOINT")


def vacuum(database: Database) -> None:
    """Remove what was rolled back, and leave the statistics as the variant says."""
    session = database.session
    # By their names, as not all commits have the same.
    [written] = session.execute(
        "SELECT array_agg(oid::regclass::text) FROM pg_class"
        " WHERE relkind = 'r' AND relnamespace = 'customer'::regnamespace"
        r" AND relname LIKE 'monthly\_%'"
    ).fetchone()
    written += [FACT, "floor", "month_view"]
    analysed = database.variant.analysed
    session.execute(f"VACUUM {'ANALYZE' if analysed else ''} {', '.join(written)}")
    session.execute(f"VACUUM {DETAIL}")
    if not analysed:
        # VACUUM counts the rows, which would be half an analysis.
        session.execute(
            "UPDATE pg_class SET relpages = 0, reltuples = -1, relallvisible = 0"
            " WHERE oid = ANY (%s::regclass[])",
            [[*written, DETAIL]],
        )


@contextmanager
def rolled_back(session: psycopg.Connection) -> Iterator[None]:
    session.execute("BEGIN")
    try:
        yield
    finally:
        session.execute("ROLLBACK")


def table_counters(session: psycopg.Connection) -> tuple[int, int, int, int]:
    """Inserted, updated, HOT-updated and deleted rows of the snapshot in this transaction."""
    return session.execute(
        "SELECT sum(n_tup_ins), sum(n_tup_upd), sum(n_tup_hot_upd), sum(n_tup_del)"
        " FROM pg_stat_xact_all_tables WHERE relid = ANY (%s::regclass[])",
        [[FACT, *WRITES_TO.values()]],
    ).fetchone()


def temp_bytes(database: Database) -> int:
    database.session.execute("SELECT pg_stat_force_next_flush()")
    [count] = database.observer.execute(
        "SELECT temp_bytes FROM pg_stat_database WHERE datname = current_database()"
    ).fetchone()
    return count


def checksum(session: psycopg.Connection, contender: str) -> tuple:
    """The number of the month's rows, and a sum over all their values."""
    return session.execute(
        f"""
        SELECT
            count(*),
            sum(hashtextextended(
                concat_ws(
                    '|', company_id, product_line_code, product_line_name, is_strategic,
                    is_existing, is_new, is_winning_this_year, is_churned_this_year,
                    aum_balance::numeric(20, 2), plan_count
                ),
                0
            ))
        FROM {WRITES_TO.get(contender, FACT)}
        WHERE snapshot_month = '2026-01-31'
        """
    ).fetchone()


def measure(
    database: Database, situation: Situation, contender: str, timeout: float, result: Measurement
) -> tuple | None:
    """Run a contender once, add to its result, and return its rows' checksum."""
    with ExitStack() as stack:
        stack.callback(vacuum, database)
        session = database.session
        if situation.new_session:
            session = stack.enter_context(connect(database.name))
        temp_before = temp_bytes(database)
        with rolled_back(session):
            if situation.changed_percent:
                session.execute(CHANGE_AUM, [situation.changed_percent])
            if contender not in ("package", "restate"):
                session.execute(NO_LOGGING)
            session.execute(f"SET LOCAL statement_timeout = {round(timeout * 1000)}")
            counters_before = table_counters(session)
            [wal_before] = session.execute("SELECT pg_current_wal_insert_lsn()").fetchone()
            started = time.perf_counter()
            try:
                CONTENDERS[contender](session)
            except psycopg.errors.QueryCanceled:
                # Who runs into the timeout counts as that slow, and needs no second try.
                result.timed_out = True
                result.times = [timeout]
                return None
            result.times.append(time.perf_counter() - started)
            [wal] = session.execute(
                "SELECT pg_wal_lsn_diff(pg_current_wal_insert_lsn(), %s)", [wal_before]
            ).fetchone()
            session.execute("SET LOCAL statement_timeout = 0")
            counters = table_counters(session)
            rows = checksum(session, contender)
        inserted, updated, hot, deleted = (
            after - before for after, before in zip(counters, counters_before, strict=True)
        )
        result.wal.append(int(wal))
        result.written.append(int(inserted + updated + deleted))
        result.dead.append(int(updated + deleted))
        result.hot.append(float(hot / updated) if updated else 0.0)
        session.execute("SELECT pg_stat_force_next_flush()")
        result.temp.append(temp_bytes(database) - temp_before)
        return rows


def run_situation(
    databases: list[Database],
    situation: Situation,
    contenders: list[str],
    runs: int,
    timeout: float,
) -> list[Measurement]:
    """The contenders by turns, on one database, or on each of several."""
    turns = []
    for database in databases:
        prepare(database, filled=situation.filled)
        turns += [
            (database, Measurement(situation.name, database.variant, contender))
            for contender in contenders
        ]
    results = [result for _, result in turns]

    checksums = {}
    for database, result in turns:
        warm_up = Measurement(situation.name, database.variant, result.contender)
        rows = measure(database, situation, result.contender, timeout, warm_up)
        if warm_up.timed_out:
            result.timed_out, result.times = True, warm_up.times
        else:
            checksums[f"{result.contender} {database.variant.commit}".strip()] = rows
    if len(set(checksums.values())) > 1:
        label = databases[0].variant.label
        raise SystemExit(f"{situation.name}, {label}: rows differ: {checksums}")

    for _ in range(runs):
        # Nobody always runs first, or always after the same one.
        turns.append(turns.pop(0))
        for database, result in turns:
            if not result.timed_out:
                measure(database, situation, result.contender, timeout, result)
    return results


def run_situations(
    databases: list[Database], situations: tuple[Situation, ...], runs: int, timeout: float
) -> list[Measurement]:
    """All situations on one variant: several would push each other out of the buffers."""
    progress.print(f"  {databases[0].variant.label}")
    results: list[Measurement] = []
    for situation in situations:
        progress.print(f"    {situation.name} …")
        # A contender that was too slow once is not waited for again.
        slow = {result.contender for result in results if result.timed_out}
        contenders = [name for name in situation.contenders if name not in slow]
        results += run_situation(databases, situation, contenders, runs, timeout)
    return results


# --- History -----------------------------------------------------------------

NIGHTS = 100
HISTORY = "customer.monthly_status_history"
AS_AT = """
    SELECT as_at.*
    FROM (
        SELECT min(log_id) AS log_id
        FROM customer.monthly_snapshot_log
        WHERE operation = '{}'
    ) AS entry
    CROSS JOIN LATERAL customer.monthly_status_as_at('2026-01-31', entry.log_id) AS as_at
"""
READING = {
    "as it was first filled": AS_AT.format("refresh"),
    "as it was closed": AS_AT.format("close"),
    "published_changes": "SELECT * FROM customer.published_changes('2026-01-31')",
    "validation": "SELECT * FROM customer.validate_monthly_snapshot('2026-01-31')",
}


def measure_history(database: Database) -> None:
    """What a hundred nightly re-runs leave, each with 1 % of the month's rows changed."""
    session = database.session

    def milliseconds(statement: str) -> float:
        started = time.perf_counter()
        session.execute(statement).fetchall()
        return 1000 * (time.perf_counter() - started)

    prepare(database, filled=True)
    session.execute("SELECT customer.close_snapshot_month('2026-01-31', 'measured')")
    session.execute("SELECT customer.reopen_snapshot_month('2026-01-31', 'measured')")
    times = {"re-run, nothing changed": [milliseconds(PACKAGE) for _ in range(NIGHTS)]}
    times["re-run, 1 % changed"] = []
    for night in range(NIGHTS):
        session.execute(CHANGE_AUM.replace("< %s", "= %s"), [night])
        times["re-run, 1 % changed"].append(milliseconds(PACKAGE))
    vacuum(database)
    for what, statement in READING.items():
        times[what] = [milliseconds(statement) for _ in range(5)]

    [events, history, rows] = session.execute(
        f"SELECT count(*), pg_total_relation_size('{HISTORY}'), pg_total_relation_size('{FACT}')"
        f" FROM {HISTORY}"
    ).fetchone()
    print(describe_server(session))
    print(f"{NIGHTS} re-runs, each with 1 % of the rows changed: {events} events in the history")
    print(
        f"{history / 1e6:.1f} MB, {history / events:.0f} bytes an event; rows {rows / 1e6:.1f} MB"
    )
    for what, taken in times.items():
        print(f"{what:30} {statistics.median(taken):6.0f} ms")


# --- Reading -----------------------------------------------------------------

STORED = (37, 120)  # months
SUMMARIES = ("customer.monthly_status_summary", "customer.monthly_snapshot_control")
VIEW = "SELECT * FROM customer.monthly_status_{} WHERE snapshot_month >= '{}'"
# The views, and what their reader would write who had none.
READS = [
    ("trend, all months", "package", "SELECT * FROM customer.monthly_status_trend"),
    ("total, all months", "package", "SELECT * FROM customer.monthly_status_total"),
    ("trend, all months", "on the fly", read("trend_on_the_fly")),
    ("dim_customer", "package", "SELECT * FROM customer.dim_customer"),
] + [
    (f"{what}, {months}", contender, query.format(what, first))
    for months, first in (("1 month", "2026-01-31"), ("12 months", "2025-02-28"))
    for what in ("movement", "bridge", "bridge_total")
    for contender, query in (("package", VIEW), ("self-join", read("self_join")))
    if contender == "package" or what == "movement"
]


def store_months(session: psycopg.Connection, months: int, tables: tuple[str, ...]) -> None:
    """So many in all: what the oldest has, for each that is older, past triggers and keys."""
    session.execute("SET session_replication_role = replica")
    for table in tables:
        [columns] = session.execute(
            "SELECT string_agg(attname, ', ' ORDER BY attnum) FROM pg_attribute"
            f" WHERE attrelid = '{table}'::regclass AND attnum > 1 AND NOT attisdropped"
        ).fetchone()
        session.execute(
            f"INSERT INTO {table} SELECT (DATE '2026-02-01' - age * INTERVAL '1 month')::date - 1,"
            f" {columns} FROM {table} CROSS JOIN generate_series(0, {months - 1}) AS age"
            f" WHERE snapshot_month = (SELECT min(snapshot_month) FROM {table})"
            " AND snapshot_month >= DATE '2026-02-01' - age * INTERVAL '1 month' ORDER BY age"
        )
    session.execute("RESET session_replication_role")


def measure_reads(database: Database, real: int, runs: int) -> Iterator[Measurement]:
    """As readers' sessions do it, with JIT, to the last byte. So many months are the package's."""
    for age in reversed(range(real)):
        month = f"(DATE '2026-01-31' - INTERVAL '{age} months')::date"
        database.session.execute(f"SELECT customer.restate_monthly_snapshot({month}, 'measured')")
    large = database.variant.scale > 1  # other months only summarised: trend and total read no row
    for months in STORED:
        store_months(database.session, months, SUMMARIES if large else (FACT, *SUMMARIES))
        vacuum(database)
        variant = replace(database.variant, other_months=months - 1)
        progress.print(f"  {variant.label} …")
        with psycopg.connect(dbname=database.name, autocommit=True) as session:
            for situation, contender, query in READS[: 2 if large else None]:
                result = Measurement(situation, variant, contender)
                # The first warms up. What takes seconds is told by fewer.
                while len(result.times) <= runs and sum(result.times) < 10:
                    started = time.perf_counter()
                    session.execute(f"COPY ({query}) TO '/dev/null'")
                    result.times.append(time.perf_counter() - started)
                result.times = result.times[1:] or result.times
                yield result


# --- Command line ------------------------------------------------------------

FULL = [
    Variant(indexes, analysed, other_months)
    for other_months in (0, 36)
    for analysed in (True, False)
    for indexes in (True, False)
]
QUICK = FULL[:2]
GROWTH = [Variant(scale=scale, detail_months=1) for scale in (1, 10, 50)]

# What the machine itself grows by, the floor tells; --scale shows the others at a size.
GROWTH_SITUATIONS = (
    Situation("first fill", ("package", "floor"), filled=False),
    Situation("re-run, nothing changed", ("package",), filled=True),
)


def git(*arguments: str) -> str:
    return run(["git", *arguments], cwd=PROJECT, check=True, stdout=PIPE, text=True).stdout.strip()


def commit_named(name: str) -> str:
    try:
        return git("rev-parse", "--verify", "--short", f"{name}^{{commit}}")
    except CalledProcessError as error:
        raise argparse.ArgumentTypeError(
            f"git knows no commit {name} in this repository; git log shows those that are there"
        ) from error


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="scripts/bench", description=__doc__)
    what = parser.add_mutually_exclusive_group()
    what.add_argument("--quick", action="store_true", help="two states and 3 runs: under 2 minutes")
    what.add_argument(
        "--growth",
        action="store_true",
        help="the package and the floor at 1, 10 and 50 × the size",
    )
    what.add_argument(
        "--history", action="store_true", help="what a hundred re-runs leave in the history"
    )
    what.add_argument("--reading", action="store_true", help="the views that BI reads: 3 minutes")
    what.add_argument("--scale", type=int, help="every state at so many times production's size")
    what.add_argument(
        "--against",
        metavar="COMMIT",
        type=commit_named,
        help="this state of the package and another commit's, in pairs: under 6 minutes",
    )
    parser.add_argument(
        "--runs", type=int, help="runs after the warm-up (5, --quick 3, --against 15)"
    )
    parser.add_argument(
        "--timeout", type=float, help="seconds, after which a contender gives up (30)"
    )
    parser.add_argument(
        "--plan", action="store_true", help="print row by row's plan on stderr, too"
    )
    parser.add_argument("--json", action="store_true", help="print JSON rather than tables")
    return parser.parse_args()


def print_plan(session: psycopg.Connection) -> None:
    """The plan of row by row, so that everyone can see that it is a fair rival."""
    for (line,) in session.execute(f"EXPLAIN {ROW_BY_ROW}").fetchall():
        print(line, file=sys.stderr)


def describe_server(session: psycopg.Connection) -> str:
    settings = ("server_version", "shared_buffers", "work_mem", "fsync")
    values = (session.execute(f"SHOW {name}").fetchone()[0] for name in settings)
    settings = ", ".join(f"{name} {value}" for name, value in zip(settings, values, strict=True))
    return f"{os.cpu_count()} cores; {settings}"


def main() -> None:
    arguments = parse_arguments()
    runs = arguments.runs or (15 if arguments.against else 3 if arguments.quick else 5)
    timeout = arguments.timeout or 30
    situations = SITUATIONS
    commits = [""]
    if arguments.history:
        with databases_for(QUICK[:1]) as [database]:
            measure_history(database)
        return
    print_report = report.print_json if arguments.json else report.print_tables
    if arguments.reading:
        with databases_for([Variant(), Variant(scale=10, detail_months=1)]) as [database, large]:
            results = [*measure_reads(database, 13, runs), *measure_reads(large, 1, runs)]
            note = "; of other months at 10 × production size, only the summary is stored"
            print_report(describe_server(database.session) + note, results)
        return
    if arguments.growth:
        variants, situations = GROWTH, GROWTH_SITUATIONS
    elif arguments.against:
        variants, situations = QUICK, AGAINST
        commits.append(arguments.against)
    elif arguments.quick:
        variants = QUICK
    else:
        variants = [replace(variant, scale=arguments.scale or 1) for variant in FULL]

    all_variants = [replace(variant, commit=name) for variant in variants for name in commits]
    with databases_for(all_variants) as databases:
        results = [
            result
            for first in range(0, len(databases), len(commits))
            for result in run_situations(
                databases[first : first + len(commits)], situations, runs, timeout
            )
        ]
        title = describe_server(databases[0].session)
        if arguments.against:
            this = git("describe", "--always", "--dirty")
            title += f"\nthis is {this}; other is {arguments.against}; {runs} pairs"
        print_report(title, results)
        if arguments.plan:
            print_plan(databases[0].session)


if __name__ == "__main__":
    main()
