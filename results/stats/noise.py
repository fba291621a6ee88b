"""Estimate this machine's noise: judge the same code under two labels (A/A pair), as `compare` judges two codes."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from results.output import Section, digits
from results.stats.pairing import RATIO_COLUMNS, SamplesByImpl, duplicate_ratio_rows, samples_by_impl
from results.stats.signed_rank import ALPHA, FASTER, SLOWER, blocks_needed, detectable, fewest_blocks, judge
from results.stats.verdicts import add_verdicts
from results.store.columns import CASE
from results.store.reading import Run

EFFECT = 0.05  # relative difference that a campaign should detect
NO_PAIR = "No A/A pair in this run: how often its verdicts err is unknown."


def judge_duplicates(run: Run) -> pd.DataFrame:
    """Return one judged row per case of the A/A pairs: duplicate / original. Empty without a pair.

    Columns beside those of `add_verdicts`: `impl` and `again`, the two labels; `alone`, the smallest ratio that a
    single comparison would detect with probability 80 %; `wanted`, the blocks to detect EFFECT on this page (NaN above
    1,000 blocks).
    """
    rows = duplicate_ratio_rows([samples_by_impl(run.rows)])
    columns = [*CASE[1:], *RATIO_COLUMNS, "impl", "again"]
    table = pd.DataFrame(rows, columns=columns) if rows else pd.DataFrame({"refused": []})
    compared = table["refused"] == ""
    if not compared.any():
        return table.drop(columns="logs", errors="ignore")
    table, level, limit = add_verdicts(table), ALPHA / compared.sum(), math.log1p(EFFECT)
    cases = list(table.loc[compared, ["spread", "blocks"]].itertuples(index=False))
    table.loc[compared, "alone"] = [math.exp(detectable(spread, blocks)) for spread, blocks in cases]
    table.loc[compared, "wanted"] = [blocks_needed(0, spread, level, limit) or math.nan for spread, _ in cases]
    return table


def noise_line(run: Run) -> str:
    """Return one sentence on the noise of a run."""
    return noise_lines([samples_by_impl(run.rows)])[0]


def noise_lines(runs: list[SamplesByImpl]) -> list[str]:
    """Return one sentence on the noise of each run."""
    rows_by_run: list[list[dict[str, Any]]] = [[] for _ in runs]
    for row in duplicate_ratio_rows(runs):
        rows_by_run[row["at"]].append(row)
    return [_line(rows) for rows in rows_by_run]


def _line(rows: list[dict[str, Any]]) -> str:
    compared = [row for row in rows if row["refused"] == ""]
    if not compared:
        return f"The A/A pair cannot be judged: {rows[0]['refused']}." if rows else NO_PAIR
    verdicts = judge([row["logs"] for row in compared])
    head = f"Noise ({compared[0]['impl']} twice, {max(row['blocks'] for row in compared)} blocks)"
    effects = [verdict.smallest - 1 for verdict in verdicts]
    if not np.median(effects) < math.inf:
        return f"{head}: nothing can be said below {fewest_blocks(len(compared))} blocks."
    most = percent(max(effects)) if max(effects) < math.inf else "too few blocks"
    different = count_different([verdict.word for verdict in verdicts])
    return (
        f"{head}: {different}; 4 of 5 effects of {percent(float(np.median(effects)))} would show (worst case: {most})."
    )


def noise_section(runs: list[Run]) -> Section:
    """Return the last section of a page: the noise of each run on it."""
    return Section("Noise", notes=[f"{run.label}: {noise_line(run)}" for run in runs], level=3)


def percent(part: float) -> str:
    """Return a fraction as `1.30 %`, or `-` if it is not finite."""
    return f"{digits(100 * part)} %" if math.isfinite(part) else "-"


def count_different(verdicts: Sequence[str]) -> str:
    """Return the number of FASTER and SLOWER verdicts as text."""
    count = sum(word in (FASTER, SLOWER) for word in verdicts)
    return f"called different in {count} of {len(verdicts)} cases"
