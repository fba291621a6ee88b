"""A plugin of pytest for quicker runs.

No answer at the end of a run, which test_answer.py has; shorter rounds; no cpuid from another process.
"""

from dataclasses import replace

import pytest
from cpuinfo.cpuinfo import DataSource

from benchmarks.campaign import plan

plan.PRESETS |= {name: replace(preset, seconds=preset.seconds / 10) for name, preset in plan.PRESETS.items()}
DataSource.can_cpuid = False  # the rest of what it says comes from /proc/cpuinfo in a tenth of the time


def pytest_configure(config: pytest.Config) -> None:
    for plugin in config.pluginmanager.get_plugins():
        if hasattr(plugin, "write_answer"):
            plugin.write_answer = lambda reporter, config: None
