"""sql/grants.sql, with roles that log in: each can do what it is for, and nothing else."""

import subprocess
import uuid
from collections.abc import Callable, Iterator
from datetime import date

import psycopg
import pytest
from psycopg import sql
from support import (
    CONTROL,
    FACT,
    LOG,
    Source,
    fail,
    psql,
    run,
    succeed,
)

JANUARY = date(2026, 1, 31)

# What sql/grants.sql grants; "nobody" may log in, and "visitor" has USAGE on the schema besides.
KINDS = ("etl", "operator", "restater", "closer", "reader")
KINDS_AND_OTHERS = (*KINDS, "visitor", "nobody")

USAGE = ("schema customer", "USAGE")
GRANTED = {
    "etl": {USAGE, ("customer.post_etl_hook(text,text)", "EXECUTE")},
    "operator": {
        USAGE,
        ("customer.refresh_monthly_snapshot(date)", "EXECUTE"),
        ("customer.period_to_snapshot_month(text)", "EXECUTE"),
    },
    "restater": {
        USAGE,
        ("customer.restate_monthly_snapshot(date,text)", "EXECUTE"),
        ("customer.monthly_snapshot_control", "SELECT"),
    },
    "closer": {
        USAGE,
        ("customer.close_snapshot_month(date,text)", "EXECUTE"),
        ("customer.reopen_snapshot_month(date,text)", "EXECUTE"),
    },
    "reader": {
        USAGE,
        ("customer.fct_customer_business_monthly_status", "SELECT"),
        ("customer.monthly_status_trend", "SELECT"),
        ("customer.monthly_snapshot_control", "SELECT"),
        ("customer.monthly_snapshot_log", "SELECT"),
        ("customer.validate_monthly_snapshot(date)", "EXECUTE"),
    },
    "visitor": {USAGE},
    "nobody": set(),
}


# --- Statements: at least one on every object of the package -----------------

TREND = "customer.monthly_status_trend"
SEQUENCE = "customer.monthly_snapshot_log_log_id_seq"
SOURCES = (
    'customer."年金客户"',
    'mapping."产品线"',
    "customer.customer_plan_contract",
    'customer."当年中标"',
    'customer."当年流失"',
    'business."规模明细"',
)

# Each function by a statement that needs EXECUTE on it.
CALLS = {
    "customer.close_snapshot_month(date,text)": (
        "SELECT customer.close_snapshot_month('2026-01-31', 'published')"
    ),
    "customer.contracts_as_of(date)": "SELECT * FROM customer.contracts_as_of('2026-01-31')",
    "customer.guard_closed_months()": (
        "CREATE TEMPORARY TABLE own ();"
        " CREATE TRIGGER own BEFORE TRUNCATE ON own EXECUTE FUNCTION customer.guard_closed_months()"
    ),
    "customer.lock_open_snapshot_month(date)": (
        "SELECT customer.lock_open_snapshot_month('2026-01-31')"
    ),
    "customer.lock_snapshot_month(date)": "SELECT customer.lock_snapshot_month('2026-01-31')",
    "customer.missing_snapshot_sources()": "SELECT * FROM customer.missing_snapshot_sources()",
    "customer.period_to_snapshot_month(text)": "SELECT customer.period_to_snapshot_month('202601')",
    "customer.post_etl_hook(text,text)": (
        "SELECT customer.post_etl_hook('annuity_performance', '202601')"
    ),
    "customer.refresh_monthly_snapshot(date)": (
        "SELECT customer.refresh_monthly_snapshot('2026-01-31')"
    ),
    "customer.reopen_snapshot_month(date,text)": (
        "SELECT customer.reopen_snapshot_month('2025-12-31', 'why')"
    ),
    "customer.restate_monthly_snapshot(date,text)": (
        "SELECT customer.restate_monthly_snapshot('2026-01-31', 'why')"
    ),
    "customer.set_snapshot_updated_at()": (
        "CREATE TEMPORARY TABLE own ();"
        " CREATE TRIGGER own BEFORE UPDATE ON own"
        " FOR EACH ROW EXECUTE FUNCTION customer.set_snapshot_updated_at()"
    ),
    "customer.snapshot_month_of(date)": "SELECT customer.snapshot_month_of('2026-01-31')",
    "customer.validate_monthly_snapshot(date)": (
        "SELECT * FROM customer.validate_monthly_snapshot('2026-01-31')"
    ),
    "customer.write_monthly_snapshot(date,text,text)": (
        "SELECT customer.write_monthly_snapshot('2026-01-31', 'refresh', NULL)"
    ),
}

