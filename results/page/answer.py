"""Answer in one screen: agreement, noise, the fastest implementation by size, and the next commands."""

import math
import shlex
from collections import Counter
from statistics import median
from typing import Any

import pandas as pd

from results.output import Page, Section, counted, records, seconds, shortened, speedup, words
from results.page.phases import break_even_of
from results.page.standing import (
    DECIDED_VERDICTS,
    Winner,
    compared_with,
    find_winners,
    framework,
    in_words,
    judge_pairs,
)
from results.page.summary import agreement
from results.stats.few_blocks import FIRST_LOOK
from results.stats.pairing import without_duplicates
from results.stats.pools import FEW_BLOCKS, earlier_runs, pools_from_runs
from results.stats.prediction import start_seconds
from results.stats.quiet_or_busy import BUSY_REASON, Quiet, judge_machine, kernel_notes
from results.stats.verdicts import FASTER
from results.store.columns import CASE
from results.store.outcomes import Row, drop_duplicates, expert_tuned, of_complete_blocks, outcomes
from results.store.reading import Run, machine_words, mapping, number
from results.store.runs import name_of

SCREEN_LINES, SCREEN_COLUMNS = 25, 80
BLANK_AND_HEAD_LINES, COLUMN_GAP = 4, 3  # blank lines between sections, and the table's head; spaces between columns
LINE_COLUMNS = 78  # without the leading dash
HEADS = ("Fastest: ", "No fastest shown: ")
NAME_CHARACTERS = 20  # of an implementation that may be as fast
TABLE_ROWS = 8
UNSAVED_STEM = "not-saved"  # of the file of an unsaved run
NAMED_EXPERTS = 2  # expert-tuned implementations
EXPENSIVE_START_RATIO = 3  # to its framework's fastest; above it, an implementation is named too


def answer(run: Run, baseline: str) -> Page:
    """Return the answer of a run, in at most SCREEN_LINES lines of SCREEN_COLUMNS columns.

    The data has one row per problem, dtype and device. On a BUSY machine, only large differences make winners.
    """
    quiet, rows = judge_machine(run), records(drop_duplicates(run, outcomes(run)))
    pairs = judge_pairs(run, baseline)
    winners = find_winners(run, pairs, baseline)
    prefix = _common_prefix(run)
    is_alone = without_duplicates(run.rows)["impl"].nunique() == 1
    is_long = any(len(winner.best["impl"].removeprefix(prefix)) > NAME_CHARACTERS for winner in winners)
    title = "rivals" if is_long else "may be as fast"
    room = TABLE_ROWS - bool(quiet.named)  # a busy machine has a line of advice
    shown = winners[:room]
    table = [_alone(winner) if is_alone else _cells(winner, baseline, prefix, title) for winner in shown]
    if not is_alone and _table_columns(table) > SCREEN_COLUMNS:
        table = [_cells(winner, baseline, prefix, title, with_intervals=False) for winner in shown]
    decided = _decided(compared_with(pairs, baseline), quiet, baseline.removeprefix(prefix))
    filter_notes = ["Only the selected cases count here."] if any(run.filters.values()) else []
    reason, mark, advice = quiet.line_early.partition(". ")
    machine = [reason + mark.strip(), *filter(None, [advice])]
    state = [*machine, *filter_notes, *_agreement(rows), *kernel_notes(run), *([] if is_alone else [decided])]
    more = []
    if len(winners) > room:
        command = f": python -m results answer {name_of(run)} --format csv" if _is_saved(run) else ""
        more = [cut(f"{counted(len(winners) - room, 'more problem')}{command}")]
    words_and_marks = [] if is_alone else [*_in_words(winners), *_legend(run, pairs, winners, baseline)]
    notes = [*words_and_marks, *more, *_startup(run, winners, baseline), *_missing(rows)]
    notes += [] if is_alone else _tuned(winners)
    following = _next(run, baseline, winners, is_alone)
    other_lines = len([_title(run), *state, *table, *following]) + BLANK_AND_HEAD_LINES
    sections = [
        Section(_title(run), notes=[*map(cut, state)]),
        Section(table=table, notes=notes[: SCREEN_LINES - other_lines]),
        Section(notes=following),
    ]
    data = pd.DataFrame(
        [
            {name: winner.best[name] for name in (*CASE[1:], "n", "d")}
            | {"fastest": winner.best["impl"], "shown": winner.shown, "machine": quiet.word}
            | {"speedup": 1 / winner.ratio["ratio"] if winner.ratio else math.nan}
            | {"may_be_as_fast": ", ".join(winner.rivals)}
            for winner in winners
        ],
        columns=[*CASE[1:], "n", "d", "fastest", "shown", "machine", "speedup", "may_be_as_fast"],
    )
    return Page(data, sections)


