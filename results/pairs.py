"""Two tables of rows, case by case: a ratio over the blocks that both have, or the facts that forbid one."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from results.format import words
from results.read import CASE
from results.stats import INVALID, adjusted, hodges_lehmann

WORK = ["n", "d", "k", "batch", "steps", "lr", "seed", "problem_hash", "precision", "matmul_bits", "matvec_bits"]
SAME = [*WORK, "threads"]
NEWER = ["precision", "matmul_bits", "matvec_bits"]  # older files know none of them
UNNEEDED = ["seed", *NEWER]  # what may be missing on both sides; problem_hash says as much as seed
TIMES = ["a_s", "b_s", "ratio"]

Sides = tuple[str, str]


def ratios(a: pd.DataFrame, b: pd.DataFrame, key: list[str], sides: Sides = ("A", "B")) -> pd.DataFrame:
    """Per case of `key`: per-step seconds a_s and b_s (medians), `ratio` b/a with its extremes low and high.

    All over the blocks that both have: `ratio` is the Hodges-Lehmann estimate of `logs`, a log ratio by block, adjusted
    for the machine's pace where both sides tell it. A case
    that cannot be compared has NaN and says why in `refused`, where the sides are called `sides`. `unknown` names what
    neither side knows, and `verdict` is INVALID where unequal work or a failed check forbids one.
    """
    parted = apart(a, b, key, sides)
    left, right = by_case(a, key), by_case(b, key)
    found = [
        dict(zip(key, case, strict=True)) | _ratio(left.get(case), right.get(case), sides, parted)
        for case in sorted(left | right, key=str)
    ]
    columns = [*key, *TIMES, "low", "high", "blocks", "refused", "unknown", "verdict", "logs"]
    return pd.DataFrame(found, columns=columns)


def by_case(rows: pd.DataFrame, key: list[str]) -> dict[Any, pd.DataFrame]:
    """The rows of each case, by its values of `key`, two or more."""
    return dict(iter(rows.groupby(key)))


def _ratio(a: pd.DataFrame | None, b: pd.DataFrame | None, sides: Sides, parted: str) -> dict[str, Any]:
    nothing: dict[str, Any] = dict.fromkeys([*TIMES, "low", "high"], math.nan)
    nothing |= {"blocks": 0, "unknown": "", "verdict": None, "logs": pd.Series(dtype=float)}
    if a is None or b is None:
        return nothing | {"refused": parted or f"only in {sides[b is not None]}"}
    if differing := [*_invalid(a, sides[0]), *_invalid(b, sides[1]), *differences(a, b, sides)]:
        return nothing | {"refused": "; ".join(differing), "verdict": INVALID}
    pairs = pd.concat([_by_block(a), _by_block(b)], axis=1, join="inner", keys=["a", "b"])
    if pairs.empty:
        return nothing | {"refused": "no block in common", "verdict": INVALID}
    paired = pairs["b"] / pairs["a"]
    pace = (_by_block(b, "pace_s") / _by_block(a, "pace_s")).reindex(pairs.index).fillna(1.0)
    d = adjusted(np.log(paired.to_numpy(float)), np.log(pace.to_numpy(float)))
    logs = pd.Series(d, pairs.index)
    middle = {
        "a_s": pairs["a"].median(),
        "b_s": pairs["b"].median(),
        "ratio": math.exp(hodges_lehmann(d)),
    }
    spread = {"low": paired.min(), "high": paired.max(), "blocks": len(paired), "logs": logs}
    unknown = ", ".join(name for name in NEWER if a[name].isna().all() and b[name].isna().all())
    return nothing | middle | spread | {"refused": "", "unknown": unknown}


def _by_block(rows: pd.DataFrame, clock: str = "per_step_s") -> "pd.Series[float]":
    """Seconds of a clock by block; an unnumbered block is block 0."""
    return rows[clock].groupby(rows["block"].fillna(0)).median()


def _invalid(rows: pd.DataFrame, side: str) -> list[str]:
    return [f"invalid in {side}: {reason}" for reason in rows["reason"][~rows["valid"]].unique()[:1]]


def differences(a: pd.DataFrame, b: pd.DataFrame, sides: Sides, names: Sequence[str] = SAME) -> list[str]:
    """The facts among `names` that two sides of a case do not share, or that one of them does not know."""
    found = []
    for name in names:
        left, right = (sorted(map(words, rows[name].dropna().unique())) for rows in (a, b))
        if left != right:
            told = [", ".join(side) or "unknown" for side in (left, right)]
            found.append(f"{name} {told[0][:24]} in {sides[0]}, {told[1][:24]} in {sides[1]}")
        elif not left and name not in UNNEEDED:
            found.append(f"{name} not recorded")
    return found


def apart(a: pd.DataFrame, b: pd.DataFrame, key: list[str], sides: Sides) -> str:
    """The names of `key` of which the two tables share no value, with the values of each; empty if there are none."""
    if a.empty or b.empty:
        return ""
    values = {name: [sorted(rows[name].dropna().unique()) for rows in (a, b)] for name in key}
    return "; ".join(
        f"{name} {', '.join(left) or 'none'} in {sides[0]}, {', '.join(right) or 'none'} in {sides[1]}"
        for name, (left, right) in values.items()
        if not set(left) & set(right)
    )


def single(rows: pd.DataFrame) -> pd.DataFrame:
    """The rows of implementations that repeat no other."""
    return rows[rows["twin"].isna()]


def over(rows: pd.DataFrame, baseline: str) -> pd.DataFrame:
    """`ratios` of every implementation of one run over the baseline."""
    sides = {str(name): group for name, group in rows.groupby("impl")}
    base = sides.get(baseline, rows[:0])
    found = [ratios(base, group, CASE[1:], (baseline, name)).assign(impl=name) for name, group in sides.items()]
    return pd.concat(found, ignore_index=True) if found else ratios(rows, rows, CASE)


def forced(found: pd.DataFrame, a: pd.DataFrame, b: pd.DataFrame, key: list[str]) -> pd.DataFrame:
    """`found` with the ratio of the medians where a refused case has times on both sides, checked or not."""
    key = [name for name in key if name not in ("device", "dtype") or set(a[name]) & set(b[name])]
    timed = [rows[rows["per_step_s"].between(0, math.inf, inclusive="neither")] for rows in (a, b)]
    medians = [rows.groupby(key)["per_step_s"].median() for rows in timed]
    both = pd.concat(medians, axis=1, join="inner", keys=["a_s", "b_s"]).assign(ratio=lambda at: at["b_s"] / at["a_s"])
    found, refused = found.copy(), found["refused"] != ""
    found.loc[refused, TIMES] = (
        found.loc[refused, key].merge(both, how="left", left_on=key, right_index=True)[TIMES].to_numpy()
    )
    found.loc[refused & found["ratio"].notna(), "verdict"] = INVALID
    return found
