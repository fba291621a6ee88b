"""Is run NEW slower than run BASE by more than a threshold? One verdict per case, for CI. Duplicates are left out.

Each case is judged by the ratio NEW/BASE of the seconds per step over its paired blocks, with exact Wilcoxon bounds.
PASS: the upper bound (one-sided, 95 %) is below 1 + threshold. NOT SLOWER requires that all cases pass, so it needs no
correction for their number. FAIL: the lower bound (one-sided, 5 % over the number of cases compared) is above
1 + threshold, so the chance of any false FAIL is at most 5 %. UNDECIDED: neither, or too few blocks for a bound. NOT
COMPARABLE: missing, invalid or refused in some block, unequal work, another machine. Exit status: 1 if any case fails;
else 2 if any is undecided or not comparable, or there is none; else 0.

A machine may be faster in one run than in the other. Half of each error probability is for this drift: the bounds are
widened by what the implementations with the same code and version in both runs differ by, apart from the judged one.
Without such an implementation no case is decided. One run with both versions needs no widening: gate RUN RUN --impl
OLD NEW. There, fewer than 5 blocks are judged by the interval of the agreement of signs, as by compare.
"""

import math
import sys
import tomllib
from argparse import Namespace
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any
from xml.etree.ElementTree import Element, SubElement, tostring

import numpy as np
import pandas as pd

from results import options
from results.output import Page, Section, counted, records, seconds, times, words
from results.stats.noise import drift, edited_code, noise_section, shifts_of_unchanged
from results.stats.pairing import ratios, without_duplicates
from results.stats.quiet_or_busy import BUSY_REASON, claims_from, kernel_notes, machine_lines
from results.stats.signed_rank import ALPHA, Array, blocks_needed, fewest_blocks, hodges_lehmann, interval, robust_scale
from results.stats.verdicts import UNDECIDED, Verdict, judge
from results.store.atomic import atomic_write
from results.store.columns import CASE
from results.store.outcomes import missing_cases
from results.store.reading import Run, RunError, other_machine, read_bytes, require_own
from results.store.runs import find, nearest

PASS, FAIL, REFUSED = "PASS", "FAIL", "NOT COMPARABLE"
JUDGED_COLUMNS = ["verdict", "ratio", "lower", "upper", "slower", "blocks", "needed", "reason"]
MAX_TOML_BYTES = 2**20  # of a file of thresholds
ONE_RUN = "measure both versions in one run (gate RUN RUN --impl OLD NEW)"
Patterns = dict[str, str]  # by column of CASE; {} matches every case
Thresholds = list[tuple[Patterns, float]]  # allowed slowdowns as fractions: the first match counts, the last is for all


def gate(base: Run, new: Run, thresholds: Thresholds, impls: tuple[str, str] | None = None) -> Page:
    """Judge each case of BASE. The page's code is the exit status.

    impls: two implementations of one run, which are judged as BASE and NEW. Raises RunError if the run lacks one, or if
    BASE and NEW are two runs.
    """
    require_own(base, new)
    rows = [without_duplicates(run.rows) for run in (base, new)]
    if impls:
        rows = _versions(base, new, rows[0], impls)
    pairs = ratios(rows[0], rows[1], CASE, ("BASE", "NEW"))
    names = pd.MultiIndex.from_frame(pairs[CASE])
    pairs["in_base"], pairs["in_new"] = (names.isin(pd.MultiIndex.from_frame(table[CASE])) for table in rows)
    cases, only_new = records(pairs[pairs["in_base"]].assign(verdict=REFUSED)), records(pairs[~pairs["in_base"]])
    matches = [_first_match(thresholds, case) for case in cases]
    for case, index in zip(cases, matches, strict=True):
        case |= {"slower": thresholds[index][1], "reason": _refusal(case, base, new)}
    compared = [case for case in cases if not case["reason"]]
    shifts = None if base.label == new.label else shifts_of_unchanged(base, new)
    verdicts = judge([case["logs"] for case in compared], pairs=[case["pair"] for case in compared])
    for case, verdict in zip(compared, verdicts, strict=True):
        if shifts is None:
            case |= decide(case["logs"], case["slower"], len(compared), early=verdict)
        else:
            other_shifts = [values for name, values in shifts.items() if name != case["impl"]]
            drifts = np.concatenate([np.empty(0), *other_shifts])
            case |= decide(case["logs"], case["slower"], len(compared), drifts)
    if (factor := claims_from([base, new])) > 1:
        withheld = {"verdict": UNDECIDED, "reason": BUSY_REASON}
        cases = [case if _is_clear(case, factor) else case | withheld for case in cases]
    data = pd.DataFrame(cases, columns=[*CASE, "a_s", "b_s", *JUDGED_COLUMNS])
    summary, code = _summarize(data)
    unused = [patterns for index, (patterns, _) in enumerate(thresholds[:-1]) if index not in matches]
    notes = [f"only in NEW, not judged: {' '.join(words(case[name]) for name in CASE)}" for case in only_new]
    notes += edited_code(base, new, ("BASE", "NEW"))
    notes += [f"[[case]] matches no case: {patterns}" for patterns in unused]
    notes += ["The rule: python -m results gate --help"]
    text = f"BASE = {base.label} ({base.machine}, {base.date}); NEW = {new.label} ({new.machine}, {new.date})."
    table = [{name: words(row[name]) for name in CASE} | _cells(row) for row in records(data)]
    sections = [
        Section(text=summary, notes=kernel_notes(base, new), machine=machine_lines(base, new)),
        Section(text=text, table=table, notes=notes),
        noise_section([base, new], len(compared)),
    ]
    return Page(data, sections, code)


