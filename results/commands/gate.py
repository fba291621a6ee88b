"""Is run NEW slower than run BASE by more than a threshold? Case by case, for CI; twins are left out.

The ratio NEW/BASE of the seconds per step is judged over the paired blocks of a case, with exact Wilcoxon bounds.
PASS: the upper bound (one-sided, 95 %) is below 1 + threshold. NOT SLOWER is said only where all cases pass, so it
needs no correction for their number. FAIL: the lower bound (one-sided, 5 % over the number of cases compared) is above
1 + threshold, so the chance of any false FAIL is at most 5 %. UNDECIDED: neither, or too few blocks for a bound. NOT
COMPARABLE: missing, invalid or refused in some block, unequal work, another machine. Exit status: 1 if any case fails;
else 2 if any is undecided or not comparable, or there is none; else 0.
"""

import math
import sys
import tomllib
from argparse import Namespace
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any
from xml.etree.ElementTree import Element, SubElement, tostring

import numpy as np
import pandas as pd

from results.commands import options
from results.output import Page, Section, records, seconds, times, words
from results.stats.noise import noise_section
from results.stats.pairing import ratios
from results.stats.signed_rank import (
    ALPHA,
    UNDECIDED,
    blocks_needed,
    fewest_blocks,
    hodges_lehmann,
    interval,
    robust_scale,
)
from results.store.atomic import atomic_write
from results.store.columns import CASE
from results.store.outcomes import missing_cases
from results.store.reading import Run, RunError
from results.store.runs import find


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


PASS, FAIL, REFUSED = "PASS", "FAIL", "NOT COMPARABLE"
JUDGED = ["verdict", "ratio", "lower", "upper", "slower", "blocks", "needed", "reason"]


def gate(base: Run, new: Run, limits: Thresholds) -> Page:
    """NEW judged against BASE: a row per case of BASE, and the exit status that the rule of this module gives."""
    rows = [run.rows[run.rows["duplicate_of"].isna()] for run in (base, new)]
    every = ratios(rows[0], rows[1], CASE)
    every["in_base"], every["in_new"] = ([*every[CASE].apply(tuple, axis=1).isin(_cases(side))] for side in rows)
    found = every[every["in_base"]].reset_index(drop=True)
    found["refused"] = [_refusal(row, base, new) for row in records(found)]
    compared = int((found["refused"] == "").sum())
    judged = [row | {"slower": limits.of(row)} | _verdict(row, limits.of(row), compared) for row in records(found)]
    data = pd.DataFrame(judged, columns=[*CASE, "a_s", "b_s", *JUDGED])
    verdict, code = _whole(data)
    text = f"BASE = {base.label} ({base.machine}, {base.date}); NEW = {new.label} ({new.machine}, {new.date})."
    notes = [*_notes(every, limits, records(found)), "The rule: python -m results gate --help"]
    table = [{name: words(row[name]) for name in CASE} | _cells(row) for row in records(data)]
    sections = [Section(text=verdict), Section(text=text, table=table, notes=notes), noise_section([base, new])]
    return Page(data, sections, code)


def _cases(rows: pd.DataFrame) -> set[tuple[str, ...]]:
    return set(rows[CASE].itertuples(index=False, name=None))


def _refusal(case: dict[str, Any], base: Run, new: Run) -> str:
    """Why a case cannot be compared; empty if it can. What failed once has not been measured."""
    if base.machine != new.machine:
        return f"BASE was made on {base.machine}, NEW on {new.machine}: machines are never compared"
    said = [f"{text} in {side}" for side, run in (("BASE", base), ("NEW", new)) if (text := _ended(run, case))]
    if not case["in_new"]:
        said = ["missing in NEW", *said]
    elif case["refused"]:
        said = [f"{case['refused']} (A = BASE, B = NEW)", *said]
    return "; ".join(said)


