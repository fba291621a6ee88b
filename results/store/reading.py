"""One saved file: what it holds, what its rows will be called, and its facts in words."""

import json
import math
import stat
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import pandas as pd

from results.output import shortened
from results.store.json_values import parsed
from results.store.schema import BYTES, check_limits, fault

CASE = ["impl", "device", "dtype", "problem"]
ORIGIN = {
    "run": "which file: machine/NNNN_name",
    "machine": "slug of the machine",
    "datetime": "when it was saved, ISO 8601, UTC",
    "commit": "commit that it was made from",
    "name": "pytest-benchmark's name of the row",
}
WORDS = {
    "impl": "implementation",
    "framework": "its framework",
    "version": "the framework's version",
    "work": "what its steps go over: X, or what it has made of it (Gram matrix)",
    "device": "cpu or gpu",
    "dtype": "float32 or float64",
    "problem": "name of the problem; @b marks mini-batches of b rows",
    "problem_hash": "hash of the problem's data",
    "twin": "implementation that this one repeats under a second label (A/A pair), or empty",
    "precision": "highest or tf32, as asked",
    "denormals": "kept or flushed",
    "blas": "the framework's linear algebra, in words",
    "iterates": "updates after which the weights were checked, from the problem's own start; blanks between them",
    "distances": "for each of `iterates`, the distance to the reference over what is allowed there",
    "losses": "for each of `iterates`, the mean squared error over all rows of the weights that came back",
    "published": "JSON: [update, loss that a text prints, lowest and highest that a found loss may be], or empty",
    "throttled": "what held the GPU's clocks back before or after the timed rounds, in NVIDIA's words; or empty",
    "digest": "seal over the row's rounds and facts",
    "limited_by": "what a step would wait for at the machine's limit: dispatch, cache, memory or compute",
    "reason": "why the row does not count; empty for a valid row",
}
NUMBERS = {
    "n": "rows of X",
    "d": "columns of X",
    "k": "targets",
    "batch": "rows in a step; n for full batch",
    "steps": "updates in one run",
    "lr": "learning rate",
    "seed": "seed of the problem",
    "threads": "threads allowed, of all ranks together",
    "ranks": "processes that are one descent",
    "wire_bytes": "bytes that a rank sends per step by a ring's all-reduce, computed",
    "block": "number of the block: one fresh process each",
    "error": "worst distance to the reference iterate",
    "allowed": "distance allowed there",
    "import_s": "seconds to import the framework",
    "prepare_s": "seconds to move the data and build the run",
    "first_s": "seconds of the first run, with tracing and compiling",
    "steady_s": "seconds of a later run (median)",
    "fixed_s": "seconds of a run of no steps",
    "per_step_s": "median over rounds of (run - run of no steps) / steps, seconds",
    "cpu_over_wall": "CPU seconds per second of a run",
    "rss_bytes": "memory of the process, bytes",
    "matmul_bits": "mantissa bits that a matrix-matrix product keeps: 23 float32, 52 float64, 10 TF32",
    "matvec_bits": "mantissa bits that a matrix-vector product keeps",
    "framework_threads": "the framework's own count of its threads",
    "growth": "(run - run of half the steps) / (run - run of no steps); 0.5 where time grows with steps",
    "compiles": "compilations in timed runs",
    "gc_runs": "garbage collections in timed runs",
    "pace_s": "seconds of a calibration loop of fixed work around the timed runs: how fast the machine was",
    "blocked_s": "seconds of a run spent waiting for the device",
    "transfer_s": "seconds of prepare_s in which data moved to the device",
    "event_s": "seconds of a run by the GPU's own clock, from its start's arrival to its last work, outside the rounds",
    "memory_limit_bytes": "what the worker was allowed (--memory), all ranks together, bytes",
    "device_bytes": "most memory held on the GPU, bytes (JAX: since its process began)",
    "sm_mhz_before": "clock of the GPU's processors before the timed rounds, MHz",
    "sm_mhz_after": "after them",
    "memory_mhz_before": "clock of the GPU's memory before the timed rounds, MHz",
    "memory_mhz_after": "after them",
    "gpu_celsius_before": "temperature of the GPU before the timed rounds, degrees Celsius",
    "gpu_celsius_after": "after them",
    "gpu_watts_before": "power that the GPU drew before the timed rounds, W",
    "gpu_watts_after": "after them",
    "max_sm_mhz": "fastest clock of the GPU's processors, MHz",
    "limit_s": "seconds that a step would take at the machine's limit",
    "two_pass_s": "the same for a step that reads X twice, as two products do",
    "fraction_of_limit": "limit_s over per_step_s: 1 is at the limit",
}
STATS = {
    "rounds": "timed rounds in the row",
    "min_s": "shortest round, seconds",
    "median_s": "median round, seconds",
    "iqr_s": "interquartile range of the rounds, seconds",
}
COLUMNS = {**ORIGIN, **WORDS, "valid": "checked against the reference, within `allowed`, and timed", **NUMBERS, **STATS}