def _fit(head: str, texts: list[str], separator: str = ", ", columns: int = LINE_COLUMNS) -> list[str]:
    """Return one line with the texts that fit and the number of omitted texts; [] without texts."""
    for count in range(len(texts), 0, -1):
        suffix = f"{separator}{len(texts) - count} more" if count < len(texts) else ""
        line = f"{head}{separator.join(texts[:count])}{suffix}"
        if len(line) <= columns:
            return [line]
    return [cut(f"{head}{texts[0]}")] if texts else []


def cut(line: str) -> str:
    """Return a line, cut after a whole word if it is too long."""
    return line if len(line) <= LINE_COLUMNS else line[: LINE_COLUMNS - 3].rsplit(" ", 1)[0] + "..."


def _title(run: Run) -> str:
    wall = number(run.campaign.get("wall_s"))
    took = f"{int(wall // 60)} min {wall % 60:.0f} s" if wall >= 60 else seconds(wall)
    interrupted = "interrupted" if run.campaign.get("interrupted") else ""
    return cut("; ".join(filter(None, [machine_words(run), took if wall > 0 else "", interrupted, run.path.stem])))


def _agreement(rows: list[Row]) -> list[str]:
    sentence, failures = agreement(rows)
    if not failures:
        return [f"{sentence}."]
    if len(failures) > 1:
        return [f"{sentence}.", *_fit("Cases without a valid time, reasons in show: ", [*failures])]
    return [f"{sentence}.", *[f"Without a valid time: {name} ({reason})" for name, reason in failures.items()]]


def _decided(judged: pd.DataFrame, quiet: Quiet, baseline: str) -> str:
    if judged.empty:
        return f"Nothing can be compared with {baseline}."
    if quiet.is_silent:
        return f"No verdict on {counted(len(judged), 'comparison')} with {baseline}: {BUSY_REASON}."
    decided = int(judged["verdict"].isin(DECIDED_VERDICTS).sum())
    fewest, most = judged["blocks"].min(), judged["blocks"].max()
    blocks = counted(most, "block") if fewest == most else f"{fewest} to {most} blocks"
    total = counted(len(judged), "comparison")
    return f"{decided} of {total} with {baseline} {'is' if len(judged) == 1 else 'are'} decided, from {blocks}."


def problem_label(row: Row) -> str:
    """Return `small (1,000 x 10)`, or `50,000 x 30` for a problem that is named after its size."""
    name, size = shortened(words(row["problem"]).split("/")[-1], 16), ""
    if row["n"] == row["n"] and row["d"] == row["d"]:
        size = f"{row['n']:,.0f} x {row['d']:,.0f}"
        base, mark, batch = name.partition("@")
        name = f"{size}{mark}{batch}" if base == f"{row['n']:.0f}x{row['d']:.0f}" else f"{name} ({size})"
    qualifiers = [row["dtype"]] * (row["dtype"] != "float32") + [row["device"]] * (row["device"] != "cpu")
    return " ".join([name, *qualifiers])


def _common_prefix(run: Run) -> str:
    """Return `numpy_manual@` if a run has only this implementation, in several environments; else ""."""
    names = {str(name).partition("@")[:2] for name in run.rows["impl"].unique()}
    return "".join(next(iter(names))) if len(names) == 1 and next(iter(names))[1] else ""


def _cells(winner: Winner, baseline: str, prefix: str, title: str, with_intervals: bool = True) -> dict[str, str]:
    """Return the row of a problem. with_intervals: also of an undecided speed-up from few blocks."""
    best, baseline, *rivals = (name.removeprefix(prefix) for name in (winner.best["impl"], baseline, *winner.rivals))
    over = "over NumPy" if baseline == "numpy_manual" else f"over {baseline}" if len(baseline) <= 16 else "speed-up"
    return {
        "problem": problem_label(winner.best),
        "fastest step": words(best),
        over: _speedup_cell(winner.ratio, with_intervals) if winner.ratio else "-",
        title: _rivals(sorted(rivals, key=lambda name: name != baseline)),
    }


def _table_columns(table: list[dict[str, str]]) -> int:
    """Return the width of a printed table."""
    widths = [max(len(name), *(len(row[name]) for row in table)) for name in (table[0] if table else ())]
    return sum(widths) + COLUMN_GAP * (len(widths) - 1)


