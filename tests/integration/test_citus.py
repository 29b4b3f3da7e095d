"""On a Citus cluster: the platform's tables spread over it, the package's own on the coordinator.

The readers of the sources are all that Citus plans: there, they are not inlined. The cluster is
SNAPSHOT_TEST_CITUS='host=… dbname=…', a database on a coordinator, where the platform's schemas are
made and dropped.
"""

import os
import re
from collections.abc import Iterator
from datetime import date

import psycopg
import pytest
from support import LOG, STORED, VIEWS, deploy_scripts, do, psql, run, succeed

CLUSTER = os.environ.get("SNAPSHOT_TEST_CITUS")
DECEMBER, JANUARY = date(2025, 12, 31), date(2026, 1, 31)
# What no two runs have in common.
TIMES = ["updated_at", "started_at", "finished_at", "last_changed_at", "closed_at", "invoked_by"]
BY_ID, BY_REFERENCE = "create_distributed_table('{}', 'id')", "create_reference_table('{}')"
LATE = (
    """
    UPDATE business."规模明细" SET "期末资产规模" = "期末资产规模" + 1
    WHERE "月度" = '2026-01-01' AND id % 97 = 0
    """,
    """
    INSERT INTO customer."当年中标"
        ("上报月份", "业务类型", "产品线代码", company_id, "上报客户名称")
    VALUES ('2026-01-01', '企年受托', 'PL202', '600000006', '名称')
    """,
)


# What Citus refuses over a table that is spread.
REFUSED = re.compile(r"::\s*[\w ]+(?:\(.*?\))?\s+COLLATE|EXISTS\s*\(\s*SELECT\s+FROM|LATERAL")


@pytest.mark.parametrize(
    ("query", "refused"),
    [
        ('SELECT a::varchar(5) COLLATE "C" FROM t', 1),
        ('SELECT (a || \'\') COLLATE "C", b COLLATE "C", c::date FROM t', 0),
        ("SELECT EXISTS (SELECT FROM t)", 1),
        ("SELECT 1 FROM t CROSS JOIN LATERAL (SELECT 1 FROM u) AS a", 1),
    ],
)
def test_what_citus_refuses_is_noticed(query, refused):
    assert len(REFUSED.findall(query)) == refused


READERS = """
    SELECT proname, prosrc, lanname FROM pg_proc JOIN pg_language ON pg_language.oid = prolang
    WHERE starts_with(proname, 'source_') AND provolatile = 's'
"""


def test_no_reader_holds_what_citus_refuses(connection):
    readers = connection.execute(READERS).fetchall()
    assert len(readers) == 12
    assert [name for name, body, _ in readers if REFUSED.search(body)] == []


def test_where_citus_is_installed_no_reader_is_inlined(database, connection):
    """All but Citus itself: a server that says that it has the extension."""
    succeed(psql(database, "-f", "sql/demo/sample_data.sql", "-v", "months=2"))
    expected = [do(connection, "refresh", month)["aum_total"] for month in (DECEMBER, JANUARY)]
    connection.execute("SET allow_system_table_mods = on")
    connection.execute("INSERT INTO pg_extension VALUES (1, 'citus', 10, 11, false, '1')")

    succeed(deploy_scripts(database))

    assert {language for *_, language in connection.execute(READERS)} == {"plpgsql"}
    for month, aum in zip((DECEMBER, JANUARY), expected, strict=True):
        assert do(connection, "refresh", month)["unchanged"] == 19524
        assert do(connection, "refresh", month)["aum_total"] == aum
    connection.execute("DELETE FROM pg_extension WHERE oid = 1")
    succeed(deploy_scripts(database))
    assert {language for *_, language in connection.execute(READERS)} == {"sql"}


# --- On a cluster -------------------------------------------------------------


@pytest.fixture
def cluster(request) -> Iterator[str]:
    """The platform's database on the coordinator, its AUM detail spread as the parameter says."""
    if not CLUSTER:
        pytest.skip("no cluster: SNAPSHOT_TEST_CITUS is not set")
    for file in ("source_system", "sample_data"):
        succeed(psql(CLUSTER, "-v", "months=2", "-f", f"sql/demo/{file}.sql"))
    spread = [BY_ID.format('customer."当年中标"'), BY_ID.format('customer."当年流失"')]
    if request.param:
        spread.append(request.param.format('business."规模明细"'))
    succeed(psql(CLUSTER, "-c", "SELECT " + ", ".join(spread)))
    yield CLUSTER
    drop = "DROP SCHEMA customer, business, mapping CASCADE"
    succeed(psql(CLUSTER, "-c", drop, PGOPTIONS="-c client_min_messages=error"))


