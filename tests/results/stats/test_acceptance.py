"""The acceptance of the verdicts knows its own uncertainty."""

import pandas as pd
import pytest

from results.upkeep.acceptance import accepted, highest_rate, lowest_rate


def campaigns(false: int, detected: int, covered: int = 20, count: int = 20) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "run": [f"run {number}" for number in range(count)],
            "impl": "numpy_manual",
            "aa": ["FASTER"] * false + ["UNDECIDED"] * (count - false),
            "slowed": ["SLOWER"] * detected + ["UNDECIDED"] * (count - detected),
            "slowed_ratio": [1.05] * count,
            "slowed_low": [1.01] * covered + [1.06] * (count - covered),
            "slowed_high": [1.09] * count,
        }
    )


@pytest.mark.parametrize(("events", "count"), [(0, 20), (1, 20), (3, 50)])
def test_the_bounds_are_those_of_the_binomial_distribution(events: int, count: int) -> None:
    from scipy.stats import binom  # to import it takes seconds

    assert binom.cdf(events, count, highest_rate(events, count)) == pytest.approx(0.05)
    assert binom.sf(count - events - 1, count, lowest_rate(count - events, count)) == pytest.approx(0.05)
    assert highest_rate(0, 20) == pytest.approx(0.139, abs=0.001) and highest_rate(20, 20) == 1


def test_a_false_rate_of_twenty_per_cent_seldom_passes() -> None:
    from scipy.stats import binom

    passes = sum(binom.pmf(false, 20, 0.2) for false in range(21) if accepted(campaigns(false, 20)))
    assert 0 < passes < 0.1


def test_the_right_shares_pass_and_lower_ones_do_not() -> None:
    assert (
        accepted(campaigns(0, 18)) and accepted(campaigns(1, 20, 19)) and accepted(campaigns(0, 9, 10, 10).pipe(more))
    )
    assert not accepted(campaigns(0, 17)) and not accepted(campaigns(0, 20, 18))
    assert not accepted(campaigns(0, 20).assign(slowed_ratio=0.99))
    assert not accepted(campaigns(0, 10, 10, 10)), "no false alarm in 10 campaigns does not exclude a quarter"


def more(rows: pd.DataFrame) -> pd.DataFrame:
    """Return the campaigns, and as many without a slowed variant."""
    others = rows.assign(run="other " + rows["run"], slowed=None, slowed_ratio=None, slowed_low=None, slowed_high=None)
    return pd.concat([rows, others])


def test_each_implementation_must_be_accepted_and_a_campaign_with_two_false_alarms_counts_once() -> None:
    numpy, jax = campaigns(0, 20), campaigns(0, 17).assign(impl="jax_scan")
    assert accepted(pd.concat([numpy, campaigns(0, 20).assign(impl="jax_scan")]))
    assert not accepted(pd.concat([numpy, jax]))
    both = pd.concat([campaigns(1, 20), campaigns(1, 20).assign(impl="jax_scan")])
    assert accepted(both) and not accepted(pd.concat([campaigns(2, 20), campaigns(1, 20).assign(run="other")]))
    only_twice = campaigns(0, 20).assign(impl="tinygrad_autograd", slowed=None)
    assert accepted(pd.concat([numpy, only_twice])), "what has no slowed variant counts for false alarms alone"
