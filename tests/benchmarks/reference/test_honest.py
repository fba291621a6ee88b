"""Honest implementations in unusual ways: the real command times each, and refuses none."""

import importlib.util
from pathlib import Path

import pytest
from helpers import ROOT, Done, bench

HONEST = ROOT / "tests" / "support" / "honest"
BESIDE = {"descent_steps"}  # modules that an implementation imports
NEEDS = {
    "late_import": "jax",
    "numpy_pandas": "pandas",
    "numpy_blas": "scipy",
    "torch_vmap": "torch",
    "jax_vmap": "jax",
    "numba_parallel": "numba",
}
NAMES = sorted({path.stem for path in HONEST.glob("*.py")} - BESIDE)
CASES = {("crops", "float64"), ("small@32", "float32")}


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> Done:
    """All of them in one run, from another folder than theirs."""
    paths = ",".join(str(HONEST / f"{name}.py") for name in NAMES)
    problems = ",".join(sorted({problem for problem, _ in CASES}))
    options = ["--problem", problems, "--dtype", "float32,float64", "-k", "(-crops-float64- or 32-float32-)"]
    return bench(tmp_path_factory.mktemp("honest"), "--impl", paths, "--steps", "150", *options)


def test_there_are_ten() -> None:
    assert len(NAMES) >= 10


@pytest.mark.parametrize("name", NAMES)
def test_it_is_timed(name: str, done: Done) -> None:
    if name in NEEDS and importlib.util.find_spec(NEEDS[name]) is None:
        pytest.skip(f"{NEEDS[name]} is not installed")
    assert done.reasons(name) == {}
    assert done.timed(name) == CASES, done.out
    assert [row["reason"] for row in done.rows if row["impl"] == name and not row["valid"]] == []


def test_a_framework_that_is_imported_late_is_named(done: Done) -> None:
    rows = [row for row in done.rows if row["impl"] == "late_import"]
    assert importlib.util.find_spec("jax") is None or {row["framework"] for row in rows} == {"jax"}


def test_a_module_beside_an_implementation_is_not_imported_here(done: Done, tmp_path: Path) -> None:
    assert done.timed("numpy_several_files")
    (tmp_path / "beside.py").write_text("import sys\nassert 'pytest' not in sys.modules\nfrom descent import prepare\n")
    (tmp_path / "descent.py").write_text((HONEST / "numpy_in_place.py").read_text())
    alone = bench(tmp_path, "--impl", str(tmp_path / "beside.py"))
    assert (alone.code, alone.reasons("beside")) == (0, {}), alone.out
