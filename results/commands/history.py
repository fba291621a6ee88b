"""Each case's time over dates, commits and versions, per machine, and where it changed by more than noise.

A series is one case of one machine that does the same work (`sides.SAME`); other work is another series. A point is one
run: the median over its valid blocks. `changes` says where a series changed. Beside each change stands what the
calibration loop (`calibration_s`) did at the same place, for it tells whether the machine changed.
"""

import json
from argparse import Namespace
from collections import Counter
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from results.commands import options
from results.commands.show import narrowed
from results.output import Page, Section, records, rows_of, seconds, with_rows, words
from results.stats.change_points import CORRELATION, FEWEST, LONGEST, SIDE, Search, search
from results.stats.noise import percent
from results.stats.pairing import SAME, differences, samples_by_case, without_duplicates
from results.stats.signed_rank import ALPHA
from results.stats.verdicts import ratio_digits
from results.store.atomic import atomic_write
from results.store.columns import CASE
from results.store.optional import package
from results.store.reading import Run, RunError, facts, text
from results.store.runs import files, find_all, join, read_all

POINT = ["series", "run", "machine", "datetime", "commit", *CASE, "framework", "version"]
TIMES = ["per_step_s", "low_s", "high_s", "blocks", "calibration_s"]
CHANGE = ["ratio", "ratio_low", "ratio_high", "p", "pace_ratio", "before", "earliest", "latest", "changed"]
NOTES = [
    "A point is one run: the median over its valid blocks. Machines are never pooled.",
    f"A change has {SIDE} runs or more on either side. False alarms: a chance of {ALPHA:.0%} for the whole page (Holm"
    f" over its series), even where what runs are off by is correlated by {CORRELATION} from one to the next; more"
    " where a machine drifts for longer. The intervals of ratio and place: by seeded simulation of such noise, at the"
    " level that decided.",
    "Machine's pace: the time of the calibration loop after the change, over that before. Where it moved as much as the"
    " case did, the machine changed, not the code.",
]

Wanted = dict[str, list[str] | None]


def history(runs: list[Run], wanted: Wanted, faults: dict[str, str]) -> Page:
    """A row per point, with the change that it begins, if any; `wanted` filters columns, `faults` were not read.

    Raises RunError for a wanted value that no run knows, and where a package is missing.
    """
    rows = narrowed(without_duplicates(join([run.rows for run in runs])), wanted, "no run here")
    table = points(rows, {run.label: run for run in runs})
    groups = [group for _, group in table.groupby("series")]
    found = search([np.log(group["per_step_s"].to_numpy(float)[-LONGEST:]) for group in groups])
    known = {run.label: facts(run) for run in runs}
    marked = [_marked(group, one, known) for group, one in zip(groups, found, strict=True)]
    page = (pd.concat(marked) if marked else table).reindex(columns=[*POINT, *TIMES, *CHANGE])
    page = page.astype(dict.fromkeys(CHANGE[:5], float))
    works = _works(groups)
    sections = [
        Section("History", sentence(page, len(runs))),
        *with_rows(Section("Changes", table=changes(page), level=3)),
        *series(page, found, works),
        *with_rows(Section("Invalid: no points", table=_invalid(rows), level=3)),
        *with_rows(Section("Not read", table=[{"run": name, "reason": why} for name, why in faults.items()], level=3)),
        Section("Reading", notes=[*_caveats(runs, len(works)), *NOTES], level=3),
    ]
    return Page(page, sections)


def points(rows: pd.DataFrame, runs: dict[str, Run]) -> pd.DataFrame:
    """A row per series and run, by date: columns POINT, TIMES and SAME; `series` counts from 0."""
    valid = rows[rows["valid"]].sort_values(["machine", *CASE, "datetime", "run"])
    case = ["machine", *CASE, *SAME]
    table = valid.groupby(["run", *case], dropna=False, sort=False).agg(
        datetime=("datetime", "first"),
        framework=("framework", "first"),
        version=("version", "first"),
        per_step_s=("per_step_s", "median"),
        low_s=("per_step_s", "min"),
        high_s=("per_step_s", "max"),
        blocks=("block", lambda held: held.nunique(dropna=False)),
        calibration_s=("calibration_s", "median"),
    )
    table = table.reset_index()
    table["commit"] = [_commit(runs[label]) for label in table["run"]]
    table["series"] = table.groupby(case, dropna=False, sort=False).ngroup()
    return table.sort_values("series", kind="stable", ignore_index=True)


def _commit(run: Run) -> str:
    return text(run.commit.get("id"))[:12] + (" dirty" if run.commit.get("dirty") else "")