class RunError(Exception):
    """A run cannot be found, read or used as asked: one line, what and why."""


@dataclass(frozen=True, eq=False)
class Run:
    """One saved file.

    label: machine/NNNN_name, the name that finds it; machine: slug; when: UTC; document: the file without its rows.
    sealed: whether anything in it carries a digest.
    rows: one per case and block, see COLUMNS, and whatever else the file says of them.
    """

    path: Path
    label: str
    machine: str
    when: datetime
    document: dict[str, Any]
    sealed: bool
    rows: pd.DataFrame

    @property
    def date(self) -> str:
        """UTC, to the minute."""
        return self.when.strftime("%Y-%m-%d %H:%MZ")

    @property
    def campaign(self) -> dict[str, Any]:
        """What the suite noted of the whole run; empty if there is no note."""
        return mapping(self.document.get("campaign"))

    @property
    def commit(self) -> dict[str, Any]:
        """What the file says of the commit that it was made from."""
        return mapping(self.document.get("commit_info"))


def document(path: Path) -> tuple[str, dict[str, Any]]:
    """The text of a file, and all that it holds. Raises RunError if it is no benchmark file, or too much of one."""
    try:
        status = path.stat()
        if not stat.S_ISREG(status.st_mode):  # a pipe would be waited for
            raise RunError(f"cannot read {path}: no regular file")
        if status.st_size > BYTES:
            raise RunError(f"cannot read {path}: {status.st_size:,} bytes; {BYTES:,} are read at most")
        source = path.read_bytes().decode("utf-8")
        content = parsed(source)
    except OSError as error:
        raise RunError(f"cannot read {path}: {error.strerror}") from error
    except json.JSONDecodeError as error:
        cut = error.pos >= len(source.rstrip()) or error.msg.startswith("Unterminated string")
        raise RunError(f"{path} is {'empty or cut off' if cut else 'not JSON'}: {error}") from error
    except (ValueError, RecursionError) as error:
        raise RunError(f"{path} is not JSON: {error}") from error
    if said := fault(content):
        raise RunError(f"{path} is not a benchmark file: {said}")
    if said := check_limits(content):
        raise RunError(f"cannot read {path}: {said}")
    return source, dict(content)


def mapping(value: object) -> dict[str, Any]:
    """`value` if it is a mapping, else an empty one: files come from strangers."""
    return value if isinstance(value, dict) else {}


def sequence(value: object) -> list[dict[str, Any]]:
    """The mappings in `value`, if it is a list."""
    return [mapping(entry) for entry in value] if isinstance(value, list) else []


def text(value: object) -> str:
    """Words for a value of a file: nothing for null, JSON for what is nested."""
    return value if isinstance(value, str) else "" if value is None else json.dumps(value)


def number(value: object) -> float:
    """`value` if it is a number, else NaN."""
    return value if isinstance(value, (int, float)) and not isinstance(value, bool) else math.nan


def facts(run: Run) -> dict[str, str]:
    """What the run says of its machine, in words: cpu, cores, memory, gpu, Python, system and each package."""
    info = mapping(run.document["machine_info"])
    told = {
        "cpu": text(mapping(info.get("cpu")).get("brand_raw")),
        "cores": text(info.get("cores") or mapping(info.get("cpu")).get("count")),
        "memory": f"{number(info.get('ram_bytes')) / 2**30:.1f} GiB",
        "gpu": text(info.get("gpu")) or "none",
        "python": text(info.get("python_version")),
        "system": f"{text(info.get('system'))} {text(info.get('release'))}".strip(),
    }
    told |= {name: text(version) for name, version in sorted(mapping(info.get("packages")).items())}
    return {name: "not recorded" if held in ("", "nan GiB") else shortened(held) for name, held in told.items()}
