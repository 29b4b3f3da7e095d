"""An upgrade, rehearsed: the newest release, what came since and what may come, and back."""

import re
import shutil
from pathlib import Path
from subprocess import CompletedProcess

import psycopg
import pytest
from support import (
    FACT,
    PROJECT,
    Source,
    fail,
    grant,
    psql,
    run,
    schema_dump,
    schema_objects,
    stored,
    succeed,
)

pytestmark = pytest.mark.distribution

NOT_SHIPPED = shutil.ignore_patterns(".*", "tests", "__pycache__")
MAINTAINERS = {"SQITCH_FULLNAME": "Maintainers", "SQITCH_EMAIL": "maintainers@example.org"}


class Project:
    """The project in a git repository of its own, at a release."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @property
    def tag(self) -> str:
        return re.findall(r"(?m)^@(\S+)", (self.folder / "sqitch.plan").read_text("utf-8"))[-1]

    def take_what_is_here(self) -> None:
        """And tag it, unless it is a release, so that it can be reworked."""
        shutil.copytree(PROJECT, self.folder, ignore=NOT_SHIPPED, dirs_exist_ok=True)
        plan = self.folder / "sqitch.plan"
        if not (text := plan.read_text("utf-8")).splitlines()[-1].startswith("@"):
            rehearsed = "@rehearsed 2026-11-27T00:00:00Z Maintainers <maintainers@example.org>\n"
            plan.write_text(text + rehearsed, "utf-8")

    def git(self, *arguments: str) -> None:
        who = ("-c", "user.name=Maintainers", "-c", "user.email=maintainers@example.org")
        succeed(run("git", "-C", self.folder, *who, *arguments, GIT_CONFIG_GLOBAL="/dev/null"))

    def sqitch(self, *arguments: str) -> CompletedProcess[str]:
        return run("sqitch", "--chdir", self.folder, *arguments, **MAINTAINERS)

    def check(self) -> CompletedProcess[str]:
        return run(self.folder / "scripts" / "released")

    def edit(self, path: str, pattern: str, replacement: str) -> None:
        """Change the first place that matches."""
        file = self.folder / path
        text = file.read_text(encoding="utf-8")
        text, count = re.subn(pattern, lambda _: replacement, text, count=1)
        assert count == 1, f"{path} has nothing like {pattern}"
        file.write_text(text, encoding="utf-8")


@pytest.fixture
def project(tmp_path) -> Project:
    """The newest release, as its commit has it; before there is one, what is here."""
    project = Project(tmp_path / "project")
    if commits := re.findall(r" \((\w+)\)", succeed(run(PROJECT / "scripts/released"))):
        succeed(run("git", "archive", f"--output={tmp_path}/release.zip", commits[-1]))
        shutil.unpack_archive(tmp_path / "release.zip", project.folder)
        shutil.copytree(PROJECT / "scripts", project.folder / "scripts", dirs_exist_ok=True)
    else:
        project.take_what_is_here()
    project.git("init", "--quiet")
    project.git("add", ".")
    project.git("commit", "--quiet", "--message", "Release")
    return project


# --- Reworking, deploying, reverting -----------------------------------------

REWORKED = ("write_monthly_snapshot", "guard_closed_months", "monthly_status_trend")
VIEW = "customer.monthly_status_trend"

# A view whose columns change is dropped and made anew with the grants that it had.
KEEP_GRANTS_AND_DROP = f"""
SELECT coalesce(
    string_agg(format('GRANT %s ON TABLE {VIEW} TO %s;', privilege_type, grantee::regrole), ' '),
    'SELECT'
) AS grants
FROM pg_class
CROSS JOIN aclexplode(relacl)
WHERE oid = to_regclass('{VIEW}')
    AND grantee <> relowner
\\gset

DROP VIEW IF EXISTS {VIEW};

