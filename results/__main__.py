"""List, show, compare, gate, report, export, verify the saved runs, and their history. An error is a line, status 2."""

import argparse
import io
import os
import sys
from argparse import Namespace
from collections.abc import Sequence
from pathlib import Path

from results.commands import (
    compare,
    crossover,
    export,
    gate,
    history,
    limits,
    noise,
    report,
    scaling,
    show,
    verify,
)
from results.commands.options import NAMES
from results.output import Page, words, write
from results.store.atomic import atomic_open
from results.store.reading import RunError
from results.upkeep import acceptance, docs

COMMANDS = (show, compare, noise, gate, crossover, limits, history, report, docs, acceptance, verify, scaling, export)


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
    with atomic_open(Path(options.out)) as file, io.TextIOWrapper(file, encoding="utf-8", newline="") as stream:
        write(page, options.format, stream)
    print(f"wrote {options.out}", file=sys.stderr)


def parser() -> argparse.ArgumentParser:
    """The command line: each module of COMMANDS adds its own."""
    top = argparse.ArgumentParser(prog="python -m results", description=__doc__, epilog=NAMES)
    commands = top.add_subparsers(required=True, metavar="COMMAND")
    for module in COMMANDS:
        module.add_commands(commands)
    return top


if __name__ == "__main__":
    sys.exit(main())
