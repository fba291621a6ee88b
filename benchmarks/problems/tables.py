"""Real data: a table from a CSV file or from scikit-learn, prepared for descent."""

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from impls import nearest
from impls.interface import Array, Unsupported

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class Data:
    """Float64 data without a plan: X (n, d), y (n,) or (n, k), w0 shaped like y's columns; lr None means 1/L."""

    X: Array
    y: Array
    w0: Array
    lr: float | None = None
    columns: list[str] = field(default_factory=list)  # of X, the intercept's column last


def bundled(name: str, rng: np.random.Generator, minibatch: bool) -> Data:
    """Return a data set of scikit-learn, standardised. Raises Unsupported if it is not installed."""
    try:
        from sklearn import datasets
    except ModuleNotFoundError as error:
        raise Unsupported(f"{name} needs scikit-learn: pip install scikit-learn") from error
    table = getattr(datasets, f"load_{name}")()
    return standardised(table.data, table.target, list(table.feature_names), rng)


def read_csv(path: str, target: list[str], rng: np.random.Generator) -> Data:
    """Read a table with a header line and finite numbers. `target` names the columns to predict; the rest are X.

    Raises ValueError that names the file, the row (the header is line 1) and the column.
    """
    frame = _read(path)
    names = [str(column) for column in frame]
    if not target:
        raise ValueError(f"{path}: --target COL[,COL] says which columns to predict (it has: {', '.join(names)})")
    for column in target:
        if column not in names:
            raise ValueError(f"{path}: no column {column!r}{nearest(column, names)}")
    numbers = _finite(path, frame)
    features = numbers.drop(columns=target)
    if len(features) < features.shape[1] + 1:
        raise ValueError(f"{path}: {len(features)} rows are too few for {features.shape[1]} features and an intercept")
    for name, values in features.items():
        if values.nunique() == 1:
            raise ValueError(f"{path}: column {name!r} is constant; the intercept is added without it")
    y = numbers[target[0] if len(target) == 1 else target].to_numpy(float)
    try:
        return standardised(features.to_numpy(float), y, [str(name) for name in features], rng)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error


def standardised(X: Array, y: Array, names: list[str], rng: np.random.Generator) -> Data:
    """Scale the columns of X to mean 0 and variance 1, append a column of ones, and draw w0 from [-1, 1).

    Raises ValueError for a column whose squares overflow float64.
    """
    with np.errstate(all="ignore"):
        Z = (X - X.mean(axis=0)) / X.std(axis=0)
        lost = [name for name, column in zip(names, Z.T, strict=True) if not 0.5 < np.mean(column**2) < 2]
    if lost:
        raise ValueError(f"column {lost[0]!r} has values too large, too small or too near one another for float64")
    Z = np.ascontiguousarray(np.column_stack([Z, np.ones(len(X))]))
    return Data(Z, np.asarray(y, float), rng.random((Z.shape[1], *y.shape[1:])) * 2 - 1, columns=[*names, "intercept"])


def _read(path: str) -> "pd.DataFrame":
    """Return the table as text and numbers, without blank lines at its end. Its names are printable and distinct."""
    import pandas as pd

    try:
        header = pd.read_csv(path, header=None, nrows=1, dtype=str, skipinitialspace=True, keep_default_na=False)
        frame = pd.read_csv(path, skip_blank_lines=False, skipinitialspace=True)
    except (OSError, UnicodeDecodeError, pd.errors.ParserError, pd.errors.EmptyDataError) as error:
        raise ValueError(f"{path}: {' '.join(str(error).split())}") from error
    names = [str(name) for name in header.iloc[0]]
    if not all(name.isprintable() for name in [*names, *map(str, frame)]):
        raise ValueError(f"{path}: no table: its first line is not text")
    if repeated := [name for name in names if names.count(name) > 1]:
        raise ValueError(f"{path}: two columns are called {repeated[0]!r}")
    filled = np.flatnonzero(frame.notna().any(axis=1).to_numpy())
    return frame.rename(columns=str).iloc[: filled[-1] + 1 if len(filled) else 0]


def _finite(path: str, frame: "pd.DataFrame") -> "pd.DataFrame":
    import pandas as pd

    numbers: pd.DataFrame = frame.apply(pd.to_numeric, errors="coerce")
    bad = np.argwhere(~np.isfinite(numbers.to_numpy(float)))
    if len(bad):
        row, column = bad[0]
        cell = str(frame.iat[row, column])
        what = "is missing" if frame.isna().iat[row, column] else f"is {cell!r}, not a finite number"
        raise ValueError(f"{path}: row {row + 2}, column {frame.columns[column]!r} {what}")
    return numbers
