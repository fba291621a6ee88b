"""A digest over each row and over the facts of a run: it tells whether a saved file was edited by hand.

It is a seal, not a signature: who knows how it is made can make another.
"""

import hashlib
import json
from typing import Any

KEY = "digest"


def seal(document: dict[str, Any]) -> None:
    """Put a digest into each row and one for machine and campaign; `document` is what is about to be saved."""
    for entry in document["benchmarks"]:
        entry["extra_info"][KEY] = of_row(entry)
    document["campaign"][KEY] = of_facts(document)


def sealed(document: dict[str, Any]) -> bool:
    """Whether anything in a saved file carries a digest; older files have none."""
    campaign = document.get("campaign")
    return (isinstance(campaign, dict) and KEY in campaign) or any(
        KEY in row["extra_info"] for row in document["benchmarks"]
    )


def broken_seals(document: dict[str, Any]) -> list[str]:
    """For each row of a saved file, what speaks for its having been edited; "" for nothing, or for an unsealed file."""
    if not sealed(document):
        return [""] * len(document["benchmarks"])
    campaign = document.get("campaign")
    whole = isinstance(campaign, dict) and campaign.get(KEY) == of_facts(document)
    facts = "" if whole else "edited by hand: the facts of the machine or the campaign do not match their digest"
    row = "edited by hand: its rounds or facts do not match their digest"
    return [facts or row * (entry["extra_info"].get(KEY) != of_row(entry)) for entry in document["benchmarks"]]


def of_row(entry: dict[str, Any]) -> str:
    """Digest over the rounds, the statistics and the facts of one row."""
    facts = {name: held for name, held in entry["extra_info"].items() if name != KEY}
    return _digest([facts, entry["stats"]])


def of_facts(document: dict[str, Any]) -> str:
    """Digest over what the file says of its machine and its campaign."""
    campaign = {name: held for name, held in document["campaign"].items() if name != KEY}
    return _digest([document["machine_info"], campaign])


def _digest(content: object) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:16]
