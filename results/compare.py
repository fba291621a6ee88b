"""Two runs, or two implementations of one run, case by case; unequal work is refused, with the facts that differ."""

import math
from typing import Any

import numpy as np
import pandas as pd

from results.format import Page, Section, digits, records, rows_of, seconds, times, words
from results.load import nearest
from results.read import CASE, Run, RunError, facts, text
from results.stats import ALPHA, MARGIN, UNDECIDED, Verdict, fewest_blocks, hodges_lehmann, judge

SAME = ["n", "d", "k", "batch", "steps", "lr", "threads", "seed", "problem_hash"]
UNNEEDED = "seed"  # the one that may be missing: problem_hash says as much


def ratios(a: pd.DataFrame, b: pd.DataFrame, key: list[str]) -> pd.DataFrame:
    """Per case of `key`: per-step seconds a_s and b_s (medians), `ratio` b/a with its extremes low and high.

    All over the blocks that both have: `ratio` is the Hodges-Lehmann estimate of `logs`, a log ratio per block. A case
    that cannot be compared has NaN and says why in `refused`.
    """
    sides = [{case: rows for case, rows in side.groupby(key)} for side in (a, b)]
    order = sorted({case for side in sides for case in side}, key=str)
    found = [dict(zip(key, case, strict=True)) | _ratio(sides[0].get(case), sides[1].get(case)) for case in order]
    return pd.DataFrame(found, columns=[*key, "a_s", "b_s", "ratio", "low", "high", "blocks", "refused", "logs"])


def _ratio(a: pd.DataFrame | None, b: pd.DataFrame | None) -> dict[str, Any]:
    unknown = dict.fromkeys(["a_s", "b_s", "ratio", "low", "high"], math.nan)
    nothing: dict[str, Any] = {"blocks": 0, "logs": [], **unknown}
    if a is None or b is None:
        return nothing | {"refused": f"only in {'A' if b is None else 'B'}"}
    if differing := [*_invalid(a, "A"), *_invalid(b, "B"), *_differing(a, b)]:
        return nothing | {"refused": "; ".join(differing)}
    pairs = pd.concat([_by_block(a), _by_block(b)], axis=1, join="inner", keys=["a", "b"])
    if pairs.empty:
        return nothing | {"refused": "no block in common"}
    paired = pairs["b"] / pairs["a"]
    logs = np.log(paired.to_numpy(float))
    middle = {"a_s": pairs["a"].median(), "b_s": pairs["b"].median(), "ratio": math.exp(hodges_lehmann(logs))}
    spread = {"low": paired.min(), "high": paired.max(), "blocks": len(paired)}
    return {**middle, **spread, "refused": "", "logs": list(logs)}


def _by_block(rows: pd.DataFrame) -> "pd.Series[float]":
    """Per-step seconds by block; an unnumbered block is block 0."""
    return rows["per_step_s"].groupby(rows["block"].fillna(0)).median()


def _invalid(rows: pd.DataFrame, side: str) -> list[str]:
    return [f"invalid in {side}: {reason}" for reason in rows["reason"][~rows["valid"]].unique()[:1]]


def _differing(a: pd.DataFrame, b: pd.DataFrame) -> list[str]:
    """The facts that two sides of a case do not share, or that one of them does not know."""
    found = []
    for name in SAME:
        left, right = (sorted(map(words, rows[name].dropna().unique())) for rows in (a, b))
        if left != right:
            sides = [", ".join(side) or "unknown" for side in (left, right)]
            found.append(f"{name} {sides[0][:24]} in A, {sides[1][:24]} in B")
        elif not left and name != UNNEEDED:
            found.append(f"{name} not recorded")
    return found


def compare_runs(a: Run, b: Run) -> Page:
    """Run B against run A, over the cases that both have. Raises RunError if none can be compared."""
    differing = _facts_apart(a, b)
    notes = [f"{name}: {left} in A, {right} in B" for name, (left, right) in differing.items()]
    header = f"A = {a.label} ({a.machine}, {a.date}); B = {b.label} ({b.machine}, {b.date})."
    if a.machine != b.machine:
        header += " Different machines: a ratio says as much of the machine as of the software."
    if not set(map(tuple, a.rows[CASE].to_numpy())) & set(map(tuple, b.rows[CASE].to_numpy())):
        raise RunError(f"{a.label} and {b.label} have no case in common: {_apart(a.rows, b.rows)}")
    notes += [f"{run.label} was interrupted" for run in (a, b) if run.campaign.get("interrupted")]
    top = Section(f"{b.label} against {a.label}", header, notes=notes)
    return _page(ratios(a.rows, b.rows, CASE), top, CASE)


