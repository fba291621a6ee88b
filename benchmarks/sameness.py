"""Whether a campaign that is taken up again is still the one that began: the same plan, code and machine."""

import hashlib
from pathlib import Path
from typing import Any

from benchmarks import problems
from benchmarks.processes import ROOT


def code(impls: list[str], tables: list[str]) -> str:
    """A hash over the suite's own code, implementations given by path, and tables."""
    mine = [ROOT / "conftest.py", *ROOT.glob("impls/**/*.py"), *ROOT.glob("benchmarks/**/*.py")]
    given = [*impls, *(problems.parse(name)[0] for name in tables)]
    digest = hashlib.sha256()
    for path in [*sorted(mine), *(Path(name) for name in given if name.endswith((".py", ".csv")))]:
        digest.update(hashlib.sha256(path.read_bytes()).digest())
    return digest.hexdigest()[:16]


def differences(old: dict[str, Any], new: dict[str, Any]) -> str:
    """What of plan, code and machine is not what it was, in words; "" where nothing is."""
    plan = [name for name, held in new["plan"].items() if old["plan"].get(name) != held]
    said = [f"the plan's {name}" for name in plan]
    said += ["the code of the suite, of an implementation or a table"] * (old["code"] != new["code"])
    said += ["the machine, its packages or settings"] * (old["machine"] != new["machine"])
    return ", ".join(said)
