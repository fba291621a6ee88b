"""The history as a picture: a small panel for each case of each machine, time per step over dates, changes marked."""

import json
from datetime import datetime
from pathlib import Path
from typing import Any

import pandas as pd

from results.extra import package
from results.format import records, seconds, words
from results.history_words import begins, moved, sides
from results.read import CASE, RunError
from results.whole import put

FORMATS = [".svg", ".png", ".html"]
COLUMNS, WIDTH, HEIGHT = 3, 260, 120  # panels beside one another; pixels of each
COLOURS = ["#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000"]  # Okabe and Ito's, less yellow
SHAPES = ["circle", "square", "triangle-up", "diamond", "cross", "triangle-down", "triangle-right"]
MARGIN = 1.05  # above and below the blocks, and what a flat series is shown as
LABEL = "format(datum.value, '.3~s') + 's'"


def draw(page: pd.DataFrame, path: Path) -> None:
    """Draw `history`'s rows into a file, by its suffix. Raises RunError for another suffix, no points, no package."""
    if path.suffix not in FORMATS:
        raise RunError(f"--plot {path}: the name must end in one of {', '.join(FORMATS)}")
    if page.empty:
        raise RunError("nothing to draw: no valid point")
    alt, convert = package("altair"), package("vl_convert")
    chart = _chart(alt, page)
    if path.suffix == ".png":
        put(path, convert.vegalite_to_png(chart.to_json(), ppi=144))
    elif path.suffix == ".svg":
        put(path, convert.vegalite_to_svg(chart.to_json()))
    else:
        put(path, str(chart.to_html(inline=True, json_kwds={"cls": _Escaped})))


class _Escaped(json.JSONEncoder):
    """JSON that stands in a script element: no name closes it. altair writes them as they are."""

    def encode(self, o: Any) -> str:
        return super().encode(o).replace("<", "\\u003c")


def _chart(alt: Any, page: pd.DataFrame) -> Any:
    """The panels of each machine under its name."""
    frameworks = sorted(page["framework"].map(words).unique())
    scales = {
        "color": alt.Color("framework:N", title=None, scale=_cycled(alt, frameworks, COLOURS)),
        "shape": alt.Shape("framework:N", title=None, scale=_cycled(alt, frameworks, SHAPES)),
    }
    machines = []
    for machine, here in page.groupby("machine", sort=False):
        dates = alt.Scale(type="utc", domain=[here["datetime"].min(), here["datetime"].max()], padding=8)
        panels = [_panel(alt, records(case), dates, scales) for _, case in here.groupby(CASE, sort=False, dropna=False)]
        machines.append(alt.concat(*panels, columns=COLUMNS, title=f"{words(machine)}, {_span(here)}"))
    return alt.vconcat(*machines, background="white").configure_title(anchor="start")


def _cycled(alt: Any, names: list[str], values: list[str]) -> Any:
    return alt.Scale(domain=names, range=[values[number % len(values)] for number in range(len(names))])


def _span(rows: pd.DataFrame) -> str:
    return "UTC " + " to ".join(dict.fromkeys(edge[:10] for edge in (rows["datetime"].min(), rows["datetime"].max())))


def _panel(alt: Any, rows: list[dict[str, Any]], dates: Any, scales: dict[str, Any]) -> Any:
    """One case: a line per series, a bar from the lowest to the highest block, each change and where it may begin."""
    x = alt.X("datetime:T", title=None, scale=dates, axis=alt.Axis(tickCount=4, labelOverlap=True))
    room = [min(row["low_s"] for row in rows) / MARGIN, max(row["high_s"] for row in rows) * MARGIN]
    scale = alt.Scale(type="log", domain=room, nice=False)
    y = alt.Y("per_step_s:Q", title="per step", scale=scale, axis=alt.Axis(labelExpr=LABEL, tickCount=4))
    told = alt.Chart(alt.Data(values=[_dot(row) for row in rows])).encode(x=x)
    tooltip = [alt.Tooltip(f"{name}:N") for name in ("run", "commit", "version", "per step", "blocks")]
    marks = alt.Chart(alt.Data(values=_changes(rows))).encode(x=alt.X("from:T", title=None, scale=dates))
    impl, device, dtype, problem = (words(rows[0][name]) for name in CASE)
    told_of = [f"{dtype}, {device}", *[moved(row) for row in rows if begins(row)]]
    return alt.layer(
        marks.mark_rect(color="#999999", opacity=0.3).encode(x2="to:T"),
        marks.mark_rule(color="black", strokeDash=[4, 2]).encode(x=alt.X("at:T", title=None, scale=dates)),
        told.mark_rule(opacity=1).encode(y=alt.Y("low_s:Q", scale=scale), y2="high_s:Q", color=scales["color"]),
        told.mark_line(strokeWidth=1).encode(y=y, detail="series:N", color=scales["color"]),
        told.mark_point(filled=True, size=35, opacity=1).encode(y=y, tooltip=tooltip, **scales),
        title=alt.TitleParams(f"{impl}, {problem}", subtitle=told_of),
        width=WIDTH,
        height=HEIGHT,
    )


def _dot(row: dict[str, Any]) -> dict[str, Any]:
    """A point as the chart needs it, what a reader points at in words."""
    shown = {name: words(row[name]) for name in ("run", "commit", "framework")}
    shown |= {"version": f"{shown['framework']} {words(row['version'])}", "per step": seconds(row["per_step_s"])}
    kept = ("series", "datetime", "per_step_s", "low_s", "high_s", "blocks")
    return shown | {name: row[name] for name in kept}


def _changes(rows: list[dict[str, Any]]) -> list[dict[str, str]]:
    """For each change of a case the middle between its two runs, and the dates between which it may lie."""
    found = []
    for begun, before in sides(rows):
        own = [row for row in rows if row["series"] == begun["series"]]
        labels = [row["run"] for row in own]
        first, last = (labels.index(begun[name]) for name in ("earliest", "latest"))
        left, right = (datetime.fromisoformat(row["datetime"]) for row in (before, begun))
        at = (left + (right - left) / 2).isoformat()
        found.append({"at": at, "from": own[first - 1]["datetime"], "to": own[last]["datetime"]})
    return found
