"""A digest over each row and one over the whole file: they tell whether, and where, it was edited by hand.

That of a row is over its raw rounds and its facts. That of the file is over machine, campaign, commit and date, the
code of the implementations as run (`campaign.sources`), and the names and digests of all rows in their order. Before
schema 5 it was over machine and campaign alone. A seal, not a signature: who knows how it is made can make another.
"""

import hashlib
import json
from typing import Any

from results.store.schema import SEALED_WHOLE, version

KEY = "digest"
FACTS = {
    False: "edited by hand: the facts of the machine or the campaign do not match their digest",
    True: "edited by hand: the facts of the machine or the campaign do not match their digest, or the list of rows",
}  # by whether the file was sealed whole
ROW = "edited by hand: its rounds or facts do not match their digest"
_ENCODER = json.JSONEncoder(sort_keys=True)


def seal(document: dict[str, Any]) -> None:
    """Put a digest into each row and one into the campaign; `document` is what is about to be saved."""
    for entry in document["benchmarks"]:
        entry["extra_info"][KEY] = of_row(entry)
    document["campaign"][KEY] = of_facts(document)


def sealed(document: dict[str, Any]) -> bool:
    """Whether anything in a saved file carries a digest; older files have none."""
    campaign = document.get("campaign")
    return (isinstance(campaign, dict) and KEY in campaign) or any(
        KEY in row["extra_info"] for row in document["benchmarks"]
    )


def broken_seals(document: dict[str, Any], source: str = "") -> list[str]:
    """For each row of a saved file, what speaks for its having been edited; "" for nothing, or for an unsealed file.

    `source` is the text of the file, for speed: it need not be given.
    """
    rows = document["benchmarks"]
    if facts := broken_facts(document):
        return [facts] * len(rows)
    if not sealed(document):
        return [""] * len(rows)
    held = [entry["extra_info"].get(KEY) for entry in rows]
    quick = _of_texts(source, held)
    return [ROW * (told != seen and told != of_row(entry)) for told, seen, entry in zip(held, quick, rows, strict=True)]


def broken_facts(document: dict[str, Any]) -> str:
    """What speaks for the facts of a file, or from schema 5 on the list of its rows, having been edited, or ""."""
    whole, campaign = version(document) >= SEALED_WHOLE, document.get("campaign") or {}
    asked = whole or sealed(document)
    return FACTS[whole] if asked and (KEY not in campaign or campaign[KEY] != of_facts(document)) else ""


def _of_texts(source: str, held: list[object]) -> list[str]:
    """What `of_row` says of each row, read off the text of the file as pytest-benchmark or json.dumps lays it out.

    "" where the text cannot be taken apart so. It is a third of the work: no number is made of digits, nor digits of
    it. `held` are the rows' digests.
    """
    pieces = source.split("{")
    names = [piece.rstrip(": \t\r\n") for piece in pieces]
    facts = [at for at, name in enumerate(names, 1) if name.endswith('"extra_info"')]
    stats = [at for at, name in enumerate(names, 1) if name.endswith('"stats"')]
    plain = not any("\\" in piece for piece in pieces[min(facts, default=0) : max(stats, default=0) + 1])
    if not plain or not len(facts) == len(stats) == len(held):
        return [""] * len(held)
    places = zip(facts, stats, held, strict=True)
    return [_of_text(pieces[fact], pieces[stat], f'{KEY}": "{told}"') for fact, stat, told in places]


def _of_text(facts: str, stats: str, own: str) -> str:
    """The digest of a row, from the texts after two opening braces; `own` is the item that is left out."""
    known, timed = _items(facts), _items(stats)
    if own not in known:
        return ""
    known.remove(own)
    lines = [_in_a_line(item) if "\n" in item else item for item in timed]
    return _sha(f"""[{{"{', "'.join(known)}}}, {{"{', "'.join(lines)}}}]""")


def _items(text: str) -> list[str]:
    """`name": value` each, by name, up to the brace that ends them."""
    text = text[: text.find("}")].strip()
    return sorted(text[1:].split(",\n" + " " * 16 + '"' if "\n" in text else ', "'))


def _in_a_line(item: str) -> str:
    """An item whose list has a line for each value."""
    first, *values, last = item.split("\n")
    return first + " ".join([value.strip() for value in values]) + last.strip()


def of_row(entry: dict[str, Any]) -> str:
    """Digest over the rounds, the statistics and the facts of one row."""
    facts = {name: held for name, held in entry["extra_info"].items() if name != KEY}
    return _digest([facts, entry["stats"]])


def of_facts(document: dict[str, Any]) -> str:
    """Digest over all of the file but its rows, of which their names and digests; before schema 5 not over all."""
    campaign = {name: held for name, held in document["campaign"].items() if name != KEY}
    if version(document) < SEALED_WHOLE:
        return _digest([document["machine_info"], campaign])
    rows = [[entry.get("name"), entry["extra_info"].get(KEY)] for entry in document["benchmarks"]]
    return _digest(document | {"campaign": campaign, "benchmarks": rows})


def _digest(content: object) -> str:
    return _sha(_ENCODER.encode(content))


def _sha(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:16]
