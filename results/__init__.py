"""What came of it: reads the saved runs, and needs pandas alone to do so.

>>> import results
>>> rows = results.load("latest")  # doctest: +SKIP
"""

from results.load import load
from results.read import COLUMNS, RunError

__all__ = ["COLUMNS", "RunError", "load"]
