"""The package on random source systems, held against the oracle (oracle.py), with Hypothesis.

Keys are few, so that they meet, and dates and amounts are the ones on which rules turn. Every
example runs in one transaction that is rolled back.

    scripts/test -k properties                              800 examples, a minute or two
    HYPOTHESIS_PROFILE=thorough scripts/test -k properties  20 times as many, and other ones
                                                            each time
    HYPOTHESIS_PROFILE=fewer                                an eighth of them, which scripts/test
                                                            runs where another version runs all

The examples of the default profile are always the same (derandomize): a red run is then due to
the change at hand and is red again when it is run again, here or elsewhere, without a database
of examples that CI would have to keep. Looking for what nobody has thought of is the thorough
profile's work; what it finds it prints with a line @reproduce_failure to paste above the test.
"""

import json
import os
import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from functools import partial
from typing import Any, Literal

import oracle
import psycopg
import pytest
from hypothesis import HealthCheck, event, given, settings
from hypothesis import strategies as st
from oracle import OPEN, Contract, Control, Detail, Event, Key, Operation, Row, Sources
from psycopg import sql
from psycopg.types.json import set_json_loads
from support import FACT, LOG, PROJECT, Notice, listen, month_as_at, unfaithful

for name in ("default", "fewer"):
    settings.register_profile(
        name,
        derandomize=True,
        database=None,
        deadline=None,  # A busy machine is no failure.
        suppress_health_check=[HealthCheck.too_slow],
    )
settings.register_profile(
    "thorough",
    derandomize=False,
    deadline=None,
    print_blob=True,
    suppress_health_check=[HealthCheck.too_slow],
)
PROFILE = os.environ.get("HYPOTHESIS_PROFILE", "default")
FACTOR = {"thorough": 20, "default": 1, "fewer": 0.125}[PROFILE]

# Hypothesis looks for the least example that fails for up to five minutes.
pytestmark = pytest.mark.timeout(0 if PROFILE == "thorough" else 900)


def examples(number: int) -> settings:
    """So many examples in the default profile."""
    return settings(settings.get_profile(PROFILE), max_examples=int(number * FACTOR))


# --- What source systems are made of -------------------------------------------

COMPANIES = ["1", "12", "123", "A"]
PRODUCT_LINES = ["23PL", "3PL", "PL"]
# Written one after the other, company and product line of these read alike.
ALIKE = [("1", "23PL"), ("12", "3PL"), ("123", "PL")]
# Awards, losses and AUM detail have no foreign keys, and anything may stand in them.
LOOSE_COMPANIES = [*COMPANIES, *COMPANIES, None, "", " ", "a", "A ", "A ", "9"]
LOOSE_PRODUCT_LINES = [*PRODUCT_LINES, *PRODUCT_LINES, *PRODUCT_LINES, None, "", "pl", "123PL"]
NAMES = ["企年受托", "企年投资", "PL", "pl", "Ä", "~"]
PLANS = ["P1", "P2", "p1"]
FLAGS = [True, False, None]
MONTH = date(2026, 1, 31)
LONG_AGO = datetime(2026, 1, 1, tzinfo=UTC)
# Twelve months and more away from it, and two as near.
YEAR_BEFORE = [date(2024, 2, 29), date(2024, 12, 31), date(2025, 1, 31)]
MONTHS = [*YEAR_BEFORE, date(2025, 12, 31), MONTH, date(2026, 2, 28)]
# What 月度 and 上报月份 may be: the edges of each month and year, a day within, and days of months
# that are never written.
DAYS = sorted(
    {edge + timedelta(days=step) for edge in MONTHS for step in (-1, 0, 1)}
    | {month.replace(day=1) for month in MONTHS}
    | {month.replace(day=15) for month in MONTHS}
    | {month.replace(day=1) - timedelta(days=1) for month in MONTHS}
    | {date(2024, 1, 1), date(2027, 1, 1), date(2026, 12, 31)}
    | {date(2025, 2, 28), date(2023, 2, 28), date(2026, 7, 1)}
)
# Of a contract version; more often than not current, and begun before any month.
STARTS = [date(2020, 1, 1)] * 8 + [
    edge + timedelta(days=step) for edge in MONTHS for step in (-20, 0, 1)
]
ENDS = [OPEN] * 16 + [
    None,
    None,
    date(9999, 12, 30),
    *(edge + timedelta(days=step) for edge in MONTHS for step in (-15, -1, 0, 1)),
]
# Halves of a cent, which only together round up, or do not; and what a float cannot hold.
AMOUNTS = [
    None,
    None,
    *(Decimal(units) / 10_000 for units in (0, 1, 49, -49, 50, -50, 51, 12250, 20025, -20025)),
    *(Decimal(yuan) for yuan in ("100", "-100", "33.3333", "1234567.8949", "12345678901234.5678")),
]


