"""The package as first and last step of an ETL: a small one, which loads as the platform's does.

It runs as a role with the rights to load, EXECUTE on check and hook, and no other.
"""

from collections import namedtuple
from collections.abc import Callable
from datetime import date, timedelta
from decimal import Decimal
from typing import Any, NamedTuple

import psycopg
import pytest
from psycopg.types.json import Jsonb
from support import FACT, SOURCES, STORED, Source, counts, grant, rows, succeed, wait_for_lock

JANUARY = date(2026, 1, 31)


# --- The ETL -----------------------------------------------------------------


# A row of the AUM workbook.
Detail = namedtuple(
    "Detail", "月度 业务类型 计划类型 计划代码 组合代码 company_id 产品线代码 期末资产规模"
)


class Contract(NamedTuple):
    """A contract as it stands when the file is loaded."""

    company_id: str
    plan_code: str
    product_line_code: str
    product_line_name: str
    is_strategic: bool = False
    is_existing: bool = False


class File(NamedTuple):
    """What the ETL loads in one run."""

    details: tuple[Detail, ...]
    contracts: tuple[Contract, ...]


class Etl:
    """WorkDataHub's ETL in small. Each step runs in whatever transaction its connection is in."""

    def __init__(self, connection: psycopg.Connection) -> None:
        self.connection = connection

    def replace_details(self, details: tuple[Detail, ...]) -> None:
        """Delete what is there for each (月度, 业务类型, 计划类型) of the file; insert its rows."""
        with self.connection.cursor() as cursor:
            cursor.executemany(
                """
                DELETE FROM business."规模明细"
                WHERE ("月度", "业务类型", "计划类型") = (%s, %s, %s)
                """,
                sorted({detail[:3] for detail in details}),
            )
            columns = ", ".join(f'"{field}"' for field in Detail._fields)
            values = ", ".join(["%s"] * len(Detail._fields))
            cursor.executemany(
                f'INSERT INTO business."规模明细" ({columns}) VALUES ({values})', details
            )

    def sync_contracts(
        self, contracts: tuple[Contract, ...], first_day: date = date(2026, 1, 1)
    ) -> None:
        """Close the versions that are no longer true, and open those that are from first_day on."""
        file = Jsonb([contract._asdict() for contract in contracts])
        self.connection.execute(
            """
            INSERT INTO customer."年金客户" (company_id)
            SELECT jsonb_array_elements(%s) ->> 'company_id'
            ON CONFLICT DO NOTHING
            """,
            [file],
        )
        self.connection.execute(
            """
            UPDATE customer.customer_plan_contract AS contract
            SET valid_to = %s
            WHERE valid_to = '9999-12-31'
                AND NOT EXISTS (
                    SELECT
                    FROM jsonb_array_elements(%s) AS wanted
                    WHERE to_jsonb(contract) @> wanted
                )
            """,
            [first_day - timedelta(days=1), file],
        )
        # Of a version that is open already the platform's key, with valid_to in it, keeps one.
        self.connection.execute(
            """
            INSERT INTO customer.customer_plan_contract (
                company_id, plan_code, product_line_code, product_line_name,
                is_strategic, is_existing, status_year, contract_status, valid_from
            )
            SELECT
                company_id, plan_code, product_line_code, product_line_name,
                is_strategic, is_existing, %s, '正常', %s
            FROM jsonb_populate_recordset(NULL::customer.customer_plan_contract, %s)
            ON CONFLICT DO NOTHING
            """,
            [first_day.year, first_day, file],
        )

    def call(self, function: str) -> dict[str, Any]:
        statement = f"SELECT customer.{function}('annuity_performance', '202601')"
        return self.connection.execute(statement).fetchone()[0]

    def load(self, file: File) -> dict[str, Any]:
        """One run, up to but not including the commit."""
        self.replace_details(file.details)
        self.sync_contracts(file.contracts)
        return self.call("post_etl_hook")

    def run(self, file: File) -> dict[str, Any]:
        """One run, committed."""
        result = self.load(file)
        self.connection.commit()
        return result


# --- What it loads, and the snapshot that this makes -------------------------

# What was loaded before. The file of January replaces the first two rows, and no other.
EARLIER_DETAILS = (
    Detail("2026-01-01", "企年受托", "单一计划", "P1", "A", "甲", "PL202", "9999"),
    Detail("2026-01-31", "企年受托", "集合计划", "P2", "C", "乙", "PL202", "8888"),
    Detail("2026-01-01", "职年受托", "职业年金", "P8", "A", "戊", "PL204", "90"),
    Detail("2025-12-31", "企年受托", "单一计划", "P1", "A", "甲", "PL202", "400000"),
    Detail("2026-02-01", "企年受托", "单一计划", "P1", "A", "甲", "PL202", "50000"),
)
EARLIER_CONTRACTS = (
    Contract("甲", "P1", "PL202", "企年受托", is_strategic=False, is_existing=True),
    Contract("乙", "P2", "PL202", "企年受托"),
    Contract("戊", "P8", "PL204", "职年受托"),
    Contract("己", "P9", "PL202", "企年受托", is_strategic=True),
)

