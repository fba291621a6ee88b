"""Shared by the Triton implementations: the kernels and their launch, and probes of Triton.

`fused` makes a step in two launches. In the first, each program reads blocks of rows once and keeps its part of the
gradient in registers. All programs are resident at once, and asynchronous copies fetch later blocks while one is in
use. The second launch adds the parts in a fixed order and updates w. Rows that are too long for registers are read
twice: for the residuals, and for their products with the columns.

`descent` makes all steps in one launch. Each program keeps its rows in registers. Several programs meet at a barrier in
each step and add all parts in a fixed order. Fixed orders make runs repeat bit for bit, which atomic additions do not.

Each target has programs of its own. All sums are plain multiplications and additions (no `tl.dot`, no TF32). Offsets
have 64 bits: X may have more than 2^31 numbers.
"""

from collections.abc import Callable
from typing import Any

import torch
import triton
import triton.language as tl
from torch import Tensor
from triton import knobs

from impls import _torch
from impls.interface import Array, Device, Unsupported

# mypy: disable-error-code="no-untyped-def, untyped-decorator"
# ruff: noqa: ANN001, ANN202

TILE = 2**14  # bytes of X in a block
LONGEST = 2**15  # bytes of a row up to which a program holds whole rows
NARROW = 2**11  # bytes of a row that it holds of longer ones
STAGES = 3  # blocks in use or on their way
WARPS, REGISTERS = 16, 128  # warps on a multiprocessor, in programs of 4 or 8; registers a thread that let them fit
PARTS, ACROSS = 2**10, 2**5  # of the second kernel: parts that it adds up at a time, bytes of each
HELD = 2**17  # bytes of X that a program of `descent` keeps in registers when it is alone: half of all
ADDED = 2**14  # bytes of parts that it adds up at a time
INTERPRETED = knobs.runtime.interpret  # TRITON_INTERPRET=1 when Triton was imported: on the CPU, slowly, by NumPy
compiled: list[str] = []  # an entry for each kernel that this process has compiled


def _note(**about: Any) -> None:
    compiled.append(str(about["key"]))


knobs.runtime.jit_post_compile_hook = _note


@triton.jit
def _tile(X, y, rows_t, i, here, j, c, D: tl.constexpr, K: tl.constexpr):
    """Load the columns j of X, in y's dtype, and the target c of y in the rows i of a batch; 0 outside."""
    rows = (i if rows_t is None else tl.load(rows_t + i, here, 0)).to(tl.int64)
    X_t = tl.load(X + rows[:, None] * D + j[None, :], here[:, None] & (j < D)[None, :], 0.0)
    return X_t.to(y.dtype.element_ty), tl.load(y + rows * K + c, here, 0.0)


@triton.jit(do_not_specialize=["blocks"])
def _gradients(
    X,
    y,
    w,
    order,
    parts,
    t,
    b,
    blocks,
    D: tl.constexpr,
    K: tl.constexpr,
    R: tl.constexpr,
    C: tl.constexpr,
    S: tl.constexpr,
):
    """Write parts (programs, D, K): each program's part of X_t'(X_t w - y_t), by blocks of R rows, C >= D columns."""
    rows_t = order if order is None else order + tl.load(t) * b  # written out: no function returns None in Triton 3.6
    c, j = tl.program_id(0), tl.arange(0, C)
    w_c = tl.load(w + j * K + c, j < D, 0.0)
    total = tl.zeros((R, C), w_c.dtype)
    for block in tl.range(0, blocks, num_stages=S):
        i = (tl.program_id(1) + block * tl.num_programs(1)) * R + tl.arange(0, R)
        X_t, y_t = _tile(X, y, rows_t, i, i < b, j, c, D, K)
        total += X_t * (tl.sum(X_t * w_c[None, :], 1) - y_t)[:, None]
    tl.store(parts + tl.program_id(1).to(tl.int64) * (D * K) + j * K + c, tl.sum(total, 0), j < D)