"""


def rework(project: Project) -> None:
    """A function, a function with triggers, a view that is dropped; and a column."""
    tag = project.tag
    for change in REWORKED:
        succeed(project.sqitch("rework", change, "--note", "Reworked."))
        # What Sqitch writes: the way back is to deploy what was there.
        old = project.folder / "deploy" / f"{change}@{tag}.sql"
        assert (project.folder / "revert" / f"{change}.sql").read_bytes() == old.read_bytes()

    for change in REWORKED[:2]:
        project.edit(f"deploy/{change}.sql", r"\nAS \$\$\n", "\nAS $$\n-- Reworked.\n")
    for path in ("deploy/monthly_status_trend.sql", "revert/monthly_status_trend.sql"):
        project.edit(path, "CREATE OR REPLACE VIEW", KEEP_GRANTS_AND_DROP + "CREATE VIEW")
        project.edit(path, "COMMIT;", "SELECT :'grants' \\gexec\n\nCOMMIT;")
    revoke = ";\n\nCALL customer.revoke_default_grants"
    project.edit("deploy/monthly_status_trend.sql", revoke, "\nOFFSET 0" + revoke)

    succeed(project.sqitch("add", "remark", "--note", "A column."))
    for folder, action in (("deploy", "ADD remark text"), ("revert", "DROP remark")):
        project.edit(f"{folder}/remark.sql", "-- XXX .*", f"ALTER TABLE {FACT} {action};")


def bring_verify_up_to_date(project: Project, database: str, change: str) -> None:
    """Deploy a change, and put the hash that its verify script finds into it."""
    path = project.folder / "verify" / f"{change}.sql"
    succeed(psql(database, "-f", project.folder / "deploy" / f"{change}.sql"))
    [(found, expected)] = re.findall(
        r"hash ([0-9a-f]{64}), expected ([0-9a-f]{64})", fail(psql(database, "-f", path))
    )
    project.edit(f"verify/{change}.sql", expected, found)
    succeed(psql(database, "-f", path))


def test_upgrade_and_its_way_back_keep_rows_grants_and_closed_months(
    project, create_test_database, source_template, package_template, create_role
):
    database = create_test_database(source_template)
    target = ("--target", f"db:pg:{database}")
    role = create_role()
    succeed(project.sqitch("deploy", *target))
    succeed(grant(database, etl=role, operator=role, closer=role, reader=role))
    with psycopg.connect(dbname=database) as connection:
        source = Source(connection)
        source.contract("C1")
        for day in ("2026-01-31", "2026-02-28"):
            source.detail("C1", "1", day)
            connection.execute("SELECT customer.refresh_monthly_snapshot(%s)", [day])
        connection.execute("SELECT customer.close_snapshot_month('2026-01-31', 'published')")

    def state() -> tuple:
        with psycopg.connect(dbname=database) as connection:
            written = {name: [row[1:] for row in rows] for name, rows in stored(connection).items()}
            return schema_objects(database), written

    released, months = state()
    tag = project.tag

    # An upgrade that fails half-way: its verify script expects what was there before.
    project.take_what_is_here()
    rework(project)
    assert "write_monthly_snapshot" in fail(project.sqitch("deploy", *target))
    assert state() == (released, months)

    # One that does not.
    spare = create_test_database(package_template)
    for change in REWORKED:
        bring_verify_up_to_date(project, spare, change)
    succeed(project.sqitch("deploy", *target))
    assert "Verify successful" in succeed(project.sqitch("verify", *target))
    upgraded, months_now = state()
    assert months_now == months
    assert {item for item in released.items() if "ACL " in item[0]} <= upgraded.items()
    new = upgraded.items() ^ schema_objects(package_template).items()
    assert {name for name, _ in new if "ACL " not in name} == {
        "FUNCTION customer.guard_closed_months()",
        "FUNCTION customer.write_monthly_snapshot(date, text, text)",
        f"TABLE {FACT}",
        f"VIEW {VIEW}",
    }
    with psycopg.connect(dbname=database) as connection:
        connection.execute(f"SET ROLE {role}; SELECT FROM {VIEW}; RESET ROLE")
        connection.execute("SELECT customer.refresh_monthly_snapshot('2026-02-28')")
        with pytest.raises(psycopg.errors.ObjectNotInPrerequisiteState, match="is closed"):
            connection.execute(f"DELETE FROM {FACT}")

    # Back to the release. Of what was reworked, only the release itself verifies all.
    succeed(project.sqitch("revert", "-y", "--to", f"@{tag}", *target))
    assert state() == (released, months)
    project.git("stash", "--include-untracked")
    assert "Verify successful" in succeed(project.sqitch("verify", *target))
    project.git("stash", "pop")

    # And no further than the first one, from where it is or from the upgrade.
    for _ in range(2):
        assert "keep_stored_months" in fail(project.sqitch("revert", "-y", *target))
        assert state()[1] == months
        succeed(project.sqitch("deploy", *target))
        assert state() == (upgraded, months)

    # A new site gets there by way of the release, and back.
    site = create_test_database(source_template)
    target = ("--target", f"db:pg:{site}")
    succeed(project.sqitch("deploy", *target))
    assert set(schema_objects(site)) ^ set(upgraded) <= {
        name for name in upgraded if "ACL " in name
    }
    succeed(project.sqitch("revert", "-y", *target))
    assert schema_dump(site) == schema_dump(source_template)


# --- What is released is frozen ----------------------------------------------


def test_released_changes_are_reworked_and_not_edited(project):
    tag = project.tag
    rework(project)
    assert f" {tag} (" in succeed(project.check())

    edited = (f"deploy/guard_closed_months@{tag}.sql", "sqitch.plan", "verify/post_etl_hook.sql")
    for path in edited:
        project.edit(path, "Snapshot Maintainers|BEGIN;", "edited")
    assert f"not as released: {' '.join(edited)}. A" in fail(project.check())
    # Nor by another release, nor by git's tag.
    succeed(project.sqitch("tag", "next", "--note", "Rehearsed."))
    project.git("add", ".")
    project.git("commit", "--quiet", "--message", "Next")
    assert f"not as released: {' '.join(edited)}. A" in fail(project.check())
    project.git("tag", tag)
    assert f"git's tag {tag} is not what commit " in fail(project.check())


def test_what_was_released_is_in_gits_history(project, tmp_path):
    tag = project.tag
    project.git("commit", "--quiet", "--allow-empty", "--message", "Later")
    shallow = Project(tmp_path / "shallow")
    origin = f"file://{project.folder}"
    project.git("clone", "--quiet", "--depth=1", origin, str(shallow.folder))
    shallow.git("remote", "remove", "origin")
    assert "git fetch --unshallow" in fail(shallow.check())
    shallow.git("remote", "add", "origin", origin)
    assert f" {tag} (" in succeed(shallow.check())

    succeed(project.sqitch("tag", "next", "--note", "Rehearsed."))
    assert "no commit has the tag @next" in fail(project.check())
    project.edit("sqitch.plan", "(?m)^@.*\n", "")
    assert f"lost the tag @{tag}" in fail(project.check())
