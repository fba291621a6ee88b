"""Saved files as tidy tables: one row per case and block, many files at once."""

import math
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import accumulate, chain
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from results.digest import broken_seals, sealed
from results.read import COLUMNS, NUMBERS, STATS, WORDS, Run, document, mapping, number, text, utc


@dataclass(frozen=True, eq=False)
class File:
    """One saved file with its rows as columns: by name, a value for each row."""

    path: Path
    label: str
    machine: str
    when: datetime
    document: dict[str, Any]
    sealed: bool
    rows: int
    columns: dict[str, Any]


def opened(path: Path, label: str = "") -> File:
    """One file, not yet laid out: many are laid out together. Raises RunError if it is no benchmark file."""
    source, content = document(path)
    machine_info, commit = mapping(content["machine_info"]), mapping(content.get("commit_info"))
    machine = text(machine_info.get("slug")) or text(machine_info.get("node")) or "unknown"
    label, when = label or f"{machine}/{path.stem}", utc(content["datetime"])
    origin = {"run": label, "machine": machine, "datetime": when.isoformat(), "commit": text(commit.get("id"))}
    columns, marked = _columns(content["benchmarks"], origin, broken_seals(content, source)), sealed(content)
    return File(path, label, machine, when, content, marked, len(content.pop("benchmarks")), columns)


def laid_out(files: list[File]) -> pd.DataFrame:
    """The rows of the files under one another: COLUMNS, then what else any of them says."""
    names = dict.fromkeys([*COLUMNS, *chain.from_iterable(file.columns for file in files)])
    rows = pd.DataFrame({name: _joined(files, name) for name in names})
    unfit = [name for name in {**NUMBERS, **STATS} if rows[name].dtype.kind not in "if"]
    return rows.astype(dict.fromkeys(unfit, float)) if unfit else rows


def runs_of(files: list[File]) -> list[Run]:
    """The files as runs, in their order; their tables are made together: each has the columns that any of them has."""
    if not files:
        return []
    rows, ends = laid_out(files), accumulate(file.rows for file in files)
    parts = [rows.iloc[end - file.rows : end].reset_index(drop=True) for file, end in zip(files, ends, strict=True)]
    return [
        Run(file.path, file.label, file.machine, file.when, file.document, file.sealed, part)
        for file, part in zip(files, parts, strict=True)
    ]


def _joined(files: list[File], name: str) -> Any:
    held = [file.columns[name] if name in file.columns else [math.nan] * file.rows for file in files]
    return np.concatenate(held) if isinstance(held[0], np.ndarray) else list(chain.from_iterable(held))


def _columns(entries: list[dict[str, Any]], origin: dict[str, str], broken: list[str]) -> dict[str, Any]:
    """The rows of a file by column: all of COLUMNS, and what else they say of themselves; numbers as arrays."""
    extra = [entry["extra_info"] for entry in entries]
    columns: dict[str, Any] = {name: [said] * len(entries) for name, said in origin.items()}
    columns["name"] = [text(entry.get("name")) for entry in entries]
    columns |= {name: _texts(values) for name, values in _each(WORDS, extra)}
    columns["work"] = [word or "X" for word in columns["work"]]  # before it was told, there was no other
    columns |= {name: _numbers(values) for name, values in _each(NUMBERS, extra)}
    columns["ranks"] = [1 if held != held else held for held in columns["ranks"]]  # nor were there several
    stats = _each([name.removesuffix("_s") for name in STATS], [entry["stats"] for entry in entries])
    columns |= {name: _numbers(values) for name, (_, values) in zip(STATS, stats, strict=True)}
    told = [columns[name] for name in ("reason", "error", "allowed", "per_step_s")]
    marks = [row.get("valid") is True for row in extra]
    columns["reason"] = [said or fault for said, fault in zip(broken, map(_fault, marks, *told), strict=True)]
    columns["valid"] = np.array([not reason for reason in columns["reason"]], bool)
    columns |= {name: np.array(columns[name]) for name in (*NUMBERS, *STATS)}
    others = set().union(*extra) - columns.keys()
    ordered = dict.fromkeys(name for row in extra for name in row if name in others) if others else ()
    return columns | {name: [_plain(row.get(name, math.nan)) for row in extra] for name in ordered}


def _each(names: Collection[str], rows: list[dict[str, Any]]) -> Iterable[tuple[str, Sequence[Any]]]:
    """Of each name what all rows say, None where they do not."""
    told = [list(map(row.get, names)) for row in rows]
    return zip(names, zip(*told, strict=True) if told else [()] * len(names), strict=True)


def _texts(values: Sequence[Any]) -> list[str | None]:
    """As words, each of them held once."""
    held: dict[str | None, str | None] = {}
    words = [(value if type(value) is str else text(value)) or None for value in values]
    return [held.setdefault(word, word) for word in words]


def _numbers(values: Sequence[Any]) -> Sequence[float]:
    return values if {*map(type, values)} <= {int, float} else [number(value) for value in values]


def _plain(value: object) -> object:
    return text(value) if isinstance(value, (list, dict)) else value


def _fault(marked: bool, reason: str | None, error: float, allowed: float, per_step: float) -> str:
    """Why a row does not count, whatever its own mark says: unchecked, wrong or untimed; empty if it does."""
    if not marked:
        return reason or "not marked as valid"
    if not error <= allowed:
        return "its error is above what is allowed, or not recorded"
    return "" if 0 < per_step < math.inf else "no per-step time above zero"
