"""The commands that the tests run, as a user would run them, and the rows that they read."""

import os
import re
import subprocess
import time
from concurrent.futures import Future, wait
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

import psycopg
from psycopg import IsolationLevel, sql

PROJECT = Path(__file__).resolve().parents[2]
README = (PROJECT / "README.md").read_text(encoding="utf-8")


def blocks(language: str) -> list[str]:
    """The README's fenced code of one language."""
    return re.findall(rf"```{language}\n(.*?)```", README, flags=re.DOTALL)


def shell_command(part: str) -> str:
    """The one command line of the README that contains these words, without the comment behind."""
    [command] = [line for block in blocks("sh") for line in block.splitlines() if part in line]
    return command.partition("  #")[0]


def grants_to_owner(database: str, owner: str) -> str:
    """What the README grants the role that shall own the package."""
    [block] = [block for block in blocks("sql") if "GRANT CREATE ON DATABASE" in block]
    return block.replace("workdatahub", database).replace("wdh_owner", owner)


# --- What is in the database -------------------------------------------------

FACT = "customer.fct_customer_business_monthly_status"
CONTROL = "customer.monthly_snapshot_control"
LOG = "customer.monthly_snapshot_log"
HISTORY = "customer.monthly_status_history"
SUMMARY = "customer.monthly_status_summary"
# What is written, and what the tests fill, in an order in which it can be emptied.
STORED = (FACT, CONTROL, LOG, HISTORY, SUMMARY)
VIEWS = tuple(
    f"customer.{name}"
    for name in (
        *("monthly_status_trend", "monthly_status_total", "monthly_status_movement"),
        *("monthly_status_bridge", "monthly_status_bridge_total", "dim_customer"),
        *("dim_product_line", "dim_snapshot_month", "unmatched_awards_and_losses"),
    )
)
SOURCES = (
    "customer.customer_plan_contract",
    'customer."当年中标"',
    'customer."当年流失"',
    'business."规模明细"',
    'customer."年金客户"',
)


def empty(connection: psycopg.Connection) -> None:
    """Delete all rows that tests make; the product lines come with the tables."""
    with connection.transaction():
        # Without triggers: they guard closed months and the history.
        connection.execute("SET LOCAL session_replication_role = replica")
        for table in (*STORED, *SOURCES):
            connection.execute(f"DELETE FROM {table}")
        connection.execute("SET LOCAL session_replication_role = origin")


def forget_statistics(connection: psycopg.Connection, *tables: str) -> None:
    """Leave the tables as if never analysed, and so they stay."""
    for table in tables:
        connection.execute(f"ALTER TABLE {table} SET (autovacuum_enabled = off)")
        connection.execute("DELETE FROM pg_statistic WHERE starelid = %s::regclass", [table])
        connection.execute(
            "UPDATE pg_class SET relpages = 0, reltuples = -1, relallvisible = 0"
            " WHERE oid = %s::regclass",
            [table],
        )


NOTHING = {table: [] for table in STORED}


def rows(connection: psycopg.Connection, *tables: str) -> dict[str, list[tuple]]:
    """All rows of the tables, each with what changes when it is written."""
    return {
        table: sorted(
            connection.execute(
                f"SELECT t::text, ctid::text, xmin::text FROM {table} AS t"
            ).fetchall()
        )
        for table in tables
    }


def stored(connection: psycopg.Connection) -> dict[str, list[tuple]]:
    """All rows that the package stores, in the same way."""
    return rows(connection, *STORED)


def versions(connection: psycopg.Connection, *months: date) -> list[tuple]:
    """The snapshot's rows of some months, or of all, with what changes when one is written."""
    return connection.execute(
        f"SELECT snapshot_month, company_id, product_line_code, ctid::text, xmin::text, xmax::text,"
        f" fact::text FROM {FACT} AS fact"
        " WHERE snapshot_month = ANY (%(months)s) OR cardinality(%(months)s::date[]) = 0"
        " ORDER BY ctid",
        {"months": list(months)},
    ).fetchall()


