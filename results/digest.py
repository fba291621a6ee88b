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
