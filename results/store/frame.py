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
from numpy.typing import NDArray

from results.output import shortened
from results.store.columns import CASE, COLUMNS, NUMBERS, STATS, WORDS
from results.store.json_values import clean
from results.store.reading import Run, RunError, document, mapping, number, text
from results.store.schema import FACTS, migrated, utc
from results.store.seal import broken_seals, sealed

NAME = 200  # characters of a name
MOST = 1e18  # no number of a row is larger, no time shorter than its inverse
SHORTEST = 1e-15  # seconds of a step: light goes a third of a micrometre
LEAST = dict.fromkeys(["n", "d", "k", "batch", "steps", "threads", "ranks"], 1.0)  # of others: 0
FREE = {"lr", "seed", "growth", "gpu_celsius_before", "gpu_celsius_after"}  # may be anything: nothing is made of them


Array = NDArray[Any]


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
    broken, marked = broken_seals(content, source), sealed(content)  # of what was saved, before anything is filled in
    content = migrated(content)
    machine_info, commit = content["machine_info"], mapping(content.get("commit_info"))
    machine = shortened(text(machine_info.get("slug")) or text(machine_info.get("node")) or "unknown", NAME)
    label, when = label or f"{machine}/{clean(path.stem)}", utc(content["datetime"])
    origin = {"run": label, "machine": machine, "datetime": when.isoformat(), "commit": text(commit.get("id"))}
    columns = _columns(content["benchmarks"], origin, broken)
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
    stats = _each([name.removesuffix("_s") for name in STATS], [entry["stats"] for entry in entries])
    numbers = [*_each(NUMBERS, extra), *((name, values) for name, (_, values) in zip(STATS, stats, strict=True))]
    odd = _cases(columns)
    columns |= {name: _numbers(name, values, odd) for name, values in numbers}
    told = [columns[name] for name in ("reason", "error", "allowed", "per_step_s")]
    marks = [row.get("valid") is True for row in extra]
    faults = zip(broken, map(_fault, marks, *told), odd, strict=True)
    columns["reason"] = [said or fault or strange for said, fault, strange in faults]
    columns["valid"] = np.array([not reason for reason in columns["reason"]], bool)
    others = set().union(*extra) - columns.keys()
    if len(others) > FACTS:
        raise RunError(f"cannot read {origin['run']}: {len(others):,} facts that are unknown here; {FACTS:,} at most")
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


def _cases(columns: dict[str, Any]) -> list[str]:
    """For each row what its case lacks for a name, or has too long a one for; the latter are cut in `columns`."""
    said = ["" for _ in columns["name"]]
    for name in CASE:
        words = set(columns[name])
        if None in words:
            said = [
                why if word else f"it does not say its {name}" for why, word in zip(said, columns[name], strict=True)
            ]
        if any(len(word) > NAME for word in words if word):
            long = [len(word or "") > NAME for word in columns[name]]
            said = [f"its {name} is too long" if cut else why for why, cut in zip(said, long, strict=True)]
            columns[name] = [word and shortened(word, NAME) for word in columns[name]]
    return said


def _numbers(name: str, values: Sequence[Any], odd: list[str]) -> Array:
    """A column of numbers, NaN for what is none or cannot be; `odd` gains why it cannot, where a row has no reason."""
    kinds = {*map(type, values)}
    if kinds == {type(None)}:  # as of every fact that a file does not know: quick
        return np.full(len(values), math.nan)
    held = np.array(values if kinds <= {int, float} else [number(value) for value in values])
    least = LEAST.get(name, 0.0)
    if name in FREE or (np.fmin.reduce(held, initial=least) >= least and np.fmax.reduce(held, initial=0) <= MOST):
        return held
    wrong = (held < least) | (held > MOST)
    for at in np.flatnonzero(wrong):
        odd[at] = odd[at] or f"impossible: its {name} is {held[at]:g}"
    return np.where(wrong, math.nan, held)


def _plain(value: object) -> object:
    return text(value) if isinstance(value, (list, dict)) else value


def _fault(marked: bool, reason: str | None, error: float, allowed: float, per_step: float) -> str:
    """Why a row does not count, whatever its own mark says: unchecked, wrong or untimed; empty if it does."""
    if not marked:
        return reason or "not marked as valid"
    if not error <= allowed:
        return "its error is above what is allowed, or not recorded"
    return "" if per_step >= SHORTEST else "no per-step time above zero"
