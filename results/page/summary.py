"""Summarise a run in a few sentences: agreement with the reference, fastest steps, crossovers, missing cases."""

import math
from collections import defaultdict
from dataclasses import dataclass, replace
from functools import lru_cache

import pandas as pd

from results.output import counted, digits, records, words
from results.page.crossover import crossover
from results.page.errors import by_error, case_text
from results.page.standing import find_winners, judge_pairs
from results.stats.noise import noise_line
from results.stats.pairing import without_duplicates
from results.stats.prediction import as_jobs
from results.stats.quiet_or_busy import claims_from, judge_machine, kernel_notes
from results.store.columns import CASE
from results.store.outcomes import Row, by_size, drop_duplicates, groups, is_wrong, outcomes
from results.store.reading import Run, RunError
from results.store.seal import EDITED

JOB_STEPS = 1000


@dataclass(frozen=True)
class Summary:
    """A title, whether every case that was tried is valid, and sentences."""

    title: str
    all_valid: bool
    lines: list[str]


def summarize_cases(run: Run, rows: list[Row], baseline: str) -> Summary:
    """Return agreement, largest error, fastest steps and missing cases of `rows`, which are outcomes of the run.

    `baseline`: its comparisons get half of the error probability, as everywhere on the page.
    """
    agree, failures = agreement(rows)
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
    return Summary(f"{run.machine} ({run.label}, {run.date})", bool(measured) and not failures, lines)


def agreement(rows: list[Row]) -> tuple[str, dict[str, str]]:
    """Return a sentence on agreement with the reference, and the implementations with an untimed case, with a reason.

    An implementation agrees if all its checked weights are right, even if a case has no time. Edited rows do not count.
    """
    tried = groups([row for row in rows if row["status"] != "skipped"], "impl")
    failures = {
        words(impl): next(words(row["reason"]) for row in group if row["status"] != "measured")
        for (impl,), group in tried
        if any(row["status"] != "measured" for row in group)
    }
    agreeing = sum(
        any(row["error_ratio"] <= 1 for row in group)
        and not any(is_wrong(row) or row["error_ratio"] > 1 or EDITED in words(row["reason"]) for row in group)
        for _, group in tried
    )
    verb = "agrees" if agreeing == 1 else "agree"
    sentence = f"{agreeing} of {counted(len(tried), 'implementation')} {verb} with the reference"
    return sentence if tried else "No implementation was tried", failures


@lru_cache(maxsize=8)
def summarize_run(run: Run, baseline: str) -> Summary:
    """Return `summarize_cases` for all outcomes of a run without duplicates, with crossovers and a line on noise."""
    summary = summarize_cases(run, records(drop_duplicates(run, outcomes(run))), baseline)
    return replace(summary, lines=[*summary.lines, *_crossover_lines(run, baseline), noise_line(run)])


def _crossover_lines(run: Run, baseline: str) -> list[str]:
    """Return the n from which an implementation, or a GPU, is faster than the baseline, if the run has several n.

    A GPU is also compared by jobs of JOB_STEPS in a fresh process: they count import, transfer and compilation.
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
    by_step, by_job = replace(run, rows=rows), replace(run, rows=as_jobs(rows, JOB_STEPS, run.all_rows))
    lines = list[str]()
    for name in sorted(set(rows["impl"].dropna()) - {baseline}):
        for compared in (by_step, by_job) if name.endswith(" on the gpu") else (by_step,):
            try:
                page = crossover([compared], baseline, name, family=family, earlier=lambda _: [])
            except RunError:  # no such baseline, or nothing to compare
                continue
            jobs = f" in jobs of {JOB_STEPS:,} steps from a fresh process" if compared is by_job else ""
            for section in page.sections:
                if "overtakes" in section.text and "undecided" not in section.text:
                    lines.append(f"{section.text} at {section.title.replace(', any device', '')}{jobs}.")
    return lines


def _fastest(run: Run, measured: list[Row], baseline: str) -> list[str]:
    """Return a sentence per device and dtype: the implementations with the shortest step, as users write them.

    Each problem names the implementations that may be as fast.
    """
    cases = {tuple(row[name] for name in CASE) for row in measured}
    chosen = [case in cases for case in run.rows[CASE].itertuples(index=False, name=None)]
    winners = find_winners(replace(run, rows=run.rows[chosen]), judge_pairs(run, baseline), baseline)
    texts = list[str]()
    for (device, dtype), rows in groups([winner.best | {"winner": winner} for winner in winners], "device", "dtype"):
        problems: dict[str, list[str]] = {}
        for winner in (row["winner"] for row in sorted(rows, key=by_size)):
            rivals = f" (may be as fast: {', '.join(map(words, winner.rivals))})" if winner.rivals else ""
            problems.setdefault(words(winner.best["impl"]), []).append(words(winner.best["problem"]) + rivals)
        wins = "; ".join(f"{impl} on {', '.join(names)}" for impl, names in problems.items())
        texts.append(f"Fastest step on the {device} in {dtype}, as users write it: {wins}.")
    return texts


def _reasons(rows: list[Row]) -> str:
    """Return the implementations with the first of their reasons, grouped by reason."""
    reasons_by_impl, impls_by_reason = defaultdict[str, list[str]](list), defaultdict[str, list[str]](list)
    for row in rows:
        reasons_by_impl[words(row["impl"])].append(words(row["reason"]))
    for impl, reasons in sorted(reasons_by_impl.items()):
        suffix = f"; {len(reasons) - 1} more below" if len(set(reasons)) > 1 else ""
        impls_by_reason[reasons[0] + suffix].append(impl)
    return "; ".join(f"{', '.join(impls)} ({reason})" for reason, impls in impls_by_reason.items())
