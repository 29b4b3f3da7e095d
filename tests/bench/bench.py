"""The benchmark behind every figure that the README quotes; run it with scripts/bench.

In each situation the package is measured beside what a user would do instead, by turns, round
after round, so that a machine's drift hits all alike. A measurement is one transaction, rolled
back, with the tables that it touched vacuumed before the next one: every contender finds the same
state. The first round warms up, tells what memory a session that has just begun takes, and checks
that all contenders come to the same. JIT is off, as the package has it, but for the views, which
readers' sessions read with it. With --against, the contenders are the package as it is here and as
it is in another commit, each in a database of its own over the same sample, and what counts is the
ratio within each pair.
"""

import argparse
import os
import re
import statistics
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from subprocess import PIPE, CalledProcessError, CompletedProcess, run
from tempfile import TemporaryDirectory

import psycopg
import report
from psycopg import sql
from rich.console import Console
from support import ALEMBIC_TABLE, CONTROL, FACT, HISTORY, SUMMARY, scripts

PROJECT = Path(__file__).resolve().parents[2]
KEY = "snapshot_month, company_id, product_line_code"
VALUES = (
    "product_line_name, is_strategic, is_existing, is_new, is_winning_this_year,"
    " is_churned_this_year, aum_balance, plan_count"
)
COLUMNS = f"{KEY}, {VALUES}"
DETAIL = 'business."规模明细"'
SUMMARIES = (SUMMARY, CONTROL)
progress = Console(stderr=True, highlight=False)


# --- Contenders --------------------------------------------------------------


def read(name: str) -> str:
    return (Path(__file__).parent / f"{name}.sql").read_text(encoding="utf-8")


def month(query: str) -> str:
    """A query with is_new, which follows from its other columns."""
    is_new = "is_winning_this_year AND NOT is_existing"
    columns = COLUMNS.replace("is_new", f"{is_new} AS is_new")
    return f"SELECT {columns} FROM ({query}) AS without_is_new"


def each(template: str, columns: str) -> str:
    return ", ".join(template.format(column) for column in columns.split(", "))


def both_ways(one: str, other: str) -> str:
    """What only one of two queries gives."""
    return f"({one} EXCEPT {other}) UNION ALL ({other} EXCEPT {one})"


MONTH_QUERY = month(read("month_query"))
# The same by the contracts that covered the month's last day, and the events until then.
AS_OF_QUERY = month(
    read("month_query")
    .replace("DATE '2027-01-01'", "DATE '2026-02-01'")
    .replace("customer.customer_plan_contract", f"({read('contracts_as_of')}) AS as_of")
    .replace("valid_to = DATE '9999-12-31'", "TRUE")
)
STORED = f"SELECT {COLUMNS} FROM {FACT} WHERE snapshot_month = '2026-01-31'"
MONTH_THAT_COMPARES = f"""
    SELECT count(*), sum(month.aum_balance), count(*) FILTER (
        WHERE ({each("month.{}", VALUES)})
            IS DISTINCT FROM ({each("stored.{}", VALUES)})
    )
    FROM ({MONTH_QUERY}) AS month
    FULL JOIN ({STORED}) AS stored USING (company_id, product_line_code)
"""
PACKAGE = "SELECT customer.refresh_monthly_snapshot('2026-01-31')"
DELETE = f"DELETE FROM {FACT} WHERE snapshot_month = '2026-01-31'"
CONTENDERS = {
    "package": PACKAGE,
    "row by row": f"INSERT INTO {FACT} SELECT *, CURRENT_TIMESTAMP"
    f" FROM ({month(read('row_by_row'))}) AS this_month ON CONFLICT ({KEY}) DO UPDATE SET "
    + each("{0} = EXCLUDED.{0}", f"{VALUES}, updated_at"),
    "delete and insert": f"{DELETE}; INSERT INTO {FACT} {MONTH_QUERY}",
    "materialized view": "REFRESH MATERIALIZED VIEW CONCURRENTLY month_view",
    "floor": f"CREATE TEMPORARY TABLE month ON COMMIT DROP AS {MONTH_QUERY};"
    " INSERT INTO floor SELECT *, CURRENT_TIMESTAMP FROM month"
    " ORDER BY company_id, product_line_code",
    "bare query that compares": MONTH_THAT_COMPARES,
}
# What is written by hand is logged and kept by the package's triggers. It is not here: the rivals
# keep nothing, and it is they who are compared.
NO_LOGGING = """
    INSERT INTO customer.monthly_snapshot_control (snapshot_month, writer)
    VALUES ('2026-01-31', concat_ws(' ', pg_current_xact_id(), 0))
    ON CONFLICT (snapshot_month) DO UPDATE SET writer = EXCLUDED.writer
"""
# Where a contender's rows are, if not in the fact table.
WRITES_TO = {"materialized view": "month_view", "floor": "floor", "copy and sha256": "copy"}


