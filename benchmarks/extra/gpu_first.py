"""The first look at a machine with a GPU: its facts, kernels alone, contract tests, a short run. See `make gpu-first`.

Each step has its own time limit, and its output is a file of its own. A step that fails or hangs costs no other step.
Usage: python -m benchmarks.extra.gpu_first FOLDER
"""

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
SAVE_GRACE_S = 15.0  # after SIGINT, for a step to save what it has
REPEATED_LINES = 5  # of a step's output, at the end
IMPLS = "torch_manual,triton_fused,torch_graph,jax_scan,cupy_manual,torch_compile,jax_jit,triton_descent"
TOTAL_S = 540.0  # of all steps
FACTS = (
    "nvidia-smi -q; grep Vm /proc/self/status; head -3 /proc/meminfo; df -h .; ls -l /etc/machine-id; uname -a;"
    " command -v make gcc; {python} -m pip list"
)
IMPORTS = """
import importlib, time
for name in ("torch", "jax", "cupy", "triton"):
    start = time.perf_counter()
    try:
        importlib.import_module(name)
        print(name, f"{time.perf_counter() - start:.1f} s")
    except Exception as error:
        print(name, repr(error))
"""


@dataclass(frozen=True)
class Step:
    """A command, and the seconds that it may take."""

    name: str
    seconds: float
    command: Sequence[str]


def steps(folder: Path) -> list[Step]:
    """Return the steps, the most informative in the least time first: 9 minutes at most."""
    python, saved_run = sys.executable, folder / "run.json"
    pytest = [python, "-m", "pytest", "-p", "no:cacheprovider"]
    (tests,) = ROOT.glob("tests/**/test_contract.py")
    contract = ["--benchmark-disable", str(tests), "-v", "-o", "faulthandler_timeout=40"]
    contract += ["-k", "(torch_graph or triton or cupy or jax_scan) and not (importing or without_gpu or installed)"]
    bench = ["benchmarks", "--benchmark-quiet", "--preset", "quick", "--device", "gpu", "--timeout", "100"]
    bench += ["--in-order", "--energy", "--aa", "none", "--impl", IMPLS, "--problem", "huge,large,medium,tiny"]
    storage = tempfile.mkdtemp()  # elsewhere: the folder has one file a step
    saved = ["--machine", "gpu-first", f"--benchmark-json={saved_run}", f"--benchmark-storage=file://{storage}"]
    return [
        Step("facts", 30, ["sh", "-c", FACTS.format(python=python)]),
        Step("imports", 100, [python, "-c", IMPORTS]),
        Step("kernels", 80, [python, str(ROOT / "benchmarks" / "extra" / "loops" / "gpu_kernels.py")]),
        Step("contract", 90, [*pytest, *contract]),
        Step("run", 210, [*pytest, *bench, *saved]),
        Step("show", 20, [python, "-m", "results", "show", str(saved_run)]),
    ]


def carry_out(step: Step, folder: Path, left_s: float = TOTAL_S) -> str:
    """Run a step with its output in a file, and return a line: its name, how it ended, its seconds.

    left_s: the seconds that are left for all steps.
    """
    env = os.environ | {"DESCENTBENCH_DEVICE": "gpu", "XLA_PYTHON_CLIENT_PREALLOCATE": "false", "PYTHONUNBUFFERED": "1"}
    seconds = max(1.0, min(step.seconds, left_s))
    limited = ["timeout", "-s", "INT", "-k", str(SAVE_GRACE_S), str(seconds), *step.command]
    start = time.monotonic()
    with (folder / f"{step.name}.txt").open("w") as output:
        process = subprocess.Popen(limited, cwd=ROOT, env=env, stdout=output, stderr=subprocess.STDOUT)
        try:
            status = process.wait()
        finally:
            process.terminate()  # after Ctrl-C: `timeout` passes it on to all that the step has started
    elapsed_s = time.monotonic() - start
    end = f"exit status {status}" if elapsed_s < seconds else f"stopped after {seconds:.0f} s"
    return f"{step.name}: {end}, {elapsed_s:.1f} s"


def main(folder: Path) -> int:
    """Run all steps. Print how each ended with its last lines. Return 1 if one did not end with status 0."""
    folder.mkdir(parents=True, exist_ok=True)
    ends, began = [], time.monotonic()
    for step in steps(folder.resolve()):
        ends.append(carry_out(step, folder, began + TOTAL_S - time.monotonic()))
        last = (folder / f"{step.name}.txt").read_text(errors="replace").splitlines()[-REPEATED_LINES:]
        sys.stdout.write("\n".join([ends[-1], *(f"    {line[:150]}" for line in last)]) + "\n")
        sys.stdout.flush()
        (folder / "steps.txt").write_text("\n".join(ends) + "\n")
    return int(any("exit status 0" not in end for end in ends))


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
