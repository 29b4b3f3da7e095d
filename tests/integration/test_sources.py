"""The platform's tables: what deploying demands of them, which it finds, what mends a change."""

import subprocess
from datetime import date
from decimal import Decimal

import oracle
import psycopg
import pytest
from support import (
    CALLS,
    FACT,
    KINDS,
    LEVELS,
    Source,
    deploy_scripts,
    do,
    errors_in,
    fail,
    grant,
    listen,
    psql,
    refresh,
    reverts,
    run,
    schema_dump,
    shell_command,
    sqitch,
    succeed,
    wait_for_lock,
)

JANUARY = date(2026, 1, 31)
JUNE = date(2025, 6, 30)
REFRESH = "SELECT customer.refresh_monthly_snapshot('2026-01-31')"
MISSING = "the source system lacks what the monthly snapshot reads:"
SOURCE_TABLES = {
    "contracts": "customer.customer_plan_contract",
    "awards": 'customer."当年中标"',
    "losses": 'customer."当年流失"',
    "aum": 'business."规模明细"',
    "customers": 'customer."年金客户"',
    "product_lines": 'mapping."产品线"',
}
# What the platform did in early 2026.
SECOND_GENERATION = """
    ALTER TABLE customer."年金客户" RENAME TO "客户明细";
    ALTER TABLE customer.customer_plan_contract RENAME TO "客户年金计划";
    ALTER TABLE customer."当年中标" RENAME TO "中标客户明细";
    ALTER TABLE customer."当年流失" RENAME TO "流失客户明细";
    ALTER TABLE customer."客户年金计划"
        DROP CONSTRAINT uq_active_contract,
        ADD UNIQUE (company_id, plan_code, product_line_code, valid_from),
        ADD COLUMN customer_name varchar,
        ADD COLUMN plan_name varchar(200);
"""
REVERT = [word for file in reverts() for word in ("-f", file)]


def deploy_sources(database: str, *options: str) -> subprocess.CompletedProcess[str]:
    return psql(database, *options, "-f", "deploy/sources.sql")


def execute(database: str, *statements: str) -> list[tuple]:
    """The rows of the last of some statements, which run one after the other."""
    with psycopg.connect(dbname=database) as connection:
        for statement in statements:
            cursor = connection.execute(statement)
        return cursor.fetchall() if cursor.description else []


def names_shown(database: str) -> set[str | None]:
    """What the dimensions call customers and product lines, and who was reported to have left."""
    queries = (
        "SELECT customer_name FROM customer.dim_customer",
        "SELECT product_line_name FROM customer.dim_product_line",
        "SELECT product_category FROM customer.dim_product_line",
        "SELECT business_category FROM customer.dim_product_line",
        "SELECT reported_name FROM customer.unmatched_awards_and_losses",
    )
    return {name for (name,) in execute(database, " UNION ".join(queries))}


def tables_read(database: str) -> dict[str, str]:
    return dict(
        execute(database, "SELECT DISTINCT source, table_name FROM customer.source_columns()")
    )


# --- Two generations of names ------------------------------------------------


def test_second_generation_is_found_and_gives_what_the_oracle_says(
    create_test_database, sample_template
):
    database = create_test_database(sample_template)
    succeed(psql(database, *REVERT))
    with psycopg.connect(dbname=database) as connection:
        sources = oracle.read_sources(connection)
        connection.execute(SECOND_GENERATION)

    succeed(deploy_scripts(database))

    with psycopg.connect(dbname=database) as connection:
        connection.execute(REFRESH)
        connection.execute("SELECT customer.restate_monthly_snapshot('2025-06-30', 'history')")
        stored = oracle.read_stored(connection)
        assert stored[JANUARY] == oracle.snapshot(sources, JANUARY, "current")
        assert stored[JUNE] == oracle.snapshot(sources, JUNE, "as_of")
        assert errors_in(connection, JANUARY) == errors_in(connection, JUNE) == []
    names = names_shown(database)
    assert {"企年受托", "职业年金", "投资"} < names
    assert len(names) > 5000


