"""Measure how loading and reporting scale with the number of saved files. Each step runs in a fresh process.

The files are copies of a campaign of this repository, with varied times and three rounds per row, and sealed.
"""

import importlib.metadata
import importlib.util
import json
import math
import os
import platform
import random
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pandas as pd

from results.output import Page, Section, json_text, seconds, size, write
from results.store.atomic import atomic_write
from results.store.runs import ROOT
from results.store.schema import VERSION, migrate
from results.store.seal import seal

REPORTS = {"md": ["--format", "md"], "page": []}  # options of each report
FILE_COUNTS, FILE_ROWS, MACHINE_COUNT = (20, 100, 1_000), 100, 5
IMPLS = ("numpy_manual", "jax_grad", "jax_jit", "jax_scan", "torch_")  # prefixes; two blocks of five problems
PAGE_LOADS = 5  # the median counts
CLOCK_COLUMNS = ["import_s", "prepare_s", "first_s", "steady_s", "fixed_s", "per_step_s", "calibration_s", "blocked_s"]
START = datetime(2026, 1, 1, tzinfo=UTC)
MAKE_SCRIPT = "from results.upkeep.many_files import make_files; make_files(sys.argv[1], int(sys.argv[2]))"
PRINT_SECONDS = "lambda: print(time.perf_counter() - start)"
LOAD_SCRIPT = "import results; start = time.perf_counter(); results.load('all', root=sys.argv[1])"
REPORT_SCRIPT = "from results.__main__ import main; sys.exit(main(['report', 'all', '--runs', *sys.argv[1:]]))"


def measure_files(counts: tuple[int, ...] = FILE_COUNTS, reports: tuple[str, ...] = tuple(REPORTS)) -> Page:
    """Return one row per number of files: seconds and peak memory of loading them all, and of each of `reports`."""
    with tempfile.TemporaryDirectory() as folder:
        table = pd.DataFrame([_measure(Path(folder, str(count)), count, reports) | _setting() for count in counts])
    return Page(table, [section(table)])


def section(table: pd.DataFrame) -> Section:
    """Return the table of `measure_files` with units, and the machine."""
    rows = []
    for row in table.to_dict("records"):
        cells = {"files": f"{row['files']:,}", "rows": f"{row['rows']:,}", "on disk": size(row["bytes"])}
        cells["loaded"] = f"{seconds(row['load_s'])}, {size(row['load_peak'])}"
        for name in REPORTS:
            if f"{name}_s" in row:
                cells[f"report: {name}"] = f"{seconds(row[f'{name}_s'])}, {size(row[f'{name}_peak'])}"
        if "ready_s" in row:
            cells["the page"] = f"{row['page_bytes'] / 1e6:.1f} MB, drawn in {seconds(row['ready_s'])}"
        rows.append(cells)
    last = table.iloc[-1]
    note = (
        "Time and peak memory in fresh processes. loaded: a call of results.load. report: md: the command that writes"
        " Markdown. report: page: the command that writes the page, its Markdown and its charts. the page: its size,"
        " and the time from opening it offline in Chromium until everything is drawn."
    )
    setting = f"{last['cpu']}, {last['cores']} cores; {last['versions']}; {last['date']}."
    return Section("Growth", table=rows, notes=[note, setting])


def make_files(root: str, count: int) -> None:
    """Write `count` files of MACHINE_COUNT machines under `root`, in the layout of pytest-benchmark."""
    (source,) = ROOT.rglob("0007_campaign.json")
    campaign = migrate(json.loads(source.read_text(encoding="utf-8")))
    entries = [entry for entry in campaign["benchmarks"] if entry["extra_info"]["impl"].startswith(IMPLS)]
    entries = sorted(entries, key=lambda entry: int(entry["extra_info"]["block"]))
    problems = list(dict.fromkeys(entry["extra_info"]["problem"] for entry in entries))[:5]
    campaign["benchmarks"] = [entry for entry in entries if entry["extra_info"]["problem"] in problems][:FILE_ROWS]
    for number in range(count):
        machine = f"box-{number % MACHINE_COUNT}"
        path = Path(root, machine, source.parent.name, f"{number // MACHINE_COUNT + 1:04}_many-files.json")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(_vary(campaign, machine, number), indent=4), encoding="utf-8")


