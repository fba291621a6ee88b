"""Show the time of each case over dates, commits and versions, per machine, and find significant changes.

A series is one case on one machine with the same source file and work (`pairing.EQUAL_FACTS`). Other work makes
another series. An edited file stays in its series; `code` identifies its version. A point is one run: the median over
its blocks. `change_points` finds the changes. The calibration loop (`calibration_s`) shows whether the machine changed.
"""

import json
import math
from argparse import Namespace
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from results import options
from results.output import Page, Section, counted, records, rows_of, seconds, with_rows, words
from results.stats.change_points import CORRELATION, MAX_POINTS, MIN_POINTS, SIDE_POINTS, Search, search
from results.stats.noise import percent
from results.stats.pairing import EQUAL_FACTS, without_duplicates
from results.stats.quiet_or_busy import BUSY, QUIET, UNKNOWN, judge_machine
from results.stats.signed_rank import ALPHA
from results.stats.verdict_tables import ratio_digits
from results.store.atomic import atomic_write
from results.store.columns import CASE
from results.store.outcomes import Row
from results.store.reading import Run, RunError, facts, machine_groups, other_machine, text
from results.store.runs import files, find_all, first_names, join, read_all

POINT_COLUMNS = ["series", "run", "machine", "hardware", "datetime", "commit", "file", "code"]
POINT_COLUMNS += [*CASE, "framework", "version"]
TIME_COLUMNS = ["per_step_s", "low_s", "high_s", "blocks", "calibration_s"]
CHANGE_COLUMNS = ["ratio", "ratio_low", "ratio_high", "p", "pace_ratio", "before", "earliest", "latest", "changed"]
NOTES = [
    "A point is one run: the median over its valid blocks. Machines are never pooled.",
    f"A change has at least {SIDE_POINTS} runs on either side. The chance of any false alarm on this page is meant to"
    f" be {ALPHA:.0%} (Holm over its series), for noise of a run that is correlated by {CORRELATION} with that of the"
    " next. docs/simulations.md says what it was. It is larger if hosts or memory layouts change"
    " between runs or a machine drifts for longer. The intervals of ratio and date come from a seeded simulation.",
    "Calibration loop: its time after the change over its time before. If it changed as much as the case, the machine"
    " changed, not the code.",
]
SUMMARIZED_CHANGES = 3  # in the summary
SHOWN_SERIES = 12  # or fewer: each has a table


def history(runs: list[Run], filters: dict[str, list[str] | None], errors: dict[str, str]) -> Page:
    """Return one row per point, with the change that begins at it, if any.

    `filters`: values to show by column. `errors`: messages by unreadable file. Raises RunError for an unknown value, or
    if a package is missing.
    """
    rows = options.filter_rows(without_duplicates(join([run.rows for run in runs])), filters, "the history")
    table = points(rows, runs)
    groups = [group for _, group in table.groupby("series")]
    searches = search([np.log(group["per_step_s"].to_numpy(float)[-MAX_POINTS:]) for group in groups])
    facts_by_run = {run.label: facts(run) for run in runs}
    changed = [_add_changes(group, result, facts_by_run) for group, result in zip(groups, searches, strict=True)]
    page = (pd.concat(changed) if changed else table).reindex(columns=[*POINT_COLUMNS, *TIME_COLUMNS, *CHANGE_COLUMNS])
    page = page.astype(dict.fromkeys(CHANGE_COLUMNS[:5], float))
    work = _work_differences(groups, {run.label: run for run in runs})
    invalid = rows[~rows["valid"]].groupby(["run", *CASE, "reason"], dropna=False).size().rename("blocks")
    unread = [{"run": name, "reason": message} for name, message in errors.items()]
    sections = [
        Section("History", summarize(page, len(runs)), machine=_machines(runs, set(page["run"]))),
        *with_rows(Section("Changes", table=_change_table(page), level=3)),
        *_series_sections(page, searches, work),
        *with_rows(Section("Invalid: no points", table=rows_of(invalid.reset_index()), level=3)),
        *with_rows(Section("Not read", table=unread, level=3)),
        Section("Notes", notes=[*_caveats(runs, len(work)), *NOTES], level=3),
    ]
    return Page(page, sections)


