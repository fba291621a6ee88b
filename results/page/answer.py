"""Answer in one screen: agreement, noise, the fastest implementation by size, and the next commands."""

import math
import shlex
from collections import Counter
from statistics import median
from typing import Any

import pandas as pd

from results.output import Page, Section, counted, records, seconds, shortened, speedup, words
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
from results.store.columns import CASE
from results.store.outcomes import Row, drop_duplicates, expert_tuned, of_complete_blocks, outcomes
from results.store.reading import Run, machine_words, mapping, number
from results.store.runs import name_of

LINE_COLUMNS = 78  # without the leading dash
NAME_CHARACTERS = 20  # of an implementation that is not shown slower
TABLE_ROWS = 8
UNSAVED_STEM = "not-saved"  # of the file of an unsaved run
NAMED_EXPERTS = 2  # expert-tuned implementations
EXPENSIVE_START_RATIO = 3  # to its framework's fastest; above it, an implementation is named too


def answer(run: Run, baseline: str) -> Page:
    """Return the answer of a run, in at most 25 lines of 80 columns.

    The data has one row per problem, dtype and device. On a BUSY machine, only large differences make winners.
    """
    quiet, rows = judge_machine(run), records(drop_duplicates(run, outcomes(run)))
    pairs = judge_pairs(run, baseline)
    winners = find_winners(run, pairs, baseline)
    prefix = _common_prefix(run)
    is_alone = without_duplicates(run.rows)["impl"].nunique() == 1
    is_long = any(len(winner.best["impl"].removeprefix(prefix)) > NAME_CHARACTERS for winner in winners)
    title = "rivals" if is_long else "not shown slower"
    room = TABLE_ROWS - bool(quiet.named)  # a busy machine has a line of advice
    table = [_alone(winner) if is_alone else _cells(winner, baseline, prefix, title) for winner in winners[:room]]
    decided = _decided(compared_with(pairs, baseline), quiet, baseline.removeprefix(prefix))
    filter_notes = ["Only the selected cases count here."] if any(run.filters.values()) else []
    reason, mark, advice = quiet.line_early.partition(". ")
    machine = [reason + mark.strip(), *filter(None, [advice])]
    state = [*filter_notes, *_agreement(rows), *machine, *kernel_notes(run), *([] if is_alone else [decided])]
    about_winners = [] if is_alone else [*_in_words(winners), *_legend(run, winners, baseline), *_tuned(winners)]
    if len(winners) > room:
        command = f": python -m results answer {name_of(run)} --format csv" if _is_saved(run) else ""
        about_winners.append(f"{counted(len(winners) - room, 'more problem')}{command}")
    sections = [
        Section(_title(run), notes=[*map(cut, state)]),
        Section(table=table, notes=[*about_winners, *_startup(run), *_missing(rows)]),
        Section(notes=_next(run, baseline, winners, is_alone)),
    ]
    data = pd.DataFrame(
        [
            {name: winner.best[name] for name in (*CASE[1:], "n", "d")}
            | {"fastest": winner.best["impl"], "shown": winner.shown, "machine": quiet.word}
            | {"speedup": 1 / winner.ratio["ratio"] if winner.ratio else math.nan}
            | {"not_shown_slower": ", ".join(winner.rivals)}
            for winner in winners
        ],
        columns=[*CASE[1:], "n", "d", "fastest", "shown", "machine", "speedup", "not_shown_slower"],
    )
    return Page(data, sections)


def _fit(head: str, texts: list[str], separator: str = ", ") -> list[str]:
    """Return one line with the texts that fit and the number of omitted texts; [] without texts."""
    for count in range(len(texts), 0, -1):
        suffix = f"{separator}{len(texts) - count} more" if count < len(texts) else ""
        line = f"{head}{separator.join(texts[:count])}{suffix}"
        if len(line) <= LINE_COLUMNS:
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
    name, reason = next(iter(failures.items()))
    names = f"{name} ({reason})" if len(failures) == 1 else f"{', '.join(failures)}; {name}: {reason}"
    return [f"{sentence}.", f"Without a valid time: {names}"]


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


def _cells(winner: Winner, baseline: str, prefix: str, title: str) -> dict[str, str]:
    best, baseline, *rivals = (name.removeprefix(prefix) for name in (winner.best["impl"], baseline, *winner.rivals))
    over = "over NumPy" if baseline == "numpy_manual" else f"over {baseline}" if len(baseline) <= 16 else "speed-up"
    return {
        "problem": problem_label(winner.best),
        "fastest step": words(best),
        over: _speedup_cell(winner.ratio) if winner.ratio else "-",
        title: _rivals(rivals),
    }


def _rivals(names: list[str]) -> str:
    """Return the first name and the number of further names; only the number if the first name is too long."""
    if names and len(names[0]) > NAME_CHARACTERS:
        return f"{len(names)} more"
    more = [f"{len(names) - 1} more"] if len(names) > 1 else []
    return ", ".join([*names[:1], *more]) or "-"


