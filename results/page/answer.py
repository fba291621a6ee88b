"""Answer in one screen: do all agree, was the machine quiet, what is fastest at which size, what to do next."""

import math
from collections import Counter
from dataclasses import dataclass
from typing import Any

import pandas as pd

from results.output import Page, Section, records, seconds, shortened, speedup, words
from results.page.report import EXPERT_TUNED
from results.stats.pairing import ratios_to, without_duplicates
from results.stats.pools import earlier_runs, pools_from_runs
from results.stats.quiet import BUSY, WITHHELD, Quiet, is_busy, judge_machine, withhold
from results.stats.signed_rank import EQUIVALENT, FASTER, SLOWER
from results.stats.verdicts import add_verdicts, interval_text
from results.store.columns import CASE
from results.store.outcomes import Row, by_size, drop_duplicates, groups, outcomes
from results.store.reading import Run, facts, mapping, number
from results.store.runs import ROOT

WIDTH = 78  # columns of a line without its dash
ROWS = 8  # problems in the table
FEW = 2  # blocks up to which a number carries its interval, or is marked as not judged
NAMES = {"numpy": "NumPy", "torch": "torch", "jax": "JAX", "numba": "Numba", "tensorflow": "TensorFlow", "dask": "Dask"}
UNSAVED = "not-saved"  # stem of the file of a run that nobody asked to save
DECIDED = (FASTER, SLOWER, EQUIVALENT)
DEAR = 3  # times the start-up of its framework's quickest, above which an implementation is named too


@dataclass(frozen=True)
class Winner:
    """The fastest implementation of one group of cases.

    best: row of the shortest step. ratio: its judged ratio to the baseline, or None. shown: whether its framework is
    shown to be the fastest.
    rivals: implementations that are not shown to be slower. tuned: expert-tuned ones with their judged ratios.
    """

    best: Row
    ratio: dict[str, Any] | None
    shown: bool
    rivals: list[str]
    tuned: list[tuple[str, dict[str, Any]]]


def answer(run: Run, baseline: str, page: str = "") -> Page:
    """Return the answer of a run, in at most 25 lines of 80 columns. `page`: where its report is, or "".

    The data has one row per problem, dtype and device. A BUSY machine has no winners.
    """
    quiet = judge_machine(run)
    rows = records(drop_duplicates(run, outcomes(run)))
    judged = _judge(run, baseline)
    winners = _winners(run, rows, judged, quiet, baseline)
    table = [_cells(winner, baseline) for winner in winners[:ROWS]]
    sections = [Section(_title(run), notes=[cut(_agreement(rows)), cut(quiet.line), _decided(judged, quiet, baseline)])]
    if winners:
        sections.append(Section(table=table, notes=[*_in_words(winners), *_legend(winners), *_tuned(winners)]))
    sections.append(Section(notes=[*_startup(run), *_missing(rows), *_next(run, baseline, winners, page)]))
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


def _fit(head: str, parts: list[str], separator: str = ", ") -> list[str]:
    """Return one line with as many parts as fit, and the number of the others. No line without parts."""
    for count in range(len(parts), 0, -1):
        more = f"{separator}{len(parts) - count} more" if count < len(parts) else ""
        line = f"{head}{separator.join(parts[:count])}{more}"
        if len(line) <= WIDTH:
            return [line]
    return [cut(f"{head}{parts[0]}")] if parts else []


def cut(line: str) -> str:
    """Return a line, cut after a whole word if it is too long."""
    return line if len(line) <= WIDTH else line[: WIDTH - 3].rsplit(" ", 1)[0] + "..."


def _title(run: Run) -> str:
    known, wall = facts(run), number(run.campaign.get("wall_s"))
    cores = number(mapping(run.document["machine_info"]).get("cores"))
    took = f"{int(wall // 60)} min {wall % 60:.0f} s" if wall >= 60 else seconds(wall)
    gpu = "no GPU" if known["gpu"] == "none" else known["gpu"]
    interrupted = "interrupted" if run.campaign.get("interrupted") else ""
    cpu = known["cpu"][:20].strip()
    parts = [cpu, f"{words(cores)} cores", gpu[:20], took if wall > 0 else "", interrupted, run.path.stem]
    return cut("; ".join(filter(None, parts)))


def _agreement(rows: list[Row]) -> str:
    tried = groups([row for row in rows if row["status"] != "skipped"], "impl")
    others = {words(impl): group for (impl,), group in tried if any(row["status"] != "measured" for row in group)}
    if not tried:
        return "No implementation was tried."
    if not others:
        return f"{len(tried)} of {len(tried)} implementations agree with the reference."
    name, group = next(iter(others.items()))
    reason = next(words(row["reason"]) for row in group if row["status"] != "measured")
    names = f"{name} ({reason})" if len(others) == 1 else f"{', '.join(others)}; {name}: {reason}"
    return f"{len(tried) - len(others)} of {len(tried)} implementations agree with the reference; not {names}"


