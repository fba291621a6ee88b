"""Read a table from text: its separator, its names, its decimal mark. Cells that are no number stay text."""

import contextlib
import csv
import io
import re
import warnings
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import accumulate, takewhile
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas as pd

SEPARATORS = ("\t", ";", "|", ",", " ")  # the first that gives every line the same number of cells, at least two
SAMPLE_LINES = 100  # that are searched for the separator
NUMERIC_KINDS = "biufcmM"  # of columns without text
MISSING_VALUES = ["", "NA", "N/A", "NaN", "nan", "null", "NULL", "None", "?"]
NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?")
MARKED_NUMBER = r"[+-]?(?=[0-9]*[.,])[0-9.,]+(?:[eE][+-]?[0-9]+)?"  # with decimal marks or separators of thousands
GROUPED_NUMBER = re.compile(r"[+-]?[1-9][0-9]{0,2}([.,])[0-9]{3}(\1[0-9]{3})*")  # the mark may separate thousands
QUOTED_CELL = re.compile(r'((?:^|[\t;|,]) *)"(?:[^"]|"")*"')


@dataclass(frozen=True)
class TableFormat:
    """How to read a table. Empty fields are detected from the file.

    sep: what separates cells, " " for blanks. header: whether the first line names the columns. drop: columns to
    leave out. encoding: of a text file. decimal: what stands before the digits of a fraction, "." or ",".
    """

    sep: str = ""
    header: bool = True
    drop: tuple[str, ...] = ()
    encoding: str = ""
    decimal: str = ""


FORMAT_OPTIONS = "--sep, --decimal, --no-names, --drop and --encoding"  # the options that make a TableFormat


def read_as(options: Any) -> TableFormat:
    """Return how the parsed options of a command line say that a table is read."""
    words = {name: getattr(options, name) or "" for name in ("sep", "encoding", "decimal")}
    return TableFormat(header=not options.no_names, drop=tuple(options.drop or ()), **words)


def parse_text(text: str, reading: TableFormat) -> "pd.DataFrame":
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
    sample = [line for line in lines[comments : comments + SAMPLE_LINES] if line.strip()]
    if not sample:
        raise ValueError("the file is empty")
    sep = sep or _separator(sample)
    width = Counter(len(_cells(line, sep)) for line in sample[1:] or sample).most_common(1)[0][0]
    names, skipped = _names(lines, comments, sep, width, reading)
    if reading.header:
        _check_header(lines, skipped, sep)
    if len(names) == width - 1:
        if not any(_cells(line, sep)[-1] for line in sample[1:]):
            names = [*names, ""]
        elif sep != ",":  # R writes row names so; behind commas it may be a decimal comma
            names = ["", *names]
    rows = _data_rows(lines, skipped, sep, width, named=not has_number(_cells(sample[-1], sep)[:1]))
    content = "\n".join(lines[row] for row in rows) + "\n"
    options: dict[str, Any] = {
        "header": None,
        "names": range(len(names)),
        "index_col": False,
        "sep": r"\s+" if sep == " " else sep,
        "skipinitialspace": True,
        "skip_blank_lines": sep == " ",
        "na_values": MISSING_VALUES,
        "keep_default_na": False,
        "low_memory": False,
    }

    def marked() -> Iterator[str]:
        for count in (SAMPLE_LINES, None):
            cells = pd.read_csv(io.StringIO(content), nrows=count, dtype=str, **options)
            yield from marked_cells(cells.set_axis(names, axis=1), reading.drop)

    with _explained(lines, rows, len(names)):
        decimal = reading.decimal or ("." if sep == "," else decimal_mark(marked()))
        frame: pd.DataFrame = pd.read_csv(io.StringIO(content), decimal=decimal, **options)
    frame = frame.set_axis(names, axis=1)
    if sep == "," and not reading.decimal:
        cells = marked_cells(frame, reading.drop)
        decimal = decimal_mark(cell for cell in cells if "," in cell or not GROUPED_NUMBER.fullmatch(cell))
        if decimal == "," and float in [*frame.dtypes]:  # decimal commas in quotes, and points outside
            return frame
    return plain_numbers(frame, decimal, reading.drop)


def _data_rows(lines: list[str], skipped: int, sep: str, width: int, named: bool) -> list[int]:
    """Return the indices of the lines below the names that are no comments. named: whether rows begin with text.

    Raises ValueError for a comment that may be a row.
    """
    rows = []
    for index, line in enumerate(lines[skipped:], skipped):
        if not line.startswith("#"):
            rows.append(index)
        elif line.count('"') % 2 or (named and len(_cells(line, sep)) == width):
            reason = f"line {_number(lines, index)} begins with #, but may be a row"
            raise ValueError(f"{reason}; write its first cell in quotes, or delete it")
    return rows