def points(rows: pd.DataFrame, runs: list[Run]) -> pd.DataFrame:
    """Return one row per series and run, by date: POINT_COLUMNS, TIME_COLUMNS, EQUAL_FACTS. `series` counts from 0."""
    valid = rows[rows["valid"]].sort_values(["machine", *CASE, "datetime", "run"])
    ours = "impls/" + valid["impl"].astype(str) + ".py"  # older files have no `file`; an empty column has numbers
    valid = valid.assign(system=valid["run"].map(machine_groups(runs)), file=valid["file"].fillna(ours))
    key = ["machine", *CASE, "system", "file", *EQUAL_FACTS]
    by_point = valid.groupby(["run", *key], dropna=False, sort=False)
    table = by_point[["datetime", "framework", "version", "code", "hardware"]].first()
    table[["per_step_s", "calibration_s"]] = by_point[["per_step_s", "calibration_s"]].median()
    table["low_s"], table["high_s"] = by_point["per_step_s"].min(), by_point["per_step_s"].max()
    table["blocks"] = by_point["block"].nunique(dropna=False)
    table = table.reset_index()
    commits = {run.label: text(run.commit.get("id"))[:12] + " dirty" * bool(run.commit.get("dirty")) for run in runs}
    table["commit"] = table["run"].map(commits)
    table["series"] = table.groupby(key, dropna=False, sort=False).ngroup()
    return table.sort_values("series", kind="stable", ignore_index=True)


def _add_changes(group: pd.DataFrame, result: Search, facts_by_run: dict[str, dict[str, str]]) -> pd.DataFrame:
    """Add CHANGE_COLUMNS to a series, with values where a change begins."""
    rows, loops, skipped = records(group), group["calibration_s"], max(0, len(group) - MAX_POINTS)
    edges = [0, *(skipped + change.index for change in result.changes), len(group)]
    table = []
    for number, change in enumerate(result.changes):
        start, index, end = edges[number : number + 3]
        software = [
            {words(row["framework"]): words(row["version"]), "commit": words(row["commit"])}
            | {"code": words(row["code"])}
            | facts_by_run[row["run"]]
            for row in rows[index - 1 : index + 1]
        ]
        table.append(
            {
                "ratio": change.ratio,
                "ratio_low": change.low,
                "ratio_high": change.high,
                "p": result.p,
                "pace_ratio": loops.iloc[index:end].median() / loops.iloc[start:index].median(),
                "before": rows[index - 1]["run"],
                "earliest": rows[skipped + change.first]["run"],
                "latest": rows[skipped + change.last]["run"],
                "changed": _differences(*software),
            }
        )
    return group.join(pd.DataFrame(table, group.index[edges[1:-1]], CHANGE_COLUMNS))


def _differences(before: dict[str, str], after: dict[str, str]) -> str:
    """Return each fact that differs: `numpy 2.4.6 -> 2.5.0; jax - -> 0.10`."""
    names = [name for name in after | before if before.get(name) != after.get(name)]
    return "; ".join(f"{name} {before.get(name, '-')} -> {after.get(name, '-')}" for name in names)


def _work_differences(groups: list[pd.DataFrame], runs: dict[str, Run]) -> dict[int, str]:
    """Return for each later series of a case a sentence on how its work differs from the first series."""
    first: dict[Any, tuple[Run, dict[str, str]]] = {}
    sentences = {}
    for number, group in enumerate(groups):
        row = group.iloc[0]
        work = {name: words(row[name]) for name in ("file", *EQUAL_FACTS)}
        run, first_work = first.setdefault(tuple(row[["machine", *CASE]]), (runs[row["run"]], work))
        if first_work is not work:
            differences = [_differences(first_work, work), other_machine(run, runs[row["run"]])]
            reasons = "; ".join(filter(None, differences)) or "the machine of a series in between"
            sentences[number] = f"A series of its own, because of other work or hardware: {reasons}."
    return sentences


def _machines(runs: list[Run], labels: set[str]) -> str:
    """Count the QUIET and BUSY runs with these labels, and name the BUSY ones; "" without a run."""
    by_word: dict[str, list[str]] = {QUIET: [], BUSY: [], UNKNOWN: []}
    for run in (run for run in runs if run.label in labels):
        by_word[judge_machine(run).word].append(run.label)
    counts = "; ".join(f"{word}: {counted(len(names), 'run')}" for word, names in by_word.items() if names)
    busy = f" A change at a BUSY run may be its load: {first_names(by_word[BUSY])}." if by_word[BUSY] else ""
    return f"{counts}.{busy}" if counts else ""


