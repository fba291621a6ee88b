"""The verdicts of a gate as CI systems read them: JUnit XML, and workflow commands of GitHub."""

from typing import Any
from xml.etree.ElementTree import Element, SubElement, tostring

from results.format import Page, records, words
from results.gate import FAIL, PASS


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