def _rivals(names: list[str]) -> str:
    """Return the first name and the number of further names; only the number if the first name is too long."""
    if names and len(names[0]) > NAME_CHARACTERS:
        return f"{len(names)} more"
    more = [f"+{len(names) - 1}"] if len(names) > 1 else []
    return " ".join([*names[:1], *more]) or "-"


def _alone(winner: Winner) -> dict[str, str]:
    """Return the row of the only implementation, which cannot be compared."""
    step, name = winner.best["per_step_s"], words(winner.best["impl"])
    return {"problem": problem_label(winner.best), "implementation": name, "one step": seconds(step)}


def _speedup_cell(row: dict[str, Any], with_intervals: bool = True) -> str:
    """Return a speed-up with its verdict: `6.80x`, `1.20x ?` if undecided; from few blocks with its interval.

    with_intervals: also an undecided one.
    """
    undecided = row["verdict"] not in DECIDED_VERDICTS
    text, mark = speedup(1 / row["ratio"]), " ?" * undecided
    bounded = 0 < row["interval_low"] <= row["interval_high"] < math.inf
    if row["blocks"] > FEW_BLOCKS or not bounded or (undecided and not with_intervals):
        return text + mark
    ends = 1 / row["interval_high"], 1 / row["interval_low"]
    low, high = (f"{end:.0f}" if end >= 9.5 else f"{end:.2g}" for end in ends)
    return f"{text} ({low}..{high}){mark}"  # two digits: the line has 80 columns


def _in_words(winners: list[Winner]) -> list[str]:
    """Return lines that name the fastest framework of each problem, and what is not shown, two lines each."""
    return [line for head, phrases in zip(HEADS, in_words(winners), strict=True) for line in _phrases(head, phrases)]


def _phrases(head: str, phrases: list[str]) -> list[str]:
    """Return at most two lines with the phrases; those that are too long name fewer problems."""
    widths = [len(head + "; ".join(phrases[: count + 1])) for count in range(len(phrases))]
    first = max(sum(width <= LINE_COLUMNS for width in widths), 1)  # phrases on the first line
    return [line for part in (phrases[:first], phrases[first:]) for line in _fit_phrases(head, part)]


def _fit_phrases(head: str, phrases: list[str]) -> list[str]:
    if not phrases or len(head + phrases[0]) <= LINE_COLUMNS:
        return _fit(head, phrases, "; ")
    name, _, problems = phrases[0].partition("on ")
    more = f"; {len(phrases) - 1} more" if len(phrases) > 1 else ""
    return [line + more for line in _fit(f"{head}{name}on ", problems.split(", "), columns=LINE_COLUMNS - len(more))]


def _legend(run: Run, pairs: pd.DataFrame, winners: list[Winner], baseline: str) -> list[str]:
    """Return the meaning of the table's marks, and the earlier runs whose noise the verdicts and intervals include."""
    ratios = [winner.ratio for winner in winners if winner.ratio]
    undecided = [ratio for ratio in ratios if ratio["verdict"] not in DECIDED_VERDICTS]
    count = counted(len(compared_with(pairs, baseline)), "comparison")
    lines = [f"?: undecided among {count}; more blocks may decide."] if undecided else []
    used = [label.rpartition("/")[2] for label in pools_from_runs(run, earlier_runs(run), baseline).used]
    if min((ratio["blocks"] for ratio in ratios), default=math.inf) <= FEW_BLOCKS:
        interval = "(a..b): interval, shown for 1 or 2 blocks"
        return lines + (_fit(f"{interval}, with the noise of ", used) or [f"{interval}."])
    return lines + _fit("Verdicts include the noise of ", used)


def _tuned(winners: list[Winner]) -> list[str]:
    """Return the speed-ups of the expert-tuned implementations that gain most, one line each."""
    cells_by_impl: dict[str, list[tuple[float, str]]] = {}
    for winner in winners:
        for impl, ratio in winner.tuned:
            cell = f"{_speedup_cell(ratio)} {words(winner.best['problem'])}"
            cells_by_impl.setdefault(impl, []).append((ratio["ratio"], cell))
    best = sorted(cells_by_impl, key=lambda impl: median(ratio for ratio, _ in cells_by_impl[impl]))[:NAMED_EXPERTS]
    return [line for impl in best for line in _fit(f"Expert-tuned {impl}: ", [cell for _, cell in cells_by_impl[impl]])]


