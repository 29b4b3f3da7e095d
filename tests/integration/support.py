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
    """The one command line of the README that contains these words."""
    [command] = [line for block in blocks("sh") for line in block.splitlines() if part in line]
    return command


# --- What is in the database -------------------------------------------------

FACT = "customer.fct_customer_business_monthly_status"
CONTROL = "customer.monthly_snapshot_control"
LOG = "customer.monthly_snapshot_log"
# What is written, and what the tests fill, in an order in which it can be emptied.
STORED = (FACT, CONTROL, LOG)
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
        # Without triggers: they guard closed months.
        connection.execute("SET LOCAL session_replication_role = replica")
        for table in (*STORED, *SOURCES):
            connection.execute(f"DELETE FROM {table}")
        connection.execute("SET LOCAL session_replication_role = origin")


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


def errors_in(connection: psycopg.Connection, month: date) -> list[tuple[str, str]]:
    """What validation finds wrong with a month."""
    return connection.execute(
        "SELECT check_name, detail FROM customer.validate_monthly_snapshot(%s)"
        " WHERE severity = 'error' AND violations > 0",
        [month],
    ).fetchall()


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


def schema_dump(database: str) -> str:
    """What pg_dump says of a database's schema, without what differs from run to run.

    Sqitch's own schema is left out, because it outlives a revert.
    """
    dump = succeed(run("pg_dump", "--schema-only", "--exclude-schema=sqitch", "-d", database))
    noise = ("\\restrict", "\\unrestrict", "-- Dumped from", "-- Dumped by")
    return "\n".join(line for line in dump.splitlines() if not line.startswith(noise))


# Everything in schema customer, and every comment, as PostgreSQL tells it; but not Sqitch's own
# schema, which outlives a revert.
CATALOG = """
    SELECT pg_describe_object(classid, objid, 0), definition
    FROM (
        SELECT 'pg_proc'::regclass, oid, concat(
            CASE WHEN prokind IN ('f', 'p') THEN pg_get_functiondef(oid) END, proacl
        )
        FROM pg_proc
        WHERE pronamespace = 'customer'::regnamespace
        UNION ALL
        SELECT 'pg_class'::regclass, oid, concat(
            relkind, relacl, reloptions,
            CASE
                WHEN relkind = 'v' THEN pg_get_viewdef(oid)
                WHEN relkind = 'i' THEN pg_get_indexdef(oid)
            END,
            (
                SELECT string_agg(concat_ws(
                    ' ', attname, format_type(atttypid, atttypmod), attnotnull, attidentity,
                    pg_get_expr(adbin, adrelid), col_description(attrelid, attnum)
                ), E'\n' ORDER BY attnum)
                FROM pg_attribute
                LEFT JOIN pg_attrdef ON adrelid = attrelid AND adnum = attnum
                WHERE attrelid = pg_class.oid AND attnum > 0
            )
        )
        FROM pg_class
        WHERE relnamespace = 'customer'::regnamespace
        UNION ALL
        SELECT 'pg_constraint'::regclass, oid, pg_get_constraintdef(oid)
        FROM pg_constraint
        WHERE connamespace = 'customer'::regnamespace
        UNION ALL
        SELECT 'pg_trigger'::regclass, pg_trigger.oid, pg_get_triggerdef(pg_trigger.oid)
        FROM pg_trigger
        JOIN pg_class ON pg_class.oid = tgrelid
        WHERE relnamespace = 'customer'::regnamespace
            AND NOT tgisinternal
        UNION ALL
        SELECT classoid, objoid, description
        FROM pg_description
        WHERE objsubid = 0
            AND objoid >= 16384
    ) AS object (classid, objid, definition)
    WHERE pg_describe_object(classid, objid, 0) NOT LIKE '%sqitch%'
    ORDER BY 1, 2
"""


def catalog(database: str) -> list[tuple]:
    with psycopg.connect(dbname=database) as connection:
        return connection.execute(CATALOG).fetchall()


def deploy_scripts(
    database: str, *options: str, folders: tuple[str, ...] = ("deploy", "verify"), **environment
) -> subprocess.CompletedProcess[str]:
    """Run every script of the folders, as Sqitch does, which takes longer."""
    files = [f"{folder}/{change}.sql" for folder in folders for change in changes()]
    arguments = [word for file in files for word in ("-f", file)]
    return psql(database, *options, *arguments, **environment)


def changes() -> list[str]:
    """The changes of sqitch.plan, in order."""
    lines = (PROJECT / "sqitch.plan").read_text(encoding="utf-8").splitlines()
    return [line.split()[0] for line in lines if line and line[0] not in "%#@ "]


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
ALEMBIC_TRIGGER = f"""
    CREATE FUNCTION customer.touch() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
        NEW.updated_at = now();
        RETURN NEW;
    END
    $$;
    CREATE TRIGGER touch BEFORE UPDATE ON {FACT}
    FOR EACH ROW EXECUTE FUNCTION customer.touch();
"""


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


def wait_for_lock(observer: psycopg.Connection, holder: psycopg.Connection, call: Future) -> None:
    """Return when a call under way waits for a lock that the holder has."""
    deadline = time.monotonic() + 20
    while not observer.execute(
        "SELECT EXISTS (SELECT FROM pg_stat_activity"
        " WHERE wait_event_type = 'Lock' AND %s = ANY (pg_blocking_pids(pid)))",
        [holder.info.backend_pid],
    ).fetchone()[0]:
        assert not call.done(), f"it did not wait, but ended: {call.exception() or call.result()}"
        assert time.monotonic() < deadline, "it waits for no lock"
        wait([call], timeout=0.01)
