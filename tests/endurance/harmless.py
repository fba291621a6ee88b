"""What no page, table or export may hold, whatever a file says: looked for in its text, and in a real browser."""

import csv
import importlib.util
import io
import json
import shutil
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path

from results.output import FORMULA_STARTS
from results.page.page import vega_bundle

csv.field_size_limit(2**30)
WORDS = (
    "html head meta title style body a header h1 h2 h3 h4 p nav main section article span ul li form "
    "details summary div fieldset legend label input select option button noscript figure figcaption strong "
    "output table caption thead tbody tr th td pre code script"
)
TAGS = {*WORDS.split()}  # what the page is made of


def check(text: str, form: str) -> None:
    """Raise AssertionError where something in a page would come alive, or a table is none."""
    if form in ("md", "table"):
        assert text.replace("\n", "").isprintable(), "a control character"
        assert form == "table" or "<img" not in text, "HTML in Markdown"
    elif form == "csv":
        table = [*csv.reader(io.StringIO(text, newline=""))]
        assert len({len(row) for row in table}) == 1, "ragged"
        alive = [cell for row in table for cell in row if cell.startswith(FORMULA_STARTS) and not _number(cell)]
        assert not alive, f"a formula: {alive[:3]}"
    elif form == "json":
        json.loads(text, parse_constant=_no_constant)
    else:
        Tags().feed(text.replace(vega_bundle(), ""))


def _number(cell: str) -> bool:
    try:
        return bool(float(cell) or True)
    except ValueError:
        return False


def _no_constant(word: str) -> None:
    raise AssertionError(f"{word} in JSON")


class Tags(HTMLParser):
    """Reads a page, and complains of elements and attributes that it is not made of."""

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        names = {name for name, _ in attributes}
        assert tag in TAGS and not any(name.startswith("on") for name in names), f"<{tag} {names}> in the page"
        assert all(held and held.startswith("#") for name, held in attributes if name in ("href", "src")), "a link"


def browser_is_here() -> bool:
    """Whether `alive` can be asked."""
    return bool(importlib.util.find_spec("playwright") and shutil.which("chromium"))


def alive(pages: list[Path]) -> Iterator[str]:
    """What came alive in each of the pages, or what they complained of, in a real browser."""
    from browser import CHROMIUM, FLAGS, Shown
    from playwright import sync_api

    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        for path in pages:
            shown = Shown(browser, path)
            said = shown.page.evaluate(DOM, sorted(TAGS))
            shown.context.close()
            faults = [
                *shown.wrong,
                *said,
                *(url for url in shown.asked if not url.startswith(("file:", "about:", "data:", "blob:"))),
            ]
            yield from (f"{path.name}: {fault}" for fault in faults)
        browser.close()


DOM = """tags => {
  const outside = [...document.querySelectorAll("body *")].filter((one) => !one.closest("svg"));
  const odd = outside.filter((one) => !tags.includes(one.localName) && !["canvas", "svg"].includes(one.localName));
  const has = (one) => [...one.attributes].some((held) => held.name.startsWith("on"));
  const armed = [...document.querySelectorAll("*")].filter(has);
  const links = [...document.querySelectorAll("svg :is(a, image, foreignObject, script), img, iframe, object, embed")];
  const told = [...odd, ...armed, ...links].map((one) => one.outerHTML.slice(0, 200));
  if (typeof window.hacked !== "undefined") told.push("a script ran");
  if (document.scripts.length !== 3) told.push(`${document.scripts.length} scripts`);
  return told;
}"""