@dataclass(frozen=True)
class Situation:
    """What has happened before the contenders run, and the statements that each of them is."""

    name: str
    contenders: dict[str, str] = field(default_factory=lambda: CONTENDERS)
    filled: bool | None = True  # the month is stored already; None: all is left as it is
    changed_percent: int = 0  # of the month's rows, in AUM
    new_session: bool = False  # the first that its session does
    answer: str = ""  # of queries, which only read: the columns that all of them have alike


def asked(
    name: str, query: str, rival: str, rival_query: str, answer: str, *, filled: bool | None = None
) -> Situation:
    contenders = {"package": query, rival: rival_query}
    return Situation(name, contenders, filled=filled, answer=answer)


def of(situation: Situation, *names: str) -> Situation:
    """With these contenders alone."""
    return replace(situation, contenders={name: situation.contenders[name] for name in names})


RE_RUN = ("package", "row by row", "delete and insert", "materialized view")
SITUATIONS = (
    of(Situation(report.FILL, filled=False), *RE_RUN[:3], "floor"),
    of(Situation(report.SAME), *RE_RUN, "bare query that compares"),
    of(Situation("re-run, new session", new_session=True), *RE_RUN[:2]),
    of(Situation(report.ONE_PERCENT, changed_percent=1), *RE_RUN),
    of(Situation(report.TWENTY_PERCENT, changed_percent=20), *RE_RUN),
    Situation(
        report.RESTATED,
        {
            "package": "SELECT customer.restate_monthly_snapshot('2026-01-31', 'measured')",
            "delete and insert": f"{DELETE}; INSERT INTO {FACT} {AS_OF_QUERY}",
        },
        changed_percent=100,
    ),
)
VALIDATION = asked(
    "validation",
    "SELECT coalesce(sum(violations), 0) AS wrong"
    " FROM customer.validate_monthly_snapshot('2026-01-31')"
    " WHERE severity IN ('error', 'drift') AND check_name <> 'verdict'",
    "EXCEPT both ways",
    f"WITH month AS ({MONTH_QUERY}), stored AS ({STORED}) SELECT count(*) AS wrong"
    f" FROM ({both_ways('TABLE month', 'TABLE stored')}) AS difference",
    "wrong",
    filled=True,
)
CLOSE = Situation(
    "close",
    {
        "package": "SELECT customer.close_snapshot_month('2026-01-31', 'measured')",
        "copy and sha256": f"INSERT INTO copy {STORED};"
        " SELECT sha256(convert_to(string_agg(copy::text, E'\\n' ORDER BY"
        " company_id, product_line_code), 'UTF8')) FROM copy",
    },
)


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
        indexes = "platform's indexes" if self.indexes else "no index on 规模明细"
        statistics = "fresh statistics" if self.analysed else "never analysed"
        size = f"{self.other_months} other months, {self.scale} × production size"
        return f"{indexes}, {statistics}, {size}"


STATES = [Variant(), Variant(indexes=False), Variant(analysed=False), Variant(other_months=36)]
SMALL = Variant(detail_months=1)


@dataclass(frozen=True)
class Database:
    """Where a variant stands, and a session beside those that are measured."""

    name: str
    variant: Variant
    session: psycopg.Connection


def connect(database: str) -> psycopg.Connection:
    options = "-c client_min_messages=error -c jit=off"
    # A statement that was prepared would save its planning, from the sixth run on.
    return psycopg.connect(
        dbname=database, autocommit=True, options=options, prepare_threshold=None
    )


@contextmanager
def new_databases() -> Iterator[Callable[..., str]]:
    """A function that copies a database; the copies are dropped at the end."""
    names = []
    with connect("postgres") as server:

        def create(template: str = "template1") -> str:
            names.append(f"bench_{os.urandom(4).hex()}")
            server.execute(
                sql.SQL("CREATE DATABASE {} TEMPLATE {} STRATEGY file_copy").format(
                    sql.Identifier(names[-1]), sql.Identifier(template)
                )
            )
            return names[-1]

        yield create
        for name in names:
            server.execute(sql.SQL("DROP DATABASE {}").format(sql.Identifier(name)))