def test_names_of_another_type_are_none(source_database):
    """Nor are columns that only people read a reason to refuse."""
    with psycopg.connect(dbname=source_database) as connection:
        source = Source(connection)
        source.contract("C1")
        source.award("C9")
        source.loss("C9")
        for table, column in (
            ('customer."年金客户"', "客户名称"),
            ('customer."当年中标"', "上报客户名称"),
            ('customer."当年流失"', "上报客户名称"),
            *(('mapping."产品线"', column) for column in ("产品线", "产品类别", "业务大类")),
        ):
            connection.execute(f'ALTER TABLE {table} ALTER "{column}" TYPE integer USING 1')
    succeed(deploy_scripts(source_database))

    execute(source_database, REFRESH)
    assert names_shown(source_database) == {None}


def test_where_both_generations_are_there_it_asks_and_keeps_the_answer(source_database):
    for old, new in (("当年中标", "中标客户明细"), ("年金客户", "客户明细")):
        execute(source_database, f'CREATE TABLE customer."{new}" (LIKE customer."{old}")')

    errors = fail(deploy_sources(source_database))

    assert (
        "both generations of a table are there, and only one of them can be read:\n"
        '    customer."当年中标" or customer."中标客户明细":'
        ' say --set awards=customer."中标客户明细", or the other\n'
        '    customer."年金客户" or customer."客户明细":'
        ' say --set customers=customer."客户明细", or the other\n'
    ) in errors

    answer = ("--set", 'awards=customer."中标客户明细"', "--set", 'customers=customer."年金客户"')
    succeed(sqitch(source_database, "deploy", "--to", "sources", *answer))
    # Run again, it keeps what was chosen.
    succeed(deploy_sources(source_database))
    assert tables_read(source_database) == SOURCE_TABLES | {"awards": 'customer."中标客户明细"'}

    # Until that is gone.
    execute(source_database, 'DROP TABLE customer."中标客户明细", customer."客户明细"')
    succeed(deploy_sources(source_database))
    assert tables_read(source_database) == SOURCE_TABLES


def named(tables: dict[str, str]) -> list[str]:
    return [word for source, table in tables.items() for word in ("-v", f"{source}={table}")]


def test_any_table_can_be_named(source_database):
    execute(
        source_database,
        "CREATE SCHEMA other",
        *(f"ALTER TABLE {table} SET SCHEMA other" for table in SOURCE_TABLES.values()),
    )
    names = {source: "other." + table.partition(".")[2] for source, table in SOURCE_TABLES.items()}

    succeed(deploy_scripts(source_database, *named(names)))

    assert tables_read(source_database) == names
    for name, problem in (
        ('nowhere."规模"', 'table nowhere."规模" is missing'),
        ("k2", "the table for aum must be given as SCHEMA.TABLE, but is k2"),
        ('other."a$body$b"', 'table other."a$body$b" is missing'),
    ):
        assert problem in fail(deploy_sources(source_database, *named({"aum": name})))

    # All of them renamed at once: what was remembered is of no use then.
    execute(source_database, "ALTER SCHEMA other RENAME TO another")
    names = {source: table.replace("other", "another") for source, table in names.items()}
    succeed(deploy_sources(source_database, *named(names)))
    succeed(deploy_scripts(source_database, folders=("verify",)))


def test_renamed_table_is_mended_by_the_command_of_hint_and_readme(database, connection):
    Source(connection).contract("C1")
    connection.execute(REFRESH)
    connection.execute('ALTER TABLE customer.customer_plan_contract RENAME TO "客户年金计划"')

    with pytest.raises(psycopg.errors.ObjectNotInPrerequisiteState) as caught:
        connection.execute(REFRESH)

    command = shell_command("-f deploy/sources.sql").replace("workdatahub", database)
    told = command.replace("'", "").replace('customer."客户年金计划"', "SCHEMA.TABLE")
    assert f'"{told}"' in caught.value.diag.message_hint
    fail(psql(database, "-f", "verify/sources.sql"))
    succeed(run("bash", "-c", command))
    assert connection.execute(REFRESH).fetchone()[0]["unchanged"] == 1
    succeed(deploy_scripts(database, folders=("verify",)))


# --- What is missing ---------------------------------------------------------


