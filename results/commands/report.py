"""The report of runs: a page with charts, the same in Markdown, and the charts as files."""

from argparse import Namespace
from pathlib import Path

import pandas as pd

from results.commands import options
from results.output import Page, Section, markdown
from results.page.report import report
from results.store.reading import RunError
from results.store.runs import find_all


def add_commands(commands: options.Commands) -> None:
    """Add `report` to the command line."""
    command = options.add(
        commands, "report", _report, "write a report of runs: a page with charts, Markdown, the charts", form=None
    )
    command.add_argument("--baseline", default=options.BASELINE, metavar="IMPL", help="speed-ups over it (%(default)s)")
    options.add_runs(command, "latest")
    options.add_out(command, "without --format the folder results/report")


def _report(given: Namespace) -> Page:
    """Return the report in the format asked for, or write its files. Raises RunError where a package is missing."""
    runs = find_all(given.run, given.runs)
    page, folder = report(runs, given.baseline), Path(given.out or given.runs.parent / "report")
    if given.format is not None:
        return page
    if given.out == "-":
        raise RunError("the report is a folder of files: --out DIR, or --format md for stdout")
    try:
        from results.page.files import publish
    except ModuleNotFoundError as error:
        raise RunError(f"the page needs {error.name}: pip install 'descentbench[report]'; or --format md") from error
    files = publish(runs, given.baseline, markdown(page.sections), folder)
    return Page(
        pd.DataFrame({"file": files}), [Section(text=f"wrote {files[0]} and, beside it, {len(files) - 1} files")]
    )
