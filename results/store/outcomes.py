"""What became of each case of a run: its medians over the blocks, or why it has none."""

import math
from typing import Any

import numpy as np
import pandas as pd

from results.output import words
from results.store.columns import CASE, COLUMNS
from results.store.reading import Run, RunError, number, read_document, sequence, text
from results.store.runs import join

Row = dict[str, Any]

PHASES = ["import", "prepare", "first", "compile", "steady", "fixed", "blocked", "dispatch"]


NUMBERS = ["n", "d", "k", "iqr_s", "cpu_over_wall", "limit_s", "fraction_of_limit"]
LABELS = ["work", "limited_by"]
CLOCKS = ["import_s", "prepare_s", "first_s", "steady_s", "fixed_s", "blocked_s", "per_step_s"]
NEEDED = [*CASE, "block", *NUMBERS, *LABELS, *CLOCKS, "error", "allowed", "rss_bytes", "valid", "reason"]


def cases(rows: pd.DataFrame, key: list[str] = CASE) -> pd.DataFrame:
    """One row per case: the median over its blocks, low_s..high_s the extremes of per_step_s.

    Of each of PHASES also the extremes: import_low_s..import_high_s and so on. compile_s = first_s - steady_s,
    dispatch_s = steady_s - blocked_s.
    error_ratio is the worst error in units of what is allowed. A case with an invalid block is invalid and has no
    per-step time: what fails once has not been measured.
    """
    rows = rows.assign(compile_s=rows["first_s"] - rows["steady_s"], dispatch_s=rows["steady_s"] - rows["blocked_s"])
    rows["error_ratio"] = rows["error"] / rows["allowed"]
    same = rows.groupby(key, dropna=False)
    phases = [f"{phase}_s" for phase in PHASES]
    table = same[["per_step_s", *phases, *NUMBERS]].median()
    table[LABELS] = same[LABELS].first()
    table["blocks"] = same["block"].nunique(dropna=False)
    table["low_s"], table["high_s"] = same["per_step_s"].min(), same["per_step_s"].max()
    for edge, extremes in {"low": same[phases].min(), "high": same[phases].max()}.items():
        table[[f"{phase}_{edge}_s" for phase in PHASES]] = extremes
    table["error_ratio"], table["rss_bytes"] = same["error_ratio"].max(), same["rss_bytes"].max()
    table["valid"] = same["valid"].all()
    told = rows["reason"].groupby(same.ngroup().where(rows["reason"] != "")).agg(lambda all_: "; ".join(all_.unique()))
    table["reason"] = told.reindex(range(len(table)), fill_value="").to_numpy(object)
    untimed = ["per_step_s", "low_s", "high_s", "fraction_of_limit"]
    table.loc[~table["valid"].astype(bool), untimed] = math.nan
    return table.reset_index()


def absent(run: Run) -> pd.DataFrame:
    """What the campaign refused or skipped, a row each, with its reason."""
    return pd.DataFrame(_absent(run), columns=["status", *CASE, "block", "reason"])


def _absent(run: Run) -> list[dict[str, Any]]:
    return [
        {"status": status, **{name: text(entry.get(name)) or None for name in [*CASE, "block", "reason"]}}
        for status in ("refused", "skipped")
        for entry in sequence(run.campaign.get(status))
    ]


def outcomes(run: Run) -> pd.DataFrame:
    """What became of every case: `status` is measured, invalid, refused or skipped; the last three have a `reason`."""
    return outcomes_each([run]).drop(columns="at")


def outcomes_each(runs: list[Run]) -> pd.DataFrame:
    """The `outcomes` of many runs under one another, worked out at once; `at` is the place of the run in the list."""
    measured = cases(join([run.rows[NEEDED].assign(at=at) for at, run in enumerate(runs)]), ["at", *CASE])
    measured.insert(0, "status", measured["valid"].map({True: "measured", False: "invalid"}).astype(object))
    columns = ["at", "run", "machine", "status", *CASE]
    columns += [str(name) for name in measured if name not in columns]
    missing = [{"at": at} | row for at, run in enumerate(runs) for row in _absent(run)]
    both = join([measured, pd.DataFrame(missing, columns=["at", "status", *CASE, "block", "reason"])])
    both = both.sort_values("at", kind="stable", ignore_index=True).astype({"at": int})
    both["run"], both["machine"] = ([getattr(runs[at], name) for at in both["at"]] for name in ("label", "machine"))
    return both.reindex(columns=columns)


def alone(run: Run, found: pd.DataFrame) -> pd.DataFrame:
    """Without the labels under which an implementation ran a second time: no competitors."""
    return alone_each([run], found.assign(at=0)).drop(columns="at")


def alone_each(runs: list[Run], found: pd.DataFrame) -> pd.DataFrame:
    """The same for the outcomes of many runs; `at` is the place of the run."""
    labels = [zip(run.rows["impl"].tolist(), run.rows["twin"].tolist(), strict=True) for run in runs]
    twins = [{impl for impl, twin in told if isinstance(twin, str)} for told in labels]
    own = zip(found["at"].tolist(), found["impl"].tolist(), strict=True)
    return found[np.array([impl not in twins[at] for at, impl in own], bool)]


def groups(rows: list[Row], *names: str) -> list[tuple[tuple[Any, ...], list[Row]]]:
    """The rows by what they say under those names, in order of that; without those that say nothing."""
    held: dict[tuple[Any, ...], list[Row]] = {}
    for row in rows:
        held.setdefault(tuple(row[name] for name in names), []).append(row)
    return sorted((key, group) for key, group in held.items() if all(isinstance(word, str) for word in key))


def by_size(row: Row) -> tuple[Any, ...]:
    """A key to sort rows by: n, d, problem; what is not known comes last."""
    sizes = [row[name] if row[name] == row[name] else math.inf for name in ("n", "d")]
    return *sizes, words(row["problem"])


def rounds(run: Run) -> pd.DataFrame:
    """One row per raw round: the columns of its block's row, with `round` (from 0) and `seconds`. Raises RunError."""
    told = [entry["stats"].get("data") for entry in read_document(run.path)["benchmarks"]]
    data = [[number(seconds) for seconds in held] if isinstance(held, list) else [] for held in told]
    if not any(data):
        raise RunError(f"{run.label} holds no raw rounds; they are kept by --benchmark-save-data")
    rows = run.rows.drop(columns="round", errors="ignore")  # a stranger's
    table = rows.assign(seconds=pd.Series(data, dtype=object)).explode("seconds").dropna(subset="seconds")
    table.insert(len(COLUMNS), "round", table.groupby(level=0).cumcount())
    return table.reset_index(drop=True).astype({"seconds": float})