def _startup(run: Run, winners: list[Winner], baseline: str) -> list[str]:
    """Return the seconds that a fresh process takes before its steps, by framework: see `start_seconds`.

    The most frequent winner also has the number of steps from which it is done before the baseline, by `_pays`.
    """
    rows = without_duplicates(run.all_rows)
    rows, lines = rows[rows["impl"].isin(set(run.rows["impl"]) - expert_tuned(run))], list[str]()
    best = _most_frequent(winners, baseline)
    for device, of_device in rows.groupby("device"):
        pays = {framework(best): _pays(run, winners, baseline, best, str(device))} if best else {}
        starts = start_seconds(of_device).dropna()
        fastest = starts.groupby(starts.index.map(framework)).min()
        slow = starts[starts.to_numpy() > EXPENSIVE_START_RATIO * fastest[starts.index.map(framework)].to_numpy()]
        start_texts = sorted(
            (start_s, f"{name} {start_s:.2g}{pays.get(str(name), '')}")
            for name, start_s in (*fastest.items(), *slow.items())
        )
        where = "" if device == "cpu" else f" on the {device}"
        lines += _fit(f"Start-up seconds{where}: ", [text for _, text in start_texts])
    return lines


def _pays(run: Run, winners: list[Winner], baseline: str, impl: str, device: str) -> str:
    """Return from how many steps on a fresh process of `impl` is done before one of the baseline, at best.

    Only problems where it is decided to be the faster one count; "" without any, and so for a run without verdicts.
    """
    won = [winner for winner in winners if winner.best["impl"] == impl and winner.best["device"] == device]
    problems = [winner.best["problem"] for winner in won if winner.ratio and winner.ratio["verdict"] == FASTER]
    table = break_even_of(run, baseline, impl)
    counts = (table["refused"] == "") & (table["device"] == device) & table["problem"].isin(problems)
    steps = table.loc[counts, "steps"].min()
    if math.isnan(steps):
        return ""
    return " (never pays)" if math.isinf(steps) else f" (pays from {float(f'{steps:.2g}'):,.0f} steps on)"


def _missing(rows: list[Row]) -> list[str]:
    """Return a line on skipped and refused implementations, the most frequent reasons first."""
    reasons: dict[str, set[str]] = {}
    for row in rows:
        if row["status"] in ("skipped", "refused"):
            reasons.setdefault(words(row["reason"]).partition(":")[0], set()).add(words(row["impl"]))
    reason_texts = [
        f"{', '.join(sorted(impls)) if len(impls) < 3 else f'{len(impls)} implementations'} ({reason})"
        for reason, impls in sorted(reasons.items(), key=lambda item: -len(item[1]))
    ]
    return _fit("Skipped or refused: ", reason_texts, "; ")


def _next(run: Run, baseline: str, winners: list[Winner], is_alone: bool) -> list[str]:
    """Return the commands to run next."""
    blocks, wall_s = of_complete_blocks(run.rows)["block"].nunique(), number(run.campaign.get("wall_s"))
    minutes = math.ceil(FIRST_LOOK * wall_s / blocks / 60) if blocks and wall_s > 0 else 5
    option = f"--minutes {minutes}" if "schedule" in run.campaign else f"--until-decided --minutes {minutes}"
    decide = f"To decide: the same command with {option}"
    silent = judge_machine(run).is_silent
    few = [decide] if blocks < FIRST_LOOK and winners and not is_alone and not silent else []
    if not _is_saved(run):
        return [*few, "To keep a run: pytest benchmarks --benchmark-save=NAME"]
    name = name_of(run)
    best = _most_frequent(winners, baseline)
    pairs = [f"compare {shlex.join([baseline, best])} --run {name}"] if best else []
    compare = pairs if (axis := _axis(run)) is None else [f"compare --over {axis} {name}"]
    return few + [f"python -m results {command}" for command in (f"show {name}", *compare, f"report {name}")]


def _most_frequent(winners: list[Winner], baseline: str) -> str:
    """Return the implementation that is the fastest of most problems, the baseline apart; "" if there is none."""
    best = Counter(winner.best["impl"] for winner in winners if winner.best["impl"] != baseline).most_common(1)
    return words(best[0][0]) if best else ""


def _axis(run: Run) -> str | None:
    """Return the axis of the environments of a run, as `compare --over` takes it; None without environments."""
    environments = mapping(run.campaign.get("environments"))
    axes = [axis for axis in ("threads", "precision") if any(axis in mapping(facts) for facts in environments.values())]
    return None if not environments else axes[0] if axes else "environment"


def _is_saved(run: Run) -> bool:
    return run.path.exists() and run.path.stem != UNSAVED_STEM