def _is_clear(case: dict[str, Any], factor: float) -> bool:
    """Return whether a verdict stands even if a busy machine slowed one side by `factor`."""
    if case["verdict"] == PASS:
        return bool(case["upper"] * factor <= 1 + case["slower"])
    return bool(case["verdict"] != FAIL or case["lower"] > factor)


def _first_match(thresholds: Thresholds, case: dict[str, Any]) -> int:
    """Return the index of the first threshold whose patterns match a case."""
    matches = [all(fnmatchcase(case[name], glob) for name, glob in patterns.items()) for patterns, _ in thresholds]
    return matches.index(True)


def _versions(base: Run, new: Run, rows: pd.DataFrame, impls: tuple[str, str]) -> list[pd.DataFrame]:
    """Return the rows of two implementations of one run, both under the name of the second."""
    names = sorted(set(rows["impl"].dropna()))
    if base.label != new.label:
        raise RunError(f"--impl compares two implementations of one run; {base.label} and {new.label} are two runs")
    if missing := [name for name in impls if name not in names]:
        raise RunError(f"{base.label} has no implementation {missing[0]!r}; {nearest(missing[0], names)}")
    return [rows[rows["impl"] == name].assign(impl=impls[1]) for name in impls]


def _refusal(case: dict[str, Any], base: Run, new: Run) -> str:
    """Return why a case cannot be compared, or "". A case that failed in one block counts as not measured."""
    if reason := other_machine(base, new):
        return f"{reason}: machines are never compared"
    if case["refused"].startswith("invalid"):
        return str(case["refused"])
    missing = [f"{reason} in {name}" for name, run in (("BASE", base), ("NEW", new)) if (reason := _missing(run, case))]
    return "; ".join(filter(None, [case["refused"] if case["in_new"] else "missing in NEW", *missing]))


def _missing(run: Run, case: dict[str, Any]) -> str:
    """Return why the campaign refused or skipped a case in some block, or "".

    Entries may lack parts of the case. A case that was measured in every block was not skipped.
    """
    rows = run.rows[(run.rows[CASE] == [case[name] for name in CASE]).all(axis=1)]
    complete = 0 < rows["block"].nunique() == run.rows["block"].nunique()
    for entry in missing_cases(run):
        same = entry["impl"] == case["impl"] and all(entry[name] in (case[name], None) for name in CASE)
        if same and not (complete and entry["status"] == "skipped"):
            return f"{entry['status']} ({words(entry['reason'])})"
    return ""


