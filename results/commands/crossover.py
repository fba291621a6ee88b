"""Find the number of rows from which B is faster than A. The search is `results/page/crossover.py`."""

from argparse import Namespace
from pathlib import Path

from results import options
from results.commands.compare import SETTING_OPTIONS, check_latest, newest_run, values_of
from results.output import Page
from results.page.crossover import crossover
from results.stats.pairing import AXIS_VALUES, DECLARED_AXIS, Selection, sides_along
from results.store.reading import Run, RunError, require_own
from results.store.runs import find_all

SIZES = "100x10,10000x10,1000000x10"  # of a suggested run


def _crossover(args: Namespace) -> Page:
    if not args.b and not args.over:
        raise RunError(f"name two implementations: {args.a} B; or --over device, for {args.a} on two devices")
    if not args.over:
        options.check_two_names(args.a, args.b)
    a, b, over = args.a, args.b or args.a, args.over
    if over not in SETTING_OPTIONS and args.run in ([], ["latest"]):
        _check_latest(sides_along(a, b, over), args.runs)
    runs = find_all(args.run, args.runs)
    require_own(*runs)
    if over in SETTING_OPTIONS:
        runs = [run for run in runs if values_of(run, over)] or runs[:1]
        (a, b), over = _sides_of_run(a, b, over, runs[0]), ""
    return crossover(runs, a, b, args.features, over=over, job_steps=args.job_steps)


def _sides_of_run(a: str, b: str, over: str, run: Run) -> tuple[str, str]:
    """Return A and B with the two values of a setting in a run, as `jax_scan@threads=1`. over: one of SETTING_OPTIONS.

    Raises RunError unless the run has two values, or if A or B names one.
    """
    if "@" in a + b:
        raise RunError(f"compare along one axis at a time: leave --over {over} out, or the @ of {a} and {b}")
    impls = set(run.rows["impl"].dropna())
    values = [value for value in values_of(run, over) if {f"{a}@{value}", f"{b}@{value}"} & impls]
    if len(values) < 2:
        names = ",".join(dict.fromkeys([a, b]))
        command = f"pytest benchmarks --impl {names} {SETTING_OPTIONS[over]} --problem {SIZES}"
        raise RunError(f"{run.label} has no two values of {over} of {a}; name a run that has: --run RUN, or {command}")
    if len(values) > 2:
        sides = ", ".join(f"{a}@{value}" for value in values)
        raise RunError(f"{run.label} has {len(values)} values of {over}; name two in place of --over: {sides}")
    return f"{a}@{values[0]}", f"{b}@{values[1]}"


def _check_latest(sides: tuple[Selection, Selection], root: Path) -> None:
    """Raise RunError if your newest run lacks a side. Suggest the run with the most sizes of both."""
    names = [DECLARED_AXIS.sub("", side.impl) for side in sides]
    command = f"pytest benchmarks --impl {','.join(dict.fromkeys(names))} --problem {SIZES}"
    require_own(*newest_run(root))
    settings = [match[0][1:].split("=") for side in sides if (match := DECLARED_AXIS.search(side.impl))]
    if len(settings) == 2:
        command += f" --{settings[0][0]} {','.join(value for _, value in settings)}"
    if axis := sides[0].axis:
        command += f" --{axis} {','.join(side.value for side in sides)}"
    check_latest(sides, root, lambda run: _count_sizes(run, sides), command)


def _count_sizes(run: Run, sides: tuple[Selection, Selection]) -> int:
    """Return the largest number of n at which both sides were measured with all else equal."""
    key = [name for name in ("d", "k", "dtype", "device") if name != sides[0].axis]
    rows = (side.rows(run) if side.axis else run.rows[run.rows["impl"] == side.impl] for side in sides)
    first, second = (table[[*key, "n"]].drop_duplicates() for table in rows)
    return max(first.merge(second)[key].value_counts(), default=0)


def add_commands(commands: options.Commands) -> None:
    summary = "find the number of rows from which B is faster than A; also called versus"
    command = options.add(commands, "crossover", _crossover, summary, aliases=["versus"])
    command.add_argument("a", metavar="A", help="an implementation, also of one device or dtype: jax_scan@cpu")
    command.add_argument("b", nargs="?", metavar="B", help="another one: jax_scan@gpu (default, with --over: A)")
    command.add_argument(
        "--over",
        choices=[*dict.fromkeys(AXIS_VALUES.values()), *SETTING_OPTIONS],
        default="",
        help="compare A on cpu or in float32 with B on gpu or in float64; or A with B under the two threads, precisions"
        " or environments of a run",
    )
    options.add_job_steps(command)
    command.add_argument("--features", type=options.positive, metavar="D", help="show only this number of features")
    command.add_argument("--run", nargs="+", default=[], help="runs to search, each separately (default: latest)")
