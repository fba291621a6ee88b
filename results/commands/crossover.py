"""Find the number of rows from which B is faster than A. The search is `results/page/crossover.py`."""

from argparse import Namespace

from results import options
from results.output import Page
from results.page.crossover import crossover
from results.stats.pairing import VALUES
from results.store.reading import RunError, require_own
from results.store.runs import find_all


def _crossover(args: Namespace) -> Page:
    if not args.b and not args.over:
        raise RunError(f"name two implementations: {args.a} B; or --over device, for {args.a} on two devices")
    if not args.over:
        options.check_two_names(args.a, args.b)
    runs, b = find_all(args.run, args.runs), args.b or args.a
    require_own(*runs)
    return crossover(runs, args.a, b, args.features, over=args.over, job_steps=args.job_steps)


def add_commands(commands: options.Commands) -> None:
    command = options.add(
        commands, "crossover", _crossover, "find the number of rows from which B is faster than A", aliases=["versus"]
    )
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
