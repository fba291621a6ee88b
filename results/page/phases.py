"""The phases of a case (prepare, compile, steady ...), and break-even: the runs that pay for a longer start."""

import math
from typing import Any

import numpy as np
import pandas as pd

from results.output import Section, records, seconds, words
from results.page.sections import compile_text
from results.stats.pairing import ratios, without_duplicates
from results.store.columns import CASE
from results.store.outcomes import Row, by_size, groups
from results.store.reading import Run

KEY = CASE[1:]
CLOCKS = ["prepare_s", "first_s", "steady_s", "steps"]
BREAK_EVEN_NOTE = (
    "Break-even: the fewest runs r with prepare + first + (r - 1) steady no more than the other's: the median over the"
    " blocks, in brackets the lowest and highest block. never: the start takes longer and later runs are no faster."
)


def phase_sections(rows: list[Row]) -> list[Section]:
    """Return problem x implementation, a table per device and dtype: medians, with the extremes of several blocks."""
    sections = []
    measured = [row for row in rows if row["status"] == "measured"]
    for (device, dtype), group in groups(measured, "device", "dtype"):
        phases = ["import", "prepare", "first", "compile", "fixed", "steady"]
        phases += ["blocked", "dispatch"] if any(row["blocked_s"] == row["blocked_s"] for row in group) else []
        table = [
            {"problem": words(row["problem"]), "implementation": words(row["impl"])}
            | {phase: _phase_text(row, phase) for phase in phases}
            for row in sorted(group, key=lambda row: (*by_size(row), words(row["impl"])))
        ]
        sections.append(Section(f"Phases: {device}, {dtype}", table=table, level=3))
    return sections


def _phase_text(row: dict[str, Any], phase: str) -> str:
    median = compile_text(row) if phase == "compile" else seconds(row[f"{phase}_s"])
    if row["blocks"] < 2 or median in ("none", "-"):
        return median
    return f"{median} ({seconds(row[f'{phase}_low_s'])} to {seconds(row[f'{phase}_high_s'])})"


def break_even(a: pd.DataFrame, b: pd.DataFrame) -> pd.DataFrame:
    """Return per case the fewest `runs` after which B has taken no longer than A in total, and `steps`, their updates.

    Both are medians over the paired blocks, rounded up; runs_low and runs_high are the extremes. Infinite means never.
    `until` is the last such run: infinite unless B starts faster and has slower runs later. A case that cannot be
    compared has NaN and the reason in `refused`, as in `ratios`.
    """
    pairs = _clocks(a, KEY).add_suffix("_a").join(_clocks(b, KEY).add_suffix("_b"), how="inner")
    table = _break_even_table(pairs, KEY)
    result = ratios(a, b, KEY)[[*KEY, "refused"]].merge(table, left_on=KEY, right_index=True, how="left")
    result.loc[result["refused"] != "", list(table)] = math.nan
    unknown = (result["refused"] == "") & result["runs"].isna()
    result.loc[unknown, "refused"] = "prepare, first or steady time not recorded"
    return result


def _break_even_table(pairs: pd.DataFrame, key: list[str]) -> pd.DataFrame:
    """Return by `key` the columns of `break_even`, from the clocks of A and B in each block."""
    extra, gain = pairs["start_s_b"] - pairs["start_s_a"], pairs["steady_s_a"] - pairs["steady_s_b"]
    ahead, even = extra <= 0, (extra / gain).round(9)  # rounded: 0.3 / 0.1 is 3 runs, not 4
    pairs["runs"] = (1 + np.ceil(even)).where(gain > 0, math.inf).mask(ahead, 1).where(extra.notna() & gain.notna())
    pairs["until"] = (1 + np.floor(even)).where(ahead & (gain < 0), math.inf)
    cases = pairs.dropna(subset="runs").groupby(key)
    table = cases[["runs", "until"]].median().apply(np.ceil)
    table["runs_low"], table["runs_high"] = cases["runs"].min(), cases["runs"].max()
    table["steps"], table["blocks"] = table["runs"] * cases["steps_a"].first(), cases.size()
    return table


