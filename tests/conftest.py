"""Shared by all tests: the modules of `support/`, and a temporary folder with the lock for measurements."""

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent / "support"))
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)  # else each of a thousand processes compiles what it imports
sys.dont_write_bytecode = False
os.environ.setdefault("TORCHINDUCTOR_VEC_ISA_OK", "1")  # else it compiles programs to try the vector instructions
os.environ["TORCHINDUCTOR_COMPILE_THREADS"] = "1"  # as in a worker; else it starts processes that import torch
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # side by side, idle threads spin for cores; workers have their own
os.environ.pop("COLUMNS", None)  # pytest-xdist sets it; without it, what is no terminal is as wide as it needs


@pytest.fixture(autouse=True, scope="session")
def own_temporary_folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Commands that tests start may measure beside those of another process of tests."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TMPDIR", str(tmp_path_factory.mktemp("tmp")))
        yield


LONGEST = ("contract", "page", "browser", "endurance", "session", "ranks", "hosts", "fit", "faults", "offline")
LONGEST += ("options", "parity", "keras", "journal", "triton_descent", "frameworks", "mutants", "honest", "triton")
LONGEST += ("ci", "environments", "results_cli", "gpu_make", "limits", "gallery", "dask", "readme", "iterates")
LONGEST += ("scaling", "tables", "less_work", "answer", "cupy", "revisions", "reference", "changes", "gpu_profile")
LONGEST += ("isolation", "numba", "forged", "facts", "ask", "committed", "until_decided", "history")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put the files that take longest first, so that two processes end together."""
    order = {f"test_{name}": number for number, name in enumerate(LONGEST)}
    items.sort(key=lambda item: order.get(item.path.stem, len(order)))
