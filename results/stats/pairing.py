"""Two tables of rows, case by case: a ratio over the blocks that both have, or the facts that forbid one."""

import functools
import math
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from results.output import words
from results.stats.signed_rank import INVALID, Array, adjusted, alike, hodges_lehmann
from results.store.columns import CASE

NEWER = ["precision", "matmul_bits", "matvec_bits"]  # older files know none of them

WORK = ["n", "d", "k", "batch", "steps", "lr", "seed", "problem_hash", "work", *NEWER]

SAME = [*WORK, "threads", "ranks"]

UNNEEDED = ["seed", *NEWER]  # what may be missing on both sides; problem_hash says as much as seed

Sides = tuple[str, str]

Case = tuple[Any, ...]

ByImpl = dict[tuple[str, str], dict[Case, "Side"]]

Facts = dict[str, list[str]]

Clocks = dict[float, tuple[float, float]]


class Side(NamedTuple):
    """The rows of one case on one side.

    fault: why one of them does not count; facts: of each of SAME the values in words, sorted.
    clocks: by block, rising: seconds per step, and of the calibration loop, NaN where nobody told.
    """

    fault: str
    facts: Facts
    clocks: Clocks


TIMES = ["a_s", "b_s", "ratio"]
SHORTEST = 1e-15  # seconds of a calibration loop: what is shorter, has none
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
    """Of each pair of a page: seconds (P, K) of its sides and of their calibration loops."""
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


def single(rows: pd.DataFrame) -> pd.DataFrame:
    """The rows of implementations that repeat no other."""
    return rows[rows["twin"].isna()]


def by_case(rows: pd.DataFrame, key: list[str]) -> dict[Case, Side]:
    """The rows of each case, by its values of `key`; what lacks one of them is no case."""
    others = [rows[name].tolist() for name in ("valid", "reason", "block", "per_step_s", "pace_s")]
    held: dict[Case, list[Any]] = {}
    for case, *row in zip(_told(rows, key), _told(rows, SAME), *others, strict=True):
        held.setdefault(case, []).append(row)
    return {case: _side(found) for case, found in held.items() if None not in case}


def by_impl(rows: pd.DataFrame) -> ByImpl:
    """The rows of one run by `twin` (empty for what repeats no other) and implementation, then by case."""
    found: ByImpl = {}
    for (twin, impl, *case), side in by_case(rows.assign(twin=rows["twin"].fillna("")), ["twin", *CASE]).items():
        found.setdefault((twin, impl), {})[tuple(case)] = side
    return found


def _told(rows: pd.DataFrame, names: list[str]) -> Iterable[tuple[Any, ...]]:
    """The values of those columns row by row, None for what is missing."""
    columns = [[value if value == value else None for value in rows[name].tolist()] for name in names]
    return zip(*columns, strict=True)


def _side(rows: list[Any]) -> Side:
    facts, valid, reasons, numbers, seconds, paces = zip(*rows, strict=True)
    blocks = [number if number == number else 0 for number in numbers]  # an unnumbered block is block 0
    table = sorted(zip(blocks, seconds, paces, strict=True))
    if len(set(blocks)) < len(blocks):
        medians = pd.DataFrame(table).groupby(0).median()
        table = [(float(at), float(second), float(pace)) for at, second, pace in medians.itertuples()]
    fault = "" if all(valid) else reasons[valid.index(False)]
    return Side(fault, _facts(tuple(dict.fromkeys(facts))), {at: (second, pace) for at, second, pace in table})


@functools.lru_cache(maxsize=4096)
def _facts(told: tuple[tuple[Any, ...], ...]) -> Facts:
    """Of each of SAME the values among the rows, in words; of all cases alike the same object."""
    values = {name: dict.fromkeys(value for value in held if value is not None)
              for name, held in zip(SAME, zip(*told, strict=True), strict=True)}  # fmt: skip
    return {name: sorted(map(words, held)) for name, held in values.items()}


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
