"""customer.restate_monthly_snapshot: messages, sessions, and data of production's size."""

import statistics
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from datetime import date
from decimal import Decimal
from typing import Any

import oracle
import psycopg
import pytest
from psycopg import IsolationLevel, sql
from psycopg.errors import ObjectNotInPrerequisiteState, SerializationFailure
from support import FACT, Notice, Source, listen, wait_for_lock

JUNE = date(2025, 6, 30)
JULY = date(2025, 7, 31)
WRITE = {
    "refresh": "SELECT customer.refresh_monthly_snapshot(%s)",
    "restate": "SELECT customer.restate_monthly_snapshot(%s, 'why')",
}


@pytest.fixture
def database(emptied_database) -> str:
    return emptied_database


@pytest.fixture
def source(connection) -> Source:
    """In June 2025 there were C1 and C2; today there are C1, with another mark, and C3."""
    source = Source(connection)
    with connection.transaction():
        source.contract("C1", valid_to="2025-12-31")
        source.contract("C1", valid_from="2026-01-01", is_strategic=True)
        source.contract("C2", valid_to="2025-06-30")
        source.contract("C3", valid_from="2025-07-01")
        source.detail("C1", "100.25", day="2025-06-01")
        source.detail("C2", "200.50", day="2025-06-01")
        source.detail("C3", "5", day="2025-06-01")
    return source


def refresh(connection: psycopg.Connection, month: date = JUNE) -> dict[str, Any]:
    return connection.execute(WRITE["refresh"], [month]).fetchone()[0]


def restate(connection: psycopg.Connection, month: date = JUNE) -> dict[str, Any]:
    return connection.execute(WRITE["restate"], [month]).fetchone()[0]


def customers(connection: psycopg.Connection, month: date = JUNE) -> list[str]:
    """Who has a row in a month; strategic ones have an asterisk."""
    return [
        company_id
        for (company_id,) in connection.execute(
            f"SELECT company_id || CASE WHEN is_strategic THEN '*' ELSE '' END FROM {FACT}"
            " WHERE snapshot_month = %s ORDER BY 1",
            [month],
        )
    ]


def stored(connection: psycopg.Connection) -> list[tuple]:
    """Every row of every month, with what changes when it is written."""
    return connection.execute(
        f"SELECT ctid::text, xmin::text, * FROM {FACT} ORDER BY ctid"
    ).fetchall()


def log(connection: psycopg.Connection) -> list[tuple]:
    return connection.execute(
        "SELECT operation, reason, deleted FROM customer.monthly_snapshot_log ORDER BY log_id"
    ).fetchall()


# --- Messages ----------------------------------------------------------------

RESTATE_JUNE = "SELECT customer.restate_monthly_snapshot(DATE '2025-06-30', 'why');"
NO_DETAIL = Notice(
    "WARNING",
    "01000",
    'business."规模明细" has no row for 2025-06-30: every AUM of the month is 0',
    "Load the month's AUM and restate again.",
)
STALE = Notice(
    "WARNING",
    "01000",
    "1 stale rows of 2025-06-30 are supported by no current contract and were kept",
    f"To make the month exactly what its contracts say: {RESTATE_JUNE}",
)
RESTATED = Notice(
    "WARNING",
    "01000",
    "today's contracts were used for 2025-06-30, which is a month last written by restating",
    f"To use the contracts of its last day: {RESTATE_JUNE}",
)
OLDER = Notice(
    "WARNING",
    "01000",
    "today's contracts were used for 2025-06-30, which is older than 2025-07-31,"
    " the newest month stored",
    f"To use the contracts of its last day: {RESTATE_JUNE}",
)


def done(counts: str) -> Notice:
    return Notice("NOTICE", "00000", f"snapshot of 2025-06-30: {counts} unattributed", None)


