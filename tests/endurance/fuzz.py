"""Mutated result files through load, compare and report: no traceback, no second lost, nothing that comes alive.

python tests/endurance/fuzz.py --files 100000 --out results/fuzz.md: a file that fails is kept in build/fuzz, beside its
seed.
"""

import argparse
import contextlib
import io
import json
import multiprocessing
import os
import platform
import re
import sys
import tempfile
import textwrap
import time
import traceback
import warnings
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from random import Random

sys.path.insert(0, str(Path(__file__).parents[2]))
sys.path.insert(0, str(Path(__file__).parents[1] / "support"))

import pandas as pd
from harmless import alive, browser_is_here, check
from mutations import KINDS, honest, implementations, mutated

from results.commands.compare import compare_implementations, compare_runs
from results.commands.gate import gate, read_thresholds
from results.commands.history import history
from results.commands.limits import limits
from results.commands.noise import noise
from results.commands.scaling import scaling
from results.commands.show import show
from results.output import Page, Section, markdown, write
from results.page.charts import all_charts
from results.page.crossover import crossover
from results.page.data import RUNS_SHOWN, make_payload
from results.page.page import render_page
from results.page.report import report
from results.store.outcomes import rounds
from results.store.reading import Run, RunError
from results.store.runs import ROOT, find, join

KEPT = Path(__file__).parents[2] / "build" / "fuzz"
TOGETHER = 50  # files of a report
PAGE = 20  # each such report is the page as well, which takes as long as all the rest
SLOW = 1.0  # CPU seconds that a file may take: others may have the core for longer


@dataclass
class Told:
    """What came of files of one kind: how many, why not read, the slowest's seconds, and what should not have been."""

    files: int = 0
    readable: int = 0
    slowest: float = 0.0
    refused: Counter[str] = field(default_factory=Counter)
    failed: list[str] = field(default_factory=list)

    def __iadd__(self, other: "Told") -> "Told":
        self.files, self.readable = self.files + other.files, self.readable + other.readable
        self.slowest, self.failed = max(self.slowest, other.slowest), self.failed + other.failed
        self.refused += other.refused
        return self


def batch(seed: int) -> dict[str, Told]:
    """TOGETHER files, of all kinds in turn, each for itself; then a report of those that can be read."""
    warnings.simplefilter("error")
    found, runs = {kind: Told() for kind in KINDS}, dict[Path, tuple[str, Run]]()
    with tempfile.TemporaryDirectory(dir="/dev/shm" if os.path.isdir("/dev/shm") else None) as folder:
        base = Path(folder, "0000_honest.json")
        base.write_text(json.dumps(honest(Random(seed))))
        other = find(str(base), ROOT)
        for number in range(TOGETHER):
            kind = KINDS[(seed * TOGETHER + number) % len(KINDS)]
            path = Path(folder, f"{seed:06}_{number:02}.json")
            path.write_bytes(mutated(Random(f"{seed} {number}"), kind))
            found[kind].files += 1
            if run := _alone(path, other, seed * TOGETHER + number, found[kind]):
                runs[path] = kind, run
        _reported(runs, found, seed)
    return found


def _alone(path: Path, other: Run, number: int, told: Told) -> Run | None:
    """The file, read and compared; again where it took long, for others share the caches."""
    run, took = _tried(path, other, number, told)
    if took > SLOW:
        took = min(took, _tried(path, other, number, Told())[1])
    told.slowest = max(told.slowest, took)
    if took > SLOW:
        _keep(told, path, f"{took:.1f} s")
    return run


def _tried(path: Path, other: Run, number: int, told: Told) -> tuple[Run | None, float]:
    run, begin = None, time.process_time()
    with _noted(told, path):
        run = read(path, told)
        if run:
            compared(run, other, number)
    return run, time.process_time() - begin


