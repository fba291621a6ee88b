"""A run in a few sentences: who agrees with the reference, who is quickest where, what pays when, what is missing."""

from dataclasses import dataclass, replace
from typing import Any

import pandas as pd

from results.output import digits, records, words
from results.page.errors import place
from results.stats.crossover import crossover
from results.stats.noise import noise_line
from results.store.columns import CASE
from results.store.outcomes import Row, by_size, drop_duplicates, groups, outcomes
from results.store.reading import Run, RunError


@dataclass(frozen=True)
class Verdict:
    """A run, whether all that was tried in it is right, and its sentences."""

    title: str
    right: bool
    lines: list[str]

    @property
    def text(self) -> str:
        """All of it in one paragraph."""
        return f"{self.title}: {' '.join(self.lines)}"


def verdict(run: Run, rows: list[Row]) -> Verdict:
    """What `rows`, outcomes of the run, say: who agrees, how far off the worst is, who is quickest, what lacks."""
    tried = groups([row for row in rows if row["status"] != "skipped"], "impl")
    others = [impl for (impl,), group in tried if any(row["status"] != "measured" for row in group)]
    agreeing = f"{len(tried) - len(others)} of {len(tried)} implementations agree with the reference on all cases."
    lines = [agreeing if tried else "No implementation was tried."]
    lines += [f"The others: {', '.join(others)}."] if others else []
    measured = [row for row in rows if row["status"] == "measured"]
    if measured:
        worst = max(measured, key=lambda row: (_known(row["error_ratio"]), *[words(row[name]) for name in CASE]))
        ratio, who = digits(worst["error_ratio"]), words(worst["impl"])
        lines += [f"The worst valid error is {ratio} of what is allowed ({who}, {place(worst)})."]
        lines += [f"Shortest step {text}." for text in _quickest(measured)]
    else:
        lines += ["No row is valid, so there are no times."]
    for status in ("invalid", "refused", "skipped"):
        if missing := [row for row in rows if row["status"] == status]:
            lines += [f"{status.capitalize()}: {_why(missing)}."]
    lines += ["It was interrupted."] if run.campaign.get("interrupted") else []
    return Verdict(f"{run.machine} ({run.label}, {run.date})", bool(tried) and not others, lines)


def _known(number: float) -> float:
    return number if number == number else -1.0


def in_short(run: Run, baseline: str) -> Verdict:
    """The verdict on a whole run, twins left out, with what pays from where on, and the noise."""
    return whole(run, records(drop_duplicates(run, outcomes(run))), baseline, noise_line(run))


def whole(run: Run, rows: list[Row], baseline: str, noise: str) -> Verdict:
    """The same, where the outcomes without twins and the sentence on noise are known."""
    said = verdict(run, rows)
    return replace(said, lines=[*said.lines, *pays(run, baseline), noise])


def pays(run: Run, baseline: str) -> list[str]:
    """From which n on another implementation, or a GPU, is quicker than the baseline, where the run has several n."""
    if not any(several := _several_sizes(run.rows)):
        return []
    rows = run.rows[several]
    cases = zip(rows["impl"], rows["device"], strict=True)
    named = [f"{impl} on the gpu" if device == "gpu" else impl for impl, device in cases]
    here = rows.assign(impl=pd.Series(named, rows.index, object), device="any device")
    found = []
    for name in sorted(set(here["impl"].dropna()) - {baseline}):
        try:
            page = crossover([replace(run, rows=here)], baseline, name)
        except RunError:  # no such baseline, or nothing to compare: nothing to say
            continue
        told = [(section.title.replace(", any device", ""), section.text) for section in page.sections]
        found += [f"{text} at {title}." for title, text in told if "overtakes" in text and "undecided" not in text]
    return found


def _several_sizes(rows: pd.DataFrame) -> list[bool]:
    """Which rows are of problems that have others of another n, and the same d, k, dtype and kind of batch, beside."""
    batches, ns = (rows["batch"] < rows["n"]).tolist(), rows["n"].tolist()
    kinds = list(zip(*[rows[name].tolist() for name in ("dtype", "d", "k")], batches, strict=True))
    sizes: dict[tuple[Any, ...], set[float]] = {}
    for kind, n in zip(kinds, ns, strict=True):
        sizes.setdefault(kind, set()).add(n)
    return [len(sizes[kind]) > 1 and not isinstance(twin, str) for kind, twin in zip(kinds, rows["duplicate_of"], strict=True)]


def _quickest(measured: list[Row]) -> list[str]:
    """Per device, dtype and work: each winner with the problems on which its median step is the shortest."""
    said = []
    for (device, dtype, work), group in groups(measured, "device", "dtype", "step_reads"):
        best: dict[str, Row] = {}
        for row in sorted(group, key=lambda row: (row["per_step_s"], words(row["impl"]))):
            best.setdefault(words(row["problem"]), row)
        wins: dict[str, list[str]] = {}
        for row in sorted(best.values(), key=by_size):
            wins.setdefault(words(row["impl"]), []).append(words(row["problem"]))
        won = "; ".join(f"{name} on {', '.join(problems)}" for name, problems in wins.items())
        said.append(f"on the {device} in {dtype}{'' if work == 'X' else f', over the {work}'}: {won}")
    return said


def _why(missing: list[Row]) -> str:
    """Who, with the first of their reasons; those who share it together."""
    of: dict[str, list[str]] = {}
    for row in missing:
        of.setdefault(words(row["impl"]), []).append(words(row["reason"]))
    reasons: dict[str, list[str]] = {}
    for impl, said in sorted(of.items()):
        more = f"; {len(said) - 1} more below" if len(set(said)) > 1 else ""
        reasons.setdefault(said[0] + more, []).append(impl)
    return "; ".join(f"{', '.join(who)} ({why})" for why, who in reasons.items())