def psql(database: str, folder: Path, files: list[str], variables: dict) -> CompletedProcess:
    """Run scripts, without the warning of a superuser, who measures."""
    return run(
        ["psql", "-X", "-q", "-v", "ON_ERROR_STOP=1", "-d", database, "-o", os.devnull]
        + [f"--set={name}={value}" for name, value in variables.items()]
        + [f"--file={file}" for file in files],
        cwd=folder,
        env=os.environ | {"PGOPTIONS": "-c client_min_messages=error"},
    )


def load_sample(name: str, variant: Variant) -> str:
    """The sample, to copy with its statistics: each ANALYZE would draw other rows."""
    progress.print(f"  loading the sample at {variant.scale} × production size …")
    files = [f"sql/demo/{file}.sql" for file in ("source_system", "sample_data")]
    analyze = "on" if variant.analysed else "off"
    size = {"scale": variant.scale, "months": variant.detail_months, "analyze": analyze}
    psql(name, PROJECT, files, size).check_returncode()
    return name


def deploy(name: str, commit: str = "", *, adopt: bool = False) -> None:
    """Deploy the package as it is here or, without touching what is here, in a commit."""
    with TemporaryDirectory() as folder:
        if commit:
            archive = run(["git", "archive", commit], cwd=PROJECT, check=True, stdout=PIPE).stdout
            run(["tar", "-x", "-C", folder], input=archive, check=True)
        folder = Path(folder if commit else PROJECT)
        if psql(name, folder, scripts("deploy", folder), {"adopt": str(adopt).lower()}).returncode:
            raise SystemExit(
                f"the package of {commit or 'this state'} cannot be deployed over the sample"
                " of this state; what psql says stands above"
            )


@contextmanager
def databases_for(variants: list[Variant]) -> Iterator[list[Database]]:
    """A database for each variant, dropped at the end."""
    samples: dict[Variant, str] = {}
    with new_databases() as create, ExitStack() as sessions:
        databases = []
        for variant in variants:
            sample = replace(variant, indexes=True, other_months=0, commit="")
            if sample not in samples:
                samples[sample] = load_sample(create(), sample)
            name = create(samples[sample])
            deploy(name, variant.commit)
            databases.append(set_up(name, variant, sessions))
        yield databases


def set_up(name: str, variant: Variant, sessions: ExitStack) -> Database:
    """Bring the sample into the state that the variant says, and make the contenders' objects."""
    session = sessions.enter_context(connect(name))
    if not variant.indexes:
        session.execute(f'ALTER TABLE {DETAIL} DROP CONSTRAINT IF EXISTS "规模明细_pkey"')
        execute_each(
            session,
            "SELECT format('DROP INDEX %s', indexrelid::regclass) FROM pg_index"
            f" WHERE indrelid = '{DETAIL}'::regclass",
        )
    if variant.other_months:
        add_months(session, 1, variant.other_months, (FACT, *SUMMARIES))
    # The floor writes into an empty table with all that the fact table has.
    session.execute(f"CREATE TABLE floor (LIKE {FACT} INCLUDING ALL)")
    execute_each(
        session,
        "SELECT format('ALTER TABLE floor ADD CONSTRAINT %I %s', conname,"
        " pg_get_constraintdef(oid)) FROM pg_constraint"
        f" WHERE conrelid = '{FACT}'::regclass AND contype = 'f' UNION ALL"
        f" SELECT replace(pg_get_triggerdef(oid), '{FACT}', 'public.floor') FROM pg_trigger"
        f" WHERE tgrelid = '{FACT}'::regclass AND NOT tgisinternal",
    )
    session.execute(f"CREATE MATERIALIZED VIEW month_view AS {MONTH_QUERY}")
    session.execute("CREATE UNIQUE INDEX ON month_view (company_id, product_line_code)")
    session.execute(f"CREATE TABLE copy AS {STORED} WITH NO DATA")
    if variant.analysed:
        # The sample's statistics came with it; the package's tables get theirs in prepare().
        session.execute("VACUUM")
    return Database(name, variant, session)


def execute_each(session: psycopg.Connection, query: str) -> None:
    for (statement,) in session.execute(query).fetchall():
        session.execute(statement)


