"""What scripts/bench prints: tables, or the same as JSON."""

import json
import statistics
import sys
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING

from rich.console import Console
from rich.table import Table

if TYPE_CHECKING:
    from bench import Measurement

FILL = "first fill"
SAME = "re-run, nothing changed"
ONE_PERCENT = "re-run, 1 % changed"
TWENTY_PERCENT = "re-run, 20 % changed"
RESTATED = "restate, all changed"
NIGHT = "a night, 1 % changed"
READING = {"trend, all months": "≤ 10", "total, all months": "≤ 10", "movement, 1 month": "≤ 300"}

# What all later versions together may add, as this : BASELINE, the last commit that kept no
# history and no summary and looked for no implausible month. Each version takes its share, so
# that the whole is never lost sight of. The other situations show their ratio alone.
BASELINE = "78fb56d"
AGAINST_BASELINE = {SAME: "≤ 1.1", FILL: "≤ 1.25", ONE_PERCENT: "≤ 1.6", RESTATED: "≤ 1.5"}


# --- Ratios ------------------------------------------------------------------


@dataclass(frozen=True)
class Ratio:
    """One figure that the package is held to."""

    situation: str
    what: str
    value: float
    bar: str  # as in "≥ 5" or "≤ 1.4"; empty: none
    at: str = ""  # "at least" or "at most", where one of two gave up

    @property
    def met(self) -> bool | None:
        """Whether it is certain that the bar, if there is one, is met."""
        if not self.bar:
            return None
        sign, bound = self.bar.split()
        if sign == "≥":
            return self.value >= float(bound) and self.at != "at most"
        return self.value <= float(bound) and self.at != "at least"


@dataclass(frozen=True)
class PairedRatio(Ratio):
    """The median of the ratios that the pairs of two commits' measurements have."""

    this: float = 0
    other: float = 0
    quartiles: tuple[float, float] = (0, 0)


def ratio_of_times(
    situation: str, what: str, over: "Measurement", under: "Measurement", bar: str, scale: int = 1
) -> Ratio:
    value = over.median("times") / under.median("times") / scale
    at = "at least" if over.timed_out else "at most" if under.timed_out else ""
    return Ratio(situation, what, value, bar, at)


def ratios(results: list["Measurement"]) -> Iterator[Ratio]:
    """The figures for which all has been measured."""

    def find(situation: str, contender: str, **state) -> "Measurement | None":
        state = {"indexes": True, "analysed": True, "other_months": 0} | state
        for result in results:
            if (result.situation, result.contender) == (situation, contender) and all(
                getattr(result.variant, name) == value for name, value in state.items()
            ):
                return result
        return None

    def times(situation, what, over, under, bar):
        # Of two that gave up, nothing is known.
        if over and under and not (over.timed_out and under.timed_out):
            yield ratio_of_times(situation, what, over, under, bar)

    def rivals(situation, rival, bar, what=None, **state):
        return times(
            situation,
            what or f"{rival} : package",
            find(situation, rival, **state),
            find(situation, "package", **state),
            bar,
        )

    yield from rivals(FILL, "row by row", "≥ 1")
    least = {FILL: ("floor", "≤ 1.4"), SAME: ("bare query that compares", "")}
    for situation, (query, bar) in least.items():
        package = find(situation, "package")
        yield from times(situation, f"package : {query}", package, find(situation, query), bar)
    yield from rivals(
        FILL, "row by row", "≥ 50", "row by row : package, no index on 规模明细", indexes=False
    )
    for situation, bar in ((SAME, "≥ 5"), (ONE_PERCENT, "≥ 4"), (TWENTY_PERCENT, "≥ 3")):
        yield from rivals(situation, "row by row", bar)
    for situation in (SAME, ONE_PERCENT, TWENTY_PERCENT):
        yield from rivals(situation, "materialized view", "≥ 1")

    package = find(SAME, "package")
    if package and not package.timed_out:
        yield Ratio(SAME, "kB of WAL of the package", package.median("wal") / 1000, "≤ 20")
        yield Ratio(SAME, "rows written by the package", package.median("written"), "≤ 0")
    package, rival = find(ONE_PERCENT, "package"), find(ONE_PERCENT, "row by row")
    if package and rival and package.wal and rival.wal:
        share = 100 * package.median("wal") / rival.median("wal")
        yield Ratio(ONE_PERCENT, "% of row by row's WAL", share, "≤ 5")
    package = find(TWENTY_PERCENT, "package")
    if package and not package.timed_out:
        yield Ratio(TWENTY_PERCENT, "% of updates HOT", 100 * package.median("hot"), "≥ 90")

    for situation in (FILL, SAME):
        for what, bar, state in (
            ("never analysed : fresh statistics", "≤ 1.5", {"analysed": False}),
            ("36 other months : none", "≤ 1.2", {"other_months": 36}),
        ):
            package, other = find(situation, "package"), find(situation, "package", **state)
            yield from times(situation, what, other, package, bar)
    for result in results:
        if result.kept:
            yield Ratio(NIGHT, f"kB kept by {result.contender}", result.kept / 1000, "")


