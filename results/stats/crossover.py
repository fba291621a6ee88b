"""At what n does implementation B overtake A? From the ratios at the measured n, a group of problems at a time.

A group shares d, k, dtype, device and batches. Between two measured n, log(B/A) is a straight line over log n, and so
are the ends of its simultaneous interval (ALPHA over the sizes of the page). B overtakes A where the estimate goes from
above 0 to below; its n may be where the band between the ends holds 0 around there. An n counts once: of several
problems with it, the one with the most paired blocks, then the first by name; times hang on sizes, not on the data.
"""

import math
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from results.output import Page, Section, digits, records, rows_of, seconds, times, words
from results.stats.noise import noise_section
from results.stats.pairing import ratios
from results.stats.signed_rank import ALPHA, FASTER, SLOWER, UNDECIDED, fewest_blocks, hodges_lehmann, interval
from results.store.columns import CASE
from results.store.reading import Run, RunError
from results.store.runs import join, nearest

Array = NDArray[np.float64]
KEY = CASE[1:]
ROUNDING = 1e-9  # of log n
GROUP = ["device", "dtype", "d", "k", "plan"]
NOTES = [
    "B/A above 1: B takes longer per step. Intervals: exact Wilcoxon over paired blocks, simultaneous for this page.",
    "Between the sizes log(B/A) is a straight line over log n, and so are the ends of its interval, which holds 1 over"
    " the n in brackets.",
]


@dataclass(frozen=True)
class Crossing:
    """Where log(B/A) changes its sign, between sizes `at` and `at + 1`; down: B becomes the faster one.

    low..high: where n may be; 0 and inf where the measured range does not tell.
    """

    at: int
    n: float
    low: float
    high: float
    down: bool


@dataclass(frozen=True, eq=False)
class Curve:
    """log(B/A) of one group at its rising n: the estimate and its interval, infinite where there are too few blocks."""

    n: Array
    middle: Array
    low: Array
    high: Array

    @property
    def span(self) -> str:
        """The measured range, or the only size."""
        return "n = " + " to ".join(dict.fromkeys(map(_count, self.n[[0, -1]])))

    @property
    def shown(self) -> NDArray[np.bool_]:
        """Where the interval leaves out 0."""
        return (self.low > 0) | (self.high < 0)

    @property
    def crossings(self) -> list[Crossing]:
        """Every change of sign, by rising n."""
        x = np.log(self.n)
        low, high = _roots(x, self.low), _roots(x, self.high)
        begins = [at for _, at, down in low if down] + [at for _, at, down in high if not down]
        ends = [at for _, at, down in high if down] + [at for _, at, down in low if not down]
        found = []
        for i, at, down in _roots(x, self.middle):
            begin = max((place for place in begins if place <= at + ROUNDING), default=-math.inf)
            end = min((place for place in ends if place >= at - ROUNDING), default=math.inf)
            found.append(Crossing(i, math.exp(at), math.exp(begin), math.exp(end), down))
        return found


def _roots(x: Array, y: Array) -> list[tuple[int, float, bool]]:
    """(i, at, down) of each change of sign: `at` from x[i] up to x[i + 1], `down` from above 0 to below."""
    y = np.clip(y, -1e9, 1e9)  # an infinite end leaves the line at once
    signed = [int(i) for i in np.flatnonzero(y)]
    return [
        (i, float(x[i] + (x[i + 1] - x[i]) * y[i] / (y[i] - y[i + 1])), bool(y[i] > 0))
        for i, j in pairwise(signed)
        if (y[i] > 0) != (y[j] > 0)
    ]


def crossover(runs: list[Run], a: str, b: str) -> Page:
    """Implementation B against A over n, a section per run. Raises RunError for names no run knows, or no ratio."""
    known = sorted({name for run in runs for name in run.rows["impl"].dropna()})
    for name in (a, b):
        if name not in known:
            raise RunError(f"no run here has an implementation {name!r}; {nearest(name, known)}")
    tables = [_points(run, a, b) for run in runs]
    number = sum(int((table["refused"] == "").sum()) for table in tables)
    if not number:
        reasons = dict.fromkeys(reason for table in tables for reason in table["refused"])
        raise RunError(f"nothing to compare: {' | '.join(reasons)}")
    sections = []
    for run, table in zip(runs, tables, strict=True):
        text = f"A = {a}; B = {b}; {run.machine}, {run.date}."
        sections += [Section(f"{b} against {a}: {run.label}", text), *_sections(table, a, b, number)]
    return Page(join(tables).drop(columns="logs"), [*sections, Section(notes=NOTES), noise_section(runs)])


def _points(run: Run, a: str, b: str) -> pd.DataFrame:
    """A row per problem: what `ratios` says of it, with its sizes; a second problem of a size is refused."""
    sides = [run.rows[run.rows["impl"] == name] for name in (a, b)]
    sizes = run.rows[run.rows["impl"].isin([a, b])].groupby(KEY)[["n", "d", "k", "batch"]].first()
    found = ratios(sides[0], sides[1], KEY).merge(sizes, left_on=KEY, right_index=True, how="left")
    batches = found["batch"].map(lambda rows: f"batches of {words(rows)}")
    found["plan"] = batches.mask(found["batch"] == found["n"], "full batch")
    found = found.sort_values(["blocks", "problem"], ascending=[False, True], ignore_index=True)
    compared = found[found["refused"] == ""]
    again = compared.index[compared.duplicated([*GROUP, "n"])]
    found.loc[again, "refused"] = "another problem of the same size counts"
    found.insert(0, "run", run.label)
    found.insert(1, "machine", run.machine)
    return found.sort_values([*GROUP, "n", "problem"], ignore_index=True)


