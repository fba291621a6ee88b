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
