"""docs/cli.md and docs/columns.md: made from the code, and up to date."""

from pathlib import Path

import pytest
from helpers import ROOT

from results import COLUMNS
from results.reference_pages import main
from results.store.runs import find
from results.upkeep import winners

COMMANDS = ("list", "show", "compare", "gate", "report", "export", "verify")


def test_the_committed_pages_are_up_to_date(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([str(ROOT / "docs"), "--check"]) == 0, capsys.readouterr().err


def test_a_stale_page_is_noticed_and_written_anew(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "cli.md").write_text("old")
    assert main([str(tmp_path), "--check"]) == 2
    assert "stale" in capsys.readouterr().err and (tmp_path / "cli.md").read_text() == "old"
    assert main([str(tmp_path)]) == 0
    assert main([str(tmp_path), "--check"]) == 0


def test_every_column_and_option_is_there() -> None:
    columns, cli = ((ROOT / "docs" / name).read_text() for name in ("columns.md", "cli.md"))
    assert [name for name in COLUMNS if f"\n| `{name}` | " not in columns] == []
    assert [word for word in ("--resume", "--blocks", "--plot", "--slower", "--baseline") if word not in cli] == []
    assert [name for name in COMMANDS if f"\npython -m results {name} [options]" not in cli] == []


def test_the_picture_of_the_readme_is_up_to_date(tmp_path: Path) -> None:
    assert winners.main(["amd-epyc-2c-e60e65/0003_sweep", str(tmp_path / "winners")]) == 0
    for paper in ("light", "dark"):
        name = f"winners-{paper}.svg"
        assert (tmp_path / name).read_bytes() == (ROOT / "docs" / name).read_bytes(), "make docs"


def test_a_winner_is_one_that_no_other_is_shown_to_beat() -> None:
    run = find("amd-epyc-2c-e60e65/0003_sweep", ROOT / "results" / "runs")
    table = winners.winners(run).set_index(["rows", "features"])
    assert table.loc[(100, 10), "fastest"] == "JAX" and table.loc[(10_000, 10), "text"] == "NumPy or torch"
    assert table.loc[(100_000, 100), ["fastest", "detail"]].tolist() == ["", "no difference shown"]
