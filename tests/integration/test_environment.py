"""Hostile but legal environments: settings, encodings and collations change nothing.

A whole life (load, hook, refresh, restate, close, refusals, reopening, changes by hand,
validation, trend, what was published) is played in an ordinary session, and again in each
environment: results, messages and rows must be the same. The package is also deployed in such
environments, and must come out the same.

What a GBK console does to Sqitch is in test_sqitch.py; names that shadow the package's, planted
by somebody who means harm, are in test_intruders.py.
"""

import json
import re
import uuid
from collections.abc import Iterator
from datetime import date
from typing import Any, NamedTuple

import psycopg
import pytest
from psycopg.types.json import set_json_loads
from support import (
    ADOPTED,
    ALEMBIC_TABLE,
    CALLS,
    FACT,
    VIEWS,
    Notice,
    Source,
    deploy_scripts,
    do,
    listen,
    psql,
    schema_dump,
    succeed,
)

# --- A whole life ------------------------------------------------------------

# Names that collations order differently, and amounts that show how they are rounded.
NAMES = ("企年受托", "企年投资", "a", "B", "é", "z", "Z", "_", "10", "9")
COMPANIES = ("甲", "丙", "a1", "B1", "a-2", "A_2", "Ω", "10", "9", "b1", "鲍")


def load(connection: psycopg.Connection) -> None:
    """Sources in which all the rules have something to do."""
    source = Source(connection)
    for number, company_id in enumerate(COMPANIES):
        for plan in range(1 + number % 3):
            source.contract(
                company_id,
                plan_code=f"P{plan}",
                product_line_name=NAMES[(number + 3 * plan) % len(NAMES)],
                is_strategic=None if number % 4 == 0 else number % 4 == plan,
                is_existing=number % 3 == 0,
                valid_from=f"202{number % 6}-01-31",
            )
        source.detail(company_id, f"{number}000.0050", day="2026-01-01")
        source.detail(company_id, "-0.0100", day="2026-01-31")
        source.detail(company_id, "7", day="2025-12-31")
        source.detail(company_id, "1", day="2026-02-01")
        if number % 2:
            source.award(company_id, f"{2025 + number % 3}-12-31")
        if number % 3:
            source.loss(company_id, f"{2025 + number % 3}-01-01")
    source.contract("已走", valid_from="2020-01-01", valid_to="2026-01-30")
    source.contract("a1", product_line_code="PL201", valid_from="2020-01-01", valid_to="2026-01-31")
    source.detail(None, "0.005")
    source.detail("无合同", "12345.6789")
    source.detail("甲", "0.01", line="PL301")
    source.award("无合同")


class Step(NamedTuple):
    """A statement of the life, whether it is to be refused, and what is done before it."""

    statement: str
    values: tuple = ()
    is_refused: bool = False
    before: str = ""


JANUARY = date(2026, 1, 31)
REFRESH = "SELECT customer.refresh_monthly_snapshot('2026-01-31')"
RESTATE = "SELECT customer.restate_monthly_snapshot('2026-01-31', 'why')"
CLOSE = "SELECT customer.close_snapshot_month('2026-01-31', '公布')"
REOPEN = "SELECT customer.reopen_snapshot_month('2026-01-31', 'why')"
DISCARD = "SELECT customer.discard_snapshot_month('2026-01-31', '撤销')"
CHECK = "SELECT customer.pre_etl_check('annuity_performance', '202601')"
HOOK = "SELECT customer.post_etl_hook('annuity_performance', '202601')"
AWARD = "SELECT customer.post_etl_hook('annual_award', '202601')"
REFRESH_FEBRUARY = "SELECT customer.refresh_monthly_snapshot('2026-02-28')"
VALIDATE = "SELECT to_jsonb(t) FROM customer.validate_monthly_snapshot('2026-01-15') AS t"
READS = [
    f"SELECT to_jsonb(t) - '{{last_changed_at,closed_at}}'::text[] FROM {view} AS t"
    ' ORDER BY to_jsonb(t)::text COLLATE "C"'
    for view in VIEWS
]
CHANGES = "SELECT to_jsonb(t) FROM customer.published_changes('2026-01-31') AS t"
PUBLISHED = """
    SELECT to_jsonb(t) - 'updated_at'
    FROM customer.monthly_status_as_at(
        '2026-01-31',
        (SELECT l.log_id FROM customer.monthly_snapshot_log AS l WHERE l.operation = 'close')
    ) AS t
    ORDER BY t.company_id COLLATE "C", t.product_line_code COLLATE "C"
"""


