"""Saved files as strangers might leave them: seeded mutations of small honest files of every schema version."""

import contextlib
import copy
import json
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from random import Random
from typing import Any

from results.store.seal import seal

DATA = Path(__file__).parents[1] / "support" / "data"
MARK = '<img src=x onerror="hacked()">'  # what must never come alive
STRINGS = [
    MARK,
    f"</script>{MARK}",
    f"</td></tr></table>{MARK}",
    f'" autofocus onfocus="hacked()" x="{MARK}',
    "javascript:hacked()",
    f"{{{{ 7 * 7 }}}} {{% raw %}} ${{7 * 7}} {MARK}",
    f"| a | b |\n| --- | --- |\n| [x](javascript:hacked()) | `{MARK}` |",
    "=HYPERLINK(1)",
    "+1+1",
    "-2-3",
    "@SUM(A1)",
    "\t=1",
    "\r\n=1",
    "\x1b[2J\x1b]0;hacked\x07",
    "\u202eright to left\u2066",
    "\x00",
    "\ud800",
    "\ufeff",
    "",
    " ",
    "x" * 5_000,
    "../../../etc/passwd",
    "C:\\con",
    "UNSERIALIZABLE[array([1.0])]",
    "nan",
    "Infinity",
    "1e400",
    "[" * 3_000,
    "0 1 2 1e400 nan",
    "__proto__",
    "constructor",
    "numpy_manual",
    "float32",
    "9999-12-31T23:59:59-23:00",
    "0001-01-01T00:00:00",
    "1969-12-31",
]
TOKENS = {"@small@": "1e400", "@long@": "9" * 5_000}  # what no Python number is written as
NUMBERS: list[Any] = [
    float("nan"),
    float("inf"),
    -float("inf"),
    10**400,
    -(10**400),
    2**63,
    2**64,
    -(2**63) - 1,
]
NUMBERS += [0, -0.0, -1, -1e-9, 5e-324, 1e-300, 1e308, 1.7976931348623157e308, 1e18, 1e15, 0.5, 1, 2, True, *TOKENS]
NAMES = [
    "round",
    "seconds",
    "at",
    "of",
    "run",
    "machine",
    "series",
    "size",
    "plan",
    "index",
    "level_0",
    "0",
    "",
    "digest",
]
NAMES += [
    "valid",
    "reason",
    "speedup",
    "baseline",
    "panel",
    "detail",
    "ratio",
    "logs",
    "kind",
    MARK,
    "__proto__",
    "\ud800",
    "=1",
]


@cache
def _honest() -> list[str]:
    """Small files, as JSON: of each version, as it was sealed, with what no page shows cut off."""
    return [json.dumps(_small(json.loads(path.read_text()))) for path in sorted(DATA.glob("schema-*.json"))]


def _small(whole: dict[str, Any]) -> dict[str, Any]:
    impls = [*dict.fromkeys(entry["extra_info"]["impl"] for entry in whole["benchmarks"])][:3]
    rows = [entry for entry in whole["benchmarks"] if entry["extra_info"]["impl"] in impls]
    first = rows[0]["extra_info"]
    same = [row for row in rows if all(row["extra_info"][name] == first[name] for name in ("problem", "dtype"))]
    whole["benchmarks"] = same[:18]
    info, campaign = whole["machine_info"], whole["campaign"]
    info["cpu"] = {"brand_raw": "CPU", "count": 2}
    info["installed"] = {"numpy": "2.4.6"}
    for source in campaign.get("sources", {}).values():
        source["text"] = source["text"][:200]
    campaign["refused"] = [
        {name: first[name] for name in ("impl", "device", "dtype", "problem", "block")} | {"reason": "x"}
    ]
    campaign["skipped"] = [{"impl": "torch_nn", "device": "gpu", "reason": "no gpu"}]
    if "digest" in campaign:
        seal(whole)
    return whole


def honest(rng: Random) -> dict[str, Any]:
    """One of the files that are mutated, a new copy."""
    return dict(json.loads(rng.choice(_honest())))


def implementations() -> tuple[str, str]:
    """Two that are in all of them."""
    known = [{row["extra_info"]["impl"] for row in json.loads(text)["benchmarks"]} for text in _honest()]
    first, second, *_ = sorted(set.intersection(*known))
    return first, second


def mutated(rng: Random, kind: str) -> bytes:
    """A file with one to three mutations of that kind; half of those of its structure are sealed again."""
    whole = honest(rng)
    if kind in BYTES:
        return BYTES[kind](rng, _written(rng, whole))
    for _ in range(rng.choice([1, 1, 2, 3])):
        STRUCTURE[kind](rng, whole)
    if rng.random() < 0.5:
        with contextlib.suppress(TypeError, KeyError, AttributeError, ValueError, RecursionError):  # no file any more
            seal(whole)
    return _written(rng, whole)


def _written(rng: Random, whole: object) -> bytes:
    text = json.dumps(whole, indent=4 if rng.random() < 0.1 else None, ensure_ascii=rng.random() < 0.8)
    return _tokens(text).encode("utf-8", "surrogatepass")


def _tokens(text: str) -> str:
    for name, token in TOKENS.items():
        text = text.replace(f'"{name}"', token)
    return text


def _places(value: Any) -> Iterator[tuple[Any, Any]]:
    """Every value in a file, by what holds it and its key or place there."""
    for key in [*value] if isinstance(value, dict) else range(len(value)):
        yield value, key
        if isinstance(value[key], (dict, list)):
            yield from _places(value[key])


