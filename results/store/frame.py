"""Turn a saved file into a run: its facts, and a table with one row per case and block."""

import math
from collections.abc import Sequence
from functools import lru_cache
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from results.output import shortened
from results.store.columns import CASE, COLUMNS, DEFINITIONS, NUMBER_NAMES, STATISTIC_NAMES, TEXT_NAMES
from results.store.identity import code_hashes, hardware_hash, kernel_settings
from results.store.json_values import clean
from results.store.reading import Run, RunError, items, mapping, number, parse_document, read_bytes, sequence, text
from results.store.schema import MAX_BYTES, MAX_FACTS, migrate, parse_utc
from results.store.seal import broken_seals, has_seals

MAX_NAME_CHARACTERS = 200
MAX_NUMBER = 1e18  # in a row
MIN_READABLE_STEP_S = 1e-15
INTERRUPTED = "interrupted"  # reason of a case that Ctrl-C ended

Array = NDArray[Any]


def load_file(path: Path, label: str = "") -> Run:
    """Read, check and migrate one file. Raises RunError if it is not a benchmark file."""
    return _run_of(path, label, read_bytes(path, MAX_BYTES))


@lru_cache(maxsize=16)  # a report reads a run again as an earlier run of others
def _run_of(path: Path, label: str, saved: bytes) -> Run:
    content = parse_document(path, saved)
    seal_errors, sealed = broken_seals(content), has_seals(content)  # before the migration changes the content
    content = migrate(content)
    machine_info, commit = content["machine_info"], mapping(content.get("commit_info"))
    machine = text(machine_info.get("slug")) or text(machine_info.get("node")) or "unknown"
    machine = shortened(machine, MAX_NAME_CHARACTERS)
    label, when = label or f"{machine}/{clean(path.stem)}", parse_utc(content["datetime"])
    origin = {"run": label, "machine": machine, "datetime": when.isoformat(), "commit": text(commit.get("id"))}
    origin |= {"hardware": hardware_hash(machine_info)}
    columns = _columns(content.pop("benchmarks"), origin, seal_errors)
    campaign = mapping(content.get("campaign"))
    sources = mapping(campaign.get("sources"))
    hashes = code_hashes(sources)
    labels = zip(columns["impl"], columns["duplicate_of"], strict=True)
    originals = [duplicate_of or impl or "" for impl, duplicate_of in labels]
    columns["file"] = [text(mapping(sources.get(impl)).get("file")) or None for impl in originals]
    columns["code"] = [hashes.get(impl) for impl in originals]
    environment = mapping(machine_info.get("env"))
    settings = {name: kernel_settings(environment, name) or None for name in {*columns["framework"]}}
    columns["kernels"] = [settings[name] for name in columns["framework"]]
    _mark_refused(columns, sequence(campaign.get("refused")))
    complete = ~np.isin(columns["block"], [*map(number, items(campaign.get("partial_blocks")))])
    columns["complete"] = complete | ~complete.any()  # all count if none is complete
    rows = pd.DataFrame({name: columns[name] for name in [*COLUMNS, *columns]})
    return Run(path, label, machine, when, content, sealed, rows)


def _columns(entries: list[dict[str, Any]], origin: dict[str, str], seal_errors: list[str]) -> dict[str, Any]:
    """Return the rows of a file as columns: COLUMNS, then unknown facts. Numbers are arrays."""
    facts = [entry["extra_info"] for entry in entries]
    columns: dict[str, Any] = {name: [value] * len(entries) for name, value in origin.items()}
    columns["name"] = [text(entry.get("name")) for entry in entries]
    columns |= {name: [text(row.get(name)) or None for row in facts] for name in TEXT_NAMES}
    statistics = {name: [entry["stats"].get(name.removesuffix("_s")) for entry in entries] for name in STATISTIC_NAMES}
    numbers = {name: [row.get(name) for row in facts] for name in NUMBER_NAMES} | statistics
    value_errors = _check_case(columns)
    columns |= {name: _check_numbers(name, values, value_errors) for name, values in numbers.items()}
    measured = [columns[name] for name in ("reason", "error", "tolerance", "per_step_s")]
    row_errors = map(_row_error, [row.get("valid") is True for row in facts], *measured)
    errors = zip(seal_errors, row_errors, value_errors, strict=True)
    columns["reason"] = [next(filter(None, of_row), "") for of_row in errors]
    columns["valid"] = np.array([not reason for reason in columns["reason"]], bool)
    unknown = [name for name in dict.fromkeys(chain.from_iterable(facts)) if name not in (*COLUMNS, *columns)]
    if len(unknown) > MAX_FACTS:
        count = f"{len(unknown):,} facts that are unknown here"
        raise RunError(f"cannot read {origin['run']}: {count}; {MAX_FACTS:,} at most")
    for name in unknown:
        values = [row.get(name, math.nan) for row in facts]
        columns[name] = [text(value) if isinstance(value, (list, dict)) else value for value in values]
    return columns


