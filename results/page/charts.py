"""The charts of the report as Vega-Lite specifications. Data come by name: from a page's script or as `datasets`.

A colour is a framework, a dash and a marker are one of its implementations. The colours are Okabe and Ito's without
yellow, the light ones darkened to a contrast of 3:1; purple and orange differ in lightness from green and vermillion,
which some readers see in one hue. Only `theme` depends on light or dark.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import altair as alt

from results.output import json_rows
from results.page.data import AS_USERS, Payload
from results.page.standing import FRAMEWORK_NAMES
from results.store.reading import Run

COLOURS = {
    "light": ["#0072B2", "#D55E00", "#009E73", "#7A2E63", "#6E4E00", "#3D8DBF", "#000000"],
    "dark": ["#56B4E9", "#E8743B", "#1DC99A", "#F5CFE4", "#FFD98A", "#5C7CFA", "#FFFFFF"],
}
DIVERGING = {"light": ["#E58B45", "#f6f6f6", "#5AA5D6"], "dark": ["#A34800", "#20262d", "#1F6FA8"]}
INK = {"light": ("#1b1f24", "#ffffff", "#d0d7de"), "dark": ("#e6edf3", "#0d1117", "#3d444d")}  # text, ground, lines
DASHES = [[1, 0], [6, 3], [2, 2], [8, 3, 2, 3], [12, 4], [4, 1], [8, 2, 2, 2, 2, 2], [1, 4]]
SHAPES = ["circle", "square", "triangle-up", "diamond", "cross", "triangle-down", "triangle-right", "triangle-left"]
UPDATE_TICKS = [0, *(digit * 10**power for power in range(7) for digit in (1, 2, 5))]
PHASES = {"import_s": "import", "prepare_s": "prepare", "compile_s": "compile", "steady_s": "steps"}
GPU_PHASES = {"import_s": "import", "context_s": "first use of the GPU"} | PHASES
FRAMEWORKS = [*FRAMEWORK_NAMES.values(), "others"]  # in the order of COLOURS
FRAMEWORK_INDEX = f"indexof({[*FRAMEWORK_NAMES]}, datum.framework)"  # -1: others
COLOUR = f"{FRAMEWORKS}[({FRAMEWORK_INDEX} + {len(FRAMEWORKS)}) % {len(FRAMEWORKS)}]"
PANEL_HEIGHT = 320  # pixels, with lines
MAX_LINES = 7  # in a chart, unless the reader asks for all
MAX_DRAWN = {"panel": 12, "problem": 40, "impl": 40}  # values of a column in one chart
SELECTION = alt.selection_point(name="selected", fields=["impl"], on="click")

Spec = dict[str, Any]


def theme(name: str) -> Spec:
    """Return Vega-Lite's config for `light` or `dark`."""
    text, ground, lines = INK[name]
    labels = {"labelColor": text, "titleColor": text, "labelFontSize": 12, "titleFontSize": 12, "labelLimit": 260}
    return {
        "background": ground,
        "font": "system-ui, sans-serif",
        "range": {"category": COLOURS[name], "diverging": DIVERGING[name]},
        "axis": labels | {"gridColor": lines, "domainColor": lines, "tickColor": lines, "titleFontWeight": "normal"},
        "header": labels | {"labelFontWeight": "bold", "labelAnchor": "start", "labelLimit": 0},
        "legend": labels | {"orient": "bottom", "columns": 4, "symbolSize": 90, "symbolStrokeWidth": 2},
        "text": {"color": text},
        "rule": {"color": text},
        "line": {"color": text},
        "point": {"color": text},
        "view": {"stroke": lines},
    }


