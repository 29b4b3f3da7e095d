"""What a load that went wrong at a month's end can do to data of production's size."""

from datetime import date
from typing import NamedTuple

import oracle
import psycopg
import pytest
from psycopg.errors import ObjectNotInPrerequisiteState
from support import FACT, LOG, STORED, do, listen, months_stored

LONG_AGO, LAST_YEAR = date(2024, 11, 30), date(2025, 1, 31)
DECEMBER, JANUARY, FEBRUARY = date(2025, 12, 31), date(2026, 1, 31), date(2026, 2, 28)
FILLED = {DECEMBER: 19_524, JANUARY: 19_524}
THIS_MONTH = oracle.last_day(date.today())


@pytest.fixture(scope="module")
def database(create_database, sample_template) -> str:
    """A database in which December and January were written when all was well."""
    name = create_database(sample_template)
    with psycopg.connect(dbname=name) as connection:
        # How long a load takes does not matter here: of the detail's indexes one is enough.
        connection.execute(
            "DO $$ BEGIN EXECUTE"
            " (SELECT string_agg(format('DROP INDEX business.%I', indexname), '; ') FROM pg_indexes"
            " WHERE tablename = '规模明细' AND indexname !~ 'pkey$|月度$'); END $$"
        )
        for month in FILLED:
            assert do(connection, "hook", month)["warnings"] == []
    return name


@pytest.fixture
def connection(connect) -> psycopg.Connection:
    """One transaction, rolled back in the end."""
    return connect()


# --- What goes wrong ----------------------------------------------------------

DETAIL, CONTRACT = 'business."规模明细"', "customer.customer_plan_contract"


def load(condition: str = "TRUE", amount: str = '"期末资产规模"', day: str = "2026-02-01") -> str:
    """January's detail, or some of its 37,029 rows, under another day."""
    return f"""
        INSERT INTO {DETAIL} ("月度", "计划代码", "产品线代码", company_id, "期末资产规模")
        SELECT '{day}', "计划代码", "产品线代码", company_id, {amount}
        FROM {DETAIL} WHERE "月度" = '2026-01-01' AND {condition};
    """


def lose(condition: str) -> str:
    """Some of January's detail."""
    return f"""DELETE FROM {DETAIL} WHERE "月度" = '2026-01-01' AND {condition}"""


def close(condition: str, day: str = "2025-12-24") -> str:
    """A contract sync that closes some of the 19,882 current contracts."""
    return f"UPDATE {CONTRACT} SET valid_to = '{day}' WHERE valid_to = '9999-12-31' AND {condition}"


def begin_later(condition: str, day: str) -> str:
    """Contract versions that do not reach back beyond a day."""
    return f"UPDATE {CONTRACT} SET valid_from = '{day}' WHERE valid_from < '{day}' AND {condition}"


SPOILED = f"""UPDATE {DETAIL} SET "期末资产规模" = NULL WHERE "月度" = '2026-01-01'"""
# Some 22,800 of a month's 37,029 rows of detail from before match no contract.
BEGIN_IN_2025 = begin_later("company_id::bigint % 5 < 3", "2025-03-01")


# --- What is said of it -------------------------------------------------------

NO_ROW = "the AUM detail has no row for {}, though stored months have AUM"
BASELINE = {
    JANUARY: "when the month was last written",
    FEBRUARY: "stored for 2026-01-31",
    LAST_YEAR: "stored for 2025-12-31",
}


def rows_differ(rows: int, per_cent: str, month: date = JANUARY) -> str:
    share = f"{per_cent} % of the 19524 {BASELINE[month]}"
    return f"the sources support {rows} rows of {month}, which is {share}"


def aum_differs(aum: str, per_cent: str, month: date = JANUARY) -> str:
    share = f"{per_cent} % of the 1845100320351.18 {BASELINE[month]}"
    return f"the AUM of {month} is {aum} yuan (sum of absolute amounts), which is {share}"


def unattributed(aum: str, stored: str, per_cent: str, month: date) -> str:
    part = f"{aum} yuan; the rows carry {stored}; sums of absolute amounts"
    share = f"{per_cent} % of the AUM of {month}"
    return f"{share} is unattributed, because no contract supports it ({part})"


def say(connection: psycopg.Connection, call: str, month: date) -> tuple[dict, list]:
    """The result of a call that did what it says; code and message of its warnings."""
    notices = listen(connection)
    result = do(connection, call, month)
    raised = [(n.message, n.hint) for n in notices if n.severity == "WARNING"]
    assert raised == [(w["message"], w["hint"]) for w in result["warnings"]]
    assert connection.execute(
        f"SELECT accepted, invoked_by FROM {LOG} WHERE log_id = %s", [result["log_id"]]
    ).fetchone() == (result["accepted"], connection.info.user)
    month = date.fromisoformat(result["snapshot_month"])
    assert months_stored(connection) == FILLED | {month: result["total"] + result["stale"]}
    return result, [(w["code"], w["message"]) for w in result["warnings"]]


def state(connection: psycopg.Connection) -> dict[str, tuple]:
    """The rows that the package stores, and a sum that changes when one of them is written."""
    return {
        table: connection.execute(
            f"SELECT count(*), sum(hashtextextended(concat_ws(' ', ctid, xmin), 0)) FROM {table}"
        ).fetchone()
        for table in STORED
    }


# --- What cannot be right -----------------------------------------------------


class Case(NamedTuple):
    wrong: str
    # The error, or the warnings.
    said: str | dict[str, str]
    # Where the error is accepted: the codes of further warnings.
    further: str = ""
    call: str = "hook"
    month: date | None = JANUARY