@contextlib.contextmanager
def _explained(lines: list[str], rows: list[int], columns: int) -> Iterator[None]:
    """Convert pandas' errors about these rows to ValueError, with the line in the file and what to do."""
    import pandas as pd

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", pd.errors.ParserWarning)  # cells would be lost
            yield
    except pd.errors.ParserWarning as error:
        reason = f"lines have more cells than the first has names ({columns})"
        raise ValueError(f"{reason}; correct them, or name --sep") from error
    except pd.errors.ParserError as error:
        if cells := re.search(r"Expected (\d+) fields in line (\d+), saw (\d+)", str(error)):
            line = _in_file(lines, rows)[int(cells[2]) - 1]
            raise ValueError(f"line {line} has {cells[3]} cells, not {cells[1]}; correct it, or name --sep") from error
        if quote := re.search(r"EOF inside string starting at row (\d+)", str(error)):
            line = _in_file(lines, rows)[int(quote[1])]
            raise ValueError(f"line {line} opens a quote that is not closed; delete it, or close it") from error
        raise


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
        elif odd and re.search(r'(^|[\t;|,]) *"', QUOTED_CELL.sub(r"\1", line)):
            open_cell = [line]
        else:
            lines.append(line)
    lines += open_cell
    return lines[:-1] if lines[-1:] == [""] else lines


def _number(lines: list[str], index: int) -> int:
    """Return the number of a line in its file."""
    return 1 + index + sum(line.count("\n") for line in lines[:index])


def _in_file(lines: list[str], rows: list[int]) -> list[int]:
    """Return, for each line of the rows' text, its number in the file. A row may have several lines."""
    first = list(accumulate((1 + line.count("\n") for line in lines), initial=1))
    return [first[row] + offset for row in rows for offset in range(1 + lines[row].count("\n"))]


def _names(lines: list[str], comments: int, sep: str, width: int, reading: TableFormat) -> tuple[list[str], int]:
    """Return the names of the columns, and the number of lines before the data."""
    first = _cells(lines[comments], sep)
    numeric = all(NUMBER.fullmatch(cell.strip().replace(",", ".")) for cell in first)
    if not reading.header:
        return [str(number + 1) for number in range(max(width, len(first)))], comments
    rows = [_cells(line, sep) for line in lines[comments + 1 : comments + SAMPLE_LINES] if line.strip()]
    if not numeric and not _is_row(first, rows):
        return first, comments + 1
    commented = _cells(lines[comments - 1].lstrip("#% "), sep) if comments else []
    if len(commented) == len(first) > 1:  # as numpy.savetxt writes it
        return commented, comments
    advice = "add a header, or use --no-names (columns: 1, 2, ...)"
    raise ValueError(f"line {comments + 1} holds numbers{' only' * numeric}, no names; {advice}")


def _is_row(first: list[str], rows: list[list[str]]) -> bool:
    """Return whether the first line is data: it has decimal numbers, and text only in columns of text."""
    decimals = any("." in cell and NUMBER.fullmatch(cell) for cell in first)
    text_columns = [j for j, cell in enumerate(first) if cell not in MISSING_VALUES and not NUMBER.fullmatch(cell)]
    return decimals and bool(rows) and not any(has_number(row[j : j + 1]) for row in rows for j in text_columns)


def _check_header(lines: list[str], skipped: int, sep: str) -> None:
    """Raise ValueError if lines without any number, such as units, stand between the names and the numbers."""
    numbered = [
        (_number(lines, index), _cells(line, sep))
        for index, line in enumerate(lines[skipped : skipped + SAMPLE_LINES], skipped)
        if line.strip() and not line.startswith("#")
    ]
    texts = list(takewhile(lambda line: not has_number(line[1]), numbered))
    if not texts or len(texts) == len(numbered) or all(cell in MISSING_VALUES for cell in texts[0][1]):
        return
    words = f"line {texts[0][0]} holds" if len(texts) == 1 else f"lines {texts[0][0]} to {texts[-1][0]} hold"
    raise ValueError(
        f"{words} no numbers, but the lines below do (units, or a header of several lines?); keep one line of names:"
        " delete the others, or put # before them"
    )