def _judge(run: Run, baseline: str) -> pd.DataFrame:
    """Return the judged ratios to the baseline, without the baseline. Empty if nothing can be compared."""
    table = ratios_to(without_duplicates(run.rows), baseline)
    table = table[(table["impl"] != baseline) & (table["refused"] == "")]
    if table.empty:
        return table
    pools = pools_from_runs(run, earlier_runs(run), baseline)
    return withhold(add_verdicts(table, pools.by_pair), is_busy([run]))


def _decided(judged: pd.DataFrame, quiet: Quiet, baseline: str) -> str:
    if judged.empty:
        return cut(f"Nothing can be compared with {baseline}.")
    if quiet.word == BUSY:
        return f"The {len(judged)} comparisons with {baseline} are undecided: {WITHHELD}."
    decided = int(judged["verdict"].isin(DECIDED).sum())
    least, most = judged["blocks"].min(), judged["blocks"].max()
    blocks = f"{most} block{'' if most == 1 else 's'}" if least == most else f"{least} to {most} blocks"
    return f"{decided} of {len(judged)} comparisons with {baseline} are decided, from {blocks}."


def _winners(run: Run, rows: list[Row], judged: pd.DataFrame, quiet: Quiet, baseline: str) -> list[Winner]:
    """Return the winner of each problem, dtype and device, the smallest problem first."""
    ratios = {tuple(row[name] for name in CASE): row for row in records(judged)}
    measured = [row for row in rows if row["status"] == "measured" and row["step_reads"] == "X"]
    winners = []
    for case, group in groups(measured, *CASE[1:]):
        usual = [row for row in group if row["impl"] not in EXPERT_TUNED] or group
        named = {row["impl"]: ratios.get(tuple(row[name] for name in CASE)) for row in group}
        best = min(usual, key=lambda row: _rank(row, named[row["impl"]], baseline))
        tuned = [(impl, ratio) for impl, ratio in named.items() if impl in EXPERT_TUNED and ratio]
        verdicts = _against(run, best, [row["impl"] for row in usual], case)
        rivals = [impl for impl, verdict in verdicts.items() if quiet.word == BUSY or verdict != SLOWER]
        same = {_framework(impl) for impl in rivals} <= {_framework(best["impl"])}
        shown = quiet.word != BUSY and same and len(usual) > 1
        winners.append(Winner(best, named[best["impl"]], shown, rivals, tuned))
    return sorted(winners, key=lambda winner: (*by_size(winner.best), *(winner.best[name] for name in CASE[1:3])))


def _rank(row: Row, ratio: dict[str, Any] | None, baseline: str) -> tuple[Any, ...]:
    """Return a sort key: the adjusted ratio to the baseline; without one the time per step."""
    known = 1.0 if row["impl"] == baseline else ratio["ratio"] if ratio else math.inf
    return known, row["per_step_s"], words(row["impl"])


def _framework(impl: str) -> str:
    """Return the framework of an implementation as its users write it."""
    name = words(impl).partition("_")[0]
    return NAMES.get(name, name)


def _against(run: Run, best: Row, impls: list[str], case: tuple[Any, ...]) -> dict[str, str]:
    """Return the verdict of every other implementation against the best one in a case."""
    rows = run.rows[run.rows["impl"].isin(impls) & (run.rows[CASE[1:]] == list(case)).all(axis=1)]
    table = ratios_to(without_duplicates(rows), best["impl"])
    table = table[(table["impl"] != best["impl"]) & (table["refused"] == "")]
    return {row["impl"]: row["verdict"] for row in records(add_verdicts(table))} if len(table) else {}


def _problem(row: Row) -> str:
    """Return `small (1,000 x 10)`; of a problem that is called by its size `50,000 x 30`."""
    name, size = shortened(words(row["problem"]).split("/")[-1], 16), ""
    if row["n"] == row["n"] and row["d"] == row["d"]:
        size = f"{row['n']:,.0f} x {row['d']:,.0f}"
        base, mark, batch = name.partition("@")
        name = f"{size}{mark}{batch}" if base == f"{row['n']:.0f}x{row['d']:.0f}" else f"{name} ({size})"
    others = [row["dtype"]] * (row["dtype"] != "float32") + [row["device"]] * (row["device"] != "cpu")
    return " ".join([name, *others])


def _cells(winner: Winner, baseline: str) -> dict[str, str]:
    rivals = [*winner.rivals[:1], *([f"+{len(winner.rivals) - 1}"] if len(winner.rivals) > 1 else [])]
    over = "NumPy" if baseline == "numpy_manual" else shortened(baseline, 16)
    return {
        "problem": _problem(winner.best),
        "fastest step": words(winner.best["impl"]),
        f"over {over}": _speedup_cell(winner.ratio) if winner.ratio else "-",
        "not shown slower": " ".join(rivals) or "-",
    }


