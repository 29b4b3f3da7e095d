"""A database of its own for each test, on the private server that scripts/test starts."""

import os
import uuid
from collections import defaultdict
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from itertools import chain

import psycopg
import pytest
from psycopg import sql
from support import LEVELS, deploy_scripts, empty, psql, sqitch, succeed

if os.environ.get("SNAPSHOT_TEST_SERVER") != "1":
    pytest.exit("These tests make and drop databases: run them with scripts/test.", returncode=2)


@contextmanager
def new_databases() -> Iterator[Callable[..., str]]:
    """A function that makes a database, empty or a copy of another; all are dropped at the end."""
    names = []
    with psycopg.connect(autocommit=True) as server:

        def create(template: str = "template1") -> str:
            name = f"snapshot_{uuid.uuid4().hex[:12]}"
            server.execute(
                sql.SQL("CREATE DATABASE {} TEMPLATE {}").format(
                    sql.Identifier(name), sql.Identifier(template)
                )
            )
            names.append(name)
            return name

        yield create
        for name in names:
            server.execute(
                sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name))
            )


@pytest.fixture(scope="session")
def create_database() -> Iterator[Callable[..., str]]:
    """A function that makes a database, empty or a copy of another, for all tests."""
    with new_databases() as create:
        yield create


@pytest.fixture
def create_test_database() -> Iterator[Callable[..., str]]:
    """A function that makes a database, empty or a copy of another, for this test alone."""
    with new_databases() as create:
        yield create


@pytest.fixture(scope="session")
def source_template(create_database) -> str:
    """A database with the platform's empty source tables, to copy."""
    name = create_database()
    succeed(psql(name, "-f", "sql/demo/source_system.sql"))
    return name


@pytest.fixture(scope="session")
def package_template(create_database, source_template) -> str:
    """A database with the package deployed over empty source tables, to copy."""
    name = create_database(source_template)
    # Sqitch itself takes twice as long. Of a change that has been reworked, it would verify what
    # was released, too, which has gone by then.
    succeed(deploy_scripts(name, folders=("deploy",)))
    succeed(sqitch(name, "deploy", "--log-only", "--no-verify"))
    return name


@pytest.fixture(scope="session")
def sample_template(create_database, package_template) -> str:
    """A database with the package deployed over the sample data, to copy; it is 200 MB large."""
    name = create_database(package_template)
    with psycopg.connect(dbname=name, autocommit=True) as connection:
        indexes = connection.execute(
            "SELECT indexrelid::regclass::text, pg_get_indexdef(indexrelid) FROM pg_index"
            " WHERE indrelid = 'business.\"规模明细\"'::regclass AND NOT indisprimary"
        ).fetchall()
        # It takes a third less to make them when the table is full.
        for index, _ in indexes:
            connection.execute(f"DROP INDEX {index}")
        succeed(psql(name, "-f", "sql/demo/sample_data.sql"))
        for _, definition in indexes:
            connection.execute(definition)
    return name


@pytest.fixture
def template(package_template) -> str:
    """What each test's database is a copy of; a test file may say otherwise."""
    return package_template


@pytest.fixture
def database(create_test_database, template) -> str:
    """The name of a database of this test's own, with the package and empty source tables."""
    return create_test_database(template)


@pytest.fixture
def source_database(create_test_database, source_template) -> str:
    """A database of this test's own, with empty source tables and without the package."""
    return create_test_database(source_template)


@pytest.fixture(scope="module")
def common_database(create_database, package_template) -> str:
    """One database for all tests of a file: quicker than a new one each."""
    name = create_database(package_template)
    with psycopg.connect(autocommit=True) as server:
        # Quicker, and nobody is to see what a crash would lose.
        server.execute(f"ALTER DATABASE {name} SET synchronous_commit = off")
    return name


