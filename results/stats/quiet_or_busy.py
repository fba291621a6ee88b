"""Judge whether a machine was QUIET or BUSY during a run, from what the run recorded.

A BUSY run claims only differences above LARGE_RATIO, and a very busy one claims none. Verdicts of its first blocks
stay, if the machine was QUIET in them.

`make quiet-check` measures the numbers of MEASURES beside busy loops: results/quiet.json, docs/statistics.md.
"""

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import takewhile
from typing import Any

import numpy as np
import pandas as pd

from results.output import digits, short_percent
from results.stats.pairing import duplicate_ratios
from results.stats.verdicts import EQUIVALENT, FASTER, SLOWER, UNDECIDED
from results.store.reading import Run, RunError, mapping, number, sequence

QUIET, BUSY, UNKNOWN = "QUIET", "BUSY", "unknown"
BUSY_REASON = "the machine was busy"
LARGE_RATIO = 2.0  # largest assumed slowdown of one side on a busy machine, below the second limits
PERIOD_S = 0.1  # of a cgroup's quota, by default


@dataclass(frozen=True)
class Measure:
    """One number that a run records about its machine.

    name: field of `Quiet`. limit: the machine is BUSY above it. silent_limit: above it, no difference is claimed.
    template: text with {percent} or {number}. remedy: what to do.
    """

    name: str
    limit: float
    silent_limit: float
    template: str
    remedy: str

    def text(self, value: float) -> str:
        """Return the value as a phrase."""
        return self.template.format(percent=short_percent(value), number=digits(value))

    def figure(self, value: float) -> str:
        """Return the value with its unit."""
        return "-" if math.isnan(value) else short_percent(value) if "{percent}" in self.template else digits(value)


OTHERS_SHARE = 0.15  # of the CPU time of a run's cores
MEASURES = (
    Measure("difference", 0.10, 0.30, "the same code twice differs by {percent}", "repeat when the machine is idle"),
    Measure("others", OTHERS_SHARE, OTHERS_SHARE, "other programs used {percent} CPU", "stop other programs"),
    Measure("load", 1.0, 1.0, "load {number} per core", "stop other programs"),
    Measure("steal", 0.02, 0.10, "{percent} of the CPU stolen", "use a machine that is not shared"),
    Measure("throttled", 0.02, 0.02, "stopped by a quota {percent} of the time", "raise the quota, or lower --threads"),
    Measure("calibration", 2.0, 3.0, "calibration loop {number}x slower at times", "stop other programs"),
)


