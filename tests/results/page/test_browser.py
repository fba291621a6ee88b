"""The page of the report in Chromium: offline, filters, sorting, reload, downloads, keyboard and axe."""

import csv
import io
import json
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from browser import CASE_ROWS, CHROMIUM, FLAGS, Shown
from helpers import ROOT
from runs import MACHINE, blocks, saved_run
from test_page import HOSTILE, hostile_run, tuned_grid

from results.output import seconds, speedup
from results.page.data import Payload, make_payload
from results.page.page import render_page
from results.stats.pairing import without_duplicates
from results.stats.prediction import measured_sizes, predict
from results.store.runs import find, find_all

sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
AXE = ROOT / "build" / "node_modules" / "axe-core" / "axe.min.js"

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="Chromium is not installed: apt-get install chromium")


@pytest.fixture(scope="module")
def saved_page(tmp_path_factory: pytest.TempPathFactory) -> tuple[Payload, Path]:
    """Return data and page of two machines, both dtypes, mini-batches, a sweep, an invalid row and hostile text."""
    root = tmp_path_factory.mktemp("page")
    facts = {"iterates": "0 1 10", "distances": "0 0.5 0.25", "losses": "9 4 1"}
    rows = []
    for dtype, factor in (("float32", 1), ("float64", 2)):
        for impl, step in (("numpy_manual", 2e-6), ("jax_scan", 1e-6), ("torch_nn", 9e-6)):
            for n in (100, 1000):
                size = {"problem": f"{n}x16", "n": n, "batch": n, "dtype": dtype} | facts
                rows += blocks(impl, [factor * step * n / 100] * 12, **size)
            rows += blocks(impl, [factor * step] * 12, problem="crops@5", n=15, d=4, batch=5, dtype=dtype)
    saved_run(root, rows, "0002_sweep", "two", machine_info=MACHINE | {"slug": "two", "cores": 64})
    hostile_run(root)
    runs = find_all(["two/2", "box/1"], root)
    tables, path = make_payload(runs, "numpy_manual"), root / "report.html"
    path.write_text(render_page(runs, tables, "numpy_manual"), encoding="utf-8")
    return tables, path


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with sync_api.sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield started
        started.close()


def opened_offline(browser: Any, path: Path) -> Iterator[Shown]:
    """The page, which has no error and asks nobody."""
    opened = Shown(browser, path)
    yield opened
    opened.context.close()
    assert opened.wrong == []
    assert {url.partition(":")[0] for url in opened.asked} <= {"file", "about", "blob", "data"}


@pytest.fixture
def shown(browser: Any, saved_page: tuple[Payload, Path]) -> Iterator[Shown]:
    yield from opened_offline(browser, saved_page[1])


@pytest.fixture(scope="module")
def untouched(browser: Any, saved_page: tuple[Payload, Path]) -> Iterator[Shown]:
    """The page for tests that change nothing of it."""
    yield from opened_offline(browser, saved_page[1])


def time_text(value: float) -> str:
    """Return a time as the page shows it."""
    return seconds(value)


def test_table_and_heat_map_equal_the_data(shown: Shown, saved_page: tuple[Payload, Path]) -> None:
    cases, speedups = saved_page[0].cases, saved_page[0].speedups
    rows = shown.rows()
    assert len(rows) == len(cases)
    assert [row["per step"] for row in rows] == [time_text(x) for x in cases["per_step_s"]]
    assert shown.page.locator("[aria-label='Vega visualization']").count() == 0, "each chart keeps its name"
    over = speedups[speedups["baseline"] == "numpy_manual"]
    cells = {text.removeprefix("? ") for text in shown.texts("speedup")}
    assert set(over["speedup"].dropna().map(speedup)) <= cells
    assert [text for text in shown.texts("speedup") if text == "invalid"] == ["invalid"] * int(
        (over["why"] != "").sum()
    )
    shown.page.select_option("select[name=baseline]", "jax_scan")
    over = speedups[(speedups["baseline"] == "jax_scan") & (speedups["why"] == "")]
    speedup_cells = [row["speed-up"] for row in shown.rows() if row["speed-up"] != "-"]
    assert sorted(speedup_cells) == sorted(over["speedup"].map(speedup))
    assert "Speed-up over jax_scan" in shown.page.inner_text("#h-speed-up")


