"""The report of runs as files: the page, the same in Markdown, and each chart for a README, light and dark."""

from io import BytesIO
from pathlib import Path
from typing import Any

import vl_convert
from PIL import Image

from results.page.charts import all_charts, first_rows, theme
from results.page.data import newest, payload
from results.page.page import webpage
from results.store.atomic import atomic_open, atomic_write
from results.store.reading import Run

SCALE = 1.5  # PNG: dots per point
INKS = 128  # colours of a PNG: enough for smooth edges, a quarter of the bytes


def publish(runs: list[Run], baseline: str, markdown: str, folder: Path) -> list[Path]:
    """Write report.html, report.md and charts/NAME-light.svg, NAME-dark.svg, and both as .png; the files written."""
    held = payload(runs, baseline)
    (folder / "charts").mkdir(parents=True, exist_ok=True)
    written = [folder / "report.html", folder / "report.md"]
    for path, content in zip(written, (webpage(runs, held, baseline), markdown), strict=True):
        atomic_write(path, content)
    for name, chart in all_charts(held.drawn).items():
        if rows := first_rows(chart, held, newest(runs), baseline):
            written += _pictures(folder / "charts" / name, chart.spec | {"datasets": {chart.table: rows}})
    return written


def _pictures(stem: Path, spec: dict[str, Any]) -> list[Path]:
    written = []
    for name in ("light", "dark"):
        path = stem.with_name(f"{stem.name}-{name}.svg")
        svg, drawn = vl_convert.vegalite_to_svg(spec, config=theme(name)), path.with_suffix(".png")
        atomic_write(path, svg)
        png = Image.open(BytesIO(vl_convert.svg_to_png(svg, scale=SCALE)))
        with atomic_open(drawn) as stream:
            png.convert("RGB").quantize(INKS).save(stream, "PNG", optimize=True)
        written += [path, drawn]
    return written
