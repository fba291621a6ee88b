"""The Triton implementations by Triton's interpreter, in their own process: torch.compile must not be interpreted."""

import re
import subprocess
import sys

from helpers import ROOT, UNNEEDED, environment, needs

pytestmark = needs("triton")
INTERPRETED = {"TRITON_INTERPRET": "1", "OMP_NUM_THREADS": "1"}  # the latter: programs are forked
CONTRACT, OTHERS = 2 * (6 * 2 + 3), 3 * 4 + 5 * 2 + 2 + 1 + 2


def test_the_contract_holds_interpreted_and_every_kernel_agrees_with_the_reference() -> None:
    """Checks of the contract that need no interpreter run in test_contract.py."""
    contract = "(triton_fused or triton_descent) and not (importing or gpu or installed or catalogue)"
    files = ["tests/impls/test_contract.py", "tests/impls/interpreted.py"]
    words = [sys.executable, "-m", "pytest", "-q", *UNNEEDED, *files, "-k", f"interpreted.py or ({contract})"]
    done = subprocess.run(words, cwd=ROOT, env=environment(**INTERPRETED), capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stdout
    passed = re.search(r"(\d+) passed", done.stdout)
    assert passed and int(passed[1]) == CONTRACT + OTHERS and "skipped" not in done.stdout, done.stdout