def decide(
    logs: list[float], threshold: float, compared: int, shifts: Array | None = None, early: Verdict | None = None
) -> dict[str, Any]:
    """Judge the log ratios of one of `compared` cases: return its verdict, bounds of the ratio, and reason.

    shifts: log ratios NEW/BASE of unchanged code, which show the drift between two runs; None within one run. early:
    the verdict of the case; its interval counts if the signed-rank test has too few blocks.
    """
    d, limit, allowed = np.asarray(logs), math.log1p(threshold), f"allowed {times(1 + threshold)}"
    alpha = ALPHA if shifts is None else ALPHA / 2  # the other half is for the drift
    down, up = (0.0 if shifts is None else drift(shifts, level) for level in (alpha / compared, alpha))
    # one-sided: half of a two-sided level
    low, high = interval(d, 2 * alpha / compared)[0] - down, interval(d, 2 * alpha)[1] + up
    if math.isinf(high) and early is not None and early.low > 0 and math.isfinite(early.high):
        low, high = math.log(early.low), math.log(early.high)
    bounds = {"lower": math.exp(low), "upper": math.exp(high)}
    if high < limit:
        return bounds | {"verdict": PASS, "reason": f"at most {times(bounds['upper'])}, {allowed}"}
    estimate = float(hodges_lehmann(d))
    if low > limit:
        reason = f"{times(math.exp(estimate))}, at least {times(bounds['lower'])}, {allowed}"
        return bounds | {"verdict": FAIL, "reason": reason}
    level, margin = (2 * alpha / compared, down) if estimate > limit else (2 * alpha, up)
    is_hidden = margin > 0 and margin >= abs(estimate - limit)
    needed_blocks = None if is_hidden else blocks_needed(abs(estimate - limit) - margin, robust_scale(d), level, 0.0)
    if math.isinf(margin):
        reason = f"the drift between the runs is unknown: no other implementation is unchanged; {ONE_RUN}"
    elif math.isinf(high):
        fewest = max(needed_blocks or 0, fewest_blocks(1, 2 * alpha))
        reason = f"too few blocks for a bound: {len(d)} of at least {fewest} (--blocks {fewest})"
    else:
        reason = f"between {times(bounds['lower'])} and" if bounds["lower"] else "at most"
        reason += f" {times(bounds['upper'])}; "
        if is_hidden:
            reason += f"the drift between the runs, up to {times(math.exp(margin))}, hides the answer: {ONE_RUN}"
        elif needed_blocks and needed_blocks > len(d):
            reason += (
                f"{needed_blocks} blocks may decide, if ratio and noise are as estimated (--blocks {needed_blocks})"
            )
        else:
            reason += "more blocks may decide"
    return bounds | {"verdict": UNDECIDED, "needed": needed_blocks, "reason": f"{reason}; {allowed}"}


def _summarize(data: pd.DataFrame) -> tuple[str, int]:
    """Return a sentence on all cases, and the exit status."""
    counts = {verdict: int((data["verdict"] == verdict).sum()) for verdict in (PASS, FAIL, UNDECIDED, REFUSED)}
    allowed = data["slower"].unique()
    limit = f"more than {_percent(allowed[0])}" if len(allowed) == 1 else "more than their thresholds"
    open_counts = [f"{counts[word]} {word.lower()}" for word in (UNDECIDED, REFUSED) if counts[word]]
    if counts[FAIL]:
        text = f"{counts[FAIL]} of {len(data)} cases are slower than BASE by {limit}"
        return f"SLOWER: {'; '.join([text, *open_counts])}.", 1
    if data.empty:
        return "UNDECIDED: BASE has no case to compare.", 2
    if open_counts:
        slower = f"; the undecided may be slower than BASE by {limit}" if counts[UNDECIDED] else ""
        open_cases = f"{len(data) - counts[PASS]} of {counted(len(data), 'case')} ({', '.join(open_counts)})"
        return f"UNDECIDED: {open_cases}{slower}.", 2
    return f"NOT SLOWER: none of {counted(len(data), 'case')} is slower than BASE by {limit}.", 0


def _cells(row: dict[str, Any]) -> dict[str, str]:
    return {
        "BASE per step": seconds(row["a_s"]),
        "NEW per step": seconds(row["b_s"]),
        "NEW/BASE": times(row["ratio"]),
        "paired blocks": words(row["blocks"]),
        "allowed": f"+{_percent(row['slower'])}",
        "verdict": row["verdict"],
        "reason": words(row["reason"]),
    }


def _percent(fraction: float) -> str:
    return f"{100 * fraction:g}%"


def read_thresholds(slower: str | None, path: Path | None) -> Thresholds:
    """Return the thresholds of --slower and of a file, whose `slower` counts without --slower. Raises RunError."""
    content = _read_toml(path) if path else {}
    _check_names(content, ["slower", "case"], str(path))
    tables = content.get("case", [])
    if not isinstance(tables, list) or not all(isinstance(table, dict) for table in tables):
        raise RunError(f"{path}: write each case as a [[case]] table")
    value_by_place = {"--slower": slower, str(path): content.get("slower")}
    defaults = [parse_threshold(value, place) for place, value in value_by_place.items() if value is not None]
    if not defaults:
        raise RunError("no threshold: give --slower 5%, or slower in the file of --thresholds")
    return [*(_parse_case(table, str(path)) for table in tables), ({}, defaults[0])]


