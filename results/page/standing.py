"""Judge a run, finished or not: comparisons, the fastest implementation of each problem, and undecided questions."""

import functools
import math
from collections.abc import Callable, Iterable, Set
from dataclasses import dataclass
from typing import Any

import pandas as pd

from results.output import records, words
from results.stats.pairing import ratios_to_each
from results.stats.pools import earlier_runs, pools_from_runs
from results.stats.quiet_or_busy import judge_machine, judge_while_quiet
from results.stats.verdict_tables import add_verdicts_to_each
from results.stats.verdicts import EQUIVALENT, FASTER, SLOWER
from results.store.columns import CASE
from results.store.outcomes import Row, by_size, drop_duplicates, expert_tuned, groups, is_wrong, outcomes
from results.store.reading import Run

DECIDED_VERDICTS = (FASTER, SLOWER, EQUIVALENT)
FRAMEWORK_NAMES = {"numpy": "NumPy", "torch": "torch", "jax": "JAX", "numba": "Numba"}
FRAMEWORK_NAMES |= {"tensorflow": "TensorFlow", "dask": "Dask"}
UNCOLOURED_NAMES = {"keras": "Keras", "mlx": "MLX", "sklearn": "scikit-learn"}  # in charts they are among the others
MANY_FRAMEWORKS = 4  # they are not named
UNLIKELY_GAIN = 0.05  # of a block for a question that more blocks may never decide


@dataclass(frozen=True)
class Winner:
    """The fastest implementation of one group of cases.

    best: row of the shortest step. ratio: its judged ratio to the baseline, or None. shown: whether its framework is
    shown to be the fastest.
    rivals: implementations that are not shown to be slower; also those with times that do not count, though their
    weights were right. tuned: expert-tuned ones with their judged ratios.
    """

    best: Row
    ratio: dict[str, Any] | None
    shown: bool
    rivals: list[str]
    tuned: list[tuple[str, dict[str, Any]]]


@dataclass(frozen=True)
class Look:
    """The state of an unfinished run. comparisons, decided: numbers, with the baseline. fastest: in words, by problem.

    questions: undecided comparisons with the baseline, and between the fastest of a problem and its rivals: the names
        of both cases, see `case_name`, and the gain of a block, 1 if it may decide, 1/2 if two may, and so on.
    """

    comparisons: int
    decided: int
    fastest: list[str]
    questions: list[tuple[tuple[str, str], float]]


def look(run: Run, baseline: str) -> Look:
    """Return what the blocks of an unfinished run decide, and which questions are open."""
    pairs = judge_pairs(run, baseline, finished=False)
    with_baseline = compared_with(pairs, baseline)
    winners = find_winners(run, pairs, baseline)
    undecided = pairs[(pairs["refused"] == "") & ~pairs["verdict"].isin(DECIDED_VERDICTS)]
    best = {(case_name(winner.best), rival) for winner in winners if not winner.shown for rival in winner.rivals}
    questions = []
    for row in records(undecided[undecided["impl"] != undecided["baseline"]]):
        other = case_name(row | {"impl": row["baseline"]})
        if row["baseline"] == baseline or (other, row["impl"]) in best:
            needed = row["needed"]
            known = needed is not None and math.isfinite(needed)
            gain = 1 / max(needed - row["blocks"], 1) if known else UNLIKELY_GAIN
            questions.append(((other, case_name(row)), gain))
    decided = int(with_baseline["verdict"].isin(DECIDED_VERDICTS).sum())
    return Look(len(with_baseline), decided, in_words(winners)[0], questions)


def case_name(row: Row) -> str:
    """Return the name of a case without its block: `numpy_manual-cpu-small-float32`."""
    return "-".join(words(row[name]) for name in ("impl", "device", "problem", "dtype"))


@functools.lru_cache(maxsize=8)
def judge_pairs(run: Run, baseline: str, finished: bool = True) -> pd.DataFrame:
    """Return the judged ratios of every two implementations of a run, in one family, see `add_verdicts_to_each`.

    finished: False while blocks will follow. A BUSY machine shows large differences at most, and what it showed before.
    """
    pools = pools_from_runs(run, earlier_runs(run), baseline).by_pair

    def judge(part: Run) -> pd.DataFrame:
        return add_verdicts_to_each(ratios_to_each(part.rows), baseline, pools, finished and part is run)

    return judge_while_quiet(run, judge, [*CASE, "baseline"])