def test_deploy_and_verify_name_all_that_is_missing_and_deploying_leaves_nothing(
    source_database, database
):
    damage = """
        DROP TABLE business."规模明细" CASCADE;
        ALTER TABLE customer."当年流失" DROP COLUMN "上报月份"
    """
    findings = (
        f'{MISSING}\n    column customer."当年流失"."上报月份" is missing'
        '\n    table business."规模明细" is missing'
    )
    execute(source_database, damage)
    execute(database, damage)
    before = schema_dump(source_database)

    errors = fail(sqitch(source_database, "deploy"))

    assert f"{findings}\nHINT:  Create what is missing" in errors
    assert schema_dump(source_database) == before
    assert findings in fail(psql(database, "-f", "verify/sources.sql"))


def test_deploy_to_a_database_without_the_schema_names_every_table(create_test_database):
    database = create_test_database()
    before = schema_dump(database)

    errors = fail(sqitch(database, "deploy"))

    for table in SOURCE_TABLES.values():
        assert f"    table {table} is missing\n" in errors
    assert schema_dump(database) == before


# --- Whose rights it reads with ----------------------------------------------


@pytest.fixture
def owner(source_database, create_role) -> str:
    """A role with just the rights that deploying takes."""
    role = create_role()
    with psycopg.connect(dbname=source_database) as connection:
        connection.execute(
            f"""
            GRANT USAGE, CREATE ON SCHEMA customer TO {role};
            GRANT USAGE ON SCHEMA business, mapping TO {role};
            GRANT SELECT (
                company_id, plan_code, product_line_code, product_line_name, is_strategic,
                is_existing, valid_from, valid_to, contract_id
            ) ON customer.customer_plan_contract TO {role};
            GRANT SELECT (company_id, "产品线代码", "上报月份")
            ON customer."当年中标", customer."当年流失" TO {role};
            GRANT SELECT (company_id, "产品线代码", "月度", "期末资产规模")
            ON business."规模明细" TO {role};
            GRANT SELECT (company_id), REFERENCES ON customer."年金客户" TO {role};
            GRANT SELECT ("产品线代码"), REFERENCES ON mapping."产品线" TO {role}
            """
        )
    return role


def as_role(role: str) -> tuple[str, str]:
    return "-c", f"SET SESSION AUTHORIZATION {role}"


def test_owner_needs_the_columns_that_are_read_and_no_more(source_database, owner, create_role):
    """Then every duty is done with its rights by a role that has none of these."""
    with psycopg.connect(dbname=source_database) as connection:
        source = Source(connection)
        source.contract("C1")
        source.award("C1")
        source.loss("C9")
        source.detail("C1", "1.50")

    result = deploy_scripts(source_database, *as_role(owner))

    succeed(result)
    assert "superuser" not in result.stderr
    execute(source_database, f"REVOKE CREATE ON SCHEMA customer FROM {owner}")
    role = create_role()
    succeed(grant(source_database, **dict.fromkeys(KINDS, role)))
    with psycopg.connect(dbname=source_database, user=role, password=role) as session:
        for name in CALLS:
            do(session, name, JANUARY)
        refresh(session, JANUARY)
        assert errors_in(session, JANUARY) == []
    # Nor those which only people read.
    assert names_shown(source_database) == {None}
    assert execute(source_database, f"SELECT aum_balance FROM {FACT}") == [(Decimal("1.50"),)]

    succeed(psql(source_database, *as_role(owner), "-v", "discard_snapshots=true", *REVERT))


def test_functions_that_another_role_made_first_are_neither_run_nor_taken(
    source_database, create_role
):
    role = create_role()
    execute(
        source_database,
        f"GRANT USAGE, CREATE ON SCHEMA customer TO {role}",
        f"SET ROLE {role}",
        "CREATE FUNCTION customer.source_columns() RETURNS TABLE (source text, table_name text)"
        f" LANGUAGE plpgsql AS 'BEGIN ALTER ROLE {role} SUPERUSER; END'",
    )

    errors = fail(deploy_sources(source_database))

    assert (
        "role postgres does not own what is there already:\n"
        f"    customer.source_columns() belongs to {role}\n"
    ) in errors
    [(is_superuser,)] = execute(
        source_database, f"SELECT rolsuper FROM pg_roles WHERE rolname = '{role}'"
    )
    assert not is_superuser


