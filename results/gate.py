"""Is run NEW slower than run BASE by more than a threshold? Case by case, for CI; twins are left out.

The ratio NEW/BASE of the seconds per step is judged over the paired blocks of a case, with exact Wilcoxon bounds.
PASS: the upper bound (one-sided, 95 %) is below 1 + threshold. NOT SLOWER is said only where all cases pass, so it
needs no correction for their number. FAIL: the lower bound (one-sided, 5 % over the number of cases compared) is above
1 + threshold, so the chance of any false FAIL is at most 5 %. UNDECIDED: neither, or too few blocks for a bound. NOT
COMPARABLE: missing, invalid or refused in some block, unequal work, another machine. Exit status: 1 if any case fails;
else 2 if any is undecided or not comparable, or there is none; else 0.
"""

import math
from typing import Any

import numpy as np
import pandas as pd

from results.cases import absent
from results.format import Page, Section, records, seconds, times, words
from results.noise import noise_section
from results.pairs import ratios
from results.read import CASE, Run
from results.stats import ALPHA, UNDECIDED, blocks_needed, fewest_blocks, hodges_lehmann, interval, scale
from results.thresholds import Thresholds

PASS, FAIL, REFUSED = "PASS", "FAIL", "NOT COMPARABLE"
JUDGED = ["verdict", "ratio", "lower", "upper", "slower", "blocks", "needed", "reason"]


def gate(base: Run, new: Run, limits: Thresholds) -> Page:
    """NEW judged against BASE: a row per case of BASE, and the exit status that the rule of this module gives."""
    rows = [run.rows[run.rows["twin"].isna()] for run in (base, new)]
    every = ratios(rows[0], rows[1], CASE)
    every["in_base"], every["in_new"] = ([*every[CASE].apply(tuple, axis=1).isin(_cases(side))] for side in rows)
    found = every[every["in_base"]].reset_index(drop=True)
    found["refused"] = [_refusal(row, base, new) for row in records(found)]
    compared = int((found["refused"] == "").sum())
    judged = [row | {"slower": limits.of(row)} | _verdict(row, limits.of(row), compared) for row in records(found)]
    data = pd.DataFrame(judged, columns=[*CASE, "a_s", "b_s", *JUDGED])
    verdict, code = _whole(data)
    text = f"BASE = {base.label} ({base.machine}, {base.date}); NEW = {new.label} ({new.machine}, {new.date})."
    notes = [*_notes(every, limits, records(found)), "The rule: python -m results gate --help"]
    table = [{name: words(row[name]) for name in CASE} | _cells(row) for row in records(data)]
    sections = [Section(text=verdict), Section(text=text, table=table, notes=notes), noise_section([base, new])]
    return Page(data, sections, code)


def _cases(rows: pd.DataFrame) -> set[tuple[str, ...]]:
    return set(rows[CASE].itertuples(index=False, name=None))


def _refusal(case: dict[str, Any], base: Run, new: Run) -> str:
    """Why a case cannot be compared; empty if it can. What failed once has not been measured."""
    if base.machine != new.machine:
        return f"BASE was made on {base.machine}, NEW on {new.machine}: machines are never compared"
    said = [f"{text} in {side}" for side, run in (("BASE", base), ("NEW", new)) if (text := _ended(run, case))]
    if not case["in_new"]:
        said = ["missing in NEW", *said]
    elif case["refused"]:
        said = [f"{case['refused']} (A = BASE, B = NEW)", *said]
    return "; ".join(said)


def _ended(run: Run, case: dict[str, Any]) -> str:
    """What the campaign says of a case that it refused or skipped in some block.

    Of what an implementation skipped it names no problem: it was not this one if that was measured in every block.
    """
    here = run.rows[(run.rows[CASE] == [case[name] for name in CASE]).all(axis=1)]
    whole = 0 < here["block"].nunique() == run.rows["block"].nunique()
    for row in records(absent(run)):
        meant = row["impl"] == case["impl"] and all(row[name] == case[name] or pd.isna(row[name]) for name in CASE)
        if meant and not (whole and row["status"] == "skipped"):
            return f"{row['status']} ({words(row['reason'])})"
    return ""