def _read_toml(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(read_bytes(path, MAX_TOML_BYTES).decode())
    except (ValueError, RecursionError) as error:
        raise RunError(f"{path} is not TOML: {error}") from error


def _check_names(table: dict[str, Any], allowed: list[str], place: str) -> None:
    if unknown := [name for name in table if name not in allowed]:
        raise RunError(f"{place}: unknown {', '.join(unknown)}; known: {', '.join(allowed)}")


def _parse_case(table: dict[str, Any], place: str) -> tuple[Patterns, float]:
    _check_names(table, [*CASE, "slower"], f"{place}: [[case]]")
    patterns = {name: pattern for name, pattern in table.items() if name != "slower"}
    if "slower" not in table or not all(isinstance(pattern, str) for pattern in patterns.values()):
        raise RunError(f"{place}: [[case]] {patterns} needs slower, and patterns that are strings")
    return patterns, parse_threshold(table["slower"], place)


def parse_threshold(value: object, place: str) -> float:
    """Return `5%` or `0.05` as 0.05. Raises RunError, also for 5, which would be 500 %."""
    text = str(value).strip()
    try:
        number = float(text.removesuffix("%")) / (100 if text.endswith("%") else 1)
    except ValueError:
        number = math.nan
    if not 0 <= number < (math.inf if text.endswith("%") else 1):
        raise RunError(f"{place}: {text!r} is no threshold; write 5% or 0.05")
    return number


def junit(page: Page) -> bytes:
    """Return JUnit XML with one test per case: FAIL is a failure, and a verdict other than PASS and FAIL an error."""
    kinds = [{PASS: "", FAIL: "failure"}.get(verdict, "error") for verdict in page.data["verdict"]]
    counts = {"tests": len(kinds), "failures": kinds.count("failure"), "errors": kinds.count("error")}
    suite = Element("testsuite", {"name": "results gate"} | {name: str(count) for name, count in counts.items()})
    for row, kind in zip(records(page.data), kinds, strict=True):
        name = words(f"{row['problem']} {row['dtype']} {row['device']}")  # `words` also drops what XML cannot represent
        case = SubElement(suite, "testcase", classname=words(row["impl"]), name=name)
        if kind:
            SubElement(case, kind, type=row["verdict"], message=words(row["reason"]))
    return bytes(tostring(suite, encoding="utf-8", xml_declaration=True))


def annotations(page: Page) -> list[str]:
    """Return a GitHub workflow command for each case that does not pass: `::error` for FAIL, else `::warning`."""
    commands = []
    for row in records(page.data[page.data["verdict"] != PASS]):
        case = " ".join(row[name] for name in ("impl", "problem", "dtype", "device"))
        title = _escape(f"{row['verdict']}: {case}").replace(":", "%3A").replace(",", "%2C")
        level = "error" if row["verdict"] == FAIL else "warning"
        commands.append(f"::{level} title={title}::{_escape(row['reason'])}")
    return commands


def _escape(text: str) -> str:
    """Escape the data of a workflow command, as one line without control characters."""
    return words(text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A"))


def add_commands(commands: options.Commands) -> None:
    summary = "for CI: is run NEW slower than run BASE by more than allowed?"
    add = options.add(commands, "gate", _gate, summary, description=__doc__).add_argument
    add("base", metavar="BASE", help="the run that NEW is compared with")
    add("new", metavar="NEW", help="the run to judge")
    add("--slower", metavar="5%", help="allowed slowdown, 5%% or 0.05 (default: from the file of --thresholds)")
    add(
        "--thresholds",
        type=Path,
        metavar="FILE",
        help='TOML: slower = "5%%" for all cases, and [[case]] tables with slower and patterns for impl, device, dtype'
        " and problem; the first that matches a case overrides --slower",
    )
    add("--impl", nargs=2, metavar=("OLD", "NEW"), help="compare two implementations of one run, given as BASE and NEW")
    add("--junit", type=Path, metavar="FILE", help="also write JUnit XML to FILE")
    add("--github", action="store_true", help="also print GitHub's workflow commands on stderr")


def _gate(args: Namespace) -> Page:
    thresholds = read_thresholds(args.slower, args.thresholds)
    if args.impl:
        options.check_two_names(*args.impl)
        page = gate(find(args.base, args.runs), find(args.new, args.runs), thresholds, (args.impl[0], args.impl[1]))
    else:
        page = gate(*options.find_two(args.base, args.new, args.runs), thresholds)
    if args.junit:
        atomic_write(args.junit, junit(page))
    if args.github:
        sys.stderr.writelines(f"{line}\n" for line in annotations(page))
    return page
