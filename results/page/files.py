"""Write the report of runs as files: the page, its Markdown, and each chart as light and dark SVG and PNG."""

from io import BytesIO
from pathlib import Path
from typing import Any

import vl_convert
from PIL import Image

from results.page.charts import all_charts, initial_rows, theme
from results.page.data import make_payload, newest_runs
from results.page.page import render_page
from results.store.atomic import atomic_open, atomic_write
from results.store.reading import Run

SCALE = 1.5  # pixels per point of a PNG
PNG_COLOURS = 128  # enough for smooth edges, at a quarter of the bytes


def publish(runs: list[Run], baseline: str, markdown: str, folder: Path) -> tuple[list[Path], list[str]]:
    """Write report.html, report.md and the charts as charts/NAME-{light,dark}.{svg,png}.

    Return the paths, and notes on what charts leave out.
    """
    payload = make_payload(runs, baseline)
    (folder / "charts").mkdir(parents=True, exist_ok=True)
    paths = [folder / "report.html", folder / "report.md"]
    for path, content in zip(paths, (render_page(runs, payload, baseline), markdown), strict=True):
        atomic_write(path, content)
    notes: list[str] = []
    for name, chart in all_charts(payload.measured_impls).items():
        rows, omitted = initial_rows(chart, payload, newest_runs(runs), baseline)
        if rows:
            paths += _write_chart(folder / "charts" / name, chart.spec | {"datasets": {chart.table: rows}})
        if omitted:
            notes.append(f"the chart {name} leaves out {', '.join(omitted)}")
    return paths, notes


def _write_chart(stem: Path, spec: dict[str, Any]) -> list[Path]:
    paths = []
    for name in ("light", "dark"):
        path = stem.with_name(f"{stem.name}-{name}.svg")
        svg, png_path = vl_convert.vegalite_to_svg(spec, config=theme(name)), path.with_suffix(".png")
        atomic_write(path, svg)
        png = Image.open(BytesIO(vl_convert.svg_to_png(svg, scale=SCALE)))
        with atomic_open(png_path) as stream:
            png.convert("RGB").quantize(PNG_COLOURS).save(stream, "PNG", optimize=True)
        paths += [path, png_path]
    return paths
