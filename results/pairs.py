"""Two tables of rows, case by case: a ratio over the blocks that both have, or the facts that forbid one."""

import functools
import math
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from results.format import words
from results.read import CASE
from results.stats import INVALID, Array, adjusted, alike, hodges_lehmann

WORK = ["n", "d", "k", "batch", "steps", "lr", "seed", "problem_hash", "precision", "matmul_bits", "matvec_bits"]
SAME = [*WORK, "threads"]
NEWER = ["precision", "matmul_bits", "matvec_bits"]  # older files know none of them
UNNEEDED = ["seed", *NEWER]  # what may be missing on both sides; problem_hash says as much as seed
TIMES = ["a_s", "b_s", "ratio"]
FOUND = [*TIMES, "low", "high", "blocks", "refused", "unknown", "verdict", "logs"]

Sides = tuple[str, str]
Case = tuple[Any, ...]
Clock = dict[float, float]


class Side(NamedTuple):
    """The rows of one case on one side.

    fault: why one of them does not count; facts: of each of SAME the values in words, sorted.
    seconds: by block, per step; pace: by block, of the yardstick, NaN where nobody told.
    """

    fault: str
    facts: dict[str, list[str]]
    seconds: Clock
    pace: Clock


class Pair(NamedTuple):
    """What is to be compared: `names` become columns; parted: why a case that one side lacks cannot be compared."""

    names: dict[str, str]
    a: Side | None
    b: Side | None
    sides: Sides
    parted: str


def ratios(a: pd.DataFrame, b: pd.DataFrame, key: list[str], sides: Sides = ("A", "B")) -> pd.DataFrame:
    """Per case of `key`: per-step seconds a_s and b_s (medians), `ratio` b/a with its extremes low and high.

    All over the blocks that both have: `ratio` is the Hodges-Lehmann estimate of `logs`, a log ratio by block, adjusted
    for the machine's pace where both sides tell it. A case
    that cannot be compared has NaN and says why in `refused`, where the sides are called `sides`. `unknown` names what
    neither side knows, and `verdict` is INVALID where unequal work or a failed check forbids one.
    """
    found = _ratios(_pairs(by_case(a, key), by_case(b, key), key, sides))
    return pd.DataFrame(found, columns=[*key, *FOUND])


def over(rows: pd.DataFrame, baseline: str) -> pd.DataFrame:
    """`ratios` of every implementation of one run over the baseline."""
    return _over(rows, [baseline]).drop(columns="baseline")


def every(rows: pd.DataFrame) -> pd.DataFrame:
    """What `over` gives of the implementations of one run that repeat no other, for each of them as the `baseline`."""
    rows = single(rows)
    return _over(rows, sorted(rows["impl"].dropna().unique()))


def _over(rows: pd.DataFrame, baselines: list[str]) -> pd.DataFrame:
    sides = {str(name): by_case(group, CASE[1:]) for name, group in rows.groupby("impl")}
    found = _ratios(
        pair
        for baseline in baselines
        for name, cases in sides.items()
        for pair in _pairs(sides.get(baseline, {}), cases, CASE[1:], (baseline, name), impl=name, baseline=baseline)
    )
    return pd.DataFrame(found, columns=[*CASE[1:], *FOUND, "impl", "baseline"])


def by_case(rows: pd.DataFrame, key: list[str]) -> dict[Case, Side]:
    """The two sides of a comparison are made of these: the rows of each case, by its values of `key`."""
    places: dict[Case, list[int]] = {}
    for i, case in enumerate(zip(*[rows[name].tolist() for name in key], strict=True)):
        places.setdefault(case, []).append(i)
    told = {name: rows[name].tolist() for name in [*SAME, "valid", "reason", "block", "per_step_s", "pace_s"]}
    return {case: _side(told, at) for case, at in places.items() if all(map(_known, case))}


def _known(value: object) -> bool:
    return value is not None and value == value


def _side(told: dict[str, list[Any]], at: list[int]) -> Side:
    facts = {name: dict.fromkeys(filter(_known, [told[name][i] for i in at])) for name in SAME}
    blocks = [told["block"][i] if _known(told["block"][i]) else 0 for i in at]  # an unnumbered block is block 0
    return Side(
        next((told["reason"][i] for i in at if not told["valid"][i]), ""),
        {name: sorted(map(_word, values)) for name, values in facts.items()},
        _by_block(blocks, [told["per_step_s"][i] for i in at]),
        _by_block(blocks, [told["pace_s"][i] for i in at]),
    )


_word = functools.lru_cache(maxsize=4096, typed=True)(words)


def _by_block(blocks: list[float], seconds: list[float]) -> Clock:
    """The median of each block, by block."""
    held: dict[float, list[float]] = {}
    for block, second in zip(blocks, seconds, strict=True):
        held.setdefault(block, []).append(second)
    return {at: held[at][0] if len(held[at]) == 1 else pd.Series(held[at]).median() for at in sorted(held)}