# Each relation by statements of which each needs a right of its own.
ON_TABLE = {
    "SELECT": "SELECT * FROM {}",
    "SELECT FOR UPDATE": "SELECT * FROM {} FOR UPDATE",
    "COPY TO": "COPY {} TO STDOUT",
    "COPY FROM": "COPY {} FROM STDIN",
    "DELETE": "DELETE FROM {}",
    "TRUNCATE": "TRUNCATE {}",
    "LOCK": "LOCK TABLE {} IN ACCESS EXCLUSIVE MODE",
    "ALTER": "ALTER TABLE {} ADD COLUMN own integer",
    "ALTER … DISABLE TRIGGER": "ALTER TABLE {} DISABLE TRIGGER USER",
    "DROP": "DROP TABLE {} CASCADE",
    "CREATE TRIGGER": (
        "CREATE FUNCTION pg_temp.own() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN END';"
        " CREATE TRIGGER own AFTER INSERT ON {} EXECUTE FUNCTION pg_temp.own()"
    ),
    "CREATE INDEX": "CREATE INDEX own ON {} (snapshot_month)",
    "CREATE RULE": "CREATE RULE own AS ON INSERT TO {} DO INSTEAD NOTHING",
}
ON_RELATION = {
    FACT: ON_TABLE
    | {
        "INSERT": "INSERT INTO {} VALUES ('2026-01-31', 'C1', 'PL201', '企年投资')",
        "UPDATE": "UPDATE {} SET aum_balance = 0",
    },
    CONTROL: ON_TABLE
    | {
        "INSERT": "INSERT INTO {} VALUES ('2026-03-31')",
        "UPDATE": "UPDATE {} SET closed_at = NULL, closed_by = NULL, close_note = NULL",
    },
    LOG: ON_TABLE
    | {
        "INSERT": (
            "INSERT INTO {}"
            " (snapshot_month, operation, reason, started_at, finished_at,"
            " invoked_by, application_name)"
            " VALUES ('2026-01-31', 'close', 'why', now(), now(), 'someone', '')"
        ),
        "UPDATE": "UPDATE {} SET invoked_by = 'someone'",
    },
    TREND: {
        "SELECT": "SELECT * FROM {}",
        "ALTER": "ALTER VIEW {} ALTER COLUMN plans SET DEFAULT 0",
        "DROP": "DROP VIEW {}",
    },
    SEQUENCE: {
        "SELECT": "SELECT * FROM {}",
        "nextval": "SELECT nextval('{}')",
        "setval": "SELECT setval('{}', 1000000)",
        "ALTER": "ALTER SEQUENCE {} RESTART",
    },
}

STATEMENTS = (
    {f"call {function}": statement for function, statement in CALLS.items()}
    | {
        f"ALTER FUNCTION {function}": f"ALTER FUNCTION {function} SECURITY INVOKER RESET ALL"
        for function in CALLS
    }
    | {
        f"{action} {relation}": statement.format(relation)
        for relation, actions in ON_RELATION.items()
        for action, statement in actions.items()
    }
    | {f"SELECT {source}": f"SELECT * FROM {source}" for source in SOURCES}
    | {
        # Not DELETE: that would need the rights of the tables which refer to it.
        f"LOCK {source}": f"LOCK TABLE {source} IN ACCESS EXCLUSIVE MODE"
        for source in SOURCES
    }
    | {
        "CREATE TABLE": "CREATE TABLE customer.own ()",
        "CREATE FUNCTION": (
            "CREATE FUNCTION customer.refresh_monthly_snapshot(text) RETURNS jsonb"
            " LANGUAGE sql AS 'SELECT NULL::jsonb'"
        ),
        "DROP SCHEMA": "DROP SCHEMA customer CASCADE",
        "SET ROLE": "SET LOCAL ROLE {owner}",
        "SET SESSION AUTHORIZATION": "SET LOCAL SESSION AUTHORIZATION {owner}",
        "SET session_replication_role": "SET LOCAL session_replication_role = replica",
    }
)

