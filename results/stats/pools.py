"""Collect what blocks differed by in earlier runs of the same machine: for the agreement rule, and for few blocks."""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from results.output import records, words
from results.stats.few_blocks import EARLIER_DISTANCES, Array, distances
from results.stats.noise import edited_code
from results.stats.pairing import Labels, ratios_to, without_duplicates
from results.store.columns import CASE
from results.store.reading import Run, other_machine
from results.store.runs import read_all

CONFIGURATION = ["device", "threads", "ranks", "precision", "framework", "version", "kernels", "code"]
FEW_BLOCKS = 2  # up to which the interval of a time comes from earlier runs
STEP_LEVEL = 0.95
MAX_RUNS = 8  # the latest earlier runs in the folder of a run


@dataclass(frozen=True)
class Pools:
    """Distances of earlier runs by pair (baseline, implementation). used: their labels. notes: on runs used or not."""

    by_pair: dict[Labels, Array]
    used: list[str]
    notes: list[str]


def pools_from_runs(run: Run, others: Iterable[Run], baseline: str) -> Pools:
    """Return the distances of the implementations of `run` to the baseline in earlier runs, over all their problems.

    A run counts if it is earlier and of the same machine; a pair counts if both implementations have the same
    CONFIGURATION in both runs. `code` is the file for one in the repository, whose versions have one label; elsewhere
    the name says nothing, and code must be equal. Code that is not recorded is not the same.
    """
    collected: dict[Labels, list[Array]] = {}
    earlier, unused, here = list[Run](), dict[str, list[str]](), _configurations(run)
    for other in others:
        if other.label == run.label or not other.when < run.when:
            continue
        if reason := other_machine(run, other):
            unused.setdefault(f": {reason}", []).append(other.label)
            continue
        there, before = _configurations(other), sum(map(len, collected.values()))
        changed = sorted(name for name in here if name in there and not _is_same(here[name], there[name]))
        for row in records(ratios_to(other.rows, baseline)):
            both = {baseline, row["impl"]}
            if row["refused"] == "" and row["impl"] != baseline and both <= set(here) and both.isdisjoint(changed):
                collected.setdefault(row["pair"], []).append(distances(np.asarray(row["logs"])))
        earlier += [other] if sum(map(len, collected.values())) > before else []
        for name in changed:
            unused.setdefault(f" for {_differing(here, there, name)}", []).append(other.label)
    used = [other.label for other in earlier]
    notes = [f"Noise of earlier runs used: {', '.join(used)}."] if earlier else []
    notes += [line for other in earlier for line in edited_code(other, run, (other.label, run.label))]
    notes += [f"Noise of {', '.join(labels)} not used{reason}." for reason, labels in unused.items()]
    return Pools({pair: np.concatenate(parts) for pair, parts in collected.items()}, used, notes)


def step_spreads(run: Run, others: Iterable[Run]) -> dict[str, float]:
    """Return by implementation the STEP_LEVEL quantile of the log ratios between the times per step of two processes.

    It comes from earlier runs of the same machine with the same CONFIGURATION, and needs EARLIER_DISTANCES of them.
    """
    here, parts_by_impl = _configurations(run), dict[str, list[Array]]()
    for other in others:
        if other.label == run.label or not other.when < run.when or other_machine(run, other):
            continue
        there, rows = _configurations(other), without_duplicates(other.rows)
        same = [name for name in here if name in there and _is_same(here[name], there[name])]
        rows = rows[rows["valid"].astype(bool) & rows["impl"].isin(same)]
        for (impl, *_), seconds in rows.groupby(CASE)["per_step_s"]:
            parts_by_impl.setdefault(str(impl), []).append(distances(np.log(seconds.to_numpy(float))))
    pools = ((impl, np.concatenate(parts)) for impl, parts in parts_by_impl.items())
    return {impl: float(np.quantile(pool, STEP_LEVEL)) for impl, pool in pools if len(pool) >= EARLIER_DISTANCES}


@lru_cache(maxsize=8)
def earlier_runs(run: Run) -> tuple[Run, ...]:
    """Return the latest MAX_RUNS readable runs before `run` in its folder, by the number in their names."""
    own = run.path.absolute()
    paths = sorted(path for path in own.parent.glob("*.json") if path.name < own.name)[-MAX_RUNS:]
    runs, _ = read_all(paths, own.parents[min(2, len(own.parents) - 1)])
    return tuple(runs)


Configurations = set[tuple[str, ...]]


def _is_same(here: Configurations, there: Configurations) -> bool:
    return here == there and all(code != words(None) for *_, code in here)


def _configurations(run: Run) -> dict[str, Configurations]:
    """Return the values of CONFIGURATION by implementation."""
    rows = without_duplicates(run.rows).dropna(subset=["impl"])
    rows = rows[["impl", "file", *CONFIGURATION]].drop_duplicates()
    in_repository = rows["code"].notna() & np.array(["/" in words(file) for file in rows["file"]], bool)
    values = rows.assign(code=rows["code"].mask(in_repository, rows["file"]))[CONFIGURATION].map(words)
    return {str(impl): set(part.itertuples(index=False, name=None)) for impl, part in values.groupby(rows["impl"])}


def _differing(here: dict[str, Configurations], there: dict[str, Configurations], impl: str) -> str:
    """Return an implementation with the values that differ: `jax_scan: version 0.10.1 there, 0.10.2 here`."""
    texts = []
    for index, name in enumerate(CONFIGURATION):
        values = [", ".join(sorted({facts[index] for facts in side[impl]})) for side in (there, here)]
        texts += [f"{name} {values[0]} there, {values[1]} here"] if values[0] != values[1] else []
    if not texts and not _is_same(here[impl], here[impl]):
        return f"{impl}: code not recorded"
    return f"{impl}: {'; '.join(texts) or 'other combinations of device and threads'}"
