"""Fill the generated parts of Markdown files between `<!-- MARKER -->` and `<!-- end -->`.

`<!-- speeds of FILE -->`: a table of a file. `<!-- python -m results compare A B -->`: that command and its answer.
"""

import json
import re
from argparse import ArgumentParser, Namespace
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

import pandas as pd

from results import options
from results.commands import limits, scaling
from results.commands.show import answer_run
from results.output import Page, Section, markdown, records, seconds, short_percent, speedup, words
from results.page.report import report
from results.stats import prediction
from results.stats.pairing import ratios, without_duplicates
from results.stats.quiet_or_busy import kernel_notes
from results.store.atomic import atomic_write
from results.store.columns import CASE
from results.store.outcomes import by_size, drop_duplicates, outcomes
from results.store.reading import Run, facts
from results.store.runs import find
from results.upkeep import acceptance, acceptance_environments, five_minutes, many_files, quiet_check, rates

BETWEEN = r"(?:(?!<!--).)*(?P<foot><!-- end -->)"
MARKER = re.compile(rf"(?P<head><!-- (?P<table>\w+) of (?P<file>\S+) -->\n){BETWEEN}", re.DOTALL)
COMMAND = re.compile(rf"(?P<head><!-- python -m results (?P<words>[^\n]+) -->\n){BETWEEN}", re.DOTALL)
SENTENCE = re.compile(r".*?[.?](?=\s|$)|.+", re.DOTALL)  # the first of a text
MAX_SENTENCES = 5  # of an answer
LOOPS = {"numpy_tutorial": "numpy_manual", "torch_tutorial": "torch_autograd", "torch_builtins": "torch_nn"}


def fill_tables(text: str, root: Path) -> str:
    """Return the text with new tables between its markers. Files are relative to `root`. Raises RunError."""

    def fill(match: re.Match[str]) -> str:
        sections = _sections(match["table"], root / match["file"])
        return f"{match['head']}{markdown(sections).strip()}\n{match['foot']}"

    return MARKER.sub(fill, text)


def fill_answers(text: str, parsers: Mapping[str, ArgumentParser]) -> str:
    """Return the text with new answers of commands: the first sentence of each section. Raises RunError.

    parsers: those of the commands, by name.
    """

    def fill(match: re.Match[str]) -> str:
        name, *arguments = match["words"].split()
        args = parsers[name].parse_args(arguments)
        first, *later_sections = args.make(args).sections
        sections = [section for section in (replace(first, title=""), *later_sections) if section.text]
        lines = [f"python -m results {match['words']}"]
        for section in sections[:MAX_SENTENCES]:
            sentence = str(SENTENCE.match(section.text)[0])  # type: ignore[index]
            lines += [sentence if sentence.startswith(section.title) else f"{section.title}: {sentence}"]
        lines[1:2] = [" ".join([first.machine, *lines[1:2]]).strip()]
        lines += [f"... and {omitted} more"] if (omitted := len(sections) - MAX_SENTENCES) > 0 else []
        answer = "\n".join(lines)
        return f"{match['head']}```\n{answer}\n```\n{match['foot']}"

    return COMMAND.sub(fill, text)


def _sections(table: str, path: Path) -> list[Section]:
    if table in JSON_TABLES:
        rows = json.loads(path.read_text(encoding="utf-8")) if path.exists() or table not in PENDING_TABLES else []
        return [JSON_TABLES[table](pd.DataFrame(rows))]
    run = find(str(path), path.parent)
    *sections, last = RUN_TABLES[table](run)
    run_facts = facts(run)
    versions = ", ".join(f"{name} {run_facts[name]}" for name in ("numpy", "torch", "jax") if name in run_facts)
    setting = f"{run_facts['cpu']}, {run_facts['cores']} cores, gpu: {run_facts['gpu']}; {versions}; {run.date}."
    return [*sections, replace(last, notes=[*last.notes, *kernel_notes(run), setting])]


def _median_range(values: "pd.Series[float]") -> str:
    return f"{seconds(values.median())} ({seconds(values.min())} to {seconds(values.max())})"


def _speeds(run: Run) -> list[Section]:
    """Return the time per step in float32 on the CPU."""
    sections = {section.title: section for section in report([run], "numpy_manual").sections}
    return [replace(sections["Time per step: cpu, float32"], title="", text="")]


def _loops(run: Run) -> list[Section]:
    """Return the speed-ups of the implementations over the tutorials' own loops."""
    rows_by_impl = dict(iter(run.rows.groupby("impl")))
    table = [
        {"tutorial's loop": loop, "implementation": impl, "problem": f"{row['problem']}, {row['dtype']}"}
        | {"speed-up over the loop": f"{speedup(row['ratio'])} ({speedup(row['low'])} to {speedup(row['high'])})"}
        for loop, impl in LOOPS.items()
        if {loop, impl} <= rows_by_impl.keys()
        for row in records(ratios(rows_by_impl[impl], rows_by_impl[loop], CASE[1:]))
    ]
    return [Section(table=table)]


def _overhead(run: Run) -> list[Section]:
    """Return the ratios of the reported times to those of a bare loop in a fresh process."""
    table = [
        {"implementation": words(row["impl"]), "problem": words(row["problem"])}
        | {"reported / bare": f"{row['ratio']:.3f} ({row['ratio_min']:.3f} to {row['ratio_max']:.3f})"}
        for row in records(run.rows.sort_values(["problem", "impl"], ascending=[False, True]))
    ]
    return [Section(table=table)]


