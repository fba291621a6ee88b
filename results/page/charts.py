"""The report's charts, drawn by Vega-Lite: what they show comes by name, so a page can change it and a file can fix it.

Colours are Okabe and Ito's without yellow; dash and marker say the same again. Light and dark differ in `theme` alone.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import altair as alt

from results.output import json_cell, records
from results.page.data import Payload
from results.store.reading import Run

COLOURS = {
    "light": ["#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000"],
    "dark": ["#56B4E9", "#E8743B", "#1DC99A", "#E39AC4", "#E69F00", "#5C7CFA", "#FFFFFF"],
}
DIVERGING = {"light": ["#E58B45", "#f6f6f6", "#5AA5D6"], "dark": ["#A34800", "#20262d", "#1F6FA8"]}
INK = {"light": ("#1b1f24", "#ffffff", "#d0d7de"), "dark": ("#e6edf3", "#0d1117", "#3d444d")}  # text, ground, lines
DASHES = [[1, 0], [6, 3], [2, 2], [8, 3, 2, 3]]
SHAPES = ["circle", "square", "triangle-up", "diamond", "cross", "triangle-down", "triangle-right", "triangle-left"]
UPDATES = [0, *(digit * 10**power for power in range(7) for digit in (1, 2, 5))]
PHASES = ["import", "prepare", "compile", "steady", "fixed"]
CLICKED = alt.selection_point(name="picked", fields=["impl"], bind="legend")

Spec = dict[str, Any]


def theme(name: str) -> Spec:
    """Vega-Lite's config for `light` or `dark`."""
    text, ground, lines = INK[name]
    words = {"labelColor": text, "titleColor": text, "labelFontSize": 12, "titleFontSize": 12, "labelLimit": 260}
    return {
        "background": ground,
        "font": "system-ui, sans-serif",
        "range": {"category": COLOURS[name], "diverging": DIVERGING[name]},
        "axis": words | {"gridColor": lines, "domainColor": lines, "tickColor": lines, "titleFontWeight": "normal"},
        "header": words | {"labelFontWeight": "bold", "labelAnchor": "start", "labelLimit": 0},
        "legend": words | {"orient": "bottom", "columns": 4, "symbolSize": 90, "symbolStrokeWidth": 2},
        "text": {"color": text},
        "rule": {"color": text},
        "line": {"color": text},
        "view": {"stroke": lines},
    }


def sweep_chart(impls: Sequence[str]) -> Spec:
    """Time per step against n, a panel for each d of a run that has several n with it."""
    return _times_over(impls, "n", "rows of X: n")


def time_chart(impls: Sequence[str]) -> Spec:
    """Time per step over the problems, by what a step reads: their d differ as well as their n."""
    return _times_over(impls, "size", "numbers of X in a step: rows x features")


def _times_over(impls: Sequence[str], field: str, title: str) -> Spec:
    """Log-log: thin bars to the extreme blocks, thick ones for the 95 % interval, dashes at the machine's limit."""
    x = alt.X(f"{field}:Q", title=title, scale=_log(), axis=_decades("format(datum.value, ',')"))
    y = alt.Y("per_step_s:Q", title="time per step", scale=_log(), axis=_decades(_seconds("datum.value", 1)))
    texts = {
        "time per step": _seconds("datum.per_step_s"),
        "lowest to highest block": f"{_seconds('datum.low_s')} + ' to ' + {_seconds('datum.high_s')}",
        "of the limit": "isValid(datum.fraction_of_limit) ? format(datum.fraction_of_limit, '.3~p') + ' (' +"
        " datum.limited_by + ')' : 'not measured'",
        "95 % interval": f"isValid(datum.ci_low_s) ? {_seconds('datum.ci_low_s')} + ' to ' +"
        f" {_seconds('datum.ci_high_s')} : 'none: too few blocks'",
    }
    colour = {name: channel for name, channel in _series(impls).items() if name in ("color", "opacity")}
    bars = alt.Chart().mark_rule(strokeWidth=1, aria=False).encode(x=x, y="low_s:Q", y2="high_s:Q", **colour)
    thick = alt.Chart().mark_rule(strokeWidth=5, aria=False).encode(x=x, y="ci_low_s:Q", y2="ci_high_s:Q", **colour)
    thick = thick.transform_filter("isValid(datum.ci_low_s)")
    limit = alt.Chart().mark_line(strokeDash=[3, 3], strokeWidth=3, aria=False).encode(x=x, y="limit_s:Q")
    limit = limit.transform_filter("isValid(datum.limit_s) && datum.step_reads == 'X'")
    named = alt.Chart().mark_text(align="left", dx=10, dy=10, fontSize=11, aria=False)
    named = named.encode(x=x, y="limit_s:Q", text=alt.value("the machine's limit"))
    named = named.transform_filter("isValid(datum.limit_s) && datum.step_reads == 'X'")
    named = named.transform_aggregate(groupby=["panel"], **{"limit_s": "min(limit_s)", field: f"min({field})"})
    lines = _lines(impls, x, y, ["impl:N", "problem:N", "n:Q", "d:Q", *[f"{name}:N" for name in texts], "blocks:Q"])
    return _panels(alt.layer(limit, named, bars, thick, *lines), "cases", texts)


