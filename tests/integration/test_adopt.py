"""A table that Alembic made is adopted by the README's own command line, in place."""

import re
import subprocess
from datetime import date, datetime
from decimal import Decimal
from typing import NamedTuple

import psycopg
import pytest
from support import (
    ALEMBIC_TABLE,
    ALEMBIC_TRIGGER,
    FACT,
    Source,
    catalog,
    changes,
    fail,
    psql,
    run,
    shell_command,
    sqitch,
    succeed,
)

NOVEMBER, DECEMBER, JANUARY = date(2025, 11, 30), date(2025, 12, 31), date(2026, 1, 31)
# As the tests write moments of long ago.
EARLIER = datetime.fromisoformat("2026-02-03 04:05:06+00:00")

# Several months, with what the old service left empty.
ROWS = f"""
    INSERT INTO customer."年金客户" (company_id) VALUES ('C1'), ('C2');
    INSERT INTO {FACT} VALUES
        ('2025-11-30', 'C1', 'PL202', '企年受托', TRUE, FALSE, TRUE, TRUE, FALSE, 1.50, 2,
            '2026-02-03 04:05:06+00'),
        ('2025-12-31', 'C1', 'PL202', '企年受托', NULL, NULL, NULL, NULL, NULL, NULL, NULL,
            '2026-02-03 04:05:06+00'),
        ('2025-12-31', 'C2', 'PL201', '企年投资', NULL, TRUE, FALSE, FALSE, TRUE, 7.25, 1, NULL),
        ('2026-01-31', 'C2', 'PL201', '企年投资', FALSE, TRUE, FALSE, FALSE, FALSE, 8.00, 1,
            '2026-02-03 04:05:06+00')
"""


def adopt(database: str) -> subprocess.CompletedProcess[str]:
    """Run what the README prints, on another database."""
    command, databases = re.subn(r"db:pg://\S+", f"db:pg:{database}", shell_command("adopt=true"))
    assert databases == 1
    return run("bash", "-c", command)


def deploy_table(database: str, *options: str) -> subprocess.CompletedProcess[str]:
    """Deploy and verify the table alone, as Sqitch would, but in a tenth of the time."""
    files = (
        "deploy/missing_snapshot_sources.sql",
        "deploy/fct_customer_business_monthly_status.sql",
        "verify/fct_customer_business_monthly_status.sql",
    )
    return psql(database, *options, *(word for file in files for word in ("-f", file)))


def stored(connection: psycopg.Connection) -> list[tuple]:
    return connection.execute(f"SELECT * FROM {FACT} ORDER BY 1, 2, 3").fetchall()


def picture(database: str) -> tuple:
    """Whatever a deployment could change, down to where each row lies and who wrote it."""
    with psycopg.connect(dbname=database) as connection:
        return catalog(database), connection.execute(
            f"SELECT ctid, xmin, snapshot::text FROM {FACT} AS snapshot ORDER BY ctid"
        ).fetchall()


def deployed_changes(database: str) -> int:
    with psycopg.connect(dbname=database) as connection:
        return connection.execute("SELECT count(*) FROM sqitch.changes").fetchone()[0]


@pytest.fixture
def template(create_database, source_template) -> str:
    """Instead of the package's: each test's database has an old table with rows."""
    return source_template


@pytest.fixture
def old(connection) -> psycopg.Connection:
    """A connection to a database with the old table and its rows."""
    connection.execute(ALEMBIC_TABLE + ALEMBIC_TRIGGER + ROWS)
    return connection


# --- Adopting ----------------------------------------------------------------


def test_no_row_is_lost_and_what_was_empty_is_filled(database, old):
    began = old.execute("SELECT clock_timestamp()").fetchone()[0]

    output = adopt(database)

    assert f"table {FACT} is adopted with its 4 rows" in output.stderr
    succeed(output)
    moments = [row[-1] for row in stored(old)]
    assert [row[:-1] for row in stored(old)] == [
        # company, line, name, strategic, existing, new, winning, churned, AUM, plans
        (NOVEMBER, "C1", "PL202", "企年受托", True, False, True, True, False, Decimal("1.50"), 2),
        (DECEMBER, "C1", "PL202", "企年受托", False, False, False, False, False, Decimal(0), 0),
        (DECEMBER, "C2", "PL201", "企年投资", False, True, False, False, True, Decimal("7.25"), 1),
        (JANUARY, "C2", "PL201", "企年投资", False, True, False, False, False, Decimal(8), 1),
    ]
    # Only a row that had no updated_at gets one: the moment of its adoption.
    assert [moments[0], moments[1], moments[3]] == [EARLIER] * 3
    assert began < moments[2] < old.execute("SELECT clock_timestamp()").fetchone()[0]


