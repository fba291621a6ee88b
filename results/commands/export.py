"""Export runs for other programs: one tidy table, or the JSON of a dashboard of benchmarks."""

import json
from argparse import Namespace
from typing import Any

import pandas as pd

from results import options
from results.output import Page, Section, records, rows_of, seconds, words
from results.store.columns import CASE
from results.store.outcomes import drop_duplicates, outcomes, rounds
from results.store.reading import Run, RunError, require_own
from results.store.runs import find_all, join

NANOSECONDS = 1e9  # in a second


def add_commands(commands: options.Commands) -> None:
    command = options.add(
        commands,
        "export",
        export,
        "export runs as one tidy table: a row per case and block",
        form="csv",
        description="export runs as one tidy table, a row per case and block, or the time per step of each case as"
        " bencher.dev (--format bencher) or github-action-benchmark (--format github-benchmark) reads it",
        formats=[*DASHBOARDS],
    )
    command.add_argument("--rounds", action="store_true", help="export a row per raw round instead")
    options.add_runs(command, "latest")
    options.add_out(command)


def export(args: Namespace) -> Page:
    """Return the rows of the runs, their rounds, or one run for a dashboard. Raises RunError."""
    runs = find_all(args.run, args.runs)
    if args.format in DASHBOARDS:
        if len(runs) != 1 or args.rounds:
            raise RunError(f"--format {args.format} takes one run: name one, and leave --rounds out")
        require_own(*runs)
        return Page(pd.DataFrame(), [], raw=json.dumps(DASHBOARDS[args.format](_series(runs[0])), indent=1) + "\n")
    table = join([rounds(run) if args.rounds else run.rows for run in runs])
    return Page(table, [Section("Rounds" if args.rounds else "Rows", table=rows_of(table))])


def _series(run: Run) -> list[dict[str, Any]]:
    """Return one entry per measured case: its name, which is the same in every run, and its time per step in ns."""
    rows = records(drop_duplicates(run, outcomes(run)))
    return [
        {"name": " ".join(words(row[name]) for name in CASE), "blocks": int(row["blocks"])}
        | {name: row[f"{name}_s"] * NANOSECONDS for name in ("per_step", "low", "high")}
        for row in rows
        if row["status"] == "measured"
    ]


def _bencher(series: list[dict[str, Any]]) -> dict[str, Any]:
    """Return the Bencher Metric Format: https://bencher.dev/docs/reference/bencher-metric-format/."""
    return {
        case["name"]: {"latency": {"value": case["per_step"], "lower_value": case["low"], "upper_value": case["high"]}}
        for case in series
    }


def _github_benchmark(series: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the input of github-action-benchmark's tool `customSmallerIsBetter`."""
    return [
        {"name": case["name"], "unit": "ns/step", "value": case["per_step"]}
        | {"range": f"{seconds(case['low'] / NANOSECONDS)} to {seconds(case['high'] / NANOSECONDS)}"}
        | {"extra": f"median of {case['blocks']} blocks, range: lowest to highest"}
        for case in series
    ]


DASHBOARDS = {"bencher": _bencher, "github-benchmark": _github_benchmark}
