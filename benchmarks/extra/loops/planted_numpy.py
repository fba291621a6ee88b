"""The loop of the package `planted`, in the version of the environment: see `benchmarks/extra/planted_versions.py`."""

from importlib import import_module

from impls.interface import Device, Problem, Run

planted = import_module("planted")


def prepare(problem: Problem, device: Device) -> Run:
    run: Run = planted.prepare(problem, device)
    return run
