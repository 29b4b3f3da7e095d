"""customer.refresh_monthly_snapshot: what only several transactions or sessions can show."""

from collections.abc import Callable
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Any

import psycopg
import pytest
from psycopg import IsolationLevel, sql
from psycopg.rows import dict_row
from support import NOTHING, Notice, Source, listen, stored, wait_for_lock

JANUARY = date(2026, 1, 31)
FEBRUARY = date(2026, 2, 28)
RESTATE_JANUARY = "SELECT customer.restate_monthly_snapshot(DATE '2026-01-31', 'why');"
SNAPSHOT_ISOLATION = pytest.mark.parametrize(
    "isolation_level", [IsolationLevel.REPEATABLE_READ, IsolationLevel.SERIALIZABLE]
)


@pytest.fixture
def database(emptied_database) -> str:
    return emptied_database


@pytest.fixture
def source(connection) -> Source:
    """Three contracts with AUM in January 2026, and 5 yuan that belong to nobody."""
    source = Source(connection)
    source.contract("C1", is_strategic=True)
    source.contract("C2", is_existing=True)
    source.contract("C3", product_line_code="PL201", product_line_name="企年投资")
    source.detail("C1", "100.25")
    source.detail("C2", "200.50")
    source.detail("C3", "300.75", line="PL201")
    source.detail(None, "5")
    return source


def refresh(connection: psycopg.Connection, month: date = JANUARY) -> dict[str, Any]:
    return connection.execute("SELECT customer.refresh_monthly_snapshot(%s)", [month]).fetchone()[0]


def counts(result: dict[str, Any]) -> tuple[int, int, int, int, int]:
    return tuple(result[key] for key in ("total", "inserted", "updated", "unchanged", "stale"))


def versions(connection: psycopg.Connection, month: date = JANUARY) -> dict[str, list]:
    """What changes of a row, by its customer, when it is written or locked."""
    return {
        company_id: version
        for company_id, *version in connection.execute(
            """
            SELECT company_id, ctid::text, xmin::text, xmax::text, updated_at
            FROM customer.fct_customer_business_monthly_status
            WHERE snapshot_month = %s
            """,
            [month],
        )
    }


def close_by_hand(connection: psycopg.Connection, month: date = JANUARY) -> None:
    connection.execute(
        """
        INSERT INTO customer.monthly_snapshot_control AS control
            (snapshot_month, closed_at, closed_by, close_note)
        VALUES (%s, '2026-02-10 08:30:00+00', 'auditor', 'published')
        ON CONFLICT (snapshot_month) DO UPDATE SET
            closed_at = EXCLUDED.closed_at,
            closed_by = EXCLUDED.closed_by,
            close_note = EXCLUDED.close_note
        """,
        [month],
    )


def last_log(connection: psycopg.Connection) -> dict[str, Any]:
    with connection.cursor(row_factory=dict_row) as cursor:
        return cursor.execute(
            "SELECT * FROM customer.monthly_snapshot_log ORDER BY log_id DESC LIMIT 1"
        ).fetchone()


def wal_of_refresh(connection: psycopg.Connection) -> int:
    """Bytes of WAL that a refresh of January writes, whatever other sessions write meanwhile."""
    plan = connection.execute(
        "EXPLAIN (ANALYZE, WAL, FORMAT JSON) SELECT customer.refresh_monthly_snapshot('2026-01-31')"
    ).fetchone()[0]
    return plan[0]["Plan"]["WAL Bytes"]


# --- What is written, and what is not ----------------------------------------


def test_rerun_leaves_every_row_as_it_was(connection, source):
    refresh(connection)
    before = versions(connection)

    result = refresh(connection)

    assert result["upserted"] == 0
    assert len(before) == 3
    assert versions(connection) == before


def test_rerun_writes_little_wal(connection, source):
    refresh(connection)
    connection.execute("VACUUM customer.fct_customer_business_monthly_status")

    # A checkpoint between two runs makes the second write whole pages.
    assert min(wal_of_refresh(connection) for _ in range(3)) < 2_000


def contracts(connection: psycopg.Connection, assignment: str, company_id: str = "%") -> None:
    """Change the contracts of a customer, or of all."""
    connection.execute(
        f"UPDATE customer.customer_plan_contract SET {assignment} WHERE company_id LIKE %s",
        [company_id],
    )


def amounts(connection: psycopg.Connection, amount: int, company_id: str = "%") -> None:
    """Change the AUM detail of a customer, or of all."""
    connection.execute(
        """UPDATE business."规模明细" SET "期末资产规模" = %s WHERE company_id LIKE %s""",
        [amount, company_id],
    )


