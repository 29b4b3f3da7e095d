"""The deployed schema, word for word, so that every change to it is seen in review."""

import difflib
import os
import re

import pytest
from support import PROJECT, run, succeed

GOLDEN = PROJECT / "tests" / "golden" / "schema.txt"
UPDATE = "UPDATE_GOLDEN=1 scripts/test -k schema_is_as_reviewed"
# The version of PostgreSQL whose pg_dump wrote the file.
MAJOR = 15


def objects(database: str) -> list[str]:
    """What pg_dump writes to make each object of a database, and to grant it."""
    dump = succeed(
        run("pg_dump", "--schema-only", "--no-owner", "--exclude-schema=sqitch", "-d", database)
    )
    # Settings stand between the objects wherever one needs them.
    dump = re.sub(r"^SET .*;\n", "", dump, flags=re.MULTILINE)
    _, *parts = re.split(r"^--\n-- Name: .*\n--\n", dump, flags=re.MULTILINE)
    parts[-1] = parts[-1].partition("\n--\n-- PostgreSQL database dump complete")[0]
    return [part.strip() for part in parts]


def package_schema(package: str, source: str) -> str:
    """What deploying adds, in pg_dump's words but for two things.

    The bodies of functions stand in deploy/, where a change to them is seen as well. Whoever
    deploys owns all of it, which is for test_intruders.py, and has another name at each site.
    """
    platform = set(objects(source))
    added = "\n\n".join(part for part in objects(package) if part not in platform) + "\n"
    return re.sub(r"AS (\$\w*\$).*?\1;", "AS …;", added, flags=re.DOTALL)


@pytest.mark.distribution
def test_schema_is_as_reviewed(package_template, source_template):
    """Compares what is deployed with tests/golden/schema.txt, which is rewritten by

    UPDATE_GOLDEN=1 scripts/test -k schema_is_as_reviewed

    Another version of pg_dump may say the same in other words. One is enough: what is deployed
    does not depend on the server's version, and the verify scripts compare it on each.
    """
    major = int(re.search(r"\d+", succeed(run("pg_dump", "--version")))[0])
    if major != MAJOR:
        pytest.skip(f"tests/golden/schema.txt is in the words of pg_dump {MAJOR}, not {major}")
    schema = package_schema(package_template, source_template)
    if os.environ.get("UPDATE_GOLDEN") == "1":
        GOLDEN.write_text(schema, encoding="utf-8")
    expected = GOLDEN.read_text(encoding="utf-8")

    difference = difflib.unified_diff(
        expected.splitlines(),
        schema.splitlines(),
        "tests/golden/schema.txt",
        "deployed",
        lineterm="",
    )

    if schema != expected:
        pytest.fail(
            "\n".join(["The schema has changed. If that is meant:", UPDATE, "", *difference]),
            pytrace=False,
        )
