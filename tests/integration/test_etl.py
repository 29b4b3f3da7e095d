"""The package as first and last step of an ETL: a small one, which loads as the platform's does.

It runs as a role with the rights to load, EXECUTE on check and hook, and no other.
"""

from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from datetime import date, timedelta
from decimal import Decimal
from typing import Any, NamedTuple

import psycopg
import pytest
import support
from psycopg import sql
from psycopg.rows import dict_row
from psycopg.types.json import Jsonb
from support import NOTHING, SOURCES, STORED, Source, grant, rows, stored, succeed

JANUARY = date(2026, 1, 31)


# --- The ETL -----------------------------------------------------------------


class Detail(NamedTuple):
    """A row of the AUM workbook."""

    月度: str
    业务类型: str
    计划类型: str
    计划代码: str
    组合代码: str
    company_id: str | None
    产品线代码: str
    期末资产规模: str | None


@dataclass(frozen=True)
class Contract:
    """A contract as it stands when the file is loaded."""

    company_id: str
    plan_code: str
    product_line_code: str
    product_line_name: str
    is_strategic: bool = False
    is_existing: bool = False


@dataclass(frozen=True)
class File:
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
            cursor.executemany(
                sql.SQL('INSERT INTO business."规模明细" ({}) VALUES ({})').format(
                    sql.SQL(", ").join(map(sql.Identifier, Detail._fields)),
                    sql.SQL(", ").join(sql.Placeholder() * len(Detail._fields)),
                ),
                details,
            )

    def sync_contracts(
        self, contracts: tuple[Contract, ...], first_day: date = date(2026, 1, 1)
    ) -> None:
        """Close the versions that are no longer true, and open those that are from first_day on."""
        file = Jsonb([asdict(contract) for contract in contracts])
        wanted = """
            WITH wanted AS (
                SELECT *
                FROM jsonb_populate_recordset(NULL::customer.customer_plan_contract, %s)
            )
        """
        self.connection.execute(
            """
            INSERT INTO customer."年金客户" (company_id)
            SELECT jsonb_array_elements(%s) ->> 'company_id'
            ON CONFLICT DO NOTHING
            """,
            [file],
        )
        self.connection.execute(
            wanted
            + """
            UPDATE customer.customer_plan_contract AS contract
            SET valid_to = %s
            WHERE valid_to = '9999-12-31'
                AND NOT EXISTS (
                    SELECT
                    FROM wanted
                    WHERE (wanted.company_id, wanted.plan_code, wanted.product_line_code,
                            wanted.product_line_name, wanted.is_strategic, wanted.is_existing)
                        = (contract.company_id, contract.plan_code, contract.product_line_code,
                            contract.product_line_name, contract.is_strategic,
                            contract.is_existing)
                )
            """,
            [file, first_day - timedelta(days=1)],
        )
        self.connection.execute(
            wanted
            + """
            INSERT INTO customer.customer_plan_contract (
                company_id, plan_code, product_line_code, product_line_name,
                is_strategic, is_existing, status_year, contract_status, valid_from
            )
            SELECT
                company_id, plan_code, product_line_code, product_line_name,
                is_strategic, is_existing, %s, '正常', %s
            FROM wanted
            WHERE NOT EXISTS (
                SELECT
                FROM customer.customer_plan_contract AS contract
                WHERE contract.company_id = wanted.company_id
                    AND contract.plan_code = wanted.plan_code
                    AND contract.product_line_code = wanted.product_line_code
                    AND contract.valid_to = '9999-12-31'
            )
            """,
            [file, first_day.year, first_day],
        )

    def check(self, domain: str | None, period: str | None) -> dict[str, Any]:
        statement = "SELECT customer.pre_etl_check(%s, %s)"
        return self.connection.execute(statement, [domain, period]).fetchone()[0]

    def call_hook(self, domain: str | None, period: str | None) -> dict[str, Any]:
        statement = "SELECT customer.post_etl_hook(%s, %s)"
        return self.connection.execute(statement, [domain, period]).fetchone()[0]

    def load(
        self, file: File, domain: str | None = "annuity_performance", period: str | None = "202601"
    ) -> dict[str, Any]:
        """One run, up to but not including the commit."""
        self.replace_details(file.details)
        self.sync_contracts(file.contracts)
        return self.call_hook(domain, period)

    def run(self, file: File, *arguments: str | None) -> dict[str, Any]:
        """One run, committed."""
        result = self.load(file, *arguments)
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
JANUARY_RESULT = {
    "status": "refreshed",
    "snapshot_month": "2026-01-31",
    "rule": "current",
    "total": 5,
    "upserted": 5,
    "inserted": 5,
    "updated": 0,
    "unchanged": 0,
    "stale": 0,
    "deleted": 0,
    "aum_total": 1870.99,
    "aum_unattributed": 18.77,
    "accepted": False,
    "warnings": [
        {
            "code": "several_month_dates",
            "message": "the AUM detail of 2026-01-31 stands under several days:"
            " 8 rows under 2026-01-01, 1 rows under 2026-01-31",
            "hint": "All of them are added up. Look whether the month was loaded twice.",
        }
    ],
    "reason": None,
}


