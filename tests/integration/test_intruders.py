"""Somebody who may call the package's functions means harm, and gets no further than that.

The functions run with the rights of their owner, here a superuser. The intruder has every right
that sql/grants.sql can give, a schema of its own and temporary objects, and sets traps: objects
with the names of all that the package uses, which tell as whom they were called. The traps warn
rather than write, because a warning also arrives from a call that fails.

What each kind of role may do at all is in test_grants.py, who owns what and has which rights by
deploying in pgTAP, settings that are merely unusual in test_environment.py.
"""

import re
from collections.abc import Callable, Iterator
from datetime import date
from typing import Any, NamedTuple

import psycopg
import pytest
from psycopg import sql
from psycopg.errors import InvalidParameterValue, ObjectNotInPrerequisiteState
from support import (
    BY_HAND,
    CONTROL,
    FACT,
    HISTORY,
    KINDS,
    LOG,
    SUMMARY,
    VIEWS,
    Notice,
    Source,
    changes,
    deploy_scripts,
    do,
    empty,
    grant,
    listen,
    psql,
    reverts,
    stored,
    succeed,
    unfaithful,
)

# No customer is called anything else, so that a leak shows.
SECRET = "机密客户"


# --- Traps -------------------------------------------------------------------

SPRUNG = "TR4P5"

# What every trap does.
SPRING = f"""
    AS $trap$
    BEGIN
        RAISE WARNING '% sprung as %', {{label}}, current_user USING ERRCODE = '{SPRUNG}';
        RETURN {{result}};
    END
    $trap$
"""

# Types that the package's expressions have.
TYPES = (
    "bool",
    "date",
    "float8",
    "int2",
    "int4",
    "int8",
    "interval",
    "jsonb",
    "name",
    "numeric",
    "oid",
    "regtype",
    "text",
    "timestamp",
    "timestamptz",
    "varchar",
)

# An operator or function of PostgreSQL takes these only after a cast, and so one that takes them
# as they are would be preferred wherever it is found at all.
BETTER = {
    ("text", "text"): [("varchar", "varchar"), ("varchar", "text"), ("text", "varchar")],
    ("numeric", "numeric"): [("numeric", "int4"), ("int4", "numeric"), ("numeric", "int8")],
    ("text",): [("varchar",)],
    ("numeric",): [("int4",), ("int8",)],
}


class Catalog(NamedTuple):
    """What the package uses, read off its functions, views and constraints."""

    functions: list[tuple]
    operators: list[tuple]
    relations: dict[str, list[tuple[str, str]]]


