"""How much this machine errs: the same code under two labels (A/A pair), judged as `compare` judges, and what to do."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from results.output import Section, digits
from results.stats.pairing import FOUND, ByImpl, by_impl, twins_each
from results.stats.signed_rank import ALPHA, FASTER, SLOWER, blocks_needed, detectable, fewest_blocks, judge
from results.stats.verdicts import judged
from results.store.columns import CASE
from results.store.reading import Run

EFFECT = 0.05  # what a usual campaign should show
NO_PAIR = "No A/A pair in this run: how often its verdicts err is unknown."


def pair(run: Run) -> pd.DataFrame:
    """Each case of a row with a `twin` against what it repeats, B/A = again/original, judged; no rows without a pair.

    Beside the columns of `judged`, for what is compared: `impl` and `again`, the two labels; `alone`, the smallest
    ratio that would show in 4 of 5 times were this the only comparison; `wanted`, the blocks that would show EFFECT
    beside the others, NaN where 1000 would not.
    """
    found = twins_each([by_impl(run.rows)])
    both = pd.DataFrame(found, columns=[*CASE[1:], *FOUND, "impl", "again"]) if found else pd.DataFrame({"refused": []})
    compared = both["refused"] == ""
    if not compared.any():
        return both.drop(columns="logs", errors="ignore")
    table, level, limit = judged(both), ALPHA / compared.sum(), math.log1p(EFFECT)
    cases = list(table.loc[compared, ["spread", "blocks"]].itertuples(index=False))
    table.loc[compared, "alone"] = [math.exp(detectable(spread, blocks)) for spread, blocks in cases]
    table.loc[compared, "wanted"] = [blocks_needed(0, spread, level, limit) or math.nan for spread, _ in cases]
    return table


def noise_line(run: Run) -> str:
    """One sentence for the pages that show the run."""
    return noise_lines([by_impl(run.rows)])[0]


def noise_lines(runs: list[ByImpl]) -> list[str]:
    """The sentences of many runs, worked out at once from their sides."""
    found: list[list[dict[str, Any]]] = [[] for _ in runs]
    for row in twins_each(runs):
        found[row["at"]].append(row)
    return [_line(rows) for rows in found]


def _line(found: list[dict[str, Any]]) -> str:
    compared = [row for row in found if row["refused"] == ""]
    if not compared:
        return f"The A/A pair cannot be judged: {found[0]['refused']}." if found else NO_PAIR
    verdicts = judge([row["logs"] for row in compared])
    head = f"Noise ({compared[0]['impl']} twice, {max(row['blocks'] for row in compared)} blocks)"
    effects = [verdict.smallest - 1 for verdict in verdicts]
    if not np.median(effects) < math.inf:
        return f"{head}: nothing can be said below {fewest_blocks(len(compared))} blocks."
    most = percent(max(effects)) if max(effects) < math.inf else "too few blocks"
    different = called([verdict.word for verdict in verdicts])
    return (
        f"{head}: {different}; 4 of 5 effects of {percent(float(np.median(effects)))} would show (worst case: {most})."
    )


def noise_section(runs: list[Run]) -> Section:
    """What ends a page: the noise line of each run that it shows."""
    return Section("Noise", notes=[f"{run.label}: {noise_line(run)}" for run in runs], level=3)


def percent(part: float) -> str:
    """`1.30 %`, or `-` for what is unknown or without bound."""
    return f"{digits(100 * part)} %" if math.isfinite(part) else "-"


def called(verdicts: Sequence[str]) -> str:
    called = sum(word in (FASTER, SLOWER) for word in verdicts)
    return f"called different in {called} of {len(verdicts)} cases"
