"""The data behind the page and its charts: cases, speed-ups over each baseline, and checked iterates."""

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from results.output import records, shortened, speedup, words
from results.page.errors import checks
from results.page.standing import find_winners, framework, judge_pairs
from results.stats.pairing import ratios_to, without_duplicates
from results.stats.pools import earlier_runs, step_spreads
from results.stats.quiet_or_busy import QUIET, judge_machine, withhold_if_busy
from results.stats.signed_rank import fewest_blocks, interval
from results.stats.verdict_tables import add_verdicts_to_each
from results.stats.verdicts import INVALID
from results.store.columns import CASE
from results.store.outcomes import drop_duplicates, expert_tuned, outcomes
from results.store.reading import Run, machine_words
from results.store.runs import join

KEY = ["run", *CASE]
MANY_RUNS = 50  # more runs have one baseline, and checks of the initially shown runs only
AS_USERS, TUNED_TOO = "as users write it", "expert-tuned as well"  # implementations of a winner map
MANY_NAMES = 3  # or more frameworks in a cell of a winner map: they are counted
RUNS_SHOWN = 4  # initially; the filter shows the others
CASES = ["run", "machine", "framework", "version", "impl", "device", "dtype", "problem", "plan", "n", "d", "k", "batch"]
CASES += ["steps", "size", "status", "reason", "blocks", "per_step_s", "low_s", "high_s", "ci_low_s", "ci_high_s"]
CASES += ["import_s", "context_s", "prepare_s", "compile_s", "steady_s", "fixed_s", "error_ratio", "rss_bytes"]
CASES += ["limit_s", "fraction_of_limit", "limited_by", "step_reads", "sweep", "panel"]


@dataclass(frozen=True, eq=False)
class Payload:
    """The tables of a page. Rows: cases, speed-ups over each baseline, checked iterates, cells of winner maps.

    Columns of `cases` beside those of `outcomes`: plan, full batch or mini-batches; size, elements of X per step (batch
    times d); ci_low_s and ci_high_s, the 95 % interval of per_step_s (signed-rank test over the blocks, in logarithms;
    for few blocks, the spread of earlier runs); sweep, 1 if the run has several n with this d, k and plan; panel, the
    panel in a chart, which never mixes machines.
    Columns of `winners`: written, AS_USERS or TUNED_TOO; fastest, the framework that is shown to be fastest, or "";
    frameworks, it or all candidates; by, the implementation and its speed-up over the baseline.
    """

    cases: pd.DataFrame
    speedups: pd.DataFrame
    checks: pd.DataFrame
    winners: pd.DataFrame

    @property
    def on_gpu(self) -> bool:
        """Return whether a case used a GPU, which a process has to prepare first."""
        return bool(self.cases["context_s"].notna().any())

    @property
    def impls(self) -> tuple[str, ...]:
        """Return all implementations, sorted by framework."""
        impls = self.cases.dropna(subset="impl").drop_duplicates("impl").sort_values(["framework", "impl"])
        return tuple(impls["impl"])

    @property
    def measured_impls(self) -> tuple[str, ...]:
        """Return the implementations with a measured case, in the order of colours and legends."""
        measured = set(self.cases.loc[self.cases["status"] == "measured", "impl"])
        return tuple(impl for impl in self.impls if impl in measured)


def make_payload(runs: list[Run], baseline: str) -> Payload:
    """Return the data of `runs` without duplicates. More than MANY_RUNS have speed-ups over `baseline` only.

    The verdicts of up to MANY_RUNS runs use the noise of earlier runs, as `compare` does for one run.
    """
    tables = [without_duplicates(run.rows) for run in runs]
    few = runs if len(runs) <= MANY_RUNS else []
    spreads = {(run.label, impl): value for run in few for impl, value in step_spreads(run, earlier_runs(run)).items()}
    cases = _cases(join([drop_duplicates(run, outcomes(run)) for run in runs]), join(tables), spreads)
    checked = tables if few else [without_duplicates(run.rows) for run in first_runs(runs)]
    judged = [judge_pairs(run, baseline) for run in few] or [_judge_alone(run, baseline) for run in runs]
    iterates = checks(join(checked)).merge(cases[[*KEY, "machine", "framework", "panel"]], on=KEY)
    speedups = _speedups([table.assign(run=run.label) for run, table in zip(runs, judged, strict=True)], cases)
    return Payload(_with_detail(cases), speedups, _with_detail(iterates), winner_maps(first_runs(runs), baseline))