def time_chart(impls: Sequence[str], field: str, title: str) -> Spec:
    """Return time per step against `field`, log-log: intervals as bars, the machine's limit as a dotted line."""
    x = alt.X(f"{field}:Q", title=title, scale=_log(), axis=_decades("format(datum.value, ',')"))
    y = alt.Y("per_step_s:Q", title="time per step", scale=_log(), axis=_decades(_seconds("datum.value", 1)))
    texts = {
        "time per step": _seconds("datum.per_step_s"),
        "lowest to highest block": f"{_seconds('datum.low_s')} + ' to ' + {_seconds('datum.high_s')}",
        "of the limit": "isValid(datum.fraction_of_limit) ? format(datum.fraction_of_limit, '.3~p') + ' (' +"
        " datum.limited_by + ')' : datum.limited_by == 'dispatch' ? '- (dispatch)' : 'not measured'",
        "95 % interval": f"isValid(datum.ci_low_s) ? {_seconds('datum.ci_low_s')} + ' to ' +"
        f" {_seconds('datum.ci_high_s')} : 'none: too few blocks'",
    }
    colour = _channels(impls, "color", "opacity")
    thin = alt.Chart().mark_rule(strokeWidth=1, aria=False).encode(x=x, y="low_s:Q", y2="high_s:Q", **colour)
    thick = alt.Chart().mark_rule(strokeWidth=5, aria=False).encode(x=x, y="ci_low_s:Q", y2="ci_high_s:Q", **colour)
    thick = thick.transform_filter("isValid(datum.ci_low_s)")
    is_limited = "isValid(datum.limit_s) && datum.step_reads == 'X' && datum.limited_by != 'dispatch'"
    limits = alt.Chart().transform_filter(is_limited)
    least = limits.transform_aggregate(limit_s="min(limit_s)", groupby=["panel", field]).encode(x=x, y="limit_s:Q")
    limit = least.mark_line(strokeDash=[3, 3], strokeWidth=3, aria=False)
    ticks = least.mark_point(shape="stroke", size=150, strokeWidth=3, aria=False)
    first: Any = {"limit_s": "min(limit_s)", field: f"min({field})", "sizes": f"distinct({field})"}
    label = limits.transform_aggregate(groupby=["panel"], **first)
    label = label.encode(x=x, y="limit_s:Q", text=alt.value("the machine's limit"))
    right = label.transform_filter("datum.sizes > 1").mark_text(align="left", dx=8, dy=12, fontSize=11, aria=False)
    left = label.transform_filter("datum.sizes == 1").mark_text(align="right", dx=-10, fontSize=11, aria=False)
    lines = _lines(impls, x, y, ["impl:N", "problem:N", "n:Q", "d:Q", *[f"{name}:N" for name in texts], "blocks:Q"])
    return _facet(alt.layer(limit, ticks, right, left, thin, thick, *lines), "cases", texts, ends=(field, "per_step_s"))


def speedup_chart() -> Spec:
    """Return speed-up over the baseline, implementation x problem, with intervals. Invalid cells are hatched."""
    base = alt.Chart().encode(
        x=alt.X("problem:N", title=None, sort=alt.SortField("size"), axis=alt.Axis(orient="top", labelAngle=0)),
        y=alt.Y("impl:N", title=None),
        tooltip=["impl:N", "problem:N", "speed-up:N", "interval:N", "verdict:N", "why:N"],
    )
    shades = alt.Scale(domain=[-2, 0, 2], clamp=True, range="diverging", interpolate="rgb")
    cells = base.mark_rect(stroke="gray", strokeWidth=0.5).encode(color=alt.Color("shade:Q", scale=shades, legend=None))
    hatching = base.mark_text(fontSize=38, opacity=0.35, aria=False).encode(text="hatching:N")
    number = base.mark_text(fontSize=13, dy=-6, aria=False).encode(text="speed-up:N")
    bounds = base.mark_text(fontSize=10, dy=9, aria=False).encode(text="interval:N")
    reason = "test(/^step_reads /, datum.why) ? 'other work' : 'invalid'"
    texts = {
        "hatched": "datum.verdict == 'INVALID' || datum.why != ''",
        "hatching": "datum.hatched ? '/////////' : ''",
        "sign": "datum.verdict == 'UNDECIDED' ? '? ' : datum.verdict == 'EQUIVALENT' ? '= ' : ''",
        "speed-up": f"datum.hatched ? {reason} : datum.sign + {_factor('datum.speedup', 'datum.speedup')}",
        "interval": "isValid(datum.low) && isValid(datum.high) && !datum.hatched ?"
        f" {_factor('datum.low', 'datum.high')} : ''",
        "shade": "datum.hatched ? 0 : log(datum.speedup) / LN10",
    }
    layers = alt.layer(cells, hatching, number, bounds).properties(width=alt.Step(112), height=alt.Step(40))
    return _facet(layers, "speedups", texts, x="independent", y="independent")


