"""Render the report as one self-contained HTML page, and write it with its Markdown and charts.

Jinja escapes all text from runs, which is untrusted input. The Content-Security-Policy allows only the page's own
scripts and style, by their digests, and no requests. Vega interprets its expressions, so `unsafe-eval` is not needed.
"""

import base64
import hashlib
import json
from collections import Counter
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import jinja2
import numpy as np
import pandas as pd
import vl_convert

from results.output import Section, records, rows_of, seconds, shortened
from results.page.answer import problem_label
from results.page.charts import MAX_DRAWN, all_charts, descent_chart, first_lines, initial_detail, initial_rows, theme
from results.page.data import Payload, first_runs, make_payload, pack_columns, script_json
from results.page.errors import published_losses, worst_errors
from results.page.machines import machine_sections
from results.page.phases import break_even_sections
from results.page.report import CLOCK_NOTES
from results.page.sections import run_card, untimed_sections
from results.page.standing import Winner, compared_with, find_winners, framework, in_words, judge_pairs
from results.page.summary import summarize_run
from results.stats.pairing import without_duplicates
from results.stats.prediction import INTERVAL_LEVEL, model_facts, start_seconds
from results.stats.quiet_or_busy import BUSY, QUIET, claims_from, judge_machine
from results.stats.verdict_tables import caveats
from results.store.atomic import atomic_write
from results.store.identity import code_hashes
from results.store.outcomes import drop_duplicates, expert_tuned, outcomes
from results.store.reading import Run, machine_words, mapping, text

ASSETS = Path(__file__).parent / "assets"
FIT_FILE = Path(__file__).parents[1] / "gallery" / "line.json"  # written by `make gallery`
MANY_PROBLEMS = 12  # above it, an answer counts problems instead of naming them
MAX_SOURCE = 100_000  # characters of a file that are shown
FILTERS = {"machine": "Machine", "run": "Run", "framework": "Framework", "impl": "Implementation"}
FILTERS |= {"device": "Device", "dtype": "Dtype", "problem": "Problem", "plan": "Batch"}
SPEEDUP_NOTE = (
    "Speed-up: the baseline's time per step divided by the implementation's, but not the ratio of the medians."
)


def render_page(runs: list[Run], payload: Payload, baseline: str) -> str:
    """Return the page about `runs` as HTML, the same for the same runs. `baseline` is selected initially."""
    shown_runs = first_runs(runs)
    fit = json.loads(FIT_FILE.read_text(encoding="utf-8")) if FIT_FILE.exists() else None
    program = (ASSETS / "report.js").read_text(encoding="utf-8")
    models = _models(shown_runs)
    data = {
        "tables": {name: pack_columns(getattr(payload, name)) for name in ("cases", "speedups", "checks", "winners")},
        "charts": {
            name: {field: getattr(chart, field) for field in ("spec", "table", "detail", "conditions")}
            | {"first_lines": first_lines(chart, payload, shown_runs, baseline)}
            for name, chart in all_charts(payload.measured_impls, payload.on_gpu).items()
        },
        "themes": {name: theme(name) for name in ("light", "dark")},
        "most_drawn": MAX_DRAWN,
        "models": models,
        "fit": fit,
        "descent": descent_chart(fit) if fit else None,
    }
    hidden_count = len(runs) - len(shown_runs)
    return template("report.html").render(
        title=", ".join(f"{run.label} ({run.date})" for run in shown_runs)
        + (f" and {hidden_count} more (see the filters)" if hidden_count else ""),
        policy=content_security_policy([vega_bundle(), program], style()),
        style=style(),
        program=program,
        library=vega_bundle(),
        data=script_json(data),
        filters=_filters(payload, shown_runs),
        baselines=sorted(payload.speedups["baseline"].unique()),
        baseline=baseline,
        details=_details(payload, shown_runs),
        detail=initial_detail(payload, shown_runs),
        models=models,
        written=list(payload.winners["written"].unique()),
        level=f"{min((model['level'] for group in models for model in group['impls']), default=INTERVAL_LEVEL):.0%}",
        fit=fit,
        **_sections(shown_runs, payload, baseline),
    )


def _models(runs: list[Run]) -> list[dict[str, Any]]:
    """Return the prediction models of each run, device and dtype with enough sizes."""
    models_by_case = []
    for run in runs:
        experts = expert_tuned(run)
        all_rows = without_duplicates(run.all_rows)
        for (device, dtype), rows in without_duplicates(run.rows).groupby(["device", "dtype"]):
            if models := model_facts(rows, start_seconds(all_rows[all_rows["device"] == device])):
                places = np.exp(np.array(models[0]["places"]))
                models_by_case.append(
                    {"title": f"{machine_words(run)}, {dtype}, {device} ({run.label})", "busy": claims_from([run]) > 1}
                    | {"rows": float(np.median(places[:, 0])), "features": float(np.median(places[:, 1]))}
                    | {"impls": [model | {"tuned": model["impl"] in experts} for model in models]}
                )
    return models_by_case


