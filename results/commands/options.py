"""What the commands share: how one is added to the command line, and the options that several have."""

import argparse
from argparse import ArgumentParser, Namespace
from collections.abc import Callable
from pathlib import Path
from typing import TypeAlias

from results.output import FORMATS, Page
from results.store.columns import CASE
from results.store.runs import ROOT

BASELINE = "numpy_manual"
NAMES = (
    "A RUN is a path, a save name (NNNN_name or name), a number (0003 or 3) or latest; machine/ in front narrows."
    " Where several runs are allowed, all names every readable one."
)
Commands: TypeAlias = "argparse._SubParsersAction[ArgumentParser]"  # argparse has no public name for it


def add(
    commands: "Commands",
    name: str,
    make: Callable[[Namespace], Page],
    summary: str,
    form: str | None = "table",
    description: str | None = None,
) -> ArgumentParser:
    """Add a command whose answer is `make`; `form` is its default format (None: files)."""
    command = commands.add_parser(name, help=summary, description=description or summary, epilog=NAMES)
    command.add_argument("--format", choices=FORMATS, default=form, help=f"format (default: {form or 'all files'})")
    command.add_argument(
        "--runs", type=Path, default=ROOT, metavar="DIR", help="folder of the saved runs (default: results/runs)"
    )
    command.set_defaults(make=make, out=None)
    return command


def add_runs(command: ArgumentParser, default: str) -> None:
    """Add the names of any number of runs."""
    command.add_argument("run", nargs="*", metavar="RUN", help=f"default: {default}")


def add_out(command: ArgumentParser, default: str) -> None:
    """Add where the answer is written."""
    command.add_argument("--out", metavar="FILE", help=f"write to FILE, - for stdout (default: {default})")


def add_filters(command: ArgumentParser) -> None:
    """Add an option for each part of a case: which values to show."""
    for name in CASE:
        command.add_argument(
            f"--{name}", type=lambda names: names.split(","), metavar="A,B", help=f"only these: {name}"
        )


def filters(given: Namespace) -> dict[str, list[str] | None]:
    """The values that `add_filters` has read, by part of a case."""
    return {name: getattr(given, name) for name in CASE}
