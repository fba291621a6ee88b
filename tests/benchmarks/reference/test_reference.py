"""The truth against exact fractions and the closed form; what is allowed, for honest arithmetic and not for more."""

import dataclasses
import time
from collections.abc import Callable
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from helpers import random_problem
from hypothesis import given, settings
from hypothesis import strategies as st

import impls
from benchmarks.problems import catalogue
from benchmarks.reference import coarse
from benchmarks.reference.diagnosis import diagnose
from benchmarks.reference.solution import ReferenceSolution, hessian, truth
from impls.interface import Array, Problem

Matrix = list[list[Fraction]]
LONG = np.longdouble
EPS = Fraction(*np.finfo(LONG).eps.as_integer_ratio())


def exact(array: Array) -> Matrix:
    """The values of (m,) or (m, k) as fractions, (m, k)."""
    return [[Fraction(*value.as_integer_ratio()) for value in row] for row in array.reshape(len(array), -1)]


def product(A: Matrix, B: Matrix) -> Matrix:
    return [
        [sum((a * b for a, b in zip(row, column, strict=True)), Fraction()) for column in zip(*B, strict=True)]
        for row in A
    ]


def plus(A: Matrix, B: Matrix, factor: Fraction = Fraction(1)) -> Matrix:
    """A + factor B."""
    return [[a + factor * b for a, b in zip(p, q, strict=True)] for p, q in zip(A, B, strict=True)]


def transposed(A: Matrix) -> Matrix:
    return [list(column) for column in zip(*A, strict=True)]


def solved(A: Matrix, B: Matrix) -> Matrix:
    """A^-1 B by elimination."""
    rows = [a + b for a, b in zip(A, B, strict=True)]
    for i in range(len(rows)):
        pivot = next(r for r in range(i, len(rows)) if rows[r][i])
        rows[i], rows[pivot] = rows[pivot], rows[i]
        rows[i] = [value / rows[i][i] for value in rows[i]]
        for r in range(len(rows)):
            if r != i:
                rows[r] = [x - rows[r][i] * y for x, y in zip(rows[r], rows[i], strict=True)]
    return [row[len(A) :] for row in rows]


def descended(problem: Problem, w: Matrix, steps: int) -> Matrix:
    """The definition, step by step, in fractions."""
    X, y, lr = exact(problem.X), exact(problem.y), Fraction(problem.lr)
    for t in range(steps):
        rows = range(len(X)) if problem.order is None else problem.order[t % problem.steps].tolist()
        X_t, y_t = [X[i] for i in rows], [y[i] for i in rows]
        residual = plus(product(X_t, w), y_t, Fraction(-1))
        w = plus(w, product(transposed(X_t), residual), -lr * 2 / (len(X_t) * len(y[0])))
    return w


def furthest(found: Array, right: Matrix) -> Fraction:
    """The largest difference between two matrices."""
    return max(abs(value) for row in plus(exact(found), right, Fraction(-1)) for value in row)


def integers(n: int, d: int, k: int | None, batch: int | None, *, seed: int, steps: int = 9) -> Problem:
    """A problem whose numbers are small integers; lr a power of two below 1/L."""
    rng = np.random.default_rng(seed)
    tail = () if k is None else (k,)
    X, y, w0 = (rng.integers(-4, 5, shape).astype(float) for shape in ((n, d), (n, *tail), (d, *tail)))
    X += 9 * np.eye(n, d)  # of full rank
    order = None if batch is None else rng.integers(0, n, (steps, batch), dtype=np.int32)
    return Problem(X, y, w0, 2.0**-9, steps, order)


SIZES = ((1, 1, None), (4, 2, None), (6, 3, 2), (5, 3, 1), (2, 4, None), (3, 5, 2))
SHAPES = [(n, d, k, batch) for n, d, k in SIZES for batch in (None, 1, 3)]


