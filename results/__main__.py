"""List, show, compare, gate, report, export, verify the saved runs, and their history. An error is a line, status 2."""

import argparse
import io
import os
import sys
from argparse import Namespace
from collections.abc import Callable, Sequence
from pathlib import Path

from results import commands, gate
from results.compare import BASELINE
from results.format import FORMATS, Page, words, write
from results.load import ROOT
from results.read import CASE, RunError
from results.whole import whole

NAMES = (
    "A RUN is a path, a save name (NNNN_name or name), a number (0003 or 3) or latest; machine/ in front narrows."
    " Where several may be named, all is every one that can be read."
)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; the exit status: what the page says, else 0, or 2 after an error."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")
    options, code = parser().parse_args(arguments), 0
    try:
        page = options.make(options)
        code = page.code
        deliver(page, options)
        sys.stdout.flush()
    except BrokenPipeError:  # the reader has left, as `head` does: nothing to say, and no second flush at exit
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except KeyboardInterrupt:
        return 130  # as shells say it
    except (RunError, OSError) as error:
        print("results:", words(str(error)), file=sys.stderr)
        return 2
    return code


def deliver(page: Page, options: Namespace) -> None:
    """Write the page where it was asked for."""
    if options.out is None or options.out == "-" or options.format is None:
        return write(page, options.format or "table", sys.stdout)
    with whole(Path(options.out)) as file, io.TextIOWrapper(file, encoding="utf-8", newline="") as stream:
        write(page, options.format, stream)
    print(f"wrote {options.out}", file=sys.stderr)


def parser() -> argparse.ArgumentParser:
    """The command line."""
    top = argparse.ArgumentParser(prog="python -m results", description=__doc__, epilog=NAMES)
    names = top.add_subparsers(required=True, metavar="COMMAND")

    def command(name: str, make: Callable[[Namespace], Page], form: str | None, text: str) -> argparse.ArgumentParser:
        added = names.add_parser(name, help=text, description=text, epilog=NAMES)
        added.add_argument(
            "--format", choices=FORMATS, default=form, help=f"how to write it (default: {form or 'all files'})"
        )
        added.add_argument(
            "--runs", type=Path, default=ROOT, metavar="DIR", help="where they are (default: results/runs)"
        )
        added.set_defaults(make=make, out=None)
        return added

    command("list", commands.make_list, "table", "a line for each saved run, also for files that cannot be read")
    _show_options(
        command("show", commands.make_show, "table", "one run: machine, times, errors, what is missing and why")
    )
    compare = command(
        "compare", commands.make_compare, "table", "two runs, or two implementations of one run, case by case"
    )
    compare.add_argument("a", metavar="A", help="a run, or an implementation: what B is measured against")
    compare.add_argument("b", metavar="B", help="the other run or implementation")
    compare.add_argument(
        "--run", nargs="+", default=[], metavar="RUN", help="what A and B ran in, a run per machine (default: latest)"
    )
    compare.add_argument(
        "--baseline", default=BASELINE, metavar="IMPL", help="between machines, ratios are over it (%(default)s)"
    )
    compare.add_argument("--force", action="store_true", help="show what is not comparable too, by itself, unjudged")
    noisy = command(
        "noise", commands.make_noise, "table", "how often a run's verdicts err, by what ran twice, and what to do"
    )
    noisy.add_argument("run", metavar="RUN", help="which run")
    _gate_options(
        command("gate", commands.make_gate, "table", "for CI: is run NEW slower than run BASE by more than so much?")
    )
    crossing = command("crossover", commands.make_crossover, "table", "at what n implementation B overtakes A")
    crossing.add_argument("a", metavar="A", help="an implementation")
    crossing.add_argument("b", metavar="B", help="another")
    crossing.add_argument("--run", nargs="+", default=[], help="runs to look in, each for itself (default: latest)")
    ceiling = command(
        "limits", commands.make_limits, "table", "what the machine could do, how near a run comes, what a layer costs"
    )
    ceiling.add_argument("run", metavar="RUN", nargs="?", default="latest", help="which run (default: latest)")
    past = command(
        "history", commands.make_history, "table", "each case's time over dates and versions, and where it changed"
    )
    _filters(past)
    past.add_argument("run", nargs="*", metavar="RUN", help="default: all that can be read")
    past.add_argument("--plot", type=Path, metavar="FILE", help="draw it as well: FILE.svg, FILE.png or FILE.html")
    reported = command(
        "report", commands.make_report, None, "a report of runs: a page with charts, the same in Markdown, the charts"
    )
    reported.add_argument("--baseline", default=BASELINE, metavar="IMPL", help="speed-ups over it (%(default)s)")
    readme = command(
        "readme", commands.make_readme, "table", "fill the tables of a Markdown file from the runs it names"
    )
    readme.add_argument("file", type=Path, metavar="FILE", help="README.md")
    readme.add_argument("--check", action="store_true", help="change nothing; exit 2 if the file is stale")
    accepted = command(
        "acceptance", commands.make_acceptance, "table", "do the verdicts hold? what `make acceptance` ends with"
    )
    sealed = command(
        "verify", commands.make_verify, "table", "which files match their digests; exit status 1 if any does not"
    )
    sealed.add_argument("run", nargs="*", metavar="RUN", help="default: all")
    scaled = command("scaling", commands.make_scaling, "table", "how ranks scale, and more would")
    scaled.add_argument("run", metavar="RUN", help="which run")
    exported = command("export", commands.make_export, "csv", "runs as one tidy table: a row per case and block")
    exported.add_argument("--rounds", action="store_true", help="a row per raw round instead")
    places = {
        reported: "without --format a folder, results/report",
        exported: "stdout",
        accepted: "stdout",
    }
    for added, place in places.items():
        added.add_argument("run", nargs="*", metavar="RUN", help="default: latest")
        added.add_argument("--out", metavar="FILE", help=f"write to FILE, - for stdout (default: {place})")
    return top


def _show_options(added: argparse.ArgumentParser) -> None:
    added.add_argument("run", metavar="RUN", help="which run")
    _filters(added)


def _filters(added: argparse.ArgumentParser) -> None:
    for name in CASE:
        added.add_argument(f"--{name}", type=lambda names: names.split(","), metavar="A,B", help=f"only these: {name}")


def _gate_options(added: argparse.ArgumentParser) -> None:
    added.description = gate.__doc__
    added.add_argument("base", metavar="BASE", help="the run that NEW is measured against")
    added.add_argument("new", metavar="NEW", help="the run that is judged")
    added.add_argument(
        "--slower", metavar="5%", help="how much slower is allowed, 5%% or 0.05 (default: what FILE says)"
    )
    added.add_argument(
        "--thresholds",
        type=Path,
        metavar="FILE",
        help='TOML: slower = "5%%" for all cases, and [[case]] tables of slower and patterns for impl, device, dtype,'
        " problem: the first that matches holds for a case, before --slower",
    )
    added.add_argument("--junit", type=Path, metavar="FILE", help="write JUnit XML as well")
    added.add_argument("--github", action="store_true", help="print GitHub's workflow commands as well, on stderr")


if __name__ == "__main__":
    sys.exit(main())