@triton.jit
def _residuals(X, y, w, order, residuals, t, b, D: tl.constexpr, K: tl.constexpr, R: tl.constexpr, C: tl.constexpr):
    """Write residuals (b, K): X_t w - y_t, each program R rows, by blocks of C columns."""
    rows_t = order if order is None else order + tl.load(t) * b
    c, i = tl.program_id(0), tl.program_id(1) * R + tl.arange(0, R)
    total, y_t = tl.zeros((R, C), w.dtype.element_ty), tl.zeros((R,), w.dtype.element_ty)
    for first in range(0, D, C):
        j = first + tl.arange(0, C)
        X_t, y_t = _tile(X, y, rows_t, i, i < b, j, c, D, K)
        total += X_t * tl.load(w + j * K + c, j < D, 0.0)[None, :]
    tl.store(residuals + i.to(tl.int64) * K + c, tl.sum(total, 1) - y_t, i < b)


@triton.jit(do_not_specialize=["blocks"])
def _products(
    X,
    y,
    residuals,
    order,
    parts,
    t,
    b,
    blocks,
    D: tl.constexpr,
    K: tl.constexpr,
    R: tl.constexpr,
    C: tl.constexpr,
    S: tl.constexpr,
):
    """Write parts (programs, D, K): each program's part of X_t'residuals, C columns by blocks of R rows."""
    rows_t = order if order is None else order + tl.load(t) * b
    c, j = tl.program_id(0), tl.program_id(2) * C + tl.arange(0, C)
    total = tl.zeros((R, C), y.dtype.element_ty)
    for block in tl.range(0, blocks, num_stages=S):
        i = (tl.program_id(1) + block * tl.num_programs(1)) * R + tl.arange(0, R)
        r = tl.load(residuals + i.to(tl.int64) * K + c, i < b, 0.0)
        total += _tile(X, y, rows_t, i, i < b, j, c, D, K)[0] * r[:, None]
    tl.store(parts + tl.program_id(1).to(tl.int64) * (D * K) + j * K + c, tl.sum(total, 0), j < D)


@triton.jit
def _update(w, parts, rate, t, size, programs, P: tl.constexpr, C: tl.constexpr):
    """Subtract from w (size,) rate[0] times the sum of parts (programs, size), by blocks of P parts; add 1 to t[0].

    Each program updates C numbers of w.
    """
    j = tl.program_id(0) * C + tl.arange(0, C)
    total = tl.zeros((P, C), w.dtype.element_ty)
    for first in range(0, programs, P):
        p = first + tl.arange(0, P).to(tl.int64)
        total += tl.load(parts + p[:, None] * size + j[None, :], (p < programs)[:, None] & (j < size)[None, :], 0.0)
    tl.store(w + j, tl.load(w + j, j < size) - tl.load(rate) * tl.sum(total, 0), j < size)
    if tl.program_id(0) == 0:
        tl.store(t, tl.load(t) + 1)


@triton.jit
def _exchange(part, parts, arrived, due, j, P: tl.constexpr, C: tl.constexpr, Q: tl.constexpr):
    """Return the sum of the parts (C,) of P programs, by blocks of Q, after all have arrived: `arrived[0]` is `due`."""
    tl.store(parts + tl.program_id(0) * C + j, part)
    tl.debug_barrier()  # all threads have stored before one of them says so
    tl.atomic_add(arrived, 1, sem="release", scope="gpu")
    while tl.atomic_add(arrived, 0, sem="acquire", scope="gpu") < due:
        pass
    tl.debug_barrier()
    total = tl.zeros((Q, C), part.dtype)
    for first in range(0, P, Q):
        p = first + tl.arange(0, Q)
        total += tl.load(parts + p[:, None] * C + j[None, :], (p < P)[:, None], 0.0, cache_modifier=".cg")
    return tl.sum(total, 0)


