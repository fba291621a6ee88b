"""Check which saved files match their digests, and which implementations have changed since a run."""

from functools import cache
from pathlib import Path
from typing import Any

import pandas as pd

from results import options
from results.output import Page, Section, counted, rows_of
from results.store.columns import CASE
from results.store.identity import CUT_MARK
from results.store.reading import RunError, mapping, read_document, text
from results.store.runs import ROOT, find_paths, first_names, label
from results.store.seal import EDITED, broken_file_seal, broken_seals, has_seals

MATCHES, UNSEALED, UNREAD = "matches", "no seal", "cannot be read"
LISTED_ROWS = 5  # edited ones
NOTES = [
    "A digest of each row covers its rounds and facts. A digest of the file covers all else and the list of rows,"
    " before schema 5, only machine and campaign. A seal is not a signature: the algorithm is public.",
    "No digest covers the group and the parameters of a row. They must be those of its facts.",
    "Code that has changed since the run is no error: the file contains the code that was measured.",
]


def verify(paths: list[Path], root: Path) -> Page:
    """Return one row per file: its seal and the reason. The page's code is 1 if a file was edited or is unreadable."""
    table = pd.DataFrame([_verify_file(path, root) for path in paths], columns=["run", "seal", "why", "code"])
    counts = table["seal"].value_counts()
    text = ", ".join(f"{word}: {counts[word]}" for word in (MATCHES, EDITED, UNSEALED, UNREAD) if word in counts)
    section = Section("Seals", f"{counted(len(table), 'file')}; {text}.", rows_of(table), NOTES)
    return Page(table, [section], int(table["seal"].isin([EDITED, UNREAD]).any()))


def _verify_file(path: Path, root: Path) -> dict[str, str]:
    row = {"run": label(path, root) or str(path), "code": ""}
    try:
        content = read_document(path)
    except RunError as error:
        return row | {"seal": UNREAD, "why": str(error)}
    row["code"] = _changed_code(mapping(content.get("campaign")))
    if reason := broken_file_seal(content) or _edited_rows(content["benchmarks"], broken_seals(content)):
        return row | {"seal": EDITED, "why": reason.removeprefix(f"{EDITED}: ")}
    if has_seals(content):
        return row | {"seal": MATCHES, "why": ""}
    is_from_suite = "campaign" in content or any("impl" in entry["extra_info"] for entry in content["benchmarks"])
    return row | {"seal": UNSEALED, "why": "made before seals" if is_from_suite else "not made by this suite"}


def _edited_rows(rows: list[dict[str, Any]], messages: list[str]) -> str:
    """Return the indices and names of the rows with a message of `broken_seals`, or with edited labels, or ""."""
    edited = []
    for i, row in enumerate(rows):
        labels = [] if messages[i] else _edited_labels(row)
        if messages[i] or labels:
            edited.append(f"{i} ({text(row.get('name'))}{': ' * bool(labels)}{', '.join(labels)})")
    return f"row{'s' * (len(edited) > 1)} {first_names(edited, LISTED_ROWS)}" if edited else ""


def _edited_labels(row: dict[str, Any]) -> list[str]:
    """Return the fields of a row that repeat its facts for pytest-benchmark, but differ from them.

    No digest covers these fields. Rows of other benchmarks have other fields.
    """
    facts = row["extra_info"]
    if "impl" not in facts or "bench_descent[" not in text(row.get("name")):
        return []
    impl, device, dtype, problem, block = (facts.get(name) for name in [*CASE, "block"])
    case = f"{impl}-{device}-{problem}-{dtype}-{block}"
    ids = [case, case.encode("unicode_escape").decode("ascii")]  # by an option, pytest does not escape
    fields: dict[str, list[object]] = {
        "group": [f"{problem} {dtype} {device}"],
        "params": [{"case": case}],
        "param": [*ids],
    }
    return [name for name, values in fields.items() if row.get(name) not in values]


def _changed_code(campaign: dict[str, Any]) -> str:
    """Return the implementations whose code differs from this repository's, and those that it lacks."""
    changed, absent = [], []
    for impl, entry in sorted(mapping(campaign.get("sources")).items()):
        source = mapping(entry)
        file = Path(text(source.get("file")))
        saved = {file.name: text(source.get("text"))} | mapping(source.get("helpers"))
        current = {name: _source((file.parent / name).as_posix()) for name in saved}
        if current[file.name] is None or len(file.parts) < 2:  # only the name of a file elsewhere is saved
            absent.append(impl)
        elif not all(_is_same(text(saved[name]), current[name] or "") for name in saved):
            changed.append(impl)
    lists = {"code has changed": changed, "not in this repository": absent}
    return "; ".join(f"{title}: {', '.join(names)}" for title, names in lists.items() if names)


def _is_same(saved: str, current: str) -> bool:
    head, cut, _ = saved.partition(f"\n{CUT_MARK}")
    return current.startswith(head) if cut else current == saved


@cache
def _source(name: str) -> str | None:
    """Return the code of a file of this repository; None if it has no such file."""
    repository = ROOT.parents[1].resolve()
    path = (repository / name).resolve()
    inside = path.is_relative_to(repository) and path.suffix == ".py" and path.is_file()
    return path.read_text("utf-8", "replace") if inside else None


def add_commands(commands: options.Commands) -> None:
    command = options.add(
        commands,
        "verify",
        lambda args: verify(find_paths(args.run, args.runs), args.runs),
        "check which files match their digests; exit status 1 if any does not",
    )
    options.add_runs(command, "all")