def _pairs(a: dict[Case, Side], b: dict[Case, Side], key: list[str], sides: Sides, **names: str) -> Iterable[Pair]:
    """A pair for each case that either has."""
    parted = _apart(a, b, key, sides)
    for case in sorted(a | b, key=str):
        yield Pair(dict(zip(key, case, strict=True)) | names, a.get(case), b.get(case), sides, parted)


def _ratios(pairs: Iterable[Pair]) -> list[dict[str, Any]]:
    """For each pair its names and FOUND."""
    found: list[dict[str, Any]] = []
    rows, clocks = [], []
    for pair in pairs:
        found.append(pair.names | NOTHING | _refusal(pair))
        if pair.a and pair.b and not found[-1]["refused"]:
            rows.append((found[-1], blocks := _in_both(pair.a, pair.b)))
            clocks.append(np.array([[clock[at] for at in blocks] for side in (pair.a, pair.b) for clock in side[2:]]).T)
    for places, page in alike(clocks):
        a, pace_a, b, pace_b = np.ascontiguousarray(np.moveaxis(page, -1, 0))
        for place, told in zip(places, _estimates(a, b, pace_a, pace_b), strict=True):
            row, blocks = rows[place]
            row |= told | {"blocks": len(blocks), "logs": pd.Series(told["logs"], _index(tuple(blocks)))}
    return found


NOTHING: dict[str, Any] = dict.fromkeys([*TIMES, "low", "high"], math.nan)
NOTHING |= {"blocks": 0, "refused": "", "unknown": "", "verdict": None, "logs": pd.Series(dtype=float)}


@functools.lru_cache(maxsize=64)
def _index(blocks: tuple[float, ...]) -> "pd.Index[Any]":
    return pd.Index(blocks, name="block")


def _in_both(a: Side, b: Side) -> list[float]:
    return [block for block in a.seconds if block in b.seconds]


def _refusal(pair: Pair) -> dict[str, str]:
    """Why it cannot be compared, or else what neither side knows."""
    a, b, sides = pair.a, pair.b, pair.sides
    if a is None or b is None:
        return {"refused": pair.parted or f"only in {sides[b is not None]}"}
    invalid = [f"invalid in {name}: {side.fault}" for name, side in zip(sides, (a, b), strict=True) if side.fault]
    if differing := [*invalid, *differences(a, b, sides)]:
        return {"refused": "; ".join(differing), "verdict": INVALID}
    if not _in_both(a, b):
        return {"refused": "no block in common", "verdict": INVALID}
    return {"unknown": ", ".join(name for name in NEWER if not a.facts[name] and not b.facts[name])}


def _estimates(a: Array, b: Array, pace_a: Array, pace_b: Array) -> Iterable[dict[str, Any]]:
    """Of each pair of a page: seconds (P, K) of its sides and of their yardsticks."""
    paired, pace = b / a, np.divide(pace_b, pace_a, where=(pace_a > 0) & (pace_b > 0), out=np.ones_like(pace_a))
    logs = adjusted(np.log(paired), np.log(pace))
    told = {
        "a_s": np.median(a, axis=-1),
        "b_s": np.median(b, axis=-1),
        "ratio": [math.exp(estimate) for estimate in hodges_lehmann(logs)],
        "low": paired.min(axis=-1),
        "high": paired.max(axis=-1),
        "logs": logs,
    }
    return (dict(zip(told, row, strict=True)) for row in zip(*told.values(), strict=True))


def differences(a: Side, b: Side, sides: Sides, names: Sequence[str] = SAME) -> list[str]:
    """The facts among `names` that two sides of a case do not share, or that one of them does not know."""
    found = []
    for name in names:
        left, right = a.facts[name], b.facts[name]
        if left != right:
            told = [", ".join(side) or "unknown" for side in (left, right)]
            found.append(f"{name} {told[0][:24]} in {sides[0]}, {told[1][:24]} in {sides[1]}")
        elif not left and name not in UNNEEDED:
            found.append(f"{name} not recorded")
    return found


def _apart(a: Iterable[Case], b: Iterable[Case], key: list[str], sides: Sides) -> str:
    """The names of `key` of which the two share no value, with the values of each; empty if there are none."""
    left, right = ([sorted(set(values)) for values in zip(*cases, strict=True)] for cases in (a, b))
    return "; ".join(
        f"{name} {', '.join(left[i])} in {sides[0]}, {', '.join(right[i])} in {sides[1]}"
        for i, name in enumerate(key)
        if left and right and not set(left[i]) & set(right[i])
    )


def single(rows: pd.DataFrame) -> pd.DataFrame:
    """The rows of implementations that repeat no other."""
    return rows[rows["twin"].isna()]


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
