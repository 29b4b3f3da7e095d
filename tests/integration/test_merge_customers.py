"""sql/merge_customers.sql: a customer who turns out to be another one, closed months included."""

import re
from datetime import date

import psycopg
import pytest
import support
from support import FACT, LOG, SUMMARY, do, fail, month_as_at, psql, refresh, succeed

DAYS = ("2025-11-30", "2025-12-31", "2026-01-31", "2026-02-28", "2026-03-31")
NOVEMBER, DECEMBER, JANUARY, FEBRUARY, MARCH = map(date.fromisoformat, DAYS)
CONTRACTS = "customer.customer_plan_contract"
REASON = "it's one 客户"
DELETE = "DELETE FROM customer.\"年金客户\" WHERE company_id = 'OLD'"


@pytest.fixture(scope="module")
def owner(create_common_role) -> str:
    return create_common_role("owner")


@pytest.fixture(scope="module")
def template(create_database, source_template, owner) -> str:
    """The package's owner is no superuser."""
    name = create_database(source_template)
    succeed(psql(name, "-c", support.grants_to_owner(name, owner)))
    succeed(support.deploy_scripts(name, PGOPTIONS=f"-c role={owner}"))
    return name


def merge(database: str, owner: str, **values: str | None):
    """As the owner starts it; a value of None is not passed."""
    variables = {"from": "OLD", "into": "NEW", "reason": REASON, "VERBOSITY": "verbose"} | values
    given = [f"{name}={value}" for name, value in variables.items() if value is not None]
    words = [word for variable in given for word in ("-v", variable)]
    options = f"-c role={owner}"
    return psql(database, *words, "-f", "sql/merge_customers.sql", PGOPTIONS=options)


def told(result) -> list[str]:
    succeed(result)
    return re.findall(r"NOTICE:  \w{5}: (.*)", result.stderr)


@pytest.fixture
def filled(connection) -> psycopg.Connection:
    """January has OLD alone; November and December, which are closed, and February have both."""
    source = support.Source(connection)
    source.contract("OLD", is_strategic=True)
    source.contract("OLD", product_line_code="PL201", product_line_name="企年投资")
    source.award("OLD", "2025-12-01")
    source.loss("OLD", "2025-12-01")
    for number, day in enumerate(DAYS, 1):
        source.detail("OLD", f"{number}00.10", day)
    refresh(connection, JANUARY)
    source.contract("NEW", plan_code="P2", product_line_name="企年受托甲")
    for company_id, line in (("NEW", "PL203"), ("X", "PL203"), ("X", "PL204")):
        source.contract(company_id, product_line_code=line)
    for day in (NOVEMBER, DECEMBER, FEBRUARY):
        source.detail("NEW", "20", day)
    source.detail("X", "5", DECEMBER, "PL203")
    # Published with what somebody forged.
    refresh(connection, NOVEMBER)
    forge = f"UPDATE {FACT} SET is_churned_this_year = FALSE, product_line_name = '企年甲'"
    connection.execute(f"{forge} WHERE is_churned_this_year AND snapshot_month = '{NOVEMBER}'")
    do(connection, "close", NOVEMBER)
    # Published as it was right, by hand and with a stale row.
    refresh(connection, DECEMBER)
    end = f"UPDATE {CONTRACTS} SET valid_to = '2026-01-15' WHERE product_line_code = %s"
    connection.execute(f"{end} AND company_id = 'X'", ["PL203"])
    existing = "UPDATE {} SET is_existing = TRUE WHERE company_id <> 'OLD'"
    connection.execute(existing.format(CONTRACTS))
    connection.execute(f"{existing.format(FACT)} AND snapshot_month = '{DECEMBER}'")
    assert support.errors_in(connection, DECEMBER) == []
    do(connection, "close", DECEMBER)
    refresh(connection, FEBRUARY)
    # What the sources say since is no fault of a month, also when its rows move.
    connection.execute(
        f"UPDATE {CONTRACTS} SET is_strategic = NOT is_strategic, is_existing = NOT is_existing"
    )
    connection.execute(end, ["PL204"])
    source.detail("X", "7", DECEMBER, "PL204")
    source.award("NEW")
    source.loss("NEW")
    refresh(connection, FEBRUARY)
    return connection