def read_catalog(connection: psycopg.Connection) -> Catalog:
    bodies = "\n".join(
        body
        for (body,) in connection.execute(
            """
            SELECT prosrc FROM pg_proc WHERE pronamespace = 'customer'::regnamespace
            UNION ALL
            SELECT pg_get_viewdef(oid) FROM pg_class
            WHERE relnamespace = 'customer'::regnamespace AND relkind = 'v'
            UNION ALL
            SELECT pg_get_constraintdef(oid) FROM pg_constraint
            WHERE connamespace = 'customer'::regnamespace
            """
        )
    )
    names = sorted(set(re.findall(r"[a-z_]+", bodies)))
    symbols = sorted(set(re.findall(r"[-+*/<>=~!@#%^&|`?]+", bodies)))
    functions = connection.execute(
        """
        SELECT DISTINCT proname::text, arguments, result
        FROM pg_proc
        CROSS JOIN LATERAL (
            SELECT
                coalesce(array_agg(typname::text ORDER BY position), '{}') AS arguments,
                coalesce(bool_and(typname = ANY (%(types)s)), TRUE) AS are_ordinary
            FROM unnest(proargtypes) WITH ORDINALITY AS argument (type, position)
            JOIN pg_type ON pg_type.oid = argument.type
        ) AS signature
        CROSS JOIN LATERAL (
            SELECT CASE WHEN typtype IN ('p', 'c') THEN 'text' ELSE typname END AS result
            FROM pg_type
            WHERE pg_type.oid = prorettype
        ) AS returned
        WHERE pronamespace IN ('pg_catalog'::regnamespace, 'customer'::regnamespace)
            AND proname = ANY (%(names)s)
            AND are_ordinary
        """,
        {"names": names, "types": list(TYPES)},
    ).fetchall()
    operators = connection.execute(
        """
        SELECT oprname::text, l.typname::text, r.typname::text, o.typname::text
        FROM pg_operator
        JOIN pg_type AS l ON l.oid = oprleft
        JOIN pg_type AS r ON r.oid = oprright
        JOIN pg_type AS o ON o.oid = oprresult
        WHERE oprname = ANY (%(symbols)s)
            AND l.typname = ANY (%(types)s)
            AND r.typname = ANY (%(types)s)
        """,
        {"symbols": symbols, "types": list(TYPES)},
    ).fetchall()
    relations: dict[str, list[tuple[str, str]]] = {
        name: [("x", "int4")] for name in re.findall(r"(\w+) (?:\([\w, ]+\) )?AS \(", bodies)
    } | {"new_row": [("snapshot_month", "date")], "old_row": [("snapshot_month", "date")]}
    for name, columns in connection.execute(
        """
        SELECT relname, array_agg(ARRAY[attname, typname] ORDER BY attnum)
        FROM pg_class
        JOIN pg_attribute ON attrelid = pg_class.oid AND attnum > 0 AND NOT attisdropped
        JOIN pg_type ON pg_type.oid = atttypid
        WHERE relnamespace::regnamespace::text IN ('customer', 'business', 'mapping')
            AND relkind IN ('r', 'v')
        GROUP BY relname
        """
    ):
        relations[name] = [tuple(column) for column in columns]
    return Catalog(functions, operators, relations)


def traps(catalog: Catalog, schema: str, with_types: bool = True) -> str:
    """The statements that set a trap for everything in a catalog, in a schema of the intruder."""
    statements = []
    made = set()

    def function(name: str, arguments: tuple[str, ...], result: str, label: str) -> None:
        if (name, arguments) in made:
            return
        made.add((name, arguments))
        typed = ", ".join(f'pg_catalog."{argument}"' for argument in arguments)
        body = SPRING.format(label=quoted(label), result="NULL")
        statements.append(
            f'CREATE FUNCTION {schema}."{name}"({typed}) RETURNS pg_catalog."{result}"'
            f" LANGUAGE plpgsql {body}"
        )

    def operator(symbol: str, left: str, right: str, result: str) -> None:
        if (symbol, left, right) in made:
            return
        made.add((symbol, left, right))
        name = f"operator_{len(made)}"
        function(name, (left, right), result, f"operator {symbol}")
        statements.append(
            f"CREATE OPERATOR {schema}.{symbol} (FUNCTION = {schema}.{name},"
            f' LEFTARG = pg_catalog."{left}", RIGHTARG = pg_catalog."{right}")'
        )

    for name, arguments, result in catalog.functions:
        arguments = tuple(arguments)
        for better in (arguments, *BETTER.get(arguments, [])):
            function(name, better, result, f"function {name}")
    # Those that take anything; a call with so many texts suits these better.
    for name in ("format", "num_nulls", "concat", "jsonb_build_object", "count", "to_jsonb"):
        for number in range(1, 8):
            function(name, ("text",) * number, "text", f"function {name}")
    for symbol, left, right, result in catalog.operators:
        for better in ((left, right), *BETTER.get((left, right), [])):
            operator(symbol, *better, result)

    function("spring_view", ("text",), "bool", "view")
    body = SPRING.format(label="'view ' || TG_TABLE_NAME", result="NEW")
    statements.append(
        f"CREATE FUNCTION {schema}.spring_trigger() RETURNS trigger LANGUAGE plpgsql {body}"
    )
    for name, columns in catalog.relations.items():
        selected = ", ".join(
            f'NULL::pg_catalog."{column_type}" AS "{column}"' for column, column_type in columns
        )
        statements.append(
            f'CREATE VIEW {schema}."{name}" AS'
            f" SELECT {selected} WHERE {schema}.spring_view({quoted(name)})"
        )
        statements.append(
            f'CREATE TRIGGER spring INSTEAD OF INSERT OR UPDATE OR DELETE ON {schema}."{name}"'
            f" FOR EACH ROW EXECUTE FUNCTION {schema}.spring_trigger()"
        )
    for name in TYPES:
        function("spring_type", (name,), "bool", "type")
        # Some names are taken: a view has a row type of its name.
        if with_types and name not in catalog.relations:
            statements.append(
                f'CREATE DOMAIN {schema}."{name}" AS pg_catalog."{name}"'
                f" CHECK ({schema}.spring_type(VALUE) IS NOT TRUE)"
            )
    return ";\n".join(statements)


