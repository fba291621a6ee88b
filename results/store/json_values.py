"""The JSON of a saved file as plain values: by orjson where it is installed and will, else by the standard library."""

import contextlib
import json
from typing import Any

try:
    import orjson as quick
except ImportError:  # a nicety: what follows reads the same, in three times the time
    quick = None  # type: ignore[assignment]


def parsed(source: str) -> Any:
    """The value of a JSON text. Raises ValueError or RecursionError if it is none."""
    if quick:
        with contextlib.suppress(quick.JSONDecodeError):  # NaN, half a surrogate pair, or no JSON at all
            return quick.loads(source)
    found = json.loads(source, parse_int=_integer)
    return clean(found) if "\\u" in source else found


def _integer(digits: str) -> float:
    """An int of 64 bits, or else a float, as orjson has it."""
    number = int(digits) if len(digits) < 21 else 2**64
    return number if -(2**63) <= number < 2**64 else float(digits)


def clean(value: Any) -> Any:
    """The same with every half of a surrogate pair spelled out: no encoder takes one."""
    if isinstance(value, str):
        return value.encode("utf-8", "backslashreplace").decode("utf-8")
    if isinstance(value, dict):
        return {clean(name): clean(held) for name, held in value.items()}
    return [clean(held) for held in value] if isinstance(value, list) else value
