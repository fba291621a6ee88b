"""Launches and busy time of a row, with fakes in the profilers' place: no profiler has seen a GPU here."""

import contextlib
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from helpers import HONEST, ROOT, Done, bench, write

from benchmarks.worker import probes
from impls.interface import DeviceWork

PROFILED = """
import os
from pathlib import Path
from impls import _cupy
from impls.interface import DeviceWork

def device_work(run):
    run()
    steps = LATEST["steps"]
    if DARK: raise RuntimeError("CUPTI_ERROR_NOT_SUPPORTED")
    work = [DeviceWork(0, 100, 1)]  # the copy of the start
    for step in range(steps):  # a graph of ten steps, each of two kernels that overlap
        begin = 1000 * (step + 1)
        work += [DeviceWork(begin, begin + 300, 2 + step // 10), DeviceWork(begin + 200, begin + 500, 2 + step // 10)]
    return work

LATEST = {}
_cupy.device_work = device_work

def prepare(problem, device):
    Path(__file__).with_suffix(f".{device}{len(problem.X)}").write_text(str(os.getpid()))
    inner = honest(problem, device)
    def run(start, steps, /):
        LATEST["steps"] = steps
        return inner(start, steps)
    return run
""" + HONEST.replace("def prepare", "def honest")
STANDIN = {"PYTHONPATH": f"{ROOT / 'tests' / 'support' / 'standin'}:{ROOT}", "STANDIN_GPUS": "1"}


def profiled(folder: Path, dark: bool, *options: str) -> tuple[Done, Path]:
    mine = write(folder, "mine", PROFILED.replace("DARK", str(dark)))
    return bench(folder, "--impl", mine, "--profile", *options, env=STANDIN), Path(mine)


def test_a_row_says_launches_and_busy_time_and_the_next_case_has_a_fresh_process(tmp_path: Path) -> None:
    done, mine = profiled(tmp_path, False, "--device", "gpu,cpu", "--problem", "scalar,line")
    assert done.code == 0, done.out + done.err
    for row in done.rows:
        seen = {name: row.get(name) for name in ("launches", "gpu_operations", "busy_s", "unprofiled")}
        if row["device"] == "cpu":
            assert not any(seen.values())
        else:
            steps = row["steps"]
            assert seen == {
                "launches": pytest.approx((1 + -(-steps // 10)) / steps), "gpu_operations": 2 + 1 / steps,
                "busy_s": pytest.approx((100 + 500 * steps) / 1e9), "unprofiled": None,
            }  # fmt: skip
    rows = [row for row in done.rows if row["device"] == "gpu"]
    assert len(rows) == 2 and all(row["valid"] for row in rows)
    assert len({mine.with_suffix(f".gpu{row['n']}").read_text() for row in rows}) == 2


def test_a_profiler_that_fails_costs_no_row_and_says_why(tmp_path: Path) -> None:
    done, _ = profiled(tmp_path, True, "--device", "gpu")
    assert done.code == 0, done.out + done.err
    (row,) = done.rows
    assert row["unprofiled"] == "RuntimeError: CUPTI_ERROR_NOT_SUPPORTED"
    assert row["valid"] and "launches" not in row


def test_work_that_a_profiler_does_not_see_is_unknown_and_not_zero(monkeypatch: pytest.MonkeyPatch) -> None:
    def work(of: list[DeviceWork]) -> Any:
        monkeypatch.setattr(probes, "shared", lambda: [SimpleNamespace(device_work=lambda run: of)])
        return probes.device_work(lambda: None, lambda: None, 4)

    with pytest.raises(RuntimeError, match="saw no work"):
        work([])
    assert work([DeviceWork(5, 9, None), DeviceWork(6, 7, None)]) == {"gpu_operations": 0.5, "busy_s": 4e-9}
    monkeypatch.setattr(probes, "shared", lambda: [SimpleNamespace()])
    with pytest.raises(RuntimeError, match="no profiler of its own"):
        probes.device_work(lambda: None, lambda: None, 4)


def test_torchs_profiler_gives_the_work_of_the_gpu_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    torch = pytest.importorskip("torch")
    from impls import _torch

    cpu, cuda = SimpleNamespace(name="CPU"), SimpleNamespace(name="CUDA")

    def event(device: Any, begin: int, launch: int, note: bool = False) -> Any:
        values = {"device_type": device, "start_ns": begin, "duration_ns": 10, "correlation_id": launch}
        values["is_user_annotation"] = note
        return SimpleNamespace(**{name: lambda value=value: value for name, value in values.items()})

    events = [event(cpu, 0, 7), event(cuda, 3, 7), event(cuda, 20, 7), event(cuda, 0, 8, note=True)]

    with torch.profiler.profile() as own:
        torch.ones(3)
    for name in vars(event(cpu, 0, 0)):  # this torch's events have all that is asked
        assert getattr(own.profiler.kineto_results.events()[0], name)() is not None
    assert own.profiler.kineto_results.events()[0].device_type().name == "CPU"
    fake = SimpleNamespace(kineto_results=SimpleNamespace(events=lambda: events))
    monkeypatch.setattr(_torch.profiler, "profile", lambda: contextlib.nullcontext(SimpleNamespace(profiler=fake)))
    monkeypatch.setattr(torch.cuda, "synchronize", lambda: None)
    assert _torch.device_work(lambda: None) == [DeviceWork(3, 13, 7), DeviceWork(20, 30, 7)]


def test_jaxs_profiler_gives_the_work_of_the_gpus_streams_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    jax = pytest.importorskip("jax")
    from impls import _jax

    assert _jax.device_work(lambda: None) == []  # the real one, its file and its reader: a CPU has no streams

    def line(name: str, *events: Any) -> Any:
        return SimpleNamespace(name=name, events=events)

    def kernel(begin: int, **stats: int) -> Any:
        return SimpleNamespace(start_ns=begin, end_ns=begin + 10, stats=[*stats.items()])

    planes = [
        SimpleNamespace(name="/host:CPU", lines=[line("python", kernel(0))]),
        SimpleNamespace(
            name="/device:GPU:0",
            lines=[
                line("Stream #13(Compute)", kernel(3, correlation_id=7), kernel(20, correlation_id=7)),
                line("Stream #14(MemcpyH2D)", kernel(1)),
                line("XLA Ops", kernel(3, correlation_id=7)),
            ],
        ),
    ]
    data = SimpleNamespace(from_file=lambda path: SimpleNamespace(planes=planes))
    monkeypatch.setattr(jax.profiler, "ProfileData", data)
    assert _jax.device_work(lambda: None) == [DeviceWork(3, 13, 7), DeviceWork(20, 30, 7), DeviceWork(1, 11, None)]
