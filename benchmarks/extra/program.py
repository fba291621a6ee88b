"""Run a program of this package as a worker is run: the same cores, the same environment."""

import subprocess
import sys

from benchmarks.campaign.plan import Plan
from benchmarks.worker.environment import environment, pinned
from benchmarks.worker.process import ROOT


def program(plan: Plan, device: str, folder: str, module: str, *args: str) -> str:
    """Return what the module prints. Its arguments are its cores, the problem's folder, then `args`."""
    result = subprocess.run(
        [sys.executable, "-m", module, ",".join(map(str, pinned(plan.threads))), folder, *args],
        cwd=ROOT,
        env=environment(plan.threads, device, plan.precision, folder),
        check=True,
        capture_output=True,
        text=True,
        timeout=plan.timeout,
    )
    return result.stdout
