"""Shared by the Triton implementations: the kernels and their launch, and probes of Triton.

A step is two launches. In the first, programs read each block of rows once and keep their part of the gradient in
registers. The second adds the parts in a fixed order, which atomic additions do not have, and updates w. Rows that are
too long for registers are read twice: for the residuals, and for their products with the columns. Each target has
programs of its own. They are neighbours in the grid, so they read the same rows at about the same time.

All sums are plain multiplications and additions (no `tl.dot`, no TF32). Offsets have 64 bits: X may have more than 2^31
numbers.
"""

from collections.abc import Callable
from typing import Any

import torch
import triton
import triton.language as tl
from torch import Tensor
from triton import knobs

# mypy: disable-error-code="no-untyped-def, untyped-decorator"
# ruff: noqa: ANN001, ANN202

TILE = 2**14  # bytes of X that a program holds at a time
LONGEST = 2**15  # bytes of a row up to which a program holds whole rows
NARROW = 2**11  # bytes of a row that it holds of longer ones
WAVES = 8  # programs for each multiprocessor: some wait for memory while others compute
PARTS, ACROSS = 128, 32  # that the second kernel adds up at a time: parts, numbers of each
INTERPRETED = knobs.runtime.interpret  # TRITON_INTERPRET=1 when Triton was imported: on the CPU, slowly, by NumPy
compiled: list[str] = []  # an entry for each kernel that this process has compiled


def _note(**about: Any) -> None:
    compiled.append(str(about["key"]))


knobs.runtime.jit_post_compile_hook = _note


@triton.jit
def _rows(order, t, b, i):
    """Return the indices in X of the rows i of batch t."""
    return (i if order is None else tl.load(order + t.to(tl.int64) * b + i, i < b, 0)).to(tl.int64)


@triton.jit
def _block(X, rows, here, j, D: tl.constexpr):
    """Load the columns j of some rows; 0 outside."""
    return tl.load(X + rows[:, None] * D + j[None, :], here[:, None] & (j < D)[None, :], 0.0)


@triton.jit(do_not_specialize=["t"])
def _gradients(
    X, y, w, order, parts, t, b, D: tl.constexpr, K: tl.constexpr, R: tl.constexpr, C: tl.constexpr, B: tl.constexpr
):
    """Write parts (programs, D, K): each program's part of X_t'(X_t w - y_t), by B blocks of R rows, C >= D columns."""
    c, j = tl.program_id(0), tl.arange(0, C)
    w_c = tl.load(w + j * K + c, j < D, 0.0)
    total = tl.zeros((R, C), w_c.dtype)
    for block in range(B):
        i = (tl.program_id(1) + block * tl.num_programs(1)) * R + tl.arange(0, R)
        rows = _rows(order, t, b, i)
        X_t = _block(X, rows, i < b, j, D)
        residual = tl.sum(X_t * w_c[None, :], 1) - tl.load(y + rows * K + c, i < b, 0.0)
        total += X_t * residual[:, None]
    tl.store(parts + tl.program_id(1).to(tl.int64) * (D * K) + j * K + c, tl.sum(total, 0), j < D)


@triton.jit(do_not_specialize=["t"])
def _residuals(X, y, w, order, residuals, t, b, D: tl.constexpr, K: tl.constexpr, R: tl.constexpr, C: tl.constexpr):
    """Write residuals (b, K): X_t w - y_t, each program R rows, by blocks of C columns."""
    c, i = tl.program_id(0), tl.program_id(1) * R + tl.arange(0, R)
    rows = _rows(order, t, b, i)
    total = tl.zeros((R, C), w.dtype.element_ty)
    for first in range(0, D, C):
        j = first + tl.arange(0, C)
        total += _block(X, rows, i < b, j, D) * tl.load(w + j * K + c, j < D, 0.0)[None, :]
    residual = tl.sum(total, 1) - tl.load(y + rows * K + c, i < b, 0.0)
    tl.store(residuals + i.to(tl.int64) * K + c, residual, i < b)


@triton.jit(do_not_specialize=["t"])
def _products(
    X,
    residuals,
    order,
    parts,
    t,
    b,
    D: tl.constexpr,
    K: tl.constexpr,
    R: tl.constexpr,
    C: tl.constexpr,
    B: tl.constexpr,
):
    """Write parts (programs, D, K): each program's part of X_t'residuals, C columns by B blocks of R rows."""
    c, j = tl.program_id(0), tl.program_id(2) * C + tl.arange(0, C)
    total = tl.zeros((R, C), X.dtype.element_ty)
    for block in range(B):
        i = (tl.program_id(1) + block * tl.num_programs(1)) * R + tl.arange(0, R)
        r = tl.load(residuals + i.to(tl.int64) * K + c, i < b, 0.0)
        total += _block(X, _rows(order, t, b, i), i < b, j, D) * r[:, None]
    tl.store(parts + tl.program_id(1).to(tl.int64) * (D * K) + j * K + c, tl.sum(total, 0), j < D)


@triton.jit
def _update(w, parts, rate, size, programs: tl.constexpr, P: tl.constexpr, C: tl.constexpr):
    """Subtract from w (size,) rate[0] times the sum of parts (programs, size): C numbers of w by blocks of P parts."""
    j = tl.program_id(0) * C + tl.arange(0, C)
    total = tl.zeros((P, C), w.dtype.element_ty)
    for first in range(0, programs, P):
        p = first + tl.arange(0, P).to(tl.int64)
        total += tl.load(parts + p[:, None] * size + j[None, :], (p < programs)[:, None] & (j < size)[None, :], 0.0)
    tl.store(w + j, tl.load(w + j, j < size) - tl.load(rate) * tl.sum(total, 0), j < size)


def stepper(X: Tensor, y: Tensor, order: Tensor | None, lr: float) -> Callable[[Tensor, int], None]:
    """Return `step(w, t)`, which updates w (d,) or (d, k) in place by batch t."""
    (n, d), k, size = X.shape, y[0].numel(), X.element_size()
    b, columns = n if order is None else order.shape[1], triton.next_power_of_2(d)
    whole = columns * size <= LONGEST
    C = columns if whole else NARROW // size
    R = min(max(1, TILE // (C * size)), triton.next_power_of_2(b))
    programs = min(triton.cdiv(b, R), WAVES * multiprocessors(X))
    B = triton.cdiv(b, R * programs)
    parts, residuals = X.new_empty(programs, d * k), X.new_empty(0 if whole else b * k)
    rate = X.new_full((1,), 2 * lr / (b * k))  # in memory: Triton would pass a float as float32
    shape = {"D": d, "K": k, "R": R, "C": C, "num_warps": 8 if R * C * size > TILE else 4}

    def step(w: Tensor, t: int) -> None:
        if whole:
            _gradients[k, programs](X, y, w, order, parts, t, b, **shape, B=B)
        else:
            _residuals[k, triton.cdiv(b, R)](X, y, w, order, residuals, t, b, **shape)
            _products[k, programs, triton.cdiv(d, C)](X, residuals, order, parts, t, b, **shape, B=B)
        _update[(triton.cdiv(d * k, ACROSS),)](w, parts, rate, d * k, programs, P=PARTS, C=ACROSS)

    return step


def multiprocessors(X: Tensor) -> int:
    """Return the multiprocessors of X's GPU; 1 for the interpreter, which runs one program at a time."""
    return torch.cuda.get_device_properties(X.device).multi_processor_count if X.is_cuda else 1


def threads() -> None:
    """Return None: Triton's kernels use no threads of the CPU."""


def compilations() -> int:
    """Return the number of kernels that Triton has compiled in this process."""
    return len(compiled)