def _ended(run: Run, case: dict[str, Any]) -> str:
    """What the campaign says of a case that it refused or skipped in some block.

    Of what an implementation skipped it names no problem: it was not this one if that was measured in every block.
    """
    here = run.rows[(run.rows[CASE] == [case[name] for name in CASE]).all(axis=1)]
    whole = 0 < here["block"].nunique() == run.rows["block"].nunique()
    for row in records(missing_cases(run)):
        meant = row["impl"] == case["impl"] and all(row[name] == case[name] or pd.isna(row[name]) for name in CASE)
        if meant and not (whole and row["status"] == "skipped"):
            return f"{row['status']} ({words(row['reason'])})"
    return ""


def _verdict(row: dict[str, Any], slower: float, compared: int) -> dict[str, Any]:
    if row["refused"]:
        return {"verdict": REFUSED, "reason": row["refused"]}
    return decide(row["logs"], slower, compared)


def decide(logs: list[float], slower: float, compared: int) -> dict[str, Any]:
    """Verdict, bounds and reason of one case of `compared`, from its log ratios; `slower` 0.05 allows 5 % more."""
    d, limit, allowed = np.asarray(logs), math.log1p(slower), f"allowed {times(1 + slower)}"
    low, high = interval(d, 2 * ALPHA / compared)[0], interval(d, 2 * ALPHA)[1]  # one-sided: half of a two-sided level
    found = {"lower": math.exp(low), "upper": math.exp(high)}
    if high < limit:
        return found | {"verdict": PASS, "reason": f"at most {times(math.exp(high))}, {allowed}"}
    estimate = float(hodges_lehmann(d))
    if low > limit:
        reason = f"{times(math.exp(estimate))}, at least {times(math.exp(low))}, {allowed}"
        return found | {"verdict": FAIL, "reason": reason}
    level = 2 * ALPHA / (compared if estimate > limit else 1)
    needed = blocks_needed(estimate - limit, robust_scale(d), level, 0.0)
    reason = f"{_undecided(len(d), low, high, needed)}; {allowed}"
    return found | {"verdict": UNDECIDED, "needed": needed, "reason": reason}


def _undecided(blocks: int, low: float, high: float, needed: int | None) -> str:
    if math.isinf(high):
        fewest = max(needed or 0, fewest_blocks(1, 2 * ALPHA))
        return f"too few blocks for a bound: {blocks}, it takes at least {fewest} (--blocks {fewest})"
    between = f"between {times(math.exp(low))} and" if math.isfinite(low) else "at most"
    wanted = f"some {needed} blocks would decide, by their spread" if needed and needed > blocks else "more blocks"
    return f"{between} {times(math.exp(high))}: {wanted}"


def _whole(data: pd.DataFrame) -> tuple[str, int]:
    """The verdict on all cases in words, and the exit status."""
    counts = {word: int((data["verdict"] == word).sum()) for word in (PASS, FAIL, UNDECIDED, REFUSED)}
    allowed = sorted(data["slower"].unique())
    by = f"more than {_percent(allowed[0])}" if len(allowed) == 1 else "more than their thresholds"
    rest = ", ".join(f"{counts[word]} {word.lower()}" for word in (UNDECIDED, REFUSED) if counts[word])
    if counts[FAIL]:
        more = f"; {rest}" if rest else ""
        return f"SLOWER: {counts[FAIL]} of {len(data)} cases are slower than BASE by {by}{more}.", 1
    sound = f"{counts[PASS]} of {len(data)} cases are not slower than BASE by {by}"
    if rest or data.empty:
        return f"UNDECIDED: {sound}; {rest or 'BASE has no case to compare'}.", 2
    return f"NOT SLOWER: {sound}.", 0


def _notes(every: pd.DataFrame, limits: Thresholds, cases: list[dict[str, Any]]) -> list[str]:
    """Cases that only NEW has, and tables of the thresholds that hold for no case."""
    extra = every[~every["in_base"]]
    used = {limits.table(case) for case in cases}
    notes = [f"only in NEW, not judged: {' '.join(words(row[name]) for name in CASE)}" for row in records(extra)]
    idle = [forms for number, (forms, _) in enumerate(limits.tables) if number not in used]
    return notes + [f"[[case]] holds for no case: {forms}" for forms in idle]