def quoted(text: str) -> str:
    return sql.Literal(text).as_string(None)


def sprung(notices: list[Notice]) -> list[str]:
    """What the traps said."""
    return [notice.message for notice in notices if notice.sqlstate == SPRUNG]


# --- The stage ---------------------------------------------------------------


@pytest.fixture(scope="module")
def catalog(package_template) -> Catalog:
    with psycopg.connect(dbname=package_template) as connection:
        return read_catalog(connection)


@pytest.fixture
def database(common_database) -> str:
    """One database for all tests of this file, filled anew for each."""
    with psycopg.connect(dbname=common_database) as connection:
        set_stage(connection)
    return common_database


def fill(connection: psycopg.Connection) -> None:
    """Sources in which every rule has something to do."""
    source = Source(connection)
    for number in range(1, 6):
        source.contract(f"{SECRET}{number}", is_existing=number == 1)
        source.detail(f"{SECRET}{number}", f"98765432{number}.01")
        source.detail(f"{SECRET}{number}", "1", day="2026-02-01")
    source.contract(f"{SECRET}1", product_line_code="PL201", product_line_name="企年投资")
    source.award(f"{SECRET}2")
    source.loss(f"{SECRET}3")
    source.detail(None, "0.5")
    source.detail(f"{SECRET}9", "7")


def set_stage(connection: psycopg.Connection) -> None:
    """Those, and nothing written."""
    with connection.transaction():
        empty(connection)
        fill(connection)


class Intruder(NamedTuple):
    """A role with every right that sql/grants.sql can give, and a schema of its own."""

    role: str
    schema: str
    connect: Callable[..., psycopg.Connection]


@pytest.fixture
def intruder(database, connection, create_role, connect) -> Intruder:
    role = create_role()
    succeed(grant(database, **dict.fromkeys(KINDS, role)))
    schema = f"s_{role}"
    connection.execute(f"CREATE SCHEMA {schema} AUTHORIZATION {role}")

    def connect_as_intruder(**parameters: Any) -> psycopg.Connection:
        return connect(**({"autocommit": True, "user": role, "password": role} | parameters))

    return Intruder(role, schema, connect_as_intruder)


REFRESH = "SELECT customer.refresh_monthly_snapshot('2026-01-31')"
RESTATE = "SELECT customer.restate_monthly_snapshot('2026-01-31', 'why')"
HOOK = "SELECT customer.post_etl_hook('annuity_performance', '202601')"
CLOSE = "SELECT customer.close_snapshot_month('2026-01-31', 'published')"
REOPEN = "SELECT customer.reopen_snapshot_month('2026-01-31', 'why')"
DISCARD = "SELECT customer.discard_snapshot_month('2026-01-31', 'why')"
CHECK = "SELECT customer.pre_etl_check('annuity_performance', '202601')"
AWARD = "SELECT customer.post_etl_hook('annual_award', '202601')"
VALIDATE = "SELECT * FROM customer.validate_monthly_snapshot('2026-01-31')"
CHANGED = "SELECT change, column_name FROM customer.published_changes('2026-01-31')"
# Without an operator or function of the caller's own.
AS_AT = f"""
    SELECT version.*
    FROM {LOG} AS entry
    CROSS JOIN LATERAL customer.monthly_status_as_at(entry.snapshot_month, entry.log_id) AS version
"""

