"""The plan: presets, cases, and the order in which they run."""

import dataclasses
import math
import random
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.machine.environments import Environment, serving
from benchmarks.problems.table_text import TableFormat
from impls.traits import TRAITS

DEFAULT_PROBLEMS = "line scalar crops crops@5 small small@100 medium medium@256"
EXTRA_PROBLEMS = "tiny tiny@50 large large@1024 huge huge@4096 diabetes diabetes@32 linnerud linnerud@5"


@dataclass(frozen=True)
class Preset:
    """Default problems, dtypes, blocks, and seconds of timed rounds for each case."""

    problems: list[str]
    dtypes: list[str]
    blocks: int
    seconds: float


PRESETS = {
    "quick": Preset(["line", "crops", "crops@5", "small@100", "medium"], ["float32"], 1, 0.1),
    "default": Preset(DEFAULT_PROBLEMS.split(), ["float32"], 1, 0.25),
    "full": Preset(f"{DEFAULT_PROBLEMS} {EXTRA_PROBLEMS}".split(), ["float32", "float64"], 3, 1.0),
}


@dataclass(frozen=True)
class Case:
    """One future row: an implementation on a device, a problem in a dtype, one block."""

    impl: str  # as `impls.load` takes it
    device: str
    problem: str
    dtype: str
    block: int
    is_duplicate: bool = False  # the second of an A/A pair
    label: str = ""  # the problem's name if that of its file is ambiguous
    environment: str = ""  # the label of the environment that it runs in; "": that of pytest

    @property
    def impl_name(self) -> str:
        """The name of the implementation or its file; with an environment, `@` and its label follow."""
        name = Path(self.impl).stem if self.impl.endswith(".py") else self.impl
        return f"{name}@{self.environment}" if self.environment else name

    @property
    def name(self) -> str:
        """The label of its rows: the implementation's name, with a suffix for the second half of an A/A pair."""
        return f"{self.impl_name}-again" if self.is_duplicate else self.impl_name

    @property
    def title(self) -> str:
        """The problem's name; for a table, the file's."""
        return self.label or Path(self.problem).name

    @property
    def process_key(self) -> tuple[str, str, int]:
        """The key of its process: cases of one label on one device in one block share a worker."""
        return self.name, self.device, self.block

    @property
    def row(self) -> dict[str, Any]:
        """The facts of its row that the case itself determines."""
        facts = dataclasses.asdict(self) | {"impl": self.name, "problem": self.title}
        facts.pop("label")
        if not self.environment:
            facts.pop("environment")
        return facts | {"duplicate_of": self.impl_name if facts.pop("is_duplicate") else ""}

    @property
    def group(self) -> str:
        """The group that it is compared in: the same problem, dtype and device."""
        return f"{self.title} {self.dtype} {self.device}"

    @property
    def process_name(self) -> str:
        """The name of its process without the block."""
        return f"{self.name}-{self.device}"

    @property
    def place(self) -> str:
        """Its name without the block."""
        return f"{self.process_name}-{self.title}-{self.dtype}"

    def __str__(self) -> str:
        return f"{self.place}-{self.block}"


@dataclass(frozen=True)
class Plan:
    """The requested cases and settings."""

    impls: list[str]
    devices: list[str]
    problems: list[str]
    dtypes: list[str]
    blocks: int
    seconds: float
    threads: int
    seed: int
    timeout: float
    memory: int | None = None  # bytes that a worker may have, or all ranks together
    aa: list[str] = field(default_factory=list)  # the implementations that run twice in every block
    precision: str = "highest"
    ranks: int = 0  # processes that share one descent; 0: each implementation is one process
    hosts: list[str] = field(default_factory=list)  # that share the ranks, this one first; []: this one alone
    remote_shell: str = ""  # the command that reaches another host; its name is appended
    minutes: float = math.inf  # a block begins only if it can end by then
    until_decided: bool = False  # whether a block leaves out the cases without an open question
    shuffle: bool = True  # whether a block runs implementations and devices in random order, or as given
    energy: bool = False  # whether each case on a GPU runs a second more, for the energy of a step
    profile: bool = False  # whether each case on a GPU is profiled, in a process of its own
    limits: bool = True  # whether the machine's limits are measured as well, block by block
    lr: float | None = None
    steps: int | None = None  # updates in a run; None: the problem's own number
    target: list[str] = field(default_factory=list)  # columns of a table to predict
    reading: TableFormat = field(default_factory=TableFormat)  # how to read a table
    labels: dict[str, str] = field(default_factory=dict)  # of tables whose files share a name
    environments: list[Environment] = field(default_factory=list)  # to compare; []: only that of pytest

    def environments_of(self, impl: str) -> list[str]:
        """Return the labels of the environments that an implementation runs in; "" is that of pytest."""
        frameworks = {name.partition("_")[0] for name in TRAITS}
        return [environment.label for environment in serving(impl, self.environments, frameworks)] or [""]

    def cases(self) -> list[Case]:
        """Return the cases block by block: implementations and devices, each in its process, shuffled or in order.

        The dtypes of a process are shuffled too, so that none of them is always the first.
        """
        cases = []
        labels = [(impl, False, environment) for impl in self.impls for environment in self.environments_of(impl)]
        labels += [(impl, True, self.environments_of(impl)[0]) for impl in self.impls if impl in self.aa]
        if not self.shuffle:  # each duplicate follows its original: a run that is cut short lacks its end
            labels.sort(key=lambda label: self.impls.index(label[0]))
        for block in range(self.blocks):
            processes = [(*label, device) for label in labels for device in self.devices]
            generator, dtypes = random.Random(f"{self.seed} {block}"), self.dtypes
            if self.shuffle:
                generator.shuffle(processes)
            for impl, is_duplicate, environment, device in processes:
                dtypes = generator.sample(dtypes, len(dtypes)) if self.shuffle else dtypes
                cases += [
                    Case(impl, device, problem, dtype, block, is_duplicate, self.labels.get(problem, ""), environment)
                    for problem in self.problems
                    for dtype in dtypes
                ]
        return cases