def test_restate_says_one_notice_with_its_counts(connection, source):
    refresh(connection)
    notices = listen(connection)

    restate(connection)

    assert notices == [
        done(
            "2 rows, 1 inserted, 1 updated, 0 unchanged, 0 stale, 1 deleted; AUM 300.75 yuan, 5.00"
        )
    ]


def test_second_restate_says_that_it_found_all_right(connection, source):
    restate(connection)
    notices = listen(connection)

    restate(connection)

    assert notices == [
        done(
            "2 rows, 0 inserted, 0 updated, 2 unchanged, 0 stale, 0 deleted; AUM 300.75 yuan, 5.00"
        )
    ]


def test_restate_of_an_older_month_is_nothing_to_warn_of(connection, source):
    source.detail("C3", "1", day="2025-07-01")
    refresh(connection, JULY)
    refresh(connection)
    notices = listen(connection)

    restate(connection)
    restate(connection)

    assert [notice.severity for notice in notices] == ["NOTICE", "NOTICE"]


def test_month_without_aum_at_the_source_is_restated_with_zeros_and_says_so(connection, source):
    restate(connection)
    connection.execute("""DELETE FROM business."规模明细" """)
    notices = listen(connection)

    restate(connection)

    assert notices == [
        NO_DETAIL,
        done("2 rows, 0 inserted, 2 updated, 0 unchanged, 0 stale, 0 deleted; AUM 0.00 yuan, 0.00"),
    ]
    assert connection.execute(f"SELECT array_agg(aum_balance) FROM {FACT}").fetchone() == (
        [Decimal("0.00"), Decimal("0.00")],
    )


def test_new_month_without_aum_at_the_source_says_so(connection, source):
    connection.execute("""DELETE FROM business."规模明细" """)
    notices = listen(connection)

    restate(connection)

    assert notices[0] == NO_DETAIL
    assert len(notices) == 2


def test_refresh_after_a_restate_says_so_once(connection, source):
    restate(connection)
    notices = listen(connection)

    refresh(connection)
    refresh(connection)  # now it was last written by refreshing

    assert notices == [
        STALE,
        RESTATED,
        done(
            "2 rows, 1 inserted, 1 updated, 0 unchanged, 1 stale, 0 deleted;"
            " AUM 105.25 yuan, 200.50"
        ),
        STALE,
        done(
            "2 rows, 0 inserted, 0 updated, 2 unchanged, 1 stale, 0 deleted;"
            " AUM 105.25 yuan, 200.50"
        ),
    ]


def test_refresh_after_each_restate_says_so(connection, source):
    restate(connection)
    refresh(connection)
    restate(connection)
    notices = listen(connection)

    refresh(connection)

    assert RESTATED in notices


def test_refresh_of_a_restated_month_that_is_older_says_that_it_is_older(connection, source):
    source.detail("C3", "1", day="2025-07-01")
    restate(connection)
    restate(connection, JULY)
    notices = listen(connection)

    refresh(connection)

    assert notices[:2] == [STALE, OLDER]
    assert len(notices) == 3


def test_restating_one_month_does_not_make_others_restated(connection, source):
    source.detail("C3", "1", day="2025-07-01")
    restate(connection)
    notices = listen(connection)

    refresh(connection, JULY)

    assert [notice.severity for notice in notices] == ["NOTICE"]


def test_hints_lead_out_of_the_trouble_that_they_come_with(connection, source):
    """What a refresh complains of is gone once its hint was followed, word for word."""
    restate(connection)
    notices = listen(connection)
    refresh(connection)
    hints = [notice.hint for notice in notices if notice.hint]
    assert len(hints) == 2

    for hint in hints:
        refresh(connection)
        connection.execute(hint.partition(": ")[2])
        assert customers(connection) == ["C1", "C2"]


def test_hint_of_the_refused_refresh_leads_out_of_it(connection, source):
    restate(connection)
    connection.execute("""DELETE FROM business."规模明细" """)
    with pytest.raises(ObjectNotInPrerequisiteState) as caught:
        refresh(connection)

    connection.execute(caught.value.diag.message_hint.partition("zero: ")[2])

    assert refresh(connection)["aum_total"] == 0