@dataclass(frozen=True)
class Quiet:
    """QUIET, BUSY or unknown, and the numbers behind it. NaN: not recorded.

    difference: median of |ratio - 1| of the A/A control, over its cases and blocks. others, steal, throttled: shares of
    the time. load: load average per core before the first block. calibration: 90th by 10th percentile of the loops.
    first_blocks: number of first blocks of a BUSY run that were QUIET together.
    """

    difference: float = math.nan
    others: float = math.nan
    load: float = math.nan
    steal: float = math.nan
    throttled: float = math.nan
    calibration: float = math.nan
    first_blocks: int = 0

    @property
    def above(self) -> list[Measure]:
        """Return the measures above their limits.

        The load average covers the minute before the run. It counts only if the CPU time of others is unknown.
        """
        measures = [measure for measure in MEASURES if measure.name != "load" or math.isnan(self.others)]
        return [measure for measure in measures if getattr(self, measure.name) > measure.limit]

    @property
    def missing(self) -> list[str]:
        """Return the records that a run lacks to be QUIET."""
        control = ["A/A control (--aa)"] * math.isnan(self.difference)
        return control + ["system load"] * (math.isnan(self.others) and math.isnan(self.load))

    @property
    def word(self) -> str:
        """Return QUIET, BUSY or unknown."""
        return BUSY if self.above else UNKNOWN if self.missing else QUIET

    @property
    def claims_from(self) -> float:
        """Return the factor by which two sides must differ to be called different: 1, LARGE_RATIO or infinity."""
        if any(getattr(self, measure.name) > measure.silent_limit for measure in self.above):
            return math.inf
        return LARGE_RATIO if self.above else 1.0

    @property
    def named(self) -> str:
        """Return the claims of a BUSY run as the beginning of a sentence; "" for other runs."""
        if math.isinf(self.claims_from):
            return "No winners are named"
        return f"Only differences above {LARGE_RATIO:.0f}x are named" if self.above else ""

    @property
    def named_early(self) -> str:
        """Return `named` for a page with the verdicts of `judge_while_quiet`."""
        if not self.first_blocks:
            return self.named
        early = f"what the first {self.first_blocks} blocks decided"
        large = "" if math.isinf(self.claims_from) else f"differences above {LARGE_RATIO:.0f}x, and "
        return f"Only {large}{early} {'are' if large else 'is'} named"

    @property
    def is_silent(self) -> bool:
        """Return whether the run claims nothing."""
        return math.isinf(self.claims_from) and not self.first_blocks

    @property
    def line(self) -> str:
        """Return the word with its worst reason, the claims and the remedy. Causes take precedence over noise."""
        return replace(self, first_blocks=0).line_early

    @property
    def line_early(self) -> str:
        """Return `line` for a page with the verdicts of `judge_while_quiet`."""
        if self.above:
            worst = max(self.above, key=lambda m: (getattr(self, m.name) > m.silent_limit, m.name != "difference"))
            return f"{BUSY}: {worst.text(getattr(self, worst.name))}. {self.named_early}: {worst.remedy}."
        recorded = [measure for measure in MEASURES if not math.isnan(getattr(self, measure.name))]
        facts = [f"not recorded: {name}" for name in self.missing]
        facts += [measure.text(getattr(self, measure.name)) for measure in recorded[:2]]
        return f"{self.word}: {'; '.join(facts)}."


@lru_cache(maxsize=64)
def judge_machine(run: Run) -> Quiet:
    """Return the state of a run's machine, by all rows without filters."""
    first = quiet_start(run)
    return replace(_measured(run), first_blocks=0 if first is None else int(first.all_rows["block"].nunique()))


@lru_cache(maxsize=64)
def quiet_start(run: Run) -> Run | None:
    """Return a BUSY run with only its first, QUIET blocks; None if they are fewer than two, and for other runs."""
    load = sequence(run.campaign.get("system_load"))
    early = [*takewhile(lambda block: _of_load([block]).others <= OTHERS_SHARE and not _of_load([block]).above, load)]
    later = {number(block.get("block")) for block in load[len(early) :]}
    while early and number(early[-1].get("block")) in later:  # a block in two parts
        early.pop()
    if _measured(run).word != BUSY or not 2 <= len(early) < len(load):
        return None
    end = number(early[-1].get("block"))
    rows = [rows[rows["block"] <= end] for rows in (run.rows, run.all_rows)]
    document = run.document | {"campaign": run.campaign | {"system_load": early}}
    first = replace(run, rows=rows[0], unfiltered=rows[1], document=document)
    return first if _measured(first).word == QUIET else None


def _measured(run: Run) -> Quiet:
    rows = run.all_rows
    originals = rows["impl"].isin(rows["duplicate_of"].dropna())
    pairs = duplicate_ratios(rows[originals | rows["duplicate_of"].notna()])
    logs = np.abs(np.concatenate([np.empty(0), *pairs.loc[pairs["refused"] == "", "logs"]]))
    loops = rows.loc[rows["calibration_s"] > 0, "calibration_s"]
    load = sequence(run.campaign.get("system_load"))
    cores = number(mapping(run.document["machine_info"]).get("cores"))
    return replace(
        _of_load(load),
        difference=math.expm1(float(np.median(logs))) if len(logs) else math.nan,
        load=number(load[0].get("load_before")) / cores if load and cores > 0 else math.nan,
        calibration=float(loops.quantile(0.9) / loops.quantile(0.1)) if len(loops) > 1 else math.nan,
    )


