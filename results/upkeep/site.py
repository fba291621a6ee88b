"""Write a static site: an index of the machines, a page for each, and a page that compares them."""

import re
from argparse import Namespace
from datetime import datetime
from pathlib import Path

import pandas as pd

from results import options
from results.commands.report import default_baseline
from results.output import Page, Section, counted
from results.stats.quiet_or_busy import UNKNOWN, judge_machine
from results.store.atomic import atomic_write
from results.store.columns import CASE
from results.store.reading import Run, RunError, machine_words
from results.store.runs import find_all

MAX_RUNS = 6  # the newest, on the page of a machine


def site(runs: list[Run], folder: Path) -> Page:
    """Write index.html, machines/SLUG.html for each machine, and with several machines compare.html.

    The answer of a machine comes from its run with the most cases; a run with known noise takes precedence. The
    comparison takes from each machine the run with the most cases in common with the best run of all.
    """
    from results.page.data import make_payload  # imported here: of the extra `report`
    from results.page.page import answer_lines, content_security_policy, render_page, style, template

    machines: dict[str, list[Run]] = {}
    for run in sorted(runs, key=lambda run: (run.when, run.label)):
        machines.setdefault(run.machine, []).append(run)
    answers = [max(group, key=_merit) for group in machines.values()]
    files = {slug: f"machines/{number}-{_plain(slug)}.html" for number, slug in enumerate(machines, 1)}
    pages = {file: machines[slug][-MAX_RUNS:] for slug, file in files.items()}
    if len(machines) > 1:
        fullest = max(answers, key=_merit)
        pages["compare.html"] = [
            max(group, key=lambda run: (len(_cases(run) & _cases(fullest)), *_merit(run)))
            for group in machines.values()
        ]
    (folder / "machines").mkdir(parents=True, exist_ok=True)
    for file, page_runs in pages.items():
        baseline = default_baseline(page_runs)
        atomic_write(folder / file, render_page(page_runs, make_payload(page_runs, baseline), baseline))
    entries = [
        {"slug": run.machine, "file": files[run.machine], "title": machine_words(run), "date": run.date}
        | {"runs": len(machines[run.machine]), "label": run.label, "lines": answer_lines(run, default_baseline([run]))}
        for run in answers
    ]
    head = {"title": "machines", "style": style(), "policy": content_security_policy([], style())}
    index = template("index.html").render(machines=entries, compared=len(machines) > 1, **head)
    atomic_write(folder / "index.html", index)
    text = f"wrote {folder / 'index.html'} and {counted(len(pages), 'page')} beside it"
    return Page(pd.DataFrame({"file": ["index.html", *pages]}), [Section(text=text)])


def _merit(run: Run) -> tuple[bool, int, datetime]:
    """Return a sort key: whether the noise of a run is known, its number of cases, its date."""
    return judge_machine(run).word != UNKNOWN, len(_cases(run)), run.when


def _cases(run: Run) -> set[tuple[str, ...]]:
    return set(run.rows[CASE].dropna().itertuples(index=False, name=None))


def _plain(slug: str) -> str:
    """Return a slug that is safe in a file's name: it comes from untrusted input."""
    return re.sub(r"[^a-z0-9.-]+", "-", slug.lower())[:60]


def _site(args: Namespace) -> Page:
    runs = [run for run in find_all(args.run or ["all"], args.runs) if not run.is_foreign]
    if not runs:
        raise RunError(f"no runs of this suite in {args.runs}; make one with: make bench")
    return site(runs, Path(args.folder))


def add_commands(commands: options.Commands) -> None:
    summary = "write a site: the machines, a page for each, and their comparison"
    command = options.add(commands, "site", _site, summary, form=None)
    options.add_runs(command, "all")
    help_text = "the folder to write to (default: %(default)s)"
    command.add_argument("--out", dest="folder", default="build/site", metavar="DIR", help=help_text)
