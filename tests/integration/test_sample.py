"""The refresh on data of production's size: right in every value, idle when idle, and quick."""

import statistics
import time
from collections import defaultdict
from collections.abc import Iterable
from contextlib import contextmanager
from datetime import date
from decimal import ROUND_HALF_UP, Decimal
from typing import Any, NamedTuple

import psycopg
import pytest
from psycopg import sql

JANUARY = date(2026, 1, 31)
CURRENT = date(9999, 12, 31)


@pytest.fixture
def template(sample_template) -> str:
    return sample_template


def refresh(connection: psycopg.Connection, month: date = JANUARY) -> dict[str, Any]:
    # As text: a JSON number would be read as a float.
    connection.execute("SET client_min_messages = error")
    keys = ("total", "inserted", "updated", "unchanged", "stale", "deleted", "upserted")
    row = connection.execute(
        """
        SELECT
            result,
            (result ->> 'aum_total')::numeric,
            (result ->> 'aum_unattributed')::numeric
        FROM customer.refresh_monthly_snapshot(%s) AS result
        """,
        [month],
    ).fetchone()
    return {key: row[0][key] for key in keys} | dict(aum_total=row[1], aum_unattributed=row[2])


# --- What the definitions give, worked out row by row -------------------------


class Contract(NamedTuple):
    company_id: str
    product_line_code: str
    product_line_name: str
    plan_code: str
    is_strategic: bool | None
    is_existing: bool | None
    valid_to: date | None


class Event(NamedTuple):
    company_id: str | None
    product_line_code: str | None
    month: date


class Detail(NamedTuple):
    company_id: str | None
    product_line_code: str | None
    month: date
    amount: Decimal | None


class Row(NamedTuple):
    """A row of the snapshot, without its month and time."""

    company_id: str
    product_line_code: str
    product_line_name: str
    is_strategic: bool
    is_existing: bool
    is_new: bool
    is_winning_this_year: bool
    is_churned_this_year: bool
    aum_balance: Decimal
    plan_count: int


class Sources(NamedTuple):
    contracts: list[Contract]
    awards: list[Event]
    losses: list[Event]
    details: list[Detail]


class Expected(NamedTuple):
    rows: set[Row]
    aum_total: Decimal
    aum_unattributed: Decimal


def cents(amount: Decimal) -> Decimal:
    return amount.quantize(Decimal("0.01"), ROUND_HALF_UP)


def expected(sources: Sources, year: int, month: int) -> Expected:
    """The snapshot of a month by the definitions."""

    def keys_of_the_year(events: Iterable[Event]) -> set[tuple]:
        return {
            (event.company_id, event.product_line_code)
            for event in events
            if event.month.year == year
        }

    winning = keys_of_the_year(sources.awards)
    churned = keys_of_the_year(sources.losses)

    balances: dict[tuple, Decimal] = defaultdict(Decimal)
    for detail in sources.details:
        if (detail.month.year, detail.month.month) == (year, month) and detail.amount is not None:
            balances[detail.company_id, detail.product_line_code] += detail.amount
    total_of_all = sum(balances.values())

    contracts = defaultdict(list)
    for contract in sources.contracts:
        if contract.valid_to == CURRENT:
            contracts[contract.company_id, contract.product_line_code].append(contract)

    rows = set()
    for key, versions in contracts.items():
        is_existing = any(version.is_existing is True for version in versions)
        rows.add(
            Row(
                *key,
                # UTF-8 sorts as COLLATE "C" does.
                max((version.product_line_name for version in versions), key=str.encode),
                any(version.is_strategic is True for version in versions),
                is_existing,
                key in winning and not is_existing,
                key in winning,
                key in churned,
                cents(balances.get(key, Decimal(0))),
                len({version.plan_code for version in versions}),
            )
        )
    attributed = sum(balances.get(key, Decimal(0)) for key in contracts)
    return Expected(rows, sum(row.aum_balance for row in rows), cents(total_of_all - attributed))


@pytest.fixture(scope="module")
def sources(sample_template) -> Sources:
    with psycopg.connect(dbname=sample_template) as connection:

        def read(kind: type, columns: str, table: str) -> list:
            return [kind(*row) for row in connection.execute(f"SELECT {columns} FROM {table}")]

        return Sources(
            read(Contract, ", ".join(Contract._fields), "customer.customer_plan_contract"),
            read(Event, 'company_id, "产品线代码", "上报月份"', 'customer."当年中标"'),
            read(Event, 'company_id, "产品线代码", "上报月份"', 'customer."当年流失"'),
            read(
                Detail,
                'company_id, "产品线代码", "月度", "期末资产规模"',
                'business."规模明细"',
            ),
        )