def _caveats(runs: list[Run], other_work: int) -> list[str]:
    interrupted = [run.label for run in runs if run.campaign.get("interrupted")]
    dates = {(run.machine, run.when) for run in runs}
    return [
        *([f"Series whose work differs from that of an earlier series: {other_work}."] if other_work else []),
        *([f"Interrupted runs, of which the valid rows count: {', '.join(interrupted)}."] if interrupted else []),
        *(["Runs with the same date are sorted by name."] if len(dates) < len(runs) else []),
    ]


def summarize(page: pd.DataFrame, runs: int) -> str:
    """Return a sentence on the rows of `history`. `runs`: their number."""
    lengths = page["series"].value_counts()
    if lengths.empty:
        return f"No valid point in {counted(runs, 'run')}."
    scope = f"{len(lengths)} series of {counted(page['machine'].nunique(), 'machine')}"
    short, longest = int((lengths < MIN_POINTS).sum()), lengths.max()
    if short == len(lengths):
        return (
            f"Too few runs to find changes: the longest of {scope} has {longest}; {MIN_POINTS} are needed,"
            f" {SIDE_POINTS} on either side of a change. Missing: {MIN_POINTS - longest}."
        )
    changes = _changes(records(page))
    varied = [name for name in ["dtype", "device", "machine"] if page[name].nunique(dropna=False) > 1]
    clauses = []
    for before, row in changes[:SUMMARIZED_CHANGES]:
        case = ", ".join([f"{words(row['impl'])} on {words(row['problem'])}", *[words(row[name]) for name in varied]])
        ends = [f"{_date(point)} ({words(point['framework'])} {words(point['version'])})" for point in (before, row)]
        clauses.append(f"{case} became {_change_text(row)} between {' and '.join(ends)}")
    if len(changes) > SUMMARIZED_CHANGES:
        clauses.append(f"and {counted(len(changes) - SUMMARIZED_CHANGES, 'change')} more, below")
    head = f"{counted(len(changes), 'change') if changes else 'No significant change'} in {scope}"
    head += f"; {short} of them not judged, with fewer than {MIN_POINTS} runs" if short else ""
    return f"{head}: {'; '.join(clauses)}." if clauses else f"{head}."


def _change_text(row: Row) -> str:
    """Return the change that begins at a point: `1.12x slower (1.08 to 1.16)`."""
    ratio, low, high = row["ratio"], row["ratio_low"], row["ratio_high"]
    if ratio < 1:
        return f"{ratio_digits(1 / ratio)}x faster ({ratio_digits(1 / high)} to {ratio_digits(1 / low)})"
    return f"{ratio_digits(ratio)}x slower ({ratio_digits(low)} to {ratio_digits(high)})"


def _begins_change(row: Row) -> bool:
    return not math.isnan(row["ratio"])


def _changes(rows: list[Row]) -> list[tuple[Row, Row]]:
    """Return the last point before each change and the first after it, the largest change first."""
    pairs = [(rows[index - 1], row) for index, row in enumerate(rows) if _begins_change(row)]
    return sorted(pairs, key=lambda pair: -abs(np.log(pair[1]["ratio"])))


def _date(row: Row) -> str:
    """Return date and time to the minute, UTC."""
    return f"{row['datetime'][:16].replace('T', ' ')}Z"


def _change_table(page: pd.DataFrame) -> list[dict[str, str]]:
    rows = records(page)
    dates = {row["run"]: _date(row) for row in rows}
    return [
        {"machine": row["machine"], **{name: words(row[name]) for name in CASE}}
        | {
            "change": _change_text(row),
            "p": f"{row['p']:.2g}",
            "calibration loop": "-" if math.isnan(row["pace_ratio"]) else f"{ratio_digits(row['pace_ratio'])}x",
            "last before": f"{before['run']}, {_date(before)}",
            "first after": f"{row['run']}, {_date(row)}",
            "interval of the date": " .. ".join(dict.fromkeys([dates[row["earliest"]], dates[row["latest"]]])),
            "also changed": words(row["changed"]),
        }
        for before, row in _changes(rows)
    ]


def _series_sections(page: pd.DataFrame, searches: list[Search], work: dict[int, str]) -> list[Section]:
    """Return a heading per machine and a table per series. If there are many series, only judged ones have a table."""
    sections, lengths = [], page["series"].value_counts()
    short = lengths.index[(lengths < MIN_POINTS) & (len(lengths) > SHOWN_SERIES)]
    for machine, by_machine in page[~page["series"].isin(short)].groupby("machine", sort=False):
        sections.append(Section(words(machine)))
        for number, group in by_machine.groupby("series", sort=False):
            rows, index = records(group), int(str(number))
            title = ", ".join(words(rows[0][name]) for name in CASE)
            sentences = " ".join(filter(None, [_series_summary(rows, searches[index]), work.get(index)]))
            sections.append(Section(title, sentences, [_point_cells(row) for row in rows], level=3))
    if len(short):
        how = "Name a few: python -m results history --impl A --problem B"
        sections.append(Section(text=f"Not shown: {len(short)} series with fewer than {MIN_POINTS} runs. {how}"))
    return sections