def steps(*statements: str, is_refused: bool = False) -> list[Step]:
    return [Step(statement, is_refused=is_refused) for statement in statements]


LIFE = (
    *steps(VALIDATE, AWARD, CHECK, HOOK, AWARD, REFRESH, VALIDATE),
    *steps("SELECT customer.refresh_monthly_snapshot('2025-12-01')", *READS),
    Step(
        VALIDATE,
        before="""
            UPDATE customer.customer_plan_contract AS c SET is_existing = NOT is_existing
            WHERE c.company_id IN ('a1', '9');
            UPDATE customer.customer_plan_contract AS c SET valid_to = '2026-01-15'
            WHERE c.company_id IN ('甲', 'B1');
            UPDATE customer.customer_plan_contract AS c SET valid_to = '2026-02-05'
            WHERE c.company_id = 'a-2';
            UPDATE business."规模明细" AS d SET "期末资产规模" = 3.14159
            WHERE d.company_id IN ('丙', 'Ω');
        """,
    ),
    *steps(REFRESH, VALIDATE),
    Step(RESTATE.replace("'why'", "%s"), ("更正 \\ 'q' \"d\" $$ %",)),
    *steps(VALIDATE, REFRESH, RESTATE),
    Step(CLOSE.replace("'公布'", "%s"), ("公布 \\n",)),
    *steps(REFRESH, HOOK, CHECK, DISCARD, is_refused=True),
    Step(AWARD),
    *steps(f"UPDATE {FACT} SET plan_count = 0", CLOSE, is_refused=True),
    *steps(*READS, VALIDATE, REOPEN),
    Step(
        f"UPDATE {FACT} AS t SET aum_balance = t.aum_balance + 0.01, product_line_name = 'é'"
        " WHERE t.snapshot_month = '2026-01-31' AND t.company_id IN ('丙', '10')"
        " RETURNING jsonb_build_object('aum', t.aum_balance)"
    ),
    *steps(VALIDATE, CHANGES, PUBLISHED),
    Step(REOPEN, is_refused=True),
    Step(REFRESH, is_refused=True, before='DELETE FROM business."规模明细" AS d'),
    Step(REFRESH, before="SET LOCAL customer.accept_implausible = on"),
    Step(DISCARD),
    Step(DISCARD, is_refused=True),
    *steps(REFRESH, REFRESH_FEBRUARY),
    Step(REFRESH, is_refused=True, before="SET LOCAL customer.accept_implausible = '关'"),
    Step(
        "SELECT customer.refresh_monthly_snapshot('infinity')",
        is_refused=True,
        before="RESET customer.accept_implausible",
    ),
    *steps(
        "SELECT customer.refresh_monthly_snapshot('0001-12-31 BC')",
        "SELECT customer.refresh_monthly_snapshot(NULL)",
        "SELECT customer.restate_monthly_snapshot('0003-01-31', 'why')",
        HOOK.replace("202601", "２０２６01"),
        is_refused=True,
    ),
    Step("SELECT customer.post_etl_hook('别的', '202601')"),
    Step(HOOK, is_refused=True, before="SET LOCAL customer.post_etl_hooks = '关'"),
    Step(HOOK, before="SET LOCAL customer.post_etl_hooks = off"),
    Step(
        REFRESH_FEBRUARY,
        before="""
            SET LOCAL customer.accept_implausible = on;
            DELETE FROM customer.customer_plan_contract AS c
        """,
    ),
)