def add_months(session: psycopg.Connection, age: int, months: int, tables: tuple[str, ...]) -> None:
    """So many months, the newest of them so old: this month's rows."""
    session.execute(
        f"INSERT INTO {FACT} SELECT (DATE '2026-02-01' - INTERVAL '{age} months')::date - 1,"
        f" company_id, product_line_code, {VALUES}, CURRENT_TIMESTAMP FROM ({MONTH_QUERY}) AS month"
        " ORDER BY company_id, product_line_code"
    )
    copy_oldest_month(session, age + months, tables)


def copy_oldest_month(session: psycopg.Connection, months: int, tables: tuple[str, ...]) -> None:
    """To each older one, so many months back, past triggers and keys."""
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
    memory: int = 0  # bytes that a new session took at most, with the shared buffers it touched
    kept: int = 0  # bytes of history a night
    timed_out: bool = False
    part: str = ""  # of the run

    def median(self, measure: str) -> float:
        return statistics.median(getattr(self, measure))

    def forget(self) -> None:
        """The warm-up."""
        for runs in (self.times, self.wal, self.written, self.dead, self.hot, self.temp):
            runs.clear()


# A further yuan, which also those get that had no AUM. Whatever it takes is not the contender's.
CHANGE_AUM = f"""
    INSERT INTO {DETAIL} ("月度", "计划代码", company_id, "产品线代码", "期末资产规模")
    SELECT DATE '2026-01-01', 'P0', company_id, product_line_code, 1
    FROM {FACT}
    WHERE snapshot_month = '2026-01-31'
        AND (hashtext(company_id || product_line_code) & 2147483647) %% 100 < %s
"""
TIMEOUT = 30  # seconds at production size, after which a contender gives up
ENOUGH = 10  # seconds for all contenders together, after which two runs tell


def prepare(database: Database, *, filled: bool) -> None:
    """Leave the month filled or empty, committed, vacuumed, and no checkpoint due for long."""
    session = database.session
    [stored] = session.execute(f"SELECT EXISTS ({STORED})").fetchone()
    if filled and not stored:
        session.execute(PACKAGE)
    elif stored and not filled:
        session.execute(DELETE)
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
    written += [FACT, *WRITES_TO.values()]
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


def table_counters(session: psycopg.Connection) -> tuple[int, int, int, int]:
    """Inserted, updated, HOT-updated and deleted rows of the snapshot in this transaction."""
    return session.execute(
        "SELECT sum(n_tup_ins), sum(n_tup_upd), sum(n_tup_hot_upd), sum(n_tup_del)"
        " FROM pg_stat_xact_all_tables WHERE relid = ANY (%s::regclass[])",
        [[FACT, *WRITES_TO.values()]],
    ).fetchone()


def temp_bytes(database: Database, session: psycopg.Connection) -> int:
    session.execute("SELECT pg_stat_force_next_flush()")
    [count] = database.session.execute(
        "SELECT temp_bytes FROM pg_stat_database WHERE datname = current_database()"
    ).fetchone()
    return count


def peak_memory(session: psycopg.Connection) -> int:
    """The most that the session's process has had, which the server must be here for."""
    status = Path(f"/proc/{session.info.backend_pid}/status").read_text(encoding="utf-8")
    return 1024 * int(re.search(r"VmHWM:\s+(\d+)", status)[1])


def checksum(session: psycopg.Connection, rows: str) -> tuple:
    """The number of rows, and a sum over all their values."""
    return session.execute(
        f"SELECT count(*), sum(hashtextextended(row_of::text, 0)) FROM ({rows}) AS row_of"
    ).fetchone()


