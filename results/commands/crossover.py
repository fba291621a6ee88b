"""Find the number of rows from which B is faster than A. The search is `results/page/crossover.py`."""

from argparse import Namespace
from pathlib import Path

from results import options
from results.commands.compare import check_latest
from results.output import Page
from results.page.crossover import crossover
from results.stats.pairing import VALUES, Selection, sides_along
from results.store.reading import Run, RunError, require_own
from results.store.runs import find, find_all

SIZES = "100x10,10000x10,1000000x10"  # of a run that is suggested


def _crossover(args: Namespace) -> Page:
    if not args.b and not args.over:
        raise RunError(f"name two implementations: {args.a} B; or --over device, for {args.a} on two devices")
    if not args.over:
        options.check_two_names(args.a, args.b)
    b = args.b or args.a
    if args.run in ([], ["latest"]):
        _check_latest(sides_along(args.a, b, args.over), args.runs)
    runs = find_all(args.run, args.runs)
    require_own(*runs)
    return crossover(runs, args.a, b, args.features, over=args.over, job_steps=args.job_steps)


def _check_latest(sides: tuple[Selection, Selection], root: Path) -> None:
    """Raise RunError if your newest run lacks a side. Suggest the run with the most sizes of both."""
    command = f"pytest benchmarks --impl {','.join(dict.fromkeys(side.impl for side in sides))} --problem {SIZES}"
    try:
        newest = [find("latest", root)]
    except RunError:  # no runs here
        newest = []
    require_own(*newest)
    if axis := sides[0].axis:
        command += f" --{axis} {','.join(side.value for side in sides)}"
    check_latest(sides, root, lambda run: _count_sizes(run, sides), command)


def _count_sizes(run: Run, sides: tuple[Selection, Selection]) -> int:
    """Return the most rows n of problems that both sides have, otherwise alike."""
    key = [name for name in ("d", "k", "dtype", "device") if name != sides[0].axis]
    rows = (side.rows(run) if side.axis else run.rows[run.rows["impl"] == side.impl] for side in sides)
    first, second = (part[[*key, "n"]].drop_duplicates() for part in rows)
    return max(first.merge(second)[key].value_counts(), default=0)


def add_commands(commands: options.Commands) -> None:
    summary = "find the number of rows from which B is faster than A; also called versus"
    command = options.add(commands, "crossover", _crossover, summary, aliases=["versus"])
    command.add_argument("a", metavar="A", help="an implementation, also of one device or dtype: jax_scan@cpu")
    command.add_argument("b", nargs="?", metavar="B", help="another one: jax_scan@gpu (default, with --over: A)")
    command.add_argument(
        "--over",
        choices=list(dict.fromkeys(VALUES.values())),
        default="",
        help="compare A on cpu or in float32 with B on gpu or in float64",
    )
    options.add_job_steps(command)
    command.add_argument("--features", type=options.positive, metavar="D", help="show only this number of features")
    command.add_argument("--run", nargs="+", default=[], help="runs to search, each separately (default: latest)")
