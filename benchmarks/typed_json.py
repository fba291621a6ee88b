"""Decode JSON into dataclasses. The annotation of a field is its check: its type, and the condition beside it.

Answers of workers and journals are untrusted input. Only values that the annotations allow are accepted.
"""

import contextlib
import math
import reprlib
from dataclasses import MISSING, fields, is_dataclass
from functools import cache
from types import UnionType
from typing import Annotated, Any, Union, get_args, get_origin, get_type_hints

LINE_CHARACTERS, WORDS_CHARACTERS, FILE_CHARACTERS = 300, 10_000, 100_000  # of a reason or a name; words; a source file
REASON_CHARACTERS = 1_000  # of all reasons of a case
MAX_HELPERS, MAX_ENTRIES = 20, 100  # source files beside an implementation; names, such as those of thread pools
MIN_RUN_S = 1e-7  # a call and the copy of its start take longer


def printable(text: object, limit: int = LINE_CHARACTERS) -> str:
    """Return one line of at most `limit` printable characters. Others, such as terminal escapes, become U+FFFD.

    A longer line is cut after a whole word: `privacy` could not recognise half a path when the line is saved.
    """
    line = " ".join(str(text).split())
    if len(line) > limit:
        line = line[: limit + 1].rpartition(" ")[0] or line[:limit]
    return "".join(character if character.isprintable() else "\N{REPLACEMENT CHARACTER}" for character in line)


Seconds = Annotated[float, lambda value: 0 <= value < 1e9]
Duration = Annotated[float, lambda value: MIN_RUN_S <= value < 1e9]  # of a run with steps
CpuSeconds = Annotated[float, lambda value: 0 <= value < 1e9]  # of all threads
Rate = Annotated[float, lambda value: 0 <= value < 1e17]
Speed = Annotated[float, lambda value: 0 < value < 1e18]
Count = Annotated[int, lambda value: 0 <= value < 2**53]  # sums stay below a column's limit
Text = Annotated[str, lambda value: value == printable(value)]
Words = Annotated[str, lambda value: len(value) <= WORDS_CHARACTERS and value.isprintable()]  # a path keeps its blanks
Fact = Annotated[Any, lambda value: value is None or isinstance(value, (bool, int, float, str))]  # of a row
File = Annotated[str, lambda value: len(value) <= FILE_CHARACTERS]
Helpers = Annotated[dict[Words, File], lambda value: len(value) <= MAX_HELPERS and all(map(_is_below, value))]
Speeds = Annotated[dict[Text, Speed], lambda value: len(value) <= MAX_ENTRIES]


def decode(hint: Any, value: Any) -> Any:
    """Return a JSON value as an annotation says, its objects as dataclasses. Raises ValueError if it does not fit."""
    origin, options = get_origin(hint), get_args(hint)
    is_object = isinstance(hint, type) and is_dataclass(hint) and isinstance(value, dict)
    if is_object and value.keys() <= _hints(hint).keys():
        return hint(**decode_fields(hint, value))
    if origin is Annotated and options[1](result := decode(options[0], value)):
        return result
    if origin in (Union, UnionType):
        for option in options:
            with contextlib.suppress(ValueError):
                return decode(option, value)
    if origin is list and isinstance(value, list):
        return value if options[0] is Any else [decode(options[0], entry) for entry in value]
    if origin is dict and isinstance(value, dict):
        return {_key(options[0], key): decode(options[1], entry) for key, entry in value.items()}
    if hint is float and type(value) in (int, float) and abs(value) < math.inf:
        return value
    if hint is Any or type(value) is (type(None) if hint is None else hint):
        return value
    raise ValueError(f"impossible: {printable(reprlib.repr(value), 80)}")


def decode_fields(kind: type, values: dict[str, Any]) -> dict[str, Any]:
    """Return a dataclass's fields from an object; other names are ignored. Raises ValueError for a wrong field."""
    hints, result = _hints(kind), {}
    for field in fields(kind):
        if field.name in values:
            try:
                result[field.name] = decode(hints[field.name], values[field.name])
            except ValueError:
                value = printable(reprlib.repr(values[field.name]), 80)
                raise ValueError(f"has an impossible {field.name}: {value}") from None
        elif field.default is MISSING and field.default_factory is MISSING:
            raise ValueError(f"has no {field.name}")
    return result


@cache
def _hints(kind: type) -> dict[str, Any]:
    return get_type_hints(kind, include_extras=True)


def _key(hint: Any, key: str) -> Any:
    """Return a key of an object, which JSON has as text."""
    return int(key) if hint is int and key.isdecimal() and len(key) < 10 else decode(hint, key)


def _is_below(name: str) -> bool:
    """Return whether a relative path stays in its folder."""
    return not {"", ".", ".."} & set(name.split("/"))
