"""What a snapshot must be, worked out in plain Python from its definitions.

This is the specification that tests hold the database against. It knows nothing of how the
package does its work: no SQL, rows in and rows out, one definition after the other, written to
be read and not to be fast (although a month of production size takes but a second or two).

    snapshot    the rows that the sources support in a month, by one of two rules
    judge       which months cannot be right, or look odd
    call        what a function does to a month: rows, answer, warnings, refusals
    published_changes   what differs from what was published, and which log entry did it
    validate    what is to be found when a stored month is held against its sources

A company or product line that is None or blank in the sources is the key of nothing.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from datetime import date, timedelta
from decimal import ROUND_HALF_UP, Decimal
from fractions import Fraction
from itertools import pairwise
from typing import Any, Literal, NamedTuple

import psycopg

OPEN = date(9999, 12, 31)
"""valid_to of the contract versions that are current."""

Rule = Literal["current", "as_of"]
Operation = Literal["refresh", "restate", "close", "reopen", "discard"]
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
    """What is known of a month as a whole (customer.monthly_snapshot_control, and its summary)."""

    last_rule: Rule | None = None
    stale: frozenset[tuple[str, int, Decimal]] = frozenset()  # Of a product line: rows and AUM.
    baseline_rows: int | None = None
    baseline_aum: Decimal | None = None
    is_closed: bool = False
    by_hand: frozenset[Key] = frozenset()  # Changed by hand since the month was last written.
    had_errors: bool = False  # When it was closed.


Stored = Mapping[date, Rows]


# --- Words that the definitions use -------------------------------------------


def last_day(day: date) -> date:
    """The month of a day, by its last day."""
    return (day.replace(day=28) + timedelta(days=4)).replace(day=1) - timedelta(days=1)


def month_before(month: date) -> date:
    return month.replace(day=1) - timedelta(days=1)


def same_month(day: date, month: date) -> bool:
    return (day.year, day.month) == (month.year, month.month)


def months_between(month: date, other: date) -> int:
    return abs((month.year - other.year) * 12 + month.month - other.month)


def rounded(amount: Decimal) -> Decimal:
    """To 2 decimals; halves away from zero."""
    return amount.quantize(Decimal("0.01"), ROUND_HALF_UP)


def share(part: int | Decimal, whole: int | Decimal) -> Decimal | None:
    """part / whole to 4 decimals, halves away from zero; None where whole is 0 or less."""
    if whole <= 0:
        return None
    ten_thousandths = Fraction(part) / Fraction(whole) * 10_000
    magnitude = int(abs(ten_thousandths) + Fraction(1, 2))
    return Decimal(magnitude if ten_thousandths > 0 else -magnitude) / 10_000


def is_blank(text: str | None) -> bool:
    return text is None or not text.strip()


def total(amounts: Iterable[Decimal | None]) -> Decimal:
    """The sum; None counts for nothing."""
    return sum((amount for amount in amounts if amount is not None), Decimal(0))


def volume(amounts: Iterable[Decimal]) -> Decimal:
    """The sum of their absolute amounts."""
    return total(abs(amount) for amount in amounts)


def has_aum(rows: Rows) -> bool:
    return any(row.aum_balance for row in rows.values())


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


def keys_by(rule: Rule, month: date, sources: Sources) -> set[Key]:
    """The keys that these contracts name."""
    return {contract.key for contract in contracts_by(rule, month, sources.contracts)}


def events_of(events: Iterable[Event], month: date, rule: Rule) -> list[Event]:
    """The awards or losses that mark a month: of its calendar year, by as_of up to its last day."""
    return [
        event
        for event in events
        if event.reported_on.year == month.year
        and (rule == "current" or event.reported_on <= month)
    ]


def details_of(sources: Sources, month: date) -> list[Detail]:
    """The AUM detail of a month, on whichever of its days it stands."""
    return [detail for detail in sources.details if same_month(detail.as_of, month)]


class Facts(NamedTuple):
    """What is known of a month besides contracts: by key; and the days that its detail names."""

    winning: set[Key]
    churned: set[Key]
    aum: dict[Key, Decimal]
    days: set[date]


def facts_of(sources: Sources, month: date, rule: Rule) -> Facts:
    details = details_of(sources, month)
    aum: dict[Key, Decimal] = {}
    for detail in details:
        aum[detail.key] = aum.get(detail.key, Decimal(0)) + (detail.amount or 0)
    return Facts(
        winning={award.key for award in events_of(sources.awards, month, rule)},
        churned={loss.key for loss in events_of(sources.losses, month, rule)},
        aum=aum,
        days={detail.as_of for detail in details},
    )


def brought_up_to_date(row: Row, facts: Facts) -> Row:
    """The row with all that does not come from contracts."""
    return row._replace(
        is_new=row.key in facts.winning and not row.is_existing,
        is_winning_this_year=row.key in facts.winning,
        is_churned_this_year=row.key in facts.churned,
        aum_balance=rounded(facts.aum.get(row.key, Decimal(0))),
    )


def snapshot(sources: Sources, month: date, rule: Rule) -> Rows:
    """One row for each customer and product line with a contract that counts for the month."""
    held: dict[Key, list[Contract]] = defaultdict(list)
    for contract in contracts_by(rule, month, sources.contracts):
        held[contract.key].append(contract)

    facts = facts_of(sources, month, rule)
    rows: Rows = {}
    for key, contracts in held.items():
        company_id, product_line_code = key
        assert company_id is not None
        assert product_line_code is not None
        row = Row(
            snapshot_month=month,
            company_id=company_id,
            product_line_code=product_line_code,
            # Python compares text by code point, which in UTF-8 is COLLATE "C".
            product_line_name=max(contract.product_line_name for contract in contracts),
            # None counts as false.
            is_strategic=any(contract.is_strategic is True for contract in contracts),
            is_existing=any(contract.is_existing is True for contract in contracts),
            is_new=False,
            is_winning_this_year=False,
            is_churned_this_year=False,
            aum_balance=Decimal(0),
            plan_count=len({contract.plan_code for contract in contracts}),
        )
        rows[key] = brought_up_to_date(row, facts)
    return rows


def stale_rows(sources: Sources, month: date, rows: Rows, rule: Rule | None) -> frozenset:
    """By product line the stored rows of a month that no contract of its rule supports."""
    supported = keys_by(rule or "current", month, sources)
    lines: dict[str, list[Decimal]] = defaultdict(list)
    for key, row in rows.items():
        if key not in supported:
            lines[row.product_line_code].append(row.aum_balance)
    return frozenset((line, len(aum), total(aum)) for line, aum in lines.items())


def kept_as_stale(sources: Sources, month: date, rows: Rows, rule: Rule) -> Rows:
    """The rows that stay though no contract supports them, brought up to date."""
    if rule == "as_of":
        return {}
    facts = facts_of(sources, month, rule)
    covered = keys_by("as_of", month, sources) - keys_by(rule, month, sources)
    return {
        key: brought_up_to_date(rows[key], facts)
        for key in rows.keys() & covered
        if rows[key].aum_balance == 0 or key in facts.aum
    }


# --- Whether a month can be right ---------------------------------------------

LEAST_ROWS_TO_REFUSE = 100
"""With a baseline of fewer rows, what would be an error is a warning."""
MONTHS_TO_COMPARE_WITH = 12


def baseline_of(
    month: date, stored: Stored, control: Control
) -> tuple[date, int, Decimal | None] | None:
    """The month that a month is compared with, and its rows and AUM."""
    if stored.get(month):
        if control.baseline_rows is not None:
            # What was supported when it was written, whatever was changed by hand since.
            return month, control.baseline_rows, control.baseline_aum
        near = [month]
    else:
        near = [other for other, rows in stored.items() if has_aum(rows)]
    other = min(near, key=lambda other: (months_between(month, other), other), default=None)
    if other is None or months_between(month, other) > MONTHS_TO_COMPARE_WITH:
        return None
    rows = stored[other].values()
    return other, len(rows), volume(row.aum_balance for row in rows)


def judge(
    month: date, supported: Rows, facts: Facts, stored: Stored, control: Control
) -> Iterator[tuple[str, bool]]:
    """The code of what cannot be right or looks odd, and whether the month is refused for it."""
    if not facts.days:
        yield "no_aum_detail", any(map(has_aum, stored.values()))

    baseline = baseline_of(month, stored, control)
    if baseline:
        other, rows_before, aum_before = baseline
        is_large = rows_before >= LEAST_ROWS_TO_REFUSE
        rows = len(supported)
        if 10 * abs(rows - rows_before) > rows_before > 0:
            yield "rows_differ", is_large and 2 * rows < rows_before
        aum_now = volume(row.aum_balance for row in supported.values())
        if facts.days and 10 * abs(aum_now - aum_before) > aum_before > 0:
            # A new month may come in parts.
            least = aum_before / (2 if other == month else 10)
            yield "aum_differs", is_large and aum_now < least

    # By key: what two portfolios of a contract say may cancel out.
    whole = volume(facts.aum.values())
    attributed = volume(amount for key, amount in facts.aum.items() if key in supported)
    if 10 * (whole - attributed) > whole > 0:
        yield "aum_unattributed", False
    if len(facts.days) > 1:
        yield "several_month_dates", False


# --- What functions do to a month ----------------------------------------------


class Refused(Exception):
    """The package must refuse, with SQLSTATE 55000, and leave everything as it was."""


class Outcome(NamedTuple):
    """What a call leaves behind, and what it returns but for log_id: of warnings their codes."""

    rows: Rows
    control: Control
    result: dict[str, Any]


def call(
    operation: Operation,
    month: date,
    sources: Sources,
    stored: Stored,
    control: Control,
    reason: str = "why",
    accepts_implausible: bool = False,
) -> Outcome:
    """Do something to a month: refresh it, restate it, close, reopen or discard it."""
    rows = stored.get(month, {})
    if control.is_closed != (operation == "reopen"):
        raise Refused("closed" if control.is_closed else "not closed")

    warnings = []
    match operation:
        case "refresh" | "restate":
            return write(operation, month, sources, stored, control, reason, accepts_implausible)
        case "close":
            if not rows:
                raise Refused("no rows to close")
            checks = validate(sources, month, stored, control)
            is_wrong = any(check.severity == "error" and check.violations for check in checks)
            is_stale = any(check.name == "stale_row" and check.violations for check in checks)
            warnings = ["invalid_month" for finding in (is_wrong, is_stale) if finding]
            status, control = "closed", control._replace(is_closed=True, had_errors=is_wrong)
        case "reopen":
            status, control = "open", control._replace(is_closed=False, had_errors=False)
        case "discard":
            if not rows and not control.last_rule:
                raise Refused("never written")
            status, rows, control = "discarded", {}, Control()
    result = {"snapshot_month": month.isoformat(), "warnings": warnings, "reason": reason}
    return Outcome(rows, control, result | {"status": status})


def would_change(sources: Sources, month: date, stored: Stored, control: Control) -> bool:
    """Whether refreshing an open month would change its rows, or be refused."""
    try:
        again = call("refresh", month, sources, stored, control, accepts_implausible=True)
    except Refused:
        return True
    return again.rows != stored.get(month, {})


def write(
    operation: Literal["refresh", "restate"],
    month: date,
    sources: Sources,
    stored: Stored,
    control: Control,
    reason: str,
    accepts_implausible: bool,
) -> Outcome:
    """Refresh or restate an open month.

    A row that no contract supports goes, but for one by the contracts of today that was true on
    the month's last day and has not lost its AUM.
    """
    # A restated month keeps its rule.
    rule = "as_of" if operation == "restate" else control.last_rule or "current"
    before = stored.get(month, {})
    facts = facts_of(sources, month, rule)
    supported = snapshot(sources, month, rule)

    if rule == "as_of" and not supported:
        raise Refused("no version covers it")

    unsupported = before.keys() - supported.keys()
    stale = kept_as_stale(sources, month, before, rule)
    after = supported | stale
    written = {key for key in after if after[key] != before.get(key)}
    inserted = after.keys() - before.keys()
    updated = (written & supported.keys()) - inserted

    warnings = []
    is_accepted = False
    for code, is_error in judge(month, supported, facts, stored, control):
        if is_error and not accepts_implausible:
            raise Refused(code)
        is_accepted = is_accepted or is_error
        warnings.append("implausible_accepted" if is_error else code)
    newest = max((other for other in stored if stored[other]), default=month)
    further = {
        "no_current_contract": not supported,
        "rows_removed": operation == "refresh" and len(unsupported) > len(stale),
        "stale_rows": stale,
        "todays_contracts": rule == "current" and newest > month,
    }
    warnings += [code for code, is_so in further.items() if is_so]

    attributed = total(amount for key, amount in facts.aum.items() if key in supported)
    balances = [row.aum_balance for row in supported.values()]
    still = stale_rows(sources, month, after, rule)
    return Outcome(
        rows=after,
        control=Control(rule, still, len(supported), volume(balances)),
        result={
            "status": "restated" if operation == "restate" else "refreshed",
            "snapshot_month": month.isoformat(),
            "rule": rule,
            "total": len(supported),
            "upserted": len(written),
            "inserted": len(inserted),
            "updated": len(updated),
            "unchanged": len(supported.keys() - written),
            "stale": len(stale),
            "deleted": len(unsupported) - len(stale),
            "aum_total": total(balances),
            "aum_unattributed": rounded(total(facts.aum.values()) - attributed),
            "accepted": is_accepted,
            "warnings": warnings,
            "reason": reason if operation == "restate" else None,
        },
    )


# --- What was published ---------------------------------------------------------


class Entry(NamedTuple):
    """An entry of a month's log, and the rows that it left."""

    log_id: int
    operation: str
    reason: str | None
    rows: Rows