def _cells(row: dict[str, Any]) -> dict[str, str]:
    return {
        "BASE per step": seconds(row["a_s"]),
        "NEW per step": seconds(row["b_s"]),
        "NEW/BASE": times(row["ratio"]),
        "paired blocks": words(row["blocks"]),
        "allowed": f"+{_percent(row['slower'])}",
        "verdict": row["verdict"],
        "why": words(row["reason"]),
    }


def _percent(share: float) -> str:
    return f"{100 * share:g}%"


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


def junit(page: Page) -> bytes:
    """A suite with a case for each of the gate's: a failure where it is slower, an error where that is not known."""
    counts = page.data["verdict"].value_counts()
    failed = int(counts.get(FAIL, 0))
    errors = len(page.data) - failed - int(counts.get(PASS, 0))
    told = {"name": "results gate", "tests": len(page.data), "failures": failed, "errors": errors}
    suite = Element("testsuite", {name: str(held) for name, held in told.items()})
    for row in records(page.data):
        name = words(f"{row['problem']} {row['dtype']} {row['device']}")  # words() also drops what XML cannot hold
        case = SubElement(suite, "testcase", classname=words(row["impl"]), name=name)
        if row["verdict"] != PASS:
            kind = "failure" if row["verdict"] == FAIL else "error"
            SubElement(case, kind, type=row["verdict"], message=words(row["reason"]))
    written: bytes = tostring(suite, encoding="utf-8", xml_declaration=True)
    return written


def annotations(page: Page) -> list[str]:
    """A line for each case that does not pass: `::error` where it is slower, `::warning` where that is not known."""
    return [_annotation(row) for row in records(page.data) if row["verdict"] != PASS]


def _annotation(row: dict[str, Any]) -> str:
    level = "error" if row["verdict"] == FAIL else "warning"
    case = " ".join(row[name] for name in ("impl", "problem", "dtype", "device"))
    title = _escaped(f"{row['verdict']}: {case}").replace(":", "%3A").replace(",", "%2C")
    return f"::{level} title={title}::{_escaped(row['reason'])}"


def _escaped(text: str) -> str:
    """What GitHub reads as data, on one line and without control characters."""
    return words(text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A"))


def add_commands(commands: options.Commands) -> None:
    """Add `gate` to the command line."""
    command = options.add(
        commands, "gate", _gate, "for CI: is run NEW slower than run BASE by more than allowed?", description=__doc__
    )
    command.add_argument("base", metavar="BASE", help="the run that NEW is measured against")
    command.add_argument("new", metavar="NEW", help="the run that is judged")
    command.add_argument(
        "--slower", metavar="5%", help="how much slower is allowed, 5%% or 0.05 (default: from the file of thresholds)"
    )
    command.add_argument(
        "--thresholds",
        type=Path,
        metavar="FILE",
        help='TOML: slower = "5%%" for all cases, and [[case]] tables of slower and patterns for impl, device, dtype,'
        " problem: the first that matches holds for a case, before --slower",
    )
    command.add_argument("--junit", type=Path, metavar="FILE", help="write JUnit XML as well")
    command.add_argument("--github", action="store_true", help="print GitHub's workflow commands as well, on stderr")


def _gate(given: Namespace) -> Page:
    """Judge NEW against BASE; annotations go to stderr, which GitHub reads too: stdout is the page's."""
    allowed = thresholds(given.slower, given.thresholds)
    page = gate(find(given.base, given.runs), find(given.new, given.runs), allowed)
    if given.junit:
        atomic_write(given.junit, junit(page))
    for line in annotations(page) if given.github else []:
        sys.stderr.write(f"{line}\n")
    return page
