"""What came of a run in a few sentences: do they agree, who is quickest where, what is missing."""

import pandas as pd

from results.format import digits, records, words
from results.read import CASE, Run


def twins(run: Run) -> list[str]:
    """Labels under which an implementation runs a second time: no competitors."""
    return list(run.rows.loc[run.rows["twin"].notna(), "impl"].unique())


def verdict(run: Run, found: pd.DataFrame) -> str:
    """One paragraph: who agrees with the reference, how far off the worst is, who was quickest, who is missing."""
    tried = found[found["status"] != "skipped"]
    sound = tried["status"].eq("measured").groupby(tried["impl"]).all()
    agreeing = f"{sound.sum()} of {len(sound)} implementations agree with the reference on all cases"
    said = [f"{run.machine} ({run.label}): {agreeing if len(sound) else 'no implementation was tried'}."]
    if not sound.all():
        said += [f"The others: {', '.join(sound.index[~sound])}."]
    measured = found[found["status"] == "measured"]
    if len(measured):
        worst = records(measured.sort_values(["error_ratio", *CASE], ascending=False).head(1))[0]
        ratio, who = digits(worst["error_ratio"]), words(worst["impl"])
        said += [f"The worst valid error is {ratio} of what is allowed ({who}, {place(worst)})."]
        said += [f"Shortest step {text}." for text in _quickest(measured)]
    else:
        said += ["No row is valid, so there are no times."]
    for status in ("invalid", "refused", "skipped"):
        if len(missing := found[found["status"] == status]):
            said += [f"{status.capitalize()}: {_why(missing)}."]
    said += ["It was interrupted."] if run.campaign.get("interrupted") else []
    return " ".join(said)


def place(row: dict[str, str]) -> str:
    """Where a row was measured: problem, dtype, device."""
    return ", ".join(words(row[name]) for name in ("problem", "dtype", "device"))


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