@pytest.mark.parametrize(("n", "d", "k", "batch"), SHAPES)
def test_truth_is_the_definition(n: int, d: int, k: int | None, batch: int | None) -> None:
    problem = integers(n, d, k, batch, seed=n)
    known = truth(problem, [1, 2, 3, 5, 8, 9])
    for c in (0.0, np.round(4 * known.draw(np.random.default_rng(n))) / 4):  # quarters: no start is rounded
        start = exact(known.start(c))
        for t in (0, 1, 2, 3, 4, 5, 7, 8, 9, 10):  # 4 to 10: the neighbours; 10: order starts again
            right = descended(problem, start, t)
            size = max(abs(value) for row in right for value in row) + 1
            assert furthest(known.expected(t, c), right) <= 200 * EPS * size, t


@pytest.mark.parametrize(("n", "d", "k"), [(4, 2, None), (6, 3, 2)])
def test_truth_is_the_closed_form(n: int, d: int, k: int | None) -> None:
    """w* + (I - lr H)^t (w0 - w*), all in fractions, and for a number of updates that nobody steps through."""
    problem = integers(n, d, k, None, seed=3, steps=64)
    X, y = exact(problem.X), exact(problem.y)
    H, c = (
        [[2 * value / problem.y.size for value in row] for row in product(transposed(X), right)] for right in (X, y)
    )
    best = solved(H, c)
    identity = exact(np.eye(d))
    carried = identity
    for _ in range(64):
        carried = product(carried, plus(identity, H, -Fraction(problem.lr)))
    right = plus(best, product(carried, plus(exact(problem.w0), best, Fraction(-1))))
    assert right == descended(problem, exact(problem.w0), 64)
    assert furthest(truth(problem, [64]).expected(64, 0.0), right) <= 1000 * EPS


def test_truth_ends_at_the_least_squares_solution() -> None:
    problem = dataclasses.replace(random_problem(30, 3, 2, None), steps=3000)
    best = np.linalg.lstsq(problem.X, problem.y)[0]
    assert np.abs(truth(problem, [3000]).expected(3000, 0.0) - best).max() < 1e-13


def test_a_table_with_many_more_features_than_rows_needs_no_square_of_the_features() -> None:
    """Its Hessian would have 3 GB, and its eigenvalues would take hours."""
    problem, _ = catalogue.build("20x20000", seed=0, steps=3)
    known = truth(problem, [1, 2, 3])
    w = impls.load("numpy_manual")(problem, "cpu")(problem.w0, 3)
    error, allowed = known.distance(w, 3, 0.0, problem.w0)
    assert error <= allowed < 1e-6 * np.linalg.norm(w) and known.contraction[3] == 1


def test_both_gram_matrices_have_the_same_curvatures() -> None:
    problem = random_problem(5, 9, 2, None)
    (low, high), (tall_low, tall_high) = (
        catalogue.curvatures(X, np.zeros((len(X), 2)), None)[0] for X in (problem.X, problem.X.T)
    )
    assert low == 0 < tall_low and high * 5 == pytest.approx(tall_high * 9)


@pytest.mark.parametrize("n", [1, 7, 4096, 4097])
def test_hessian_of_integers_is_exact(n: int) -> None:
    rng = np.random.default_rng(n)
    X, y = (rng.integers(-(2**17), 2**17, shape).astype(float) for shape in ((n, 2), (n, 1)))
    problem = Problem(X, y, np.zeros((2, 1)), 1e-12, 1, None)
    H, c = hessian(problem, y)
    for found, other in ((H, X), (c, y)):
        whole = [
            [int(v) for v in row]
            for row in (X.astype(np.int64).astype(object).T @ other.astype(np.int64).astype(object))
        ]
        right = [[Fraction(2 * value, n) for value in row] for row in whole]
        assert furthest(found, right) <= 3 * EPS * max(abs(value) for row in right for value in row)