def test_views_and_grants_stay(database, old, create_role):
    reader, analyst = create_role(), create_role()
    old.execute(
        f"""
        CREATE VIEW customer.strategic AS
        SELECT snapshot_month, company_id, updated_at FROM {FACT} WHERE is_strategic;
        GRANT SELECT ON {FACT}, customer.strategic TO {reader};
        GRANT SELECT (company_id), UPDATE (plan_count) ON {FACT} TO {analyst}
        """
    )
    kept = f"""
        SELECT pg_class.oid, relname, relowner, relacl, relkind = 'v' AND pg_get_viewdef(oid) <> '',
            (SELECT array_agg(attacl::text ORDER BY attnum) FROM pg_attribute
                WHERE attrelid = pg_class.oid AND attnum > 0)
        FROM pg_class
        WHERE oid IN ('{FACT}'::regclass, 'customer.strategic'::regclass)
        ORDER BY oid
    """
    before = old.execute(kept).fetchall()
    definition = "SELECT pg_get_viewdef('customer.strategic'::regclass)"
    view_before = old.execute(definition).fetchall()

    succeed(deploy_table(database, "-v", "adopt=true"))

    assert old.execute(kept).fetchall() == before
    assert old.execute(definition).fetchall() == view_before
    for role, query in (
        (reader, "TABLE customer.strategic"),
        (analyst, f"SELECT DISTINCT company_id FROM {FACT} WHERE company_id = 'C1'"),
    ):
        # The schema is not the package's to grant.
        old.execute(f"GRANT USAGE ON SCHEMA customer TO {role}")
        with psycopg.connect(dbname=database, user=role, password=role) as session:
            assert len(session.execute(query).fetchall()) == 1


def triggers(connection: psycopg.Connection) -> list[str]:
    return [
        name
        for (name,) in connection.execute(
            f"SELECT tgname FROM pg_trigger WHERE tgrelid = '{FACT}'::regclass"
            " AND NOT tgisinternal ORDER BY tgname"
        )
    ]


OUR_TRIGGERS = [
    "trg_snapshot_guard_delete",
    "trg_snapshot_guard_insert",
    "trg_snapshot_guard_truncate",
    "trg_snapshot_guard_update",
    "trg_snapshot_updated_at",
]


def test_its_own_timestamp_trigger_gives_way_to_ours(database, old):
    succeed(adopt(database))

    assert triggers(old) == OUR_TRIGGERS
    assert old.execute("SELECT to_regproc('customer.touch')").fetchone() == (None,)
    old.execute(f"UPDATE {FACT} SET plan_count = 2")
    moved = [row[-1] > EARLIER for row in stored(old)]
    # The first had two plans already; the third got its moment when it was adopted.
    assert moved == [False, True, True, True]


def told(output: subprocess.CompletedProcess[str], kind: str) -> list[str]:
    """The notices about objects of one kind."""
    return re.findall(rf"NOTICE:  ({kind} .*)", output.stderr)


def timestamp_trigger(body: str, event: str = "BEFORE UPDATE") -> str:
    """Instead of the old table's own."""
    return f"""
        CREATE OR REPLACE FUNCTION customer.touch() RETURNS trigger LANGUAGE plpgsql AS $$
        {body}
        $$;
        CREATE OR REPLACE TRIGGER touch {event} ON {FACT}
        FOR EACH ROW EXECUTE FUNCTION customer.touch()
    """


@pytest.mark.parametrize(
    "body",
    [
        "BEGIN NEW.updated_at := now(); RETURN NEW; END",
        "begin new.updated_at=now(); return new; end",
        'BEGIN NEW."updated_at" := now(); RETURN NEW; END',
        'BEGIN "new" . "updated_at" := now(); RETURN NEW; END',
        "BEGIN IF NEW <> OLD THEN NEW.updated_at = now(); END IF; RETURN NEW; END",
        "\nBEGIN\n    NEW.updated_at = CURRENT_TIMESTAMP;\n    RETURN NEW;\nEND;\n",
        "BEGIN -- It moves.\n NEW.updated_at = now(); RETURN NEW; END",
        "BEGIN /* It\n moves. */ NEW.updated_at = now(); RETURN NEW; END",
        "/* a */ BEGIN NEW.updated_at = now(); /* b */ RETURN NEW; END -- c",
    ],
)
def test_timestamp_trigger_gives_way_however_it_is_written(database, old, body):
    old.execute(timestamp_trigger(body))

    output = deploy_table(database, "-v", "adopt=true")

    succeed(output)
    assert triggers(old) == ["trg_snapshot_updated_at"]
    assert old.execute("SELECT to_regproc('customer.touch')").fetchone() == (None,)
    assert told(output, "trigger") == [
        "trigger touch is dropped: trg_snapshot_updated_at takes its place"
    ]
    assert told(output, "function") == [
        "function customer.touch() is dropped: nothing else used it"
    ]


