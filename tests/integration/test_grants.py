"""sql/grants.sql, with roles that log in: each can do what it is for, and nothing else."""

import re
from collections.abc import Iterator
from contextlib import ExitStack

import psycopg
import pytest
import support
from psycopg import sql
from support import (
    CONTROL,
    FACT,
    GRANTS,
    HISTORY,
    KINDS,
    LOG,
    PROJECT,
    STORED,
    SUMMARY,
    VIEWS,
    Source,
    blocks,
    fail,
    grant,
    grants,
    listen,
    psql,
    run,
    succeed,
)
from test_sources import SECOND_GENERATION

# "nobody" may log in, and "visitor" has USAGE on the schema besides.
KINDS_AND_OTHERS = (*KINDS, "visitor", "nobody")

USAGE = ("schema customer", "USAGE")
READING = {
    USAGE,
    *((relation, "SELECT") for relation in (*STORED, *VIEWS)),
    ("customer.validate_monthly_snapshot(date)", "EXECUTE"),
    ("customer.monthly_status_as_at(date,bigint)", "EXECUTE"),
    ("customer.published_changes(date)", "EXECUTE"),
    ("customer.snapshot_version()", "EXECUTE"),
    ("customer.customer_names()", "EXECUTE"),
    ("customer.product_line_names()", "EXECUTE"),
    ("customer.unmatched_events()", "EXECUTE"),
}
ETL_FUNCTIONS = [
    f"customer.{name}(text,{kind})"
    for name in ("pre_etl_check", "post_etl_hook")
    for kind in ("text", "anyelement")
]
GRANTED = {
    "etl": {
        USAGE,
        *((function, "EXECUTE") for function in ETL_FUNCTIONS),
        ("customer.snapshot_version()", "EXECUTE"),
    },
    "operator": {
        *READING,
        ("customer.refresh_monthly_snapshot(date)", "EXECUTE"),
        ("customer.period_to_snapshot_month(text)", "EXECUTE"),
    },
    "restater": {
        *READING,
        ("customer.restate_monthly_snapshot(date,text)", "EXECUTE"),
        ("customer.discard_snapshot_month(date,text)", "EXECUTE"),
    },
    "closer": {
        *READING,
        ("customer.close_snapshot_month(date,text)", "EXECUTE"),
        ("customer.reopen_snapshot_month(date,text)", "EXECUTE"),
    },
    "reader": READING,
    "visitor": {USAGE},
    "nobody": set(),
}


# --- Statements: at least one on every object of the package -----------------

SEQUENCE = "customer.monthly_snapshot_log_log_id_seq"
SOURCES = (
    'customer."年金客户"',
    'mapping."产品线"',
    "customer.customer_plan_contract",
    'customer."当年中标"',
    'customer."当年流失"',
    'business."规模明细"',
)

# Each function by a statement that needs EXECUTE on it: those that take a value of each type...
VALUES = {
    "date": "'2026-01-31'",
    "text": "'why'",
    "bigint": "1",
    "numeric": "1",
    "jsonb": "NULL",
    "boolean": "TRUE",
    "": "",
}
FUNCTIONS = """
    baseline_month_of(date) check_snapshot_sources() check_snapshot_sources_are_seen()
    close_snapshot_month(date,text) customer_names() discard_snapshot_month(date,text)
    for_client(text)
    judge_monthly_snapshot(date,bigint,numeric,date,bigint,numeric,numeric,jsonb,boolean)
    lock_open_snapshot_month(date) lock_snapshot_month(date) missing_snapshot_sources()
    monthly_status_as_at(date,bigint) next_log_id(bigint) product_line_names()
    published_changes(date)
    refresh_monthly_snapshot(date) require_reason(text,text)
    restate_monthly_snapshot(date,text) setting_is_on(text,boolean)
    snapshot_control_totals(date,bigint) snapshot_month_of(date) snapshot_rows_after(date,bigint)
    snapshot_version()
    source_aum(date,date) source_awards() source_columns() source_contracts()
    source_control_totals(date,date,date) source_customer_names() source_customers()
    source_late_changes(date) source_losses() source_product_line_names()
    source_product_lines() source_reported_events() source_types() stale_rows_by_product_line(date)
    summarise_snapshot_month(date,jsonb) unmatched_events() validate_monthly_snapshot(date)
    warn(text,text,text)
"""


def call(function: str) -> str:
    name, types = function.removesuffix(")").split("(")
    return f"SELECT * FROM customer.{name}({', '.join(VALUES[type] for type in types.split(','))})"


