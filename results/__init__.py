"""Read, compare and report saved runs. Requires pandas and SciPy, but no framework.

>>> import results
>>> rows = results.load("latest")  # doctest: +SKIP
"""

from results.store.columns import COLUMNS
from results.store.reading import RunError
from results.store.runs import load

__all__ = ["COLUMNS", "RunError", "load"]