ALLOWED = {
    "etl": {"call customer.post_etl_hook(text,text)"},
    "operator": {
        "call customer.refresh_monthly_snapshot(date)",
        "call customer.period_to_snapshot_month(text)",
    },
    "restater": {
        "call customer.restate_monthly_snapshot(date,text)",
        f"SELECT {CONTROL}",
        f"COPY TO {CONTROL}",
    },
    "closer": {
        "call customer.close_snapshot_month(date,text)",
        "call customer.reopen_snapshot_month(date,text)",
    },
    "reader": {
        f"SELECT {FACT}",
        f"SELECT {CONTROL}",
        f"SELECT {LOG}",
        f"SELECT {TREND}",
        f"COPY TO {FACT}",
        f"COPY TO {CONTROL}",
        f"COPY TO {LOG}",
        "call customer.validate_monthly_snapshot(date)",
    },
    "visitor": set(),
    "nobody": set(),
}


# The rows of closed months are guarded from everyone.
GUARDED = {f"TRUNCATE {FACT}": "55000"}


# --- Fixtures ----------------------------------------------------------------


def fill(connection: psycopg.Connection) -> None:
    """A month that is stored, and a month that is closed."""
    source = Source(connection)
    source.contract("C1")
    source.detail("C1", "100")
    source.detail("C1", "50", day="2025-12-01")
    connection.execute("SELECT customer.refresh_monthly_snapshot('2026-01-31')")
    # By hand, without rows, so that statements on the whole fact table meet no closed month.
    connection.execute(
        f"INSERT INTO {CONTROL} (snapshot_month, closed_at, closed_by, close_note)"
        " VALUES ('2025-12-31', now(), 'auditor', 'published')"
    )


@pytest.fixture(scope="module")
def matrix_database(create_database, package_template) -> str:
    """The database of the tests that leave everything as it is."""
    name = create_database(package_template)
    with psycopg.connect(dbname=name) as connection:
        fill(connection)
    return name


@pytest.fixture
def database(emptied_database) -> str:
    """One database for all other tests, filled anew for each."""
    with psycopg.connect(dbname=emptied_database) as connection:
        fill(connection)
    return emptied_database


@pytest.fixture(scope="module")
def sessions(matrix_database) -> Iterator[dict[str, psycopg.Connection]]:
    """For each kind of role a session of a role that sql/grants.sql made such, and the owner's."""
    roles = {kind: f"{kind}_{uuid.uuid4().hex[:12]}" for kind in KINDS_AND_OTHERS}
    with psycopg.connect(dbname=matrix_database, autocommit=True) as owner:
        for role in roles.values():
            create_login(owner, role)
        owner.execute(
            sql.SQL("GRANT USAGE ON SCHEMA customer TO {}").format(sql.Identifier(roles["visitor"]))
        )
        succeed(grant(matrix_database, **{kind: roles[kind] for kind in KINDS}))
        opened = {
            kind: psycopg.connect(dbname=matrix_database, user=role, password=role)
            for kind, role in roles.items()
        }
        opened["owner"] = psycopg.connect(dbname=matrix_database)
        yield opened
        for session in opened.values():
            session.close()
        for role in roles.values():
            drop_role(owner, role)


@pytest.fixture
def create_named_role(connection) -> Iterator[Callable[[str], str]]:
    """A function that makes a role that may log in, with what it is given in its name."""
    names = []

    def create(label: str) -> str:
        name = f"{label} {uuid.uuid4().hex[:12]}"
        create_login(connection, name)
        names.append(name)
        return name

    yield create
    for name in names:
        drop_role(connection, name)


