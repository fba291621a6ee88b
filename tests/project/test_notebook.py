"""The tour of the saved runs: it executes, says what it said when it was committed, and needs nothing from outside."""

from pathlib import Path
from typing import Any

import nbformat
import pytest
from helpers import ROOT
from nbclient.exceptions import CellExecutionError
from notebooks import executed

TOUR = ROOT / "results" / "tour.ipynb"


@pytest.fixture(scope="module")
def again() -> nbformat.NotebookNode:
    return executed(TOUR)


def outputs(notebook: nbformat.NotebookNode) -> list[dict[str, Any]]:
    """All but the pictures, whose bytes are another font's elsewhere: of those, that they are there."""
    return [
        {kind: "a picture" if kind.startswith("image/") else text for kind, text in output["data"].items()}
        for cell in notebook.cells
        for output in cell.get("outputs", [])
    ]


def test_what_is_committed_is_what_comes_of_it_now(again: nbformat.NotebookNode) -> None:
    committed = nbformat.read(TOUR, as_version=4)
    assert outputs(committed) == outputs(again), "make notebook"
    assert committed.metadata == again.metadata
    assert [cell.id for cell in committed.cells] == [cell.id for cell in again.cells]
    counts = [cell.execution_count for cell in committed.cells if cell.cell_type == "code"]
    assert counts == list(range(1, len(counts) + 1))


def test_it_shows_a_picture_and_every_verdict_and_fetches_nothing(again: nbformat.NotebookNode) -> None:
    shown = outputs(again)
    assert sum("image/png" in output for output in shown) == 1
    texts = "".join(text for output in shown for text in output.values())
    assert "SLOWER" in texts and "jax_scan" in texts and "import of the framework" in texts
    assert not any(word in TOUR.read_text() for word in ("<script", "cdn.", "<iframe"))


def test_an_error_in_a_cell_is_an_error(tmp_path: Path) -> None:
    wrong = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell("import results\nresults.load('no such run')")])
    nbformat.write(wrong, tmp_path / "wrong.ipynb")
    with pytest.raises(CellExecutionError, match="no run is called 'no such run'"):
        executed(tmp_path / "wrong.ipynb")
