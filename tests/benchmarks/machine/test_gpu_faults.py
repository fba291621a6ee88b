"""Faults of a GPU machine, simulated by fakes: each gives a reason in one line, and the next case runs."""

import uuid
from pathlib import Path

import numpy as np
import pytest
from helpers import HONEST, bench, write

from benchmarks.campaign.campaign import Campaign
from benchmarks.campaign.plan import Plan
from benchmarks.machine import bandwidth, identity
from benchmarks.problems import catalogue
from benchmarks.worker import arrays, memory, probes
from benchmarks.worker.client import Refused


def plan() -> Plan:
    return Plan(["numpy_manual"], ["gpu"], ["scalar"], ["float32"], 1, 0.1, threads=1, seed=0, timeout=60)


def test_peak_memory_is_told_by_a_kernel_that_has_no_line_for_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "status").write_text("VmSize: 9000 kB\nVmRSS: 8000 kB\nVmData: 7000 kB\n")
    monkeypatch.setattr(probes, "STATUS", tmp_path / "status")
    monkeypatch.setattr(probes, "CLEAR_REFS", tmp_path / "nowhere" / "clear_refs")
    probes.reset_peak()
    assert probes.peak() > 2**20  # this process's own
    (tmp_path / "status").write_text("VmHWM: 3 kB\n")
    assert probes.peak() == 3 * 1024


def test_the_user_may_say_how_much_memory_a_growing_machine_has(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "meminfo").write_text("MemTotal: 6000000 kB\nMemAvailable: 5000000 kB\n")
    monkeypatch.setattr(memory, "MEMINFO", tmp_path / "meminfo")
    with pytest.raises(memory.Unsupported, match=rf"there are .* here \(set {memory.RAM_VARIABLE}=SIZE"):
        memory.require(10**9, 0, "float32", None)
    monkeypatch.setenv(memory.RAM_VARIABLE, "128GB")
    memory.require(10**9, 0, "float32", None)
    assert arrays.free_memory() == 128e9
    monkeypatch.setenv(memory.RAM_VARIABLE, "much")
    with pytest.raises(ValueError, match=f"^{memory.RAM_VARIABLE} 'much': give bytes"):
        memory.total()


def test_a_problem_that_cannot_be_made_for_lack_of_memory_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*how: object, **more: object) -> None:
        raise MemoryError

    monkeypatch.setattr(catalogue, "build", full)
    with pytest.raises(Refused, match=r"^out of memory while the problem was made"):
        Campaign(plan()).task("scalar", "float32")


@pytest.mark.parametrize("card", [0xB42E99000001, 0x13_0000_0000_01 | identity.MULTICAST_BIT])
def test_a_machine_without_an_id_keeps_its_name(card: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A network card's address is one; the number that Python draws in its place is another in each process."""
    (tmp_path / "boot").write_text("5f1c\n")
    (tmp_path / "id").write_text("")
    monkeypatch.setattr(identity, "MACHINE_ID_FILES", (tmp_path / "id", tmp_path / "nowhere"))
    monkeypatch.setattr(identity, "BOOT_ID_FILE", tmp_path / "boot")
    monkeypatch.setattr(uuid, "getnode", lambda: card)
    first = identity.fingerprint()
    monkeypatch.setattr(uuid, "getnode", lambda: card + 1)
    assert (identity.fingerprint() == first) == bool(card & identity.MULTICAST_BIT)


def test_copies_of_an_image_on_other_processors_are_other_machines(monkeypatch: pytest.MonkeyPatch) -> None:
    """The image brings the machine's id along, and the hypervisor calls every processor AMD EPYC."""
    names = set()
    for family, model in ((25, 1), (26, 2)):
        known = {"brand_raw": "AMD EPYC", "vendor_id_raw": "AuthenticAMD", "family": family, "model": model}
        monkeypatch.setattr(identity, "cpu_info", lambda known=known: known)
        names.add(identity.fingerprint())
    assert len(names) == 2


@pytest.mark.parametrize("seconds", [[3.0, 1.0, 2.0]])
def test_a_slow_run_is_timed_once_by_the_devices_clock(seconds: list[float], monkeypatch: pytest.MonkeyPatch) -> None:
    class Clock:
        @staticmethod
        def event_seconds(run: object) -> float:
            return left.pop(0)

    monkeypatch.setattr(probes, "shared", lambda: [Clock])
    left = seconds.copy()
    assert probes.event_seconds(lambda: None, 1) == 3.0 and len(left) == 2
    left = seconds.copy()
    assert probes.event_seconds(lambda: None, 3) == np.median(seconds)


TOO_OLD = """
def prepare(problem, device):
    if device == "gpu": raise RuntimeError("CUDA driver version is insufficient for CUDA runtime version")
    return honest(problem, device)
""" + HONEST.replace("def prepare", "def honest")


def test_what_cannot_use_the_gpu_says_so_once_and_the_next_case_runs(tmp_path: Path) -> None:
    """Two cases of one process: the second does not start the same process anew to fail again."""
    old, mine = write(tmp_path, "old", TOO_OLD), write(tmp_path, "mine", HONEST)
    done = bench(tmp_path, "--impl", f"{old},{mine}", "--device", "gpu,cpu", "--problem", "scalar,line")
    why = "cannot use the gpu: raised RuntimeError: CUDA driver version is insufficient for CUDA runtime version"
    assert done.reasons("old") == dict.fromkeys([("scalar", "float32"), ("line", "float32")], f"{why} (old.py:3)")
    assert {(row["impl"], row["device"]) for row in done.rows} == {("old", "cpu"), ("mine", "cpu"), ("mine", "gpu")}
    opened = {(row["device"], "context_s" in row) for row in done.rows}
    assert opened == {("cpu", False), ("gpu", True)}


def test_a_case_asks_for_few_numbers_of_steps_because_some_compile_for_each(tmp_path: Path) -> None:
    """XLA compiles a step count in up to a second on a GPU. Eight of them stay within the time limit of a case."""
    log = tmp_path / "steps"
    noting = HONEST.replace("w = start.copy()", f"w = start.copy(); open({str(log)!r}, 'a').write(f'{{steps}}\\n')")
    assert len(bench(tmp_path, "--impl", write(tmp_path, "noting", noting), "--problem", "small").rows) == 1
    assert 1 < len({int(line) for line in log.read_text().split()} - {0}) <= 8


def test_what_runs_on_the_cpu_only_says_so_before_a_problem_is_made(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(catalogue, "build", lambda *how, **more: pytest.fail("a problem was made"))
    campaign = Campaign(plan())
    try:
        with pytest.raises(memory.Unsupported, match="cpu only"):
            campaign.open(campaign.plan.cases()[0])
    finally:
        campaign.close()


def test_the_cost_of_a_call_is_that_of_one_more_call_without_the_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [0.0]

    class Kernels:
        resident = staticmethod(lambda array, device: array)

        @staticmethod
        def total(x: object, times: int) -> object:
            now[0] += 5e-6
            return x

        @staticmethod
        def fetch(x: object) -> object:
            now[0] += 20e-6
            return x

    monkeypatch.setattr(bandwidth, "perf_counter", lambda: now[0])
    assert bandwidth._calling(Kernels, "gpu") == pytest.approx(5e-6)  # type: ignore[arg-type]
