"""Environments for workers, to compare in one run: interpreters (--python), packages (--with), threads, precisions.

An environment for --with is made once in the user's cache folder, by uv if it is installed, else by venv and pip. Later
runs use it again, without a network.
"""

import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import impls
from benchmarks.machine import privacy
from benchmarks.machine.files import lock_descriptor
from benchmarks.typed_json import Text

OLDEST_PYTHON = (3, 11)
HERE = "here"  # in --with and --python: the environment of pytest itself
ADDED_PACKAGES = ("numpy", "threadpoolctl")  # what a worker needs, and what reports the threads of a BLAS
REQUIREMENT = re.compile(r"[A-Za-z0-9][\w.-]*(\[[\w,.-]+\])?([=<>!~]=?[=\w.*+!,<>-]+)?")
NAME = re.compile(r"[\w.+-]{1,40}")
TIMEOUT_S = 60  # of an interpreter
COMPLETE_FILE = "complete"  # marks a finished environment
DESCRIBE_SCRIPT = """
import importlib.metadata, json, platform, sys, sysconfig
names = {str(dist.metadata["Name"]).lower(): dist.version for dist in importlib.metadata.distributions()}
free = bool(sysconfig.get_config_var("Py_GIL_DISABLED"))
print(json.dumps({"version": list(sys.version_info[:3]), "free": free, "packages": names}))
"""


@dataclass(frozen=True)
class Environment:
    """An environment of workers. Its label follows the name of an implementation, after an @.

    path: the executable of its Python; "" for that of pytest. requirements: the packages to install, none for --python.
    threads, precision: of its workers; 0 and "" for those of the plan.
    """

    label: str
    path: str = ""
    requirements: tuple[str, ...] = ()
    threads: int = 0
    precision: str = ""

    @property
    def settings(self) -> dict[str, int | str]:
        """Return the settings of its workers; {} for an interpreter with its packages."""
        return {name: value for name, value in (("threads", self.threads), ("precision", self.precision)) if value}

    @property
    def install(self) -> str:
        """Return how to add a {package} to it; "" for the environment of pytest."""
        if self.requirements:
            return f"--with '{' '.join(self.requirements)} {{package}}' installs it"
        return f"python -m pip install {{package}}, with the Python called {self.label}" if self.path else ""

    def frameworks(self, candidates: set[str]) -> set[str]:
        """Return the frameworks among `candidates` whose packages are required: jaxlib belongs to JAX."""
        packages = [requirement.lower().replace("_", "-") for requirement in self.requirements]
        names = {name: (name, impls.PACKAGES.get(name, name)) for name in candidates}
        return {name for name, spelt in names.items() if any(package.startswith(spelt) for package in packages)}


@dataclass(frozen=True)
class Facts:
    """The version and the packages of an interpreter. digest: a hash over the packages."""

    python: Text
    packages: dict[Text, Text]
    digest: Text


def existing(words: list[str], directory: Path) -> list[Environment]:
    """Return the interpreters of --python: `PATH`, `NAME=PATH` or `here`. Raises ValueError, one line each."""
    environments = []
    for word in words:
        name, _, path = word.rpartition("=")
        if name and not NAME.fullmatch(name):
            raise ValueError(f"--python {word}: a name has letters, digits and . _ + - only")
        path = "" if path == HERE else str(directory / path)
        environments.append(Environment(name or f"python-{describe(path).python}", path))
    labels = Counter(environment.label for environment in environments)
    if repeated := [label for label, count in labels.items() if count > 1]:
        raise ValueError(f"--python: two are called {repeated[0]}; name them: --python old=PATH,new=PATH")
    return environments


def of_packages(words: list[str]) -> list[Environment]:
    """Return the environments of --with, each from a word such as `jax==0.9.0 numpy==2.3.0`. Raises ValueError."""
    environments = []
    for word in words:
        requirements = tuple(word.split())
        if requirements == (HERE,):
            environments.append(Environment(HERE))
            continue
        for requirement in requirements:
            if not REQUIREMENT.fullmatch(requirement):
                raise ValueError(f"--with {requirement!r} is no package; write --with 'jax==0.9.0', or {HERE}")
        if not requirements:
            raise ValueError("--with names no package; write --with 'jax==0.9.0'")
        key = " ".join([*sorted(requirements), sys.version, sys.base_prefix])
        name, digest = re.sub(r"[^\w.-]+", "-", requirements[0]), hashlib.sha256(key.encode()).hexdigest()[:8]
        folder = cache() / f"{name}-{digest}"
        environments.append(Environment(requirements[0], str(folder / "bin" / "python"), requirements))
    labels = Counter(environment.label for environment in environments)
    if repeated := [label for label, count in labels.items() if count > 1]:
        raise ValueError(f"--with {repeated[0]} is given twice")
    return environments