def _series_summary(rows: list[Row], result: Search) -> str:
    if len(rows) < MIN_POINTS:
        return f"{counted(len(rows), 'run')} of the {MIN_POINTS} that a change needs, {SIDE_POINTS} on either side."
    changes = [f"{_change_text(row)} from {_date(row)} on" for row in rows if _begins_change(row)]
    smallest = percent(result.smallest - 1)
    none = f"No significant change (p = {result.p:.2g}); the smallest one detectable in the middle is {smallest}"
    searched = f" Searched: the latest {MAX_POINTS} runs." if len(rows) > MAX_POINTS else ""
    return f"{'; '.join(changes) or none}.{searched}"


def _point_cells(row: Row) -> dict[str, str]:
    return {
        "date": _date(row),
        "run": row["run"],
        "commit": words(row["commit"]),
        "version": f"{words(row['framework'])} {words(row['version'])}",
        "code": words(row["code"]),
        "per step": seconds(row["per_step_s"]),
        "lowest..highest": f"{seconds(row['low_s'])} .. {seconds(row['high_s'])}",
        "blocks": words(row["blocks"]),
        "change": _change_text(row) if _begins_change(row) else "",
    }


SUFFIXES = [".svg", ".png", ".html"]
PANELS_PER_ROW, PANEL_WIDTH, PANEL_HEIGHT = 3, 260, 120  # pixels
MAX_PANELS = 24  # Altair takes a third of a second for each
DOMAIN_MARGIN = 1.05  # factor above and below the blocks
AXIS_LABEL = "format(datum.value, '.3~s') + 's'"


def draw(page: pd.DataFrame, path: Path) -> None:
    """Draw the rows of `history` into a file. Raises RunError for no points."""
    if page.empty:
        raise RunError("nothing to draw: no valid point")
    import altair as alt  # imported here: of the extra `report`
    import vl_convert as convert

    chart = _chart(alt, page)
    if path.suffix == ".png":
        atomic_write(path, convert.vegalite_to_png(chart.to_json(), ppi=144))
    elif path.suffix == ".svg":
        atomic_write(path, convert.vegalite_to_svg(chart.to_json()))
    else:
        atomic_write(path, str(chart.to_html(inline=True, json_kwds={"cls": _ScriptEncoder})))


def drawn(page: pd.DataFrame) -> tuple[pd.DataFrame, list[Section]]:
    """Return the rows of the MAX_PANELS cases with the largest changes, then the most runs, and a note on them."""
    case = ["machine", *CASE]
    ranks = page.assign(change=np.log(page["ratio"]).abs()).groupby(case, sort=False, dropna=False)
    cases = ranks.agg(change=("change", "max"), runs=("run", "nunique"))
    if len(cases) <= MAX_PANELS:
        return page, []
    best = cases.sort_values(["change", "runs"], ascending=False, kind="stable").index[:MAX_PANELS]
    text = (
        f"Drawn: {MAX_PANELS} of {len(cases)} cases, those with the largest changes and most runs. Draw others: python"
        " -m results history --impl A --problem B --plot FILE"
    )
    return page[pd.MultiIndex.from_frame(page[case]).isin(best)], [Section(text=text)]


class _ScriptEncoder(json.JSONEncoder):
    """Encode JSON for a script element. Altair does not escape `<`, so a text could close the element."""

    def encode(self, o: Any) -> str:
        return super().encode(o).replace("<", "\\u003c")


def _chart(alt: Any, page: pd.DataFrame) -> Any:
    """Return a grid of panels per machine."""
    from results.page.charts import COLOURS, SHAPES  # imported here: it needs Altair

    frameworks = sorted(page["framework"].map(words).unique())
    scales = {
        "color": alt.Color("framework:N", title=None, scale=alt.Scale(domain=frameworks, range=COLOURS["light"])),
        "shape": alt.Shape("framework:N", title=None, scale=alt.Scale(domain=frameworks, range=SHAPES)),
    }
    machines = []
    for machine, rows in page.groupby("machine", sort=False):
        ends = [rows["datetime"].min(), rows["datetime"].max()]
        dates = alt.Scale(type="utc", domain=ends, padding=8)
        cases = rows.groupby(CASE, sort=False, dropna=False)
        panels = [_panel(alt, records(case), dates, scales) for _, case in cases]
        title = f"{words(machine)}, UTC {' to '.join(dict.fromkeys(end[:10] for end in ends))}"
        machines.append(alt.concat(*panels, columns=PANELS_PER_ROW, title=title))
    return alt.vconcat(*machines, background="white").configure_title(anchor="start")


