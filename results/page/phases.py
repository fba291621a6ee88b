"""Show the phases of a case (prepare, compile, steady ...), and the break-even of a longer start."""

import math
from typing import Any

import numpy as np
import pandas as pd

from results.output import Section, records, seconds, words
from results.page.sections import compile_text, table_by_problem
from results.stats.pairing import ratios, ratios_to, without_duplicates
from results.store.columns import CASE
from results.store.outcomes import Row, by_size, groups
from results.store.reading import Run

KEY = CASE[1:]
BREAK_EVEN_NOTE = (
    "Break-even: from so many steps on, B finishes before A when both start as fresh processes: import, first use of"
    " the device, preparation and compilation count. A run is one call of the problem's steps. Median over the blocks,"
    " in brackets the lowest and highest block. never: B starts later and is no faster."
)


def phase_sections(rows: list[Row]) -> list[Section]:
    """Return a table per device and dtype: the median of each phase, with the extremes of several blocks."""
    sections = []
    measured = [row for row in rows if row["status"] == "measured"]
    for (device, dtype), group in groups(measured, "device", "dtype"):
        phases = ["import", "prepare", "first", "compile", "fixed", "steady"]
        phases[1:1] = ["context"] if any(row["context_s"] == row["context_s"] for row in group) else []
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
    """Return per case the fewest `runs` after which B's total time is at most A's, and `steps`, their updates.

    Both are medians over the paired blocks, rounded up; runs_low and runs_high are the extremes. Infinite means never.
    `until` is the last such run: infinite unless B starts faster and runs more slowly. A case that cannot be
    compared has NaN and the reason in `refused`, as in `ratios`.
    """
    table = _break_even_table(_clocks(a, KEY).add_suffix("_a").join(_clocks(b, KEY).add_suffix("_b"), how="inner"), KEY)
    result = ratios(a, b, KEY)[[*KEY, "refused"]].merge(table, left_on=KEY, right_index=True, how="left")
    result.loc[result["refused"] != "", list(table)] = math.nan
    unknown = (result["refused"] == "") & result["runs"].isna()
    result.loc[unknown, "refused"] = "import, prepare, first or steady time not recorded"
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
    """Return by `key` and block: start_s of a fresh process, steady_s, steps. A missing block counts as 0.

    start_s is import, the first use of the device, prepare and first run. It includes what the framework built once, in
    the first case of the process. rows: in the order in which they were measured.
    """
    rows = rows.assign(block=rows["block"].fillna(0))
    compile_s = (rows["first_s"] - rows["steady_s"]).clip(lower=0)
    process = [rows[name] for name in ("impl", "device", "block")]
    once = sum(
        (clock.groupby(process, dropna=False).transform("first") - clock).clip(lower=0).fillna(0)
        for clock in (compile_s, rows["prepare_s"])
    )
    start = rows["import_s"] + rows["context_s"].fillna(0) + rows["prepare_s"] + rows["first_s"]
    rows = rows.assign(start_s=start + once)
    return rows.groupby([*key, "block"])[["start_s", "steady_s", "steps"]].median()


def break_even_of(run: Run, a: str, b: str) -> pd.DataFrame:
    """Return the `break_even` of implementation B against A in one run, one row per case.

    What a process compiled once counts in every case, even if a filter omits its first case.
    """
    rows_a, rows_b = (run.all_rows[run.all_rows["impl"] == name] for name in (a, b))
    cases = run.rows.loc[run.rows["impl"].isin([a, b]), KEY].drop_duplicates()
    return break_even(rows_a, rows_b).merge(cases, on=KEY)


def break_even_section(run: Run, a: str, b: str) -> Section:
    """Return the break-even of implementation B against A in one run, one row per case."""
    table = [
        {name: words(row[name]) for name in KEY} | {"break-even": row["refused"] or _break_even_text(row)}
        for row in records(break_even_of(run, a, b))
    ]
    return Section(f"Break-even of {b} against {a}", table=table, notes=[BREAK_EVEN_NOTE], level=3)


def break_even_sections(run: Run, baseline: str) -> list[Section]:
    """Return the break-even against the baseline of the cases that can be compared, a table per device and dtype."""
    rows, key = without_duplicates(run.rows), ["impl", *KEY]
    clocks = _clocks(rows, key)
    base = clocks[clocks.index.get_level_values("impl") == baseline].droplevel("impl").add_suffix("_a")
    if base.empty:
        return []
    table = _break_even_table(clocks.add_suffix("_b").join(base, on=[*KEY, "block"], how="inner"), key).reset_index()
    compared = ratios_to(rows, baseline).query("refused == '' and impl != @baseline")[key]
    sizes = rows.drop_duplicates("problem").set_index("problem")[["n", "d"]]
    sections = []
    for (device, dtype), group in groups(records(compared.merge(table, on=key).join(sizes, on="problem")), *KEY[:2]):
        title = f"Break-even against {baseline}: {device}, {dtype}"
        cells = table_by_problem(group, _break_even_text, baseline)
        sections.append(Section(title, table=cells, notes=[BREAK_EVEN_NOTE], level=3))
    return sections


def _break_even_text(row: dict[str, Any]) -> str:
    """Return `1,200 steps (12 runs; 10 to 15)`, `from the first run`, or `never`."""
    runs, low, high, until = (_count(row[name]) for name in ("runs", "runs_low", "runs_high", "until"))
    extremes = "" if row["runs_low"] == row["runs_high"] else f"{low} to {high}"
    if 1 < row["runs"] < math.inf:
        return f"{_count(row['steps'])} steps ({runs} runs{f'; {extremes}' if extremes else ''})"
    text = runs
    if row["runs"] == 1:
        text = "from the first run" + (f" to run {until}" if math.isfinite(row["until"]) else "")
    unit = " runs" if math.isfinite(row["runs_high"]) else ""
    return f"{text} ({extremes}{unit})" if extremes else text


def _count(runs: float) -> str:
    return "never" if math.isinf(runs) else f"{runs:,.0f}"
