"""Columns of a GPU row beside its times, and notes of a run on the card. NVIDIA's library is a fake."""

from pathlib import Path
from typing import Any

import pytest
from helpers import HONEST, ROOT, Done, bench, python, write

from benchmarks.campaign.plan import Plan

NVML = """
class NVMLError(Exception): pass
NVML_CLOCK_SM, NVML_CLOCK_MEM, NVML_TEMPERATURE_GPU = "sm", "memory", 0
def nvmlInit(): pass
def nvmlDeviceGetHandleByIndex(number): return number
def nvmlDeviceGetName(gpu): return "GPU"
def nvmlDeviceGetMigMode(gpu): return (MIG, MIG)
def nvmlDeviceGetComputeRunningProcesses(gpu): return ["another"]
joules = iter(range(0, 10**6, 300))  # 300 J from one look to the next
def nvmlDeviceGetTotalEnergyConsumption(gpu): return 1000 * next(joules)
def nvmlDeviceGetClockInfo(gpu, which): return 1755
def __getattr__(name):
    def refuse(*what): raise NVMLError(name)
    if name.startswith("nvml"): return refuse
    raise AttributeError(name)
"""
REFUSES = NVML.replace("def nvmlInit(): pass", "def nvmlInit(): raise NVMLError('Driver/library version mismatch')")


def on_a_gpu(folder: Path, nvml: str, *options: str) -> Done:
    write(folder, "pynvml", nvml)
    mine = write(folder, "mine", HONEST)
    return bench(folder, "--impl", mine, "--device", "gpu", *options, env={"PYTHONPATH": f"{folder}:{ROOT}"})


def test_energy_is_that_of_a_second_of_runs(tmp_path: Path) -> None:
    done = on_a_gpu(tmp_path, NVML.replace("MIG", "0"), "--energy")
    (row,) = done.rows
    runs = int(1 / row["steady_s"]) + 1
    assert row["energy_j"] == pytest.approx(300 / (runs * row["steps"]))
    assert row["sm_mhz_during"] == 1755


def test_another_process_on_the_card_is_said(tmp_path: Path) -> None:
    done = on_a_gpu(tmp_path, NVML.replace("MIG", "0"))
    assert "other processes used the GPU (1)" in done.out
    (row,) = done.rows
    assert row["gpu_processes"] == 1 and row["valid"] and "energy_j" not in row


def test_slices_of_a_card_have_no_energy_of_their_own(tmp_path: Path) -> None:
    done = on_a_gpu(tmp_path, NVML.replace("MIG", "1"), "--energy")
    (row,) = done.rows
    assert "cut into MIG slices" in done.out and "energy_j" not in row and row["valid"]


def test_a_library_that_refuses_costs_no_row_and_is_said(tmp_path: Path) -> None:
    done = on_a_gpu(tmp_path, REFUSES, "--energy")
    (row,) = done.rows
    assert row["valid"] and not {"sm_mhz_before", "energy_j", "gpu_processes"} & set(row)
    assert "no clocks, power and temperature of the GPU: NVML says: Driver/library version mismatch" in done.out


def test_whether_there_is_a_gpu_is_a_command(tmp_path: Path) -> None:
    ask = "import runpy, sys; sys.argv = ['gpu']; runpy.run_module('benchmarks.machine.gpu', run_name='__main__')"
    write(tmp_path, "pynvml", NVML.replace("MIG", "0"))
    there = python(ask, env={"PYTHONPATH": f"{tmp_path}:{ROOT}", "CUDA_VISIBLE_DEVICES": "0"})
    assert (there.code, there.out) == (0, "GPU\n"), there.err
    hidden = python(ask, env={"PYTHONPATH": f"{tmp_path}:{ROOT}", "CUDA_VISIBLE_DEVICES": ""})
    if not Path("/dev/nvidia0").exists():
        assert hidden.code == 1 and "no GPU here: CUDA_VISIBLE_DEVICES lets no GPU through" in hidden.err


def test_a_plan_keeps_the_given_order_if_asked() -> None:
    names = [f"impl{number}" for number in range(9)]
    plan: dict[str, Any] = {"impls": names, "devices": ["gpu", "cpu"], "problems": ["line"], "dtypes": ["float32"]}
    plan |= {"blocks": 1, "seconds": 0.1, "threads": 1, "seed": 0, "timeout": 60, "aa": ["impl3"]}
    cases = Plan(**plan, shuffle=False).cases()
    given = [(name, device) for name in [*names[:4], "impl3-again", *names[4:]] for device in ("gpu", "cpu")]
    assert [(case.name, case.device) for case in cases] == given
    assert sorted(map(str, cases)) == sorted(map(str, Plan(**plan).cases()))
