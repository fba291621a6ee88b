"""Runs as one tidy table, for other programs."""

from argparse import Namespace

from results.commands import options
from results.output import Page, Section, rows_of
from results.store.outcomes import rounds
from results.store.runs import find_all, join


def add_commands(commands: options.Commands) -> None:
    """Add `export` to the command line."""
    command = options.add(
        commands, "export", export, "export runs as one tidy table: a row per case and block", form="csv"
    )
    command.add_argument("--rounds", action="store_true", help="a row per raw round instead")
    options.add_runs(command, "latest")
    options.add_out(command, "stdout")


def export(given: Namespace) -> Page:
    """The rows of the runs, or their rounds."""
    runs = find_all(given.run, given.runs)
    frame = join([rounds(run) if given.rounds else run.rows for run in runs])
    return Page(frame, [Section("Rounds" if given.rounds else "Rows", table=rows_of(frame))])
