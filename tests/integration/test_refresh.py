"""customer.refresh_monthly_snapshot: what it says, word for word."""

from datetime import date

import pytest
from support import Notice, Source, listen, refresh

JANUARY = date(2026, 1, 31)
RESTATE_JANUARY = "SELECT customer.restate_monthly_snapshot(DATE '2026-01-31', 'why');"


@pytest.fixture
def database(emptied_database) -> str:
    return emptied_database


@pytest.fixture
def source(connection) -> Source:
    """Three contracts with AUM in January 2026, and 5 yuan that belong to nobody."""
    source = Source(connection)
    for company_id, amount in (("C1", "100.25"), ("C2", "200.50"), ("C3", "300.75")):
        source.contract(company_id)
        source.detail(company_id, amount)
    source.detail(None, "5")
    source.detail("C1", "1", day="2026-02-01")
    return source


def warning(message: str, hint: str) -> Notice:
    return Notice("WARNING", "01000", message, hint)


NO_DETAIL = warning(
    "the AUM detail has no row for 2026-01-31: every AUM of the month is 0",
    "Load the month's AUM and refresh again.",
)
NO_CONTRACT = warning(
    "no contract is current (valid_to = 9999-12-31): nothing was written for 2026-01-31",
    "Bring the contracts up to date and refresh again.",
)
STALE = warning(
    "2 stale rows of 2026-01-31 are supported by no current contract and were kept",
    f"To make the month exactly what its contracts say: {RESTATE_JANUARY}",
)
OLDER = warning(
    "today's contracts were used for 2026-01-31, which is older than 2026-02-28,"
    " the newest month stored",
    f"To use the contracts of its last day: {RESTATE_JANUARY}",
)

REFRESH_JANUARY = "SELECT customer.refresh_monthly_snapshot('2026-01-31');"
REFRESH_FEBRUARY = "SELECT customer.refresh_monthly_snapshot('2026-02-28');"
NO_AUM = 'DELETE FROM business."规模明细";'
END = "UPDATE customer.customer_plan_contract SET valid_to = '2026-01-15' WHERE company_id"


def test_counts_are_told_in_one_notice(connection, source):
    notices = listen(connection)

    refresh(connection, JANUARY)
    source.detail("C1", "0.01")
    refresh(connection, JANUARY)

    assert notices == [
        Notice("NOTICE", "00000", f"snapshot of 2026-01-31: 3 rows, {counts} unattributed", None)
        for counts in (
            "3 inserted, 0 updated, 0 unchanged, 0 stale, 0 deleted; AUM 601.50 yuan, 5.00",
            "0 inserted, 1 updated, 2 unchanged, 0 stale, 0 deleted; AUM 601.51 yuan, 5.00",
        )
    ]


@pytest.mark.parametrize(
    ("before", "expected"),
    [
        pytest.param(NO_AUM, [NO_DETAIL], id="no AUM"),
        pytest.param('UPDATE business."规模明细" SET "期末资产规模" = NULL', [], id="all NULL"),
        pytest.param(f"{END} IS NOT NULL", [NO_CONTRACT], id="no contract"),
        pytest.param(f"{REFRESH_JANUARY} {END} <> 'C1'", [STALE], id="stale rows"),
        pytest.param(REFRESH_FEBRUARY, [OLDER], id="a newer month"),
        pytest.param(
            f"""
            {REFRESH_FEBRUARY}
            DELETE FROM customer.fct_customer_business_monthly_status
            """,
            [],
            id="a newer month by mistake, deleted since",
        ),
        pytest.param(
            f"""
            {REFRESH_JANUARY}
            UPDATE customer.fct_customer_business_monthly_status SET aum_balance = 0;
            DELETE FROM customer.fct_customer_business_monthly_status WHERE company_id = 'C3';
            {REFRESH_FEBRUARY}
            {NO_AUM}
            {END} IS NOT NULL
            """,
            [NO_DETAIL, NO_CONTRACT, STALE, OLDER],
            id="all of it",
        ),
    ],
)
def test_what_is_odd_is_said_each_time(connection, source, before, expected):
    connection.execute(before)
    notices = listen(connection)

    refresh(connection, JANUARY)
    refresh(connection, JANUARY)

    said = [notice for notice in notices if notice.severity == "WARNING"]
    assert said == expected * 2
    assert len(notices) == len(said) + 2