def speedup_chart() -> Spec:
    """Speed-up over the baseline, implementation x problem, number and interval in the cell, hatched where invalid."""
    base = alt.Chart().encode(
        x=alt.X("problem:N", title=None, sort=alt.SortField("size"), axis=alt.Axis(orient="top", labelAngle=0)),
        y=alt.Y("impl:N", title=None),
        tooltip=["impl:N", "problem:N", "speed-up:N", "interval:N", "verdict:N", "why:N"],
    )
    shade = alt.Color(
        "shade:Q", scale=alt.Scale(domain=[-2, 0, 2], clamp=True, range="diverging", interpolate="rgb"), legend=None
    )
    cells = base.mark_rect(stroke="gray", strokeWidth=0.5).encode(color=shade)
    hatch = base.mark_text(fontSize=38, opacity=0.35, aria=False).encode(text="hatching:N")
    number = base.mark_text(fontSize=13, dy=-6, aria=False).encode(text="speed-up:N")
    bounds = base.mark_text(fontSize=10, dy=9, aria=False).encode(text="interval:N")
    low, high = (_times(f"datum.{end}") for end in ("low", "high"))
    unequal = "test(/^work /, datum.why) ? 'other work' : 'invalid'"
    texts = {
        "hatched": "datum.verdict == 'INVALID' || datum.why != ''",
        "hatching": "datum.hatched ? '/////////' : ''",
        "sign": "datum.verdict == 'UNDECIDED' ? '? ' : datum.verdict == 'EQUIVALENT' ? '= ' : ''",
        "speed-up": f"datum.hatched ? {unequal} : datum.sign + {_times('datum.speedup')} + 'x'",
        "interval": f"isValid(datum.low) && isValid(datum.high) && !datum.hatched ? {low} + ' to ' + {high} : ''",
        "shade": "datum.hatched ? 0 : log(datum.speedup) / LN10",
    }
    layers = alt.layer(cells, hatch, number, bounds).properties(width=alt.Step(96), height=alt.Step(40))
    return _panels(layers, "speedups", texts, x="independent", y="independent")


def phases_chart() -> Spec:
    """Each clock of one problem as bars from zero, a column a clock: their sizes differ by powers of ten."""
    base = alt.Chart().encode(
        y=alt.Y("impl:N", title=None),
        x=alt.X("seconds:Q", title=None, axis=None),
        tooltip=["impl:N", "phase:N", "time:N"],
    )
    bars = base.mark_bar(color="#7c8a9a")
    labels = base.mark_text(align="left", dx=4, fontSize=11, aria=False).encode(text="time:N")
    layers = alt.layer(bars, labels).properties(width=100, height=alt.Step(24))
    facet = alt.Facet("phase:N", title=None, sort=PHASES)
    chart = (
        layers.facet(data=alt.NamedData("cases"), facet=facet, columns=len(PHASES), spacing=66)
        .transform_fold([f"{name}_s" for name in PHASES], as_=["clock", "seconds"])
        .transform_filter("isValid(datum.seconds)")
        .transform_calculate(phase="replace(datum.clock, '_s', '')", time=_seconds("datum.seconds"))
        .resolve_scale(x="independent")
    )
    return _bare(chart)