# What the intruder calls, so that every branch of every function runs, and what the owner does to
# the sources before it.
CALLS = [
    each if isinstance(each, tuple) else (each, "")
    for each in (
        *(VALIDATE, DISCARD, AWARD, CHECK, HOOK, AWARD, REFRESH, VALIDATE),
        (
            VALIDATE,
            f"""
            UPDATE customer.customer_plan_contract SET is_strategic = TRUE, is_existing = TRUE;
            UPDATE customer.customer_plan_contract SET valid_to = '2026-02-05'
            WHERE company_id = '{SECRET}3';
            UPDATE customer.customer_plan_contract SET valid_to = '2026-01-15'
            WHERE company_id IN ('{SECRET}4', '{SECRET}5');
            UPDATE business."规模明细" SET "期末资产规模" = 1 WHERE company_id = '{SECRET}4'
            """,
        ),
        *(REFRESH, VALIDATE, RESTATE, VALIDATE, REFRESH),
        "SELECT customer.refresh_monthly_snapshot('2026-02-28')",
        REFRESH,
        "SELECT customer.restate_monthly_snapshot('1999-01-31', 'why')",
        "SELECT customer.restate_monthly_snapshot('2026-01-31', ' ')",
        "SELECT customer.refresh_monthly_snapshot(NULL)",
        "SELECT customer.refresh_monthly_snapshot('infinity')",
        "SELECT customer.validate_monthly_snapshot('infinity')",
        "SELECT customer.period_to_snapshot_month('202613')",
        "SELECT customer.period_to_snapshot_month('202612')",
        "SELECT customer.post_etl_hook('annuity_performance')",
        "SELECT customer.post_etl_hook('other', '202601')",
        "SELECT customer.post_etl_hook(NULL, '202601')",
        "SELECT customer.pre_etl_check('annuity_performance', 202601)",
        *(CLOSE, CLOSE, CHECK, AWARD, DISCARD, REFRESH, REOPEN, REOPEN),
        "SELECT customer.close_snapshot_month('2026-01-31', '')",
        "SELECT customer.reopen_snapshot_month('2026-01-31', '')",
        "SELECT customer.close_snapshot_month('1999-01-31', 'why')",
        (REFRESH, 'UPDATE business."规模明细" SET "期末资产规模" = 2'),
        *(AS_AT, CHANGED),
        (REFRESH, 'DELETE FROM business."规模明细"'),
        RESTATE,
        "SET customer.accept_implausible = on",
        REFRESH,
        DISCARD,
        (REFRESH, "DELETE FROM customer.customer_plan_contract"),
        *(f"TABLE {relation}" for relation in (FACT, CONTROL, LOG, HISTORY, SUMMARY, *VIEWS)),
    )
]


def call_everything(intruder: psycopg.Connection, owner: psycopg.Connection) -> Iterator[tuple]:
    """Each statement, with its rows or its error."""
    for statement, preparation in CALLS:
        if preparation:
            owner.execute(preparation)
        try:
            cursor = intruder.execute(statement)
            yield statement, cursor.fetchall() if cursor.description else []
        except psycopg.Error as error:
            yield statement, error


def outcome(statement: str, answer: list[tuple] | psycopg.Error) -> Any:
    """What came of it, but for times and running numbers."""
    if isinstance(answer, psycopg.Error):
        return answer.sqlstate, answer.diag.message_primary.partition(" at ")[0]
    if statement.startswith("TABLE") or statement == AS_AT:
        return len(answer)
    return [
        {key: item for key, item in value.items() if key != "log_id"}
        if isinstance(value, dict)
        else re.sub(r"[-\d]+ [:\d]+ UTC|log entry \d+", "", str(value))
        for row in answer
        for value in row
    ]


