"""Which saved files still match the digests that they were saved with, and whose code has changed here since."""

from argparse import Namespace
from functools import cache
from pathlib import Path
from typing import Any

import pandas as pd

from results.commands import options
from results.output import Page, Section, rows_of
from results.store.reading import RunError, mapping, read_document, text
from results.store.runs import ROOT, find_paths, label
from results.store.seal import broken_file_seal, broken_seals, has_seals

MATCHES, EDITED, UNSEALED, UNREAD = "matches", "edited by hand", "no seal", "cannot be read"
NAMED = 5  # rows that are named
CODE = ["impls/*.py", "benchmarks/extra/loops/*.py"]  # what may have been run, in the repository that `results` lies in
NOTES = [
    "A digest is over each row's rounds and facts; another, from schema 5 on, over all else and the list of rows,"
    " before that over machine and campaign. A seal, not a signature: who knows how it is made can make another.",
    "Code that has changed since is no fault: the run holds what was run, and its numbers are of that.",
]


def verify(paths: list[Path], root: Path) -> Page:
    """A row per file: does it match, or what speaks against it; exit status 1 unless all do or have no seal."""
    found = pd.DataFrame([_verified(path, root) for path in paths], columns=["run", "seal", "why", "code"])
    counts = found["seal"].value_counts()
    said = ", ".join(f"{word}: {counts[word]}" for word in (MATCHES, EDITED, UNSEALED, UNREAD) if word in counts)
    section = Section("Seals", f"{len(found)} files; {said}.", rows_of(found), NOTES)
    return Page(found, [section], int(found["seal"].isin([EDITED, UNREAD]).any()))


def _verified(path: Path, root: Path) -> dict[str, str]:
    inside = path.absolute().is_relative_to(root.absolute())
    told = {"run": label(path.absolute(), root.absolute()) if inside else str(path), "code": ""}
    try:
        content = read_document(path)
    except RunError as error:
        return told | {"seal": UNREAD, "why": str(error)}
    told["code"] = _code(mapping(content.get("campaign")))
    if why := broken_file_seal(content) or _rows(content["benchmarks"], broken_seals(content)):
        return told | {"seal": EDITED, "why": why.removeprefix(f"{EDITED}: ")}
    return told | (
        {"seal": MATCHES, "why": ""} if has_seals(content) else {"seal": UNSEALED, "why": "made before seals"}
    )


def _rows(rows: list[dict[str, Any]], broken: list[str]) -> str:
    """Which rows were edited: their numbers from 0 and names."""
    edited = [f"{at} ({text(row.get('name'))})" for at, (row, why) in enumerate(zip(rows, broken, strict=True)) if why]
    more = f" and {len(edited) - NAMED} more" if len(edited) > NAMED else ""
    return f"row{'s' * (len(edited) > 1)} {', '.join(edited[:NAMED])}{more}" if edited else ""


def _code(campaign: dict[str, Any]) -> str:
    """The implementations whose file here is not what was run, and those that have none here."""
    told = {impl: mapping(source) for impl, source in sorted(mapping(campaign.get("sources")).items())}
    now = {impl: _here().get(text(source.get("file"))) for impl, source in told.items()}
    changed = [impl for impl, code in now.items() if code not in (None, text(told[impl].get("text")))]
    absent = [impl for impl, code in now.items() if code is None]
    said = {"code since changed": changed, "not here": absent}
    return "; ".join(f"{words}: {', '.join(names)}" for words, names in said.items() if names)


@cache
def _here() -> dict[str, str]:
    """The code of this repository by its place, as a run names it; nothing where `results` is somewhere else."""
    house = ROOT.parents[1]
    found = [path for pattern in CODE for path in sorted(house.glob(pattern))]
    return {path.relative_to(house).as_posix(): path.read_text("utf-8", "replace") for path in found}


def add_commands(commands: options.Commands) -> None:
    """Add `verify` to the command line."""
    command = options.add(
        commands, "verify", _verify, "check which files match their digests; exit status 1 if any does not"
    )
    options.add_runs(command, "all")


def _verify(given: Namespace) -> Page:
    return verify(find_paths(given.run, given.runs), given.runs)
