"""A table that Alembic made is adopted by the README's own command line, in place."""

import re
import subprocess
from datetime import date, datetime
from decimal import Decimal
from functools import partial
from typing import NamedTuple

import psycopg
import pytest
from support import (
    ADOPTED,
    ALEMBIC_TABLE,
    FACT,
    LOG,
    Source,
    counts,
    deploy_scripts,
    fail,
    month_as_at,
    psql,
    refresh,
    reverts,
    run,
    schema_objects,
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
SOURCES, ADOPT, TABLE = CHANGES = (
    "sources",
    "adopt_existing_table",
    "fct_customer_business_monthly_status",
)
TRIGGER_FUNCTION = (
    "CREATE FUNCTION customer.touch() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END';"
)


def adopt(database: str) -> subprocess.CompletedProcess[str]:
    """Run what the README prints, on another database."""
    command, databases = re.subn(r"db:pg://\S+", f"db:pg:{database}", shell_command("adopt=true"))
    assert databases == 1
    return run("bash", "-c", command)


def deploy_table(
    database: str, *options: str, folders: tuple[str, ...] = ("deploy", "verify")
) -> subprocess.CompletedProcess[str]:
    """Adopt, deploy and verify the table alone, as Sqitch would, but in a tenth of the time."""
    files = [f"{folder}/{change}.sql" for change in CHANGES for folder in folders]
    return psql(database, *options, *(word for file in files for word in ("-f", file)))


def told(output: subprocess.CompletedProcess[str], kind: str) -> list[str]:
    """The notices about objects of one kind."""
    return re.findall(rf"NOTICE:  ({kind} .*)", output.stderr)


def stored(connection: psycopg.Connection) -> list[tuple]:
    return connection.execute(f"SELECT * FROM {FACT} ORDER BY 1, 2, 3").fetchall()


def objects(database: str) -> dict[str, str]:
    """The schema without the functions of the sources, which come before adopting."""
    own = r"\b(source_|check_snapshot|missing_|revoke_|for_client|verify_)"
    return {
        name: text
        for name, text in schema_objects(database).items()
        if not ("FUNCTION" in name or "PROCEDURE" in name) or not re.search(own, name)
    }


def picture(database: str) -> tuple:
    """Whatever a deployment could change, down to where each row lies and who wrote it."""
    with psycopg.connect(dbname=database) as connection:
        return objects(database), connection.execute(
            f"SELECT ctid, xmin, snapshot::text FROM {FACT} AS snapshot ORDER BY ctid"
        ).fetchall()


def deployed_changes(database: str) -> int:
    with psycopg.connect(dbname=database) as connection:
        return connection.execute("SELECT count(*) FROM sqitch.changes").fetchone()[0]


@pytest.fixture(scope="module")
def old_template(create_database, source_template) -> str:
    name = create_database(source_template)
    succeed(psql(name, "-c", ALEMBIC_TABLE + ROWS))
    return name


@pytest.fixture
def template(old_template) -> str:
    """Instead of the package's: each test's database has an old table with rows."""
    return old_template


@pytest.fixture
def old(connection) -> psycopg.Connection:
    """A connection to a database with the old table and its rows."""
    return connection


# --- Adopting ----------------------------------------------------------------


def test_no_row_is_lost_and_what_was_empty_is_filled(database, old):
    began = old.execute("SELECT clock_timestamp()").fetchone()[0]

    output = adopt(database)

    assert f"table {FACT} is adopted with its 4 rows" in output.stderr
    succeed(output)
    [comment] = old.execute(f"SELECT obj_description('{FACT}'::regclass, 'pg_class')").fetchone()
    assert comment.endswith(f" should write it.{ADOPTED}")
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


def test_views_and_grants_stay_and_who_may_still_write_is_told(database, old, create_role):
    reader, writer = create_role(), create_role()
    old.execute(
        f"""
        CREATE VIEW customer.strategic AS
        SELECT snapshot_month, company_id, updated_at FROM {FACT} WHERE is_strategic;
        GRANT SELECT ON {FACT}, customer.strategic TO {reader};
        GRANT SELECT (company_id), UPDATE (plan_count), INSERT, DELETE ON {FACT} TO {writer}
        """
    )
    kept = f"""
        SELECT pg_class.oid, relname, relowner, relacl,
            CASE WHEN relkind = 'v' THEN pg_get_viewdef(oid) END,
            (SELECT array_agg(attacl::text ORDER BY attnum) FROM pg_attribute
                WHERE attrelid = pg_class.oid AND attnum > 0)
        FROM pg_class
        WHERE oid IN ('{FACT}'::regclass, 'customer.strategic'::regclass)
        ORDER BY oid
    """
    before = old.execute(kept).fetchall()

    output = deploy_table(database, "-v", "adopt=true")

    succeed(output)
    assert old.execute(kept).fetchall() == before
    for role, query in (
        (reader, "TABLE customer.strategic"),
        (writer, f"SELECT DISTINCT company_id FROM {FACT} WHERE company_id = 'C1'"),
    ):
        # The schema is not the package's to grant.
        old.execute(f"GRANT USAGE ON SCHEMA customer TO {role}")
        with psycopg.connect(dbname=database, user=role, password=role) as session:
            assert len(session.execute(query).fetchall()) == 1

    revoke = f"REVOKE DELETE, INSERT, UPDATE ON {FACT} FROM {writer};"
    assert told(output, "role") == [
        f"role {writer} keeps DELETE, INSERT, UPDATE: revoke it with {revoke}"
    ]
    old.execute(revoke)
    # The right to read one column is left.
    assert old.execute(
        "SELECT attname, privilege_type FROM pg_attribute CROSS JOIN aclexplode(attacl)"
        f" WHERE attrelid = '{FACT}'::regclass"
    ).fetchall() == [("company_id", "SELECT")]


LOGGED = [
    # log entry, month, rows, AUM
    (1, NOVEMBER, "adopt", 1, Decimal("1.50")),
    (2, DECEMBER, "adopt", 2, Decimal("7.25")),
    (3, JANUARY, "adopt", 1, Decimal("8.00")),
]


def log(connection: psycopg.Connection) -> list[tuple]:
    return connection.execute(
        f"SELECT log_id, snapshot_month, operation, month_rows, month_aum FROM {LOG} ORDER BY 1"
    ).fetchall()


def test_months_are_logged_refreshed_changed_closed_and_verified_afterwards(database, old):
    """Also where the site has columns of its own, and others in another order."""
    rows = {month: [row for row in stored(old) if row[0] == month] for month in (NOVEMBER, JANUARY)}
    old.execute(
        f"""
        ALTER TABLE {FACT} DROP is_new, ADD note text,
            ADD million numeric GENERATED ALWAYS AS (aum_balance / 1000000) STORED,
            ADD is_new boolean;
        UPDATE {FACT} SET is_new = (snapshot_month = '2025-11-30')
        """
    )
    source = Source(old)
    source.contract("C1")
    succeed(deploy_scripts(database, "-v", "adopt=true"))
    assert log(old) == LOGGED
    assert old.execute(
        "SELECT snapshot_month, customers, aum_balance, stale_rows, last_changed_at = %s"
        " FROM customer.monthly_status_total ORDER BY 1",
        [EARLIER],
    ).fetchall() == [
        (NOVEMBER, 1, Decimal("1.50"), 0, True),
        # One row had no updated_at, and no contract supports C2.
        (DECEMBER, 2, Decimal("7.25"), 1, False),
        (JANUARY, 1, Decimal(8), 1, True),
    ]
    source.contract("C2", product_line_code="PL201", product_line_name="企年投资", is_existing=True)
    source.detail("C1", "5")
    source.detail("C2", "8", line="PL201")

    assert counts(refresh(old, JANUARY)) == (2, 1, 0, 1, 0)
    assert [row[0] for row in stored(old)] == [NOVEMBER, DECEMBER, DECEMBER, JANUARY, JANUARY]
    old.execute(
        f"""
        UPDATE {FACT} SET plan_count = 3, note = 'why' WHERE snapshot_month = '2025-11-30';
        DELETE FROM {FACT} WHERE snapshot_month = '2025-11-30';
        INSERT INTO {FACT} (snapshot_month, company_id, product_line_code, product_line_name, note)
        VALUES ('2025-11-30', 'C2', 'PL201', '企年投资', 'why')
        """
    )
    old.execute("SELECT customer.close_snapshot_month('2025-12-31', 'published')")
    # Deploying the triggers again logs no month again.
    succeed(psql(database, "-f", "deploy/guard_closed_months.sql"))
    assert [entry[1:3] for entry in log(old)[3:]] == [
        (JANUARY, "refresh"),
        *[(NOVEMBER, "by_hand")] * 3,
        (DECEMBER, "close"),
    ]
    for log_id, month in ((1, NOVEMBER), (3, JANUARY)):
        assert month_as_at(old, month, log_id) == rows[month]
    assert len(month_as_at(old, DECEMBER, log(old)[-1][0])) == 2
    with pytest.raises(psycopg.errors.ObjectNotInPrerequisiteState, match="is closed"):
        old.execute(f"DELETE FROM {FACT} WHERE snapshot_month = '2025-12-31'")
    succeed(deploy_scripts(database, folders=("verify",)))


NO_INDEXES = """
    DROP INDEX customer.idx_snapshot_month, customer.idx_snapshot_company,
        customer.idx_snapshot_product_line, customer.idx_snapshot_month_product,
        customer.idx_snapshot_month_brin, customer.idx_snapshot_strategic;
"""
NO_PRIMARY_KEY = f"ALTER TABLE {FACT} DROP CONSTRAINT fct_customer_business_monthly_status_pkey;"
NO_FOREIGN_KEYS = (
    f"ALTER TABLE {FACT} DROP CONSTRAINT fk_snapshot_company,"
    " DROP CONSTRAINT fk_snapshot_product_line;"
)
OTHER_TABLES = {
    "as Alembic made it": "",
    "empty": f"DELETE FROM {FACT}",
    "no keys and indexes": NO_PRIMARY_KEY + NO_FOREIGN_KEYS + NO_INDEXES,
    "other keys, indexes and checks": f"""
        {NO_FOREIGN_KEYS}
        ALTER TABLE {FACT} RENAME CONSTRAINT fct_customer_business_monthly_status_pkey TO key;
        ALTER TABLE {FACT}
            ADD CONSTRAINT fk_snapshot_company FOREIGN KEY (company_id)
                REFERENCES customer."年金客户" ON DELETE CASCADE,
            ADD CONSTRAINT fk_snapshot_product_line FOREIGN KEY (product_line_code)
                REFERENCES mapping."产品线" NOT VALID,
            ADD CONSTRAINT chk_snapshot_month_end CHECK (isfinite(snapshot_month)) NOT VALID;
        DROP INDEX customer.idx_snapshot_month, customer.idx_snapshot_month_brin;
        CREATE INDEX idx_snapshot_month ON {FACT} (snapshot_month DESC);
        CREATE INDEX idx_snapshot_month_brin ON {FACT} (snapshot_month);
        UPDATE pg_index SET indisvalid = FALSE
        WHERE indexrelid = 'customer.idx_snapshot_company'::regclass
    """,
    "more foreign keys than needed": f"""
        ALTER TABLE {FACT}
            ADD FOREIGN KEY (company_id) REFERENCES customer."年金客户" ON DELETE CASCADE,
            ADD FOREIGN KEY (product_line_code) REFERENCES mapping."产品线" NOT VALID,
            ADD FOREIGN KEY (product_line_code) REFERENCES mapping."产品线"
                DEFERRABLE INITIALLY DEFERRED
    """,
    "other defaults, storage and rights": f"""
        ALTER TABLE {FACT}
            ALTER is_new SET DEFAULT TRUE, ALTER aum_balance SET DEFAULT 1,
            ALTER updated_at SET DEFAULT now(), ALTER product_line_name SET DEFAULT '',
            SET (fillfactor = 50, autovacuum_enabled = off);
        ALTER INDEX customer.fct_customer_business_monthly_status_pkey SET (fillfactor = 70);
        ALTER TABLE {FACT} SET UNLOGGED;
        GRANT SELECT, UPDATE (plan_count) ON {FACT} TO PUBLIC;
        REVOKE INSERT, DELETE ON {FACT} FROM current_user
    """,
}


@pytest.fixture(scope="module")
def own_table(create_database, source_template) -> dict[str, str]:
    """What comes of it where Alembic made no table."""
    name = create_database(source_template)
    succeed(deploy_table(name))
    return objects(name)


@pytest.mark.parametrize("other", OTHER_TABLES.values(), ids=OTHER_TABLES.keys())
def test_whatever_it_was_like_it_becomes_the_packages(database, old, own_table, other):
    old.execute(other)
    keys = [row[:3] for row in stored(old)]

    succeed(deploy_table(database, "-v", "adopt=true"))

    adopted = {what: text.replace(ADOPTED, "") for what, text in objects(database).items()}
    assert adopted == own_table
    assert [row[:3] for row in stored(old)] == keys


def test_what_gives_way_is_told(database, old):
    old.execute(
        f"""
        {NO_INDEXES} {NO_FOREIGN_KEYS}
        ALTER TABLE {FACT}
            ADD CONSTRAINT other FOREIGN KEY (company_id)
                REFERENCES customer."年金客户" ON DELETE CASCADE,
            ALTER company_id SET DEFAULT 'C1',
            SET (fillfactor = 80, autovacuum_enabled = off);
        ALTER INDEX customer.{TABLE}_pkey SET (fillfactor = 70);
        CREATE INDEX idx_snapshot_month ON {FACT} (snapshot_month DESC, aum_balance);
        CREATE INDEX other ON {FACT} (aum_balance);
        GRANT UPDATE (plan_count) ON {FACT} TO PUBLIC
        """
    )

    output = deploy_table(database, "-v", "adopt=true")

    succeed(output)
    assert told(output, "(?:constraint|default|index|storage|what)") == [
        "constraint other gives way to the package's: FOREIGN KEY (company_id)"
        ' REFERENCES customer."年金客户"(company_id) ON DELETE CASCADE',
        "default of column company_id is dropped: 'C1'::character varying",
        "index idx_snapshot_month gives way to the package's: CREATE INDEX"
        f" idx_snapshot_month ON {FACT} USING btree (snapshot_month DESC, aum_balance)",
        f"storage option of {FACT} is reset: autovacuum_enabled=off",
        f"storage option of {FACT}_pkey is reset: fillfactor=70",
        "what is granted to PUBLIC is revoked: grant it to those who need it",
    ]
    assert old.execute("SELECT to_regclass('customer.other')").fetchone() == ("customer.other",)


def test_what_stays_is_told(database, old, own_table):
    old.execute(
        f"""
        {TRIGGER_FUNCTION}
        CREATE TRIGGER after_each AFTER UPDATE ON {FACT}
        FOR EACH ROW EXECUTE FUNCTION customer.touch();
        CREATE TRIGGER before_all BEFORE UPDATE ON {FACT} EXECUTE FUNCTION customer.touch();
        CREATE TABLE customer.pair (
            company_id varchar UNIQUE,
            product_line_code varchar,
            PRIMARY KEY (company_id, product_line_code)
        );
        INSERT INTO customer.pair VALUES ('C1', 'PL202'), ('C2', 'PL201');
        ALTER TABLE {FACT}
            ADD note text,
            ADD doubled numeric GENERATED ALWAYS AS (2 * aum_balance) STORED,
            ADD CONSTRAINT other_check CHECK (plan_count >= 0),
            ADD CONSTRAINT other_company FOREIGN KEY (company_id)
                REFERENCES customer.pair (company_id),
            ADD CONSTRAINT other_pair FOREIGN KEY (company_id, product_line_code)
                REFERENCES customer.pair;
        CREATE TABLE customer.remark (
            snapshot_month date,
            company_id varchar,
            product_line_code varchar,
            CONSTRAINT remark_fkey FOREIGN KEY (snapshot_month, company_id, product_line_code)
                REFERENCES {FACT}
        )
        """
    )
    before = objects(database)

    output = deploy_table(database, "-v", "adopt=true")

    succeed(output)
    notices = told(output, "(?:column|constraint|trigger)")
    assert [notice for notice in notices if " stays: " in notice] == [
        "column doubled stays: it is generated",
        "constraint other_check stays: CHECK ((plan_count >= 0))",
        "constraint other_company stays:"
        " FOREIGN KEY (company_id) REFERENCES customer.pair(company_id)",
        "constraint other_pair stays: FOREIGN KEY (company_id, product_line_code)"
        " REFERENCES customer.pair(company_id, product_line_code)",
        "constraint remark_fkey of table customer.remark stays:"
        " FOREIGN KEY (snapshot_month, company_id, product_line_code)"
        f" REFERENCES {FACT}(snapshot_month, company_id, product_line_code)",
        f"trigger after_each stays: CREATE TRIGGER after_each AFTER UPDATE ON {FACT}"
        " FOR EACH ROW EXECUTE FUNCTION customer.touch()",
        f"trigger before_all stays: CREATE TRIGGER before_all BEFORE UPDATE ON {FACT}"
        " FOR EACH STATEMENT EXECUTE FUNCTION customer.touch()",
    ]
    assert {what: text for what, text in objects(database).items() if what not in own_table} == {
        what: text for what, text in before.items() if what not in own_table
    }


# --- A table that is the package's already -----------------------------------


def test_deploying_again_touches_nothing(database, old):
    """As after its entries in Sqitch's registry were lost; what the site added since is its own.

    Of the whole package, where nothing was adopted, test_sqitch.py says the same.
    """
    succeed(deploy_table(database, "-v", "adopt=true", folders=("deploy",)))
    old.execute(
        f"""
        {TRIGGER_FUNCTION}
        CREATE TRIGGER touch BEFORE UPDATE ON {FACT}
        FOR EACH ROW EXECUTE FUNCTION customer.touch()
        """
    )
    before = picture(database)

    succeed(deploy_table(database))

    assert picture(database) == before


def test_deploy_goes_on_after_it_failed_between_adopting_and_the_table(database, old):
    """What Sqitch then reverts is the registry's entry alone."""
    deploy = ("-f", f"deploy/{SOURCES}.sql", "-v", "adopt=true", "-f", f"deploy/{ADOPT}.sql")
    succeed(psql(database, *deploy))
    succeed(psql(database, "-f", f"verify/{ADOPT}.sql", "-f", f"revert/{ADOPT}.sql"))

    output = deploy_table(database)

    succeed(output)
    assert told(output, "constraint") == []
    assert len(stored(old)) == 4


def test_copy_of_the_packages_table_has_to_be_adopted(database, old):
    succeed(deploy_table(database, "-v", "adopt=true"))
    old.execute(
        f"""
        ALTER TABLE {FACT} RENAME TO kept;
        CREATE TABLE {FACT} (LIKE customer.kept INCLUDING ALL);
        DROP TABLE customer.kept
        """
    )

    assert f"table {FACT} exists already" in fail(deploy_table(database))

    succeed(deploy_table(database, "-v", "adopt=true"))


# --- Both generations of the platform ----------------------------------------


@pytest.mark.parametrize(
    "before",
    [f"DROP TABLE {FACT}", "", NO_FOREIGN_KEYS],
    ids=["no table", "old", "old without keys"],
)
@pytest.mark.parametrize(
    ("names", "options"),
    [
        (['customer."客户明细"', 'mapping."产品线"'], []),
        (
            ['customer."Known"', "mapping.line"],
            ["-v", 'customers=customer."Known"', "-v", "product_lines=mapping.line"],
        ),
    ],
    ids=["second generation", "names that are set"],
)
def test_foreign_keys_point_at_the_platforms_tables(database, old, before, names, options):
    old.execute(
        """
        ALTER TABLE customer."年金客户" RENAME TO "客户明细";
        CREATE TABLE customer."Known" AS TABLE customer."客户明细";
        CREATE TABLE mapping.line AS TABLE mapping."产品线";
        ALTER TABLE customer."Known" ADD UNIQUE (company_id);
        ALTER TABLE mapping.line ADD UNIQUE ("产品线代码")
        """
    )
    old.execute(before)

    succeed(deploy_table(database, "-v", "adopt=true", *options))

    targets = old.execute(
        "SELECT confrelid::regclass::text FROM pg_constraint"
        f" WHERE conrelid = '{FACT}'::regclass AND contype = 'f' ORDER BY conname"
    ).fetchall()
    assert [target for (target,) in targets] == names


# --- Failing later -----------------------------------------------------------


# Of a function of the last change.
OTHER_RESULT = "CREATE FUNCTION customer.guard_closed_months() RETURNS integer RETURN 1"


@pytest.mark.distribution
@pytest.mark.parametrize("is_empty", [False, True], ids=["rows", "empty"])
def test_failure_after_adopting_keeps_the_rows_and_deploy_goes_on(database, old, is_empty):
    """Sqitch reverts what it deployed before the failure, but may not drop a table with rows."""
    if is_empty:
        old.execute(f"DELETE FROM {FACT}")
    old.execute(OTHER_RESULT)
    keys = [row[:3] for row in stored(old)]

    errors = fail(adopt(database))

    assert "cannot change return type of existing function" in errors
    assert (f"table {FACT} holds rows, and reverting would drop them" in errors) != is_empty
    # Those before the table, and the table, which is the package's from now on.
    assert deployed_changes(database) == (0 if is_empty else 3)
    assert old.execute("SELECT to_regclass(%s) IS NULL", [FACT]).fetchone() == (is_empty,)

    old.execute("DROP FUNCTION customer.guard_closed_months()")
    # The setting does no harm where nothing is to be adopted, and need not be said again.
    succeed(adopt(database) if is_empty else sqitch(database, "deploy"))

    assert [row[:3] for row in stored(old)] == keys


def test_failure_of_the_last_change_takes_back_what_was_logged_of_the_months(database, old):
    """What Sqitch then reverts; deploying goes on from the table, and logs it as it is by then."""
    succeed(deploy_scripts(database, "-v", "adopt=true"))
    assert log(old) == LOGGED
    *others, table, _, _ = reverts()
    others.remove("revert/keep_stored_months.sql")

    succeed(psql(database, *(word for path in others for word in ("-f", path))))
    assert "holds rows, and reverting would drop them" in fail(psql(database, "-f", table))
    old.execute(f"DELETE FROM {FACT} WHERE snapshot_month = '{NOVEMBER}'")

    succeed(deploy_scripts(database))
    assert [entry[1:] for entry in log(old)] == [entry[1:] for entry in LOGGED[1:]]


# --- Refusing ----------------------------------------------------------------


def test_deploy_unless_told_true_names_the_command_and_changes_nothing(database, old):
    before = picture(database)

    for value, message in (
        ("false", f"table {FACT} exists already"),
        ("maybe", 'invalid input syntax for type boolean: "maybe"'),
    ):
        assert f"ERROR:  {message}\n" in fail(deploy_table(database, "-v", f"adopt={value}"))
        assert picture(database) == before
    errors = fail(sqitch(database, "deploy"))

    assert f"ERROR:  table {FACT} exists already\n" in errors
    assert (
        'HINT:  To adopt it and keep its rows: "sqitch deploy --set adopt=true".'
        " Nothing has been changed.\n"
    ) in errors
    assert shell_command("adopt=true").startswith("sqitch deploy --set adopt=true ")
    assert picture(database) == before
    assert deployed_changes(database) == 0


class Obstacle(NamedTuple):
    """What keeps a table from being adopted, what is said of it, and what else removes it.

    The statements that are said remove the rest. FACT stands for the table.
    """

    damage: str
    said: str
    correction: str = ""


OBSTACLES = {
    # The refresh compares some of these columns with expressions of collation "C".
    "owner and columns": Obstacle(
        """
        ALTER TABLE FACT OWNER TO some_role;
        ALTER TABLE FACT ALTER aum_balance TYPE numeric(18, 4), DROP COLUMN is_new,
            ALTER company_id TYPE varchar COLLATE "POSIX"
        """,
        """
    column aum_balance: numeric(20,2) expected, numeric(18,4) found
        ALTER TABLE FACT ALTER COLUMN aum_balance TYPE numeric(20,2);
    column company_id: character varying expected, character varying COLLATE "POSIX" found
        ALTER TABLE FACT ALTER COLUMN company_id TYPE character varying;
    column is_new: boolean expected, none found
        ALTER TABLE FACT ADD COLUMN is_new boolean;
    owner: the_deployer expected, some_role found
        ALTER TABLE FACT OWNER TO the_deployer;
""",
    ),
    "whatever may refuse, change or show rows": Obstacle(
        f"""
        {NO_PRIMARY_KEY} {TRIGGER_FUNCTION}
        ALTER TABLE FACT ADD batch integer, ADD note text NOT NULL DEFAULT '', DROP COLUMN is_new;
        UPDATE FACT SET batch = 1, plan_count = coalesce(plan_count, 0);
        ALTER TABLE FACT ALTER batch SET NOT NULL, ALTER plan_count SET NOT NULL;
        ALTER TABLE FACT ALTER plan_count ADD GENERATED ALWAYS AS IDENTITY,
            ADD is_new boolean GENERATED ALWAYS AS (NOT is_existing) STORED;
        ALTER TABLE FACT ADD id integer GENERATED ALWAYS AS IDENTITY CONSTRAINT "Key" PRIMARY KEY,
            ADD CONSTRAINT apart EXCLUDE USING btree (aum_balance WITH =),
            ADD CONSTRAINT once UNIQUE (aum_balance, company_id), ENABLE ROW LEVEL SECURITY;
        CREATE UNIQUE INDEX "Index" ON FACT (snapshot_month, company_id);
        CREATE UNIQUE INDEX including ON FACT (aum_balance)
            INCLUDE (snapshot_month, company_id, product_line_code);
        CREATE UNIQUE INDEX harmless ON FACT
            (product_line_code, plan_count, company_id, snapshot_month);
        DROP INDEX customer.idx_snapshot_month;
        CREATE TABLE customer.idx_snapshot_month ();
        CREATE TRIGGER touch BEFORE UPDATE ON FACT FOR EACH ROW EXECUTE FUNCTION customer.touch();
        CREATE TRIGGER "Fill" BEFORE INSERT ON FACT FOR EACH ROW EXECUTE FUNCTION customer.touch();
        CREATE TRIGGER keep BEFORE DELETE ON FACT FOR EACH ROW EXECUTE FUNCTION customer.touch();
        CREATE TRIGGER trg_snapshot_updated_at AFTER UPDATE ON FACT
        FOR EACH ROW EXECUTE FUNCTION customer.touch();
        CREATE TRIGGER trg_snapshot_guard_insert BEFORE INSERT ON FACT
        EXECUTE FUNCTION customer.touch();
        CREATE TABLE customer.child () INHERITS (FACT);
        CREATE TABLE customer.parent (plan_count integer);
        ALTER TABLE FACT INHERIT customer.parent;
        GRANT USAGE ON SCHEMA customer TO some_role;
        GRANT SELECT ON FACT TO some_role WITH GRANT OPTION;
        SET ROLE some_role;
        GRANT SELECT ON FACT TO PUBLIC;
        RESET ROLE
        """,
        """
    PUBLIC has SELECT from some_role
        REVOKE GRANT OPTION FOR SELECT ON FACT FROM some_role CASCADE;
    column batch is NOT NULL and has no default
        ALTER TABLE FACT ALTER COLUMN batch DROP NOT NULL;
    column is_new is generated
        ALTER TABLE FACT ALTER COLUMN is_new DROP EXPRESSION;
    column plan_count is an identity column
        ALTER TABLE FACT ALTER COLUMN plan_count DROP IDENTITY;
    constraint "Key" may refuse rows: PRIMARY KEY (id)
        ALTER TABLE FACT DROP CONSTRAINT "Key";
    constraint apart may refuse rows: EXCLUDE USING btree (aum_balance WITH =)
        ALTER TABLE FACT DROP CONSTRAINT apart;
    it inherits from table customer.parent
        ALTER TABLE FACT NO INHERIT customer.parent;
    name customer.idx_snapshot_month is taken: the package has an index of this name
    row security is on
        ALTER TABLE FACT DISABLE ROW LEVEL SECURITY;
    table customer.child inherits from it
        ALTER TABLE customer.child NO INHERIT FACT;
    trigger "Fill" may change or suppress rows
        DROP TRIGGER "Fill" ON FACT;
    trigger keep may change or suppress rows
        DROP TRIGGER keep ON FACT;
    trigger touch may change or suppress rows
        DROP TRIGGER touch ON FACT;
    trigger trg_snapshot_guard_insert has a name of the package's
        DROP TRIGGER trg_snapshot_guard_insert ON FACT;
    trigger trg_snapshot_updated_at has a name of the package's
        DROP TRIGGER trg_snapshot_updated_at ON FACT;
    unique index customer."Index" may refuse rows
        DROP INDEX customer."Index";
    unique index customer.including may refuse rows
        DROP INDEX customer.including;
    unique index customer.once may refuse rows
        ALTER TABLE FACT DROP CONSTRAINT once;
""",
        "DROP TABLE customer.idx_snapshot_month",
    ),
    "a partition": Obstacle(
        """
        CREATE TABLE customer.parent (LIKE FACT) PARTITION BY RANGE (snapshot_month);
        ALTER TABLE customer.parent ATTACH PARTITION FACT DEFAULT
        """,
        """
    it inherits from table customer.parent
        ALTER TABLE customer.parent DETACH PARTITION FACT;
""",
    ),
    "a rule and rows": Obstacle(
        f"""
        {NO_PRIMARY_KEY} {NO_FOREIGN_KEYS}
        ALTER TABLE FACT ALTER snapshot_month DROP NOT NULL, ALTER company_id DROP NOT NULL,
            ALTER product_line_code DROP NOT NULL;
        INSERT INTO FACT (snapshot_month, company_id, product_line_code, product_line_name) VALUES
            (NULL, 'C1', 'PL202', '企年受托'), ('2026-01-31', NULL, 'PL202', '企年受托'),
            ('2026-01-31', 'C1', NULL, '企年受托'), ('2026-01-31', 'C1', 'PL201', NULL),
            ('2026-01-30', 'C1', 'PL202', '企年受托'), ('2024-02-28', 'C1', 'PL202', '企年受托'),
            ('infinity', 'C1', 'PL202', '企年受托'), ('2026-01-31', 'C8', 'PL202', '企年受托'),
            ('2026-01-31', 'C9', 'PL202', '企年受托'), ('2026-01-31', 'C1', 'PL999', '不知'),
            ('2025-12-31', 'C1', 'PL202', '企年受托');
        CREATE RULE keep AS ON UPDATE TO FACT DO INSTEAD NOTHING
        """,
        """
    rule keep may change or suppress rows
        DROP RULE keep ON FACT;
    snapshot_month is NULL: 1 rows
    company_id is NULL: 1 rows
    product_line_code is NULL: 1 rows
    product_line_name is NULL: 1 rows
    snapshot_month is not the last day of a month, such as 2024-02-28: 3 rows
    snapshot_month, company_id and product_line_code are those of another row,\
 such as 2025-12-31 C1 PL202: 2 rows
    company_id is not in customer."年金客户", such as C8: 2 rows
    product_line_code is not in mapping."产品线", such as PL999: 1 rows
""",
        """
        INSERT INTO customer."年金客户" (company_id) VALUES ('C8'), ('C9');
        DELETE FROM FACT WHERE updated_at IS NULL AND company_id IS DISTINCT FROM 'C8'
        """,
    ),
}


def refusal(said: str) -> str:
    """The whole error, to where its hint begins."""
    return f"ERROR:  table FACT cannot be adopted:{said}HINT:".replace("FACT", FACT)


@pytest.mark.parametrize("obstacle", OBSTACLES.values(), ids=OBSTACLES.keys())
def test_table_is_refused_with_all_that_is_wrong_and_adopted_once_it_is_right(
    database, old, create_role, obstacle
):
    names = {"FACT": FACT, "some_role": create_role(), "the_deployer": old.info.user}
    damage, said, correction = (
        re.sub("FACT|some_role|the_deployer", lambda found: names[found[0]], text)
        for text in obstacle
    )
    old.execute(damage)
    before = picture(database)

    errors = fail(deploy_table(database, "-v", "adopt=true"))

    assert refusal(said) in errors
    assert "Nothing has been changed." in errors
    assert picture(database) == before

    old.execute(correction)
    for statement in re.findall(r"^ {8}(.*;)$", said, flags=re.MULTILINE):
        old.execute(statement)
    succeed(deploy_table(database, "-v", "adopt=true"))


@pytest.mark.parametrize(
    ("kind", "definition"),
    [
        ("view", "AS TABLE customer.kept"),
        ("materialized view", "AS TABLE customer.kept"),
        ("table", "(LIKE customer.kept) PARTITION BY RANGE (snapshot_month)"),
    ],
)
def test_what_is_no_plain_table_is_refused(database, old, kind, definition):
    old.execute(f"ALTER TABLE {FACT} RENAME TO kept; {NO_INDEXES}")
    old.execute(f"ALTER INDEX customer.{TABLE}_pkey RENAME TO kept_pkey")
    old.execute(f"CREATE {kind} {FACT} {definition}")
    found = "partitioned table" if kind == "table" else kind
    before = objects(database)

    errors = fail(deploy_table(database, "-v", "adopt=true"))

    assert refusal(f"\n    kind: table expected, {found} found\n") in errors
    assert objects(database) == before
    assert f"{FACT} is no table of its own" in fail(psql(database, "-f", f"verify/{ADOPT}.sql"))


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
    before = picture(database)
    deploy = partial(deploy_scripts, database, "-v", "adopt=true", PGUSER=role, PGPASSWORD=role)

    errors = fail(deploy())

    assert f"    owner: {role} expected, {old.info.user} found\n" in errors
    assert picture(database) == before

    old.execute(f"ALTER TABLE {FACT} OWNER TO {role}")
    succeed(deploy())

    assert len(stored(old)) == 4
