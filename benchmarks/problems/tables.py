"""Real data: a table from a file or from scikit-learn, prepared for descent."""

import bz2
import csv
import gzip
import hashlib
import io
import lzma
import re
import shlex
import stat
import warnings
import zipfile
import zlib
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from itertools import takewhile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from impls import nearest
from impls.interface import Array, Unsupported

if TYPE_CHECKING:
    import pandas as pd

PACKED: dict[str, Any] = {".gz": gzip.open, ".bz2": bz2.open, ".xz": lzma.open, ".zip": None}
TEXT = (".csv", ".tsv", ".txt", ".data")
BINARY = (".xlsx", ".parquet")
SEPARATORS = ("\t", ";", "|", ",", " ")  # the first that gives every line the same number of cells, at least two
SAMPLE = 100  # lines in which the separator is looked for
LARGEST = 1e150  # a number whose square float64 can hold
UNREADABLE = (lzma.LZMAError, zlib.error, zipfile.BadZipFile, NotImplementedError, RuntimeError, csv.Error)
MISSING = ["", "NA", "N/A", "NaN", "nan", "null", "NULL", "None", "?"]
NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?")


@dataclass(frozen=True)
class Reading:
    """How to read a table. Empty: found from the file.

    sep: what separates cells, " " for blanks. header: whether the first line names the columns. drop: columns that are
    left out. encoding: of a text file.
    """

    sep: str = ""
    header: bool = True
    drop: tuple[str, ...] = ()
    encoding: str = ""


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


def is_table(name: str) -> bool:
    """Return whether a problem's name is that of a table, by its ending."""
    path = Path(name)
    inner = Path(path.stem) if path.suffix.lower() in PACKED else path
    return inner.suffix.lower() in (*TEXT, *(() if inner is not path else BINARY)) or path.suffix.lower() in PACKED


def bundled(name: str, rng: np.random.Generator, minibatch: bool) -> Data:
    """Return a data set of scikit-learn, standardised. Raises Unsupported if it is not installed."""
    try:
        from sklearn import datasets
    except ModuleNotFoundError as error:
        raise Unsupported(f"{name} needs scikit-learn: pip install scikit-learn") from error
    table = getattr(datasets, f"load_{name}")()
    return standardised(table.data, table.target, list(table.feature_names), rng)