def winner_chart() -> Spec:
    """Return a map of rows x features, coloured by the framework that is shown to be fastest, hatched without one."""
    bands = alt.Scale(paddingInner=0.04)
    axis = alt.Axis(labelAngle=0, format=",", domain=False, ticks=False)
    base = alt.Chart().encode(
        x=alt.X("n:O", title="rows of X", scale=bands, axis=axis),
        y=alt.Y("d:O", title="features", sort="descending", scale=bands, axis=axis),
        tooltip=["problem:N", "frameworks:N", "by:N"],
    )
    colours = alt.Color("fastest:N", scale=alt.Scale(domain=[*FRAMEWORK_NAMES.values()]), legend=None)
    undecided = alt.value("#9aa4b2")
    cells = base.mark_rect(cornerRadius=6).encode(
        color=alt.condition("datum.fastest == ''", undecided, colours),
        opacity=alt.condition("datum.fastest == ''", alt.value(0.25), alt.value(0.55)),
    )
    hatching = base.mark_text(fontSize=34, opacity=0.16, dy=-2, aria=False).encode(text=alt.value("/////////"))
    hatching = hatching.transform_filter("datum.fastest == ''")
    names = base.mark_text(dy=-8, fontSize=13, fontWeight="bold", aria=False).encode(text="frameworks:N")
    details = base.mark_text(dy=12, fontSize=11, aria=False).encode(text="by:N")
    layers = alt.layer(cells, hatching, names, details).properties(width=alt.Step(134), height=alt.Step(60))
    return _facet(layers, "winners", {}, x="independent", y="independent")


def phases_chart(phases: Mapping[str, str]) -> Spec:
    """Return a fresh process with one run of one problem: a bar of phases for each implementation, with its times.

    phases: the names of the clocks, PHASES or GPU_PHASES.
    """
    order = alt.EncodingSortField("total_s", op="min")
    base = alt.Chart().encode(y=alt.Y("impl:N", title=None, sort=order))
    legend = alt.Legend(values=[*phases.values()])
    phase = alt.Color("phase:N", title=None, scale=alt.Scale(domain=[*reversed([*phases.values()])]), legend=legend)
    axis = alt.Axis(labelExpr=_seconds("datum.value"), tickCount=10)
    place = alt.X("seconds:Q", title="seconds from the start of a process", axis=axis)
    folded = base.transform_fold([*phases], as_=["clock", "seconds"]).transform_filter("isValid(datum.seconds)")
    folded = folded.transform_calculate(number=f"indexof({[*phases]}, datum.clock)", time=_seconds("datum.seconds"))
    folded = folded.transform_calculate(phase=f"{[*phases.values()]}[datum.number]")
    bars = folded.mark_bar(height=13, yOffset=-8).encode(
        x=place, color=phase, order=alt.Order("number:Q"), tooltip=["impl:N", "phase:N", "time:N"]
    )
    labels = base.mark_text(align="left", dy=9, fontSize=11, aria=False).encode(x=alt.value(2), text="times:N")
    times = [
        f"(isValid(datum.{clock}) ? '{name} ' + {seconds} : '{name} {unknown}')"
        for clock, name in phases.items()
        for seconds, unknown in [(_seconds(f"datum.{clock}"), "unknown" if clock in PHASES else "none")]
    ]
    total = " + ".join(f"(isValid(datum.{clock}) ? datum.{clock} : 0)" for clock in phases)
    layers = alt.layer(bars, labels).properties(width=620, height=alt.Step(40))
    texts = {"times": " + ' + ' + ".join(times), "total": f"{_seconds('datum.total_s')} + ' in total'"}
    return _facet(layers, "cases", {"total_s": total} | texts, "detail")


def error_chart(impls: Sequence[str]) -> Spec:
    """Return error / allowed error of each checked iterate. The limit is 1."""
    x = alt.X("t:Q", title="update", scale=_log())
    y = alt.Y("distance:Q", title="error / tolerance", scale=alt.Scale(type="log", domainMax=2, nice=False))
    limit = alt.Chart().mark_rule(strokeDash=[4, 4], aria=False).encode(y=alt.datum(1))
    texts = {"error / tolerance": "format(datum.distance, '.3~g')"}
    lines = _lines(impls, x, y, ["impl:N", "problem:N", "t:Q", "error / tolerance:N"])
    condition = "datum.t > 0 && datum.distance > 0"
    return _facet(alt.layer(limit, *lines), "checks", texts, "detail", condition, ends=("t", "distance"))


