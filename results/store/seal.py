"""Seal rows and files with digests, which show whether and where a file was edited by hand.

The digest of a row covers its rounds, statistics and facts. The digest of a file covers machine, campaign, commit, date
and the source code of the implementations. It also covers the names and digests of all rows in order. Before schema 5
it covered only machine and campaign. A seal is not a signature: the algorithm is public.
"""

import hashlib
import json
from typing import Any

from results.store.schema import FILE_DIGEST_SINCE, version

KEY = "digest"
EDITED = "edited by hand"
FACTS_EDITED = f"{EDITED}: the facts of the machine or the campaign do not match their digest"
FILE_EDITED = f"{FACTS_EDITED}, or the list of rows"
ROW_EDITED = f"{EDITED}: its rounds or facts do not match their digest"


def seal(document: dict[str, Any]) -> None:
    """Add a digest to each row and to the campaign, in place."""
    for entry in document["benchmarks"]:
        entry["extra_info"][KEY] = row_digest(entry)
    document["campaign"][KEY] = file_digest(document)


def has_seals(document: dict[str, Any]) -> bool:
    """Return whether the file carries any digest. Older files have none."""
    rows = [row["extra_info"] for row in document["benchmarks"]]
    return any(KEY in facts for facts in (document.get("campaign") or {}, *rows))


def broken_seals(document: dict[str, Any]) -> list[str]:
    """Return one message per row: why it counts as edited, or "". All are "" if the file has no seals."""
    rows = document["benchmarks"]
    if (message := broken_file_seal(document)) or not has_seals(document):
        return [message] * len(rows)
    return ["" if entry["extra_info"].get(KEY) == row_digest(entry) else ROW_EDITED for entry in rows]


def broken_file_seal(document: dict[str, Any]) -> str:
    """Return why the facts of the file, or from schema 5 its list of rows, count as edited, or ""."""
    whole_file, campaign = version(document) >= FILE_DIGEST_SINCE, document.get("campaign") or {}
    if not whole_file and not has_seals(document):
        return ""
    if KEY in campaign and campaign[KEY] == file_digest(document):
        return ""
    return FILE_EDITED if whole_file else FACTS_EDITED


def row_digest(entry: dict[str, Any]) -> str:
    """Return the digest of the rounds, statistics and facts of one row."""
    facts = {name: value for name, value in entry["extra_info"].items() if name != KEY}
    return _digest([facts, entry["stats"]])


def file_digest(document: dict[str, Any]) -> str:
    """Return the digest of a file. Rows enter by name and digest; before schema 5 only machine and campaign enter."""
    campaign = {name: value for name, value in document["campaign"].items() if name != KEY}
    if version(document) < FILE_DIGEST_SINCE:
        return _digest([document["machine_info"], campaign])
    rows = [[entry.get("name"), entry["extra_info"].get(KEY)] for entry in document["benchmarks"]]
    return _digest(document | {"campaign": campaign, "benchmarks": rows})


def _digest(content: object) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:16]