def error_chart(impls: Sequence[str]) -> Spec:
    """Distance to the reference over what is allowed, iterate by iterate; 1 is the limit."""
    x = alt.X("t:Q", title="update", scale=_log())
    y = alt.Y("distance:Q", title="error / tolerance", scale=alt.Scale(type="log", domainMax=2, nice=False))
    limit = alt.Chart().mark_rule(strokeDash=[4, 4], aria=False).encode(y=alt.datum(1))
    lines = _lines(impls, x, y, ["impl:N", "problem:N", "t:Q", "error / tolerance:N"])
    texts = {"error / tolerance": "format(datum.distance, '.3~g')"}
    return _panels(alt.layer(limit, *lines), "checks", texts, by="detail", keep="datum.t > 0 && datum.distance > 0")


def loss_chart(impls: Sequence[str], field: str, title: str) -> Spec:
    """Loss against updates, where all lie on one another, or against seconds, where they do not."""
    axis, scale = alt.Axis(values=UPDATES, labelOverlap=True), alt.Scale(type="symlog")
    if field == "seconds":
        axis, scale = alt.Axis(labelExpr=_seconds("datum.value"), labelOverlap="greedy", labelSeparation=12), _log()
    x = alt.X(f"{field}:Q", title=title, scale=scale, axis=axis)
    y = alt.Y("loss:Q", title="loss (MSE, all rows)", scale=_log(), axis=alt.Axis(format="~g"))
    lines = _lines(impls, x, y, ["impl:N", "problem:N", "t:Q", "loss:Q", "time:N"])
    texts = {"time": _seconds("datum.seconds")}
    return _panels(alt.layer(*lines), "checks", texts, by="detail", keep="datum.loss > 0 && datum.seconds > 0")


def descent_chart(fit: dict[str, Any]) -> Spec:
    """The line of `tutorials.line` moving through its points: data `points` and `fitted`, the axes fixed."""
    reach = [w[0] * x + w[1] for w in fit["weights"] for x in (-1, 1)] + fit["y"]
    x = alt.X("x:Q", scale=alt.Scale(domain=[-1, 1]))
    y = alt.Y("y:Q", scale=alt.Scale(domain=[min(reach), max(reach)]))
    points = alt.Chart(alt.NamedData("points")).mark_point(filled=True, opacity=0.7, aria=False).encode(x=x, y=y)
    line = alt.Chart(alt.NamedData("fitted")).mark_line(strokeWidth=3, color=COLOURS["light"][1]).encode(x=x, y=y)
    return _bare(alt.layer(points, line).properties(width=560, height=320))


def _log() -> alt.Scale:
    return alt.Scale(type="log", nice=False, padding=14)


def _decades(label: str) -> alt.Axis:
    """A logarithmic axis that is quiet between the powers of ten."""
    power = "abs(log(datum.value) / LN10 - round(log(datum.value) / LN10)) < 1e-6"
    quiet: Any = {"condition": {"test": power, "value": 1}, "value": 0.2}
    return alt.Axis(labelExpr=f"{power} ? {label} : ''", gridOpacity=quiet, tickOpacity=quiet)


def _series(impls: Sequence[str]) -> dict[str, Any]:
    """Colour, marker and dash of each implementation, the same in every chart; a click in the legend picks some."""
    shapes = [SHAPES[i % len(SHAPES)] for i in range(len(impls))]
    dashes = [DASHES[i % len(DASHES)] for i in range(len(impls))]
    return {
        "color": alt.Color("impl:N", title="implementation", scale=alt.Scale(domain=[*impls])),
        "shape": alt.Shape("impl:N", title="implementation", scale=alt.Scale(domain=[*impls], range=shapes)),
        "strokeDash": alt.StrokeDash("impl:N", title="implementation", scale=alt.Scale(domain=[*impls], range=dashes)),
        "opacity": alt.when(CLICKED).then(alt.value(1)).otherwise(alt.value(0.12)),
    }


