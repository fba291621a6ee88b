"""Summarise each case of a run: its medians over the blocks, or the reason why it has none."""

import math
import re
from typing import Any

import pandas as pd

from results.output import words
from results.store.columns import CASE, COLUMNS
from results.store.reading import Run, RunError, number, read_document, sequence, text
from results.store.runs import join

Row = dict[str, Any]

PHASES = ["import", "context", "prepare", "first", "compile", "steady", "fixed", "blocked", "dispatch"]
MEDIAN_COLUMNS = ["n", "d", "k", "iqr_s", "cpu_over_wall", "limit_s", "fraction_of_limit"]
LABEL_COLUMNS = ["step_reads", "limited_by"]
DISPATCH = "dispatch"  # a step whose calls take longer than its work
TUNED_BEFORE = {  # expert-tuned implementations, in files without `tuned`
    *("jax_blocked", "numba_fused", "numpy_blocked", "torch_graph", "triton_descent", "triton_fused")
}
WRONG_REASON = re.compile(  # of the worker, of a rank, and of the check
    r"(refused in block \S+: )?(rank \d+: )?"
    r"(wrong weights|a step leaves out rows|run\b|the result|its answer has weights|rank \d+ has)"
)


def expert_tuned(run: Run) -> set[str]:
    """Return the implementations of a run that are tuned beyond what users of their framework write."""
    unknown, declared = run.rows["tuned"].isna(), run.rows["tuned"] == "expert-tuned"
    return set(run.rows.loc[declared | (unknown & run.rows["impl"].isin(TUNED_BEFORE)), "impl"])


def of_complete_blocks(rows: pd.DataFrame) -> pd.DataFrame:
    """Return the rows without valid ones of incomplete blocks; all of them if no block is complete."""
    return rows[rows["complete"] | ~rows["valid"]] if rows["complete"].any() else rows


def cases(rows: pd.DataFrame) -> pd.DataFrame:
    """Return one row per case with medians over its blocks. Times are in seconds.

    low_s and high_s: extremes of per_step_s; import_low_s, import_high_s and so on: extremes of each of PHASES.
    compile_s = first_s - steady_s; dispatch_s = steady_s - blocked_s; error_ratio = largest error / tolerance.
    A case with an invalid block is invalid and has no time per step.
    """
    rows = of_complete_blocks(rows)
    rows = rows.assign(compile_s=rows["first_s"] - rows["steady_s"], dispatch_s=rows["steady_s"] - rows["blocked_s"])
    rows["error_ratio"] = rows["error"] / rows["tolerance"]
    by_case = rows.groupby(CASE, dropna=False)
    phases = [f"{phase}_s" for phase in PHASES]
    table = by_case[["per_step_s", *phases, *MEDIAN_COLUMNS]].median()
    table[LABEL_COLUMNS] = by_case[LABEL_COLUMNS].first()
    table["blocks"] = by_case["block"].nunique(dropna=False)
    table["low_s"], table["high_s"] = by_case["per_step_s"].min(), by_case["per_step_s"].max()
    for edge, extremes in {"low": by_case[phases].min(), "high": by_case[phases].max()}.items():
        table[[f"{phase}_{edge}_s" for phase in PHASES]] = extremes
    table["error_ratio"], table["rss_bytes"] = by_case["error_ratio"].max(), by_case["rss_bytes"].max()
    table["valid"] = by_case["valid"].all()
    reasons = rows["reason"].groupby(by_case.ngroup().where(rows["reason"] != ""))
    joined = reasons.agg(lambda texts: "; ".join(texts.unique()))
    table["reason"] = joined.reindex(range(len(table)), fill_value="").to_numpy(object)
    table.loc[table["limited_by"] == DISPATCH, "fraction_of_limit"] = math.nan  # older files have one
    untimed = ["per_step_s", "low_s", "high_s", "fraction_of_limit"]
    table.loc[~table["valid"].astype(bool), untimed] = math.nan
    return table.reset_index()


def is_wrong(row: Row) -> bool:
    """Return whether an outcome has no time because a check of its weights or of the contract failed."""
    return row["status"] != "measured" and WRONG_REASON.match(words(row["reason"])) is not None


def missing_cases(run: Run) -> list[Row]:
    """Return one row per case that the campaign refused or skipped, with the reason; None for unknown values."""
    entries = [
        {"status": status, **{name: text(entry.get(name)) or None for name in [*CASE, "block", "reason"]}}
        for status in ("refused", "skipped")
        for entry in sequence(run.campaign.get(status))
    ]
    chosen = [(name, values) for name, values in run.filters.items() if values]
    return [entry for entry in entries if all(entry[name] in (None, *values) for name, values in chosen)]


def outcomes(run: Run) -> pd.DataFrame:
    """Return one row per case. `status` is measured, invalid, refused or skipped; the last three have a `reason`."""
    measured = cases(run.rows)
    measured.insert(0, "status", measured["valid"].map({True: "measured", False: "invalid"}).astype(object))
    table = join([measured, pd.DataFrame(missing_cases(run), columns=["status", *CASE, "block", "reason"])])
    table = table.assign(run=[run.label] * len(table), machine=[run.machine] * len(table))  # object dtype if empty
    return table.reindex(columns=[*dict.fromkeys(["run", "machine", "status", *CASE, *measured])])


def drop_duplicates(run: Run, table: pd.DataFrame) -> pd.DataFrame:
    """Return the outcomes of a run without duplicates (second labels of A/A pairs)."""
    return table[~table["impl"].isin(run.rows.loc[run.rows["duplicate_of"].notna(), "impl"].dropna())]


def groups(rows: list[Row], *names: str) -> list[tuple[tuple[Any, ...], list[Row]]]:
    """Return the rows grouped by the columns `names`, sorted by them. Rows without text there are dropped."""
    by_key: dict[tuple[Any, ...], list[Row]] = {}
    for row in rows:
        by_key.setdefault(tuple(row[name] for name in names), []).append(row)
    return sorted((key, group) for key, group in by_key.items() if all(isinstance(value, str) for value in key))


def by_size(row: Row) -> tuple[Any, ...]:
    """Return a sort key: n, d, problem. Unknown sizes come last."""
    sizes = [row[name] if row[name] == row[name] else math.inf for name in ("n", "d")]
    return *sizes, words(row["problem"])


def rounds(run: Run) -> pd.DataFrame:
    """Return one row per round: the row of its block, with `round` (from 0) and `seconds`.

    Raises RunError if the file has no rounds.
    """
    values = [entry["stats"].get("data") for entry in read_document(run.path)["benchmarks"]]
    data = [[number(seconds) for seconds in value] if isinstance(value, list) else [] for value in values]
    if not any(data):
        raise RunError(f"{run.label} has no rounds; save them with --benchmark-save-data")
    rows = run.rows.drop(columns="round", errors="ignore")  # a fact of the same name
    table = rows.assign(seconds=pd.Series(data, dtype=object)).explode("seconds").dropna(subset="seconds")
    table.insert(len(COLUMNS), "round", table.groupby(level=0).cumcount())
    return table.reset_index(drop=True).astype({"seconds": float})
