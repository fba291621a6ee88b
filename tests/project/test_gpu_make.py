"""The commands for a machine with a GPU, as far as they go without one."""

import itertools
import os
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from helpers import HONEST, ROOT, environment, python, saved, write

from benchmarks.extra import gpu_first
from benchmarks.extra.gpu_first import Step

GPU = Path("/dev/nvidia0").exists()


def make(target: str, **variables: str) -> subprocess.CompletedProcess[str]:
    words = [
        "make",
        "--no-print-directory",
        target,
        "WARM=numpy",
        *(f"{name}={value}" for name, value in variables.items()),
    ]
    return subprocess.run(
        words, cwd=ROOT, env=environment(CUDA_VISIBLE_DEVICES="", PYTHONPATH=str(ROOT)), capture_output=True,
        text=True, timeout=600,
    )  # fmt: skip


@pytest.mark.skipif(GPU, reason="there is a GPU here")
def test_the_tests_on_a_gpu_say_that_there_is_none() -> None:
    done = make("test-gpu", PYTHON=sys.executable)
    assert done.returncode != 0 and "no GPU here: " in done.stderr and "passed" not in done.stdout


def test_a_run_for_a_gpu_asks_for_what_can_run_there_the_most_valuable_first() -> None:
    """A machine with a GPU comes for minutes. What compiles for each number of steps and each block is left out."""
    lines = subprocess.run(
        ["make", "-n", "bench-gpu"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout.replace("\\\n", " ")  # fmt: skip
    words = shlex.split(lines.partition("-m pytest")[2].partition("|| status")[0])
    options = dict(itertools.pairwise(words))
    chosen = [Path(name).stem for name in options["--impl"].split(",")]
    assert len(chosen) >= 12 and chosen[:4] == ["torch_manual", "numpy_manual", "triton_fused", "torch_graph"]
    assert not [name for name in chosen if name.startswith(("numba", "dask", "jax_blocked", "torch_dataloader"))]
    assert all((ROOT / name).exists() for name in options["--impl"].split(",") if name.endswith(".py"))
    n, _, d = options["--problem"].partition(",")[0].partition("x")
    assert int(n) * int(d) * 4 > 20 * 50e6, "the first problem is far larger than the L2"
    assert "--in-order" in words and int(options["--timeout"]) > 60
    assert lines.index("import $module") < lines.index("-m pytest"), "a cold disk would count against the first case"


def test_the_files_of_the_tests_on_a_gpu_are_there() -> None:
    lines = subprocess.run(["make", "-n", "test-gpu"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    names = lines.partition("for file in ")[2].partition(";")[0].split()
    assert len(names) == 3 and "find tests -name test_$file.py" in lines
    assert {name: len([*ROOT.glob(f"tests/**/test_{name}.py")]) for name in names} == dict.fromkeys(names, 1)


def test_the_tests_for_each_implementation_run_on_the_device_of_the_environment() -> None:
    code = "import sys; sys.path.insert(0, 'tests/support'); import helpers; print(helpers.DEVICE)"
    assert python(code, env={"DESCENTBENCH_DEVICE": "gpu"}).out.strip() == "gpu"
    assert python(code, env={"DESCENTBENCH_DEVICE": ""}).out.strip() == "cpu"


def test_a_run_for_a_gpu_keeps_the_order_and_reports_what_it_has(tmp_path: Path) -> None:
    """Three implementations of its list on one small problem: those for a GPU only say why they are left out."""
    options = "--problem tiny --impl torch_graph,numpy_manual --aa none --no-limits"
    options += f" --benchmark-storage file://{tmp_path / 'storage'} --machine test"
    done = make("bench-gpu", PYTHON=sys.executable, OUT=str(tmp_path), ARGS=options)
    assert done.returncode == 0, done.stdout + done.stderr
    rows = [row["extra_info"] for row in saved(tmp_path / "gpu.json")["benchmarks"]]
    assert [(row["impl"], row["device"]) for row in rows] == [("numpy_manual", "cpu")]
    assert "torch_graph" in done.stdout and "torch sees no gpu" in done.stdout
    assert "numpy_manual" in (tmp_path / "gpu.md").read_text()


def test_verdicts_for_a_gpu_compare_the_devices(tmp_path: Path) -> None:
    """On the CPU alone: the command runs to its end, and says that there is nothing on the gpu."""
    options = "--problem tiny --impl torch_manual --aa none --blocks 1"
    options += f" --benchmark-storage file://{tmp_path / 'storage'} --machine test"
    done = make("verdicts-gpu", PYTHON=sys.executable, OUT=str(tmp_path), ARGS=options)
    assert done.returncode == 2, done.stdout + done.stderr
    assert "torch_manual" in (tmp_path / "gpu-verdicts.md").read_text()
    assert "torch_manual with device cpu, not gpu" in done.stderr


def test_a_run_for_a_gpu_that_is_cut_says_what_is_missing(tmp_path: Path) -> None:
    """Its implementation sleeps, so that 12 seconds are enough to begin and cost little."""
    slow = HONEST.replace("w = start.copy()", "w = start.copy()\n        __import__('time').sleep(0.05)")
    options = f"--problem line,crops,scalar --impl {write(tmp_path, 'numpy_manual', slow)} --aa none --no-limits"
    options += " --blocks 500"
    options += f" --benchmark-storage file://{tmp_path / 'storage'} --machine test"
    done = make(
        "bench-gpu",
        PYTHON=sys.executable,
        OUT=str(tmp_path),
        ARGS=options,
        GPU_SECONDS="12",
    )
    assert done.returncode != 0
    assert "not run: " in done.stdout and "of numpy_manual (cpu)" in done.stdout, done.stdout + done.stderr


@pytest.mark.parametrize(("target", "name"), [("bench-gpu", "gpu.md"), ("verdicts-gpu", "gpu-verdicts.md")])
def test_without_a_row_there_is_no_report_and_a_line_says_so(target: str, name: str, tmp_path: Path) -> None:
    options = "--problem nowhere --benchmark-disable-gc"
    done = make(target, PYTHON=sys.executable, OUT=str(tmp_path), ARGS=options)
    assert done.returncode != 0 and "no report: nothing was measured" in done.stdout
    assert not (tmp_path / name).exists()


def test_a_step_that_hangs_or_fails_costs_no_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    python = [sys.executable, "-c"]
    deaf = "import signal, time; signal.signal(2, signal.SIG_IGN); print('deaf', flush=True); time.sleep(99)"
    some = [
        Step("hangs", 1.0, [*python, deaf]),
        Step("fails", 20.0, [*python, "raise SystemExit('no driver')"]),
        Step("works", 20.0, [*python, "import os; print(os.environ['DESCENTBENCH_DEVICE'])"]),
    ]
    monkeypatch.setattr(gpu_first, "steps", lambda folder: some)
    monkeypatch.setattr(gpu_first, "SAVE_GRACE_S", 0.5)
    assert gpu_first.main(tmp_path) == 1
    ends = (tmp_path / "steps.txt").read_text().splitlines()
    assert [end.partition(",")[0] for end in ends] == [
        "hangs: stopped after 1 s", "fails: exit status 1", "works: exit status 0",
    ]  # fmt: skip
    assert "no driver" in capsys.readouterr().out
    assert [(tmp_path / f"{step.name}.txt").read_text().strip() for step in some] == ["deaf", "no driver", "gpu"]


def test_all_steps_together_end_within_ten_minutes(tmp_path: Path) -> None:
    every = gpu_first.steps(tmp_path)
    assert gpu_first.TOTAL_S + gpu_first.SAVE_GRACE_S < 600, "the deadline of a command on such a machine"
    assert all(Path(word).exists() for step in every for word in step.command if word.endswith(".py"))
    assert os.access(every[0].command[0], os.X_OK) or every[0].command[0] == "sh"
