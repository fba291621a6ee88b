"""Render the report as one HTML page that needs nothing else: charts, filters and tables, offline.

Jinja escapes all text from runs, which is untrusted input. The Content-Security-Policy allows only the page's own
scripts and style, by their digests, and no requests. Vega interprets its expressions, so `unsafe-eval` is not needed.
"""

import base64
import hashlib
import json
import re
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import jinja2
import pandas as pd
import vl_convert

from results.output import Section, records, rows_of, seconds, shortened
from results.page.charts import MOST_DRAWN, all_charts, descent_chart, initial_detail, theme
from results.page.data import Payload, newest_runs, pack_columns, script_json
from results.page.errors import published_losses, worst_errors
from results.page.machines import machine_sections
from results.page.phases import break_even_sections
from results.page.report import CLOCK_NOTES
from results.page.sections import run_card, untimed_sections
from results.page.summary import summarize_run
from results.stats.noise import noise_line
from results.stats.pairing import ratio_rows, ratios_to, samples_by_impl, without_duplicates
from results.stats.quiet import is_busy, withhold
from results.stats.signed_rank import ALPHA
from results.stats.verdicts import add_verdicts, caveats
from results.store.outcomes import drop_duplicates, outcomes
from results.store.reading import Run, mapping, text

ASSETS = Path(__file__).parent / "assets"
FIT = Path(__file__).parents[1] / "gallery" / "line.json"  # written by `make gallery`
MAX_SOURCE = 100_000  # characters of a file that are shown
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
READING = "Speed-up: the baseline's time per step divided by the implementation's, but not the ratio of the medians."


def render_page(runs: list[Run], payload: Payload, baseline: str) -> str:
    """Return the page about `runs` as HTML, the same for the same runs. `baseline` is selected initially."""
    shown = newest_runs(runs)
    charts = all_charts(payload.measured_impls)
    fit = json.loads(FIT.read_text(encoding="utf-8")) if FIT.exists() else None
    style, program = ((ASSETS / name).read_text(encoding="utf-8") for name in ("report.css", "report.js"))
    data = {
        "tables": {name: pack_columns(getattr(payload, name)) for name in ("cases", "speedups", "checks")},
        "charts": {
            name: {"spec": chart.spec, "table": chart.table, "detail": chart.detail, "conditions": chart.conditions}
            for name, chart in charts.items()
        },
        "themes": {name: theme(name) for name in ("light", "dark")},
        "most_drawn": MOST_DRAWN,
        "fit": fit,
        "descent": descent_chart(fit) if fit else None,
    }
    hidden = len(runs) - len(shown)
    return _template().render(
        title=", ".join(f"{run.label} ({run.date})" for run in shown)
        + (f" and {hidden} more (see the filters)" if hidden else ""),
        policy=_content_security_policy([vega_bundle(), program], style),
        style=style,
        program=program,
        library=vega_bundle(),
        data=script_json(data),
        charts=charts,
        filters=_filters(payload, shown),
        baselines=sorted(payload.speedups["baseline"].unique()),
        baseline=baseline,
        details=_details(payload, shown),
        detail=initial_detail(payload, shown),
        fit=fit,
        **_sections(shown, payload, baseline),
    )


def _sections(runs: list[Run], payload: Payload, baseline: str) -> dict[str, Any]:
    """Return the summaries and tables of the page."""
    rows = [records(drop_duplicates(run, outcomes(run))) for run in runs]
    break_evens = break_even_sections(runs, baseline, ratio_rows([samples_by_impl(run.rows) for run in runs], baseline))
    return {
        "summaries": [
            summarize_run(run, part, baseline, noise_line(run)) for run, part in zip(runs, rows, strict=True)
        ],
        "break_evens": _titled(runs, break_evens),
        "correctness": [*_titled(runs, [[worst_errors(part)] for part in rows]), *published_losses(runs)],
        "machines": machine_sections(runs, payload.speedups, baseline),
        "cards": [run_card(run) for run in runs],
        "sources": timed_sources(runs, payload.cases),
        "untimed": _titled(runs, [untimed_sections(part) for part in rows]),
        "method": [
            Section("What is timed", notes=CLOCK_NOTES),
            *_titled(runs, [[_verdict_notes(run, baseline)] for run in runs]),
        ],
    }