def _marked(group: pd.DataFrame, found: Search, known: dict[str, dict[str, str]]) -> pd.DataFrame:
    """The points of a series, with the columns of CHANGE where a change begins; `known`: the facts of each run."""
    past, rows, pace = max(0, len(group) - LONGEST), records(group), group["calibration_s"]
    places = [past + change.index for change in found.changes]
    edges = [0, *places, len(group)]
    told = []
    for number, change in enumerate(found.changes):
        left, at, right = edges[number : number + 3]
        before, after = rows[at - 1], rows[at]
        told.append(
            {"ratio": change.ratio, "ratio_low": change.low, "ratio_high": change.high, "p": found.p}
            | {"pace_ratio": pace.iloc[at:right].median() / pace.iloc[left:at].median(), "before": before["run"]}
            | {"earliest": rows[past + change.first]["run"], "latest": rows[past + change.last]["run"]}
            | {"changed": "; ".join(_differing(_told(before, known), _told(after, known)))}
        )
    return group.join(pd.DataFrame(told, group.index[places], CHANGE))


def _told(row: dict[str, Any], known: dict[str, dict[str, str]]) -> dict[str, str]:
    return {words(row["framework"]): words(row["version"])} | {"commit": words(row["commit"])} | known[row["run"]]


def _differing(before: dict[str, str], after: dict[str, str]) -> list[str]:
    """`numpy 2.4.6 -> 2.5.0` for each fact that is not the same on both sides."""
    names = [name for name in after | before if before.get(name) != after.get(name)]
    return [f"{name} {before.get(name, '-')} -> {after.get(name, '-')}" for name in names]


def _invalid(rows: pd.DataFrame) -> list[dict[str, str]]:
    """How many blocks of which run and case failed, and why."""
    failed = rows[~rows["valid"]].groupby(["run", *CASE, "reason"], dropna=False).size()
    return rows_of(failed.rename("blocks").reset_index())


def _works(groups: list[pd.DataFrame]) -> dict[int, str]:
    """For each series of a case but its first, what in its work is not as in that one."""
    said: dict[int, str] = {}
    firsts: dict[tuple[Any, ...], pd.DataFrame] = {}
    for number, group in enumerate(groups):
        first = firsts.setdefault(tuple(group.iloc[0][["machine", *CASE]]), group)
        if first is not group:
            sides = str(first["run"].iloc[0]), str(group["run"].iloc[0])
            both = (rows.assign(valid=True, reason="", block=0) for rows in (first, group))
            left, right = (samples_by_case(rows, CASE).popitem()[1] for rows in both)
            said[number] = f"Other work, so another series: {'; '.join(differences(left, right, sides))}."
    return said


def _caveats(runs: list[Run], other: int) -> list[str]:
    broken = [run.label for run in runs if run.campaign.get("interrupted")]
    moments = Counter((run.machine, run.when) for run in runs)
    return [
        *([f"Other work is another series, which says what differs: {other} of these."] if other else []),
        *([f"Interrupted, counted with what is valid: {', '.join(broken)}."] if broken else []),
        *(["Runs of the same moment stand in the order of their names."] if max(moments.values()) > 1 else []),
    ]


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
    ratio, low, high = map(ratio_digits, ends)
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
        | {"machine's pace": f"{ratio_digits(row['pace_ratio'])}x" if row["pace_ratio"] == row["pace_ratio"] else "-"}
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


FORMATS = [".svg", ".png", ".html"]
COLUMNS, WIDTH, HEIGHT = 3, 260, 120  # panels beside one another; pixels of each
COLOURS = ["#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000"]  # Okabe and Ito's, less yellow
SHAPES = ["circle", "square", "triangle-up", "diamond", "cross", "triangle-down", "triangle-right"]
MARGIN = 1.05  # above and below the blocks, and what a flat series is shown as
LABEL = "format(datum.value, '.3~s') + 's'"


def draw(page: pd.DataFrame, path: Path) -> None:
    """Draw `history`'s rows into a file, by its suffix. Raises RunError for another suffix, no points, no package."""
    if path.suffix not in FORMATS:
        raise RunError(f"--plot {path}: the name must end in one of {', '.join(FORMATS)}")
    if page.empty:
        raise RunError("nothing to draw: no valid point")
    alt, convert = package("altair"), package("vl_convert")
    chart = _chart(alt, page)
    if path.suffix == ".png":
        atomic_write(path, convert.vegalite_to_png(chart.to_json(), ppi=144))
    elif path.suffix == ".svg":
        atomic_write(path, convert.vegalite_to_svg(chart.to_json()))
    else:
        atomic_write(path, str(chart.to_html(inline=True, json_kwds={"cls": _Escaped})))


class _Escaped(json.JSONEncoder):
    """JSON that stands in a script element: no name closes it. altair writes them as they are."""

    def encode(self, o: Any) -> str:
        return super().encode(o).replace("<", "\\u003c")