def test_filters_leave_what_they_say_and_survive_a_reload(shown: Shown, saved_page: tuple[Payload, Path]) -> None:
    cases = saved_page[0].cases
    shown.tick("impl", "torch_nn")
    shown.tick("dtype", "float64")
    shown.page.select_option("select[name=baseline]", "jax_scan")
    shown.page.select_option("select[name=theme]", "dark")
    shown.page.fill("#find", "two")
    shown.page.click('button[data-sort="per_step_s"]')
    filtered = cases[(cases["impl"] != "torch_nn") & (cases["dtype"] == "float32") & (cases["machine"] == "two")]
    first = shown.rows()
    assert [row["per step"] for row in first] == [time_text(x) for x in sorted(filtered["per_step_s"])]
    assert f"{len(filtered)} of {len(cases)} cases shown" in shown.page.inner_text("#status")
    assert not any("float64" in text for text in shown.texts("time") + shown.texts("sweep"))
    shown.open(shown.page.url)
    assert shown.rows() == first
    assert shown.page.input_value("select[name=baseline]") == "jax_scan"
    assert shown.page.get_attribute("html", "data-theme") == "dark"
    shown.page.click("button[type=reset]")
    shown.page.wait_for_selector(f"{CASE_ROWS}:nth-child({len(cases)})")
    assert "#" not in shown.page.url


def test_what_failed_its_check_comes_last_however_it_is_sorted(shown: Shown) -> None:
    for _ in range(2):
        shown.page.click('button[data-sort="per_step_s"]')
        statuses = [row["status"] for row in shown.rows()]
        assert statuses == sorted(statuses, key=lambda status: status != "measured")
        assert statuses[-1] != "measured"


def test_downloads_hold_the_frame(untouched: Shown, saved_page: tuple[Payload, Path]) -> None:
    cases = saved_page[0].cases
    rows = list(csv.DictReader(io.StringIO(untouched.download('[data-download="csv"]'))))
    assert [row["impl"] for row in rows] == cases["impl"].tolist()
    assert [row["reason"] for row in rows] == cases["reason"].tolist()
    times = [float(row["per_step_s"]) if row["per_step_s"] else None for row in rows]
    assert times == [pytest.approx(x, rel=1e-5) if x == x else None for x in cases["per_step_s"]]
    rows = json.loads(untouched.download('[data-download="json"]'))
    assert [row["n"] for row in rows] == [None if n != n else n for n in cases["n"]]
    lines = untouched.download('[data-download="md"]').splitlines()
    assert len(lines) == len(cases) + 2
    assert len({line.replace("\\|", "").count("|") for line in lines}) == 1
    assert "<svg" in untouched.download('#chart-time [data-save="svg"]')
    assert "per_step_s" in untouched.download('#chart-time [data-save="csv"]')


def test_text_of_a_stranger_is_shown_as_text(untouched: Shown) -> None:
    assert untouched.page.evaluate("typeof window.hacked") == "undefined"
    assert untouched.page.locator("img").count() == 0
    assert any(HOSTILE == row["reason"] for row in untouched.rows())
    assert HOSTILE in [label.strip() for label in untouched.page.locator("#filters label").all_text_contents()]


def test_lines_are_few_named_in_the_order_of_their_ends_and_all_on_request(browser: Any, tmp_path: Path) -> None:
    steps = {"numpy_manual": 3, "jax_scan": 2, "jax_jit": 4, "torch_nn": 9, "torch_manual": 5, "torch_autograd": 8}
    steps |= {"mlx_compile": 6, "tinygrad_autograd": 7, "numba_fused": 1}
    rows = []
    for impl, step in steps.items():
        for n in (100, 1000):
            rows += blocks(impl, [step * n * 1e-8] * 8, problem=f"{n}x16", n=n, batch=n, framework=impl.split("_")[0])
    run, path = saved_run(tmp_path, rows), tmp_path / "report.html"
    path.write_text(render_page([run], make_payload([run], "numpy_manual"), "numpy_manual"), encoding="utf-8")
    opened = Shown(browser, path)

    def names() -> list[str]:
        return [text for text in opened.texts("sweep") if text in steps]

    few = ["tinygrad_autograd", "mlx_compile", "torch_manual", "jax_jit", "numpy_manual", "jax_scan", "numba_fused"]
    assert sorted(names(), key=few.index) == few
    tops = opened.page.evaluate(
        "names => names.map(name => [...document.querySelectorAll('#chart-sweep svg text')]"
        ".find(text => text.textContent === name).getBoundingClientRect().top)",
        few,
    )
    assert tops == sorted(tops)
    opened.page.locator("#chart-sweep svg path[aria-roledescription='point']").first.click()
    opened.page.wait_for_selector("#chart-sweep svg path[opacity='0.12']", state="attached")
    opened.page.focus("#chart-sweep [data-lines]")
    opened.page.keyboard.press("Enter")
    assert set(names()) == set(steps)
    assert opened.page.url.endswith("#lines=all")
    opened.page.click("button[type=reset]")
    assert sorted(names(), key=few.index) == few
    assert "#" not in opened.page.url
    opened.context.close()
    assert opened.wrong == []


