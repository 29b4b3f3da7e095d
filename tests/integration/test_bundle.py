"""The release folder that scripts/bundle writes, and its install.sql, which psql runs alone."""

import re
import shutil
from functools import partial
from pathlib import Path
from subprocess import CompletedProcess

import psycopg
import pytest
import support
from support import ALEMBIC_TABLE, PROJECT, changes, fail, psql, run, schema_dump, succeed
from test_upgrade import MAINTAINERS, NOT_SHIPPED, Project, bring_verify_up_to_date

# Debian's /usr/bin/psql is written in Perl.
PSQL = max(Path("/usr/lib/postgresql").glob("*/bin/psql"))
[VERSION] = re.findall("SELECT '(.*)'", (PROJECT / "deploy/snapshot_version.sql").read_text())


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    parent = tmp_path_factory.mktemp("release")
    succeed(run("/usr/bin/env", "-C", parent, PROJECT / "scripts/bundle"))
    return parent / f"customer_monthly_snapshot-{VERSION}"


def install(folder: Path, database: str, *options: str, **environment) -> CompletedProcess[str]:
    """Where there is nothing but psql and the one file."""
    command = (PSQL, "-X", "-d", database, "-f", folder / "install.sql", *options)
    return run("/usr/bin/env", "-C", "/", *command, PATH="/nowhere", **environment)


def deployed(output: str) -> list[str]:
    return re.findall(r"^  \+ (\w+)", output, re.MULTILINE)


def test_version_is_the_newest_that_was_released():
    changelog, plan = ((PROJECT / name).read_text() for name in ("CHANGELOG.md", "sqitch.plan"))
    released = re.findall(r"^## \[(\d\S*)\]", changelog, re.MULTILINE)

    assert released[0] == VERSION if released else VERSION.endswith("-dev")
    assert re.findall(r"^@v(\S+)", plan, re.MULTILINE)[-1:] in ([], [VERSION])


def test_folder_holds_all_that_a_site_needs_and_is_not_written_over(folder):
    wanted = "sqitch.* deploy/* revert/* verify/* sql/**/*.* scripts/*.py *.md"
    files = {path.relative_to(PROJECT) for name in wanted.split() for path in PROJECT.glob(name)}
    found = {path.relative_to(folder) for path in folder.rglob("*.*")}
    assert found == files | {Path("install.sql")}
    for file in files:
        assert (folder / file).read_bytes() == (PROJECT / file).read_bytes(), file
    assert "not an empty folder" in fail(run(PROJECT / "scripts/bundle", folder))


@pytest.mark.parametrize("options", [(), ("--set", "contracts=customer.c", "--set", "adopt=true")])
def test_what_psql_installs_is_what_sqitch_deploys(
    folder, create_test_database, source_template, package_template, options
):
    """And no script's settings are left to the next, nor to whoever has the session then."""
    database, expected = create_test_database(source_template), package_template
    if options:
        rename = "ALTER TABLE customer.customer_plan_contract RENAME TO c;"
        succeed(psql(database, "-c", ALEMBIC_TABLE + rename))
        expected = create_test_database(database)
        succeed(support.sqitch(expected, "deploy", *options))
    show = ("-c", "SHOW client_encoding", "-c", "SHOW quote_all_identifiers")
    site = {"PGCLIENTENCODING": "GBK", "PGOPTIONS": "-c quote_all_identifiers=on"}
    output = succeed(install(folder, database, *options, *show, **site))

    assert deployed(output) == changes()
    assert output.endswith("\nGBK\non\n")
    assert schema_dump(database) == schema_dump(expected)


@pytest.mark.distribution
@pytest.mark.parametrize(("script", "mark"), [("deploy", "+"), ("verify", "*")])
def test_error_leaves_nothing_and_names_the_change(
    folder, create_test_database, source_template, tmp_path, script, mark
):
    database = create_test_database(source_template)
    begin = f"-- === {script}/published_changes.sql ===\n\nRESET ALL;\n"
    text = (folder / "install.sql").read_text("utf-8")
    text = text.replace(begin, begin + "SHOW search_path; SELECT 1 / 0;\n")
    (tmp_path / "install.sql").write_text(text, "utf-8")

    result = install(tmp_path, database)
    assert "division by zero" in fail(result)
    assert result.stdout.endswith(f'\n  {mark} published_changes\n"$user", public\n')
    assert schema_dump(database) == schema_dump(source_template)


@pytest.mark.distribution
def test_owner_installs_it_and_sqitch_takes_over(
    folder, create_test_database, source_template, create_role, tmp_path
):
    database, role = create_test_database(source_template), create_role()
    succeed(psql(database, "-c", support.grants_to_owner(database, role)))
    owner = {"PGOPTIONS": f"-c role={role}"}
    succeed(install(folder, database, **owner))
    with psycopg.connect(dbname=database) as connection:
        support.Source(connection).contract("C1")
        support.Source(connection).detail("C1", "1")
    backfill = "from=2026-01-31 -v to=2026-01-31 -v reason=why -f {}/sql/backfill.sql"
    for words in (backfill, "month=2026-01-31 -f {}/sql/queries/new_and_lost.sql"):
        succeed(psql(database, "-v", *words.format(folder).split(), **owner))

    assert f"snapshot {VERSION}\n" in succeed(install(folder, database, **owner))

    project = shutil.copytree(folder, tmp_path / "project")
    sqitch = partial(run, "sqitch", "--chdir", project, **MAINTAINERS, **owner)
    target = f"db:pg:{database}"
    take_over = support.shell_command("--log-only").split()[1:]
    succeed(sqitch(*(target if word.startswith("db:pg:") else word for word in take_over)))
    assert "Verify successful" in succeed(sqitch("verify", target))
    succeed(sqitch("add", "later", "--note", "Later."))
    assert deployed(succeed(sqitch("deploy", target))) == ["later"]
    assert f"table {support.FACT} holds rows" in fail(sqitch("revert", "-y", target))
    succeed(psql(database, "-v", f"etl={role}", "-f", folder / "sql/grants.sql"))


@pytest.mark.distribution
def test_later_release_deploys_what_is_new_and_an_earlier_one_is_refused(
    tmp_path, create_test_database, source_template, package_template
):
    project = Project(shutil.copytree(PROJECT, tmp_path / "project", ignore=NOT_SHIPPED))
    spare = create_test_database(package_template)
    for version in ("98.0.0", "99.0.0-dev", "99.0.0"):
        if version == "99.0.0-dev":
            succeed(project.sqitch("rework", "snapshot_version", "--note", "Reworked."))
        project.edit("deploy/snapshot_version.sql", "SELECT '.*'", f"SELECT '{version}'")
        bring_verify_up_to_date(project, spare, "snapshot_version")
        if not version.endswith("-dev"):
            succeed(project.sqitch("tag", f"v{version}", "--note", "Released."))
        succeed(run(project.folder / "scripts/bundle", tmp_path / version))
    database = create_test_database(source_template)
    versions = ("98.0.0", "98.0.0", "99.0.0-dev", "99.0.0", "99.0.0")
    outputs = [succeed(install(tmp_path / version, database)) for version in versions]
    refused = fail(install(tmp_path / "98.0.0", database))

    new = ["snapshot_version"]
    assert [deployed(output) for output in outputs] == [changes(), [], new, new, []]
    assert (
        "version 99.0.0 is installed, which version 98.0.0 does not know how to upgrade" in refused
    )