@pytest.mark.parametrize(
    "body",
    [
        # What sets the timestamp and does something else, too.
        "BEGIN NEW.updated_at := now(); NEW.plan_count := 1; RETURN NEW; END",
        "BEGIN NEW.product_line_name := ''; NEW.updated_at := now(); RETURN NEW; END",
        "BEGIN INSERT INTO customer.history VALUES (NEW.company_id); NEW.updated_at := now();"
        " RETURN NEW; END",
        "BEGIN IF NEW.plan_count < 0 THEN RETURN NULL; END IF; NEW.updated_at := now();"
        " RETURN NEW; END",
        "BEGIN IF NEW <> OLD THEN PERFORM pg_notify('a', ''); NEW.updated_at := now(); END IF;"
        " RETURN NEW; END",
        "BEGIN NEW.updated_at := now(); RAISE NOTICE 'moved'; RETURN NEW; END",
        "DECLARE i integer := nextval('customer.changes'); BEGIN NEW.updated_at := now();"
        " RETURN NEW; END",
        # What does not set it.
        "BEGIN RETURN NEW; END",
        "BEGIN IF NEW.updated_at = OLD.updated_at THEN RETURN NEW; END IF; RETURN NEW; END",
        "BEGIN PERFORM NEW.updated_at = now(); RETURN NEW; END",
        "BEGIN -- NEW.updated_at := now();\n RETURN NEW; END",
        "BEGIN /* Not\n any more; NEW.updated_at := now(); */ RETURN NEW; END",
        "BEGIN IF FALSE THEN NEW.updated_at_source := now(); END IF; RETURN NEW; END",
        "BEGIN IF FALSE THEN SELECT 1 INTO NEW.updated_at_source; END IF; RETURN NEW; END",
        "DECLARE renew record; BEGIN IF FALSE THEN renew.updated_at := now(); END IF; RETURN NEW;"
        " END",
        "BEGIN INSERT INTO customer.history VALUES (NEW.company_id, NEW.updated_at); RETURN NEW;"
        " END",
        "BEGIN INSERT INTO customer.history SELECT NEW.company_id, NEW.updated_at; RETURN NEW; END",
        "BEGIN INSERT INTO customer.history(company_id, updated_at) VALUES"
        " (NEW.company_id,NEW.updated_at); RETURN NEW; END",
    ],
)
def test_trigger_that_does_anything_else_stays_and_is_told(database, old, body):
    old.execute(
        "CREATE SEQUENCE customer.changes;"
        "CREATE TABLE customer.history (company_id text, updated_at timestamptz)"
    )
    old.execute(timestamp_trigger(body))

    output = deploy_table(database, "-v", "adopt=true")

    succeed(output)
    assert triggers(old) == ["touch", "trg_snapshot_updated_at"]
    assert told(output, "trigger") == [
        "trigger touch stays: see that it leaves updated_at to the package"
    ]
    assert told(output, "function") == []


def test_trigger_that_can_set_nothing_stays_and_is_not_told(database, old):
    body = "BEGIN NEW.updated_at := now(); RETURN NEW; END"
    old.execute(timestamp_trigger(body, "AFTER UPDATE"))
    old.execute(
        f"CREATE TRIGGER each_statement BEFORE UPDATE ON {FACT} EXECUTE FUNCTION customer.touch()"
    )

    output = deploy_table(database, "-v", "adopt=true")

    succeed(output)
    assert triggers(old) == ["each_statement", "touch", "trg_snapshot_updated_at"]
    assert told(output, "trigger") == []


def test_trigger_for_inserts_gives_way_too_if_it_sets_the_timestamp(database, old):
    old.execute(
        timestamp_trigger(
            "BEGIN NEW.updated_at := now(); RETURN NEW; END", "BEFORE INSERT OR UPDATE"
        )
    )
    old.execute(
        f"""
        CREATE TRIGGER insertion BEFORE INSERT ON {FACT}
        FOR EACH ROW EXECUTE FUNCTION customer.touch();
        CREATE FUNCTION customer.other() RETURNS trigger LANGUAGE plpgsql
        AS 'BEGIN RETURN NEW; END';
        CREATE TRIGGER other BEFORE INSERT ON {FACT}
        FOR EACH ROW EXECUTE FUNCTION customer.other()
        """
    )

    output = deploy_table(database, "-v", "adopt=true")

    succeed(output)
    assert triggers(old) == ["other", "trg_snapshot_updated_at"]
    assert told(output, "trigger") == [
        "trigger insertion is dropped: trg_snapshot_updated_at takes its place",
        "trigger touch is dropped: trg_snapshot_updated_at takes its place",
    ]
    assert told(output, "function") == [
        "function customer.touch() is dropped: nothing else used it"
    ]


@pytest.mark.parametrize("whose", ["another role's", "an extension's"])
def test_function_that_is_not_the_deployers_stays(database, old, create_role, whose):
    old.execute(
        {
            "another role's": f"ALTER FUNCTION customer.touch() OWNER TO {create_role()}",
            "an extension's": "ALTER EXTENSION plpgsql ADD FUNCTION customer.touch()",
        }[whose]
    )

    output = deploy_table(database, "-v", "adopt=true")

    succeed(output)
    assert triggers(old) == ["trg_snapshot_updated_at"]
    assert old.execute("SELECT to_regproc('customer.touch')").fetchone() == ("customer.touch",)
    assert told(output, "function") == []


