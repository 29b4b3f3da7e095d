"""The golden month: sources made by hand, and beside them all that must come of them.

tests/golden/golden_month_expected.txt is made to be read. Its four tables are compared with the
database to the last row and column, and so is the oracle, which other tests go by.
"""

import unicodedata
from datetime import date
from decimal import Decimal

import oracle
import pytest
from support import PROJECT, psql, succeed

GOLDEN = PROJECT / "tests" / "golden"
JANUARY = date(2026, 1, 31)
READABLE = {True: "是", False: "否"}

Table = list[tuple[str, ...]]


def width(text: str) -> int:
    """Columns that a text takes on a terminal: two for a Chinese character."""
    return sum(2 if unicodedata.east_asian_width(character) in "WF" else 1 for character in text)


def tables() -> list[Table]:
    """The tables of the file, each with its English heading as the first row."""
    found = []
    for section in (GOLDEN / "golden_month_expected.txt").read_text("utf-8").split("\n== ")[1:]:
        lines = [line for line in section.splitlines()[1:] if "|" in line or "-+-" in line]
        rows = [line.split("|") for line in lines if "|" in line]
        assert len({tuple(map(width, row[:-1])) for row in rows}) == 1, "columns are not aligned"
        chinese, *english_and_rows = [tuple(cell.strip() for cell in row) for row in rows]
        assert all(chinese)
        found.append(english_and_rows)
    return found


EXPECTED_ROWS, EXPECTED_RESULT, EXPECTED_CHECKS, EXPECTED_RESTATED = tables()


def readable(row: oracle.Row) -> tuple[str, ...]:
    """A row as the file writes it."""
    return tuple(READABLE[value] if isinstance(value, bool) else str(value) for value in row)


def in_file_order(rows: oracle.Rows) -> Table:
    return [readable(rows[key]) for key in oracle.in_key_order(rows)]


def without_remarks(table: Table) -> Table:
    return [row[:-1] for row in table[1:]]


@pytest.fixture
def month(database, connection):
    """A connection to a database with the golden month's sources."""
    succeed(psql(database, "-f", GOLDEN / "golden_month_sources.sql"))
    return connection


@pytest.fixture
def refreshed(month):
    """The same, with the month refreshed: connection and result."""
    # As text: a JSON number would be read as a float.
    result = month.execute(
        "SELECT key, value FROM jsonb_each_text(customer.refresh_monthly_snapshot(%s))", [JANUARY]
    ).fetchall()
    return month, dict(result)


def test_file_names_every_column():
    for table in (EXPECTED_ROWS, EXPECTED_RESTATED):
        assert table[0] == (*oracle.Row._fields, "what it shows")


def test_refreshed_month(refreshed):
    connection, _ = refreshed
    stored = oracle.read_stored(connection)
    assert list(stored) == [JANUARY]
    assert in_file_order(stored[JANUARY]) == without_remarks(EXPECTED_ROWS)


def test_result(refreshed):
    _, result = refreshed
    assert result.pop("log_id")
    assert result == dict(without_remarks(EXPECTED_RESULT))


def test_validation(refreshed):
    connection, _ = refreshed
    checks = connection.execute(
        """
        SELECT check_name, severity, violations::text, detail
        FROM customer.validate_monthly_snapshot(%s)
        WHERE violations > 0
            OR severity = 'info'
        """,
        [JANUARY],
    ).fetchall()
    assert checks == EXPECTED_CHECKS[1:]


def test_restated_month(refreshed):
    connection, _ = refreshed
    before = oracle.read_stored(connection)[JANUARY]
    connection.execute("SELECT customer.restate_monthly_snapshot(%s, 'why')", [JANUARY])
    after = oracle.read_stored(connection)[JANUARY]

    others = {key: row for key, row in after.items() if before.get(key) != row}
    assert in_file_order(others) == without_remarks(EXPECTED_RESTATED)
    assert before.keys() - after.keys() == {("C19", "PL202")}


def test_oracle_agrees(month):
    """The oracle is held to what was worked out by hand."""
    sources = oracle.read_sources(month)
    by_current = oracle.snapshot(sources, JANUARY, "current")
    by_version = oracle.snapshot(sources, JANUARY, "as_of")
    assert in_file_order(by_current) == without_remarks(EXPECTED_ROWS)
    others = {key: row for key, row in by_version.items() if by_current.get(key) != row}
    assert in_file_order(others) == without_remarks(EXPECTED_RESTATED)
    assert by_current.keys() - by_version.keys() == {("C19", "PL202")}

    result = oracle.write("refresh", JANUARY, sources, {}, oracle.Control()).result
    assert {key: str(value) for key, value in result.items()} == dict(
        without_remarks(EXPECTED_RESULT)
    )


def test_every_rule_shows_in_either_way():
    """The file is worth its name only if each column takes each kind of value."""
    columns = list(zip(*without_remarks(EXPECTED_ROWS), strict=True))
    for name, values in zip(oracle.Row._fields, columns, strict=True):
        if name.startswith("is_"):
            assert set(values) == set(READABLE.values()), name
    balances = [Decimal(value) for value in columns[oracle.Row._fields.index("aum_balance")]]
    assert any(value > 0 for value in balances)
    assert any(value < 0 for value in balances)
    assert 0 in balances
