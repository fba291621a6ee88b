"""The statistics behind the verdicts: known answers, and simulated campaigns whose truth is known."""

import math
import time

import numpy as np
import pytest
from scipy import stats as scipy_stats

from results.stats import signed_rank

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
    rng = np.random.default_rng(0)
    for K in (5, 8, 13, 20):
        d = rng.normal(0.3, 1, K)
        assert signed_rank.p_value(d) == pytest.approx(scipy_stats.wilcoxon(d, method="exact").pvalue)


def test_the_interval_and_the_test_say_the_same():
    rng = np.random.default_rng(1)
    for _ in range(500):
        d = rng.normal(0.5, 1, 9)
        low, high = signed_rank.interval(d, 0.05)
        assert (low > 0 or high < 0) == (signed_rank.p_value(d) <= 0.05)


def test_hodges_lehmann_shrugs_at_an_outlier():
    assert signed_rank.hodges_lehmann(np.array([1.0, 2.0, 3.0, 4.0, 1e6])) == pytest.approx(3.0)


def test_holm_is_the_textbooks():
    adjusted, levels = signed_rank.holm([0.01, 0.04, 0.03, 0.005])
    assert adjusted == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert levels == pytest.approx([0.05 / 3, 0.05 / 2, 0.05 / 2, 0.05 / 4])
    assert signed_rank.holm([]) == ([], [])


def test_an_interval_leaves_out_no_difference_just_when_there_is_a_verdict():
    rng = np.random.default_rng(2)
    for _ in range(200):
        page = [rng.normal(shift, 0.02, 12) for shift in rng.choice([0, 0.01, 0.02, 0.05], PAGE)]
        for verdict in signed_rank.judge(page):
            assert (verdict.low > 1 or verdict.high < 1) == (verdict.word in (signed_rank.FASTER, signed_rank.SLOWER))


@pytest.mark.parametrize(("comparisons", "K"), [(1, 6), (6, 8), (12, 9), (24, 10), (60, 12)])
def test_no_verdict_below_the_blocks_that_can_reject(comparisons, K):
    assert signed_rank.fewest_blocks(comparisons) == K
    for blocks, word in ((K - 1, signed_rank.UNDECIDED), (K, signed_rank.SLOWER)):
        far = np.linspace(0.5, 0.6, blocks)
        assert {verdict.word for verdict in signed_rank.judge([far] * comparisons)} == {word}


def test_below_that_the_interval_is_infinite():
    (verdict,) = signed_rank.judge([[0.1, 0.2, 0.3]])
    assert (verdict.low, verdict.high, verdict.word) == (0, math.inf, signed_rank.UNDECIDED)
    assert verdict.smallest == math.inf and verdict.needed is not None


def test_identical_blocks_are_equivalent():
    (verdict,) = signed_rank.judge([[0.0] * 8])
    assert verdict.word == signed_rank.EQUIVALENT and verdict.ratio == 1 and verdict.p == 1


def by_itself(d, p, level):
    """One comparison as the definitions say it, a number at a time: of `judge`'s verdict all but p and blocks."""
    K, averages = len(d), sorted((d[i] + d[j]) / 2 for i in range(len(d)) for j in range(i, len(d)))
    middle, limit = float(np.median(averages)), math.log1p(signed_rank.MARGIN)
    cut = sum(below <= level / 2 for below in signed_rank.cumulative(K))
    low, high = (averages[cut - 1], averages[-cut]) if cut else (-math.inf, math.inf)
    equal = -limit <= low and high <= limit
    word = (
        (signed_rank.FASTER if middle < 0 else signed_rank.SLOWER) if p <= signed_rank.ALPHA else signed_rank.UNDECIDED
    )
    word = signed_rank.EQUIVALENT if word == signed_rank.UNDECIDED and equal else word
    spread = scipy_stats.median_abs_deviation(d, scale="normal")

    def shown(blocks):
        if blocks < signed_rank.fewest_blocks(1, level):
            return math.inf
        t = scipy_stats.t(blocks - 1)
        return (t.ppf(1 - level / 2) + t.ppf(signed_rank.POWER)) * spread / math.sqrt(blocks * 3 / math.pi)

    effect = max(abs(middle), limit - abs(middle))
    needed = next((k for k in range(2, 60) if shown(k) <= effect), None) if word == signed_rank.UNDECIDED else None
    return word, *map(math.exp, (middle, low, high, shown(K))), needed, spread if K > 1 else math.nan


