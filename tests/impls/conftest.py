"""Which shapes of problems an implementation is held to where each shape is a compilation of seconds."""

import pytest
from helpers import COMPILED

SHAPES = ((None, 4, "float64"), (2, 4, "float32"))  # with test_problems_of_the_catalogue: every pair of values


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Deselect the contract's other shapes for implementations that compile."""
    params = {item: item.callspec.params for item in items if hasattr(item, "callspec")}
    needless = [
        item
        for item, of in params.items()
        if "descent" in of and str(of.get("name")).startswith(COMPILED) and of["descent"] not in SHAPES
    ]
    if needless:
        config.hook.pytest_deselected(items=needless)
        items[:] = [item for item in items if item not in needless]
