"""Shared by the Numba implementations: the gradient of some rows, and probes of Numba."""

import functools
import sys
from collections.abc import Callable
from types import CodeType, FunctionType
from typing import Any

import numba
import numpy as np
from llvmlite import ir
from numba import njit, prange
from numba.core import event, types
from numba.extending import intrinsic

from impls.interface import Array, Device, Unsupported

# mypy: disable-error-code="call-arg, type-var, arg-type"
FAST = {"reassoc", "contract", "nsz"}  # a sum in any order, by vectors; NaN and infinity stay what they are

WIDE = 32  # columns
AHEAD = 2**13  # bytes
ALONE = 200_000  # numbers that one thread reads in the time that waking others takes
NEAR = 2**20  # bytes of X that may stay in a core's own cache
Adder = Callable[..., None]

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


@intrinsic
def _prefetch(context: Any, x: Any, place: Any) -> Any:
    """Ask the processor for the cache line AHEAD bytes behind x[place], for all caches."""

    def code(target: Any, builder: Any, signature: Any, args: Any) -> Any:
        array = target.make_array(signature.args[0])(target, builder, args[0])
        byte, whole = ir.IntType(8).as_pointer(), ir.IntType(32)
        line = builder.gep(builder.bitcast(builder.gep(array.data, [args[1]]), byte), [ir.IntType(64)(AHEAD)])
        kind = ir.FunctionType(ir.VoidType(), [byte, whole, whole, whole])
        fetch = builder.module.declare_intrinsic("llvm.prefetch", [byte], kind)
        builder.call(fetch, [line, whole(0), whole(3), whole(1)])  # to read, keep, data
        return target.get_dummy_value()

    return types.void(x, types.uint64), code


@njit
def send(x: Array, first: int, lines: int, line: int) -> None:
    """Prefetch so many cache lines of `line` numbers, AHEAD bytes behind x[first] of x (m,)."""
    for i in range(lines):
        _prefetch(x, first + np.uint64(i * line))


@njit()
def at(rows: Array | None, i: int) -> Any:
    """Return the index of the i-th row. It is unsigned, so that no negative index must be checked."""
    return np.uint64(i) if rows is None else np.uint64(rows[i])


def kernel(X: Array, k: int, order: Array | None) -> Adder:
    """Return the function that sums rows of X, with prefetching where X is larger than a core's own cache.

    A small X of few columns is summed by code for any number of rows and columns, compiled once.
    """
    d, line, far = X.shape[1], 64 // X.itemsize, X.nbytes if order is None else 0
    if X.nbytes <= NEAR and d < WIDE:
        return adder(k, 0, 0)
    return adder(k, d, line if far > NEAR else 0)


@functools.cache
def adder(k: int, d: int, line: int) -> Adder:
    """Return `add` for k targets and d columns. These are constants of the compiled code, out of the innermost loops.

    d = 0: for any number below WIDE. line: numbers in a cache line to prefetch; 0 for none.
    """
    unroll = d >= WIDE  # of fewer columns a loop of known length becomes one long row of scalars
    lines = line and -(-4 * d // line)

    @njit(fastmath=FAST)
    def add(G: Array, W: Array, X: Array, Y: Array, rows: Array | None, first: int, last: int) -> None:
        """Add X_i (X_i w - y_i) to G (k, d or more) for the i-th rows from `first` to `last`, four at a time."""
        G[:] = 0
        x, width, columns = X.reshape(-1), np.uint64(d), d if unroll else X.shape[1]
        whole = first + (last - first) // 4 * 4
        for i in range(first, whole, 4):
            a, b, c, e = at(rows, i), at(rows, i + 1), at(rows, i + 2), at(rows, i + 3)
            if lines:
                send(x, a * width, lines, line)
            for m in range(k):
                p, q, r, s = -Y[a, m], -Y[b, m], -Y[c, m], -Y[e, m]
                for j in range(columns):
                    p += X[a, j] * W[m, j]
                    q += X[b, j] * W[m, j]
                    r += X[c, j] * W[m, j]
                    s += X[e, j] * W[m, j]
                for j in range(columns):
                    G[m, j] += p * X[a, j] + q * X[b, j] + r * X[c, j] + s * X[e, j]
        for i in range(whole, last):
            _add_row(G, W, X, Y, at(rows, i))

    return add


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