class Change(NamedTuple):
    """A value that is not what was published; as text, and None where there is no row."""

    company_id: str
    product_line_code: str
    change: Literal["added", "removed", "changed"]
    column_name: str
    published_value: str | None
    current_value: str | None
    aum_difference: Decimal | None
    log_id: int
    operation: str
    reason: str | None


def published_changes(entries: list[Entry], control: Control) -> list[Change]:
    """Each value of a month that is not as the last close left it; nothing of a closed month."""
    closes = [n for n, entry in enumerate(entries) if entry.operation == "close"]
    if control.is_closed or not closes:
        return []

    def value(entry: Entry, key: Key, column: str) -> Any:
        return getattr(entry.rows[key], column) if key in entry.rows else None

    def text(value: Any) -> str | None:
        # PostgreSQL writes true and false.
        written = str(value).lower() if isinstance(value, bool) else str(value)
        return None if value is None else written

    since = entries[closes[-1] :]
    published, current = since[0], since[-1]
    changes = []
    for key in in_key_order(published.rows.keys() | current.rows.keys()):
        for column in VALUES:
            old, new = value(published, key, column), value(current, key, column)
            if old == new:
                continue
            changed_by = [
                entry
                for before, entry in pairwise(since)
                if value(before, key, column) != value(entry, key, column)
            ]
            changes.append(
                Change(
                    *key,
                    "added" if old is None else "removed" if new is None else "changed",
                    column,
                    text(old),
                    text(new),
                    (new or 0) - (old or 0) if column == "aum_balance" else None,
                    *changed_by[-1][:3],
                )
            )
    return changes