@triton.jit(do_not_specialize=["steps"])
def _descent(
    X,
    y,
    w,
    order,
    rate,
    parts,
    arrived,
    steps,
    b,
    D: tl.constexpr,
    K: tl.constexpr,
    P: tl.constexpr,
    R: tl.constexpr,
    C: tl.constexpr,
    Q: tl.constexpr,
):
    """Update w (D, K) by all steps: P programs a target, each with R rows of C >= D columns in registers.

    Parts alternate between two buffers: a program that is one step ahead does not overwrite what others still read. The
    rows of the next mini-batch are on their way during a step.
    """
    c, j, i = tl.program_id(1), tl.arange(0, C), tl.program_id(0) * R + tl.arange(0, R)
    X_t, y_t = _tile(X, y, order, i, i < b, j, c, D, K)
    w_c, lr = tl.load(w + j * K + c, j < D, 0.0), tl.load(rate)
    parts += c * (2 * P * C)
    due = tl.full((), 0, tl.int64)
    for t in range(steps):
        X_next, y_next = X_t, y_t
        if order is not None:
            order += b
            X_next, y_next = _tile(X, y, order, i, i < tl.where(t + 1 < steps, b, 0), j, c, D, K)
        gradient = tl.sum(X_t * (tl.sum(X_t * w_c[None, :], 1) - y_t)[:, None], 0)
        if P > 1:
            due += P
            gradient = _exchange(gradient, parts + (t % 2) * (P * C), arrived + c, due, j, P, C, Q)
        w_c -= lr * gradient
        X_t, y_t = X_next, y_next
    if tl.program_id(0) == 0:
        tl.store(w + j * K + c, w_c, j < D)