def _vary(campaign: dict[str, Any], machine: str, number: int) -> dict[str, Any]:
    """Return a sealed copy of the campaign with varied times, of another machine, `number` hours after START."""
    rng = random.Random(number)
    document = campaign | {
        "machine_info": campaign["machine_info"] | {"node": machine, "slug": machine},
        "campaign": campaign["campaign"] | {"schema": VERSION},
        "datetime": (START + timedelta(hours=number)).isoformat(),
        "benchmarks": [_vary_row(entry, rng) for entry in campaign["benchmarks"]],
    }
    seal(document)
    return document


def _vary_row(entry: dict[str, Any], rng: random.Random) -> dict[str, Any]:
    facts, stats, factor = entry["extra_info"], entry["stats"], rng.uniform(0.9, 1.1)
    data = [stats["median"] * factor * rng.uniform(0.98, 1.02) for _ in range(3)]
    clocks = {name: facts[name] * factor for name in CLOCK_COLUMNS if name in facts}
    rounds = {name: value * factor for name, value in stats.items() if isinstance(value, float)}
    return entry | {"extra_info": facts | clocks, "stats": stats | rounds | {"rounds": 3, "data": data}}


def _measure(root: Path, count: int, reports: tuple[str, ...]) -> dict[str, Any]:
    """Make `count` files under `root`, and measure loading and reporting."""
    _run(MAKE_SCRIPT, str(root), str(count))
    row: dict[str, Any] = {"files": count, "rows": count * FILE_ROWS}
    row["bytes"] = sum(path.stat().st_size for path in root.rglob("*.json"))
    _, row["load_s"], row["load_peak"] = _run(LOAD_SCRIPT, str(root))
    for name in reports:
        out = str(root.parent / f"{count}.{name}")
        row[f"{name}_s"], _, row[f"{name}_peak"] = _run(REPORT_SCRIPT, str(root), *REPORTS[name], "--out", out)
    page = root.parent / f"{count}.page" / "report.html"
    return row | ({"page_bytes": page.stat().st_size, "ready_s": page_seconds(page)} if page.exists() else {})


def page_seconds(page: Path) -> float:
    """Return the seconds from opening the page in Chromium until everything is drawn; NaN without Chromium."""
    chromium = shutil.which("chromium")
    if chromium is None or not importlib.util.find_spec("playwright"):
        return math.nan
    from playwright.sync_api import sync_playwright

    durations = []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox", "--disable-gpu"])
        for _ in range(PAGE_LOADS):
            tab = browser.new_page()
            start = time.perf_counter()
            tab.goto(page.as_uri())
            tab.wait_for_selector("html[data-ready=yes]", state="attached", timeout=120_000)
            durations.append(time.perf_counter() - start)
            tab.close()
        browser.close()
    return statistics.median(durations)


def _run(code: str, *arguments: str) -> tuple[float, float, int]:
    """Run code in a fresh process. Return its seconds in total and since `start`, and its peak memory in bytes."""
    program = f"import atexit, sys, time; start = time.perf_counter(); atexit.register({PRINT_SECONDS}); {code}"
    start = time.perf_counter()
    with subprocess.Popen([sys.executable, "-c", program, *arguments], stdout=subprocess.PIPE, text=True) as child:
        output = child.stdout.read() if child.stdout else ""
        _, status, usage = os.wait4(child.pid, 0)
        child.returncode = os.waitstatus_to_exitcode(status)
    if child.returncode:
        raise subprocess.CalledProcessError(child.returncode, program)
    return time.perf_counter() - start, float(output.split()[-1]), usage.ru_maxrss * 1024


def _setting() -> dict[str, Any]:
    """Return this machine, the versions and the date."""
    from cpuinfo import get_cpu_info  # installed with pytest-benchmark; only needed here

    packages = ", ".join(f"{name} {importlib.metadata.version(name)}" for name in ("numpy", "pandas"))
    return {
        "cpu": get_cpu_info().get("brand_raw", platform.machine()),
        "cores": os.cpu_count(),
        "versions": f"Python {platform.python_version()}, {packages}",
        "date": datetime.now(UTC).strftime("%Y-%m-%d %H:%MZ"),
    }


if __name__ == "__main__":
    page = measure_files()
    write(page, "table", sys.stdout)
    atomic_write(Path(sys.argv[1]), json_text(page.data))