@pytest.mark.parametrize("month", [JANUARY, date(2025, 12, 31), date(2025, 2, 14)], ids=str)
def test_every_value_is_what_the_definitions_give(connection, sources, month):
    snapshot = expected(sources, month.year, month.month)

    result = refresh(connection, month)

    rows = connection.execute(
        sql.SQL("SELECT {} FROM customer.fct_customer_business_monthly_status").format(
            sql.SQL(", ").join(map(sql.Identifier, Row._fields))
        )
    ).fetchall()
    assert len(rows) == 19_524
    assert {Row(*row) for row in rows} == snapshot.rows
    assert result == {
        "total": 19_524,
        "upserted": 19_524,
        "inserted": 19_524,
        "updated": 0,
        "unchanged": 0,
        "stale": 0,
        "deleted": 0,
        "aum_total": snapshot.aum_total,
        "aum_unattributed": snapshot.aum_unattributed,
    }


def test_values_of_another_month_do_not_pass(connection, sources):
    """The comparison above tells months apart, and so compares something."""
    assert expected(sources, 2026, 1).rows != expected(sources, 2025, 12).rows


def test_sample_holds_each_case_of_the_definitions(sources):
    snapshot = expected(sources, 2026, 1)

    flags = {
        field: {getattr(row, field) for row in snapshot.rows}
        for field in Row._fields
        if field.startswith("is_")
    }
    assert flags == {field: {False, True} for field in flags}
    assert {row.plan_count for row in snapshot.rows} == {1, 2}
    assert min(row.aum_balance for row in snapshot.rows) < 0
    assert any(row.aum_balance == 0 for row in snapshot.rows)
    assert snapshot.aum_unattributed != 0
    january = [
        detail for detail in sources.details if detail.month.replace(day=1) == date(2026, 1, 1)
    ]
    assert {detail.month.day for detail in january} == {1, 15, 31}
    assert any(detail.amount is None for detail in january)
    assert any(detail.amount and detail.amount != cents(detail.amount) for detail in january)
    assert any(contract.is_strategic is None for contract in sources.contracts)
    assert any(contract.is_existing is None for contract in sources.contracts)
    assert any(contract.valid_to is None for contract in sources.contracts)


# --- A second run ------------------------------------------------------------


def versions(connection: psycopg.Connection) -> list[tuple]:
    return connection.execute(
        """
        SELECT ctid::text, xmin::text, xmax::text, updated_at
        FROM customer.fct_customer_business_monthly_status
        ORDER BY ctid
        """
    ).fetchall()


def test_rerun_touches_no_row(connection):
    refresh(connection)
    before = versions(connection)

    result = refresh(connection)

    assert (result["upserted"], result["unchanged"]) == (0, 19_524)
    assert len(before) == 19_524
    assert versions(connection) == before


def test_rerun_on_a_vacuumed_month_writes_less_than_20_kb_of_wal(connection):
    refresh(connection)
    connection.execute(
        "VACUUM customer.fct_customer_business_monthly_status,"
        " customer.monthly_snapshot_control, customer.monthly_snapshot_log"
    )
    refresh(connection)

    def wal_bytes() -> int:
        # By this session alone: autovacuum writes WAL, too.
        plan = connection.execute(
            "EXPLAIN (ANALYZE, WAL, FORMAT JSON)"
            " SELECT customer.refresh_monthly_snapshot('2026-01-31')"
        ).fetchone()[0]
        return plan[0]["Plan"]["WAL Bytes"]

    # The least of three, in case that a checkpoint comes between.
    assert min(wal_bytes() for _ in range(3)) < 20_000


def test_change_of_one_contract_writes_one_row(connection):
    refresh(connection)
    before = dict((row[0], row) for row in versions(connection))
    connection.execute(
        """
        UPDATE business."规模明细" SET "期末资产规模" = coalesce("期末资产规模", 0) + 1
        WHERE id = (
            SELECT min(detail.id)
            FROM business."规模明细" AS detail
            JOIN customer.customer_plan_contract AS contract
                ON contract.company_id = detail.company_id
                AND contract.product_line_code = detail."产品线代码"
                AND contract.valid_to = '9999-12-31'
            WHERE detail."月度" = '2026-01-01'
        )
        """
    )

    result = refresh(connection)

    assert (result["updated"], result["unchanged"]) == (1, 19_523)
    after = dict((row[0], row) for row in versions(connection))
    assert len(before.items() - after.items()) == len(after.items() - before.items()) == 1


SOURCE_TABLES = (
    "customer.customer_plan_contract",
    'customer."当年中标"',
    'customer."当年流失"',
    'customer."年金客户"',
    'business."规模明细"',
)