def one_of(values: list) -> st.SearchStrategy:
    return st.sampled_from(values)


def some(items: st.SearchStrategy, many: int) -> st.SearchStrategy[list]:
    """Sometimes a few, so that a failure shrinks well; mostly about so many."""
    return st.one_of(
        st.lists(items, max_size=4),
        st.lists(items, min_size=many // 2, max_size=many),
        st.lists(items, min_size=many, max_size=many * 3 // 2),
    )


# Mostly one month, so that it meets what happened to it before.
months = one_of([*MONTHS, *[MONTH] * 4])
days = one_of(DAYS) | one_of([day for day in DAYS if date(2025, 12, 31) <= day <= date(2026, 2, 1)])

# Company and product line; few, so that contracts, facts and stored rows meet.
keys = one_of(ALIKE) | st.tuples(one_of(COMPANIES), one_of(PRODUCT_LINES))
loose_keys = one_of(ALIKE) | st.tuples(one_of(LOOSE_COMPANIES), one_of(LOOSE_PRODUCT_LINES))

# Without ids: those are given out when a row is stored.
contracts = st.builds(
    lambda key, *values: Contract(0, *key, *values),
    keys,
    one_of(PLANS),
    one_of(NAMES),
    one_of(FLAGS),
    one_of(FLAGS),
    one_of(STARTS),
    one_of(ENDS),
)
events = st.builds(lambda key, day: Event(0, *key, day), loose_keys, days)
details = st.builds(
    lambda key, *values: Detail(0, *key, *values), loose_keys, days, one_of(AMOUNTS)
)
# The portfolios of a contract: several rows of one key, mostly in one month.
portfolios = st.builds(
    lambda detail, others: [
        detail,
        *(detail._replace(as_of=day or detail.as_of, amount=amount) for day, amount in others),
    ],
    details,
    st.lists(st.tuples(st.none() | days, one_of(AMOUNTS)), max_size=3),
)

source_systems = st.tuples(
    some(contracts, 8),
    some(events, 6),
    some(events, 6),
    some(portfolios, 6).map(lambda lists: [detail for some in lists for detail in some]),
).map(lambda lists: Sources(*lists))


# --- What may happen to them ---------------------------------------------------

Table = Literal["contracts", "awards", "losses", "details"]
Step = tuple
"""The name of one of World's methods, and its arguments."""


def step(method: str, *arguments: st.SearchStrategy) -> st.SearchStrategy[Step]:
    return st.tuples(st.just(method), *arguments)


positions = st.integers(0, 20)
# Around the month that is written most.
last_days = one_of([MONTH + timedelta(days=days) for days in (-31, -1, 0, 1, 5)])
amendments: dict[str, st.SearchStrategy] = {
    "valid_to": one_of(ENDS),
    "is_strategic": one_of(FLAGS),
    "is_existing": one_of(FLAGS),
    "product_line_name": one_of(NAMES),
    "plan_code": one_of(PLANS),
}
loads = st.one_of(
    step("add", st.just("contracts"), contracts),
    step("add", one_of(["awards", "losses"]), events),
    step("add", st.just("details"), details),
    step("drop", one_of(["contracts", "awards", "losses", "details"]), positions),
    step("unload", months),
)
syncs = st.one_of(
    step("end", st.none() | positions, last_days, st.none()),
    step("end", positions, last_days, one_of(COMPANIES)),
    *(step("amend", positions, st.just(name), values) for name, values in amendments.items()),
)
stored_values: dict[str, st.SearchStrategy] = {
    "product_line_name": one_of(NAMES),
    "is_strategic": st.booleans(),
    "is_existing": st.booleans(),
    "is_new": st.booleans(),
    "is_winning_this_year": st.booleans(),
    "is_churned_this_year": st.booleans(),
    "aum_balance": one_of([Decimal("0.00"), Decimal("0.01"), Decimal("-0.01"), Decimal("7.00")]),
    "plan_count": st.integers(0, 3),
}
assert tuple(stored_values) == oracle.VALUES
stored_rows = st.builds(
    lambda month, key, *values: Row(month, *key, *values),
    one_of(MONTHS),
    keys,
    *stored_values.values(),
)
tamperings = st.one_of(
    *(step("change", positions, st.just(name), values) for name, values in stored_values.items()),
    step("change", positions, st.just("snapshot_month"), months),
    step("remove", positions),
    step("plant", stored_rows),
    step("truncate"),
)
days_to_write = months.flatmap(
    lambda month: one_of([month, month.replace(day=1), month.replace(day=9)])
)
operations = one_of(["refresh", "restate"])
# More often than not nothing is accepted.
acceptances = one_of([False, False, True])
closings = step("call", one_of(["close", "reopen", "discard"]), months)
changes = st.one_of(syncs, loads, tamperings, closings)
# Some changes, then a month is written, and often published and opened again; and so on.
histories = st.lists(
    st.tuples(
        st.lists(changes, max_size=5), operations, days_to_write, acceptances, st.booleans()
    ).map(
        lambda turn: [
            *turn[0],
            ("write", *turn[1:4]),
            ("validate", oracle.last_day(turn[2])),
            *(("call", name, turn[2]) for name in ("close", "reopen") if turn[4]),
        ]
    ),
    min_size=2,
    max_size=9,
).map(lambda turns: [step for steps in turns for step in steps])


# --- The database, and the oracle beside it ------------------------------------

COLUMNS = ", ".join(Row._fields)
KEY_MATCHES = "(snapshot_month, company_id, product_line_code) = (%s, %s, %s)"

SOURCE_TABLES: dict[Table, tuple[str, tuple[str, ...]]] = {
    "contracts": ("customer.customer_plan_contract", Contract._fields),
    "awards": ('customer."当年中标"', ("id", "company_id", "产品线代码", "上报月份")),
    "losses": ('customer."当年流失"', ("id", "company_id", "产品线代码", "上报月份")),
    "details": (
        'business."规模明细"',
        ("id", "company_id", "产品线代码", "月度", "期末资产规模"),
    ),
}
# What the package must not care about: rows take these values by turns.
EVENT: dict[str, list] = {
    "业务类型": ["受托", "投资"],
    "上报客户名称": ["某公司"],
    "年金计划号": ["P1", None],
    "考核有效": [0, 1, None],
}
EVENT_DAYS = [None, date(2025, 6, 1), date(2026, 1, 1)]
INDIFFERENT: dict[Table, dict[str, list]] = {
    "contracts": {
        "contract_status": ["正常", "停缴"],
        "status_year": [2026, 2019, 2025],
        "updated_at": [None],
    },
    "awards": {**EVENT, "中标日期": EVENT_DAYS},
    "losses": {**EVENT, "流失日期": EVENT_DAYS},
    "details": {
        "计划代码": ["P1", "P9"],
        "业务类型": ["企年受托", "企年投资", None],
        "期初资产规模": [None, 0, 7],
    },
}

PREPARATION = """
    -- So that one plan may have two current contracts: the package does not rely on this key.
    ALTER TABLE customer.customer_plan_contract DROP CONSTRAINT uq_active_contract;

    -- So that names are compared in bytes only if the package says so: by ICU PL is above pl.
    ALTER TABLE customer.customer_plan_contract
        -- So that no version looks as if its flags had been changed late.
        DISABLE TRIGGER trg_contract_updated_at,
        ALTER product_line_name TYPE varchar(50) COLLATE "und-x-icu";
"""

# What is given as reason; a refresh has none.
REASON = "published"
FUNCTIONS: dict[Operation, str] = {
    "refresh": "refresh_monthly_snapshot(%s)",
    "restate": f"restate_monthly_snapshot(%s, '{REASON}')",
    "close": f"close_snapshot_month(%s, '{REASON}')",
    "reopen": f"reopen_snapshot_month(%s, '{REASON}')",
    "discard": f"discard_snapshot_month(%s, '{REASON}')",
}
REFUSALS = {
    "closed": r"month {} is closed: by .+ at .+ UTC \(published\)",
    "not closed": r"month {} is not closed",
    "no rows to close": r"month {} holds no rows, .+",
    "never written": r"month {} was never written, .+",
    "no version covers it": r"no contract version covers {}, .+",
    "no_aum_detail": r"the AUM detail has no row for {}, though stored months have AUM",
}

# What is read of all months; what else it shows is for pgTAP. A line that is gone has a row, too.
SUMMED = """
    SELECT snapshot_month, product_line_code, customers, strategic_customers, plans, aum_balance,
        aum_change
    FROM customer.monthly_status_trend
    WHERE customers > 0
    UNION ALL
    SELECT snapshot_month, NULL, customers, strategic_customers, plans, aum_balance, aum_change
    FROM customer.monthly_status_total
"""
ON_THE_FLY = (PROJECT / "tests" / "bench" / "trend_on_the_fly.sql").read_text(encoding="utf-8")
MOVED = """
    SELECT snapshot_month, company_id, product_line_code, aum_balance, previous_aum_balance,
        presence, movement, customer_movement
    FROM customer.monthly_status_movement
"""
# Where what was there and what came and went do not add up to what is there.
UNBALANCED = [
    f"""
    SELECT *
    FROM customer.monthly_status_{stocks} AS stock
    FULL JOIN customer.monthly_status_{moves} AS moved USING (snapshot_month{line})
    WHERE moved.aum_balance IS DISTINCT FROM stock.aum_balance
        OR started_aum + ended_aum + grew_aum + shrank_aum IS DISTINCT FROM aum_change
        OR previous_aum_balance + aum_change <> stock.aum_balance
        OR previous_customers_with_aum + started_customers - ended_customers
            <> stock.customers_with_aum
    """
    for stocks, moves, line in (
        ("trend", "bridge", ", product_line_code"),
        ("total", "bridge_total", ""),
    )
]

NOTHING = Sources([], [], [], [])


class World:
    """The database under test and, beside it, what it must hold.

    Whatever happens, happens to both, and then they are compared.
    """

    def __init__(
        self, connection: psycopg.Connection, notices: list[Notice], sources: Sources
    ) -> None:
        self.connection = connection
        self.notices = notices
        self.sources = Sources([], [], [], [], frozenset(COMPANIES), frozenset(PRODUCT_LINES))
        self.stored: dict[date, oracle.Rows] = {}
        self.control: dict[date, Control] = {}
        self.log_entries = 0
        # Of each month its log, with a copy of the rows that each entry left, updated_at included.
        self.entries: dict[date, list[oracle.Entry]] = defaultdict(list)
        self.copies: dict[date, list[list[tuple]]] = defaultdict(list)
        self.last_id = 0
        self.places: dict[tuple[date, Key], str] = {}
        # Rows that are older than the transaction.
        self.planted: set[tuple[date, Key]] = set()
        self.load(sources)

    def known(self, month: date) -> Control:
        return self.control.get(month, Control())

    def execute(self, statement: str, *values: Any) -> psycopg.Cursor:
        return self.connection.execute(statement, values or None)

    def take(self, steps: list[Step]) -> None:
        for method, *arguments in steps:
            getattr(self, method)(*arguments)

    # What the ETL does

    def add(self, table: Table, row: Contract | Event | Detail) -> None:
        self.load(NOTHING._replace(**{table: [row]}))

    def load(self, sources: Sources) -> None:
        for name, (table, columns) in SOURCE_TABLES.items():
            rows = [self.with_id(row) for row in getattr(sources, name)]
            getattr(self.sources, name).extend(rows)
            if rows:
                indifferent = INDIFFERENT[name]
                statement = sql.SQL("COPY {} ({}) FROM STDIN").format(
                    sql.SQL(table),
                    sql.SQL(", ").join(map(sql.Identifier, [*columns, *indifferent])),
                )
                with self.connection.cursor().copy(statement) as copy:
                    for row in rows:
                        by_turns = (values[row[0] % len(values)] for values in indifferent.values())
                        copy.write_row([*row, *by_turns])

    def with_id(self, row: Any) -> Any:
        self.last_id += 1
        return row._replace(**{row._fields[0]: self.last_id})

    def drop(self, name: Table, position: int) -> None:
        """Take a row away; position counts round and round."""
        rows = getattr(self.sources, name)
        if rows:
            row = rows.pop(position % len(rows))
            table, columns = SOURCE_TABLES[name]
            self.execute(f"DELETE FROM {table} WHERE {columns[0]} = %s", row[0])

    def unload(self, month: date) -> None:
        """Take all AUM of a month away."""
        gone = {row.id for row in oracle.details_of(self.sources, month)}
        self.sources.details[:] = [row for row in self.sources.details if row.id not in gone]
        self.execute('DELETE FROM business."规模明细" WHERE id = ANY (%s)', list(gone))

    def amend(self, position: int, column: str, value: Any) -> None:
        """Change a contract: close it, open it, mark or rename it."""
        rows = self.sources.contracts
        if rows:
            index = position % len(rows)
            rows[index] = rows[index]._replace(**{column: value})
            self.execute(
                f"UPDATE customer.customer_plan_contract SET {column} = %s WHERE contract_id = %s",
                value,
                rows[index].contract_id,
            )

    def end(self, position: int | None, day: date, heir: str | None) -> None:
        """End all contracts, or a stored row's, whose AUM may become another's."""
        row = None if position is None else self.pick(position)
        for index, contract in enumerate(self.sources.contracts):
            if position is None or (row and row.key == contract.key):
                self.amend(index, "valid_to", day)
        for index, detail in enumerate(self.sources.details):
            if heir and row and row.key == detail.key:
                self.sources.details[index] = detail._replace(company_id=heir)
                self.execute(
                    'UPDATE business."规模明细" SET company_id = %s WHERE id = %s', heir, detail.id
                )

    # What the package does

    def write(self, operation: Operation, day: date, accepts: bool = False) -> bool:
        """Whether a month is written; doing it again must change nothing."""
        if not self.call(operation, day, accepts):
            return False
        again = self.call(operation, day, accepts)
        assert again["upserted"] == again["deleted"] == 0
        return True

    def call(self, operation: Operation, day: date, accepts: bool = False) -> dict[str, Any] | None:
        """The result; None if it was refused, as it must have been."""
        month = oracle.last_day(day)
        # What stands after FROM is done first.
        statement = (
            f"SELECT customer.{FUNCTIONS[operation]}"
            " FROM set_config('customer.accept_implausible', %s, TRUE)"
        )
        try:
            expected = oracle.call(
                operation, month, self.sources, self.stored, self.known(month), REASON, accepts
            )
        except oracle.Refused as refusal:
            event(f"{operation}: {refusal}")
            self.must_refuse(refusal, month, statement, day, str(accepts))
            return None
        event(f"{operation}: done")
        for warning in expected.result["warnings"]:
            event(f"{operation}: warning {warning}")
        for count in ("inserted", "updated", "unchanged", "stale", "deleted"):
            if expected.result.get(count):
                event(f"{operation}: {count}")

        before = self.stored.get(month, {})
        changed = {key for key, row in expected.rows.items() if before.get(key) != row}
        self.stored[month] = expected.rows
        self.control[month] = expected.control
        self.log_entries += 1

        self.planted -= {(month, key) for key in changed}
        del self.notices[:]
        result = self.execute(statement, day, str(accepts)).fetchone()[0]
        warnings = result["warnings"]
        assert result | {"warnings": [warning["code"] for warning in warnings]} == (
            expected.result | {"log_id": result["log_id"]}
        )
        assert [(warning["message"], warning["hint"]) for warning in warnings] == [
            (notice.message, notice.hint) for notice in self.notices if notice.severity == "WARNING"
        ]
        entry = self.execute(
            "SELECT to_jsonb(entry) FROM customer.monthly_snapshot_log AS entry WHERE log_id = %s",
            result["log_id"],
        ).fetchone()[0]
        assert entry["operation"] == operation
        assert {
            name: entry[name] for name in entry.keys() & result.keys()
        }.items() <= result.items()
        self.compare(written={(month, key) for key in changed})
        return result

    def must_refuse(
        self, refusal: oracle.Refused, month: date, statement: str, *values: Any
    ) -> None:
        """The statement must fail as the oracle says, and leave nothing behind."""
        with (
            pytest.raises(psycopg.errors.ObjectNotInPrerequisiteState) as failure,
            self.connection.transaction(),
        ):
            self.execute(statement, *values)
        message = failure.value.diag
        assert re.fullmatch(REFUSALS[str(refusal)].format(month), str(message.message_primary))
        assert message.message_hint
        self.compare()

    # What the owner does, past the package

    def pick(self, position: int) -> Row | None:
        """One of the stored rows, if there are any."""
        rows = sorted(row for rows in self.stored.values() for row in rows.values())
        return rows[position % len(rows)] if rows else None

    def change(self, position: int, column: str, value: Any) -> None:
        """Set a value of a row; to move it to another month, unless it has one like it."""
        row = self.pick(position)
        new = row and row._replace(**{column: value})
        if row and (new.snapshot_month == row.snapshot_month or not self.holds(new)):
            statement = f"UPDATE {FACT} SET {column} = %s WHERE {KEY_MATCHES}"
            self.by_hand(row, new, statement, value, *row[:3])

    def remove(self, position: int) -> None:
        if row := self.pick(position):
            self.by_hand(row, None, f"DELETE FROM {FACT} WHERE {KEY_MATCHES}", *row[:3])

    def plant(self, row: Row) -> None:
        """Insert a row, unless there is one."""
        if not self.holds(row):
            places = ", ".join(["%s"] * (len(row) + 1))
            statement = f"INSERT INTO {FACT} ({COLUMNS}, updated_at) VALUES ({places})"
            self.by_hand(None, row, statement, *row, LONG_AGO)

    def holds(self, row: Row) -> bool:
        """Whether a row of its key is stored."""
        return row.key in self.stored.get(row.snapshot_month, {})

    def by_hand(self, old: Row | None, new: Row | None, statement: str, *values: Any) -> None:
        """One row takes the place of another, unless a month of theirs is closed."""
        months = sorted({row.snapshot_month for row in (old, new) if row})
        if self.must_refuse_closed(months, statement, *values):
            return
        assert self.execute(statement, *values).rowcount == 1
        if old:
            del self.stored[old.snapshot_month][old.key]
        if new:
            self.stored.setdefault(new.snapshot_month, {})[new.key] = new
        if old != new:
            self.log_entries += len(months)
            self.planted -= {(row.snapshot_month, row.key) for row in (old, new) if row}
            if not old:
                self.planted.add((new.snapshot_month, new.key))
        for month in months:
            # Whoever writes a month locks it, and so makes it known; what he fills is no change.
            known = self.known(month)
            rows = (row for row in (old, new) if row and row.snapshot_month == month)
            changed = {row.key for row in rows} if old != new and month in self.control else set()
            self.control[month] = known._replace(
                stale=oracle.stale_rows(
                    self.sources, month, self.stored.get(month, {}), known.last_rule
                ),
                by_hand=known.by_hand | changed,
            )
        self.compare(written={(new.snapshot_month, new.key)} if new else set())

    def truncate(self) -> None:
        if not self.must_refuse_closed(sorted(self.control), f"TRUNCATE {FACT}"):
            self.execute(f"TRUNCATE {FACT}")
            self.log_entries += sum(bool(rows) for rows in self.stored.values())
            self.stored.clear()
            self.planted.clear()
            for month, known in self.control.items():
                keys = {key for other, key in self.places if other == month}
                self.control[month] = known._replace(
                    stale=frozenset(), by_hand=known.by_hand | keys
                )
            self.compare()

    def must_refuse_closed(self, months: list[date], statement: str, *values: Any) -> bool:
        """Whether one of the months is closed, for which the statement must be refused."""
        closed = [month for month in months if self.known(month).is_closed]
        if closed:
            self.must_refuse(oracle.Refused("closed"), closed[0], statement, *values)
        return bool(closed)

    # Comparing

    def compare(self, written: set[tuple[date, Key]] = frozenset()) -> None:
        """All that is stored must be as the oracle says, and nothing but this been written."""
        stored: dict[date, oracle.Rows] = {}
        places: dict[tuple[date, Key], str] = {}
        for place, is_new, *values in self.execute(
            f"SELECT ctid::text, updated_at = CURRENT_TIMESTAMP, {COLUMNS} FROM {FACT}"
        ):
            row = Row(*values)
            assert is_new == ((row.snapshot_month, row.key) not in self.planted)
            stored.setdefault(row.snapshot_month, {})[row.key] = row
            places[row.snapshot_month, row.key] = place
        assert stored == {month: rows for month, rows in self.stored.items() if rows}
        for key in places.keys() & self.places.keys():
            assert (places[key] != self.places[key]) == (key in written), key
        self.places = places

        assert oracle.read_control(self.connection) == self.control
        logged = [entry for entries in self.entries.values() for entry in entries]
        for month, *entry in self.execute(
            f"SELECT snapshot_month, log_id, operation, reason FROM {LOG}"
            " WHERE log_id > %s ORDER BY log_id",
            max((entry.log_id for entry in logged), default=0),
        ).fetchall():
            self.entries[month].append(oracle.Entry(*entry, dict(stored.get(month, {}))))
            self.copies[month].append(month_as_at(self.connection, month))
        assert sum(map(len, self.entries.values())) == self.log_entries

    def validate(self, month: date) -> list[oracle.Check]:
        """What validating a month reports, which must be what the oracle says."""
        reported = [
            oracle.Check(
                name,
                severity,
                violations,
                figures(detail, name) or (violations,),
                [(key["company_id"], key["product_line_code"]) for key in sample],
            )
            for name, severity, violations, detail, sample in self.execute(
                "SELECT * FROM customer.validate_monthly_snapshot(%s)", month
            )
        ]
        known = self.known(month)
        assert reported == oracle.validate(self.sources, month, self.stored, known)
        of_aum = {check.name: check.figures[0] for check in reported if check.severity == "info"}
        whole, attributed, *others = (of_aum[name] for name in of_aum if name.startswith("aum_"))
        assert whole - attributed == sum(others[:-1]), "the parts of AUM do not sum to the whole"
        assert oracle.rounded(sum(others[:-1])) == others[-1]
        if any(check.severity == "error" and check.violations for check in reported[2:]):
            assert known.had_errors or not known.is_closed, "time has made a closed month wrong"
            assert known.is_closed or oracle.would_change(self.sources, month, self.stored, known)
        return reported

    def must_be_clean(self, month: date) -> None:
        """Validating must find nothing wrong, at most that there is nothing."""
        wrong = {
            check.name
            for check in self.validate(month)
            if check.severity in ("error", "drift") and check.violations
        }
        assert wrong == (set() if self.stored[month] else {"snapshot_exists"})

    def compare_history(self) -> None:
        """What each log entry left, and what differs from what was published."""
        assert unfaithful(self.connection) == []
        for month, entries in self.entries.items():
            for entry, copy in zip(entries, self.copies[month], strict=True):
                assert month_as_at(self.connection, month, entry.log_id) == copy
            changes = [
                oracle.Change(*values)
                for values in self.execute("SELECT * FROM customer.published_changes(%s)", month)
            ]
            assert changes == oracle.published_changes(entries, self.known(month))
            for change in changes:
                event(f"published: {change.change} by {change.operation}")

    def compare_reading(self) -> None:
        """Trend and total against the rows added up; what came and went against both months."""
        summed, added_up = (self.execute(query).fetchall() for query in (SUMMED, ON_THE_FLY))
        assert Counter(summed) == Counter(added_up)

        stored = {month: rows for month, rows in self.stored.items() if rows}
        aum = {
            (month, *key): row.aum_balance for month in stored for key, row in stored[month].items()
        }
        moved = self.execute(MOVED).fetchall()
        assert {row[:3]: row[3:5] for row in moved} == {
            (month, *key): (
                aum.get((month, *key), 0),
                aum.get((before, *key), 0) if before in stored else None,
            )
            for month in stored
            for before in [oracle.month_before(month)]
            for key in {*stored[month], *stored.get(before, {})}
        }
        assert len(moved) == len({row[:3] for row in moved})
        assert [row for query in UNBALANCED for row in self.execute(query)] == []
        for *_, presence, movement, of_customer in moved:
            event(f"movement: {presence} {movement}, all {of_customer}")

    def compare_all(self) -> None:
        """History, validation and views of all months, and that the sources are as loaded."""
        self.compare_history()
        for month in MONTHS:
            self.validate(month)
        self.compare_reading()
        found = oracle.read_sources(self.connection)
        assert [sorted(rows) for rows in found[:4]] == [sorted(rows) for rows in self.sources[:4]]


# What they tell is for pgTAP.
OF_THE_LOG = ("verdict", "log_totals", "control_row", "control_totals", "summary", "never_written")


def figures(detail: str, name: str = "") -> tuple[Decimal, ...]:
    """The numbers that a text tells, but for what is known of the log alone."""
    if name in OF_THE_LOG:
        return ()
    detail = detail.partition("; when the month was last written")[0]
    telling = re.sub(r"\d{4}-\d\d-\d\d|rounded to 2 decimals", "", detail)
    return tuple(Decimal(number) for number in re.findall(r"(?<!\w)-?\d+(?:\.\d+)?", telling))


@pytest.fixture(scope="module")
def connection(create_database, package_template) -> Iterator[psycopg.Connection]:
    """A connection to one database for all examples, prepared for what they store."""
    name = create_database(package_template)
    # Functions that may return a whole month look dear, and compiling their calls takes longest.
    with psycopg.connect(dbname=name, autocommit=True, options="-c jit=off") as connection:
        set_json_loads(partial(json.loads, parse_float=Decimal), connection)
        connection.execute(PREPARATION)
        with connection.cursor() as cursor:
            cursor.executemany(
                'INSERT INTO customer."年金客户" (company_id) VALUES (%s)',
                [(company_id,) for company_id in COMPANIES],
            )
            cursor.executemany(
                'INSERT INTO mapping."产品线" ("产品线代码") VALUES (%s)',
                [(code,) for code in PRODUCT_LINES],
            )
        yield connection


@pytest.fixture(scope="module")
def begin(connection) -> Callable[[Sources], Any]:
    """A context with a world of these sources, which leaves nothing behind."""
    notices = listen(connection)

    @contextmanager
    def begin_world(sources: Sources) -> Iterator[World]:
        with connection.transaction(force_rollback=True):
            yield World(connection, notices, sources)

    return begin_world


# --- The properties --------------------------------------------------------------


@examples(400)
@given(sources=source_systems, steps=histories)
def test_after_any_history_all_is_what_the_oracle_says(begin, sources, steps):
    with begin(sources) as world:
        world.take(steps)
        world.compare_all()


@examples(400)
@given(
    sources=source_systems,
    rows=st.just([]) | st.lists(stored_rows, max_size=12),
    holds_rows=st.booleans(),
    is_loaded=st.sampled_from([True, True, False]),
    first=operations,
    day=days_to_write,
    history=st.lists(changes, max_size=10),
    last=operations,
    accepts=acceptances,
)
def test_month_is_what_the_definitions_say_and_validation_finds_what_changed_since(
    begin, sources, rows, holds_rows, is_loaded, first, day, history, last, accepts
):
    """Rows of before are set right, kept or removed, or else what the month is compared with.

    Each key at fault is found by the check for it, and writing the month again mends it.
    """
    month = oracle.last_day(day)
    with begin(sources) as world:
        for row in rows:
            if holds_rows or row.snapshot_month != month:
                world.plant(row)
        if not is_loaded:
            world.unload(month)
        if world.write(first, day, accepts):
            world.must_be_clean(month)
        world.take(history)
        world.compare_all()
        if world.write(last, day, accepts):
            world.must_be_clean(month)
