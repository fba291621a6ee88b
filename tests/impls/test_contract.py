"""The five sentences of `impls/interface.py`, each over every implementation that `impls.names()` finds."""

import ast
import json
import re
import sys
import tomllib
from collections.abc import Callable, Iterator
from functools import cache
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
import test_iterates
from helpers import COMPILED, DEVICE, HONEST, IMPLS, ROOT, environment, python, random_problem, write

import impls
from benchmarks.distributed.hosts import environment as rank_environment
from benchmarks.distributed.ranks import free_port
from benchmarks.reference.solution import ReferenceSolution, truth
from impls.interface import Array, Problem, Run, Unsupported

# torch.compile imports a part of torch that warns of another; the worker, which is no pytest, does not mind either
pytestmark = pytest.mark.filterwarnings("ignore:.*torch.jit.script_method:DeprecationWarning")

STEPS = 5  # of the problems: few, as each number of steps is a compilation for some
FRAMEWORKS = ("torch", "jax", "tensorflow", "tinygrad", "cupy", "numba", "triton", "dask", "sklearn", "pandas", "mlx")
PROBLEMS = [  # targets, rows of a mini-batch, dtype: every pair of values, and one row; compilers: conftest.py
    (None, 4, "float64"),
    (None, 1, "float32"),
    (None, None, "float32"),
    (1, None, "float64"),
    (1, 4, "float32"),
    (2, None, "float64"),
    (2, 4, "float32"),
]


@pytest.fixture(scope="module", autouse=True)
def only_rank() -> Iterator[None]:
    """Implementations that run as ranks are here a rank that is alone."""
    with pytest.MonkeyPatch.context() as patch:
        for variable, value in rank_environment(0, 1, 0, 1, "127.0.0.1", free_port()).items():
            patch.setenv(variable, value)
        yield


@pytest.fixture(scope="module", params=IMPLS)
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module", params=PROBLEMS, ids=lambda p: f"k={p[0]} batch={p[1]} {p[2]}")
def descent(name: str, request: pytest.FixtureRequest) -> tuple[Problem, Run]:
    """A problem and the run that the implementation has prepared for it."""
    k, batch, dtype = request.param
    problem = random_problem(9, 3, k, batch, dtype, steps=STEPS)
    try:
        return problem, impls.load(name)(problem, DEVICE)
    except Unsupported as reason:
        pytest.skip(str(reason))


def other_start(problem: Problem) -> Array:
    return np.asarray(0.5 - 2 * problem.w0, problem.w0.dtype)


def bits(array: Array) -> bytes:
    return np.ascontiguousarray(array).tobytes()


def test_run_of_0_steps_is_start_bit_for_bit(descent: tuple[Problem, Run]) -> None:
    problem, run = descent
    odd = [-0.0, np.finfo(problem.w0.dtype).tiny, -np.finfo(problem.w0.dtype).max, 1e-30, 1 / 3]
    for start in (problem.w0, np.resize(np.array(odd, problem.w0.dtype), problem.w0.shape)):
        assert bits(run(start.copy(), 0)) == bits(start)


def test_result_is_a_host_array_of_the_callers_own(descent: tuple[Problem, Run]) -> None:
    problem, run = descent
    for steps in (0, 1, STEPS):
        start = problem.w0.copy()
        result = run(start, steps)
        assert type(result) is np.ndarray, steps
        assert result.dtype == problem.w0.dtype, steps
        assert result.shape == problem.w0.shape, steps
        assert result.flags.writeable, steps
        for mine in (start, problem.w0, problem.X, problem.y):
            assert not np.shares_memory(result, mine), steps


def test_result_is_left_alone_and_writing_to_it_changes_nothing(descent: tuple[Problem, Run]) -> None:
    problem, run = descent
    for steps in (0, STEPS):
        first = run(problem.w0.copy(), steps)
        kept = first.copy()
        runs = [run(other_start(problem), steps) for _ in range(2)]
        assert bits(first) == bits(kept), steps
        for result in (first, *runs):
            result.fill(np.nan)
        assert bits(run(problem.w0.copy(), steps)) == bits(kept), steps


def test_start_and_problem_are_left_alone(descent: tuple[Problem, Run], request: pytest.FixtureRequest) -> None:
    problem, run = descent
    k, batch, dtype = request.node.callspec.params["descent"]
    untouched = random_problem(9, 3, k, batch, dtype, steps=STEPS)
    for steps in (0, 1, STEPS):
        start = other_start(problem)
        run(start, steps)
        assert bits(start) == bits(other_start(problem))
    for field in ("X", "y", "w0", *(["order"] if batch else [])):
        assert bits(getattr(problem, field)) == bits(getattr(untouched, field)), field


