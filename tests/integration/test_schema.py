"""The deployed schema, word for word, so that every change to it is seen in review."""

import difflib
import re
import shutil
import sys

import pytest
from support import PROJECT, run, schema_objects, succeed

GOLDEN = PROJECT / "tests" / "golden" / "schema.txt"
# The version of PostgreSQL whose pg_dump wrote the file.
MAJOR = 15


def package_schema(package: str, source: str) -> str:
    """What deploying adds, in pg_dump's words but for three things.

    Bodies of functions and views, and comments, stand in deploy/, where a change to them is seen
    as well.
    Whoever deploys owns all of it, which is for test_intruders.py, and has another name at each
    site.
    """
    platform = schema_objects(source)
    added = "\n\n".join(
        text
        for name, text in schema_objects(package).items()
        if platform.get(name) != text and not name.startswith("COMMENT ")
    )
    added = re.sub(r"^(ALTER .* OWNER TO .*;\n+|\n)", "", added + "\n", flags=re.MULTILINE)
    added = re.sub(r"(CREATE VIEW \S+ AS)\n.*?;\n", r"\1 …;\n", added, flags=re.DOTALL)
    return re.sub(r"\s+AS (\$\w*\$).*?\1;", " AS …;", added, flags=re.DOTALL)


def skip_reason() -> str | None:
    """Why this machine cannot compare with the golden file, if so.

    Another version of pg_dump may say the same in other words. One is enough: what is deployed
    does not depend on the server's version, and the verify scripts compare it on each.
    """
    major = int(re.search(r"\d+", succeed(run("pg_dump", "--version")))[0])
    if major == MAJOR:
        return None
    return f"tests/golden/schema.txt is in the words of pg_dump {MAJOR}, not {major}"


@pytest.mark.distribution
def test_schema_is_as_reviewed(package_template, source_template):
    """Compares what is deployed with tests/golden/schema.txt, which scripts/accept writes."""
    if reason := skip_reason():
        pytest.skip(reason)
    schema = package_schema(package_template, source_template)
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
            "\n".join(
                ["The schema has changed. If that is meant: scripts/accept", "", *difference]
            ),
            pytrace=False,
        )


@pytest.mark.distribution
def test_accept_brings_hashes_and_schema_up_to_date(tmp_path):
    """In a copy of the project, and on a server of its own."""
    if reason := skip_reason():
        pytest.skip(reason)
    copy = tmp_path / "copy"
    shutil.copytree(PROJECT, copy, ignore=shutil.ignore_patterns(".*", "__pycache__"))
    (copy / ".venv").symlink_to(PROJECT / ".venv")
    stale = ["verify/guard_closed_months.sql", "verify/monthly_status_trend.sql"]
    for name in stale:
        path = copy / name
        path.write_text(re.sub("'[0-9a-f]{64}'", f"'{'0' * 64}'", path.read_text("utf-8")), "utf-8")
    (copy / "tests/golden/schema.txt").write_text("")

    output = succeed(run(copy / "scripts/accept"))

    listed = output.partition("see git diff:\n")[2].split("==")[0].split()
    assert listed == [*stale, "tests/golden/schema.txt"]
    for name in listed:
        assert (copy / name).read_bytes() == (PROJECT / name).read_bytes()
    assert "Verify successful" in output


@pytest.mark.distribution
def test_every_way_to_break_the_package_still_applies():
    """tests/mutants.py names places in the code, and knows when one is there no more."""
    # scripts/accept runs this file with no path to it.
    from mutants import mutants

    assert 500 <= len(mutants()) <= 1800


if __name__ == "__main__":  # scripts/accept; the databases are with and without the package
    if reason := skip_reason():
        print(f"It is left as it is: {reason}.")
    else:
        GOLDEN.write_text(package_schema(*sys.argv[1:]), encoding="utf-8")
