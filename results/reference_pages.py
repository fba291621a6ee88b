"""Write docs/cli.md, columns.md and implementations.md from the code: commands, options, columns, implementations.

usage: python -m results.reference_pages DOCS
"""

import argparse
import os
import re
import subprocess
import sys
from pathlib import Path

from results.__main__ import parser
from results.store.atomic import atomic_write
from results.store.columns import NUMBER_COLUMNS, ORIGIN_COLUMNS, STATISTICS_COLUMNS, TEXT_COLUMNS, VALID_COLUMN, Column

COLUMNS_HEAD = """\
# Columns

A saved run has one row per case and block. `results.load()` and `python -m results export` return these columns. NaN or
an empty text means that the file does not have the value. Use only rows whose `valid` is true. A number below its
minimum makes its row invalid. *Since* is the first schema version with the column, *before 6* its name in files before
version 6: older files are read with the names of today.
"""
IMPLEMENTATIONS_HEAD = """\
# Implementations and problems

`python -m benchmarks list` prints these tables. *gradient*: written by hand, or the framework's autograd. *style*:
"eager" dispatches each operation, "compiled" each step as a whole, "one launch" many steps at once. *tuned*: as users
write it, or by an expert for this problem or its hardware. *steps*: updates in a full-batch run.

`numpy_gram` does [different work](roofline.md#different-work-the-gram-matrix), `X'X` once a run and then no row of `X`,
so it is never compared with the others.
"""
Table = list[dict[str, str]]
NOTE = "Generated from the code by `make docs`. Do not edit."


def columns_page() -> str:
    """Return docs/columns.md, made from results/store/columns.py."""
    sections = {
        "Origin": ORIGIN_COLUMNS,
        "Text": TEXT_COLUMNS,
        "Validity": (VALID_COLUMN,),
        "Numbers": NUMBER_COLUMNS,
        "Statistics of the rounds": STATISTICS_COLUMNS,
    }
    lines = [COLUMNS_HEAD, NOTE]
    for title, columns in sections.items():
        lines += ["", f"## {title}", "", *_markdown_table([_cells(column) for column in columns])]
    return "\n".join(lines) + "\n"


def _cells(column: Column) -> dict[str, str]:
    limited = column.kind == "number" and column.least is not None
    return {
        "column": f"`{column.name}`",
        "kind": column.kind,
        "meaning": column.meaning,
        "unit": column.unit,
        "minimum": f"{column.least:g}" if limited else "",
        "since": str(column.since),
        "before 6": f"`{column.formerly}`" if column.formerly else "",
    }


def implementations_page() -> str:
    """Return docs/implementations.md: the output of `python -m benchmarks list`."""
    return "\n".join([IMPLEMENTATIONS_HEAD, NOTE, "", *_output("benchmarks", "list")]) + "\n"


def cli_page() -> str:
    """Return docs/cli.md: the options of `pytest benchmarks`, and the commands of both packages."""
    lines = ["# Command line", "", NOTE, "", "## `pytest benchmarks`", ""]
    lines += ["pytest's and pytest-benchmark's own options also work. This project adds:", ""]
    lines += _markdown_table(_pytest_options())
    for name in ("fit", "gallery", "list"):
        lines += ["", f"## `python -m benchmarks {name}`", "", "```", *_output("benchmarks", name, "--help"), "```"]
    (action,) = [action for action in parser()._actions if isinstance(action, argparse._SubParsersAction)]
    for name in [choice.dest for choice in action._choices_actions]:  # without aliases
        command = action.choices[name]
        options = _options(command)
        positional = [row["option"].strip("`") for row in options if not row["option"].startswith("`-")]
        usage = " ".join(["python -m results", name, "[options]", *positional])  # the same in every Python version
        summary, _, details = (command.description or "").partition("\n\n")
        lines += ["", f"## `python -m results {name}`", "", f"{summary[:1].upper()}{summary[1:].rstrip('.')}.", ""]
        lines += [details.strip(), ""] if details else []
        lines += ["```", usage, "```", "", *_markdown_table(options)]
    return "\n".join(lines) + "\n"


def _options(command: argparse.ArgumentParser) -> Table:
    formatter = command._get_formatter()
    rows = []
    for action in command._actions:
        if "--help" in action.option_strings:
            continue
        choices = ",".join(action.choices or [action.dest.upper()])
        metavar = action.metavar if isinstance(action.metavar, str) else choices
        value = formatter._format_args(action, metavar) if action.nargs != 0 else ""
        name = action.option_strings[-1] if action.option_strings else ""
        rows.append({"option": f"`{f'{name} {value}'.strip()}`", "meaning": formatter._expand_help(action)})
    return rows


def _pytest_options() -> Table:
    """Return the options that pytest lists in the group of this project."""
    text = "\n".join(_output("pytest", "benchmarks", "--help"))
    group = text.partition("gradient descent, framework against framework:\n")[2].partition("\n\n")[0]
    options = re.findall(r"^  (--\S+)(.*(?:\n {6,}.*)*)", group, re.MULTILINE)
    return [{"option": f"`{name.replace('=', ' ', 1)}`", "meaning": " ".join(rest.split())} for name, rest in options]


def _output(module: str, *arguments: str) -> list[str]:
    process = subprocess.run(
        [sys.executable, "-m", module, *arguments],
        check=True,
        capture_output=True,
        text=True,
        cwd=Path(__file__).parents[1],
        env={**os.environ, "COLUMNS": "100", "NO_COLOR": "1"},
    )
    return process.stdout.rstrip().splitlines()


def _markdown_table(table: Table) -> list[str]:
    """Return a Markdown table. Cells are trusted text: only `|` is escaped."""
    rows = [list(table[0]), ["---"] * len(table[0]), *(list(row.values()) for row in table)]
    return ["| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |" for row in rows]


def main(docs: Path) -> None:
    """Write the three pages into a folder."""
    atomic_write(docs / "cli.md", cli_page())
    atomic_write(docs / "columns.md", columns_page())
    atomic_write(docs / "implementations.md", implementations_page())


if __name__ == "__main__":
    main(Path(sys.argv[1]))