@pytest.mark.distribution
def test_contribs_timestamp_trigger_gives_way_to_ours(database, old):
    """Its argument names the column that it sets."""
    old.execute(
        f"""
        CREATE EXTENSION moddatetime SCHEMA public;
        ALTER TABLE {FACT} ADD looked_at timestamptz, ADD updated_at_source timestamptz;
        CREATE TRIGGER looked BEFORE UPDATE ON {FACT}
        FOR EACH ROW EXECUTE FUNCTION public.moddatetime(looked_at);
        CREATE TRIGGER source BEFORE UPDATE ON {FACT}
        FOR EACH ROW EXECUTE FUNCTION public.moddatetime(updated_at_source);
        CREATE OR REPLACE TRIGGER touch BEFORE UPDATE ON {FACT}
        FOR EACH ROW EXECUTE FUNCTION public.moddatetime(updated_at)
        """
    )

    output = deploy_table(database, "-v", "adopt=true")

    succeed(output)
    assert triggers(old) == ["looked", "source", "trg_snapshot_updated_at"]
    assert told(output, "trigger") == [
        "trigger looked stays: see that it leaves updated_at to the package",
        "trigger source stays: see that it leaves updated_at to the package",
        "trigger touch is dropped: trg_snapshot_updated_at takes its place",
    ]
    assert told(output, "function") == []


def test_function_that_something_else_uses_stays(database, old):
    old.execute(
        """
        CREATE TABLE customer.other (id integer, updated_at timestamptz);
        CREATE TRIGGER touch BEFORE UPDATE ON customer.other
        FOR EACH ROW EXECUTE FUNCTION customer.touch();
        INSERT INTO customer.other VALUES (1, NULL)
        """
    )

    succeed(deploy_table(database, "-v", "adopt=true"))

    assert triggers(old) == ["trg_snapshot_updated_at"]
    old.execute("UPDATE customer.other SET id = 2")
    assert old.execute(
        "SELECT updated_at > now() - INTERVAL '1 hour' FROM customer.other"
    ).fetchone()[0]


def test_trigger_that_only_reads_the_timestamp_stays(database, old):
    """Such as one that keeps the history of the rows."""
    old.execute(
        f"""
        CREATE TABLE customer.history (company_id text, updated_at timestamptz);
        CREATE FUNCTION customer.keep() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN
            INSERT INTO customer.history VALUES (OLD.company_id, OLD.updated_at);
            RETURN NULL;
        END
        $$;
        CREATE TRIGGER keep AFTER DELETE ON {FACT}
        FOR EACH ROW EXECUTE FUNCTION customer.keep()
        """
    )

    succeed(deploy_table(database, "-v", "adopt=true"))

    assert triggers(old) == ["keep", "trg_snapshot_updated_at"]
    old.execute(f"DELETE FROM {FACT} WHERE company_id = 'C1'")
    assert old.execute("TABLE customer.history").fetchall() == [("C1", EARLIER)] * 2


def test_month_is_refreshed_closed_and_verified_afterwards(database, old):
    succeed(adopt(database))
    source = Source(old)
    source.contract("C1")
    source.contract("C2", product_line_code="PL201", product_line_name="企年投资", is_existing=True)
    source.detail("C1", "5")
    source.detail("C2", "8", line="PL201")

    result = old.execute("SELECT customer.refresh_monthly_snapshot('2026-01-31')").fetchone()[0]

    assert (result["inserted"], result["updated"], result["unchanged"]) == (1, 0, 1)
    assert [row[0] for row in stored(old)] == [NOVEMBER, DECEMBER, DECEMBER, JANUARY, JANUARY]
    old.execute("SELECT customer.close_snapshot_month('2025-12-31', 'published')")
    with pytest.raises(psycopg.errors.ObjectNotInPrerequisiteState, match="is closed"):
        old.execute(f"DELETE FROM {FACT} WHERE snapshot_month = '2025-12-31'")
    assert "Verify successful" in succeed(sqitch(database, "verify"))


