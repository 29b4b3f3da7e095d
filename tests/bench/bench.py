"""The benchmark behind every figure that the README quotes; run it with scripts/bench.

Each situation is measured for each contender in turn, round after round, so that a machine's
drift hits all alike. A measurement is one transaction on a new connection, rolled back, with
its tables vacuumed before the next one: every contender finds the same state.
"""

import argparse
import json
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from subprocess import run

import psycopg
from psycopg import sql
from rich.console import Console
from rich.table import Table

PROJECT = Path(__file__).resolve().parents[2]
FACT = "customer.fct_customer_business_monthly_status"
MONTH_QUERY = (Path(__file__).parent / "month_query.sql").read_text(encoding="utf-8")
ROW_BY_ROW = (Path(__file__).parent / "row_by_row.sql").read_text(encoding="utf-8")
PACKAGE = "SELECT customer.refresh_monthly_snapshot('2026-01-31')"
SOURCES = (
    'customer."年金客户", customer.customer_plan_contract, customer."当年中标",'
    ' customer."当年流失", business."规模明细"'
)
progress = Console(stderr=True, highlight=False)


# --- Databases ---------------------------------------------------------------


@dataclass(frozen=True)
class Variant:
    """A state of the database that situations are measured on."""

    indexes: bool = True  # the platform's, on 规模明细
    analysed: bool = True
    other_months: int = 0

    @property
    def label(self) -> str:
        return ", ".join(
            (
                "platform's indexes" if self.indexes else "no index on 规模明细",
                "fresh statistics" if self.analysed else "never analysed",
                f"{self.other_months} other months",
            )
        )


def connect(database: str, **options) -> psycopg.Connection:
    return psycopg.connect(dbname=database, autocommit=True, **options)


def create_sample(name: str, scale: int, months: int) -> None:
    """A database with the sample and the package, its tables never analysed."""
    progress.print(f"  loading the sample at scale {scale} …")
    with connect("postgres") as server:
        server.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
    variables = f"ON_ERROR_STOP=1 scale={scale} months={months} analyze=off".split()
    psql = ["psql", "-X", "-q", "-d", name]
    for variable in variables:
        psql += ["-v", variable]
    for file in ("source_system", "sample_data"):
        run([*psql, "-f", f"sql/demo/{file}.sql"], cwd=PROJECT, check=True)
    run(["sqitch", "deploy", "--quiet", f"db:pg:{name}"], cwd=PROJECT, check=True)


def create_variant(name: str, sample: str, variant: Variant) -> None:
    """A copy of the sample in the state that the variant says, with the contenders' objects."""
    with connect("postgres") as server:
        server.execute(
            sql.SQL("CREATE DATABASE {} TEMPLATE {} STRATEGY file_copy").format(
                sql.Identifier(name), sql.Identifier(sample)
            )
        )
    with connect(name) as connection:
        if not variant.indexes:
            drop_detail_indexes(connection)
        # The other months: this one's rows, moved back month by month.
        for age in range(variant.other_months, 0, -1):
            connection.execute(
                f"INSERT INTO {FACT}"
                f" SELECT (DATE '2026-02-01' - INTERVAL '{age} months')::date - 1,"
                " company_id, product_line_code, product_line_name, is_strategic, is_existing,"
                " is_new, is_winning_this_year, is_churned_this_year, aum_balance, plan_count,"
                f" CURRENT_TIMESTAMP FROM ({MONTH_QUERY}) AS this_month"
                " ORDER BY company_id, product_line_code"
            )
        # The floor writes into an empty table with all that the fact table has.
        connection.execute(f"CREATE TABLE floor (LIKE {FACT} INCLUDING ALL)")
        for constraint in ("fk_snapshot_company", "fk_snapshot_product_line"):
            [definition] = connection.execute(
                "SELECT pg_get_constraintdef(oid) FROM pg_constraint WHERE conname = %s",
                [constraint],
            ).fetchone()
            connection.execute(f"ALTER TABLE floor ADD CONSTRAINT {constraint} {definition}")
        for (definition,) in connection.execute(
            "SELECT pg_get_triggerdef(oid) FROM pg_trigger"
            f" WHERE tgrelid = '{FACT}'::regclass AND NOT tgisinternal"
        ).fetchall():
            connection.execute(definition.replace(FACT, "public.floor"))
        connection.execute(f"CREATE MATERIALIZED VIEW month_view AS {MONTH_QUERY}")
        connection.execute("CREATE UNIQUE INDEX ON month_view (company_id, product_line_code)")
        if variant.analysed:
            connection.execute("VACUUM ANALYZE")


