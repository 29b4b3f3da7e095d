"""Parse the project's SQL with PostgreSQL's own grammar, without a server.

Usage: tests/sql_code.py DIRECTORY

Prints what is no SQL in the SQL files, what is neither PL/pgSQL nor SQL in the bodies of their
functions and DO blocks, and which lines are badly indented, and then fails. Writes copies for
a linter into DIRECTORY: of each file, without what only psql understands; and of the queries
in its bodies, as NAME.bodies.sql. Whatever a copy holds is on the line where its file has it.
"""

import itertools
import re
import sys
import textwrap
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pglast
from pglast import ast
from pglast.enums import ObjectType

PROJECT = Path(__file__).resolve().parents[1]
FOLDERS = ("deploy", "revert", "verify", "sql", "tests")

# SAVEPOINT, SET a.b, CREATE OPERATOR, CREATE RULE and their like.
UNKNOWN_TO_LINTER = (ast.TransactionStmt, ast.VariableSetStmt, ast.DefineStmt, ast.RuleStmt)


def is_unknown_to_linter(statement: ast.Node) -> bool:
    if isinstance(statement, ast.CommentStmt):
        return statement.objtype == ObjectType.OBJECT_PROCEDURE
    return isinstance(statement, UNKNOWN_TO_LINTER)


# Its keywords are aligned at their right ends.
OWN_LAYOUT = Path("sql/demo")


def without_psql(script: str) -> str:
    """The SQL of a psql script, with each variable read as the name or string that it holds."""
    # \g, \gset and \gexec end a statement, on its last line or the next.
    script = re.sub(r"[ \t]*(\n?)[ \t]*\\g(?:set|exec)?\b.*", r";\1", script)
    script = re.sub(r"^[ \t]*\\.*", "--", script, flags=re.MULTILINE)
    tokens = pglast.scan(script)
    colons = [
        token.start
        for token, following in itertools.pairwise(tokens)
        if token.name == "ASCII_58"
        and following.start == token.end + 1
        and following.name != "ICONST"
    ]
    for position in reversed(colons):
        script = script[:position] + script[position + 1 :]
    return script


@dataclass
class Body:
    """The body of a function or DO block."""

    statement: str  # that creates or runs it
    language: str
    text: str
    line: int  # where the text begins in the file


def bodies(script: str) -> Iterator[Body]:
    for raw in pglast.parse_sql(script):
        if isinstance(raw.stmt, ast.CreateFunctionStmt):
            options = {option.defname: option.arg for option in raw.stmt.options}
            text = options["as"][0].sval
        elif isinstance(raw.stmt, ast.DoStmt):
            options = {option.defname: option.arg for option in raw.stmt.args}
            text = options["as"].sval
        else:
            continue
        start = raw.stmt_location
        yield Body(
            statement=script[start : start + raw.stmt_len],
            language=options["language"].sval if "language" in options else "plpgsql",
            text=text,
            line=1 + script.count("\n", 0, script.index(text, start)),
        )


def queries(body: Body) -> Iterator[tuple[int, str]]:
    """The queries of a body, each with its line in the body; fails if anything is no SQL."""
    if body.language == "sql":
        pglast.parse_sql(body.text)
        yield 1, textwrap.dedent(body.text).rstrip("; \n") + ";"
        return

    # The parser knows no catalog, and so no row type; a record will do.
    statement = re.sub(
        r"^(RETURNS|\s+v_\w+) customer\.\w+", r"\1 record", body.statement, flags=re.MULTILINE
    )
    line_starts = [0, *(found.end() for found in re.finditer("\n", body.text))]
    for line, query in plpgsql_queries(pglast.parse_plpgsql(statement), 1):
        query = query.lstrip()
        first_line = query.split("\n")[0]
        start = body.text.index(first_line, line_starts[line - 1])
        # Not the query itself, in which INTO and its line break are spaces.
        query = body.text[start : start + len(query)]
        indentation = " " * (start - body.text.rfind("\n", 0, start) - 1)
        query = query.replace("\n" + indentation, "\n")
        query = re.sub(r" ?\bINTO (STRICT )?v_\w+(, v_\w+)*$", "", query, flags=re.MULTILINE)
        yield 1 + body.text.count("\n", 0, start), query + ";"


