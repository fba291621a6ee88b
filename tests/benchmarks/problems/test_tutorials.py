"""The numbers that the tutorials print, from the catalogue's problems and NumPy in float64."""

from dataclasses import replace

import numpy as np
import pytest

from benchmarks.problems import catalogue, tutorials
from impls.interface import Problem
from impls.numpy_manual import prepare


def tutorial(name: str) -> Problem:
    return catalogue.build(name)[0]


def loss(problem: Problem, t: int) -> float:
    weights = prepare(problem, "cpu")(problem.w0, t)
    return float(np.mean((problem.X @ weights - problem.y) ** 2))


def gradient(problem: Problem):
    return 2 / problem.y.size * (problem.X.T @ (problem.X @ problem.w0 - problem.y))


@pytest.mark.parametrize(("t", "text"), tutorials.CROPS_LOSSES.items())
def test_crops_losses(t, text):
    found = loss(tutorial("crops"), t)
    assert abs(found - text) <= tutorials.crops_rounding(t)[0]
    assert found == pytest.approx(text, rel=6e-5)  # four digits


def test_crops_gradient():
    found, text = gradient(tutorial("crops"))[:3].T, np.array(tutorials.CROPS_GRADIENT)
    assert (np.abs(found - text) <= tutorials.crops_rounding(0)[1][:3]).all()
    np.testing.assert_allclose(found, text, rtol=6e-5)


def test_a_start_that_rounds_to_the_printed_one_gives_all_ten_crops_numbers():
    """What differs is the start's rounding and nothing else, down to the text's float32."""
    problem = tutorial("crops")
    H = 2 / problem.y.size * (problem.X.T @ problem.X)
    rows = [np.outer(H[i], unit).ravel() for unit in np.eye(2) for i in range(3)]
    misses = list((np.array(tutorials.CROPS_GRADIENT) - gradient(problem)[:3].T).ravel())
    for t, text in tutorials.CROPS_LOSSES.items():
        there = replace(problem, w0=prepare(problem, "cpu")(problem.w0, t))
        rows.append((np.linalg.matrix_power(np.eye(4) - 1e-5 * H, t) @ gradient(there)).ravel())
        misses.append(text - loss(problem, t))
    near = np.vstack([np.array(rows) / 5e-4, np.eye(8) / 1e-4])  # of all such starts, one near the printed one
    change = np.linalg.lstsq(near, np.append(np.array(misses) / 5e-4, np.zeros(8)))[0].reshape(4, 2)
    moved = replace(problem, w0=problem.w0 + change)
    assert np.abs(change).max() < 5e-5
    np.testing.assert_allclose(gradient(moved)[:3].T, tutorials.CROPS_GRADIENT, atol=6e-4)
    for t, text in tutorials.CROPS_LOSSES.items():
        assert loss(moved, t) == pytest.approx(text, abs=6e-4)


def test_a_mean_over_rows_is_another_descent():
    problem = tutorial("crops")
    mutant = replace(problem, lr=2 * problem.lr)  # k = 2: twice the gradient
    assert loss(mutant, 1) == pytest.approx(3074.18, abs=0.005)


def test_crops_least_squares():
    problem = tutorial("crops")
    best = np.linalg.lstsq(problem.X, problem.y)[0]
    assert np.mean((problem.X @ best - problem.y) ** 2) == pytest.approx(0.483121, abs=5e-7)
    np.testing.assert_allclose(best[3], [-1.637613, -2.218279], atol=5e-7)


def test_crops_diverges_above_the_text_s_limit():
    problem = tutorial("crops")
    ((_, largest),) = catalogue.curvatures(problem.X, problem.y, None)
    assert 2 / largest == pytest.approx(1.117e-4, abs=5e-8)
    with pytest.raises(ValueError, match=r"diverges: lr must be below 0\.000111"):
        catalogue.build("crops", lr=1.12e-4)


def test_crops_mini_batches_hold_the_five_regions_three_times():
    problem = tutorial("crops@5")
    np.testing.assert_array_equal(problem.X[:, :3], tutorials.CROPS_INPUTS * 3)
    np.testing.assert_array_equal(problem.y, tutorials.CROPS_TARGETS * 3)


@pytest.mark.parametrize(
    ("times", "text"), [(1, tutorials.SCALAR_AUTOGRAD), (4, tutorials.SCALAR_BY_HAND)], ids=["autograd", "by hand"]
)
def test_scalar_columns(times, text):
    """The by-hand column is the descent with 4 times the gradient, and with the gradient it is not."""
    problem = tutorial("scalar")
    run = prepare(replace(problem, lr=times * problem.lr), "cpu")
    for t, w, text_loss in text:
        assert run(problem.w0, t)[0] == pytest.approx(w, abs=5e-4)
        if text_loss is not None:
            before = run(problem.w0, t - 1)
            assert (
                abs(np.mean((problem.X @ before - problem.y) ** 2) - text_loss)
                <= (tutorials.scalar_rounding(float(before[0]))[1])
            )
    assert abs(prepare(replace(problem, lr=(5 - times) * problem.lr), "cpu")(problem.w0, 1)[0] - text[0][1]) > 0.5


@pytest.mark.parametrize("start", tutorials.LINE_RUNS)
def test_both_published_lines_are_inside_the_band_at_all_ten_updates(start):
    band, share = tutorials.line_band(start, 2000)
    text = np.array(tutorials.LINE_RUNS[start])
    assert ((band[:, 0] <= text) & (text <= band[:, 1])).all()
    assert 0.8 < share < 0.9  # the band holds 95 % at each update, not at all of them at once


def test_line_from_the_scratch_texts_start():
    assert tutorials.line_losses((-1.0, 1.0), 2000)[:, 0].mean() == pytest.approx(7.67, abs=0.1)


def test_line_closed_form_is_the_descent():
    start = (-1.0, 1.0)
    data = tutorials.line(np.random.default_rng(0), False)
    problem = Problem(data.X, data.y, data.w0, 0.1, 100, None)
    found = [loss(problem, t) for t in range(0, 100, 10)]
    np.testing.assert_allclose(tutorials.line_losses(start, 1)[0], found, rtol=1e-12)


def test_line_fits_the_noise_s_mean_as_well():
    """U[0, 1) has mean 1/2: the bias is about 2.5, not 2, and the loss that stays is its variance, 1/12."""
    fits = []
    for seed in range(50):
        problem, _ = catalogue.build("line", seed=seed)
        fits.append(prepare(problem, "cpu")(problem.w0, problem.steps))
    np.testing.assert_allclose(np.mean(fits, axis=0), [3.0, 2.5], atol=0.03)
    assert loss(problem, problem.steps) == pytest.approx(1 / 12, abs=0.03)
