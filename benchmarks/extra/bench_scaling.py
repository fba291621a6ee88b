"""Scaling: a descent by 1, 2, 4, ... ranks of one thread, each on its own core, in turns.

Not part of `pytest benchmarks`. Run `make scaling`. `python -m results scaling FILE` compares the rows with
the bandwidth of as many threads, and predicts more ranks. Use --no-limits: the limits of each number of threads are
measured here, once a block.
"""

import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from benchmarks import bench_descent as descent
from benchmarks.campaign.campaign import Campaign
from benchmarks.campaign.plan import Case
from benchmarks.machine import identity

RANK_COUNTS = [2**i for i in range(identity.cores().bit_length())]


@pytest.mark.parametrize("ranks", RANK_COUNTS)
def bench_scaling(case: Case, ranks: int, campaign: Campaign, benchmark: BenchmarkFixture) -> None:
    """Time that many ranks, in fresh processes."""
    with campaign.with_ranks(ranks):
        campaign.measure_limits(f"{case.device}, {ranks} thread{'s' * (ranks > 1)}", case.device, case.block)
        descent.bench_descent(case, campaign, benchmark)