def trigger(function: str, row: str = "") -> str:
    return (
        "CREATE TEMPORARY TABLE own ();"
        f" CREATE TRIGGER own BEFORE UPDATE ON own {row} EXECUTE FUNCTION customer.{function}"
    )


# ... and those that take others.
CALLS = {f"customer.{function}": call(function) for function in FUNCTIONS.split()} | {
    "customer.guard_closed_months()": trigger("guard_closed_months()"),
    "customer.keep_history()": trigger("keep_history()"),
    "customer.set_snapshot_updated_at()": trigger("set_snapshot_updated_at()", "FOR EACH ROW"),
    "customer.period_to_snapshot_month(text)": "SELECT customer.period_to_snapshot_month('202601')",
    "customer.post_etl_hook(text,text)": (
        "SELECT customer.post_etl_hook('annuity_performance', '202601')"
    ),
    "customer.pre_etl_check(text,text)": (
        "SELECT customer.pre_etl_check('annuity_performance', '202601')"
    ),
    "customer.reopen_snapshot_month(date,text)": (
        "SELECT customer.reopen_snapshot_month('2025-12-31', 'why')"
    ),
    "customer.revoke_default_grants(regclass)": (
        "CALL customer.revoke_default_grants('customer.monthly_snapshot_log'::regclass)"
    ),
    "customer.revoke_default_grants(regprocedure)": (
        "CALL customer.revoke_default_grants('customer.snapshot_month_of(date)'::regprocedure)"
    ),
    **{
        f"customer.{name}(text,anyelement)": f"DO $$ BEGIN PERFORM customer.{name}('', 1);"
        " EXCEPTION WHEN invalid_parameter_value THEN END $$"
        for name in ("pre_etl_check", "post_etl_hook")
    },
    # What they find is not as deployed.
    **{
        f"customer.{procedure}({types})": f"DO $$ BEGIN CALL customer.{procedure}({values});"
        " EXCEPTION WHEN raise_exception THEN END $$"
        for procedure, types, values in (
            ("verify_function", "text,text,text,boolean", "'customer.other()', '', '', FALSE"),
            ("verify_table", "text,text[]", "'customer.other', ARRAY['']"),
            ("verify_view", "text,text", "'customer.other', ''"),
        )
    },
    "customer.write_monthly_snapshot(date,text,text)": (
        "SELECT customer.write_monthly_snapshot('2026-01-31', 'refresh', NULL)"
    ),
}

# Each relation by statements of which each needs a right of its own.
ON_TABLE = {
    "SELECT": "SELECT * FROM {}",
    "SELECT FOR UPDATE": "SELECT * FROM {} FOR UPDATE",
    "DELETE": "DELETE FROM {}",
    "TRUNCATE": "TRUNCATE {}",
    "LOCK": "LOCK TABLE {} IN ACCESS EXCLUSIVE MODE",
    "ALTER … DISABLE TRIGGER": "ALTER TABLE {} DISABLE TRIGGER USER",
    "CREATE TRIGGER": (
        "CREATE FUNCTION pg_temp.own() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN END';"
        " CREATE TRIGGER own AFTER INSERT ON {} EXECUTE FUNCTION pg_temp.own()"
    ),
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
        "UPDATE": "UPDATE {} SET stale_rows = 1",
    },
    LOG: ON_TABLE
    | {
        "INSERT": (
            "INSERT INTO {}"
            " (snapshot_month, operation, reason, started_at, finished_at,"
            " month_rows, month_aum, invoked_by, application_name)"
            " VALUES ('2026-01-31', 'reopen', 'why', now(), now(), 1, 1, 'someone', '')"
        ),
        "UPDATE": "UPDATE {} SET invoked_by = 'someone'",
    },
    HISTORY: ON_TABLE
    | {
        "INSERT": "INSERT INTO {} VALUES ('2026-01-31', 1, 'C1', 'PL201', 'insert')",
        "UPDATE": "UPDATE {} SET aum_balance = 0",
    },
    SUMMARY: ON_TABLE
    | {
        "INSERT": f"INSERT INTO {{}} VALUES ('2026-03-31', 'PL201', '企年投资'{', 0' * 13})",
        "UPDATE": "UPDATE {} SET plans = 0",
    },
    **{view: {"SELECT": "SELECT * FROM {}", "DROP": "DROP VIEW {} CASCADE"} for view in VIEWS},
    SEQUENCE: {
        "SELECT": "SELECT * FROM {}",
        "nextval": "SELECT nextval('{}')",
        "setval": "SELECT setval('{}', 1000000)",
    },
}