def _mark_refused(columns: dict[str, Any], refused: list[dict[str, Any]]) -> None:
    """Mark the rows of a case that was refused in another block, under either label of an A/A pair.

    A case that fails in one block may be wrong in the others too. A case that Ctrl-C ended has not failed.
    The file does not record which of several numbers of ranks was refused.
    """
    labels = zip(columns["impl"], columns["duplicate_of"], strict=True)
    originals = {impl: duplicate_of or impl for impl, duplicate_of in labels}
    cases = [(originals[impl], *rest) for impl, *rest in zip(*(columns[name] for name in CASE), strict=True)]
    ranks: dict[tuple[str, ...], set[float]] = {}
    for case, count in zip(cases, columns["ranks"], strict=True):
        ranks.setdefault(case, set()).add(count if count == count else 1)
    reasons: dict[tuple[str, ...], str] = {}
    for entry in refused:
        impl, *rest = (text(entry.get(name)) for name in CASE)
        if text(entry.get("reason")) != INTERRUPTED:
            reason = f"refused in block {text(entry.get('block'))}: {text(entry.get('reason'))}"
            reasons.setdefault((originals.get(impl, impl), *rest), shortened(reason))
    for row, case in enumerate(cases):
        if case in reasons and len(ranks[case]) == 1 and columns["valid"][row]:
            columns["reason"][row], columns["valid"][row] = reasons[case], False


def _check_case(columns: dict[str, Any]) -> list[str]:
    """Return for each row the error in the names of its case, or "". Shorten long names in `columns`."""
    errors = ["" for _ in columns["name"]]
    for name in CASE:
        for row, value in enumerate(columns[name]):
            if value is None:
                errors[row] = f"its {name} is missing"
            elif len(value) > MAX_NAME_CHARACTERS:
                errors[row] = f"its {name} has {len(value):,} characters, more than {MAX_NAME_CHARACTERS}"
        columns[name] = [value and shortened(value, MAX_NAME_CHARACTERS) for value in columns[name]]
    return errors


def _check_numbers(name: str, values: Sequence[Any], errors: list[str]) -> Array:
    """Return a column of numbers, NaN for missing and impossible values.

    Set `errors` of a row to the reason if a value is impossible and the row has no error yet.
    """
    numbers = np.array([number(value) for value in values])
    numbers = numbers if numbers.dtype.kind in "if" else numbers.astype(float)  # a number may need 64 bits without sign
    least = DEFINITIONS[name].least
    if least is None:
        return numbers
    impossible = (numbers < least) | (numbers > MAX_NUMBER)
    for row in np.flatnonzero(impossible):
        errors[row] = errors[row] or f"impossible value: its {name} is {numbers[row]:g}"
    return np.where(impossible, math.nan, numbers) if impossible.any() else numbers


def _row_error(valid: bool, reason: str | None, error: float, allowed: float, per_step: float) -> str:
    """Return the reason why a row does not count, or "". A row marked as valid must have been checked and timed."""
    if not valid:
        return reason or "not marked as valid"
    if not error <= allowed:
        return "its error is above the tolerance, or not recorded"
    return "" if per_step >= MIN_READABLE_STEP_S else "its time per step is zero or not recorded"