def create_login(connection: psycopg.Connection, name: str) -> None:
    connection.execute(
        sql.SQL("CREATE ROLE {} LOGIN PASSWORD {}").format(sql.Identifier(name), sql.Literal(name))
    )


def drop_role(connection: psycopg.Connection, name: str) -> None:
    connection.execute(sql.SQL("DROP OWNED BY {0}; DROP ROLE {0}").format(sql.Identifier(name)))


def grant(database: str, **roles: str) -> subprocess.CompletedProcess[str]:
    """Run sql/grants.sql; what it needs of psql it sets itself."""
    variables = [word for kind, role in roles.items() for word in ("-v", f"{kind}={role}")]
    return run("psql", "-X", "-q", "-d", database, *variables, "-f", "sql/grants.sql")


# --- Rights as the catalog has them ------------------------------------------

GRANTS = """
    SELECT 'schema ' || nspname AS object, item.*
    FROM pg_namespace
    CROSS JOIN aclexplode(coalesce(nspacl, acldefault('n', nspowner))) AS item
    UNION ALL
    SELECT pg_class.oid::regclass::text, item.*
    FROM pg_class
    CROSS JOIN aclexplode(
        coalesce(relacl, acldefault(CASE relkind WHEN 'S' THEN 's' ELSE 'r' END::"char", relowner))
    ) AS item
    WHERE relacl IS NOT NULL OR relnamespace <> 'pg_catalog'::regnamespace
    UNION ALL
    SELECT concat('column ', attrelid::regclass, '.', attname), item.*
    FROM pg_attribute
    CROSS JOIN aclexplode(attacl) AS item
    UNION ALL
    SELECT pg_proc.oid::regprocedure::text, item.*
    FROM pg_proc
    CROSS JOIN aclexplode(coalesce(proacl, acldefault('f', proowner))) AS item
    WHERE proacl IS NOT NULL OR pronamespace <> 'pg_catalog'::regnamespace
    UNION ALL
    SELECT 'default privileges', item.*
    FROM pg_default_acl
    CROSS JOIN aclexplode(defaclacl) AS item
    UNION ALL
    SELECT 'database ' || datname, item.*
    FROM pg_database
    CROSS JOIN aclexplode(datacl) AS item
    WHERE datname = current_database()
"""


def grants(connection: psycopg.Connection) -> list[tuple]:
    """Every right that anyone has in this database, but for what PostgreSQL itself gives."""
    return connection.execute(
        f"""
        SELECT object, grantor::regrole::text, grantee::regrole::text, privilege_type, is_grantable
        FROM ({GRANTS}) AS granted
        WHERE NOT starts_with(grantee::regrole::text, 'pg_')
        ORDER BY 1, 2, 3, 4
        """
    ).fetchall()


def grants_of(connection: psycopg.Connection, role: str) -> set[tuple[str, str]]:
    """The rights of a role, none of which it may pass on, and the roles that it belongs to."""
    found = connection.execute(
        f"""
        SELECT object, privilege_type, is_grantable
        FROM ({GRANTS}) AS granted
        WHERE grantee = (SELECT oid FROM pg_roles WHERE rolname = %(role)s)
        UNION ALL
        SELECT 'role ' || roleid::regrole, 'MEMBER', admin_option
        FROM pg_auth_members
        WHERE member = (SELECT oid FROM pg_roles WHERE rolname = %(role)s)
        """,
        {"role": role},
    ).fetchall()
    assert not [item for item in found if item[2]]
    return {item[:2] for item in found}


def package_objects(connection: psycopg.Connection) -> set[str]:
    """Functions and relations of the schemas that applications use."""
    return {
        name
        for (name,) in connection.execute(
            """
            SELECT pg_proc.oid::regprocedure::text
            FROM pg_proc
            JOIN pg_namespace ON pg_namespace.oid = pronamespace
            WHERE nspname NOT IN ('pg_catalog', 'information_schema', 'sqitch')
            UNION ALL
            SELECT pg_class.oid::regclass::text
            FROM pg_class
            JOIN pg_namespace ON pg_namespace.oid = relnamespace
            WHERE nspname NOT IN ('pg_catalog', 'information_schema', 'sqitch', 'pg_toast')
                AND relkind NOT IN ('i', 'I')
            """
        )
    }


