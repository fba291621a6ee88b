"""The reference pages of docs/: every column of a saved run, every command and option, made from the code.

usage: python -m results.reference_pages DOCS [--check]
"""

import argparse
import os
import re
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from results.__main__ import parser
from results.store.atomic import atomic_write
from results.store.columns import COLUMNS, NUMBERS, ORIGIN, STATS, WORDS

Table = list[dict[str, str]]
NOTE = "Made from the code by `make docs`: do not edit."


def columns() -> str:
    """docs/columns.md: each column of the table of a run, its kind and its meaning."""
    parts = {
        "Where a row comes from": (ORIGIN, "text"),
        "What was measured, in words": (WORDS, "text"),
        "Whether it counts": ({"valid": COLUMNS["valid"]}, "true or false"),
        "What was measured, in numbers": (NUMBERS, "number"),
        "Statistics of the rounds": (STATS, "number"),
    }
    lines = ["# Columns", "", "A saved run is one row per case and block. `results.load()` and"]
    lines += ["`python -m results export` give these columns. Times are in seconds, memory in bytes. NaN or an empty"]
    lines += ["text stands for what a file does not say. Count only rows where `valid` is true.", "", NOTE]
    for title, (known, kind) in parts.items():
        table = [{"column": f"`{name}`", "kind": kind, "meaning": meaning} for name, meaning in known.items()]
        lines += ["", f"## {title}", "", *_lines(table)]
    return "\n".join(lines) + "\n"


def cli() -> str:
    """docs/cli.md: the options of `pytest benchmarks`, and the commands of both packages."""
    lines = ["# Command line", "", NOTE, "", "## `pytest benchmarks`", ""]
    lines += ["pytest's and pytest-benchmark's own options work as usual. These are added:", ""]
    lines += _lines(_pytest_options())
    for name in ("fit", "gallery"):
        lines += ["", f"## `python -m benchmarks {name}`", "", "```", *_help("benchmarks", name), "```"]
    for name, command in _commands(parser()):
        summary, _, rest = (command.description or "").partition("\n\n")
        lines += ["", f"## `python -m results {name}`", "", _sentence(summary), ""]
        lines += [rest.strip(), ""] if rest else []
        lines += ["```", _usage(name, command), "```", ""]
        lines += _lines(_options(command))
    return "\n".join(lines) + "\n"


def _commands(top: argparse.ArgumentParser) -> Iterator[tuple[str, argparse.ArgumentParser]]:
    for action in top._actions:
        if isinstance(action, argparse._SubParsersAction):
            yield from action.choices.items()


def _usage(name: str, command: argparse.ArgumentParser) -> str:
    """The command in one line, made from its actions: how argparse breaks lines depends on Python's version."""
    needed = [row["option"].strip("`") for row in _options(command) if not row["option"].startswith("`-")]
    return " ".join(["python -m results", name, "[options]", *needed])


def _options(command: argparse.ArgumentParser) -> Table:
    formatter = command._get_formatter()
    rows = []
    for action in command._actions:
        if "--help" in action.option_strings:
            continue
        metavar = (
            action.metavar if isinstance(action.metavar, str) else ",".join(action.choices or [action.dest.upper()])
        )
        value = formatter._format_args(action, metavar) if action.nargs != 0 else ""
        name = action.option_strings[-1] if action.option_strings else ""
        rows.append({"option": f"`{f'{name} {value}'.strip()}`", "meaning": formatter._expand_help(action)})
    return rows


def _pytest_options() -> Table:
    """The options, as pytest lists them in the group of this project."""
    text = "\n".join(_help("pytest", "benchmarks"))
    group = text.partition("gradient descent, framework against framework:\n")[2].partition("\n\n")[0]
    found = re.findall(r"^  (--\S+)(.*(?:\n {6,}.*)*)", group, re.MULTILINE)
    rows = []
    for name, rest in found:
        words = " ".join(rest.split())
        value = name.partition("=")[2]
        rows.append({"option": f"`{name.partition('=')[0]} {value}".strip() + "`", "meaning": words})
    return rows


def _help(module: str, *words: str) -> list[str]:
    done = subprocess.run(
        [sys.executable, "-m", module, *words, "--help"],
        check=True,
        capture_output=True,
        text=True,
        cwd=Path(__file__).parents[1],
        env={**os.environ, "COLUMNS": "100", "NO_COLOR": "1"},
    )
    return done.stdout.rstrip().splitlines()


def _sentence(text: str) -> str:
    return f"{text[:1].upper()}{text[1:].rstrip('.')}."


def _lines(table: Table) -> list[str]:
    """A Markdown table; its cells are this project's own words, so only what would end a cell is escaped."""
    rows = [list(table[0]), ["---"] * len(table[0]), *(list(row.values()) for row in table)] if table else []
    return ["| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |" for row in rows]


def main(words: Sequence[str] | None = None) -> int:
    """Write the pages, or with --check exit with 2 where one is stale."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("docs", type=Path)
    options.add_argument("--check", action="store_true", help="change nothing; exit 2 if a page is stale")
    given = options.parse_args(words)
    for name, page in (("cli.md", cli()), ("columns.md", columns())):
        file = given.docs / name
        if given.check and (not file.exists() or file.read_text(encoding="utf-8") != page):
            sys.stderr.write(f"{file} is stale: make docs\n")
            return 2
        if not given.check:
            atomic_write(file, page)
    return 0


if __name__ == "__main__":
    sys.exit(main())