def _sections(table: pd.DataFrame, a: str, b: str, number: int) -> list[Section]:
    """A sentence and a table per group, then what could not be compared; `table` gains intervals and crossings."""
    ends, crossing = ["interval_low", "interval_high"], ["crossing_n", "crossing_low", "crossing_high"]
    table[[*ends, *crossing]] = math.nan
    sections = []
    for _, group in table[table["refused"] == ""].groupby(GROUP):
        curve = _curve(group, number)
        table.loc[group.index, ends] = np.exp([curve.low, curve.high]).T
        for found in curve.crossings:
            table.loc[group.index[found.at], crossing] = [found.n, found.low, found.high]
        rows = records(table.loc[group.index])
        text = sentence(curve, a, b, _lacking(rows, number))
        sections.append(Section(_title(rows[0]), text, [_cells(row) for row in rows], level=3))
    refused = table.loc[table["refused"] != "", [*KEY, "refused"]]
    return [*sections, *([Section("Not compared", table=rows_of(refused), level=3)] if len(refused) else [])]


def _curve(group: pd.DataFrame, number: int) -> Curve:
    logs = [np.asarray(held) for held in group["logs"]]
    bands = np.array([interval(d, ALPHA / number) for d in logs])
    return Curve(group["n"].to_numpy(float), np.array([hodges_lehmann(d) for d in logs]), bands[:, 0], bands[:, 1])


def sentence(curve: Curve, a: str, b: str, lacking: str) -> str:
    """The answer for one group in words; `lacking` is what it would take to say more."""
    if len(curve.n) == 1:
        word = SLOWER if curve.low[0] > 0 else FASTER if curve.high[0] < 0 else UNDECIDED
        return f"one size only ({curve.span}): {b} is {word} there; {lacking}"
    throughout = f"in the whole measured range ({curve.span})"
    if curve.shown.any() and curve.crossings:
        return "; ".join(f"{_overtakes(at, a, b)} ({_between(at, curve)})" for at in curve.crossings)
    if curve.shown.all():
        never = f"never in the measured range ({curve.span}): {b} is slower throughout"
        return never if curve.low[0] > 0 else f"{b} is faster {throughout}"
    word = "faster than" if (curve.middle < 0).any() else "slower than" if (curve.middle > 0).any() else "as fast as"
    guess = "; ".join(_overtakes(at, a, b) for at in curve.crossings) or f"{b} is {word} {a} {throughout}"
    where = ", ".join(map(_count, curve.n[curve.shown]))
    return f"undecided: by the estimate {guess}, but {f'shown only at n = {where}' if where else lacking}"


def _overtakes(found: Crossing, a: str, b: str) -> str:
    first, second = (b, a) if found.down else (a, b)
    return f"{first} overtakes {second} at n = {_about(found.n)}"


def _between(found: Crossing, curve: Curve) -> str:
    low = _about(found.low) if found.low > 0 else f"below {_count(curve.n[0])}"
    return f"{low} to {_about(found.high) if math.isfinite(found.high) else f'above {_count(curve.n[-1])}'}"


def _lacking(rows: list[dict[str, Any]], number: int) -> str:
    """More sizes where there is one; else blocks where they give no interval, or else a difference."""
    row, blocks, fewest = rows[0], max(row["blocks"] for row in rows), fewest_blocks(number)
    if len(rows) == 1:
        at = "" if row["batch"] == row["n"] else f"@{row['batch']:.0f}"
        names = [f"{row['n'] * scale:.0f}x{row['d']:.0f}{at}" for scale in (1, 10)]
        return f"more sizes: --problem {','.join(names)},..." if row["k"] == 1 else "more sizes are needed"
    if blocks < fewest:
        return f"without an interval: {blocks} block{'s' * (blocks > 1)}, it takes {fewest} (--blocks {fewest})"
    return "no size shows a difference"


def _title(row: dict[str, Any]) -> str:
    return f"d = {words(row['d'])}, k = {words(row['k'])}, {words(row['dtype'])}, {words(row['device'])}, {row['plan']}"


def _cells(row: dict[str, Any]) -> dict[str, str]:
    low, high = row["interval_low"], row["interval_high"]
    return {
        "n": _count(row["n"]),
        "problem": words(row["problem"]),
        "A per step": seconds(row["a_s"]),
        "B per step": seconds(row["b_s"]),
        "B/A": times(row["ratio"]),
        "interval": f"{digits(low)} .. {digits(high)}" if math.isfinite(high) else "-",
        "paired blocks": words(row["blocks"]),
    }


def _count(n: float) -> str:
    return f"{n:,.0f}"


def _about(n: float) -> str:
    """Three digits that count: `12,300`."""
    return _count(float(f"{n:.3g}"))
