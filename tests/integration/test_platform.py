"""The platform that calls the package, in small, changed as the README says, step by step.

Each of its steps has a connection of its own and commits by itself; its hooks' errors are logged
and swallowed. One role owns the platform, its schemas and what Alembic makes, another the package.
"""

import re
from collections.abc import Callable
from contextlib import nullcontext
from datetime import date
from functools import partial
from types import SimpleNamespace

import psycopg
import pytest
from support import (
    ALEMBIC_TABLE,
    FACT,
    HISTORY,
    LOG,
    README,
    STORED,
    blocks,
    deploy_scripts,
    do,
    grant,
    psql,
    rows,
    succeed,
    wait_for_lock,
)
from test_sources import SECOND_GENERATION

JANUARY, FEBRUARY = date(2026, 1, 31), date(2026, 2, 28)
DETAIL, CONTRACTS = 'business."规模明细"', "customer.customer_plan_contract"
AUM, *EVENTS = DOMAINS = ("annuity_performance", "annual_award", "annual_loss")

[SERVICE] = [block for block in blocks("python") if block.startswith("import logging")]
[RENAMING] = re.findall(r"`psql (.*?rename_product_line\.sql)`", README)
[PERFORM] = re.findall(r"`(PERFORM customer\.rename_product_line.*?;)`", README)


# --- The platform ------------------------------------------------------------

EVENT = """
    INSERT INTO customer."{}" ("上报月份", company_id, "产品线代码", "业务类型", "上报客户名称")
    VALUES (%(day)s, %(id)s, 'PL202', '受托', '甲')
"""
LOADS = {
    AUM: (
        'INSERT INTO customer."年金客户" (company_id) VALUES (%(id)s) ON CONFLICT DO NOTHING',
        f'DELETE FROM {DETAIL} WHERE "月度" = %(day)s AND company_id = %(id)s',
        f'INSERT INTO {DETAIL} ("月度", company_id, "产品线代码", "计划代码", "期末资产规模")'
        " VALUES (%(day)s, %(id)s, 'PL202', 'P1', %(aum)s)",
    ),
    "annual_award": (EVENT.format("当年中标"),),
    "annual_loss": (EVENT.format("当年流失"),),
}
SYNC = f"""
    INSERT INTO {CONTRACTS} (company_id, plan_code, product_line_code, product_line_name,
        status_year, contract_status, valid_from)
    SELECT company_id, "计划代码", "产品线代码", "产品线", 2026, '正常', min("月度")
    FROM {DETAIL}
    JOIN mapping."产品线" USING ("产品线代码")
    GROUP BY 1, 2, 3, 4
    ON CONFLICT DO NOTHING
"""
# Alembic's migration of the snapshot, and what a later one does with names of product lines.
TABLE = re.sub("CREATE (TABLE|INDEX)", r"CREATE \1 IF NOT EXISTS", ALEMBIC_TABLE)
UPGRADE = f"""
    {TABLE}
    CREATE OR REPLACE FUNCTION customer.touch() RETURNS trigger LANGUAGE plpgsql AS
    'BEGIN NEW.updated_at := now(); RETURN NEW; END';
    DROP TRIGGER IF EXISTS touch ON {FACT};
    CREATE TRIGGER touch BEFORE UPDATE ON {FACT} FOR EACH ROW EXECUTE FUNCTION customer.touch();
"""
DOWNGRADE = f"DROP TABLE {FACT} CASCADE; DROP FUNCTION customer.touch()"
SET_NAME = """
    UPDATE {} SET product_line_name = NEW."产品线" WHERE product_line_code = NEW."产品线代码";"""
NAMES = """
    CREATE OR REPLACE FUNCTION customer.sync_product_line_name() RETURNS trigger LANGUAGE plpgsql AS
    $$ BEGIN {} {} RETURN NULL; END $$;
    CREATE OR REPLACE TRIGGER names AFTER UPDATE OF "产品线" ON mapping."产品线"
    FOR EACH ROW EXECUTE FUNCTION customer.sync_product_line_name()
"""
RENAME = """UPDATE mapping."产品线" SET "产品线" = '新名' WHERE "产品线代码" = 'PL202'"""


