"""Judge the comparisons of a page together, and show them as tables: verdicts, forced ratios, refused cases."""

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import pandas as pd

from results.output import Section, counted, digits, records, rows_of, seconds, times, with_rows, words
from results.stats.pairing import Labels
from results.stats.signed_rank import ALPHA, MAX_BLOCKS, Array
from results.stats.verdicts import EQUIVALENT, FASTER, INVALID, MARGIN, SLOWER, UNDECIDED, judge
from results.store.columns import CASE
from results.store.reading import RunError

RATIO_NOTE = "B/A above 1: B takes longer per step."
DIFFERENT_WORK = (
    "Steps that read the Gram matrix do different work: X'X once a run, then no row of X. So they are never compared"
    " with steps that read X: docs/roofline.md#different-work-the-gram-matrix"
)
NOT_COMPARED = "not compared"
SPREADS = ("a_spread", "b_spread")  # columns: of times per step from few blocks, `pools.with_spreads`
STEP_LEVEL = 0.95  # of their intervals
SPREAD_NOTE = f"±: few processes here; in earlier runs of this machine {STEP_LEVEL:.0%} of them differed by no more."
DRIFT_REASON = "the machine drifted between the runs"  # why a verdict is withheld
PLACE_COLUMNS = ["run", "of"]  # they separate the distances of one pair of implementations
ERROR_COLUMNS = {"error_a": "error of A", "error_b": "error of B"}  # largest distances to the reference
KEPT = ("B/A", "interval", "verdict")  # in a narrow terminal
VERDICT_ORDER = [FASTER, SLOWER, EQUIVALENT, UNDECIDED, INVALID, NOT_COMPARED]


def add_verdicts(
    table: pd.DataFrame,
    pools: Mapping[Labels, Array] | None = None,
    finished: bool = True,
    comparisons: int = 0,
    alpha: float = ALPHA,
) -> pd.DataFrame:
    """Return a table of `pairing.ratios` with verdicts in place of `logs` and `pair`, corrected over all rows (Holm).

    pools: `few_blocks.distances` of earlier runs by pair of implementations. finished: False while blocks will follow.
    comparisons, alpha: as in `verdicts.judge`.
    The new columns are those of `verdicts.Verdict`. Raises RunError if nothing is comparable or forced.
    """
    compared = table[table["refused"] == ""]
    if compared.empty and table["ratio"].isna().all():
        counts = table["refused"].value_counts().sort_index()
        reasons = " | ".join(f"{reason} (cases: {count})" for reason, count in counts.items())
        raise RunError(f"nothing to compare: {reasons or 'no case'}{work_hint(counts.index)}")
    names = ["pair", *(name for name in PLACE_COLUMNS if name in table)]
    pairs = list(compared[names].itertuples(index=False, name=None))
    earlier = {place: pools[place[0]] for place in pairs if pools and place[0] in pools}
    verdicts = judge(
        list(compared["logs"]), alpha, pairs=pairs, earlier=earlier, finished=finished, comparisons=comparisons
    )
    rows = [[case.word, case.low, case.high, case.p, case.smallest, case.needed, case.spread] for case in verdicts]
    columns = ["verdict", "interval_low", "interval_high", "p", "smallest", "needed", "spread"]
    judged = pd.DataFrame(rows, compared.index, columns).reindex(table.index)
    judged["verdict"] = table["verdict"].where(table["refused"] != "", judged["verdict"])
    return table.drop(columns=["logs", "pair", "verdict"]).join(judged)


def work_hint(reasons: Iterable[object]) -> str:
    """Return an explanation if a reason is that the steps of two implementations read different data, else ""."""
    return f". {DIFFERENT_WORK}" if any("step_reads " in str(reason) for reason in reasons) else ""


def add_verdicts_to_each(
    table: pd.DataFrame, baseline: str, pools: Mapping[Labels, Array] | None = None, finished: bool = True
) -> pd.DataFrame:
    """Return a table of `pairing.ratios_to_each` with `verdict`, `interval_low`, `interval_high` and `needed`.

    Each pair is judged once, in one family: half of ALPHA is for the comparisons with `baseline`, half for all others.
    pools, finished: as in `add_verdicts`.
    """
    first, second = table["baseline"], table["impl"]
    masks = (first == baseline) & (second != baseline), (first < second) & (first != baseline) & (second != baseline)
    columns = [*CASE[1:], "baseline", "impl", "verdict", "interval_low", "interval_high", "needed"]
    judged = [
        add_verdicts(table[mask], pools, finished, alpha=ALPHA / 2)[columns]
        for mask in masks
        if (table.loc[mask, "refused"] == "").any()
    ]
    direct = pd.concat(judged) if judged else pd.DataFrame(columns=columns)
    mirrored = direct.assign(
        baseline=direct["impl"],
        impl=direct["baseline"],
        verdict=direct["verdict"].replace({FASTER: SLOWER, SLOWER: FASTER}),
        interval_low=1 / direct["interval_high"],
        interval_high=1 / direct["interval_low"],
    )
    unjudged = table.drop(columns=["logs", "pair"]).rename(columns={"verdict": "invalid"})
    result = unjudged.merge(pd.concat([direct, mirrored]), how="left", on=columns[: len(CASE) + 1])
    result["verdict"] = result["verdict"].where(result["refused"] == "", result["invalid"])
    return result.drop(columns="invalid")


