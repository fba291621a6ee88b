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
SLOW = {"late_import", "numpy_pandas", "numpy_threads", "torch_vmap"}  # 0.1 to 1 ms a step: these make fewer of them
CASES = {("crops", "float64"), ("small@32", "float32")}


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Done]:
    """For each of them its run, from another folder than theirs: all in one, but those with fewer steps in another."""
    problems = ",".join(sorted({problem for problem, _ in CASES}))
    options = ["--problem", problems, "--dtype", "float32,float64", "-k", "(-crops-float64- or 32-float32-)"]
    runs = {}
    for steps, names in (("150", sorted({*NAMES} - SLOW)), ("50", sorted(SLOW))):
        paths = ",".join(str(HONEST / f"{name}.py") for name in names)
        run = bench(tmp_path_factory.mktemp("honest"), "--impl", paths, "--steps", steps, *options)
        runs |= dict.fromkeys(names, run)
    return runs


def test_there_are_ten() -> None:
    assert len(NAMES) >= 10


@pytest.mark.parametrize("name", NAMES)
def test_it_is_timed(name: str, done: dict[str, Done]) -> None:
    if name in NEEDS and importlib.util.find_spec(NEEDS[name]) is None:
        pytest.skip(f"{NEEDS[name]} is not installed")
    run = done[name]
    assert run.reasons(name) == {}
    assert run.timed(name) == CASES, run.out
    reasons = [row["reason"] for row in run.rows if row["impl"] == name and not row["valid"]]
    if name == "numba_parallel":  # beside other tests its threads wait for each other, for longer than they compute
        reasons = [reason for reason in reasons if "this machine is too busy to tell" not in reason]
    assert reasons == []


def test_a_framework_that_is_imported_late_is_named(done: dict[str, Done]) -> None:
    rows = [row for row in done["late_import"].rows if row["impl"] == "late_import"]
    assert importlib.util.find_spec("jax") is None or {row["framework"] for row in rows} == {"jax"}


def test_a_module_beside_an_implementation_is_not_imported_here(done: dict[str, Done], tmp_path: Path) -> None:
    assert done["numpy_several_files"].timed("numpy_several_files")
    (tmp_path / "beside.py").write_text("import sys\nassert 'pytest' not in sys.modules\nfrom descent import prepare\n")
    (tmp_path / "descent.py").write_text((HONEST / "numpy_in_place.py").read_text())
    alone = bench(tmp_path, "--impl", str(tmp_path / "beside.py"))
    assert (alone.code, alone.reasons("beside")) == (0, {}), alone.out
