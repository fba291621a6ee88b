"""docs/cli.md, columns.md and implementations.md: made from the code, and up to date."""

from pathlib import Path

import vl_convert
from helpers import ROOT

from results import COLUMNS
from results.page.charts import all_charts, initial_rows, theme
from results.page.data import make_payload
from results.reference_pages import main
from results.store.runs import find_all

COMMANDS = ("list", "show", "compare", "gate", "report", "export", "verify")


def test_the_committed_pages_are_up_to_date(tmp_path: Path) -> None:
    (tmp_path / "cli.md").write_text("old")
    main(tmp_path)
    for name in ("cli.md", "columns.md", "implementations.md"):
        assert (tmp_path / name).read_text() == (ROOT / "docs" / name).read_text(), f"{name} is stale; run: make docs"


def test_every_column_and_option_is_there() -> None:
    columns, cli = ((ROOT / "docs" / name).read_text() for name in ("columns.md", "cli.md"))
    assert [name for name in COLUMNS if f"\n| `{name}` | " not in columns] == []
    assert [word for word in ("--resume", "--blocks", "--plot", "--slower", "--baseline") if word not in cli] == []
    assert [name for name in COMMANDS if f"\npython -m results {name} [options]" not in cli] == []


def test_the_picture_of_the_readme_is_up_to_date() -> None:
    picture = ROOT / "docs" / "report" / "charts" / "map-light.svg"
    assert picture.relative_to(ROOT).as_posix() in (ROOT / "README.md").read_text()
    runs = find_all(["intel-xeon-2c-e60e65/campaign", "intel-xeon-2c-e60e65/map"], ROOT / "results" / "runs")
    payload = make_payload(runs, "numpy_manual")
    chart = all_charts(payload.measured_impls)["map"]
    rows, _ = initial_rows(chart, payload, runs, "numpy_manual")
    svg = vl_convert.vegalite_to_svg(chart.spec | {"datasets": {chart.table: rows}}, config=theme("light"))
    assert svg == picture.read_text(), "make report"