# --- Traps that do not spring ------------------------------------------------

PATHS = {
    "own schema first": "{schema}, pg_catalog, customer, public",
    "own schema after PostgreSQL's": "{schema}, customer",
    "temporary objects first": "pg_temp, pg_catalog, {schema}, customer",
    "temporary objects and nothing else": "pg_temp",
}


@pytest.mark.parametrize("path", PATHS.values(), ids=PATHS.keys())
def test_no_trap_springs(connection, database, intruder, catalog, path):
    """Own functions, operators, types, tables and triggers, with every name that is used."""
    ordinary = [outcome(*each) for each in call_everything(intruder.connect(), connection)]
    session = intruder.connect()
    session.execute(traps(catalog, intruder.schema))
    if "pg_temp" in path:
        # A temporary schema exists from its first table on.
        session.execute("CREATE TEMPORARY TABLE first (); " + traps(catalog, "pg_temp"))
    notices = listen(session)
    session.execute(f"SET search_path = {path.format(schema=intruder.schema)}")
    set_stage(connection)

    seen = [outcome(*each) for each in call_everything(session, connection)]

    assert sprung(notices) == []
    assert seen == ordinary


CARELESS = {
    "function": "PERFORM to_char(1::numeric, 'FM9'::text);",
    "operator": "PERFORM 'a'::text || 'b'::text;",
    "type": "PERFORM 'a'::text;",
    "view": "PERFORM FROM monthly_snapshot_control;",
    "trigger": "INSERT INTO monthly_snapshot_control VALUES ('2026-01-31');",
}


# PostgreSQL looks for no function and no operator among temporary objects.
TEMPORARY = ("type", "view", "trigger")


@pytest.mark.parametrize("kinds", [tuple(CARELESS), TEMPORARY], ids=["own schema", "temporary"])
def test_each_kind_of_trap_springs_where_a_function_is_careless(
    connection, intruder, catalog, kinds
):
    """A premise: without its search_path pinned, a function of the owner falls into each."""
    session = intruder.connect()
    schema = intruder.schema if kinds != TEMPORARY else "pg_temp"
    session.execute("CREATE TEMPORARY TABLE first (); " + traps(catalog, schema))
    session.execute(f"SET search_path = {schema}, pg_catalog")
    owner = connection.info.user
    for kind in kinds:
        connection.execute(
            f"""
            CREATE FUNCTION public.careless() RETURNS void LANGUAGE plpgsql SECURITY DEFINER
            AS $$ BEGIN {CARELESS[kind]} END $$
            """
        )
        notices = listen(session)
        try:
            session.execute("SELECT public.careless()")
        finally:
            connection.execute("DROP FUNCTION public.careless()")
        assert [line for line in sprung(notices) if line.endswith(f" sprung as {owner}")], kind


