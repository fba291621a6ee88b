"""The comparisons of a page, judged together, and shown: a table of verdicts, what was forced, what was refused."""

import math
from collections import Counter
from collections.abc import Iterable
from typing import Any

import pandas as pd

from results.output import Section, digits, records, rows_of, seconds, tabled, times, words
from results.stats.signed_rank import (
    ALPHA,
    EQUIVALENT,
    FASTER,
    INVALID,
    MARGIN,
    SLOWER,
    UNDECIDED,
    fewest_blocks,
    judge,
)
from results.store.reading import RunError

READING = "B/A above 1: B takes longer per step."
ABSENT = "not compared"
ORDER = [FASTER, SLOWER, EQUIVALENT, UNDECIDED, INVALID, ABSENT]


def judged(found: pd.DataFrame) -> pd.DataFrame:
    """Comparisons as `pairs.ratios` makes them, with verdicts in place of `logs`: Holm over all of them together.

    `spread` is the robust standard deviation of the log ratios; the rest is as in `stats.Verdict`. Raises RunError if
    there is nothing to compare, and nothing forced.
    """
    compared = found[found["refused"] == ""]
    if compared.empty and found["ratio"].isna().all():
        counts = found["refused"].value_counts().sort_index()
        why = " | ".join(f"{refused} (cases: {count})" for refused, count in counts.items())
        raise RunError(f"nothing to compare: {why or 'no case'}")
    verdicts = [
        {"verdict": verdict.word, "interval_low": verdict.low, "interval_high": verdict.high, "p": verdict.p}
        | {"smallest": verdict.smallest, "needed": verdict.needed, "spread": verdict.spread}
        for verdict in judge(list(compared["logs"]))
    ]
    columns = ["verdict", "interval_low", "interval_high", "p", "smallest", "needed", "spread"]
    told = pd.DataFrame(verdicts, compared.index, columns).reindex(found.index)
    told["verdict"] = found["verdict"].where(found["refused"] != "", told["verdict"])
    return found.drop(columns=["logs", "verdict"]).join(told)


def tables(found: pd.DataFrame, key: list[str], title: str = "") -> list[Section]:
    """What was compared, under its title; then, each if there is any, what was forced and what was not compared."""
    compared, refused = found[found["refused"] == ""], found[found["refused"] != ""]
    cells = [{name: words(row[name]) for name in key} | _cells(row) for row in records(compared)]
    return [*tabled(Section(title, table=cells, level=3)), *refusals(refused, key, f": {title}" if title else "")]


def refusals(refused: pd.DataFrame, key: list[str], where: str = "") -> list[Section]:
    """What was forced, with the ratio of its medians, and what was not compared, each with its reason."""
    forced, rest = refused[refused["ratio"].notna()], refused[refused["ratio"].isna()]
    cells = [
        {name: words(row[name]) for name in key}
        | {"A per step": seconds(row["a_s"]), "B per step": seconds(row["b_s"]), "B/A": times(row["ratio"])}
        | {"verdict": INVALID, "reason": words(row["refused"])}
        for row in records(forced)
    ]
    note = "B/A is the ratio of the medians of whatever times there are: it says nothing of the software."
    return tabled(
        Section(f"Forced: not comparable{where}", table=cells, notes=[note], level=3),
        Section(f"Not compared{where}", table=rows_of(rest[[*key, "refused"]]), level=3),
    )


def _cells(row: dict[str, Any]) -> dict[str, str]:
    return {
        "A per step": seconds(row["a_s"]),
        "B per step": seconds(row["b_s"]),
        "B/A": times(row["ratio"]),
        "paired blocks": words(row["blocks"]),
        "lowest..highest B/A": f"{digits(row['low'])} .. {digits(row['high'])}" if row["blocks"] > 1 else "-",
        "verdict": words(row["verdict"]),
        "interval": bounds(row),
    }


def bounds(row: dict[str, Any]) -> str:
    """The interval of a judged row, or `-` where so few blocks have none."""
    known = math.isfinite(row["interval_high"])
    return f"{fine(row['interval_low'])} .. {fine(row['interval_high'])}" if known else "-"


def fine(ratio: float) -> str:
    """A ratio's digits, with a third decimal where it is near 1."""
    return f"{ratio:.3f}" if 0.9 < ratio < 1.1 else digits(ratio)


def held(verdicts: Iterable[object]) -> str:
    """`FASTER on 2 of 3 machines; UNDECIDED on 1`: a verdict per machine, not a string where there is none."""
    counts = Counter(verdict if isinstance(verdict, str) else ABSENT for verdict in verdicts)
    first, *rest = [word for word in ORDER if counts[word]]
    said = [f"{first} on {counts[first]} of {counts.total()} machines", *[f"{word} on {counts[word]}" for word in rest]]
    return "; ".join(said)


def summed_up(found: pd.DataFrame) -> str:
    """`SLOWER in 7 of 8 comparisons, 1.5x to 21.2x; UNDECIDED in 1`: each verdict, with its least and most."""
    compared, said = found[found["refused"] == ""], list[str]()
    for word in ORDER:
        if len(group := compared.loc[compared["verdict"] == word, "ratio"]):
            said += [f"{word} in {len(group)}{'' if said else f' of {len(compared)} comparisons'}{extent(group, word)}"]
    absent = len(found) - len(compared)
    return "; ".join([*said, *([f"{ABSENT}: {absent}"] if absent else [])])


def extent(ratios: "pd.Series[float]", word: str) -> str:
    """`, 1.5x to 21.2x`: how many times as fast or as slow; nothing for the other verdicts."""
    if word not in (FASTER, SLOWER):
        return ""
    factors = ratios if word == SLOWER else 1 / ratios
    ends = dict.fromkeys([times(factors.min()), times(factors.max())])
    return f", {' to '.join(ends)}"


def caveats(found: pd.DataFrame, reading: str = READING, family: str = "this page") -> Section:
    """What the verdicts of a page, or another `family`, mean, what UNDECIDED ones lack, what nobody has recorded."""
    compared = found[found["refused"] == ""]
    number, few = len(compared), compared[compared["verdict"] == UNDECIDED]
    if not number:
        return Section(notes=["Nothing here is comparable, so nothing is judged."])
    said = [
        f"{reading} It is the Hodges-Lehmann estimate over the paired blocks, adjusted for the machine's pace in them.",
        f"Verdicts: exact Wilcoxon over paired blocks, Holm over the {number} comparisons of {family}: a chance"
        f" of {ALPHA:.0%} that any FASTER or SLOWER (of B) is false. EQUIVALENT: interval within {MARGIN:.0%} of 1.",
    ]
    if (few["interval_high"] == math.inf).any():
        fewest = f"{number} comparisons need at least {fewest_blocks(number)} blocks (--blocks {fewest_blocks(number)})"
        said += [f'UNDECIDED is not "no difference": {fewest}.']
    elif len(few):
        more = few["needed"].dropna()
        wanted = f"some {more.max():.0f} blocks would decide, by their spread" if len(more) else "more would not help"
        said += [f'UNDECIDED is not "no difference": {wanted}.']
    unknown = dict.fromkeys(name for names in compared["unknown"] for name in names.split(", ") if name)
    said += [f"Not recorded on either side, so not known to be equal: {', '.join(unknown)}."] if unknown else []
    return Section(notes=said)
