"""The tables of README.md, made from the files that the markers around them name: `<!-- speeds of FILE -->`."""

import json
import re
from argparse import Namespace
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pandas as pd

from results.commands import limits, options, scaling
from results.output import Page, Section, digits, markdown, records, seconds, speedup, words
from results.page.report import report
from results.stats.noise import noise_line
from results.stats.pairing import ratios
from results.store.atomic import atomic_write
from results.store.columns import CASE
from results.store.outcomes import by_size, drop_duplicates, outcomes
from results.store.reading import Run, RunError, facts
from results.store.runs import find
from results.upkeep import acceptance, growth

MARK = re.compile(r"(?P<head><!-- (?P<what>\w+) of (?P<run>\S+) -->\n)(?:(?!<!--).)*(?P<foot><!-- end -->)", re.DOTALL)
HEADLINE = ("numpy_manual", "torch_autograd", "torch_nn", "torch_compile", "jax_jit", "jax_scan")
HEADLINE_PROBLEMS = ("line", "small", "medium", "medium@256")
LOOPS = {"numpy_tutorial": "numpy_manual", "torch_tutorial": "torch_autograd", "torch_builtins": "torch_nn"}


def filled(text: str, root: Path) -> str:
    """The text with what stands between its markers made anew; files are relative to `root`. Raises RunError."""

    def fill(match: re.Match[str]) -> str:
        sections = TABLES[match["what"]](root / match["run"])
        return f"{match['head']}{markdown(sections).strip()}\n{match['foot']}"

    return MARK.sub(fill, text)


def _speeds(path: Path) -> list[Section]:
    """Time per step in float32 on the CPU, and what it was made on."""
    run = find(str(path), path.parent)
    sections = report([run], "numpy_manual").sections
    (speeds,) = (section for section in sections if section.title == "Time per step: cpu, float32")
    return [Section(table=speeds.table, notes=[*speeds.notes, _made(run)])]


def _headline(path: Path) -> list[Section]:
    """The implementations that people choose between, on three sizes."""
    (section,) = _speeds(path)
    named = [row for row in section.table if row["implementation"] in HEADLINE]
    table = [{"implementation": row["implementation"]} | {at: row[at] for at in HEADLINE_PROBLEMS} for row in named]
    return [replace(section, table=table)]


def _loops(path: Path) -> list[Section]:
    """The tutorials' own loops over ours: above 1, ours is quicker."""
    run, table = find(str(path), path.parent), []
    for loop, ours in LOOPS.items():
        left, right = (run.rows[run.rows["impl"] == name] for name in (ours, loop))
        table += [
            {"tutorial's loop": loop, "implementation": ours, "problem": f"{row['problem']}, {row['dtype']}"}
            | {"loop / ours": f"{speedup(row['ratio'])} ({digits(row['low'])} to {digits(row['high'])})"}
            for row in records(ratios(left, right, CASE[1:]))
        ]
    return [Section(table=table, notes=[_made(run)])]


def _overhead(path: Path) -> list[Section]:
    """The time that the suite reports over that of a bare loop in a fresh process."""
    run = find(str(path), path.parent)
    rows = run.rows.sort_values(["problem", "impl"], ascending=[False, True])
    table = [
        {"implementation": words(row["impl"]), "problem": words(row["problem"])}
        | {"reported / bare": f"{row['ratio']:.3f} ({row['ratio_min']:.3f} to {row['ratio_max']:.3f})"}
        for row in records(rows)
    ]
    return [Section(table=table, notes=[_made(run)])]


def _cold(path: Path) -> list[Section]:
    """From no process to the first weights, and what of it is importing."""
    run = find(str(path), path.parent)
    rows = run.rows[run.rows["duplicate_of"].isna()].assign(rest_s=lambda at: at["cold_s"] - at["import_s"])
    table = []
    for (problem, impl), of in rows.groupby(["problem", "impl"]):
        middle, low, high = (seconds(getattr(of["cold_s"], what)()) for what in ("median", "min", "max"))
        clocks = {"importing": seconds(of["import_s"].median()), "the rest": seconds(of["rest_s"].median())}
        table.append({"implementation": words(impl), "problem": words(problem)}
                     | {"cold start": f"{middle} ({low} to {high})"} | clocks)  # fmt: skip
    return [Section(table=table, notes=[f"Medians of {rows['block'].nunique()} processes. {_made(run)}"])]


def _acceptance(path: Path) -> list[Section]:
    """How often the verdicts err here, and the usual rules on the same data."""
    rows = pd.DataFrame(json.loads(path.read_text(encoding="utf-8")))
    return [Section(table=acceptance.table(rows), notes=[acceptance.made(rows)])]


