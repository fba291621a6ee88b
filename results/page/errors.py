"""Results of the checks: error and loss by iterate, the worst error, and the losses that tutorials publish."""

import math
from typing import Any

import numpy as np
import pandas as pd

from results.output import Section, digits, records, with_rows, words
from results.stats.pairing import without_duplicates
from results.stats.prediction import job_seconds
from results.store.columns import CASE
from results.store.json_values import parse_json
from results.store.outcomes import Row, groups
from results.store.reading import Run

MAX_CHARACTERS = 20_000  # of a list of numbers


def checks(rows: pd.DataFrame) -> pd.DataFrame:
    """Return one row per case and checked update `t`, with its largest error / tolerance (`distance`) and its `loss`.

    seconds: time of the steps until then. job_s: the same with the start of a fresh process.
    """
    columns = {name: rows[name].map(_numbers) for name in ("iterates", "distances", "losses")}
    lengths = columns["iterates"].map(len)
    complete = np.logical_and.reduce([lengths == values.map(len) for values in columns.values()]) & (lengths > 0)
    table = rows[["run", *CASE, "per_step_s", "fixed_s"]].assign(start_s=job_seconds(rows, 0), **columns)[complete]
    table = table.explode(list(columns), ignore_index=True).astype(dict.fromkeys(columns, float))
    table = table.rename(columns={"iterates": "t", "distances": "distance", "losses": "loss"})
    times = ["fixed_s", "start_s", "per_step_s"]  # blocks may check different updates
    table[times] = table.groupby(["run", *CASE])[times].transform("median")
    table["seconds"] = table["fixed_s"] + table["t"] * table["per_step_s"]
    table["job_s"] = table["start_s"] + table["t"] * table["per_step_s"]
    kinds = {"distance": "max", "loss": "first", "seconds": "first", "job_s": "first"}
    result: pd.DataFrame = table.groupby(["run", *CASE, "t"], as_index=False).agg(kinds)
    return result


def _numbers(text: object) -> list[float]:
    """Return the numbers in `text`; none if it is missing, too long or has other words."""
    try:
        return [float(word) for word in text.split()] if isinstance(text, str) and len(text) <= MAX_CHARACTERS else []
    except ValueError:
        return []


def published_losses(runs: list[Run]) -> list[Section]:
    """Compare the losses that tutorials publish with the measured ones; [] if no run has such a problem."""
    rows = pd.concat([without_duplicates(run.rows) for run in runs])
    rows = rows[rows["valid"] & rows["published"].map(bool) & rows["published"].notna()]
    table = []
    for (problem, dtype), group in rows.groupby(["problem", "dtype"]):
        curves = [dict(zip(_numbers(row["iterates"]), _numbers(row["losses"]), strict=False)) for row in records(group)]
        for t, published, low, high in _parse_published(group["published"].iloc[0]):
            losses = [loss for curve in curves if (loss := curve.get(t, math.nan)) == loss]
            ends = " to ".join(dict.fromkeys(f"{loss:.6g}" for loss in (min(losses), max(losses)))) if losses else "-"
            agrees = all(low <= loss <= high for loss in losses)
            table.append(
                {
                    "problem": f"{problem}, {dtype}",
                    "after update": words(t),
                    "published loss": f"{published:.8g}",
                    "measured, lowest to highest": ends,
                    "tolerance": f"{low:.6g} to {high:.6g}",
                    "verdict": "not checked" if not losses else "agrees" if agrees else "OUTSIDE",
                    "rows": str(len(losses)),
                }
            )
    note = (
        "The allowed range follows from the printed digits of the loss and of the start, and from the rounding of the"
        " dtype. The data of line have no published seed: there it is the middle 95 % of 4000 draws, so about one"
        " seed in 20 lies outside."
    )
    return with_rows(Section("The tutorials' numbers", table=table, notes=[note], level=3))


def _parse_published(text: str) -> list[tuple[float, float, float, float]]:
    """Return update, published loss, and the lowest and highest allowed loss; nothing if `text` is malformed."""
    try:
        return [(float(t), float(loss), float(low), float(high)) for t, loss, low, high in parse_json(text)]
    except (ValueError, TypeError, RecursionError):
        return []


def worst_errors(rows: list[Row]) -> Section:
    """Return the largest error / allowed of each implementation, with its case."""
    table = []
    for (impl,), group in groups([row for row in rows if row["status"] in ("measured", "invalid")], "impl"):
        valid, worst = sum(row["status"] == "measured" for row in group), min(group, key=by_error)
        table.append(
            {"implementation": words(impl), "worst error / tolerance": digits(worst["error_ratio"])}
            | {"case": case_text(worst), "valid cases": f"{valid} of {len(group)}"}
        )
    return Section("Worst error", table=table, level=3)


def by_error(row: Row) -> tuple[Any, ...]:
    """Return a sort key: the largest error first, unknown errors last."""
    error = row["error_ratio"]
    return -error if error == error else math.inf, *[words(row[name]) for name in CASE[1:]]


def case_text(row: dict[str, str]) -> str:
    """Return problem, dtype and device of a case."""
    return ", ".join(words(row[name]) for name in ("problem", "dtype", "device"))