def prepared(name: str, problem: Problem) -> Run:
    try:
        return impls.load(name)(problem, DEVICE)
    except Unsupported as reason:
        pytest.skip(str(reason))


def test_runs_do_not_remember(descent: tuple[Problem, Run]) -> None:
    problem, run = descent
    plans = [(problem.w0, STEPS), (other_start(problem), STEPS), (problem.w0, 0), (other_start(problem), 2)]
    fresh = [bits(run(start.copy(), steps)) for start, steps in plans]
    again = [bits(run(start.copy(), steps)) for start, steps in reversed(plans)]
    assert again == fresh[::-1]
    assert len(set(fresh)) == len(plans)


def test_runs_of_two_problems_do_not_mix(name: str) -> None:
    """Of one feature and one target in two dimensions."""
    one, two = (random_problem(9, 1, 1, 4, "float32", steps=STEPS, seed=seed) for seed in (1, 2))
    first = prepared(name, one)
    alone = first(one.w0.copy(), STEPS)
    second = prepared(name, two)(two.w0.copy(), STEPS)
    assert bits(first(one.w0.copy(), STEPS)) == bits(alone)
    for problem, result in ((one, alone), (two, second)):
        error, allowed = truth(problem, [STEPS]).distance(result, STEPS, 0.0, problem.w0)
        assert error <= allowed


def test_iterates_are_the_references_and_batches_are_counted_from_row_0_in_every_call(
    descent: tuple[Problem, Run],
) -> None:
    problem, run = descent
    exact = truth(problem, [1, 2, STEPS])
    for t, c in ((STEPS, 0.0), (1, 0.0), (2, 1.0), (1, 1.0), (STEPS, 1.0), (2, 0.0)):
        start = exact.start(c)
        error, allowed = exact.distance(run(start, t), t, c, start)
        assert error <= allowed, (t, c)


@pytest.mark.parametrize(("plan", "dtype"), test_iterates.PLANS.items())
def test_problems_of_the_catalogue(name: str, plan: str, dtype: str) -> None:
    """For implementations that compile, which test_iterates.py leaves out, in the process that has loaded compilers."""
    if not name.startswith(COMPILED):
        pytest.skip("test_iterates.py has it on all problems")
    test_iterates.agrees(name, plan, dtype)


@cache
def many_rows(values: str) -> tuple[Problem, ReferenceSolution]:
    """A problem of many rows with few values, and its truth."""
    rng = np.random.default_rng(0)
    n = 300_000
    x, y = (
        (rng.integers(0, 2, n), rng.integers(0, 2, n)) if values == "binary" else (rng.random(n), 300 + rng.random(n))
    )
    X = np.column_stack([(x - x.mean()) / x.std(), np.ones(n)])
    problem = Problem(*(array.astype("float32") for array in (X, y, rng.random(2))), 0.25, 3, None)
    return problem, truth(problem, [1, 2, 3])


@pytest.mark.parametrize("values", ["binary", "offset"])
@pytest.mark.parametrize("framework", ["numpy_manual", "torch_autograd", "jax_scan"])
def test_honest_descents_are_allowed_on_many_rows_of_few_values(framework: str, values: str) -> None:
    """Real tables have yes-or-no columns and targets far from 0: rounding errors then point the same way."""
    problem, known = many_rows(values)
    run = prepared(framework, problem)
    shares = {}
    for t in known.at:
        error, allowed = known.distance(run(problem.w0, t), t, 0.0, problem.w0)
        shares[t] = error / allowed
    assert max(shares.values()) <= 1, shares


@pytest.mark.parametrize(("k", "batch"), [(None, 4), (3, None)])
def test_compiled_graphs_descend(monkeypatch: pytest.MonkeyPatch, k: int | None, batch: int | None) -> None:
    """On the CPU torch compiles the same step and makes no graph of it."""
    torch = pytest.importorskip("torch")
    from impls import torch_compile_graphs

    for name in ("place", "place_fixed"):
        monkeypatch.setattr(torch_compile_graphs, name, lambda array, device: torch.from_numpy(np.array(array)))
    monkeypatch.setattr(torch_compile_graphs, "fetch", lambda w: w.numpy().copy())
    problem = random_problem(9, 3, k, batch)
    exact, run = truth(problem, [1, 2, 5, 12]), torch_compile_graphs.prepare(problem, "gpu")
    for t in (12, *exact.at):
        error, allowed = exact.distance(run(problem.w0, t), t, 0.0, problem.w0)
        assert error <= allowed, t
    assert run(problem.w0, 0).tobytes() == problem.w0.tobytes()