class Platform:
    """Its steps and commands; its log has the code and the message of each error."""

    def __init__(self, url: str) -> None:
        self.url, self.connect = url, psycopg.connect
        self.log: list[tuple[str, str]] = []
        self.code = SimpleNamespace()
        exec(SERVICE, self.code.__dict__)
        self.hooks = (
            ([AUM], lambda domain, period: self.execute(SYNC)),
            ([AUM], lambda domain, period: self.refresh(period)),
            (EVENTS, self.code.snapshot_hook),
        )

    def execute(self, statements: str) -> None:
        with self.connect(self.url) as connection:
            connection.execute(statements)

    def load(self, domain: str, file: list[tuple]) -> None:
        lines = [dict(zip(("day", "id", "aum"), line, strict=False)) for line in file]
        with self.connect(self.url) as connection, connection.cursor() as cursor:
            for statement in LOADS[domain]:
                cursor.executemany(statement, lines)

    def refresh(self, period: str | None, dry_run: bool = False) -> None:
        self.result = self.code.refresh_monthly_snapshot(period=period, dry_run=dry_run)

    def succeeds(self, step: Callable, *arguments, **named) -> bool:
        """Whether it has the exit status 0, were it a command."""
        try:
            step(*arguments, **named)
        except psycopg.Error as error:
            self.log.append((error.sqlstate, error.diag.message_primary))
            return False
        return True

    def etl(self, period: str | None, **files: list[tuple]) -> bool:
        """The same of a load of all domains."""
        loaded = []
        for domain in DOMAINS:
            if self.succeeds(self.code.snapshot_check, domain, period):
                loaded.append(self.succeeds(self.load, domain, files.get(domain, [])))
                for domains, hook in self.hooks:
                    if domain in domains:
                        self.succeeds(hook, domain, period)
        return loaded == [True] * 3

    def etl_in_one_transaction(self, *arguments, **files: list[tuple]) -> bool:
        """The same with one connection passed through, which this alone commits and closes."""
        with psycopg.connect(self.url) as connection:
            self.connect = lambda _: nullcontext(connection)
            self.code.psycopg = SimpleNamespace(connect=self.connect)
            return self.etl(*arguments, **files)


@pytest.fixture(scope="module")
def roles(create_common_role) -> SimpleNamespace:
    return SimpleNamespace(wdh=create_common_role("wdh"), owner=create_common_role("owner"))


@pytest.fixture(scope="module")
def template(create_database, roles) -> str:
    """The platform after Alembic's migrations, its table adopted."""
    name = create_database()
    names = NAMES.format(SET_NAME.format(CONTRACTS), SET_NAME.format(FACT))
    succeed(psql(name, "-c", f"GRANT CREATE ON DATABASE {name} TO {roles.wdh}, {roles.owner}"))
    migrations = ("-f", "sql/demo/source_system.sql", "-c", UPGRADE, "-c", names)
    succeed(psql(name, *migrations, PGOPTIONS=f"-c role={roles.wdh}"))
    rights = f"""
        GRANT USAGE, CREATE ON SCHEMA customer, business, mapping TO {roles.owner};
        GRANT SELECT, REFERENCES ON ALL TABLES IN SCHEMA customer, mapping TO {roles.owner};
        GRANT SELECT ON {DETAIL} TO {roles.owner};
        DROP TRIGGER touch ON {FACT};
        ALTER TABLE {FACT} OWNER TO {roles.owner}
    """
    succeed(psql(name, "-c", rights))
    succeed(deploy_scripts(name, "-v", "adopt=true", PGOPTIONS=f"-c role={roles.owner}"))
    succeed(grant(name, etl=roles.wdh))
    return name


@pytest.fixture
def platform(database, roles, monkeypatch) -> Platform:
    url = f"postgresql://{roles.wdh}:{roles.wdh}@/{database}"
    monkeypatch.setenv("DATABASE_URL", url)
    return Platform(url)


def aum(day: str, **amounts: str) -> list[tuple]:
    return [(day, company_id, amount) for company_id, amount in amounts.items()]


def snapshot(connection: psycopg.Connection, month: date) -> list[tuple]:
    """Customer, award, loss, AUM and name of the product line of each row."""
    return connection.execute(
        "SELECT company_id, is_winning_this_year, is_churned_this_year, aum_balance::integer,"
        f" product_line_name FROM {FACT} WHERE snapshot_month = %s ORDER BY 1",
        [month],
    ).fetchall()


def findings(connection: psycopg.Connection, month: date) -> list[str]:
    found = connection.execute(
        "SELECT concat_ws(' ', severity, check_name) FROM customer.validate_monthly_snapshot(%s)"
        " WHERE severity IN ('error', 'drift') AND violations > 0 ORDER BY 1",
        [month],
    )
    return [finding for (finding,) in found]