def drop_detail_indexes(connection: psycopg.Connection) -> None:
    connection.execute('ALTER TABLE business."规模明细" DROP CONSTRAINT IF EXISTS "规模明细_pkey"')
    for (index,) in connection.execute(
        "SELECT indexrelid::regclass::text FROM pg_index"
        " WHERE indrelid = 'business.\"规模明细\"'::regclass"
    ).fetchall():
        connection.execute(f"DROP INDEX {index}")


# --- Contenders --------------------------------------------------------------


def package(connection: psycopg.Connection) -> None:
    connection.execute(PACKAGE)


def row_by_row(connection: psycopg.Connection) -> None:
    connection.execute("SET LOCAL jit = off")
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
    "row by row": row_by_row,
    "delete and insert": delete_and_insert,
    "materialized view": materialized_view,
    "floor": floor,
}
FIRST_FILL = ("package", "row by row", "delete and insert", "floor")
RE_RUN = ("package", "row by row", "delete and insert", "materialized view")


# --- Measuring ---------------------------------------------------------------


@dataclass
class Measurement:
    """What one contender took in one situation: medians over the runs, and the times' spread."""

    situation: str
    variant: str
    contender: str
    times: list[float] = field(default_factory=list)
    wal: list[int] = field(default_factory=list)
    written: list[int] = field(default_factory=list)
    dead: list[int] = field(default_factory=list)
    hot: list[float] = field(default_factory=list)
    temp: list[int] = field(default_factory=list)
    timed_out: bool = False

    @property
    def time(self) -> float:
        return statistics.median(self.times)


@dataclass(frozen=True)
class Situation:
    """What has happened before the contender runs."""

    name: str
    contenders: tuple[str, ...]
    filled: bool  # the month is stored already
    changed_percent: int = 0  # of the rows, in AUM


SITUATIONS = (
    Situation("first fill", FIRST_FILL, filled=False),
    Situation("re-run, nothing changed", RE_RUN, filled=True),
    Situation("re-run, 1 % changed", RE_RUN, filled=True, changed_percent=1),
    Situation("re-run, 20 % changed", RE_RUN, filled=True, changed_percent=20),
)

CHANGE_AUM = """
    UPDATE business."规模明细" AS detail
    SET "期末资产规模" = "期末资产规模" + 1
    FROM (
        SELECT DISTINCT ON (detail.company_id, detail."产品线代码") detail.ctid AS row
        FROM business."规模明细" AS detail
        JOIN (
            SELECT company_id, product_line_code
            FROM {fact}
            WHERE snapshot_month = '2026-01-31'
        ) AS stored
            ON stored.company_id = detail.company_id
            AND stored.product_line_code = detail."产品线代码"
        WHERE detail."月度" >= '2026-01-01'
            AND detail."月度" < '2026-02-01'
            AND detail."期末资产规模" IS NOT NULL
        ORDER BY detail.company_id, detail."产品线代码", detail.ctid
    ) AS changed
    WHERE detail.ctid = changed.row
        AND (hashtext(detail.company_id || detail."产品线代码") & 2147483647) % 10000
            < {per_ten_thousand}
"""


def prepare(database: str, variant: Variant, *, filled: bool) -> None:
    """Leave the month filled or empty, committed, vacuumed."""
    with connect(database) as connection:
        [stored] = connection.execute(
            f"SELECT EXISTS (SELECT FROM {FACT} WHERE snapshot_month = '2026-01-31')"
        ).fetchone()
        if filled and not stored:
            package(connection)
        elif stored and not filled:
            connection.execute(f"DELETE FROM {FACT} WHERE snapshot_month = '2026-01-31'")
        vacuum(connection, variant)


def vacuum(connection: psycopg.Connection, variant: Variant) -> None:
    command = "VACUUM ANALYZE" if variant.analysed else "VACUUM"
    # Plain VACUUM counts a table's rows, too, but gathers no statistics of its columns.
    connection.execute(f"{command} {FACT}, floor, month_view, customer.monthly_snapshot_control")


@contextmanager
def rolled_back(connection: psycopg.Connection) -> Iterator[None]:
    connection.execute("BEGIN")
    try:
        yield
    finally:
        connection.execute("ROLLBACK")


def table_counters(connection: psycopg.Connection) -> tuple[int, int, int, int]:
    """Inserted, updated, HOT-updated and deleted rows of the snapshot in this transaction."""
    return connection.execute(
        "SELECT sum(n_tup_ins), sum(n_tup_upd), sum(n_tup_hot_upd), sum(n_tup_del)"
        " FROM pg_stat_xact_all_tables WHERE relid = ANY (%s::regclass[])",
        [[FACT, "floor", "month_view"]],
    ).fetchone()


