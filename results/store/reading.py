"""Read one saved file, and read values from it. The content is untrusted input."""

import json
import math
import os
import re
import stat
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pandas as pd

from results.output import shortened
from results.store.identity import hardware, processor
from results.store.json_values import parse_json
from results.store.schema import MAX_BYTES, MAX_JSON_VALUES, check_limits, parse_utc, validation_error

LISTED_FLAGS = 6  # differing ones of a CPU
NOT_CHECKED = "These rows are no descents of this suite: nobody has checked what they compute."


class RunError(Exception):
    """A run cannot be found, read or used. The message is one line: what is wrong, and where."""


@dataclass(frozen=True, eq=False)
class Run:
    """One saved file.

    label: machine/NNNN_name, which identifies the run on the command line.
    machine: slug. when: UTC. sealed: whether the file carries digests.
    document: the file without its rows.
    rows: one row per case and block, with COLUMNS and the other facts of the file.
    unfiltered: the rows before filters; None without filters. filters: the values of `rows` by column.
    """

    path: Path
    label: str
    machine: str
    when: datetime
    document: dict[str, Any]
    sealed: bool
    rows: pd.DataFrame
    unfiltered: pd.DataFrame | None = None
    filters: Mapping[str, Sequence[str] | None] = field(default_factory=dict)

    @property
    def all_rows(self) -> pd.DataFrame:
        """Return the rows without filters."""
        return self.rows if self.unfiltered is None else self.unfiltered

    @property
    def date(self) -> str:
        """Return date and time to the minute, UTC."""
        return self.when.strftime("%Y-%m-%d %H:%MZ")

    @property
    def is_foreign(self) -> bool:
        """Return whether the file has rows, and none of them is a descent of this suite."""
        return len(self.rows) > 0 and bool(self.rows["impl"].isna().all())

    @property
    def campaign(self) -> dict[str, Any]:
        """Return the facts of the campaign; empty if the file has none."""
        return mapping(self.document.get("campaign"))

    @property
    def commit(self) -> dict[str, Any]:
        """Return the facts of the measured commit; empty if the file has none."""
        return mapping(self.document.get("commit_info"))


def read_document(path: Path) -> dict[str, Any]:
    """Return the content of a file. Raises RunError if it is not a benchmark file or exceeds a limit."""
    return parse_document(path, read_bytes(path, MAX_BYTES))


def parse_document(path: Path, content: bytes) -> dict[str, Any]:
    """Return the parsed content of the file `path`. Raises RunError as `read_document` does."""
    if not content:  # also files of the kernel, which may never end
        raise RunError(f"{path} is empty or cut off")
    if sum(map(content.count, (b",", b"[", b"{"))) > MAX_JSON_VALUES:
        raise RunError(f"cannot read {path}: more than {MAX_JSON_VALUES:,} values")
    try:
        source = content.decode("utf-8")
        document = parse_json(source)
    except json.JSONDecodeError as error:
        truncated = error.pos >= len(source.rstrip()) or error.msg.startswith("Unterminated string")
        raise RunError(f"{path} is {'empty or cut off' if truncated else 'not JSON'}: {error}") from error
    except (ValueError, RecursionError) as error:
        raise RunError(f"{path} is not JSON: {error}") from error
    if message := validation_error(document):
        raise RunError(f"{path} is not a benchmark file: {message}")
    if message := check_limits(document):
        raise RunError(f"cannot read {path}: {message}")
    return dict(document)


def read_bytes(path: Path, limit: int) -> bytes:
    """Return the content of a file. Raises RunError if it has more than `limit` bytes, or is no regular file."""
    try:
        with open(path, "rb", opener=lambda name, flags: os.open(name, flags | os.O_NONBLOCK)) as file:  # for pipes
            status = os.fstat(file.fileno())
            if not stat.S_ISREG(status.st_mode):
                raise RunError(f"cannot read {path}: no regular file")
            if status.st_size > limit:
                raise RunError(f"cannot read {path}: {status.st_size:,} bytes; {limit:,} are read at most")
            return file.read(status.st_size)
    except IsADirectoryError as error:
        raise RunError(f"cannot read {path}: it is a folder; its runs are read with --runs {path}") from error
    except (OSError, ValueError) as error:  # the latter for a zero byte in the name
        raise RunError(f"cannot read {path}: {getattr(error, 'strerror', error)}") from error


