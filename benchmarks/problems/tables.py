"""Real data: a table from a file or from scikit-learn, prepared for descent."""

import hashlib
import re
import shlex
from collections import Counter
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import numpy as np

from benchmarks.problems.table_files import read_frame
from benchmarks.problems.table_text import TableFormat, has_number, named_columns
from impls import nearest
from impls.interface import Array, Unsupported

if TYPE_CHECKING:
    import pandas as pd

MISSING_CODES = (99, 999, 9999, 99999, 99.9, 999.9, 9999.9, 99.99)  # with either sign, for missing values
CODE_DISTANCE = 5  # of a code from the other values, in their ranges
JUDGED_FROM_ROWS = 6  # with fewer, a last row may be the sum of the others by chance
MAX_MAGNITUDE = 1e150  # of a number: float64 can hold its square
MIN_VARIATION_ULPS = 1e3  # distances between neighbours in float64
LIST_CHARACTERS = 600  # of a list of names in a message
TOTAL_LABELS = {
    *("total", "totals", "grand total", "sum", "mean", "average", "avg", "std", "summe", "gesamt", "mittelwert"),
}


@dataclass(frozen=True)
class Data:
    """Float64 data without a plan: X (n, d), y (n,) or (n, k), w0 shaped like y's columns; lr None means 1/L.

    columns: names of X's columns, the intercept's last. targets: names of y's columns, for a table. centre, scale:
    (d - 1,), the mean and standard deviation that a column had in the file; empty for data that are not standardised.
    """

    X: Array
    y: Array
    w0: Array
    lr: float | None = None
    columns: list[str] = field(default_factory=list)
    targets: list[str] = field(default_factory=list)
    centre: Array = field(default_factory=lambda: np.empty(0))
    scale: Array = field(default_factory=lambda: np.empty(0))


def bundled(name: str, rng: np.random.Generator, minibatch: bool) -> Data:
    """Return a data set of scikit-learn, standardised. Raises Unsupported if it is not installed."""
    try:
        from sklearn import datasets
    except ModuleNotFoundError as error:
        raise Unsupported(f"{name} needs scikit-learn: pip install scikit-learn") from error
    table = getattr(datasets, f"load_{name}")()
    return standardised(table.data, table.target, list(table.feature_names), rng)


def read(path: str, target: list[str], reading: TableFormat, seed: int) -> tuple[Data, np.random.Generator]:
    """Read a table of finite numbers. `target` names the columns to predict; the rest are X.

    The start and the generator come from the numbers and the seed: the same table in another folder is the same
    problem. Raises ValueError that names the file, the row (the header is row 1) and the column, and what to do.
    """
    try:
        frame = _drop(table := read_frame(path, reading), reading.drop)
        target = _targets(target, [str(name) for name in frame])
        if len(frame) <= (features := frame.shape[1] - len(target)):
            raise ValueError(f"{len(frame)} rows are too few for {features} features and an intercept; --drop columns")
        _check_totals(table)
        _check_sums(numbers := _finite(frame, target))
        X, y = numbers.drop(columns=target), numbers[target]
        _check_columns(X, y)
        digest = hashlib.sha256(f"{[*map(str, X)]!r} {target!r}".encode())
        for array in (X, y):
            digest.update(array.to_numpy(float).tobytes())
        rng = np.random.default_rng([seed, *digest.digest()])
        values = y.to_numpy(float)
        data = standardised(X.to_numpy(float), values[:, 0] if len(target) == 1 else values, [*map(str, X)], rng)
        return replace(data, targets=target), rng
    except FileNotFoundError as error:
        raise ValueError(f"no file {path}") from error
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error