def temp_bytes(connection: psycopg.Connection) -> int:
    connection.execute("SELECT pg_stat_force_next_flush()")
    connection.execute("SELECT pg_stat_clear_snapshot()")
    [count] = connection.execute(
        "SELECT temp_bytes FROM pg_stat_database WHERE datname = current_database()"
    ).fetchone()
    return count


def measure(
    database: str,
    variant: Variant,
    situation: Situation,
    contender: str,
    timeout: float,
    result: Measurement,
    *,
    warming_up: bool,
) -> None:
    """Run a contender once and add to its result, unless it only warms up."""
    options = f"-c statement_timeout={round(timeout * 1000)} -c client_min_messages=error"
    with connect(database, options=options) as connection, connect(database) as observer:
        temp_before = temp_bytes(observer)
        with rolled_back(connection):
            if situation.changed_percent:
                change_aum(connection, situation.changed_percent)
            counters_before = table_counters(connection)
            [wal_before] = connection.execute("SELECT pg_current_wal_insert_lsn()").fetchone()
            started = time.perf_counter()
            try:
                CONTENDERS[contender](connection)
            except psycopg.errors.QueryCanceled:
                # Who runs into the timeout counts as that slow, and needs no second try.
                result.timed_out = True
                result.times = [timeout]
                return
            seconds = time.perf_counter() - started
            [wal] = connection.execute(
                "SELECT pg_wal_lsn_diff(pg_current_wal_insert_lsn(), %s)", [wal_before]
            ).fetchone()
            counters = table_counters(connection)
        if not warming_up:
            connection.execute("SELECT pg_stat_force_next_flush()")
            inserted, updated, hot, deleted = (
                after - before for after, before in zip(counters, counters_before, strict=True)
            )
            result.times.append(seconds)
            result.wal.append(int(wal))
            result.written.append(int(inserted + updated + deleted))
            result.dead.append(int(updated + deleted))
            result.hot.append(float(hot / updated) if updated else 0.0)
            result.temp.append(temp_bytes(observer) - temp_before)
        vacuum(connection, variant)


def change_aum(connection: psycopg.Connection, percent: int) -> None:
    # Whatever this takes is not the contender's.
    connection.execute("SET LOCAL statement_timeout = 0")
    connection.execute("SET LOCAL work_mem = '1GB'")
    # Of 19,524 rows 14,494 have AUM that can change: so many more of these.
    connection.execute(CHANGE_AUM.format(fact=FACT, per_ten_thousand=round(percent * 134.7)))
    connection.execute("RESET statement_timeout")
    connection.execute("RESET work_mem")


def run_situations(
    databases: dict[Variant, str], situations: tuple[Situation, ...], runs: int, timeout: float
) -> list[Measurement]:
    """Every contender in every situation on every variant, by turns."""
    results = []
    for situation in situations:
        progress.print(f"  {situation.name} …")
        measurements = {
            (variant, contender): Measurement(situation.name, variant.label, contender)
            for variant in databases
            for contender in situation.contenders
        }
        for variant, database in databases.items():
            prepare(database, variant, filled=situation.filled)
        for round_number in range(runs + 1):
            for (variant, contender), result in measurements.items():
                if not result.timed_out:
                    measure(
                        databases[variant],
                        variant,
                        situation,
                        contender,
                        timeout,
                        result,
                        warming_up=round_number == 0,
                    )
        results.extend(measurements.values())
    return results


# --- Growth ------------------------------------------------------------------


def run_growth(scales: list[int], runs: int) -> list[dict]:
    """The package's first fill and re-run at several sizes."""
    rows = []
    for scale in scales:
        sample, database = f"bench_growth_{scale}", f"bench_growth_{scale}_run"
        create_sample(sample, scale, months=1)
        variant = Variant()
        create_variant(database, sample, variant)
        for situation in SITUATIONS[:2]:
            progress.print(f"  {situation.name} at scale {scale} …")
            result = Measurement(situation.name, variant.label, "package")
            prepare(database, variant, filled=situation.filled)
            for run_number in range(runs + 1):
                measure(
                    database,
                    variant,
                    situation,
                    "package",
                    timeout=3600,
                    result=result,
                    warming_up=run_number == 0,
                )
            count = 19524 * scale
            rows.append(
                {
                    "situation": situation.name,
                    "scale": scale,
                    "rows": count,
                    "time": result.time,
                    "time_per_row": result.time / count,
                    "temp": statistics.median(result.temp),
                }
            )
        with connect("postgres") as server:
            for name in (sample, database):
                server.execute(sql.SQL("DROP DATABASE {}").format(sql.Identifier(name)))
    return rows


# --- Output ------------------------------------------------------------------


