"""Where the time of a case goes, phase by phase, and after how many runs a dearer start is earned back."""

import math
from typing import Any

import numpy as np
import pandas as pd

from results.output import Section, records, seconds, words
from results.page.sections import compile_time
from results.stats.pairing import ratio_rows, ratios, samples_by_impl, without_duplicates
from results.store.columns import CASE
from results.store.outcomes import Row, by_size, groups
from results.store.reading import Run

KEY = CASE[1:]
CLOCKS = ["prepare_s", "first_s", "steady_s", "steps"]
EARNED = (
    "Break-even: the fewest runs r with prepare + first + (r - 1) steady no more than the other's: per block, then the"
    " median, in brackets the lowest and highest block. never: dearer at first, and no later run is shorter."
)


def phases(found: list[Row]) -> list[Section]:
    """Implementation x problem, a table per device and dtype: medians, with their extremes over several blocks."""
    sections = []
    valid = [row for row in found if row["status"] == "measured"]
    for (device, dtype), group in groups(valid, "device", "dtype"):
        shown = ["import", "prepare", "first", "compile", "fixed", "steady"]
        shown += ["blocked", "dispatch"] if any(row["blocked_s"] == row["blocked_s"] for row in group) else []
        table = [
            {"problem": words(row["problem"]), "implementation": words(row["impl"])}
            | {phase: _phase(row, phase) for phase in shown}
            for row in sorted(group, key=lambda row: (*by_size(row), words(row["impl"])))
        ]
        sections.append(Section(f"Phases: {device}, {dtype}", table=table, level=3))
    return sections


def _phase(row: dict[str, Any], phase: str) -> str:
    said = compile_time(row) if phase == "compile" else seconds(row[f"{phase}_s"])
    if row["blocks"] < 2 or said in ("none", "-"):
        return said
    return f"{said} ({seconds(row[f'{phase}_low_s'])} to {seconds(row[f'{phase}_high_s'])})"


def break_even(a: pd.DataFrame, b: pd.DataFrame) -> pd.DataFrame:
    """Per case: the fewest `runs` after which B has cost no more than A in all, and `steps`, the updates in them.

    Each is the median over the paired blocks, rounded up, runs_low..runs_high their extremes; infinite means never.
    `until` is the last such run: infinite unless B starts cheaper and has slower runs later. A case that cannot be
    compared has NaN and says why in `refused`, as in `ratios`.
    """
    pairs = _clocks(a, KEY).add_suffix("_a").join(_clocks(b, KEY).add_suffix("_b"), how="inner")
    table = _earned_back(pairs, KEY)
    found = ratios(a, b, KEY)[[*KEY, "refused"]].merge(table, left_on=KEY, right_index=True, how="left")
    found.loc[found["refused"] != "", list(table)] = math.nan
    found.loc[(found["refused"] == "") & found["runs"].isna(), "refused"] = "prepare, first or steady time not recorded"
    return found


def _earned_back(pairs: pd.DataFrame, key: list[str]) -> pd.DataFrame:
    """By `key`, from the clocks of A and B in each block: the columns that `break_even` documents."""
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
    """By `key` and block: seconds until the first run is done, and of a later one; an unnumbered block is block 0."""
    rows = rows.assign(block=rows["block"].fillna(0), start_s=rows["prepare_s"] + rows["first_s"])
    return rows.groupby([*key, "block"])[["start_s", "steady_s", "steps"]].median()


def break_even_section(run: Run, a: str, b: str) -> Section:
    """When implementation B of the run has earned back against A what it costs more at first: a row per case."""
    sides = [run.rows[run.rows["impl"] == name] for name in (a, b)]
    table = [
        {name: words(row[name]) for name in KEY} | {"break-even": row["refused"] or _earned(row)}
        for row in records(break_even(sides[0], sides[1]))
    ]
    return Section(f"Break-even of {b} against {a}", table=table, notes=[EARNED], level=3)


def break_evens(run: Run, baseline: str) -> list[Section]:
    """Break-even of each implementation against the baseline, implementation x problem, per device and dtype."""
    return break_evens_each([run], baseline, ratio_rows([samples_by_impl(run.rows)], baseline))[0]


def break_evens_each(runs: list[Run], baseline: str, pairs: list[Row]) -> list[list[Section]]:
    """The `break_evens` of many runs, worked out at once; `pairs` is `over_each` of their rows."""
    own = ["at", "impl"]
    rows = pd.concat([run.rows[[*CASE, "duplicate_of", "block", *CLOCKS]].assign(at=at) for at, run in enumerate(runs)])
    clocks = _clocks(without_duplicates(rows), [*own, *KEY])
    base = clocks[clocks.index.get_level_values("impl") == baseline].droplevel("impl").add_suffix("_a")
    if base.empty:
        return [[] for _ in runs]
    table = _earned_back(clocks.add_suffix("_b").join(base, on=["at", *KEY, "block"], how="inner"), [*own, *KEY])
    told = {(row["at"], *[row[name] for name in CASE]): row for row in records(table.reset_index())}
    found: list[list[Row]] = [[] for _ in runs]
    for pair in pairs:
        row = told.get((pair["at"], *[pair[name] for name in CASE]))
        if row and pair["refused"] == "" and pair["impl"] != baseline:
            found[pair["at"]].append(row)
    return [_break_evens(run, rows, baseline) for run, rows in zip(runs, found, strict=True)]


def _break_evens(run: Run, found: list[Row], baseline: str) -> list[Section]:
    sizes = [run.rows[name].tolist() for name in ("n", "d", "problem")]
    rows = [dict(zip(("n", "d", "problem"), row, strict=True)) for row in set(zip(*sizes, strict=True))]
    order = list(dict.fromkeys(row["problem"] for row in sorted(rows, key=by_size)))
    sections = []
    for (device, dtype), group in groups(found, "device", "dtype"):
        cells = {(row["impl"], row["problem"]): _earned(row) for row in group}
        problems = sorted({row["problem"] for row in group}, key=order.index)
        names = sorted({row["impl"] for row in group})
        table = [{"implementation": name} | {at: cells.get((name, at), "-") for at in problems} for name in names]
        title = f"Break-even against {baseline}: {device}, {dtype}"
        sections.append(Section(title, table=table, notes=[EARNED], level=3))
    return sections


def _earned(row: dict[str, Any]) -> str:
    """`12 runs, 1,200 steps (10 to 15)`, `from the first run`, or `never`."""
    said = f"{_count(row['runs'])} runs, {_count(row['steps'])} steps" if row["runs"] > 1 else "from the first run"
    said = "never" if math.isinf(row["runs"]) else said
    said += f" to run {_count(row['until'])}" if row["runs"] == 1 and math.isfinite(row["until"]) else ""
    same = row["runs_low"] == row["runs_high"]
    return said + ("" if same else f" ({_count(row['runs_low'])} to {_count(row['runs_high'])})")


def _count(runs: float) -> str:
    return "never" if math.isinf(runs) else f"{runs:,.0f}"
