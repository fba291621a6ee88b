"""What the checks found: error and loss by iterate, the worst error, the numbers that the tutorials print."""

import math
from typing import Any

import numpy as np
import pandas as pd

from results.output import Section, digits, records, words
from results.stats.pairing import without_duplicates
from results.store.columns import CASE
from results.store.json_values import parse_json
from results.store.outcomes import Row, groups
from results.store.reading import Run

LONGEST = 20_000  # characters of a list of numbers


def checks(rows: pd.DataFrame) -> pd.DataFrame:
    """A row per case of a run and checked update `t`: the worst `distance` over what is allowed, `loss`, `seconds`."""
    columns = {name: rows[name].map(_numbers) for name in ("iterates", "distances", "losses")}
    whole = np.logical_and.reduce([columns["iterates"].map(len) == held.map(len) for held in columns.values()])
    table = rows[["run", *CASE, "per_step_s", "fixed_s"]].assign(**columns)
    long = table[whole & (columns["iterates"].map(len) > 0)].explode(list(columns), ignore_index=True)
    long = long.astype(dict.fromkeys(columns, float)).rename(columns={"iterates": "t", "losses": "loss"})
    long["seconds"] = long["fixed_s"] + long["t"] * long["per_step_s"]
    found: pd.DataFrame = long.groupby(["run", *CASE, "t"], as_index=False).agg(
        distance=("distances", "max"), loss=("loss", "first"), seconds=("seconds", "median")
    )
    return found


def _numbers(text: object) -> list[float]:
    """The numbers of a row's fact, which is text: none if it is missing, not made of numbers or longer than any."""
    try:
        return [float(word) for word in text.split()] if isinstance(text, str) and len(text) <= LONGEST else []
    except ValueError:
        return []


def published(runs: list[Run]) -> list[Section]:
    """The tutorials' losses beside those found in the runs; nothing where no run has such a problem."""
    rows = pd.concat([without_duplicates(run.rows) for run in runs])
    rows = rows[rows["valid"] & rows["published"].map(bool) & rows["published"].notna()]
    table = []
    for (problem, dtype), group in rows.groupby(["problem", "dtype"]):
        for t, text, low, high in _printed(group["published"].iloc[0]):
            found = [_loss_after(row, t) for row in records(group)]
            table.append(_beside(f"{problem}, {dtype}", t, (text, low, high), [loss for loss in found if loss == loss]))
    note = (
        "A found loss may lie where the text's own digits, its start's and the dtype's rounding let it; line's data are"
        " unseeded in the text, so there the middle 95 % of 4000 draws: one seed in 20 or so lies outside."
    )
    return [Section("The tutorials' numbers", table=table, notes=[note], level=3)] if table else []


def _printed(told: str) -> list[tuple[float, float, float, float]]:
    """Update, loss in the text, lowest and highest that may be found; nothing where that is not what is told."""
    try:
        return [(float(t), float(text), float(low), float(high)) for t, text, low, high in parse_json(told)]
    except (ValueError, TypeError, RecursionError):
        return []


def _loss_after(row: dict[str, Any], t: float) -> float:
    """The row's loss after t updates; NaN if it was not looked at."""
    return dict(zip(_numbers(row["iterates"]), _numbers(row["losses"]), strict=False)).get(t, math.nan)


def _beside(where: str, t: float, told: tuple[float, float, float], found: list[float]) -> dict[str, str]:
    text, low, high = told
    right = bool(found) and all(low <= loss <= high for loss in found)
    ends = " to ".join(dict.fromkeys(f"{loss:.6g}" for loss in (min(found), max(found)))) if found else "-"
    verdict = "agrees" if right else "OUTSIDE" if found else "not looked at"
    return {
        "problem": where,
        "after update": words(t),
        "published loss": f"{text:.8g}",
        "found, lowest to highest": ends,
        "may be": f"{low:.6g} to {high:.6g}",
        "verdict": verdict,
        "rows": str(len(found)),
    }


def worst_errors(found: list[Row]) -> Section:
    """The worst error of each implementation, in units of what is allowed, and where."""
    table = []
    for (impl,), rows in groups([row for row in found if row["status"] in ("measured", "invalid")], "impl"):
        valid, worst = sum(row["status"] == "measured" for row in rows), min(rows, key=_by_error)
        table.append(
            {"implementation": words(impl), "worst error / tolerance": digits(worst["error_ratio"]), "at": place(worst)}
            | {"valid cases": f"{valid} of {len(rows)}"}
        )
    return Section("Worst error", table=table, level=3)


def _by_error(row: Row) -> tuple[Any, ...]:
    """A key to sort rows by: the largest error first, the unknown last."""
    error = row["error_ratio"]
    return -error if error == error else math.inf, *[words(row[name]) for name in CASE[1:]]


def place(row: dict[str, str]) -> str:
    """Problem, dtype and device of a case."""
    return ", ".join(words(row[name]) for name in ("problem", "dtype", "device"))