@pytest.mark.parametrize("level", ["read committed", "repeatable read"])
def test_type_that_changes_meanwhile_is_not_taken_unnoticed(connect, connection, start, level):
    source = Source(connection)
    source.contract("C1")
    source.detail("C1", "12345678901.23")
    platform, load = connect(), connect()
    load.isolation_level = LEVELS[level]
    load.execute("SELECT 1")
    platform.execute('ALTER TABLE business."规模明细" ALTER "期末资产规模" TYPE real')

    call = start(load.execute, REFRESH)
    wait_for_lock(connection, platform, call)
    platform.commit()

    with pytest.raises(psycopg.errors.ObjectNotInPrerequisiteState, match="has type real and had"):
        call.result(timeout=20)


def test_deploying_as_a_superuser_is_warned_of(source_database):
    result = deploy_sources(source_database)

    assert "WARNING:  role postgres is a superuser" in result.stderr
    assert "HINT:  Deploy as a role that owns nothing but the package" in result.stderr


@pytest.mark.parametrize(
    ("hide", "problem"),
    [
        (
            'ALTER TABLE business."规模明细" RENAME TO kept;'
            ' CREATE VIEW business."规模明细" WITH (security_invoker) AS TABLE business.kept;'
            ' GRANT SELECT ON business."规模明细" TO {owner}',
            "permission denied for table kept",
        ),
        (
            'ALTER TABLE business."规模明细" ENABLE ROW LEVEL SECURITY',
            'query would be affected by row-level security policy for table "规模明细"',
        ),
    ],
    ids=["a view with its reader's rights", "row security"],
)
def test_what_the_owner_could_not_read_later_is_refused_at_deploy(
    source_database, owner, hide, problem
):
    execute(source_database, hide.format(owner=owner))

    errors = fail(deploy_sources(source_database, *as_role(owner)))

    assert f"customer.source_aum cannot read its table as {owner}: {problem}\nHINT:" in errors


def test_row_security_on_a_source_is_an_error_and_filters_nothing(source_database, owner):
    with psycopg.connect(dbname=source_database) as connection:
        Source(connection).contract("C1")
    succeed(deploy_scripts(source_database, *as_role(owner)))
    execute(
        source_database,
        "ALTER TABLE customer.customer_plan_contract ENABLE ROW LEVEL SECURITY;"
        "ALTER TABLE customer.monthly_status_summary ENABLE ROW LEVEL SECURITY,"
        " FORCE ROW LEVEL SECURITY",
    )

    for call in (
        REFRESH,
        "SELECT customer.post_etl_hook('annuity_performance', '202601')",
        "SELECT customer.restate_monthly_snapshot('2026-01-31', 'why')",
        "SELECT * FROM customer.validate_monthly_snapshot('2026-01-31')",
        "SELECT customer.stale_rows_by_product_line('2026-01-31')",
        "SELECT customer.summarise_snapshot_month('2026-01-31', '[]')",
    ):
        errors = fail(psql(source_database, *as_role(owner), "-c", call))
        assert "would be affected by row-level security policy" in errors


# --- Clients without Chinese -------------------------------------------------


def test_errors_reach_a_client_without_chinese(connect, connection):
    """With the codes of the letters that its encoding lacks."""
    source = Source(connection)
    source.contract("甲")
    source.detail("甲", "1")
    connection.execute(REFRESH)
    client = connect(autocommit=True, client_encoding="WIN1252")

    source.detail("甲", "NaN")
    with pytest.raises(psycopg.errors.NumericValueOutOfRange, match=r"customer \\u7532, product"):
        client.execute(REFRESH)

    connection.execute("SELECT customer.close_snapshot_month('2026-01-31', '已发布 2026')")
    for call in (REFRESH, "SELECT customer.pre_etl_check('annuity_performance', '202601')"):
        with pytest.raises(
            psycopg.errors.ObjectNotInPrerequisiteState, match=r"\(\\u5df2\\u53d1\\u5e03 2026\)"
        ):
            client.execute(call)

    connection.execute(
        f"ALTER ROLE {client.info.user} IN DATABASE {client.info.dbname}"
        " SET customer.accept_implausible = '开'"
    )
    client = connect(autocommit=True, client_encoding="WIN1252")
    with pytest.raises(psycopg.errors.InvalidParameterValue, match=r'but is "\\u5f00"'):
        client.execute(REFRESH)


