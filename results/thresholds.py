"""How much slower is too slow: on the command line, and case by case in a TOML file."""

import math
import tomllib
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from results.read import CASE, RunError


@dataclass(frozen=True)
class Thresholds:
    """`default`, and for each [[case]] of the file its patterns by name and its own threshold; 0.05 is 5 %."""

    default: float
    tables: list[tuple[dict[str, str], float]]

    def table(self, case: dict[str, Any]) -> int | None:
        """Number of the first [[case]] that matches; None where the default holds."""
        fits = (all(fnmatchcase(case[name], form) for name, form in forms.items()) for forms, _ in self.tables)
        return next((number for number, fit in enumerate(fits) if fit), None)

    def of(self, case: dict[str, Any]) -> float:
        """The threshold of a case."""
        number = self.table(case)
        return self.default if number is None else self.tables[number][1]


def thresholds(slower: str | None, path: Path | None) -> Thresholds:
    """What --slower says, else the file, for all cases; its [[case]] tables for theirs. Raises RunError."""
    held = _toml(path) if path else {}
    _known(held, ["slower", "case"], str(path))
    tables = held.get("case", [])
    if not isinstance(tables, list) or not all(isinstance(table, dict) for table in tables):
        raise RunError(f"{path}: cases are [[case]] tables")
    default = [fraction(slower, "--slower")] if slower is not None else []
    default += [fraction(held["slower"], str(path))] if "slower" in held else []
    if not default:
        raise RunError("no threshold: give --slower 5%, or slower in the file of --thresholds")
    return Thresholds(default[0], [_table(table, str(path)) for table in tables])


def _toml(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise RunError(f"cannot read {path}: {error.strerror}") from error
    except (ValueError, RecursionError) as error:
        raise RunError(f"{path} is not TOML: {error}") from error


def _known(table: dict[str, Any], names: list[str], where: str) -> None:
    if unknown := [name for name in table if name not in names]:
        raise RunError(f"{where}: unknown {', '.join(unknown)}; known: {', '.join(names)}")


def _table(table: dict[str, Any], where: str) -> tuple[dict[str, str], float]:
    _known(table, [*CASE, "slower"], f"{where}: [[case]]")
    forms = {name: form for name, form in table.items() if name != "slower"}
    if "slower" not in table or not all(isinstance(form, str) for form in forms.values()):
        raise RunError(f"{where}: [[case]] {forms} needs slower, and patterns that are strings")
    return forms, fraction(table["slower"], where)


def fraction(given: object, where: str) -> float:
    """`5%` or `0.05` as 0.05. Raises RunError, also for 5: it would be 500 %."""
    said = str(given).strip()
    try:
        value = float(said.removesuffix("%")) / (100 if said.endswith("%") else 1)
    except ValueError:
        value = math.nan
    if not 0 <= value < (math.inf if said.endswith("%") else 1):
        raise RunError(f"{where}: {said!r} is no threshold; write 5% or 0.05")
    return value