def _titled(runs: list[Run], sections_by_run: list[list[Section]]) -> list[Section]:
    """Return all sections with the label of their run in the title."""
    return [
        replace(section, title=f"{section.title}: {run.label}")
        for run, sections in zip(runs, sections_by_run, strict=True)
        for section in sections
    ]


def _verdict_notes(run: Run, baseline: str) -> Section:
    """Return the meaning of the verdicts, and what the undecided ones need."""
    ratios = ratios_to(without_duplicates(run.rows), baseline)
    ratios = ratios[ratios["impl"] != baseline]
    judged = ratios
    if (ratios["refused"] == "").any():
        judged = withhold(add_verdicts(ratios, alpha=ALPHA / 2), is_busy([run]))
    note = "5% are for all comparisons of the run: half for this baseline, half for all other pairs of implementations."
    return replace(caveats(judged, READING, "this run with this baseline", [note]), title="The verdicts")


def _filters(payload: Payload, shown: list[Run]) -> list[dict[str, Any]]:
    """Return the check boxes. Initially all are checked, except for the runs that are not shown."""
    choices = {name: sorted(payload.cases[name].dropna().unique()) for name in FILTERS}
    choices |= {"impl": [*payload.impls], "problem": payload.problems}
    checked = choices | {"run": [run.label for run in shown]}
    return [
        {"name": name, "title": title, "choices": choices[name], "checked": checked[name]}
        for name, title in FILTERS.items()
    ]


def _details(payload: Payload, shown: list[Run]) -> list[str]:
    """Return the cases that can be selected as detail: those with checks or of shown runs, smallest problem first."""
    cases = payload.cases
    available = cases["run"].isin([run.label for run in shown]) | cases["detail"].isin(payload.checks["detail"])
    measured = cases[(cases["status"] == "measured") & available]
    return list(measured.sort_values(["run", "size", "detail"])["detail"].unique())


def timed_sources(runs: list[Run], cases: pd.DataFrame) -> list[dict[str, Any]]:
    """Return the source file of each timed implementation, from the newest run, with its lines and times."""
    result: dict[str, dict[str, Any]] = {}
    cases = cases[cases["per_step_s"].notna()].sort_values(["size", "problem", "dtype"])
    for run in sorted(runs, key=lambda run: run.when):
        for impl, source in mapping(run.campaign.get("sources")).items():
            rows = cases.loc[
                (cases["run"] == run.label) & (cases["impl"] == impl), ["problem", "dtype", "device", "per_step_s"]
            ]
            if rows.empty:
                continue
            code = text(mapping(source).get("text"))
            times = rows_of(rows.rename(columns={"per_step_s": "per step"}), {"per step": seconds})
            result[impl] = {
                "impl": impl,
                "file": shortened(text(mapping(source).get("file"))),
                "text": shortened(code, MAX_SOURCE),
                "lines": len(code.splitlines()),
                "times": Section(table=times),
            }
    return [result[impl] for impl in sorted(result)]


@cache
def vega_bundle() -> str:
    """Return Vega, Vega-Lite and Vega-Embed as one script."""
    return vl_convert.javascript_bundle("window.vegaEmbed = vegaEmbed;").replace("</script", "<\\/script")


def _content_security_policy(scripts: list[str], style: str) -> str:
    """Return a policy that allows these scripts and this style and nothing else."""
    digests = [base64.b64encode(hashlib.sha256(code.encode()).digest()).decode() for code in (*scripts, style)]
    *script_sources, style_source = [f"'sha256-{digest}'" for digest in digests]
    return (
        f"default-src 'none'; script-src {' '.join(script_sources)}; style-src {style_source}; img-src data: blob:;"
        " base-uri 'none'; form-action 'none'"
    )


def _template() -> jinja2.Template:
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(ASSETS), autoescape=True, undefined=jinja2.StrictUndefined
    )
    environment.filters["micro"] = lambda text: re.sub(r"(?<=\d )us\b", "µs", text)
    return environment.get_template("report.html")