def test_sources_are_left_as_they_are(connection):
    """Each row where it was and what it was; foreign keys lock customers, which does not show."""

    def sources() -> dict[str, tuple]:
        return {
            table: connection.execute(
                f"SELECT count(*), sum(hashtextextended(ctid::text || source::text, 0))"
                f" FROM {table} AS source"
            ).fetchone()
            for table in (*SOURCE_TABLES, 'mapping."产品线"')
        }

    before = sources()
    assert before["customer.customer_plan_contract"][0] == 22_997

    refresh(connection)
    connection.execute("SELECT customer.restate_monthly_snapshot('2025-12-31', 'history')")
    connection.execute("SELECT * FROM customer.validate_monthly_snapshot('2026-01-31')")

    assert sources() == before


# --- Speed -------------------------------------------------------------------


class Times(NamedTuple):
    """Seconds."""

    first_fill: float
    rerun: float


@contextmanager
def rolled_back(connection: psycopg.Connection):
    connection.execute("BEGIN")
    yield
    connection.execute("ROLLBACK")


def measure(connection: psycopg.Connection) -> Times:
    """How long a month takes that is not there yet, and then the same again."""

    def seconds() -> float:
        started = time.perf_counter()
        refresh(connection)
        return time.perf_counter() - started

    # What takes longer than this is not slow, but hopeless.
    connection.execute("SET LOCAL statement_timeout = '10s'")
    return Times(seconds(), seconds())


def medians(times: list[Times]) -> Times:
    return Times(*map(statistics.median, zip(*times, strict=True)))


def quickest(times: list[Times]) -> Times:
    return Times(*map(min, zip(*times, strict=True)))


def measure_rolled_back(connection: psycopg.Connection) -> Times:
    """The quickest of two, each undone."""
    times = []
    for _ in range(2):
        with rolled_back(connection):
            times.append(measure(connection))
    return quickest(times)


def drop_indexes_of_detail(connection: psycopg.Connection) -> None:
    connection.execute('ALTER TABLE business."规模明细" DROP CONSTRAINT "规模明细_pkey"')
    indexes = connection.execute(
        "SELECT indexname FROM pg_indexes WHERE (schemaname, tablename) = ('business', '规模明细')"
    ).fetchall()
    assert len(indexes) == 9
    for (index,) in indexes:
        connection.execute(sql.SQL("DROP INDEX {}").format(sql.Identifier("business", index)))


def test_without_indexes_on_detail_it_takes_at_most_three_times_as_long(connection):
    with_indexes, without_indexes = [], []
    for _ in range(3):
        with rolled_back(connection):
            with_indexes.append(measure(connection))
        with rolled_back(connection):
            drop_indexes_of_detail(connection)
            without_indexes.append(measure(connection))

    with_indexes, without_indexes = medians(with_indexes), medians(without_indexes)
    assert without_indexes.first_fill <= 3 * with_indexes.first_fill
    assert without_indexes.rerun <= 3 * with_indexes.rerun


def test_quick_on_tables_never_analysed(connection):
    analysed = measure_rolled_back(connection)
    for table in SOURCE_TABLES:
        connection.execute(f"ALTER TABLE {table} SET (autovacuum_enabled = off)")
        connection.execute("DELETE FROM pg_statistic WHERE starelid = %s::regclass", [table])
        connection.execute(
            "UPDATE pg_class SET relpages = 0, reltuples = -1, relallvisible = 0"
            " WHERE oid = %s::regclass",
            [table],
        )

    never_analysed = measure_rolled_back(connection)

    assert never_analysed.first_fill <= 5 * analysed.first_fill
    assert never_analysed.rerun <= 5 * analysed.rerun


def test_quick_where_statistics_are_older_than_the_load(connection):
    """The ETL loads a month and syncs the contracts in the transaction that refreshes.

    The planner then believes that there is no AUM in the month and no current contract.
    """
    analysed = measure_rolled_back(connection)
    for table in SOURCE_TABLES:
        connection.execute(f"ALTER TABLE {table} SET (autovacuum_enabled = off)")
    connection.execute(
        """
        CREATE TEMPORARY TABLE january AS
        SELECT * FROM business."规模明细" WHERE "月度" >= '2026-01-01';

        DELETE FROM business."规模明细" WHERE "月度" >= '2026-01-01';

        UPDATE customer.customer_plan_contract
        SET valid_to = DATE '9000-01-01' + contract_id
        WHERE valid_to = '9999-12-31'
        """
    )
    connection.execute('ANALYZE customer.customer_plan_contract, business."规模明细"')

    with rolled_back(connection):
        connection.execute(
            """
            INSERT INTO business."规模明细" SELECT * FROM january;

            UPDATE customer.customer_plan_contract
            SET valid_to = '9999-12-31'
            WHERE valid_to > '9000-01-01'
            """
        )
        just_loaded = measure(connection)

    assert just_loaded.first_fill <= 10 * analysed.first_fill
    assert just_loaded.rerun <= 10 * analysed.rerun