@pytest.mark.parametrize("encoding", ["WIN1252", "LATIN1", "BIG5", "EUC_KR", "SQL_ASCII"])
def test_warnings_do_not_abort_the_load_of_a_client_without_chinese(connect, connection, encoding):
    """Each of them once at least."""
    source = Source(connection)
    source.contract("甲")
    source.contract("乙")
    client = connect(autocommit=True, client_encoding=encoding)
    notices = listen(client)
    february = "SELECT customer.refresh_monthly_snapshot('2026-02-28')"
    codes = []
    for call, preparation in (
        (february, ""),
        (
            REFRESH,
            """
            INSERT INTO business."规模明细"
                (company_id, "产品线代码", "月度", "计划代码", "期末资产规模")
            VALUES ('甲', 'PL202', '2026-01-01', '一', 1), ('乙', 'PL202', '2026-01-31', '一', 1),
                ('丙', 'PL202', '2026-01-31', '一', 1)
            """,
        ),
        (
            REFRESH,
            """
            UPDATE customer.customer_plan_contract
            SET valid_to = CASE company_id WHEN '甲' THEN DATE '2026-02-05' ELSE '2026-01-15' END
            """,
        ),
        ("SET customer.accept_implausible = on", 'DELETE FROM business."规模明细"'),
        (REFRESH, ""),
        (
            "SELECT customer.close_snapshot_month('2026-02-28', 'published')",
            f"UPDATE {FACT} SET plan_count = 9",
        ),
        ("SELECT customer.post_etl_hook('annual_award', '202602')", ""),
    ):
        connection.execute(preparation)
        cursor = client.execute(call)
        if cursor.description:
            codes += [warning["code"] for warning in cursor.fetchone()[0]["warnings"]]

    assert len([notice for notice in notices if notice.severity == "WARNING"]) == len(codes)
    all_codes = (
        "no_aum_detail no_current_contract rows_differ aum_differs aum_unattributed rows_removed"
        " several_month_dates stale_rows todays_contracts implausible_accepted invalid_month"
        " month_closed"
    )
    assert set(codes) == set(all_codes.split())


# --- Other source systems ----------------------------------------------------

DOMAINS = """
    CREATE EXTENSION citext;
    CREATE DOMAIN some_code AS text CHECK (VALUE <> '');
    CREATE DOMAIN some_day AS timestamp;
    CREATE DOMAIN some_amount AS numeric;
    CREATE DOMAIN some_flag AS boolean;
    CREATE DOMAIN own_code AS some_code;
    CREATE DOMAIN own_day AS some_day;
    CREATE DOMAIN own_amount AS some_amount;
    CREATE DOMAIN own_flag AS some_flag;
"""
MINIMAL_TABLES = """
    CREATE SCHEMA customer;
    CREATE SCHEMA mapping;
    CREATE SCHEMA business;
    CREATE TABLE customer."年金客户" (company_id {key});
    CREATE UNIQUE INDEX ON customer."年金客户" (company_id);
    CREATE TABLE mapping."产品线" ("产品线代码" {key} UNIQUE);
    CREATE TABLE customer.customer_plan_contract (
        company_id {code}, plan_code {code}, product_line_code {code}, product_line_name {code},
        is_strategic {flag}, is_existing {flag}, valid_to {day},
        valid_from {day} DEFAULT '2020-01-01', contract_id serial
    );
    CREATE TABLE customer."当年中标" (company_id {code}, "产品线代码" {code}, "上报月份" {day});
    CREATE TABLE customer."当年流失" (company_id {code}, "产品线代码" {code}, "上报月份" {day});
    CREATE TABLE business."规模明细" (
        company_id {code}, "产品线代码" {code}, "月度" {day}, "期末资产规模" {amount}
    );
"""
MINIMAL_ROWS = """
    INSERT INTO customer."年金客户" VALUES ('C1'), ('C2'), (NULL);
    INSERT INTO mapping."产品线" VALUES ('PL1'), ('PL2'), (NULL);
    INSERT INTO customer.customer_plan_contract VALUES
        ('C1', 'P1', 'PL1', '受托', TRUE, NULL, '9999-12-31'),
        ('C1', 'p1', 'PL1', '受托', FALSE, FALSE, '9999-12-31'),
        ('C1', 'P1', 'PL2', '投资', NULL, NULL, NULL),
        ('C2', 'P1', 'PL1', '受托', FALSE, TRUE, '9999-12-31'),
        ('C2', 'P1', 'PL2', '投资', FALSE, TRUE, '2026-01-30');
    INSERT INTO customer."当年中标" VALUES
        ('C1', 'PL1', '2026-12-31 23:59:59'),
        ('C2', 'PL1', '2025-12-31 23:59:59'),
        (NULL, 'PL1', '2026-01-01'),
        ('C2', NULL, '2026-01-01'),
        ('C2', 'PL1', NULL);
    INSERT INTO customer."当年流失" VALUES
        ('C1', 'PL1', '2027-01-01 00:00:00'),
        ('C2', 'PL1', '2026-01-01 00:00:00');
    INSERT INTO business."规模明细" VALUES
        ('C1', 'PL1', '2026-01-01 00:00:00', 100),
        ('C1', 'PL1', '2026-01-31 23:59:59', 50),
        ('C1', 'PL1', '2026-02-01 00:00:00', 1000),
        ('C1', 'PL1', '2025-12-31 23:59:59', 1000),
        ('C1', 'PL1', NULL, 1000),
        ('C1', 'PL1', '2026-01-15', NULL),
        ('C1', 'PL2', '2026-01-15', 7),
        (NULL, NULL, '2026-01-15', 1);
"""


