"""Add commands to the command line, and the options that several commands share."""

import argparse
import difflib
import sys
from argparse import ArgumentParser, ArgumentTypeError, Namespace
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import NoReturn, TypeAlias

import pandas as pd

from results.output import FORMATS, Page, words
from results.store.columns import CASE
from results.store.reading import Run, RunError
from results.store.runs import ROOT, find, nearest

BASELINE = "numpy_manual"
MAX_COUNT = 10**12  # largest value of an option that counts something
NAMES_HELP = (
    "A RUN is a path, a save name (NNNN_name or name), a number (0003 or 3) or latest, your newest; machine/ in front"
    " restricts it to a machine, by the beginning of its name: intel/campaign. Where several runs are allowed,"
    " all selects every readable run, and project those that the project itself has committed."
)


class Parser(ArgumentParser):
    """A parser with one-line errors: the unknown word, the likeliest intended name, and where to find help.

    commands: the names of its commands; empty for the parser of a command.
    """

    commands: Sequence[str] = ()

    def parse_known_args(  # type: ignore[override]  # the parser of a command has no other way to see unknown words
        self, args: Sequence[str] | None = None, namespace: Namespace | None = None
    ) -> tuple[Namespace, list[str]]:
        """Parse all words. Exit with 2 for an unknown one."""
        words_given = list(sys.argv[1:] if args is None else args)
        if self.commands and words_given and not words_given[0].startswith("-") and words_given[0] not in self.commands:
            self._refuse("command", words_given[0], self.commands)
        values, unknown = super().parse_known_args(words_given, namespace)
        if unknown:
            kind = "option" if unknown[0].startswith("-") else "argument"
            self._refuse(kind, unknown[0], [*self._option_string_actions])
        return values, []

    def _refuse(self, kind: str, word: str, names: Sequence[str]) -> NoReturn:
        similar = difflib.get_close_matches(word, names, n=1)
        self.error(f"unknown {kind} {word!r}" + (f"; did you mean {similar[0]}?" if similar else ""))

    def error(self, message: str) -> NoReturn:
        """Write the message on one line, and exit with 2."""
        self.exit(2, f"results: {words(message)} (see: {self.prog} --help)\n")


Commands: TypeAlias = "argparse._SubParsersAction[Parser]"  # argparse has no public name for it


def add(
    commands: "Commands",
    name: str,
    make: Callable[[Namespace], Page],
    summary: str,
    form: str | None = "table",
    description: str | None = None,
    aliases: Sequence[str] = (),
    formats: Sequence[str] = (),
) -> ArgumentParser:
    """Add a command. `make` returns its page; `form` is its default format (None: the command writes files).

    formats: further formats of this command, which its page contains as `raw`.
    """
    description = description or summary
    command = commands.add_parser(name, help=summary, description=description, epilog=NAMES_HELP, aliases=aliases)
    add = command.add_argument
    add("--format", choices=[*FORMATS, *formats], default=form, help=f"format (default: {form or 'all files'})")
    add("--runs", type=Path, default=ROOT, metavar="DIR", help="folder of the saved runs (default: results/runs)")
    add("--wide", action="store_true", help="show all columns, however wide the table is")
    command.set_defaults(make=make, out=None)
    return command


def add_for_run(commands: "Commands", name: str, make: Callable[[Run], Page], summary: str) -> None:
    """Add a command that shows one run, the latest by default."""
    command = add(commands, name, lambda args: make(selected(find(args.run, args.runs), args)), summary)
    command.add_argument(
        "run",
        metavar="RUN",
        nargs="?",
        default="latest",
        help="name, number or path of the run (default: latest, your newest)",
    )
    add_filters(command)


def add_runs(command: ArgumentParser, default: str) -> None:
    """Add positional names of any number of runs."""
    command.add_argument("run", nargs="*", metavar="RUN", help=f"default: {default}")


def check_two_names(a: str, b: str) -> None:
    """Raise RunError if they are equal."""
    if a == b:
        raise RunError(f"{a} is named twice; name two implementations, or two runs (python -m results list)")


def find_two(a: str, b: str, root: Path) -> tuple[Run, Run]:
    """Return two runs. Raises RunError, also if both names refer to one run."""
    runs = find(a, root), find(b, root)
    if runs[0].path.samefile(runs[1].path):
        check_two_names(runs[0].label, runs[1].label)
    return runs


def add_job_steps(command: ArgumentParser) -> None:
    """Add the option that asks for the time of jobs in fresh processes as well."""
    help_text = "also compare jobs of T steps in fresh processes: import, device, transfer, compilation and steps"
    command.add_argument("--job-steps", type=positive, default=0, metavar="T", help=help_text)


def positive(word: str) -> int:
    """Return a whole number from 1 to MAX_COUNT. Raises ArgumentTypeError."""
    if not (word.isdecimal() and len(word) <= len(str(MAX_COUNT)) and 1 <= int(word) <= MAX_COUNT):
        raise ArgumentTypeError(f"must be a whole number from 1 to {MAX_COUNT:,}, not {word!r}")
    return int(word)


def add_out(command: ArgumentParser) -> None:
    """Add --out, the file to write."""
    command.add_argument("--out", metavar="FILE", help="write to FILE, - for stdout (default: stdout)")


PLURALS = {"impl": "implementations", "device": "devices", "dtype": "dtypes", "problem": "problems"}


def add_filters(command: ArgumentParser, names: Sequence[str] = CASE) -> None:
    """Add an option for each of some columns of CASE: the values to show."""
    for name in names:
        help_text = f"{PLURALS[name]} to show, separated by commas (default: all)"
        command.add_argument(f"--{name}", type=lambda values: values.split(","), metavar="A,B", help=help_text)


def filters(args: Namespace) -> dict[str, list[str] | None]:
    """Return the values of `add_filters` by column; None shows all."""
    return {name: getattr(args, name, None) for name in CASE}


def filter_rows(rows: pd.DataFrame, filters: dict[str, list[str] | None], name: str) -> pd.DataFrame:
    """Return the rows with the given values, by column. Raises RunError for a value that `name` does not have."""
    for column, values in filters.items():
        present = sorted(rows[column].dropna().unique())
        for value in values or []:
            if value not in present:
                raise RunError(f"{name} has no {column} {value!r}; {nearest(value, present)}")
        rows = rows[rows[column].isin(values)] if values else rows
    return rows


def selected(run: Run, args: Namespace) -> Run:
    """Return a run with only the rows that the options of `add_filters` choose. Raises RunError for unknown values."""
    rows = filter_rows(run.rows, filters(args), run.label)
    return replace(run, rows=rows, unfiltered=run.rows, filters=filters(args))