def test_whole_month_and_a_late_correction(connection, platform, caplog):
    file, award = aum("2026-01-01", C1="100", C2="50"), ("2026-01-01", "C2")
    assert platform.etl("202601", annuity_performance=file, annual_award=[award])
    published = [("C1", False, False, 100, "企年受托"), ("C2", True, False, 50, "企年受托")]
    assert snapshot(connection, JANUARY) == published
    assert findings(connection, JANUARY) == []
    do(connection, "close", JANUARY)

    # The load of AUM ends before it has begun. The award is loaded, and the month stays.
    caplog.clear()
    before = rows(connection, *STORED, DETAIL, CONTRACTS)
    file, award = aum("2026-01-01", C1="120", C2="50"), ("2026-01-01", "C1")
    assert not platform.etl("202601", annuity_performance=file, annual_award=[award])
    [(sqlstate, message)] = platform.log
    assert sqlstate == "55000"
    assert re.fullmatch(r"month 2026-01-31 is closed: by \w+ at .* UTC \(published\)", message)
    assert [text.split(":")[0] for text in caplog.messages] == ["month_closed"] * 4
    assert rows(connection, *before) == before
    assert findings(connection, JANUARY) == ["drift is_new", "drift is_winning_this_year"]

    platform.log.clear()
    do(connection, "reopen", JANUARY)
    assert platform.etl("202601", annuity_performance=file)
    corrected = [("C1", True, False, 120, "企年受托"), published[1]]
    assert snapshot(connection, JANUARY) == corrected
    changes = "SELECT column_name, current_value FROM customer.published_changes(%s) ORDER BY 1"
    assert connection.execute(changes, [JANUARY]).fetchall() == [
        *(("aum_balance", "120.00"), ("is_new", "true"), ("is_winning_this_year", "true"))
    ]
    do(connection, "close", JANUARY)

    file, loss = aum("2026-02-01", C1="130", C2="50"), ("2026-02-01", "C2")
    assert platform.etl("202602", annuity_performance=file, annual_loss=[loss])
    assert platform.log == []
    assert [row[2:4] for row in snapshot(connection, FEBRUARY)] == [(False, 130), (True, 50)]
    assert findings(connection, FEBRUARY) == []
    assert findings(connection, JANUARY) == ["drift is_churned_this_year"]

    # By file, without a period: what is checked and refreshed is not the month that is loaded.
    assert platform.etl(None, annuity_performance=aum("2026-01-01", C1="125"))
    [today] = connection.execute("SELECT customer.snapshot_month_of(CURRENT_DATE)").fetchone()
    refused = f"the AUM detail has no row for {today}, though stored months have AUM"
    assert platform.log == [("55000", refused)]
    assert snapshot(connection, JANUARY) == corrected
    assert findings(connection, JANUARY) == ["drift aum_balance", "drift is_churned_this_year"]


def test_failed_hook_leaves_the_load_and_the_month_as_it_was(connection, platform):
    assert platform.etl("202601", annuity_performance=aum("2026-01-01", C1="100"))
    before = rows(connection, *STORED)

    assert platform.etl("202601", annuity_performance=aum("2026-01-01", C1="NaN", C2="50"))

    assert rows(connection, *STORED) == before
    assert [len(left) for left in rows(connection, DETAIL, CONTRACTS).values()] == [2, 2]
    assert not platform.succeeds(platform.refresh, "202601")
    # For each domain, and by the command.
    [(sqlstate, message)] = set(platform.log)
    assert (sqlstate, len(platform.log)) == ("22003", 4)
    assert message.endswith("such as that of customer C1, product line PL202")

    platform.load(AUM, aum("2026-01-01", C1="90"))
    assert platform.succeeds(platform.refresh, "202601", dry_run=True)
    assert platform.result["upserted"] == 2
    assert rows(connection, *STORED) == before
    assert platform.succeeds(platform.refresh, "202601")
    assert [row[3] for row in snapshot(connection, JANUARY)] == [90, 50]

    # Closed after the check.
    platform.log.clear()
    platform.hooks = (([AUM], lambda *_: do(connection, "close", JANUARY)), *platform.hooks)
    assert platform.etl("202601", annuity_performance=aum("2026-01-01", C1="80"))
    assert [sqlstate for sqlstate, _ in platform.log] == ["55000"]
    assert [row[3] for row in snapshot(connection, JANUARY)] == [90, 50]


def test_in_one_transaction_a_month_that_is_refused_takes_the_load_back(connection, platform):
    file = aum("2026-01-01", C1="100")
    assert platform.etl_in_one_transaction("202601", annuity_performance=file)
    before = rows(connection, FACT, LOG, DETAIL, CONTRACTS)
    assert all(before.values())

    file = aum("2026-01-01", C1="NaN", C2="50")
    assert not platform.etl_in_one_transaction("202601", annuity_performance=file)
    assert platform.log[0][0] == "22003"
    assert rows(connection, *before) == before