# --- The matrix --------------------------------------------------------------


def outcome(connection: psycopg.Connection, statement: str) -> str:
    """What comes of a statement: "done", or the SQLSTATE of its error. Either way it is undone."""
    try:
        with connection.cursor() as cursor:
            if statement.startswith("COPY"):
                with cursor.copy(statement) as copy:
                    if statement.endswith("STDOUT"):
                        list(copy)
            else:
                cursor.execute(statement)
    except psycopg.Error as error:
        return error.sqlstate
    else:
        return "done"
    finally:
        connection.rollback()


def with_owner(statement: str, sessions: dict[str, psycopg.Connection]) -> str:
    return statement.replace("{owner}", sessions["owner"].info.user)


@pytest.mark.parametrize("statement", STATEMENTS)
def test_the_owner_can_do_all_of_it(sessions, statement):
    """A premise: each statement is refused to others for its lack of rights alone."""
    sql_text = with_owner(STATEMENTS[statement], sessions)
    assert outcome(sessions["owner"], sql_text) == GUARDED.get(statement, "done")


@pytest.mark.parametrize("kind", KINDS_AND_OTHERS)
@pytest.mark.parametrize("statement", STATEMENTS)
def test_a_role_can_do_what_it_is_for_and_nothing_else(sessions, kind, statement):
    expected = "done" if statement in ALLOWED[kind] else "42501"
    assert outcome(sessions[kind], with_owner(STATEMENTS[statement], sessions)) == expected


def test_the_matrix_covers_every_object_of_the_package(matrix_database, source_template):
    with (
        psycopg.connect(dbname=matrix_database) as package,
        psycopg.connect(dbname=source_template) as platform,
    ):
        found = package_objects(package) - package_objects(platform)
    assert found == {*CALLS, *ON_RELATION}


def test_what_is_allowed_are_statements_of_the_matrix():
    """A premise: nothing is misspelt."""
    assert set().union(*ALLOWED.values()) <= set(STATEMENTS)


@pytest.mark.parametrize("kind", KINDS_AND_OTHERS)
def test_a_role_has_these_rights_and_no_other(sessions, kind):
    assert grants_of(sessions["owner"], sessions[kind].info.user) == GRANTED[kind]


@pytest.mark.parametrize("kind", KINDS_AND_OTHERS)
def test_a_role_owns_nothing(sessions, kind):
    assert (
        sessions["owner"]
        .execute(
            "SELECT classid::regclass, objid FROM pg_shdepend"
            " WHERE refobjid = %s::regrole AND deptype = 'o'",
            [sessions[kind].info.user],
        )
        .fetchall()
        == []
    )


def test_public_has_no_right_on_anything_of_the_package(sessions):
    objects = {*CALLS, *ON_RELATION, "schema customer", "default privileges"}
    columns = [f"column {relation}." for relation in ON_RELATION]
    assert [
        (name, privilege)
        for name, _, grantee, privilege, _ in grants(sessions["owner"])
        if grantee == "-" and (name in objects or name.startswith(tuple(columns)))
    ] == []


# --- Running sql/grants.sql --------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
def test_one_role_named_is_granted_its_rights_and_others_nothing(
    database, connection, create_role, kind
):
    role, other = create_role(), create_role()
    before = grants(connection)

    succeed(grant(database, **{kind: role}))

    assert grants_of(connection, role) == GRANTED[kind]
    assert grants_of(connection, other) == set()
    assert [item for item in grants(connection) if item[2] != role] == before


def test_some_roles_named_are_granted_their_rights(database, connection, create_role):
    operator, reader = create_role(), create_role()

    succeed(grant(database, operator=operator, reader=reader))

    assert grants_of(connection, operator) == GRANTED["operator"]
    assert grants_of(connection, reader) == GRANTED["reader"]