def _clocks(rows: pd.DataFrame, key: list[str]) -> pd.DataFrame:
    """Return by `key` and block: start_s (prepare and first run), steady_s, steps. A missing block counts as 0."""
    rows = rows.assign(block=rows["block"].fillna(0), start_s=rows["prepare_s"] + rows["first_s"])
    return rows.groupby([*key, "block"])[["start_s", "steady_s", "steps"]].median()


def break_even_section(run: Run, a: str, b: str) -> Section:
    """Return the break-even of implementation B against A in one run, one row per case."""
    rows_a, rows_b = (run.rows[run.rows["impl"] == name] for name in (a, b))
    table = [
        {name: words(row[name]) for name in KEY} | {"break-even": row["refused"] or _break_even_text(row)}
        for row in records(break_even(rows_a, rows_b))
    ]
    return Section(f"Break-even of {b} against {a}", table=table, notes=[BREAK_EVEN_NOTE], level=3)


def break_even_sections(runs: list[Run], baseline: str, ratio_rows: list[Row]) -> list[list[Section]]:
    """Return for each run the break-even against the baseline, a table per device and dtype.

    `ratio_rows` are the rows of `pairing.ratio_rows`: only comparable cases are shown.
    """
    key = ["at", "impl", *KEY]
    rows = pd.concat([run.rows[[*CASE, "duplicate_of", "block", *CLOCKS]].assign(at=index) for index, run in enumerate(runs)])
    clocks = _clocks(without_duplicates(rows), key)
    base = clocks[clocks.index.get_level_values("impl") == baseline].droplevel("impl").add_suffix("_a")
    if base.empty:
        return [[] for _ in runs]
    table = _break_even_table(clocks.add_suffix("_b").join(base, on=["at", *KEY, "block"], how="inner"), key)
    by_case = {tuple(row[name] for name in key): row for row in records(table.reset_index())}
    rows_by_run: list[list[Row]] = [[] for _ in runs]
    for ratio in ratio_rows:
        row = by_case.get(tuple(ratio[name] for name in key))
        if row and ratio["refused"] == "" and ratio["impl"] != baseline:
            rows_by_run[ratio["at"]].append(row)
    return [_break_even_tables(run, rows, baseline) for run, rows in zip(runs, rows_by_run, strict=True)]


def _break_even_tables(run: Run, rows: list[Row], baseline: str) -> list[Section]:
    sizes: dict[str, tuple[Any, ...]] = {}
    for n, d, problem in zip(*[run.rows[name].tolist() for name in ("n", "d", "problem")], strict=True):
        sizes.setdefault(problem, by_size({"n": n, "d": d, "problem": problem}))
    sections = []
    for (device, dtype), group in groups(rows, "device", "dtype"):
        cells = {(row["impl"], row["problem"]): _break_even_text(row) for row in group}
        problems = sorted({row["problem"] for row in group}, key=sizes.__getitem__)
        impls = sorted({row["impl"] for row in group})
        table = [{"implementation": impl} | {name: cells.get((impl, name), "-") for name in problems} for impl in impls]
        title = f"Break-even against {baseline}: {device}, {dtype}"
        sections.append(Section(title, table=table, notes=[BREAK_EVEN_NOTE], level=3))
    return sections


def _break_even_text(row: dict[str, Any]) -> str:
    """Return `12 runs, 1,200 steps (10 to 15)`, `from the first run`, or `never`."""
    text = f"{_count(row['runs'])} runs, {_count(row['steps'])} steps" if row["runs"] > 1 else "from the first run"
    text = "never" if math.isinf(row["runs"]) else text
    text += f" to run {_count(row['until'])}" if row["runs"] == 1 and math.isfinite(row["until"]) else ""
    constant = row["runs_low"] == row["runs_high"]
    return text + ("" if constant else f" ({_count(row['runs_low'])} to {_count(row['runs_high'])})")


def _count(runs: float) -> str:
    return "never" if math.isinf(runs) else f"{runs:,.0f}"
