"""Parse the JSON of saved files, which are untrusted input."""

import json
from typing import Any


def parse_json(source: str) -> Any:
    """Return the value of a JSON text. Raises ValueError or RecursionError."""
    value = json.loads(source, parse_int=_parse_integer)
    return clean(value) if "\\u" in source else value


def _parse_integer(digits: str) -> float:
    """Return an int if it fits into 64 bits, else a float."""
    number = int(digits) if len(digits) < 21 else 2**64
    return number if -(2**63) <= number < 2**64 else float(digits)


def clean(value: Any) -> Any:
    """Return the value with each half of a surrogate pair escaped, because no encoder accepts one."""
    if isinstance(value, str):
        return value.encode("utf-8", "backslashreplace").decode("utf-8")
    if isinstance(value, dict):
        return {clean(name): clean(item) for name, item in value.items()}
    return [clean(item) for item in value] if isinstance(value, list) else value