def test_messages_do_not_depend_on_the_callers_settings(connect, connection, source):
    caller = connect(
        autocommit=True,
        options="-c DateStyle=German,DMY -c TimeZone=Pacific/Kiritimati -c search_path=customer",
    )
    connection.execute("""DELETE FROM business."规模明细" """)
    notices = listen(caller)

    result = restate(caller)

    assert result["snapshot_month"] == "2025-06-30"
    assert notices[0] == NO_DETAIL
    with pytest.raises(ObjectNotInPrerequisiteState, match="covers 2019-12-31, and"):
        restate(caller, date(2019, 12, 1))


# --- Errors ------------------------------------------------------------------


def test_month_that_no_version_covers_is_refused_and_changes_nothing(connection, source):
    restate(connection)
    before, logged = stored(connection), log(connection)
    connection.execute(
        "UPDATE customer.customer_plan_contract SET valid_to = '2025-06-29'"
        " WHERE valid_from < '2025-06-30'"
    )
    connection.execute("""DELETE FROM business."规模明细" """)
    notices = listen(connection)

    with pytest.raises(ObjectNotInPrerequisiteState) as caught:
        restate(connection)

    assert caught.value.diag.message_primary == (
        "no contract version covers 2025-06-30, and restating would empty the month"
    )
    assert caught.value.diag.message_hint == (
        "Load the versions that were true on that day (valid_from <= day <= valid_to)"
        " into customer.customer_plan_contract, or choose another month."
    )
    assert notices == []
    assert stored(connection) == before
    assert log(connection) == logged


def test_reason_is_kept_in_the_log_word_for_word(connection, source):
    reason = ' it\'s "quoted" \\ %s $$ :x\nsecond line 原因 '

    connection.execute("SELECT customer.restate_monthly_snapshot('2025-06-30', %s)", [reason])

    assert log(connection) == [("restate", reason, 0)]


def test_restate_rolled_back_leaves_nothing(connect, connection, source):
    refresh(connection)
    before, logged = stored(connection), log(connection)
    caller = connect()
    assert restate(caller)["deleted"] == 1
    caller.rollback()

    assert stored(connection) == before
    assert log(connection) == logged
    assert refresh(connection)["unchanged"] == 2


def test_role_that_may_restate_needs_no_other_right(connect, connection, source, create_role):
    role = create_role()
    connection.execute(
        sql.SQL(
            "GRANT USAGE ON SCHEMA customer TO {0};"
            "GRANT EXECUTE ON FUNCTION customer.restate_monthly_snapshot(date, text) TO {0}"
        ).format(sql.Identifier(role))
    )
    restater = connect(autocommit=True, user=role, password=role)

    assert restate(restater)["inserted"] == 2

    assert connection.execute(
        "SELECT invoked_by FROM customer.monthly_snapshot_log"
    ).fetchone() == (role,)
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        refresh(restater)
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        restater.execute("SELECT * FROM customer.contracts_as_of('2025-06-30')")


# --- Several sessions --------------------------------------------------------

every_level = pytest.mark.parametrize(
    "level", list(IsolationLevel)[1:], ids=lambda level: level.name
)
every_pair = pytest.mark.parametrize(
    ("first", "second"), [("refresh", "restate"), ("restate", "refresh"), ("restate", "restate")]
)


@every_level
@every_pair
def test_second_write_of_a_month_waits_for_the_first(
    connect, connection, source, start: Callable, first, second, level
):
    refresh(connection)
    earlier, later = connect(), connect()
    later.isolation_level = level
    earlier.execute(WRITE[first], [JUNE])

    call = start(later.execute, WRITE[second], [JUNE])
    wait_for_lock(connection, earlier, call)
    earlier.commit()

    last = second
    if level is IsolationLevel.READ_COMMITTED:
        call.result(timeout=20)
    else:
        last = first
        with pytest.raises(SerializationFailure):
            call.result(timeout=20)
    later.commit()
    assert [operation for operation, _, _ in log(connection)][-1] == last
    if last == "restate":
        assert customers(connection) == ["C1", "C2"]
    else:
        assert {"C1*", "C3"} <= set(customers(connection))


