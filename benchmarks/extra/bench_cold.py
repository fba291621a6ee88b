"""Cold start: seconds from nothing to the first weights, in a fresh process with empty compiler caches.

Not part of `pytest benchmarks`. Run `make cold`, or `pytest benchmarks/extra/bench_cold.py --blocks 8`. The parent's
clock runs from before the process starts until the weights arrive. They are checked afterwards.
"""

import time
from contextlib import closing
from typing import Any

import numpy as np
from pytest_benchmark.fixture import BenchmarkFixture

from benchmarks.campaign.campaign import Campaign
from benchmarks.campaign.plan import Case
from benchmarks.timing.measure import judge
from benchmarks.timing.prepared import PreparedProblem


def bench_cold(case: Case, campaign: Campaign, benchmark: BenchmarkFixture) -> None:
    """Time one cold start of a case in each block."""
    task = campaign.task(case.problem, case.dtype)
    facts = {**task.facts, **case.row, "precision": campaign.plan.precision}
    clocks: dict[str, Any] = {}
    try:
        benchmark.pedantic(lambda: clocks.update(start(case, campaign, task)), rounds=1)  # type: ignore[no-untyped-call]
        weights = np.asarray(clocks.pop("weights"))
        error, allowed = judge(task, weights, task.facts["steps"], 0.0, task.truth.start(0.0))
    except BaseException:
        benchmark.has_error = True
        raise
    benchmark.extra_info.update(facts, **clocks, error=error, tolerance=allowed)


def start(case: Case, campaign: Campaign, task: PreparedProblem) -> dict[str, Any]:
    """Start a process and return its weights. Its `cold_s` is added to the campaign's clock."""
    before = time.perf_counter()
    with closing(campaign.start_worker(case)) as worker:
        prepare_s = worker.prepare(task.folder, case.device).seconds
        first = worker.run(task.truth.start(0.0), task.facts["steps"])
        cold_s = time.perf_counter() - before
    campaign.clock.turn(cold_s)
    loaded = worker.loaded
    facts = {"framework": loaded.framework, "version": loaded.version, "threads": worker.threads, "ranks": worker.ranks}
    clocks = {"import_s": loaded.seconds, "prepare_s": prepare_s, "first_s": first.seconds, "cold_s": cold_s}
    return {**facts, **clocks, "weights": first.weights}
