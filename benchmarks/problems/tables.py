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
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from itertools import accumulate, takewhile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from impls import nearest
from impls.interface import Array, Unsupported

if TYPE_CHECKING:
    import pandas as pd

PACKED: dict[str, Any] = {".gz": gzip.open, ".bz2": bz2.open, ".xz": lzma.open, ".zip": None}
TEXT = (".csv", ".tsv", ".txt", ".data", ".dat")
BINARY = (".xlsx", ".parquet")
ENDINGS = (
    f"tables are {' '.join((*TEXT, *BINARY))}, and text also packed as {' '.join(PACKED)}; rename the file if it is one"
    " of them, or export the table as CSV"
)
SEPARATORS = ("\t", ";", "|", ",", " ")  # the first that gives every line the same number of cells, at least two
SAMPLE = 100  # lines in which the separator is looked for
NUMERIC = "biufcmM"  # kinds of columns without text
CODES = (99, 999, 9999, 99999, 99.9, 999.9, 9999.9, 99.99)  # with either sign, for missing values
FAR = 5  # times the range of the other values
SUMS = 5  # rows from which a last row that is the sum of the others is no chance
LONGEST, SHEET = 2**28, 2**24  # bytes of a table as unpacked text, of a spreadsheet: reading takes 12 times the memory
CELLS = 2**27  # of a Parquet file: its packed size says little
LARGEST = 1e150  # a number whose square float64 can hold
STEPS = 1e3  # between neighbours in float64 that a column must vary by
LISTED = 600  # characters of a list of names in a message
UNREADABLE = (lzma.LZMAError, zlib.error, zipfile.BadZipFile, NotImplementedError, RuntimeError, csv.Error)
MISSING = ["", "NA", "N/A", "NaN", "nan", "null", "NULL", "None", "?"]
NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?")
MARKED = r"[+-]?(?=[0-9]*[.,])[0-9.,]+(?:[eE][+-]?[0-9]+)?"  # a number with decimal marks or separators of thousands
GROUPED = re.compile(r"[+-]?[1-9][0-9]{0,2}([.,])[0-9]{3}(\1[0-9]{3})*")  # the mark may separate thousands
QUOTED = re.compile(r'((?:^|[\t;|,]) *)"(?:[^"]|"")*"')  # a cell
TOTALS = {"total", "totals", "grand total", "sum", "mean", "average", "avg", "std", "summe", "gesamt", "mittelwert"}


@dataclass(frozen=True)
class Reading:
    """How to read a table. Empty: found from the file.

    sep: what separates cells, " " for blanks. header: whether the first line names the columns. drop: columns that are
    left out. encoding: of a text file. decimal: what stands before the digits of a fraction, "." or ",".
    """

    sep: str = ""
    header: bool = True
    drop: tuple[str, ...] = ()
    encoding: str = ""
    decimal: str = ""


CONTENTS = {  # how files begin that are no text, or text but no table
    rb"\x1f\x8b|BZh\d|\xfd7zXZ|\x28\xb5\x2f\xfd": "a compressed file; unpack it, or rename it: .gz, .bz2 or .xz",
    rb"PK\x03\x04": "an Excel workbook or a ZIP archive; rename it: .xlsx or .zip",
    rb"\xd0\xcf\x11\xe0": "an old Excel workbook (.xls); save it as .xlsx or .csv",
    rb"PAR1[\0-\x08\x0e-\x1f]": "a Parquet file; rename it: .parquet",
    rb"(?i:(\xef\xbb\xbf)?\s*<(!doctype|html|\?xml|table|head|body))": "a page of HTML or XML; export the table as CSV",
    rb"(\xef\xbb\xbf)?\s*(\{|\[\s*[\[{])": "JSON; export the table as CSV",
    rb"version https://git-lfs": "a Git LFS pointer; fetch the file: git lfs pull",
    rb"(?i:(%[^\n]*\n|\s)*@relation)": "ARFF; delete all lines to @data, and write one line of names in their place",
    rb"\S+( \d+:[\d.eE+-]+)+\s*\n": "LibSVM; load it by sklearn.datasets.load_svmlight_file and save it as CSV",
}
READ_AS = "--sep, --decimal, --no-names, --drop and --encoding"  # the options that make a Reading