IMPORTS = """
import json, sys
import numpy as np
import impls
from impls.interface import Problem, Unsupported
frameworks = set(sys.argv[1].split(","))
assert not frameworks & set(sys.modules), "import impls imports a framework"
X = np.ones((2, 1))
loaded = {}
for name in sys.argv[2:]:
    try:
        loaded[name] = impls.load(name), sorted(frameworks & set(sys.modules))
    except Unsupported as reason:
        print(json.dumps([name, None, str(reason)]))
for name, (prepare, imported) in loaded.items():
    why = "prepare(problem, 'gpu') has not raised Unsupported"
    try:
        prepare(Problem(X, X[:, 0].copy(), X[0].copy(), 0.1, 1, None), "gpu")
    except Unsupported as reason:
        why = str(reason)
    print(json.dumps([name, imported, why]))
"""


@cache
def fresh_imports(*names: str) -> dict[str, tuple[list[str] | None, str]]:
    """Return by implementation the frameworks that a fresh process without a GPU has imported, and why it has no gpu.

    None: they are not installed.
    """
    no_gpu = {"CUDA_VISIBLE_DEVICES": "", "JAX_PLATFORMS": "cpu", "KERAS_BACKEND": max(map(backend, names))}
    done = python(IMPORTS, ",".join(FRAMEWORKS), *names, env=no_gpu)
    assert done.code == 0, done.err
    lines = [line for line in done.out.splitlines() if line.startswith("[")]
    return {name: (imported, why) for name, imported, why in map(json.loads, lines)}


def of_process(name: str) -> list[str]:
    """The implementations that share its process: those of the framework that it computes with, then those on top.

    Nothing else may be imported there. Keras, with one backend, and Triton come after the torch or JAX that they load.
    """
    on_top = ("keras", "triton")

    def base(impl: str) -> str:
        return backend(impl) or {"triton": "torch"}.get(of(impl), of(impl))

    return sorted((other for other in IMPLS if base(other) == base(name)), key=lambda other: of(other) in on_top)


def backend(name: str) -> str:
    """The backend of an implementation in Keras; "" for others."""
    return name.partition("_")[2] if of(name) == "keras" else ""


def of(name: str) -> str:
    """The framework of an implementation."""
    return name.partition("_")[0]


def test_importing_a_module_imports_its_own_framework_and_no_other(name: str) -> None:
    imported, why = fresh_imports(*of_process(name))[name]
    if imported is None:
        pytest.skip(why)
    beside = {"numpy": [], "triton": ["torch", "triton"]}  # Triton's tensors are torch's
    compiler = ["triton"] if backend(name) == "torch" and find_spec("triton") else []  # Keras loads torch's
    beside["keras"] = sorted({backend(name), *compiler})
    assert imported == beside.get(of(name), [of(name)])


def test_gpu_without_gpu_is_unsupported_with_the_reason(name: str) -> None:
    imported, why = fresh_imports(*of_process(name))[name]
    if imported is None:
        pytest.skip(why)
    assert "has not raised" not in why and "\n" not in why
    assert re.search(r"gpu|cpu only", why)


WITHOUT = """
import json, sys
class Missing:
    package = ""
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] == self.package:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
missing = Missing()
sys.meta_path.insert(0, missing)
import impls
from impls.interface import Unsupported
for missing.package, names in json.loads(sys.argv[1]).items():
    for name in names:
        try:
            impls.load(name)
        except Unsupported as reason:
            print(name, reason)
"""


def without(names: dict[str, list[str]]) -> list[str]:
    """Why implementations cannot be loaded where a package is not found, a line each, package by package.

    All in one process: a package that an earlier one has really imported, as Triton does torch, must come before it.
    """
    done = python(WITHOUT, json.dumps(names))
    assert done.code == 0, done.err
    return done.out.splitlines()


@pytest.fixture(scope="module")
def not_installed() -> list[str]:
    """The lines of every implementation but NumPy's, each without its framework."""
    frameworks = sorted({of(name) for name in impls.names()} - {"numpy"})  # "torch" < "triton"
    return without({one: [name for name in impls.names() if of(name) == one] for one in frameworks})


@pytest.mark.parametrize("name", [name for name in impls.names() if not name.startswith("numpy_")])
def test_framework_that_is_not_installed_is_unsupported(name: str, not_installed: list[str]) -> None:
    framework = of(name)
    extra = impls.EXTRAS.get(framework)
    how = f"; pip install -e '.[{extra}]'" if extra else ""
    assert f"{name} {framework} is not installed{how}" in not_installed


def test_missing_package_names_the_extra_that_installs_it_and_the_project_has_that_extra() -> None:
    assert without({"optax": ["jax_optax"]}) == ["jax_optax optax is not installed; pip install -e '.[optax]'"]
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    assert set(impls.EXTRAS.values()) <= set(extras)


