"""What the Numba implementations share: the part of the gradient that some rows have; and what Numba says of itself."""

from collections.abc import Callable
from typing import Any

import numba
import numpy as np
from numba import njit, prange
from numba.core import event

from impls.interface import Array, Device, Unsupported

FAST = {"reassoc", "contract", "nsz"}  # a sum in any order, by vectors; NaN and infinity stay what they are

compiled: list[str] = []  # an entry for each compilation of this process


class _Note(event.Listener):
    def on_start(self, event: Any) -> None:
        compiled.append(event.kind)

    def on_end(self, event: Any) -> None:
        pass


event.register("numba:compile", _Note())


def host(device: Device) -> None:
    """Raises Unsupported for what is not the host."""
    if device != "cpu":
        raise Unsupported("Numba compiles for the cpu only here")


@njit()
def at(rows: Array | None, i: int) -> Any:
    """Which row the i-th is; unsigned, so that no negative index has to be looked out for."""
    return np.uint64(i) if rows is None else np.uint64(rows[i])


def adder(k: int) -> Callable[..., None]:
    """`add` for k targets: what is known when it is compiled is not looked up in the innermost loops."""

    @njit(fastmath=FAST)
    def add(G: Array, W: Array, X: Array, Y: Array, rows: Array | None, first: int, last: int) -> None:
        """Put the sum of X_i (X_i w - y_i) over the rows `first` to `last` into G (k, d or more); each is read once."""
        G[:] = 0
        whole = first + (last - first) // 4 * 4
        for i in range(first, whole, 4):
            a, b, c, d = at(rows, i), at(rows, i + 1), at(rows, i + 2), at(rows, i + 3)
            for m in range(k):
                p, q, r, s = -Y[a, m], -Y[b, m], -Y[c, m], -Y[d, m]
                for j in range(X.shape[1]):
                    p += X[a, j] * W[m, j]
                    q += X[b, j] * W[m, j]
                for j in range(X.shape[1]):
                    r += X[c, j] * W[m, j]
                    s += X[d, j] * W[m, j]
                for j in range(X.shape[1]):
                    G[m, j] += p * X[a, j] + q * X[b, j] + r * X[c, j] + s * X[d, j]
        for i in range(whole, last):
            a = at(rows, i)
            for m in range(k):
                p = -Y[a, m]
                for j in range(X.shape[1]):
                    p += X[a, j] * W[m, j]
                for j in range(X.shape[1]):
                    G[m, j] += p * X[a, j]

    return add


@njit(fastmath=FAST)
def update(W: Array, G: Array, lr: float) -> None:
    """Take from W (k, d) lr times what the threads have summed in G (threads, k, d or more)."""
    for p in range(len(G)):
        for m in range(W.shape[0]):
            for j in range(W.shape[1]):
                W[m, j] -= lr * G[p, m, j]


@njit(fastmath=FAST)
def _product(a: Array, b: Array) -> Array:
    out = np.zeros((len(a), b.shape[1]), a.dtype)
    for i in range(len(a)):
        for m in range(b.shape[1]):
            for j in range(a.shape[1]):
                out[i, m] += a[i, j] * b[j, m]
    return out


def product(a: Array, b: Array, device: Device) -> Array:
    """a @ b in loops that Numba compiles: what a probe of the precision looks at."""
    return np.asarray(_product(a, b.reshape(len(b), -1))).reshape(len(a), *b.shape[1:])


def threads() -> int:
    """Threads that Numba uses for one loop."""
    return int(numba.get_num_threads())


def compilations() -> int:
    """Functions that Numba has compiled in this process."""
    return len(compiled)


def resident(array: Array, device: Device) -> Array:
    """The array, where Numba reads it."""
    host(device)
    return array


@njit(fastmath=FAST)
def _sum(x: Array, times: int) -> float:
    total = x.dtype.type(0)
    for _ in range(times):
        for i in range(len(x)):
            total += x[i]
    return total


@njit(parallel=True, fastmath=FAST)
def total(x: Array, times: int) -> Array:
    """Read all of x (m,) so many times, each thread a part of it: what a bandwidth is measured with."""
    parts = numba.get_num_threads()
    sums = np.zeros(parts, x.dtype)
    for p in prange(parts):
        sums[p] = _sum(x[len(x) * p // parts : len(x) * (p + 1) // parts], times)
    return sums


def fetch(x: Array) -> Array:
    """What is done, on the host."""
    return x