def growth(results: list["Measurement"]) -> Iterator[Ratio]:
    """The time a row at the larger sizes, as a multiple of that at the least."""
    for situation, bar in ((FILL, "≤ 1.3"), (SAME, "≤ 1.5"), ("validation", "")):
        sizes = [
            result
            for result in results
            if (result.situation, result.contender) == (situation, "package")
        ]
        for large in sizes[1:]:
            scale = large.variant.scale // sizes[0].variant.scale
            what = f"time a row at {large.variant.scale} × : at 1 ×"
            yield ratio_of_times(situation, what, large, sizes[0], bar, scale)


def reading(results: list["Measurement"]) -> Iterator[Ratio]:
    """What a reader waits, and whether a year is linear: sums by customer spill to disk."""
    views = {
        (view.variant, view.situation): view for view in results if view.contender == "package"
    }
    for (variant, situation), view in views.items():
        stored = f"{variant.other_months + 1} months stored, {variant.scale} × production size"
        if situation in READING:
            milliseconds = 1000 * view.median("times")
            yield Ratio(situation, f"ms, {stored}", milliseconds, READING[situation])
        if "12 months" in situation:
            alone = views[variant, situation.replace("12 months", "1 month")]
            what = f"time a month : of one alone, {stored}"
            yield ratio_of_times(situation, what, view, alone, "≤ 1.3", 12)


def paired(results: list["Measurement"]) -> Iterator[PairedRatio]:
    """This state of the package : the other commit's, in each situation and variant."""
    others = {
        (result.situation, replace(result.variant, commit="")): result
        for result in results
        if result.variant.commit
    }
    for this in results:
        other = others.get((this.situation, this.variant))
        # Of two that gave up, nothing is known.
        if not other or (this.timed_out and other.timed_out):
            continue
        # Of one that gave up, there is a single time.
        pairs = zip(this.times, other.times, strict=not (this.timed_out or other.timed_out))
        values = sorted(ours / theirs for ours, theirs in pairs)
        lower, median, upper = (
            statistics.quantiles(values, n=4, method="inclusive") if values[1:] else 3 * values
        )
        yield PairedRatio(
            this.situation,
            this.variant.label,
            median,
            AGAINST_BASELINE.get(this.situation, "")
            if other.variant.commit.startswith(BASELINE)
            else "",
            "at least" if this.timed_out else "at most" if other.timed_out else "",
            this.median("times"),
            other.median("times"),
            (lower, upper),
        )


# --- Output ------------------------------------------------------------------


def human_bytes(count: float) -> str:
    for unit in ("B", "kB", "MB"):
        if count < 1000:
            return f"{count:.0f} {unit}"
        count /= 1000
    return f"{count:.1f} GB"


