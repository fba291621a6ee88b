"""Diagnosis of wrong weights: the one usual mistake that explains them better than all others.

Each mistake is simulated (`mistakes.py`). It explains the weights if it ends within their tolerance and would have
passed the earlier checks. It is the diagnosis if every other mistake, and the right descent, end at least MARGIN times
as far away. Weights that two mistakes explain get no diagnosis.
"""

from dataclasses import dataclass

import numpy as np

from benchmarks.reference import coarse, mistakes
from benchmarks.reference.mistakes import MAX_NUMBERS, Descend, Mistake, Moments, iterates, lengths, sized, update
from benchmarks.reference.solution import Coefficients, ReferenceSolution
from impls.interface import Array, Problem

MARGIN = 10.0
DIRECTION_WEIGHTS = 6  # from here on, two errors hardly have one direction by chance
FLOAT32_MARGIN = 3.0  # between the sizes of two float32 errors, of weights that are no float32 numbers
UNKNOWN_MISTAKE = "they are not the reference's"
STOPS_EARLY = "it stops early, or the learning rate falls on the way"
OTHER_START = "they belong to another start: runs remember, or ignore `start`"
TINY = float(np.finfo(np.float64).tiny)


@dataclass(frozen=True)
class Wrong:
    """Weights W (d, k) after t updates from the start at c that have failed the check."""

    problem: Problem
    truth: ReferenceSolution
    W: Array
    t: int
    c: Coefficients

    @property
    def u(self) -> float:
        """Return the unit round-off."""
        return float(np.finfo(self.problem.X.dtype).eps) / 2

    @property
    def start(self) -> Array:
        """Return the start (d, k), float64."""
        return self.expected(0)

    @property
    def checked(self) -> list[int]:
        """Return the earlier updates after which weights from the problem's own start passed the check."""
        return [t for t in self.truth.at if t < self.t] if not np.any(self.c) else self.truth.at[:-1]

    def expected(self, t: int, c: Coefficients | None = None) -> Array:
        """Return the right weights (d, k), float64; from another start, if c is given."""
        return self.truth.expected(t, self.c if c is None else c).astype(np.float64)

    def tolerance(self, t: int) -> Array:
        """Return twice the effect of rounding, also of the start, on weights after t updates, (k,)."""
        rounded = self.truth.contraction[t] * self.u * (1 + np.abs(self.W).max())
        return np.asarray(2 * (self.truth.allowed[t] + rounded) + TINY)

    def distance(self, weights: Array) -> float:
        """Return the distance of W from these weights, for the worst target; 1 is the tolerance."""
        error = float((np.linalg.norm(self.W - weights, axis=0) / self.tolerance(self.t)).max())
        return error if np.isfinite(error) else np.inf

    @property
    def rounding(self) -> float:
        """Return the distance by which rounding alone may move W."""
        return self.u * float((np.linalg.norm(self.W, axis=0) / self.tolerance(self.t)).max())

    def explained_by(self, weights: Array) -> bool:
        """Return whether W are these weights up to rounding, which grows with their path, and not the right ones."""
        path, right = (float(np.linalg.norm(end - self.start)) for end in (weights, self.expected(self.t)))
        near = min(max(1.0, path / max(right, TINY)), self.distance(self.expected(self.t)) / MARGIN)
        share = min(1.0, max(1 / MARGIN, MARGIN * self.rounding))  # honest rounding stays far below the tolerance
        return self.distance(weights) <= share * near

    def passed(self, descend: Descend) -> bool:
        """Return whether a descent passes the earlier checks; for mini-batches, those whose batches it has."""
        checked = [t for t in self.checked if self.problem.order is None or t <= _most(self)]
        return all(self.right(descend(self.expected(0, 0.0), t), t) for t in checked)

    def right(self, weights: Array, t: int) -> bool:
        """Return whether weights after t updates from the problem's own start pass the check."""
        return bool((np.linalg.norm(weights - self.expected(t, 0.0), axis=0) <= self.tolerance(t)).all())


@dataclass(frozen=True)
class Explanation:
    """A mistake's words, what its variants share, how far W is from its weights, and whether it explains W."""

    words: str
    family: str
    distance: float
    explains: bool


