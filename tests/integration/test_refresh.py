"""customer.refresh_monthly_snapshot: what it says, word for word."""

from datetime import date

import psycopg
import pytest
from support import FACT, LOG, Notice, Source, listen, month_as_at, refresh, unfaithful

JANUARY = date(2026, 1, 31)


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
    source.detail("C1", "600", day="2026-02-01")
    return source


# Those of the judgement are told word for word in tests/pgtap/16_judge_monthly_snapshot.sql.
WORDS = {
    "no_current_contract": (
        "no contract is current (valid_to = 9999-12-31): no row of 2026-01-31 is supported",
        "Bring the contracts up to date and refresh again.",
    ),
    "stale_rows": (
        "stale rows of 2026-01-31 kept, which no current contract supports: 2,"
        " of which brought up to date: 0",
        "If their contracts did end after the last day of the month, nothing needs to be done."
        " If a contract sync closed them by mistake, correct it and refresh again.",
    ),
    "todays_contracts": (
        "today's contracts were used for 2026-01-31, which is older than 2026-02-28,"
        " the newest month stored",
        "Restating takes the contracts of its last day. It removes rows that have no version of"
        " that day, and later refreshes keep to it, so try it in a transaction that you roll back:"
        " SELECT customer.restate_monthly_snapshot(DATE '2026-01-31', 'why');",
    ),
    "rows_removed": (
        "rows removed from 2026-01-31: 2, with 501.25 yuan; no contract covers the last day of the"
        " month, or their AUM is gone from the detail",
        "They were re-coded, resolved to another customer, or ended before. If one should have"
        " stayed, a ROLLBACK keeps it. Refreshing does not bring it back; restating does, if the"
        " contracts have the version of that day.",
    ),
}
LESS = "rows_differ aum_differs aum_unattributed"
# What is odd about the change, and no longer about the month: it is said once.
CHANGES = ("rows_differ", "aum_differs", "rows_removed")

REFRESH_JANUARY = "SELECT customer.refresh_monthly_snapshot('2026-01-31');"
REFRESH_FEBRUARY = "SELECT customer.refresh_monthly_snapshot('2026-02-28');"
NO_AUM = 'DELETE FROM business."规模明细";'
END = "UPDATE customer.customer_plan_contract SET valid_to = '2026-02-05' WHERE company_id"


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
        pytest.param(NO_AUM, "no_aum_detail", id="no AUM"),
        pytest.param('UPDATE business."规模明细" SET "期末资产规模" = NULL', "", id="all NULL"),
        pytest.param(
            f"{END} IS NOT NULL", "aum_unattributed no_current_contract", id="no contract"
        ),
        pytest.param(f"{REFRESH_JANUARY} {END} <> 'C1'", f"{LESS} stale_rows", id="stale rows"),
        pytest.param(
            f"{REFRESH_JANUARY} {END.replace('02-05', '01-30')} <> 'C1'",
            f"{LESS} rows_removed",
            id="removed rows",
        ),
        pytest.param(
            """
            UPDATE business."规模明细" SET "月度" = '2026-01-31'
            WHERE company_id = 'C1' AND "月度" = '2026-01-01'
            """,
            "several_month_dates",
            id="two days",
        ),
        pytest.param(REFRESH_FEBRUARY, "todays_contracts", id="a newer month"),
        pytest.param(
            f"""
            {REFRESH_FEBRUARY}
            DELETE FROM customer.fct_customer_business_monthly_status
            """,
            "",
            id="a newer month by mistake, deleted since",
        ),
        pytest.param(
            f"""
            {REFRESH_JANUARY}
            UPDATE customer.fct_customer_business_monthly_status SET aum_balance = 0;
            DELETE FROM customer.fct_customer_business_monthly_status WHERE company_id = 'C3';
            {REFRESH_FEBRUARY}
            {NO_AUM}
            {END} IS NOT NULL;
            SET customer.accept_implausible = on
            """,
            "implausible_accepted rows_differ no_current_contract stale_rows todays_contracts",
            id="all of it, and accepted",
        ),
    ],
)
def test_what_is_odd_is_said_each_time(connection, source, before, expected):
    """In messages and in the result alike."""
    connection.execute(before)
    notices = listen(connection)
    codes = expected.split()
    for odd in (codes, [code for code in codes if code not in CHANGES]):
        notices.clear()

        result = refresh(connection, JANUARY)

        said = {each["code"]: (each["message"], each["hint"]) for each in result["warnings"]}
        assert list(said) == odd
        assert said.items() >= {code: WORDS[code] for code in odd if code in WORDS}.items()
        assert notices[:-1] == [Notice("WARNING", "01000", *words) for words in said.values()]
        assert notices[-1].severity == "NOTICE"
        assert result["accepted"] == ("implausible_accepted" in odd)


# --- What comes between ---------------------------------------------------------


def entries(connection: psycopg.Connection) -> list[tuple[str, int]]:
    return connection.execute(f"SELECT operation, log_id FROM {LOG} ORDER BY log_id").fetchall()


@pytest.mark.parametrize("is_first", [True, False], ids=["first", "later"])
@pytest.mark.parametrize("moment", ["BEFORE", "AFTER"])
def test_rows_that_a_trigger_of_others_writes_meanwhile_are_changed_by_hand(
    connection, source, moment, is_first
):
    """Theirs comes after the refresh's entry, which did without them."""
    with connection.transaction(force_rollback=True):
        if not is_first:
            refresh(connection, JANUARY)
            connection.execute('UPDATE business."规模明细" SET "期末资产规模" = 7')
        connection.execute(
            f"""
            CREATE FUNCTION public.add() RETURNS trigger LANGUAGE plpgsql AS $$
            BEGIN
                INSERT INTO {FACT} (
                    snapshot_month, company_id, product_line_code, product_line_name, aum_balance
                )
                VALUES (NEW.snapshot_month, NEW.company_id, 'PL204', '', 1)
                -- Before a row that is there already, it runs twice.
                ON CONFLICT DO NOTHING;
                RETURN NEW;
            END
            $$;
            CREATE TRIGGER add {moment} INSERT OR UPDATE ON {FACT}
            FOR EACH ROW WHEN (NEW.company_id <> 'C3' AND NEW.product_line_code = 'PL202')
            EXECUTE FUNCTION public.add()
            """
        )

        refresh(connection, JANUARY)

        *_, (_, own), (_, second), (_, third) = entries(connection)
        assert [operation for operation, _ in entries(connection)[-3:]] == [
            "refresh",
            "by_hand",
            "by_hand",
        ]
        lines = {
            log_id: [row[2] for row in month_as_at(connection, JANUARY, log_id)]
            for log_id in (own, second, third)
        }
        assert lines == {
            own: ["PL202"] * 3,
            second: ["PL202", "PL204", "PL202", "PL202"],
            third: ["PL202", "PL204", "PL202", "PL204", "PL202"],
        }
        assert unfaithful(connection) == []
