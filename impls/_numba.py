"""Shared by the Numba implementations: the gradient of some rows, and probes of Numba."""

import functools
import sys
from collections.abc import Callable
from types import CodeType, FunctionType
from typing import Any

import numba
import numpy as np
from numba import njit, prange
from numba.core import event

from impls.interface import Array, Device, Unsupported

# mypy: disable-error-code="call-arg, type-var, arg-type"
FAST = {"reassoc", "contract", "nsz"}  # a sum in any order, by vectors; NaN and infinity stay what they are

ALONE = 200_000  # numbers that one thread reads in the time that waking others takes
CHUNK = 64  # rows of each quarter that one target after the other reads

compiled: list[str] = []  # an entry for each compilation of this process


class _Note(event.Listener):
    def on_start(self, event: Any) -> None:
        compiled.append(event.kind)

    def on_end(self, event: Any) -> None:
        pass


event.register("numba:compile", _Note())


def host(device: Device) -> None:
    """Raise Unsupported for another device than the host."""
    if device != "cpu":
        raise Unsupported("Numba compiles for the cpu only here")


def njit_once(parallel: bool) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Compile a function that captures nothing: once for all calls of the function that it is defined in."""
    return lambda function: _dispatcher(function.__code__, function.__module__, parallel)


@functools.cache
def _dispatcher(code: CodeType, module: str, parallel: bool) -> Callable[..., Any]:
    compiled: Callable[..., Any] = njit(fastmath=FAST, parallel=parallel)(FunctionType(code, vars(sys.modules[module])))
    return compiled


@njit()
def at(rows: Array | None, i: int) -> Any:
    """Return the index of the i-th row. It is unsigned, so that no negative index must be checked."""
    return np.uint64(i) if rows is None else np.uint64(rows[i])


@njit(fastmath=FAST)
def add(G: Array, W: Array, X: Array, Y: Array, rows: Array | None, first: int, last: int) -> None:
    """Set G (k, d or more) to the sum of X_i (X_i w - y_i) over the i-th rows from `first` to `last`.

    Four rows at a time, one of each quarter: memory gives four long streams faster than one. Targets outside the loop
    over rows: the compiler then makes a faster one. They take turns while the rows are still in a cache.
    """
    G[:] = 0
    quarter = (last - first) // 4
    middle = first + quarter
    for chunk in range(first, middle, CHUNK):
        for m in range(W.shape[0]):
            for i in range(chunk, min(chunk + CHUNK, middle)):
                a, b, c, e = at(rows, i), at(rows, i + quarter), at(rows, i + 2 * quarter), at(rows, i + 3 * quarter)
                p, q, r, s = -Y[a, m], -Y[b, m], -Y[c, m], -Y[e, m]
                for j in range(X.shape[1]):
                    p += X[a, j] * W[m, j]
                    q += X[b, j] * W[m, j]
                    r += X[c, j] * W[m, j]
                    s += X[e, j] * W[m, j]
                for j in range(X.shape[1]):
                    G[m, j] += p * X[a, j] + q * X[b, j] + r * X[c, j] + s * X[e, j]
    for i in range(first + 4 * quarter, last):
        _add_row(G, W, X, Y, at(rows, i))


@njit(fastmath=FAST)
def _add_row(G: Array, W: Array, X: Array, Y: Array, a: int) -> None:
    for m in range(W.shape[0]):
        p = -Y[a, m]
        for j in range(X.shape[1]):
            p += X[a, j] * W[m, j]
        for j in range(X.shape[1]):
            G[m, j] += p * X[a, j]


@njit(fastmath=FAST)
def update(W: Array, G: Array, lr: float) -> None:
    """Subtract from W (k, d) lr times the sum of the threads' parts G (threads, k, d or more)."""
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
    """Return a @ b in loops that Numba compiles, to probe the precision."""
    return np.asarray(_product(a, b.reshape(len(b), -1))).reshape(len(a), *b.shape[1:])


def threads() -> int:
    """Return the threads that Numba uses for one loop."""
    return int(numba.get_num_threads())


def compilations() -> int:
    """Return the number of functions that Numba has compiled in this process."""
    return len(compiled)


def resident(array: Array, device: Device) -> Array:
    """Return the array: Numba reads it where it is."""
    host(device)
    return array


@njit(fastmath=FAST)
def _sum(x: Array, times: int) -> float:
    """Read x (m,), m a multiple of 4, in four streams: memory gives them faster than one."""
    total, part = x.dtype.type(0), np.uint64(len(x) // 4)
    for _ in range(times):
        a, b, c, e = total, total * 0, total * 0, total * 0
        for i in range(part):
            a += x[i]
            b += x[part + i]
            c += x[2 * part + i]
            e += x[3 * part + i]
        total = a + b + c + e
    return total


@njit(parallel=True, fastmath=FAST)
def total(x: Array, times: int) -> Array:
    """Read all of x (m,) `times` times, each thread a part, to measure the bandwidth."""
    parts = numba.get_num_threads()
    sums = np.zeros(parts, x.dtype)
    for p in prange(parts):
        sums[p] = _sum(x[len(x) * p // parts : len(x) * (p + 1) // parts], times)
    return sums


def fetch(x: Array) -> Array:
    """Return the result: it is on the host."""
    return x