def loss_chart(impls: Sequence[str], field: str, title: str) -> Spec:
    """Return the loss against updates (`t`) or seconds (`job_s`)."""
    axis, scale = alt.Axis(values=UPDATE_TICKS, labelOverlap=True), alt.Scale(type="symlog")
    if field == "job_s":
        axis, scale = alt.Axis(labelExpr=_seconds("datum.value"), labelOverlap="greedy", labelSeparation=12), _log()
    x = alt.X(f"{field}:Q", title=title, scale=scale, axis=axis)
    y = alt.Y("loss:Q", title="loss (MSE, all rows)", scale=_log(), axis=alt.Axis(format="~g"))
    lines = _lines(impls, x, y, ["impl:N", "problem:N", "t:Q", "loss:Q", "steps:N", "with the start:N"])
    texts = {"steps": _seconds("datum.seconds"), "with the start": _seconds("datum.job_s")}
    condition = f"datum.loss > 0 && datum.seconds > 0 && isValid(datum.{field})"
    return _facet(alt.layer(*lines), "checks", texts, "detail", condition, ends=(field, "loss"))


def descent_chart(fit: dict[str, Any]) -> Spec:
    """Return one frame of the animation of `line`: data `points` and `fitted`, with fixed axes."""
    ys = [w[0] * x + w[1] for w in fit["weights"] for x in (-1, 1)] + fit["y"]
    x = alt.X("x:Q", scale=alt.Scale(domain=[-1, 1]))
    y = alt.Y("y:Q", scale=alt.Scale(domain=[min(ys), max(ys)]))
    points = alt.Chart(alt.NamedData("points")).mark_point(filled=True, opacity=0.7, aria=False).encode(x=x, y=y)
    line = alt.Chart(alt.NamedData("fitted")).mark_line(strokeWidth=3, color=COLOURS["light"][1]).encode(x=x, y=y)
    return _without_config(alt.layer(points, line).properties(width=560, height=320))


def _log() -> alt.Scale:
    return alt.Scale(type="log", nice=False, padding=14)


def _decades(label: str) -> alt.Axis:
    """Return a logarithmic axis with labels at powers of ten and pale lines between."""
    is_power = "abs(log(datum.value) / LN10 - round(log(datum.value) / LN10)) < 1e-6"
    opacity: Any = {"condition": {"test": is_power, "value": 1}, "value": 0.2}
    return alt.Axis(labelExpr=f"{is_power} ? {label} : ''", gridOpacity=opacity, tickOpacity=opacity)


def _channels(impls: Sequence[str], *names: str) -> dict[str, Any]:
    """Return these channels of each implementation, equal in all charts: colour, marker, dash and opacity."""
    colours = [FRAMEWORK_NAMES.get(impl.partition("_")[0], FRAMEWORKS[-1]) for impl in impls]
    places = [colours[:index].count(colour) for index, colour in enumerate(colours)]  # among those of the same colour
    shapes, dashes = ([values[place % len(values)] for place in places] for values in (SHAPES, DASHES))
    channels = {
        "color": alt.Color("colour:N", scale=alt.Scale(domain=FRAMEWORKS), legend=None),
        "shape": alt.Shape("impl:N", scale=alt.Scale(domain=[*impls], range=shapes), legend=None),
        "strokeDash": alt.StrokeDash("impl:N", scale=alt.Scale(domain=[*impls], range=dashes), legend=None),
        "opacity": alt.when(SELECTION).then(alt.value(1)).otherwise(alt.value(0.12)),
    }
    return {name: channels[name] for name in names}


def _lines(impls: Sequence[str], x: alt.X, y: alt.Y, tooltip: list[str]) -> list[alt.Chart]:
    """Return for each implementation a line, its points, and its marker and name beside the panel.

    A screen reader reads the tooltip of a point; report.js makes the points reachable by keyboard. The names stand in
    the order of the lines' ends, see `_ends`.
    """
    base = alt.Chart().encode(x=x, y=y, tooltip=tooltip)
    line = base.mark_line(strokeWidth=2, aria=False).encode(**_channels(impls, "color", "strokeDash", "opacity"))
    points = base.mark_point(filled=True, size=60).encode(**_channels(impls, "color", "shape", "opacity"))
    points = points.transform_calculate(label=_label(tooltip)).encode(description="label:N")
    beside = alt.Chart().transform_filter("datum.end == 1")
    beside = beside.encode(x=alt.value("width"), y=alt.Y("label_y:Q", scale=None))
    markers = beside.mark_point(filled=True, size=60, xOffset=12, aria=False)
    names = beside.mark_text(align="left", dx=20, fontSize=12, aria=False).encode(text="impl:N")
    return [
        line,
        points.add_params(SELECTION),
        markers.encode(**_channels(impls, "color", "shape", "opacity")),
        names.encode(**_channels(impls, "opacity")),
    ]