def diagnose(problem: Problem, truth: ReferenceSolution, weights: Array, t: int, c: Coefficients) -> str:
    """Return the diagnosis of weights after t updates from the start at c, within a few seconds."""
    wrong = Wrong(problem, truth, weights.reshape(len(weights), -1).astype(np.float64), t, c)
    if not np.isfinite(wrong.W).all():
        return "they are not finite"
    with np.errstate(all="ignore"):  # a mistake may diverge
        updates = max(t + 1, _most(wrong))
        moments = Moments(problem, updates) if mistakes.affordable(problem, updates) else None
        for explanations in (_exact(wrong, moments), _fitted(wrong, moments)):
            if any(explanation.explains for explanation in explanations):
                return best(wrong, explanations) or UNKNOWN_MISTAKE
        return _coarser(wrong) or UNKNOWN_MISTAKE


def best(wrong: Wrong, explanations: list[Explanation]) -> str:
    """Return the words of the nearest mistake that explains W; "" if another one is not MARGIN times as far away."""
    rising = sorted(explanations, key=lambda explanation: explanation.distance)
    nearest = next(explanation for explanation in rising if explanation.explains)
    limit = MARGIN * max(nearest.distance, wrong.rounding)
    near = [explanation for explanation in rising if explanation.distance < limit]
    if any(explanation.family != nearest.family for explanation in near):
        return ""
    words = dict.fromkeys(explanation.words for explanation in near if explanation.explains)
    return STOPS_EARLY if nearest.family == STOPS_EARLY and len(words) > 1 else " or ".join(words)


def _exact(wrong: Wrong, moments: Moments | None) -> list[Explanation]:
    """Return the mistakes without an unknown size."""
    too_few = "the first update changes nothing" if wrong.t == 1 else "one step too few"
    explanations = [
        _known(wrong, "one step too many", wrong.expected(wrong.t + 1), "count"),
        _known(wrong, too_few, wrong.expected(wrong.t - 1), "count"),
    ]
    if np.any(wrong.c):
        explanations.append(_known(wrong, OTHER_START, wrong.expected(wrong.t, 0.0)))
    if moments is not None:
        last = wrong.expected(wrong.truth.at[-1], 0.0)
        usual = mistakes.mistakes(wrong.problem, moments, last, wrong.W, wrong.t)
        explanations += [_simulated(wrong, mistake) for mistake in usual]
    return explanations


def _fitted(wrong: Wrong, moments: Moments | None) -> list[Explanation]:
    """Return the mistakes of unknown size, each at the size that fits W best. Any size fits a single weight."""
    explanations = [_length(wrong)] if wrong.t == 1 else []
    if wrong.W.size == 1 or moments is None:
        return explanations
    explanations += [_simulated(wrong, mistake) for mistake in (*_count(wrong, moments), *_drops(wrong, moments))]
    for fit in sized(wrong.problem, moments, wrong.t):
        size = fit.size(wrong.start, wrong.t, wrong.W)
        if fit.smallest < size < fit.largest:
            mistake = Mistake(fit.words.format(size), fit.descend(size), fit.kind or fit.words)
            explanations.append(_simulated(wrong, mistake))
    return explanations


def _known(wrong: Wrong, words: str, weights: Array, family: str = "") -> Explanation:
    return Explanation(words, family or words, wrong.distance(weights), wrong.explained_by(weights))


def _simulated(wrong: Wrong, mistake: Mistake) -> Explanation:
    """Simulate a mistake. One that would have failed an earlier check explains nothing, however near it is."""
    weights = mistake.descend(wrong.start, wrong.t)
    near = wrong.explained_by(weights)
    explains = near and wrong.passed(mistake.descend)
    distance = wrong.distance(weights) if explains or not near else np.inf
    return Explanation(mistake.words, mistake.kind or mistake.words, distance, explains)


def _most(wrong: Wrong) -> int:
    """Return the most updates that may have led to W: ten or an epoch if W is checked after one."""
    problem = wrong.problem
    epoch = 1 if problem.order is None else len(problem.X) // problem.order.shape[1]
    return min(problem.steps, max(10, epoch)) if wrong.t == 1 else wrong.t


