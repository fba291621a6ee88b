"""What came of it: reads the saved runs, and needs pandas alone to do so.

>>> import results
>>> rows = results.load("latest")  # doctest: +SKIP
"""

from results.store.columns import COLUMNS
from results.store.reading import RunError
from results.store.runs import load

__all__ = ["COLUMNS", "RunError", "load"]