def of_precisions(names: list[str], devices: list[str], dtypes: list[str]) -> list[Environment]:
    """Return the environments of several --precision. Raises ValueError where they would be the same."""
    words = f"--precision {','.join(names)}: both would compute the same"
    if devices != ["gpu"]:
        raise ValueError(f"{words} on a CPU, which has no TF32; add --device gpu")
    if dtypes != ["float32"]:
        raise ValueError(f"{words} in float64, which TF32 does not concern; add --dtype float32")
    return [Environment(f"precision={name}", precision=name) for name in names]


def serving(impl: str, candidates: list[Environment], frameworks: set[str]) -> list[Environment]:
    """Return the environments that run an implementation, by its framework. A user's file runs in all of them."""
    compared = {name for environment in candidates for name in environment.frameworks(frameworks)}
    framework = Path(impl).stem.partition("_")[0]
    served = [(entry, entry.frameworks(frameworks) if entry.requirements else compared) for entry in candidates]
    return [entry for entry, names in served if not names or framework in names or impl.endswith(".py")]


def cache() -> Path:
    """Return the folder of the environments that --with has made."""
    return Path(os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")) / "descentbench" / "environments"


def make(environment: Environment, report: Callable[[str], object]) -> None:
    """Install the packages of an environment once. `report` gets a line before a long installation.

    Raises ValueError, with the installer's reason; then nothing is left of the environment.
    """
    folder = Path(environment.path).parents[1]
    try:
        folder.parent.mkdir(0o700, parents=True, exist_ok=True)
        file = os.open(f"{folder}.lock", os.O_WRONLY | os.O_CREAT | os.O_NOFOLLOW, 0o600)
        with open(file, "w") as lock:  # two runs may install the same environment
            lock_descriptor(lock.fileno())
            if (folder / COMPLETE_FILE).exists():
                return
            report(f"making the environment {environment.label} in {privacy.path_replacer()(str(folder))}, once")
            shutil.rmtree(folder, ignore_errors=True)
            try:
                _install(folder, [*environment.requirements, *ADDED_PACKAGES])
                (folder / COMPLETE_FILE).touch()
            except BaseException:
                shutil.rmtree(folder, ignore_errors=True)
                raise
    except OSError as error:
        raise ValueError(f"--with {environment.label}: cannot write {folder}: {error.strerror or error}") from error


def _install(folder: Path, requirements: list[str]) -> None:
    """Make a virtual environment with these packages. Raises ValueError."""
    python = str(folder / "bin" / "python")
    if uv := shutil.which("uv"):
        create, install = [uv, "venv", "--python", sys.executable], [uv, "pip", "install", "--python", python]
    else:
        create = [sys.executable, "-m", "venv", "--without-pip"]
        install = [sys.executable, "-m", "pip", "--python", python, "--disable-pip-version-check", "install"]
    for step in [*create, str(folder)], [*install, *requirements]:
        result = subprocess.run(step, capture_output=True, text=True, errors="replace", env=_environment())
        if result.returncode:
            lines = [line.strip() for line in result.stderr.splitlines() if line.strip()]
            errors = [line for line in lines if line.lower().startswith("error")]
            reason = " ".join((errors or lines or ["the installer failed"])[-1].split())[:200]
            raise ValueError(f"--with {requirements[0]}: {reason}; check the name and the version, and the network")


def describe(path: str) -> Facts:
    """Ask an interpreter for its version and packages. Raises ValueError if it cannot run workers, with the reason."""
    name, words = path or sys.executable, "give the path of a python"
    try:
        command, env = [name, "-c", DESCRIBE_SCRIPT], _environment()
        result = subprocess.run(command, capture_output=True, text=True, timeout=TIMEOUT_S, errors="replace", env=env)
        facts = json.loads(result.stdout)
        version, packages = tuple(facts["version"]), dict(facts["packages"])
    except OSError as error:
        raise ValueError(f"{name}: {error.strerror}; {words}, such as .venv/bin/python") from error
    except subprocess.TimeoutExpired as error:
        raise ValueError(f"{name} did not answer within {TIMEOUT_S} s; {words}") from error
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(f"{name} is no Python {OLDEST_PYTHON[0]}.{OLDEST_PYTHON[1]} or newer; {words}") from error
    number = ".".join(map(str, version))
    if version < OLDEST_PYTHON:
        raise ValueError(f"{name} is Python {number}; workers need {OLDEST_PYTHON[0]}.{OLDEST_PYTHON[1]} or newer")
    if "numpy" not in packages:
        raise ValueError(f"{name} has no NumPy, which workers need: {name} -m pip install numpy")
    digest = hashlib.sha256(json.dumps(sorted(packages.items())).encode()).hexdigest()[:12]
    return Facts(number + "t" * bool(facts["free"]), packages, digest)


def _environment() -> dict[str, str]:
    """Return this process's variables without those that point into its own environment."""
    return {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "PYTHONHOME")}
