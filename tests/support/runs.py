"""Saved runs with a known truth, for the tests of `results`."""

import json
import math
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

from results.output import Page
from results.store.reading import Run
from results.store.runs import find

MACHINE = {
    "node": "box-a",
    "slug": "box-a",
    "cpu": {"brand_raw": "Fast CPU", "count": 4},
    "cores": 4,
    "ram_bytes": 8 * 2**30,
    "gpu": "",
    "python_version": "3.11.9",
    "system": "Linux",
    "release": "6.1",
    "packages": {"numpy": "2.4.6", "jax": "0.10.2"},
}
CAMPAIGN = {
    "machine": "box-a",
    "preset": "quick",
    "seed": 0,
    "threads": 1,
    "blocks": 1,
    "interrupted": False,
    "wall_s": 12.5,
    "skipped": [{"impl": "torch_nn", "device": "cpu", "reason": "torch is not installed"}],
    "refused": [
        {
            "impl": "torch_bad",
            "device": "cpu",
            "dtype": "float32",
            "problem": "small",
            "block": 0,
            "reason": "wrong at t = 3",
        }
    ],
}


def entry(impl: str = "numpy_manual", step: float = 2e-6, **extra: Any) -> dict[str, Any]:
    """Return one row of a benchmark file. `step`: seconds per step."""
    facts = {
        "impl": impl,
        "framework": impl.split("_")[0],
        "version": "1.0",
        "device": "cpu",
        "dtype": "float64",
        "problem": "small",
        "n": 512,
        "d": 16,
        "k": 1,
        "batch": 512,
        "steps": 100,
        "block": 0,
        "seed": 0,
        "threads": 1,
        "valid": True,
        "reason": "",
        "error": 1e-16,
        "tolerance": 4e-16,
        "import_s": 0.1,
        "prepare_s": 1e-4,
        "first_s": 0.5,
        "steady_s": 100 * step + 1e-6,
        "fixed_s": 1e-6,
        "per_step_s": step,
        "cpu_over_wall": 0.99,
        "rss_bytes": 64 * 2**20,
        "problem_hash": "abc",
        "lr": 0.1,
    }
    data = [step * 100, step * 101, step * 102]
    stats = {"min": data[0], "max": data[2], "mean": data[1], "median": data[1], "iqr": step, "rounds": 3, "data": data}
    facts |= extra
    device, dtype, problem = (facts.get(name) for name in ("device", "dtype", "problem"))
    case = f"{facts.get('impl')}-{device}-{problem}-{dtype}-{facts.get('block')}"
    labels = {"group": f"{problem} {dtype} {device}", "params": {"case": case}, "param": case}
    return {"name": f"bench_descent[{impl}]", **labels, "extra_info": facts, "stats": stats}


def document(*entries: dict[str, Any], machine: str = "box-a", **top: Any) -> dict[str, Any]:
    """Return the content of a benchmark file."""
    return {
        "machine_info": MACHINE | {"node": machine, "slug": machine},
        "commit_info": {"id": "0123456789abcdef", "dirty": False, "branch": "main"},
        "benchmarks": list(entries),
        "datetime": "2025-03-01T10:20:30+00:00",
        "version": "5.3.1",
        "campaign": CAMPAIGN,
    } | top


def blocks(impl: str, times: Iterable[float], **extra: Any) -> list[dict[str, Any]]:
    """Return one row per block, by seconds per step."""
    return [entry(impl, step, **({"block": block} | extra)) for block, step in enumerate(times)]


def saved_run(
    root: Path, entries: list[dict[str, Any]], name: str = "0001_base", machine: str = "box", **top: Any
) -> Run:
    """Save rows in a file that says nothing else of its campaign, and read it again."""
    path = root / machine / "Linux-CPython-3.11-64bit" / f"{name}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(document(*entries, machine=machine, **({"campaign": {"seed": 0}} | top))))
    return find(str(path), root)


KNOWN = {"precision": "highest", "matmul_bits": 52, "matvec_bits": 52}
BLOCKS = 14


def rows(impl: str = "numpy_manual", step: float = 1e-6, blocks: int = BLOCKS, **extra: Any) -> list[dict[str, Any]]:
    """Return the rows of one case in several blocks whose times spread by 0.3 %, with a seed of its own."""
    noise = np.random.default_rng([len(impl), int(step * 1e9)]).normal(0, 0.003, blocks)
    return [entry(impl, step * math.exp(noise[block]), **(KNOWN | {"block": block} | extra)) for block in range(blocks)]


def saved_cases(tmp_path: Path, machine: str, *cases: list[dict[str, Any]], name: str = "0001_base", **top: Any) -> Run:
    """Save the rows of cases as a run of a machine, and read it again."""
    path = tmp_path / "runs" / machine / "Linux" / f"{name}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(document(*[row for case in cases for row in case], machine=machine, **top)))
    return find(str(path), tmp_path / "runs")


def text(page: Page) -> str:
    """Return the text of a page outside its tables."""
    return "\n".join("\n".join([part.title, part.machine, part.text, *part.notes]) for part in page.sections)
