"""Who may import whom, read from the source: arrows point one way, and frameworks stay where they belong."""

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from helpers import ROOT

import impls

HOUSES = ("impls", "benchmarks", "results")
FRAMEWORKS = {"torch", "jax", "jaxlib", "tensorflow", "cupy", "numba", "tinygrad", "triton", "dask", "distributed"}
FRAMEWORKS |= {"keras", "mlx", "optax"}
ALSO = {
    "triton": {"torch"},
    "jax": {"optax"},
    "keras": {"jax", "torch"},
    "dask": {"distributed", "threadpoolctl"},
    "numba": {"llvmlite"},
}  # what a framework's own users import beside it
LAZY = {
    "sklearn",
    "pandas",
    "matplotlib",
    "PIL",
    "scipy",
    "rich",
    "psutil",
    "threadpoolctl",
    "pynvml",
}  # what a run of the benchmarks does without
LOOPS = ROOT / "benchmarks" / "extra" / "loops"  # programs of their own, run in workers like files by path
IMPLEMENTATION_LINES = 30
WIDEST = 12  # Python files of a folder, without __init__.py
ORDER = {  # of each package's folders and files: each imports only what stands before it
    "benchmarks": (
        "typed_json",
        "machine",
        "worker",
        "problems",
        "reference",
        "timing",
        "distributed",
        "campaign",
        "bench_descent",
        "tutorial",
        "extra",
        "__main__",
    ),
    "results": ("output", "store", "stats", "page", "options", "commands", "upkeep", "__main__", "reference_pages"),
}


def files(house: str) -> list[Path]:
    return sorted(path for path in (ROOT / house).rglob("*.py") if "__pycache__" not in path.parts)


SOURCES = [*(path for house in HOUSES for path in files(house)), ROOT / "conftest.py"]
NAMES = impls.names()
IMPLEMENTATIONS = [path for path in files("impls") if path.stem in NAMES]
SHARED = [path for path in files("impls") if path.stem.startswith("_") and path.stem != "__init__"]
BENCHMARKS = [*(path for path in files("benchmarks") if LOOPS not in path.parents), ROOT / "conftest.py"]


def short(path: Path) -> str:
    return str(path.relative_to(ROOT))


def modules(node: ast.AST) -> Iterator[str]:
    """The modules that an import names: of `from a import b` both a and a.b, for b may be a module."""
    if isinstance(node, ast.Import):
        yield from (name.name for name in node.names)
    if isinstance(node, ast.ImportFrom):
        assert node.level == 0, "relative import"
        yield str(node.module)
        yield from (f"{node.module}.{name.name}" for name in node.names)
    called = node.func if isinstance(node, ast.Call) else None
    if isinstance(called, ast.Attribute | ast.Name) and isinstance(node, ast.Call):
        name = called.attr if isinstance(called, ast.Attribute) else called.id
        if name in ("import_module", "__import__") and node.args and isinstance(node.args[0], ast.Constant):
            yield str(node.args[0].value)


def imported(path: Path) -> set[str]:
    """All that a file imports, wherever in it."""
    return {name for node in ast.walk(ast.parse(path.read_text())) for name in modules(node)}


def at_once(path: Path) -> set[str]:
    """What is imported as soon as the file is: not inside functions, nor for type checkers only."""
    names: set[str] = set()
    nodes: list[ast.AST] = [*ast.parse(path.read_text()).body]
    while nodes:
        node = nodes.pop()
        typing = isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test)
        if not typing and not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            names |= set(modules(node))
            nodes += ast.iter_child_nodes(node)
    return names


def roots(names: set[str]) -> set[str]:
    return {name.partition(".")[0] for name in names}


def test_there_is_something_to_read() -> None:
    assert {short(path) for path in SOURCES} >= {
        "impls/interface.py",
        "benchmarks/worker/server.py",
        "results/store/runs.py",
        "conftest.py",
    }
    assert {path.stem for path in IMPLEMENTATIONS} >= {"numpy_manual", "torch_nn", "jax_scan"}
    assert {path.stem for path in SHARED} >= {"_torch", "_jax"}
    assert "torch" in roots(imported(ROOT / "impls" / "_torch.py"))
    assert "sklearn" in roots(imported(ROOT / "benchmarks" / "problems" / "tables.py"))
    assert "sklearn" not in roots(at_once(ROOT / "benchmarks" / "problems" / "tables.py"))
    assert "pandas" not in roots(
        at_once(ROOT / "benchmarks" / "problems" / "tables.py")
    )  # it is there for type checkers