def other_machine(a: Run, b: Run) -> str:
    """Return why two runs are not of one machine, or "". Equal ids prove nothing: images copy them to other hardware.

    A boot between the runs is no reason. Two systems that were up at the same time are two machines.
    """
    if a.machine != b.machine:
        return f"{a.label} was made on {a.machine}, {b.label} on {b.machine}"
    infos = [mapping(run.document["machine_info"]) for run in (a, b)]
    facts = [hardware(info) | ({"kernel": info["release"]} if info.get("release") else {}) for info in infos]
    differing = [name for name in facts[0] if name in facts[1] and facts[0][name] != facts[1][name]]
    texts = [f"{name} {text(facts[0][name])} and {text(facts[1][name])}" for name in differing]
    flags = [set(map(text, items(mapping(info.get("cpu")).get("flags")))) for info in infos]
    if all(flags) and (only := sorted(flags[0] ^ flags[1])):
        texts.append(f"CPU flags in one of them: {' '.join(only[:LISTED_FLAGS])}{' ...' * (len(only) > LISTED_FLAGS)}")
    boots = [_boot_time(info) for info in infos]
    if infos[0].get("boot_hash") != infos[1].get("boot_hash") and min(a.when, b.when) > max(boots):
        texts.append(f"boot {boots[0]:%Y-%m-%d %H:%MZ} and {boots[1]:%Y-%m-%d %H:%MZ}, both up at once")
    line = shortened("; ".join(texts))
    return f"both runs are of {a.machine}, but only possibly of the same machine: {line}" if texts else ""


def machine_groups(runs: list[Run]) -> dict[str, int]:
    """Return a number by run label. Runs share it unless something shows that they are of two machines."""
    groups: list[list[Run]] = []
    for run in sorted(runs, key=lambda run: run.when):
        fitting = (group for group in groups if not any(other_machine(run, other) for other in group))
        if (group := next(fitting, None)) is None:
            groups.append(group := [])
        group.append(run)
    return {run.label: number for number, group in enumerate(groups) for run in group}


def _boot_time(machine_info: dict[str, Any]) -> datetime:
    """Return the time of the boot; the latest possible time if it is not recorded."""
    try:
        return parse_utc(text(machine_info.get("boot_time")))
    except (ValueError, OverflowError):
        return datetime.max.replace(tzinfo=UTC)


def mapping(value: object) -> dict[str, Any]:
    """Return `value` if it is a mapping, else an empty one."""
    return value if isinstance(value, dict) else {}


def items(value: object) -> list[Any]:
    """Return `value` if it is a list, else an empty one."""
    return value if isinstance(value, list) else []


def sequence(value: object) -> list[dict[str, Any]]:
    """Return the items of a list, each as a mapping; an empty list if `value` is no list."""
    return [mapping(entry) for entry in items(value)]


def text(value: object) -> str:
    """Return a string as it is, "" for null, and JSON for every other value."""
    return value if isinstance(value, str) else "" if value is None else json.dumps(value)


def number(value: object) -> float:
    """Return `value` if it is a number, else NaN."""
    return value if isinstance(value, (int, float)) and not isinstance(value, bool) else math.nan


def facts(run: Run) -> dict[str, str]:
    """Return the facts of the machine as text: cpu, cores, memory, gpu, Python, system and each package."""
    info = mapping(run.document["machine_info"])
    texts = {
        "cpu": processor(info.get("cpu")),
        "cores": text(info.get("cores") or mapping(info.get("cpu")).get("count")),
        "memory": f"{number(info.get('ram_bytes')) / 2**30:.1f} GiB",
        "gpu": text(info.get("gpu")) or "none",
        "python": text(info.get("python_version")),
        "system": f"{text(info.get('system'))} {text(info.get('release'))}".strip(),
    }
    texts |= {name: text(version) for name, version in sorted(mapping(info.get("packages")).items())}
    return {name: "not recorded" if value in ("", "nan GiB") else shortened(value) for name, value in texts.items()}


def machine_words(run: Run) -> str:
    """Return a short name of the machine for readers: `AMD EPYC; 2 cores; no GPU`, also with `1 of 2 threads`."""
    machine = facts(run)
    cpu = re.sub(r"\(.*?\)| Processor| CPU", "", machine["cpu"])[:20].strip()
    gpu = "no GPU" if machine["gpu"] == "none" else machine["gpu"][:20]
    return "; ".join(filter(None, [cpu, f"{machine['cores']} cores", fewer_threads(run), gpu]))


def fewer_threads(run: Run) -> str:
    """Return `1 of 2 threads` if a run left cores idle, else ""."""
    threads, cores = run.campaign.get("threads"), mapping(run.document["machine_info"]).get("cores")
    return f"{threads} of {cores} threads" if number(threads) < number(cores) else ""


def require_own(*runs: Run) -> None:
    """Raise RunError for a file of another project."""
    for run in runs:
        if run.is_foreign:
            raise RunError(f"{run.label} holds no descents of this suite; see: python -m results show {run.path}")
