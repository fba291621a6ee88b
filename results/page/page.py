"""The report as one page that needs nothing else: charts, filters and tables in a file that opens offline.

Script and style lie in `page/`. Jinja escapes whatever runs say; the page's Content-Security-Policy names its own
scripts and its style by their digests, so nothing else runs in it and it can fetch nothing. Vega's expressions are
interpreted, not evaluated: no `unsafe-eval` is needed.
"""

import base64
import hashlib
import json
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import jinja2
import pandas as pd
import vl_convert

from results.output import Section, records, rows_of, seconds, shortened
from results.page import charts
from results.page.charts import Chart, all_charts, first_detail
from results.page.data import Payload, newest, packed, script
from results.page.errors import published, worst_errors
from results.page.machines import side_by_side
from results.page.phases import break_evens
from results.page.report import TIMED
from results.page.sections import absences, card
from results.page.summary import in_short
from results.stats.pairing import ratios_to, without_duplicates
from results.stats.verdicts import add_verdicts, caveats
from results.store.outcomes import drop_duplicates, outcomes
from results.store.reading import Run, mapping, text

HERE = Path(__file__).parent
FIT = HERE.parent / "gallery" / "line.json"  # what `make gallery` has descended
CODE = 100_000  # characters of a file that are shown
FILTERS = {
    "machine": "Machine",
    "run": "Run",
    "framework": "Framework",
    "impl": "Implementation",
    "device": "Device",
    "dtype": "Dtype",
    "problem": "Problem",
    "plan": "Batch",
}
SPEEDUPS = "Speed-up: the baseline's time per step over the implementation's. The ratio is not that of the medians."


def webpage(runs: list[Run], held: Payload, baseline: str) -> str:
    """The page about `runs` and their tables: HTML, the same for the same runs; `baseline` is what it begins with."""
    shown = newest(runs)
    drawn = all_charts(held.drawn)
    fit = json.loads(FIT.read_text(encoding="utf-8")) if FIT.exists() else None
    style, program = ((HERE / "assets" / name).read_text(encoding="utf-8") for name in ("report.css", "report.js"))
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
        details=_details(held, shown),
        detail=first_detail(held, shown),
        fit=fit,
        **_parts(shown, held, baseline),
    )


def _parts(shown: list[Run], held: Payload, baseline: str) -> dict[str, Any]:
    """What the page says in words and tables."""
    found = {run.label: records(drop_duplicates(run, outcomes(run))) for run in shown}
    return {
        "verdicts": [in_short(run, baseline) for run in shown],
        "break_evens": [_of(run, part) for run in shown for part in break_evens(run, baseline)],
        "correctness": [*[_of(run, worst_errors(found[run.label])) for run in shown], *published(shown)],
        "machines": side_by_side(shown, held.speedups, baseline),
        "cards": [card(run) for run in shown],
        "codes": codes(shown, held.cases),
        "absences": [_of(run, part) for run in shown for part in absences(found[run.label])],
        "method": [Section(notes=TIMED), *[_caveats(run, baseline) for run in shown]],
    }


def _caveats(run: Run, baseline: str) -> Section:
    """What the speed-ups' verdicts mean, and what the undecided ones lack."""
    found = ratios_to(without_duplicates(run.rows), baseline)
    found = found[found["impl"] != baseline]
    said = caveats(add_verdicts(found) if (found["refused"] == "").any() else found, SPEEDUPS, "this run")
    return replace(said, title=f"The verdicts: {run.label}")


def _of(run: Run, section: Section) -> Section:
    return replace(section, title=f"{section.title}: {run.label}")


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


def _details(held: Payload, shown: list[Run]) -> list[str]:
    """The cases that can be looked at in detail, smallest problem first: those with checks, or of the first runs."""
    near = held.cases["run"].isin([run.label for run in shown]) | held.cases["detail"].isin(held.checks["detail"])
    measured = held.cases[(held.cases["status"] == "measured") & near]
    return list(measured.sort_values(["run", "size", "detail"])["detail"].unique())


def codes(runs: list[Run], cases: pd.DataFrame) -> list[dict[str, Any]]:
    """The file of each implementation that was timed, the newest where runs differ, with its lines and its numbers."""
    found: dict[str, dict[str, Any]] = {}
    cases = cases[cases["per_step_s"].notna()]
    for run in sorted(runs, key=lambda run: run.when):
        for impl, source in sorted(mapping(run.campaign.get("sources")).items()):
            code, here = text(mapping(source).get("text")), cases[(cases["run"] == run.label) & (cases["impl"] == impl)]
            if here.empty:
                continue
            table = here.sort_values(["size", "problem", "dtype"])[["problem", "dtype", "device", "per_step_s"]]
            numbers = Section(table=rows_of(table.rename(columns={"per_step_s": "per step"}), {"per step": seconds}))
            told = {"impl": impl, "file": shortened(text(mapping(source).get("file"))), "text": shortened(code, CODE)}
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
    loader = jinja2.FileSystemLoader(HERE / "assets")
    return jinja2.Environment(loader=loader, autoescape=True, undefined=jinja2.StrictUndefined).get_template(
        "report.html"
    )
