"""Measure what a run records of its machine beside 0 to 3 busy loops: evidence for `results/stats/quiet_or_busy.py`.

Also measure the factor by which the loops change the ratio of two implementations.
"""

import math
import os
import subprocess
import sys
import tempfile
from contextlib import ExitStack
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pandas as pd

from results.output import Page, Section, counted, json_text, records, rows_of, times, write
from results.stats.pairing import ratios_to_each
from results.stats.quiet_or_busy import LARGE_RATIO, MEASURES, judge_machine
from results.store.atomic import atomic_write
from results.store.columns import CASE
from results.store.reading import number
from results.store.runs import find

LOOP_COUNTS = (0, 1, 2, 3)
LOOP_COMMAND = [sys.executable, "-c", "while True: pass"]
RUN_COMMAND = ["-m", "pytest", "benchmarks", "-q", "--benchmark-quiet", "--preset", "quick", "--no-limits", "--wait"]
IMPLS, PROBLEMS = "numpy_manual,torch_autograd,jax_scan", "small,100000x30"  # on one thread, and on all
CASE_OPTIONS = ["--blocks", "4", "--impl", IMPLS, "--problem", PROBLEMS]

MEASURE_TITLES = {
    "difference": "difference of the A/A control, median over its cases and blocks",
    "others": "CPU time that other processes used on the cores of the run",
    "load": "load average per core before the first block, where the CPU time of others is not recorded",
    "steal": "CPU time that the hypervisor took (steal)",
    "throttled": "time for which a cgroup's quota stopped the run",
    "calibration": "calibration loop, 90th by 10th percentile",
}


def section(rows: pd.DataFrame) -> Section:
    """Return the limits of each of MEASURES, and its values beside busy loops."""
    runs = records(rows)
    table = [
        {"number": MEASURE_TITLES[measure.name], "QUIET up to": measure.figure(measure.limit)}
        | {f"above {LARGE_RATIO:.0f}x shown up to": measure.figure(measure.silent_limit)}
        | {f"busy loops: {run['loops']}": measure.figure(number(run[measure.name])) for run in runs}
        for measure in MEASURES
    ]
    if "ratio_change" in rows:
        change_cells = {"number": "largest change of a ratio of two implementations", "QUIET up to": "-"}
        changes = {
            f"busy loops: {run['loops']}": f"{times(run['ratio_change'])} in {counted(run['ratios'], 'ratio')}"
            for run in runs
        }
        table.append(change_cells | {f"above {LARGE_RATIO:.0f}x shown up to": "-"} | changes)
    verdicts, last = ", ".join(f"{run['word']} with {run['loops']}" for run in runs), runs[-1]
    note = f"Busy loops: {verdicts}. {last['machine']}, {last['cores']} cores, {last['date']}."
    return Section(table=table, notes=[note])


def _measure(loops: int) -> tuple[dict[str, object], "pd.Series[float]"]:
    """Measure a run beside `loops` busy loops. Return the fields of `Quiet`, its word, and the ratios by case."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        idle_load = os.getloadavg()[0]
        for _ in range(loops):
            process = stack.enter_context(subprocess.Popen(LOOP_COMMAND))
            stack.callback(process.kill)
        saved = folder / "run.json"
        command = [sys.executable, *RUN_COMMAND, *CASE_OPTIONS, f"--benchmark-json={saved}"]
        done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=False)
        if done.returncode > 1:  # 1: a row was refused or invalid, as load may make it
            sys.exit(f"{done.stdout}pytest benchmarks ended with status {done.returncode}")
        run = find(str(saved), folder)
    quiet = judge_machine(run)
    facts = {"loops": loops, "word": quiet.word} | asdict(quiet) | {"load_average_before": idle_load}
    facts |= {"machine": run.machine, "cores": os.cpu_count(), "date": f"{datetime.now(UTC):%Y-%m-%d %H:%MZ}"}
    return facts, ratios_to_each(run.rows).query("impl != baseline").set_index([*CASE[1:], "baseline", "impl"])["ratio"]


if __name__ == "__main__":
    rows, ratios = zip(*map(_measure, LOOP_COUNTS), strict=True)
    logs = [np.log(loaded / ratios[0]).dropna() for loaded in ratios]  # load may make rows invalid
    changes = [math.exp(case_logs.abs().max()) if len(case_logs) else math.nan for case_logs in logs]
    table = pd.DataFrame(rows).assign(ratio_change=changes, ratios=[len(case_logs) // 2 for case_logs in logs])
    page = Page(table, [Section("What a run records beside busy loops", table=rows_of(table))])
    atomic_write(Path(sys.argv[1]), json_text(table))
    write(page, "table", sys.stdout)
