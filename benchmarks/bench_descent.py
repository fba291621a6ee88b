"""What `pytest benchmarks` runs: each case is checked against the reference, then timed in its worker."""

from pytest_benchmark.fixture import BenchmarkFixture

from benchmarks.campaign import Campaign, Case


def bench_descent(case: Case, campaign: Campaign, benchmark: BenchmarkFixture) -> None:
    """A row for a descent that gives the reference's iterates; no time for one that does not."""
    descent = campaign.open(case)
    benchmark.extra_info.update(descent.facts)
    try:
        benchmark.pedantic(descent.round, rounds=descent.rounds)  # type: ignore[no-untyped-call]
        benchmark.extra_info.update(descent.finish())
    except BaseException:
        benchmark.has_error = True  # pytest-benchmark would keep the rounds of a failed or interrupted case
        raise