def read_as(options: Any) -> Reading:
    """Return how the parsed options of a command line say that a table is read."""
    words = {name: getattr(options, name) or "" for name in ("sep", "encoding", "decimal")}
    return Reading(header=not options.no_names, drop=tuple(options.drop or ()), **words)


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
    return Path(name).suffix.lower() in (*PACKED, *TEXT, *BINARY)


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
        frame = _drop(table := _frame(path, reading), reading.drop)
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
        size, near = np.mean(Z**2, axis=0), scale < STEPS * np.spacing(np.abs(X).max(axis=0))
    lost = [names[at] for at in np.flatnonzero(near | ~((size > 0.5) & (size < 2)))]
    if lost:
        raise ValueError(
            f"column {lost[0]!r} has values too large, too small or too near one another for float64;"
            f" rescale it or subtract its mean, or leave it out: --drop {lost[0]!r}"
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
        raise ValueError(f"--target COL says which column to predict (it has: {_cut(', '.join(names))})")
    for column in target:
        if column not in names:
            one = "; it is the only one: say what separates the cells (--sep)" if len(names) == 1 else ""
            raise ValueError(_cut(f"no column {column!r}{nearest(column, names)}") + one)
    return target


def _words(given: Iterable[str], names: list[str]) -> list[str]:
    """Return the named columns. A word with commas is one column if there is one of that name, else several."""
    words = []
    for word in given:
        words += [_name(word)] if _name(word) in names else [_name(part) for part in word.split(",")]
    return list(dict.fromkeys(words))


def _name(text: object) -> str:
    """Return a column's name on one line; "" for one that pandas made for a nameless column."""
    return re.sub(r"Unnamed: [\d.]+", "", re.sub(r"\s+", " ", str(text)).strip())


def _cut(text: str) -> str:
    return text if len(text) <= LISTED else text[:LISTED] + " ..."


def _check_columns(X: "pd.DataFrame", y: "pd.DataFrame") -> None:
    for name, values in X.items():
        if values.nunique() == 1:
            raise ValueError(f"column {name!r} is constant; the intercept is added without it: --drop {name!r}")
    for name, values in y.items():
        if values.abs().max() > LARGEST:
            raise ValueError(
                f"column {name!r} has values up to {values.abs().max():.3g}, whose squares no dtype can hold,"
                " not even with --dtype float64; rescale it"
            )
        if 0 < values.std(ddof=0) < STEPS * np.spacing(values.abs().max()):
            raise ValueError(
                f"column {name!r} varies by {values.std():.3g} around {values.mean():.3g}, which float64 cannot hold;"
                " subtract its mean"
            )


def _check_totals(frame: "pd.DataFrame") -> None:
    """Raise ValueError if a cell of the last row says, alone in its column, that the row sums up the others."""
    for _, column in frame.items() if len(frame) > 1 else ():
        labels = column.iloc[-2:] if column.dtype.kind in "biuf" else column.astype(str).str.strip().str.lower()
        if labels.iloc[-1] in TOTALS and (labels == labels.iloc[-1]).sum() == 1:
            raise ValueError(f"row {len(frame) + 1} holds the {labels.iloc[-1]} of the rows above; delete it")


def _check_sums(numbers: "pd.DataFrame") -> None:
    """Raise ValueError if the last row is the sum or mean of the others, or for a code like -999 far from the rest."""
    last, others = numbers.iloc[-1:].to_numpy(), numbers.iloc[:-1]
    for name, values in (("sums", others.sum()), ("means", others.mean())):
        if len(numbers) > SUMS and last.size > 1 and np.allclose(last, values, rtol=1e-9, atol=0):
            raise ValueError(f"row {len(numbers) + 1} holds the {name} of the rows above; delete it")
    for column, values in numbers.items():
        coded = values.abs().isin(CODES)
        rest = values[~coded]
        if coded.any() and len(rest) > SUMS and (values[coded] - rest.mean()).abs().min() > FAR * np.ptp(rest):
            raise ValueError(
                f"row {int(coded.argmax()) + 2}, column {column!r} is {values[coded].iloc[0]:g}, far from the others"
                f" ({rest.min():g} to {rest.max():g}), as codes for missing values are; fill it in or delete the row"
            )


def _drop(frame: "pd.DataFrame", drop: tuple[str, ...]) -> "pd.DataFrame":
    """Leave out the named columns, and a nameless column that counts or names the rows."""
    import pandas as pd

    names = [str(column) for column in frame]
    for name in (dropped := _words(drop, names)):
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
    bad = np.argwhere(~finite)
    if not len(bad):
        return numbers.astype(float)
    row, column = bad[0]
    name, cell = str(frame.columns[column]), str(texts.iat[row, column])
    if frame.iloc[row].isna().all():
        raise ValueError(f"row {row + 2}, column {name!r} is missing, like all others of the row; delete blank rows")
    if row == 0 and not _has_number([str(cell) for cell in texts.iloc[0]]) and finite[1:].any():
        raise ValueError("row 2 holds no numbers (units?); delete that row")
    if re.fullmatch(r"[+-]?[0-9][0-9.,'\u2019\s]*", cell):
        raise ValueError(
            f"row {row + 2}, column {name!r} is {cell[:40]!r}; write it without separators of thousands, say the"
            f" decimal mark (--decimal . or --decimal ,), or leave the column out: --drop {shlex.quote(name)}"
        )
    texts_only = [str(name) for name in frame if numbers[name].isna().all() and frame[name].notna().any()]
    if wrong := [one for one in target if one in texts_only]:
        row = int(np.argmax(frame[wrong[0]].notna()))
        cell = str(texts[wrong[0]].iat[row])[:40]
        raise ValueError(
            f"row {row + 2}, column {wrong[0]!r} is {cell!r}: the column is text, but the target must be numbers;"
            " name another --target"
        )
    others = [one for one in dict.fromkeys([name, *texts_only]) if one not in target]
    drop = _cut(" ".join(f"--drop {shlex.quote(one)}" for one in others))
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
        if "://" in path:
            raise ValueError("tables are read from this disk; download it first")
        if not stat.S_ISREG(Path(path).stat().st_mode):
            raise ValueError("is no regular file; copy the table into one")
        if Path(path).suffix.lower() in BINARY:
            frame = _binary_table(path, reading)
        else:
            frame = _text_table(_decode(_bytes(path), reading.encoding), reading)
    except ImportError as error:
        package = "pyarrow" if path.lower().endswith(".parquet") else "openpyxl"
        raise ValueError(
            f"{package} is needed to read it: pip install -e '.[tables]', or export the table as CSV"
        ) from error
    except FileNotFoundError:
        raise
    except (OSError, EOFError, *UNREADABLE, pd.errors.ParserError) as error:
        raise ValueError(" ".join(str(error).split())) from error
    names = [_name(name) for name in frame]
    if not all(name.isprintable() for name in names):
        raise ValueError("no table: its first line is not text")
    frame.columns = names
    filled = np.flatnonzero(frame.notna().any(axis=1).to_numpy())
    frame = frame.iloc[: filled[-1] + 1 if len(filled) else 0]
    return frame.loc[:, [bool(name) or frame.iloc[:, at].notna().any() for at, name in enumerate(frame)]]


def _binary_table(path: str, reading: Reading) -> "pd.DataFrame":
    """Return a spreadsheet or a Parquet file. Raises ValueError, whatever its reader raises for a damaged file."""
    suffix = Path(path).suffix.lower()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # styles and validations that openpyxl does not know
            frame = _parquet(path) if suffix == ".parquet" else _spreadsheet(path, reading)
    except (ImportError, SheetError):
        raise
    except Exception as error:
        raise ValueError(f"cannot be read as {suffix}: {' '.join(str(error).split())[:200]}") from error
    return _plain(frame, reading.decimal or _decimal(_texts(frame, reading.drop)), reading.drop)


class SheetError(ValueError):
    """A file that can be read, but is no table, or too large."""


def _parquet(path: str) -> "pd.DataFrame":
    """Return the columns of a Parquet file, also those that pandas made its index."""
    import pandas as pd

    if (cells := _parquet_cells(path)) > CELLS:
        raise SheetError(f"it holds {cells:,} cells; {CELLS:,} are read at most: take fewer rows or columns")
    frame = pd.read_parquet(path)
    named = [name for name in frame.index.names if name not in (None, "index")]  # as fastparquet calls a nameless one
    return frame.reset_index(named) if named else frame


def _parquet_cells(path: str) -> int:
    """Return rows times columns, without reading the columns. pandas reads by either package too."""
    try:
        from pyarrow.parquet import read_metadata
    except ImportError:
        from fastparquet import ParquetFile

        return int(ParquetFile(path).info["rows"] * len(ParquetFile(path).columns))
    metadata = read_metadata(path)
    return int(metadata.num_rows * metadata.num_columns)


def _spreadsheet(path: str, reading: Reading) -> "pd.DataFrame":
    """Return the only sheet with cells. Its first row holds the names."""
    import pandas as pd

    if (size := Path(path).stat().st_size) > SHEET:
        raise SheetError(f"the workbook has {size:,} bytes; {SHEET:,} are read at most: export the table as CSV")
    with zipfile.ZipFile(path) as archive:  # its reader unpacks no more than the archive says here
        unpacked = sum(entry.file_size for entry in archive.infolist())
    if unpacked > LONGEST:
        raise SheetError(
            f"the workbook unpacks to {unpacked:,} bytes; {LONGEST:,} are read at most: export the table as CSV"
        )
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
    return sheet.iloc[1:].set_axis(first, axis=1).infer_objects()


def _bytes(path: str) -> bytes:
    """Return the content of a text file, unpacked."""
    suffix = Path(path).suffix.lower()
    if suffix == ".zip":
        with zipfile.ZipFile(path) as archive:
            names = [name for name in archive.namelist() if not re.search(r"^__MACOSX/|/$|(^|/)\.", name)]
            if len(names) != 1:
                raise ValueError(f"the archive holds {len(names)} files; pack the table alone")
            with archive.open(names[0]) as member:
                return _limited(member.read(LONGEST + 1))
    with PACKED.get(suffix, open)(path, "rb") as file:
        return _limited(file.read(LONGEST + 1))


def _limited(content: bytes) -> bytes:
    if len(content) > LONGEST:
        raise ValueError(f"it holds more than {LONGEST:,} bytes of text; take fewer rows, or save it as .parquet")
    return content


def _decode(content: bytes, encoding: str) -> str:
    for begin, what in CONTENTS.items():
        if re.match(begin, content[:4096]):
            raise ValueError(f"no table: it holds {what}")
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
        order = "be" if text.startswith("\0") else "le"
        raise ValueError(f"no table: it holds zero bytes; if it is UTF-16, use --encoding utf-16-{order}")
    return text.removeprefix("\ufeff")


def _text_table(text: str, reading: Reading) -> "pd.DataFrame":
    """Return a table of numbers, and of text where a cell is no number."""
    import pandas as pd

    lines, sep = _lines(text), {"tab": "\t", "\\t": "\t", "blanks": " "}.get(reading.sep, reading.sep)
    if len(sep) > 1:
        raise ValueError(f"--sep is one character, tab or blanks, not {reading.sep!r}")
    comments = 0
    if lines and (first := re.fullmatch(r'"?sep=(.)"? *', lines[0])):  # as spreadsheets write it
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
    named = not _has_number(_cells(sample[-1], sep)[:1])
    for at, row in enumerate(lines[skipped:], skipped):
        if row.startswith("#") and (row.count('"') % 2 or (named and len(_cells(row, sep)) == width)):
            raise ValueError(
                f"line {_number(lines, at)} begins with #, but may be a row; write its first cell in quotes,"
                " or delete it"
            )
    rows = [at for at in range(skipped, len(lines)) if not lines[at].startswith("#")]
    content = "\n".join(lines[at] for at in rows) + "\n"
    options: dict[str, Any] = {
        "header": None,
        "names": range(len(names)),
        "index_col": False,
        "sep": r"\s+" if sep == " " else sep,
        "skipinitialspace": True,
        "skip_blank_lines": sep == " ",
        "na_values": MISSING,
        "keep_default_na": False,
        "low_memory": False,
    }

    def marked() -> Iterator[str]:
        for count in (SAMPLE, None):
            cells = pd.read_csv(io.StringIO(content), nrows=count, dtype=str, **options)
            yield from _texts(cells.set_axis(names, axis=1), reading.drop)

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", pd.errors.ParserWarning)  # cells would be lost
            decimal = reading.decimal or ("." if sep == "," else _decimal(marked()))
            frame: pd.DataFrame = pd.read_csv(io.StringIO(content), decimal=decimal, **options)
    except pd.errors.ParserWarning as error:
        raise ValueError(
            f"lines have more cells than the first has names ({len(names)}); correct them, or name --sep"
        ) from error
    except pd.errors.ParserError as error:
        if cells := re.search(r"Expected (\d+) fields in line (\d+), saw (\d+)", str(error)):
            line = _in_file(lines, rows)[int(cells[2]) - 1]
            raise ValueError(f"line {line} has {cells[3]} cells, not {cells[1]}; correct it, or name --sep") from error
        if quote := re.search(r"EOF inside string starting at row (\d+)", str(error)):
            line = _in_file(lines, rows)[int(quote[1])]
            raise ValueError(f"line {line} opens a quote that is not closed; delete it, or close it") from error
        raise
    frame = frame.set_axis(names, axis=1)
    if sep == "," and not reading.decimal:
        decimal = _decimal(cell for cell in _texts(frame, reading.drop) if "," in cell or not GROUPED.fullmatch(cell))
        if decimal == "," and float in [*frame.dtypes]:  # decimal commas in quotes, and points outside
            return frame
    return _plain(frame, decimal, reading.drop)


def _lines(text: str) -> list[str]:
    """Return the lines of a text. A line break inside of a quoted cell ends none."""
    lines, open_cell = [], list[str]()
    for line in re.split(r"\r*\n|\r", text.rstrip("\f\x1a")):
        odd = line.count('"') % 2
        if open_cell:
            open_cell.append(line)
            if odd:
                lines.append("\n".join(open_cell))
                open_cell = []
        elif odd and re.search(r'(^|[\t;|,]) *"', QUOTED.sub(r"\1", line)):
            open_cell = [line]
        else:
            lines.append(line)
    lines += open_cell
    return lines[:-1] if lines[-1:] == [""] else lines


def _number(lines: list[str], at: int) -> int:
    """Return the number of a line in its file."""
    return 1 + at + sum(line.count("\n") for line in lines[:at])


def _in_file(lines: list[str], rows: list[int]) -> list[int]:
    """Return the number in the file of each line of a text of rows, each of which may have several."""
    first = list(accumulate((1 + line.count("\n") for line in lines), initial=1))
    return [first[at] + more for at in rows for more in range(1 + lines[at].count("\n"))]


def _names(lines: list[str], comments: int, sep: str, width: int, reading: Reading) -> tuple[list[str], int]:
    """Return the names of the columns, and the number of lines before the data."""
    first = _cells(lines[comments], sep)
    numeric = all(NUMBER.fullmatch(cell.strip().replace(",", ".")) for cell in first)
    if not reading.header:
        return [str(number + 1) for number in range(max(width, len(first)))], comments
    rows = [_cells(line, sep) for line in lines[comments + 1 : comments + SAMPLE] if line.strip()]
    if not numeric and not _is_row(first, rows):
        return first, comments + 1
    commented = _cells(lines[comments - 1].lstrip("#% "), sep) if comments else []
    if len(commented) == len(first) > 1:  # as numpy.savetxt writes it
        return commented, comments
    raise ValueError(
        f"line {comments + 1} holds numbers{' only' * numeric}, no names; add a header, or use --no-names"
        " (columns: 1, 2, ...)"
    )


def _is_row(first: list[str], rows: list[list[str]]) -> bool:
    """Return whether the first line has numbers with decimals, and text only in columns of text: it names nothing."""
    decimals = any("." in cell and NUMBER.fullmatch(cell) for cell in first)
    named = [at for at, cell in enumerate(first) if cell not in MISSING and not NUMBER.fullmatch(cell)]
    return decimals and bool(rows) and not any(_has_number(row[at : at + 1]) for row in rows for at in named)


def _check_header(lines: list[str], skipped: int, sep: str) -> None:
    """Raise ValueError if lines without any number, such as units, stand between the names and the numbers."""
    filled = [
        (_number(lines, at), _cells(line, sep))
        for at, line in enumerate(lines[skipped : skipped + SAMPLE], skipped)
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
    regular, rows = [], sample[1:] or sample
    blanks = not re.search(r"[,;|](\s|$)", sample[0])  # not what follows another separator
    for sep in SEPARATORS if blanks else SEPARATORS[:-1]:
        (count, lines), *_ = Counter(len(_cells(line, sep)) for line in rows).most_common(1)
        if count > 1 and lines >= 0.9 * len(rows):
            regular.append((len(_cells(sample[0], sep)) != count, sep))
    other, best = min(regular, key=lambda one: one[0], default=(False, ","))
    if best == "," and (other, " ") in regular and all(re.search(r"\d,\d+ +[+-]?\d", line) for line in rows):
        return " "  # behind decimal commas
    return best


def _decimal(numbers: Iterable[str]) -> str:
    """Return the decimal mark that the first telling number shows. Raises ValueError if all can be read in two ways."""
    doubtful = ""
    for number in numbers:
        marks, grouped = re.sub("[^.,]", "", number), GROUPED.fullmatch(number)
        if len(set(marks)) == 2:  # 1.234,5
            return marks[-1]
        if len(marks) == 1 and not grouped:  # 0,5
            return marks
        if len(marks) > 1 and grouped:  # 1,234,567; not 1.2.2026
            return "." if marks[0] == "," else ","
        doubtful = doubtful or number if grouped else doubtful
    if doubtful:
        integer = re.sub("[.,]", "", doubtful)
        raise ValueError(
            f"{doubtful} may be {integer} or {doubtful.replace(',', '.')}, and no number of the table shows which; say"
            " the decimal mark: --decimal . or --decimal ,"
        )
    return "."


def _plain(frame: "pd.DataFrame", decimal: str, drop: tuple[str, ...]) -> "pd.DataFrame":
    """Write numbers with decimal commas or separators of thousands, which are still text, as Python does."""
    from pandas.api.types import infer_dtype

    other = "," if decimal == "." else "."
    number = re.compile(
        rf"\s*[+-]?([1-9][0-9]{{0,2}}(\{other}[0-9]{{3}})+|[0-9]*)(\{decimal}[0-9]*)?([eE][+-]?[0-9]+)?\s*", re.ASCII
    )

    def plain(cell: object) -> object:
        if not isinstance(cell, str):  # a date, a duration, or a truth value among numbers
            other_kind = isinstance(cell, bool) or hasattr(cell, "isoformat") or hasattr(cell, "total_seconds")
            return str(cell) if other_kind else cell
        if number.fullmatch(cell):
            return cell.replace(other, "").replace(decimal, ".")
        if decimal == "," and "." in cell and NUMBER.fullmatch(cell.strip()):
            raise ValueError(f"{cell} has a decimal point, others have a comma; correct it, or use --decimal .")
        return cell

    def numeric(column: "pd.Series[Any]") -> bool:
        return column.dtype.kind in NUMERIC or infer_dtype(column) == "boolean" or _left_out(column.name, drop)

    read: pd.DataFrame = frame.apply(lambda column: column if numeric(column) else column.map(plain))
    return read


def _left_out(name: object, drop: tuple[str, ...]) -> bool:
    """Return whether a column is dropped, or has no name and may count the rows: its marks are not those of numbers."""
    return _name(name) in ["", *_words(drop, [_name(name)])]


def _texts(frame: "pd.DataFrame", drop: tuple[str, ...]) -> Iterator[str]:
    """Yield the cells of the columns that stay that are text and look like numbers with a mark."""
    for name, column in frame.items():
        if column.dtype.kind not in NUMERIC and not _left_out(name, drop):
            cells = (cell.strip() for cell in column if isinstance(cell, str))
            yield from (cell for cell in cells if re.fullmatch(MARKED, cell))


def _cells(line: str, sep: str) -> list[str]:
    line = line.replace("\n", " ")
    if sep == " ":
        return next(csv.reader([" ".join(line.split())], delimiter=" "), [])
    return [cell.strip() for cell in next(csv.reader([line], delimiter=sep, skipinitialspace=True), [])]