def test_the_map_shows_expert_tuned_winners_on_request(browser: Any, tmp_path: Path) -> None:
    run, path = tuned_grid(tmp_path), tmp_path / "report.html"
    path.write_text(render_page([run], make_payload([run], "numpy_manual"), "numpy_manual"), encoding="utf-8")
    opened = Shown(browser, path)
    assert "NumPy" in opened.texts("map") and "torch" not in opened.texts("map")
    opened.page.select_option("select[name=written]", "expert-tuned as well")
    opened.wait_until_drawn()
    assert "#written=" in opened.page.url
    opened.open(opened.page.url)
    assert "torch" in opened.texts("map") and "NumPy" not in opened.texts("map")
    opened.context.close()
    assert opened.wrong == []


def test_every_control_works_by_keyboard(shown: Shown) -> None:
    page = shown.page
    reached = set()
    for _ in range(120):
        page.keyboard.press("Tab")
        reached.add(
            page.evaluate(
                "(e => e.name || e.id || e.dataset.sort || e.dataset.download || e.tagName)(document.activeElement)"
            )
        )
    wanted = {
        "machine",
        "run",
        "impl",
        "device",
        "dtype",
        "problem",
        "plan",
        "framework",
        "baseline",
        "detail",
        "theme",
    }
    assert wanted | {"find", "csv", "json", "md", "per_step_s", "play", "update", "SUMMARY", "A"} <= reached
    before = len(shown.rows())
    page.focus('input[name="impl"][value="torch_nn"]')
    page.keyboard.press("Space")
    assert len(shown.rows()) < before
    page.focus('button[data-sort="impl"]')
    page.keyboard.press("Enter")
    assert page.get_attribute("#cases th:first-child", "aria-sort") == "ascending"
    assert page.evaluate("document.activeElement.dataset.sort") == "impl"
    page.focus("#update")
    page.keyboard.press("Home")
    assert page.inner_text("#update-text").startswith("update 0:")
    page.focus("#play")
    page.keyboard.press("Enter")
    page.wait_for_selector("#play:text('Stop')")
    page.keyboard.press("Enter")
    page.wait_for_selector("#play:text('Play')")


@pytest.mark.parametrize("chart", ["sweep", "time", "error", "loss", "loss-time"])
def test_every_point_is_reached_and_read_by_keyboard(chart: str, shown: Shown) -> None:
    """Tab reaches one point of a chart. Its label is its tooltip, which is shown."""
    page, figure = shown.page, f"#chart-{chart}"
    count = page.locator(f"{figure} svg [aria-roledescription='point']").count()

    def focused() -> str:
        """Return the label of the focused point, which has the focus in sight, and its tooltip."""
        label, visible, outline = page.evaluate(
            "(e => [e.getAttribute('aria-label'), e.matches(':focus-visible'), getComputedStyle(e).outlineStyle])"
            "(document.activeElement)"
        )
        assert (visible, outline) == (True, "solid")
        cells = "rows => rows.map(row => [...row.cells].map(cell => cell.textContent).join(': ')).join('; ')"
        assert page.eval_on_selector_all("#vg-tooltip-element.visible tr", cells) == label
        return str(label)

    page.focus(f"{figure} .plot")
    page.keyboard.press("Tab")
    labels = [focused()]
    for _ in range(count - 1):
        page.keyboard.press("ArrowRight")
        labels.append(focused())
    assert len(set(labels)) == count > 2
    assert page.evaluate("document.activeElement.getBoundingClientRect().bottom <= innerHeight")
    for key, label in (("ArrowRight", labels[-1]), ("ArrowUp", labels[-2]), ("Home", labels[0]), ("End", labels[-1])):
        page.keyboard.press(key)
        assert focused() == label
    page.keyboard.press("Enter")
    page.wait_for_selector(f"{figure} svg path[opacity='0.12']", state="attached")
    page.keyboard.press("Escape")
    assert page.locator("#vg-tooltip-element.visible").count() == 0
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.dataset.save") == "svg", "one stop for all points of a chart"
    page.keyboard.press("Shift+Tab")
    assert focused() == labels[-1]
    shown.tick("impl", "torch_nn")
    shown.wait_until_drawn()
    assert page.locator(f"{figure} svg [tabindex='0']").count() == 1