def compared_with(pairs: pd.DataFrame, baseline: str) -> pd.DataFrame:
    """Return the judged ratios to the baseline, of cases that can be compared, without the baseline's own."""
    return pairs[(pairs["baseline"] == baseline) & (pairs["impl"] != baseline) & (pairs["refused"] == "")]


def find_winners(run: Run, pairs: pd.DataFrame, baseline: str, apart: Set[str] | None = None) -> list[Winner]:
    """Return the winner of each problem, dtype and device, the smallest problem first.

    apart: implementations that are no winners beside others (default: the expert-tuned ones).
    """
    rows = records(drop_duplicates(run, outcomes(run)))
    ratios = {tuple(row[name] for name in CASE): row for row in records(compared_with(pairs, baseline))}
    timed = [row for row in rows if row["step_reads"] == "X" and not is_wrong(row)]  # refused ones have no row
    experts = expert_tuned(run) if apart is None else apart
    winners, silent = [], math.isinf(judge_machine(run).claims_from)
    shown_slower = pairs.loc[pairs["verdict"] == SLOWER, ["baseline", *CASE]]  # than another one, the "baseline"
    slower = set(shown_slower.itertuples(index=False, name=None))
    for _, group in groups(timed, *CASE[1:]):
        measured = [row for row in group if row["status"] == "measured"]
        usual = [row for row in measured if row["impl"] not in experts] or measured
        if not usual:
            continue
        named = {row["impl"]: ratios.get(tuple(row[name] for name in CASE)) for row in measured}
        compared = any(named[row["impl"]] for row in usual)
        best = min(usual, key=lambda row: _rank(row, named[row["impl"]], baseline if compared else ""))
        tuned = [(impl, ratio) for impl, ratio in named.items() if impl in experts and ratio]
        others = [row for row in group if row is not best and (row in usual or row["impl"] not in experts)]
        rivals = [row["impl"] for row in others if (best["impl"], *[row[name] for name in CASE]) not in slower]
        same = {framework(impl) for impl in rivals} <= {framework(best["impl"])}
        decided = len(rivals) < len(others) or not silent  # by a verdict, at the least, that a BUSY run may keep
        shown = decided and same and len(usual) > 1 and best["impl"] not in experts
        winners.append(Winner(best, named[best["impl"]], shown, rivals, tuned))
    return sorted(winners, key=lambda winner: (*by_size(winner.best), *(winner.best[name] for name in CASE[1:3])))


def _rank(row: Row, ratio: dict[str, Any] | None, baseline: str) -> tuple[Any, ...]:
    """Return a sort key: the ratio to the baseline; without one, or without a baseline, the time per step."""
    known = 1.0 if row["impl"] == baseline else ratio["ratio"] if ratio else math.inf if baseline else 1.0
    return known, row["per_step_s"], words(row["impl"])


def framework(impl: str) -> str:
    """Return the framework of an implementation as its users write it."""
    name = words(impl).partition("_")[0]
    return (FRAMEWORK_NAMES | UNCOLOURED_NAMES).get(name, name)


def in_words(
    winners: Iterable[Winner], label: Callable[[Row], str] = lambda row: words(row["problem"])
) -> tuple[list[str], list[str]]:
    """Return which framework is fastest on which problems, `JAX on small`, and which may be, `JAX or torch on line`.

    If many may be, they have no names. label: names a problem.
    """
    problems: dict[bool, dict[str, dict[str, None]]] = {True: {}, False: {}}
    for winner in winners:
        names = sorted({framework(impl) for impl in (winner.best["impl"], *winner.rivals)}, key=str.lower)
        rivals = " or ".join(names) if 1 < len(names) < MANY_FRAMEWORKS else ""
        name = framework(winner.best["impl"]) if winner.shown else rivals
        problems[winner.shown].setdefault(name, {})[label(winner.best)] = None
    shown, undecided = (
        [f"{name} on {', '.join(of)}".strip() for name, of in part.items()] for part in problems.values()
    )
    return shown, undecided