def with_amount(file: File, portfolio: str, amount: str) -> File:
    """The file, corrected: 甲 has another amount in one portfolio of PL202."""
    return replace(
        file,
        details=tuple(
            detail._replace(期末资产规模=amount)
            if (detail.company_id, detail.产品线代码, detail.组合代码) == ("甲", "PL202", portfolio)
            else detail
            for detail in file.details
        ),
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
def platform(connection) -> Source:
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
    return source


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
    return connection.execute(
        """
        SELECT
            snapshot_month, company_id, product_line_code, product_line_name,
            is_strategic, is_existing, is_new, is_winning_this_year, is_churned_this_year,
            aum_balance, plan_count
        FROM customer.fct_customer_business_monthly_status
        ORDER BY snapshot_month, company_id COLLATE "C", product_line_code COLLATE "C"
        """
    ).fetchall()


def versions(connection: psycopg.Connection) -> dict[tuple[str, str], tuple]:
    """What changes of a stored row when it is written or locked."""
    return {row[1:3]: row[3:] for row in support.versions(connection)}


def log(connection: psycopg.Connection) -> list[dict[str, Any]]:
    with connection.cursor(row_factory=dict_row) as cursor:
        return cursor.execute(
            "SELECT * FROM customer.monthly_snapshot_log ORDER BY log_id"
        ).fetchall()


# --- Loads that commit -------------------------------------------------------


def test_a_load_and_its_snapshot_become_visible_together(connection, etl, etl_role):
    before = rows(connection, *STORED, *SOURCES)
    started_at = etl.connection.execute("SELECT CURRENT_TIMESTAMP").fetchone()[0]

    result = etl.load(JANUARY_FILE)

    assert rows(connection, *STORED, *SOURCES) == before
    etl.connection.commit()
    assert snapshot(connection) == JANUARY_SNAPSHOT
    assert connection.execute(
        "SELECT DISTINCT updated_at FROM customer.fct_customer_business_monthly_status"
    ).fetchall() == [(started_at,)]
    (entry,) = log(connection)
    assert result == JANUARY_RESULT | {"log_id": entry["log_id"]}
    assert (entry["snapshot_month"], entry["operation"]) == (JANUARY, "refresh")
    assert (entry["total"], entry["inserted"]) == (5, 5)
    assert (entry["aum_total"], entry["aum_unattributed"]) == (
        Decimal("1870.99"),
        Decimal("18.77"),
    )
    assert entry["invoked_by"] == etl_role


# --- Loads that fail ---------------------------------------------------------


class EtlError(Exception):
    """Something went wrong in the ETL's own code."""


def break_in_sql(etl: Etl) -> None:
    with pytest.raises(psycopg.errors.DivisionByZero):
        etl.connection.execute("SELECT 1 / 0")
    etl.connection.commit()


def break_in_python(etl: Etl) -> None:
    with pytest.raises(EtlError), etl.connection:
        raise EtlError


def break_off(etl: Etl) -> None:
    etl.connection.close()


@pytest.mark.parametrize(
    "break_down",
    [
        pytest.param(break_in_sql, id="an error in SQL"),
        pytest.param(break_in_python, id="an error in Python"),
        pytest.param(break_off, id="the session ends"),
    ],
)
@pytest.mark.parametrize("is_first", [True, False], ids=["first load", "later load"])
def test_a_failure_after_the_hook_leaves_nothing(connection, connect_etl, is_first, break_down):
    if not is_first:
        connect_etl().run(JANUARY_FILE)
    etl = connect_etl()
    before = rows(connection, *STORED, *SOURCES)

    assert etl.load(with_amount(JANUARY_FILE, "A", "2"))["upserted"] == (5 if is_first else 1)
    break_down(etl)

    assert rows(connection, *STORED, *SOURCES) == before
    assert len(log(connection)) == (0 if is_first else 1)


CLOSE_JANUARY = "SELECT customer.close_snapshot_month('2026-01-31', 'published')"
EMPTY_DETAILS = 'DELETE FROM business."规模明细"'
CORRECTED_FILE = with_amount(JANUARY_FILE, "A", "2000.1250")
FEBRUARY_FILE = replace(
    JANUARY_FILE,
    details=tuple(detail._replace(月度="2026-02-01") for detail in JANUARY_FILE.details),
)


@pytest.mark.parametrize(
    ("prepare", "file", "period"),
    [
        (CLOSE_JANUARY, CORRECTED_FILE, "202601"),
        (EMPTY_DETAILS, FEBRUARY_FILE, "202601"),
        # By file the platform loads without a period: that is the current month, not the file's.
        ("", CORRECTED_FILE, None),
    ],
    ids=["a closed month", "the file of another month", "no period"],
)
def test_a_failure_in_the_hook_leaves_nothing_of_the_load(connection, etl, prepare, file, period):
    etl.run(JANUARY_FILE)
    connection.execute(prepare)
    before = rows(connection, *STORED, *SOURCES)

    with pytest.raises(psycopg.errors.ObjectNotInPrerequisiteState):
        etl.load(file, period=period)
    # Even an ETL that takes no notice of the error commits nothing.
    etl.connection.commit()

    assert rows(connection, *STORED, *SOURCES) == before


# --- Loading again -----------------------------------------------------------


def test_the_same_file_again_changes_nothing(connection, etl):
    etl.run(JANUARY_FILE)
    before = versions(connection)
    details = rows(connection, 'business."规模明细"')

    result = etl.run(JANUARY_FILE)

    assert rows(connection, 'business."规模明细"') != details  # replaced, by the same values
    assert versions(connection) == before
    assert result == JANUARY_RESULT | {
        "upserted": 0,
        "inserted": 0,
        "unchanged": 5,
        "log_id": result["log_id"],
    }
    assert [(entry["upserted"], entry["unchanged"]) for entry in log(connection)] == [
        (5, 0),
        (0, 5),
    ]


def test_a_corrected_file_changes_just_its_row(connection, etl):
    etl.run(JANUARY_FILE)
    before = versions(connection)
    corrected = (JANUARY, "甲", "PL202", "企年受托", True, True, False, True, False)

    result = etl.run(CORRECTED_FILE)

    assert (result["updated"], result["unchanged"], result["aum_total"]) == (1, 4, 2870.99)
    assert snapshot(connection) == [*JANUARY_SNAPSHOT[:4], (*corrected, Decimal("2500.13"), 1)]
    after = versions(connection)
    assert after.pop(("甲", "PL202")) != before.pop(("甲", "PL202"))
    assert after == before


# --- A new month that comes in parts -----------------------------------------


def test_a_month_that_comes_line_by_line_is_warned_of_and_not_refused(connection, etl):
    """Each line in a transaction of its own; the month before has the 100 rows that refuse."""
    lines = {"PL201": ("企年投资", "27"), "PL202": ("企年受托", "73")}
    contracts = tuple(
        Contract(f"C{number}", "P1", line, name)
        for line, (name, _) in lines.items()
        for number in range(50)
    )

    def details(day: str, line: str) -> tuple[Detail, ...]:
        name, amount = lines[line]
        return tuple(
            Detail(day, name, "单一计划", "P1", "A", contract.company_id, line, amount)
            for contract in contracts[:50]
        )

    connection.execute(EMPTY_DETAILS)
    december = File(details("2025-12-01", "PL201") + details("2025-12-01", "PL202"), contracts)
    assert etl.run(december, "annuity_performance", "202512")["warnings"] == []

    results = [etl.run(File(details("2026-01-01", line), contracts)) for line in lines]

    for result, said in zip(
        results,
        (
            "1350.00 yuan (sum of absolute amounts), which is 27.0 % of the 5000.00 stored for",
            "5000.00 yuan (sum of absolute amounts), which is 370.4 % of the 1350.00 when",
        ),
        strict=True,
    ):
        [warning] = result["warnings"]
        assert warning["code"] == "aum_differs"
        assert f"the AUM of 2026-01-31 is {said}" in warning["message"]


# --- Steps that commit by themselves -----------------------------------------


def check_and_load(etl: Etl) -> None:
    etl.check("annuity_performance", "202601")
    etl.replace_details(CORRECTED_FILE.details)


# As the platform has them, unless it is changed to pass one connection through.
STEPS = (
    check_and_load,
    lambda etl: etl.sync_contracts(CORRECTED_FILE.contracts),
    lambda etl: etl.call_hook("annuity_performance", "202601"),
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
    etl.check("annuity_performance", "202601")
    closer = connect(autocommit=True)

    call = start(closer.execute, CLOSE_JANUARY)
    support.wait_for_lock(connection, etl.connection, call)
    etl.run(JANUARY_FILE)

    call.result(timeout=20)
    assert snapshot(connection) == JANUARY_SNAPSHOT
    assert [entry["operation"] for entry in log(connection)] == ["refresh", "close"]


# --- Awards and losses -------------------------------------------------------


@pytest.mark.parametrize(
    ("domain", "load", "column", "company_id"),
    [("annual_award", Source.award, 7, "乙"), ("annual_loss", Source.loss, 8, "甲")],
)
def test_awards_and_losses_show_once_their_own_hook_has_run(
    connection, etl, platform, domain, load, column, company_id
):
    """The platform loads them after the AUM, so that its hook has seen none of them."""
    keys = {("戊", "PL204"), ("甲", "PL201"), (company_id, "PL202")}
    skipped = SKIPPED | {"snapshot_month": "2026-01-31"}

    def run(*keys: tuple[str, str]) -> tuple[str, dict[str, Any]]:
        check = etl.check(domain, "202601")
        for company_id, line in keys:
            load(platform, company_id, "2026-01-01", line)
        result = etl.call_hook(domain, "202601")
        etl.connection.commit()
        return check["status"], result

    reason = (
        "month 2026-01-31 holds no rows; loading annuity_performance writes it,"
        f" with what domain {domain} has loaded"
    )
    assert run() == ("open", skipped | {"reason": reason})

    etl.run(JANUARY_FILE)
    _, result = run(*keys)
    assert (result["status"], result["updated"]) == ("refreshed", 3)
    assert {row[1:3] for row in snapshot(connection) if row[column]} >= keys

    connection.execute(CLOSE_JANUARY)
    before = stored(connection)
    check, result = run(("丙", "PL202"))
    assert stored(connection) == before
    assert (check, [warning["code"] for warning in result["warnings"]]) == (
        "skipped",
        ["month_closed"],
    )
    reason = "month 2026-01-31 is closed and stays as it is"
    assert result | {"warnings": []} == skipped | {"reason": reason}


# --- Skipping ----------------------------------------------------------------

SKIPPED = dict.fromkeys((*JANUARY_RESULT, "log_id")) | {
    "status": "skipped",
    "accepted": False,
    "warnings": [],
}
SWITCHED_OFF = SKIPPED | {"reason": "customer.post_etl_hooks is off"}


@pytest.mark.parametrize("end", ["commit", "rollback"])
def test_the_setting_skips_the_transaction_that_makes_it_and_no_other(connection, connect_etl, end):
    etl, other_etl = connect_etl(), connect_etl()
    etl.connection.execute("SET LOCAL customer.post_etl_hooks = off")
    assert etl.load(JANUARY_FILE) == SWITCHED_OFF

    assert other_etl.call_hook("annuity_performance", "202601")["status"] == "refreshed"
    other_etl.connection.rollback()
    getattr(etl.connection, end)()
    assert stored(connection) == NOTHING

    result = etl.run(JANUARY_FILE)

    assert result == JANUARY_RESULT | {"log_id": result["log_id"]}
    assert snapshot(connection) == JANUARY_SNAPSHOT
