"""A plugin of pytest: no answer at the end of a run, which test_answer.py has, and no cpuid from another process."""

import pytest
from cpuinfo.cpuinfo import DataSource

DataSource.can_cpuid = False  # the rest of what it says comes from /proc/cpuinfo in a tenth of the time


def pytest_configure(config: pytest.Config) -> None:
    for plugin in config.pluginmanager.get_plugins():
        if hasattr(plugin, "write_answer"):
            plugin.write_answer = lambda reporter, config: None
