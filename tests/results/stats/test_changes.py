"""Changes of level: known answers, and simulated series whose truth is known."""

import math

import numpy as np
import pytest

from results.stats import change_points
from results.stats.signed_rank import ALPHA

SERIES = 1000
STEP = math.log(1.1)


def noise(kind, rng, shape):
    """Log times of runs: 2 % normal, 1 % with one run in ten in a slow spell, or drifting."""
    if kind == "contaminated":
        return rng.normal(0, 0.01, shape) + (rng.random(shape) < 0.1) * rng.exponential(0.2, shape)
    new = rng.normal(0, 0.02, shape)
    correlation = {"normal": 0.0, "drifting": 0.5, "slowly drifting": 0.7}[kind]
    drift = new.copy()
    for i in range(1, shape[-1]):
        drift[:, i] = correlation * drift[:, i - 1] + math.sqrt(1 - correlation**2) * new[:, i]
    return drift


def alarms(series):
    """The share of series, each a page of its own, in which a change is claimed."""
    n = series.shape[-1]
    reached = change_points.largest_t(change_points.limit_outliers(series))
    return np.mean([change_points.tail_probability(t, n, change_points.MIN_DRAWS) <= ALPHA for t in reached])


@pytest.mark.parametrize("kind", ["normal", "contaminated", "drifting", "slowly drifting"])
def test_without_a_change_alarms_are_as_rare_as_promised(kind):
    """Of 20 runs: each other number takes seconds to know its distribution."""
    assert alarms(noise(kind, np.random.default_rng(20), (SERIES, 20))) <= 0.06


@pytest.mark.parametrize(("kind", "least"), [("normal", 0.95), ("contaminated", 0.9)])
def test_ten_per_cent_are_found(kind, least):
    x = noise(kind, np.random.default_rng(3), (SERIES // 4, 20))
    assert alarms(x + STEP * (np.arange(20) >= 10)) >= least


def test_slower_and_mended_again_is_found_as_two_changes():
    x = noise("normal", np.random.default_rng(4), (50, 40))
    x[:, 13:26] += STEP
    found = [change_points.search([series])[0].changes for series in x]
    assert np.mean([len(one) == 2 for one in found]) >= 0.95
    assert np.mean([[change.index for change in one] == [13, 26] for one in found]) >= 0.8


@pytest.mark.parametrize("kind", ["normal", "slowly drifting"])
def test_the_intervals_hold_the_truth(kind):
    x = noise(kind, np.random.default_rng(5), (200, 20))
    x[:, 9:] += STEP
    found = [one.changes[0] for one in (change_points.search([series])[0] for series in x) if len(one.changes) == 1]
    assert len(found) > 165
    assert np.mean([change.low <= 1.1 <= change.high for change in found]) >= 0.93
    assert np.mean([change.first <= 9 <= change.last for change in found]) >= 0.93


def test_a_page_of_many_series_raises_no_more_alarms_than_one():
    x = noise("slowly drifting", np.random.default_rng(6), (60 * 12, 12)).reshape(60, 12, 12)
    assert np.mean([any(one.changes for one in change_points.search(page)) for page in x]) <= 0.1


def test_a_page_errs_no_more_often_than_promised_although_its_null_is_simulated_with_few_draws():
    """2,000 pages of ten series at the correlation that is assumed: the standard error of their rate is 0.5 %."""
    x = change_points.limit_outliers(noise("slowly drifting", np.random.default_rng(8), (20_000, 20)))
    reached = change_points.largest_t(x).reshape(-1, 10).max(axis=1)
    assert np.mean(reached > change_points.critical_t(ALPHA / 10, 20, change_points.MIN_DRAWS)) <= 0.06
    for t in np.quantile(reached, [0.1, 0.9, 0.99]):
        level = change_points.tail_probability(t, 20, change_points.MIN_DRAWS)
        assert change_points.critical_t(level, 20, change_points.MIN_DRAWS) == pytest.approx(t, rel=0.02)


def test_the_places_named_have_the_least_squares_of_all():
    x = change_points.limit_outliers(noise("contaminated", np.random.default_rng(7), (20, 15)))
    for series in x:
        squares = {k: sum(part.var() * len(part) for part in np.split(series, [k])) for k in range(3, 13)}
        assert change_points.segment(series)[0] == [min(squares, key=squares.__getitem__)]


def test_a_clean_step_is_exact():
    (found,) = change_points.search([[math.log(1e-6)] * 5 + [math.log(1.2e-6)] * 7])
    (change,) = found.changes
    assert (change.index, change.first, change.last) == (5, 5, 5)
    assert change.ratio == pytest.approx(1.2) and 1.15 < change.low < 1.2 < change.high < 1.25
    assert found.p <= 0.01


def test_a_step_that_no_float_holds_is_one_all_the_same():
    (found,) = change_points.search([[-690.0] * 5 + [690.0] * 7])
    assert [change.index for change in found.changes] == [5]
    assert 0 < found.changes[0].low <= found.changes[0].ratio <= found.changes[0].high < math.inf


def test_what_does_not_change_is_not_a_change():
    (found,) = change_points.search([[1.5] * 12])
    assert found.changes == [] and found.p == 1 and 1 < found.smallest < 1.02


def test_fewer_than_three_on_a_side_are_never_claimed():
    short, late = change_points.search([[0, 0, 0, 1, 1], [0.001 * (i % 3) for i in range(10)] + [1, 1]])
    assert short.changes == [] and math.isnan(short.p) and short.smallest == math.inf
    assert late.changes == []


def test_a_spell_of_one_run_neither_makes_nor_hides_nor_shifts_a_change():
    steady = np.tile([0.0, 0.01, -0.01, 0.005], 5)
    spell, step = 0.5 * (np.arange(20) == 7), 0.3 * (np.arange(20) >= 10)
    alone, both = change_points.search([steady + spell, steady + spell + step])
    assert alone.changes == []
    assert [change.index for change in both.changes] == [10]
    assert both.changes[0].low < math.exp(0.3) < both.changes[0].high


def test_an_empty_page():
    assert change_points.search([]) == []