def test_all_months_move_with_history_and_the_old_customer_can_go(database, owner, filled):
    published = month_as_at(filled, DECEMBER)
    closing = filled.execute(f"SELECT max(log_id) FROM {LOG} WHERE operation = 'close'").fetchone()
    stale = f"SELECT product_line_code, stale_rows, stale_aum FROM {SUMMARY} WHERE stale_rows > 0"
    assert {*filled.execute(stale)} == {("PL203", 1, 5), (None, 1, 5)}
    for table in support.SOURCES[:4]:
        filled.execute(f"UPDATE {table} SET company_id = 'NEW' WHERE company_id = 'OLD'")
    with pytest.raises(psycopg.errors.ForeignKeyViolation, match="fk_snapshot_company"):
        filled.execute(DELETE)

    assert told(merge(database, owner)) == [
        "2025-11-30: 1 rows moved, 1 added to rows that NEW had; closed again",
        "2025-12-31: 1 rows moved, 1 added to rows that NEW had; closed again",
        "2026-01-31: 2 rows moved, 0 added to rows that NEW had",
        "2026-02-28: 1 rows moved, 1 added to rows that NEW had",
        "4 months changed, and none has a row of OLD any more",
    ]

    # Name; strategic, existing, new, winning, churned; AUM, plans.
    assert filled.execute(
        "SELECT product_line_name, is_strategic, is_existing, is_new, is_winning_this_year,"
        f" is_churned_this_year, aum_balance::text, plan_count FROM {FACT}"
        " WHERE (company_id, product_line_code) = ('NEW', 'PL202') ORDER BY snapshot_month"
    ).fetchall() == [
        ("企年甲", True, False, True, True, False, "120.10", 2),
        ("企年受托甲", True, True, False, True, True, "220.10", 2),
        ("企年受托", True, False, False, False, False, "300.10", 1),
        ("企年受托甲", True, True, False, True, True, "420.10", 2),
    ]
    assert month_as_at(filled, DECEMBER, *closing) == published
    assert filled.execute(
        f"SELECT operation, reason FROM {LOG} WHERE snapshot_month = %s AND log_id > %s",
        [DECEMBER, *closing],
    ).fetchall() == [(operation, REASON) for operation in ("reopen", *["by_hand"] * 3, "close")]
    assert {*filled.execute(stale)} == {("PL203", 1, 5), (None, 1, 5)}
    # What was wrong stays wrong, and what was right stays right.
    assert "is_churned_this_year" in dict(support.errors_in(filled, NOVEMBER))
    assert [support.errors_in(filled, day) for day in (DECEMBER, JANUARY, FEBRUARY)] == [[]] * 3
    assert support.unfaithful(filled) == []
    filled.execute(DELETE)
    assert told(merge(database, owner)) == ['no month has a row of "OLD", so nothing was changed']

    # What was merged was not changed by hand: of each month, all entries, and those with a reason.
    succeed(merge(database, owner, **{"from": "NEW", "into": "X"}))
    assert filled.execute(
        f"SELECT count(*), count(reason) FROM {LOG} WHERE operation = 'by_hand'"
        " GROUP BY snapshot_month ORDER BY snapshot_month"
    ).fetchall() == [(7, 0), (7, 3), (2, 2), (4, 4)]


def test_rows_of_a_load_under_way_move_too(database, owner, filled, connect, start):
    load = connect()
    load.execute(f"UPDATE {CONTRACTS} SET is_existing = FALSE")
    refresh(load, MARCH)

    call = start(merge, database, owner)
    support.wait_for_lock(filled, load, call)
    load.commit()

    assert told(call.result(timeout=20))[-2].startswith("2026-03-31: 1 rows moved, 1 added")
    # New by an award of the customer who stays.
    assert filled.execute(
        f"SELECT product_line_code, is_new FROM {FACT} WHERE (snapshot_month, company_id) ="
        " (%s, 'NEW') ORDER BY 1",
        [MARCH],
    ).fetchall() == [("PL201", False), ("PL202", True), ("PL203", False)]


@pytest.mark.parametrize(
    ("values", "error"),
    [
        ({"from": None}, 'customer "" cannot be merged into "NEW"\n'),
        ({"into": None}, 'customer "OLD" cannot be merged into ""\n'),
        ({"into": "OLD"}, 'customer "OLD" cannot be merged into "OLD"\n'),
        ({"reason": None}, 'the reason for merging customers must not be blank, but is ""\n'),
    ],
)
def test_what_cannot_be_meant_is_refused(database, owner, filled, values, error):
    assert f"ERROR:  22023: {error}HINT:  " in fail(merge(database, owner, **values))
    assert len(support.versions(filled, JANUARY)) == 2
