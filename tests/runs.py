"""Saved runs with a known truth, for the tests of `results`."""

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from test_results import document, entry

from results.store.reading import Run
from results.store.runs import find


def blocks(impl: str, times: Iterable[float], **extra: Any) -> list[dict[str, Any]]:
    """A row per block: seconds per step in the order given."""
    return [entry(impl, step, **({"block": block} | extra)) for block, step in enumerate(times)]


def kept(root: Path, entries: list[dict[str, Any]], name: str = "0001_base", machine: str = "box", **top: Any) -> Run:
    """The rows as a saved file that says nothing else of its campaign, read again."""
    path = root / machine / "Linux-CPython-3.11-64bit" / f"{name}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(document(*entries, machine=machine, **({"campaign": {"seed": 0}} | top))))
    return find(str(path), root)