JANUARY_FILE = File(
    details=(
        Detail("2026-01-01", "企年受托", "单一计划", "P1", "A", "甲", "PL202", "1000.1250"),
        Detail("2026-01-01", "企年受托", "单一计划", "P1", "B", "甲", "PL202", "500"),
        Detail("2026-01-01", "企年投资", "单一计划", "P1", "A", "甲", "PL201", "300.5550"),
        Detail("2026-01-31", "企年受托", "集合计划", "P2", "C", "乙", "PL202", "-20.0049"),
        Detail("2026-01-01", "企年受托", "集合计划", "P3", "C", "乙", "PL202", "0.3"),
        Detail("2026-01-01", "企年受托", "集合计划", "P3", "D", "乙", "PL202", None),
        Detail("2026-01-01", "企年受托", "集合计划", "P4", "C", None, "PL202", "7.77"),
        Detail("2026-01-01", "企年投资", "集合计划", "P5", "C", "丁", "PL201", "11"),
    ),
    contracts=(
        Contract("甲", "P1", "PL202", "企年受托", is_strategic=True, is_existing=True),
        Contract("甲", "P1", "PL201", "企年投资", is_existing=True),
        Contract("乙", "P2", "PL202", "企年受托"),
        Contract("乙", "P3", "PL202", "企年受托"),
        Contract("丙", "P7", "PL202", "企年受托"),
        Contract("戊", "P8", "PL204", "职年受托"),
    ),
)

# Strategic, existing, new, winning, churned; AUM; plans.
JANUARY_SNAPSHOT = [
    (JANUARY, "丙", "PL202", "企年受托", False, False, True, True, False, Decimal("0.00"), 1),
    (JANUARY, "乙", "PL202", "企年受托", False, False, False, False, True, Decimal("-19.70"), 2),
    (JANUARY, "戊", "PL204", "职年受托", False, False, False, False, False, Decimal("90.00"), 1),
    (JANUARY, "甲", "PL201", "企年投资", False, True, False, False, False, Decimal("300.56"), 1),
    (JANUARY, "甲", "PL202", "企年受托", True, True, False, True, False, Decimal("1500.13"), 1),
]
# Rows in all, inserted, updated, unchanged, stale; AUM, and what is unattributed.
JANUARY_RESULT = (5, 5, 0, 0, 0, 1870.99, 18.77)


# Corrected: 甲 has another amount in one portfolio of PL202.
CORRECTED_FILE = JANUARY_FILE._replace(
    details=(
        JANUARY_FILE.details[0]._replace(期末资产规模="2000.1250"),
        *JANUARY_FILE.details[1:],
    )
)


# --- Fixtures ----------------------------------------------------------------


@pytest.fixture(scope="module")
def etl_role(common_database, create_common_role) -> str:
    """What a platform's ETL may do: load, and what sql/grants.sql grants it."""
    role = create_common_role("etl")
    with psycopg.connect(dbname=common_database) as connection:
        connection.execute(
            f"""
            ALTER ROLE {role} SET lock_timeout = '10s';
            GRANT USAGE ON SCHEMA business TO {role};
            GRANT SELECT, INSERT, DELETE ON business."规模明细" TO {role};
            GRANT SELECT, INSERT ON customer."年金客户" TO {role};
            GRANT SELECT, INSERT, UPDATE ON customer.customer_plan_contract TO {role};
            GRANT USAGE ON SEQUENCE customer.customer_plan_contract_contract_id_seq TO {role};
            """
        )
    succeed(grant(common_database, etl=role))
    return role


@pytest.fixture
def database(emptied_database) -> str:
    return emptied_database


@pytest.fixture
def platform(connection) -> None:
    """The platform's tables as earlier runs left them, and no snapshot."""
    etl = Etl(connection)
    etl.replace_details(EARLIER_DETAILS)
    etl.sync_contracts(EARLIER_CONTRACTS, first_day=date(2025, 1, 1))
    source = Source(connection)
    source.award("甲", "2026-12-31")
    source.award("丙", "2026-01-01")
    source.award("乙", "2025-12-31")
    source.award("乙", "2027-01-01")
    source.loss("乙", "2026-06-15")
    source.loss("甲", "2025-12-31")
    source.loss("戊", "2027-01-01")


@pytest.fixture
def connect_etl(platform, connect, etl_role) -> Callable[..., Etl]:
    """A function that logs in as the ETL."""

    def log_in(**parameters: Any) -> Etl:
        return Etl(connect(user=etl_role, password=etl_role, **parameters))

    return log_in


@pytest.fixture
def etl(connect_etl) -> Etl:
    return connect_etl()


# --- What the tests look at, from a session of the owner ---------------------


def snapshot(connection: psycopg.Connection) -> list[tuple]:
    """Every stored row but for updated_at, by customer and product line."""
    return sorted(row[:-1] for row in connection.execute(f"SELECT * FROM {FACT}").fetchall())


