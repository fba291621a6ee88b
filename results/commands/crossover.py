"""At which n does implementation B overtake implementation A?"""

from argparse import Namespace

from results.commands import options
from results.output import Page
from results.stats.crossover import crossover
from results.store.runs import find_all


def add_commands(commands: options.Commands) -> None:
    """Add `crossover` to the command line."""
    command = options.add(commands, "crossover", _crossover, "find the number of rows from which B is faster than A")
    command.add_argument("a", metavar="A", help="an implementation")
    command.add_argument("b", metavar="B", help="another implementation")
    command.add_argument("--run", nargs="+", default=[], help="runs to look in, each for itself (default: latest)")


def _crossover(given: Namespace) -> Page:
    return crossover(find_all(given.run, given.runs), given.a, given.b)
