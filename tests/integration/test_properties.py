"""The package on random source systems, held against the oracle (oracle.py), with Hypothesis.

Keys are few, so that they meet, and dates and amounts are the ones on which rules turn. Every
example runs in one transaction that is rolled back.

    scripts/test -k properties                              1,300 examples, a minute or two
    HYPOTHESIS_PROFILE=thorough scripts/test -k properties  20 times as many, and other ones
                                                            each time

The examples of the default profile are always the same (derandomize): a red run is then due to
the change at hand and is red again when it is run again, here or elsewhere, without a database
of examples that CI would have to keep. Looking for what nobody has thought of is the thorough
profile's work; what it finds it prints with a line @reproduce_failure to paste above the test.
"""

import json
import os
import re
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from functools import partial
from typing import Any, Literal, NamedTuple

import oracle
import psycopg
import pytest
from hypothesis import HealthCheck, event, given, settings
from hypothesis import strategies as st
from oracle import OPEN, Contract, Control, Detail, Event, Key, Operation, Row, Sources
from psycopg import sql
from psycopg.rows import dict_row
from psycopg.types.json import set_json_loads
from support import FACT, LOG, Notice, listen, month_as_at, unfaithful

settings.register_profile(
    "default",
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
FACTOR = 20 if PROFILE == "thorough" else 1

# Hypothesis looks for the least example that fails for up to five minutes.
pytestmark = pytest.mark.timeout(0 if PROFILE == "thorough" else 900)


def examples(number: int) -> settings:
    """So many examples in the default profile."""
    return settings(settings.get_profile(PROFILE), max_examples=number * FACTOR)


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


class Add(NamedTuple):
    """The ETL loads a row."""

    table: Table
    row: Contract | Event | Detail


class Drop(NamedTuple):
    """The ETL takes one away; position counts round and round."""

    table: Table
    position: int


class Unload(NamedTuple):
    """The ETL takes all AUM of a month away."""

    month: date


class Amend(NamedTuple):
    """The contract sync changes a contract: closes it, opens it, marks or renames it."""

    position: int
    column: str
    value: Any


class End(NamedTuple):
    """The contract sync ends all contracts, or a stored row's, whose AUM may become another's."""

    position: int | None
    day: date
    heir: str | None


class Call(NamedTuple):
    """Someone calls a function of the package, on any day of the month."""

    operation: Operation
    day: date
    accepts_implausible: bool = False


class Tamper(NamedTuple):
    """The owner changes a stored row behind the package's back, and sets it."""

    position: int
    column: str
    value: Any


class Remove(NamedTuple):
    """The owner deletes a stored row."""

    position: int


class Move(NamedTuple):
    """The owner moves a stored row to another month, unless there is one."""

    position: int
    month: date


class Plant(NamedTuple):
    """The owner inserts a row, unless there is one."""

    row: Row


class Truncate(NamedTuple):
    """The owner empties the table."""


positions = st.integers(0, 20)
# Around the month that is written most.
last_days = one_of([MONTH + timedelta(days=days) for days in (-31, -1, 0, 1, 5)])
endings = st.builds(End, st.none() | positions, last_days, st.none())
resolutions = st.builds(End, positions, last_days, one_of(COMPANIES))
amendments = st.one_of(
    st.builds(Amend, positions, st.just("valid_to"), one_of(ENDS)),
    st.builds(Amend, positions, st.just("is_strategic"), one_of(FLAGS)),
    st.builds(Amend, positions, st.just("is_existing"), one_of(FLAGS)),
    st.builds(Amend, positions, st.just("product_line_name"), one_of(NAMES)),
    st.builds(Amend, positions, st.just("plan_code"), one_of(PLANS)),
)
loads = st.one_of(
    st.builds(Add, st.just("contracts"), contracts),
    st.builds(Add, one_of(["awards", "losses"]), events),
    st.builds(Add, st.just("details"), details),
    st.builds(Drop, one_of(["contracts", "awards", "losses", "details"]), positions),
    st.builds(Unload, months),
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
    *(
        st.builds(Tamper, positions, st.just(column), values)
        for column, values in stored_values.items()
    ),
    st.builds(Remove, positions),
    st.builds(Move, positions, months),
    st.builds(Plant, stored_rows),
    st.builds(Truncate),
)
days_to_write = months.flatmap(
    lambda month: one_of([month, month.replace(day=1), month.replace(day=9)])
)
operations = one_of(["refresh", "restate"])
# More often than not nothing is accepted.
acceptances = one_of([False, False, True])
writes = st.builds(Call, operations, days_to_write, acceptances)
closings = st.builds(Call, one_of(["close", "reopen", "discard"]), months)
Step = Add | Drop | Unload | Amend | End | Call | Tamper | Remove | Move | Plant | Truncate
changes = st.one_of(endings, resolutions, amendments, loads, tamperings, closings)
# Some changes, then a month is written, and often published and opened again; and so on.
histories = st.lists(
    st.tuples(st.lists(changes, max_size=5), writes, st.booleans()).map(
        lambda some: [
            *some[0],
            some[1],
            *(Call(name, some[1].day) for name in ("close", "reopen") if some[2]),
        ]
    ),
    min_size=2,
    max_size=9,
).map(lambda rounds: [step for steps in rounds for step in steps])


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

    def take(self, step: Step) -> None:
        match step:
            case Add(table, row):
                self.load(NOTHING._replace(**{table: [row]}))
            case Drop(table, position):
                self.drop(table, position)
            case Unload(month):
                self.unload(month)
            case Amend(position, column, value):
                self.amend(position, column, value)
            case End(position, day, heir):
                self.end(position, day, heir)
            case Call(operation, day):
                self.call(step)
                if operation in ("refresh", "restate"):
                    self.validate(oracle.last_day(day))
            case Tamper(position, column, value):
                self.change(self.pick(position), **{column: value})
            case Remove(position):
                self.remove(self.pick(position))
            case Move(position, month):
                self.change(self.pick(position), snapshot_month=month)
            case Plant(row):
                self.plant(row)
            case Truncate():
                self.truncate()

    # What the ETL does

    def load(self, sources: Sources) -> None:
        """Add source rows."""
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
        rows = getattr(self.sources, name)
        if rows:
            row = rows.pop(position % len(rows))
            table, columns = SOURCE_TABLES[name]
            self.execute(f"DELETE FROM {table} WHERE {columns[0]} = %s", row[0])

    def unload(self, month: date) -> None:
        gone = {row.id for row in oracle.details_of(self.sources, month)}
        self.sources.details[:] = [row for row in self.sources.details if row.id not in gone]
        self.execute('DELETE FROM business."规模明细" WHERE id = ANY (%s)', list(gone))

    def amend(self, position: int, column: str, value: Any) -> None:
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

    def call(self, call: Call) -> bool:
        """Call a function, and one that writes again, which must change nothing."""
        if self.call_once(call) is None:
            return False
        if call.operation in ("refresh", "restate"):
            again = self.call_once(call)
            assert again is not None
            assert again["upserted"] == again["deleted"] == 0
        return True

    def call_once(self, call: Call) -> dict[str, Any] | None:
        """The result; None if it was refused, as it must have been."""
        operation, day, accepts = call
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

    def change(self, row: Row | None, **values: Any) -> None:
        new = row and row._replace(**values)
        if row and (new.snapshot_month == row.snapshot_month or not self.holds(new)):
            [(column, value)] = values.items()
            statement = f"UPDATE {FACT} SET {column} = %s WHERE {KEY_MATCHES}"
            self.by_hand(row, new, statement, value, *row[:3])

    def remove(self, row: Row | None) -> None:
        if row:
            self.by_hand(row, None, f"DELETE FROM {FACT} WHERE {KEY_MATCHES}", *row[:3])

    def plant(self, row: Row) -> None:
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

    def read(self, name: str) -> oracle.View:
        """A view of BI, by month and product line."""
        order = "1" if name.endswith("total") else "1, product_line_code"
        view = f"customer.monthly_status_{name}"
        with self.connection.cursor(row_factory=dict_row) as cursor:
            return cursor.execute(f"SELECT * FROM {view} ORDER BY {order}").fetchall()

    def compare_trend(self) -> None:
        """Trend and total; and how each month came from the one before, which adds up to them."""
        lines, totals = oracle.trend(self.stored, self.control)
        for name, expected in (("trend", lines), ("total", totals)):
            found = self.read(name)
            for row in found:
                row.pop("aum_unattributed", None)
                assert row.pop("last_changed_at")
            assert found == expected

        stored = {month: rows for month, rows in self.stored.items() if rows}
        aum = {
            (month, *key): row.aum_balance for month in stored for key, row in stored[month].items()
        }
        moved = self.read("movement")
        found = {}
        counts: dict[tuple, set] = defaultdict(set)
        for row in moved:
            month, company_id, line, *_ = row.values()
            found[month, company_id, line] = row["aum_balance"], row["previous_aum_balance"]
            counts[month, line, row["movement"]].add(company_id)
            counts[month, None, row["customer_movement"]].add(company_id)
            event(f"movement: {row['presence']} {row['movement']}, all {row['customer_movement']}")
        assert len(moved) == len(found)
        assert found == {
            (month, *key): (
                aum.get((month, *key), 0),
                aum.get((before, *key), 0) if before in stored else None,
            )
            for month in stored
            for before in [oracle.month_before(month)]
            for key in {*stored[month], *stored.get(before, {})}
        }

        for name, expected in (("bridge", lines), ("bridge_total", totals)):
            for row, now in zip(self.read(name), expected, strict=True):
                assert {key: row[key] for key in row.keys() & now.keys()}.items() <= now.items()
                if now["aum_change"] is None:
                    assert {row[column] for column in row.keys() - now.keys()} == {None}
                    continue
                parts = [row[f"{movement}_aum"] for movement in MOVEMENTS[:4]]
                assert row["previous_aum_balance"] + sum(parts) == row["aum_balance"]
                assert sum(parts) == now["aum_change"]
                numbers = [row[f"{movement}_customers"] for movement in MOVEMENTS]
                month, line = row["snapshot_month"], row.get("product_line_code")
                assert numbers == [len(counts[month, line, movement]) for movement in MOVEMENTS]
                before = row["previous_customers_with_aum"]
                assert before + numbers[0] - numbers[1] == now["customers_with_aum"]

    def compare_all(self) -> None:
        """History and validation of all months, the trend, and that the sources are as loaded."""
        self.compare_history()
        for month in MONTHS:
            self.validate(month)
        self.compare_trend()
        found = oracle.read_sources(self.connection)
        assert [sorted(rows) for rows in found[:4]] == [sorted(rows) for rows in self.sources[:4]]


# Those that move AUM, and one that does not.
MOVEMENTS = ("started", "ended", "grew", "shrank", "steady")
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
@given(sources=source_systems, operation=operations, day=days_to_write)
def test_month_is_what_the_definitions_say(begin, sources, operation, day):
    with begin(sources) as world:
        if world.call(Call(operation, day)):
            world.must_be_clean(oracle.last_day(day))
        world.compare_all()


@examples(200)
@given(
    sources=source_systems,
    rows=st.lists(stored_rows, max_size=12),
    holds_rows=st.booleans(),
    is_loaded=st.booleans(),
    write=writes,
)
def test_month_where_rows_are_stored_already(begin, sources, rows, holds_rows, is_loaded, write):
    """They are set right, kept or removed; if others hold some, it is compared with them."""
    with begin(sources) as world:
        for row in rows:
            if holds_rows or row.snapshot_month != MONTH:
                world.plant(row)
        if not is_loaded:
            world.unload(MONTH)
        world.call(write._replace(day=MONTH))
        world.compare_all()


@examples(400)
@given(sources=source_systems, steps=histories)
def test_after_any_history_all_is_what_the_oracle_says(begin, sources, steps):
    with begin(sources) as world:
        for step in steps:
            world.take(step)
        world.compare_all()


@examples(300)
@given(
    sources=source_systems,
    first=operations,
    history=st.lists(changes, min_size=1, max_size=10),
    last=writes,
)
def test_validation_finds_what_changed_and_writing_mends_it(begin, sources, first, history, last):
    """Whatever happens to sources and rows, each key at fault is found by the check for it."""
    with begin(sources) as world:
        world.call(Call(first, MONTH))
        for step in history:
            world.take(step)
        world.compare_all()
        if world.call(last._replace(day=MONTH)):
            world.must_be_clean(MONTH)
