"""What `pytest benchmarks` runs: each case is checked against the reference, then timed in its worker."""

from pytest_benchmark.fixture import BenchmarkFixture

from benchmarks.campaign.campaign import Campaign, mark_invalid
from benchmarks.campaign.plan import Case


def bench_descent(case: Case, campaign: Campaign, benchmark: BenchmarkFixture) -> None:
    """A row for a descent that gives the reference's iterates; no time for one that does not.

    A row whose parity failed is kept, marked, for what it says of the machine: `valid` is false and so it is named.
    """
    descent = campaign.open(case)
    benchmark.extra_info.update(descent.facts)
    try:
        benchmark.pedantic(descent.round, setup=campaign.clock.zero, rounds=descent.rounds)  # type: ignore[no-untyped-call]
        benchmark.extra_info.update(descent.finish())
        campaign.inside_s += benchmark.extra_info["inside_s"]
    except BaseException:
        benchmark.has_error = True  # pytest-benchmark would keep the rounds of a failed or interrupted case
        raise
    if not benchmark.extra_info["valid"]:
        mark_invalid(benchmark, benchmark.extra_info["reason"])
