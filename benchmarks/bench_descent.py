"""The function that `pytest benchmarks` runs: verify each case against the reference, then time it in its worker."""

from pytest_benchmark.fixture import BenchmarkFixture

from benchmarks.campaign.campaign import Campaign, mark_invalid
from benchmarks.campaign.plan import Case


def bench_descent(case: Case, campaign: Campaign, benchmark: BenchmarkFixture) -> None:
    """Time a descent that agrees with the reference. A row under unequal conditions is kept, and not valid."""
    descent = campaign.open(case)
    benchmark.extra_info.update(descent.facts)
    try:
        benchmark.pedantic(descent.round, setup=campaign.clock.zero, rounds=descent.rounds)  # type: ignore[no-untyped-call]
        benchmark.extra_info.update(campaign.with_limits(descent.finish()))
        campaign.finish(case, benchmark.extra_info)
    except BaseException:
        benchmark.has_error = True  # pytest-benchmark would keep the rounds of a failed or interrupted case
        raise
    if not benchmark.extra_info["valid"]:
        mark_invalid(benchmark, benchmark.extra_info["reason"])