def test_a_page_at_once_is_each_comparison_by_itself():
    """To the last digit, whatever stands beside it and however many blocks the others have."""
    rng = np.random.default_rng(8)
    for blocks in ([12], [1, 2, 5, 9, 20]):
        page = [
            rng.normal(rng.choice([0, 0.01, 0.2]), rng.choice([0.005, 0.05]), rng.choice(blocks)) for _ in range(60)
        ]
        corrected, levels = signed_rank.holm([float(signed_rank.p_value(d)) for d in page])
        for verdict, d, p, level in zip(signed_rank.judge(page), page, corrected, levels, strict=True):
            said = (verdict.word, verdict.ratio, verdict.low, verdict.high, verdict.smallest)
            *expected, needed, spread = by_itself(d, p, level)
            assert (*said, verdict.p, verdict.blocks) == (*expected, p, len(d))
            assert needed is None or verdict.needed == needed
            assert verdict.spread == spread or (math.isnan(spread) and math.isnan(verdict.spread))
        assert len({verdict.word for verdict in signed_rank.judge(page)}) > 2
    assert signed_rank.judge([]) == []


def test_many_adjustments_at_once_are_each_by_itself():
    d, x = spells(np.random.default_rng(9), (50, 12), 0.03)
    assert (signed_rank.adjust_for_pace(d, x) == each(d, x)).all()


def test_twenty_thousand_comparisons_are_judged_within_seconds():
    page = list(np.random.default_rng(10).normal(0, 0.05, (20_000, 12)))
    begin = time.process_time()
    assert {verdict.word for verdict in signed_rank.judge(page)} == {signed_rank.UNDECIDED}
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


def spells(rng, shape, effect=0.0):
    """Log ratios d and x (..., K) of blocks on a shared machine: 45 % slower in spells, its calibration loop 60 %."""
    slow = rng.random((2, *shape)) < 0.4
    d = effect + rng.normal(0, 0.01, shape) + 0.37 * (slow[1].astype(float) - slow[0])
    x = rng.normal(0, 0.02, shape) + 0.47 * (slow[1].astype(float) - slow[0])
    return d, x


def each(d, x):
    return np.array([signed_rank.adjust_for_pace(row, pace) for row, pace in zip(d, x, strict=True)])


def test_an_adjustment_does_not_mind_which_side_is_first():
    d, x = spells(np.random.default_rng(5), (12,), 0.03)
    assert signed_rank.adjust_for_pace(-d, -x) == pytest.approx(-signed_rank.adjust_for_pace(d, x))


def test_an_adjustment_takes_spells_out_and_nothing_else():
    steady = np.array([0.01, -0.02, 0.03])
    assert signed_rank.adjust_for_pace(steady, np.array([0.05, -0.09, 0.0])) == pytest.approx(steady), "no spell"
    symmetric = np.array([0.4, 0.0, -0.4])
    assert signed_rank.adjust_for_pace(symmetric, np.array([0.5, 0.0, -0.5])) == pytest.approx([0, 0, 0])
    alone = np.array([0.4, 0.01, -0.01])
    assert signed_rank.adjust_for_pace(alone, np.array([0.5, 0.0, 0.0])) == pytest.approx(alone), (
        "nothing to learn a slope from"
    )
    contrary = np.array([-0.1, 0.1, 0.0])
    assert signed_rank.adjust_for_pace(contrary, np.array([0.5, -0.5, 0.0])) == pytest.approx(contrary), (
        "no slope below 0"
    )


@pytest.mark.parametrize("K", [8, 12, 20])
def test_on_a_machine_with_spells_too(K):
    rng = np.random.default_rng([K, 6])
    p = signed_rank.p_value(signed_rank.adjust_for_pace(*spells(rng, (CAMPAIGNS, K))))
    assert np.mean(p <= signed_rank.ALPHA) <= 0.06
    low, high = signed_rank.interval(signed_rank.adjust_for_pace(*spells(rng, (CAMPAIGNS, K), 0.05)))
    assert np.mean((low <= 0.05) & (0.05 <= high)) >= 0.94


def test_five_per_cent_is_found_among_spells_and_not_without_the_calibration_loop():
    rng = np.random.default_rng(7)
    d, x = spells(rng, (CAMPAIGNS, 12), math.log(1.05))
    assert np.mean(signed_rank.p_value(signed_rank.adjust_for_pace(d, x)) <= signed_rank.ALPHA) >= 0.95
    assert np.mean(signed_rank.p_value(d) <= signed_rank.ALPHA) <= 0.3


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
