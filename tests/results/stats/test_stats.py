"""The statistics behind the verdicts: known answers, and simulated campaigns whose truth is known."""

import math
import time

import numpy as np
import pytest

from results.stats import signed_rank, verdicts

CAMPAIGNS = 2000
PAGE = 6  # comparisons on a page


def noise(kind, rng, shape):
    """Log times of blocks (..., K): normal, with bursts of load, autocorrelated, or of two kinds of process; sd 1 %."""
    if kind == "normal":
        return rng.normal(0, 0.01, shape)
    if kind == "contaminated":
        return rng.normal(0, 0.01, shape) + (rng.random(shape) < 0.1) * rng.exponential(0.2, shape)
    if kind == "bimodal":
        return rng.normal(0, 0.003, shape) + 0.03 * (rng.random(shape) < 0.3)
    drift = np.empty(shape)
    drift[..., 0] = rng.normal(0, 0.01, shape[:-1])
    for b in range(1, shape[-1]):
        drift[..., b] = 0.7 * drift[..., b - 1] + rng.normal(0, 0.01 * math.sqrt(1 - 0.49), shape[:-1])
    return drift


def paired(kind, rng, shape, effect=0.0):
    """Log ratios of two implementations in the same blocks; drift is the machine's, so both have it."""
    if kind == "autocorrelated":
        shared = noise(kind, rng, shape)
        return (shared + rng.normal(effect, 0.01, shape)) - (shared + rng.normal(0, 0.01, shape))
    return noise(kind, rng, shape) + effect - noise(kind, rng, shape)


KINDS = ["normal", "contaminated", "autocorrelated", "bimodal"]