def verdict_sections(table: pd.DataFrame, key: list[str], title: str = "", per: str = "step") -> list[Section]:
    """Return sections for the compared, forced and refused cases. Empty sections are left out. per: what was timed."""
    compared, refused = table[table["refused"] == ""], table[table["refused"] != ""]
    cells = [{name: words(row[name]) for name in key} | _cells(row, per) for row in records(compared)]
    return [
        *with_rows(Section(title, table=cells, notes=spread_notes(compared), level=3, keep=[*key, *KEPT])),
        *refused_sections(refused, key, f": {title}" if title else ""),
    ]


def refused_sections(refused: pd.DataFrame, key: list[str], suffix: str = "") -> list[Section]:
    """Return sections for forced cases, with the ratio of their medians, and refused cases, each with its reason."""
    forced, not_compared = refused[refused["ratio"].notna()], refused[refused["ratio"].isna()]
    cells = [
        {name: words(row[name]) for name in key}
        | {"A per step": seconds(row["a_s"]), "B per step": seconds(row["b_s"]), "B/A": times(row["ratio"])}
        | {"verdict": INVALID, "reason": words(row["refused"])}
        for row in records(forced)
    ]
    note = "B/A is the ratio of the medians of all available times. It does not compare the software."
    return with_rows(
        Section(f"Forced: not comparable{suffix}", table=cells, notes=[note], level=3),
        Section(f"Not compared{suffix}", table=rows_of(not_compared[[*key, "refused"]]), level=3),
    )


def step_text(per_step_s: float, spread: float) -> str:
    """Return seconds per step, with the spread of few processes: `9.1 µs ±12%`. spread: of logs, NaN if unknown."""
    return seconds(per_step_s) + (f" ±{math.expm1(spread):.0%}" if spread >= 0 else "")


def spread_notes(table: pd.DataFrame) -> list[str]:
    """Return the meaning of ± if a table of ratios has a spread: see `pools.with_spreads`."""
    spreads = table[[name for name in SPREADS if name in table]]
    return [SPREAD_NOTE] if spreads.notna().any(axis=None) else []


def _cells(row: dict[str, Any], per: str) -> dict[str, str]:
    return {
        f"A per {per}": step_text(row["a_s"], row.get("a_spread", math.nan)),
        f"B per {per}": step_text(row["b_s"], row.get("b_spread", math.nan)),
        "B/A": times(row["ratio"]),
        **{name: error_text(row[column]) for column, name in ERROR_COLUMNS.items() if column in row},
        "verdict": verdict_text(row),
        "interval": interval_text(row),
        "paired blocks": words(row["blocks"]),
        "lowest..highest B/A": f"{digits(row['low'])} .. {digits(row['high'])}" if row["blocks"] > 1 else "-",
    }


def error_text(error: float) -> str:
    """Return a distance to the reference, or `-` if it is not known."""
    return f"{error:.2g}" if math.isfinite(error) else "-"


def verdict_text(row: dict[str, Any]) -> str:
    """Return the verdict of a judged row, with the reason if it is withheld."""
    withheld = row.get("withheld")
    return words(row["verdict"]) + ("" if not withheld else " (drift)" if withheld == DRIFT_REASON else " (busy)")


def interval_text(row: dict[str, Any]) -> str:
    """Return the interval of a judged row, or `-` if there are too few blocks."""
    finite = math.isfinite(row["interval_high"])
    return f"{ratio_digits(row['interval_low'])} .. {ratio_digits(row['interval_high'])}" if finite else "-"


def ratio_digits(ratio: float) -> str:
    """Return the digits of a ratio, with a third decimal near 1."""
    return f"{ratio:.3f}" if 0.9 < ratio < 1.1 else digits(ratio)