@given(st.integers(0, 2**32), st.integers(1, 8), st.integers(1, 4), st.sampled_from([1e-30, 1e-3, 1.0, 3e4, 1e30]))
@settings(deadline=None, max_examples=60)
def test_hessian_is_exact_to_60_bits_of_the_largest(seed: int, n: int, d: int, scale: float) -> None:
    rng = np.random.default_rng(seed)
    X = rng.standard_normal((n, d)) * scale * 10.0 ** rng.integers(-3, 4, (n, 1))
    y = rng.standard_normal(n) * 10.0 ** rng.integers(-3, 4, n)
    H, c = hessian(Problem(X, y, np.zeros(d), 0.1, 1, None), y[:, None])
    Xs, ys = exact(X), exact(y)
    tall = [max(abs(row[j]) for row in Xs) for j in range(d)]
    for found, other, widths in ((H, Xs, tall), (c, ys, [max(abs(row[0]) for row in ys)])):
        right = [[2 * value / n for value in row] for row in product(transposed(Xs), other)]
        for i, row in enumerate(plus(exact(found), right, Fraction(-1))):
            for j, value in enumerate(row):
                assert abs(value) <= (Fraction(1, 2**56) + 8 * EPS) * tall[i] * widths[j]


@pytest.mark.parametrize("batch", [None, 4])
def test_a_descent_is_affine_in_its_start(batch: int | None) -> None:
    problem = random_problem(9, 3, 2, batch)
    known = truth(problem, [1, 5, 12])
    for c in (0.25, -1.0, known.draw(np.random.default_rng(9))):
        there = truth(dataclasses.replace(problem, w0=known.start(c)), [1, 5, 12])
        for t in (0, 1, 2, 5, 12):
            gap = known.start(c).astype(LONG) - known.expected(0, c)  # the start is rounded to the problem's dtype
            error = np.abs(there.expected(t, 0.0) - known.expected(t, c)).max()
            assert error <= 2 * np.linalg.norm(gap) + 1e-17 if t else error == np.abs(gap).max()


def honest(name: str) -> Callable[[Problem], Callable[[Array, int], Array]]:
    return lambda problem: impls.load(name)(problem, "cpu")


def row_by_row(problem: Problem) -> Callable[[Array, int], Array]:
    """Honest too, and the worst order there is: every sum one element after the other."""

    def run(start: Array, steps: int) -> Array:
        w = start.reshape(len(start), -1).copy()
        y = problem.y.reshape(len(problem.y), -1)
        scale = w.dtype.type(2) / w.dtype.type(1)
        for t in range(steps):
            rows = slice(None) if problem.order is None else problem.order[t]
            X_t, y_t = problem.X[rows], y[rows]
            predicted = np.add.accumulate(X_t[:, :, None] * w, axis=1)[:, -1]
            residual = predicted - y_t
            gradient = np.add.accumulate(X_t[:, :, None] * residual[:, None], axis=0)[-1]
            w = w - w.dtype.type(problem.lr) * (scale * gradient / w.dtype.type(residual.size))
        return w.reshape(start.shape)

    return run