def test_traps_spring_in_each_function_without_its_search_path(connection, intruder, catalog):
    """A premise: it is the pinned search_path that keeps the package's functions out of them."""
    # A type of another name would be an error before anything is called.
    intruder.connect().execute(traps(catalog, intruder.schema, with_types=False))
    owner = connection.info.user
    pinned = "SET search_path = pg_catalog, pg_temp"
    functions = {
        function
        for (function,) in connection.execute(
            "SELECT oid::regprocedure::text FROM pg_proc"
            " WHERE pronamespace = 'customer'::regnamespace"
            " AND 'search_path=pg_catalog, pg_temp' = ANY (proconfig)"
            # Which nobody calls after deploying.
            " AND prokind = 'f' AND proname <> 'missing_snapshot_sources'"
        )
    }
    fallen = set()
    for function in functions:
        set_stage(connection)
        connection.execute(
            f"ALTER FUNCTION {function} SET search_path = {intruder.schema}, pg_catalog"
        )
        session = intruder.connect()
        notices = listen(session)
        try:
            for _ in call_everything(session, connection):
                if any(line.endswith(f" sprung as {owner}") for line in sprung(notices)):
                    fallen.add(function)
                    break
        finally:
            connection.execute(f"ALTER FUNCTION {function} {pinned}")

    # Until PostgreSQL 17 a function in SQL is parsed as a whole before its first statement runs;
    # since then statement by statement, and its first one falls into a trap before the error below.
    as_a_whole = {"customer.summarise_snapshot_month(date,jsonb)"}
    assert functions - fallen == (
        as_a_whole if connection.info.server_version < 180000 else set()
    ) | {
        # An aggregate's trap, which takes no DISTINCT, FILTER or *, is an error before it springs.
        "customer.check_snapshot_sources()",
        "customer.stale_rows_by_product_line(date)",
        "customer.unmatched_events()",
        # These name nothing that could be something else.
        "customer.check_snapshot_sources_are_seen()",
        "customer.product_line_names()",
        "customer.snapshot_control_totals(date,bigint)",
        "customer.snapshot_version()",
        # With the rights of the caller.
        "customer.post_etl_hook(text,anyelement)",
        "customer.pre_etl_check(text,anyelement)",
        # Of the owner alone.
        "customer.keep_history()",
        "customer.refresh_monthly_snapshot(date)",
        "customer.restate_monthly_snapshot(date,text)",
        "customer.set_snapshot_updated_at()",
    }


def test_no_trap_springs_under_who_may_write_the_table_and_nothing_silences_it(
    connection, intruder, catalog
):
    """The triggers run with the owner's rights, too: each change is logged, or refused."""
    connection.execute(HOOK)
    connection.execute(f"GRANT ALL ON {FACT} TO {intruder.role}")
    session = intruder.connect(autocommit=False)
    session.execute(traps(catalog, intruder.schema))
    session.execute("CREATE TEMPORARY TABLE first (); " + traps(catalog, "pg_temp"))
    notices = listen(session)

    insert = (
        f"INSERT INTO {FACT} (snapshot_month, company_id, product_line_code, product_line_name)"
        f" VALUES ('2026-01-31', '{SECRET}1', 'PL204', 'x')"
    )
    session.execute(
        f"""
        SET search_path = pg_temp, {intruder.schema}, pg_catalog;
        SET customer.post_etl_hooks = off;
        SET plpgsql.check_asserts = off;
        SET row_security = off;
        UPDATE {FACT} SET plan_count = 9;
        {insert};
        DELETE FROM {FACT};
        {insert};
        TRUNCATE {FACT};
        """
    )
    session.commit()

    assert sprung(notices) == []
    assert connection.execute(
        f"SELECT inserted, updated, deleted FROM {LOG}"
        f" WHERE operation = 'by_hand' AND invoked_by = '{intruder.role}' ORDER BY log_id"
    ).fetchall() == [(0, 6, 0), (1, 0, 0), (0, 0, 7), (1, 0, 0), (0, 0, 1)]
    assert unfaithful(connection) == []

    Source(connection).contract("C1")
    connection.execute(HOOK)
    connection.execute(CLOSE)
    before = stored(connection)
    # These statements mean PostgreSQL's own operators.
    session.execute("RESET search_path")
    for name in BY_HAND:
        with pytest.raises(ObjectNotInPrerequisiteState), session.transaction():
            do(session, name, date(2026, 1, 31))
    assert (sprung(notices), stored(connection)) == ([], before)


# --- Texts and settings -------------------------------------------------------

NASTY = {
    "quotes": """'"''""'";""",
    "SQL": "'); DELETE FROM customer.monthly_snapshot_log; --",
    "dollars": "$$ $1 ${1} $trap$ $$; SELECT 1/0; $$",
    "formats": "% %s %I %L %1$s %% %n {0} {month} {violations} {aum}",
    "backslashes": r"\ \\ \' \n \x00 \u0000 E'\'' \b \' " + "\\",
    "Unicode": "\u202e\ufeff\u200b\U0001f4a3 机密 \u0301",
    "long": "'%$$\\" * 200,
}


