"""List the saved runs, and show one of them."""

import math
import re
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd

from results import options
from results.commands.report import default_baseline
from results.output import Page, Section, counted, digits, factored, records, rows_of, seconds, size, words
from results.page.answer import answer
from results.page.sections import compile_text, limit_text, run_card, untimed_sections
from results.page.summary import summarize_cases
from results.stats.pairing import without_duplicates
from results.stats.pools import FEW_BLOCKS, earlier_runs, step_spreads
from results.stats.verdict_tables import STEP_LEVEL
from results.store.outcomes import drop_duplicates, of_complete_blocks, outcomes
from results.store.reading import NOT_CHECKED, Run, require_own, sequence
from results.store.runs import ROOT, files, find, is_of_project, read_all

GPU = {
    "transfer_s": ("transfer", seconds),
    "event_s": ("run by its clock", seconds),
    "busy_s": ("busy in a run", seconds),
    "launches": ("launches per step", digits),
    "gpu_operations": ("operations per step", digits),
    "device_bytes": ("memory", size),
    "energy_j": ("energy per step", lambda joules: f"{digits(1e3 * joules)} mJ"),
    "sm_mhz_during": ("clock", lambda mhz: f"{digits(mhz)} MHz"),
}  # columns of rows on a GPU: their titles and how to write them

NUMBER = re.compile(r"(?<=/)\d+_(?=[^/]*[^/\d][^/]*$)")  # before a save name that is no number itself


def list_runs(root: Path) -> Page:
    """Return one row per file under `root`. The `note` of an unreadable file is the error. Raises RunError."""
    runs, errors = read_all(files(root), root)
    rows = [_summary(run, root) for run in runs] + [{"run": name, "note": error} for name, error in errors.items()]
    counts = ["rows", "implementations", "problems", "refused", "skipped"]
    table = pd.DataFrame(rows, columns=["run", "date", "note", *counts, "versions", "machine", "name"])
    table = table.sort_values(["date", "run"], ignore_index=True)
    own_runs = [run for run in runs if not is_of_project(run.path, root)]
    newest = f"; latest is {max(own_runs, key=lambda run: run.when).label}" if own_runs else ""
    unread = f"; {len(errors)} cannot be read" if errors else ""
    text = f"{len(own_runs)} of your own{newest}; {len(runs) - len(own_runs)} of the project{unread}."
    shown = table.assign(run=_short_names(list(table["run"])))[
        ["run", "date", "implementations", "problems", "note", "rows", "refused", "skipped", "versions"]
    ]
    cells, same = factored(rows_of(shown))
    note = "By date. A name may be shortened: intel/campaign."
    return Page(table, [Section("Runs", text, cells, notes=[same, note] if same else [note])])


def _short_names(labels: list[str]) -> list[str]:
    """Return labels without the numbers of their files, where that names one run: `machine/campaign`."""
    short = [NUMBER.sub("", label) for label in labels]
    return [name if short.count(name) == 1 else label for name, label in zip(short, labels, strict=True)]


def _summary(run: Run, root: Path) -> dict[str, Any]:
    versions = run.rows[["framework", "version"]].dropna().drop_duplicates().sort_values("framework")
    note = ["of the project"] * is_of_project(run.path, root) + ["interrupted"] * bool(run.campaign.get("interrupted"))
    return {
        "run": run.label,
        "machine": run.machine,
        "date": run.date,
        "name": run.label.split("/")[-1].split("_", 1)[-1],
        "rows": len(run.rows),
        "implementations": without_duplicates(run.rows)["impl"].nunique(),
        "problems": run.rows["problem"].nunique(),
        "refused": len(sequence(run.campaign.get("refused"))),
        "skipped": len(sequence(run.campaign.get("skipped"))),
        "note": ", ".join(note),
        "versions": ", ".join(f"{name} {version}" for name, version in versions.itertuples(index=False)),
    }


def show(run: Run, filters: dict[str, list[str] | None]) -> Page:
    """Return the verdict, the machine, a table per problem, dtype and device, then the cases without a time.

    `filters`: values to show by column; the verdict then covers only them. Raises RunError for an unknown value.
    """
    if run.is_foreign:
        return show_foreign(run)
    table = options.filter_rows(outcomes(run), filters, run.label)
    rows = records(table if filters.get("impl") else drop_duplicates(run, table))
    summary = summarize_cases(run, rows, default_baseline([run]))
    text = f"{summary.title}: {' '.join(summary.lines)}"
    text = f"Only the selected cases: {text}" if any(filters.values()) else text
    text = f"A run of the project. {text}" if is_of_project(run.path, ROOT) else text
    spreads = step_spreads(run, earlier_runs(run)) if (table["blocks"] <= FEW_BLOCKS).any() else {}
    cases = run.rows.merge(table[["impl", "device", "dtype", "problem"]].drop_duplicates())
    tables = [*_case_tables(table, spreads), *_gpu_section(cases), *untimed_sections(records(table))]
    return Page(table, [replace(run_card(run), text=text), *tables])


