"""Export runs as one tidy table for other programs."""

from argparse import Namespace

from results.commands import options
from results.output import Page, Section, rows_of
from results.store.outcomes import rounds
from results.store.runs import find_all, join


def add_commands(commands: options.Commands) -> None:
    command = options.add(
        commands, "export", export, "export runs as one tidy table: a row per case and block", form="csv"
    )
    command.add_argument("--rounds", action="store_true", help="export a row per raw round instead")
    options.add_runs(command, "latest")
    options.add_out(command, "stdout")


def export(args: Namespace) -> Page:
    """Return the rows of the runs, or their rounds."""
    runs = find_all(args.run, args.runs)
    table = join([rounds(run) if args.rounds else run.rows for run in runs])
    return Page(table, [Section("Rounds" if args.rounds else "Rows", table=rows_of(table))])
