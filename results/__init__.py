"""Read, compare and report saved runs. Requires pandas and SciPy, but no framework.

>>> import results
>>> rows = results.load("latest")  # doctest: +SKIP
"""

import importlib
from typing import TYPE_CHECKING, Any

from results.store.columns import COLUMNS

if TYPE_CHECKING:
    from results.store.reading import RunError
    from results.store.runs import load

__all__ = ["COLUMNS", "RunError", "load"]
LAZY_NAMES = {"RunError": "results.store.reading", "load": "results.store.runs"}  # pandas comes along


def __getattr__(name: str) -> Any:
    """Import a name that needs pandas on first use, so that a run can seal its file without pandas."""
    if name not in LAZY_NAMES:
        raise AttributeError(f"module 'results' has no attribute {name!r}")
    return getattr(importlib.import_module(LAZY_NAMES[name]), name)