def fused(X: Tensor, y: Tensor, w: Tensor, order: Tensor | None, lr: float) -> tuple[Tensor, Callable[[], None]]:
    """Return t (1,) and `step()`, which updates w (d,) or (d, k) in place by batch t[0] and adds 1 to t[0]."""
    n, d, k, size, y = *X.shape, y[0].numel(), y.element_size(), y.contiguous()  # X is in registers as y is
    b, columns = n if order is None else order.shape[1], triton.next_power_of_2(d)
    row_fits = columns * size <= LONGEST
    C = columns if row_fits else NARROW // size
    R = min(max(1, TILE // (C * size)), triton.next_power_of_2(b))
    aligned = d * X.element_size() % 16 == 0  # other rows need more registers
    warps = 4 if R * C * size <= TILE and aligned else 8
    blocks = triton.cdiv(triton.cdiv(b, R), WARPS // warps * multiprocessors(X))  # of a program
    programs = triton.cdiv(triton.cdiv(b, R), blocks)
    parts, residuals = y.new_empty(programs, d * k), y.new_empty(0 if row_fits else b * k)
    rate, t = _rate(y, lr, b * k), torch.zeros(1, dtype=torch.long, device=X.device)
    shape = {"D": d, "K": k, "R": R, "C": C, "num_warps": warps, "maxnreg": REGISTERS}
    P, across = min(PARTS, triton.next_power_of_2(programs)), ACROSS // size

    def step() -> None:
        if row_fits:
            _gradients[k, programs](X, y, w, order, parts, t, b, blocks, **shape, S=STAGES)
        else:
            _residuals[k, triton.cdiv(b, R)](X, y, w, order, residuals, t, b, **shape)
            _products[k, programs, triton.cdiv(d, C)](X, y, residuals, order, parts, t, b, blocks, **shape, S=STAGES)
        _update[(triton.cdiv(d * k, across),)](w, parts, rate, t, d * k, programs, P=P, C=across, num_warps=8)

    return t, step


def descent(X: Tensor, y: Tensor, order: Tensor | None, lr: float) -> Callable[[Tensor, int], None]:
    """Return `descend(w, steps)`, which updates w (d,) or (d, k) in place by batches 0 to steps - 1 in one launch.

    Raises Unsupported for rows that do not fit in the registers of all multiprocessors.
    """
    n, d, k, size, y = *X.shape, y[0].numel(), y.element_size(), y.contiguous()
    b, C = n if order is None else order.shape[1], triton.next_power_of_2(d)
    capacity = HELD if order is None else HELD // 4
    rows_alone, rows_together = capacity // (C * size), capacity // 2 // (C * size)  # rows of a program
    # Programs of a target that can wait for each other: in float32 two on a multiprocessor, none interpreted
    limit = 0 if INTERPRETED else 8 // size * multiprocessors(X) // k
    if b > max(rows_alone, rows_together * limit):
        what = f"{b:,} rows a step, {d:,} features, {k} target{'s' * (k > 1)}, {str(X.dtype)[6:]}"
        where = "one interpreted program" if INTERPRETED else f"the registers of {multiprocessors(X)} multiprocessors"
        fits = f"{max(rows_alone, rows_together * limit):,} rows" if rows_alone else f"{capacity // size:,} features"
        raise Unsupported(f"{what}: too large for {where}, which hold at most {fits}; use triton_fused on the gpu")
    R = min(rows_alone if b <= rows_alone else rows_together, triton.next_power_of_2(b))
    P = triton.cdiv(b, R)
    Q = min(triton.next_power_of_2(P), max(1, ADDED // (C * size)))
    parts, arrived = y.new_empty(k * 2 * P * C), torch.zeros(k, dtype=torch.long, device=X.device)
    rate, tiles = _rate(y, lr, b * k), 1 if order is None else 2
    launch = {
        "num_warps": min(32, max(1, tiles * R * C * size * size // 2**15)),  # 64 registers of X a thread at most
        "maxnreg": REGISTERS if P > 1 and size == 4 else None,
        "launch_cooperative_grid": P > 1,
    }

    def descend(w: Tensor, steps: int) -> None:
        if P > 1:
            arrived.zero_()
        _descent[P, k](X, y, w, order, rate, parts, arrived, steps, b, D=d, K=k, P=P, R=R, C=C, Q=Q, **launch)

    if P > 1:
        try:
            descend(y.new_empty(d * k), 0)
        except RuntimeError as error:
            if "cooperative" not in str(error):
                raise
            reason = f"the gpu cannot run {P * k} programs at once, which wait for each other: {error}"
            raise Unsupported(f"{reason}; use triton_fused") from error
    return descend


def _rate(y: Tensor, lr: float, size: int) -> Tensor:
    """Return 2 lr / size in y's dtype and memory: Triton would pass a float as float32."""
    return y.new_full((1,), 2 * lr / size)


def copied(x: Tensor) -> Tensor:
    """Return a copy in C order, which the kernels need."""
    return x.clone(memory_format=torch.contiguous_format)


def need_device(device: Device) -> None:
    """Raise Unsupported unless Triton can run on the device."""
    if INTERPRETED != (device == "cpu"):
        raise Unsupported("Triton runs on the gpu, and with TRITON_INTERPRET=1 (interpreted) on the cpu only")


def multiprocessors(X: Tensor) -> int:
    """Return the multiprocessors of X's GPU; 1 for the interpreter, which runs one program at a time."""
    return torch.cuda.get_device_properties(X.device).multi_processor_count if X.is_cuda else 1


def product(a: Array, b: Array, device: Device) -> Array:
    """Return a @ b by the kernel of the residuals, for targets of 0."""
    need_device(device)
    X, w = _torch.place(a, device), _torch.place(b.reshape(len(b), -1), device)
    (m, d), k, size = X.shape, w.shape[1], w.element_size()
    C = min(triton.next_power_of_2(d), NARROW // size)
    R = triton.next_power_of_2(m) if INTERPRETED else max(1, TILE // (C * size))
    y, t, result = w.new_zeros(m, k), torch.zeros(1, dtype=torch.long, device=w.device), w.new_empty(m, k)
    _residuals[k, triton.cdiv(m, R)](X, y, copied(w), None, result, t, m, D=d, K=k, R=R, C=C)
    return _torch.fetch(result).copy().reshape(m, *b.shape[1:])


def threads() -> None:
    """Return None: Triton's kernels use no threads of the CPU."""


def compilations() -> int:
    """Return the number of kernels that Triton has compiled in this process."""
    return len(compiled)
