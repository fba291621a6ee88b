"""The two sides of a comparison, case by case: the facts that must be equal, and the seconds by block."""

import functools
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import pandas as pd

from results.format import words
from results.read import CASE

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
    clocks: by block, rising: seconds per step, and of the yardstick, NaN where nobody told.
    """

    fault: str
    facts: Facts
    clocks: Clocks


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