CHANGES = {
    "AUM": lambda etl: amounts(etl, 7, "C2"),
    "name": lambda etl: contracts(etl, "product_line_name = '受托'", "C2"),
    "strategic": lambda etl: contracts(etl, "is_strategic = TRUE", "C2"),
    "existing": lambda etl: contracts(etl, "is_existing = FALSE", "C2"),
    "award": lambda etl: Source(etl).award("C2", "2026-07-01"),
    "loss": lambda etl: Source(etl).loss("C2", "2026-07-01"),
    "plan": lambda etl: Source(etl).contract("C2", plan_code="P2", is_existing=True),
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES.keys())
def test_changed_source_moves_just_its_row(connect, connection, source, change):
    refresh(connection)
    before = versions(connection)

    with connect() as etl:
        change(etl)
        started_at, transaction = etl.execute(
            "SELECT now(), pg_current_xact_id()::xid::text"
        ).fetchone()
        assert counts(refresh(etl)) == (3, 0, 1, 2, 0)

    after = versions(connection)
    _, xmin, _, updated_at = after.pop("C2")
    assert (xmin, updated_at) == (transaction, started_at)
    assert before.pop("C2")[3] < started_at
    assert after == before


def test_new_contract_adds_just_its_row(connect, connection, source):
    refresh(connection)
    before = versions(connection)

    with connect() as etl:
        Source(etl).contract("C4")
        started_at = etl.execute("SELECT now()").fetchone()[0]
        assert counts(refresh(etl)) == (4, 1, 0, 3, 0)

    after = versions(connection)
    assert after.pop("C4")[3] == started_at
    assert after == before


def test_stale_row_is_left_as_it_was(connection, source):
    refresh(connection)
    before = versions(connection)
    contracts(connection, "valid_to = '2026-01-31'", "C2")

    assert counts(refresh(connection)) == (2, 0, 0, 2, 1)

    assert versions(connection) == before


def test_other_months_are_left_as_they_were(connection, source):
    refresh(connection)
    before = versions(connection)
    source.detail("C1", "1", day="2026-02-01")

    refresh(connection, FEBRUARY)

    assert len(versions(connection, FEBRUARY)) == 3
    assert versions(connection) == before


def test_two_refreshes_in_one_transaction_write_once(connect, connection, source):
    with connect() as etl:
        refresh(etl)
        assert counts(refresh(etl)) == (3, 0, 0, 3, 0)

    assert len(versions(connection)) == 3


def test_update_by_hand_that_changes_nothing_leaves_updated_at(connection, source):
    refresh(connection)
    before = versions(connection)

    connection.execute(
        "UPDATE customer.fct_customer_business_monthly_status SET aum_balance = aum_balance"
    )

    after = versions(connection)
    assert [row[3] for row in after.values()] == [row[3] for row in before.values()]
    assert after != before


def test_update_by_hand_that_changes_a_row_moves_its_updated_at(connection, source):
    refresh(connection)
    before = versions(connection)

    updated_at = connection.execute(
        "UPDATE customer.fct_customer_business_monthly_status SET plan_count = 9"
        " WHERE company_id = 'C1' RETURNING now()"
    ).fetchone()[0]

    after = versions(connection)
    assert after.pop("C1")[3] == updated_at
    before.pop("C1")
    assert after == before


@pytest.mark.parametrize(
    "corruption",
    [
        "product_line_name = '其他'",
        "is_strategic = NOT is_strategic",
        "is_existing = NOT is_existing",
        "is_new = NOT is_new",
        "is_winning_this_year = NOT is_winning_this_year",
        "is_churned_this_year = NOT is_churned_this_year",
        "aum_balance = aum_balance + 0.01",
        "plan_count = plan_count + 1",
    ],
)
def test_row_corrupted_by_hand_is_put_right(connection, source, corruption):
    def values() -> list[tuple]:
        return connection.execute(
            """
            SELECT company_id, product_line_name, is_strategic, is_existing, is_new,
                is_winning_this_year, is_churned_this_year, aum_balance, plan_count
            FROM customer.fct_customer_business_monthly_status
            ORDER BY company_id
            """
        ).fetchall()

    refresh(connection)
    before = values()
    connection.execute(
        f"UPDATE customer.fct_customer_business_monthly_status SET {corruption}"
        " WHERE company_id = 'C1'"
    )
    assert values() != before

    assert counts(refresh(connection)) == (3, 0, 1, 2, 0)

    assert values() == before


# --- Messages ----------------------------------------------------------------