def _sections(runs: list[Run], payload: Payload, baseline: str) -> dict[str, Any]:
    """Return the summaries and tables of the page. The answers of quiet runs and of many problems come first."""
    rows = [records(drop_duplicates(run, outcomes(run))) for run in runs]
    verdict_notes = [[_verdict_notes(run, baseline)] for run in runs]
    ordered = sorted(runs, key=lambda run: (judge_machine(run).word != QUIET, -run.rows["problem"].nunique()))
    return {
        "answers": [
            {"title": machine_words(run), "run": run.label, "lines": answer_lines(run, baseline)} for run in ordered
        ],
        "summaries": [summarize_run(run, baseline) for run in runs],
        "break_evens": _titled(runs, [break_even_sections(run, baseline) for run in runs]),
        "correctness": [*_titled(runs, [[worst_errors(run_rows)] for run_rows in rows]), *published_losses(runs)],
        "machines": machine_sections(runs, payload.speedups, baseline),
        "cards": [run_card(run) for run in runs],
        "sources": timed_sources(runs, payload.cases),
        "untimed": _titled(runs, [untimed_sections(run_rows) for run_rows in rows]),
        "method": [Section("What is timed", notes=CLOCK_NOTES), *_titled(runs, verdict_notes)],
    }


def answer_lines(run: Run, baseline: str) -> list[str]:
    """Summarise a run in a few sentences: the state of the machine, and the fastest framework of each problem."""
    winners = find_winners(run, judge_pairs(run, baseline), baseline)
    quiet = judge_machine(run)
    unknown = f"Noise unknown: no {' and no '.join(quiet.missing)}."
    state = [{BUSY: quiet.line_early, QUIET: f"{QUIET}."}.get(quiet.word, unknown)]
    if len(winners) > MANY_PROBLEMS:
        return state + fastest_by_size(winners)
    fastest, undecided = in_words(winners, problem_label)
    lines = state + [f"Fastest, as users write it: {'; '.join(fastest)}."] * bool(fastest)
    return lines + [f"No fastest shown: {'; '.join(undecided)}."] * bool(undecided)


