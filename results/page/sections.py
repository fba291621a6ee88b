"""Sections that pages share: the card of a run, its caveats, and the cases without a time."""

from typing import Any

from results.output import Section, digits, seconds, words
from results.store.columns import CASE
from results.store.outcomes import Row
from results.store.reading import Run, facts, number, sequence, text

PLAN = ("preset", "seed", "threads", "precision", "blocks")


def card(run: Run) -> Section:
    """What the run was made on, and with."""
    campaign = run.campaign
    plan = {name: words(campaign[name]) for name in PLAN if name in campaign}
    told = {"machine": run.machine} | facts(run) | {"date": run.date, "commit": text(run.commit.get("id"))[:12]} | plan
    wall, inside = number(campaign.get("wall_s")), number(campaign.get("runs_s"))
    told |= {"took": seconds(wall)} if wall > 0 else {}
    told |= {"of that in prepare, first and timed runs": f"{inside / wall:.0%}"} if wall > 0 and inside >= 0 else {}
    lines = [{"fact": name, "value": words(held)} for name, held in told.items()]
    return Section(f"Run {run.label}", table=lines, notes=caveats(run))


def caveats(run: Run) -> list[str]:
    """What a reader must know before trusting the numbers."""
    blocks = len(dict.fromkeys(run.rows["block"].fillna(-1).tolist()))
    invalid, resumed = int((~run.rows["valid"]).sum()), len(sequence(run.campaign.get("resumed")))
    said = {
        "The file holds no rows.": run.rows.empty,
        "One block: a process per implementation, so the noise between processes is not shown.": blocks == 1,
        f"{blocks} blocks, a fresh process each: a number is their median.": blocks > 1,
        f"Rows without a valid result, shown with their reason and without a time: {invalid}.": invalid > 0,
        "Interrupted: cases are missing, or rest on fewer rounds and blocks.": bool(run.campaign.get("interrupted")),
        f"Resumed {_times(resumed)}: between two of its cases the machine may have changed.": resumed > 0,
        "Made from a working tree with uncommitted changes.": bool(run.commit.get("dirty")),
        "No note of the campaign: what was refused or skipped is unknown.": not run.campaign,
        "No digests: whether the file was edited by hand is unknown.": not run.sealed,
    }
    labels = dict.fromkeys(zip(run.rows["impl"].tolist(), run.rows["duplicate_of"].tolist(), strict=True))
    twins = [(again, impl) for again, impl in labels if isinstance(impl, str)]
    noise = [f"{again} is {impl} once more, to show the noise: python -m results noise" for again, impl in twins]
    return [caveat for caveat, holds in said.items() if holds] + noise


def _times(count: int) -> str:
    return "once" if count == 1 else f"{count} times"


def of_limit(row: dict[str, Any]) -> str:
    """How near a case comes to the machine's limit, and what it would wait for there: `87.0% (memory)`."""
    near = row["fraction_of_limit"]
    return f"{digits(100 * near)}% ({words(row['limited_by'])})" if near == near else "-"


def compile_time(row: dict[str, Any]) -> str:
    """What the first run cost more than a later one, or `none` if no more than later ones cost one another."""
    noise = max(0.0, row["iqr_s"]) if row["iqr_s"] == row["iqr_s"] else 0.0
    return "none" if row["compile_s"] <= noise else seconds(row["compile_s"])


def absences(found: list[Row]) -> list[Section]:
    """What was refused, invalid or skipped, and why."""
    columns = {
        "invalid": [*CASE, "reason"],
        "refused": [*CASE, "block", "reason"],
        "skipped": ["impl", "device", "reason"],
    }
    sections = []
    for status, names in columns.items():
        rows = [{name: words(row.get(name)) for name in names} for row in found if row["status"] == status]
        sections += [Section(status.capitalize(), table=rows, level=3)] if rows else []
    return sections