NO_DETAIL = Notice(
    "WARNING",
    "01000",
    'business."规模明细" has no row for 2026-01-31: every AUM of the month is 0',
    "Load the month's AUM and refresh again.",
)
NO_CONTRACT = Notice(
    "WARNING",
    "01000",
    "no contract is current (valid_to = 9999-12-31): nothing was written for 2026-01-31",
    "Bring customer.customer_plan_contract up to date and refresh again.",
)
STALE = Notice(
    "WARNING",
    "01000",
    "2 stale rows of 2026-01-31 are supported by no current contract and were kept",
    f"To make the month exactly what its contracts say: {RESTATE_JANUARY}",
)
OLDER = Notice(
    "WARNING",
    "01000",
    "today's contracts were used for 2026-01-31, which is older than 2026-02-28,"
    " the newest month stored",
    f"To use the contracts of its last day: {RESTATE_JANUARY}",
)
RESTATED = Notice(
    "WARNING",
    "01000",
    "today's contracts were used for 2026-01-31, which is a month last written by restating",
    f"To use the contracts of its last day: {RESTATE_JANUARY}",
)


def warnings(notices: list[Notice]) -> list[Notice]:
    return [notice for notice in notices if notice.severity != "NOTICE"]


def test_month_written_by_mistake_goes_when_its_rows_are_deleted(connection, source):
    refresh(connection, date(2062, 1, 31))
    notices = listen(connection)

    connection.execute(
        "DELETE FROM customer.fct_customer_business_monthly_status"
        " WHERE snapshot_month = '2062-01-31'"
    )

    # Nor does anything take January for an older month.
    assert refresh(connection)["inserted"] == 3
    assert warnings(notices) == []
    assert connection.execute(
        "SELECT DISTINCT snapshot_month FROM customer.monthly_status_trend"
    ).fetchall() == [(JANUARY,)]


def test_clean_refresh_says_one_notice_with_its_counts(connection, source):
    notices = listen(connection)

    refresh(connection)

    assert notices == [
        Notice(
            "NOTICE",
            "00000",
            "snapshot of 2026-01-31: 3 rows, 3 inserted, 0 updated, 0 unchanged, 0 stale,"
            " 0 deleted; AUM 601.50 yuan, 5.00 unattributed",
            None,
        )
    ]


def test_clean_rerun_says_one_notice_with_its_counts(connection, source):
    refresh(connection)
    amounts(connection, 1, "C1")
    notices = listen(connection)

    refresh(connection)

    assert [notice.message for notice in notices] == [
        "snapshot of 2026-01-31: 3 rows, 0 inserted, 1 updated, 2 unchanged, 0 stale,"
        " 0 deleted; AUM 502.25 yuan, 5.00 unattributed"
    ]


def test_newest_month_says_no_warning(connection, source):
    source.detail("C1", "1", day="2026-02-01")
    refresh(connection)
    notices = listen(connection)

    refresh(connection, FEBRUARY)
    refresh(connection, FEBRUARY)

    assert warnings(notices) == []


def test_month_without_detail_says_so(connection):
    Source(connection).contract("C1")
    notices = listen(connection)

    result = refresh(connection)

    assert warnings(notices) == [NO_DETAIL]
    assert counts(result) == (1, 1, 0, 0, 0)


def test_rerun_of_a_month_without_detail_says_so_again(connection):
    Source(connection).contract("C1")
    refresh(connection)
    notices = listen(connection)

    refresh(connection)

    assert warnings(notices) == [NO_DETAIL]


def test_detail_that_is_all_null_is_detail(connection):
    source = Source(connection)
    source.contract("C1")
    source.detail("C1", None)
    notices = listen(connection)

    refresh(connection)

    assert warnings(notices) == []


def test_no_current_contract_says_so(connection):
    source = Source(connection)
    source.contract("C1", valid_to="2026-01-31")
    source.detail("C1", "1")
    notices = listen(connection)

    result = refresh(connection)

    assert warnings(notices) == [NO_CONTRACT]
    assert counts(result) == (0, 0, 0, 0, 0)


def test_stale_rows_say_so(connection, source):
    refresh(connection)
    contracts(connection, "valid_to = '2026-01-31'", "C2")
    contracts(connection, "valid_to = '2026-01-31'", "C3")
    notices = listen(connection)

    result = refresh(connection)

    assert warnings(notices) == [STALE]
    assert counts(result) == (1, 0, 0, 1, 2)


def test_month_older_than_the_newest_stored_says_so(connection, source):
    source.detail("C1", "1", day="2026-02-01")
    refresh(connection, FEBRUARY)
    notices = listen(connection)

    refresh(connection)

    assert warnings(notices) == [OLDER]


def test_month_last_written_by_restating_says_so(connection, source):
    refresh(connection)
    connection.execute("UPDATE customer.monthly_snapshot_control SET last_rule = 'as_of'")
    notices = listen(connection)

    refresh(connection)
    refresh(connection)  # now it was last written by refreshing

    assert warnings(notices) == [RESTATED]