def show_foreign(run: Run) -> Page:
    """Return a table of the rows: name, shortest and median round, number of rounds."""
    table = run.rows[["name", "min_s", "median_s", "iqr_s", "rounds"]].reset_index(drop=True)
    titled = table.drop(columns="iqr_s").rename(columns={"min_s": "shortest round", "median_s": "median round"})
    cells = rows_of(titled, {"shortest round": seconds, "median round": seconds})
    return Page(table, [Section(run.label, NOT_CHECKED, cells)])


def _case_tables(cases: pd.DataFrame, spreads: Mapping[str, float]) -> list[Section]:
    """Return a table per problem, dtype and device. The shortest step comes first, invalid cases last.

    spreads: `step_spreads`, for the interval of one or two blocks.
    """
    cases = cases[cases["status"].isin(["measured", "invalid"])]
    cases = cases.sort_values(["n", "d", "problem", "per_step_s", "impl"])
    sections = []
    for names, group in cases.groupby(["problem", "dtype", "device"], sort=False, dropna=False):
        spread, limited = bool(group["blocks"].max() > 1), bool(group["limit_s"].notna().any())
        table = [_cells(row, spread, limited, spreads) for row in records(group)]
        no_compile = "compile none: the first run took no longer than later ones, within the spread of the rounds (iqr)"
        notes = [no_compile] if any(row["compile"] == "none" for row in table) else []
        if any(" (" in row["per step"] for row in table):
            notes.append(f"per step, in brackets: {STEP_LEVEL:.0%} of processes, from earlier runs of this machine")
        sections.append(Section(", ".join(map(words, names)), table=table, notes=notes, level=3))
    return sections


def _cells(row: dict[str, Any], spread: bool, limited: bool, spreads: Mapping[str, float]) -> dict[str, str]:
    measured, per_step_s = row["status"] == "measured", row["per_step_s"]
    per_step = seconds(per_step_s) if measured else "invalid"
    if measured and row["blocks"] <= FEW_BLOCKS and row["impl"] in spreads:
        factor = math.exp(spreads[row["impl"]])
        per_step += f" ({seconds(per_step_s / factor)} to {seconds(per_step_s * factor)})"
    extremes = f"{seconds(row['low_s'])} .. {seconds(row['high_s'])}" if measured else "-"
    return {
        "implementation": words(row["impl"]) + ("" if row["step_reads"] == "X" else f" ({words(row['step_reads'])})"),
        "per step": per_step,
        "blocks": words(row["blocks"]),
        **({"lowest..highest block": extremes} if spread else {}),
        **({"of the limit": limit_text(row)} if limited else {}),
        "prepare": seconds(row["prepare_s"]),
        "compile": compile_text(row),
        "error / tolerance": digits(row["error_ratio"]),
        "cpu / wall": digits(row["cpu_over_wall"]),
        "memory": size(row["rss_bytes"]),
    }


def _gpu_section(rows: pd.DataFrame) -> list[Section]:
    """Return the records of the GPU: medians over the blocks of each case; [] without a row on a GPU."""
    rows = of_complete_blocks(rows[rows["device"] == "gpu"])
    columns = {name: definition for name, definition in GPU.items() if rows[name].notna().any()}
    medians = rows[rows["valid"]].groupby(["problem", "dtype", "impl"], sort=False)[[*columns]].median().reset_index()
    table = [
        {"problem": words(row["problem"]), "dtype": words(row["dtype"]), "implementation": words(row["impl"])}
        | {title: "-" if math.isnan(row[name]) else form(row[name]) for name, (title, form) in columns.items()}
        for row in records(medians)
    ]
    notes = [
        f"{title}: {words(reason)} ({counted(count, 'row')})."
        for definition, title in {"throttle_reasons": "Clock lowered", "unprofiled": "Not profiled"}.items()
        for reason, count in rows[definition].dropna().value_counts().items()
    ]
    return [Section("On the GPU", table=table if columns else [], notes=notes, level=3)] if columns or notes else []


def answer_run(run: Run) -> Page:
    """Return the answer of a run against its default baseline. Raises RunError for a file that is no descent."""
    require_own(run)
    return answer(run, default_baseline([run]))


def add_commands(commands: options.Commands) -> None:
    summary = "answer in one screen: agreement with the reference, noise, and the fastest implementation by size"
    options.add_for_run(commands, "answer", answer_run, summary)
    text = "list the saved runs, also files that cannot be read"
    options.add(commands, "list", lambda args: list_runs(args.runs), text)
    text = "show one run: machine, times, errors, and cases without a time"
    command = options.add(commands, "show", lambda args: show(find(args.run, args.runs), options.filters(args)), text)
    command.add_argument("run", metavar="RUN", help="the run to show")
    options.add_filters(command)
