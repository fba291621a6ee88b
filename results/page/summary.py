"""Summarise a run in a few sentences: agreement with the reference, fastest steps, crossovers, missing cases."""

import math
from collections import defaultdict
from dataclasses import dataclass, replace
from functools import lru_cache

import pandas as pd

from results.output import counted, digits, records, words
from results.page.crossover import crossover
from results.page.errors import by_error, case_text
from results.page.standing import judge_pairs, shown_slower
from results.stats.noise import noise_line
from results.stats.pairing import without_duplicates
from results.stats.prediction import as_jobs
from results.stats.quiet_or_busy import claims_from, judge_machine, kernel_notes
from results.store.columns import CASE
from results.store.outcomes import Row, by_size, drop_duplicates, groups, outcomes
from results.store.reading import Run, RunError
from results.store.seal import EDITED

JOB = 1000  # steps


@dataclass(frozen=True)
class Summary:
    """A title, whether every case that was tried is valid, and sentences."""

    title: str
    all_valid: bool
    lines: list[str]

    @property
    def text(self) -> str:
        """Return title and sentences as one paragraph."""
        return f"{self.title}: {' '.join(self.lines)}"


def summarize_cases(run: Run, rows: list[Row], baseline: str = "") -> Summary:
    """Return agreement, largest error, fastest steps and missing cases of `rows`, which are outcomes of the run.

    `baseline`: its comparisons get half of the error probability, as everywhere on the page; "" for none.
    """
    agree, others = agreement(rows)
    quiet = judge_machine(run)
    lines = [quiet.line, *kernel_notes(run), f"{agree}."]
    measured = [row for row in rows if row["status"] == "measured"]
    if measured:
        worst = min(measured, key=by_error)
        case = f"{words(worst['impl'])}, {case_text(worst)}"
        lines += [f"Largest error of a valid case: {digits(worst['error_ratio'])} of the allowed error ({case})."]
        lines += _fastest(run, measured, baseline) if math.isfinite(quiet.claims_from) else []
    else:
        lines += ["No case is valid, so there are no times."]
    for status in ("invalid", "refused", "skipped"):
        if missing := [row for row in rows if row["status"] == status]:
            lines += [f"{status.capitalize()}: {_reasons(missing)}."]
    lines += ["The campaign was interrupted."] if run.campaign.get("interrupted") else []
    return Summary(f"{run.machine} ({run.label}, {run.date})", bool(measured) and not others, lines)


def agreement(rows: list[Row]) -> tuple[str, dict[str, str]]:
    """Return how many implementations agree with the reference, and the others, each with what is wrong.

    One whose weights were right, but whose time does not count, agrees and is among the others. Rows that were edited
    show nothing.
    """
    tried = groups([row for row in rows if row["status"] != "skipped"], "impl")
    others = {
        words(impl): next(words(row["reason"]) for row in group if row["status"] != "measured")
        for (impl,), group in tried
        if any(row["status"] != "measured" for row in group)
    }
    agreeing = sum(
        all(row["error_ratio"] <= 1 and EDITED not in words(row["reason"]) for row in group) for _, group in tried
    )
    verb = "agrees" if agreeing == 1 else "agree"
    sentence = f"{agreeing} of {counted(len(tried), 'implementation')} {verb} with the reference"
    return sentence if tried else "No implementation was tried", others


@lru_cache(maxsize=8)
def summarize_run(run: Run, baseline: str) -> Summary:
    """Return `summarize_cases` for all outcomes of a run without duplicates, with crossovers and a line on noise."""
    summary = summarize_cases(run, records(drop_duplicates(run, outcomes(run))), baseline)
    return replace(summary, lines=[*summary.lines, *_crossover_lines(run, baseline), noise_line(run)])


def _crossover_lines(run: Run, baseline: str) -> list[str]:
    """Return the n from which an implementation, or a GPU, is faster than the baseline, if the run has several n.

    A GPU is also compared by jobs of JOB steps in a fresh process: they count import, transfer and compilation.
    """
    if math.isinf(claims_from([run])):
        return []
    rows = without_duplicates(run.rows)
    kinds = rows.groupby(["dtype", "d", "k", rows["batch"] < rows["n"]], dropna=False)
    rows = rows[kinds["n"].transform("nunique") > 1]
    cases = zip(rows["impl"], rows["device"], strict=True)
    names = [f"{impl} on the gpu" if device == "gpu" else impl for impl, device in cases]
    rows = rows.assign(impl=pd.Series(names, rows.index, object), device="any device")
    family = len(rows.loc[rows["impl"] != baseline, CASE].drop_duplicates())
    by_step, by_job = replace(run, rows=rows), replace(run, rows=as_jobs(rows, JOB))
    lines = list[str]()
    for name in sorted(set(rows["impl"].dropna()) - {baseline}):
        for compared in (by_step, by_job) if name.endswith(" on the gpu") else (by_step,):
            try:
                page = crossover([compared], baseline, name, family=family, earlier=lambda _: [])
            except RunError:  # no such baseline, or nothing to compare
                continue
            jobs = f" in jobs of {JOB:,} steps from a fresh process" if compared is by_job else ""
            for section in page.sections:
                if "overtakes" in section.text and "undecided" not in section.text:
                    lines.append(f"{section.text} at {section.title.replace(', any device', '')}{jobs}.")
    return lines


def _fastest(run: Run, measured: list[Row], baseline: str) -> list[str]:
    """Return per device, dtype and work the implementations with the smallest median step, with their problems.

    Beside each problem stand the implementations that are not shown slower than any other.
    """
    slower, texts = {pair[1:] for pair in shown_slower(judge_pairs(run, baseline))}, list[str]()
    for (device, dtype, work), group in groups(measured, "device", "dtype", "step_reads"):
        candidates: dict[str, list[Row]] = {}
        for row in sorted(group, key=lambda row: (row["per_step_s"], words(row["impl"]))):
            candidates.setdefault(words(row["problem"]), []).append(row)
        problems: dict[str, list[str]] = {}
        for best, *others in sorted(candidates.values(), key=lambda rows: by_size(rows[0])):
            equal = [words(row["impl"]) for row in others if tuple(row[name] for name in CASE) not in slower]
            undecided = f"not shown slower: {', '.join(equal)}" if slower else "no difference is shown"
            text = words(best["problem"]) + (f" ({undecided})" if equal else "")
            problems.setdefault(words(best["impl"]), []).append(text)
        wins = "; ".join(f"{impl} on {', '.join(names)}" for impl, names in problems.items())
        reads = "" if work == "X" else f", reading the {work}"
        texts.append(f"Fastest step on the {device} in {dtype}{reads}: {wins}.")
    return texts


def _reasons(rows: list[Row]) -> str:
    """Return the implementations with the first of their reasons, grouped by reason."""
    reasons_by_impl, impls_by_reason = defaultdict[str, list[str]](list), defaultdict[str, list[str]](list)
    for row in rows:
        reasons_by_impl[words(row["impl"])].append(words(row["reason"]))
    for impl, reasons in sorted(reasons_by_impl.items()):
        more = f"; {len(reasons) - 1} more below" if len(set(reasons)) > 1 else ""
        impls_by_reason[reasons[0] + more].append(impl)
    return "; ".join(f"{', '.join(impls)} ({reason})" for reason, impls in impls_by_reason.items())
