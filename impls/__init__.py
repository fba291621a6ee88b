"""The implementations to compare: one file each, `<framework>_<way>.py`. The names are found by listing this folder.

Importing this package imports no framework. `load` imports only the requested one.
"""

import difflib
import importlib
import importlib.metadata
import importlib.util
import os
import sys
from pathlib import Path

from impls.interface import Prepare, Unsupported

ENTRY_POINTS = "descentbench.impls"
HERE = Path(__file__).parent
NO_IMPLEMENTATIONS = ("interface", "traits")
EXTRAS = {"cupy": "cuda", "distributed": "dask", "sklearn": "data", "triton": "cuda"} | {
    name: name for name in ("dask", "keras", "mlx", "numba", "optax", "tensorflow", "tinygrad")
}  # by package: the extra of this project that installs it

INSTALL = "DESCENTBENCH_INSTALL"  # variable of a worker: how to add a {package} to its environment, if not pytest's
PACKAGES = {"cupy": "cupy-cuda12x", "sklearn": "scikit-learn", "tensorflow": "tensorflow-cpu"}  # names that differ


class LoadError(ValueError):
    """There is no such implementation, or it has no `prepare`. The message is one line."""


def names() -> list[str]:
    """Return the names that `load` knows: the files of this folder, then the entry points of other packages."""
    own = sorted(path.stem for path in HERE.glob("[a-z]*.py") if path.stem not in NO_IMPLEMENTATIONS)
    return own + sorted(set(_plugins()) - set(own))


def load(name_or_path: str) -> Prepare:
    """Import one implementation, by name or by the path of its file, and return its `prepare`.

    A file may import modules beside it: its folder is the last one that is searched, so an installed package goes
    before a module of the same name. A file of a git revision, `NAME@COMMIT.py`, imports the `impls._<framework>` of
    that revision, if the folder `impls` is beside its own. All use the present `impls.interface`.
    Raises `Unsupported` when a package that it imports is not installed, `LoadError` when there is no such
    implementation or it has no `prepare`, and whatever the module raises.
    """
    path = Path(name_or_path)
    try:
        if path.suffix == ".py":
            prepare = getattr(_from_path(path), "prepare", None)
        elif (HERE / f"{name_or_path}.py").exists() and name_or_path in names():
            _import_framework(name_or_path, HERE)
            prepare = getattr(importlib.import_module(f"impls.{name_or_path}"), "prepare", None)
        elif name_or_path in _plugins():
            prepare = getattr(_plugins()[name_or_path].load(), "prepare", None)
        else:
            raise LoadError(f"no implementation {name_or_path!r}{nearest(name_or_path, names())}")
    except ModuleNotFoundError as error:
        raise Unsupported(f"{error.name} is not installed{_advice(error.name or '')}") from error
    if not callable(prepare):
        raise LoadError(f"{path.name} has no function prepare(problem, device)")
    return prepare


def file(name_or_path: str) -> Path:
    """Return the file that `load` imports. For a module without a file, return its package's file, or its name."""
    if name_or_path.endswith(".py"):
        return Path(name_or_path)
    if (HERE / f"{name_or_path}.py").exists():
        return HERE / f"{name_or_path}.py"
    point = _plugins().get(name_or_path)
    module = point.module if point else name_or_path
    packages = [module, *(module.rsplit(".", depth)[0] for depth in range(1, module.count(".") + 1))]
    files = [getattr(sys.modules.get(package), "__file__", None) for package in packages]
    return Path(next(filter(None, files), module))


def nearest(word: str, known: list[str]) -> str:
    """Return the end of an error about an unknown word: known words that begin with it or are similar, then all."""
    begin = [one for one in known if word and one.startswith(word)][:3]
    close = " or ".join(map(repr, begin or difflib.get_close_matches(word, known, n=1)))
    return (f"; did you mean {close}?" if close else "") + f" (known: {', '.join(known)})"


def _from_path(path: Path) -> object:
    if not path.is_file():
        raise LoadError(f"no file {str(path)!r}")
    folder = str(path.resolve().parent)
    if folder not in sys.path:
        sys.path.append(folder)
    past = path.parent.parent / "impls"
    if "@" in path.stem and past.is_dir():
        __path__.insert(0, str(past))
    if str(path.parent) in __path__:
        _import_framework(path.stem, path.parent)
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None and spec.loader is not None, path
    module = importlib.util.module_from_spec(spec)
    sys.modules.setdefault(path.stem, module)
    spec.loader.exec_module(module)
    return module


def _import_framework(name: str, folder: Path) -> None:
    """Import `impls._<framework>` before an implementation: it has settings that precede the framework."""
    framework = f"_{name.partition('_')[0]}"
    if (folder / f"{framework}.py").exists():
        importlib.import_module(f"impls.{framework}")


def _advice(module: str) -> str:
    """Return how to install a package of this project, as the end of a reason; "" for any other."""
    name = module.partition(".")[0]
    extra, install = EXTRAS.get(name), os.environ.get(INSTALL, "")
    if install:
        known = extra or name in ("jax", "torch")
        return f"; {install.replace('{package}', PACKAGES.get(name, name))}" if known else ""
    return f"; pip install -e '.[{extra}]'" if extra else ""


def _plugins() -> dict[str, importlib.metadata.EntryPoint]:
    return {point.name: point for point in importlib.metadata.entry_points(group=ENTRY_POINTS)}