# Whatever there is of the package at the end, in a form that depends on no setting.
REMAINS = (
    f"""
    SELECT to_jsonb(t) - 'updated_at'
    FROM {FACT} AS t
    ORDER BY t.snapshot_month, t.company_id COLLATE "C", t.product_line_code COLLATE "C"
    """,
    """
    SELECT t.snapshot_month, t.last_rule, t.stale_rows, t.baseline_rows, t.baseline_aum, t.closed_by
    FROM customer.monthly_snapshot_control AS t
    ORDER BY t.snapshot_month
    """,
    """
    SELECT t.snapshot_month, t.operation, convert_to(t.reason, 'UTF8'), t.total, t.inserted,
        t.updated, t.unchanged, t.stale, t.deleted, t.aum_total, t.aum_unattributed, t.rule,
        t.accepted, t.month_rows, t.month_aum, t.month_sha256, t.invoked_by
    FROM customer.monthly_snapshot_log AS t
    ORDER BY t.log_id
    """,
    """
    SELECT to_jsonb(t) - 'log_id' - 'updated_at'
    FROM customer.monthly_status_history AS t
    ORDER BY t.log_id, t.company_id COLLATE "C", t.product_line_code COLLATE "C"
    """,
)
# What the environment sets is set back to read them.
PLAIN = (
    "SET LOCAL search_path = pg_catalog; SET LOCAL DateStyle = ISO; SET LOCAL bytea_output = hex"
)

# Names that do not resolve, types that do not fit, and PostgreSQL's own bugs.
NEVER = {"42P01", "42703", "42883", "42804", "XX000"}


class Life(NamedTuple):
    """Everything that was seen of a life."""

    steps: list[tuple]
    remains: list[list]
    notices: list[Notice]


def live(connection: psycopg.Connection) -> Life:
    """A whole life in one transaction, undone at the end."""
    life = Life([], [], listen(connection))
    with connection.transaction(force_rollback=True):
        for step in LIFE:
            if step.before:
                connection.execute(step.before)
            try:
                with connection.transaction():
                    rows = connection.execute(step.statement, step.values).fetchall()
            except psycopg.Error as error:
                message = error.diag.message_primary
                seen = (error.sqlstate, re.sub(r"at \d.* UTC", "at … UTC", message))
                seen += (error.diag.message_hint,)
            else:
                seen = ("00000", [without_moment(value) for (value,) in rows])
            assert seen[0] not in NEVER, (step, seen)
            assert (seen[0] != "00000") == step.is_refused, (step, seen)
            life.steps.append(seen)
        connection.execute(PLAIN)
        for query in REMAINS:
            life.remains.append(connection.execute(query).fetchall())
    return life


def without_moment(result: dict[str, Any]) -> dict[str, Any]:
    """A result but for its moments, and for the numbers that count on from life to life."""
    moment = r"\d{4}-\d\d-\d\d \d\d:\d\d UTC|entry \d+"
    passing = ("log_id", "last_changed_at")
    lasting = {key: value for key, value in result.items() if key not in passing}
    return lasting | {"detail": re.sub(moment, "…", result.get("detail") or "")}


@pytest.fixture(scope="module")
def world(create_database, package_template) -> str:
    """A database with the sources loaded and nothing written."""
    name = create_database(package_template)
    with psycopg.connect(dbname=name) as connection:
        load(connection)
    return name


@pytest.fixture(scope="module")
def ordinary_life(world) -> Life:
    with psycopg.connect(dbname=world, autocommit=True) as connection:
        return live(connection)


@pytest.fixture
def session(world) -> Iterator[psycopg.Connection]:
    with psycopg.connect(dbname=world, autocommit=True) as connection:
        yield connection


def test_the_life_shows_what_there_is_to_see(ordinary_life):
    """A premise of all that follows."""
    _, _, log, history = ordinary_life.remains
    assert {step[0] for step in ordinary_life.steps} == {"00000", "55000", "22023", "22004"}
    operations = "refresh restate by_hand close reopen discard"
    assert {entry[1] for entry in log} == set(operations.split())
    assert {event["operation"] for (event,) in history} == {"insert", "update", "delete"}
    findings = {
        check["check_name"]
        for _, rows, *_ in ordinary_life.steps
        if isinstance(rows, list)
        for check in rows
        if check.get("violations")
    }
    expected = "snapshot_exists missing_row is_existing aum_balance stale_row unmatched_award"
    assert findings >= set(expected.split())


# --- Settings of a session ---------------------------------------------------

