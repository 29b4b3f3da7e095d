"""What a snapshot must be, worked out in plain Python from its definitions.

This is the specification that tests hold the database against. It knows nothing of how the
package does its work: no SQL, rows in and rows out, one definition after the other, written to
be read and not to be fast (although a month of production size takes but a second or two).

    snapshot    the rows that the sources support in a month, by one of two rules
    write       what refreshing or restating a month does: rows, counts, warnings, refusals
    close       and reopen: what a closed month refuses
    validate    what is to be found when a stored month is held against its sources
    trend       the months added up

A company or product line that is None or blank in the sources is the key of nothing.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from datetime import date, timedelta
from decimal import ROUND_HALF_UP, Decimal
from fractions import Fraction
from typing import Any, Literal, NamedTuple

import psycopg

OPEN = date(9999, 12, 31)
"""valid_to of the contract versions that are current."""

Rule = Literal["current", "as_of"]
Operation = Literal["refresh", "restate"]
Key = tuple[str | None, str | None]
"""company_id and product_line_code."""


# --- The sources, as far as the package reads them ----------------------------


class Contract(NamedTuple):
    """One version of a contract (customer.customer_plan_contract)."""

    contract_id: int
    company_id: str
    product_line_code: str
    plan_code: str
    product_line_name: str
    is_strategic: bool | None
    is_existing: bool | None
    valid_from: date
    valid_to: date | None

    @property
    def key(self) -> Key:
        return self.company_id, self.product_line_code


class Event(NamedTuple):
    """An award (当年中标) or a loss (当年流失)."""

    id: int
    company_id: str | None
    product_line_code: str | None
    reported_on: date

    @property
    def key(self) -> Key:
        return self.company_id, self.product_line_code


class Detail(NamedTuple):
    """A row of 规模明细: the AUM of one portfolio."""

    id: int
    company_id: str | None
    product_line_code: str | None
    as_of: date
    amount: Decimal | None

    @property
    def key(self) -> Key:
        return self.company_id, self.product_line_code


class Sources(NamedTuple):
    """All that the package reads."""

    contracts: list[Contract]
    awards: list[Event]
    losses: list[Event]
    details: list[Detail]
    customers: frozenset[str] = frozenset()
    product_lines: frozenset[str] = frozenset()


# --- What is stored -----------------------------------------------------------


class Row(NamedTuple):
    """A row of the snapshot, but for updated_at."""

    snapshot_month: date
    company_id: str
    product_line_code: str
    product_line_name: str
    is_strategic: bool
    is_existing: bool
    is_new: bool
    is_winning_this_year: bool
    is_churned_this_year: bool
    aum_balance: Decimal
    plan_count: int

    @property
    def key(self) -> Key:
        return self.company_id, self.product_line_code


VALUES = Row._fields[3:]
"""The columns of a row that are no part of its key."""

Rows = dict[Key, Row]
"""The rows of one month."""


class Control(NamedTuple):
    """What is known of a month as a whole (customer.monthly_snapshot_control)."""

    last_rule: Rule | None = None
    stale_rows: int = 0
    is_closed: bool = False


# --- Words that the definitions use -------------------------------------------


def last_day(day: date) -> date:
    """The month of a day, by its last day."""
    return (day.replace(day=28) + timedelta(days=4)).replace(day=1) - timedelta(days=1)


def month_before(month: date) -> date:
    return month.replace(day=1) - timedelta(days=1)


def same_month(day: date, month: date) -> bool:
    return (day.year, day.month) == (month.year, month.month)


def same_year(day: date, month: date) -> bool:
    return day.year == month.year


def rounded(amount: Decimal) -> Decimal:
    """To 2 decimals; halves away from zero."""
    return amount.quantize(Decimal("0.01"), ROUND_HALF_UP)


def share(part: int | Decimal, whole: int | Decimal) -> Decimal | None:
    """part / whole to 4 decimals, halves away from zero; None where whole is 0."""
    if whole == 0:
        return None
    ten_thousandths = Fraction(part) / Fraction(whole) * 10_000
    magnitude = int(abs(ten_thousandths) + Fraction(1, 2))
    return Decimal(magnitude if ten_thousandths > 0 else -magnitude) / 10_000


def is_blank(text: str | None) -> bool:
    return text is None or not text.strip()


def total(amounts: Iterable[Decimal | None]) -> Decimal:
    """The sum; None counts for nothing."""
    return sum((amount for amount in amounts if amount is not None), Decimal(0))


def in_key_order(keys: Iterable[Key]) -> list[Key]:
    """By company, then product line, in byte order; None last."""
    return sorted(keys, key=lambda key: tuple((part is None, part or "") for part in key))


# --- The rows of a month ------------------------------------------------------


def contracts_by(rule: Rule, month: date, contracts: Iterable[Contract]) -> list[Contract]:
    """The contracts that count for a month.

    current: those that are current today, whatever the month.
    as_of: those that were true on its last day. valid_to may be the last day of a version or the
    first of its successor, so that two cover one day: then the latest counts. A version without
    valid_to covers no day.
    """
    if rule == "current":
        return [contract for contract in contracts if contract.valid_to == OPEN]

    latest: dict[tuple[Key, str], Contract] = {}
    for contract in contracts:
        if contract.valid_to is not None and contract.valid_from <= month <= contract.valid_to:
            versions = contract.key, contract.plan_code
            latest[versions] = max(
                contract,
                latest.get(versions, contract),
                key=lambda version: (version.valid_from, version.contract_id),
            )
    return list(latest.values())


def snapshot(sources: Sources, month: date, rule: Rule) -> Rows:
    """One row for each customer and product line with a contract that counts for the month."""
    held: dict[Key, list[Contract]] = defaultdict(list)
    for contract in contracts_by(rule, month, sources.contracts):
        held[contract.key].append(contract)

    # The whole calendar year, not up to the month.
    winning = {award.key for award in sources.awards if same_year(award.reported_on, month)}
    churned = {loss.key for loss in sources.losses if same_year(loss.reported_on, month)}

    aum: dict[Key, Decimal] = defaultdict(Decimal)
    for detail in details_of(sources, month):
        aum[detail.key] += detail.amount or 0

    rows: Rows = {}
    for key, contracts in held.items():
        company_id, product_line_code = key
        assert company_id is not None
        assert product_line_code is not None
        # None counts as false.
        is_strategic = any(contract.is_strategic is True for contract in contracts)
        is_existing = any(contract.is_existing is True for contract in contracts)
        rows[key] = Row(
            snapshot_month=month,
            company_id=company_id,
            product_line_code=product_line_code,
            # Python compares text by code point, which in UTF-8 is COLLATE "C".
            product_line_name=max(contract.product_line_name for contract in contracts),
            is_strategic=is_strategic,
            is_existing=is_existing,
            is_new=key in winning and not is_existing,
            is_winning_this_year=key in winning,
            is_churned_this_year=key in churned,
            aum_balance=rounded(aum[key]),
            plan_count=len({contract.plan_code for contract in contracts}),
        )
    return rows


def details_of(sources: Sources, month: date) -> list[Detail]:
    """The AUM detail of a month, on whichever of its days it stands."""
    return [detail for detail in sources.details if same_month(detail.as_of, month)]


# --- Writing a month ----------------------------------------------------------


class Refused(Exception):
    """The package must refuse, with SQLSTATE 55000, and leave everything as it was."""


class Outcome(NamedTuple):
    """What writing a month leaves behind, and what it says."""

    rows: Rows
    control: Control
    result: dict[str, Any]
    warnings: frozenset[str]


def write(
    operation: Operation,
    month: date,
    sources: Sources,
    stored: Mapping[date, Rows],
    control: Control,
) -> Outcome:
    """Refresh a month (rule current, deletes nothing) or restate it (as_of, nothing else stays).

    result is what the call returns, but for log_id.
    """
    if control.is_closed:
        raise Refused("the month is closed")

    is_restating = operation == "restate"
    rule: Rule = "as_of" if is_restating else "current"
    before = stored.get(month, {})
    supported = snapshot(sources, month, rule)
    details = details_of(sources, month)

    if is_restating and not supported:
        raise Refused("no version covers the month")
    if not is_restating and not details and any(row.aum_balance for row in before.values()):
        raise Refused("it would overwrite AUM with zeros")

    inserted = supported.keys() - before.keys()
    updated = {key for key in supported.keys() & before.keys() if supported[key] != before[key]}
    unchanged = supported.keys() - inserted - updated
    unsupported = before.keys() - supported.keys()
    after = supported if is_restating else before | supported
    stale = 0 if is_restating else len(unsupported)

    warnings = set()
    if not details:
        warnings.add("no AUM")
    if not supported:
        warnings.add("no contract")
    if stale:
        warnings.add("stale rows")
    newest = max((other for other in stored if stored[other]), default=month)
    if not is_restating and (newest > month or control.last_rule == "as_of"):
        warnings.add("today's contracts")

    attributed = total(detail.amount for detail in details if detail.key in supported)
    return Outcome(
        rows=after,
        control=Control(last_rule=rule, stale_rows=stale),
        result={
            "snapshot_month": month.isoformat(),
            "total": len(supported),
            "upserted": len(inserted) + len(updated),
            "inserted": len(inserted),
            "updated": len(updated),
            "unchanged": len(unchanged),
            "stale": stale,
            "deleted": len(unsupported) if is_restating else 0,
            "aum_total": total(row.aum_balance for row in supported.values()),
            "aum_unattributed": rounded(total(detail.amount for detail in details) - attributed),
        },
        warnings=frozenset(warnings),
    )


def close(control: Control, rows: Rows) -> Control:
    if control.is_closed:
        raise Refused("the month is closed")
    if not rows:
        raise Refused("the month holds no rows")
    return control._replace(is_closed=True)


def reopen(control: Control) -> Control:
    if not control.is_closed:
        raise Refused("the month is not closed")
    return control._replace(is_closed=False)


# --- Validating a month -------------------------------------------------------


class Check(NamedTuple):
    """One check: figures are the numbers that its detail must tell, in this order."""

    name: str
    severity: Literal["error", "warning", "info"]
    violations: int
    figures: tuple[int | Decimal, ...]
    sample: list[Key]


def validate(sources: Sources, month: date, rows: Rows, rule: Rule | None) -> list[Check]:
    """Hold the stored rows of a month against the sources, by the rule that last wrote it."""
    rule = rule or "current"
    expected = snapshot(sources, month, rule)
    holders = {company_id for company_id, _ in expected}
    checks: list[Check] = []

    def check(name: str, severity, keys: Iterable[Key], *figures, violations: int | None = None):
        """Keys at fault; as many violations, unless said otherwise."""
        at_fault = in_key_order(set(keys))
        count = len(at_fault) if violations is None else violations
        checks.append(Check(name, severity, count, figures or (count,), at_fault[:5]))

    # error: the snapshot is wrong.
    check("snapshot_exists", "error", [], len(rows), len(expected), violations=0 if rows else 1)
    check("blank_key", "error", (key for key in rows if any(map(is_blank, key))))
    check("orphaned_company", "error", (key for key in rows if key[0] not in sources.customers))
    check(
        "orphaned_product_line",
        "error",
        (key for key in rows if key[1] not in sources.product_lines),
    )
    for column in VALUES:
        wrong = {
            key
            for key in rows.keys() & expected.keys()
            if getattr(rows[key], column) != getattr(expected[key], column)
        }
        of_the_year = column in ("is_winning_this_year", "is_churned_this_year")
        check(column, "error", wrong, len(wrong), *([month.year] if of_the_year else []))
    details = details_of(sources, month)
    missing = expected.keys() - rows.keys()
    missing_aum = total(detail.amount for detail in details if detail.key in missing)
    check("missing_row", "error", missing, len(missing), missing_aum)

    # warning: the sources hold something that the snapshot cannot show.
    stale = rows.keys() - expected.keys()
    check("stale_row", "warning", stale, len(stale), total(rows[key].aum_balance for key in stale))
    for name, events in (("unmatched_award", sources.awards), ("unmatched_loss", sources.losses)):
        reported = [event.key for event in events if same_year(event.reported_on, month)]
        unmatched = [key for key in reported if key not in rows]
        check(
            name,
            "warning",
            unmatched,
            len(unmatched),
            len(reported),
            month.year,
            sum(any(map(is_blank, key)) for key in unmatched),
            sum(not is_blank(key[0]) and key[0] not in holders for key in unmatched),
            violations=len(unmatched),
        )

    # info: where the month's AUM went. The parts sum to the whole.
    def part(detail: Detail) -> str:
        if detail.key in expected:
            return "aum_attributed"
        if is_blank(detail.company_id):
            return "aum_without_customer"
        if detail.company_id not in holders:
            return "aum_without_contract"
        return "aum_without_product_line"

    parts: dict[str, list[Detail]] = defaultdict(list)
    for detail in details:
        parts[part(detail)].append(detail)
    aum = total(detail.amount for detail in details)
    attributed = total(detail.amount for detail in parts["aum_attributed"])
    balance = total(rows[key].aum_balance for key in rows.keys() & expected.keys())
    # The readers of the sources against the tables' own columns: not for an oracle to doubt.
    check("source_reading", "error", [], violations=0)
    check("aum_in_source", "info", [], aum, len(details), violations=0)
    check("aum_attributed", "info", [], attributed, violations=0)
    for name in ("aum_without_customer", "aum_without_contract", "aum_without_product_line"):
        found = parts[name]
        check(
            name,
            "info",
            (detail.key for detail in found),
            total(detail.amount for detail in found),
            len(found),
            violations=len(found),
        )
    check("rounding", "info", [], attributed - balance, balance, violations=0)
    return checks


# --- The trend ----------------------------------------------------------------


class Trend(NamedTuple):
    """A row of the trend; product_line_code is None in a month's total."""

    snapshot_month: date
    product_line_code: str | None
    product_line_name: str
    customers: int
    strategic_customers: int
    existing_customers: int
    new_customers: int
    winning_customers: int
    churned_customers: int
    winning_rate: Decimal | None
    churn_rate: Decimal | None
    plans: int
    aum_balance: Decimal
    aum_change: Decimal | None
    aum_change_ratio: Decimal | None
    stale_rows: int | None
    is_closed: bool