def fastest_by_size(winners: list[Winner]) -> list[str]:
    """Return how often each framework is fastest: over all problems, with few rows, and with many rows."""
    rows = sorted({winner.best["n"] for winner in winners})
    small = rows[: max(len(rows) // 2, 1)]
    halves = [[winner for winner in winners if (winner.best["n"] in small) == few] for few in (True, False)]
    heads = [f"Up to {small[-1]:,.0f} rows", *[f"from {row:,.0f} rows" for row in rows[len(small) :][:1]]]
    phrases = [f"{head} {_counted(half)}" for head, half in zip(heads, halves, strict=False)]
    head = f"Fastest step as users write it, at {len(winners)} sizes: {_counted(winners)}."
    return [head, f"{'; '.join(phrases)}."]


def _counted(winners: list[Winner]) -> str:
    """Return `JAX at 12, NumPy at 6, none shown at 2`."""
    counts = Counter(framework(winner.best["impl"]) if winner.shown else "none shown" for winner in winners)
    return ", ".join(f"{name} at {count}" for name, count in counts.most_common())


def _titled(runs: list[Run], sections_by_run: list[list[Section]]) -> list[Section]:
    """Return all sections with the label of their run in the title."""
    return [
        replace(section, title=f"{section.title}: {run.label}")
        for run, sections in zip(runs, sections_by_run, strict=True)
        for section in sections
    ]


def _verdict_notes(run: Run, baseline: str) -> Section:
    """Return the meaning of the verdicts, and what undecided comparisons need."""
    judged = compared_with(judge_pairs(run, baseline), baseline)
    note = "5% are for all comparisons of the run: half for this baseline, half for all other pairs of implementations."
    return replace(caveats(judged, SPEEDUP_NOTE, "this run with this baseline", [note]), title="The verdicts")


def _filters(payload: Payload, shown_runs: list[Run]) -> list[dict[str, Any]]:
    """Return the check boxes. Initially all are checked, except for the runs that are not shown."""
    choices = {name: sorted(payload.cases[name].dropna().unique()) for name in FILTERS}
    by_size = payload.cases.dropna(subset="problem").sort_values(["size", "n", "problem"])
    choices |= {"impl": [*payload.impls], "problem": list(by_size["problem"].unique())}
    checked = choices | {"run": [run.label for run in shown_runs]}
    names = FILTERS.items()
    return [{"name": name, "title": title, "choices": choices[name], "checked": checked[name]} for name, title in names]


def _details(payload: Payload, shown_runs: list[Run]) -> list[str]:
    """Return the cases that can be selected as detail: those with checks or of shown runs, smallest problem first."""
    cases = payload.cases
    available = cases["run"].isin([run.label for run in shown_runs]) | cases["detail"].isin(payload.checks["detail"])
    measured = cases[(cases["status"] == "measured") & available]
    return list(measured.sort_values(["run", "size", "detail"])["detail"].unique())


def timed_sources(runs: list[Run], cases: pd.DataFrame) -> list[dict[str, Any]]:
    """Return the source of each version of a timed implementation, with its lines and the times of its newest run."""
    result: dict[tuple[str, str], dict[str, Any]] = {}
    cases = cases[cases["per_step_s"].notna()].sort_values(["size", "problem", "dtype"])
    for run in sorted(runs, key=lambda run: run.when):
        sources = mapping(run.campaign.get("sources"))
        codes = code_hashes(sources)
        for impl, source in sources.items():
            rows = cases[(cases["run"] == run.label) & (cases["impl"] == impl)]
            if rows.empty:
                continue
            code = text(mapping(source).get("text"))
            rows = rows.rename(columns={"per_step_s": "per step"})[["problem", "dtype", "device", "per step"]]
            result[impl, codes.get(impl, "")] = {
                "impl": impl,
                "file": shortened(text(mapping(source).get("file"))),
                "text": shortened(code, MAX_SOURCE),
                "lines": len(code.splitlines()),
                "times": Section(table=rows_of(rows, {"per step": seconds})),
            }
    versions = Counter(impl for impl, _ in result)
    for (impl, code), source in result.items():
        source["file"] += f", version {code}" if versions[impl] > 1 else ""
    return [result[key] for key in sorted(result)]


@cache
def vega_bundle() -> str:
    """Return Vega, Vega-Lite and Vega-Embed as one script."""
    return vl_convert.javascript_bundle("window.vegaEmbed = vegaEmbed;").replace("</script", "<\\/script")


def content_security_policy(scripts: list[str], style: str) -> str:
    """Return a policy that allows only these scripts and this style."""
    digests = [base64.b64encode(hashlib.sha256(code.encode()).digest()).decode() for code in (*scripts, style)]
    *script_sources, style_source = [f"'sha256-{digest}'" for digest in digests]
    allowed = " ".join(script_sources) or "'none'"
    return (
        f"default-src 'none'; script-src {allowed}; style-src {style_source}; img-src data: blob:;"
        " base-uri 'none'; form-action 'none'"
    )


def style() -> str:
    """Return the style sheet of all pages."""
    return (ASSETS / "report.css").read_text(encoding="utf-8")


def template(name: str) -> jinja2.Template:
    """Return a template of ASSETS that escapes all values."""
    loader = jinja2.FileSystemLoader(ASSETS)
    return jinja2.Environment(loader=loader, autoescape=True, undefined=jinja2.StrictUndefined).get_template(name)


def publish(runs: list[Run], baseline: str, markdown: str, folder: Path) -> tuple[list[Path], list[str]]:
    """Write report.html, report.md and the charts as charts/NAME-{light,dark}.svg.

    The page itself saves charts as PNG. Return the paths, and notes on the rows that charts omit.
    """
    payload = make_payload(runs, baseline)
    (folder / "charts").mkdir(parents=True, exist_ok=True)
    paths = [folder / "report.html", folder / "report.md"]
    for path, content in zip(paths, (render_page(runs, payload, baseline), markdown), strict=True):
        atomic_write(path, content)
    notes: list[str] = []
    for name, chart in all_charts(payload.measured_impls, payload.on_gpu).items():
        rows, omitted = initial_rows(chart, payload, first_runs(runs), baseline)
        for ground in ("light", "dark") if rows else ():
            paths.append(folder / "charts" / f"{name}-{ground}.svg")
            spec = chart.spec | {"datasets": {chart.table: rows}}
            atomic_write(paths[-1], vl_convert.vegalite_to_svg(spec, config=theme(ground)))
        if omitted:
            notes.append(f"the chart {name} leaves out {', '.join(omitted)}")
    return paths, notes
