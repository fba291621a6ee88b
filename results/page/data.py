"""The data behind the page and its charts: cases, speed-ups over each baseline, and checked iterates."""

import json
import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from results.output import records, shortened, words
from results.page.errors import checks
from results.stats.pairing import ratio_rows, ratios_to_each, samples_by_impl, without_duplicates
from results.stats.quiet import is_busy, withhold
from results.stats.signed_rank import INVALID, fewest_blocks, interval
from results.stats.verdicts import add_verdicts_to_each
from results.store.columns import CASE
from results.store.outcomes import drop_duplicates_of_runs, outcomes_of_runs
from results.store.reading import Run
from results.store.runs import join

KEY = ["run", *CASE]
MANY_RUNS = 50  # more runs have one baseline, and checks of the initially shown runs only
RUNS_SHOWN = 4  # initially; the filter shows the others
CASES = ["run", "machine", "framework", "version", "impl", "device", "dtype", "problem", "plan", "n", "d", "k", "batch"]
CASES += ["steps", "size", "status", "reason", "blocks", "per_step_s", "low_s", "high_s", "ci_low_s", "ci_high_s"]
CASES += ["import_s", "prepare_s", "compile_s", "steady_s", "fixed_s", "error_ratio", "rss_bytes"]
CASES += ["limit_s", "fraction_of_limit", "limited_by", "step_reads", "sweep", "panel"]


@dataclass(frozen=True, eq=False)
class Payload:
    """The data of a page: tables with a row per case, per case and baseline, and per case and checked iterate.

    Columns of `cases` beside those of `outcomes`: plan, full batch or mini-batches; size, elements of X per step (batch
    times d); ci_low_s and ci_high_s, the 95 % interval of per_step_s (signed-rank test over the blocks, in logarithms);
    sweep, 1 if the run has several n with this d, k and plan; panel, the panel in a chart, which never mixes machines.
    """

    cases: pd.DataFrame
    speedups: pd.DataFrame
    checks: pd.DataFrame

    @property
    def impls(self) -> tuple[str, ...]:
        """Return all implementations, sorted by framework."""
        known = self.cases.dropna(subset="impl").drop_duplicates("impl").sort_values(["framework", "impl"])
        return tuple(known["impl"])

    @property
    def measured_impls(self) -> tuple[str, ...]:
        """Return the implementations with a measured case, in the order of colours and legends."""
        measured = set(self.cases.loc[self.cases["status"] == "measured", "impl"])
        return tuple(impl for impl in self.impls if impl in measured)

    @property
    def problems(self) -> list[str]:
        """Return all problems, the smallest first."""
        return list(self.cases.dropna(subset="problem").sort_values(["size", "n", "problem"])["problem"].unique())


def make_payload(runs: list[Run], baseline: str) -> Payload:
    """Return the data of `runs` without duplicates. More than MANY_RUNS have speed-ups over `baseline` only."""
    tables = [without_duplicates(run.rows) for run in runs]
    rows = checked = join(tables)
    cases = _cases(drop_duplicates_of_runs(runs, outcomes_of_runs(runs)), rows)
    if len(runs) <= MANY_RUNS:
        parts = [ratios_to_each(run.rows).assign(run=run.label) for run in runs]
        ratios = pd.concat(parts, ignore_index=True)
    else:
        ratios = pd.DataFrame(ratio_rows([samples_by_impl(table) for table in tables], baseline))
        ratios = ratios.assign(run=[runs[index].label for index in ratios["at"]], baseline=baseline)
        checked = join([without_duplicates(run.rows) for run in newest_runs(runs)])
    busy = frozenset(run.label for run in runs if is_busy([run]))
    iterates = checks(checked).merge(cases[[*KEY, "machine", "framework", "panel"]], on=KEY)
    return Payload(_with_detail(cases), _speedups(ratios, cases, baseline, busy), _with_detail(iterates))


def newest_runs(runs: list[Run], most: int = RUNS_SHOWN) -> list[Run]:
    """Return the `most` newest runs in their order: one of each machine before a second one of any."""
    if len(runs) <= most:
        return runs
    newest = sorted(runs, key=lambda run: (run.when, run.label), reverse=True)
    ranks = {run.label: sum(other.machine == run.machine for other in newest[:i]) for i, run in enumerate(newest)}
    chosen = sorted(newest, key=lambda run: ranks[run.label])[:most]
    return [run for run in runs if run in chosen]


def _with_detail(table: pd.DataFrame) -> pd.DataFrame:
    """Return the table with `detail`: one name for the cases that differ only in the implementation."""
    parts = table[["problem", "run", "device", "dtype"]].map(words).to_numpy(str)
    return table.assign(detail=[f"{problem}: {', '.join(others)}" for problem, *others in parts])