def new(wrong: str, said: str | dict[str, str], further: str = "") -> Case:
    """A month that is not stored yet."""
    return Case(wrong, said, further, month=FEBRUARY)


ACCEPT = "SET LOCAL customer.accept_implausible = on;"
HALF, A_TENTH = (f": expected are at least {share} %" for share in (50, 10))
MOST = "implausible_accepted aum_unattributed"
PART = "aum_differs aum_unattributed"
REFUSED = {
    "detail: 3 rows": Case(lose("id % 12343 > 0"), aum_differs("2368401.56", "0.0") + HALF),
    "detail: 30 %": Case(lose("id % 10 > 2"), aum_differs("546604675154.20", "29.6") + HALF),
    "detail: NULL": Case(SPOILED, aum_differs("0.00", "0.0") + HALF),
    "contracts: closed after, rows stale": Case(
        close("contract_id % 3 > 0", "2026-02-10"),
        rows_differ(6601, "33.8") + HALF,
        f"{MOST} stale_rows",
    ),
    "contracts: begin after": Case(
        begin_later("contract_id % 1000 > 0", "2026-03-01"),
        rows_differ(19, "0.0") + HALF,
        MOST,
        "restate",
    ),
    "contracts: begin long after, eleven months before a stored month": Case(
        BEGIN_IN_2025, rows_differ(7766, "39.7", LAST_YEAR) + HALF, PART, "restate", LAST_YEAR
    ),
    "new detail: 5 %": new(
        load("id % 20 = 0"), aum_differs("81091080993.48", "4.3", FEBRUARY) + A_TENTH
    ),
    "new contracts: 45 %": new(
        load() + close("contract_id % 20 < 11"), rows_differ(8811, "45.1", FEBRUARY) + HALF, PART
    ),
    "period 206201": Case("SELECT", NO_ROW.format("2062-01-31"), month=date(2062, 1, 31)),
    "no period": Case(
        lose(f"'{THIS_MONTH}' = '2026-01-31'"), NO_ROW.format(THIS_MONTH), month=None
    ),
}


@pytest.mark.parametrize("case", REFUSED.values(), ids=REFUSED)
def test_refused_unless_accepted(connection, case):
    connection.execute(case.wrong)
    before = state(connection)

    with pytest.raises(ObjectNotInPrerequisiteState) as caught, connection.transaction():
        do(connection, case.call, case.month)

    assert caught.value.diag.message_primary == case.said
    assert ACCEPT in caught.value.diag.message_hint
    assert state(connection) == before

    connection.execute(ACCEPT)
    result, [accepted, *further] = say(connection, case.call, case.month)

    assert accepted == ("implausible_accepted", case.said)
    assert [code for code, _ in further] == case.further.split()
    assert result["accepted"]
    assert state(connection)[FACT] != before[FACT]


# --- What looks odd, and what does not ----------------------------------------

WRITTEN = {
    "detail: 95 %": Case(lose("id % 20 = 0"), {}),
    "detail: 85 %": Case(
        lose("id % 20 < 3"), {"aum_differs": aum_differs("1584515218022.31", "85.8")}
    ),
    "detail: twice": Case(
        load(day="2026-01-31"),
        {
            "aum_differs": aum_differs("3690200640688.95", "200.0"),
            "several_month_dates": "the AUM detail of 2026-01-31 stands under several days:"
            " 37029 rows under 2026-01-01, 37029 rows under 2026-01-31",
        },
    ),
    "detail: under one other day": Case("SELECT", {}, "", "restate", date(2025, 6, 30)),
    "new detail: 95 %": new(load("id % 20 > 0"), {}),
    "new detail: 30 %": new(
        load("id % 10 < 3"), {"aum_differs": aum_differs("546604675154.20", "29.6", FEBRUARY)}
    ),
    "new contracts: 95 %": new(load() + close("contract_id % 20 = 0"), {}),
    "new contracts: 85 %": new(
        load() + close("contract_id % 20 < 3"),
        {
            "rows_differ": rows_differ(16617, "85.1", FEBRUARY),
            "aum_differs": aum_differs("1583106954515.03", "85.8", FEBRUARY),
            "aum_unattributed": unattributed(
                "317370406237.68", "1583106954515.03", "16.7", FEBRUARY
            ),
        },
    ),
    "contracts: begin long after, thirteen months before a stored month": Case(
        load(day="2024-11-01") + BEGIN_IN_2025,
        {"aum_unattributed": unattributed("1163091586058.05", "737385774695.58", "61.2", LONG_AGO)},
        call="restate",
        month=LONG_AGO,
    ),
}


@pytest.mark.parametrize("case", WRITTEN.values(), ids=WRITTEN)
def test_written_with_a_word_or_without(connection, case):
    connection.execute(case.wrong)

    result, warnings = say(connection, case.call, case.month)

    assert warnings == list(case.said.items())
    assert not any(ACCEPT in warning["hint"] for warning in result["warnings"])
    assert not result["accepted"]
    assert result["upserted"] > 1_000


def test_month_whose_aum_is_negative_in_sum_has_nothing_to_accept(connection):
    connection.execute(load(amount='-"期末资产规模"') + ACCEPT)

    (first, said), (second, said_again) = (say(connection, "hook", FEBRUARY) for _ in range(2))

    assert first["aum_total"] == second["aum_total"] == -1845097298259.96
    assert (said, said_again, second["accepted"]) == ([], [], False)
