"""The commands `fit`, `gallery` and `list`: one descent as a tutorial shows it, plots of all, and what there is."""

import argparse
import difflib
import io
import os
import shlex
import sys
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import NoReturn

try:
    import numpy as np

    from benchmarks.campaign import options
    from benchmarks.problems import catalogue
    from benchmarks.tutorial import fit, fit_output, fit_ranking, gallery, listing
    from impls.interface import Unsupported
except ModuleNotFoundError as error:  # a fresh clone, before anything was installed
    print(f"error: needs {error.name}: pip install -c constraints.txt -e '.[data,report]'", file=sys.stderr)
    raise SystemExit(2) from None

COMMANDS = ("fit", "gallery", "list")
SHARED_OPTIONS = ("--target", "--sep", "--decimal", "--drop", "--encoding", "--lr")  # of `fit` and `pytest benchmarks`


class Parser(argparse.ArgumentParser):
    """An argument parser that reports an error in one line."""

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"error: {message}\n")


def main(argv: Sequence[str] | None = None) -> int:
    """Return 0 if all is right, 1 if a descent differs from the reference, 2 after an error, 130 after Ctrl-C."""
    words = sys.argv[1:] if argv is None else argv
    if words[:1] == ["ranks"]:
        _parser().error("`ranks` is now an option: pytest benchmarks --hosts THIS,OTHER --impl torch_ddp ...")
    if words and not words[0].startswith("-") and words[0] not in COMMANDS:
        _parser().error(f"no command {words[0]!r}; did you mean: {_meant(words)}")
    args = _parser().parse_args(_joined(words))
    if sys.stdout is None:
        print("error: stdout is closed; give it a file or a terminal", file=sys.stderr)
        return 2
    for stream in (sys.stdout, sys.stderr):  # a name may hold characters that the output's encoding lacks
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    try:
        status = int(args.command(args))
        sys.stdout.flush()
        return status
    except BrokenPipeError:  # the reader has ended, as `head` does: no message, and no second flush at exit
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except (Unsupported, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except ModuleNotFoundError as error:
        print(f"error: needs {error.name}: pip install {error.name}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130


def _meant(words: Sequence[str]) -> str:
    """Return the command that an unknown first word may stand for: `fit` for a problem, else the nearest or all."""
    try:
        catalogue.parse(words[0])
    except ValueError:
        return f"python -m benchmarks {' or '.join(difflib.get_close_matches(words[0], COMMANDS, n=1) or COMMANDS)}"
    return f"python -m benchmarks {shlex.join(['fit', *words])}"


def _fit(args: argparse.Namespace) -> int:
    try:
        request = fit.read_request(args)
    except ValueError as error:
        raise Unsupported(str(error)) from error
    with np.errstate(over="ignore", invalid="ignore"):  # a wrong implementation may diverge
        if len(request.impls) > 1:
            return 0 if _print_sections(fit_ranking.sections(request)) else 1
        with fit.open_fit(request, fit_output.shown(request.problem.steps, args.every)) as descent:
            right = _print_sections(fit_output.sections(descent, args.every))
            for path in fit.draw_plots(descent, args.plot, args.animate):
                print(f"written: {path}")
    return 0 if right else 1


def _print_sections(sections: Iterable[fit.Section], end: str = "\n\n") -> bool:
    """Print each section once it is known. Return whether all agree with the reference."""
    right = True
    for lines, agrees in sections:
        print(*lines, sep="\n", end=end if lines else "", flush=True)
        right &= agrees
    return right


def _gallery(args: argparse.Namespace) -> int:
    names = args.impl or options.implementations(None, Path.cwd())
    return 0 if _print_sections(gallery.sections(names, args.out, args.problem), end="\n") else 1


def _list(args: argparse.Namespace) -> int:
    print(*listing.lines(), sep="\n")
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = Parser(prog="python -m benchmarks", description=__doc__)
    commands = parser.add_subparsers(required=True, metavar=" or ".join(COMMANDS))
    fit_parser = commands.add_parser("fit", help="one descent as a tutorial shows it", description=fit_output.__doc__)
    fit_parser.set_defaults(command=_fit)
    add = fit_parser.add_argument
    add("problem", metavar="PROBLEM", help="line, crops, crops@5 (mini-batches), scalar, ... or path.csv")
    about = "implementation; several or `all`, which takes minutes, are ranked (default: %(default)s)"
    add("--impl", default="numpy_manual", metavar="A,B,PATH.py", help=about)
    for option in options.OPTIONS:
        if option.name in SHARED_OPTIONS:
            add(option.name, help=option.help, **option.settings)
    add("--no-names", "--no-header", action="store_true", help="the table has no line of names: columns are 1, 2, ...")
    add("--steps", type=_from(1, options.MAX_STEPS), metavar="N", help="updates (default: the problem's)")
    add("--seed", type=_from(0), default=0, metavar="N", help="seed of the data (default: 0)")
    add(
        "--dtype",
        choices=["float32", "float64"],
        default=fit.DEFAULTS["dtype"],
        help="dtype of data and weights (default: %(default)s)",
    )
    add(
        "--device",
        choices=["cpu", "gpu"],
        default=fit.DEFAULTS["device"],
        help="device that runs the descent (default: %(default)s)",
    )
    add("--every", type=_from(1), metavar="N", help="show the loss every N updates (default: ten times)")
    add(
        "--start",
        type=_numbers,
        metavar="A,B,...",
        help="weights to start from, row by row (default: the problem's own)",
    )
    add("--plot", type=Path, metavar="FILE", help="file for a plot of the fit: .png, .svg or .pdf")
    add("--animate", type=Path, metavar="FILE", help="file for an animation of the descent: .gif")
    gallery_parser = commands.add_parser(
        "gallery", help="plot the tutorials' descents by every implementation", description=gallery.__doc__
    )
    gallery_parser.set_defaults(command=_gallery)
    add = gallery_parser.add_argument
    about = "line or crops, to draw only this one"
    add("problem", nargs="?", choices=fit.GALLERY_PROBLEMS, metavar="PROBLEM", help=about)
    add("--impl", type=_implementations, metavar="A,B,PATH.py", help="implementations (default: all)")
    add(
        "--out", type=Path, default=Path("gallery"), metavar="DIR", help="folder for the plots (default: ./%(default)s)"
    )
    list_parser = commands.add_parser("list", help="the implementations and the problems", description=listing.__doc__)
    list_parser.set_defaults(command=_list)
    return parser


def _joined(argv: Sequence[str]) -> list[str]:
    """Write `--start -1,1` as `--start=-1,1`: argparse takes a word that begins with a minus for an option."""
    words = iter(argv)
    return [f"--start={next(words, '')}" if word == "--start" else word for word in words]


def _from(low: int, high: int | None = None) -> Callable[[str], int]:
    def parse(text: str) -> int:
        if not text.isdecimal() or int(text) < low or (high is not None and int(text) > high):
            span = f"from {low}" if high is None else f"from {low} to {high:,}"
            raise argparse.ArgumentTypeError(f"must be a whole number {span}, not {text!r}")
        return int(text)

    return parse


def _numbers(text: str) -> list[float]:
    try:
        return [float(word) for word in text.split(",")]
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"must be numbers with commas between them, not {text!r}") from error


def _implementations(text: str) -> list[str]:
    try:
        return options.implementations(text, Path.cwd())
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from error


if __name__ == "__main__":
    sys.exit(main())
