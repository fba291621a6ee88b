"""A run in a few sentences: who agrees with the reference, who is quickest where, what pays when, what is missing."""

from dataclasses import dataclass, replace

import pandas as pd

from results.cases import alone, outcomes
from results.checks import place
from results.crossover import crossover
from results.format import digits, records, words
from results.noise import noise_line
from results.pairs import single
from results.read import CASE, Run, RunError


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


def verdict(run: Run, found: pd.DataFrame) -> Verdict:
    """What `found`, outcomes of the run, says: who agrees, how far off the worst is, who is quickest, what lacks."""
    tried = found[found["status"] != "skipped"]
    sound = tried["status"].eq("measured").groupby(tried["impl"]).all()
    agreeing = f"{sound.sum()} of {len(sound)} implementations agree with the reference on all cases."
    lines = [agreeing if len(sound) else "No implementation was tried."]
    lines += [f"The others: {', '.join(sound.index[~sound])}."] if not sound.all() else []
    measured = found[found["status"] == "measured"]
    if len(measured):
        worst = records(measured.sort_values(["error_ratio", *CASE], ascending=False).head(1))[0]
        ratio, who = digits(worst["error_ratio"]), words(worst["impl"])
        lines += [f"The worst valid error is {ratio} of what is allowed ({who}, {place(worst)})."]
        lines += [f"Shortest step {text}." for text in _quickest(measured)]
    else:
        lines += ["No row is valid, so there are no times."]
    for status in ("invalid", "refused", "skipped"):
        if len(missing := found[found["status"] == status]):
            lines += [f"{status.capitalize()}: {_why(missing)}."]
    lines += ["It was interrupted."] if run.campaign.get("interrupted") else []
    return Verdict(f"{run.machine} ({run.label}, {run.date})", bool(len(sound) and sound.all()), lines)


def in_short(run: Run, baseline: str) -> Verdict:
    """The verdict on a whole run, twins left out, with what pays from where on, and the noise."""
    said = verdict(run, alone(run, outcomes(run)))
    return replace(said, lines=[*said.lines, *pays(run, baseline), noise_line(run)])


def pays(run: Run, baseline: str) -> list[str]:
    """From which n on another implementation, or a GPU, is quicker than the baseline, where the run has several n."""
    rows = single(run.rows)
    sizes = rows.groupby(["dtype", "d", "k", rows["batch"] < rows["n"]])["n"].transform("nunique")
    rows = rows[sizes > 1]
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


def _quickest(measured: pd.DataFrame) -> list[str]:
    """Per device and dtype: each winner with the problems on which its median step is the shortest."""
    said = []
    for (device, dtype), group in measured.groupby(["device", "dtype"]):
        best = group.sort_values(["per_step_s", "impl"]).drop_duplicates("problem").sort_values(["n", "d", "problem"])
        wins = {words(name): ", ".join(map(words, won["problem"])) for name, won in best.groupby("impl", sort=False)}
        said.append(f"on the {device} in {dtype}: {'; '.join(f'{name} on {won}' for name, won in wins.items())}")
    return said


def _why(missing: pd.DataFrame) -> str:
    """Who, with the first of their reasons; those who share it together."""
    reasons: dict[str, list[str]] = {}
    for impl, group in missing.groupby(missing["impl"].map(words)):
        more = f"; {len(group) - 1} more below" if group["reason"].nunique() > 1 else ""
        reasons.setdefault(words(group["reason"].iloc[0]) + more, []).append(str(impl))
    return "; ".join(f"{', '.join(who)} ({why})" for why, who in reasons.items())