def count_verdicts(verdicts: Iterable[object]) -> str:
    """Return the count of each verdict: `FASTER on 2 of 3 machines; UNDECIDED on 1`.

    `verdicts` has one value per machine. A value that is no string counts as not compared.
    """
    counts = Counter(verdict if isinstance(verdict, str) else NOT_COMPARED for verdict in verdicts)
    first, *further_words = [word for word in VERDICT_ORDER if counts[word]]
    head = f"{first} on {counts[first]} of {counted(counts.total(), 'machine')}"
    return "; ".join([head, *[f"{word} on {counts[word]}" for word in further_words]])


def summarize(table: pd.DataFrame) -> str:
    """Return the count and range of each verdict: `SLOWER in 7 of 8 comparisons, 1.5x to 21.2x; UNDECIDED in 1`."""
    compared, clauses = table[table["refused"] == ""], list[str]()
    for word in VERDICT_ORDER:
        if len(ratios := compared.loc[compared["verdict"] == word, "ratio"]):
            total = "" if clauses else f" of {counted(len(compared), 'comparison')}"
            factors = 1 / ratios if word == FASTER else ratios
            ends = " to ".join(dict.fromkeys([times(factors.min()), times(factors.max())]))
            clauses += [f"{word} in {len(ratios)}{total}" + (f", {ends}" if word in (FASTER, SLOWER) else "")]
    absent = len(table) - len(compared)
    return "; ".join([*clauses, *([f"{NOT_COMPARED}: {absent}"] if absent else [])])


def caveats(
    table: pd.DataFrame, reading: str = RATIO_NOTE, family: str = "this page", notes: Sequence[str] = ()
) -> Section:
    """Return notes on verdicts: their meaning, what UNDECIDED cases need, and facts that no file records.

    `family` names the comparisons that Holm's correction covers. `notes` come last.
    """
    compared = table[table["refused"] == ""]
    count, undecided = len(compared), compared[compared["verdict"] == UNDECIDED]
    if not count:
        return Section(notes=["Nothing here is comparable, so nothing is judged."])
    lines = [
        f"{reading} It is the Hodges-Lehmann estimate over the paired blocks, on this machine with its interference,"
        " which may slow one side more than the other.",
        "FASTER and SLOWER describe B. Two tests decide: the agreement of signs and the exact Wilcoxon test. Holm"
        f" corrects {counted(count, 'comparison')} of {family}, so the chance that any FASTER or SLOWER is false"
        f" is at most {ALPHA:.0%}. EQUIVALENT: the interval lies within {MARGIN:.0%} of 1. All intervals hold together"
        f" in {1 - ALPHA:.0%} of runs.",
    ]
    if ((compared["interval_low"] == 1) | (compared["interval_high"] == 1)).any():
        lines += ["An interval that ends at 1.000: the verdict shows the sign, the interval alone does not."]
    if len(undecided):
        lines += [f'UNDECIDED is not "no difference": {_advice(undecided)}.']
        if drifted := int((undecided["withheld"] == DRIFT_REASON).sum()):
            lines[-1] = (
                f"{drifted} of the UNDECIDED differ by more than their blocks do, but not by more than the same code"
                " does between the two runs. Measure both in one run."
            )
        if count := int((undecided["withheld"] != "").sum()) - drifted:
            lines[-1] = (
                f"{count} of the UNDECIDED differ by more than their blocks do, but on a busy machine others may slow"
                " one side more. Repeat the run when it is idle."
            )
    unknown = dict.fromkeys(name for names in compared["unknown"] for name in names.split(", ") if name)
    lines += [f"Recorded in neither A nor B, so perhaps unequal: {', '.join(unknown)}."] if unknown else []
    return Section(notes=[*lines, *notes])


def _advice(undecided: pd.DataFrame) -> str:
    """Return how many blocks decide the UNDECIDED cases, or other advice if MAX_BLOCKS are too few."""
    block_counts, undecidable = undecided["needed"].dropna(), int(undecided["needed"].isna().sum())
    if undecided["blocks"].max() == 1:
        return f"verdicts need at least {block_counts.min():.0f} blocks (--blocks {block_counts.min():.0f})"
    most = f"{block_counts.max():.0f}"
    advice = f"{most} blocks may decide, if ratio and noise are as estimated (--blocks {most})"
    if not undecidable:
        return advice
    cases = f"{advice}. For {undecidable} of {len(undecided)}" if len(block_counts) else "for these cases"
    return (
        f"{cases}, even {MAX_BLOCKS:,} blocks would probably not decide, at the ratio and the"
        " noise that these blocks show. Measure again with less noise (python -m results noise RUN says how)"
    )