@pytest.mark.parametrize("text", NASTY.values(), ids=NASTY.keys())
def test_texts_of_the_caller_are_data(connection, intruder, text):
    """As a parameter and as a literal; what the log keeps it keeps word for word."""
    session = intruder.connect()
    # PostgreSQL shortens it and replaces what is not ASCII; what is left is kept.
    session.execute("SELECT set_config('application_name', %s, FALSE)", [text])
    application = session.execute("SHOW application_name").fetchone()[0]
    session.execute(REFRESH)
    for name in ("restate_monthly_snapshot", "close_snapshot_month", "reopen_snapshot_month"):
        if name == "close_snapshot_month":
            session.execute(f"SELECT customer.{name}('2026-01-31', %s)", [text])
            with pytest.raises(ObjectNotInPrerequisiteState) as caught:
                session.execute(REFRESH)
            assert caught.value.diag.message_primary.endswith(f" UTC ({text})")
        else:
            session.execute(
                sql.SQL(f"SELECT customer.{name}('2026-01-31', {{}})").format(sql.Literal(text))
            )
        assert connection.execute(
            f"SELECT reason, application_name FROM {LOG} ORDER BY log_id DESC LIMIT 1"
        ).fetchone() == (text, application)

    skipped = session.execute("SELECT customer.post_etl_hook(%s, '202601')", [text]).fetchone()[0]
    assert skipped["reason"] == (
        f'domain "{text}" is unknown to the monthly snapshot;'
        " it knows annuity_performance, annual_award and annual_loss"
    )
    bad_period = f'the period must be six digits YYYYMM with a month 01 to 12, but is "{text}"'
    bad_setting = f'the setting customer.post_etl_hooks must be on or off, but is "{text}"'
    for statement, values, message in (
        ("SELECT customer.period_to_snapshot_month(%s)", [text], bad_period),
        ("SELECT customer.post_etl_hook('annuity_performance', %s)", [text], bad_period),
        (HOOK, [], bad_setting),
    ):
        if message == bad_setting:
            session.execute("SELECT set_config('customer.post_etl_hooks', %s, FALSE)", [text])
        with pytest.raises(InvalidParameterValue) as caught:
            session.execute(statement, values or None)
        assert caught.value.diag.message_primary == message
    assert connection.execute(f"SELECT count(*) FROM {LOG}").fetchone() == (4,)


# --- What the intruder is told -----------------------------------------------

DIAGNOSTICS = (
    "message_primary",
    "message_detail",
    "message_hint",
    "context",
    "internal_query",
    "column_name",
    "constraint_name",
)


def test_who_may_only_call_is_told_of_no_customer(connection, create_role, connect):
    """Not by results, messages, hints or errors, whatever is odd about the month."""
    role = create_role()
    connection.execute(
        f"""
        GRANT USAGE ON SCHEMA customer TO {role};
        GRANT EXECUTE ON FUNCTION
            customer.pre_etl_check(text, text), customer.pre_etl_check(text, anyelement),
            customer.post_etl_hook(text, text), customer.period_to_snapshot_month,
            customer.refresh_monthly_snapshot, customer.restate_monthly_snapshot,
            customer.discard_snapshot_month, customer.close_snapshot_month,
            customer.reopen_snapshot_month
        TO {role}
        """
    )
    session = connect(user=role, password=role, autocommit=True)
    session.execute("SET client_min_messages = debug5; SET plpgsql.print_strict_params = on")
    notices = listen(session)

    heard = [
        [str(getattr(answer.diag, part)) for part in DIAGNOSTICS]
        if isinstance(answer, psycopg.Error)
        else answer
        for _, answer in call_everything(session, connection)
    ]

    everything = str(heard) + str(notices)
    assert "snapshot of 2026-01-31: 6 rows" in everything
    assert "permission denied for function validate_monthly_snapshot" in everything
    assert SECRET not in everything
    # A premise: who may validate is told.
    assert SECRET in str(connection.execute(VALIDATE).fetchall())
    # The total of all customers' AUM, or of those that go, is what the result does tell.
    assert "98765432" not in everything.replace("4938271620", "")


