"""Real data: a table from a CSV file or from scikit-learn, made ready for descent."""

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from impls import nearest
from impls.interface import Array, Unsupported

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class Data:
    """Float64 data before a plan is made: X (n, d), y (n,) or (n, k), w0 like y's columns; lr None = 1/L."""

    X: Array
    y: Array
    w0: Array
    lr: float | None = None
    columns: list[str] = field(default_factory=list)  # of X, the intercept's column last


def bundled(name: str, rng: np.random.Generator, minibatch: bool) -> Data:
    """A data set that scikit-learn carries along, standardised. Raises Unsupported where it is not installed."""
    try:
        from sklearn import datasets
    except ModuleNotFoundError as error:
        raise Unsupported(f"{name} needs scikit-learn: pip install scikit-learn") from error
    table = getattr(datasets, f"load_{name}")()
    return standardised(table.data, table.target, list(table.feature_names), rng)


def read_csv(path: str, target: list[str], rng: np.random.Generator) -> Data:
    """A table with a header line, every cell a finite number; `target` names the columns to predict, the rest are X.

    Raises ValueError that names file, row (a line's number, the header is 1) and column.
    """
    import pandas as pd

    try:
        frame = pd.read_csv(path, skip_blank_lines=False, skipinitialspace=True).rename(columns=str)
    except (OSError, UnicodeDecodeError, pd.errors.ParserError, pd.errors.EmptyDataError) as error:
        raise ValueError(f"{path}: {' '.join(str(error).split())}") from error
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
    return standardised(features.to_numpy(float), y, [str(name) for name in features], rng)


def standardised(X: Array, y: Array, names: list[str], rng: np.random.Generator) -> Data:
    """Columns of X to mean 0 and variance 1, a column of ones behind them, w0 uniform in [-1, 1)."""
    X = np.ascontiguousarray(np.column_stack([(X - X.mean(axis=0)) / X.std(axis=0), np.ones(len(X))]))
    return Data(X, np.asarray(y, float), rng.random((X.shape[1], *y.shape[1:])) * 2 - 1, columns=[*names, "intercept"])


def _finite(path: str, frame: "pd.DataFrame") -> "pd.DataFrame":
    import pandas as pd

    numbers: pd.DataFrame = frame.apply(pd.to_numeric, errors="coerce")
    bad = np.argwhere(~np.isfinite(numbers.to_numpy(float)))
    if len(bad):
        row, column = bad[0]
        what = "is missing" if frame.isna().iat[row, column] else f"is {frame.iat[row, column]!r}, not a finite number"
        raise ValueError(f"{path}: row {row + 2}, column {frame.columns[column]!r} {what}")
    return numbers