# --- Validating a month -------------------------------------------------------


class Check(NamedTuple):
    """One check: figures are the numbers that its detail must tell, in this order."""

    name: str
    severity: Literal["error", "drift", "warning", "info"]
    violations: int
    figures: tuple[int | Decimal, ...]
    sample: list[Key]


def validate(sources: Sources, month: date, stored: Stored, control: Control) -> list[Check]:
    """Hold the stored rows of a month against the sources, by the rule that last wrote it."""
    rows = stored.get(month, {})
    rule = control.last_rule or "current"
    expected = snapshot(sources, month, rule)
    facts = facts_of(sources, month, rule)
    stale = kept_as_stale(sources, month, rows, rule)
    right = expected | stale
    covered = keys_by("as_of", month, sources)
    is_newest = not any(stored[other] for other in stored if other > month)
    holders = {company_id for company_id, _ in expected}
    checks: list[Check] = []

    def check(name: str, severity, keys: Iterable[Key], *figures, violations: int | None = None):
        """Keys at fault; as many violations, unless said otherwise."""
        at_fault = in_key_order(set(keys))
        count = len(at_fault) if violations is None else violations
        checks.append(Check(name, severity, count, figures or (count,), at_fault[:5]))

    def is_error(key: Key) -> bool:
        """Whether refreshing the month would end a difference, and should."""
        if not control.last_rule:
            return False
        if key in control.by_hand and (control.had_errors or not control.is_closed):
            return True
        return not control.is_closed and is_newest and (key in rows or key in covered)

    def is_aum_error(key: Key) -> bool:
        return is_error(key) or bool(control.last_rule and not control.is_closed)

    def compare(name: str, faults: Mapping[Key, bool], *figures, amounts=None):
        """A line of the keys at fault that are errors, and one of the others."""
        for severity in ("error", "drift"):
            keys = {key for key in faults if faults[key] == (severity == "error")}
            aum = [total(amounts[key] for key in keys)] if amounts is not None else []
            check(name, severity, keys, len(keys), *figures, *aum)

    # error: the month contradicts itself, or what is known of it; which is for pgTAP to try.
    check("verdict", "info", [], violations=0)
    check("snapshot_exists", "error", [], len(rows), len(expected), violations=0 if rows else 1)
    check("log_totals", "error", [])
    check("control_row", "error", [])
    check("control_totals", "error", [])
    check("summary", "error", [])
    check("blank_key", "error", (key for key in rows if any(map(is_blank, key))))
    check("duplicate_key", "error", [])
    news = {key: row.is_winning_this_year and not row.is_existing for key, row in rows.items()}
    check("contradiction", "error", (key for key in rows if rows[key].is_new != news[key]))
    check("orphaned_company", "error", (key for key in rows if key[0] not in sources.customers))
    strange = (key for key in rows if key[1] not in sources.product_lines)
    check("orphaned_product_line", "error", strange)
    # The readers of the sources against the tables' own columns: not for an oracle to doubt.
    check("source_reading", "error", [], violations=0)

    # error or drift: the sources say otherwise.
    for column in VALUES:
        wrong = [
            key
            for key in rows.keys() & right.keys()
            if getattr(rows[key], column) != getattr(right[key], column)
        ]
        year = [month.year] if column in ("is_winning_this_year", "is_churned_this_year") else []
        if column == "aum_balance":
            more = {key: right[key].aum_balance - rows[key].aum_balance for key in wrong}
            compare(column, {key: is_aum_error(key) for key in wrong}, amounts=more)
        else:
            compare(column, {key: is_error(key) for key in wrong}, *year)
    details = details_of(sources, month)
    missing = {
        key: is_aum_error(key) if row.aum_balance and key in covered else is_error(key)
        for key, row in expected.items()
        if key not in rows
    }
    compare("missing_row", missing, amounts=defaultdict(Decimal, facts.aum))
    unsupported = {
        key: is_error(key)
        if rows[key].aum_balance == rounded(facts.aum.get(key, Decimal(0)))
        else is_aum_error(key)
        for key in rows.keys() - right.keys()
    }
    compare(
        "unsupported_row", unsupported, amounts={key: rows[key].aum_balance for key in unsupported}
    )

    # warning: something that the month cannot show.
    check("never_written", "warning", [], violations=int(bool(rows) and not control.last_rule))
    check("stale_row", "warning", stale, len(stale), total(rows[key].aum_balance for key in stale))
    for name, events in (("unmatched_award", sources.awards), ("unmatched_loss", sources.losses)):
        reported = [event.key for event in events_of(events, month, rule)]
        unmatched = [key for key in reported if key not in rows]
        check(
            name,
            "warning",
            unmatched,
            len(unmatched),
            len(reported),
            month.year,
            sum(any(map(is_blank, key)) for key in unmatched),
            sum(not any(map(is_blank, key)) and key[0] not in holders for key in unmatched),
            violations=len(unmatched),
        )

    check("late_change", "warning", [])

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
    temporary = [key for key in rows if str(key[0]).startswith("IN") and len(str(key[0])) == 18]
    check(
        "temporary_customer",
        "info",
        temporary,
        len(temporary),
        16,
        total(rows[key].aum_balance for key in temporary),
    )
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
    check("aum_unattributed", "info", [], rounded(aum - attributed), violations=0)
    check("rounding", "info", [], attributed - balance, balance, violations=0)
    return checks


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