def test_all_that_is_odd_is_said_at_once(connection, source):
    refresh(connection)
    connection.execute("UPDATE customer.fct_customer_business_monthly_status SET aum_balance = 0")
    connection.execute(
        "DELETE FROM customer.fct_customer_business_monthly_status WHERE company_id = 'C3'"
    )
    contracts(connection, "valid_to = '2026-01-31'")
    connection.execute(
        """
        INSERT INTO customer.fct_customer_business_monthly_status
            (snapshot_month, company_id, product_line_code, product_line_name)
        VALUES ('2026-02-28', 'C1', 'PL202', '企年受托')
        """
    )
    connection.execute('DELETE FROM business."规模明细"')
    notices = listen(connection)

    refresh(connection)

    assert warnings(notices) == [NO_DETAIL, NO_CONTRACT, STALE, OLDER]
    assert [notice.severity for notice in notices[4:]] == ["NOTICE"]


def test_messages_do_not_depend_on_the_callers_settings(connect, connection, source):
    source.detail("C1", "1", day="2026-02-01")
    refresh(connection, FEBRUARY)
    caller = connect(
        autocommit=True,
        options="-c DateStyle=German,DMY -c TimeZone=Asia/Shanghai -c search_path=customer",
    )
    notices = listen(caller)

    result = refresh(caller)

    assert result["snapshot_month"] == "2026-01-31"
    assert notices[0] == OLDER
    assert notices[1].message.startswith("snapshot of 2026-01-31: 3 rows, ")
    assert len(notices) == 2


# --- Errors ------------------------------------------------------------------

ANY_DAY = "Pass any day of the month, such as DATE '2026-01-31'."
BAD_MONTHS = {
    "NULL": ("22004", "the snapshot month must not be NULL"),
    "'infinity'": (
        "22023",
        "the snapshot month must lie in the years 1 to 9999, but is infinity",
    ),
    "'-infinity'": (
        "22023",
        "the snapshot month must lie in the years 1 to 9999, but is -infinity",
    ),
    "'10000-01-01'": (
        "22023",
        "the snapshot month must lie in the years 1 to 9999, but is 10000-01-01",
    ),
    "'0001-12-31 BC'": (
        "22023",
        "the snapshot month must lie in the years 1 to 9999, but is 0001-12-31 BC",
    ),
}


@pytest.mark.parametrize(
    ("month", "sqlstate", "message"),
    [(month, *error) for month, error in BAD_MONTHS.items()],
    ids=BAD_MONTHS.keys(),
)
def test_what_is_no_month_is_refused(connection, source, month, sqlstate, message):
    with pytest.raises(psycopg.Error) as caught:
        connection.execute(f"SELECT customer.refresh_monthly_snapshot({month})")

    diagnostic = caught.value.diag
    assert diagnostic.sqlstate == sqlstate
    assert diagnostic.message_primary == message
    assert diagnostic.message_hint == ANY_DAY
    assert stored(connection) == NOTHING


def test_vanished_detail_is_refused_and_changes_nothing(connection, source):
    refresh(connection)
    before = stored(connection)
    connection.execute('DELETE FROM business."规模明细"')
    notices = listen(connection)

    with pytest.raises(psycopg.errors.ObjectNotInPrerequisiteState) as caught:
        refresh(connection)

    assert caught.value.diag.message_primary == (
        'business."规模明细" has no row for 2026-01-31,'
        " and refreshing would overwrite its AUM with zeros"
    )
    assert caught.value.diag.message_hint == (
        f"Load the month's AUM and refresh again. If it really is zero: {RESTATE_JANUARY}"
    )
    assert notices == []
    assert stored(connection) == before


def test_closed_month_is_refused_and_changes_nothing(connection, source):
    refresh(connection)
    close_by_hand(connection)
    before = stored(connection)
    amounts(connection, 1)
    notices = listen(connection)

    with pytest.raises(psycopg.errors.ObjectNotInPrerequisiteState) as caught:
        refresh(connection)

    assert caught.value.diag.message_primary == (
        "month 2026-01-31 is closed: by auditor at 2026-02-10 08:30:00 UTC (published)"
    )
    assert caught.value.diag.message_hint == (
        "If its published numbers must change:"
        " SELECT customer.reopen_snapshot_month(DATE '2026-01-31', 'why');"
    )
    assert notices == []
    assert stored(connection) == before


def test_closed_month_does_not_stop_another(connection, source):
    close_by_hand(connection, FEBRUARY)

    assert counts(refresh(connection)) == (3, 3, 0, 0, 0)


