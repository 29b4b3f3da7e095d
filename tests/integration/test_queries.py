"""The analysts' questions in sql/queries/, asked of a few rows that can be counted by hand."""

import csv
import io
from collections.abc import Callable
from functools import partial
from pathlib import Path

import psycopg
import pytest
from support import PROJECT, fail, psql, succeed

QUERIES = sorted((PROJECT / "sql" / "queries").glob("*.sql"))
NAMES = [query.stem for query in QUERIES]

DATA = """
INSERT INTO customer."年金客户" (company_id, "客户名称")
VALUES ('A', '甲公司'), ('B', '乙公司'), ('C', NULL);

INSERT INTO customer.fct_customer_business_monthly_status (
    snapshot_month, company_id, product_line_code, product_line_name, aum_balance,
    is_strategic, is_existing, is_new, is_winning_this_year, is_churned_this_year, updated_at
)
VALUES
    ('2025-01-31', 'A', 'PL202', '企年受托',   9.00, TRUE,  TRUE,  FALSE, TRUE,  FALSE, DEFAULT),
    ('2025-02-28', 'B', 'PL202', '企年受托',   1.00, FALSE, TRUE,  FALSE, TRUE,  TRUE,  DEFAULT),
    ('2025-12-31', 'A', 'PL202', '企年受托',  10.00, TRUE,  TRUE,  FALSE, FALSE, TRUE,  DEFAULT),
    ('2026-01-31', 'A', 'PL201', '企年投资', 100.00, TRUE,  TRUE,  FALSE, FALSE, FALSE,
        '2026-02-02 03:04:05+00'),
    ('2026-01-31', 'A', 'PL202', '企年受托', 250.50, FALSE, FALSE, TRUE,  TRUE,  FALSE,
        '2026-02-03 03:04:05+00'),
    ('2026-01-31', 'B', 'PL202', '企年受托',   0.00, FALSE, TRUE,  FALSE, TRUE,  FALSE,
        '2026-02-01 03:04:05+00'),
    ('2026-01-31', 'C', 'PL202', '企年受托', -50.50, FALSE, FALSE, FALSE, FALSE, TRUE,
        '2026-02-01 03:04:05+00'),
    ('2026-02-28', 'A', 'PL202', '企年受托',   2.00, FALSE, FALSE, TRUE,  TRUE,  FALSE, DEFAULT);

INSERT INTO customer."当年中标" (company_id, "产品线代码", "上报月份", "业务类型", "上报客户名称")
VALUES
    ('A',  'PL202', '2026-01-15', '受托', '甲公司'),
    ('A',  'PL202', '2026-06-01', '受托', '甲公司'),
    ('B',  'PL202', '2025-02-01', '受托', '乙公司'),
    ('B',  'PL201', '2026-02-28', '投资', '乙公司'),
    ('C',  'PL202', '2026-03-01', '受托', '丙公司'),
    (NULL, 'PL202', '2026-01-31', '受托', '某公司'),
    ('A',  'PL201', '2027-01-01', '投资', '甲公司');

INSERT INTO customer."当年流失" (company_id, "产品线代码", "上报月份", "业务类型", "上报客户名称")
VALUES
    ('C',  'PL202', '2026-01-31', '受托', '丙公司'),
    ('B',  'PL202', '2025-12-31', '受托', '乙公司');
"""


def ask_psql(
    database: str, name: str, month: str = "2026-01-31", **environment: str
) -> list[list[str]]:
    """Run a query for a month as the README does: its rows as text."""
    output = succeed(
        psql(
            database,
            *("--csv", "-P", "tuples_only=on", "-v", f"month={month}"),
            *("-f", f"sql/queries/{name}.sql"),
            **({"PGTZ": "UTC"} | environment),
        )
    )
    return list(csv.reader(io.StringIO(output)))


@pytest.fixture(scope="module")
def few_rows(create_database, package_template) -> str:
    """A database with the rows above, for all tests that only read."""
    name = create_database(package_template)
    with psycopg.connect(dbname=name, autocommit=True) as connection:
        connection.execute(DATA)
    return name


@pytest.fixture
def ask(few_rows) -> Callable[..., list[list[str]]]:
    return partial(ask_psql, few_rows)


@pytest.fixture
def changed(create_test_database, few_rows) -> Callable[[str], Callable[..., list[list[str]]]]:
    """A function that changes a copy of these rows, and gives one that asks of it."""

    def change(statements: str) -> Callable[..., list[list[str]]]:
        name = create_test_database(few_rows)
        with psycopg.connect(dbname=name, autocommit=True) as connection:
            connection.execute(statements)
        return partial(ask_psql, name)

    return change


