"""Open the file of a table: text in any encoding, also compressed, a spreadsheet or Parquet."""

import bz2
import csv
import gzip
import lzma
import re
import stat
import warnings
import zipfile
import zlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from benchmarks.problems import table_text
from benchmarks.problems.table_text import MISSING_VALUES, NUMBER, TableFormat

if TYPE_CHECKING:
    import pandas as pd

PACKED_SUFFIXES: dict[str, Any] = {".gz": gzip.open, ".bz2": bz2.open, ".xz": lzma.open, ".zip": None}
TEXT_SUFFIXES = (".csv", ".tsv", ".txt", ".data", ".dat")
BINARY_SUFFIXES = (".xlsx", ".parquet")
SUFFIX_ADVICE = (
    f"tables are {' '.join((*TEXT_SUFFIXES, *BINARY_SUFFIXES))}, and text also packed as {' '.join(PACKED_SUFFIXES)};"
    " rename the file if it is one of them, or export the table as CSV"
)
MAX_TEXT_BYTES, MAX_WORKBOOK_BYTES = 2**28, 2**24  # text: unpacked; reading takes up to 12 times the memory
MAX_CELLS = 2**27  # of a Parquet file: its packed size says little
READ_ERRORS = (lzma.LZMAError, zlib.error, zipfile.BadZipFile, NotImplementedError, RuntimeError, csv.Error)
FILE_SIGNATURES = {  # how files begin that are no text, or no table
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


def is_table(name: str) -> bool:
    """Return whether a problem's name is that of a table, by its ending."""
    return Path(name).suffix.lower() in (*PACKED_SUFFIXES, *TEXT_SUFFIXES, *BINARY_SUFFIXES)


def read_frame(path: str, reading: TableFormat) -> "pd.DataFrame":
    """Return the table with its names as text, without blank lines at its end and empty columns without a name."""
    import pandas as pd

    try:
        if "://" in path:
            raise ValueError("tables are read from this disk; download it first")
        if not stat.S_ISREG(Path(path).stat().st_mode):
            raise ValueError("is no regular file; copy the table into one")
        if Path(path).suffix.lower() in BINARY_SUFFIXES:
            frame = _binary_table(path, reading)
        else:
            frame = table_text.parse_text(_decode(_bytes(path), reading.encoding), reading)
    except ImportError as error:
        package = "pyarrow" if path.lower().endswith(".parquet") else "openpyxl"
        advice = "pip install -e '.[tables]', or export the table as CSV"
        raise ValueError(f"{package} is needed to read it: {advice}") from error
    except FileNotFoundError:
        raise
    except (OSError, EOFError, *READ_ERRORS, pd.errors.ParserError) as error:
        raise ValueError(" ".join(str(error).split())) from error
    names = [table_text.column_name(name) for name in frame]
    if not all(name.isprintable() for name in names):
        raise ValueError("no table: its first line is not text")
    frame.columns = names
    filled = np.flatnonzero(frame.notna().any(axis=1).to_numpy())
    frame = frame.iloc[: filled[-1] + 1 if len(filled) else 0]
    return frame.loc[:, [bool(name) or frame.iloc[:, j].notna().any() for j, name in enumerate(frame)]]


def _binary_table(path: str, reading: TableFormat) -> "pd.DataFrame":
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
    decimal = reading.decimal or table_text.decimal_mark(table_text.marked_cells(frame, reading.drop))
    return table_text.plain_numbers(frame, decimal, reading.drop)


class SheetError(ValueError):
    """A file that can be read, but is no table, or too large."""


def _parquet(path: str) -> "pd.DataFrame":
    """Return the columns of a Parquet file, also those that pandas made its index."""
    import pandas as pd

    if (cells := _parquet_cells(path)) > MAX_CELLS:
        raise SheetError(f"it holds {cells:,} cells; {MAX_CELLS:,} are read at most: take fewer rows or columns")
    frame = pd.read_parquet(path)
    index_names = [name for name in frame.index.names if name not in (None, "index")]  # fastparquet's word for no name
    return frame.reset_index(index_names) if index_names else frame


def _parquet_cells(path: str) -> int:
    """Return rows times columns, without reading the columns. pandas reads by either package too."""
    try:
        from pyarrow.parquet import read_metadata
    except ImportError:
        from fastparquet import ParquetFile

        return int(ParquetFile(path).info["rows"] * len(ParquetFile(path).columns))
    metadata = read_metadata(path)
    return int(metadata.num_rows * metadata.num_columns)


def _spreadsheet(path: str, reading: TableFormat) -> "pd.DataFrame":
    """Return the only sheet with cells. Its first row holds the names."""
    import pandas as pd

    if (size := Path(path).stat().st_size) > MAX_WORKBOOK_BYTES:
        limit = f"{MAX_WORKBOOK_BYTES:,} are read at most"
        raise SheetError(f"the workbook has {size:,} bytes; {limit}: export the table as CSV")
    with zipfile.ZipFile(path) as archive:  # its reader unpacks no more than the archive says here
        unpacked = sum(entry.file_size for entry in archive.infolist())
    if unpacked > MAX_TEXT_BYTES:
        limit = f"{MAX_TEXT_BYTES:,} are read at most"
        raise SheetError(f"the workbook unpacks to {unpacked:,} bytes; {limit}: export the table as CSV")
    with pd.ExcelFile(path, engine="openpyxl") as book:
        options: dict[str, Any] = {"header": None, "dtype": object}
        options |= {"keep_default_na": False, "na_values": MISSING_VALUES}
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
                content = member.read(MAX_TEXT_BYTES + 1)
    else:
        with PACKED_SUFFIXES.get(suffix, open)(path, "rb") as file:
            content = file.read(MAX_TEXT_BYTES + 1)
    if len(content) > MAX_TEXT_BYTES:
        size = f"{MAX_TEXT_BYTES:,} bytes of text"
        raise ValueError(f"it holds more than {size}; take fewer rows, or save it as .parquet")
    return content


def _decode(content: bytes, encoding: str) -> str:
    for begin, content_type in FILE_SIGNATURES.items():
        if re.match(begin, content[:4096]):
            raise ValueError(f"no table: it holds {content_type}")
    marks = {b"\xef\xbb\xbf": "utf-8-sig", b"\xff\xfe\0\0": "utf-32", b"\xff\xfe": "utf-16", b"\xfe\xff": "utf-16"}
    default = next((name for mark, name in marks.items() if content.startswith(mark)), "utf-8")
    try:
        text = content.decode(encoding or default)
    except LookupError as error:
        raise ValueError(f"--encoding {encoding!r} is unknown; try utf-16, cp1252, euc-kr or shift_jis") from error
    except UnicodeDecodeError as error:
        advice = "say its encoding: --encoding cp1252, utf-16, euc-kr, ..."
        raise ValueError(f"byte {error.start} is not {encoding or default}; {advice}") from error
    if "\0" in text[:1000]:
        order = "be" if text.startswith("\0") else "le"
        raise ValueError(f"no table: it holds zero bytes; if it is UTF-16, use --encoding utf-16-{order}")
    return text.removeprefix("\ufeff")