def compare_implementations(run: Run, a: str, b: str) -> Page:
    """Implementation B against A in one run. Raises RunError if one is unknown or nothing can be compared."""
    known = sorted(run.rows["impl"].dropna().unique())
    for name in (a, b):
        if name not in known:
            raise RunError(f"{run.label} has no implementation {name!r}; {nearest(name, known)}")
    sides = [run.rows[run.rows["impl"] == name] for name in (a, b)]
    header = Section(f"{b} against {a}", f"A = {a}; B = {b}; both in {run.label} ({run.machine}, {run.date}).")
    return _page(ratios(sides[0], sides[1], CASE[1:]), header, CASE[1:])


def _facts_apart(a: Run, b: Run) -> dict[str, tuple[str, str]]:
    left, right = ({"machine": run.machine, "commit": text(run.commit.get("id"))} | facts(run) for run in (a, b))
    pairs = {name: (left.get(name, "none"), right.get(name, "none")) for name in left | right}
    return {name: pair for name, pair in pairs.items() if pair[0] != pair[1]}


def _apart(a: pd.DataFrame, b: pd.DataFrame) -> str:
    values = {name: [sorted(rows[name].dropna().unique()) for rows in (a, b)] for name in CASE}
    said = [f"{name} {', '.join(left) or 'none'} in A, {', '.join(right) or 'none'} in B"
            for name, (left, right) in values.items() if not set(left) & set(right)]  # fmt: skip
    return "; ".join(said) or "each value is shared, no combination is"


def _page(found: pd.DataFrame, header: Section, key: list[str]) -> Page:
    compared, refused = found[found["refused"] == ""], found[found["refused"] != ""]
    if compared.empty:
        counts = refused["refused"].value_counts().sort_index()
        raise RunError(f"nothing to compare: {' | '.join(f'{why} (cases: {count})' for why, count in counts.items())}")
    verdicts = judge(list(compared["logs"]))
    table = [
        {name: words(row[name]) for name in key} | _cells(row) | _judged(verdict)
        for row, verdict in zip(records(compared), verdicts, strict=True)
    ]
    notes = [
        "B/A above 1: B takes longer per step. It is the Hodges-Lehmann estimate over the paired blocks.",
        *_caveats(verdicts),
    ]
    columns = ["word", "low", "high", "p", "smallest", "needed"]
    judged = pd.DataFrame([[getattr(verdict, name) for name in columns] for verdict in verdicts], compared.index)
    judged.columns = ["verdict", "interval_low", "interval_high", "p", "smallest", "needed"]
    found = found.drop(columns="logs").join(judged)
    refusals = Section("Not compared", table=rows_of(refused[[*key, "refused"]]), level=3)
    return Page(found, [header, Section(table=table, notes=notes), *([refusals] if len(refused) else [])])


def _cells(row: dict[str, Any]) -> dict[str, str]:
    return {
        "A per step": seconds(row["a_s"]),
        "B per step": seconds(row["b_s"]),
        "B/A": times(row["ratio"]),
        "paired blocks": words(row["blocks"]),
        "lowest..highest B/A": f"{digits(row['low'])} .. {digits(row['high'])}" if row["blocks"] > 1 else "-",
    }


def _judged(verdict: Verdict) -> dict[str, str]:
    known = math.isfinite(verdict.high)
    return {"verdict": verdict.word, "interval": f"{digits(verdict.low)} .. {digits(verdict.high)}" if known else "-"}


def _caveats(verdicts: list[Verdict]) -> list[str]:
    """What the verdicts mean, and what UNDECIDED ones lack."""
    number = len(verdicts)
    said = [
        f"Verdicts: exact Wilcoxon over paired blocks, Holm over the {number} comparisons of this page: a chance of"
        f" {ALPHA:.0%} that any FASTER or SLOWER (of B) is false. EQUIVALENT: the interval is within {MARGIN:.0%} of 1."
    ]
    few = [verdict for verdict in verdicts if verdict.word == UNDECIDED]
    if any(not math.isfinite(verdict.high) for verdict in few):
        fewest = fewest_blocks(number)
        said += [
            f'UNDECIDED is not "no difference": {number} comparisons need at least {fewest} blocks (--blocks {fewest}).'
        ]
    elif few:
        more = [verdict.needed for verdict in few if verdict.needed]
        wanted = f"some {max(more)} blocks would decide, by their spread" if more else "more blocks would not help"
        said += [f'UNDECIDED is not "no difference": {wanted}.']
    return said