def measure(
    database: Database,
    session: psycopg.Connection,
    situation: Situation,
    result: Measurement,
    timeout: float,
    *,
    first: bool = False,
) -> tuple | None:
    """Run a contender once, add to its result, and in the first run return its checksum."""
    statements = situation.contenders[result.contender]
    if situation.answer:
        answer = f"SELECT {situation.answer} FROM ({statements}) AS answer"
        statements = f"COPY ({statements}) TO '{os.devnull}'"
    else:
        # The one that is stored may have scales that the rows in the making have not.
        columns = COLUMNS.replace("aum_balance", "aum_balance::numeric(20, 2)")
        table = WRITES_TO.get(result.contender, FACT)
        answer = f"SELECT {columns} FROM {table} WHERE snapshot_month = '2026-01-31'"
    with ExitStack() as stack:
        if not situation.answer:
            stack.callback(vacuum, database)
        if situation.new_session:
            session = stack.enter_context(connect(database.name))
        temp_before = temp_bytes(database, session)
        with session.transaction(force_rollback=True):
            if situation.changed_percent:
                session.execute(CHANGE_AUM, [situation.changed_percent])
            if result.contender != "package" and not situation.answer:
                session.execute(NO_LOGGING)
            # What leaves all as it is, readers ask.
            session.execute(f"SET LOCAL jit = {situation.filled is None}")
            session.execute(f"SET LOCAL statement_timeout = {round(timeout * 1000)}")
            counters_before = table_counters(session)
            [wal_before] = session.execute("SELECT pg_current_wal_insert_lsn()").fetchone()
            started = time.perf_counter()
            try:
                session.execute(statements)
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
            rows = None
            if first:
                result.memory, rows = peak_memory(session), checksum(session, answer)
        inserted, updated, hot, deleted = (
            after - before for after, before in zip(counters, counters_before, strict=True)
        )
        result.temp.append(temp_bytes(database, session) - temp_before)
        if not situation.answer:
            result.wal.append(int(wal))
            result.written.append(int(inserted + updated + deleted))
            result.dead.append(int(updated + deleted))
            result.hot.append(float(hot / updated) if updated else 0.0)
        return rows


def run_situation(
    databases: list[Database], situation: Situation, runs: int, timeout: float
) -> list[Measurement]:
    """The contenders by turns, on one database, or on each of several."""
    with ExitStack() as sessions:
        turns = []
        for database in databases:
            if situation.filled is not None:
                prepare(database, filled=situation.filled)
            for contender in situation.contenders:
                session = sessions.enter_context(connect(database.name))
                result = Measurement(situation.name, database.variant, contender)
                turns.append((database, session, situation, result, timeout))
        results = [result for *_, result, _ in turns]

        checksums = {}
        for turn, result in zip(turns, results, strict=True):
            answer = measure(*turn, first=True)
            if not result.timed_out:
                checksums[f"{result.contender} {result.variant.commit}".strip()] = answer
        if len(set(checksums.values())) > 1:
            label = databases[0].variant.label
            raise SystemExit(f"{situation.name}, {label}: rows differ: {checksums}")

        for result in results:
            if runs and not result.timed_out:
                result.forget()
        for number in range(runs):
            taken = sum(sum(result.times) for result in results if not result.timed_out)
            # Pairs are never broken off.
            if number >= 2 and taken > ENOUGH and not databases[1:]:
                break
            # Nobody always runs first, or always after the same one.
            turns.append(turns.pop(0))
            for turn in turns:
                if not turn[3].timed_out:
                    measure(*turn)
    return results


def run_situations(
    databases: list[Database], situations: list[Situation], runs: int, timeout: float = TIMEOUT
) -> list[Measurement]:
    """All situations on one variant: several would push each other out of the buffers."""
    progress.print(f"  {databases[0].variant.label}")
    results: list[Measurement] = []
    for situation in situations:
        progress.print(f"    {situation.name} …")
        # A contender that was too slow once is not waited for again.
        slow = {result.contender for result in results if result.timed_out}
        quick = of(situation, *(name for name in situation.contenders if name not in slow))
        limit = timeout * databases[0].variant.scale
        results += run_situation(databases, quick, runs, limit)
    return results


def measure_writing(databases: list[Database], runs: int) -> Iterator[Measurement]:
    """What a month costs, in the states that a database may be in."""
    yield from run_situations(databases[:1], [*SITUATIONS, VALIDATION, CLOSE], runs)
    for database in databases[1:]:
        few = [of(situation, "package", "row by row") for situation in SITUATIONS[:2]]
        yield from run_situations([database], few, runs)


# --- History -----------------------------------------------------------------

NIGHTS = 100