def months_stored(connection: psycopg.Connection) -> dict[date, int]:
    """The number of rows of each month."""
    return dict(
        connection.execute(
            f"SELECT snapshot_month, count(*) FROM {FACT} GROUP BY snapshot_month"
        ).fetchall()
    )


def errors_in(connection: psycopg.Connection, month: date) -> list[tuple[str, str]]:
    """What validation finds wrong with a month."""
    return connection.execute(
        "SELECT check_name, detail FROM customer.validate_monthly_snapshot(%s)"
        " WHERE severity = 'error' AND violations > 0",
        [month],
    ).fetchall()


def month_as_at(
    connection: psycopg.Connection, month: date, log_id: int | None = None
) -> list[tuple]:
    """All that is in a month's rows, as they stand or as a log entry left them."""
    table = FACT if log_id is None else "customer.monthly_status_as_at(%(month)s, %(log_id)s)"
    return connection.execute(
        f"SELECT * FROM {table} WHERE snapshot_month = %(month)s"
        " ORDER BY company_id, product_line_code",
        {"month": month, "log_id": log_id},
    ).fetchall()


def unfaithful(connection: psycopg.Connection) -> list[tuple]:
    """Log entries that left something else than they say, and months that are not as they ended."""
    return connection.execute(
        f"""
        SELECT entry.snapshot_month, entry.log_id, operation, month_rows, month_aum, left_by.*
        FROM {LOG} AS entry
        CROSS JOIN LATERAL (
            SELECT count(*), coalesce(sum(aum_balance), 0)
            FROM customer.monthly_status_as_at(entry.snapshot_month, entry.log_id)
        ) AS left_by (row_count, aum)
        WHERE (month_rows, month_aum) <> (row_count, aum)
        UNION ALL
        SELECT snapshot_month, last_log_id, writer, NULL, NULL, NULL, NULL
        FROM {CONTROL} AS control
        WHERE writer IS NOT NULL
            OR last_log_id IS DISTINCT FROM (
                SELECT max(log_id) FROM {LOG} WHERE snapshot_month = control.snapshot_month
            )
        """
    ).fetchall()


# --- What is done to a month --------------------------------------------------

CALLS = {
    "refresh": "SELECT customer.refresh_monthly_snapshot(%(month)s)",
    "restate": "SELECT customer.restate_monthly_snapshot(%(month)s, 'why')",
    "check": (
        "SELECT customer.pre_etl_check('annuity_performance', to_char(%(month)s::date, 'YYYYMM'))"
    ),
    "hook": (
        "SELECT customer.post_etl_hook('annuity_performance', to_char(%(month)s::date, 'YYYYMM'))"
    ),
    "close": "SELECT customer.close_snapshot_month(%(month)s, 'published')",
    "reopen": "SELECT customer.reopen_snapshot_month(%(month)s, 'why')",
    "discard": "SELECT customer.discard_snapshot_month(%(month)s, 'why')",
}


# Past the functions.
BY_HAND = {
    "insert": f"""
        INSERT INTO {FACT} (snapshot_month, company_id, product_line_code, product_line_name)
        VALUES (%(month)s, 'C1', 'PL204', '职年受托')
        """,
    "update": f"UPDATE {FACT} SET aum_balance = aum_balance + 1 WHERE snapshot_month = %(month)s",
    "delete": f"DELETE FROM {FACT} WHERE snapshot_month = %(month)s AND company_id = 'C1'",
    "truncate": f"TRUNCATE {FACT}",
}


def do(connection: psycopg.Connection, name: str, month: date) -> dict[str, Any] | None:
    """What a function returns; None by hand."""
    cursor = connection.execute((CALLS | BY_HAND)[name], {"month": month})
    return cursor.fetchone()[0] if name in CALLS else None


def refresh(connection: psycopg.Connection, month: date) -> dict[str, Any]:
    return do(connection, "refresh", month)


def restate(connection: psycopg.Connection, month: date) -> dict[str, Any]:
    return do(connection, "restate", month)


def counts(result: dict[str, Any]) -> tuple[int, ...]:
    return tuple(result[key] for key in ("total", "inserted", "updated", "unchanged", "stale"))