# What changes how texts are read and written.
READING = {
    "standard_conforming_strings": "off",
    "backslash_quote": "on",
    "array_nulls": "off",
    "transform_null_equals": "on",
    "DateStyle": "German",
    "IntervalStyle": "sql_standard",
    "TimeZone": "Pacific/Kiritimati",
    "extra_float_digits": "-15",
    "bytea_output": "escape",
    "search_path": '""',
    "row_security": "off",
}
# By expressions for the names of settings, of which versions have other ones.
ENVIRONMENTS: dict[str, dict[str, str]] = {
    "how it reads, far in the east": READING,
    "American, in the west": {
        "DateStyle": "SQL, MDY",
        "TimeZone": "America/Los_Angeles",
        "IntervalStyle": "iso_8601",
        "search_path": "customer, business, pg_catalog",
    },
    "generic plans, PL/pgSQL prefers variables": {
        "plan_cache_mode": "force_generic_plan",
        "jit": "on",
        "jit_above_cost": "0",
        "plpgsql.variable_conflict": "use_variable",
        "plpgsql.extra_errors": "all",
        "plpgsql.check_asserts": "off",
    },
    "custom plans, joins as written, little memory, PL/pgSQL prefers columns": {
        "plan_cache_mode": "force_custom_plan",
        "join_collapse_limit": "1",
        "from_collapse_limit": "1",
        "geqo_threshold": "2",
        "work_mem": "64kB",
        "hash_mem_multiplier": "1",
        "plpgsql.variable_conflict": "use_column",
        "plpgsql.extra_errors": "all",
        "plpgsql.print_strict_params": "on",
    },
    # Compiling what looks dear, as all does then, takes longest, and is tried above.
    "no plan cheap, parallel workers forced": {
        "jit": "off",
        "debug_parallel_query|force_parallel_mode": "on",
        "enable_.*": "off",
    },
    "serializable, PostgreSQL's oldest dates, in China": {
        "DateStyle": "Postgres, DMY",
        "TimeZone": "Asia/Shanghai",
        "quote_all_identifiers": "on",
        "default_transaction_isolation": "serializable",
        "default_transaction_deferrable": "on",
    },
}


def configure(connection: psycopg.Connection, settings: dict[str, str]) -> None:
    """Set what names; a setting that does not exist is an error, and so is a value."""
    connection.execute("LOAD 'plpgsql'")  # and with it its settings
    for names, value in settings.items():
        set_config = "SELECT set_config(name, %s, FALSE) FROM pg_settings WHERE name ~ %s"
        assert connection.execute(set_config, [value, f"^({names})$"]).fetchall(), names


@pytest.mark.parametrize("settings", ENVIRONMENTS.values(), ids=ENVIRONMENTS.keys())
def test_life_is_the_same_whatever_the_session_sets(session, ordinary_life, settings):
    configure(session, settings)

    assert live(session) == ordinary_life


def test_messages_and_texts_arrive_in_another_encoding(session, ordinary_life):
    session.execute("SET client_encoding = 'GBK'")
    assert session.info.encoding == "gbk"
    # psycopg takes every JSON for UTF-8.
    set_json_loads(lambda received: json.loads(received.decode("gbk")), session)

    assert live(session) == ordinary_life


def test_quiet_clients_get_the_same_results(session, ordinary_life):
    session.execute("SET client_min_messages = error")

    assert live(session) == ordinary_life._replace(notices=[])


# --- Read-only ---------------------------------------------------------------


def test_what_writes_is_refused_read_only_and_what_reads_works(session, ordinary_life):
    session.execute("SET default_transaction_read_only = on")

    for name in CALLS:
        with pytest.raises(psycopg.errors.ReadOnlySqlTransaction):
            do(session, name, JANUARY)
    [first, *_] = ordinary_life.steps
    assert [row for (row,) in session.execute(VALIDATE)] == first[1]
    assert session.execute(READS[0]).fetchall() == []
    assert session.execute("SELECT * FROM customer.missing_snapshot_sources()").fetchall() == []


# --- Other databases ---------------------------------------------------------