# --- Transactions ------------------------------------------------------------


def test_refresh_rolled_back_leaves_nothing(connect, connection, source):
    etl = connect()
    assert refresh(etl)["inserted"] == 3
    etl.rollback()

    assert stored(connection) == NOTHING


def test_refresh_rolled_back_to_a_savepoint_leaves_nothing(connect, connection, source):
    with connect() as etl:
        etl.execute("SAVEPOINT before_refresh")
        refresh(etl)
        etl.execute("ROLLBACK TO SAVEPOINT before_refresh")

    assert stored(connection) == NOTHING


def test_rerun_rolled_back_leaves_what_was_there(connect, connection, source):
    refresh(connection)
    before = stored(connection)
    etl = connect()
    Source(etl).contract("C4")
    refresh(etl)
    etl.rollback()

    assert stored(connection) == before


def test_refresh_that_fails_in_a_savepoint_leaves_nothing(connect, connection, source):
    refresh(connection, FEBRUARY)
    connection.execute("UPDATE customer.fct_customer_business_monthly_status SET aum_balance = 1")
    before = stored(connection)

    with connect() as etl:
        etl.execute("SAVEPOINT before_refresh")
        with pytest.raises(psycopg.errors.ObjectNotInPrerequisiteState):
            refresh(etl, FEBRUARY)
        etl.execute("ROLLBACK TO SAVEPOINT before_refresh")

    assert stored(connection) == before


def test_session_that_dies_after_a_refresh_leaves_nothing(connect, connection, source):
    etl = connect()
    refresh(etl)

    connection.execute("SELECT pg_terminate_backend(%s, 20000)", [etl.info.backend_pid])

    assert stored(connection) == NOTHING
    assert counts(refresh(connection)) == (3, 3, 0, 0, 0)


def test_refresh_shows_to_nobody_before_its_commit(connect, connection, source):
    etl = connect()
    refresh(etl)
    assert stored(connection) == NOTHING

    etl.commit()
    assert len(versions(connection)) == 3


def test_load_and_refresh_fail_as_one(connect, connection, source):
    refresh(connection)
    etl = connect()
    etl.execute('DELETE FROM business."规模明细"')
    with pytest.raises(psycopg.errors.ObjectNotInPrerequisiteState):
        refresh(etl)
    etl.commit()  # of a failed transaction: a rollback

    assert connection.execute('SELECT count(*) FROM business."规模明细"').fetchone() == (4,)


# --- The log -----------------------------------------------------------------


def test_log_says_what_the_result_says(connection, source):
    refresh(connection)
    source.contract("C4")
    source.contract("C5")
    contracts(connection, "valid_to = '2026-01-31'", "C2")
    amounts(connection, 7, "C1")

    result = refresh(connection)

    log = last_log(connection)
    assert counts(result) == (4, 2, 1, 1, 1)
    assert {key: log[key] for key in result.keys() - {"snapshot_month"}} == {
        "log_id": result["log_id"],
        "total": 4,
        "upserted": 3,
        "inserted": 2,
        "updated": 1,
        "unchanged": 1,
        "stale": 1,
        "deleted": 0,
        "aum_total": Decimal("307.75"),
        "aum_unattributed": Decimal("205.50"),
    }
    assert (log["snapshot_month"], log["operation"], log["reason"]) == (JANUARY, "refresh", None)
    assert (result["aum_total"], result["aum_unattributed"]) == (307.75, 205.5)


def test_each_refresh_that_committed_is_logged_once(connect, connection, source):
    first = refresh(connection)
    lost = connect()
    refresh(lost)
    lost.rollback()
    second = refresh(connection)

    assert connection.execute(
        "SELECT array_agg(log_id ORDER BY log_id) FROM customer.monthly_snapshot_log"
    ).fetchone() == ([first["log_id"], second["log_id"]],)
    assert second["log_id"] > first["log_id"]


def test_control_row_says_how_the_month_was_last_written(connection, source):
    refresh(connection)
    contracts(connection, "valid_to = '2026-01-31'", "C2")

    result = refresh(connection)

    assert connection.execute("SELECT * FROM customer.monthly_snapshot_control").fetchall() == [
        (JANUARY, "current", result["log_id"], 1, None, None, None)
    ]


def test_log_times_enclose_the_call(connection, source):
    def clock() -> datetime:
        return connection.execute("SELECT clock_timestamp()").fetchone()[0]

    before = clock()
    refresh(connection)
    after = clock()

    log = last_log(connection)
    assert before <= log["started_at"] <= log["finished_at"] <= after


def test_log_times_are_of_the_call_not_of_the_transaction(connect, connection, source):
    with connect() as etl:
        etl.execute("SELECT 1")
        later = connection.execute("SELECT clock_timestamp()").fetchone()[0]
        refresh(etl)

    assert last_log(connection)["started_at"] >= later


