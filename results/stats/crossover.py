"""Find the n at which implementation B becomes faster or slower than A, from the ratios at the measured n.

A group of problems shares d, k, dtype, device and batches. Between two measured n, log(B/A) is linear in log n, and so
are the ends of its simultaneous interval (level ALPHA over the sizes of the page). B overtakes A where the estimate
changes from above 0 to below. The interval of that n is the range around it in which the interval of log(B/A)
contains 0. Each n counts once: of several problems, the one with the most paired blocks counts, then the first by name.
Times depend on sizes, not on the values of the data.
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
from results.stats.quiet import WITHHELD, is_busy, judge_machine
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
    "Between the sizes log(B/A) is linear in log n, and so are the ends of its interval. The interval contains 1 at"
    " the n in brackets.",
]


@dataclass(frozen=True)
class Crossing:
    """A change of the sign of log(B/A) between sizes `index` and `index + 1`.

    n: estimate; low, high: its interval, 0 and inf beyond the measured range. down: B becomes the faster one.
    """

    index: int
    n: float
    low: float
    high: float
    down: bool


@dataclass(frozen=True, eq=False)
class Curve:
    """log(B/A) of one group by increasing n: estimate and interval, which is infinite for too few blocks."""

    n: Array
    middle: Array
    low: Array
    high: Array

    @property
    def range_text(self) -> str:
        """Return the measured range of n, or the only n, as text."""
        return "n = " + " to ".join(dict.fromkeys(map(_count, self.n[[0, -1]])))

    @property
    def significant(self) -> NDArray[np.bool_]:
        """Return for each n whether the interval excludes 0."""
        return (self.low > 0) | (self.high < 0)

    @property
    def crossings(self) -> list[Crossing]:
        """Return every change of sign, by increasing n."""
        x = np.log(self.n)
        low, high = _roots(x, self.low), _roots(x, self.high)
        begins = [root for _, root, down in low if down] + [root for _, root, down in high if not down]
        ends = [root for _, root, down in high if down] + [root for _, root, down in low if not down]
        crossings = []
        for i, root, down in _roots(x, self.middle):
            begin = max((other for other in begins if other <= root + ROUNDING), default=-math.inf)
            end = min((other for other in ends if other >= root - ROUNDING), default=math.inf)
            crossings.append(Crossing(i, math.exp(root), math.exp(begin), math.exp(end), down))
        return crossings


def _roots(x: Array, y: Array) -> list[tuple[int, float, bool]]:
    """Return (i, root, down) of each change of sign of y: x[i] <= root <= x[i + 1]; `down` is from above 0 to below."""
    y = np.clip(y, -1e9, 1e9)  # infinite ends of intervals
    nonzero = [int(i) for i in np.flatnonzero(y)]
    return [
        (i, float(x[i] + (x[i + 1] - x[i]) * y[i] / (y[i] - y[i + 1])), bool(y[i] > 0))
        for i, j in pairwise(nonzero)
        if (y[i] > 0) != (y[j] > 0)
    ]


def crossover(runs: list[Run], a: str, b: str) -> Page:
    """Compare implementation B with A over n, one section per run.

    Raises RunError for an unknown implementation, or if nothing is comparable.
    """
    known = sorted({name for run in runs for name in run.rows["impl"].dropna()})
    for name in (a, b):
        if name not in known:
            raise RunError(f"no run here has an implementation {name!r}; {nearest(name, known)}")
    tables = [_ratios_by_size(run, a, b) for run in runs]
    comparisons = sum(int((table["refused"] == "").sum()) for table in tables)
    if not comparisons:
        reasons = dict.fromkeys(reason for table in tables for reason in table["refused"])
        raise RunError(f"nothing to compare: {' | '.join(reasons)}")
    sections = []
    for run, table in zip(runs, tables, strict=True):
        text = f"{judge_machine(run).line} A = {a}; B = {b}; {run.machine}, {run.date}."
        sections += [
            Section(f"{b} against {a}: {run.label}", text),
            *_sections(table, a, b, comparisons, is_busy([run])),
        ]
    return Page(join(tables).drop(columns="logs"), [*sections, Section(notes=NOTES), noise_section(runs)])


def _ratios_by_size(run: Run, a: str, b: str) -> pd.DataFrame:
    """Return one row per problem: its `ratios` and sizes. A second problem of the same size is refused."""
    samples = [run.rows[run.rows["impl"] == name] for name in (a, b)]
    sizes = run.rows[run.rows["impl"].isin([a, b])].groupby(KEY)[["n", "d", "k", "batch"]].first()
    table = ratios(samples[0], samples[1], KEY).merge(sizes, left_on=KEY, right_index=True, how="left")
    batches = table["batch"].map(lambda rows: f"batches of {words(rows)}")
    table["plan"] = batches.mask(table["batch"] == table["n"], "full batch")
    table = table.sort_values(["blocks", "problem"], ascending=[False, True], ignore_index=True)
    compared = table[table["refused"] == ""]
    duplicates = compared.index[compared.duplicated([*GROUP, "n"])]
    table.loc[duplicates, "refused"] = "another problem of the same size counts"
    table.insert(0, "run", run.label)
    table.insert(1, "machine", run.machine)
    return table.sort_values([*GROUP, "n", "problem"], ignore_index=True)


def _sections(table: pd.DataFrame, a: str, b: str, comparisons: int, busy: bool) -> list[Section]:
    """Return a sentence and a table per group, then the refused cases. Add intervals and crossings to `table`."""
    interval_columns, crossing = ["interval_low", "interval_high"], ["crossing_n", "crossing_low", "crossing_high"]
    table[[*interval_columns, *crossing]] = math.nan
    sections = []
    for _, group in table[table["refused"] == ""].groupby(GROUP):
        curve = _curve(group, comparisons)
        table.loc[group.index, interval_columns] = np.exp([curve.low, curve.high]).T
        for x in curve.crossings:
            table.loc[group.index[x.index], crossing] = [x.n, x.low, x.high]
        rows = records(table.loc[group.index])
        text = f"undecided: {WITHHELD}" if busy else sentence(curve, a, b, _advice(rows, comparisons))
        sections.append(Section(_title(rows[0]), text, [_cells(row) for row in rows], level=3))
    refused = table.loc[table["refused"] != "", [*KEY, "refused"]]
    return [*sections, *([Section("Not compared", table=rows_of(refused), level=3)] if len(refused) else [])]


def _curve(group: pd.DataFrame, comparisons: int) -> Curve:
    samples = [np.asarray(logs) for logs in group["logs"]]
    intervals = np.array([interval(d, ALPHA / comparisons) for d in samples])
    estimates = np.array([hodges_lehmann(d) for d in samples])
    return Curve(group["n"].to_numpy(float), estimates, intervals[:, 0], intervals[:, 1])


def sentence(curve: Curve, a: str, b: str, advice: str) -> str:
    """Return the answer for one group. `advice` says what a better answer needs."""
    if len(curve.n) == 1:
        word = SLOWER if curve.low[0] > 0 else FASTER if curve.high[0] < 0 else UNDECIDED
        return f"one size only ({curve.range_text}): {b} is {word} there; {advice}"
    throughout = f"in the whole measured range ({curve.range_text})"
    if curve.significant.any() and curve.crossings:
        return "; ".join(f"{_overtakes(x, a, b)} ({_interval_text(x, curve)})" for x in curve.crossings)
    if curve.significant.all():
        never = f"never in the measured range ({curve.range_text}): {b} is slower throughout"
        return never if curve.low[0] > 0 else f"{b} is faster {throughout}"
    word = "faster than" if (curve.middle < 0).any() else "slower than" if (curve.middle > 0).any() else "as fast as"
    estimate = "; ".join(_overtakes(x, a, b) for x in curve.crossings) or f"{b} is {word} {a} {throughout}"
    sizes = ", ".join(map(_count, curve.n[curve.significant]))
    return f"undecided: by the estimate {estimate}, but {f'shown only at n = {sizes}' if sizes else advice}"


def _overtakes(crossing: Crossing, a: str, b: str) -> str:
    first, second = (b, a) if crossing.down else (a, b)
    return f"{first} overtakes {second} at n = {_about(crossing.n)}"


def _interval_text(crossing: Crossing, curve: Curve) -> str:
    low = _about(crossing.low) if crossing.low > 0 else f"below {_count(curve.n[0])}"
    return f"{low} to {_about(crossing.high) if math.isfinite(crossing.high) else f'above {_count(curve.n[-1])}'}"


def _advice(rows: list[dict[str, Any]], comparisons: int) -> str:
    """Return what a group lacks: sizes if it has one, blocks if intervals are missing, else a difference."""
    row, blocks, fewest = rows[0], max(row["blocks"] for row in rows), fewest_blocks(comparisons)
    if len(rows) == 1:
        batch = "" if row["batch"] == row["n"] else f"@{row['batch']:.0f}"
        names = [f"{row['n'] * scale:.0f}x{row['d']:.0f}{batch}" for scale in (1, 10)]
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
    """Return n rounded to three significant digits: `12,300`."""
    return _count(float(f"{n:.3g}"))