@pytest.mark.parametrize("path", [*IMPLEMENTATIONS, *SHARED], ids=short)
def test_implementation_imports_its_framework_and_the_interface(path: Path) -> None:
    framework = path.stem.strip("_").partition("_")[0]
    ours = {name for name in imported(path) if name.startswith("impls")}
    families = {framework, *ALSO.get(framework, set())}
    own = {"impls.interface", *(f"impls._{family}" for family in families)}
    assert {
        name for name in ours if name != "impls" and not any(f"{name}.".startswith(f"{one}.") for one in own)
    } == set()
    others = roots(imported(path)) - {"impls", "numpy", *families}
    assert others <= set(sys.stdlib_module_names)


@pytest.mark.parametrize("path", files("impls"), ids=short)
def test_impls_never_imports_benchmarks_or_results(path: Path) -> None:
    assert roots(imported(path)).isdisjoint({"benchmarks", "results", "conftest", "tests"})


def test_impls_itself_imports_no_framework() -> None:
    for name in ("__init__", "interface", "traits"):
        assert roots(imported(ROOT / "impls" / f"{name}.py")) <= {*sys.stdlib_module_names, "numpy", "impls"}


@pytest.mark.parametrize("path", files("results"), ids=short)
def test_results_imports_neither_impls_nor_benchmarks_nor_a_framework(path: Path) -> None:
    assert roots(imported(path)).isdisjoint({"impls", "benchmarks", "conftest", "tests", *FRAMEWORKS})


@pytest.mark.parametrize("path", BENCHMARKS, ids=short)
def test_benchmarks_never_import_a_framework(path: Path) -> None:
    """Nor `results`, but for conftest.py, which seals what is saved and prints the answer, after the last case."""
    late = imported(path) - at_once(path) if path == ROOT / "conftest.py" else set()
    found = {name for name in imported(path) if name not in late or not f"{name}.".startswith("results.")}
    assert roots(found).isdisjoint({*FRAMEWORKS, "results", "tests"})


@pytest.mark.parametrize("path", BENCHMARKS, ids=short)
def test_benchmarks_name_no_implementation(path: Path) -> None:
    """They come through `impls.load` and know no more of one another than the interface says."""
    ours = {name for name in imported(path) if name.startswith("impls.")}
    public = {"impls.interface", "impls.nearest", "impls.load", "impls.names"}
    about_all = ("impls.interface.", "impls.traits")
    assert {name for name in ours if name not in public and not name.startswith(about_all)} == set()


def test_pytests_own_process_imports_what_it_needs_and_no_more() -> None:
    """From conftest.py and what pytest collects, along the imports that are made at once."""
    waiting = [ROOT / "conftest.py", *(ROOT / "benchmarks").glob("bench_*.py")]
    seen: dict[Path, set[str]] = {}
    while waiting:
        path = waiting.pop()
        seen[path] = at_once(path)
        for name in seen[path]:
            near = [ROOT / (name.replace(".", "/") + ".py"), ROOT / name.replace(".", "/") / "__init__.py"]
            waiting += [other for other in near if other.exists() and other not in seen]
    assert {short(path) for path in seen} >= {
        "benchmarks/reference/solution.py",
        "benchmarks/problems/tables.py",
        "impls/interface.py",
    }
    needless = {short(path): roots(names) & (FRAMEWORKS | LAZY) for path, names in seen.items()}
    assert {path: names for path, names in needless.items() if names} == {}


@pytest.mark.parametrize("path", IMPLEMENTATIONS, ids=short)
def test_implementation_is_short(path: Path) -> None:
    assert len(path.read_text().splitlines()) <= IMPLEMENTATION_LINES


@pytest.mark.parametrize("path", SOURCES, ids=short)
def test_file_says_what_it_is(path: Path) -> None:
    assert ast.get_docstring(ast.parse(path.read_text()))


@pytest.mark.parametrize("package", ORDER)
def test_folders_import_downwards(package: str) -> None:
    order = ORDER[package]
    own = [path for path in files(package) if LOOPS not in path.parents and path.parent != ROOT / package]
    own += [path for path in (ROOT / package).glob("*.py") if path.stem != "__init__"]
    assert {path.relative_to(ROOT / package).parts[0].removesuffix(".py") for path in own} == set(order)
    wrong = set()
    for path in own:
        place = order.index(path.relative_to(ROOT / package).parts[0].removesuffix(".py"))
        for name in imported(path):
            parts = name.split(".")
            if parts[0] == package and len(parts) > 1 and parts[1] in order and order.index(parts[1]) > place:
                wrong.add(f"{short(path)} -> {name}")
    assert wrong == set()


@pytest.mark.parametrize("package", ORDER)
def test_a_folder_is_not_too_wide(package: str) -> None:
    folders = {path.parent for path in files(package) if LOOPS not in path.parents}
    widths = {short(folder): len([*folder.glob("[!_]*.py")]) for folder in folders}
    assert {name: width for name, width in widths.items() if width > WIDEST} == {}