def measure_history(databases: list[Database], runs: int) -> Iterator[Measurement]:
    """What a hundred nightly re-runs leave, each with 1 % of the month's rows changed.

    Who has no history keeps a copy of the month each night, besides writing it.
    """
    [database] = databases
    session = database.session
    prepare(database, filled=True)
    session.execute("SELECT customer.close_snapshot_month('2026-01-31', 'measured')")
    session.execute("SELECT customer.reopen_snapshot_month('2026-01-31', 'measured')")
    session.execute(f"CREATE TABLE published AS {STORED}")
    progress.print(f"    {NIGHTS} nights …")
    contenders = {"package": PACKAGE, "a copy besides": f"CREATE TABLE night_{{}} AS {STORED}"}
    results = [Measurement(report.NIGHT, database.variant, name) for name in contenders]
    for night in range(NIGHTS):
        session.execute(CHANGE_AUM.replace("< %s", "= %s"), [night])
        for result in results:
            started = time.perf_counter()
            session.execute(contenders[result.contender].format(night))
            result.times.append(time.perf_counter() - started)
    [results[0].kept, results[1].kept] = session.execute(
        f"SELECT pg_total_relation_size('{HISTORY}') / {NIGHTS}, pg_total_relation_size('night_0')"
    ).fetchone()
    vacuum(database)
    yield from [*results, *run_situations(databases, history_situations(), runs)]


def history_situations() -> list[Situation]:
    changed = both_ways("TABLE published", f"TABLE night_{NIGHTS - 1}")
    as_at = (
        "SELECT * FROM customer.monthly_status_as_at('2026-01-31', (SELECT min(log_id)"
        " FROM customer.monthly_snapshot_log WHERE operation = '{}'))"
    )
    return [
        asked("as_at, first filled", as_at.format("refresh"), "copy", "TABLE published", COLUMNS),
        asked("as_at, closed", as_at.format("close"), "copy", "TABLE published", COLUMNS),
        asked(
            "published_changes",
            "SELECT * FROM customer.published_changes('2026-01-31')",
            "EXCEPT between copies",
            f"SELECT * FROM ({changed}) AS changed",
            "DISTINCT company_id, product_line_code",
        ),
    ]


# --- Reading -----------------------------------------------------------------

MONTHS = (37, 120)  # that are stored


VIEW = "SELECT * FROM customer.monthly_status_"
ON_THE_FLY = f"SELECT * FROM ({read('trend_on_the_fly')}) AS t WHERE product_line_code IS"
ADDED_UP = "snapshot_month, customers, strategic_customers, plans, aum_balance, aum_change"
TOTALS = [
    asked(
        "trend, all months",
        f"{VIEW}trend",
        "on the fly",
        f"{ON_THE_FLY} NOT NULL",
        f"product_line_code, {ADDED_UP}",
    ),
    asked("total, all months", f"{VIEW}total", "on the fly", f"{ON_THE_FLY} NULL", ADDED_UP),
]


def movements() -> Iterator[Situation]:
    amounts = "previous_aum_balance, aum_balance"
    sums = each("sum({0}) AS {0}", amounts)
    for months, first in (("1 month", "2026-01-31"), ("12 months", "2025-02-28")):
        for what, key, group in (
            ("movement", KEY, ""),
            ("bridge", "snapshot_month, product_line_code", "GROUP BY 1, 2"),
            ("bridge_total", "snapshot_month", "GROUP BY 1"),
        ):
            view = f"{VIEW}{what} WHERE snapshot_month >= '{first}'"
            rival = read("self_join").format(first)
            if group:
                rival = f"SELECT {key}, {sums} FROM ({rival}) AS moved {group}"
            yield asked(f"{what}, {months}", view, "self-join", rival, f"{key}, {amounts}")


def read_months(
    database: Database, situations: list[Situation], tables: tuple[str, ...], runs: int
) -> Iterator[Measurement]:
    """With so many months stored, in these tables."""
    for months in MONTHS:
        copy_oldest_month(database.session, months, tables)
        vacuum(database)
        stored = replace(database, variant=replace(database.variant, other_months=months - 1))
        yield from run_situations([stored], situations, runs)


def measure_reading(databases: list[Database], runs: int) -> Iterator[Measurement]:
    """What BI reads. Some months are the package's, which differ; those before are copies."""
    [database] = databases
    for age in reversed(range(database.variant.detail_months)):
        day = f"(DATE '2026-01-31' - INTERVAL '{age} months')::date"
        database.session.execute(f"SELECT customer.restate_monthly_snapshot({day}, 'measured')")
    yield from read_months(database, [*TOTALS, *movements()], (FACT, *SUMMARIES), runs)


# --- Adopting ----------------------------------------------------------------

ADOPTED = 37  # months


