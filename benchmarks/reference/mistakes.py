"""Usual mistakes of a descent, each simulated in float64 to get the weights that it would give.

A full batch needs no rows: G = A'A with A = [X y 1] holds H, c, the means and the number of rows. A change of
columns A T makes it T'GT. Each mini-batch has its own G.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import accumulate

import numpy as np

from impls.interface import Array, Problem

CHUNK_ROWS = 4096  # that are read at once
MAX_PRODUCTS = 2 * 10**10  # of all G: about a second
MAX_NUMBERS = 2 * 10**7  # of all G of mini-batches in memory, and products of one descent
ITERATIONS = 8  # one is enough where an update shows its size for the first time
SLOPE_STEP = 1e-4  # difference of two sizes for a slope
SCHEDULE = "the learning rate changes from update to update"
ORDER = "the columns or the weights are in another order"
BATCHES = "mini-batches are taken in another order"
Descend = Callable[[Array, int], Array]  # (start (d, k), updates) -> weights (d, k)
Gradient = Callable[[int, Array], Array]  # at update t and weights W
Change = Callable[[Array], Array]  # of G
Rate = Callable[[int], float]


@dataclass(frozen=True)
class Mistake:
    """A mistake in words, the descent that it gives, and the kind that its variants share if not their words."""

    words: str
    descend: Descend
    kind: str = ""


@dataclass(frozen=True)
class Fit:
    """A mistake of unknown size: `words` has a place for it, `descend(size)` is its descent, no mistake at 0."""

    words: str
    descend: Callable[[float], Descend]
    smallest: float = -np.inf
    kind: str = ""
    largest: float = np.inf

    def size(self, start: Array, steps: int, weights: Array) -> float:
        """Return the size whose descent ends nearest to the weights, by Gauss and Newton from 0; NaN if it diverges."""
        size = 0.0
        for _ in range(ITERATIONS):
            end, beside = (self.descend(trial)(start, steps) for trial in (size, size + SLOPE_STEP))
            slope = (beside - end) / SLOPE_STEP
            change = float(np.sum(slope * (weights - end)) / np.sum(slope * slope))
            size += change
            if not abs(change) > 1e-9 * abs(size):
                break
        return size


def update(
    gradient: Gradient,
    lr: float,
    *,
    momentum: float = 0.0,
    decay: Array | float = 0.0,
    ahead: float = 0.0,
    rate: Rate = lambda t: 1.0,
) -> Descend:
    """Return the descent w -= lr rate(t) v, v = momentum v + gradient + decay w, with the gradient at w - lr ahead v.

    ahead: the momentum for Nesterov's; -1 for the gradient at the weights before the last update.
    """

    def descend(start: Array, steps: int) -> Array:
        W, V = start, np.zeros_like(start)
        for t in range(steps):
            V = momentum * V + gradient(t, W - lr * ahead * V) + decay * W
            W = W - lr * rate(t) * V
        return W

    return descend


def iterates(gradient: Gradient, lr: float, start: Array, steps: int) -> list[Array]:
    """Return the right weights after 0, 1, ... and `steps` updates."""
    return list(accumulate(range(steps), lambda W, t: W - lr * gradient(t, W), initial=start))


def lengths(problem: Problem) -> list[tuple[str, float]]:
    """Return the usual wrong lengths of a gradient, by name."""
    n, k = len(problem.X), problem.y[0].size
    b = n if problem.order is None else problem.order.shape[1]
    ratios = [
        ("its sign is wrong", -1.0),
        ("the factor 2 of the squared error is missing", 0.5),
        ("it is doubled", 2.0),
        ("a sum, not the mean", float(b * k)),
        ("a sum without the factor 2", b * k / 2),
        ("the mean is taken twice", 1 / (b * k)),
        ("divided by all rows, not by the mini-batch's", b / n),
        ("a mean over rows, but a sum over targets", float(k)),
    ]
    return [(name, ratio) for name, ratio in ratios if ratio != 1]


class Moments:
    """G of each batch of a problem, of all rows, and the gradients that follow from them."""

    def __init__(self, problem: Problem, updates: int) -> None:
        """updates: the number of updates whose batches are needed."""
        self.problem, (self.d, self.k) = problem, (problem.X.shape[1], problem.y[0].size)
        chunks = (self.of(slice(first, first + CHUNK_ROWS)) for first in range(0, len(problem.X), CHUNK_ROWS))
        self.all = sum(chunks, np.zeros((self.d + self.k + 1,) * 2))
        order = problem.order  # `right`: G of the batches, in order; of the full batch the only one
        self.right = [self.all] if order is None else [self.of(order[t % len(order)]) for t in range(updates)]

    def of(self, rows: slice | Array) -> Array:
        """Return G of some rows."""
        X, y = self.problem.X[rows], self.problem.y[rows].reshape(-1, self.k)
        A = np.column_stack([X, y, np.ones(len(X), X.dtype)]).astype(np.float64)
        return np.asarray(A.T @ A)

    def gradient(self, moments: Sequence[Array], change: Change = lambda G: G) -> Gradient:
        """Return the gradient whose update t sees the t-th of the moments, changed; they repeat from the first."""
        d = self.d
        changed = [change(G) for G in moments]
        scaled = [(2 / (G[-1, -1] * self.k)) * G[:d, :-1] for G in changed]
        quadratics = [(S[:, :d].copy(), S[:, d:].copy()) for S in scaled]

        def gradient(t: int, W: Array) -> Array:
            H, c = quadratics[t % len(quadratics)]
            return np.asarray(H @ W - c)

        return gradient

    def rescaled(self, columns: slice, ddof: int | None = 0, centred: bool = True) -> Array:
        """Return T that subtracts means and divides by deviations, unless ddof is None. Constant columns stay."""
        n = self.all[-1, -1]
        mean = self.all[-1] / n
        variance = (np.diagonal(self.all) - n * mean**2) / max(n - (ddof or 0), 1)
        varied = np.zeros(len(mean), bool)
        varied[columns] = variance[columns] > 1e-9 * (mean[columns] ** 2 + np.finfo(float).tiny)
        T = np.diag(np.where(varied & (ddof is not None), 1 / np.sqrt(np.where(varied, variance, 1.0)), 1.0))
        T[-1, varied] = -centred * mean[varied] * np.diagonal(T)[varied]
        return T


def affordable(problem: Problem, updates: int) -> bool:
    """Return whether G can be computed in about a second, and as many updates in much less."""
    size = (problem.X.shape[1] + problem.y[0].size + 1) ** 2
    rows = len(problem.X) + (0 if problem.order is None else updates * problem.order.shape[1])
    return bool(rows * size <= MAX_PRODUCTS and updates * size <= MAX_NUMBERS)


def mistakes(problem: Problem, moments: Moments, last: Array, weights: Array, t: int) -> Iterator[Mistake]:
    """Yield the mistakes without an unknown size, for weights after t updates. last: right ones of a whole run."""
    lr, right, steps = problem.lr, moments.gradient(moments.right), problem.steps
    descend = update(right, lr)
    if problem.w0.any():
        yield Mistake("it does not start from `start` but from zeros", lambda W, t: descend(np.zeros_like(W), t))
    yield Mistake("runs remember: it goes on from the end of an earlier run", lambda W, t: descend(last, t))
    yield Mistake("gradients add up over the updates (no zero_grad)", update(right, lr, momentum=1.0))
    yield Mistake("each update uses the gradient of the one before", update(right, lr, ahead=-1.0))
    yield Mistake("the gradient is clipped or normalised to length 1", update(lambda t, W: _clipped(right(t, W)), lr))
    by_value = update(lambda t, W: np.clip(right(t, W), -1, 1), lr)
    yield Mistake("the gradient's values are clipped to 1", by_value, "values")
    same = ", or the learning rate halves" if t == 2 else ""
    yield Mistake(f"the weights are a mean over the updates{same}", _averaged(right, lr))
    for epsilon in (0.0, 1e-7, 1e-8, 1e-10):
        normalised = update(partial(_normalised, right, epsilon), lr)
        yield Mistake("all weights move by lr, as in Adam or Adagrad", normalised, "values")
    yield Mistake(SCHEDULE, update(right, lr, rate=lambda t: 1 - t / steps))
    yield Mistake(SCHEDULE, update(right, lr, rate=lambda t: (1 + np.cos(np.pi * t / steps)) / 2))
    G, d = moments.all, moments.d
    X, y = problem.X.astype(np.float64), problem.y.reshape(len(problem.y), -1).astype(np.float64)
    solution = np.zeros((d, moments.k))
    for _ in range(3):  # the first is as inexact as G
        solution = solution + np.linalg.lstsq(G[:d, :d], X.T @ (y - X @ solution))[0]
    yield Mistake("they are the least-squares solution: nothing descends", lambda W, t: solution if t else W)
    if solution.size > 1:  # for a single weight, different data may give the same gradient
        yield from _data(problem, moments, moments.right)
    yield from _layouts(moments, descend)
    if problem.order is not None:
        yield from _batches(problem, moments, descend, weights, t)
        for mistake in _data(problem, moments, [moments.all]):
            yield Mistake(f"mini-batches are ignored, and {mistake.words}", mistake.descend)


def sized(problem: Problem, moments: Moments, t: int) -> Iterator[Fit]:
    """Yield the mistakes of unknown size, for weights after t updates."""
    lr, right = problem.lr, moments.gradient(moments.right)
    constant = np.ptp(problem.X[:CHUNK_ROWS], axis=0) == 0  # an intercept, which weight decay may leave alone
    decay, sparse = "weight decay of {0:.2g}", "an L1 penalty of {0:.2g}"
    if np.all(np.abs(problem.w0) == 1):  # both change the first gradient alike
        decay = sparse = f"{decay} or {sparse}"
    largest = 0.5 / lr  # an update takes away half of a weight
    yield Fit(decay, lambda size: update(right, lr, decay=size), 0.0, largest=largest)
    yield Fit(sparse, lambda size: update(lambda t, W: right(t, W) + size * np.sign(W), lr), 0.0, largest=largest)
    if constant.any() and np.sum(~constant) * moments.k > 1:  # any size fits a single weight
        yield Fit(decay, lambda size: update(right, lr, decay=size * ~constant[:, None]), 0.0, largest=largest)
    if t > 1:
        yield Fit("momentum of {:.2g}", lambda size: update(right, lr, momentum=size), 0.0, "momentum")
        nesterov = "Nesterov momentum of {:.2g}"
        yield Fit(nesterov, lambda size: update(right, lr, momentum=size, ahead=size), 0.0, "momentum")
        yield Fit(SCHEDULE, lambda size: update(right, lr, rate=lambda t: np.exp(-size * t)))
        yield Fit(SCHEDULE, lambda size: update(right, lr, rate=lambda t: 1 / (1 + size * t)))
        yield Fit(SCHEDULE, lambda size: update(right, lr, rate=lambda t: np.power(1.0 + t, -size)))


def orders(count: int) -> list[Array]:
    """Return the usual other orders of `count` columns: the last one first, the first one last, backwards."""
    columns = np.arange(count)
    return [np.roll(columns, 1), np.roll(columns, -1), columns[::-1].copy()] if count > 1 else []


def _normalised(gradient: Gradient, epsilon: float, t: int, W: Array) -> Array:
    """Return the gradient over its absolute values, as in the first update of Adam or Adagrad."""
    g = gradient(t, W)
    return np.asarray(g / (np.abs(g) + epsilon))


def _clipped(g: Array) -> Array:
    return np.asarray(g / max(1.0, float(np.linalg.norm(g))))


def _averaged(gradient: Gradient, lr: float) -> Descend:
    """Return the descent to the mean of the weights after 1, 2, ... updates."""
    return lambda W, steps: np.mean(iterates(gradient, lr, W, steps)[min(1, steps) :], axis=0)


def _data(problem: Problem, moments: Moments, batches: Sequence[Array]) -> Iterator[Mistake]:
    """Yield mistakes in how a gradient uses its rows. batches: their G."""
    lr, d, k = problem.lr, moments.d, moments.k

    def changed(change: Change) -> Descend:
        return update(moments.gradient(batches, change), lr)

    def broadcast(G: Array) -> Array:
        new = G.copy()
        new[:d, d] = G[:d, -1] * (G[d, -1] / G[-1, -1])  # each prediction meets the mean of y
        return new

    def sequential(triangle: Callable[[Array], Array]) -> Change:
        """Return the change that makes each weight see the new values of those in its triangle of H."""

        def change(G: Array) -> Array:
            new = G.copy()
            H = (2 / (G[-1, -1] * k)) * G[:d, :d]
            new[:d] = np.linalg.solve(np.eye(d) + lr * (triangle(H) - np.diag(np.diag(H))), G[:d])
            return new

        return change

    for triangle in (np.tril, np.triu) if d > 1 else ():
        yield Mistake("weights are updated one after the other, not all at once", changed(sequential(triangle)))
    if k == 1:
        yield Mistake("rows are broadcast against columns: (n, 1) minus (n,) is (n, n)", changed(broadcast))
    features, all_columns, targets = slice(d), slice(d + k), slice(d, d + k)
    for ddof in (0, 1):
        for block, name in ((features, "columns are"), (all_columns, "target is"), (targets, "target is")):
            yield Mistake(f"the {name} standardised once more", changed(_columns(moments.rescaled(block, ddof))))
    rescalings = (
        ("the columns are centred", features, None, True),
        ("the columns are divided by their standard deviations", features, 0, False),
        ("the columns and the target are centred", all_columns, None, True),
        ("the target is centred", targets, None, True),
    )
    for words, block, scale, centred in rescalings:
        yield Mistake(words, changed(_columns(moments.rescaled(block, scale, centred))))
    columns = np.eye(d + k + 1)
    for order in orders(d):
        yield Mistake(ORDER, changed(_columns(columns[:, np.r_[order, d : d + k + 1]])))
    for order in orders(k):
        yield Mistake(ORDER, changed(_columns(columns[:, np.r_[:d, d + order, d + k]])))
    if problem.order is None and len(problem.X) > 1:
        for row, name in ((slice(-1, None), "last"), (slice(0, 1), "first")):
            yield Mistake(f"the {name} row is missing", update(moments.gradient([moments.all - moments.of(row)]), lr))


def _columns(T: Array) -> Change:
    """Return the change of G that a change of the columns A T makes."""
    return lambda G: np.asarray(T.T @ G @ T)


def _layouts(moments: Moments, descend: Descend) -> Iterator[Mistake]:
    """Yield mistakes in how the weights are laid out."""
    d, k = moments.d, moments.k

    def rows(order: Array) -> Descend:
        return lambda W, t: descend(W, t)[order]

    for order in orders(d):
        yield Mistake(ORDER, rows(order))
    if min(d, k) > 1:
        words = "the weights are laid out as (k, d), not as (d, k)"
        yield Mistake(words, lambda W, t: descend(W, t).T.reshape(d, k))
        yield Mistake(words, lambda W, t: descend(W.reshape(k, d).T, t).T.reshape(d, k))


def _batches(problem: Problem, moments: Moments, descend: Descend, weights: Array, t: int) -> Iterator[Mistake]:
    """Yield mistakes in which rows an update sees."""
    assert problem.order is not None
    ignored = update(moments.gradient([moments.all]), problem.lr)
    yield Mistake("mini-batches are ignored: an update sees all rows", ignored)
    n, b = len(problem.X), problem.order.shape[1]
    in_file = [moments.of(slice(first, first + b)) for first in range(0, min(t * b, n - b + 1), b)]
    if in_file:
        yield Mistake(BATCHES, update(moments.gradient(in_file), problem.lr))
    if problem.order.size * moments.d <= MAX_NUMBERS:
        yield Mistake(BATCHES, _any_batch(problem, descend, weights, t))


def _any_batch(problem: Problem, descend: Descend, weights: Array, t: int) -> Descend:
    """Return the descent whose update t sees another batch, the one that leads nearest to the weights."""
    order, k = problem.order, weights.shape[1]
    assert order is not None
    X, y = problem.X.astype(np.float64), problem.y.reshape(-1, k).astype(np.float64)

    def descend_with(start: Array, steps: int) -> Array:
        if steps != t:
            return descend(start, steps)
        W = descend(start, t - 1)
        residual = X @ W - y
        gradients = np.stack([X[rows].T @ residual[rows] for rows in order])
        ends = W - problem.lr * 2 / (order.shape[1] * k) * gradients
        return np.asarray(ends[np.argmin(np.linalg.norm(ends - weights, axis=(1, 2)))])

    return descend_with
