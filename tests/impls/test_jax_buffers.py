"""jax_scan with command buffers on and off: the options are XLA's, and the iterates the reference's."""

from importlib import import_module
from types import ModuleType

import numpy as np
import pytest
from helpers import needs, random_problem

from benchmarks.reference.solution import truth
from impls.interface import Unsupported

pytestmark = needs("jax")


@pytest.fixture(params=["jax_scan_no_buffers", "jax_scan_all_buffers"])
def module(request: pytest.FixtureRequest) -> ModuleType:
    return import_module(f"benchmarks.extra.loops.{request.param}")


@pytest.mark.parametrize("batch", [None, 4])
def test_iterates_are_the_references(module: ModuleType, batch: int | None, monkeypatch: pytest.MonkeyPatch) -> None:
    """XLA reads its options on every device; that of the CPU has no command buffers."""
    from benchmarks.extra.loops import jax_scan_no_buffers
    from impls import _jax

    put = _jax.put
    monkeypatch.setattr(jax_scan_no_buffers, "put", lambda array, device: put(np.asarray(array), "cpu"))
    monkeypatch.setattr(
        jax_scan_no_buffers, "place", lambda problem, device: (put(problem.X, "cpu"), put(problem.y, "cpu"))
    )
    problem = random_problem(9, 3, None, batch)
    exact, run = truth(problem, [1, 12]), module.prepare(problem, "gpu")
    for t in exact.at:
        error, allowed = exact.distance(run(problem.w0, t), t, 0.0, problem.w0)
        assert error <= allowed, t


def test_on_the_cpu_they_are_unsupported(module: ModuleType) -> None:
    with pytest.raises(Unsupported, match="gpu only"):
        module.prepare(random_problem(9, 3, None, None), "cpu")


def test_an_option_that_xla_does_not_have_is_an_error() -> None:
    """So a release that renames one costs the row, and does not measure something else."""
    import jax

    with pytest.raises(jax.errors.JaxRuntimeError, match="No such compile option"):
        jax.jit(lambda x: x, compiler_options={"xla_gpu_enable_command_buffers": ""})(1.0)
