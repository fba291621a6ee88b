"""What one run holds, and which runs there are."""

from argparse import Namespace
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd

from results.commands import options
from results.output import Page, Section, digits, records, rows_of, seconds, size, words
from results.page.sections import compile_text, limit_text, run_card, untimed_sections
from results.page.summary import summarize_cases
from results.store.outcomes import drop_duplicates, outcomes
from results.store.reading import Run, RunError, sequence
from results.store.runs import files, find, nearest, read_all


def list_runs(root: Path) -> Page:
    """A line for every file under `root`, also for what cannot be read: its `note` says why. Raises RunError."""
    runs, faults = read_all(files(root), root)
    lines = [_line(run) for run in runs] + [{"run": name, "note": reason} for name, reason in faults.items()]
    counts = ["rows", "implementations", "problems", "refused", "skipped"]
    frame = pd.DataFrame(lines, columns=["run", "machine", "date", "name", *counts, "versions", "note"])
    frame = frame.sort_values(["machine", "date", "run"], ignore_index=True)
    return Page(frame, [Section("Runs", table=rows_of(frame))])


def _line(run: Run) -> dict[str, Any]:
    versions = run.rows[["framework", "version"]].dropna().drop_duplicates().sort_values("framework")
    return {
        "run": run.label,
        "machine": run.machine,
        "date": run.date,
        "name": run.label.split("/")[-1].split("_", 1)[-1],
        "rows": len(run.rows),
        "implementations": run.rows.loc[run.rows["duplicate_of"].isna(), "impl"].nunique(),
        "problems": run.rows["problem"].nunique(),
        "refused": len(sequence(run.campaign.get("refused"))),
        "skipped": len(sequence(run.campaign.get("skipped"))),
        "note": "interrupted" if run.campaign.get("interrupted") else "",
        "versions": ", ".join(f"{name} {version}" for name, version in versions.itertuples(index=False)),
    }


def show(run: Run, wanted: dict[str, list[str] | None]) -> Page:
    """The verdict, the machine, a table per problem, dtype and device, then what was refused or skipped.

    `wanted` filters columns, and the verdict is then of what is left. Raises RunError for a wanted value that the run
    does not know.
    """
    found = narrowed(outcomes(run), wanted, run.label)
    said = summarize_cases(run, records(found if wanted.get("impl") else drop_duplicates(run, found))).text
    said = f"Of the cases asked for: {said}" if any(wanted.values()) else said
    return Page(found, [replace(run_card(run), text=said), *tables(found), *untimed_sections(records(found))])


def narrowed(found: pd.DataFrame, wanted: dict[str, list[str] | None], place: str) -> pd.DataFrame:
    """The rows with the wanted values, by column. Raises RunError for a value that `found`, called `place`, lacks."""
    for column, values in wanted.items():
        known = sorted(found[column].dropna().unique())
        for value in values or []:
            if value not in known:
                raise RunError(f"{place} has no {column} {value!r}; {nearest(value, known)}")
        found = found[found[column].isin(values)] if values else found
    return found


def tables(found: pd.DataFrame) -> list[Section]:
    """A table per problem, dtype and device, the shortest step first, invalid cases last."""
    here = found[found["status"].isin(["measured", "invalid"])].sort_values(["n", "d", "problem", "per_step_s", "impl"])
    sections = []
    for names, group in here.groupby(["problem", "dtype", "device"], sort=False, dropna=False):
        none = "none: the first run took no longer than a later one, within the spread of the rounds (iqr)"
        several, limited = bool(group["blocks"].max() > 1), bool(group["limit_s"].notna().any())
        table = [_case(row, several, limited) for row in records(group)]
        notes = [f"compile {none}"] if any(row.get("compile") == "none" for row in table) else []
        sections.append(Section(", ".join(map(words, names)), table=table, notes=notes, level=3))
    return sections


def _case(row: dict[str, Any], several: bool, limited: bool) -> dict[str, str]:
    measured = row["status"] == "measured"
    spread = {"lowest..highest block": f"{seconds(row['low_s'])} .. {seconds(row['high_s'])}" if measured else "-"}
    at_limit = {"of the limit": limit_text(row)}
    return {
        "implementation": words(row["impl"]) + ("" if row["step_reads"] == "X" else f" ({words(row['step_reads'])})"),
        "per step": seconds(row["per_step_s"]) if measured else "invalid",
        "blocks": words(row["blocks"]),
        **(spread if several else {}),
        **(at_limit if limited else {}),
        "prepare": seconds(row["prepare_s"]),
        "compile": compile_text(row),
        "error / tolerance": digits(row["error_ratio"]),
        "cpu / wall": digits(row["cpu_over_wall"]),
        "memory": size(row["rss_bytes"]),
    }


def add_commands(commands: options.Commands) -> None:
    """Add `list` and `show` to the command line."""
    options.add(commands, "list", _list, "list the saved runs, also files that cannot be read")
    command = options.add(commands, "show", _show, "show one run: machine, times, errors, and cases without a time")
    command.add_argument("run", metavar="RUN", help="which run")
    options.add_filters(command)


def _list(given: Namespace) -> Page:
    return list_runs(given.runs)


def _show(given: Namespace) -> Page:
    return show(find(given.run, given.runs), options.filters(given))
