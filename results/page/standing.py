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
MANY_FRAMEWORKS = 4  # or more are not named
UNLIKELY_GAIN = 0.05  # of a block for a question that more blocks may never decide


@dataclass(frozen=True)
class Winner:
    """The fastest implementation of one group of cases.

    best: row of the shortest step. ratio: its judged ratio to the baseline, or None. shown: whether its framework is
    shown to be the fastest.
    rivals: implementations that are not shown slower than any other, the fastest first, and correct ones without a
    valid time.
    tuned: expert-tuned implementations with their judged ratios.
    """

    best: Row
    ratio: dict[str, Any] | None
    shown: bool
    rivals: list[str]
    tuned: list[tuple[str, dict[str, Any]]]


@dataclass(frozen=True)
class Look:
    """The state of an unfinished run. comparisons, decided: numbers, with the baseline. fastest: in words, by problem.

    machine: QUIET, BUSY or unknown.
    questions: undecided comparisons, with the baseline or between the fastest of a problem and a rival. Each has the
        `case_name` of both and the gain of a block: 1 if one block may decide, 1/2 if two may, and so on.
    """

    machine: str
    comparisons: int
    decided: int
    fastest: list[str]
    questions: list[tuple[tuple[str, str], float]]

    @property
    def state(self) -> str:
        """Return the state of the machine and the number of decided comparisons in words."""
        return f"{self.machine}; {self.decided} of {self.comparisons} comparisons decided"


def look(run: Run, baseline: str) -> Look:
    """Return the decided comparisons and the open questions of an unfinished run."""
    pairs = judge_pairs(run, baseline, finished=False)
    with_baseline = compared_with(pairs, baseline)
    winners = find_winners(run, pairs, baseline)
    undecided = pairs[(pairs["refused"] == "") & ~pairs["verdict"].isin(DECIDED_VERDICTS)]
    best = {(case_name(winner.best), rival) for winner in winners if not winner.shown for rival in winner.rivals}
    questions = []
    for row in records(undecided[undecided["impl"] != undecided["baseline"]]):
        baseline_case = case_name(row | {"impl": row["baseline"]})
        if row["baseline"] == baseline or (baseline_case, row["impl"]) in best:
            total_blocks = row["needed"]
            is_finite = total_blocks is not None and math.isfinite(total_blocks)
            gain = 1 / max(total_blocks - row["blocks"], 1) if is_finite else UNLIKELY_GAIN
            questions.append(((baseline_case, case_name(row)), gain))
    decided = int(with_baseline["verdict"].isin(DECIDED_VERDICTS).sum())
    return Look(judge_machine(run).word, len(with_baseline), decided, in_words(winners)[0], questions)


def case_name(row: Row) -> str:
    """Return the name of a case without its block: `numpy_manual-cpu-small-float32`."""
    return "-".join(words(row[name]) for name in ("impl", "device", "problem", "dtype"))


@functools.lru_cache(maxsize=8)
def judge_pairs(run: Run, baseline: str, finished: bool = True) -> pd.DataFrame:
    """Return the judged ratios of every two implementations of a run, in one family, see `add_verdicts_to_each`.

    finished: False while blocks will follow. On a BUSY machine, only large differences and earlier verdicts stand.
    """
    pools = pools_from_runs(run, earlier_runs(run), baseline).by_pair

    def judge(judged_run: Run) -> pd.DataFrame:
        return add_verdicts_to_each(ratios_to_each(judged_run.rows), baseline, pools, finished and judged_run is run)

    return judge_while_quiet(run, judge, [*CASE, "baseline"])


def compared_with(pairs: pd.DataFrame, baseline: str) -> pd.DataFrame:
    """Return the judged ratios of comparable cases to the baseline, without the baseline itself."""
    return pairs[(pairs["baseline"] == baseline) & (pairs["impl"] != baseline) & (pairs["refused"] == "")]