def test_the_page_predicts_at_the_reader_s_size_as_python_does(browser: Any, tmp_path: Path) -> None:
    run = find("amd-epyc-2c-e60e65/sweep", ROOT / "results" / "runs")
    (tmp_path / "report.html").write_text(render_page([run], make_payload([run], "numpy_manual"), "numpy_manual"))
    opened = Shown(browser, tmp_path / "report.html")
    page, cells = opened.page, "row => [...row.cells].map(cell => cell.textContent)"
    page.select_option("#size select[name=process]", "warm")
    for n, d in ((5_000, 50), (300, 12), (40_000, 90)):
        page.fill("#size input[name=rows]", str(n))
        page.fill("#size input[name=features]", str(d))
        rows = page.eval_on_selector_all("#sizes tbody tr", f"rows => rows.map({cells})")
        found = predict(measured_sizes(without_duplicates(run.rows)), n, d)
        assert {row[0]: row[4] for row in rows} == {one.impl: time_text(one.per_step_s) for one in found}
        assert "Predicted: " in page.inner_text("#size-answer")
    page.fill("#size input[name=rows]", "7")
    assert "is not between the measured sizes" in page.inner_text("#size-answer")
    page.fill("#size input[name=rows]", "0")
    assert "of 1 or more" in page.inner_text("#size-answer")
    opened.context.close()
    assert opened.wrong == []


@pytest.mark.parametrize(
    ("scheme", "rules", "least"), [("light", {}, 20), ("dark", {"runOnly": ["color-contrast"]}, 0)]
)
def test_axe_finds_no_serious_fault(
    browser: Any, saved_page: tuple[Payload, Path], scheme: str, rules: dict[str, Any], least: int
) -> None:
    if not AXE.exists():
        pytest.skip("axe-core is not installed: make browser")
    opened = Shown(browser, saved_page[1], bypass_csp=True, color_scheme=scheme)
    for details in opened.page.locator("details").all():
        details.evaluate("one => { one.open = true }")
    opened.page.evaluate(AXE.read_text(encoding="utf-8"))
    run = "rules => axe.run(rules).then(({violations, passes}) => ({violations, passes: passes.map(one => one.id)}))"
    found = opened.page.evaluate(run, rules | {"resultTypes": ["violations"]})
    opened.context.close()
    serious = [
        (fault["id"], fault["impact"], node["html"][:120])
        for fault in found["violations"]
        if fault["impact"] in ("serious", "critical")
        for node in fault["nodes"]
    ]
    assert len(found["passes"]) > least
    assert serious == []


def test_narrow_windows_dark_mode_and_paper(browser: Any, saved_page: tuple[Payload, Path]) -> None:
    opened = Shown(browser, saved_page[1], viewport={"width": 320, "height": 640}, color_scheme="dark")
    page = opened.page
    assert page.evaluate("document.documentElement.scrollWidth") == 320
    headings = page.evaluate("[...document.querySelectorAll('h1, h2, h3, h4, h5')].map(one => Number(one.tagName[1]))")
    assert all(below - above <= 1 for above, below in pairwise(headings)), "a level is left out"
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(13, 17, 23)"
    page.emulate_media(media="print")
    assert page.locator("#filters").is_hidden()
    assert page.locator("#h-all-cases").is_visible()
    opened.context.close()


def test_a_page_without_a_valid_row_says_so(browser: Any, tmp_path: Path) -> None:
    run = saved_run(tmp_path, blocks("numpy_manual", [1e-6], valid=False, reason="wrong"))
    path = tmp_path / "report.html"
    path.write_text(render_page([run], make_payload([run], "numpy_manual"), "numpy_manual"), encoding="utf-8")
    opened = Shown(browser, path)
    assert opened.page.locator("#chart-time .empty").is_visible()
    assert opened.wrong == []
    opened.context.close()