def trend(stored: Mapping[date, Rows], control: Mapping[date, Control]) -> list[Trend]:
    """A row for each month and product line that is stored, and a total for each month."""
    lines: list[Trend] = []
    for month in sorted(month for month in stored if stored[month]):
        for line in [*sorted({str(key[1]) for key in stored[month]}), None]:
            rows = of_line(stored[month], line)
            before = stored.get(month_before(month))

            def customers(flag: str | None = None, rows: list[Row] = rows) -> int:
                """How many customers, or how many with that flag; each counts once."""
                return len({row.company_id for row in rows if flag is None or getattr(row, flag)})

            aum = total(row.aum_balance for row in rows)
            change = ratio = None
            if before:
                aum_before = total(row.aum_balance for row in of_line(before, line))
                change = aum - aum_before
                ratio = share(change, aum_before)

            lines.append(
                Trend(
                    snapshot_month=month,
                    product_line_code=line,
                    product_line_name=(
                        "合计" if line is None else max(row.product_line_name for row in rows)
                    ),
                    customers=customers(),
                    strategic_customers=customers("is_strategic"),
                    existing_customers=customers("is_existing"),
                    new_customers=customers("is_new"),
                    winning_customers=customers("is_winning_this_year"),
                    churned_customers=customers("is_churned_this_year"),
                    winning_rate=share(customers("is_winning_this_year"), customers()),
                    churn_rate=share(customers("is_churned_this_year"), customers()),
                    plans=sum(row.plan_count for row in rows),
                    aum_balance=aum,
                    aum_change=change,
                    aum_change_ratio=ratio,
                    stale_rows=control[month].stale_rows if month in control else None,
                    is_closed=month in control and control[month].is_closed,
                )
            )
    return lines


