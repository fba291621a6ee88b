"""How loading and reporting grow with the number of saved files: files are made up, each step in a fresh process.

The files are a campaign of this repository over and over: its rows with their times shaken, three rounds each, sealed.
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

from results.output import Page, Section, seconds, size, write
from results.store.runs import ROOT
from results.store.schema import VERSION, migrate
from results.store.seal import seal

REPORTS = {"md": ["--format", "md"], "page": []}  # what they are called in the table, and the options that make them
COUNTS, ROWS, MACHINES = (20, 100, 1_000), 100, 5
IMPLS = ("numpy_manual", "jax_grad", "jax_jit", "jax_scan", "torch_")  # of five problems ROWS are two whole blocks
OPENED = 5  # times that the page is opened; the median counts
BEGIN = datetime(2026, 1, 1, tzinfo=UTC)
CLOCKS = ["import_s", "prepare_s", "first_s", "steady_s", "fixed_s", "per_step_s", "calibration_s", "blocked_s"]
ROUNDS = ["min", "max", "mean", "stddev", "median", "iqr", "q1", "q3", "ld15iqr", "hd15iqr", "total"]
MAKE = "from results.upkeep.growth import made; made(sys.argv[1], int(sys.argv[2]))"
SAY = "lambda: print(time.perf_counter() - begin)"
LOAD = "import results; begin = time.perf_counter(); results.load('all', root=sys.argv[1])"
REPORT = "from results.__main__ import main; sys.exit(main(['report', 'all', '--runs', *sys.argv[1:]]))"


def growth(counts: tuple[int, ...] = COUNTS, reports: tuple[str, ...] = tuple(REPORTS)) -> Page:
    """A row per number of files: seconds and the peak of memory to load them all, and for each of the REPORTS named."""
    with tempfile.TemporaryDirectory() as folder:
        table = pd.DataFrame([_measured(Path(folder, str(count)), count, reports) | _setting() for count in counts])
    return Page(table, sections(table))


def sections(table: pd.DataFrame) -> list[Section]:
    """The table as `growth` makes it, in words, with what it was made on."""
    rows = [
        {"files": f"{row['files']:,}", "rows": f"{row['rows']:,}", "on disk": size(row["bytes"])}
        | {"loaded": f"{seconds(row['load_s'])}, {size(row['load_peak'])}"}
        | {
            f"report: {name}": f"{seconds(row[f'{name}_s'])}, {size(row[f'{name}_peak'])}"
            for name in REPORTS
            if f"{name}_s" in row
        }
        | (_opened(row) if "ready_s" in row else {})
        for row in table.to_dict("records")
    ]
    last = table.iloc[-1]
    note = (
        "Time and peak of memory, in fresh processes: the call of results.load; the command that writes Markdown; the"
    )
    note += (
        " one that writes the page, its Markdown and its charts. The page: its size, and how long Chromium takes from"
        " opening it, offline, until all is drawn."
    )
    setting = f"{last['cpu']}, {last['cores']} cores; {last['versions']}; {last['date']}."
    return [Section("Growth", table=rows, notes=[f"{note} {setting}"])]


def _opened(row: dict[Any, Any]) -> dict[str, str]:
    return {"the page": f"{row['page_bytes'] / 1e6:.1f} MB, drawn in {seconds(row['ready_s'])}"}


def made(root: str, count: int) -> None:
    """So many files under `root`, on five machines, laid out as pytest-benchmark does."""
    (source,) = ROOT.rglob("0007_campaign.json")
    campaign = migrate(json.loads(source.read_text(encoding="utf-8")))
    known = [entry for entry in campaign["benchmarks"] if entry["extra_info"]["impl"].startswith(IMPLS)]
    entries = sorted(known, key=lambda entry: int(entry["extra_info"]["block"]))
    problems = list(dict.fromkeys(entry["extra_info"]["problem"] for entry in entries))[:5]
    campaign["benchmarks"] = [entry for entry in entries if entry["extra_info"]["problem"] in problems][:ROWS]
    for number in range(count):
        document = _shaken(campaign, f"box-{number % MACHINES}", number)
        path = Path(root, f"box-{number % MACHINES}", source.parent.name, f"{number // MACHINES + 1:04}_growth.json")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(document, indent=4), encoding="utf-8")


def _shaken(campaign: dict[str, Any], machine: str, number: int) -> dict[str, Any]:
    """The campaign as another, of that machine, `number` hours later."""
    rng = random.Random(number)
    document = campaign | {
        "machine_info": campaign["machine_info"] | {"node": machine, "slug": machine},
        "campaign": campaign["campaign"] | {"schema": VERSION},
        "datetime": (BEGIN + timedelta(hours=number)).isoformat(),
        "benchmarks": [_row(entry, rng) for entry in campaign["benchmarks"]],
    }
    seal(document)
    return document


def _row(entry: dict[str, Any], rng: random.Random) -> dict[str, Any]:
    facts, stats, by = entry["extra_info"], entry["stats"], rng.uniform(0.9, 1.1)
    data = [stats["median"] * by * rng.uniform(0.98, 1.02) for _ in range(3)]
    shaken = {"extra_info": facts | {name: facts[name] * by for name in CLOCKS if name in facts}}
    return entry | shaken | {"stats": stats | {name: stats[name] * by for name in ROUNDS} | {"rounds": 3, "data": data}}


def _measured(root: Path, count: int, reports: tuple[str, ...]) -> dict[str, Any]:
    """What it takes to load and to report on so many files under `root`, which are made first."""
    _run(MAKE, str(root), str(count))
    told: dict[str, Any] = {"files": count, "rows": count * ROWS}
    told["bytes"] = sum(path.stat().st_size for path in root.rglob("*.json"))
    _, told["load_s"], told["load_peak"] = _run(LOAD, str(root))
    for name in reports:
        out = str(root.parent / f"{count}.{name}")
        told[f"{name}_s"], _, told[f"{name}_peak"] = _run(REPORT, str(root), *REPORTS[name], "--out", out)
    page = root.parent / f"{count}.page" / "report.html"
    return told | ({"page_bytes": page.stat().st_size, "ready_s": ready(page)} if page.exists() else {})


def ready(page: Path) -> float:
    """Seconds from opening the page in Chromium until all of it is drawn; NaN where there is no Chromium."""
    chromium = shutil.which("chromium")
    if chromium is None or not importlib.util.find_spec("playwright"):
        return math.nan
    from playwright.sync_api import sync_playwright

    took = []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox", "--disable-gpu"])
        for _ in range(OPENED):
            tab = browser.new_page()
            begin = time.perf_counter()
            tab.goto(page.as_uri())
            tab.wait_for_selector("html[data-ready=yes]", state="attached", timeout=120_000)
            took.append(time.perf_counter() - begin)
            tab.close()
        browser.close()
    return statistics.median(took)


def _run(code: str, *arguments: str) -> tuple[float, float, int]:
    """A program in a fresh process: its seconds in all, those after `begin`, and its peak of memory in bytes."""
    program = f"import atexit, sys, time; begin = time.perf_counter(); atexit.register({SAY}); {code}"
    begin = time.perf_counter()
    with subprocess.Popen([sys.executable, "-c", program, *arguments], stdout=subprocess.PIPE, text=True) as child:
        own = child.stdout.read() if child.stdout else ""
        _, status, used = os.wait4(child.pid, 0)
        child.returncode = os.waitstatus_to_exitcode(status)
    if child.returncode:
        raise subprocess.CalledProcessError(child.returncode, program)
    return time.perf_counter() - begin, float(own.split()[-1]), used.ru_maxrss * 1024


def _setting() -> dict[str, Any]:
    """This machine, and what takes part."""
    from cpuinfo import get_cpu_info  # pytest-benchmark brings it; nothing else here needs it

    names = [name for name in ("numpy", "pandas", "orjson") if importlib.util.find_spec(name)]
    packages = ", ".join(f"{name} {importlib.metadata.version(name)}" for name in names)
    return {
        "cpu": get_cpu_info().get("brand_raw", platform.machine()),
        "cores": os.cpu_count(),
        "versions": f"Python {platform.python_version()}, {packages}",
        "date": datetime.now(UTC).strftime("%Y-%m-%d %H:%MZ"),
    }


if __name__ == "__main__":
    page = growth()
    write(page, "table", sys.stdout)
    with Path(sys.argv[1]).open("w", encoding="utf-8") as stream:
        write(page, "json", stream)