def state(connection: psycopg.Connection) -> dict[str, list[tuple]]:
    """All that is stored, read and found, without times."""
    reads = {relation: relation for relation in (*STORED, *VIEWS)}
    for month in (DECEMBER, JANUARY):
        reads[f"{month} changed"] = f"customer.published_changes('{month}')"
        reads[f"{month} found"] = (
            "(SELECT check_name, severity, violations, sample"
            f" FROM customer.validate_monthly_snapshot('{month}'))"
        )
    for log_id, month in connection.execute(f"SELECT log_id, snapshot_month FROM {LOG}").fetchall():
        reads[f"{log_id}"] = f"customer.monthly_status_as_at('{month}', {log_id})"
    query = "SELECT to_jsonb(t) - %s::text[] FROM {} AS t ORDER BY 1"
    return {
        key: connection.execute(query.format(of), [TIMES]).fetchall() for key, of in reads.items()
    }


STEPS = (
    *(("refresh", DECEMBER), ("refresh", JANUARY), ("refresh", JANUARY), ("restate", DECEMBER)),
    *(("close", DECEMBER), ("refresh", DECEMBER), ("update", DECEMBER), ("truncate", DECEMBER)),
    *(("update", JANUARY), ("load", JANUARY), ("merge", JANUARY), ("reopen", DECEMBER)),
    *(("discard", DECEMBER), ("hook", DECEMBER), ("restate", JANUARY), ("close", JANUARY)),
)
MERGE = ("-v", "from=600000007", "-v", "into=600000008", "-v", "reason=why")


def step(target: str, connection: psycopg.Connection, name: str, month: date):
    """What it returns, or the SQLSTATE of its error."""
    if name == "load":  # and the hook, in one transaction, which is taken back the first time
        for is_tried in (True, False):
            with connection.transaction(force_rollback=is_tried):
                loaded = [connection.execute(statement).rowcount for statement in LATE]
                result = do(connection, "hook", month)
        return loaded, result
    if name == "merge":
        return succeed(psql(target, *MERGE, "-f", "sql/merge_customers.sql"))
    try:
        return do(connection, name, month)
    except psycopg.Error as error:
        return error.sqlstate


@pytest.mark.parametrize(
    "cluster", [BY_ID, BY_REFERENCE, None], indirect=True, ids=["id", "reference", "local"]
)
def test_on_a_cluster_all_is_as_on_one_server(database, cluster, connection, tmp_path):
    succeed(psql(database, "-v", "months=2", "-f", "sql/demo/sample_data.sql"))
    succeed(run("scripts/bundle", tmp_path / "release"))
    succeed(psql(cluster, "-f", tmp_path / "release/install.sql"))

    with psycopg.connect(cluster, autocommit=True) as coordinator:
        for name, month in STEPS:
            expected = step(database, connection, name, month)
            assert step(cluster, coordinator, name, month) == expected, (name, month)
        # What was stored after each step is in the history.
        assert state(coordinator) == state(connection)

    succeed(deploy_scripts(cluster, folders=("verify",)))


@pytest.mark.parametrize("cluster", [BY_ID], indirect=True)
def test_what_was_deployed_before_citus_says_what_mends_it(cluster, connection):
    succeed(deploy_scripts(cluster, folders=("deploy",)))
    inlined = connection.execute(READERS.replace("prosrc", "pg_get_functiondef(pg_proc.oid)"))

    with psycopg.connect(cluster, autocommit=True) as coordinator:
        for _, definition, _ in inlined:
            coordinator.execute(definition)
        with pytest.raises(psycopg.errors.ObjectNotInPrerequisiteState, match="Citus") as refused:
            do(coordinator, "refresh", JANUARY)
        [file] = re.findall(r'"psql -d \S+ -f (\S+)"', refused.value.diag.message_hint)
        succeed(psql(cluster, "-f", file))
        assert do(coordinator, "refresh", JANUARY)["inserted"] == 19524
