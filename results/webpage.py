"""The report as one page that needs nothing else: charts, filters and tables in a file that opens offline.

Script and style lie in `page/`. Jinja escapes whatever runs say; the page's Content-Security-Policy names its own
scripts and its style by their digests, so nothing else runs in it and it can fetch nothing. Vega's expressions are
interpreted, not evaluated: no `unsafe-eval` is needed.
"""

import base64
import hashlib
import json
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

import jinja2
import pandas as pd
import vl_convert

from results import charts
from results.cases import alone, outcomes
from results.checks import published, worst_errors
from results.format import Section, rows_of, seconds
from results.machines import side_by_side
from results.payload import Payload, packed, script
from results.phases import break_evens
from results.read import Run, mapping, text
from results.report import TIMED
from results.show import absences, card
from results.summary import verdict

HERE = Path(__file__).parent
FIT = HERE / "gallery" / "line.json"  # what `make gallery` has descended
FILTERS = {
    "run": "Run",
    "framework": "Framework",
    "impl": "Implementation",
    "device": "Device",
    "dtype": "Dtype",
    "problem": "Problem",
    "plan": "Batch",
}
RUNS_SHOWN = 4  # at the beginning, the newest of each machine first; the others wait behind the filter


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


def all_charts(impls: list[str]) -> dict[str, Chart]:
    """The page's charts in their order, by name."""
    bars = "Thin bars: lowest to highest block. Thick bars: 95 % interval of the block (6 blocks at least)."
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
            " interval, Holm over all comparisons with this baseline. ? undecided, which is not the same as equal;"
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


def webpage(runs: list[Run], held: Payload, baseline: str) -> str:
    """The page about `runs` and their tables: HTML, the same for the same runs; `baseline` is what it begins with."""
    shown = newest(runs)
    drawn = all_charts(held.impls)
    fit = json.loads(FIT.read_text(encoding="utf-8")) if FIT.exists() else None
    style, program = ((HERE / "page" / name).read_text(encoding="utf-8") for name in ("report.css", "report.js"))
    given = {
        "tables": {name: packed(getattr(held, name)) for name in ("cases", "speedups", "checks")},
        "charts": {name: _given(chart) for name, chart in drawn.items()},
        "themes": {name: charts.theme(name) for name in ("light", "dark")},
        "fit": fit,
        "descent": charts.descent_chart(fit) if fit else None,
    }
    return _template().render(
        title=", ".join(f"{run.label} ({run.date})" for run in shown) + _others(len(runs) - len(shown)),
        policy=_policy([vega(), program], style),
        style=style,
        program=program,
        library=vega(),
        given=script(given),
        charts=drawn,
        filters=_filters(held, shown),
        baselines=sorted(held.speedups["baseline"].unique()),
        baseline=baseline,
        details=_details(held),
        detail=first_detail(held, shown),
        fit=fit,
        **_parts(shown, held, baseline),
    )


def _parts(shown: list[Run], held: Payload, baseline: str) -> dict[str, Any]:
    """What the page says in words and tables."""
    found = {run.label: alone(run, outcomes(run)) for run in shown}
    return {
        "verdicts": [verdict(run, baseline) for run in shown],
        "break_evens": [_of(run, part) for run in shown for part in break_evens(run, baseline)],
        "correctness": [*[_of(run, worst_errors(found[run.label])) for run in shown], *published(shown)],
        "machines": side_by_side(shown, held.speedups, baseline),
        "cards": [card(run) for run in shown],
        "codes": codes(shown, held.cases),
        "method": [Section(notes=TIMED), *[_of(run, part) for run in shown for part in absences(found[run.label])]],
    }


def _of(run: Run, section: Section) -> Section:
    return replace(section, title=f"{section.title}: {run.label}")