def _of_load(load: list[dict[str, Any]]) -> Quiet:
    """Return the shares of CPU time that a run lost, by the system load of its blocks."""
    names = ["seconds", "others", "steal", "throttled"]
    blocks = pd.DataFrame([[number(block.get(name)) for name in names] for block in load], columns=names, dtype=float)
    total_s = blocks["seconds"].sum()
    return Quiet(
        others=_share(blocks["others"] * blocks["seconds"], total_s),
        steal=_share(blocks["steal"] * blocks["seconds"], total_s),
        throttled=_share(blocks["throttled"] * PERIOD_S, total_s),
    )


def _share(values: "pd.Series[float]", total: float) -> float:
    return float(values.sum() / total) if values.notna().all() and 0 < total < math.inf else math.nan


def claims_from(runs: Iterable[Run]) -> float:
    """Return the factor by which two sides must differ to be called different, on the busiest machine of the runs."""
    return max((judge_machine(run).claims_from for run in runs), default=1.0)


def machine_lines(*runs: Run) -> str:
    """Return the line of one run, or of several with their labels. An answer begins with it."""
    lines = {run.label: judge_machine(run).line for run in runs}
    return " ".join(lines.values() if len(lines) == 1 else (f"{label}: {line}" for label, line in lines.items()))


def kernel_notes(*runs: Run) -> list[str]:
    """Return a line for each framework whose kernels an environment variable chose, with the label of the run."""
    notes = list[str]()
    for run in {run.label: run for run in runs}.values():
        kernels = run.rows[["framework", "kernels"]].dropna().drop_duplicates().sort_values("framework")
        label = f"{run.label}: " if len({run.label for run in runs}) > 1 else ""
        for name, settings in kernels.itertuples(index=False):
            notes.append(f"{label}Unequal: {settings} chose the kernels of {name}.")
    return notes


def judge_while_quiet(run: Run, judge: Callable[[Run], pd.DataFrame], key: list[str]) -> pd.DataFrame:
    """Return the judged table of a run. If it was BUSY, only verdicts of its first, QUIET blocks stand.

    key: the columns that identify a row.
    """
    table, first = withhold_if_busy(judge(run), [run]), quiet_start(run)
    if first is None:
        return table
    try:
        early = judge(first).assign(withheld="")
    except RunError:  # nothing to compare there
        return table
    early = early[early["verdict"].isin([FASTER, SLOWER])]
    rows, early_rows = (pd.MultiIndex.from_frame(frame[key].astype(str)) for frame in (table, early))
    stays = (table["verdict"] == UNDECIDED).to_numpy() & rows.isin(early_rows)
    order = dict(zip(rows, range(len(rows)), strict=True))
    joined = pd.concat([table[~stays], early[early_rows.isin(rows[stays])]])
    places = [order[name] for name in pd.MultiIndex.from_frame(joined[key].astype(str))]
    return joined.iloc[np.argsort(places)].reset_index(drop=True)


def withhold_if_busy(table: pd.DataFrame, runs: Iterable[Run]) -> pd.DataFrame:
    """Return a judged table, without the verdicts that `withhold_below` drops if a run behind it was BUSY."""
    return withhold_below(table, claims_from(runs))


def withhold_below(table: pd.DataFrame, factor: float) -> pd.DataFrame:
    """Return a judged table in which the two sides must differ by `factor`; 1 withholds nothing.

    FASTER and SLOWER stand if their interval lies beyond it. All other verdicts become UNDECIDED. A new column
    `withheld` holds the reason, or "".
    """
    is_large = (table["interval_low"] > factor) | (table["interval_high"] < 1 / factor)
    claims = table["verdict"].isin([FASTER, SLOWER, EQUIVALENT]) & ~is_large & (factor > 1)
    withheld = claims.map({True: BUSY_REASON, False: ""})
    return table.assign(verdict=table["verdict"].mask(claims, UNDECIDED), withheld=withheld)