@pytest.mark.parametrize("name", ["", "workdatahub 规模"])
def test_log_says_which_application_called(connect, connection, source, name):
    refresh(connect(autocommit=True, application_name=name))

    # PostgreSQL itself makes a question mark of each byte that is not ASCII; since 16, its number.
    is_new = connection.info.server_version >= 160000
    expected = name.replace("规模", r"\xe8\xa7\x84\xe6\xa8\xa1" if is_new else "??????")
    assert last_log(connection)["application_name"] == expected


def test_log_says_who_logged_in(connect, connection, source, create_role):
    role = create_role()
    grant_refresh(connection, role)

    refresh(connect(autocommit=True, user=role, password=role))

    assert last_log(connection)["invoked_by"] == role


def test_log_says_who_logged_in_after_set_role(connect, connection, source, create_role):
    role, other = create_role(), create_role()
    connection.execute(sql.SQL("GRANT {} TO {}").format(*map(sql.Identifier, (other, role))))
    grant_refresh(connection, other)
    caller = connect(autocommit=True, user=role, password=role)
    caller.execute(sql.SQL("SET ROLE {}").format(sql.Identifier(other)))

    refresh(caller)

    assert last_log(connection)["invoked_by"] == role


def test_log_says_who_logged_in_through_a_security_definer_function(
    connect, connection, source, create_role
):
    role, owner = create_role(), create_role()
    grant_refresh(connection, owner)
    connection.execute(
        "CREATE FUNCTION public.load_month() RETURNS jsonb LANGUAGE sql SECURITY DEFINER"
        " AS $$ SELECT customer.refresh_monthly_snapshot('2026-01-31') $$"
    )
    connection.execute(
        sql.SQL("ALTER FUNCTION public.load_month() OWNER TO {}").format(sql.Identifier(owner))
    )
    caller = connect(autocommit=True, user=role, password=role)

    caller.execute("SELECT public.load_month()")

    assert last_log(connection)["invoked_by"] == role


# --- Privileges --------------------------------------------------------------


def grant_refresh(connection: psycopg.Connection, role: str) -> None:
    """Grant what it takes to call the refresh, and nothing else."""
    connection.execute(
        sql.SQL(
            "GRANT USAGE ON SCHEMA customer TO {role};"
            " GRANT EXECUTE ON FUNCTION customer.refresh_monthly_snapshot(date) TO {role}"
        ).format(role=sql.Identifier(role))
    )


@pytest.mark.parametrize(
    "statement",
    [
        "SELECT count(*) FROM customer.fct_customer_business_monthly_status",
        "DELETE FROM customer.fct_customer_business_monthly_status",
        "UPDATE customer.monthly_snapshot_control SET closed_at = NULL",
        "SELECT count(*) FROM customer.monthly_snapshot_log",
        "SELECT nextval('customer.monthly_snapshot_log_log_id_seq')",
        "SELECT customer.write_monthly_snapshot('2026-01-31', 'refresh', NULL)",
        "SELECT customer.lock_snapshot_month('2026-01-31')",
        "SELECT * FROM customer.missing_snapshot_sources()",
    ],
)
def test_who_may_refresh_may_do_nothing_else(connect, connection, source, create_role, statement):
    role = create_role()
    grant_refresh(connection, role)
    caller = connect(autocommit=True, user=role, password=role)
    assert counts(refresh(caller)) == (3, 3, 0, 0, 0)

    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        caller.execute(statement)


def test_who_was_granted_nothing_may_not_refresh(connect, connection, source, create_role):
    role = create_role()
    connection.execute(sql.SQL("GRANT USAGE ON SCHEMA customer TO {}").format(sql.Identifier(role)))

    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        refresh(connect(user=role, password=role))


def test_callers_own_objects_do_not_come_between(connect, connection, source, create_role):
    role = create_role()
    grant_refresh(connection, role)
    connection.execute(
        sql.SQL("CREATE SCHEMA {role} AUTHORIZATION {role}").format(role=sql.Identifier(role))
    )
    caller = connect(autocommit=True, user=role, password=role)
    # Were they seen, they would be preferred to those of pg_catalog.
    caller.execute(
        """
        CREATE FUNCTION round(numeric, integer) RETURNS numeric LANGUAGE sql AS 'SELECT -1.0';
        CREATE FUNCTION clock_timestamp() RETURNS timestamptz LANGUAGE sql
            AS 'SELECT to_timestamp(0)';
        CREATE TEMPORARY TABLE customer_plan_contract (valid_to date)
        """
    )
    caller.execute(
        sql.SQL("SET search_path = {}, pg_catalog, customer").format(sql.Identifier(role))
    )
    assert caller.execute("SELECT round(2.5, 0)").fetchone() == (Decimal("-1.0"),)

    result = refresh(caller)

    assert (counts(result), result["aum_total"]) == ((3, 3, 0, 0, 0), 601.5)
    assert last_log(connection)["started_at"].year > 2000


