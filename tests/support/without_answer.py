"""A plugin of pytest: no answer at the end of a run, which takes longer than a case. test_answer.py has the answers."""

import pytest


def pytest_configure(config: pytest.Config) -> None:
    for plugin in config.pluginmanager.get_plugins():
        if hasattr(plugin, "write_answer"):
            plugin.write_answer = lambda reporter, config: None
