"""X in 16 bits: it is rounded once, the reference is that of the rounded X, and the tolerance that of float32."""

from pathlib import Path

import numpy as np
import pytest
from helpers import HONEST, bench, write

from benchmarks.machine.roofline import least
from benchmarks.problems import catalogue
from benchmarks.reference.solution import truth

ROUNDS_W = HONEST.replace("X_t @ w - y_t", "X_t @ (w.view(np.uint32) & 0xFFFF0000).view(np.float32) - y_t")


def test_rounding_is_to_the_nearest_and_ties_to_even() -> None:
    X = np.array([1.00390625, 1.01171875, -1.005, 0.1, 3e38, 0.0, -0.0], np.float32)  # the first two are ties
    bits = X.view(np.uint32).astype(np.uint64)
    rounded = catalogue._rounded(X, "bfloat16")
    assert (rounded.view(np.uint32) & 0xFFFF == 0).all()
    assert rounded[:3].tolist() == [1.0, 1.015625, -1.0078125] and np.signbit(rounded[-1])
    assert (np.abs(rounded.view(np.uint32).astype(np.int64) - bits.astype(np.int64)) <= 0x8000).all()
    assert (catalogue._rounded(X[:4], "float16") == X[:4].astype(np.float16)).all()


@pytest.mark.parametrize("dtype", catalogue.HALF_DTYPES)
def test_only_x_is_rounded_and_jax_agrees_with_the_reference(dtype: str) -> None:
    pytest.importorskip("jax")
    from impls import jax_jit, jax_scan

    for name in ("small", "small@4", "crops"):
        double, _ = catalogue.build(name, steps=5)
        problem, single = catalogue.cast(double, dtype), catalogue.cast(double, "float32")
        assert problem.storage == dtype and problem.X.dtype == np.float32 and (problem.y == single.y).all()
        assert (problem.X != single.X).any() or name == "crops"  # whole numbers below 256
        exact = truth(problem, [1, 5])
        for module in (jax_jit, jax_scan):
            run = module.prepare(problem, "cpu")
            for t in exact.at:
                error, allowed = exact.distance(run(problem.w0, t), t, 0.0, problem.w0)
                assert error <= allowed, (name, module.__name__, t)


def test_a_row_says_its_dtype_and_what_rounds_w_is_refused(tmp_path: Path) -> None:
    honest = write(tmp_path, "honest", f"HALF = True\n{HONEST}")
    rounds = write(tmp_path, "rounds", f"import numpy as np\nHALF = True\n{ROUNDS_W}")
    options = ["--dtype", "float32,float16,bfloat16", "--problem", "small"]
    done = bench(tmp_path, "--impl", f"{honest},{rounds},numpy_manual", "--aa", "none", *options)
    rows = {(row["impl"], row["dtype"]): row for row in done.rows}
    assert {key for key, row in rows.items() if row["valid"]} == {
        *(("honest", dtype) for dtype in ("float32", "float16", "bfloat16")), ("numpy_manual", "float32"),
    }, done.out  # fmt: skip
    assert {key[1] for key in done.reasons("rounds")} == {"float32", "float16", "bfloat16"}
    skipped = {(one["impl"], one["reason"]) for one in done.json["campaign"]["skipped"]}
    assert skipped == {("numpy_manual", "keeps X in its own dtype only, not in 16 bits")}
    allowed = [rows["honest", dtype]["tolerance"] for dtype in ("float32", "float16", "bfloat16")]
    assert max(allowed) < 2 * min(allowed)
    assert len({rows["honest", dtype]["problem_hash"] for dtype in ("float32", "float16", "bfloat16")}) == 3


def test_numbers_that_do_not_fit_are_refused() -> None:
    double, _ = catalogue.build("line", steps=5)
    double.X[0, 0] = 1e5
    with pytest.raises(ValueError, match="X has values that are not finite"):
        catalogue.cast(double, "float16")
    assert catalogue.cast(double, "bfloat16").X[0, 0] == pytest.approx(1e5, rel=2**-8)


def test_ranks_keep_x_in_its_own_dtype(tmp_path: Path) -> None:
    done = bench(tmp_path, "--impl", "torch_ddp", "--ranks", "1", "--dtype", "float16")
    assert done.code != 0 and "X in 16 bits is for single processes" in done.err + done.out


def test_a_step_reads_half_the_bytes_of_x() -> None:
    row = {"n": 1000, "d": 100, "k": 1, "steps": 1, "batch": 1000, "step_reads": "X"}
    assert least(row | {"dtype": "float32"}).bytes == 1000 * 101 * 4
    assert least(row | {"dtype": "bfloat16"}).bytes == least(row | {"dtype": "float16"}).bytes == 1000 * (200 + 4)