# --- Several sessions at once ------------------------------------------------


def test_second_refresh_of_a_month_waits_and_sees_what_the_first_wrote(
    connect, connection, source, start: Callable
):
    refresh(connection)
    first, second = connect(), connect(autocommit=True)
    Source(first).contract("C4")
    assert counts(refresh(first)) == (4, 1, 0, 3, 0)

    call = start(refresh, second)
    wait_for_lock(connection, first, call)
    released_at = connection.execute("SELECT clock_timestamp()").fetchone()[0]
    first.commit()

    assert counts(call.result(timeout=20)) == (4, 0, 0, 4, 0)
    log = last_log(connection)
    assert log["started_at"] < released_at < log["finished_at"]


@pytest.mark.parametrize("month_is_new", [True, False])
def test_refresh_waits_for_whoever_has_locked_the_month(
    connect, connection, source, start: Callable, month_is_new
):
    """As a refresh that is still at work has: locked, but written nothing yet."""
    if not month_is_new:
        refresh(connection)
    first, second = connect(), connect(autocommit=True)
    first.execute("SELECT customer.lock_snapshot_month(%s)", [JANUARY])

    call = start(refresh, second)
    wait_for_lock(connection, first, call)
    Source(first).contract("C4")
    first.commit()

    assert call.result(timeout=20)["total"] == 4


def test_second_refresh_waits_also_where_the_month_is_new(
    connect, connection, source, start: Callable
):
    first, second = connect(), connect(autocommit=True)
    Source(first).contract("C4")
    refresh(first)

    call = start(refresh, second)
    wait_for_lock(connection, first, call)
    first.commit()

    assert counts(call.result(timeout=20)) == (4, 0, 0, 4, 0)


@pytest.mark.parametrize("month_is_new", [True, False])
def test_second_refresh_goes_on_when_the_first_is_rolled_back(
    connect, connection, source, start: Callable, month_is_new
):
    if not month_is_new:
        refresh(connection)
        connection.execute("TRUNCATE customer.fct_customer_business_monthly_status")
    first, second = connect(), connect(autocommit=True)
    Source(first).contract("C4")
    refresh(first)

    call = start(refresh, second)
    wait_for_lock(connection, first, call)
    first.rollback()

    assert counts(call.result(timeout=20)) == (3, 3, 0, 0, 0)


def test_second_refresh_waits_also_for_one_that_wrote_nothing(
    connect, connection, source, start: Callable
):
    refresh(connection)
    first, second = connect(), connect(autocommit=True)
    assert refresh(first)["upserted"] == 0

    call = start(refresh, second)
    wait_for_lock(connection, first, call)
    first.commit()

    assert call.result(timeout=20)["upserted"] == 0


def test_callers_lock_timeout_ends_the_wait(connect, connection, source):
    refresh(connection)
    first, second = connect(), connect(options="-c lock_timeout=10ms")
    refresh(first)

    with pytest.raises(psycopg.errors.LockNotAvailable):
        refresh(second)


def test_refreshes_of_different_months_do_not_wait(connect, connection, source):
    source.detail("C1", "1", day="2026-02-01")
    first, second = connect(), connect(options="-c lock_timeout=2s")
    refresh(first)

    assert refresh(second, FEBRUARY)["inserted"] == 3

    second.commit()
    first.commit()
    assert len(versions(connection)) == len(versions(connection, FEBRUARY)) == 3


def test_reader_does_not_wait_for_a_refresh(connect, connection, source):
    refresh(connection)
    etl, reader = connect(), connect(options="-c lock_timeout=2s")
    Source(etl).contract("C4")
    refresh(etl)

    assert len(versions(reader)) == 3


def old_snapshot(connect: Callable, isolation_level: IsolationLevel) -> psycopg.Connection:
    """A connection whose transaction sees the database as it is now."""
    connection = connect()
    connection.isolation_level = isolation_level
    connection.execute("SELECT count(*) FROM customer.customer_plan_contract")
    return connection


def refuse_old_snapshot(caller: psycopg.Connection, observer: psycopg.Connection) -> None:
    """The caller's refresh must end in a serialization failure and write nothing."""
    before = stored(observer)
    with pytest.raises(psycopg.errors.SerializationFailure):
        refresh(caller)
    caller.commit()
    assert stored(observer) == before


