"""Two tables of rows, case by case: a ratio over the blocks that both have, or the facts that forbid one."""

import functools
import math
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from results.read import CASE
from results.sides import NEWER, ByImpl, Case, Side, Sides, by_case, by_impl, differences, single
from results.stats import INVALID, Array, adjusted, alike, hodges_lehmann

TIMES = ["a_s", "b_s", "ratio"]
SHORTEST = 1e-15  # seconds of a yardstick: what is shorter, has none
FOUND = [*TIMES, "low", "high", "blocks", "refused", "unknown", "verdict", "logs"]


class Pair(NamedTuple):
    """What is to be compared: `names` become columns; parted: why a case that one side lacks cannot be compared."""

    names: dict[str, Any]
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
    return _table(_ratios(_pairs(by_case(a, key), by_case(b, key), key, sides)), [*key, *FOUND])


def over(rows: pd.DataFrame, baseline: str) -> pd.DataFrame:
    """`ratios` of every implementation of one run over the baseline."""
    return _table(over_each([by_impl(rows)], baseline), [*CASE[1:], *FOUND, "impl"])


def every(rows: pd.DataFrame) -> pd.DataFrame:
    """What `over` gives of the implementations of one run that repeat no other, for each of them as the `baseline`."""
    sides = by_impl(single(rows))
    pairs = (pair for _, name in sorted(sides) for pair in _over(sides, name, {"baseline": name}))
    return _table(_ratios(pairs), [*CASE[1:], *FOUND, "impl", "baseline"])


def over_each(runs: Sequence[ByImpl], baseline: str) -> list[dict[str, Any]]:
    """What `over` gives of many runs, worked on at once, a row each; `at` is the place of its run."""
    return _ratios(pair for at, sides in enumerate(runs) for pair in _over(sides, baseline, {"at": at}))


def _over(sides: ByImpl, baseline: str, names: dict[str, Any]) -> Iterable[Pair]:
    cases = {impl: held for (_, impl), held in sorted(sides.items())}
    for impl, held in sorted(cases.items()):
        yield from _pairs(cases.get(baseline, {}), held, CASE[1:], (baseline, impl), {"impl": impl} | names)


def twins_each(runs: Sequence[ByImpl]) -> list[dict[str, Any]]:
    """`ratios` of what ran twice in many runs, worked on at once, a row each: `impl`, and `again` under a second label.

    `at` is the place of the run.
    """
    return _ratios(pair for at, sides in enumerate(runs) for pair in _twins(sides, at))


def _twins(sides: ByImpl, at: int) -> Iterable[Pair]:
    for (impl, again), cases in sorted(sides.items()):
        if impl:
            names = {"impl": impl, "again": again, "at": at}
            yield from _pairs(sides.get(("", impl), {}), cases, CASE[1:], ("A", "B"), names)


def _pairs(
    a: dict[Case, Side], b: dict[Case, Side], key: list[str], sides: Sides, names: dict[str, Any] | None = None
) -> Iterable[Pair]:
    """A pair for each case that either has."""
    parted = _apart(a, b, key, sides)
    for case in sorted(a | b, key=str):
        yield Pair(dict(zip(key, case, strict=True)) | (names or {}), a.get(case), b.get(case), sides, parted)


def _ratios(pairs: Iterable[Pair]) -> list[dict[str, Any]]:
    """For each pair its names and FOUND, its logs as an array; `in_both` are their blocks."""
    found: list[dict[str, Any]] = []
    compared, clocks = [], []
    for pair in pairs:
        found.append(pair.names | NOTHING | _refusal(pair))
        if pair.a and pair.b and not found[-1]["refused"]:
            a, b = pair.a.clocks, pair.b.clocks
            blocks = tuple(at for at in a if at in b)
            found[-1] |= {"in_both": blocks, "blocks": len(blocks)}
            compared.append(found[-1])
            clocks.append([(*a[at], *b[at]) for at in blocks])
    for places, page in alike(clocks):
        a_s, pace_a, b_s, pace_b = np.ascontiguousarray(np.moveaxis(page, -1, 0))
        for place, told in zip(places, _estimates(a_s, b_s, pace_a, pace_b), strict=True):
            compared[place] |= told
    return found


NOTHING = dict.fromkeys([*TIMES, "low", "high"], math.nan) | {"blocks": 0, "refused": "", "unknown": ""}
NOTHING |= {"verdict": None, "logs": (), "in_both": ()}


def _table(found: list[dict[str, Any]], columns: list[str]) -> pd.DataFrame:
    logs = [pd.Series(row["logs"], _index(row["in_both"]), float) for row in found]
    return pd.DataFrame(found, columns=columns).assign(logs=pd.Series(logs, dtype=object))


@functools.lru_cache(maxsize=64)
def _index(blocks: tuple[float, ...]) -> "pd.Index[Any]":
    return pd.Index(blocks, name="block")


def _refusal(pair: Pair) -> dict[str, str]:
    """Why it cannot be compared, or else what neither side knows."""
    a, b, sides = pair.a, pair.b, pair.sides
    if a is None or b is None:
        return {"refused": pair.parted or f"only in {sides[b is not None]}"}
    invalid = [f"invalid in {name}: {side.fault}" for name, side in zip(sides, (a, b), strict=True) if side.fault]
    if differing := [*invalid, *differences(a, b, sides)]:
        return {"refused": "; ".join(differing), "verdict": INVALID}
    if not a.clocks.keys() & b.clocks.keys():
        return {"refused": "no block in common", "verdict": INVALID}
    return {"unknown": ", ".join(name for name in NEWER if not a.facts[name] and not b.facts[name])}


def _estimates(a: Array, b: Array, pace_a: Array, pace_b: Array) -> Iterable[dict[str, Any]]:
    """Of each pair of a page: seconds (P, K) of its sides and of their yardsticks."""
    known = (pace_a > SHORTEST) & (pace_b > SHORTEST)  # and no NaN
    paired, pace = b / a, np.divide(pace_b, pace_a, where=known, out=np.ones_like(pace_a))
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


def _apart(a: Iterable[Case], b: Iterable[Case], key: list[str], sides: Sides) -> str:
    """The names of `key` of which the two share no value, with the values of each; empty if there are none."""
    left, right = ([sorted(set(values)) for values in zip(*cases, strict=True)] for cases in (a, b))
    return "; ".join(
        f"{name} {', '.join(left[i])} in {sides[0]}, {', '.join(right[i])} in {sides[1]}"
        for i, name in enumerate(key)
        if left and right and not set(left[i]) & set(right[i])
    )


def forced(found: pd.DataFrame, a: pd.DataFrame, b: pd.DataFrame, key: list[str]) -> pd.DataFrame:
    """`found` with the ratio of the medians where a refused case has times on both sides, checked or not."""
    key = [name for name in key if name not in ("device", "dtype") or set(a[name]) & set(b[name])]
    timed = [rows[rows["per_step_s"].between(0, math.inf, inclusive="neither")] for rows in (a, b)]
    medians = [rows.groupby(key)["per_step_s"].median() for rows in timed]
    both = pd.concat(medians, axis=1, join="inner", keys=["a_s", "b_s"]).assign(ratio=lambda at: at["b_s"] / at["a_s"])
    if both.empty:  # a run without rows: there is nothing to force
        return found
    found, refused = found.copy(), found["refused"] != ""
    found.loc[refused, TIMES] = (
        found.loc[refused, key].merge(both, how="left", left_on=key, right_index=True)[TIMES].to_numpy()
    )
    found.loc[refused & found["ratio"].notna(), "verdict"] = INVALID
    return found
