"""The options that `pytest benchmarks` has beside pytest's and pytest-benchmark's own."""

from typing import Any

import pytest

from benchmarks.plan import PRESETS

OWN: dict[str, str] = {}  # attribute of `config.option` to option


def declare(group: pytest.OptionGroup, pluginmanager: pytest.PytestPluginManager) -> None:
    """Add them to pytest's."""

    def add(name: str, help: str, **more: Any) -> None:
        group.addoption(name, help=help, **more)
        OWN[name.removeprefix("--").replace("-", "_")] = name

    add(
        "--preset",
        f"how much of everything: {', '.join(PRESETS)} (default: default)",
        default="default",
        metavar="NAME",
    )
    add("--impl", "implementations: names, or paths of your own files (default: all)", metavar="A,B,PATH.py")
    add("--problem", "problems, `small@32` for mini-batches of 32 rows, or your own table", metavar="P,Q,PATH.csv")
    add("--target", "which columns of your own table to predict", metavar="COL[,COL]")
    add("--device", "cpu, gpu or both (default: cpu)", default="cpu", metavar="cpu,gpu")
    add("--dtype", "float32, float64 or both (default: the preset's)", metavar="float32,float64")
    add("--blocks", "repeat everything in so many fresh processes (default: the preset's)", type=int, metavar="K")
    add("--minutes", "as many blocks as fit into so many minutes, one at least", type=float, metavar="M")
    add("--aa", "which runs twice in every block, or none (default: numpy_manual, or the first)", metavar="NAME")
    add("--precision", "products of float32: highest, or tf32 (default: highest)", default="highest", metavar="NAME")
    add("--threads", "threads and cores for every implementation (default: all cores)", type=int, metavar="N")
    add(
        "--ranks",
        "so many processes that are one descent, on cores of their own (default: 0, off)",
        type=int,
        default=0,
        metavar="N",
    )
    add("--oversubscribe", "more ranks than threads: they share cores", action="store_true")
    add("--seed", "seed of data and of mini-batches' order (default: 0)", type=int, default=0, metavar="N")
    add("--steps", "updates in a run (default: the problem's own number)", type=int, metavar="N")
    add("--lr", "learning rate (default: the problem's own, 1/L for most)", type=float, metavar="LR")
    add("--machine", "name of this machine in results/runs (default: CPU, cores, GPU, a hash)", metavar="NAME")
    add("--dask-scheduler", "address of a cluster's scheduler (default: a cluster in the worker)", metavar="ADDRESS")
    if not pluginmanager.hasplugin("timeout"):  # pytest-timeout, where it is installed, has the same option
        add("--timeout", "seconds after which a case is killed (default: 300)", type=float, metavar="S")
    add("--memory", "what a worker may have, all ranks together: 8GB, 512MiB (default: no ceiling)", metavar="SIZE")
    add("--require", "a skip is an error (name by --impl what must run)", action="store_true")
    add("--no-limits", "do not measure what the machine could do: saves some 10 seconds a block", action="store_true")
    add("--wait", "wait until no other measurement runs on this machine (default: refuse)", action="store_true")
    add("--resume", "go on with the campaign that was cut short last, with its own options", action="store_true")
