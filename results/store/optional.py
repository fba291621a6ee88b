"""Packages that only some commands need: imported when one of them is used."""

import importlib
from types import ModuleType

from results.store.reading import RunError


def package(name: str) -> ModuleType:
    """A package of the extra `report`. Raises RunError where it is not installed: one line, what to do."""
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        raise RunError(f"{error.name} is not installed; pip install 'descentbench[report]'") from error