@SNAPSHOT_ISOLATION
def test_snapshot_older_than_a_refresh_is_refused(connect, connection, source, isolation_level):
    refresh(connection)
    caller = old_snapshot(connect, isolation_level)
    source.contract("C4")
    refresh(connection)

    refuse_old_snapshot(caller, connection)


@SNAPSHOT_ISOLATION
def test_snapshot_older_than_the_months_first_refresh_is_refused(
    connect, connection, source, isolation_level
):
    caller = old_snapshot(connect, isolation_level)
    refresh(connection)

    refuse_old_snapshot(caller, connection)


@SNAPSHOT_ISOLATION
def test_snapshot_older_than_a_refresh_that_wrote_nothing_is_refused(
    connect, connection, source, isolation_level
):
    refresh(connection)
    caller = old_snapshot(connect, isolation_level)
    assert refresh(connection)["upserted"] == 0

    refuse_old_snapshot(caller, connection)


@SNAPSHOT_ISOLATION
def test_snapshot_older_than_a_refresh_waited_for_is_refused(
    connect, connection, source, start: Callable, isolation_level
):
    refresh(connection)
    first = connect()
    refresh(first)
    second = old_snapshot(connect, isolation_level)

    call = start(refresh, second)
    wait_for_lock(connection, first, call)
    first.commit()

    with pytest.raises(psycopg.errors.SerializationFailure):
        call.result(timeout=20)


@SNAPSHOT_ISOLATION
def test_snapshot_older_than_a_refresh_of_another_month_is_good(
    connect, connection, source, isolation_level
):
    refresh(connection)
    source.detail("C1", "1", day="2026-02-01")
    caller = old_snapshot(connect, isolation_level)
    source.contract("C4")
    refresh(connection, FEBRUARY)

    assert counts(refresh(caller)) == (3, 0, 0, 3, 0)
    caller.commit()


@SNAPSHOT_ISOLATION
@pytest.mark.parametrize("month_is_new", [True, False])
def test_snapshot_older_than_a_close_is_refused(
    connect, connection, source, isolation_level, month_is_new
):
    if not month_is_new:
        refresh(connection)
    caller = old_snapshot(connect, isolation_level)
    close_by_hand(connection)

    refuse_old_snapshot(caller, connection)


@SNAPSHOT_ISOLATION
def test_snapshot_older_than_a_close_waited_for_is_refused(
    connect, connection, source, start: Callable, isolation_level
):
    refresh(connection)
    closer = connect()
    close_by_hand(closer)
    caller = old_snapshot(connect, isolation_level)

    call = start(refresh, caller)
    wait_for_lock(connection, closer, call)
    closer.commit()

    with pytest.raises(psycopg.errors.SerializationFailure):
        call.result(timeout=20)


@pytest.mark.parametrize("month_is_new", [True, False])
def test_read_committed_refresh_waits_for_a_close_and_is_refused(
    connect, connection, source, start: Callable, month_is_new
):
    if not month_is_new:
        refresh(connection)
    closer, caller = connect(), connect(autocommit=True)
    source.contract("C4")
    close_by_hand(closer)

    call = start(refresh, caller)
    wait_for_lock(connection, closer, call)
    closer.commit()
    before = stored(connection)

    with pytest.raises(psycopg.errors.ObjectNotInPrerequisiteState, match="is closed: by auditor"):
        call.result(timeout=20)
    assert stored(connection) == before


def test_close_waits_for_a_refresh_under_way(connect, connection, source, start: Callable):
    refresh(connection)
    etl, closer = connect(), connect(autocommit=True)
    refresh(etl)

    call = start(close_by_hand, closer)
    wait_for_lock(connection, etl, call)
    etl.commit()

    call.result(timeout=20)
    with pytest.raises(psycopg.errors.ObjectNotInPrerequisiteState):
        refresh(connection)


def test_refresh_waits_long_enough_not_to_lose_an_update(
    connect, connection, source, start: Callable
):
    """The second refresh has newer sources than the first, and its numbers stay."""
    refresh(connection)
    first, second = connect(), connect(autocommit=True)
    amounts(first, 1, "C1")
    refresh(first)
    source.detail("C2", "1000", day=JANUARY + timedelta(days=-1))

    call = start(refresh, second)
    wait_for_lock(connection, first, call)
    first.commit()

    assert counts(call.result(timeout=20)) == (3, 0, 1, 2, 0)
    assert dict(
        connection.execute(
            "SELECT company_id, aum_balance FROM customer.fct_customer_business_monthly_status"
        ).fetchall()
    ) == {"C1": Decimal("1.00"), "C2": Decimal("1200.50"), "C3": Decimal("300.75")}
