"""A page in Chromium, as a reader sees it."""

import shutil
from pathlib import Path
from typing import Any

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking"]
FLAGS += ["--disable-component-update", "--disable-sync"]
CASE_ROWS = "#cases tbody tr"


class Shown:
    """The page in its own window, with the URLs that it requested and its errors."""

    def __init__(self, browser: Any, path: Path, hash: str = "", **context: Any) -> None:
        self.context = browser.new_context(accept_downloads=True, **context)
        self.page, self.asked, self.wrong = self.context.new_page(), [], []
        self.page.on("request", lambda request: self.asked.append(request.url))
        self.page.on("pageerror", lambda error: self.wrong.append(str(error)))
        self.page.on("console", lambda message: self.wrong.append(message.text) if message.type == "error" else None)
        self.open(path.as_uri() + hash)

    def open(self, url: str) -> None:
        self.page.goto("about:blank")
        self.page.goto(url)
        self.page.wait_for_selector("html[data-ready=yes]", state="attached", timeout=120_000)
        self.page.eval_on_selector("#filters details", "filters => { filters.open = true }")

    def wait_until_drawn(self) -> None:
        """Wait until the page has drawn what the last event asked for.

        Playwright's wait_for_function evaluates its text in the page, which the page's Content-Security-Policy forbids
        from the second try on: the page's own promise is waited for.
        """
        self.page.evaluate("new Promise(done => setTimeout(done)).then(() => pending)")

    def tick(self, name: str, value: str) -> None:
        self.page.locator(f'input[name="{name}"][value="{value}"]').click()

    def rows(self) -> list[dict[str, str]]:
        """Return the table of all cases, by its headings."""
        self.wait_until_drawn()
        cells = "tr => [...tr.cells].map(cell => cell.textContent)"
        names = self.page.eval_on_selector("#cases thead tr", cells)
        names = [name.rstrip(" ▲▼") for name in names]
        rows = self.page.eval_on_selector_all(CASE_ROWS, f"rows => rows.map({cells})")
        return [dict(zip(names, row, strict=True)) for row in rows]

    def texts(self, chart: str) -> list[str]:
        """Return the texts in a chart."""
        self.wait_until_drawn()
        return list(
            self.page.eval_on_selector_all(f"#chart-{chart} svg text", "all => all.map(one => one.textContent)")
        )

    def download(self, button: str) -> str:
        with self.page.expect_download() as waiting:
            self.page.click(button)
        return Path(waiting.value.path()).read_text(encoding="utf-8")