def _verdict(row: dict[str, Any], slower: float, compared: int) -> dict[str, Any]:
    if row["refused"]:
        return {"verdict": REFUSED, "reason": row["refused"]}
    return decide(row["logs"], slower, compared)


def decide(logs: list[float], slower: float, compared: int) -> dict[str, Any]:
    """Verdict, bounds and reason of one case of `compared`, from its log ratios; `slower` 0.05 allows 5 % more."""
    d, limit, allowed = np.asarray(logs), math.log1p(slower), f"allowed {times(1 + slower)}"
    low, high = interval(d, 2 * ALPHA / compared)[0], interval(d, 2 * ALPHA)[1]  # one-sided: half of a two-sided level
    found = {"lower": math.exp(low), "upper": math.exp(high)}
    if high < limit:
        return found | {"verdict": PASS, "reason": f"at most {times(math.exp(high))}, {allowed}"}
    estimate = float(hodges_lehmann(d))
    if low > limit:
        reason = f"{times(math.exp(estimate))}, at least {times(math.exp(low))}, {allowed}"
        return found | {"verdict": FAIL, "reason": reason}
    level = 2 * ALPHA / (compared if estimate > limit else 1)
    needed = blocks_needed(estimate - limit, scale(d), level, 0.0)
    reason = f"{_undecided(len(d), low, high, needed)}; {allowed}"
    return found | {"verdict": UNDECIDED, "needed": needed, "reason": reason}


def _undecided(blocks: int, low: float, high: float, needed: int | None) -> str:
    if math.isinf(high):
        fewest = max(needed or 0, fewest_blocks(1, 2 * ALPHA))
        return f"too few blocks for a bound: {blocks}, it takes at least {fewest} (--blocks {fewest})"
    between = f"between {times(math.exp(low))} and" if math.isfinite(low) else "at most"
    wanted = f"some {needed} blocks would decide, by their spread" if needed and needed > blocks else "more blocks"
    return f"{between} {times(math.exp(high))}: {wanted}"


def _whole(data: pd.DataFrame) -> tuple[str, int]:
    """The verdict on all cases in words, and the exit status."""
    counts = {word: int((data["verdict"] == word).sum()) for word in (PASS, FAIL, UNDECIDED, REFUSED)}
    allowed = sorted(data["slower"].unique())
    by = f"more than {_percent(allowed[0])}" if len(allowed) == 1 else "more than their thresholds"
    rest = ", ".join(f"{counts[word]} {word.lower()}" for word in (UNDECIDED, REFUSED) if counts[word])
    if counts[FAIL]:
        more = f"; {rest}" if rest else ""
        return f"SLOWER: {counts[FAIL]} of {len(data)} cases are slower than BASE by {by}{more}.", 1
    sound = f"{counts[PASS]} of {len(data)} cases are not slower than BASE by {by}"
    if rest or data.empty:
        return f"UNDECIDED: {sound}; {rest or 'BASE has no case to compare'}.", 2
    return f"NOT SLOWER: {sound}.", 0


def _notes(every: pd.DataFrame, limits: Thresholds, cases: list[dict[str, Any]]) -> list[str]:
    """Cases that only NEW has, and tables of the thresholds that hold for no case."""
    extra = every[~every["in_base"]]
    used = {limits.table(case) for case in cases}
    notes = [f"only in NEW, not judged: {' '.join(words(row[name]) for name in CASE)}" for row in records(extra)]
    idle = [forms for number, (forms, _) in enumerate(limits.tables) if number not in used]
    return notes + [f"[[case]] holds for no case: {forms}" for forms in idle]


def _cells(row: dict[str, Any]) -> dict[str, str]:
    return {
        "BASE per step": seconds(row["a_s"]),
        "NEW per step": seconds(row["b_s"]),
        "NEW/BASE": times(row["ratio"]),
        "paired blocks": words(row["blocks"]),
        "allowed": f"+{_percent(row['slower'])}",
        "verdict": row["verdict"],
        "why": words(row["reason"]),
    }


def _percent(share: float) -> str:
    return f"{100 * share:g}%"