def _separator(sample: list[str]) -> str:
    """Return the first separator that gives all lines equally many cells, preferably as many as the first line."""
    regular, rows = [], sample[1:] or sample
    blanks = not re.search(r"[,;|](\s|$)", sample[0])  # blanks may follow another separator
    for sep in SEPARATORS if blanks else SEPARATORS[:-1]:
        (count, lines), *_ = Counter(len(_cells(line, sep)) for line in rows).most_common(1)
        if count > 1 and lines >= 0.9 * len(rows):
            regular.append((len(_cells(sample[0], sep)) != count, sep))
    differs, best = min(regular, key=lambda candidate: candidate[0], default=(False, ","))
    if best == "," and (differs, " ") in regular and all(re.search(r"\d,\d+ +[+-]?\d", line) for line in rows):
        return " "  # behind decimal commas
    return best


def decimal_mark(numbers: Iterable[str]) -> str:
    """Return the decimal mark of the first unambiguous number. Raises ValueError if all can be read in two ways."""
    unclear = ""
    for number in numbers:
        marks, grouped = re.sub("[^.,]", "", number), GROUPED_NUMBER.fullmatch(number)
        if len(set(marks)) == 2:  # 1.234,5
            return marks[-1]
        if len(marks) == 1 and not grouped:  # 0,5
            return marks
        if len(marks) > 1 and grouped:  # 1,234,567; not 1.2.2026
            return "." if marks[0] == "," else ","
        unclear = unclear or number if grouped else unclear
    if unclear:
        integer = re.sub("[.,]", "", unclear)
        raise ValueError(
            f"{unclear} may be {integer} or {unclear.replace(',', '.')}, and no number of the table shows which; say"
            " the decimal mark: --decimal . or --decimal ,"
        )
    return "."


def plain_numbers(frame: "pd.DataFrame", decimal: str, drop: tuple[str, ...]) -> "pd.DataFrame":
    """Return the table with numbers as Python writes them, without decimal commas and separators of thousands."""
    from pandas.api.types import infer_dtype

    separator = "," if decimal == "." else "."
    integer, fraction = rf"[1-9][0-9]{{0,2}}(\{separator}[0-9]{{3}})+|[0-9]*", rf"\{decimal}[0-9]*"
    number = re.compile(rf"\s*[+-]?({integer})({fraction})?([eE][+-]?[0-9]+)?\s*", re.ASCII)

    def plain(cell: object) -> object:
        if not isinstance(cell, str):  # a date, a duration, or a truth value among numbers
            other_kind = isinstance(cell, bool) or hasattr(cell, "isoformat") or hasattr(cell, "total_seconds")
            return str(cell) if other_kind else cell
        if number.fullmatch(cell):
            return cell.replace(separator, "").replace(decimal, ".")
        if decimal == "," and "." in cell and NUMBER.fullmatch(cell.strip()):
            raise ValueError(f"{cell} has a decimal point, others have a comma; correct it, or use --decimal .")
        return cell

    def numeric(column: "pd.Series[Any]") -> bool:
        return column.dtype.kind in NUMERIC_KINDS or infer_dtype(column) == "boolean" or _left_out(column.name, drop)

    read: pd.DataFrame = frame.apply(lambda column: column if numeric(column) else column.map(plain))
    return read


def _left_out(name: object, drop: tuple[str, ...]) -> bool:
    """Return whether a column is dropped, or has no name and may count the rows: it shows no decimal mark."""
    return column_name(name) in ["", *named_columns(drop, [column_name(name)])]


def marked_cells(frame: "pd.DataFrame", drop: tuple[str, ...]) -> Iterator[str]:
    """Yield the cells of the remaining columns that are text and look like numbers with a mark."""
    for name, column in frame.items():
        if column.dtype.kind not in NUMERIC_KINDS and not _left_out(name, drop):
            cells = (cell.strip() for cell in column if isinstance(cell, str))
            yield from (cell for cell in cells if re.fullmatch(MARKED_NUMBER, cell))


def has_number(cells: list[str]) -> bool:
    return any(NUMBER.fullmatch(cell.strip().replace(",", ".")) for cell in cells)


def named_columns(given: Iterable[str], names: list[str]) -> list[str]:
    """Return the named columns. A word with commas is one column if there is one of that name, else several."""
    words = []
    for word in given:
        words += [column_name(word)] if column_name(word) in names else [column_name(name) for name in word.split(",")]
    return list(dict.fromkeys(words))


def column_name(text: object) -> str:
    """Return a column's name on one line; "" for one that pandas made for a nameless column."""
    return re.sub(r"Unnamed: [\d.]+", "", re.sub(r"\s+", " ", str(text)).strip())


def _cells(line: str, sep: str) -> list[str]:
    line = line.replace("\n", " ")
    if sep == " ":
        return next(csv.reader([" ".join(line.split())], delimiter=" "), [])
    return [cell.strip() for cell in next(csv.reader([line], delimiter=sep, skipinitialspace=True), [])]