OTHER_TABLES = {
    "as Alembic made it": "",
    "empty": f"DELETE FROM {FACT}",
    "another name of the primary key": (
        f"ALTER TABLE {FACT} RENAME CONSTRAINT fct_customer_business_monthly_status_pkey TO key"
    ),
    "no primary key": (
        f"ALTER TABLE {FACT} DROP CONSTRAINT fct_customer_business_monthly_status_pkey"
    ),
    "no foreign keys": (
        f"ALTER TABLE {FACT} DROP CONSTRAINT fk_snapshot_company,"
        " DROP CONSTRAINT fk_snapshot_product_line"
    ),
    "other foreign keys": f"""
        ALTER TABLE {FACT} DROP CONSTRAINT fk_snapshot_company,
            DROP CONSTRAINT fk_snapshot_product_line,
            ADD CONSTRAINT fk_snapshot_company FOREIGN KEY (company_id)
                REFERENCES customer."年金客户" ON DELETE CASCADE,
            ADD CONSTRAINT fk_snapshot_product_line FOREIGN KEY (product_line_code)
                REFERENCES mapping."产品线" NOT VALID
    """,
    "foreign keys of default names": f"""
        ALTER TABLE {FACT} DROP CONSTRAINT fk_snapshot_company,
            DROP CONSTRAINT fk_snapshot_product_line,
            ADD FOREIGN KEY (company_id) REFERENCES customer."年金客户" ON DELETE CASCADE,
            ADD FOREIGN KEY (product_line_code) REFERENCES mapping."产品线" ON UPDATE CASCADE
    """,
    "more foreign keys than needed": f"""
        ALTER TABLE {FACT}
            ADD FOREIGN KEY (company_id) REFERENCES customer."年金客户" ON DELETE CASCADE,
            ADD FOREIGN KEY (product_line_code) REFERENCES mapping."产品线" NOT VALID,
            ADD FOREIGN KEY (product_line_code) REFERENCES mapping."产品线"
                DEFERRABLE INITIALLY DEFERRED
    """,
    "another check": (
        f"ALTER TABLE {FACT} ADD CONSTRAINT chk_snapshot_month_end"
        " CHECK (isfinite(snapshot_month)) NOT VALID"
    ),
    "no indexes": """
        DROP INDEX customer.idx_snapshot_month, customer.idx_snapshot_company,
            customer.idx_snapshot_product_line, customer.idx_snapshot_month_product,
            customer.idx_snapshot_month_brin, customer.idx_snapshot_strategic
    """,
    "other indexes": f"""
        DROP INDEX customer.idx_snapshot_month, customer.idx_snapshot_month_brin;
        CREATE INDEX idx_snapshot_month ON {FACT} (snapshot_month DESC);
        CREATE INDEX idx_snapshot_month_brin ON {FACT} (snapshot_month);
        UPDATE pg_index SET indisvalid = FALSE
        WHERE indexrelid = 'customer.idx_snapshot_company'::regclass
    """,
    "other defaults": (
        f"ALTER TABLE {FACT} ALTER is_new SET DEFAULT TRUE, ALTER aum_balance SET DEFAULT 1,"
        " ALTER updated_at SET DEFAULT now()"
    ),
    "unlogged": f"ALTER TABLE {FACT} SET UNLOGGED",
    "granted to PUBLIC": (
        f"GRANT SELECT ON {FACT} TO PUBLIC; GRANT UPDATE (plan_count) ON {FACT} TO PUBLIC"
    ),
}


@pytest.fixture(scope="module")
def own_table(create_database, source_template) -> list[tuple]:
    """What comes of it where Alembic made no table."""
    name = create_database(source_template)
    succeed(deploy_table(name))
    return catalog(name)


@pytest.mark.parametrize("other", OTHER_TABLES.values(), ids=OTHER_TABLES.keys())
def test_whatever_it_was_like_it_becomes_the_packages(database, old, own_table, other):
    old.execute(other)
    keys = [row[:3] for row in stored(old)]

    succeed(deploy_table(database, "-v", "adopt=true"))

    assert catalog(database) == own_table
    assert [row[:3] for row in stored(old)] == keys


def test_constraint_that_is_none_of_the_packages_stays(database, old):
    old.execute(
        f"""
        CREATE TABLE customer.line_name (name varchar PRIMARY KEY);
        CREATE TABLE customer.pair (
            company_id varchar,
            product_line_code varchar,
            PRIMARY KEY (company_id, product_line_code)
        );
        INSERT INTO customer.line_name VALUES ('企年受托'), ('企年投资');
        INSERT INTO customer.pair VALUES ('C1', 'PL202'), ('C2', 'PL201');
        ALTER TABLE {FACT}
            ADD CONSTRAINT other_check CHECK (plan_count >= 0),
            ADD CONSTRAINT other_name FOREIGN KEY (product_line_name)
                REFERENCES customer.line_name,
            ADD CONSTRAINT other_pair FOREIGN KEY (company_id, product_line_code)
                REFERENCES customer.pair
        """
    )

    succeed(deploy_table(database, "-v", "adopt=true"))

    assert old.execute(
        f"SELECT conname FROM pg_constraint WHERE conrelid = '{FACT}'::regclass"
        " AND contype IN ('c', 'f') ORDER BY conname"
    ).fetchall() == [
        ("chk_snapshot_month_end",),
        ("fk_snapshot_company",),
        ("fk_snapshot_product_line",),
        ("other_check",),
        ("other_name",),
        ("other_pair",),
    ]


def test_constraints_that_give_way_are_told(database, old):
    old.execute(
        f"ALTER TABLE {FACT} DROP CONSTRAINT fk_snapshot_product_line, ADD CONSTRAINT other"
        ' FOREIGN KEY (company_id) REFERENCES customer."年金客户" ON DELETE CASCADE'
    )

    output = deploy_table(database, "-v", "adopt=true")

    succeed(output)
    key = 'FOREIGN KEY (company_id) REFERENCES customer."年金客户"(company_id)'
    assert told(output, "constraint") == [
        f"constraint fk_snapshot_company gives way to the package's: {key}",
        f"constraint other gives way to the package's: {key} ON DELETE CASCADE",
    ]


def test_indexes_that_give_way_are_told(database, old):
    old.execute(
        f"""
        DROP INDEX customer.idx_snapshot_month, customer.idx_snapshot_company,
            customer.idx_snapshot_product_line, customer.idx_snapshot_month_product,
            customer.idx_snapshot_month_brin, customer.idx_snapshot_strategic;
        CREATE INDEX idx_snapshot_month ON {FACT} (snapshot_month DESC, aum_balance);
        CREATE INDEX other ON {FACT} (aum_balance)
        """
    )

    output = deploy_table(database, "-v", "adopt=true")

    succeed(output)
    assert told(output, "index") == [
        "index idx_snapshot_month gives way to the package's: CREATE INDEX"
        f" idx_snapshot_month ON {FACT} USING btree (snapshot_month DESC, aum_balance)"
    ]
    assert old.execute("SELECT to_regclass('customer.other')").fetchone() == ("customer.other",)