def test_second_generation_has_check_and_hook_for_all_three_domains(
    database, connection, platform, roles, monkeypatch
):
    succeed(psql(database, "-c", SECOND_GENERATION))
    succeed(psql(database, "-f", "deploy/sources.sql", PGOPTIONS=f"-c role={roles.owner}"))
    renamed = dict(re.findall(r"ALTER TABLE (\S+) RENAME TO (.*);", SECOND_GENERATION))
    spell = partial(re.sub, "|".join(renamed), lambda old: f"customer.{renamed[old[0]]}")
    for domain, statements in LOADS.items():
        monkeypatch.setitem(LOADS, domain, [spell(statement) for statement in statements])
    sync = ([AUM], lambda *_: platform.execute(spell(SYNC)))
    platform.hooks = (sync, (DOMAINS, platform.code.snapshot_hook))
    files = {domain: [("2026-01-01", "C1", "100")] for domain in DOMAINS}

    assert platform.etl("202601", **files)
    assert platform.log == []
    assert snapshot(connection, JANUARY) == [("C1", True, True, 100, "企年受托")]
    assert findings(connection, JANUARY) == []
    do(connection, "close", JANUARY)
    assert not platform.etl("202601", **files)
    assert [sqlstate for sqlstate, _ in platform.log] == ["55000"]


def replace_the_trigger(platform: Platform, database: str, roles: SimpleNamespace) -> None:
    options = RENAMING.replace("wdh_etl", roles.wdh).replace("workdatahub", database).split()
    succeed(psql(database, *options, PGOPTIONS=f"-c role={roles.owner}"))
    platform.execute(NAMES.format(PERFORM, SET_NAME.format(CONTRACTS)))


def test_product_line_is_renamed_while_a_month_is_closed(connection, platform, database, roles):
    for period, day in (("202601", "2026-01-01"), ("202602", "2026-02-01")):
        platform.etl(period, annuity_performance=aum(day, C1="100"))
    do(connection, "close", JANUARY)
    assert not platform.succeeds(platform.execute, RENAME)
    # A former owner of the table lacks the right.
    connection.execute(f"GRANT SELECT, UPDATE ON {FACT} TO {roles.wdh}")
    assert not platform.succeeds(platform.execute, RENAME)
    assert [sqlstate for sqlstate, _ in platform.log] == ["42501", "55000"]
    replace_the_trigger(platform, database, roles)
    platform.execute(RENAME)

    assert [row[4] for row in snapshot(connection, JANUARY)] == ["企年受托"]
    assert [row[4] for row in snapshot(connection, FEBRUARY)] == ["新名"]
    names = connection.execute("SELECT product_line_name FROM customer.dim_product_line")
    assert ("新名",) in names.fetchall()
    assert connection.execute(
        "SELECT log.snapshot_month, log.operation, invoked_by, replaced.product_line_name"
        f" FROM {LOG} AS log JOIN {HISTORY} AS replaced USING (log_id)"
    ).fetchall() == [(FEBRUARY, "by_hand", roles.wdh, "企年受托")]
    assert findings(connection, JANUARY) == ["drift product_line_name"]
    assert findings(connection, FEBRUARY) == []
    platform.refresh("202602")
    assert platform.result["unchanged"] == 1


def test_renaming_waits_for_a_load_and_reaches_what_it_wrote(
    connection, platform, database, roles, start
):
    """A load in one transaction, which changes contracts after it has locked its month."""
    replace_the_trigger(platform, database, roles)
    platform.etl("202601", annuity_performance=aum("2026-01-01", C1="100"))
    platform.load(AUM, aum("2026-02-01", C1="100"))
    with psycopg.connect(platform.url) as load:
        load.execute("SELECT customer.pre_etl_check('annuity_performance', '202602')")
        renaming = start(platform.execute, RENAME)
        wait_for_lock(connection, load, renaming)
        load.execute(f"UPDATE {CONTRACTS} SET is_strategic = TRUE")
        load.execute("SELECT customer.post_etl_hook('annuity_performance', '202602')")
    renaming.result(timeout=20)

    for month in (JANUARY, FEBRUARY):
        assert [row[4] for row in snapshot(connection, month)] == ["新名"]


def test_alembics_migration_as_it_is_harms_the_adopted_table(connection, platform, database, roles):
    assert not platform.succeeds(platform.execute, UPGRADE)
    assert platform.log == [("42501", f"must be owner of table {FACT.partition('.')[2]}")]

    # Where one role owns both.
    connection.execute(f"GRANT {roles.wdh} TO {roles.owner}")
    succeed(psql(database, "-c", UPGRADE, PGOPTIONS=f"-c role={roles.owner}"))
    verified = psql(database, "-f", "verify/fct_customer_business_monthly_status.sql")
    assert f"{FACT} has triggers that are not the package's: touch" in verified.stderr

    # Where another one, which owns the schema.
    platform.execute(DOWNGRADE)
    found = "SELECT to_regclass(%s), to_regclass('customer.monthly_status_movement')"
    assert connection.execute(found, [FACT]).fetchone() == (None, None)
