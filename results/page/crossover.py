"""Find the n at which implementation B becomes faster or slower than A, from the ratios at the measured n.

A group of problems shares d, k, dtype, device and batches. A size is shown if the simultaneous interval of its ratio
excludes 1. B overtakes A between two shown sizes, the smaller one slower and the larger one faster, without a shown
size between them. The crossing lies between these sizes, whatever the shape of the curve, if it crosses once there. The
n in between is an estimate, from log(B/A) that is linear in log n. Each n counts once: of several problems, the one
with the most paired blocks counts, then the first by name. Times depend on sizes, not on the values of the data.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from results.output import Page, Section, records, rows_of, times, with_rows, words
from results.stats.noise import noise_section
from results.stats.pairing import Labels, Selection, ratios, sides_along
from results.stats.pools import Pools, earlier_runs, pools_from_runs, with_spreads
from results.stats.prediction import as_jobs
from results.stats.quiet_or_busy import BUSY_REASON, claims_from, judge_machine, kernel_notes
from results.stats.signed_rank import Array
from results.stats.verdict_tables import SPREADS, interval_text, spread_notes, step_text, work_hint
from results.stats.verdicts import EQUIVALENT, FASTER, SLOWER, UNDECIDED, fewest_decisive, judge
from results.store.columns import CASE
from results.store.reading import Run, RunError
from results.store.runs import join, nearest

KEY = CASE[1:]
KEPT = ("n", "B/A", "interval", "verdict")  # in a narrow terminal
JOB_TITLE = "Jobs of {:,} steps in fresh processes"
GROUP = ["device", "dtype", "d", "k", "plan"]
NOTES = [
    "B/A above 1: B takes longer per step. Intervals: simultaneous for this page.",
    "A crossing is said only between two sizes whose verdicts are FASTER and SLOWER. It lies between them; n is an"
    " estimate, by a straight line in logarithms.",
]

JOB_NOTE = (
    "A job counts import, the first use of a device, preparation with the transfer of the data, compilation and steps."
)


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
    def shown(self) -> NDArray[np.bool_]:
        """Return for each n whether the interval lies on one side of 0. It may end at 0, as that of a verdict does."""
        return np.not_equal(self.low >= 0, self.high <= 0)

    @property
    def crossings(self) -> list[tuple[int, float, float, float]]:
        """Return each change of sign by n: the index before it, its estimated n, and the shown sizes around it."""
        return [
            (i, self._root(i, j), float(self.n[i]), float(self.n[j]))
            for i, j in pairwise(np.flatnonzero(self.shown).tolist())
            if (self.low[i] >= 0) != (self.low[j] >= 0)
        ]

    def _root(self, i: int, j: int) -> float:
        """Return the n between sizes i and j at which the estimate is 0: the geometric mean, if there are several."""
        x, y = np.log(self.n[i : j + 1]), self.middle[i : j + 1]
        before = np.flatnonzero(np.sign(y[:-1]) * np.sign(y[1:]) < 0)
        roots = x[before] + (x[before + 1] - x[before]) * y[before] / (y[before] - y[before + 1])
        return float(np.exp(np.concatenate([roots, x[y == 0]]).mean()))


def crossover(
    runs: list[Run],
    a: str,
    b: str,
    features: int | None = None,
    family: int = 0,
    earlier: Callable[[Run], Sequence[Run]] = earlier_runs,
    over: str = "",
    job_steps: int = 0,
) -> Page:
    """Compare implementation B with A over n, one section per run.

    features: the only number of columns that is shown. family: the comparisons that intervals are corrected for
    (default: those of the page). earlier: returns the earlier runs whose noise counts, as in `compare`.
    over: the axis along which A and B differ within one run, as in `compare`. job_steps: also compare jobs of that many
    steps in fresh processes; 0 for none.
    Raises RunError for an unknown implementation, or if nothing is comparable.
    """
    sides = sides_along(a, b, over)
    (a, b), axis = map(str, sides), sides[0].axis
    impls = sorted({name for run in runs for name in run.rows["impl"].dropna()})
    for side in sides:
        if side.impl not in impls:
            raise RunError(f"no run here has an implementation {side.impl!r}; {nearest(side.impl, impls)}")
    jobs = [job_steps] if job_steps else []
    tables = {(run.label, steps): _ratios_by_size(run, sides, steps) for run in runs for steps in (0, *jobs)}
    if features is not None:
        counts = sorted({d for table in tables.values() for d in table["d"].dropna()})
        if features not in counts:
            raise RunError(f"no problem has {features} features; there are {', '.join(map(words, counts))}")
        tables = {key: table[table["d"] == features].reset_index(drop=True) for key, table in tables.items()}
    reasons = [reason for table in tables.values() for reason in table["refused"]]
    if all(reasons):
        raise RunError(f"nothing to compare: {' | '.join(dict.fromkeys(reasons))}{work_hint(reasons)}")
    comparisons = max(reasons.count(""), family)
    sections = []
    for run in runs:
        pools = Pools({}, [], []) if axis else pools_from_runs(run, earlier(run), a)
        text = f"A = {a}; B = {b}; {run.machine}, {run.date}."
        notes, machine = [*kernel_notes(run), *pools.notes], judge_machine(run).line
        sections += [Section(f"{b} against {a}: {run.label}", text, notes=notes, machine=machine)]
        if not axis:
            tables[run.label, 0] = with_spreads(tables[run.label, 0], run, a, b)
        sections += _sections(tables[run.label, 0], a, b, comparisons, claims_from([run]), pools.by_pair)
        for steps in jobs:
            sections += [Section(JOB_TITLE.format(steps), notes=[JOB_NOTE])]
            sections += _sections(tables[run.label, steps], a, b, comparisons, claims_from([run]), {}, "job")
    sections += [Section(notes=NOTES), noise_section(runs, comparisons)]
    tables_of_runs = [table.assign(job_steps=steps) if jobs else table for (_, steps), table in tables.items()]
    return Page(join(tables_of_runs).drop(columns=["logs", "pair", *SPREADS], errors="ignore"), sections)


def _ratios_by_size(run: Run, sides: tuple[Selection, Selection], job_steps: int) -> pd.DataFrame:
    """Return one row per problem: its `ratios` and sizes. A second problem of the same size is refused.

    job_steps: of the jobs that are compared; 0 for steps.
    """
    axis, key = sides[0].axis, [name for name in KEY if name != sides[0].axis]
    rows_a, rows_b = (side.rows(run) if axis else run.rows[run.rows["impl"] == side.impl] for side in sides)
    sizes = pd.concat([rows_a, rows_b]).groupby(key)[["n", "d", "k", "batch"]].first()
    if job_steps:
        rows_a, rows_b = (as_jobs(rows, job_steps, run.all_rows) for rows in (rows_a, rows_b))
    table = ratios(rows_a, rows_b, key, over=axis).merge(sizes, left_on=key, right_index=True, how="left")
    if axis:
        table[axis] = f"{sides[1].value} against {sides[0].value}"
    batches = table["batch"].map(lambda rows: f"batches of {words(rows)}")
    table["plan"] = batches.mask(table["batch"] == table["n"], "full batch")
    table = table.sort_values(["blocks", "problem"], ascending=[False, True], ignore_index=True)
    compared = table[table["refused"] == ""]
    duplicates = compared.index[compared.duplicated([*GROUP, "n"])]
    table.loc[duplicates, "refused"] = "another problem of the same size counts"
    table.insert(0, "run", run.label)
    table.insert(1, "machine", run.machine)
    return table.sort_values([*GROUP, "n", "problem"], ignore_index=True)


def _sections(
    table: pd.DataFrame,
    a: str,
    b: str,
    comparisons: int,
    factor: float,
    earlier: Mapping[Labels, Array],
    per: str = "step",
) -> list[Section]:
    """Return a sentence and a table per group, then the refused cases. Add intervals and crossings to `table`.

    factor: by which the two must differ to be called different.
    """
    interval_columns, crossing = ["interval_low", "interval_high"], ["crossing_n", "crossing_low", "crossing_high"]
    table[[*interval_columns, *crossing]] = math.nan
    compared = table.index[table["refused"] == ""]
    pairs = [(a, b)] * len(compared)
    verdicts = judge(list(table.loc[compared, "logs"]), comparisons=comparisons, pairs=pairs, earlier=earlier)
    for index, verdict in zip(compared, verdicts, strict=True):
        table.loc[index, interval_columns] = verdict.low, verdict.high
        table.loc[index, "verdict"] = verdict.word
    sections = []
    for _, group in table.loc[compared].groupby(GROUP):
        with np.errstate(divide="ignore"):  # without an interval, its low end is 0
            middle, low, high = np.log(group[["ratio", *interval_columns]].to_numpy(float)).T
        curve = Curve(group["n"].to_numpy(float), middle, low - math.log(factor), high + math.log(factor))
        named = np.where(curve.shown, np.where(curve.low >= 0, SLOWER, FASTER), UNDECIDED)
        equal = (group["verdict"] == EQUIVALENT).to_numpy() & ~curve.shown & (factor == 1)
        table.loc[group.index, "verdict"] = np.where(equal, EQUIVALENT, named)
        for position, *crossing_values in curve.crossings:
            table.loc[group.index[position], crossing] = crossing_values
        rows = records(table.loc[group.index])
        text = f"undecided: {BUSY_REASON}" if math.isinf(factor) else sentence(curve, a, b, _advice(rows, comparisons))
        if 1 < factor < math.inf:
            text += f"; the machine was busy, so only sizes at which they differ by more than {factor:.0f}x count"
        d, k, dtype, device = (words(rows[0][name]) for name in ("d", "k", "dtype", "device"))
        title = f"d = {d}, k = {k}, {dtype}, {device}, {rows[0]['plan']}"
        cells, notes = [_cells(row, per) for row in rows], spread_notes(table.loc[group.index])
        sections.append(Section(title, text, cells, notes=notes, level=3, keep=KEPT))
    refused = table.loc[table["refused"] != "", [*KEY, "refused"]]
    return [*sections, *with_rows(Section("Not compared", table=rows_of(refused), level=3))]


def sentence(curve: Curve, a: str, b: str, advice: str) -> str:
    """Return the answer for one group. `advice` says what a better answer needs."""
    if len(curve.n) == 1:
        word = UNDECIDED if not curve.shown[0] else SLOWER if curve.low[0] >= 0 else FASTER
        return f"one size only ({curve.range_text}): {b} is {word} there; {advice}"
    measured = f"measured range ({curve.range_text})"
    throughout = f"in the whole {measured}"
    crossings = []
    for i, n, low, high in curve.crossings:
        first, second = (b, a) if curve.low[i] >= 0 else (a, b)
        place = f"at about n = {_count(float(f'{n:.3g}'))} (between {_count(low)} and {_count(high)})"
        crossings.append(f"{first} overtakes {second} {place}")
    if crossings:
        return "; ".join(crossings)
    if curve.shown.all():
        never = f"never in the {measured}: {b} is slower throughout"
        return never if curve.low[0] >= 0 else f"{b} is faster {throughout}"
    word = "faster than" if (curve.middle < 0).any() else "slower than" if (curve.middle > 0).any() else "as fast as"
    one_sided = (curve.middle >= 0).all() or (curve.middle <= 0).all()
    estimate = f"{b} is {word} {a} {throughout}" if one_sided else f"{a} and {b} cross within the {measured}"
    sizes = ", ".join(map(_count, curve.n[curve.shown]))
    return f"undecided: by the estimate {estimate}, but {f'shown only at n = {sizes}' if sizes else advice}"


def _advice(rows: list[dict[str, Any]], comparisons: int) -> str:
    """Return what a group lacks: sizes if it has one, blocks if intervals are missing, else a difference."""
    row, blocks, fewest = rows[0], max(row["blocks"] for row in rows), fewest_decisive(len(rows), comparisons)
    if len(rows) == 1:
        batch = "" if row["batch"] == row["n"] else f"@{row['batch']:.0f}"
        names = [f"{row['n'] * scale:.0f}x{row['d']:.0f}{batch}" for scale in (1, 10)]
        return f"more sizes: --problem {','.join(names)},..." if row["k"] == 1 else "more sizes are needed"
    if blocks < fewest:
        return f"without an interval: {blocks} block{'s' * (blocks != 1)}, it takes {fewest} (--blocks {fewest})"
    return "no size shows a difference"


def _cells(row: dict[str, Any], per: str) -> dict[str, str]:
    return {
        "n": _count(row["n"]),
        "problem": words(row["problem"]),
        f"A per {per}": step_text(row["a_s"], row.get("a_spread", math.nan)),
        f"B per {per}": step_text(row["b_s"], row.get("b_spread", math.nan)),
        "B/A": times(row["ratio"]),
        "verdict": words(row["verdict"]),
        "interval": interval_text(row),
        "paired blocks": words(row["blocks"]),
    }


def _count(n: float) -> str:
    return f"{n:,.0f}"
