"""The closed form, for users who only need the solution, timed beside the machine's limits.

Not part of `pytest benchmarks`. Run `make closed`, or `pytest benchmarks/extra/bench_closed_form.py --problem medium`.
Every run measures the machine's limits, see `benchmarks/machine/bandwidth.py`.
"""

import json

import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from benchmarks.campaign.campaign import Campaign
from benchmarks.campaign.plan import Case
from benchmarks.extra.closed_form import WAYS
from benchmarks.extra.program import program
from benchmarks.worker.client import Refused

ROUNDS = 3


@pytest.mark.parametrize("way", WAYS)
def bench_closed_form(way: str, case: Case, campaign: Campaign, benchmark: BenchmarkFixture) -> None:
    """Time one process per block. One implementation in --impl is enough: it only names the case."""
    task = campaign.task(case.problem, case.dtype)
    seconds: list[float] = []

    def one() -> None:
        done = json.loads(program(campaign.plan, "cpu", task.folder, "benchmarks.extra.closed_form", way, str(ROUNDS)))
        if not done["off"] <= 1:
            raise Refused(f"{way} misses the normal equations by {done['off']:.2g} times what rounding allows")
        seconds.append(min(done["seconds"]))
        campaign.clock.turn(seconds[-1])

    benchmark.pedantic(one, rounds=1)  # type: ignore[no-untyped-call]
    row = {**case.row, **task.facts, "impl": f"closed form: {way}", "threads": campaign.plan.threads}
    benchmark.extra_info.update(row, seconds=seconds[-1])