def _label(tooltip: Sequence[str]) -> str:
    """Return Vega's expression for a tooltip as one line: `impl: jax_scan; n: 1000`."""
    texts = []
    for name, _, kind in (column.rpartition(":") for column in tooltip):
        value = f"datum[{name!r}]"
        texts.append(f"'{name}: ' + " + (f"format({value}, '')" if kind == "Q" else value))
    return " + '; ' + ".join(texts)


def _ends(x: str, y: str, by: str) -> list[Spec]:
    """Return the transforms that add `end`, 1 for the last point of each line, and `label_y`, the pixels of its name.

    The name of the line that ends highest comes first.
    """
    last_first = [{"field": x, "order": "descending"}]
    highest_first = [{"field": y, "order": "descending"}, {"field": "impl", "order": "ascending"}]
    back, names, rank = {"op": "row_number", "as": "back"}, {"op": "sum", "field": "end", "as": "names"}, "rank"
    return [
        {"window": [back], "groupby": [by, "impl"], "sort": last_first},
        {"calculate": "datum.back == 1 ? 1 : 0", "as": "end"},
        {"joinaggregate": [names], "groupby": [by]},
        {"window": [names | {"as": rank}], "groupby": [by], "sort": highest_first, "frame": [None, 0]},
        {"calculate": f"(datum.{rank} - 0.5) * min(18, {PANEL_HEIGHT} / datum.names)", "as": "label_y"},
    ]


def _facet(
    layers: Any,
    table: str,
    texts: dict[str, str],
    by: str = "panel",
    condition: str = "true",
    ends: tuple[str, str] | None = None,
    **scales: Any,
) -> Spec:
    """Return a panel for each value of `by`, in the order of the rows.

    `texts` are computed columns; rows that fail `condition` are dropped. ends: x and y of `_lines`.
    """
    if ends:
        layers = layers.properties(width=620, height=PANEL_HEIGHT)
    facet = alt.Facet(f"{by}:N", title=None, sort=alt.EncodingSortField("place", op="min"))
    chart = layers.facet(data=alt.NamedData(table), facet=facet, columns=1)
    transforms: list[Spec] = [{"filter": condition}, {"window": [{"op": "row_number", "as": "place"}]}]
    transforms += [{"calculate": expression, "as": name} for name, expression in texts.items()]
    if ends:
        transforms += [{"calculate": COLOUR, "as": "colour"}, *_ends(*ends, by)]
    spec = _without_config(chart.resolve_scale(**scales) if scales else chart)
    return spec | {"transform": transforms}  # Altair would copy the chart for each of them


def _without_config(chart: Any) -> Spec:
    return {key: value for key, value in chart.to_dict().items() if key != "config"}


def _seconds(value: str, digits: int = 3) -> str:
    """Return Vega's expression for a time as text: `3.44 µs`."""
    return f"replace(format({value}, '.{digits}~s'), /([a-zµ]?)$/, ' $1s')"


def _factor(low: str, high: str) -> str:
    """Return Vega's expression for a speed-up, or its interval if the ends differ: `7.77x`, `450 to 470x slower`."""

    def text(*values: str) -> str:
        return " + ' to ' + ".join(f"format({value}, '.3r')" for value in dict.fromkeys(values))

    return f"({high} < 0.9995 ? {text(f'1 / {high}', f'1 / {low}')} + 'x slower' : {text(low, high)} + 'x')"


@dataclass(frozen=True)
class Chart:
    """A chart of the page: its specification, and the table and rows that it shows. Its caption is in report.html.

    detail: show only the case that is selected as detail. conditions: required values of columns. has_lines: it begins
    with `first_lines`.
    """

    spec: Spec
    table: str
    detail: bool = False
    conditions: tuple[tuple[str, object], ...] = ()
    has_lines: bool = False


