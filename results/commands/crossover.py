"""Find the number of rows from which implementation B is faster than A."""

from results.commands import options
from results.stats.crossover import crossover
from results.store.runs import find_all


def add_commands(commands: options.Commands) -> None:
    command = options.add(
        commands,
        "crossover",
        lambda args: crossover(find_all(args.run, args.runs), args.a, args.b),
        "find the number of rows from which B is faster than A",
    )
    command.add_argument("a", metavar="A", help="an implementation")
    command.add_argument("b", metavar="B", help="another implementation")
    command.add_argument("--run", nargs="+", default=[], help="runs to search, each separately (default: latest)")
