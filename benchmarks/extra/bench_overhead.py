"""Harness overhead: the reported time per step over that of a bare loop, in fresh processes.

Not part of `pytest benchmarks`. Run `make overhead`, or `pytest benchmarks/extra/bench_overhead.py`.
"""

from itertools import count
from statistics import median

import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from benchmarks.campaign.campaign import Campaign
from benchmarks.campaign.plan import Case
from benchmarks.extra.program import program

PAIRS = 14
MAX_OVERHEAD = 0.05


@pytest.mark.parametrize("impl", ["numpy_manual", "torch_nn", "jax_jit", "jax_scan"])
@pytest.mark.parametrize("problem", ["small", "medium"])
def bench_overhead(impl: str, problem: str, campaign: Campaign, benchmark: BenchmarkFixture) -> None:
    """Time pairs of fresh processes in alternating order: the worker, and a bare loop around the same code."""
    ratios: list[float] = []
    blocks = count()

    def pair() -> None:
        case = Case(impl, "cpu", problem, "float32", next(blocks))
        bare_first = bare(campaign, case) if case.block % 2 else None
        descent = campaign.open(case)
        for _ in range(descent.rounds):
            descent.round()
        ratios.append(descent.finish()["per_step_s"] / (bare_first or bare(campaign, case)))

    benchmark.pedantic(pair, rounds=PAIRS)  # type: ignore[no-untyped-call]
    ratio = median(ratios)
    benchmark.extra_info.update(impl=impl, problem=problem, ratio=ratio, ratio_min=min(ratios), ratio_max=max(ratios))
    assert abs(ratio - 1) <= MAX_OVERHEAD, f"reported over bare: {ratio:.3f} ({min(ratios):.3f} to {max(ratios):.3f})"


def bare(campaign: Campaign, case: Case) -> float:
    """Return the seconds per step of a bare loop in a fresh process with the same environment."""
    folder = campaign.task(case.problem, case.dtype).folder
    return float(program(campaign.plan, case.device, folder, "benchmarks.extra.bare_loop", case.impl, "30"))
