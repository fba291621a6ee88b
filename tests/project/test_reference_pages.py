"""docs/cli.md and docs/columns.md: made from the code, and up to date."""

from pathlib import Path

import pytest
import vl_convert
from helpers import ROOT

from results import COLUMNS
from results.page.charts import all_charts, initial_rows, theme
from results.page.data import make_payload
from results.reference_pages import main
from results.store.runs import find_all

COMMANDS = ("list", "show", "compare", "gate", "report", "export", "verify")


def test_the_committed_pages_are_up_to_date(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([str(ROOT / "docs"), "--check"]) == 0, capsys.readouterr().err


def test_a_stale_page_is_noticed_and_written_anew(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "cli.md").write_text("old")
    assert main([str(tmp_path), "--check"]) == 2
    assert "stale" in capsys.readouterr().err and (tmp_path / "cli.md").read_text() == "old"
    assert main([str(tmp_path)]) == 0
    assert (tmp_path / "cli.md").read_text() == (ROOT / "docs" / "cli.md").read_text()


def test_every_column_and_option_is_there() -> None:
    columns, cli = ((ROOT / "docs" / name).read_text() for name in ("columns.md", "cli.md"))
    assert [name for name in COLUMNS if f"\n| `{name}` | " not in columns] == []
    assert [word for word in ("--resume", "--blocks", "--plot", "--slower", "--baseline") if word not in cli] == []
    assert [name for name in COMMANDS if f"\npython -m results {name} [options]" not in cli] == []


def test_the_picture_of_the_readme_is_up_to_date() -> None:
    picture = ROOT / "results" / "report" / "charts" / "map-light.svg"
    assert picture.relative_to(ROOT).as_posix() in (ROOT / "README.md").read_text()
    runs = find_all(["intel-xeon-2c-e60e65/campaign", "intel-xeon-2c-e60e65/map"], ROOT / "results" / "runs")
    payload = make_payload(runs, "numpy_manual")
    chart = all_charts(payload.measured_impls)["map"]
    rows, _ = initial_rows(chart, payload, runs, "numpy_manual")
    svg = vl_convert.vegalite_to_svg(chart.spec | {"datasets": {chart.table: rows}}, config=theme("light"))
    assert svg == picture.read_text(), "make report"
