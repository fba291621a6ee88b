"""What the report's charts and its page are made from: a table of cases, of speed-ups over any baseline, of checks."""

import json
import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from results.output import records, shortened, words
from results.page.errors import checks
from results.stats.pairing import ratio_rows, ratios_to_each, samples_by_impl, without_duplicates
from results.stats.signed_rank import INVALID, fewest_blocks, interval
from results.stats.verdicts import add_verdicts
from results.store.columns import CASE
from results.store.outcomes import drop_duplicates_of_runs, outcomes_of_runs
from results.store.reading import Run
from results.store.runs import join

KEY = ["run", *CASE]
MANY = 50  # runs above which a page has one baseline, and checks of what it shows first alone
RUNS_SHOWN = 4  # at first, the newest of each machine before a second of any; the others wait behind the filter
CASES = {
    "run": "which run",
    "machine": "which machine",
    "framework": "the implementation's framework",
    "version": "its version",
    "impl": "implementation",
    "device": "cpu or gpu",
    "dtype": "float32 or float64",
    "problem": "name of the problem",
    "plan": "full batch or mini-batches",
    "n": "rows of X",
    "d": "columns of X",
    "k": "targets",
    "batch": "rows in a step",
    "steps": "updates in a run",
    "size": "numbers of X in a step: batch times d",
    "status": "measured, invalid, refused or skipped",
    "reason": "why it is not measured",
    "blocks": "fresh processes",
    "per_step_s": "seconds of a step: the median over the blocks",
    "low_s": "lowest block",
    "high_s": "highest block",
    "ci_low_s": "95 % interval of per_step_s over the blocks: signed-rank test, in logarithms",
    "ci_high_s": "its upper end",
    "import_s": "seconds to import the framework",
    "prepare_s": "seconds to move the data and build the run",
    "compile_s": "the first run less a later one",
    "steady_s": "seconds of a later run",
    "fixed_s": "seconds of a run of no steps",
    "error_ratio": "worst error over what is allowed",
    "rss_bytes": "peak memory of the process",
    "limit_s": "seconds a step would take at the machine's limit",
    "fraction_of_limit": "limit_s over per_step_s",
    "limited_by": "dispatch, cache, memory or compute",
    "step_reads": "what its steps go over: X or Gram matrix",
    "sweep": "1 if the run has several n with these d and k in this plan, else 0",
    "panel": "the panel of a chart that the case is in: nothing in one panel was measured on two machines",
}


@dataclass(frozen=True, eq=False)
class Payload:
    """cases: columns as in CASES, a row per case; speedups: of each over each baseline; checks: per iterate."""

    cases: pd.DataFrame
    speedups: pd.DataFrame
    checks: pd.DataFrame

    @property
    def impls(self) -> tuple[str, ...]:
        """All implementations, those of a framework beside one another."""
        known = self.cases.dropna(subset="impl").drop_duplicates("impl").sort_values(["framework", "impl"])
        return tuple(known["impl"])

    @property
    def drawn(self) -> tuple[str, ...]:
        """Those of which anything was measured: the order of colours and legends."""
        measured = set(self.cases.loc[self.cases["status"] == "measured", "impl"])
        return tuple(impl for impl in self.impls if impl in measured)

    @property
    def problems(self) -> list[str]:
        """All problems, the smallest first."""
        return list(self.cases.dropna(subset="problem").sort_values(["size", "n", "problem"])["problem"].unique())


def payload(runs: list[Run], baseline: str) -> Payload:
    """The tables of all runs without twins, which are no competitors; of more than MANY, over `baseline` alone."""
    tables = [without_duplicates(run.rows) for run in runs]
    rows = join(tables)
    cases = _cases(drop_duplicates_of_runs(runs, outcomes_of_runs(runs)), rows)
    near = rows if len(runs) <= MANY else join([without_duplicates(run.rows) for run in newest(runs)])
    looked = checks(near).merge(cases[[*KEY, "machine", "framework", "panel"]], on=KEY)
    pages = _every(runs) if len(runs) <= MANY else _one(runs, tables, baseline)
    return Payload(_named(cases), _speedups(pages, cases), _named(looked))


def newest(runs: list[Run], most: int = RUNS_SHOWN) -> list[Run]:
    """All of a few runs; of many the newest, one of each machine before a second of any."""
    if len(runs) <= most:
        return runs
    late = sorted(runs, key=lambda run: (run.when, run.label), reverse=True)
    turns = {run.label: sum(other.machine == run.machine for other in late[:i]) for i, run in enumerate(late)}
    chosen = sorted(late, key=lambda run: turns[run.label])[:most]
    return [run for run in runs if run in chosen]


def _every(runs: list[Run]) -> pd.DataFrame:
    """The ratios over every baseline of each run."""
    return pd.concat([ratios_to_each(run.rows).assign(run=run.label) for run in runs], ignore_index=True)


def _one(runs: list[Run], tables: list[pd.DataFrame], baseline: str) -> pd.DataFrame:
    """The ratios over one baseline, of all runs at once, from the table of each."""
    found = pd.DataFrame(ratio_rows([samples_by_impl(rows) for rows in tables], baseline))
    return found.assign(run=[runs[at].label for at in found["at"]], baseline=baseline)


def _named(table: pd.DataFrame) -> pd.DataFrame:
    """With `detail`: the cases that differ in their implementation alone, under one name."""
    parts = table[["problem", "run", "device", "dtype"]].map(words).to_numpy(str)
    return table.assign(detail=[f"{problem}: {', '.join(where)}" for problem, *where in parts])