def read(path: str, target: list[str], reading: Reading, seed: int) -> tuple[Data, np.random.Generator]:
    """Read a table of finite numbers. `target` names the columns to predict; the rest are X.

    The start and the generator come from the numbers and the seed: the same table in another folder is the same
    problem. Raises ValueError that names the file, the row (the header is row 1) and the column, and what to do.
    """
    try:
        frame = _drop(_frame(path, reading), reading.drop)
        names, target = [str(name) for name in frame], _targets(target, [str(name) for name in frame])
        numbers = _finite(frame, target)
        X, y = numbers.drop(columns=target), numbers[target]
        _check_columns(X, y, names)
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
    """Scale the columns of X to mean 0 and variance 1, append a column of ones, and draw w0 from [-1, 1).

    Raises ValueError for a column whose squares overflow float64.
    """
    with np.errstate(all="ignore"):
        centre, scale = X.mean(axis=0), X.std(axis=0)
        Z = (X - centre) / scale
        lost = [name for name, column in zip(names, Z.T, strict=True) if not 0.5 < np.mean(column**2) < 2]
    if lost:
        raise ValueError(
            f"column {lost[0]!r} has values too large, too small or too near one another for float64;"
            f" rescale it, or leave it out: --drop {lost[0]!r}"
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
            lost = np.abs(column.astype(np.float32).astype(np.float64) - column).max()
        if np.abs(column).max() > 1e18:
            raise ValueError(
                f"{path}: column {name!r} has values up to {np.abs(column).max():.3g}, whose squares float32 cannot"
                f" hold; rescale it, or use --dtype float64"
            )
        if lost > 1e-3 * column.std():
            raise ValueError(
                f"{path}: column {name!r} varies by {column.std():.3g} around {column.mean():.3g}, which float32 cannot"
                f" hold; subtract its mean, or use --dtype float64"
            )


def _targets(given: list[str], names: list[str]) -> list[str]:
    """Return the columns to predict. Raises ValueError if there is none, or no column of that name."""
    target = _words(given, names)
    if not target:
        raise ValueError(f"--target COL says which column to predict (it has: {', '.join(names)})")
    for column in target:
        if column not in names:
            raise ValueError(f"no column {column!r}{nearest(column, names)}")
    return target


def _words(given: Iterable[str], names: list[str]) -> list[str]:
    """Return the named columns. A word with commas is one column if there is one of that name, else several."""
    words = []
    for word in given:
        words += [word.strip()] if word.strip() in names else [part.strip() for part in word.split(",")]
    return list(dict.fromkeys(words))


def _check_columns(X: "pd.DataFrame", y: "pd.DataFrame", names: list[str]) -> None:
    if len(X) < X.shape[1] + 1:
        raise ValueError(f"{len(X)} rows are too few for {X.shape[1]} features and an intercept; --drop columns")
    for name, values in X.items():
        if values.nunique() == 1:
            raise ValueError(f"column {name!r} is constant; the intercept is added without it: --drop {name!r}")
    for name, values in y.items():
        if values.abs().max() > LARGEST:
            raise ValueError(
                f"column {name!r} has values up to {values.abs().max():.3g}, whose squares no dtype can hold,"
                " not even with --dtype float64; rescale it"
            )


def _drop(frame: "pd.DataFrame", drop: tuple[str, ...]) -> "pd.DataFrame":
    """Leave out the named columns, and a nameless column that counts or names the rows."""
    import pandas as pd

    names = [str(column) for column in frame]
    for name in (dropped := _words(drop, names)):
        if name not in names:
            raise ValueError(f"--drop: no column {name!r}{nearest(name, names)}")
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
    bad = np.argwhere(~finite)
    if not len(bad):
        return numbers.astype(float)
    row, column = bad[0]
    name, cell = str(frame.columns[column]), str(texts.iat[row, column])
    if row == 0 and not _has_number([str(cell) for cell in texts.iloc[0]]) and finite[1:].any():
        raise ValueError("row 2 holds no numbers (units?); delete that row")
    texts_only = [str(name) for name in frame if numbers[name].isna().all() and frame[name].notna().any()]
    if wrong := [one for one in target if one in texts_only]:
        row = int(np.argmax(frame[wrong[0]].notna()))
        cell = str(texts[wrong[0]].iat[row])[:40]
        raise ValueError(
            f"row {row + 2}, column {wrong[0]!r} is {cell!r}: the column is text, but the target must be numbers;"
            " name another --target"
        )
    drop = " ".join(f"--drop {shlex.quote(one)}" for one in dict.fromkeys([name, *texts_only]) if one not in target)
    if frame.isna().iat[row, column]:
        what = "is missing; fill it in"
    elif name in texts_only:
        raise ValueError(f"row {row + 2}, column {name!r} is {cell[:40]!r}: the column is text; leave it out: {drop}")
    else:
        what = f"is {cell[:40]!r}, not a finite number; correct it"
    advice = f", or leave the column out: --drop {shlex.quote(name)}" if name not in target else ""
    raise ValueError(f"row {row + 2}, column {name!r} {what}{advice}")


def _frame(path: str, reading: Reading) -> "pd.DataFrame":
    """Return the table with its names as text, without blank lines at its end and empty columns without a name."""
    import pandas as pd

    try:
        _check_file(path)
        if Path(path).suffix.lower() in BINARY:
            frame = _binary_table(path, reading)
        else:
            frame = _text_table(_decode(_bytes(path), reading.encoding), reading)
    except ImportError as error:
        package = "pyarrow" if path.lower().endswith(".parquet") else "openpyxl"
        raise ValueError(
            f"{package} is needed to read it: pip install 'descentbench[tables]', or export the table as CSV"
        ) from error
    except FileNotFoundError:
        raise
    except (OSError, EOFError, *UNREADABLE, pd.errors.ParserError) as error:
        raise ValueError(" ".join(str(error).split())) from error
    if not all(str(name).isprintable() for name in frame):
        raise ValueError("no table: its first line is not text")
    frame.columns = [re.sub(r"Unnamed: \d+", "", str(name).strip()) for name in frame]  # pandas wrote an index so
    filled = np.flatnonzero(frame.notna().any(axis=1).to_numpy())
    frame = frame.iloc[: filled[-1] + 1 if len(filled) else 0]
    return frame.loc[:, [bool(name) or frame.iloc[:, at].notna().any() for at, name in enumerate(frame)]]


def _check_file(path: str) -> None:
    """Raise ValueError for addresses, folders and pipes, and OSError if there is no file."""
    if "://" in path:
        raise ValueError("tables are read from this disk; download it first")
    if not stat.S_ISREG(Path(path).stat().st_mode):
        raise ValueError("is no regular file; copy the table into one")


def _binary_table(path: str, reading: Reading) -> "pd.DataFrame":
    """Return a spreadsheet or a Parquet file. Raises ValueError, whatever its reader raises for a damaged file."""
    suffix = Path(path).suffix.lower()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # styles and validations that openpyxl does not know
            return _parquet(path) if suffix == ".parquet" else _spreadsheet(path, reading)
    except (ImportError, SheetError):
        raise
    except Exception as error:
        raise ValueError(f"cannot be read as {suffix}: {' '.join(str(error).split())[:200]}") from error


class SheetError(ValueError):
    """A workbook that can be read, but is no table."""


def _parquet(path: str) -> "pd.DataFrame":
    """Return the columns of a Parquet file, also those that pandas made its index."""
    import pandas as pd

    frame = pd.read_parquet(path)
    named = [name for name in frame.index.names if name is not None]
    return frame.reset_index(named) if named else frame


def _spreadsheet(path: str, reading: Reading) -> "pd.DataFrame":
    """Return the only sheet with cells. Its first row holds the names."""
    import pandas as pd

    with pd.ExcelFile(path, engine="openpyxl") as book:
        options: dict[str, Any] = {"header": None, "dtype": object, "keep_default_na": False, "na_values": MISSING}
        sheets = {str(name): book.parse(name, **options) for name in book.sheet_names}
    filled = {name: sheet for name, sheet in sheets.items() if sheet.notna().any(axis=None)}
    if len(filled) != 1:
        names = f" ({', '.join(map(repr, filled))})" if filled else ""
        raise SheetError(f"the workbook has {len(filled)} sheets with cells{names}; keep the one with the table")
    (sheet,) = filled.values()
    sheet = sheet.iloc[int(sheet.notna().any(axis=1).to_numpy().argmax()) :]
    if not reading.header:
        return sheet.set_axis([str(number + 1) for number in range(sheet.shape[1])], axis=1)
    first = ["" if pd.isna(cell) else str(cell) for cell in sheet.iloc[0]]
    if all(NUMBER.fullmatch(cell) for cell in first if cell):
        raise SheetError("its first row holds numbers only, no names; add a header, or use --no-names")
    return sheet.iloc[1:].set_axis(first, axis=1)


def _bytes(path: str) -> bytes:
    """Return the content of a text file, unpacked."""
    suffix = Path(path).suffix.lower()
    if suffix == ".zip":
        with zipfile.ZipFile(path) as archive:
            names = [name for name in archive.namelist() if not name.startswith("__MACOSX/")]
            if len(names) != 1:
                raise ValueError(f"the archive holds {len(names)} files; pack the table alone")
            return archive.read(names[0])
    with PACKED.get(suffix, open)(path, "rb") as file:
        return bytes(file.read())


def _decode(content: bytes, encoding: str) -> str:
    marks = {b"\xef\xbb\xbf": "utf-8-sig", b"\xff\xfe\0\0": "utf-32", b"\xff\xfe": "utf-16", b"\xfe\xff": "utf-16"}
    found = next((name for mark, name in marks.items() if content.startswith(mark)), "utf-8")
    try:
        text = content.decode(encoding or found)
    except LookupError as error:
        raise ValueError(f"--encoding {encoding!r} is unknown; try utf-16, cp1252, euc-kr or shift_jis") from error
    except UnicodeDecodeError as error:
        raise ValueError(
            f"byte {error.start} is not {encoding or found}; say its encoding: --encoding cp1252, utf-16, euc-kr, ..."
        ) from error
    if "\0" in text[:1000]:
        raise ValueError("no table: it holds zero bytes; if it is UTF-16, use --encoding utf-16-le")
    return text.removeprefix("\ufeff")


def _text_table(text: str, reading: Reading) -> "pd.DataFrame":
    """Return a table of numbers, and of text where a cell is no number."""
    import pandas as pd

    lines, sep = text.splitlines(), {"tab": "\t", "\\t": "\t", "blanks": " "}.get(reading.sep, reading.sep)
    if len(sep) > 1:
        raise ValueError(f"--sep is one character, tab or blanks, not {reading.sep!r}")
    comments = 0
    if lines and (first := re.fullmatch(r"sep=(.)", lines[0].strip())):  # as spreadsheets write it
        lines[0], sep = "#", sep or first[1]
    while comments < len(lines) and (lines[comments].startswith(("#", "%")) or not lines[comments].strip()):
        comments += 1
    sample = [line for line in lines[comments : comments + SAMPLE] if line.strip()]
    if not sample:
        raise ValueError("the file is empty")
    sep = sep or _separator(sample)
    width = Counter(len(_cells(line, sep)) for line in sample[1:] or sample).most_common(1)[0][0]
    names, skipped = _names(lines, comments, sep, width, reading)
    if reading.header:
        _check_header(lines, skipped, sep)
    if len(names) == width - 1:
        filled = any(_cells(line, sep)[-1] for line in sample[1:])
        if not filled:
            names = [*names, ""]
        elif sep != ",":  # R writes row names so; behind commas it may be a decimal comma
            names = ["", *names]
    decimal = "," if sep != "," and _decimal_commas(sample[1:] or sample, sep) else "."
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", pd.errors.ParserWarning)  # cells would be lost
            frame: pd.DataFrame = pd.read_csv(
                io.StringIO("\n".join(line for line in lines[skipped:] if not line.startswith("#")) + "\n"),
                header=None,
                names=range(len(names)),
                index_col=False,
                sep=r"\s+" if sep == " " else sep,
                decimal=decimal,
                skipinitialspace=True,
                skip_blank_lines=sep == " ",
                na_values=MISSING,
                keep_default_na=False,
                low_memory=False,
            )
    except pd.errors.ParserWarning as error:
        raise ValueError(
            f"lines have more cells than the first has names ({len(names)}); correct them, or name --sep"
        ) from error
    except pd.errors.ParserError as error:
        cells = re.search(r"Expected (\d+) fields in line (\d+), saw (\d+)", str(error))
        if cells is None:
            raise
        line = int(cells[2]) + skipped
        raise ValueError(f"line {line} has {cells[3]} cells, not {cells[1]}; correct it, or name --sep") from error
    return frame.set_axis(names, axis=1)


def _names(lines: list[str], comments: int, sep: str, width: int, reading: Reading) -> tuple[list[str], int]:
    """Return the names of the columns, and the number of lines before the data."""
    first = _cells(lines[comments], sep)
    numeric = all(NUMBER.fullmatch(cell.strip().replace(",", ".")) for cell in first)
    if not reading.header:
        return [str(number + 1) for number in range(max(width, len(first)))], comments
    if not numeric:
        return first, comments + 1
    commented = _cells(lines[comments - 1].lstrip("#% "), sep) if comments else []
    if len(commented) == len(first) > 1:  # as numpy.savetxt writes it
        return commented, comments
    raise ValueError(
        f"line {comments + 1} holds numbers only, no names; add a header, or use --no-names (columns: 1, 2, ...)"
    )


def _check_header(lines: list[str], skipped: int, sep: str) -> None:
    """Raise ValueError if lines without any number, such as units, stand between the names and the numbers."""
    filled = [
        (at, _cells(line, sep))
        for at, line in enumerate(lines[skipped : skipped + SAMPLE], skipped + 1)
        if line.strip() and not line.startswith("#")
    ]
    texts = list(takewhile(lambda line: not _has_number(line[1]), filled))
    if not texts or len(texts) == len(filled) or all(cell in MISSING for cell in texts[0][1]):
        return
    words = f"line {texts[0][0]} holds" if len(texts) == 1 else f"lines {texts[0][0]} to {texts[-1][0]} hold"
    raise ValueError(
        f"{words} no numbers, but the lines below do (units, or a header of several lines?); keep one line of names:"
        " delete the others, or put # before them"
    )


def _has_number(cells: list[str]) -> bool:
    return any(NUMBER.fullmatch(cell.strip().replace(",", ".")) for cell in cells)


def _separator(sample: list[str]) -> str:
    """Return what separates the cells: the first that gives all lines equally many, best as many as the first line."""
    regular = []
    for sep in SEPARATORS:
        rows = sample[1:] or sample
        (count, lines), *_ = Counter(len(_cells(line, sep)) for line in rows).most_common(1)
        if count > 1 and lines >= 0.9 * len(rows):
            regular.append((len(_cells(sample[0], sep)) != count, sep))
    return min(regular, key=lambda one: one[0])[1] if regular else ","


def _cells(line: str, sep: str) -> list[str]:
    if sep == " ":
        return next(csv.reader([" ".join(line.split())], delimiter=" "), [])
    return [cell.strip() for cell in next(csv.reader([line], delimiter=sep, skipinitialspace=True), [])]


def _decimal_commas(sample: list[str], sep: str) -> bool:
    cells = [cell for line in sample for cell in _cells(line, sep)]
    return any(re.fullmatch(r"[+-]?\d+,\d+", cell) for cell in cells) and not any(
        re.fullmatch(r"[+-]?\d+\.\d+", cell) for cell in cells
    )
