"""What a saved file holds, version by version; what older ones leave unsaid is filled in; what is too much is refused.

`schema.json` says the same to other programs; the tests hold the two against one another. Checked by hand, for
`results` reads files where nothing more can be installed.
"""

from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from typing import Any

VERSION = 5  # of what is saved today, in campaign.schema
VERSIONS = {
    1: "no digests: the first runs, and what other projects save",
    2: "a digest over each row, and one over the machine and the campaign",
    3: "the code that was run (campaign.sources), and the iterates of each row",
    4: "what steps go over, ranks, and the machine's limits (campaign.limits)",
    5: "its own number (campaign.schema), and a digest over the whole file",
}
SEALED_WHOLE = 5
BYTES, ROWS, ROUNDS, FACTS, DEPTH = (
    2**28,
    10**6,
    10**6,
    1_000,
    32,
)  # of a file; of a file; of a row; of all rows; nested
KINDS: dict[str, Any] = {"benchmarks": list, "machine_info": dict, "commit_info": dict | None, "campaign": dict | None}

Document = dict[str, Any]


def version(document: Document) -> int:
    """The version of a file that `fault` and `check_limits` find nothing against."""
    campaign, rows = document.get("campaign") or {}, document["benchmarks"]
    known = {4: bool(rows) and "work" in rows[0]["extra_info"], 3: "sources" in campaign, 2: "digest" in campaign}
    return int(campaign.get("schema") or max((number for number, by in known.items() if by), default=1))


def fault(document: object) -> str:
    """What keeps a value from being a saved file; "" if it is one."""
    if not isinstance(document, dict) or not {"benchmarks", "machine_info", "datetime"} <= set(document):
        return "it lacks benchmarks, machine_info or datetime"
    for name, kind in KINDS.items():
        if not isinstance(document.get(name), kind):
            return f"its {name} is no {'list' if kind is list else 'object'}"
    for number, entry in enumerate(document["benchmarks"]):
        row = entry if isinstance(entry, dict) else {}
        if not isinstance(row.get("extra_info"), dict) or not isinstance(row.get("stats"), dict):
            return f"entry {number} of benchmarks lacks extra_info or stats"
    try:
        utc(document["datetime"])
    except (TypeError, ValueError, OverflowError):
        return "its datetime is not a date"
    return ""


def utc(stamp: str) -> datetime:
    """A stamp as a moment in UTC, which it is in if it names no zone. Raises TypeError, ValueError or OverflowError."""
    moment = datetime.fromisoformat(stamp)
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).astimezone(UTC)


def check_limits(document: Document) -> str:
    """What forbids to go on with a saved file: it is too new, too large or too deep; "" if nothing does."""
    told = (document.get("campaign") or {}).get("schema", 1)
    if type(told) is not int or told < 1:
        return "its schema is no whole number from 1 on"
    if told > VERSION:
        return f"made by a newer descentbench (schema {told}; this one reads up to {VERSION})"
    if len(document["benchmarks"]) > ROWS:
        return f"{len(document['benchmarks']):,} rows; {ROWS:,} are read at most"
    for number, entry in enumerate(document["benchmarks"]):
        rounds = entry["stats"].get("data")
        if isinstance(rounds, list) and len(rounds) > ROUNDS:
            return f"entry {number} of benchmarks has {len(rounds):,} rounds; {ROUNDS:,} are read at most"
    rest = {name: held for name, held in document.items() if name != "benchmarks"}
    facts = [entry[part] for entry in document["benchmarks"] for part in ("extra_info", "stats")]  # no more is read
    return f"nested more than {DEPTH} deep" if _deeper(rest, DEPTH) or _deeper(facts, DEPTH) else ""


def _deeper(value: object, levels: int) -> bool:
    """Whether lists and objects stand in one another more than so many `levels` deep."""
    here = [value]
    for _ in range(levels):
        if not here:
            return False
        here = [inner for held in here for inner in _nested(held)]
    return bool(here)


def _nested(value: Any) -> Iterable[object]:
    """The lists and objects in a list or an object."""
    held = value.values() if isinstance(value, dict) else value
    flat = {*map(type, held)}.isdisjoint((list, dict))  # as most rows and all rounds: quick
    return () if flat else [inner for inner in held if isinstance(inner, (list, dict))]


def migrated(document: Document) -> Document:
    """The file as today's: what older ones leave unsaid but meant is filled in, in place; nothing is measured anew."""
    for number in range(version(document), VERSION):
        document = MIGRATIONS.get(number, _unchanged)(document)
    return document


def _unchanged(document: Document) -> Document:
    return document


def _said_what_it_goes_over(document: Document) -> Document:
    """Before it was told, every step went over X, and a descent was one process."""
    for entry in document["benchmarks"]:
        facts = entry["extra_info"]
        facts["work"] = facts.get("work") or "X"
        facts["ranks"] = 1 if facts.get("ranks") is None else facts["ranks"]
    return document


MIGRATIONS: dict[int, Callable[[Document], Document]] = {3: _said_what_it_goes_over}  # from that version to the next