LEVELS = {
    "read committed": IsolationLevel.READ_COMMITTED,
    "repeatable read": IsolationLevel.REPEATABLE_READ,
    "serializable": IsolationLevel.SERIALIZABLE,
}


# --- Commands ----------------------------------------------------------------


def run(*command: str | Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run a command in the project's folder, without a terminal; its output is text."""
    return subprocess.run(
        [str(word) for word in command],
        cwd=PROJECT,
        env=os.environ | environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        encoding="utf-8",
        check=False,
    )


def psql(
    database: str, *arguments: str | Path, **environment: str
) -> subprocess.CompletedProcess[str]:
    """Run psql as the README does: no psqlrc, stop at the first error."""
    return run(
        "psql", "-X", "-q", "-v", "ON_ERROR_STOP=1", "-d", database, *arguments, **environment
    )


def sqitch(database: str, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run a Sqitch command against a database."""
    command, *rest = arguments
    return run("sqitch", command, "--target", f"db:pg:{database}", *rest, **environment)


def succeed(result: subprocess.CompletedProcess[str]) -> str:
    """The standard output of a command that must have succeeded."""
    assert result.returncode == 0, f"{result.args}\n{result.stdout}\n{result.stderr}"
    return result.stdout


def fail(result: subprocess.CompletedProcess[str]) -> str:
    """The error messages of a command that must have failed."""
    assert result.returncode != 0, f"{result.args}\n{result.stdout}\n{result.stderr}"
    return result.stderr


# Whom sql/grants.sql grants something.
KINDS = ("etl", "operator", "restater", "closer", "reader")


def grant(database: str, **values: str) -> subprocess.CompletedProcess[str]:
    """Run sql/grants.sql for the roles of these kinds; what it needs of psql it sets itself."""
    roles = [word for name, value in values.items() for word in ("-v", f"{name}={value}")]
    return run("psql", "-X", "-q", "-d", database, *roles, "-f", "sql/grants.sql")


GRANTS = """
    SELECT 'schema ' || nspname AS object, item.*
    FROM pg_namespace
    CROSS JOIN aclexplode(coalesce(nspacl, acldefault('n', nspowner))) AS item
    UNION ALL
    SELECT pg_class.oid::regclass::text, item.*
    FROM pg_class
    CROSS JOIN aclexplode(
        coalesce(relacl, acldefault(CASE relkind WHEN 'S' THEN 's' ELSE 'r' END::"char", relowner))
    ) AS item
    WHERE relacl IS NOT NULL OR relnamespace <> 'pg_catalog'::regnamespace
    UNION ALL
    SELECT concat('column ', attrelid::regclass, '.', attname), item.*
    FROM pg_attribute
    CROSS JOIN aclexplode(attacl) AS item
    UNION ALL
    SELECT pg_proc.oid::regprocedure::text, item.*
    FROM pg_proc
    CROSS JOIN aclexplode(coalesce(proacl, acldefault('f', proowner))) AS item
    WHERE proacl IS NOT NULL OR pronamespace <> 'pg_catalog'::regnamespace
    UNION ALL
    SELECT 'default privileges', item.*
    FROM pg_default_acl
    CROSS JOIN aclexplode(defaclacl) AS item
    UNION ALL
    SELECT 'database ' || datname, item.*
    FROM pg_database
    CROSS JOIN aclexplode(datacl) AS item
    WHERE datname = current_database()
"""


def grants(connection: psycopg.Connection) -> list[tuple]:
    """Every right that anyone has in this database, but for what PostgreSQL itself gives."""
    return connection.execute(
        f"""
        SELECT object, grantor::regrole::text, grantee::regrole::text, privilege_type, is_grantable
        FROM ({GRANTS}) AS granted
        WHERE NOT starts_with(grantee::regrole::text, 'pg_')
        ORDER BY 1, 2, 3, 4
        """
    ).fetchall()


def schema_dump(database: str) -> str:
    """What pg_dump says of a database's schema, without what differs from run to run.

    Sqitch's own schema is left out, because it outlives a revert.
    """
    dump = succeed(run("pg_dump", "--schema-only", "--exclude-schema=sqitch", "-d", database))
    noise = ("\\restrict", "\\unrestrict", "-- Dumped from", "-- Dumped by")
    return "\n".join(line for line in dump.splitlines() if not line.startswith(noise))


def schema_objects(database: str) -> dict[str, str]:
    """The same by object, each named as in "FUNCTION customer.snapshot_month_of(date)"."""
    # Settings stand between the objects wherever one needs them.
    dump = re.sub(r"^SET .*;\n?", "", schema_dump(database), flags=re.MULTILINE)
    dump = dump.partition("\n--\n-- PostgreSQL database dump complete")[0]
    header = r"^--\n-- Name: (.*); Type: (.*); Schema: (.*); Owner: .*\n--\n"
    _, *parts = re.split(header, dump, flags=re.MULTILINE)
    return {
        f"{kind} {schema}.{name}": text.strip()
        for name, kind, schema, text in zip(*(parts[i::4] for i in range(4)), strict=True)
    }


def deploy_scripts(
    database: str, *options: str, folders: tuple[str, ...] = ("deploy", "verify"), **environment
) -> subprocess.CompletedProcess[str]:
    """Run every script of the folders, as Sqitch does, which takes longer."""
    arguments = [word for folder in folders for file in scripts(folder) for word in ("-f", file)]
    return psql(database, *options, *arguments, **environment)


def scripts(folder: str, project: Path = PROJECT) -> list[str]:
    """Its scripts in the plan's order; of a change that is reworked later, as it was released.

    Those verify scripts are left out: what they expect has gone by then.
    """
    found = []
    entries = plan(project)
    for position, entry in enumerate(entries):
        if not entry.startswith("@"):
            tags = [tag for tag in entries[position:] if tag.startswith("@")]
            paths = [f"{folder}/{entry}{tag}.sql" for tag in tags]
            kept = [path for path in paths if (project / path).exists()]
            if not kept or folder != "verify":
                found.append(kept[0] if kept else f"{folder}/{entry}.sql")
    return found


def reverts() -> list[str]:
    """The scripts that take the changes away, not back to what had been released before."""
    first = {}
    for change, script in zip(changes(), scripts("revert"), strict=True):
        first.setdefault(change, script)
    return [*first.values()][::-1]


def changes() -> list[str]:
    """The changes of sqitch.plan, in order."""
    return [entry for entry in plan() if not entry.startswith("@")]


def plan(project: Path = PROJECT) -> list[str]:
    """Its changes, and its tags with their @."""
    lines = (project / "sqitch.plan").read_text(encoding="utf-8").splitlines()
    return [line.split()[0] for line in lines if line and line[0] not in "%# "]


# --- A table from before the package -----------------------------------------

ALEMBIC_TABLE = f"""
    CREATE TABLE {FACT} (
        snapshot_month date,
        company_id varchar,
        product_line_code varchar(20),
        product_line_name varchar(50),
        is_strategic boolean,
        is_existing boolean,
        is_new boolean,
        is_winning_this_year boolean,
        is_churned_this_year boolean,
        aum_balance numeric(20, 2),
        plan_count integer,
        updated_at timestamptz,
        PRIMARY KEY (snapshot_month, company_id, product_line_code),
        CONSTRAINT fk_snapshot_company FOREIGN KEY (company_id)
            REFERENCES customer."年金客户" (company_id),
        CONSTRAINT fk_snapshot_product_line FOREIGN KEY (product_line_code)
            REFERENCES mapping."产品线" ("产品线代码")
    );
    CREATE INDEX idx_snapshot_month ON {FACT} (snapshot_month);
    CREATE INDEX idx_snapshot_company ON {FACT} (company_id);
    CREATE INDEX idx_snapshot_product_line ON {FACT} (product_line_code);
    CREATE INDEX idx_snapshot_month_product ON {FACT} (snapshot_month, product_line_code);
    CREATE INDEX idx_snapshot_month_brin ON {FACT} USING brin (snapshot_month);
    CREATE INDEX idx_snapshot_strategic ON {FACT} (snapshot_month) WHERE is_strategic;
"""
# At the end of the comment of a table that was adopted.
ADOPTED = (
    "\n\nAdopted from the table that stood here before;"
    " what was granted on it to named roles stays."
)


# --- Rows of the source system -----------------------------------------------


class Source:
    """The platform's tables, filled by hand: each method adds one row."""

    def __init__(self, connection: psycopg.Connection) -> None:
        self.connection = connection

    def _insert(self, schema: str, table: str, **values: Any) -> None:
        self.connection.execute(
            sql.SQL("INSERT INTO {} ({}) VALUES ({}) ON CONFLICT DO NOTHING").format(
                sql.Identifier(schema, table),
                sql.SQL(", ").join(map(sql.Identifier, values)),
                sql.SQL(", ").join(sql.Placeholder() * len(values)),
            ),
            list(values.values()),
        )

    def customer(self, company_id: str) -> None:
        self._insert("customer", "年金客户", company_id=company_id)

    def contract(self, company_id: str, **other: Any) -> None:
        """A contract, and its customer if there is none; current unless told otherwise."""
        self.customer(company_id)
        values = {
            "plan_code": "P1",
            "product_line_code": "PL202",
            "product_line_name": "企年受托",
            "is_strategic": False,
            "is_existing": False,
            "status_year": 2026,
            "contract_status": "正常",
            "valid_from": "2020-01-01",
            "valid_to": "9999-12-31",
        }
        self._insert(
            "customer", "customer_plan_contract", company_id=company_id, **(values | other)
        )

    def _event(self, table: str, company_id: str, day: date | str, line: str) -> None:
        values = {"上报月份": day, "产品线代码": line, "业务类型": "受托", "上报客户名称": "甲"}
        self._insert("customer", table, company_id=company_id, **values)

    def award(self, company_id: str, day: date | str = "2026-01-01", line: str = "PL202") -> None:
        self._event("当年中标", company_id, day, line)

    def loss(self, company_id: str, day: date | str = "2026-01-01", line: str = "PL202") -> None:
        self._event("当年流失", company_id, day, line)

    def detail(
        self,
        company_id: str | None,
        amount: Decimal | str | None,
        day: date | str = "2026-01-01",
        line: str | None = "PL202",
    ) -> None:
        values = {"月度": day, "计划代码": "P1", "产品线代码": line, "期末资产规模": amount}
        self._insert("business", "规模明细", company_id=company_id, **values)


# --- Messages and waiting ----------------------------------------------------


@dataclass(frozen=True)
class Notice:
    """A message from the server that is not an error."""

    severity: str
    sqlstate: str
    message: str
    hint: str | None


def listen(connection: psycopg.Connection) -> list[Notice]:
    """A list that from now on grows by each message that the connection receives."""
    notices: list[Notice] = []

    def note(diagnostic: psycopg.errors.Diagnostic) -> None:
        # Now: what the diagnostic refers to is gone when this returns.
        notices.append(
            Notice(
                diagnostic.severity_nonlocalized,
                diagnostic.sqlstate,
                diagnostic.message_primary,
                diagnostic.message_hint,
            )
        )

    connection.add_notice_handler(note)
    return notices


def busy(connection: psycopg.Connection) -> float:
    """Seconds that its server process was at work, unlike a clock's whatever the machine's load."""
    stat = Path(f"/proc/{connection.info.backend_pid}/stat").read_text()
    in_code, in_kernel = stat.rpartition(")")[2].split()[11:13]
    return (int(in_code) + int(in_kernel)) / os.sysconf("SC_CLK_TCK")


def wait_for_lock(observer: psycopg.Connection, holder: psycopg.Connection, call: Future) -> None:
    """Return when a call under way waits for a lock that the holder has."""
    deadline = time.monotonic() + 60
    while not observer.execute(
        "SELECT EXISTS (SELECT FROM pg_stat_activity"
        " WHERE wait_event_type = 'Lock' AND %s = ANY (pg_blocking_pids(pid)))",
        [holder.info.backend_pid],
    ).fetchone()[0]:
        assert not call.done(), f"it did not wait, but ended: {call.exception() or call.result()}"
        assert time.monotonic() < deadline, "it waits for no lock"
        wait([call], timeout=0.01)