def read_control(connection: psycopg.Connection) -> dict[date, Control]:
    """What is known of each month."""
    stale = defaultdict(list)
    for month, *part in connection.execute(
        "SELECT snapshot_month, product_line_code, stale_rows, stale_aum"
        " FROM customer.monthly_status_summary WHERE product_line_code <> '' AND stale_rows > 0"
    ):
        stale[month].append(tuple(part))
    return {
        month: Control(
            rule, frozenset(stale[month]), *values, frozenset(map(tuple, by_hand)), had_errors
        )
        for month, rule, *values, by_hand, had_errors in connection.execute(
            """
            SELECT snapshot_month, last_rule, baseline_rows, baseline_aum,
                   closed_at IS NOT NULL,
                   ARRAY(
                       SELECT ARRAY[company_id, product_line_code]
                       FROM customer.monthly_status_history AS event
                       JOIN customer.monthly_snapshot_log AS entry USING (log_id)
                       WHERE event.snapshot_month = control.snapshot_month
                           AND entry.operation = 'by_hand'
                           AND log_id > ALL (
                               SELECT log_id
                               FROM customer.monthly_snapshot_log
                               WHERE snapshot_month = control.snapshot_month
                                   AND operation IN ('refresh', 'restate', 'discard')
                           )
                   ),
                   EXISTS (
                       SELECT
                       FROM customer.monthly_snapshot_log
                       WHERE log_id = last_log_id AND operation = 'close' AND accepted
                   )
            FROM customer.monthly_snapshot_control AS control
            """
        )
    }