DATABASES = {
    "collation C": "ENCODING 'UTF8' LOCALE_PROVIDER libc LOCALE 'C'",
    "ICU, Chinese by pinyin": "ENCODING 'UTF8' LOCALE_PROVIDER icu ICU_LOCALE 'zh-u-co-pinyin'",
    "ICU, numbers by value, case last": (
        "ENCODING 'UTF8' LOCALE_PROVIDER icu ICU_LOCALE 'en-US-u-kn-true-kf-upper-ka-shifted'"
    ),
    "encoding EUC_CN": "ENCODING 'EUC_CN' LOCALE_PROVIDER libc LOCALE 'C'",
    "encoding SQL_ASCII": "ENCODING 'SQL_ASCII' LOCALE_PROVIDER libc LOCALE 'C'",
}


@pytest.fixture
def foreign_database(request) -> Iterator[str]:
    """A database that is not a copy of template1."""
    name = f"snapshot_{uuid.uuid4().hex[:12]}"
    with psycopg.connect(autocommit=True) as server:
        try:
            server.execute(f"CREATE DATABASE {name} TEMPLATE template0 {DATABASES[request.param]}")
        except psycopg.errors.FeatureNotSupported:
            pytest.skip("this server is built without ICU")
        yield name
        server.execute(f"DROP DATABASE {name} WITH (FORCE)")


@pytest.mark.parametrize("foreign_database", DATABASES, indirect=True, ids=DATABASES.keys())
def test_life_is_the_same_in_another_database(foreign_database, ordinary_life):
    succeed(psql(foreign_database, "-f", "sql/demo/source_system.sql"))
    succeed(deploy_scripts(foreign_database))

    parameters = {"dbname": foreign_database, "client_encoding": "UTF8"}
    with psycopg.connect(**parameters, autocommit=True) as connection:
        load(connection)
        life = live(connection)
        encoding = connection.execute("SHOW server_encoding").fetchone()[0]

    if encoding == "EUC_CN":
        # Byte order is that of the encoding.
        assert in_any_order(life) == in_any_order(ordinary_life)
    else:
        assert life == ordinary_life


def in_any_order(life: Life) -> Life:
    """A life without the order of rows and without the five keys that a sample shows."""
    steps = [
        (sqlstate, sorted(({**row, "sample": None} for row in seen), key=str), *hint)
        if isinstance(seen, list)
        else (sqlstate, seen, *hint)
        for sqlstate, seen, *hint in life.steps
    ]
    return life._replace(remains=[sorted(rows, key=str) for rows in life.remains], steps=steps)


# --- Deploying ---------------------------------------------------------------

DEPLOYMENTS = {
    "how it reads": READING | {"check_function_bodies": "off", "quote_all_identifiers": "on"},
    "how it works": {
        "plpgsql.extra_errors": "all",
        "plpgsql.variable_conflict": "use_variable",
        "default_transaction_isolation": "serializable",
        "default_transaction_deferrable": "on",
        "client_min_messages": "error",
        "search_path": "customer, mapping, business, public",
    },
}


@pytest.fixture(scope="module")
def deployed(create_database, source_template) -> str:
    """What comes of it in an ordinary session."""
    name = create_database(source_template)
    succeed(deploy_scripts(name))
    return schema_dump(name)


def pgoptions(settings: dict[str, str]) -> str:
    """Settings for libpq, which takes a space for the end of one unless it is escaped."""
    return " ".join(
        f"-c {name}={value}".replace("\\", "\\\\").replace(" ", "\\ ").replace("-c\\ ", "-c ")
        for name, value in settings.items()
    )


@pytest.mark.parametrize("settings", DEPLOYMENTS.values(), ids=DEPLOYMENTS.keys())
@pytest.mark.parametrize("adopts", [False, True], ids=["new", "adopted"])
def test_deploys_and_verifies_the_same_whatever_the_session_sets(
    create_test_database, source_template, deployed, adopts, settings
):
    """On empty ground, and over a table of Alembic's."""
    name = create_test_database(source_template)
    if adopts:
        succeed(psql(name, "-c", ALEMBIC_TABLE))

    options = ("-v", "adopt=true") if adopts else ()
    succeed(deploy_scripts(name, *options, PGOPTIONS=pgoptions(settings)))

    assert schema_dump(name).replace(ADOPTED, "") == deployed