def test_names_are_the_files_of_the_folder() -> None:
    files = {path.stem for path in (ROOT / "impls").glob("*.py") if not path.stem.startswith("_")} - {
        "interface",
        "traits",
    }
    assert files <= set(impls.names())
    assert not {"interface", "traits"} & set(impls.names())
    assert [name for name in impls.names() if name in files] == sorted(files)


@pytest.mark.parametrize("word", ["numpy_manul", "jax_scn", "interface", "_torch", "_jax", "", "../impls/numpy_manual"])
def test_unknown_name_is_an_error_that_lists_the_known(word: str) -> None:
    with pytest.raises(ValueError, match="no implementation") as error:
        impls.load(word)
    assert all(name in str(error.value) for name in impls.names())
    assert "\n" not in str(error.value)


def test_unknown_name_is_told_the_nearest() -> None:
    with pytest.raises(ValueError, match=r"no implementation 'numpy_manul'; did you mean 'numpy_manual'\?"):
        impls.load("numpy_manul")


def test_load_by_path(tmp_path: Path) -> None:
    problem = random_problem(9, 3, None, None)
    run = impls.load(write(tmp_path, "mine", HONEST))(problem, "cpu")
    assert bits(run(problem.w0, 5)) == bits(impls.load("numpy_manual")(problem, "cpu")(problem.w0, 5))
    sys.modules.pop("mine", None)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", r"no function prepare\(problem, device\)"),
        ("prepare = 3\n", r"no function prepare\(problem, device\)"),
    ],
)
def test_module_without_prepare_is_an_error(tmp_path: Path, text: str, says: str) -> None:
    path = write(tmp_path, "without", text)
    with pytest.raises(ValueError, match=rf"^without.py has {says}"):
        impls.load(path)
    sys.modules.pop("without", None)


def test_missing_file_is_an_error_that_names_it(tmp_path: Path) -> None:
    path = str(tmp_path / "nowhere.py")
    with pytest.raises(ValueError, match=rf"no file {re.escape(repr(path))}"):
        impls.load(path)


def test_package_that_a_file_imports_and_that_is_missing_is_unsupported(tmp_path: Path) -> None:
    path = write(tmp_path, "needs", "import a_framework_that_nobody_has\n")
    with pytest.raises(Unsupported, match=r"^a_framework_that_nobody_has is not installed$"):
        impls.load(path)
    sys.modules.pop("needs", None)


def test_modules_beside_a_file_are_imported_after_installed_ones(tmp_path: Path) -> None:
    """Its folder is searched last: `json` is Python's, `steps` is the one beside it."""
    write(tmp_path, "json", "raise RuntimeError('shadows the standard library')\n")
    write(tmp_path, "steps", HONEST)
    path = write(tmp_path, "mine", "import json\nfrom steps import prepare\n")
    code = "import sys, impls; impls.load(sys.argv[1]); print(sys.path[-1] in sys.path[:-1], sys.path[-1])"
    done = python(code, path)
    assert done.out.split() == ["False", str(tmp_path)], done.err


def test_entry_points_bring_implementations(tmp_path: Path) -> None:
    write(tmp_path, "their_descent", HONEST)
    info = tmp_path / "theirs-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: theirs\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[descentbench.impls]\ntheir_way = their_descent\n")
    code = "import impls; print('their_way' in impls.names(), impls.load('their_way').__module__)"
    done = python(code, env=environment(PYTHONPATH=str(tmp_path)))
    assert done.out.split() == ["True", "their_descent"], done.err


def test_every_framework_has_a_shared_module(name: str) -> None:
    assert of(name) == "numpy" or (ROOT / "impls" / f"_{of(name)}.py").exists(), "see the test of what it offers"


def test_prepare_and_run_have_the_interfaces_signature(name: str) -> None:
    import inspect

    try:
        prepare: Callable[..., Run] = impls.load(name)
    except Unsupported as reason:
        pytest.skip(str(reason))
    assert list(inspect.signature(prepare).parameters) == ["problem", "device"]


@pytest.mark.parametrize("path", sorted((ROOT / "impls").glob("_[a-z]*.py")), ids=lambda path: path.stem)
def test_a_frameworks_shared_module_offers_what_the_worker_asks_of_it(path: Path) -> None:
    """The functions of `interface.Framework`; of `interface.Kernels` all or not `total`."""
    functions = {node.name for node in ast.parse(path.read_text()).body if isinstance(node, ast.FunctionDef)}
    names = functions | set(re.findall(r"^(\w+) = ", path.read_text(), re.MULTILINE))
    assert {"threads", "compilations"} <= functions
    assert "product" in names, "without its precision no row is comparable with another framework's"
    assert "total" not in names or {"resident", "fetch"} <= names
