"""The rules of Citus that can be checked without it: the platform's tables may be distributed.

Citus then refuses a COLLATE over a cast of a source's column, EXISTS with an empty select list, and
LATERAL over a source. It meets what the readers of the sources hold, for they are inlined.
"""

import re

import pglast
import pytest
from pglast import ast, enums, visitors
from sql_code import bodies, queries, without_psql
from support import PROJECT

# In a syntax tree.
NAMES = "contracts|awards|losses|aum|customers|product_lines|customer_names|product_line_names"
READER = re.compile(f"'source_({NAMES}|reported_events)'")


class Findings(visitors.Visitor):
    """What Citus refuses."""

    def __init__(self) -> None:
        self.refused: list[str] = []

    def visit_CollateClause(self, _, node):
        if isinstance(node.arg, ast.TypeCast):
            self.refused.append("COLLATE over a cast")

    def visit_SubLink(self, _, node):
        if node.subLinkType == enums.SubLinkType.EXISTS_SUBLINK and not node.subselect.targetList:
            self.refused.append("EXISTS with an empty select list")

    def visit_RangeSubselect(self, _, node):
        if node.lateral and READER.search(repr(node)):
            self.refused.append("LATERAL over a source")

    def visit_RangeFunction(self, _, node):
        if node.lateral and READER.search(repr(node)):
            self.refused.append("LATERAL over a source")


def findings(query: str) -> list[str]:
    found = Findings()
    found(pglast.parse_sql(query))
    return found.refused


def test_nothing_that_reads_the_sources_holds_what_citus_refuses():
    """The readers' own bodies are strings in a script's strings: they are read as text."""
    read = 0
    for path in sorted((PROJECT / "deploy").glob("*.sql")):
        script = path.read_text(encoding="utf-8")
        for body in bodies(without_psql(script)):
            for _, query in queries(body):
                if "customer.source_" in query:
                    read += 1
                    assert findings(query) == [], path
    assert read >= 4
    sources = (PROJECT / "deploy" / "sources.sql").read_text(encoding="utf-8")
    readers = sources.split("$body$")[1::2]
    assert len(readers) == 11
    for reader in readers:
        assert findings(reader.replace("%s", "some_table").replace("p_last_day", "'today'")) == []


@pytest.mark.parametrize(
    ("query", "refused"),
    [
        ('SELECT a::text COLLATE "C" FROM t', ["COLLATE over a cast"]),
        ('SELECT (a || \'\') COLLATE "C", b COLLATE "C" FROM t', []),
        ("SELECT EXISTS (SELECT FROM t)", ["EXISTS with an empty select list"]),
        ("SELECT EXISTS (SELECT 1 FROM t)", []),
        (
            "SELECT 1 FROM t CROSS JOIN LATERAL (SELECT 1 FROM customer.source_aum()) AS a",
            ["LATERAL over a source"],
        ),
        ("SELECT 1 FROM t CROSS JOIN LATERAL (VALUES (t.a)) AS a", []),
    ],
)
def test_what_citus_refuses_is_noticed(query, refused):
    assert findings(query) == refused