@pytest.mark.parametrize("query", QUERIES, ids=NAMES)
def test_opens_with_what_it_answers_and_a_command_that_works_and_needs_a_month(
    few_rows, query: Path
):
    first, *others = query.read_text("utf-8").splitlines()
    assert first.startswith("-- ")
    comment = [line for line in [first, *others] if line.startswith("--")]
    assert "?" in "".join(comment)
    assert f"--   psql -v month=2026-01-31 -f sql/queries/{query.name}" in comment

    assert "row" in succeed(psql(few_rows, "-v", "month=2026-01-31", "-f", query))
    fail(psql(few_rows, "-f", query))


@pytest.mark.parametrize("name", NAMES)
def test_answer_is_the_same_on_a_gbk_console_and_in_any_time_zone(ask, name: str):
    answer = ask(name)
    assert answer
    assert ask(name, PGCLIENTENCODING="GBK") == answer
    if name != "rows_in_month":  # which tells a time
        assert ask(name, PGTZ="Pacific/Kiritimati") == answer


def test_rows_in_month(ask):
    assert ask("rows_in_month") == [["2026-01-31", "4", "3", "2", "2026-02-03 03:04:05+00"]]
    assert ask("rows_in_month", "2026-03-31") == [["2026-03-31", "0", "0", "0", ""]]


def test_distribution_by_month(ask):
    """The twelve months up to the one that is asked for: not January 2025, nor February 2026."""
    february = ["2025-02-28", "1", "0", "1", "0", "1", "1.00"]
    december = ["2025-12-31", "1", "1", "1", "0", "1", "10.00"]
    assert ask("distribution_by_month") == [
        february,
        december,
        ["2026-01-31", "4", "1", "2", "1", "3", "300.00"],
    ]
    assert ask("distribution_by_month", "2025-12-31") == [
        ["2025-01-31", "1", "1", "1", "0", "1", "9.00"],
        february,
        december,
    ]


def test_awards_and_losses(ask):
    """The months of the calendar year that are stored; what is reported counts with any key."""
    assert ask("awards_and_losses") == [
        ["2026-01", "2", "1", "2", "1"],
        ["2026-02", "1", "0", "1", "0"],
    ]
    assert ask("awards_and_losses", "2025-06-30") == [
        ["2025-01", "1", "0", "0", "0"],
        ["2025-02", "1", "1", "1", "0"],
        ["2025-12", "0", "1", "0", "1"],
    ]
    assert ask("awards_and_losses", "2024-12-31") == []


def test_foreign_keys(ask, changed):
    assert ask("foreign_keys") == [["0", "0"]]
    ask = changed(
        """
        ALTER TABLE customer.fct_customer_business_monthly_status
            DROP CONSTRAINT fk_snapshot_company,
            DROP CONSTRAINT fk_snapshot_product_line;
        DELETE FROM customer."年金客户" WHERE company_id = 'A';
        DELETE FROM mapping."产品线" WHERE "产品线代码" = 'PL202';
        """
    )
    assert ask("foreign_keys") == [["2", "3"]]
    assert ask("foreign_keys", "2025-02-28") == [["0", "1"]]
    assert ask("foreign_keys", "2026-03-31") == [["0", "0"]]


def test_largest_aum(ask):
    assert ask("largest_aum") == [
        ["A", "甲公司", "企年受托", "f", "250.50", "83.50"],
        ["A", "甲公司", "企年投资", "t", "100.00", "33.33"],
        ["B", "乙公司", "企年受托", "f", "0.00", "0.00"],
        ["C", "", "企年受托", "f", "-50.50", "-16.83"],
    ]
    assert ask("largest_aum", "2026-03-31") == []


def test_largest_aum_of_more_than_twenty_and_where_there_is_none(changed):
    ask = changed(
        """
        UPDATE customer.fct_customer_business_monthly_status SET aum_balance = 0;

        INSERT INTO customer."年金客户" (company_id)
        SELECT 'c' || number
        FROM generate_series(10, 40) AS number;

        INSERT INTO customer.fct_customer_business_monthly_status (
            snapshot_month, company_id, product_line_code, product_line_name, aum_balance
        )
        SELECT '2026-03-31', 'c' || number, 'PL202', '企年受托', number
        FROM generate_series(10, 40) AS number
        """
    )
    assert [row[0] for row in ask("largest_aum", "2026-03-31")] == [
        f"c{number}" for number in range(40, 20, -1)
    ]
    assert [row[4:] for row in ask("largest_aum")] == [["0.00", ""]] * 4


def test_award_accuracy(ask):
    """Of four rows two have an award: A's is marked, C's is not; and B is marked without one."""
    assert ask("award_accuracy") == [["4", "2", "2", "1", "1", "50.00"]]
    # Awards of 2026 are none of December's.
    assert ask("award_accuracy", "2025-12-31") == [["1", "0", "0", "0", "0", "100.00"]]
    assert ask("award_accuracy", "2025-02-28") == [["1", "1", "1", "0", "0", "100.00"]]
    assert ask("award_accuracy", "2025-01-31") == [["1", "0", "1", "1", "0", "0.00"]]
    assert ask("award_accuracy", "2026-03-31") == [["0", "0", "0", "0", "0", ""]]
