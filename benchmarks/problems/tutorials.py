"""Four published tutorials: their problems and the numbers that they print.

line    "Gradient Descent from Scratch in PyTorch" (2019) and notes on fast.ai's lesson2-sgd: y = 3 x + 2 + U[0, 1)
crops   "Linear Regression and Gradient Descent from scratch in PyTorch" (PyTorch: Zero to GANs, part 2)
scalar  "Gradient Descent Using Autograd" (PyTorch Beginner 05): f = 2 x, by hand in NumPy and then with autograd
"""

from functools import cache

import numpy as np

from benchmarks.problems.tables import Data
from impls.interface import Array

STEPS = {"line": 100, "crops": 102, "scalar": 100}  # updates that the texts make; a benchmark makes more

# The notes start the line at (1, 1); the from-scratch texts at (-1, 1). Losses before updates 0, 10, ... 90, unseeded.
LINE_RUNS = {
    (1.0, 1.0): [3.8033, 0.4544, 0.1692, 0.1089, 0.0950, 0.0918, 0.0911, 0.0909, 0.0908, 0.0908],
    (-1.0, 1.0): [7.9356, 1.4609, 0.4824, 0.1995, 0.1147, 0.0893, 0.0816, 0.0793, 0.0786, 0.0784],
}

CROPS_INPUTS = [[73, 67, 43], [91, 88, 64], [87, 134, 58], [102, 43, 37], [69, 96, 70]]  # temperature, rain, humidity
CROPS_TARGETS = [[56, 70], [81, 101], [119, 133], [22, 37], [103, 119]]  # apples, oranges
CROPS_NAMES = ["apples", "oranges"]
CROPS_W0 = [[1.1392, 0.1791, 0.5564], [-0.4957, -0.0760, 1.0687]]  # (2, 3), as in nn.Linear
CROPS_B0 = [-1.7726, -0.2386]
CROPS_LOSSES = {0: 6266.8789, 1: 4497.5811, 2: 3301.8618, 102: 247.3322}  # by the number of updates
CROPS_GRADIENT = [[5688.9482, 4634.8120, 3166.7852], [-6902.1353, -7799.5835, -4676.5386]]  # at the start

# scalar: update, w after it, loss before it. The two columns of the text differ: its hand-written gradient takes the
# `.mean()` of a dot product, which is already a sum, so it steps with 4 times the gradient of the MSE that it prints.
ScalarRun = list[tuple[int, float, float | None]]
SCALAR_AUTOGRAD: ScalarRun = [
    (1, 0.300, 30.0),
    (11, 1.665, 1.16278565),
    (21, 1.934, 0.04506890),
    (31, 1.987, 0.00174685),
    (41, 1.997, 0.00006770),
]
SCALAR_BY_HAND: ScalarRun = [
    (1, 1.200, 30.0),
    (2, 1.680, 4.79999924),
    (3, 1.872, 0.76800019),
    (5, 1.980, None),
    (11, 2.000, None),
]


def line(rng: np.random.Generator, minibatch: bool) -> Data:
    """Make 100 points x ~ U(-1, 1) and a column of ones. Noise U[0, 1) has mean 1/2: the fitted bias is about 2.5."""
    x = rng.random(100) * 2 - 1
    X = np.column_stack([x, np.ones(100)])
    return Data(X, x * 3.0 + 2.0 + rng.random(100), np.array([-1.0, 1.0]), 0.1, ["x", "intercept"])


def crops(rng: np.random.Generator, minibatch: bool) -> Data:
    """Make the five regions; for mini-batches the tutorial's 15 rows, which repeat these five three times."""
    X = np.column_stack([np.array(CROPS_INPUTS, float), np.ones(5)])
    w0 = np.vstack([np.transpose(CROPS_W0), CROPS_B0])  # (4, 2)
    times = 3 if minibatch else 1
    names = ["temperature", "rainfall", "humidity", "intercept"]
    return Data(np.tile(X, (times, 1)), np.tile(np.array(CROPS_TARGETS, float), (times, 1)), w0, 1e-5, names)


def scalar(rng: np.random.Generator, minibatch: bool) -> Data:
    """Make X = 1, 2, 3, 4 and y = 2 X, from w = 0."""
    X = np.arange(1.0, 5.0)[:, None]
    return Data(X, 2 * X[:, 0], np.zeros(1), 0.01, ["x"])


def line_losses(start: tuple[float, float], draws: int = 4000) -> Array:
    """Return (draws, 10): the loss before updates 0, 10, ... 90 for that many draws of the line's data.

    Each draw descends exactly: w* + (I - lr H)^t (w0 - w*), H = 2/n X'X. The first is `line` of the generator's seed.
    """
    x, noise = np.random.default_rng(0).random((draws, 2, 100)).transpose(1, 0, 2)
    x = x * 2 - 1
    X, y = np.stack([x, np.ones_like(x)], axis=2), x * 3.0 + 2.0 + noise
    H, c = (2 / 100 * (X.transpose(0, 2, 1) @ M) for M in (X, y[..., None]))
    best = np.linalg.solve(H, c)  # (draws, 2, 1)
    values, vectors = np.linalg.eigh(H)
    decay = (1 - 0.1 * values[..., None]) ** (10 * np.arange(10))  # (draws, 2, 10)
    w = best + vectors @ (decay * (vectors.transpose(0, 2, 1) @ (np.array(start)[:, None] - best)))
    return np.asarray(((X @ w - y[..., None]) ** 2).mean(axis=1))


@cache
def line_band(start: tuple[float, float], draws: int = 4000) -> tuple[Array, float]:
    """Return (10, 2), the middle 95 % of `line_losses` at each update, and the share of draws inside all ten."""
    losses = line_losses(start, draws)
    low, high = np.quantile(losses, [0.025, 0.975], axis=0)
    return np.column_stack([low, high]), float(np.mean(((losses >= low) & (losses <= high)).all(axis=1)))


def crops_rounding(steps: int) -> tuple[float, Array]:
    """Return how far the start's four decimals can move the loss after `steps` updates and the gradient (4,) there.

    To first order: the start is known to 5e-5, and an error e of it becomes (I - lr H)^t e after t updates.
    """
    data = crops(np.random.default_rng(), False)
    H, c = (2 / data.y.size * (data.X.T @ M) for M in (data.X, data.y))
    carried, w = np.eye(4), data.w0
    for _ in range(steps):
        carried, w = carried - 1e-5 * (H @ carried), w - 1e-5 * (H @ w - c)
    return 5e-5 * float(np.abs(carried.T @ (H @ w - c)).sum()), 5e-5 * np.abs(H @ carried).sum(axis=1)


def scalar_rounding(w: float) -> tuple[float, float]:
    """Return how far w after an update, and the loss before it, may differ from the printed digits in float32.

    Float32 rounds w <= 2 by up to 2^-24 * 2 an update, of which 0.85 remains: 1e-6 at most. Loss: 7.5 (w - 2)^2.
    """
    return 5e-4 + 1e-6, 5e-9 + 15 * abs(w - 2) * 1e-6
