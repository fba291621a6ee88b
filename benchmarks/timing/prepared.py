"""A problem on disk for the workers, with its reference solution, its facts and its check of every row."""

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.problems import published
from benchmarks.reference.coarse import tf32
from benchmarks.reference.solution import ReferenceSolution, truth
from benchmarks.reference.tolerance import TF32
from impls.interface import Array, Problem

EARLY_UPDATES = (1, 2, 3, 5, 8)  # after which the iterates are compared; half of all and the last one are added
MARKED_ROWS = 300  # of the rows check
FAINT_Y = 2.0**-10  # of one row's y: the size of the others' y, whose rounding then hides none of its digits
ARRAYS = ("X", "y", "w0", "order")  # a problem's fields that are files of their own


@dataclass(frozen=True, eq=False)
class RowsCheck:
    """A problem on disk, its almost exact first update, and the tolerance of each entry."""

    folder: str
    expected: Array
    tolerance: Array


@dataclass(frozen=True)
class PreparedProblem:
    """A problem in one dtype, on disk for the workers, with its reference solution and its facts for a row.

    rows_check: of float32 problems, see `RowsCheck`. None for float64, and where other hosts make the problem.
    """

    folder: str
    truth: ReferenceSolution
    facts: dict[str, Any]
    rows_check: RowsCheck | None = None


def prepare_problem(
    name: str,
    problem: Problem,
    folder: Path,
    *,
    precision: str = "highest",
    made: Mapping[str, Any] | None = None,
    shown: Iterable[int] = (),
) -> PreparedProblem:
    """Write a problem to a new folder and compute what its descents are compared with.

    made: see `write_problem`; None if no other host makes the problem. shown: further updates whose weights the
    reference keeps.
    """
    dtype = problem.storage or str(problem.X.dtype)
    write_problem(problem, folder, **made or {}, dtype=dtype)
    single = problem.X.dtype == np.float32
    coarse = TF32 if single and precision == "tf32" else 0.0
    printed = [] if coarse or problem.storage else published.checked(name, problem)  # printed in float32
    further = (problem.steps // 2, *(loss.update for loss in printed))
    updates = sorted({t for t in (*EARLY_UPDATES, *further) if 0 < t < problem.steps} | {problem.steps})
    (n, d), k = problem.X.shape, problem.y[0].size
    batch = n if problem.order is None else problem.order.shape[1]
    facts = {"n": n, "d": d, "k": k, "batch": batch, "steps": problem.steps, "lr": problem.lr}
    facts |= {"dtype": dtype, "problem_hash": content_hash(problem)}
    facts |= {"published": json.dumps(printed)} if printed else {}  # [update, loss, lowest, highest] of each
    rows = write_rows_check(problem, folder, coarse) if single and made is None else None
    return PreparedProblem(str(folder), truth(problem, updates, coarse, shown), facts, rows)


def content_hash(problem: Problem) -> str:
    """Return 16 hex digits of a hash over a problem's arrays and its plan."""
    digest = hashlib.sha256(f"{problem.lr!r} {problem.steps}".encode())
    for array in (getattr(problem, name) for name in ARRAYS):
        if array is not None:
            digest.update(array)
    return digest.hexdigest()[:16]


def write_problem(problem: Problem, folder: Path, **made: Any) -> None:
    """Write a problem to a new folder. made: its dtype and `catalogue.made`'s arguments, for other hosts."""
    folder.mkdir()
    for name in ARRAYS:
        array = getattr(problem, name)
        if array is not None:
            np.save(folder / f"{name}.npy", array)
    plan = {"lr": problem.lr, "steps": problem.steps, "storage": problem.storage, "made": made}
    (folder / "plan.json").write_text(json.dumps(plan))


def write_rows_check(problem: Problem, folder: Path, coarse: float) -> RowsCheck:
    """Write a second problem over the same X, in which a missing row or a rounded X shows at any n.

    |y| is between 1 and 2 in one marked row, FAINT_Y of that in the others, and 0 in the rest. From w = 0, one update
    with lr = n k / 2 gives the sum of the marked rows times their y, nearly exact in float32. So a missing row does not
    hide in the rounding of others. The row with the large y is the one that a shorter mantissa changes most.
    """
    rng = np.random.default_rng()  # unseeded: an implementation cannot know the rows
    rows = np.arange(len(problem.X)) if problem.order is None else problem.order[0]
    ends = np.unique(rows[[0, -1]])  # a loop that begins too late or ends too early leaves them out
    chosen = np.append(ends, rng.choice(rows[1:-1], max(0, min(MARKED_ROWS, len(rows)) - 2), replace=False))
    marked, smallest = problem.X[chosen].astype(np.float64), float(np.finfo(np.float32).tiny)
    errors = np.abs(marked - tf32(problem.X[chosen])) / np.maximum(np.abs(marked), smallest)
    y = np.zeros_like(problem.y)
    halves = (rng.integers(2**10, 2**11, y[chosen].shape) + 0.5) / 2**10  # 1 to 2, each between two numbers of 16 bits
    y[chosen] = rng.choice([-FAINT_Y, FAINT_Y], y[chosen].shape) * halves
    y[chosen[errors.max(axis=1).argmax()]] /= FAINT_Y
    order = None if problem.order is None else problem.order[:1]
    lr = len(rows) * y[0].size / 2
    rows_folder = folder / "rows"
    write_problem(Problem(problem.X, y, np.zeros_like(problem.w0), lr, 1, order, problem.storage), rows_folder)
    (rows_folder / "X.npy").unlink()
    (rows_folder / "X.npy").hardlink_to(folder / "X.npy")  # one copy in memory and on the disk
    marks = y[chosen].astype(np.float64)
    rounding = (len(chosen) + 8) * float(np.finfo(np.float32).eps) / 2 + 2 * coarse  # TF32 rounds both factors
    flushed = lr * len(chosen) * smallest  # numbers below the smallest normal one may become 0
    return RowsCheck(str(rows_folder), marked.T @ marks, rounding * (np.abs(marked).T @ np.abs(marks)) + flushed)