@contextlib.contextmanager
def _noted(told: Told, path: Path) -> Iterator[None]:
    """Keep the file that raised what it should not have."""
    try:
        yield
    except Exception as error:
        frames = [frame for frame in traceback.extract_tb(error.__traceback__) if "site-packages" not in frame.filename]
        where = f"{Path(frames[-1].filename).name}:{frames[-1].lineno}"
        _keep(told, path, f"{type(error).__name__} at {where}: {str(error)[:200]}")


def _keep(told: Told, path: Path, why: str) -> None:
    KEPT.mkdir(parents=True, exist_ok=True)
    (KEPT / path.name).write_bytes(path.read_bytes())
    told.failed.append(f"{path.name}: {why}")


def read(path: Path, told: Told) -> Run | None:
    try:
        run = find(str(path), ROOT)
    except RunError as error:
        said = str(error)
        assert said.count("\n") == 0, f"more than a line: {said}"
        why = re.sub(r"(?<![-\w])\d[\dxa-f,]*", "N", said.partition(".json")[2].lstrip(": "))
        told.refused[textwrap.shorten(why, 75, placeholder=" ...")] += 1
        return None
    told.readable += 1
    return run


def compared(run: Run, other: Run, number: int) -> None:
    """The two implementations of the run, or it with an honest one, or that with it; seldom another command."""
    compare = COMPARED[number % len(COMPARED)]
    more = [MORE[number // SELDOM % len(MORE)]] if number % SELDOM == 0 else []
    for ask in (compare, *more):
        with contextlib.suppress(RunError):
            check(markdown(ask(run, other).sections), "md")


Ask = Callable[[Run, Run], Page]
SELDOM = 10  # files, of which one is asked something else as well
COMPARED: list[Ask] = [
    lambda run, _: compare_implementations([run], *implementations()),
    lambda run, other: compare_runs(other, run),
    lambda run, other: compare_runs(run, other, force=True),
]
MORE: list[Ask] = [
    lambda run, _: show(run, {}),
    lambda run, _: noise(run),
    lambda run, _: limits(run),
    lambda run, _: scaling(run),
    lambda run, _: crossover([run], *implementations()),
    lambda run, other: gate(other, run, read_thresholds("5%", None)),
    lambda run, other: gate(run, run, read_thresholds("5%", None)),
    lambda run, other: history([run, other], {}, {}),
    lambda run, _: compare_implementations([run], *implementations(), force=True),
    lambda run, _: Page(rounds(run), []),
]


def _reported(runs: dict[Path, tuple[str, Run]], found: dict[str, Told], seed: int) -> None:
    """A report of all, in all its forms; where it fails, or takes long, of each alone: whose fault is it?"""
    if not runs:
        return
    begin = time.process_time()
    try:
        everything([run for _, run in runs.values()], seed)
        if time.process_time() - begin < SLOW * len(runs):
            return
    except Exception as error:
        whole = f"{type(error).__name__}: {str(error)[:200]}"
    else:
        whole = "it takes long"
    before = sum(len(told.failed) for told in found.values())
    for path, (kind, run) in runs.items():
        begin = time.process_time()
        with _noted(found[kind], path):
            everything([run], seed)
        if time.process_time() - begin > 10 * SLOW:
            _keep(found[kind], path, "the report takes long")
    if before == sum(len(told.failed) for told in found.values()):
        found[KINDS[0]].failed.append(f"batch {seed}: its report fails, and that of no file alone: {whole}")


def everything(runs: list[Run], turn: int) -> None:
    """The report in Markdown, the export as CSV or JSON in turn, seldom the page and a terminal's tables: checked."""
    baseline, _ = implementations()
    try:
        told = report(runs, baseline)
    except RunError:  # none of them knows the baseline
        return
    check(markdown(told.sections), "md")
    form = ("csv", "json")[turn % 2]
    check(written(Page(join([run.rows for run in runs]), []), form), form)
    if turn % PAGE == 0:
        all_charts.cache_clear()
        check(render_page(runs, make_payload(runs, baseline), baseline), "page")
        check(written(told, "table"), "table")


def written(page: Page, form: str) -> str:
    """The page as `python -m results` prints it."""
    stream = io.StringIO()
    write(page, form, stream)
    return stream.getvalue()


# The page in a browser


def pages(folder: Path, count: int) -> list[Path]:
    """Pages of mutated files that can be read, each told of in full; so many files in all."""
    made = []
    baseline, _ = implementations()
    for seed in range(-(-count // RUNS_SHOWN)):
        runs, number = list[Run](), 0
        while len(runs) < RUNS_SHOWN:
            path = folder / f"{seed:03}_{number:03}.json"
            path.write_bytes(mutated(Random(f"page {seed} {number}"), KINDS[(seed + number) % len(KINDS)]))
            run, number = read(path, Told()), number + 1
            runs += [run] if run else []
        made.append(folder / f"{seed}.html")
        made[-1].write_text(render_page(runs, make_payload(runs, baseline), baseline), encoding="utf-8")
    return made


# The table


def sections(found: dict[str, Told], seconds: float, seen: str) -> list[Section]:
    """A row per kind of mutation, all together, and how it was made."""
    rows = [
        {"mutation": kind, "files": f"{told.files:,}", "readable": f"{told.readable:,}"}
        | {
            "refused": f"{told.refused.total():,}",
            "why, most often": "; ".join(why for why, _ in told.refused.most_common(2)) or "-",
        }
        | {"slowest": f"{told.slowest:.2f} s", "failed": str(len(told.failed))}
        for kind, told in found.items()
    ]
    files, failed = sum(told.files for told in found.values()), [one for told in found.values() for one in told.failed]
    text = f"{files:,} mutated files through load, compare and report: {len(failed)} failed."
    made = f"{_cpu()}, {os.cpu_count()} cores, Python {platform.python_version()}; {datetime.now(UTC):%Y-%m-%d %H:%MZ};"
    made += f" {seconds:.0f} s by all cores. Again: make fuzz, or python tests/endurance/fuzz.py --files {files}."
    notes = [
        "Slowest: loading and comparing one file. Reports are of 50 files; what fails there is tried file by file.",
        "Failed: a traceback, a warning, more than a second, a line break in an error, or a string that came alive.",
        seen,
        made,
        *failed[:20],
    ]
    return [Section("Mutated result files", text, rows, notes)]


def _cpu() -> str:
    from cpuinfo import get_cpu_info

    return str(get_cpu_info().get("brand_raw", platform.machine()))


def main() -> int:
    """Run it; exit status 1 if anything failed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--files", type=int, default=100_000)
    parser.add_argument("--pages", type=int, default=200, help="files whose page is looked at in a browser")
    parser.add_argument("--seed", type=int, default=0, help="of the first batch")
    parser.add_argument("--out", type=Path, help="the table, in Markdown")
    options = parser.parse_args()
    begin, found = time.perf_counter(), {kind: Told() for kind in KINDS}
    seeds = range(options.seed, options.seed - (-options.files // TOGETHER))
    with multiprocessing.get_context("spawn").Pool(os.cpu_count()) as pool:
        for told in pool.imap_unordered(batch, seeds):
            for kind, one in told.items():
                found[kind] += one
    seconds = time.perf_counter() - begin
    seen = "The page was not looked at in a browser."
    if options.pages and browser_is_here():
        with tempfile.TemporaryDirectory() as folder:
            faults = [*alive(pages(Path(folder), options.pages))]
        seen = (
            f"The pages of {options.pages} readable files in a browser: {len(faults)} elements, scripts or complaints."
        )
        found[KINDS[0]].failed += faults
    told = sections(found, seconds, seen)
    write(Page(pd.DataFrame(), told), "table", sys.stdout)
    if options.out:
        options.out.write_text(markdown(told), encoding="utf-8")
    return int(any(one.failed for one in found.values()))


if __name__ == "__main__":
    sys.exit(main())
