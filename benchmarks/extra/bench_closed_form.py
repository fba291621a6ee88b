"""The closed form and scikit-learn's `SGDRegressor`, for users who only need the solution.

Not part of `pytest benchmarks`. Run `make closed`, or `pytest benchmarks/extra/bench_closed_form.py --problem medium`.
Every run measures the machine's limits, see `benchmarks/machine/bandwidth.py`.
"""

import json
from importlib.util import find_spec

import pytest
from pytest_benchmark.fixture import BenchmarkFixture

import impls
from benchmarks.campaign.campaign import Campaign
from benchmarks.campaign.plan import Case
from benchmarks.extra.closed_form import SGD, WAYS
from benchmarks.extra.program import program
from benchmarks.worker.client import Refused

ROUNDS = 3
SKLEARN = ("Ridge", SGD)


@pytest.mark.parametrize("way", WAYS)
def bench_closed_form(way: str, case: Case, campaign: Campaign, benchmark: BenchmarkFixture) -> None:
    """Time one process per block. One implementation in --impl is enough: it only names the case."""
    if way in SKLEARN and find_spec("sklearn") is None:
        pytest.skip(f"scikit-learn is not installed; pip install -e '.[{impls.EXTRAS['sklearn']}]'")
    task = campaign.task(case.problem, case.dtype)
    quality: dict[str, float] = {}

    def solve() -> None:
        facts = json.loads(program(campaign.plan, "cpu", task.folder, "benchmarks.extra.closed_form", way, str(ROUNDS)))
        if not (off := facts.pop("off", 0)) <= 1:
            raise Refused(f"{way} misses the normal equations by {off:.2g} times what rounding allows")
        quality.update(facts, seconds=min(facts["seconds"]))
        campaign.clock.turn(quality["seconds"])

    benchmark.pedantic(solve, rounds=1)  # type: ignore[no-untyped-call]
    row = {**case.row, **task.facts, "impl": way if way == SGD else f"closed form: {way}"}
    benchmark.extra_info.update(row, threads=campaign.plan.threads, **quality)