def _alone(winner: Winner) -> dict[str, str]:
    """Return the row of the only implementation, which cannot be compared."""
    step, name = winner.best["per_step_s"], words(winner.best["impl"])
    return {"problem": problem_label(winner.best), "implementation": name, "one step": seconds(step)}


def _speedup_cell(row: dict[str, Any]) -> str:
    """Return a speed-up with its verdict: `6.80x`, `1.20x ?` if undecided; from few blocks with its interval."""
    if row["verdict"] not in DECIDED_VERDICTS:
        return f"{speedup(1 / row['ratio'])} ?"
    ends = 1 / row["interval_high"], 1 / row["interval_low"]
    low, high = (f"{end:.0f}" if end >= 9.5 else f"{end:.2g}" for end in ends)
    span = f" ({low}..{high})"  # two digits: the line has 80 columns
    return speedup(1 / row["ratio"]) + (span if row["blocks"] <= FEW_BLOCKS else "")


def _in_words(winners: list[Winner]) -> list[str]:
    """Return lines that name the fastest framework of each problem."""
    fastest, undecided = in_words(winners)
    widths = [len("Fastest: " + "; ".join(fastest[: count + 1])) for count in range(len(fastest))]
    first = max(sum(width <= LINE_COLUMNS for width in widths), 1)  # parts on the first of at most two lines
    lines = [*_fit("Fastest: ", fastest[:first], "; "), *_fit("Fastest: ", fastest[first:], "; ")]
    return [*lines, *_fit("No fastest shown: ", undecided, "; ")]


def _legend(run: Run, winners: list[Winner], baseline: str) -> list[str]:
    """Return the meaning of the table's marks, and the runs whose noise the intervals of few blocks include."""
    ratios = [winner.ratio for winner in winners if winner.ratio]
    blocks = [ratio["blocks"] for ratio in ratios if ratio["verdict"] not in DECIDED_VERDICTS]
    few = "; more than two blocks may decide" if min(blocks, default=math.inf) <= FEW_BLOCKS else ""
    lines = [f"?: undecided{few}."] if blocks else []
    decided = [ratio["blocks"] for ratio in ratios if ratio["verdict"] in DECIDED_VERDICTS]
    if min(decided, default=math.inf) > FEW_BLOCKS:
        return lines
    used = [label.rpartition("/")[2] for label in pools_from_runs(run, earlier_runs(run), baseline).used]
    interval = "(a..b): interval from 1 or 2 blocks"
    return lines + (_fit(f"{interval} and noise of ", used) or [f"{interval}."])


def _tuned(winners: list[Winner]) -> list[str]:
    """Return the speed-ups of the expert-tuned implementations that gain most, one line each."""
    cells_by_impl: dict[str, list[tuple[float, str]]] = {}
    for winner in winners:
        for impl, ratio in winner.tuned:
            cell = f"{_speedup_cell(ratio)} {words(winner.best['problem'])}"
            cells_by_impl.setdefault(impl, []).append((ratio["ratio"], cell))
    best = sorted(cells_by_impl, key=lambda impl: median(ratio for ratio, _ in cells_by_impl[impl]))[:NAMED_EXPERTS]
    return [line for impl in best for line in _fit(f"Expert-tuned {impl}: ", [cell for _, cell in cells_by_impl[impl]])]


def _startup(run: Run) -> list[str]:
    """Return the seconds that a fresh process takes before its steps, by framework: see `start_seconds`."""
    rows = without_duplicates(run.all_rows)
    rows, lines = rows[rows["impl"].isin(set(run.rows["impl"]) - expert_tuned(run))], list[str]()
    for device, of_device in rows.groupby("device"):
        starts = start_seconds(of_device).dropna()
        fastest = starts.groupby(starts.index.map(framework)).min()
        slow = starts[starts.to_numpy() > EXPENSIVE_START_RATIO * fastest[starts.index.map(framework)].to_numpy()]
        start_texts = sorted((start_s, f"{name} {start_s:.2g}") for name, start_s in (*fastest.items(), *slow.items()))
        where = "" if device == "cpu" else f" on the {device}"
        lines += _fit(f"Start-up seconds{where}: ", [text for _, text in start_texts])
    return lines


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
    best = Counter(winner.best["impl"] for winner in winners if winner.best["impl"] != baseline).most_common(1)
    pairs = [f"compare {shlex.join([baseline, impl])} --run {name}" for impl, _ in best]
    compare = pairs if (axis := _axis(run)) is None else [f"compare --over {axis} {name}"]
    return few + [f"python -m results {command}" for command in (f"show {name}", *compare, f"report {name}")]


def _axis(run: Run) -> str | None:
    """Return the axis of the environments of a run, as `compare --over` takes it; None without environments."""
    environments = mapping(run.campaign.get("environments"))
    axes = [axis for axis in ("threads", "precision") if any(axis in mapping(facts) for facts in environments.values())]
    return None if not environments else axes[0] if axes else "environment"


def _is_saved(run: Run) -> bool:
    return run.path.exists() and run.path.stem != UNSAVED_STEM