def _cases(outcomes: pd.DataFrame, rows: pd.DataFrame) -> pd.DataFrame:
    """Return the outcomes of runs as CASES, with facts and intervals from their rows."""
    by_case = rows.groupby(KEY)
    cases = outcomes.merge(by_case[["framework", "version", "batch", "steps"]].first(), how="left", on=KEY)
    cases["framework"] = [
        framework if isinstance(framework, str) and framework else str(impl).partition("_")[0]
        for framework, impl in zip(cases["framework"], cases["impl"], strict=True)
    ]
    cases["plan"] = np.where(cases["batch"] < cases["n"], "mini-batches", "full batch")
    cases["size"] = cases["batch"] * cases["d"]
    sizes = cases.groupby(["run", "device", "dtype", "d", "k", "plan"])["n"].transform("nunique")
    cases["sweep"] = (sizes > 1).astype(int)
    cases["panel"] = [_panel(row) for row in records(cases)]
    timed = rows[rows["valid"] & (rows["per_step_s"] > 0)]
    logs = timed.assign(log=np.log(timed["per_step_s"])).groupby(KEY)["log"]
    intervals = {case: interval(values.to_numpy(float)) for case, values in logs if len(values) >= fewest_blocks(1)}
    bounds = [intervals.get(case, (math.nan, math.nan)) for case in cases[KEY].itertuples(index=False, name=None)]
    cases[["ci_low_s", "ci_high_s"]] = np.exp(np.array(bounds, float).reshape(len(cases), 2))
    cases.loc[cases["status"] != "measured", ["ci_low_s", "ci_high_s"]] = math.nan
    run_index = {label: index for index, label in enumerate(cases["run"].unique())}
    order = ["run_index", "size", "n", "problem", "dtype", "device", "per_step_s", "impl"]
    cases = cases.assign(run_index=cases["run"].map(run_index)).sort_values(order, ignore_index=True)
    return cases.reindex(columns=CASES)


def _panel(row: dict[str, Any]) -> str:
    panel = f"{row['run']}, {row['device']}, {row['dtype']}, {row['plan']}"
    return f"{panel}, d = {words(row['d'])}, k = {words(row['k'])}" if row["sweep"] else panel


def _speedups(ratios: pd.DataFrame, cases: pd.DataFrame, baseline: str, busy: frozenset[str]) -> pd.DataFrame:
    """Return a row per baseline and tried case: `speedup`, its interval (`low`, `high`), `verdict`; or `why` not.

    All comparisons of one run are one family, whatever the baseline and the filters of the page.
    busy: labels of the runs whose verdicts are withheld.
    """
    tried = cases[cases["status"] != "skipped"].dropna(subset=CASE).drop_duplicates(KEY)
    tried = tried[[*KEY, "machine", "framework", "plan", "panel", "size", "reason"]]
    tried = tried.assign(panel=[", ".join(parts) for parts in tried[["run", "device", "dtype"]].to_numpy(str)])
    cases_by_run = {str(run): table for run, table in tried.groupby("run")}
    tables = []
    for run, group in ratios.groupby("run", sort=False):
        judged = _judge(group, baseline, str(run) in busy)
        for name, part in judged.groupby("baseline", sort=False):
            table = cases_by_run.get(str(run), tried[:0]).merge(part.drop(columns="baseline"), how="left", on=KEY)
            table["why"] = table["why"].fillna("").where(table["reason"].fillna("") == "", table["reason"])
            table.loc[table["verdict"].isna() & (table["why"] == ""), "why"] = "not measured"
            table["verdict"] = table["verdict"].fillna(INVALID)
            tables.append(table.assign(baseline=str(name)))
    columns = [*KEY, "machine", "framework", "plan", "panel", "size", "baseline"]
    columns += ["speedup", "low", "high", "verdict", "why"]
    return pd.concat(tables, ignore_index=True)[columns] if tables else pd.DataFrame(columns=columns)


def _judge(ratios: pd.DataFrame, baseline: str, busy: bool) -> pd.DataFrame:
    """Return speed-ups and verdicts over each baseline. A baseline itself has a speed-up of 1."""
    table = withhold(add_verdicts_to_each(ratios, baseline), busy)
    own, compared = (table["impl"] == table["baseline"]), table["refused"] == ""
    speedup = (1 / table["ratio"]).where(compared)
    table = table.assign(speedup=speedup, low=1 / table["interval_high"], high=1 / table["interval_low"])
    table = table.replace([0.0, math.inf], math.nan)
    table["speedup"] = table["speedup"].mask(own & compared, 1.0)
    table["verdict"] = table["verdict"].mask(own & compared, "baseline")
    table["refused"] = table["refused"].where(table["withheld"] == "", table["withheld"])
    columns = [*KEY, "baseline", "speedup", "low", "high", "verdict", "refused"]
    return table[columns].rename(columns={"refused": "why"})


def pack_columns(frame: pd.DataFrame) -> dict[str, Any]:
    """Return the columns as short JSON: text as codes into levels, numbers with six digits, null for missing ones."""
    return {str(name): _pack(frame[name]) for name in frame}


def _pack(column: "pd.Series[Any]") -> Any:
    if pd.api.types.is_numeric_dtype(column) and not pd.api.types.is_bool_dtype(column):
        return [_rounded(value) if math.isfinite(value) else None for value in column.astype(float)]
    codes, levels = pd.factorize(column)
    return {"levels": [shortened(str(level)) for level in levels], "codes": codes.tolist()}


def _rounded(value: float) -> float | int:
    return int(value) if value.is_integer() and abs(value) < 1e15 else float(f"{value:.6g}")


def script_json(content: object) -> str:
    """Return JSON for a script element of a page. It has no `<`, so text from a file cannot close the element."""
    text = json.dumps(content, separators=(",", ":"), allow_nan=False, ensure_ascii=True)
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")