@pytest.mark.parametrize("granted", ["SELECT", "UPDATE (plan_count)"])
def test_what_public_loses_is_told(database, old, granted):
    assert told(deploy_table(database, "-v", "adopt=true"), "what is granted") == []
    old.execute(
        f"""
        DROP TRIGGER trg_snapshot_updated_at ON {FACT};
        DROP FUNCTION customer.set_snapshot_updated_at(), customer.missing_snapshot_sources();
        GRANT {granted} ON {FACT} TO PUBLIC
        """
    )

    output = deploy_table(database, "-v", "adopt=true")

    succeed(output)
    assert told(output, "what is granted") == [
        "what is granted to PUBLIC is revoked: grant it to those who need it"
    ]


# --- Failing later -----------------------------------------------------------


def break_last_change(connection: psycopg.Connection) -> None:
    connection.execute(
        "CREATE FUNCTION customer.guard_closed_months() RETURNS trigger LANGUAGE plpgsql"
        " AS 'BEGIN RETURN NULL; END'"
    )


def mend_last_change(connection: psycopg.Connection) -> None:
    connection.execute("DROP FUNCTION customer.guard_closed_months()")


def test_failure_after_adopting_keeps_the_rows_and_deploy_goes_on(database, old):
    """Sqitch reverts what it deployed before the failure, but may not drop a table with rows."""
    break_last_change(old)
    keys = [row[:3] for row in stored(old)]

    errors = fail(adopt(database))

    assert 'function "guard_closed_months" already exists' in errors
    assert f"table {FACT} holds rows, and reverting would drop them" in errors
    assert [row[:3] for row in stored(old)] == keys
    # Those before the table, and the table, which is the package's from now on.
    assert deployed_changes(database) == 2

    mend_last_change(old)
    succeed(sqitch(database, "deploy"))

    assert [row[:3] for row in stored(old)] == keys
    assert triggers(old) == OUR_TRIGGERS
    assert deployed_changes(database) == len(changes())


def test_failure_after_adopting_an_empty_table_drops_it_and_deploy_makes_it(database, old):
    old.execute(f"DELETE FROM {FACT}")
    break_last_change(old)

    errors = fail(adopt(database))

    assert 'function "guard_closed_months" already exists' in errors
    assert old.execute("SELECT to_regclass(%s)", [FACT]).fetchone() == (None,)
    assert deployed_changes(database) == 0

    mend_last_change(old)
    # The setting does no harm where nothing is to be adopted.
    succeed(adopt(database))

    assert triggers(old) == OUR_TRIGGERS
    assert deployed_changes(database) == len(changes())


# --- Refusing ----------------------------------------------------------------


def test_deploy_without_the_setting_names_the_command_and_changes_nothing(database, old):
    before = picture(database)

    errors = fail(sqitch(database, "deploy"))

    assert f"ERROR:  table {FACT} exists already\n" in errors
    assert (
        'HINT:  To adopt it and keep its rows: "sqitch deploy --set adopt=true".'
        " Nothing has been changed.\n"
    ) in errors
    assert shell_command("adopt=true").startswith("sqitch deploy --set adopt=true ")
    assert picture(database) == before
    assert deployed_changes(database) == 0


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("false", f"table {FACT} exists already"),
        ("maybe", 'invalid input syntax for type boolean: "maybe"'),
        ("", 'invalid input syntax for type boolean: ""'),
    ],
)
def test_deploy_adopts_only_if_told_true(database, old, value, message):
    before = picture(database)

    errors = fail(deploy_table(database, "-v", f"adopt={value}"))

    assert f"ERROR:  {message}\n" in errors
    old.execute("DROP FUNCTION customer.missing_snapshot_sources()")

    assert picture(database) == before


class Obstacle(NamedTuple):
    """What keeps a table from being adopted, what is said of it, and what removes it."""

    damage: str
    findings: tuple[str, ...]
    correction: str