def test_one_role_named_for_all_has_the_rights_of_all(database, connection, create_role):
    role = create_role()

    succeed(grant(database, **dict.fromkeys(KINDS, role)))

    assert grants_of(connection, role) == set().union(*GRANTED.values())


def test_run_again_it_changes_nothing(database, connection, create_role):
    roles = {kind: create_role() for kind in KINDS}
    succeed(grant(database, **roles))
    before = grants(connection)

    result = grant(database, **roles)

    assert succeed(result) == ""
    assert result.stderr == ""
    assert grants(connection) == before


def test_run_again_for_one_it_leaves_the_others(database, connection, create_role):
    roles = {kind: create_role() for kind in KINDS}
    succeed(grant(database, **roles))
    before = grants(connection)

    succeed(grant(database, reader=roles["reader"]))

    assert grants(connection) == before


@pytest.mark.parametrize("label", ["Finance Dept", "财务部", 'O\'Brien "BI"', "a-b;--", "SELECT"])
def test_names_that_need_quoting(database, connection, create_named_role, label):
    roles = {kind: create_named_role(label) for kind in KINDS}

    succeed(grant(database, **roles))

    assert {kind: grants_of(connection, role) for kind, role in roles.items()} == {
        kind: GRANTED[kind] for kind in KINDS
    }


@pytest.mark.parametrize(
    "variables", [{}, {"readers": "bi"}], ids=["no variable", "a misspelt variable"]
)
def test_no_role_named_is_an_error(database, connection, variables):
    before = grants(connection)

    message = fail(grant(database, VERBOSITY="verbose", **variables))

    assert "ERROR:  22023: no role is named, so there is nothing to grant" in message
    assert "HINT:  Name at least one: psql -v etl=" in message
    assert grants(connection) == before


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("nobody of that name", 'ERROR:  42704: role "nobody of that name" does not exist'),
        ("", 'ERROR:  42704: role "" does not exist'),
        # GRANT would take it for everyone.
        ("public", 'ERROR:  42704: role "public" does not exist'),
    ],
    ids=["unknown", "empty", "PUBLIC"],
)
def test_a_wrong_name_among_right_ones_grants_nothing(
    database, connection, create_role, kind, name, message
):
    roles = {other: create_role() for other in KINDS} | {kind: name}
    before = grants(connection)

    result = grant(database, VERBOSITY="verbose", **roles)

    assert message in fail(result)
    assert grants(connection) == before


@pytest.mark.parametrize("kind", [None, "etl", "operator"])
def test_run_by_someone_who_may_not_grant_it_grants_nothing(
    database, connection, create_role, kind
):
    """PostgreSQL itself only warns of it, where someone has the right that he is to grant."""
    someone, reader = create_role(), create_role()
    if kind:
        succeed(grant(database, **{kind: someone}))
    before = grants(connection)

    result = run(
        *("psql", "-X", "-q", "-d", database, "-v", f"reader={reader}", "-f", "sql/grants.sql"),
        PGUSER=someone,
        PGPASSWORD=someone,
    )

    message = fail(result)
    assert f"role {someone} may not grant rights on schema customer and on the package" in message
    assert "HINT:  Run this as the owner of both, or as a superuser." in message
    assert grants(connection) == before


# --- What the roles leave behind ---------------------------------------------


def test_the_hook_alone_is_enough_to_refresh(database, connection, connect, create_role):
    role = create_role()
    succeed(grant(database, etl=role))
    etl = connect(user=role, password=role)
    connection.execute('UPDATE business."规模明细" SET "期末资产规模" = 200')

    result = etl.execute("SELECT customer.post_etl_hook('annuity_performance', '202601')")
    assert result.fetchone()[0]["updated"] == 1
    etl.commit()

    assert connection.execute(
        f"SELECT snapshot_month, company_id, aum_balance FROM {FACT}"
    ).fetchall() == [(JANUARY, "C1", 200)]


