"""What `history` says: its sentence, its table of changes, its tables of points; all from its rows."""

from typing import Any

import numpy as np
import pandas as pd

from results.changes import FEWEST, LONGEST, SIDE, Search
from results.format import Section, records, seconds, words
from results.noise import percent
from results.read import CASE
from results.verdicts import fine

TOLD = 3  # changes in the first sentence


def sentence(page: pd.DataFrame, runs: int) -> str:
    """The answer in words, from `history`'s rows, of so many runs."""
    lengths = page["series"].value_counts()
    if lengths.empty:
        return f"No valid point in {_count(runs, 'run')}."
    inside = f"{_count(len(lengths), 'series')} of {_count(page['machine'].nunique(), 'machine')}"
    short = int((lengths < FEWEST).sum())
    if short == len(lengths):
        missing = FEWEST - lengths.max()
        return (
            f"Nothing is claimed: a change takes {SIDE} runs on either side, the longest of {inside} has"
            f" {lengths.max()}, {missing} are missing."
        )
    told, found = [], sides(records(page))
    varied = [name for name in ["dtype", "device", "machine"] if page[name].nunique(dropna=False) > 1]
    for row, before in found[:TOLD]:
        where = ", ".join([f"{words(row['impl'])} on {words(row['problem'])}", *[words(row[name]) for name in varied]])
        told.append(f"{where} became {moved(row)} between {_stand(before)} and {_stand(row)}")
    told += [f"and {_count(len(found) - TOLD, 'change')} more, below"] if len(found) > TOLD else []
    head = f"{_count(len(found), 'change')} in {inside}" if found else f"No change shown in {inside}"
    rest = f"; {short} of them shorter than {FEWEST} runs, not judged" if short else ""
    return f"{head}{rest}{': ' * bool(told)}{'; '.join(told)}."


def _count(number: int, word: str) -> str:
    return f"{number} {word}{'s' * (number != 1 and word != 'series')}"


def moved(row: dict[str, Any]) -> str:
    """`1.12x slower (1.08 to 1.16)`: the change that a point begins."""
    ends = [row["ratio"], row["ratio_low"], row["ratio_high"]]
    word = "slower"
    if row["ratio"] < 1:
        word, ends = "faster", [1 / ends[0], 1 / ends[2], 1 / ends[1]]
    ratio, low, high = map(fine, ends)
    return f"{ratio}x {word} ({low} to {high})"


def begins(row: dict[str, Any]) -> bool:
    """Whether a change begins with this point."""
    return bool(row["ratio"] == row["ratio"])


def sides(rows: list[dict[str, Any]]) -> list[tuple[dict[str, Any], dict[str, Any]]]:
    """For each change the point that it begins and the one before, the largest change first."""
    pairs = [(row, rows[at - 1]) for at, row in enumerate(rows) if begins(row)]
    return sorted(pairs, key=lambda pair: -abs(np.log(pair[0]["ratio"])))


def _stand(row: dict[str, Any]) -> str:
    return f"{date(row)} ({words(row['framework'])} {words(row['version'])})"


def date(row: dict[str, Any]) -> str:
    """UTC, to the minute."""
    return f"{row['datetime'][:16].replace('T', ' ')}Z"


def changes(page: pd.DataFrame) -> list[dict[str, str]]:
    """A row per change, the largest first."""
    rows = records(page)
    dates = {row["run"]: date(row) for row in rows}
    return [
        {"machine": row["machine"], **{name: words(row[name]) for name in CASE}}
        | {"change": moved(row), "p": f"{row['p']:.2g}"}
        | {"machine's pace": f"{fine(row['pace_ratio'])}x" if row["pace_ratio"] == row["pace_ratio"] else "-"}
        | {"last before": f"{before['run']}, {date(before)}", "first after": f"{row['run']}, {date(row)}"}
        | {"may begin with": " .. ".join(dict.fromkeys([dates[row["earliest"]], dates[row["latest"]]]))}
        | {"changed there": words(row["changed"])}
        for row, before in sides(rows)
    ]


def series(page: pd.DataFrame, found: list[Search], works: dict[int, str]) -> list[Section]:
    """A heading for each machine, then a table for each of its series; `works`: where their work differs, how."""
    sections = []
    for machine, here in page.groupby("machine", sort=False):
        sections.append(Section(words(machine)))
        for number, group in here.groupby("series", sort=False):
            rows = records(group)
            title = ", ".join(words(rows[0][name]) for name in CASE)
            at = int(str(number))
            told = " ".join(filter(None, [_verdict(rows, found[at]), works.get(at)]))
            sections.append(Section(title, told, list(map(_point, rows)), level=3))
    return sections


def _verdict(rows: list[dict[str, Any]], found: Search) -> str:
    if len(rows) < FEWEST:
        missing = FEWEST - len(rows)
        return f"{_count(len(rows), 'run')}: a change takes {FEWEST}, {SIDE} on either side; missing: {missing}."
    told = [f"{moved(row)} from {date(row)} on" for row in rows if begins(row)]
    late = f" Looked for in the latest {LONGEST} runs." if len(rows) > LONGEST else ""
    least = percent(found.smallest - 1)
    none = f"No change shown (p = {found.p:.2g}); one of {least} in the middle would begin to show"
    return f"{'; '.join(told) or none}.{late}"


def _point(row: dict[str, Any]) -> dict[str, str]:
    return {
        "date": date(row),
        "run": row["run"],
        "commit": words(row["commit"]),
        "version": f"{words(row['framework'])} {words(row['version'])}",
        "per step": seconds(row["per_step_s"]),
        "lowest..highest": f"{seconds(row['low_s'])} .. {seconds(row['high_s'])}",
        "blocks": words(row["blocks"]),
        "change": moved(row) if begins(row) else "",
    }