def plpgsql_queries(node: Any, line: int) -> Iterator[tuple[int, str]]:
    """The whole queries in a PL/pgSQL syntax tree, each with the line of its statement."""
    if isinstance(node, list):
        for child in node:
            yield from plpgsql_queries(child, line)
    elif isinstance(node, dict):
        line = node.get("lineno", line)
        for kind, child in node.items():
            if kind == "PLpgSQL_expr" and child["parseMode"] == 0:
                yield line, child["query"]
            elif kind != "PLpgSQL_stmt_perform":
                yield from plpgsql_queries(child, line)


def badly_indented(text: str) -> Iterator[int]:
    """The lines that begin elsewhere than at a multiple of 4, or more than 4 to the right."""
    previous = 0
    last_line = 0  # where AS $$ or a comment stands
    for token in pglast.scan(text):
        line = text.count("\n", 0, token.start)
        indentation = token.start - text.rfind("\n", 0, token.start) - 1
        if line > last_line:
            if indentation % 4 or indentation > previous + 4:
                yield line + 1
            previous = indentation
        last_line = line + text.count("\n", token.start, token.end)


def for_linter(script: str) -> str:
    """A script without what is SQL, but unknown to the linter."""
    for raw in reversed(pglast.parse_sql(script)):
        if is_unknown_to_linter(raw.stmt):
            start, end = raw.stmt_location, raw.stmt_location + raw.stmt_len
            # A comment for each of its lines and its semicolon, so that no line moves.
            script = script[:start] + re.sub(r"\S.*", "--", script[start:end]) + script[end + 1 :]
    # Between rows it knows but operators.
    return re.sub(r"\) IS DISTINCT FROM \(", ") <> (", script)


def check(path: Path, directory: Path) -> list[str]:
    """What is wrong with a file; its copies for the linter go into the directory."""
    script = without_psql((PROJECT / path).read_text(encoding="utf-8"))
    inner_lines: list[str] = []
    text, line = script, 1  # what is parsed, and where it begins
    try:
        wrong_lines = list(badly_indented(script))
        for body in bodies(script):
            text, line = body.text, body.line
            wrong_lines += [body.line + number - 1 for number in badly_indented(body.text)]
            for number, query in queries(body):
                padding = ["--"] * (body.line + number - 2 - len(inner_lines))
                inner_lines += [*padding, *query.split("\n")]
    except pglast.Error as error:
        message, position = error.args
        if position is not None:  # it is, of PL/pgSQL
            line += text.count("\n", 0, position)
        return [f"{path}:{line}: {message}"]

    copy = directory / path
    copy.parent.mkdir(parents=True, exist_ok=True)
    copy.write_text(for_linter(script).rstrip() + "\n", encoding="utf-8")
    if inner_lines:
        inner_copy = for_linter("\n".join([*inner_lines, ""]))
        copy.with_suffix(".bodies.sql").write_text(inner_copy, encoding="utf-8")
    if path.is_relative_to(OWN_LAYOUT):
        return []
    return [f"{path}:{line}: indentation is not in steps of 4 spaces" for line in wrong_lines]


def main() -> None:
    directory = Path(sys.argv[1])
    files = [
        path.relative_to(PROJECT)
        for folder in FOLDERS
        for path in sorted((PROJECT / folder).rglob("*"))
        if path.suffix in (".sql", ".psql")
    ]
    findings = [finding for path in files for finding in check(path, directory)]
    if findings:
        sys.exit("\n".join(findings))
    print(f"{len(files)} SQL files are as they should be")


if __name__ == "__main__":
    main()
