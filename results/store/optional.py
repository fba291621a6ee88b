"""Import optional packages only when a command needs them."""

import importlib
from types import ModuleType

from results.store.reading import RunError


def package(name: str) -> ModuleType:
    """Return a package of the extra `report`. Raises RunError with the install command if it is missing."""
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        raise RunError(f"{error.name} is not installed; pip install -e '.[report]'") from error