@st.composite
def wild_problems(draw: st.DrawFn) -> Problem:
    """Shapes, scales, duplicated rows, constant columns, large offsets, any lr below 2/L."""
    n, d = draw(st.integers(1, 120)), draw(st.integers(1, 8))
    k, dtype = draw(st.sampled_from([None, 1, 3])), draw(st.sampled_from(["float32", "float64"]))
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    X = rng.standard_normal((n, d)) * 10.0 ** draw(st.integers(-3, 3))
    X *= 10.0 ** rng.uniform(-draw(st.integers(0, 3)), 0, d)
    if draw(st.booleans()):
        X[:, rng.integers(d)] = draw(st.sampled_from([1.0, 0.1, -1000.0]))
    if draw(st.booleans()):
        X = X[rng.integers(0, max(1, n // 8), n)]
    if draw(st.booleans()):
        X += draw(st.sampled_from([1e-3, 10.0, 1e4]))
    tail = () if k is None else (k,)
    y = rng.standard_normal((n, *tail)) * 10.0 ** draw(st.integers(-3, 3)) + draw(st.sampled_from([0.0, 0.0, 1e4]))
    w0 = rng.standard_normal((d, *tail)) * 10.0 ** draw(st.integers(-3, 3))
    X, y, w0 = (np.ascontiguousarray(array, dtype) for array in (X, y, w0))
    steps = draw(st.integers(1, 30))
    batch = draw(st.sampled_from([None, None, 1, 2, 16]))
    order = None if batch is None else rng.integers(0, n, (steps, batch)).astype(np.int32)
    L = max(high for _, high in catalogue.curvatures(X.astype(float), y, order))
    return Problem(X, y, w0, draw(st.floats(0.01, 1.99)) / L, steps, order)


@pytest.mark.parametrize("descent", [honest("numpy_manual"), row_by_row], ids=["numpy_manual", "row_by_row"])
@given(problem=wild_problems(), seed=st.integers(0, 2**32))
@settings(deadline=None, max_examples=120)
def test_honest_descents_are_allowed(
    descent: Callable[[Problem], Callable[[Array, int], Array]], problem: Problem, seed: int
) -> None:
    run = descent(problem)
    known = truth(problem, sorted({1, problem.steps}))
    c = known.draw(np.random.default_rng(seed))
    start = known.start(c)
    for t in known.at:
        error, allowed = known.distance(run(start, t), t, c, start)
        assert error <= allowed, t


@pytest.mark.parametrize(
    ("name", "early", "last"),  # shares of the weights' length: after 1 update, after all
    [
        ("small", 3e-13, 1e-10),
        ("small@32", 1e-13, 1e-12),
        ("line", 1e-13, 1e-13),
        ("scalar", 1e-13, 1e-13),
        ("tiny", 1e-13, 1e-11),
        ("crops", 1e-14, 1e-12),
        ("crops@5", 1e-14, 1e-12),
    ],
)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_allowed_is_not_loose(name: str, early: float, last: float, dtype: str) -> None:
    problem = catalogue.cast(catalogue.build(name)[0], dtype)
    known = truth(problem, [1, problem.steps])
    units = 1.0 if dtype == "float64" else 2.0**29
    for t, most in ((1, early), (problem.steps, last)):
        assert (known.allowed[t] <= units * most * np.linalg.norm(known.expected(t, 0.0), axis=0)).all(), t


@pytest.mark.parametrize("batch", [None, 4])
def test_allowed_is_within_1000_times_of_what_rounding_does(batch: int | None) -> None:
    problem = random_problem(40, 3, None, batch)
    known = truth(problem, [12])
    error, allowed = known.distance(row_by_row(problem)(problem.w0, 12), 12, 0.0, problem.w0)
    assert 0 < error <= allowed <= 1000 * error


def test_float64_is_allowed_less_than_float32_by_what_their_round_off_differs() -> None:
    wide, narrow = (
        truth(random_problem(40, 3, None, None, dtype), [12]).allowed[12] for dtype in ("float64", "float32")
    )
    assert 2**28 < narrow / wide < 2**30


def test_distance_of_nothing_from_nothing() -> None:
    """y = 0 from w = 0 stays there: nothing is wrong, and nothing is allowed."""
    problem = Problem(np.ones((3, 1)), np.zeros(3), np.zeros(1), 0.1, 2, None)
    error, allowed = truth(problem, [2]).distance(np.zeros(1), 2, 0.0, problem.w0)
    assert error <= allowed


@pytest.mark.parametrize("weights", [np.array([np.nan, 0, 0]), np.array([np.inf, 0, 0]), np.full(3, -np.inf)])
def test_what_is_not_finite_is_never_allowed(weights: Array) -> None:
    problem = random_problem(9, 3, None, None)
    error, allowed = truth(problem, [2]).distance(weights, 2, 0.0, problem.w0)
    assert not error <= allowed


def test_distance_is_the_worst_targets() -> None:
    problem = random_problem(9, 3, 3, None)
    known = truth(problem, [2])
    weights = known.expected(2, 0.0).astype(float)
    weights[1, 2] += 0.5
    error, allowed = known.distance(weights, 2, 0.0, problem.w0)
    assert error == pytest.approx(0.5)
    assert allowed == pytest.approx(known.allowed[2][2])


def known_and(problem: Problem) -> ReferenceSolution:
    return truth(problem, [1, 2, 3, 5, 8, 12])


def said(problem: Problem, weights: Array, t: int, c: float = 0.0) -> str:
    return diagnose(problem, known_and(problem), np.asarray(weights, problem.X.dtype), t, c)


@pytest.mark.parametrize("batch", [None, 4])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_words_of_a_diagnosis(dtype: str, batch: int | None) -> None:
    problem = random_problem(40, 3, None, batch, dtype)
    known = known_and(problem)
    start, first = known.expected(0, 0.0), known.expected(1, 0.0)
    assert said(problem, known.expected(6, 0.0), 5) == "one step too many"
    assert said(problem, known.expected(13, 0.0), 12) == "one step too many"
    assert said(problem, known.expected(4, 0.0), 5) == "one step too few"
    assert said(problem, start, 1) == "the first update changes nothing"
    half = "the gradient is 0.50 times the reference (perhaps the factor 2 of the squared error is missing)"
    assert said(problem, start + 0.5 * (first - start), 1) == half
    assert said(problem, start - 4 * (first - start), 1) == "the gradient is -4.00 times the reference"
    assert said(problem, start + 1.001 * (first - start), 1) == "the gradient (or lr) is 1.001 times the reference"
    other_start = "they belong to another start: runs remember, or ignore `start`"
    assert said(problem, known.expected(5, 0.0), 5, 0.9) == other_start
    assert said(problem, known.expected(5, 0.9), 5) == "they are not the reference's"  # no run was elsewhere before
    assert said(problem, first * np.nan, 1) == "they are not finite"
    assert said(problem, first + np.array([[1], [2], [-3]]), 3) == "they are not the reference's"


def test_words_for_a_gradient_that_is_hardly_off() -> None:
    problem = random_problem(40, 3, None, None)
    start, first = (known_and(problem).expected(t, 0.0) for t in (0, 1))
    words = said(problem, start + (1 + 3e-9) * (first - start), 1)
    assert "gradient (or lr)" in words
    assert " 1 times" not in words


@pytest.mark.parametrize(("dtype", "coarser"), [("float64", "float32"), ("float32", "TF32")])
def test_words_for_a_coarser_arithmetic(dtype: str, coarser: str) -> None:
    problem = random_problem(400, 6, 2, None, dtype)
    known = known_and(problem)
    weights = coarse.descend(problem, problem.w0, 1)
    reordered = coarse.descend(dataclasses.replace(problem, X=problem.X[::-1].copy(), y=problem.y[::-1]), problem.w0, 1)
    assert said(problem, weights, 1) == said(problem, reordered, 1) == f"they agree only as {coarser} would"
    error = weights - known.expected(1, 0.0)
    assert said(problem, known.expected(1, 0.0) + 100 * error, 1) == "they are not the reference's"
    late = coarse.descend(problem, problem.w0, 5)  # it would not have passed after one update
    assert said(problem, late, 5) == "they are not the reference's"


def descent_with(problem: Problem, t: int, **mistake: Any) -> Array:
    """The weights after t updates in the problem's dtype with a momentum, a decay, rates or a stop."""
    w, velocity = problem.w0.copy(), 0 * problem.w0
    rate = mistake.get("rate", lambda t: 1.0)
    for step in range(min(t, mistake.get("stop", t))):
        rows = slice(None) if problem.order is None else problem.order[step]
        residual = problem.X[rows] @ w - problem.y[rows]
        gradient = problem.X[rows].T @ residual * w.dtype.type(2 / residual.size)
        velocity = w.dtype.type(mistake.get("momentum", 0)) * velocity + gradient
        w = w - w.dtype.type(problem.lr * rate(step)) * (velocity + w.dtype.type(mistake.get("decay", 0)) * w)
    return w


OPTIMISERS: list[tuple[int, dict[str, Any], str]] = [  # the first check that fails, the mistake, its words
    (2, {"momentum": 0.9}, "momentum of 0.9"),
    (2, {"momentum": 0.5}, "momentum of 0.5"),
    (2, {"momentum": 1}, "gradients add up over the updates (no zero_grad)"),
    (1, {"decay": 1e-2}, "weight decay of 0.01"),
    (2, {"rate": lambda t: 1 / (1 + t / 100)}, "the learning rate changes from update to update"),
    (2, {"rate": lambda t: 0.95**t}, "the learning rate changes from update to update"),
    (2, {"rate": lambda t: (1 + t) ** -0.5}, "the learning rate changes from update to update"),
    (2, {"rate": lambda t: 1 - t / 12}, "the learning rate changes from update to update"),
    (12, {"stop": 10}, "it stops after 10 updates"),
    (12, {"stop": 11}, "one step too few"),
]


@pytest.mark.parametrize("batch", [None, 8])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(
    ("t", "mistake", "words"), OPTIMISERS, ids=[f"{next(iter(case[1]))} {at}" for at, case in enumerate(OPTIMISERS)]
)
def test_words_for_another_optimiser(
    dtype: str, batch: int | None, t: int, mistake: dict[str, Any], words: str
) -> None:
    for k in (None, 2):
        problem = random_problem(60, 4, k, batch, dtype)
        assert said(problem, descent_with(problem, t, **mistake), t) == words


def test_words_for_mini_batches_that_are_ignored_and_one_more_mistake() -> None:
    problem = random_problem(60, 4, None, 8)
    flat = dataclasses.replace(problem, order=None)
    assert said(problem, descent_with(flat, 1), 1) == "mini-batches are ignored: an update sees all rows"
    rolled = dataclasses.replace(flat, X=np.roll(problem.X, 1, axis=1).copy())
    words = "mini-batches are ignored, and the columns or the weights are in another order"
    assert said(problem, descent_with(rolled, 1), 1) == words


def test_a_mistake_that_would_have_failed_before_is_no_diagnosis() -> None:
    problem = random_problem(60, 4, None, None)
    assert said(problem, descent_with(problem, 2, decay=1e-2), 2) == "they are not the reference's"
    assert said(problem, descent_with(problem, 3, momentum=0.9), 3) == "they are not the reference's"


def test_what_two_mistakes_explain_is_no_diagnosis() -> None:
    """With X'X a multiple of the identity, the second gradient is a multiple of the first."""
    X = np.vstack([np.eye(3), -np.eye(3)]).copy()
    problem = Problem(X, np.arange(6.0), np.ones(3), 0.2, 12, None)
    for mistake in ({"momentum": 0.5}, {"rate": lambda t: 1.1**t}):
        assert said(problem, descent_with(problem, 2, **mistake), 2) == "they are not the reference's"


def test_of_one_weight_only_exact_mistakes_are_told() -> None:
    problem = random_problem(9, 1, None, None)
    problem = dataclasses.replace(problem, lr=problem.lr / 3)
    for t, mistake in ((2, {"momentum": 0.5}), (12, {"stop": 5}), (2, {"rate": lambda t: 0.9**t})):
        assert said(problem, descent_with(problem, t, **mistake), t) == "they are not the reference's"
    adding = descent_with(problem, 2, momentum=1.0)
    assert said(problem, adding, 2) == "gradients add up over the updates (no zero_grad)"


@given(problem=wild_problems(), noise=st.integers(0, 2**32), size=st.floats(-6, 1))
@settings(deadline=None, max_examples=60)
def test_noise_is_no_mistake(problem: Problem, noise: int, size: float) -> None:
    """Weights that are off in a random direction have no usual mistake; of few weights one may lie by chance near."""
    known = truth(problem, sorted({1, problem.steps}))
    right = known.expected(1, 0.0).astype(float)
    moved = np.linalg.norm(right - known.expected(0, 0.0).astype(float)) + 1e-30
    off = np.random.default_rng([noise, 1]).standard_normal(right.shape)  # not X
    weights = (right + 10**size * moved * off).astype(problem.X.dtype)
    error, allowed = known.distance(weights, 1, 0.0, problem.w0)
    words = diagnose(problem, known, weights, 1, 0.0)
    if error > 100 * allowed and right.size >= 6:
        assert words == "they are not the reference's" or words.startswith("they agree only as ")  # small noise
    for c in (0.0, 0.5):
        assert diagnose(problem, known, weights, problem.steps, c)


@pytest.mark.parametrize("name", ["100000x20", "8000x200", "5000x30@50"])
def test_a_diagnosis_of_large_problems_is_quick(name: str) -> None:
    problem = catalogue.cast(catalogue.build(name)[0], "float32")
    known = truth(problem, [1, 2])
    start = time.thread_time()  # load makes only other clocks longer
    assert diagnose(problem, known, descent_with(problem, 2, momentum=0.9), 2, 0.0) == "momentum of 0.9"
    assert time.thread_time() - start < 5
