"""What tools for BI and notebooks make of the package: SQLAlchemy and pandas, as a reader.

The reader has no right on any source.
"""

import re
from collections.abc import Iterator
from datetime import date
from decimal import Decimal

import pandas
import psycopg
import pytest
from sqlalchemy import Engine, MetaData, create_engine, func, inspect, select
from support import FACT, STORED, VIEWS, Source, do, grant, succeed

pytestmark = pytest.mark.distribution

MONTHS = date(2025, 1, 31), date(2025, 12, 31), date(2026, 1, 31)
# By its name each column's type, and what pandas makes of it: a type of its own or of Python; the
# rest are texts.
COUNT = r"customers|^(total|upserted|inserted|updated|unchanged|stale|deleted|plans)$"
TYPES = {
    r"^(year|quarter|month|(previous_)?plan_count)$": ("INTEGER", "int64"),
    rf"{COUNT}|_rows$|^row_count$|log_id$": ("BIGINT", "int64"),
    r"month$|^reported_on$": ("DATE", date),
    r"^is_|_is_|^accepted$": ("BOOLEAN", "bool"),
    r"_at$": ("TIMESTAMP", "datetime64[us, UTC]"),
    r"aum|_rate$": ("NUMERIC", Decimal),
    "": ("VARCHAR|TEXT", "str"),
}


@pytest.fixture(scope="module")
def engine(create_database, package_template, create_common_role) -> Iterator[Engine]:
    """Three months, one of them a year before another, and a loss that no row shows."""
    name, role = create_database(package_template), create_common_role()
    with psycopg.connect(dbname=name, autocommit=True) as connection:
        source = Source(connection)
        for company, line, amounts in (
            ("C1", "PL201", ("1.00", "100.01", "150.02")),
            ("C1", "PL202", ("2.00", "10.00", "20.00")),
            ("C2", "PL202", ("3.00", "7.00", "-3.30")),
            ("C3", "PL203", ("4.00", "0.10", "0.20")),
        ):
            source.contract(company, product_line_code=line)
            for month, amount in zip(MONTHS, amounts, strict=True):
                source.detail(company, amount, day=month, line=line)
        source.loss("C9")
        connection.execute("""UPDATE customer."年金客户" SET "客户名称" = '公司' || company_id""")
        for month in MONTHS:
            do(connection, "refresh", month)
        connection.execute(f"UPDATE {FACT} SET plan_count = 2 WHERE company_id = 'C2'")
    succeed(grant(name, reader=role))
    engine = create_engine(f"postgresql+psycopg://{role}:{role}@/{name}")
    yield engine
    engine.dispose()


@pytest.fixture(scope="module")
def reflected(engine) -> MetaData:
    metadata = MetaData()
    metadata.reflect(engine, schema="customer", views=True)
    return metadata


@pytest.mark.parametrize("relation", [*STORED, *VIEWS])
def test_comments_and_types_are_reflected_and_numbers_arrive_exact(engine, reflected, relation):
    table = reflected.tables[relation]

    frame = pandas.read_sql(select(table), engine, coerce_float=False)

    assert table.comment
    assert [column.name for column in table.columns if not column.comment] == []
    assert len(frame) > 0
    for column in table.columns:
        sql_type, found = next(TYPES[name] for name in TYPES if re.search(name, column.name))
        assert re.match(sql_type, str(column.type)), column
        values = frame[column.name].dropna()
        if isinstance(found, type):
            assert {type(value) for value in values} <= {found}, column
        # Of whole numbers with gaps pandas makes others.
        elif len(values) == len(frame):
            assert frame[column.name].dtype == found, column


def test_keys_are_reflected(engine, reflected):
    month = ["snapshot_month"]
    row = ["company_id", "product_line_code"]
    keys = [reflected.tables[table].primary_key.columns.keys() for table in STORED]
    assert keys == [[*month, *row], month, ["log_id"], [*month, "log_id", *row], []]
    assert {key.target_fullname for key in reflected.tables[FACT].foreign_keys} == {
        "customer.年金客户.company_id",
        "mapping.产品线.产品线代码",
    }
    [unique] = inspect(engine).get_unique_constraints("monthly_status_summary", schema="customer")
    assert unique["column_names"] == ["snapshot_month", "product_line_code"]


def test_star_is_queried_by_its_dimensions_names(engine, reflected):
    fact = reflected.tables[FACT]
    customer, line, month = (
        reflected.tables[f"customer.dim_{name}"]
        for name in ("customer", "product_line", "snapshot_month")
    )
    names = customer.c.customer_name, line.c.business_category
    query = (
        select(*names, func.sum(fact.c.aum_balance))
        .join(customer, customer.c.company_id == fact.c.company_id)
        .join(line, line.c.product_line_code == fact.c.product_line_code)
        .join(month, month.c.snapshot_month == fact.c.snapshot_month)
        .where(month.c.month_label == "2026-01")
        .group_by(*names)
    )

    with engine.connect() as connection:
        found = {tuple(row) for row in connection.execute(query)}

    assert found == {
        ("公司C1", "投资", Decimal("150.02")),
        ("公司C1", "受托", Decimal("20.00")),
        ("公司C2", "受托", Decimal("-3.30")),
        ("公司C3", "投资", Decimal("0.20")),
    }