COLUMNS = "(snapshot_month, company_id, product_line_code, product_line_name)"
NO_PRIMARY_KEY = f"ALTER TABLE {FACT} DROP CONSTRAINT fct_customer_business_monthly_status_pkey;"
NO_FOREIGN_KEYS = (
    f"ALTER TABLE {FACT} DROP CONSTRAINT fk_snapshot_company,"
    " DROP CONSTRAINT fk_snapshot_product_line;"
)
NULLABLE = "".join(
    f"ALTER TABLE {FACT} ALTER {name} DROP NOT NULL;"
    for name in ("snapshot_month", "company_id", "product_line_code")
)
SHAPES = {
    "columns missing": Obstacle(
        f"ALTER TABLE {FACT} DROP COLUMN is_new, DROP COLUMN updated_at",
        (
            "column is_new: boolean expected, none found",
            "column updated_at: timestamp with time zone expected, none found",
        ),
        f"ALTER TABLE {FACT} ADD is_new boolean, ADD updated_at timestamptz",
    ),
    "columns of other types": Obstacle(
        f"ALTER TABLE {FACT} ALTER aum_balance TYPE numeric(18, 4), ALTER plan_count TYPE bigint",
        (
            "column aum_balance: numeric(20,2) expected, numeric(18,4) found",
            "column plan_count: integer expected, bigint found",
        ),
        f"ALTER TABLE {FACT} ALTER aum_balance TYPE numeric(20, 2), ALTER plan_count TYPE integer",
    ),
    # The refresh compares two of these columns with expressions of collation "C".
    "columns of other collations": Obstacle(
        f"""ALTER TABLE {FACT} ALTER company_id TYPE varchar COLLATE "POSIX","""
        """ ALTER product_line_name TYPE varchar(50) COLLATE "C\"""",
        (
            "column company_id: character varying expected,"
            ' character varying COLLATE "POSIX" found',
            "column product_line_name: character varying(50) expected,"
            ' character varying(50) COLLATE "C" found',
        ),
        f"ALTER TABLE {FACT} ALTER company_id TYPE varchar,"
        " ALTER product_line_name TYPE varchar(50)",
    ),
    "a column that must be filled": Obstacle(
        f"ALTER TABLE {FACT} ADD batch integer, ADD note text NOT NULL DEFAULT '';"
        f"UPDATE {FACT} SET batch = 1; ALTER TABLE {FACT} ALTER batch SET NOT NULL",
        ("column batch: none, or a default expected, NOT NULL without default found",),
        f"ALTER TABLE {FACT} ALTER batch DROP NOT NULL",
    ),
    "another primary key": Obstacle(
        f"{NO_PRIMARY_KEY} ALTER TABLE {FACT} ADD id integer GENERATED ALWAYS AS IDENTITY"
        " PRIMARY KEY",
        (
            "primary key: PRIMARY KEY (snapshot_month, company_id, product_line_code) expected,"
            " PRIMARY KEY (id) found",
        ),
        NO_PRIMARY_KEY,
    ),
    "row security": Obstacle(
        f"ALTER TABLE {FACT} ENABLE ROW LEVEL SECURITY",
        ("row security: off expected, on found",),
        f"ALTER TABLE {FACT} DISABLE ROW LEVEL SECURITY",
    ),
    "a unique index that a month could not do with": Obstacle(
        f"""CREATE UNIQUE INDEX "Key" ON {FACT} (snapshot_month, company_id);"""
        f"CREATE UNIQUE INDEX harmless ON {FACT}"
        " (product_line_code, plan_count, company_id, snapshot_month)",
        ("""index customer."Key": not unique expected, unique found""",),
        """DROP INDEX customer."Key\"""",
    ),
}
DATA = {
    "not a month's end": Obstacle(
        f"INSERT INTO {FACT} {COLUMNS} VALUES ('2026-01-30', 'C1', 'PL202', '企年受托'),"
        " ('2024-02-28', 'C1', 'PL202', '企年受托'), ('infinity', 'C1', 'PL202', '企年受托')",
        ("snapshot_month is not the last day of a month, such as 2024-02-28: 3 rows",),
        f"DELETE FROM {FACT} WHERE snapshot_month IN ('2026-01-30', '2024-02-28', 'infinity')",
    ),
    "keys and names that are NULL": Obstacle(
        f"{NO_PRIMARY_KEY} {NULLABLE} INSERT INTO {FACT} {COLUMNS} VALUES"
        " (NULL, 'C1', 'PL202', '企年受托'), ('2026-01-31', NULL, 'PL202', '企年受托'),"
        " ('2026-01-31', NULL, 'PL201', '企年受托'), ('2026-01-31', 'C1', NULL, '企年受托'),"
        " ('2026-01-31', 'C1', 'PL202', NULL)",
        (
            "snapshot_month is NULL: 1 rows",
            "company_id is NULL: 2 rows",
            "product_line_code is NULL: 1 rows",
            "product_line_name is NULL: 1 rows",
        ),
        f"DELETE FROM {FACT} WHERE num_nulls{COLUMNS} > 0",
    ),
    "unknown customers and product lines": Obstacle(
        f"{NO_FOREIGN_KEYS} INSERT INTO {FACT} {COLUMNS} VALUES"
        " ('2026-01-31', 'C8', 'PL202', '企年受托'), ('2026-01-31', 'C9', 'PL202', '企年受托'),"
        " ('2026-01-31', 'C1', 'PL999', '不知')",
        (
            'company_id is not in customer."年金客户", such as C8: 2 rows',
            'product_line_code is not in mapping."产品线", such as PL999: 1 rows',
        ),
        f"""INSERT INTO customer."年金客户" (company_id) VALUES ('C8'), ('C9');"""
        f"DELETE FROM {FACT} WHERE product_line_code = 'PL999'",
    ),
    "the same key twice": Obstacle(
        f"{NO_PRIMARY_KEY} INSERT INTO {FACT} {COLUMNS} VALUES"
        " ('2025-12-31', 'C1', 'PL202', '企年受托'), ('2026-01-31', 'C1', 'PL202', '企年受托')",
        (
            "snapshot_month, company_id and product_line_code are those of another row,"
            " such as 2025-12-31 C1 PL202: 2 rows",
        ),
        f"DELETE FROM {FACT} WHERE snapshot_month = '2025-12-31' AND updated_at IS NULL"
        " AND company_id = 'C1'",
    ),
}