def _lines(impls: Sequence[str], x: alt.X, y: alt.Y, tooltip: list[str]) -> list[alt.Chart]:
    """A line and its points for each implementation."""
    base, channels = alt.Chart().encode(x=x, y=y, tooltip=tooltip), _series(impls)
    line = {name: channels[name] for name in ("color", "strokeDash", "opacity")}
    points = {name: channels[name] for name in ("color", "shape", "opacity")}
    return [
        base.mark_line(strokeWidth=2, aria=False).encode(**line),
        base.mark_point(filled=True, size=60).encode(**points).add_params(CLICKED),
    ]


def _panels(
    layers: Any, name: str, texts: dict[str, str], by: str = "panel", keep: str = "true", **scales: Any
) -> Spec:
    """A panel for each value of `by`, in the rows' order: machines never share a line. `keep`: what axes can show."""
    if not isinstance(getattr(layers, "width", alt.Undefined), alt.Step):
        layers = layers.properties(width=620, height=320)
    facet = alt.Facet(f"{by}:N", title=None, sort=alt.EncodingSortField("place", op="min"))
    chart = layers.facet(data=alt.NamedData(name), facet=facet, columns=1)
    chart = chart.transform_filter(keep).transform_window(place="row_number()")
    for text, expression in texts.items():
        chart = chart.transform_calculate(**{text: expression})
    return _bare(chart.resolve_scale(**scales) if scales else chart)


def _bare(chart: Any) -> Spec:
    """The chart without a theme of its own."""
    return {key: held for key, held in chart.to_dict().items() if key != "config"}


def _seconds(value: str, digits: int = 3) -> str:
    """Vega's expression for a time in the words of the tables: `3.44 us`."""
    return f"replace(replace(format({value}, '.{digits}~s'), 'µ', 'u'), /([a-z]?)$/, ' $1s')"


def _times(value: str) -> str:
    """Vega's expression for a speed-up in the words of the tables, less their x: `7.77`, `1/436`."""
    return f"({value} < 0.9995 ? '1/' + format(1 / {value}, '.3r') : format({value}, '.3r'))"


@dataclass(frozen=True)
class Chart:
    """A chart of the page: its title and caption, its specification, and which rows of which table it shows.

    detail: only the case chosen under "In detail"; sweep: only cases of sweeps over n (1) or only others (0).
    """

    title: str
    caption: str
    spec: Spec
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
            sweep_chart(impls),
            "cases",
            keep=(valid, ("sweep", 1)),
        ),
        "time": Chart(
            "Time per step over the problems",
            f"Time per step against what a step reads of X, both logarithmic; the problems differ in n and d. {bars}"
            " Click a name in the legend to pick one out, with Shift for more.",
            time_chart(impls),
            "cases",
            keep=(valid, ("sweep", 0)),
        ),
        "speedup": Chart(
            "Speed-up over the baseline",
            "Above 1x a step is faster than the baseline's; 1/4x takes 4 times as long. Under each number its"
            " interval, Holm over the run's comparisons with this baseline. ? undecided, not the same as equal;"
            " = equal within 2 %; hatched: not valid or not comparable.",
            speedup_chart(),
            "speedups",
        ),
        "phases": Chart(
            "The clocks of one problem",
            "Medians over the blocks, each column on its own scale from zero; no bar where nothing was compiled.",
            phases_chart(),
            "cases",
            detail=True,
            keep=(valid,),
        ),
        "error": Chart(
            "Error over what is allowed",
            "Distance to the reference's iterate over what honest rounding allows, worst block. Above 1: refused.",
            error_chart(impls),
            "checks",
            detail=True,
        ),
        "loss": Chart(
            "Loss against updates",
            "The loss of the weights that each implementation returned: the same descent, so the lines coincide.",
            loss_chart(impls, "t", "update"),
            "checks",
            detail=True,
        ),
        "loss-time": Chart(
            "Loss against time",
            "The same against time in steps: what the same descent costs. Importing and compiling are not in it.",
            loss_chart(impls, "seconds", "time in steps"),
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
    return [{name: json_cell(cell) for name, cell in row.items()} for row in records(here)]