def first_runs(runs: list[Run]) -> list[Run]:
    """Return the RUNS_SHOWN most informative runs, in the order of `runs`.

    The best run of each machine comes first. Better is a quiet run, then more problems, more blocks, and the newer.
    """
    if len(runs) <= RUNS_SHOWN:
        return runs
    best = sorted(runs, key=_worth, reverse=True)
    ranks = {run.label: sum(better.machine == run.machine for better in best[:i]) for i, run in enumerate(best)}
    chosen = sorted(best, key=lambda run: ranks[run.label])[:RUNS_SHOWN]
    return [run for run in runs if run in chosen]


def _worth(run: Run) -> tuple[Any, ...]:
    counts = [run.rows[name].nunique() for name in ("problem", "block")]
    return judge_machine(run).word == QUIET, *counts, run.when, run.label


def winner_maps(runs: list[Run], baseline: str) -> pd.DataFrame:
    """Return the winner at each size, for runs whose problems of one batch form a grid of n and d."""
    cells = []
    for run in runs:
        machine = f"{machine_words(run)}, {run.date}"
        batches = run.rows.dropna(subset=["problem"]).groupby("problem")["batch"].first()
        pairs, tuned = judge_pairs(run, baseline), expert_tuned(run)
        usual = [(AS_USERS, winner) for winner in find_winners(run, pairs, baseline, tuned)]
        all_of = [(TUNED_TOO, winner) for winner in find_winners(run, pairs, baseline, set())] if tuned else []
        for written, winner in usual + all_of:
            best, batch = winner.best, batches.get(winner.best["problem"])
            plan = "full-batch step" if batch == winner.best["n"] else f"step of {batch:,.0f} rows"
            names = list(dict.fromkeys(framework(impl) for impl in [best["impl"], *winner.rivals]))
            faster = f", {speedup(1 / winner.ratio['ratio'])}" if winner.ratio else ""
            cells.append(
                {name: best[name] for name in ("run", "machine", "problem", "device", "dtype", "n", "d")}
                | {"written": written, "plan": "full batch" if batch == best["n"] else "mini-batches"}
                | {"panel": f"Fastest {plan}, {best['dtype']}, {best['device']}: {machine}"}
                | {"fastest": names[0] if winner.shown else ""}
                | {"frameworks": " or ".join(names) if len(names) < MANY_NAMES else f"{len(names)} frameworks"}
                | {"by": f"{best['impl']}{faster}" if winner.shown else "no difference shown"}
            )
    columns = ["run", "machine", "device", "dtype", "problem", "plan", "written", "panel", "n", "d"]
    columns += ["fastest", "frameworks", "by"]
    table = pd.DataFrame(cells, columns=columns).astype({"n": float, "d": float})
    grids = [grid for _, grid in table.groupby(["written", "panel"], sort=False) if _is_grid(grid)]
    return pd.concat(grids, ignore_index=True) if grids else table[:0]


def _is_grid(cells: pd.DataFrame) -> bool:
    """Return whether the cells cover at least half of a grid of several n and several d."""
    rows, features = cells["n"].nunique(), cells["d"].nunique()
    return min(rows, features) > 1 and len(cells) >= rows * features / 2


def _with_detail(table: pd.DataFrame) -> pd.DataFrame:
    """Return the table with `detail`, a name that cases share if they differ only in the implementation."""
    labels = table[["problem", "run", "device", "dtype"]].map(words).to_numpy(str)
    return table.assign(detail=[f"{problem}: {', '.join(facts)}" for problem, *facts in labels])


def _cases(outcomes: pd.DataFrame, rows: pd.DataFrame, spreads: Mapping[tuple[str, str], float]) -> pd.DataFrame:
    """Return the outcomes of runs as CASES, with facts and intervals from their rows.

    spreads: `step_spreads` by run and implementation, for cases with too few blocks.
    """
    by_case = rows.groupby(KEY)
    cases = outcomes.merge(by_case[["framework", "version", "batch", "steps"]].first(), how="left", on=KEY)
    first_words = cases["impl"].map(lambda impl: str(impl).partition("_")[0])
    cases["framework"] = cases["framework"].where(cases["framework"] != "").fillna(first_words)
    cases["plan"] = np.where(cases["batch"] < cases["n"], "mini-batches", "full batch")
    cases["size"] = cases["batch"] * cases["d"]
    sizes = cases.groupby(["run", "device", "dtype", "d", "k", "plan"])["n"].transform("nunique")
    cases["sweep"] = (sizes > 1).astype(int)
    cases["panel"] = [_panel(row) for row in records(cases)]
    timed = rows[rows["valid"] & (rows["per_step_s"] > 0)]
    logs = timed.assign(log=np.log(timed["per_step_s"])).groupby(KEY)["log"]
    intervals = {case: interval(values.to_numpy(float)) for case, values in logs if len(values) >= fewest_blocks(1)}
    for case, values in logs:
        spread = spreads.get((str(case[0]), str(case[1])))
        if case not in intervals and spread is not None:
            intervals[case] = values.median() - spread, values.median() + spread
    bounds = [intervals.get(case, (math.nan, math.nan)) for case in cases[KEY].itertuples(index=False, name=None)]
    cases[["ci_low_s", "ci_high_s"]] = np.exp(np.array(bounds, float).reshape(len(cases), 2))
    cases.loc[cases["status"] != "measured", ["ci_low_s", "ci_high_s"]] = math.nan
    order = ["run_index", "size", "n", "problem", "dtype", "device", "per_step_s", "impl"]
    cases = cases.assign(run_index=pd.factorize(cases["run"])[0]).sort_values(order, ignore_index=True)
    return cases.reindex(columns=CASES)