def _growth(path: Path) -> list[Section]:
    """How loading and reporting grow with the number of files."""
    (section,) = growth.sections(pd.DataFrame(json.loads(path.read_text(encoding="utf-8"))))
    return [Section(table=section.table, notes=section.notes)]


def _limits(path: Path) -> list[Section]:
    """What the machine reads, what steps take at that limit, and who comes nearest."""
    run = find(str(path), path.parent)
    parts = [part for part in limits.limits(run).sections if part.title.startswith(("The machine", "Steps"))]
    return [*parts, Section(notes=[_made(run)])]


def _tall(path: Path) -> list[Section]:
    """A step of each implementation, its share of the set-up included, and who goes over what."""
    run = find(str(path), path.parent)
    found = [row for row in records(drop_duplicates(run, outcomes(run))) if row["status"] == "measured"]
    table = [
        {"problem": f"{words(row['problem'])}, {words(row['dtype'])}", "implementation": words(row["impl"])}
        | {"a step goes over": words(row["step_reads"]), "per step": f"{seconds(row['per_step_s'])}"}
        | {"blocks": f"{seconds(row['low_s'])} to {seconds(row['high_s'])}", "1,000 steps": seconds(row["steady_s"])}
        for row in sorted(found, key=lambda row: (*by_size(row), row["per_step_s"]))
    ]
    return [Section(table=table, notes=[_made(run)])]


def _layers(path: Path) -> list[Section]:
    """What each layer adds to a step."""
    run = find(str(path), path.parent)
    (section,) = limits.layers(run)
    return [Section(table=section.table, notes=[f"{section.title}. {section.notes[0]} {_made(run)}"])]


def _closed(path: Path) -> list[Section]:
    """The closed form, the shortest of its rounds, median and extremes of the blocks."""
    run = find(str(path), path.parent)
    table = []
    for (problem, dtype, impl), of in run.rows.groupby(["problem", "dtype", "impl"], sort=False):
        middle, low, high = (seconds(getattr(of["seconds"], what)()) for what in ("median", "min", "max"))
        table.append(
            {"": words(impl), "problem": f"{words(problem)}, {words(dtype)}", "answer": f"{middle} ({low} to {high})"}
        )
    return [Section(table=table, notes=[_made(run)])]


def _scaling(path: Path) -> list[Section]:
    """How a descent scales over ranks, the model of it, and what that predicts."""
    run = find(str(path), path.parent)
    measured, model, predicted = scaling.scaling(run).sections
    largest = [row for row in predicted.table if row["rows x features"] == "1,000,000 x 100"]
    return [measured, model, replace(predicted, table=largest), Section(notes=[_made(run)])]


def _noise(path: Path) -> list[Section]:
    return [Section(text=noise_line(find(str(path), path.parent)))]


def _made(run: Run) -> str:
    told = facts(run)
    versions = ", ".join(f"{name} {told[name]}" for name in ("numpy", "torch", "jax") if name in told)
    return f"{told['cpu']}, {told['cores']} cores, gpu: {told['gpu']}; {versions}; {run.date}."


TABLES: dict[str, Callable[[Path], list[Section]]] = {
    "acceptance": _acceptance,
    "closed": _closed,
    "cold": _cold,
    "growth": _growth,
    "headline": _headline,
    "layers": _layers,
    "limits": _limits,
    "noise": _noise,
    "scaling": _scaling,
    "speeds": _speeds,
    "tall": _tall,
    "loops": _loops,
    "overhead": _overhead,
}


def add_commands(commands: options.Commands) -> None:
    """Add `readme` to the command line."""
    command = options.add(commands, "readme", _readme, "fill the tables of Markdown files from the runs that they name")
    command.add_argument("file", type=Path, nargs="+", metavar="FILE", help="README.md, docs/results.md")
    command.add_argument("--check", action="store_true", help="change nothing; exit 2 if the file is stale")


def _readme(given: Namespace) -> Page:
    """Fill the tables of Markdown files. Raises RunError where they are stale and only to be checked."""
    for file in given.file:
        text = file.read_text(encoding="utf-8")
        new = filled(text, _root(file))
        if given.check and new != text:
            raise RunError(f"{file} is stale: make docs")
        atomic_write(file, new)
    names = [str(file) for file in given.file]
    return Page(pd.DataFrame({"file": names}), [Section(text=f"up to date: {', '.join(names)}")])


def _root(file: Path) -> Path:
    """The nearest folder above the file that holds `results`."""
    return next((folder for folder in file.absolute().parents if (folder / "results").is_dir()), file.parent)
