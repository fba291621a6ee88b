"""Define the versions of saved files. Validate the structure, check limits, and migrate older files.

`schema.json` publishes the same rules, and tests compare both. The checks here need no JSON Schema package, so that
`results` reads files without further installation.
"""

from datetime import UTC, datetime
from typing import Any

from results.store.columns import FORMER_NAMES

VERSIONS = {
    1: "no digests; also files of other projects",
    2: "one digest per row, and one of the machine and the campaign",
    3: "source code of the implementations (campaign.sources), and the iterates of each row",
    4: "the data that a step reads, ranks, and the machine's limits (campaign.limits)",
    5: "the version itself (campaign.schema), and a digest of the whole file",
    6: "plain names of columns (docs/columns.md lists the former ones)",
}
VERSION = max(VERSIONS)  # of new files, saved as campaign.schema
FILE_DIGEST_SINCE = 5
MAX_BYTES, MAX_JSON_VALUES, MAX_ROWS = 2**27, 3 * 10**6, 25_000  # of a file: ten times the largest committed run
MAX_ROUNDS = 10**6  # of a row
MAX_NAMES = 1_000  # of implementations, of problems and of blocks in a file
FORMER_CAMPAIGN_FACTS = {"moments": "system_load", "leftovers": "orphans", "inside_s": "runs_s"}
MAX_FACTS = 1_000  # unknown ones, in a file
MAX_DEPTH = 32  # of nested lists and objects
FIELD_TYPES: dict[str, Any] = {
    "benchmarks": list,
    "machine_info": dict,
    "commit_info": dict | None,
    "campaign": dict | None,
}

Document = dict[str, Any]


def version(document: Document) -> int:
    """Return the version of a valid file. Files before version 5 are recognised by their content."""
    campaign, rows = document.get("campaign") or {}, document["benchmarks"]
    features = {4: bool(rows) and "work" in rows[0]["extra_info"], 3: "sources" in campaign, 2: "digest" in campaign}
    return int(campaign.get("schema") or max((number for number, present in features.items() if present), default=1))


def validation_error(document: object) -> str:
    """Return the first error in the structure of a saved file, or ""."""
    if not isinstance(document, dict) or not {"benchmarks", "machine_info", "datetime"} <= set(document):
        return "it lacks benchmarks, machine_info or datetime"
    for name, type_ in FIELD_TYPES.items():
        if not isinstance(document.get(name), type_):
            return f"its {name} is no {'list' if type_ is list else 'object'}"
    for number, entry in enumerate(document["benchmarks"]):
        row = entry if isinstance(entry, dict) else {}
        if not isinstance(row.get("extra_info"), dict) or not isinstance(row.get("stats"), dict):
            return f"entry {number} of benchmarks lacks extra_info or stats"
    try:
        parse_utc(document["datetime"])
    except (TypeError, ValueError, OverflowError):
        return "its datetime is not a date"
    return ""


def parse_utc(stamp: str) -> datetime:
    """Return an ISO 8601 date in UTC, the default zone. Raises TypeError, ValueError or OverflowError."""
    date = datetime.fromisoformat(stamp)
    return (date if date.tzinfo else date.replace(tzinfo=UTC)).astimezone(UTC)


def check_limits(document: Document) -> str:
    """Return why a file is too new, too large or too deep, or ""."""
    schema = (document.get("campaign") or {}).get("schema", 1)
    if type(schema) is not int or schema < 1:
        return "its campaign.schema is no whole number from 1 on"
    if schema > VERSION:
        return f"made by a newer descentbench (schema {schema}; this one reads up to {VERSION}); update descentbench"
    if len(document["benchmarks"]) > MAX_ROWS:
        return f"{len(document['benchmarks']):,} rows; {MAX_ROWS:,} are read at most"
    for number, entry in enumerate(document["benchmarks"]):
        rounds = entry["stats"].get("data")
        if isinstance(rounds, list) and len(rounds) > MAX_ROUNDS:
            return f"entry {number} of benchmarks has {len(rounds):,} rounds; {MAX_ROUNDS:,} are read at most"
    for name in ("impl", "problem", "block"):
        values = {str(entry["extra_info"].get(name)) for entry in document["benchmarks"]}
        if len(values) > MAX_NAMES:
            return f"{len(values):,} values of {name}; {MAX_NAMES:,} are read at most"
    header = {name: value for name, value in document.items() if name != "benchmarks"}
    rows = [entry[name] for entry in document["benchmarks"] for name in ("extra_info", "stats")]  # nothing else is used
    return f"lists and objects are nested more than {MAX_DEPTH} deep" if _is_too_deep([header, rows]) else ""


def _is_too_deep(containers: list[Any]) -> bool:
    """Return whether lists and objects are nested more than MAX_DEPTH deep. Does not recurse."""
    for _ in range(MAX_DEPTH):
        contents = [list(container.values()) if isinstance(container, dict) else container for container in containers]
        containers = [inner for values in contents for inner in values if isinstance(inner, (list, dict))]
    return bool(containers)


def migrate(document: Document) -> Document:
    """Fill in, in place, facts that older versions imply. Measured values never change."""
    saved_as, rows = version(document), [entry["extra_info"] for entry in document["benchmarks"]]
    if saved_as < 4:  # every step read X, and a descent was one process
        for facts in [facts for facts in rows if "impl" in facts]:  # others are of another project
            facts["work"] = facts.get("work") or "X"
            facts["ranks"] = 1 if facts.get("ranks") is None else facts["ranks"]
    if saved_as < 6:  # some columns and campaign facts had other names
        campaign = document.get("campaign") or {}
        for facts, names in [*((facts, FORMER_NAMES) for facts in rows), (campaign, FORMER_CAMPAIGN_FACTS)]:
            for old in [name for name in facts if name in names]:
                facts.setdefault(names[old], facts.pop(old))
    return document
