"""The charts of the report in their order: title, caption, which rows they show, and what they show first."""

from dataclasses import dataclass
from functools import cache
from typing import Any

from results import charts
from results.format import records, strict
from results.payload import Payload
from results.read import Run


@dataclass(frozen=True)
class Chart:
    """A chart of the page: its title and caption, its specification, and which rows of which table it shows.

    detail: only the case chosen under "In detail"; sweep: only cases of sweeps over n (1) or only others (0).
    """

    title: str
    caption: str
    spec: charts.Spec
    table: str
    detail: bool = False
    keep: tuple[tuple[str, object], ...] = ()


@cache
def all_charts(impls: tuple[str, ...]) -> dict[str, Chart]:
    """The page's charts in their order, by name."""
    bars = (
        "Thin bars: lowest to highest block. Thick bars: 95 % interval of the block (6 blocks at least). Dotted, where"
        " it was measured: what a step takes here that reads its rows of X once and does nothing else."
    )
    valid = ("status", "measured")
    return {
        "sweep": Chart(
            "Time per step against n",
            f"Time per step against the rows of X, both logarithmic, a panel for each number of features. {bars}",
            charts.sweep_chart(impls),
            "cases",
            keep=(valid, ("sweep", 1)),
        ),
        "time": Chart(
            "Time per step over the problems",
            f"Time per step against what a step reads of X, both logarithmic; the problems differ in n and d. {bars}"
            " Click a name in the legend to pick one out, with Shift for more.",
            charts.time_chart(impls),
            "cases",
            keep=(valid, ("sweep", 0)),
        ),
        "speedup": Chart(
            "Speed-up over the baseline",
            "Above 1x a step takes less time than the baseline's; 1/4x takes 4 times as long. Under each number its"
            " interval, Holm over the run's comparisons with this baseline. ? undecided, not the same as equal;"
            " = equal within 2 %; hatched: not valid or not comparable.",
            charts.speedup_chart(),
            "speedups",
        ),
        "phases": Chart(
            "The clocks of one problem",
            "Medians over the blocks, each column on its own scale from zero; no bar where nothing was compiled.",
            charts.phases_chart(),
            "cases",
            detail=True,
            keep=(valid,),
        ),
        "error": Chart(
            "Error over what is allowed",
            "Distance to the reference's iterate over what honest rounding allows, worst block. Above 1: refused.",
            charts.error_chart(impls),
            "checks",
            detail=True,
        ),
        "loss": Chart(
            "Loss against updates",
            "The loss of the weights that each implementation returned: the same descent, so the lines coincide.",
            charts.loss_chart(impls, "t", "update"),
            "checks",
            detail=True,
        ),
        "loss-time": Chart(
            "Loss against time",
            "The same against time in steps: what the same descent costs. Importing and compiling are not in it.",
            charts.loss_chart(impls, "seconds", "time in steps"),
            "checks",
            detail=True,
        ),
    }


def first_detail(held: Payload, shown: list[Run]) -> str:
    """What is looked at first: the case with the most implementations, then with the most iterates, then the first."""
    cases = held.cases[(held.cases["status"] == "measured") & held.cases["run"].isin([run.label for run in shown])]
    looked = held.checks.groupby("detail").size()
    by_count = cases.groupby("detail").agg(impls=("impl", "nunique"), size=("size", "max")).reset_index()
    by_count["looked"] = by_count["detail"].map(looked).fillna(0)
    order = by_count.sort_values(["impls", "looked", "size", "detail"], ascending=[False, False, True, True])
    return str(order["detail"].iloc[0]) if len(order) else ""


def first_rows(chart: Chart, held: Payload, shown: list[Run], baseline: str) -> list[dict[str, Any]]:
    """What a chart shows before anything is filtered."""
    table = getattr(held, chart.table)
    here = table[table["run"].isin([run.label for run in shown])]
    here = here[here["detail"] == first_detail(held, shown)] if chart.detail else here
    here = here[here["baseline"] == baseline] if chart.table == "speedups" else here
    for column, value in chart.keep:
        here = here[here[column] == value]
    return [{name: strict(cell) for name, cell in row.items()} for row in records(here)]