def human_bytes(count: float) -> str:
    for unit in ("B", "kB", "MB"):
        if count < 1000:
            return f"{count:.0f} {unit}"
        count /= 1000
    return f"{count:.1f} GB"


def human_time(seconds: float) -> str:
    return f"{seconds * 1000:.0f} ms" if seconds < 10 else f"{seconds:.1f} s"


def print_measurements(results: list[Measurement]) -> None:
    console = Console(width=150, highlight=False)
    for variant in dict.fromkeys(result.variant for result in results):
        table = Table(title=variant, title_justify="left", box=None, pad_edge=False)
        for heading in ("situation", "contender"):
            table.add_column(heading)
        for heading in ("median", "spread", "× package", "WAL", "written", "dead", "HOT", "temp"):
            table.add_column(heading, justify="right")
        rows = [result for result in results if result.variant == variant]
        base = {row.situation: row.time for row in rows if row.contender == "package"}
        for row in rows:
            ratio = f"{row.time / base[row.situation]:.2f}"
            if row.timed_out:
                table.add_row(
                    row.situation, row.contender, f"> {human_time(row.time)}", "", f"> {ratio}"
                )
                continue
            table.add_row(
                row.situation,
                row.contender,
                human_time(row.time),
                f"{human_time(min(row.times))}–{human_time(max(row.times))}",
                ratio,
                human_bytes(statistics.median(row.wal)),
                f"{statistics.median(row.written):.0f}",
                f"{statistics.median(row.dead):.0f}",
                f"{100 * statistics.median(row.hot):.0f} %",
                human_bytes(statistics.median(row.temp)),
            )
        console.print(table)
        console.print()


def print_growth(rows: list[dict]) -> None:
    console = Console(width=150, highlight=False)
    table = Table(title="growth", title_justify="left", box=None, pad_edge=False)
    table.add_column("situation")
    for heading in ("scale", "rows", "median", "µs a row", "× scale 1", "temp"):
        table.add_column(heading, justify="right")
    base = {row["situation"]: row["time_per_row"] for row in reversed(rows)}
    for row in rows:
        table.add_row(
            row["situation"],
            str(row["scale"]),
            str(row["rows"]),
            human_time(row["time"]),
            f"{row['time_per_row'] * 1e6:.1f}",
            f"{row['time_per_row'] / base[row['situation']]:.2f}",
            human_bytes(row["temp"]),
        )
    console.print(table)


def print_plan(database: str) -> None:
    """The plan of row by row, so that everyone can see that it is a fair rival."""
    with connect(database) as connection:
        connection.execute("SET jit = off")
        for (line,) in connection.execute(f"EXPLAIN {ROW_BY_ROW}").fetchall():
            print(line)


# --- Command line ------------------------------------------------------------

MAIN = Variant()
VARIANTS = (
    MAIN,
    Variant(indexes=False),
    Variant(analysed=False),
    Variant(indexes=False, analysed=False),
    Variant(other_months=36),
)


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="scripts/bench", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="3 runs, one state: under 2 minutes")
    parser.add_argument(
        "--growth", action="store_true", help="the package at 1, 10 and 50 times the size"
    )
    parser.add_argument(
        "--scale", type=int, default=1, help="size of the sample, 1 is production's"
    )
    parser.add_argument("--runs", type=int, help="runs after the warm-up (5)")
    parser.add_argument(
        "--timeout", type=float, help="seconds, after which a contender gives up (60)"
    )
    parser.add_argument("--plan", action="store_true", help="print the plan of row by row, too")
    parser.add_argument("--json", action="store_true", help="print JSON rather than tables")
    return parser.parse_args()


def main() -> None:
    arguments = parse_arguments()
    runs = arguments.runs or (3 if arguments.quick else 5)
    timeout = arguments.timeout or (15 if arguments.quick else 60)
    variants = (MAIN, Variant(indexes=False)) if arguments.quick else VARIANTS

    if arguments.growth:
        rows = run_growth([arguments.scale * factor for factor in (1, 10, 50)], runs)
        print(json.dumps(rows, indent=2)) if arguments.json else print_growth(rows)
        return

    create_sample("bench_sample", arguments.scale, months=13)
    databases = {}
    for number, variant in enumerate(variants):
        databases[variant] = f"bench_{number}"
        create_variant(databases[variant], "bench_sample", variant)
    results = run_situations(databases, SITUATIONS, runs, timeout)
    if arguments.json:
        json.dump([asdict(row) | {"time": row.time} for row in results], sys.stdout, indent=2)
        print()
    else:
        print_measurements(results)
    if arguments.plan:
        print_plan(databases[MAIN])


if __name__ == "__main__":
    main()
