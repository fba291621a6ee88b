"""Read, compare and report saved runs. Errors are printed on one line, and the exit status is 2."""

import contextlib
import io
import os
import sys
from argparse import Namespace
from collections.abc import Sequence
from pathlib import Path

NEEDS = "needs {}: pip install numpy pandas psutil rich scipy"
try:
    import numpy  # noqa: F401 (before pandas, whose error does not name it)

    from results.commands import (
        ask,
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
    from results.options import NAMES_HELP, Parser
    from results.output import Page, words, write
    from results.store.atomic import atomic_open
    from results.store.reading import RunError
    from results.upkeep import acceptance, docs, site
except ModuleNotFoundError as error:  # a fresh clone, before anything was installed
    print("results:", NEEDS.format(error.name), file=sys.stderr)
    raise SystemExit(2) from None

COMMANDS = (
    *(show, compare, noise, gate, ask, crossover, limits, history),
    *(report, docs, acceptance, verify, scaling, export, site),
)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line. Return the exit status: that of the page, or 2 after an error."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")
    if sys.stderr is None:  # it was closed
        sys.stderr = open(os.devnull, "w")  # noqa: SIM115, for as long as the process
    if not (sys.argv[1:] if arguments is None else arguments):
        parser().print_help(sys.stderr)
        return 2
    args, code = parser().parse_args(arguments), 0
    try:
        page = args.make(args)
        code = page.code
        _write(page, args)
        if sys.stdout is not None:
            sys.stdout.flush()
    except BrokenPipeError:  # a pipe such as `head` was closed; avoid a second error at the flush on exit
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except KeyboardInterrupt:
        return 130  # 128 + SIGINT, by convention
    except (RunError, OSError, ModuleNotFoundError) as error:
        with contextlib.suppress(OSError):  # stderr is on a full disk too
            print("results:", words(_message(error)), file=sys.stderr)
        return 2
    return code


def _message(error: Exception) -> str:
    """Return the message of an error: what is wrong, where, and the remedy."""
    if isinstance(error, ModuleNotFoundError):
        is_required = str(error.name).partition(".")[0] in NEEDS.split()
        return NEEDS.format(error.name) if is_required else f"needs {error.name}: pip install -e '.[report]'"
    if isinstance(error, OSError) and error.strerror:
        return f"{error.filename or 'cannot write'}: {error.strerror}"
    return str(error)


def _write(page: Page, args: Namespace) -> None:
    """Write the page to --out or stdout."""
    if args.out is None or args.out == "-" or args.format is None:
        if sys.stdout is None:
            raise RunError("stdout is closed; write to a file with --out FILE, where the command has it")
        return write(page, args.format or "table", sys.stdout, wide=args.wide)
    with atomic_open(Path(args.out)) as file, io.TextIOWrapper(file, encoding="utf-8", newline="") as stream:
        write(page, args.format, stream, wide=args.wide)
    print(f"wrote {args.out}", file=sys.stderr)


def parser() -> Parser:
    """Return the command line with the commands of each module of COMMANDS."""
    top = Parser(prog="python -m results", description=__doc__, epilog=NAMES_HELP)
    commands = top.add_subparsers(required=True, metavar="COMMAND")
    for module in COMMANDS:
        module.add_commands(commands)
    top.commands = [*commands.choices]
    return top


if __name__ == "__main__":
    sys.exit(main())