def _chart(alt: Any, page: pd.DataFrame) -> Any:
    """The panels of each machine under its name."""
    frameworks = sorted(page["framework"].map(words).unique())
    scales = {
        "color": alt.Color("framework:N", title=None, scale=_cycled(alt, frameworks, COLOURS)),
        "shape": alt.Shape("framework:N", title=None, scale=_cycled(alt, frameworks, SHAPES)),
    }
    machines = []
    for machine, here in page.groupby("machine", sort=False):
        dates = alt.Scale(type="utc", domain=[here["datetime"].min(), here["datetime"].max()], padding=8)
        panels = [_panel(alt, records(case), dates, scales) for _, case in here.groupby(CASE, sort=False, dropna=False)]
        machines.append(alt.concat(*panels, columns=COLUMNS, title=f"{words(machine)}, {_span(here)}"))
    return alt.vconcat(*machines, background="white").configure_title(anchor="start")


def _cycled(alt: Any, names: list[str], values: list[str]) -> Any:
    return alt.Scale(domain=names, range=[values[number % len(values)] for number in range(len(names))])


def _span(rows: pd.DataFrame) -> str:
    return "UTC " + " to ".join(dict.fromkeys(edge[:10] for edge in (rows["datetime"].min(), rows["datetime"].max())))


def _panel(alt: Any, rows: list[dict[str, Any]], dates: Any, scales: dict[str, Any]) -> Any:
    """One case: a line per series, a bar from the lowest to the highest block, each change and where it may begin."""
    x = alt.X("datetime:T", title=None, scale=dates, axis=alt.Axis(tickCount=4, labelOverlap=True))
    room = [min(row["low_s"] for row in rows) / MARGIN, max(row["high_s"] for row in rows) * MARGIN]
    scale = alt.Scale(type="log", domain=room, nice=False)
    y = alt.Y("per_step_s:Q", title="per step", scale=scale, axis=alt.Axis(labelExpr=LABEL, tickCount=4))
    told = alt.Chart(alt.Data(values=[_dot(row) for row in rows])).encode(x=x)
    tooltip = [alt.Tooltip(f"{name}:N") for name in ("run", "commit", "version", "per step", "blocks")]
    marks = alt.Chart(alt.Data(values=_changes(rows))).encode(x=alt.X("from:T", title=None, scale=dates))
    impl, device, dtype, problem = (words(rows[0][name]) for name in CASE)
    told_of = [f"{dtype}, {device}", *[moved(row) for row in rows if begins(row)]]
    return alt.layer(
        marks.mark_rect(color="#999999", opacity=0.3).encode(x2="to:T"),
        marks.mark_rule(color="black", strokeDash=[4, 2]).encode(x=alt.X("at:T", title=None, scale=dates)),
        told.mark_rule(opacity=1).encode(y=alt.Y("low_s:Q", scale=scale), y2="high_s:Q", color=scales["color"]),
        told.mark_line(strokeWidth=1).encode(y=y, detail="series:N", color=scales["color"]),
        told.mark_point(filled=True, size=35, opacity=1).encode(y=y, tooltip=tooltip, **scales),
        title=alt.TitleParams(f"{impl}, {problem}", subtitle=told_of),
        width=WIDTH,
        height=HEIGHT,
    )


def _dot(row: dict[str, Any]) -> dict[str, Any]:
    """A point as the chart needs it, what a reader points at in words."""
    shown = {name: words(row[name]) for name in ("run", "commit", "framework")}
    shown |= {"version": f"{shown['framework']} {words(row['version'])}", "per step": seconds(row["per_step_s"])}
    kept = ("series", "datetime", "per_step_s", "low_s", "high_s", "blocks")
    return shown | {name: row[name] for name in kept}


def _changes(rows: list[dict[str, Any]]) -> list[dict[str, str]]:
    """For each change of a case the middle between its two runs, and the dates between which it may lie."""
    found = []
    for begun, before in sides(rows):
        own = [row for row in rows if row["series"] == begun["series"]]
        labels = [row["run"] for row in own]
        first, last = (labels.index(begun[name]) for name in ("earliest", "latest"))
        left, right = (datetime.fromisoformat(row["datetime"]) for row in (before, begun))
        at = (left + (right - left) / 2).isoformat()
        found.append({"at": at, "from": own[first - 1]["datetime"], "to": own[last]["datetime"]})
    return found


def add_commands(commands: options.Commands) -> None:
    """Add `history` to the command line."""
    command = options.add(
        commands, "history", _history, "show each case's time over dates and versions, and where it changed"
    )
    options.add_filters(command)
    options.add_runs(command, "all that can be read")
    command.add_argument("--plot", type=Path, metavar="FILE", help="draw it as well: FILE.svg, FILE.png or FILE.html")


def _history(given: Namespace) -> Page:
    """Every run that can be read, unless some are named."""
    root = given.runs
    runs, faults = (find_all(given.run, root), {}) if given.run else read_all(files(root), root)
    if not runs:
        raise RunError(f"no run can be read: {' | '.join(faults.values())}")
    page = history(runs, options.filters(given), faults)
    if given.plot:
        draw(page.data, given.plot)
    return page