def measure_adopting(_databases: list[Database], runs: int) -> Iterator[Measurement]:
    """Deploying over a table from before the package, or beside it and then filling the new one."""
    variant = replace(SMALL, other_months=ADOPTED - 1)
    with new_databases() as create, ExitStack() as sessions:
        old = load_sample(create(), variant)
        with connect(old) as session:
            session.execute(ALEMBIC_TABLE)
            add_months(session, 0, ADOPTED, (FACT,))
        progress.print(f"    adopting {ADOPTED} months …")
        results = {
            contender: Measurement(f"adopting {ADOPTED} months", variant, contender)
            for contender in ("package", "deploy, INSERT … SELECT")
        }
        for _ in range(min(runs, 3) or 1):
            rows = {}
            for contender, result in results.items():
                name = create(old)
                with connect(name) as session:
                    started = time.perf_counter()
                    if contender == "package":
                        deploy(name, adopt=True)
                        adopted = name
                    else:
                        session.execute(f"ALTER TABLE {FACT} SET SCHEMA public")
                        deploy(name)
                        table = FACT.replace("customer.", "public.")
                        session.execute(f"INSERT INTO {FACT} TABLE {table}")
                    result.times.append(time.perf_counter() - started)
                    rows[contender] = checksum(session, f"SELECT * FROM {FACT}")
            if len(set(rows.values())) > 1:
                raise SystemExit(f"adopting: rows differ: {rows}")
        yield from results.values()
        database = set_up(adopted, replace(variant, other_months=0), sessions)
        first = replace(of(SITUATIONS[3], "package", "row by row"), name="its first refresh, 1 %")
        yield from run_situations([replace(database, variant=variant)], [first], runs)


# --- Growth ------------------------------------------------------------------


def measure_growth(databases: list[Database], runs: int) -> Iterator[Measurement]:
    """What the machine itself grows by, the floor tells. Other months are only summarised."""
    package = [of(it, "package") for it in (SITUATIONS[1], VALIDATION, *TOTALS)]
    for database in databases:
        first_fill = of(SITUATIONS[0], "package", "floor")
        yield from run_situations([database], [first_fill, *package[:2]], runs)
        if database.variant.scale > 1:
            yield from read_months(database, package[2:], SUMMARIES, runs)


# --- Command line ------------------------------------------------------------

# The states of the database that each part needs, and what it measures there.
PARTS = {
    "writing": (STATES, measure_writing),
    "history": ([SMALL], measure_history),
    "reading": ([Variant()], measure_reading),
    "adopting": ([], measure_adopting),
    "growth": ([replace(SMALL, scale=scale) for scale in (1, 10, 50)], measure_growth),
}


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
    parser.add_argument("parts", nargs="*", choices=[*PARTS, "all"], default="all")
    against = "this state of the package and another commit's, in pairs: 6 minutes"
    parser.add_argument("--against", metavar="COMMIT", type=commit_named, help=against)
    parser.add_argument("--runs", type=int, help="runs after the warm-up (5, --against 15)")
    parser.add_argument("--json", action="store_true", help="print JSON rather than tables")
    return parser.parse_args()


def describe_server() -> str:
    names = ("server_version", "shared_buffers", "work_mem", "fsync")
    with connect("postgres") as session:
        settings = [f"{name} {session.execute(f'SHOW {name}').fetchone()[0]}" for name in names]
    return f"{os.cpu_count()} cores; {', '.join(settings)}"


def measure_against(commit: str, runs: int) -> Iterator[Measurement]:
    situations = [of(situation, "package") for situation in SITUATIONS]
    for variant in STATES[:2]:
        with databases_for([variant, replace(variant, commit=commit)]) as databases:
            yield from run_situations(databases, situations, runs)


def main() -> None:
    arguments = parse_arguments()
    title = describe_server()
    if arguments.against:
        runs = arguments.runs or 15
        results = list(measure_against(arguments.against, runs))
        this = git("describe", "--always", "--dirty")
        title += f"\nthis is {this}; other is {arguments.against}; {runs} pairs"
    else:
        results = []
        for part, (variants, measure_part) in PARTS.items():
            if part in arguments.parts or "all" in arguments.parts:
                with databases_for(variants) as databases:
                    measured = measure_part(databases, arguments.runs or 5)
                    results += [replace(result, part=part) for result in measured]
    print_report = report.print_json if arguments.json else report.print_tables
    print_report(title, results)


if __name__ == "__main__":
    main()