PARTITIONS = (
    "CREATE TABLE {table} (LIKE {kept}) PARTITION BY RANGE ({day});"
    " CREATE TABLE {table}_1 PARTITION OF {table} FOR VALUES FROM (MINVALUE) TO ('2026-01-01');"
    " CREATE TABLE {table}_2 PARTITION OF {table} FOR VALUES FROM ('2026-01-01') TO (MAXVALUE);"
    " CREATE TABLE {table}_3 PARTITION OF {table} DEFAULT;"
    " INSERT INTO {table} TABLE {kept};"
)
# The types of keys, codes, days, amounts and flags; and what stands where a table stood.
SYSTEMS = {
    "text, views": ("text text timestamp bigint boolean", "CREATE VIEW {table} AS TABLE {kept};"),
    "char, materialized views": (
        "char(12) char(12) date integer boolean",
        "CREATE MATERIALIZED VIEW {table} AS TABLE {kept};",
    ),
    # By citext P1 and p1 are alike, but not to the package.
    "citext, partitions": ("varchar citext date numeric(18,4) boolean", PARTITIONS),
    "domains over domains": (
        "own_code own_code own_day own_amount own_flag",
        "ALTER TABLE {kept} RENAME TO {name};",
    ),
}


@pytest.mark.parametrize(("types", "replace"), SYSTEMS.values(), ids=SYSTEMS)
def test_other_source_systems_with_no_more_than_is_read_are_enough(
    create_test_database, types, replace
):
    """By each rule the rows are the same, and validation agrees."""
    database = create_test_database()
    kinds = ("key", "code", "day", "amount", "flag")
    tables = MINIMAL_TABLES.format(**dict(zip(kinds, types.split(), strict=True)))
    statement = DOMAINS + tables + MINIMAL_ROWS
    for schema, name, day in (
        ("customer", "customer_plan_contract", "valid_to"),
        ("customer", "当年中标", "上报月份"),
        ("customer", "当年流失", "上报月份"),
        ("business", "规模明细", "月度"),
    ):
        names = {"name": name, "table": f"{schema}.{name}", "kept": f"{schema}.kept_{name}"}
        statement += f"ALTER TABLE {schema}.{name} RENAME TO kept_{name};"
        statement += replace.format(**names, day=day)
    succeed(psql(database, "-c", statement))

    succeed(deploy_scripts(database))

    restate = "SELECT customer.restate_monthly_snapshot('2026-01-31', 'why')"
    # Of the awards of the year the one of December is still to come in January.
    for call, wins in ((REFRESH, True), (restate, False)):
        [(result,)] = execute(database, call)
        assert (result["total"], result["aum_total"], result["aum_unattributed"]) == (2, 150, 8)
        assert names_shown(database) == {None}
        with psycopg.connect(dbname=database) as connection:
            assert errors_in(connection, JANUARY) == []
            assert sorted(oracle.read_stored(connection)[JANUARY].values()) == [
                # company, line, name, strategic, existing, new, winning, churned, AUM, plans
                (JANUARY, "C1", "PL1", "受托", True, False, wins, wins, False, Decimal(150), 2),
                (JANUARY, "C2", "PL1", "受托", False, True, False, False, True, Decimal(0), 1),
            ]