def _place(rng: Random, whole: Any, kind: type | tuple[type, ...] = object) -> tuple[Any, Any]:
    """Where to mutate: in the facts of a row as often as in all else."""
    rows = whole.get("benchmarks")
    row = rng.choice(rows) if isinstance(rows, list) and rows else None
    near = isinstance(row, dict) and isinstance(row.get("extra_info"), dict) and rng.random() < 0.5
    found = [*_places(row["extra_info"] if near and row else whole)]
    return rng.choice([place for place in found if isinstance(place[0][place[1]], kind)] or [*_places(whole)])


def _anything(rng: Random) -> Any:
    odd: list[Any] = [None, True, False, [], {}, [None], [[1]], {"a": {"b": [1]}}, {"": ""}, [1.0, "x", None]]
    return copy.deepcopy(rng.choice([rng.choice(STRINGS), rng.choice(NUMBERS), rng.choice(odd)]))


def _put(choice: Callable[[Random], Any]) -> Callable[[Random, Any], None]:
    def put(rng: Random, whole: Any) -> None:
        holder, key = _place(rng, whole)
        holder[key] = choice(rng)

    return put


def _delete(rng: Random, whole: Any) -> None:
    holder, key = _place(rng, whole)
    del holder[key]


def _rename(rng: Random, whole: Any) -> None:
    holder, key = _place(rng, whole)
    if isinstance(holder, dict):
        holder[rng.choice([*NAMES, *STRINGS, *holder])] = holder.pop(key)


def _add(rng: Random, whole: Any) -> None:
    holder, _ = _place(rng, whole)
    if isinstance(holder, dict):
        holder[rng.choice([*NAMES, *STRINGS])] = _anything(rng)
    else:
        holder.insert(rng.randrange(len(holder) + 1), _anything(rng))


def _swap(rng: Random, whole: Any) -> None:
    (a, i), (b, j) = _place(rng, whole), _place(rng, whole)
    a[i], b[j] = copy.deepcopy(b[j]), copy.deepcopy(a[i])


def _rows(rng: Random, whole: Any) -> None:
    rows = whole["benchmarks"]
    change = rng.choice(["none", "one", "doubled", "shuffled", "many", "blocks"])
    if change == "none":
        rows.clear()
    elif change == "one":
        del rows[1:]
    elif change == "shuffled":
        rng.shuffle(rows)
    elif change == "blocks":
        for row in rows:
            row["extra_info"]["block"] = rng.choice([0, 1, 2.5, -1, None, "x", 1e400, row["extra_info"].get("block")])
    else:
        rows += copy.deepcopy(rows[:100] * (1 if change == "doubled" else 6))


def _column(rng: Random, whole: Any) -> None:
    """The same odd value in all rows, or a value of its own in each: what agrees is compared."""
    part = rng.choice(["extra_info", "extra_info", "extra_info", "stats"])
    rows = [row[part] for row in whole["benchmarks"] if isinstance(row.get(part), dict)]
    name, alike = rng.choice([*rows[0]]) if rows and rows[0] else "impl", rng.random() < 0.7
    value = _anything(rng)
    for row in rows:
        row[name] = copy.deepcopy(value) if alike else _anything(rng)


def _nest(rng: Random, whole: Any) -> None:
    holder, key = _place(rng, whole)
    value: Any = holder[key]
    for _ in range(rng.choice([1, 2, 5, 20, 24, 40, 200])):
        value = rng.choice([[value], {"a": value}])
    holder[key] = value


def _cut(rng: Random, text: bytes) -> bytes:
    return text[: rng.randrange(len(text))]


def _flip(rng: Random, text: bytes) -> bytes:
    held = bytearray(text)
    for _ in range(rng.choice([1, 1, 2, 8])):
        held[rng.randrange(len(held))] = rng.choice([rng.randrange(256), ord(rng.choice('{":,.-eE 0123456789ax<'))])
    return bytes(held)


def _insert(rng: Random, text: bytes) -> bytes:
    at = rng.randrange(len(text))
    start = rng.randrange(len(text))
    words = [
        text[start : start + rng.choice([1, 20, 2_000])],
        b"[" * rng.choice([3, 2_000, 200_000]),
        b"9" * 400,
        b"\xff\x00",
    ]
    return (
        text[:at]
        + rng.choice([*words, b"NaN", b'"a":1,', b"\xef\xbb\xbf", json.dumps(rng.choice(STRINGS)).encode()])
        + text[at:]
    )


def _double(rng: Random, text: bytes) -> bytes:
    """The same key twice in an object."""
    opened = [at for at, byte in enumerate(text) if byte == ord("{")]
    at = rng.choice(opened) + 1
    key = text[at : text.index(b":", at)].strip() if b":" in text[at:] else b'"a"'
    name = key if key.startswith(b'"') and rng.random() < 0.7 else json.dumps(rng.choice(NAMES)).encode()
    value = _tokens(json.dumps(_anything(rng))).encode()
    return text[:at] + name + b": " + value + b", " + text[at:]


STRUCTURE: dict[str, Callable[[Random, Any], None]] = {
    "a string": _put(lambda rng: rng.choice(STRINGS)),
    "a number": _put(lambda rng: rng.choice(NUMBERS)),
    "another type": _put(_anything),
    "deleted": _delete,
    "renamed": _rename,
    "added": _add,
    "swapped": _swap,
    "a fact of all rows": _column,
    "rows": _rows,
    "nested": _nest,
}
BYTES: dict[str, Callable[[Random, bytes], bytes]] = {
    "a key twice": _double,
    "cut off": _cut,
    "bytes flipped": _flip,
    "bytes inserted": _insert,
}
KINDS = [*STRUCTURE, *BYTES]