# SERIALIZABLE may cancel one of two that read and write one table: see test_concurrency.
@pytest.mark.parametrize("level", [IsolationLevel.READ_COMMITTED, IsolationLevel.REPEATABLE_READ])
def test_months_are_restated_side_by_side(connect, connection, source, level):
    earlier, later = connect(), connect(options="-c lock_timeout=1ms")
    earlier.isolation_level = later.isolation_level = level
    restate(earlier)

    restate(later, JULY)

    later.commit()
    earlier.commit()
    assert customers(connection) == ["C1", "C2"]
    assert customers(connection, JULY) == ["C1", "C3"]


def test_restate_waited_for_deletes_what_came_meanwhile(
    connect, connection, source, start: Callable
):
    """A row that another transaction adds while the restate waits does not outlive it."""
    restate(connection)
    writer, caller = connect(), connect(autocommit=True)
    writer.execute(
        f"INSERT INTO {FACT} (snapshot_month, company_id, product_line_code, product_line_name)"
        " VALUES (%s, 'C3', 'PL202', '企年受托')",
        [JUNE],
    )

    call = start(restate, caller)
    wait_for_lock(connection, writer, call)
    writer.commit()

    assert call.result(timeout=20)["deleted"] == 1
    assert customers(connection) == ["C1", "C2"]


# --- What restating costs the refresh ----------------------------------------


@pytest.mark.parametrize(
    ("name", "per_call"), [("refresh", 0), ("restate", 1)], ids=["refresh", "restate"]
)
def test_only_restating_looks_for_contract_versions(connect, source, name, per_call):
    """Also when the session has called it so often that its plan is a generic one."""
    caller = connect()
    caller.execute("SET track_functions = 'all'")
    caller.execute("SET client_min_messages = error")

    for _ in range(12):
        caller.execute(WRITE[name], [JUNE])

    calls = dict(
        caller.execute("SELECT funcname, calls FROM pg_stat_xact_user_functions").fetchall()
    )
    assert calls["write_monthly_snapshot"] == 12
    assert calls.get("contracts_as_of", 0) == 12 * per_call


# --- Data of production's size -----------------------------------------------

YEAR = [oracle.last_day(date(2025, month, 1)) for month in range(1, 13)]


@pytest.fixture(scope="module")
def sample(create_database, sample_template) -> Iterator[psycopg.Connection]:
    """A connection to a database with the sample, for all tests of this file."""
    with psycopg.connect(
        dbname=create_database(sample_template),
        autocommit=True,
        options="-c client_min_messages=error -c synchronous_commit=off",
    ) as connection:
        yield connection


@pytest.fixture(scope="module")
def sources_of(sample) -> Callable[[date], oracle.Sources]:
    """A function that gives the sources of a month, with no AUM detail but its own: quicker."""
    sources = oracle.read_sources(sample)
    details = defaultdict(list)
    for detail in sources.details:
        details[oracle.last_day(detail.as_of)].append(detail)
    return lambda month: sources._replace(details=details[month])


def seconds(call: Callable, *arguments) -> float:
    started = time.perf_counter()
    call(*arguments)
    return time.perf_counter() - started


@pytest.fixture(scope="module")
def backfilled(sample) -> dict[str, list[float]]:
    """2025 restated, month by month; the seconds that it took, and that first fills take."""
    took: dict[str, list[float]] = {"refresh": [], "restate": []}
    for month in YEAR:
        # In turns, so that what else the machine does slows both.
        if month.month % 2:
            with sample.transaction(force_rollback=True):
                took["refresh"].append(seconds(refresh, sample, month))
        took["restate"].append(seconds(restate, sample, month))
    return took