def _speedup_cell(row: dict[str, Any]) -> str:
    """Return a speed-up with its verdict: `6.80x`, `1.20x ?` if undecided; with its interval from few blocks."""
    if row["verdict"] in DECIDED:
        return speedup(1 / row["ratio"]) + (f" ({interval_text(row)})" if row["blocks"] <= FEW else "")
    return f"{speedup(1 / row['ratio'])} ?"


def _in_words(winners: list[Winner]) -> list[str]:
    """Return which framework is fastest on which problems."""
    by_name: dict[str, dict[str, None]] = {}
    for winner in winners:
        key = _framework(winner.best["impl"]) if winner.shown else ""
        by_name.setdefault(key, {})[words(winner.best["problem"])] = None
    undecided = [*by_name.pop("", {})]
    parts = [f"{name} on {', '.join(problems)}" for name, problems in by_name.items()]
    widths = [len("Fastest: " + "; ".join(parts[: count + 1])) for count in range(len(parts))]
    first = max(sum(width <= WIDTH for width in widths), 1)  # parts on the first of at most two lines
    lines = [*_fit("Fastest: ", parts[:first], "; "), *_fit("Fastest: ", parts[first:], "; ")]
    return [*lines, *_fit("No fastest shown on ", undecided)]


def _legend(winners: list[Winner]) -> list[str]:
    ratios = [winner.ratio for winner in winners if winner.ratio]
    undecided = [ratio for ratio in ratios if ratio["verdict"] not in DECIDED]
    few = "; one or two blocks are not judged" if any(ratio["blocks"] <= FEW for ratio in undecided) else ""
    lines = [f"?: not decided{few}."] if undecided else []
    return [
        *lines,
        *([f"{len(winners) - ROWS} more problems: use results answer --format csv"] * (len(winners) > ROWS)),
    ]


def _tuned(winners: list[Winner]) -> list[str]:
    """Return the speed-ups of expert-tuned implementations, a line each."""
    parts: dict[str, list[str]] = {}
    for winner in winners:
        for impl, ratio in winner.tuned:
            parts.setdefault(impl, []).append(f"{_speedup_cell(ratio)} {words(winner.best['problem'])}")
    return [line for impl, each in parts.items() for line in _fit(f"Expert-tuned {impl}: ", each)]


def _startup(run: Run) -> list[str]:
    """Return the seconds of a fresh process to its first weights, by framework: import, prepare and first run."""
    rows = without_duplicates(run.rows)
    rows = rows[rows["valid"].astype(bool) & ~rows["impl"].isin(EXPERT_TUNED)]
    rows = rows.assign(start_s=rows["import_s"] + rows["prepare_s"] + rows["first_s"]).dropna(
        subset=["start_s", "impl"]
    )
    of_processes = rows.groupby(["impl", "block"], dropna=False)["start_s"].max()  # the process's first case
    start_by_impl = of_processes.groupby("impl").median()
    by_framework: dict[str, dict[str, float]] = {}
    for impl, start_s in start_by_impl.items():
        by_framework.setdefault(_framework(str(impl)), {})[str(impl)] = float(start_s)
    parts: list[tuple[float, str]] = []
    for framework, impls in by_framework.items():
        low = min(impls.values())
        parts.append((low, f"{framework} {low:.2g}"))
        parts += [(start_s, f"{impl} {start_s:.2g}") for impl, start_s in impls.items() if start_s > DEAR * low]
    return _fit("Seconds from start to first weights: ", [text for _, text in sorted(parts)])


def _missing(rows: list[Row]) -> list[str]:
    """Return what was skipped or refused, the most frequent reasons first."""
    reasons: dict[str, set[str]] = {}
    for row in rows:
        if row["status"] in ("skipped", "refused"):
            reasons.setdefault(words(row["reason"]).partition(":")[0], set()).add(words(row["impl"]))
    parts = [
        f"{', '.join(sorted(impls)) if len(impls) < 3 else f'{len(impls)} implementations'} ({reason})"
        for reason, impls in sorted(reasons.items(), key=lambda item: -len(item[1]))
    ]
    return _fit("Not run: ", parts, "; ")


def _next(run: Run, baseline: str, winners: list[Winner], page: str) -> list[str]:
    """Return the commands that go on from here, and where the page is."""
    if not run.path.exists() or run.path.stem == UNSAVED:
        return ["To keep a run: pytest benchmarks --benchmark-save=NAME"]
    name = run.path.stem if run.path.absolute().is_relative_to(ROOT) else str(run.path)
    best = [winner.best["impl"] for winner in winners if winner.best["impl"] != baseline]
    commands = [
        f"show {name}",
        *(f"compare {baseline} {impl} --run {name}" for impl, _ in Counter(best).most_common(1)),
    ]
    commands += [] if page else [f"report {name}"]
    return [*(f"python -m results {command}" for command in commands), *([f"Page: {page}"] if page else [])]