def _panel(row: dict[str, Any]) -> str:
    panel = f"{row['run']}, {row['device']}, {row['dtype']}, {row['plan']}"
    return f"{panel}, d = {words(row['d'])}, k = {words(row['k'])}" if row["sweep"] else panel


def _judge_alone(run: Run, baseline: str) -> pd.DataFrame:
    """Return the judged ratios to the baseline without the noise of earlier runs."""
    ratios = ratios_to(run.rows, baseline).assign(baseline=baseline)
    return withhold_if_busy(add_verdicts_to_each(ratios, baseline), [run])


def _speedups(judged: list[pd.DataFrame], cases: pd.DataFrame) -> pd.DataFrame:
    """Return a row per baseline and tried case: `speedup`, its interval (`low`, `high`), `verdict`; or `why` not.

    All comparisons of one run are one family, whatever the baseline and the filters of the page.
    judged: `judge_pairs` of each run, with its label.
    """
    tried = cases[cases["status"] != "skipped"].dropna(subset=CASE).drop_duplicates(KEY)
    case_columns = [*KEY, "machine", "framework", "plan", "panel", "size"]
    tried = tried[[*case_columns, "reason"]]
    tried = tried.assign(panel=[", ".join(names) for names in tried[["run", "device", "dtype"]].to_numpy(str)])
    columns = [*case_columns, "baseline", "speedup", "low", "high", "verdict", "why"]
    judged_tables = [_as_speedups(table) for table in judged if len(table)]
    if not judged_tables:
        return pd.DataFrame(columns=columns)
    compared = pd.concat(judged_tables, ignore_index=True)
    table = compared[["run", "baseline"]].drop_duplicates().merge(tried, on="run")
    table = table.merge(compared, how="left", on=[*KEY, "baseline"])
    table["why"] = table["why"].fillna("").where(table["reason"].fillna("") == "", table["reason"])
    table.loc[table["verdict"].isna() & (table["why"] == ""), "why"] = "not measured"
    return table.fillna({"verdict": INVALID})[columns]


def _as_speedups(table: pd.DataFrame) -> pd.DataFrame:
    """Return judged ratios as speed-ups and verdicts over each baseline. A baseline itself has a speed-up of 1."""
    compared = table["refused"] == ""
    speedup = (1 / table["ratio"]).where(compared)
    table = table.assign(speedup=speedup, low=1 / table["interval_high"], high=1 / table["interval_low"])
    table = table.replace([0.0, math.inf], math.nan)
    is_base = compared & (table["impl"] == table["baseline"])
    table["speedup"], table["verdict"] = table["speedup"].mask(is_base, 1.0), table["verdict"].mask(is_base, "baseline")
    table["why"] = table["refused"].where(table["withheld"] == "", table["withheld"])
    return table[[*KEY, "baseline", "speedup", "low", "high", "verdict", "why"]]


def pack_columns(frame: pd.DataFrame) -> dict[str, Any]:
    """Return the columns as short JSON: text as codes into levels, numbers with six digits, null for missing ones."""
    packed: dict[str, Any] = {}
    for name, column in frame.items():
        if pd.api.types.is_numeric_dtype(column) and not pd.api.types.is_bool_dtype(column):
            packed[str(name)] = [_rounded(value) for value in column.astype(float)]
        else:
            codes, levels = pd.factorize(column)
            packed[str(name)] = {"levels": [shortened(str(level)) for level in levels], "codes": codes.tolist()}
    return packed


def _rounded(value: float) -> float | int | None:
    if not math.isfinite(value):
        return None
    return int(value) if value.is_integer() and abs(value) < 1e15 else float(f"{value:.6g}")


def script_json(content: object) -> str:
    """Return JSON for a script element of a page. It has no `<`, so text from a file cannot close the element."""
    text = json.dumps(content, separators=(",", ":"), allow_nan=False, ensure_ascii=True)
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")
