"""What each command of `python -m results` does: from its options to a page."""

import sys
from argparse import Namespace
from pathlib import Path

import pandas as pd

from results import gate
from results.acceptance import acceptance
from results.cases import rounds
from results.ci import annotations, junit
from results.compare import compare_implementations, compare_runs
from results.crossover import crossover
from results.format import Page, Section, markdown, rows_of
from results.history import history
from results.limits import limits
from results.load import files, find, find_all, join, places, read_all
from results.noise import noise
from results.read import CASE, RunError
from results.readme import filled
from results.report import report
from results.scaling import scaling
from results.show import list_runs, show
from results.thresholds import thresholds
from results.timeline import draw
from results.verify import verify
from results.whole import put


def make_list(options: Namespace) -> Page:
    return list_runs(options.runs)


def make_show(options: Namespace) -> Page:
    return show(find(options.run, options.runs), {name: getattr(options, name) for name in CASE})


def make_compare(options: Namespace) -> Page:
    """Implementations if a run is given or the latest knows one of the two names, else runs."""
    a, b, root = options.a, options.b, options.runs
    if options.run or {a, b} & _latest_implementations(root):
        return compare_implementations(find_all(options.run, root), a, b, options.force)
    return compare_runs(find(a, root), find(b, root), options.baseline, options.force)


def _latest_implementations(root: Path) -> set[str]:
    try:
        return set(find("latest", root).rows["impl"].dropna())
    except RunError:  # no runs here: A and B may still be paths
        return set()


def make_noise(options: Namespace) -> Page:
    return noise(find(options.run, options.runs))


def make_gate(options: Namespace) -> Page:
    """Judge NEW against BASE; the annotations go to stderr, which GitHub reads too: stdout is the page's."""
    allowed = thresholds(options.slower, options.thresholds)
    page = gate.gate(find(options.base, options.runs), find(options.new, options.runs), allowed)
    if options.junit:
        put(options.junit, junit(page))
    for line in annotations(page) if options.github else []:
        sys.stderr.write(f"{line}\n")
    return page


def make_crossover(options: Namespace) -> Page:
    return crossover(find_all(options.run, options.runs), options.a, options.b)


def make_limits(options: Namespace) -> Page:
    return limits(find(options.run, options.runs))


def make_scaling(options: Namespace) -> Page:
    return scaling(find(options.run, options.runs))


def make_history(options: Namespace) -> Page:
    """Every run that can be read, unless some are named."""
    root = options.runs
    runs, faults = (find_all(options.run, root), {}) if options.run else read_all(files(root), root)
    if not runs:
        raise RunError(f"no run can be read: {' | '.join(faults.values())}")
    page = history(runs, {name: getattr(options, name) for name in CASE}, faults)
    if options.plot:
        draw(page.data, options.plot)
    return page


def make_acceptance(options: Namespace) -> Page:
    return acceptance(find_all(options.run, options.runs))


def make_report(options: Namespace) -> Page:
    """The report as it is written, or, without a format, its files. Raises RunError where a package is missing."""
    runs = find_all(options.run, options.runs)
    page, folder = report(runs, options.baseline), Path(options.out or options.runs.parent / "report")
    if options.format is not None:
        return page
    if options.out == "-":
        raise RunError("the report is a folder of files: --out DIR, or --format md for stdout")
    try:
        from results.publish import publish
    except ModuleNotFoundError as error:
        raise RunError(f"the page needs {error.name}: pip install 'descentbench[report]'; or --format md") from error
    files = publish(runs, options.baseline, markdown(page.sections), folder)
    return Page(
        pd.DataFrame({"file": files}), [Section(text=f"wrote {files[0]} and, beside it, {len(files) - 1} files")]
    )


def make_export(options: Namespace) -> Page:
    runs = find_all(options.run, options.runs)
    frame = join([rounds(run) if options.rounds else run.rows for run in runs])
    return Page(frame, [Section("Rounds" if options.rounds else "Rows", table=rows_of(frame))])


def make_verify(options: Namespace) -> Page:
    return verify(places(options.run, options.runs), options.runs)


def make_readme(options: Namespace) -> Page:
    """Fill the tables of a Markdown file. Raises RunError where they are stale and only to be checked."""
    text = options.file.read_text(encoding="utf-8")
    new = filled(text, options.file.parent)
    if options.check and new != text:
        raise RunError(f"{options.file} is stale: make readme")
    put(options.file, new)
    return Page(pd.DataFrame({"file": [str(options.file)]}), [Section(text=f"{options.file} is up to date")])
