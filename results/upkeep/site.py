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

MAX_RUNS = 6  # the newest of a machine that its page holds


def site(runs: list[Run], folder: Path) -> Page:
    """Write index.html, machines/SLUG.html for each machine, and with several machines compare.html.

    A machine's answer is that of its fullest run among those that know their noise. The comparison takes the run of
    each machine that has most cases in common with the fullest of all.
    """
    from results.page.data import make_payload  # imported here: of the extra `report`
    from results.page.page import answer_lines, content_security_policy, render_page, style, template

    machines: dict[str, list[Run]] = {}
    for run in sorted(runs, key=lambda run: (run.when, run.label)):
        machines.setdefault(run.machine, []).append(run)
    answers = [max(of, key=_merit) for of in machines.values()]
    files = {slug: f"machines/{number}-{_plain(slug)}.html" for number, slug in enumerate(machines, 1)}
    pages = {file: machines[slug][-MAX_RUNS:] for slug, file in files.items()}
    if len(machines) > 1:
        fullest = max(answers, key=_merit)
        pages["compare.html"] = [
            max(of, key=lambda run: (len(_cases(run) & _cases(fullest)), *_merit(run))) for of in machines.values()
        ]
    (folder / "machines").mkdir(parents=True, exist_ok=True)
    for file, shown in pages.items():
        baseline = default_baseline(shown)
        atomic_write(folder / file, render_page(shown, make_payload(shown, baseline), baseline))
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
    """Return whether a run knows its noise, how many cases it has, and when it was made."""
    return judge_machine(run).word != UNKNOWN, len(_cases(run)), run.when


def _cases(run: Run) -> set[tuple[str, ...]]:
    return set(run.rows[CASE].dropna().itertuples(index=False, name=None))


def _plain(slug: str) -> str:
    """Return a slug as a part of a file's name: it comes from a file that may be a stranger's."""
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
    about = "the folder to write to (default: %(default)s)"
    command.add_argument("--out", dest="folder", default="build/site", metavar="DIR", help=about)