def human_time(seconds: float) -> str:
    if seconds >= 10:
        return f"{seconds:.1f} s"
    return f"{seconds * 1000:.{1 if seconds < 0.01 else 0}f} ms"


def all_ratios(results: list["Measurement"]) -> list[Ratio]:
    if any(result.variant.commit for result in results):
        return list(paired(results))
    grown = [result for result in results if result.part == "growth"]
    others = [result for result in results if result.part != "growth"]
    return [*ratios(others), *reading(results), *growth(grown)]


def print_json(server: str, results: list["Measurement"]) -> None:
    """Every run of every contender, and the ratios."""
    json.dump(
        {
            "server": server,
            "measurements": [asdict(result) for result in results],
            "ratios": [asdict(ratio) | {"met": ratio.met} for ratio in all_ratios(results)],
        },
        sys.stdout,
        indent=2,
        ensure_ascii=False,
    )
    print()


def verdict(ratio: Ratio) -> str:
    return {None: "", True: "met", False: "MISSED"}[ratio.met]


def table_of(title: str, left: tuple[str, ...], right: tuple[str, ...]) -> Table:
    table = Table(*left, title=title, title_justify="left", box=None, pad_edge=False)
    for heading in right:
        table.add_column(heading, justify="right")
    return table


def print_pairs(console: Console, results: list["Measurement"]) -> None:
    """One table for each state of the database."""
    pairs = list(paired(results))
    for what in dict.fromkeys(pair.what for pair in pairs):
        headings = ("this", "other", "this : other", "quartiles", "bar", "")
        table = table_of(what, ("situation",), headings)
        for pair in pairs:
            if pair.what == what:
                table.add_row(
                    pair.situation,
                    human_time(pair.this),
                    human_time(pair.other),
                    f"{pair.at} {pair.value:.2f}".strip(),
                    "–".join(f"{quartile:.2f}" for quartile in pair.quartiles),
                    pair.bar,
                    verdict(pair),
                )
        console.print(table)
        console.print()


def print_tables(server: str, results: list["Measurement"]) -> None:
    """One table for each state of the database, with medians; and one of ratios."""
    console = Console(width=140, highlight=False)
    console.print(f"{server}\n")
    if any(result.variant.commit for result in results):
        print_pairs(console, results)
        return
    for part, variant in dict.fromkeys((result.part, result.variant) for result in results):
        title = f"{part}: {variant.label}".removeprefix(": ")
        headings = ("median", "spread", "× package", "memory", "temp", "WAL", "written", "dead")
        table = table_of(title, ("situation", "contender"), (*headings, "HOT"))
        rows = [result for result in results if (result.part, result.variant) == (part, variant)]
        base = {row.situation: row.median("times") for row in rows if row.contender == "package"}
        for row in rows:
            time = row.median("times")
            ratio = f"{time / base[row.situation]:.2f}" if row.situation in base else "–"
            if row.timed_out:
                cells = [f"> {human_time(time)}", "gave up", f"> {ratio}"]
            else:
                cells = [
                    human_time(time),
                    f"{human_time(min(row.times))}–{human_time(max(row.times))}",
                    ratio,
                ]
            if row.temp:
                cells += [human_bytes(row.memory), human_bytes(row.median("temp"))]
            if row.wal:
                cells += [
                    human_bytes(row.median("wal")),
                    f"{row.median('written'):.0f}",
                    f"{row.median('dead'):.0f}",
                    f"{100 * row.median('hot'):.0f} %",
                ]
            table.add_row(row.situation, row.contender, *cells)
        console.print(table)
        console.print()

    table = table_of("ratios", ("situation", "what"), ("figure", "bar", ""))
    for ratio in all_ratios(results):
        table.add_row(
            ratio.situation,
            ratio.what,
            f"{ratio.at} {ratio.value:.2f}".strip(),
            ratio.bar,
            verdict(ratio),
        )
    console.print(table)
