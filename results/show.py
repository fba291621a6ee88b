"""What one run holds, and which runs there are."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd

from results.cases import Row, alone, outcomes
from results.format import Page, Section, digits, records, rows_of, seconds, size, words
from results.load import files, nearest, read_all
from results.read import CASE, Run, RunError, facts, number, sequence, text
from results.summary import verdict

PLAN = ("preset", "seed", "threads", "precision", "blocks")


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
        "implementations": run.rows.loc[run.rows["twin"].isna(), "impl"].nunique(),
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
    said = verdict(run, records(found if wanted.get("impl") else alone(run, found))).text
    said = f"Of the cases asked for: {said}" if any(wanted.values()) else said
    return Page(found, [replace(card(run), text=said), *tables(found), *absences(records(found))])


def narrowed(found: pd.DataFrame, wanted: dict[str, list[str] | None], place: str) -> pd.DataFrame:
    """The rows with the wanted values, by column. Raises RunError for a value that `found`, called `place`, lacks."""
    for column, values in wanted.items():
        known = sorted(found[column].dropna().unique())
        for value in values or []:
            if value not in known:
                raise RunError(f"{place} has no {column} {value!r}; {nearest(value, known)}")
        found = found[found[column].isin(values)] if values else found
    return found


def card(run: Run) -> Section:
    """What the run was made on, and with."""
    campaign = run.campaign
    plan = {name: words(campaign[name]) for name in PLAN if name in campaign}
    told = {"machine": run.machine} | facts(run) | {"date": run.date, "commit": text(run.commit.get("id"))[:12]} | plan
    wall, inside = number(campaign.get("wall_s")), number(campaign.get("inside_s"))
    told |= {"took": seconds(wall)} if wall > 0 else {}
    told |= {"of that in prepare, first and timed runs": f"{inside / wall:.0%}"} if wall > 0 and inside >= 0 else {}
    lines = [{"fact": name, "value": words(held)} for name, held in told.items()]
    return Section(f"Run {run.label}", table=lines, notes=caveats(run))


def caveats(run: Run) -> list[str]:
    """What a reader must know before trusting the numbers."""
    blocks = len(dict.fromkeys(run.rows["block"].fillna(-1).tolist()))
    invalid, resumed = int((~run.rows["valid"]).sum()), len(sequence(run.campaign.get("resumed")))
    said = {
        "The file holds no rows.": run.rows.empty,
        "One block: a process per implementation, so the noise between processes is not shown.": blocks == 1,
        f"{blocks} blocks, a fresh process each: a number is their median.": blocks > 1,
        f"Rows without a valid result, shown with their reason and without a time: {invalid}.": invalid > 0,
        "Interrupted: cases are missing, or rest on fewer rounds and blocks.": bool(run.campaign.get("interrupted")),
        f"Resumed {_times(resumed)}: between two of its cases the machine may have changed.": resumed > 0,
        "Made from a working tree with uncommitted changes.": bool(run.commit.get("dirty")),
        "No note of the campaign: what was refused or skipped is unknown.": not run.campaign,
        "No digests: whether the file was edited by hand is unknown.": not run.sealed,
    }
    labels = dict.fromkeys(zip(run.rows["impl"].tolist(), run.rows["twin"].tolist(), strict=True))
    twins = [(again, impl) for again, impl in labels if isinstance(impl, str)]
    noise = [f"{again} is {impl} once more, to show the noise: python -m results noise" for again, impl in twins]
    return [caveat for caveat, holds in said.items() if holds] + noise


def _times(count: int) -> str:
    return "once" if count == 1 else f"{count} times"


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
    at_limit = {"of the limit": of_limit(row)}
    return {
        "implementation": words(row["impl"]) + ("" if row["work"] == "X" else f" ({words(row['work'])})"),
        "per step": seconds(row["per_step_s"]) if measured else "invalid",
        "blocks": words(row["blocks"]),
        **(spread if several else {}),
        **(at_limit if limited else {}),
        "prepare": seconds(row["prepare_s"]),
        "compile": compile_time(row),
        "error / allowed": digits(row["error_ratio"]),
        "cpu / wall": digits(row["cpu_over_wall"]),
        "memory": size(row["rss_bytes"]),
    }


def of_limit(row: dict[str, Any]) -> str:
    """How near a case comes to the machine's limit, and what it would wait for there: `87.0% (memory)`."""
    near = row["fraction_of_limit"]
    return f"{digits(100 * near)}% ({words(row['limited_by'])})" if near == near else "-"


def compile_time(row: dict[str, Any]) -> str:
    """What the first run cost more than a later one, or `none` if no more than later ones cost one another."""
    noise = max(0.0, row["iqr_s"]) if row["iqr_s"] == row["iqr_s"] else 0.0
    return "none" if row["compile_s"] <= noise else seconds(row["compile_s"])


def absences(found: list[Row]) -> list[Section]:
    """What was refused, invalid or skipped, and why."""
    columns = {
        "invalid": [*CASE, "reason"],
        "refused": [*CASE, "block", "reason"],
        "skipped": ["impl", "device", "reason"],
    }
    sections = []
    for status, names in columns.items():
        rows = [{name: words(row.get(name)) for name in names} for row in found if row["status"] == status]
        sections += [Section(status.capitalize(), table=rows, level=3)] if rows else []
    return sections