def told_in_full(table_problem: str, obstacle: Obstacle) -> str:
    """The error with all findings, to where its hint begins."""
    return "\n    ".join((f"table {FACT} {table_problem}:", *obstacle.findings)) + "\nHINT:"


def refuse(database: str, old: psycopg.Connection, obstacle: Obstacle, problem: str) -> None:
    """It is refused with all findings and changes nothing; once corrected, it is adopted."""
    old.execute(obstacle.damage)
    before = picture(database)

    errors = fail(deploy_table(database, "-v", "adopt=true"))

    assert told_in_full(problem, obstacle) in errors
    assert "Nothing has been changed." in errors
    # A change of its own, before the table's.
    old.execute("DROP FUNCTION customer.missing_snapshot_sources()")
    assert picture(database) == before

    old.execute(obstacle.correction)
    succeed(deploy_table(database, "-v", "adopt=true"))


@pytest.mark.parametrize("obstacle", SHAPES.values(), ids=SHAPES.keys())
def test_table_of_another_shape_is_refused(database, old, obstacle):
    refuse(database, old, obstacle, "cannot be adopted")


@pytest.mark.parametrize(
    ("kind", "definition"),
    [
        ("view", "AS TABLE customer.kept"),
        ("materialized view", "AS TABLE customer.kept"),
        ("table", "(LIKE customer.kept) PARTITION BY RANGE (snapshot_month)"),
    ],
)
def test_what_is_no_plain_table_is_refused(database, old, kind, definition):
    old.execute(f"ALTER TABLE {FACT} RENAME TO kept; CREATE {kind} {FACT} {definition}")
    found = "partitioned table" if kind == "table" else kind
    before = catalog(database)

    errors = fail(deploy_table(database, "-v", "adopt=true"))

    assert f"cannot be adopted:\n    kind: table expected, {found} found\nHINT:" in errors
    old.execute("DROP FUNCTION customer.missing_snapshot_sources()")
    assert catalog(database) == before


HOLDS = "cannot be adopted, because it holds what a snapshot cannot"


@pytest.mark.parametrize("obstacle", DATA.values(), ids=DATA.keys())
def test_data_that_a_snapshot_cannot_hold_is_refused(database, old, obstacle):
    refuse(database, old, obstacle, HOLDS)


def test_refused_deploy_leaves_nothing_and_is_repeated_once_the_data_is_right(database, old):
    """By the README's own command line: Sqitch reverts what came before the table."""
    obstacle = DATA["not a month's end"]
    old.execute(obstacle.damage)
    before = picture(database)

    errors = fail(adopt(database))

    assert told_in_full(HOLDS, obstacle) in errors
    assert picture(database) == before
    assert deployed_changes(database) == 0

    old.execute(obstacle.correction)
    # Sqitch verifies each change that it deploys.
    succeed(adopt(database))

    assert deployed_changes(database) == len(changes())


def test_table_of_another_owner_is_refused(database, old, create_role):
    owner = create_role()
    deployer = old.execute("SELECT current_user").fetchone()[0]
    refuse(
        database,
        old,
        Obstacle(
            f"ALTER TABLE {FACT} OWNER TO {owner}, DROP COLUMN is_new",
            (
                "column is_new: boolean expected, none found",
                f"owner: {deployer} expected, {owner} found",
            ),
            f"ALTER TABLE {FACT} OWNER TO {deployer}, ADD is_new boolean",
        ),
        "cannot be adopted",
    )


def test_deployer_that_is_no_superuser_adopts_its_own_table_alone(database, old, create_role):
    role = create_role()
    old.execute(
        f"""
        GRANT CREATE ON DATABASE {database} TO {role};
        GRANT USAGE, CREATE ON SCHEMA customer TO {role};
        GRANT USAGE ON SCHEMA business, mapping TO {role};
        GRANT SELECT, REFERENCES ON ALL TABLES IN SCHEMA customer, business, mapping TO {role};
        REVOKE ALL ON {FACT} FROM {role}
        """
    )
    superuser = old.execute("SELECT current_user").fetchone()[0]
    before = picture(database)
    command = ("deploy", "--set", "adopt=true", "--db-user", role)

    errors = fail(sqitch(database, *command, PGPASSWORD=role))

    assert f"cannot be adopted:\n    owner: {role} expected, {superuser} found\n" in errors
    assert picture(database) == before

    old.execute(f"ALTER TABLE {FACT} OWNER TO {role}")
    succeed(sqitch(database, *command, PGPASSWORD=role))

    assert len(stored(old)) == 4
    assert triggers(old) == OUR_TRIGGERS
    # It is the superuser's.
    assert old.execute("SELECT to_regproc('customer.touch')").fetchone() == ("customer.touch",)