def newest(runs: list[Run], most: int = RUNS_SHOWN) -> list[Run]:
    """All of a few runs; of many the newest, one of each machine before a second of any."""
    if len(runs) <= most:
        return runs
    late = sorted(runs, key=lambda run: (run.when, run.label), reverse=True)
    turns = {run.label: sum(other.machine == run.machine for other in late[:i]) for i, run in enumerate(late)}
    chosen = sorted(late, key=lambda run: turns[run.label])[:most]
    return [run for run in runs if run in chosen]


def _others(count: int) -> str:
    return f" and {count} more, behind the filter" if count else ""


def _given(chart: Chart) -> dict[str, Any]:
    return {"spec": chart.spec, "table": chart.table, "detail": chart.detail, "keep": chart.keep}


def _filters(held: Payload, shown: list[Run]) -> list[dict[str, Any]]:
    """The boxes to tick; at first all but the runs that are not shown."""
    orders = {"impl": held.impls, "problem": held.problems}
    fields = []
    for name, title in FILTERS.items():
        choices = orders.get(name) or sorted(held.cases[name].dropna().unique())
        chosen = {run.label for run in shown} if name == "run" else set(choices)
        fields.append({"name": name, "title": title, "choices": choices, "chosen": chosen})
    return fields


def _details(held: Payload) -> list[str]:
    """The cases that can be looked at in detail, the smallest problem first."""
    measured = held.cases[held.cases["status"] == "measured"]
    return list(measured.sort_values(["run", "size", "detail"])["detail"].unique())


def first_detail(held: Payload, shown: list[Run]) -> str:
    """What is looked at first: the case with the most implementations, then with the most iterates, then the first."""
    cases = held.cases[(held.cases["status"] == "measured") & held.cases["run"].isin([run.label for run in shown])]
    looked = held.checks.groupby("detail").size()
    by_count = cases.groupby("detail").agg(impls=("impl", "nunique"), size=("size", "max")).reset_index()
    by_count["looked"] = by_count["detail"].map(looked).fillna(0)
    order = by_count.sort_values(["impls", "looked", "size", "detail"], ascending=[False, False, True, True])
    return str(order["detail"].iloc[0]) if len(order) else ""


def codes(runs: list[Run], cases: pd.DataFrame) -> list[dict[str, Any]]:
    """The file of each implementation as it was run, the newest where runs differ, with its lines and its numbers."""
    found: dict[str, dict[str, Any]] = {}
    for run in sorted(runs, key=lambda run: run.when):
        for impl, source in sorted(mapping(run.campaign.get("sources")).items()):
            code, here = text(mapping(source).get("text")), cases[(cases["run"] == run.label) & (cases["impl"] == impl)]
            table = here.sort_values(["size", "problem", "dtype"])[["problem", "dtype", "device", "per_step_s"]]
            numbers = Section(table=rows_of(table.rename(columns={"per_step_s": "per step"}), {"per step": seconds}))
            told = {"impl": impl, "file": text(mapping(source).get("file")), "text": code}
            found[impl] = told | {"lines": len(code.splitlines()), "numbers": numbers}
    return [found[impl] for impl in sorted(found)]


@cache
def vega() -> str:
    """Vega, Vega-Lite and Vega-Embed as one script."""
    return vl_convert.javascript_bundle("window.vegaEmbed = vegaEmbed;").replace("</script", "<\\/script")


def _policy(scripts: list[str], style: str) -> str:
    """A Content-Security-Policy that lets these scripts and this style in and nothing else."""
    runs = " ".join(f"'sha256-{_digest(code)}'" for code in scripts)
    return (
        f"default-src 'none'; script-src {runs}; style-src 'sha256-{_digest(style)}'; img-src data: blob:;"
        " base-uri 'none'; form-action 'none'"
    )


def _digest(code: str) -> str:
    return base64.b64encode(hashlib.sha256(code.encode()).digest()).decode()


def _template() -> jinja2.Template:
    loader = jinja2.FileSystemLoader(HERE / "page")
    return jinja2.Environment(loader=loader, autoescape=True, undefined=jinja2.StrictUndefined).get_template(
        "report.html"
    )