def standardised(X: Array, y: Array, names: list[str], rng: np.random.Generator) -> Data:
    """Standardise X, append a column of ones, and draw w0 from [-1, 1). Raises ValueError if squares overflow."""
    with np.errstate(all="ignore"):
        centre, scale = X.mean(axis=0), X.std(axis=0)
        Z = (X - centre) / scale
        size, too_close = np.mean(Z**2, axis=0), scale < MIN_VARIATION_ULPS * np.spacing(np.abs(X).max(axis=0))
    unusable = [names[j] for j in np.flatnonzero(too_close | ~((size > 0.5) & (size < 2)))]
    if unusable:
        raise ValueError(
            f"column {unusable[0]!r} has values too large, too small or too near one another for float64;"
            f" rescale it or subtract its mean, or leave it out: --drop {unusable[0]!r}"
        )
    Z = np.ascontiguousarray(np.column_stack([Z, np.ones(len(X))]))
    w0 = rng.random((Z.shape[1], *y.shape[1:])) * 2 - 1
    return Data(Z, np.asarray(y, float), w0, columns=[*names, "intercept"], centre=centre, scale=scale)


def check_dtype(path: str, y: Array, target: list[str], dtype: str) -> None:
    """Raise ValueError if a column to predict loses its variation, or overflows, in float32."""
    if dtype != "float32":
        return
    for name, column in zip(target, y.reshape(len(y), -1).T, strict=False):
        with np.errstate(over="ignore"):
            error = np.abs(column.astype(np.float32).astype(np.float64) - column).max()
        if np.abs(column).max() > 1e18:
            raise ValueError(
                f"{path}: column {name!r} has values up to {np.abs(column).max():.3g}, whose squares float32 cannot"
                f" hold; rescale it, or use --dtype float64"
            )
        if error > 1e-3 * column.std():
            raise ValueError(
                f"{path}: column {name!r} varies by {column.std():.3g} around {column.mean():.3g}, which float32 cannot"
                f" hold; subtract its mean, or use --dtype float64"
            )


def _targets(given: list[str], names: list[str]) -> list[str]:
    """Return the columns to predict. Raises ValueError if none is given, or for an unknown one."""
    target = named_columns(given, names)
    if not target:
        raise ValueError(f"--target COL says which column to predict (it has: {_cut(', '.join(names))})")
    for column in target:
        if column not in names:
            hint = "; it is the only one: say what separates the cells (--sep)" if len(names) == 1 else ""
            raise ValueError(_cut(f"no column {column!r}{nearest(column, names)}") + hint)
    return target


def _cut(text: str) -> str:
    return text if len(text) <= LIST_CHARACTERS else text[:LIST_CHARACTERS] + " ..."


def _check_columns(X: "pd.DataFrame", y: "pd.DataFrame") -> None:
    for name, values in X.items():
        if values.nunique() == 1:
            raise ValueError(f"column {name!r} is constant; the intercept is added without it: --drop {name!r}")
    for name, values in y.items():
        if values.abs().max() > MAX_MAGNITUDE:
            raise ValueError(
                f"column {name!r} has values up to {values.abs().max():.3g}, whose squares no dtype can hold,"
                " not even with --dtype float64; rescale it"
            )
        if 0 < values.std(ddof=0) < MIN_VARIATION_ULPS * np.spacing(values.abs().max()):
            raise ValueError(
                f"column {name!r} varies by {values.std():.3g} around {values.mean():.3g}, which float64 cannot hold;"
                " subtract its mean"
            )


def _check_totals(frame: "pd.DataFrame") -> None:
    """Raise ValueError if the last row has the label of a total, which no other cell of the column has."""
    for _, column in frame.items() if len(frame) > 1 else ():
        labels = column.iloc[-2:] if column.dtype.kind in "biuf" else column.astype(str).str.strip().str.lower()
        if labels.iloc[-1] in TOTAL_LABELS and (labels == labels.iloc[-1]).sum() == 1:
            raise ValueError(f"row {len(frame) + 1} holds the {labels.iloc[-1]} of the rows above; delete it")


def _check_sums(numbers: "pd.DataFrame") -> None:
    """Raise ValueError if the last row is the sum or mean of the others, or for a code like -999 far from the rest."""
    last, rows_above = numbers.iloc[-1:].to_numpy(), numbers.iloc[:-1]
    for name, values in (("sums", rows_above.sum()), ("means", rows_above.mean())):
        if len(numbers) >= JUDGED_FROM_ROWS and last.size > 1 and np.allclose(last, values, rtol=1e-9, atol=0):
            raise ValueError(f"row {len(numbers) + 1} holds the {name} of the rows above; delete it")
    for column, values in numbers.items():
        coded = values.abs().isin(MISSING_CODES)
        rest = values[~coded]
        if not coded.any() or len(rest) < JUDGED_FROM_ROWS:
            continue
        if (values[coded] - rest.mean()).abs().min() > CODE_DISTANCE * np.ptp(rest):
            raise ValueError(
                f"row {int(coded.argmax()) + 2}, column {column!r} is {values[coded].iloc[0]:g}, far from the others"
                f" ({rest.min():g} to {rest.max():g}), as codes for missing values are; fill it in or delete the row"
            )