def _cases(found: pd.DataFrame, rows: pd.DataFrame) -> pd.DataFrame:
    """The outcomes of runs with what their rows say beside them."""
    same = rows.groupby(KEY)
    found = found.merge(same[["framework", "version", "batch", "steps"]].first(), how="left", on=KEY)
    framework = found["impl"].map(lambda name: str(name).partition("_")[0])
    told = found["framework"].map(lambda name: isinstance(name, str) and name != "").astype(bool)
    found["framework"] = found["framework"].astype(object).where(told, framework)
    found["plan"] = np.where(found["batch"] < found["n"], "mini-batches", "full batch")
    found["size"] = found["batch"] * found["d"]
    sizes = found.groupby(["run", "device", "dtype", "d", "k", "plan"])["n"].transform("nunique")
    found["sweep"] = (sizes > 1).astype(int)
    found["panel"] = [_panel(row) for row in records(found)]
    timed = rows[rows["valid"] & (rows["per_step_s"] > 0)]
    logs = timed.assign(log=np.log(timed["per_step_s"])).groupby(KEY)["log"]
    ends = {case: interval(held.to_numpy(float)) for case, held in logs if len(held) >= fewest_blocks(1)}
    at = [ends.get(case, (math.nan, math.nan)) for case in found[KEY].itertuples(index=False, name=None)]
    found[["ci_low_s", "ci_high_s"]] = np.exp(np.array(at, float).reshape(len(found), 2))
    found.loc[found["status"] != "measured", ["ci_low_s", "ci_high_s"]] = math.nan
    order = ["size", "n", "problem", "dtype", "device", "per_step_s", "impl"]
    place = {label: at for at, label in enumerate(found["run"].unique())}
    found = found.assign(place=found["run"].map(place)).sort_values(["place", *order], ignore_index=True)
    return found.reindex(columns=[*CASES])


def _panel(row: dict[str, Any]) -> str:
    where = f"{row['run']}, {row['device']}, {row['dtype']}, {row['plan']}"
    return f"{where}, d = {words(row['d'])}, k = {words(row['k'])}" if row["sweep"] else where


def _speedups(pages: pd.DataFrame, cases: pd.DataFrame) -> pd.DataFrame:
    """A row per baseline and case that was tried: `speedup`, its interval `low` to `high`, `verdict`, and `why` none.

    Holm's procedure goes over all comparisons of a run with a baseline, whatever a page's filters leave of them and
    whichever runs stand beside it.
    """
    tried = cases[cases["status"] != "skipped"].dropna(subset=CASE).drop_duplicates(KEY)
    tried = tried[[*KEY, "machine", "framework", "plan", "panel", "size", "reason"]]
    tried = tried.assign(panel=[", ".join(where) for where in tried[["run", "device", "dtype"]].to_numpy(str)])
    found = []
    cases_of = {str(run): table for run, table in tried.groupby("run")}
    for (run, baseline), page in pages.groupby(["run", "baseline"], sort=False):
        table = cases_of.get(str(run), tried[:0]).merge(_judged(page, str(baseline)), how="left", on=KEY)
        table["why"] = table["why"].fillna("").where(table["reason"].fillna("") == "", table["reason"])
        table.loc[table["verdict"].isna() & (table["why"] == ""), "why"] = "not measured"
        table["verdict"] = table["verdict"].fillna(INVALID)
        found.append(table.assign(baseline=str(baseline)))
    where = ["machine", "framework", "plan", "panel", "size", "baseline"]
    columns = [*KEY, *where, "speedup", "low", "high", "verdict", "why"]
    return pd.concat(found, ignore_index=True)[columns] if found else pd.DataFrame(columns=columns)


def _judged(page: pd.DataFrame, baseline: str) -> pd.DataFrame:
    """The verdicts over one baseline; the baseline's own cases are there with a speed-up of 1."""
    itself = page["impl"] == baseline
    own = page[itself & (page["refused"] == "")].assign(speedup=1.0, low=math.nan, high=math.nan, verdict="baseline")
    others = page[~itself]
    if (others["refused"] == "").any():
        others = add_verdicts(others)
        ends = {"low": 1 / others["interval_high"], "high": 1 / others["interval_low"]}
        others = others.assign(speedup=1 / others["ratio"], **ends).replace([0.0, math.inf], math.nan)
    both = pd.concat([own, others]).reindex(columns=[*KEY, "speedup", "low", "high", "verdict", "refused"])
    return both.rename(columns={"refused": "why"})


def packed(frame: pd.DataFrame) -> dict[str, Any]:
    """Columns as short JSON: words as codes into their levels, numbers with six digits that count, null for none."""
    return {str(name): _column(frame[name]) for name in frame}


def _column(held: "pd.Series[Any]") -> Any:
    if pd.api.types.is_numeric_dtype(held) and not pd.api.types.is_bool_dtype(held):
        return [None if not math.isfinite(cell) else _short(cell) for cell in held.astype(float)]
    codes, levels = pd.factorize(held)
    return {"levels": [shortened(str(level)) for level in levels], "codes": codes.tolist()}


def _short(value: float) -> float | int:
    return int(value) if value.is_integer() and abs(value) < 1e15 else float(f"{value:.6g}")


def script(content: object) -> str:
    """JSON that stands in a page's script element: no `<` closes it, whatever a file says."""
    text = json.dumps(content, separators=(",", ":"), allow_nan=False, ensure_ascii=True)
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")