def find_winners(run: Run, pairs: pd.DataFrame, baseline: str, apart: Set[str] | None = None) -> list[Winner]:
    """Return the winner of each problem, dtype and device, the smallest problem first.

    apart: implementations that win only without other candidates (default: the expert-tuned ones).
    """
    rows = records(drop_duplicates(run, outcomes(run)))
    ratios = {tuple(row[name] for name in CASE): row for row in records(compared_with(pairs, baseline))}
    timed = [row for row in rows if row["step_reads"] == "X" and not is_wrong(row)]  # refused ones have no row
    experts = expert_tuned(run) if apart is None else apart
    winners, silent = [], math.isinf(judge_machine(run).claims_from)
    shown_slower = pairs.loc[pairs["verdict"] == SLOWER, ["baseline", *CASE]]  # than the implementation in `baseline`
    slower = set(shown_slower.itertuples(index=False, name=None))
    for _, group in groups(timed, *CASE[1:]):
        measured = [row for row in group if row["status"] == "measured"]
        usual = [row for row in measured if row["impl"] not in experts] or measured
        if not usual:
            continue
        ratio_by_impl = {row["impl"]: ratios.get(tuple(row[name] for name in CASE)) for row in measured}
        compared = any(ratio_by_impl[row["impl"]] for row in usual)
        beaten = [row for row in group if any((one["impl"], *(row[name] for name in CASE)) in slower for one in usual)]
        ranked = sorted(usual, key=lambda row: _rank(row, ratio_by_impl[row["impl"]], baseline if compared else ""))
        best = next((row for row in ranked if row not in beaten), ranked[0])
        tuned = [(impl, ratio) for impl, ratio in ratio_by_impl.items() if impl in experts and ratio]
        untimed = [row for row in group if row["status"] != "measured" and row["impl"] not in experts]
        competitors = [row for row in (*ranked, *untimed) if row is not best]
        rivals = [row["impl"] for row in competitors if row not in beaten]
        same = {framework(impl) for impl in rivals} <= {framework(best["impl"])}
        decided = len(rivals) < len(competitors) or not silent  # at least by a verdict that a BUSY run keeps
        shown = decided and same and len(usual) > 1 and best["impl"] not in experts
        winners.append(Winner(best, ratio_by_impl[best["impl"]], shown, rivals, tuned))
    return sorted(winners, key=lambda winner: (*by_size(winner.best), *(winner.best[name] for name in CASE[1:3])))


def _rank(row: Row, ratio: dict[str, Any] | None, baseline: str) -> tuple[Any, ...]:
    """Return a sort key: the ratio to the baseline; without one, or without a baseline, the time per step."""
    order = 1.0 if row["impl"] == baseline else ratio["ratio"] if ratio else math.inf if baseline else 1.0
    return order, row["per_step_s"], words(row["impl"])


def framework(impl: str) -> str:
    """Return the framework of an implementation as its users write it."""
    name = words(impl).partition("_")[0]
    return (FRAMEWORK_NAMES | UNCOLOURED_NAMES).get(name, name)


def in_words(
    winners: Iterable[Winner], label: Callable[[Row], str] = lambda row: words(row["problem"])
) -> tuple[list[str], list[str]]:
    """Return phrases on shown winners, `JAX on small`, and on undecided problems, `JAX or torch on line`.

    MANY_FRAMEWORKS or more are not named. label: returns the name of a problem.
    """
    problems: dict[bool, dict[str, dict[str, None]]] = {True: {}, False: {}}
    for winner in winners:
        names = sorted({framework(impl) for impl in (winner.best["impl"], *winner.rivals)}, key=str.lower)
        rivals = " or ".join(names) if 1 < len(names) < MANY_FRAMEWORKS else ""
        name = framework(winner.best["impl"]) if winner.shown else rivals
        problems[winner.shown].setdefault(name, {})[label(winner.best)] = None
    shown, undecided = (
        [f"{name} on {', '.join(labels)}".strip() for name, labels in group.items()] for group in problems.values()
    )
    return shown, undecided
