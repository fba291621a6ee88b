"""Options of pytest-forked, pytest-cov and pytest-rerunfailures, for a test: `-p tests.support.other_options`."""

import pytest


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("others")
    group.addoption("--forked", action="store_true", dest="forked")
    group.addoption("--cov", action="append", nargs="?", const=True, default=[], dest="cov_source")
    group.addoption("--reruns", nargs="?", const=2, type=int, dest="reruns")