def _drop(frame: "pd.DataFrame", drop: tuple[str, ...]) -> "pd.DataFrame":
    """Leave out the named columns, and a nameless column that counts or names the rows."""
    import pandas as pd

    names = [str(column) for column in frame]
    for name in (dropped := named_columns(drop, names)):
        if name not in names:
            raise ValueError(_cut(f"--drop: no column {name!r}{nearest(name, names)}"))
    frame = frame.drop(columns=dropped)
    if "" in frame and frame[""].ndim == 1:
        counts = pd.to_numeric(frame[""], errors="coerce").to_numpy(float)
        counting = any(np.array_equal(counts, np.arange(first, first + len(counts))) for first in (0, 1))
        if counting or (next(iter(frame)) == "" and np.isnan(counts).all()):
            frame = frame.drop(columns="")
    if "" in frame:
        raise ValueError(f"column {list(frame).index('') + 1} has no name; give it one, or leave it out: --drop ''")
    if repeated := [name for name, count in Counter(frame).items() if count > 1]:
        raise ValueError(f"two columns are called {repeated[0]!r}; rename one")
    return frame


def _finite(frame: "pd.DataFrame", target: list[str]) -> "pd.DataFrame":
    """Return the table as numbers. Raises ValueError for the first cell that is none."""
    import pandas as pd

    texts = frame.apply(lambda column: column.astype(str) if column.dtype.kind in "mM" else column)  # dates
    numbers: pd.DataFrame = texts.apply(pd.to_numeric, errors="coerce")
    finite = np.isfinite(numbers.to_numpy(float))
    not_finite = np.argwhere(~finite)
    if not len(not_finite):
        return numbers.astype(float)
    row, column = not_finite[0]
    name, cell = str(frame.columns[column]), str(texts.iat[row, column])
    if frame.iloc[row].isna().all():
        raise ValueError(f"row {row + 2}, column {name!r} is missing, like all others of the row; delete blank rows")
    if row == 0 and not has_number([str(cell) for cell in texts.iloc[0]]) and finite[1:].any():
        raise ValueError("row 2 holds no numbers (units?); delete that row")
    if re.fullmatch(r"[+-]?[0-9][0-9.,'\u2019\s]*", cell):
        raise ValueError(
            f"row {row + 2}, column {name!r} is {cell[:40]!r}; write it without separators of thousands, say the"
            f" decimal mark (--decimal . or --decimal ,), or leave the column out: --drop {shlex.quote(name)}"
        )
    texts_only = [str(name) for name in frame if numbers[name].isna().all() and frame[name].notna().any()]
    if invalid := [name for name in target if name in texts_only]:
        row = int(np.argmax(frame[invalid[0]].notna()))
        cell = str(texts[invalid[0]].iat[row])[:40]
        raise ValueError(
            f"row {row + 2}, column {invalid[0]!r} is {cell!r}: the column is text, but the target must be numbers;"
            " name another --target"
        )
    if frame.isna().iat[row, column]:
        reason = "is missing; fill it in"
    elif name in texts_only:
        drop = _cut(" ".join(f"--drop {shlex.quote(column)}" for column in dict.fromkeys([name, *texts_only])))
        raise ValueError(f"row {row + 2}, column {name!r} is {cell[:40]!r}: the column is text; leave it out: {drop}")
    else:
        reason = f"is {cell[:40]!r}, not a finite number; correct it"
    advice = f", or leave the column out: --drop {shlex.quote(name)}" if name not in target else ""
    raise ValueError(f"row {row + 2}, column {name!r} {reason}{advice}")
