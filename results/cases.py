"""What became of each case of a run: its medians over the blocks, or why it has none."""

import math

import pandas as pd

from results.load import join
from results.read import CASE, COLUMNS, Run, RunError, document, sequence, text

PHASES = ["import", "prepare", "first", "compile", "steady", "fixed", "blocked", "dispatch"]


def cases(rows: pd.DataFrame) -> pd.DataFrame:
    """One row per case: the median over its blocks, low_s..high_s the extremes of per_step_s.

    Of each of PHASES also the extremes: import_low_s..import_high_s and so on. compile_s = first_s - steady_s,
    dispatch_s = steady_s - blocked_s.
    error_ratio is the worst error in units of what is allowed. A case with an invalid block is invalid and has no
    per-step time: what fails once has not been measured.
    """
    rows = rows.assign(compile_s=rows["first_s"] - rows["steady_s"], dispatch_s=rows["steady_s"] - rows["blocked_s"])
    rows["error_ratio"] = rows["error"] / rows["allowed"]
    same = rows.groupby(CASE, dropna=False)
    phases = [f"{phase}_s" for phase in PHASES]
    table = same[["per_step_s", *phases, "iqr_s", "cpu_over_wall", "n", "d", "k"]].median()
    table["blocks"] = same["block"].nunique(dropna=False)
    table["low_s"], table["high_s"] = same["per_step_s"].min(), same["per_step_s"].max()
    for edge, extremes in {"low": same[phases].min(), "high": same[phases].max()}.items():
        table[[f"{phase}_{edge}_s" for phase in PHASES]] = extremes
    table["error_ratio"], table["rss_bytes"] = same["error_ratio"].max(), same["rss_bytes"].max()
    table["valid"] = same["valid"].all()
    table["reason"] = same["reason"].agg(lambda reasons: "; ".join(dict.fromkeys(filter(None, reasons))))
    table.loc[~table["valid"].astype(bool), ["per_step_s", "low_s", "high_s"]] = math.nan
    return table.reset_index()


def absent(run: Run) -> pd.DataFrame:
    """What the campaign refused or skipped, a row each, with its reason."""
    columns = [*CASE, "block", "reason"]
    found: list[dict[str, str | None]] = [
        {"status": status, **{name: text(entry.get(name)) or None for name in columns}}
        for status in ("refused", "skipped")
        for entry in sequence(run.campaign.get(status))
    ]
    return pd.DataFrame(found, columns=["status", *columns])


def outcomes(run: Run) -> pd.DataFrame:
    """What became of every case: `status` is measured, invalid, refused or skipped; the last three have a `reason`."""
    measured = cases(run.rows)
    measured.insert(0, "status", measured["valid"].map({True: "measured", False: "invalid"}).astype(object))
    columns = ["status", *CASE, *[name for name in measured if name not in ("status", *CASE)]]
    both = join([measured, absent(run)]).reindex(columns=columns)
    both.insert(0, "run", run.label)
    both.insert(1, "machine", run.machine)
    return both


def alone(run: Run, found: pd.DataFrame) -> pd.DataFrame:
    """Without the labels under which an implementation ran a second time: no competitors."""
    return found[~found["impl"].isin(run.rows.loc[run.rows["twin"].notna(), "impl"].unique())]


def rounds(run: Run) -> pd.DataFrame:
    """One row per raw round: the columns of its block's row, with `round` (from 0) and `seconds`. Raises RunError."""
    data = [entry["stats"].get("data") or [] for entry in document(run.path)[1]["benchmarks"]]
    if not any(data):
        raise RunError(f"{run.label} holds no raw rounds; they are kept by --benchmark-save-data")
    table = run.rows.assign(seconds=pd.Series(data, dtype=object)).explode("seconds").dropna(subset="seconds")
    table.insert(len(COLUMNS), "round", table.groupby(level=0).cumcount())
    return table.reset_index(drop=True).astype({"seconds": float})