@pytest.mark.parametrize("K", [1, 2, 5, 10])
def test_the_distribution_is_that_of_all_signs(K):
    signs = np.array(np.meshgrid(*[[0, 1]] * K)).reshape(K, -1)
    W = (signs * np.arange(1, K + 1)[:, None]).sum(axis=0)
    expected = [(W <= w).mean() for w in range(K * (K + 1) // 2 + 1)]
    assert signed_rank.cumulative(K) == pytest.approx(expected)


def test_p_values_are_scipys():
    from scipy.stats import wilcoxon  # to import it takes seconds

    rng = np.random.default_rng(0)
    for K in (5, 8, 13, 20):
        d = rng.normal(0.3, 1, K)
        assert signed_rank.p_value(d) == pytest.approx(wilcoxon(d, method="exact").pvalue)


def test_the_interval_and_the_test_say_the_same():
    rng = np.random.default_rng(1)
    for _ in range(500):
        d = rng.normal(0.5, 1, 9)
        low, high = signed_rank.interval(d, 0.05)
        assert (low > 0 or high < 0) == (signed_rank.p_value(d) <= 0.05)


def test_hodges_lehmann_shrugs_at_an_outlier():
    assert signed_rank.hodges_lehmann(np.array([1.0, 2.0, 3.0, 4.0, 1e6])) == pytest.approx(3.0)


def test_holm_is_the_textbooks():
    adjusted, levels = verdicts.holm([0.01, 0.04, 0.03, 0.005])
    assert adjusted == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert levels == pytest.approx([0.05 / 3, 0.05 / 2, 0.05 / 2, 0.05 / 4])
    assert verdicts.holm([]) == ([], [])
    adjusted, levels = verdicts.holm([0.01, 0.04], comparisons=5)
    assert adjusted == pytest.approx([0.05, 0.16]) and levels == pytest.approx([0.05 / 5, 0.05 / 4])


def test_an_interval_without_1_has_a_verdict():
    rng = np.random.default_rng(2)
    for _ in range(200):
        page = [rng.normal(shift, 0.02, 12) for shift in rng.choice([0, 0.01, 0.02, 0.05], PAGE)]
        for verdict in verdicts.judge(page):
            if verdict.low > 1 or verdict.high < 1:
                assert verdict.word in (verdicts.FASTER, verdicts.SLOWER, verdicts.EQUIVALENT)


def test_all_intervals_of_a_page_have_one_level():
    """The same log ratios have the same interval, whatever their place on the page."""
    d = list(np.random.default_rng(3).normal(0.1, 0.05, 13))
    found = verdicts.judge([d] * 120)
    assert len({(verdict.low, verdict.high) for verdict in found}) == 1


@pytest.mark.parametrize(("comparisons", "K"), [(1, 5), (2, 4), (3, 3), (12, 3), (120, 3)])
def test_no_verdict_below_the_blocks_that_can_reject(comparisons, K):
    """A large effect is decided as soon as enough distances between blocks are known."""
    for blocks, word in ((K - 1, verdicts.UNDECIDED), (K, verdicts.SLOWER)):
        far = np.linspace(0.5, 0.6, blocks)
        found = verdicts.judge([far] * comparisons)
        assert {verdict.word for verdict in found} == {word}
    (one,) = {verdict.needed for verdict in verdicts.judge([[0.5]] * comparisons)}
    assert one == K


def test_the_cliff_is_gone():
    """One block less than the signed-rank test alone needs, and most of a page is decided."""
    page = [rng_row for rng_row in np.random.default_rng(4).normal(1.0, 0.05, (120, 12))]
    assert signed_rank.fewest_blocks(120) == 13
    assert {verdict.word for verdict in verdicts.judge(page)} == {verdicts.SLOWER}


def test_below_that_the_interval_is_infinite():
    (verdict,) = verdicts.judge([[0.1, 0.2, 0.3]])
    assert (verdict.low, verdict.high, verdict.word) == (0, math.inf, verdicts.UNDECIDED)
    assert verdict.smallest == math.inf and verdict.needed is not None


def test_identical_blocks_are_equivalent():
    (verdict,) = verdicts.judge([[0.0] * 8])
    assert verdict.word == verdicts.EQUIVALENT and verdict.ratio == 1 and verdict.p == 1


def test_a_small_true_difference_is_equivalent_first():
    """0.5 % at a spread of 0.5 % is no reason to call it slower: the interval lies within 2 %."""
    rng = np.random.default_rng(5)
    words = [verdicts.judge([rng.normal(0.005, 0.005, 20)])[0].word for _ in range(100)]
    assert words.count(verdicts.EQUIVALENT) >= 95


def test_twenty_thousand_comparisons_are_judged_within_seconds():
    page = list(np.random.default_rng(10).normal(0, 0.05, (20_000, 12)))
    begin = time.process_time()
    assert {verdict.word for verdict in verdicts.judge(page)} == {verdicts.UNDECIDED}
    assert time.process_time() - begin < 5


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("K", [8, 12, 20])
def test_false_verdicts_over_a_page_are_at_most_six_per_cent(kind, K):
    rng = np.random.default_rng([K, KINDS.index(kind)])
    p = signed_rank.p_value(paired(kind, rng, (CAMPAIGNS, PAGE, K)))
    false = np.mean(
        p.min(axis=1) * PAGE <= signed_rank.ALPHA
    )  # Holm rejects any just when Bonferroni rejects the smallest
    assert false <= 0.06


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("K", [8, 12, 20])
def test_intervals_cover_at_least_94_per_cent(kind, K):
    rng = np.random.default_rng([K, 10 + KINDS.index(kind)])
    low, high = signed_rank.interval(paired(kind, rng, (CAMPAIGNS, K), effect=0.05))
    assert np.mean((low <= 0.05) & (0.05 <= high)) >= 0.94


def test_five_per_cent_is_found_at_a_spread_of_one_per_cent():
    rng = np.random.default_rng(3)
    d = rng.normal(math.log(1.05), 0.01, (CAMPAIGNS, PAGE, 12))
    found = signed_rank.p_value(d) * PAGE <= signed_rank.ALPHA
    assert found.mean() >= 0.95 and (signed_rank.hodges_lehmann(d) > 0).all()


def test_what_is_called_detectable_is_found_in_four_of_five():
    rng = np.random.default_rng(4)
    for K in (10, 20):
        effect = signed_rank.detectable(0.01, K)
        found = signed_rank.p_value(rng.normal(effect, 0.01, (CAMPAIGNS, K))) <= signed_rank.ALPHA
        assert 0.7 <= found.mean() <= 0.9


def test_more_spread_needs_more_blocks_and_hopeless_has_none():
    needed = [signed_rank.blocks_needed(0.03, spread, 0.05, 0.0198) for spread in (0.01, 0.03, 0.1)]
    assert needed == sorted(needed) and len(set(needed)) == 3
    assert signed_rank.blocks_needed(0.01, 5.0, 0.05, 0.0198) is None