@pytest.fixture
def emptied_database(common_database) -> str:
    """That database as it was at first; a test file may make it the database of its tests."""
    with psycopg.connect(dbname=common_database) as connection:
        empty(connection)
    return common_database


@pytest.fixture
def connect(database) -> Iterator[Callable[..., psycopg.Connection]]:
    """A function that opens a further connection to this test's database."""
    connections = []

    def open_connection(**parameters) -> psycopg.Connection:
        connection = psycopg.connect(dbname=database, **parameters)
        connections.append(connection)
        return connection

    yield open_connection
    for connection in connections:
        connection.close()


@pytest.fixture
def connection(connect) -> psycopg.Connection:
    """A connection to this test's database, in autocommit mode."""
    return connect(autocommit=True)


@pytest.fixture(scope="module")
def idle_sessions() -> Iterator[dict[str, list[psycopg.Connection]]]:
    """Sessions that outlive a test: each new backend must plan everything anew."""
    sessions = defaultdict(list)
    yield sessions
    for connection in chain.from_iterable(sessions.values()):
        connection.close()


@pytest.fixture
def session(database, idle_sessions) -> Iterator[Callable[..., psycopg.Connection]]:
    """A function that opens a session whose transactions have an isolation level."""
    borrowed = []

    def open_session(level: str = "read committed", **parameters) -> psycopg.Connection:
        idle = idle_sessions[str((database, parameters))]
        connection = idle.pop() if idle else psycopg.connect(dbname=database, **parameters)
        borrowed.append((idle, connection))
        connection.isolation_level = LEVELS[level]
        return connection

    yield open_session
    for idle, connection in borrowed:
        with suppress(psycopg.OperationalError):  # one that was killed
            connection.execute("ROLLBACK")
            idle.append(connection)


@contextmanager
def new_roles() -> Iterator[Callable[..., str]]:
    """A function that makes a role that may log in, with its name as password, and nothing else."""
    names = []
    with psycopg.connect(autocommit=True) as server:

        def create(label: str = "role") -> str:
            name = f"{label}_{uuid.uuid4().hex[:12]}"
            server.execute(
                sql.SQL("CREATE ROLE {} LOGIN PASSWORD {}").format(
                    sql.Identifier(name), sql.Literal(name)
                )
            )
            names.append(name)
            return name

        yield create
        for name in names:
            drop_owned = sql.SQL("DROP OWNED BY {} CASCADE").format(sql.Identifier(name))
            for (database,) in server.execute(
                "SELECT DISTINCT datname FROM pg_shdepend JOIN pg_database"
                " ON pg_database.oid = dbid"
                " WHERE refclassid = 'pg_authid'::regclass AND refobjid ="
                " (SELECT oid FROM pg_roles WHERE rolname = %s)",
                [name],
            ).fetchall():
                with psycopg.connect(dbname=database) as connection:
                    connection.execute(drop_owned)
            server.execute(drop_owned)
            server.execute(sql.SQL("DROP ROLE {}").format(sql.Identifier(name)))


@pytest.fixture
def create_role() -> Iterator[Callable[..., str]]:
    """That function; the test's roles go with it, wherever they own or may do something."""
    with new_roles() as create:
        yield create


@pytest.fixture(scope="module")
def create_common_role() -> Iterator[Callable[..., str]]:
    """The same for all tests of a file."""
    with new_roles() as create:
        yield create


@pytest.fixture
def start(database) -> Iterator[Callable[..., Future]]:
    """A function that begins a call in a thread of its own: start(function, argument, …)."""
    calls = []
    with ThreadPoolExecutor() as executor:

        def begin(function: Callable, *arguments) -> Future:
            calls.append(executor.submit(function, *arguments))
            return calls[-1]

        yield begin
        if not all(call.done() for call in calls):
            # The test failed half-way, and they would wait for ever.
            with psycopg.connect(dbname=database) as connection:
                connection.execute(
                    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                    " WHERE datname = current_database() AND pid <> pg_backend_pid()"
                )
