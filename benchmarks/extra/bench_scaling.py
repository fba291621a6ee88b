"""Scaling: a descent by 1, 2, 4, ... ranks of one thread, each on its own core, in turns.

Not part of `pytest benchmarks`. Run `make scaling`. `python -m results scaling FILE` compares the rows with what as
many threads can read, and predicts more ranks. Use --no-limits: the limits of each number of threads are measured here,
once a block.
"""

from dataclasses import replace

import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from benchmarks import bench_descent as descent
from benchmarks.campaign.campaign import Campaign
from benchmarks.campaign.plan import Case
from benchmarks.machine import identity
from benchmarks.timing import limits

COUNTS = [2**i for i in range(identity.cores().bit_length())]


@pytest.mark.parametrize("ranks", COUNTS)
def bench_scaling(
    case: Case, ranks: int, campaign: Campaign, benchmark: BenchmarkFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Time that many ranks, in fresh processes."""
    monkeypatch.setattr(campaign, "plan", replace(campaign.plan, ranks=ranks, threads=ranks))
    limit(campaign, case, ranks)
    descent.bench_descent(case, campaign, benchmark)


def limit(campaign: Campaign, case: Case, threads: int) -> None:
    """Measure what that many threads read in a second, once a block."""
    name = f"{case.device}, {threads} thread{'s' * (threads > 1)}"
    if case.block not in campaign.limits.setdefault(name, {}):
        measured = limits.measure(threads, case.device, campaign.plan.precision, campaign.plan.timeout)
        campaign.limits[name][case.block] = measured