def of_line(rows: Rows, line: str | None) -> list[Row]:
    """The rows of one product line; all of them for None."""
    return [row for row in rows.values() if line is None or row.product_line_code == line]


# --- Reading a database -------------------------------------------------------
# The one part that is not pure: the plain rows that the rest of this module works on.


def read_sources(connection: psycopg.Connection) -> Sources:
    """All source rows."""

    def read(row: type, statement: str) -> list:
        return [row(*values) for values in connection.execute(statement)]

    return Sources(
        contracts=read(
            Contract,
            """
            SELECT contract_id, company_id, product_line_code, plan_code, product_line_name,
                   is_strategic, is_existing, valid_from, valid_to
            FROM customer.customer_plan_contract
            """,
        ),
        awards=read(
            Event, 'SELECT id, company_id, "产品线代码", "上报月份" FROM customer."当年中标"'
        ),
        losses=read(
            Event, 'SELECT id, company_id, "产品线代码", "上报月份" FROM customer."当年流失"'
        ),
        details=read(
            Detail,
            'SELECT id, company_id, "产品线代码", "月度", "期末资产规模" FROM business."规模明细"',
        ),
        customers=frozenset(read(str, 'SELECT company_id FROM customer."年金客户"')),
        product_lines=frozenset(read(str, 'SELECT "产品线代码" FROM mapping."产品线"')),
    )


def read_stored(connection: psycopg.Connection) -> dict[date, Rows]:
    """All stored rows, by month and key."""
    stored: dict[date, Rows] = defaultdict(dict)
    for values in connection.execute(
        f"SELECT {', '.join(Row._fields)} FROM customer.fct_customer_business_monthly_status"
    ):
        row = Row(*values)
        assert row.key not in stored[row.snapshot_month]
        stored[row.snapshot_month][row.key] = row
    return dict(stored)