def _cold(run: Run) -> list[Section]:
    """Return the time from starting a process to the first weights."""
    rows = without_duplicates(run.rows)
    table = [
        {
            "implementation": words(impl),
            "problem": words(problem),
            "cold start": _median_range(group["cold_s"]),
            "importing": seconds(group["import_s"].median()),
            "the rest": seconds((group["cold_s"] - group["import_s"]).median()),
        }
        for (problem, impl), group in rows.groupby(["problem", "impl"])
    ]
    return [Section(table=table, notes=[f"Medians of {rows['block'].nunique()} processes."])]


def _layers(run: Run) -> list[Section]:
    """Return the cost of each layer per step."""
    (section,) = limits.layers(run)
    return [replace(section, title="", notes=[f"{section.title}.", *section.notes])]


def _tall(run: Run) -> list[Section]:
    """Return the time per step on tall problems, with a share of the preparation."""
    rows = [row for row in records(drop_duplicates(run, outcomes(run))) if row["status"] == "measured"]
    table = [
        {
            "problem": f"{words(row['problem'])}, {words(row['dtype'])}",
            "implementation": words(row["impl"]),
            "a step reads": words(row["step_reads"]),
            "per step": seconds(row["per_step_s"]),
            "blocks": f"{seconds(row['low_s'])} to {seconds(row['high_s'])}",
            "1,000 steps": seconds(row["steady_s"]),
        }
        for row in sorted(rows, key=lambda row: (*by_size(row), row["per_step_s"]))
    ]
    return [Section(table=table)]


def _closed(run: Run) -> list[Section]:
    """Return the time of the closed form: the shortest round of each block, median and extremes over the blocks."""
    table = [
        {"method": words(impl), "problem": f"{words(problem)}, {words(dtype)}", "time": _median_range(group["seconds"])}
        | {"loss above the least": _percent(group.get("loss_excess"))}
        for (problem, dtype, impl), group in run.rows.groupby(["problem", "dtype", "impl"], sort=False)
    ]
    return [Section(table=table)]


def _percent(values: "pd.Series[float] | None") -> str:
    return "-" if values is None or values.isna().all() else short_percent(values.max())


def _scaling(run: Run) -> list[Section]:
    """Return measured scaling over ranks, the model, and its predictions for the largest problem."""
    _, measured, model, predicted = scaling.scaling(run).sections
    largest = [row for row in predicted.table if row["rows x features"] == "1,000,000 x 100"]
    return [measured, model, replace(predicted, table=largest)]


def _sizes(run: Run) -> list[Section]:
    """Return the errors of predicting left-out sizes of a run from its other sizes."""
    rows = prediction.held_out(prediction.measured_sizes(without_duplicates(run.rows)))
    groups = [*rows.groupby("impl"), ("all", rows)]
    table = [
        {"implementation": str(impl), "sizes": str(len(group)), "median error": f"{group['error'].abs().median():.0%}"}
        | {"largest error": f"{group['error'].abs().max():.0%}", "inside the interval": f"{group['inside'].mean():.0%}"}
        for impl, group in groups
    ]
    note = f"A third of the sizes is left out in turn. Intervals: {prediction.INTERVAL_LEVEL:.0%}."
    return [Section(table=table, notes=[note])]


def _answer(run: Run) -> list[Section]:
    """Return the answer at the end of a run, without the next commands."""
    first, *tables, _ = answer_run(run).sections
    return [replace(first, title="", text=first.title), *tables]


RUN_TABLES: dict[str, Callable[[Run], list[Section]]] = {
    "answer": _answer,
    "closed": _closed,
    "costs": limits.costs,
    "cold": _cold,
    "layers": _layers,
    "limits": lambda run: limits.limits(run).sections[1:],
    "loops": _loops,
    "overhead": _overhead,
    "scaling": _scaling,
    "sizes": _sizes,
    "speeds": _speeds,
    "tall": _tall,
}
JSON_TABLES: dict[str, Callable[[pd.DataFrame], Section]] = {
    "acceptance": lambda rows: Section(table=acceptance.table(rows), notes=[acceptance.note(rows)]),
    "acceptance_environments": acceptance_environments.section,
    "five_minutes": five_minutes.section,
    "quiet": quiet_check.section,
    "failures": rates.failures_section,
    "few_blocks": rates.few_blocks_section,
    "rates": rates.section,
    "many_files": lambda rows: replace(many_files.section(rows), title=""),
}
PENDING_TABLES = {"acceptance_environments"}  # tables with a placeholder text while their file does not exist


def add_commands(commands: options.Commands) -> None:
    summary = "fill the tables and answers of Markdown files from the runs that they name"
    command = options.add(commands, "readme", lambda args: _readme(args, commands.choices), summary)
    command.add_argument("file", type=Path, nargs="+", metavar="FILE", help="a Markdown file with markers")


def _readme(args: Namespace, parsers: Mapping[str, ArgumentParser]) -> Page:
    for file in args.file:
        text = file.read_text(encoding="utf-8")
        root = next((folder for folder in file.absolute().parents if (folder / "results").is_dir()), file.parent)
        atomic_write(file, fill_answers(fill_tables(text, root), parsers))
    names = [str(file) for file in args.file]
    return Page(pd.DataFrame({"file": names}), [Section(text=f"up to date: {', '.join(names)}")])