@cache
def all_charts(impls: tuple[str, ...], on_gpu: bool = False) -> dict[str, Chart]:
    """Return the charts of the page by name, in their order. on_gpu: whether a case used a GPU."""
    measured = ("status", "measured")
    by_size = time_chart(impls, "size", "elements of X per step: rows x features")
    by_time = loss_chart(impls, "job_s", "time from the start of the process")
    return {
        "map": Chart(winner_chart(), "winners", conditions=(("written", AS_USERS),)),
        "sweep": Chart(time_chart(impls, "n", "rows of X: n"), "cases", False, (measured, ("sweep", 1)), True),
        "time": Chart(by_size, "cases", False, (measured, ("sweep", 0)), True),
        "speedup": Chart(speedup_chart(), "speedups"),
        "phases": Chart(phases_chart(GPU_PHASES if on_gpu else PHASES), "cases", detail=True, conditions=(measured,)),
        "error": Chart(error_chart(impls), "checks", detail=True, has_lines=True),
        "loss": Chart(loss_chart(impls, "t", "update"), "checks", detail=True, has_lines=True),
        "loss-time": Chart(by_time, "checks", detail=True, has_lines=True),
    }


def initial_detail(payload: Payload, runs: list[Run]) -> str:
    """Return the detail with the most implementations, then the most checked iterates, then the smallest size."""
    measured, labels = payload.cases["status"] == "measured", [run.label for run in runs]
    cases = payload.cases[measured & payload.cases["run"].isin(labels)]
    details = cases.groupby("detail").agg(impls=("impl", "nunique"), size=("size", "max")).reset_index()
    details["iterates"] = details["detail"].map(payload.checks.groupby("detail").size()).fillna(0)
    order = details.sort_values(["impls", "iterates", "size", "detail"], ascending=[False, False, True, True])
    return str(order["detail"].iloc[0]) if len(order) else ""


def initial_rows(
    chart: Chart, payload: Payload, runs: list[Run], baseline: str
) -> tuple[list[dict[str, Any]], list[str]]:
    """Return the rows that a chart shows initially, and texts on what it omits."""
    rows, omitted = _rows(chart, payload, runs, baseline), []
    if impls := first_lines(chart, payload, runs, baseline):
        names = rows["impl"].unique()
        rows = rows[rows["impl"].isin(impls)]
        omitted += [f"{len(names) - len(impls)} of {len(names)} implementations"] if len(names) > len(impls) else []
    for column, limit in MAX_DRAWN.items():
        values = rows[column].dropna().unique() if column in rows else []
        if len(values) > limit:
            rows = rows[rows[column].isin(values[:limit])]
            omitted.append(f"{len(values) - limit} of {len(values)} values of {column}")
    return json_rows(rows), omitted


def first_lines(chart: Chart, payload: Payload, runs: list[Run], baseline: str) -> list[str]:
    """Return the MAX_LINES implementations that a line chart shows initially; [] for other charts.

    First the baseline, then the fastest of each framework, then all others by speed: the median over the cases of the
    time per step divided by the shortest.
    """
    if not chart.has_lines:
        return []
    impls = _rows(chart, payload, runs, baseline)["impl"]
    cases = payload.cases[(payload.cases["status"] == "measured") & payload.cases["impl"].isin(impls)]
    shortest = cases.groupby(["run", "problem", "device", "dtype"])["per_step_s"].transform("min")
    speeds = (cases["per_step_s"] / shortest).groupby(cases["impl"]).median().sort_values(kind="stable")
    names = sorted(speeds.index, key=lambda impl: impl != baseline)
    first = {impl.partition("_")[0]: impl for impl in reversed(names)}.values()
    return sorted(names, key=lambda impl: (impl not in first, names.index(impl)))[:MAX_LINES]


def _rows(chart: Chart, payload: Payload, runs: list[Run], baseline: str) -> Any:
    table = getattr(payload, chart.table)
    rows = table[table["run"].isin([run.label for run in runs])]
    rows = rows[rows["detail"] == initial_detail(payload, runs)] if chart.detail else rows
    rows = rows[rows["baseline"] == baseline] if chart.table == "speedups" else rows
    for column, value in chart.conditions:
        rows = rows[rows[column] == value]
    return rows