def _count(wrong: Wrong, moments: Moments) -> list[Mistake]:
    """Return the mistake of another number of updates, not next to t: the one that leads nearest to W."""
    right, lr = moments.gradient(moments.right), wrong.problem.lr
    path = iterates(right, lr, wrong.start, _most(wrong))
    counts = [count for count in range(len(path)) if abs(count - wrong.t) > 1]
    if not counts:
        return []
    count = min(counts, key=lambda count: wrong.distance(path[count]))
    before = iterates(right, lr, wrong.expected(0, 0.0), min(count, wrong.t))
    words = f"it stops after {count} updates" if count < wrong.t else f"a step makes {count} updates"
    return [Mistake(words, lambda W, t: path[count] if t == wrong.t else before[min(count, t)], STOPS_EARLY)]


def _drops(wrong: Wrong, moments: Moments) -> list[Mistake]:
    """Return, for each usual factor, the fall of the rate by it after the update that leads nearest to W."""
    first, steps = max(wrong.checked, default=0), wrong.t
    if steps < max(3, first + 1) or (steps - first) ** 2 * wrong.W.size * len(wrong.W) > MAX_NUMBERS:
        return []
    right, lr = moments.gradient(moments.right), wrong.problem.lr
    after, falls = np.arange(max(first, 1), steps), []

    def falling(factor: float, last: int) -> Descend:
        return update(right, lr, rate=lambda t: factor if t >= last else 1.0)

    for factor in (0.5, 0.1):
        W = np.broadcast_to(wrong.start, (len(after), *wrong.start.shape))
        for t in range(steps):  # all at once
            W = W - lr * np.where(t >= after, factor, 1.0)[:, None, None] * right(t, W)
        last = int(after[min(range(len(after)), key=lambda i: wrong.distance(W[i]))])
        words = f"the learning rate falls to {factor:g} times after {last} updates"
        words += ", or the weights are a mean of the last two" * (factor == 0.5 and last == steps - 1)
        falls.append(Mistake(words, falling(factor, last), STOPS_EARLY))
    return falls


def _length(wrong: Wrong) -> Explanation:
    """Return the first update with a gradient of the right direction and another length."""
    move = wrong.expected(1) - wrong.start
    ratio = float(np.sum((wrong.W - wrong.start) * move) / max(np.sum(move * move), TINY))  # the nearest multiple
    deviation = abs(ratio - 1)
    words = f"the gradient is {ratio:.2f} times the reference"
    if deviation <= 0.005:
        digits = f"{ratio:.{2 - int(np.log10(deviation + 1e-18))}f}".rstrip("0")
        words = f"the gradient (or lr) is {digits} times the reference"
    names = [name for name, usual in lengths(wrong.problem) if wrong.explained_by(wrong.start + usual * move)]
    reasons = f" ({'perhaps ' * (ratio > 0)}{' or '.join(names)})" if names else ""
    return _known(wrong, words + reasons, wrong.start + ratio * move, "length")


def _coarser(wrong: Wrong) -> str:
    """Return "they agree only as TF32 would" if a descent in it has the same error and passes the earlier checks.

    TF32 rounds X and W in one way. Errors of float32 depend on the order of sums: only their size is compared.
    A single weight gets no such diagnosis: mistakes of a fitting size look the same.
    """
    if wrong.W.size == 1 or not coarse.affordable(wrong.problem, wrong.t + sum(wrong.checked)):
        return ""

    right, single = wrong.expected(wrong.t), wrong.problem.X.dtype == np.float32

    def explains(rounded: bool) -> bool:
        def descend(t: int, c: Coefficients) -> Array:
            return coarse.descend(wrong.problem, wrong.truth.start(c), t, rounded)

        end = descend(wrong.t, wrong.c)
        errors = [float(np.linalg.norm(weights - right)) for weights in (wrong.W, end)]
        limit = MARGIN if (wrong.W == wrong.W.astype(np.float32)).all() else FLOAT32_MARGIN
        share = 2 if wrong.W.size >= DIRECTION_WEIGHTS else MARGIN
        agree = share * np.linalg.norm(wrong.W - end) < min(errors) if single else max(errors) <= limit * min(errors)
        return bool(agree and all(wrong.right(descend(t, 0.0), t) for t in wrong.checked))

    if not any(map(explains, (True, False) if single else (True,))):
        return ""
    return f"they agree only as {coarse.COARSER_DTYPE[str(wrong.problem.X.dtype)]} would"