def log(connection: psycopg.Connection) -> list[tuple]:
    return connection.execute(
        """
        SELECT operation, invoked_by, total, inserted, updated, unchanged, stale,
            aum_total::float, aum_unattributed::float
        FROM customer.monthly_snapshot_log
        ORDER BY log_id
        """
    ).fetchall()


# --- Loads that commit -------------------------------------------------------


def test_a_load_and_its_snapshot_become_visible_together(connection, etl, etl_role):
    before = rows(connection, *STORED, *SOURCES)
    started_at = etl.connection.execute("SELECT CURRENT_TIMESTAMP").fetchone()[0]

    result = etl.load(JANUARY_FILE)

    assert rows(connection, *STORED, *SOURCES) == before
    etl.connection.commit()
    assert snapshot(connection) == JANUARY_SNAPSHOT
    moments = connection.execute(f"SELECT DISTINCT updated_at FROM {FACT}").fetchall()
    assert moments == [(started_at,)]
    assert (*counts(result), result["aum_total"], result["aum_unattributed"]) == JANUARY_RESULT
    assert log(connection) == [("refresh", etl_role, *JANUARY_RESULT)]


# --- Loads that fail ---------------------------------------------------------


def break_in_sql(etl: Etl) -> None:
    with pytest.raises(psycopg.errors.DivisionByZero):
        etl.connection.execute("SELECT 1 / 0")
    etl.connection.commit()


def break_off(etl: Etl) -> None:
    etl.connection.close()


@pytest.mark.parametrize("break_down", [break_in_sql, break_off])
@pytest.mark.parametrize("is_first", [True, False], ids=["first load", "later load"])
def test_a_failure_after_the_hook_leaves_nothing(connection, connect_etl, is_first, break_down):
    if not is_first:
        connect_etl().run(JANUARY_FILE)
    etl = connect_etl()
    before = rows(connection, *STORED, *SOURCES)

    assert etl.load(CORRECTED_FILE)["upserted"] == (5 if is_first else 1)
    break_down(etl)

    assert rows(connection, *STORED, *SOURCES) == before
    assert len(log(connection)) == (0 if is_first else 1)


CLOSE_JANUARY = "SELECT customer.close_snapshot_month('2026-01-31', 'published')"


# What else a hook refuses rolls back in the same way: test_callers.py.
def test_a_failure_in_the_hook_leaves_nothing_of_the_load(connection, etl):
    etl.run(JANUARY_FILE)
    connection.execute(CLOSE_JANUARY)
    before = rows(connection, *STORED, *SOURCES)

    with pytest.raises(psycopg.errors.ObjectNotInPrerequisiteState):
        etl.load(CORRECTED_FILE)
    # Even an ETL that takes no notice of the error commits nothing.
    etl.connection.commit()

    assert rows(connection, *STORED, *SOURCES) == before


# --- Steps that commit by themselves -----------------------------------------


def check_and_load(etl: Etl) -> None:
    etl.call("pre_etl_check")
    etl.replace_details(CORRECTED_FILE.details)


# As the platform has them, unless it is changed to pass one connection through.
STEPS = (
    check_and_load,
    lambda etl: etl.sync_contracts(CORRECTED_FILE.contracts),
    lambda etl: etl.call("post_etl_hook"),
)


@pytest.mark.parametrize(
    ("done", "left", "total"),
    [
        # Refused before anything is loaded.
        (STEPS[:0], STEPS[:1], Decimal("1870.99")),
        # Refused by the hook: what was published stays.
        (STEPS[:1], STEPS[1:], Decimal("1870.99")),
        (STEPS[:2], STEPS[2:], Decimal("1870.99")),
        # With the load in it.
        (STEPS, STEPS[:1], Decimal("2870.99")),
    ],
    ids=["before the load", "before the sync", "before the hook", "after the hook"],
)
def test_a_month_closed_at_any_step_stays_as_published(connection, connect_etl, done, left, total):
    def take(steps: tuple[Callable[[Etl], Any], ...]) -> None:
        for step in steps:
            with connect_etl().connection as session:
                step(Etl(session))

    connect_etl().run(JANUARY_FILE)
    take(done)
    connection.execute(CLOSE_JANUARY)
    take(left[:-1])
    before = rows(connection, *STORED, *SOURCES)

    with pytest.raises(psycopg.errors.ObjectNotInPrerequisiteState, match="2026-01-31 is closed"):
        take(left[-1:])

    assert rows(connection, *STORED, *SOURCES) == before
    assert sum(row[9] for row in snapshot(connection)) == total


def test_a_checked_month_is_not_closed_until_the_load_commits(connection, connect, etl, start):
    """Where check, load and hook are one transaction."""
    etl.call("pre_etl_check")
    closer = connect(autocommit=True)

    call = start(closer.execute, CLOSE_JANUARY)
    wait_for_lock(connection, etl.connection, call)
    etl.run(JANUARY_FILE)

    call.result(timeout=20)
    assert snapshot(connection) == JANUARY_SNAPSHOT
    assert [entry[0] for entry in log(connection)] == ["refresh", "close"]
