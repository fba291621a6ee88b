"""docs/cli.md and docs/columns.md: made from the code, and up to date."""

from pathlib import Path

import pytest
from helpers import ROOT

from results import COLUMNS
from results.reference_pages import main


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
    assert [name for name in COLUMNS if f"`{name}`" not in columns] == []
    assert [word for word in ("--resume", "--blocks", "--plot", "--slower", "--baseline") if word not in cli] == []