def state(connection: psycopg.Connection) -> dict[date, tuple[int, Decimal]]:
    """The rows of each month, and a sum that changes when one of them is written or locked."""
    return {
        month: (count, checksum)
        for month, count, checksum in connection.execute(
            f"""
            SELECT
                snapshot_month,
                count(*),
                sum(hashtextextended(concat_ws(' ', ctid, xmin, xmax, fact), 0))
            FROM {FACT} AS fact
            GROUP BY snapshot_month
            """
        )
    }


def rows_of(connection: psycopg.Connection, month: date) -> oracle.Rows:
    rows = [
        oracle.Row(*values)
        for values in connection.execute(
            f"SELECT {', '.join(oracle.Row._fields)} FROM {FACT} WHERE snapshot_month = %s",
            [month],
        )
    ]
    return {row.key: row for row in rows}


def counts(result: dict[str, Any]) -> dict[str, Decimal]:
    """The numbers of a result. JSON's are floats."""
    return {key: Decimal(str(result[key])) for key in result.keys() - {"snapshot_month", "log_id"}}


def test_sample_has_what_makes_restating_hard(sources_of):
    """Premise: versions that ended, overlap on the last day of a month, or have no end."""
    versions = sources_of(JUNE).contracts
    assert sum(version.valid_to is None for version in versions) > 0
    assert sum(version.valid_to != oracle.OPEN for version in versions) > 2_000
    covering = Counter(
        (version.key, version.plan_code, month)
        for month in YEAR
        for version in versions
        if version.valid_to and version.valid_from <= month <= version.valid_to
    )
    assert sum(count > 1 for count in covering.values()) > 10


def test_backfilled_months_are_what_the_oracle_says(sample, backfilled, sources_of):
    assert sorted(state(sample)) == YEAR
    for month in YEAR:
        expected = oracle.snapshot(sources_of(month), month, "as_of")
        assert len(expected) > 19_000
        assert rows_of(sample, month) == expected


def test_result_on_the_sample_is_what_the_oracle_says(sample, backfilled, sources_of):
    """A month refreshed today, then restated: rows go, come and change."""
    month = YEAR[4]
    before = state(sample)
    with sample.transaction(force_rollback=True):
        refresh(sample, month)
        refreshed = {month: rows_of(sample, month)}
        expected = oracle.write(
            "restate", month, sources_of(month), refreshed, oracle.Control("current", 0)
        )

        result = restate(sample, month)

        assert min(expected.result[key] for key in ("updated", "unchanged", "deleted")) > 10
        assert counts(result) == counts(expected.result)
        assert rows_of(sample, month) == expected.rows
        after = state(sample)
        assert after.pop(month)[0] == before.pop(month)[0]
        assert after == before


def test_second_backfill_leaves_the_fact_table_untouched(sample, backfilled):
    before = state(sample)

    results = [restate(sample, month) for month in YEAR]

    assert all(result["upserted"] == result["deleted"] == 0 for result in results)
    assert [result["unchanged"] for result in results] == [before[month][0] for month in YEAR]
    assert state(sample) == before


def test_validation_finds_no_error_in_a_restated_month(sample, backfilled):
    checks = sample.execute(
        "SELECT check_name, severity, violations FROM customer.validate_monthly_snapshot(%s)",
        [JUNE],
    ).fetchall()

    assert len(checks) > 10
    assert [check for check in checks if check[1] == "error" and check[2]] == []
    assert ("stale_row", "warning", 0) in checks


def test_backfill_takes_little_longer_than_first_fills(backfilled):
    """At most 1.3 times as long: the median month against the median month."""
    restated = statistics.median(backfilled["restate"])
    filled = statistics.median(backfilled["refresh"])
    assert restated <= 1.3 * filled
