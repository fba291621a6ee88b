"""Report runs: a page with charts, the same in Markdown, and the charts as files."""

import sys
from argparse import Namespace
from pathlib import Path

import pandas as pd

from results import options
from results.output import Page, Section, counted, markdown
from results.page.report import report
from results.stats.pairing import without_duplicates
from results.store.reading import Run, RunError, mapping, require_own
from results.store.runs import find_all


def add_commands(commands: options.Commands) -> None:
    summary = "write a report of runs: a page with charts, Markdown, the charts"
    command = options.add(commands, "report", _report, summary, form=None)
    help_text = f"show speed-ups over it (default: {options.BASELINE}, or the first)"
    command.add_argument("--baseline", metavar="IMPL", help=help_text)
    options.add_runs(command, "latest")
    help_text = "the folder to write to (default: results/report); with --format the file (default: stdout)"
    command.add_argument("--out", metavar="PATH", help=help_text)


def default_baseline(runs: list[Run]) -> str:
    """Return the usual baseline if a run has it, in its first environment, else the first implementation by name."""
    impls = sorted({name for run in runs for name in without_duplicates(run.rows)["impl"].dropna()})
    order = [f"{options.BASELINE}@{label}" for run in runs for label in mapping(run.campaign.get("environments"))]
    return next((name for name in [options.BASELINE, *order, *impls] if name in impls), options.BASELINE)


def _report(args: Namespace) -> Page:
    """Return the report if --format is given, else write its files."""
    _show_step("reading the runs")
    runs = find_all(args.run, args.runs)
    require_own(*runs)
    baseline = args.baseline or default_baseline(runs)
    _show_step(f"comparing all with {baseline} in {counted(len(runs), 'run')}")
    page = report(runs, baseline)
    if args.format is not None:
        return page
    if args.out in ("-", ""):
        raise RunError("the report is a folder of files: use --out DIR, or --format md for stdout")
    try:
        from results.page.page import publish
    except ModuleNotFoundError as error:
        raise RunError(f"the page needs {error.name}: pip install -e '.[report]', or use --format md") from error
    folder = Path(args.out or args.runs.parent / "report")
    _show_step(f"drawing the page and its charts, in {folder}")
    files, notes = publish(runs, baseline, markdown(page.sections), folder)
    text = f"wrote {files[0]} and, beside it, {counted(len(files) - 1, 'file')}"
    return Page(pd.DataFrame({"file": files}), [Section(text=text, notes=notes)])


def _show_step(step: str) -> None:
    """Write a step to stderr if it is a terminal: a report of many runs takes minutes."""
    if sys.stderr.isatty():
        sys.stderr.write(f"report: {step} ...\n")
        sys.stderr.flush()