# --- Deploying ----------------------------------------------------------------


def test_no_function_executes_a_text(connection):
    assert (
        connection.execute(
            "SELECT oid::regprocedure FROM pg_proc"
            " WHERE pronamespace = 'customer'::regnamespace AND prosrc ~* '\\mexecute\\M'"
            # Nobody but the owner may call the one, whose arguments are no text; the other only
            # says the word.
            " AND proname NOT IN ('revoke_default_grants', 'verify_function')"
        ).fetchall()
        == []
    )


@pytest.fixture
def planted_database(create_test_database, create_role, catalog) -> Callable[[str], str]:
    """A function that copies a database, in whose schema public an intruder then sets traps."""

    def plant(template: str) -> str:
        name, role = create_test_database(template), create_role()
        with psycopg.connect(dbname=name) as connection:
            # As in a database that was made before PostgreSQL 15.
            connection.execute("GRANT CREATE ON SCHEMA public TO PUBLIC")
            fill(connection)
        with psycopg.connect(dbname=name, user=role, password=role) as connection:
            connection.execute(traps(catalog, "public"))
        return name

    return plant


def planted(connection: psycopg.Connection) -> list[tuple[str, str]]:
    """What of the package depends on anything in the schema public."""
    return connection.execute(
        """
        SELECT DISTINCT
            pg_describe_object(classid, objid, objsubid),
            pg_describe_object(refclassid, refobjid, refobjsubid)
        FROM pg_depend
        CROSS JOIN LATERAL pg_identify_object(refclassid, refobjid, refobjsubid) AS used
        CROSS JOIN LATERAL pg_identify_object(classid, objid, objsubid) AS user_of_it
        WHERE used.schema = 'public'
            AND user_of_it.schema IS DISTINCT FROM 'public'
            AND user_of_it.identity ~ 'customer\\.'
        ORDER BY 1, 2
        """
    ).fetchall()


def test_nothing_that_an_intruder_planted_becomes_part_of_the_package(
    planted_database, source_template
):
    """Deploying with the usual search_path, in which public comes after PostgreSQL's own."""
    database = planted_database(source_template)
    result = deploy_scripts(database)

    with psycopg.connect(dbname=database) as connection:
        notices = listen(connection)
        connection.execute(REFRESH)
        connection.execute("TABLE customer.monthly_status_trend")
        assert planted(connection) == []
        assert sprung(notices) == []

        # A premise: a view that uses an operator of the intruder is told.
        connection.execute("CREATE VIEW customer.own AS SELECT 1::numeric = 1 AS x")
        connection.execute("TABLE customer.own")
        assert ("rule _RETURN on view customer.own", "operator =(numeric,integer)") in planted(
            connection
        )
        assert sprung(notices) == [f"operator = sprung as {connection.info.user}"]
    assert " sprung as " not in succeed(result) + result.stderr


SCRIPTS = {
    "verify": [f"-fverify/{name}.sql" for name in changes()],
    "revert": [f"-f{file}" for file in reverts()],
    "grants": ["-vetl={owner}", "-vreader={owner}", "-fsql/grants.sql"],
    "backfill": ["-vfrom=2026-01-31", "-vto=2026-01-31", "-vreason=why", "-fsql/backfill.sql"],
}


@pytest.mark.parametrize("arguments", SCRIPTS.values(), ids=SCRIPTS.keys())
def test_nothing_that_an_intruder_planted_runs_in_a_script(
    planted_database, package_template, connection, arguments
):
    owner = connection.info.user
    result = psql(
        planted_database(package_template), *(word.format(owner=owner) for word in arguments)
    )
    assert " sprung as " not in succeed(result) + result.stderr