STATEMENTS = (
    {f"call {function}": statement for function, statement in CALLS.items()}
    | {
        f"ALTER ROUTINE {function}": f"ALTER ROUTINE {function} SECURITY INVOKER RESET ALL"
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
    kind: {f"{'call' if right == 'EXECUTE' else right} {name}" for name, right in granted - {USAGE}}
    for kind, granted in GRANTED.items()
}
# The rows of closed months are guarded from everyone, and what is in the history.
GUARDED = dict.fromkeys(
    (f"TRUNCATE {FACT}", *(f"{action} {HISTORY}" for action in ("UPDATE", "DELETE", "TRUNCATE"))),
    "55000",
)


# --- Fixtures ----------------------------------------------------------------


def fill(connection: psycopg.Connection) -> None:
    """A month that is stored, and a month that is closed."""
    source = Source(connection)
    source.contract("C1")
    source.detail("C1", "100")
    for day in ("2025-11-01", "2025-12-01", "2026-02-01"):
        source.detail("C1", "50", day=day)
    # November is of before the package, and its row came past the triggers.
    connection.execute("SET session_replication_role = replica")
    connection.execute(f"INSERT INTO {FACT} VALUES ('2025-11-30', 'C1', 'PL202', '企年受托')")
    connection.execute("SET session_replication_role = origin")
    connection.execute("SELECT customer.refresh_monthly_snapshot('2026-01-31')")
    # By hand, without rows, so that statements on the whole fact table meet no closed month.
    connection.execute(
        f"INSERT INTO {CONTROL} (snapshot_month, closed_at, closed_by, close_note,"
        " closed_rows, closed_aum, closed_sha256)"
        " VALUES ('2025-12-31', now(), 'auditor', 'published', 0, 0, '')"
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
def sessions(matrix_database, create_common_role) -> Iterator[dict[str, psycopg.Connection]]:
    """For each kind of role a session of a role that sql/grants.sql made such, and the owner's."""
    roles = {kind: create_common_role(kind) for kind in KINDS_AND_OTHERS}
    with ExitStack() as stack:
        opened = {
            kind: stack.enter_context(
                psycopg.connect(dbname=matrix_database, user=role, password=role)
            )
            for kind, role in roles.items()
        }
        opened["owner"] = stack.enter_context(psycopg.connect(dbname=matrix_database))
        opened["owner"].execute(
            sql.SQL("GRANT USAGE ON SCHEMA customer TO {}").format(sql.Identifier(roles["visitor"]))
        )
        opened["owner"].commit()
        succeed(grant(matrix_database, **{kind: roles[kind] for kind in KINDS}))
        yield opened


# --- Rights as the catalog has them ------------------------------------------


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
        connection.execute(statement)
    except psycopg.Error as error:
        return error.sqlstate
    else:
        return "done"
    finally:
        connection.rollback()


def outcomes(sessions: dict[str, psycopg.Connection], kind: str) -> dict[str, str]:
    owner = sessions["owner"].info.user
    return {
        name: outcome(sessions[kind], statement.replace("{owner}", owner))
        for name, statement in STATEMENTS.items()
    }


def test_the_owner_can_do_all_of_it(sessions):
    """A premise: each statement is refused to others for its lack of rights alone."""
    assert outcomes(sessions, "owner") == dict.fromkeys(STATEMENTS, "done") | GUARDED


@pytest.mark.parametrize("kind", KINDS_AND_OTHERS)
def test_a_role_can_do_what_it_is_for_and_nothing_else(sessions, kind):
    allowed = dict.fromkeys(ALLOWED[kind], "done")
    assert outcomes(sessions, kind) == dict.fromkeys(STATEMENTS, "42501") | allowed


def test_the_matrix_covers_every_object_of_the_package(matrix_database, source_template):
    with (
        psycopg.connect(dbname=matrix_database) as package,
        psycopg.connect(dbname=source_template) as platform,
    ):
        found = package_objects(package) - package_objects(platform)
    assert found == {*CALLS, *ON_RELATION}


@pytest.mark.parametrize("kind", KINDS_AND_OTHERS)
def test_a_role_has_these_rights_and_no_other_and_owns_nothing(sessions, kind):
    role = sessions[kind].info.user
    assert grants_of(sessions["owner"], role) == GRANTED[kind]
    assert sessions["owner"].execute(
        "SELECT count(*) FROM pg_shdepend WHERE refobjid = %s::regrole AND deptype = 'o'", [role]
    ).fetchone() == (0,)


# --- Hints -------------------------------------------------------------------

# Each statement that a hint or a finding tells to run, by the script that has it and by what it
# names; who is told, by which call for which month, and who may run it.
HINTS = """
    close_snapshot_month refresh_monthly_snapshot closer close 2026-02-28 operator
    close_snapshot_month validate_monthly_snapshot closer close 2025-11-30 closer
    discard_snapshot_month fct_customer_business_monthly_status restater discard 2026-02-28 restater
    lock_open_snapshot_month reopen_snapshot_month closer close 2025-12-31 closer
    lock_open_snapshot_month reopen_snapshot_month etl check 2025-12-31 closer
    lock_open_snapshot_month reopen_snapshot_month operator refresh 2025-12-31 closer
    lock_open_snapshot_month reopen_snapshot_month restater discard 2025-12-31 closer
    monthly_snapshot_log monthly_snapshot_log_log_id_seq owner number 2026-01-31 owner
    monthly_status_as_at monthly_snapshot_log reader as_at 2026-01-31 reader
    pre_etl_check reopen_snapshot_month etl award 2025-12-31 closer
    reopen_snapshot_month monthly_snapshot_control closer reopen 2026-01-31 closer
    validate_monthly_snapshot restate_monthly_snapshot reader validate 2025-11-30 restater
    validate_monthly_snapshot summarise_snapshot_month reader validate 2025-11-30 owner
    write_monthly_snapshot restate_monthly_snapshot etl hook 2025-11-30 restater
    write_monthly_snapshot restate_monthly_snapshot operator refresh 2025-11-30 restater
"""
OTHER_CALLS = {
    "as_at": "SELECT * FROM customer.monthly_status_as_at(%(month)s, 99)",
    "award": "SELECT customer.post_etl_hook('annual_award', to_char(%(month)s::date, 'YYYYMM'))",
    "number": "SELECT customer.next_log_id(1000000000)",
    "validate": "SELECT detail FROM customer.validate_monthly_snapshot(%(month)s)",
}


@pytest.mark.parametrize("hint", HINTS.strip().splitlines())
def test_what_a_hint_tells_to_run_runs(sessions, hint):
    _, named, kind, call, month, able = hint.split()
    notices = listen(sessions[kind])
    try:
        told = sessions[kind].execute((support.CALLS | OTHER_CALLS)[call], {"month": month})
        texts = [str(row[0]) for row in told]
    except psycopg.Error as error:
        texts = [error.diag.message_hint]
    sessions[kind].rollback()

    hints = "\n".join([str(notice.hint) for notice in notices] + texts)
    remedy = re.search(rf"SELECT [^;]*\bcustomer\.{named}\b[^;]*;", hints)[0]

    assert outcome(sessions[kind], remedy) == ("done" if able == kind else "42501")
    assert outcome(sessions[able], remedy) == "done"


def test_every_hint_with_a_statement_is_tried():
    found = set()
    for path in (PROJECT / "deploy").glob("*.sql"):
        code = re.sub(
            r"^COMMENT ON (?:.|\n)*?';$", "", path.read_text(encoding="utf-8"), flags=re.MULTILINE
        )
        statement = r"'(?:[^'\n]*[:.] )?(?:SELECT|LOCK TABLE) [^\n]*?customer\.(\w+)"
        found |= {(path.stem, name) for name in re.findall(statement, code)}
    # Told to who truncates while a month is written: 51_changes_by_hand.sql.
    found.remove(("guard_closed_months", "monthly_snapshot_control"))
    assert found == {tuple(hint.split()[:2]) for hint in HINTS.strip().splitlines()}


# --- Running sql/grants.sql --------------------------------------------------


NAMES = ("Finance Dept", "财务部", 'O\'Brien "BI"', "a-b;--", "SELECT")


@pytest.mark.parametrize(("kind", "name"), list(zip(KINDS, NAMES, strict=True)))
def test_one_role_named_is_granted_its_rights_and_others_nothing(
    database, connection, create_role, kind, name
):
    """Whatever its name."""
    role, other = create_role(name), create_role()
    before = grants(connection)

    succeed(grant(database, **{kind: role}))

    assert grants_of(connection, role) == GRANTED[kind]
    assert grants_of(connection, other) == set()
    quoted = sql.Identifier(role).as_string()
    assert [item for item in grants(connection) if item[2] != quoted] == before


def test_run_again_for_all_or_for_one_it_changes_nothing(database, connection, create_role):
    roles = {kind: create_role() for kind in KINDS}
    succeed(grant(database, **roles))
    before = grants(connection)

    for some in (roles, {"reader": roles["reader"]}):
        result = grant(database, **some)

        assert (succeed(result), result.stderr) == ("", "")
        assert grants(connection) == before


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
def test_a_wrong_name_among_right_ones_grants_nothing(database, connection, create_role, kind):
    roles = {other: create_role() for other in KINDS}
    before = grants(connection)

    # GRANT would take "public" for everyone.
    for name in ("nobody of that name", "", "public"):
        result = grant(database, VERBOSITY="verbose", **(roles | {kind: name}))

        assert f'ERROR:  42704: role "{name}" does not exist' in fail(result)
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

    someones = {"PGUSER": someone, "PGPASSWORD": someone}
    message = fail(psql(database, "-v", f"reader={reader}", "-f", "sql/grants.sql", **someones))

    assert f"role {someone} may not grant rights on the package\n" in message
    assert "HINT:  Run this as the owner of the package, or as a superuser." in message
    assert grants(connection) == before


@pytest.mark.parametrize("platform", ["SELECT", SECOND_GENERATION], ids=["first", "second"])
def test_a_dba_without_superuser_takes_an_empty_role_to_a_granted_package(
    create_role, create_test_database, platform
):
    """By README's block of GRANTs and three commands; or first without the right to pass on."""
    name, dba, owner, etl, ops = create_test_database(), *(create_role() for _ in range(4))
    own = {"workdatahub": name, "db.example.org": "", "wdh_owner": owner, "wdh_etl": etl}
    block, first = support.grants_to_owner(name, owner), platform != SECOND_GENERATION
    [commands] = [block for block in blocks("sh") if "sqitch verify" in block]
    for word, replacement in (own | {"wdh_ops": ops, "=bi": f"={ops}"}).items():
        commands = commands.replace(word, replacement)
    if not first:
        # The lines with names that are gone are not run, and those behind "--" are.
        gone = r"^(?!--).*(年金客户|_plan_contract).*\n"
        block = re.sub(rf"{gone}|^-- (?=GRANT)", "", block, flags=re.MULTILINE)
    as_dba = {"PGUSER": dba, "PGPASSWORD": dba}
    succeed(psql(name, "-c", f"ALTER DATABASE {name} OWNER TO {dba}"))
    succeed(psql(name, "-f", "sql/demo/source_system.sql", "-c", platform, **as_dba))

    granted = block.replace(" WITH GRANT OPTION", "") if first else block
    succeed(psql(name, "-c", granted, **as_dba))
    deploy, verify, grant_all = (["bash", "-c", line] for line in commands.splitlines())

    succeed(run(*deploy, PGPASSWORD=owner))
    assert "Verify successful\n" in succeed(run(*verify, PGPASSWORD=owner))
    if first:
        message = fail(run(*grant_all, PGPASSWORD=owner))
        assert f"{owner} may not grant rights on schema customer, which is {dba}'s\n" in message
        [remedy] = re.findall(r"superuser: (GRANT .*)", message)
        assert remedy in block
        succeed(psql(name, "-c", remedy, **as_dba))
    succeed(run(*grant_all, PGPASSWORD=owner))
    with psycopg.connect(dbname=name) as server:
        assert [grants_of(server, role) for role in (etl, ops)] == [
            GRANTED["etl"],
            GRANTED["operator"],
        ]


# --- What the roles leave behind ---------------------------------------------


CALLS_THAT_LOG = {
    "refresh": CALLS["customer.post_etl_hook(text,text)"],
    "refresh by hand": CALLS["customer.refresh_monthly_snapshot(date)"],
    "restate": CALLS["customer.restate_monthly_snapshot(date,text)"],
    "close": CALLS["customer.close_snapshot_month(date,text)"],
    "reopen": "SELECT customer.reopen_snapshot_month('2026-01-31', 'why')",
    "discard": CALLS["customer.discard_snapshot_month(date,text)"],
}


def test_the_log_names_who_logged_in_not_the_role_it_took_nor_the_owner(
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

        assert connection.execute(
            f"SELECT operation, invoked_by FROM {LOG} ORDER BY log_id DESC LIMIT 1"
        ).fetchone() == (name.split()[0], login)
        if name == "close":
            assert connection.execute(
                f"SELECT closed_by FROM {CONTROL} WHERE snapshot_month = '2026-01-31'"
            ).fetchone() == (login,)
