"""The rules of Citus that can be checked without it.

It spreads the fact table over several servers by company_id, and then refuses a call of a function
in DO UPDATE, a FULL JOIN between tables that it spreads, and a unique key without the column by
which it spreads them.
"""

from pathlib import Path

import pglast
import psycopg
import pytest
from pglast import ast, enums, visitors
from sql_code import bodies, queries, without_psql
from support import FACT, PROJECT


class Findings(visitors.Visitor):
    """What Citus refuses, and how many DO UPDATE there are to look at."""

    def __init__(self) -> None:
        self.do_updates = 0
        self.refused: list[str] = []

    def visit_OnConflictClause(self, _, node):
        if node.action != enums.OnConflictAction.ONCONFLICT_UPDATE:
            return
        self.do_updates += 1
        if node.whereClause is not None:
            self.refused.append("DO UPDATE … WHERE")
        for target in node.targetList:
            value = target.val
            if not isinstance(value, ast.ColumnRef) or value.fields[0].sval != "excluded":
                self.refused.append(f"DO UPDATE SET {target.name} = something of its own")

    def visit_JoinExpr(self, _, node):
        if node.jointype == enums.JoinType.JOIN_FULL:
            self.refused.append("FULL JOIN")


def findings(query: str) -> Findings:
    found = Findings()
    found(pglast.parse_sql(query))
    return found


def queries_of(path: Path) -> list[str]:
    """The statements of a deploy script, and those in the functions that it makes."""
    script = without_psql(path.read_text(encoding="utf-8"))
    inner = [query for body in bodies(script) for _, query in queries(body)]
    return [script, *inner]


def test_nothing_that_is_deployed_holds_what_citus_refuses():
    found = [
        findings(query)
        for path in sorted((PROJECT / "deploy").glob("*.sql"))
        for query in queries_of(path)
    ]
    assert [refused for finding in found for refused in finding.refused] == []
    # That of the fact table.
    assert sum(finding.do_updates for finding in found) == 1


@pytest.mark.parametrize(
    ("query", "refused"),
    [
        ("INSERT INTO t SELECT 1 ON CONFLICT (a) DO UPDATE SET b = EXCLUDED.b", []),
        ("INSERT INTO t SELECT 1 ON CONFLICT (a) DO NOTHING", []),
        (
            "INSERT INTO t SELECT 1 ON CONFLICT (a) DO UPDATE SET b = EXCLUDED.b, c = now()",
            ["DO UPDATE SET c = something of its own"],
        ),
        (
            "WITH w AS (INSERT INTO t SELECT 1 ON CONFLICT (a) DO UPDATE SET b = CURRENT_DATE)"
            " SELECT * FROM w",
            ["DO UPDATE SET b = something of its own"],
        ),
        (
            "INSERT INTO t SELECT 1 ON CONFLICT (a) DO UPDATE SET b = EXCLUDED.b WHERE f(t.c)",
            ["DO UPDATE … WHERE"],
        ),
        ("SELECT * FROM (SELECT * FROM a FULL JOIN b USING (c)) AS d", ["FULL JOIN"]),
        ("SELECT * FROM a LEFT JOIN b USING (c)", []),
    ],
)
def test_what_citus_refuses_is_noticed(query, refused):
    assert findings(query).refused == refused


def test_each_unique_key_of_the_fact_table_has_its_customer(package_template, create_test_database):
    with psycopg.connect(dbname=create_test_database(package_template)) as connection:
        keys = connection.execute(
            """
            SELECT array_agg(attname ORDER BY attnum)
            FROM pg_index
            JOIN pg_attribute
                ON attrelid = indrelid
                AND attnum = ANY (indkey)
            WHERE indrelid = %s::regclass
                AND indisunique
            GROUP BY indexrelid
            """,
            [FACT],
        ).fetchall()
    assert keys == [(["snapshot_month", "company_id", "product_line_code"],)]