CALLS_THAT_LOG = {
    "refresh": CALLS["customer.post_etl_hook(text,text)"],
    "refresh by hand": CALLS["customer.refresh_monthly_snapshot(date)"],
    "restate": CALLS["customer.restate_monthly_snapshot(date,text)"],
    "close": CALLS["customer.close_snapshot_month(date,text)"],
    "reopen": "SELECT customer.reopen_snapshot_month('2026-01-31', 'why')",
}


def last_log(connection: psycopg.Connection) -> tuple[str, str]:
    return connection.execute(
        f"SELECT operation, invoked_by FROM {LOG} ORDER BY log_id DESC LIMIT 1"
    ).fetchone()


def test_the_log_names_who_logged_in_not_the_owner(database, connection, connect, create_role):
    role = create_role()
    succeed(grant(database, **dict.fromkeys(KINDS, role)))
    session = connect(user=role, password=role, autocommit=True)

    for name, statement in CALLS_THAT_LOG.items():
        session.execute(statement)

        assert last_log(connection) == (name.split()[0], role)
        if name == "close":
            assert connection.execute(
                f"SELECT closed_by FROM {CONTROL} WHERE snapshot_month = '2026-01-31'"
            ).fetchone() == (role,)


def test_the_log_names_who_logged_in_not_the_role_it_took(
    database, connection, connect, create_role
):
    login, group = create_role(), create_role()
    connection.execute(
        sql.SQL("GRANT {} TO {}").format(sql.Identifier(group), sql.Identifier(login))
    )
    succeed(grant(database, **dict.fromkeys(KINDS, group)))
    session = connect(user=login, password=login, autocommit=True)
    session.execute(sql.SQL("SET ROLE {}").format(sql.Identifier(group)))

    for name, statement in CALLS_THAT_LOG.items():
        session.execute(statement)

        assert last_log(connection) == (name.split()[0], login)


def test_a_restater_can_backfill(database, connection, create_role):
    role = create_role()
    succeed(grant(database, restater=role))

    output = succeed(
        psql(
            database,
            *("-v", "from=2025-12-31", "-v", "to=2026-01-31", "-v", "reason=history"),
            *("-f", "sql/backfill.sql"),
            PGUSER=role,
            PGPASSWORD=role,
        )
    )

    assert "2025-12-31: closed, skipped" in output
    assert last_log(connection) == ("restate", role)


def test_an_operator_can_refresh_by_period(database, connection, connect, create_role):
    role = create_role()
    succeed(grant(database, operator=role))
    session = connect(user=role, password=role, autocommit=True)

    session.execute(
        "SELECT customer.refresh_monthly_snapshot(customer.period_to_snapshot_month('202601'))"
    )

    assert last_log(connection) == ("refresh", role)


def test_a_search_path_of_the_caller_s_own_changes_nothing(
    database, connection, connect, create_role
):
    """A caller cannot have the owner run functions of the caller's own."""
    role = create_role()
    succeed(grant(database, **dict.fromkeys(KINDS, role)))
    connection.execute(
        sql.SQL("CREATE SCHEMA AUTHORIZATION {}").format(sql.Identifier(role)),
    )
    session = connect(user=role, password=role, autocommit=True)
    session.execute(
        sql.SQL("SET search_path = {}, pg_catalog").format(sql.Identifier(role)),
    )
    for parameters, result in (
        ("to_char(date, text)", "text"),
        ("current_setting(text)", "text"),
        ("current_setting(text, boolean)", "text"),
        ("isfinite(date)", "boolean"),
    ):
        session.execute(
            f"CREATE FUNCTION {parameters} RETURNS {result} LANGUAGE plpgsql"
            " AS $$ BEGIN RAISE EXCEPTION 'hijacked'; END $$"
        )
    with pytest.raises(psycopg.errors.RaiseException, match="hijacked"):
        session.execute("SELECT to_char(DATE '2026-01-31', 'YYYY')")

    for statement in (
        *CALLS_THAT_LOG.values(),
        CALLS["customer.period_to_snapshot_month(text)"],
        CALLS["customer.validate_monthly_snapshot(date)"],
        f"SELECT * FROM {TREND}",
    ):
        session.execute(statement)
