"""How does a descent scale? By 1, 2, 4, ... ranks of one thread, each on a core of its own, in turns.

Not part of `pytest benchmarks`: run it with `make scaling`. `python -m results scaling FILE` compares the rows, holds
them against what as many threads can read, and predicts more ranks. With --no-limits, for those of all cores are not
those of one rank: what each number of threads reads is measured here, once a block.
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
    """A row for so many ranks, after one for half as many: fresh processes each."""
    monkeypatch.setattr(campaign, "plan", replace(campaign.plan, ranks=ranks, threads=ranks))
    limit(campaign, case, ranks)
    descent.bench_descent(case, campaign, benchmark)


def limit(campaign: Campaign, case: Case, threads: int) -> None:
    """Have the campaign know what so many threads read in a second, at best over its blocks."""
    name = f"{case.device}, {threads} thread{'s' * (threads > 1)}"
    if case.block not in campaign.limits.setdefault(name, {}):
        found = limits.measure(threads, case.device, campaign.plan.precision, campaign.plan.timeout)
        campaign.limits[name][case.block] = found
