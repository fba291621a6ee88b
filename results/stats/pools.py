"""Collect the distances between blocks in earlier runs of a machine, for the agreement rule and for few blocks."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import pandas as pd

from results.output import records, words
from results.stats.few_blocks import EARLIER_DISTANCES, Array, distances
from results.stats.noise import edited_code
from results.stats.pairing import Labels, ratios_to, without_duplicates
from results.stats.verdict_tables import SPREADS, STEP_LEVEL
from results.store.columns import CASE
from results.store.reading import Run, other_machine
from results.store.runs import read_all

CONFIGURATION = ["device", "threads", "ranks", "precision", "framework", "version", "kernels", "code"]
FEW_BLOCKS = 2  # or fewer: the interval of a time comes from earlier runs
MAX_RUNS = 8  # the latest earlier runs in the folder of a run


@dataclass(frozen=True)
class Pools:
    """Distances of earlier runs by pair (baseline, implementation). used: their runs. notes: on runs used or not."""

    by_pair: dict[Labels, Array]
    used: list[str]
    notes: list[str]


def pools_from_runs(run: Run, others: Iterable[Run], baseline: str) -> Pools:
    """Return the distances of the implementations of `run` to the baseline in earlier runs, over all their problems.

    A run counts if it is earlier and of the same machine; a pair counts if both implementations have the same
    CONFIGURATION in both runs. Within the repository, all versions of a file count as the same code. Elsewhere the code
    must be equal. Code that is not recorded is never the same.
    """
    collected: dict[Labels, list[Array]] = {}
    earlier, unused, new = list[Run](), dict[str, list[str]](), _configurations(run)
    for other in others:
        if other.label == run.label or not other.when < run.when:
            continue
        if reason := other_machine(run, other):
            unused.setdefault(f": {reason}", []).append(other.label)
            continue
        old, count = _configurations(other), sum(map(len, collected.values()))
        changed = sorted(name for name in new if name in old and not _is_same(new[name], old[name]))
        for row in records(ratios_to(other.rows, baseline)):
            impls = {baseline, row["impl"]}
            if row["refused"] == "" and row["impl"] != baseline and impls <= set(new) and impls.isdisjoint(changed):
                collected.setdefault(row["pair"], []).append(distances(np.asarray(row["logs"])))
        earlier += [other] if sum(map(len, collected.values())) > count else []
        for name in changed:
            unused.setdefault(f" for {_differing(new, old, name)}", []).append(other.label)
    used = [other.label for other in earlier]
    notes = [f"Noise of earlier runs used: {', '.join(used)}."] if earlier else []
    notes += [line for other in earlier for line in edited_code(other, run, (other.label, run.label))]
    notes += [f"Noise of {', '.join(labels)} not used{reason}." for reason, labels in unused.items()]
    return Pools({pair: np.concatenate(arrays) for pair, arrays in collected.items()}, used, notes)


def step_spreads(run: Run, others: Iterable[Run]) -> dict[str, float]:
    """Return by implementation the STEP_LEVEL quantile of the log ratios between the times per step of two processes.

    It comes from earlier runs of the same machine with the same CONFIGURATION, and needs EARLIER_DISTANCES of them.
    """
    new, arrays_by_impl = _configurations(run), dict[str, list[Array]]()
    for other in others:
        if other.label == run.label or not other.when < run.when or other_machine(run, other):
            continue
        old, rows = _configurations(other), without_duplicates(other.rows)
        same = [name for name in new if name in old and _is_same(new[name], old[name])]
        rows = rows[rows["valid"].astype(bool) & rows["impl"].isin(same)]
        for (impl, *_), seconds in rows.groupby(CASE)["per_step_s"]:
            arrays_by_impl.setdefault(str(impl), []).append(distances(np.log(seconds.to_numpy(float))))
    spreads = {impl: spread_of(arrays) for impl, arrays in arrays_by_impl.items()}
    return {impl: spread for impl, spread in spreads.items() if not math.isnan(spread)}


def spread_of(arrays: Sequence[Array]) -> float:
    """Return the STEP_LEVEL quantile of the distances of an implementation; NaN for fewer than EARLIER_DISTANCES."""
    pool = np.concatenate([np.empty(0), *arrays])
    return float(np.quantile(pool, STEP_LEVEL)) if len(pool) >= EARLIER_DISTANCES else math.nan


def with_spreads(table: pd.DataFrame, run: Run, a: str, b: str) -> pd.DataFrame:
    """Return a table of the ratios of B to A in a run with a_spread and b_spread: see `step_spreads`.

    They are NaN for rows with more than FEW_BLOCKS blocks, and where they are unknown.
    """
    few = table["blocks"] <= FEW_BLOCKS
    spreads = step_spreads(run, earlier_runs(run)) if few.any() else {}
    columns = {name: few.map({True: spreads.get(impl, math.nan)}) for name, impl in zip(SPREADS, (a, b), strict=True)}
    return table.assign(**columns)


@lru_cache(maxsize=8)
def earlier_runs(run: Run) -> tuple[Run, ...]:
    """Return the latest MAX_RUNS readable runs before `run` in its folder, by the number in their names."""
    file = run.path.absolute()
    paths = sorted(path for path in file.parent.glob("*.json") if path.name < file.name)[-MAX_RUNS:]
    runs, _ = read_all(paths, file.parents[min(2, len(file.parents) - 1)])
    return tuple(runs)


Configurations = set[tuple[str, ...]]


def _is_same(new: Configurations, old: Configurations) -> bool:
    return new == old and all(code != words(None) for *_, code in new)


def _configurations(run: Run) -> dict[str, Configurations]:
    """Return the values of CONFIGURATION by implementation."""
    rows = without_duplicates(run.rows).dropna(subset=["impl"])
    rows = rows[["impl", "file", *CONFIGURATION]].drop_duplicates()
    in_repository = rows["code"].notna() & np.array(["/" in words(file) for file in rows["file"]], bool)
    values = rows.assign(code=rows["code"].mask(in_repository, rows["file"]))[CONFIGURATION].map(words)
    return {str(impl): set(group.itertuples(index=False, name=None)) for impl, group in values.groupby(rows["impl"])}


def _differing(new: dict[str, Configurations], old: dict[str, Configurations], impl: str) -> str:
    """Return an implementation with the values that differ: `jax_scan: version 0.10.1 there, 0.10.2 here`."""
    texts = []
    for index, name in enumerate(CONFIGURATION):
        values = [", ".join(sorted({facts[index] for facts in side[impl]})) for side in (old, new)]
        texts += [f"{name} {values[0]} there, {values[1]} here"] if values[0] != values[1] else []
    if not texts and not _is_same(new[impl], new[impl]):
        return f"{impl}: code not recorded"
    return f"{impl}: {'; '.join(texts) or 'other combinations of device and threads'}"
