"""What a user who only wants the answer would pick: the closed form, timed beside the machine's limits.

Not part of `pytest benchmarks`. Run `make closed`, or
`pytest benchmarks/extra/bench_closed_form.py --problem medium`.
The machine's limits themselves are measured in every run, see `benchmarks/machine/bandwidth.py`.
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
    """One process a block, whose clock counts; --impl names what each block's processes are beside, one is enough."""
    task = campaign.task(case.problem, case.dtype)
    found: list[float] = []

    def one() -> None:
        done = json.loads(program(campaign.plan, "cpu", task.folder, "benchmarks.extra.closed_form", way, str(ROUNDS)))
        if not done["off"] <= 1:
            raise Refused(f"{way} misses the normal equations by {done['off']:.2g} times what rounding allows")
        found.append(min(done["seconds"]))
        campaign.clock.turn(found[-1])

    benchmark.pedantic(one, rounds=1)  # type: ignore[no-untyped-call]
    row = {**case.row, **task.facts, "impl": f"closed form: {way}", "threads": campaign.plan.threads}
    benchmark.extra_info.update(row, seconds=found[-1])
