"""A model with a call, properties and a generator of iterates."""

from dataclasses import dataclass
from itertools import islice

import numpy as np


@dataclass
class Model:
    problem: object

    def iterates(self, w):
        for t in range(self.problem.steps + 1):
            yield w
            rows = slice(None) if self.problem.order is None else self.problem.order[t % self.problem.steps]
            X, y = self.problem.X[rows], self.problem.y[rows]
            w = w - self.problem.lr * 2 * np.mean([X.T @ (X @ w - y) / y.size], axis=0)

    def __call__(self, start, steps, /):
        return next(islice(self.iterates(start.copy()), steps, None)).astype(start.dtype)


def prepare(problem, device):
    return Model(problem)