def _panel(alt: Any, rows: list[Row], dates: Any, scales: dict[str, Any]) -> Any:
    """Return a chart of one case: a line per series, a bar over the blocks of a run, each change with its interval."""
    x = alt.X("datetime:T", title=None, scale=dates, axis=alt.Axis(tickCount=4, labelOverlap=True))
    domain = [min(row["low_s"] for row in rows) / DOMAIN_MARGIN, max(row["high_s"] for row in rows) * DOMAIN_MARGIN]
    scale = alt.Scale(type="log", domain=domain, nice=False)
    y = alt.Y("per_step_s:Q", title="per step", scale=scale, axis=alt.Axis(labelExpr=AXIS_LABEL, tickCount=4))
    exact = ("series", "datetime", "per_step_s", "low_s", "high_s", "blocks")  # the others are texts
    values = [{"framework": words(row["framework"])} | _point_cells(row) | {n: row[n] for n in exact} for row in rows]
    runs = alt.Chart(alt.Data(values=values)).encode(x=x)
    tooltip = [alt.Tooltip(f"{name}:N") for name in ("run", "commit", "version", "per step", "blocks")]
    changes = alt.Chart(alt.Data(values=_chart_changes(rows))).encode(x=alt.X("from:T", title=None, scale=dates))
    impl, device, dtype, problem = (words(rows[0][name]) for name in CASE)
    subtitle = [f"{dtype}, {device}", *[_change_text(row) for row in rows if _begins_change(row)]]
    return alt.layer(
        changes.mark_rect(color="#999999", opacity=0.3).encode(x2="to:T"),
        changes.mark_rule(color="black", strokeDash=[4, 2]).encode(x=alt.X("at:T", title=None, scale=dates)),
        runs.mark_rule(opacity=1).encode(y=alt.Y("low_s:Q", scale=scale), y2="high_s:Q", color=scales["color"]),
        runs.mark_line(strokeWidth=1).encode(y=y, detail="series:N", color=scales["color"]),
        runs.mark_point(filled=True, size=35, opacity=1).encode(y=y, tooltip=tooltip, **scales),
        title=alt.TitleParams(f"{impl}, {problem}", subtitle=subtitle),
        width=PANEL_WIDTH,
        height=PANEL_HEIGHT,
    )


def _chart_changes(rows: list[Row]) -> list[dict[str, str]]:
    """Return for each change of a case the middle between its two runs, and the ends of its interval."""
    changes = []
    for before, row in _changes(rows):
        series = [point for point in rows if point["series"] == row["series"]]
        labels = [point["run"] for point in series]
        first, last = (labels.index(row[name]) for name in ("earliest", "latest"))
        start, end = (datetime.fromisoformat(point["datetime"]) for point in (before, row))
        middle = (start + (end - start) / 2).isoformat()
        changes.append({"at": middle, "from": series[first - 1]["datetime"], "to": series[last]["datetime"]})
    return changes


def add_commands(commands: options.Commands) -> None:
    summary = "show each case's time over dates and versions, and where it changed"
    command = options.add(commands, "history", _history, summary)
    options.add_filters(command)
    options.add_runs(command, "all that can be read")
    command.add_argument("--plot", type=Path, metavar="FILE", help="also draw it: FILE.svg, FILE.png or FILE.html")


def _history(args: Namespace) -> Page:
    if args.plot and args.plot.suffix not in SUFFIXES:
        raise RunError(f"--plot {args.plot}: the name must end in one of {', '.join(SUFFIXES)}")
    runs, errors = (find_all(args.run, args.runs), {}) if args.run else read_all(files(args.runs), args.runs)
    if not runs:
        raise RunError(f"no run can be read: {' | '.join(errors.values())}")
    page = history(runs, options.filters(args), errors)
    if not args.plot:
        return page
    rows, notes = drawn(page.data)
    draw(rows, args.plot)
    return replace(page, sections=[*page.sections, *notes])
