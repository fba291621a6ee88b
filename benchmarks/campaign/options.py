"""The options of `pytest benchmarks`, and the plan that they ask for."""

import dataclasses
import hashlib
import importlib.util
import math
import os
from argparse import Namespace
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

import impls
from benchmarks.campaign import revisions
from benchmarks.campaign.plan import PRESETS, Plan
from benchmarks.distributed.hosts import SSH
from benchmarks.machine import environments, identity
from benchmarks.machine.environments import Environment
from benchmarks.problems import catalogue
from benchmarks.problems.table_files import is_table
from benchmarks.problems.table_text import FORMAT_OPTIONS, TableFormat, read_as
from benchmarks.worker import memory
from benchmarks.worker.client import TIMEOUT

MAX_STEPS = 10**6  # of a run
OPEN_END_BLOCKS = 40  # at most, with --minutes or --until-decided
MAX_NAMES, MAX_NAME_CHARACTERS = 1_000, 200  # of implementations, problems or blocks; of a name
VERDICT_PACKAGES = ("pandas", "scipy")
PRECISIONS = ["highest", "tf32"]
AA_IMPL = "numpy_manual"  # runs twice in every block, if it runs at all
DTYPES = ["float32", "float64", *catalogue.HALF_DTYPES]
HASH_DIGITS = 4  # of a hash that distinguishes tables with the same file name
OPT_IN_IMPLS = ["dask_manual"]  # run only if named: a step of Dask's takes some 10 ms whatever its size


def plan(option: Namespace, directory: Path) -> Plan:
    """Return the plan that the options ask for. Relative paths start at `directory`. Raises ValueError."""
    (preset_name,) = choose("preset", option.preset, list(PRESETS), at_most=1)
    preset, timeout = PRESETS[preset_name], TIMEOUT if option.timeout is None else option.timeout
    counts = thread_counts(option.threads)
    threads = max(counts)
    minutes = math.inf if option.minutes is None else option.minutes
    blocks = preset.blocks if option.minutes is None and not option.until_decided else OPEN_END_BLOCKS
    blocks = blocks if option.blocks is None else option.blocks
    hosts = words(option.hosts or "")
    ranks = option.ranks or len(hosts)
    if hosts and ranks % len(hosts):
        raise ValueError(f"--ranks {ranks}: give a multiple of the {len(hosts)} hosts, as many ranks for each")
    for name, value, low, high in (
        *(("--threads", count, 1, identity.cores()) for count in counts),
        ("--blocks", blocks, 1, MAX_NAMES),
        ("--minutes", minutes, 0.1, math.inf),
        ("--timeout", timeout, 0.1, 1e6),
        ("--seed", option.seed, 0, 10**15),
        ("--steps", 1 if option.steps is None else option.steps, 1, MAX_STEPS),
        ("--lr", 1 if option.lr is None else option.lr, 1e-100, 1e100),
        ("--ranks", ranks // max(1, len(hosts)), 0, 10_000 if option.oversubscribe else threads),
    ):
        if not low <= value <= high:
            number = f"{value:g}" if isinstance(value, float) else value
            raise ValueError(f"{name} must be between {low} and {high}, not {number}")
    if isinstance(option.benchmark_json, (str, Path)) and not (folder := Path(option.benchmark_json).parent).is_dir():
        raise ValueError(f"--benchmark-json {option.benchmark_json}: there is no folder {folder}; make it first")
    if ranks and option.dtype and {*words(option.dtype)} & {*catalogue.HALF_DTYPES}:
        raise ValueError("--ranks: X in 16 bits is for single processes; use --dtype float32")
    required = VERDICT_PACKAGES if option.until_decided else ()
    if absent := [name for name in required if importlib.util.find_spec(name) is None]:
        raise ValueError(f"--until-decided needs {' and '.join(absent)}: pip install {' '.join(absent)}")
    if option.dask_scheduler and option.impl is None:
        raise ValueError("--dask-scheduler goes with an implementation that uses it: --impl dask_manual")
    memory.total()  # raises now, before the first case, if the environment variable is wrong
    target, chosen_impls = option.target or [], implementations(option.impl, directory)
    reading = read_as(option)
    problems = [option.problem, *([] if option.grid is None else catalogue.grid(words(option.grid)))]
    labels = tables(",".join(filter(None, problems)) or option.problem, directory, target, reading)
    precisions = choose("precision", option.precision, PRECISIONS)
    devices = choose("device", option.device, ["cpu", "gpu"])
    dtypes = preset.dtypes if option.dtype is None else choose("dtype", option.dtype, DTYPES)
    compared = {
        "--with": option.with_packages,
        "--python": option.python,
        "several --threads": counts[1:],
        "several --precision": precisions[1:],
    }
    settings = [name for name, value in compared.items() if value]
    has_revision = any(map(revisions.FILE_AT_REVISION.fullmatch, words(option.impl or "")))
    revised = ["--impl FILE@REVISION"] if has_revision else []
    if len(axes := settings + revised) > 1:
        raise ValueError(f"{' and '.join(axes)}: compare along one axis at a time; a --python may have any packages")
    if settings and (ranks or option.dask_scheduler):
        raise ValueError(f"{settings[0]}: single processes only; leave out --ranks, --hosts and --dask-scheduler")
    result = Plan(
        impls=chosen_impls,
        devices=devices,
        problems=list(labels) or preset.problems,
        labels={name: label for name, label in labels.items() if label},
        dtypes=dtypes,
        blocks=blocks,
        minutes=minutes,
        until_decided=option.until_decided,
        limits=not option.no_limits,
        shuffle=not option.in_order,
        energy=option.energy,
        precision=precisions[0],
        profile=option.profile,
        aa=repeated(option.aa, chosen_impls, directory),
        seconds=preset.seconds,
        threads=threads,
        ranks=ranks,
        hosts=hosts,
        remote_shell=option.remote_shell,
        seed=option.seed,
        timeout=timeout,
        memory=None if option.memory is None else memory.parse_size(option.memory),
        lr=option.lr,
        steps=option.steps,
        target=target,
        reading=reading,
        environments=environments.of_packages(option.with_packages or [])
        + environments.existing(words(option.python or ""), directory)
        + ([Environment(f"threads={count}", threads=count) for count in counts] if counts[1:] else [])
        + (environments.of_precisions(precisions, devices, dtypes) if precisions[1:] else []),
    )
    check_names(result)
    return result


def check_names(plan: Plan) -> None:
    """Raise ValueError for names that no reader of the saved run would accept."""
    cases = dataclasses.replace(plan, blocks=1).cases()
    for option, names in ("--impl", {case.name for case in cases}), ("--problem", {case.title for case in cases}):
        if len(names) > MAX_NAMES:
            raise ValueError(f"{option}: {len(names):,} names; give {MAX_NAMES:,} at most")
        for name in sorted(names):
            if len(name) > MAX_NAME_CHARACTERS or not name.isprintable():
                rule = f"a name has at most {MAX_NAME_CHARACTERS} characters, all of them printable"
                raise ValueError(f"{option} {name[:MAX_NAME_CHARACTERS]!r}: rename the file; {rule}")


def thread_counts(text: str | None) -> list[int]:
    """Return the thread counts of --threads; by default the number of cores. Raises ValueError."""
    try:
        counts = [int(word) for word in words(text or str(identity.cores()))]
    except ValueError:
        counts = []
    if not counts:
        raise ValueError(f"--threads {text!r}: give a number, or several to compare: 1,2")
    return counts


def choose(kind: str, text: str, names: list[str], at_most: int = 99) -> list[str]:
    """Return the comma-separated words. Raises ValueError for an unknown one."""
    if not 1 <= len(words(text)) <= at_most:
        raise ValueError(f"--{kind} {text!r}: name {'one' if at_most == 1 else 'at least one'} of {', '.join(names)}")
    for word in words(text):
        if word not in names:
            raise ValueError(f"no {kind} {word!r}{impls.nearest(word, names)}")
    return words(text)


def words(text: str) -> list[str]:
    """Return the comma-separated words, each once."""
    return list(dict.fromkeys(word.strip() for word in text.split(",") if word.strip()))


def implementations(text: str | None, directory: Path) -> list[str]:
    """Return names and absolute paths, by default all names except OPT_IN_IMPLS. Raises ValueError."""
    if text is None:
        return [name for name in impls.names() if name not in OPT_IN_IMPLS]
    if not words(text):
        raise ValueError(f"--impl {text!r}: name at least one of {', '.join(impls.names())}")
    paths = [_path(word, directory) for word in words(text)]
    names = Counter(Path(path).stem for path in paths)
    for path in paths:
        if names[Path(path).stem] > 1:
            raise ValueError(f"two implementations are called {Path(path).stem!r}; rename one file")
        if path.endswith(".py") and not Path(path).is_file():
            raise ValueError(f"no file {path!r}")
        if not path.endswith(".py"):
            choose("implementation", path, impls.names())
    return paths


def _path(word: str, directory: Path) -> str:
    """Return the absolute path of a file, also of one in a revision (`path.py@REV`), or the name."""
    if match := revisions.FILE_AT_REVISION.fullmatch(word):
        return str(revisions.file_of((directory / match["path"]).absolute(), match["revision"]))
    return str(directory / word) if word.endswith(".py") else word


def repeated(text: str | None, running: list[str], directory: Path) -> list[str]:
    """Return the implementations that run twice; [] for `none`. Raises ValueError for one that does not run."""
    if text is None:
        return [AA_IMPL if AA_IMPL in running else running[0]]
    names = {Path(path).stem if path.endswith(".py") else path: path for path in running}
    paths = []
    for word in [] if text == "none" else words(text):
        path = str(directory / word) if word.endswith(".py") else word
        if path not in running and word not in names:
            raise ValueError(f"--aa {word!r}: name some that run, or none (running: {', '.join(names)})")
        paths.append(path if path in running else names[word])
    return paths


def tables(text: str | None, directory: Path, target: list[str], reading: TableFormat) -> dict[str, str]:
    """Return the problems by name, each with a label: "" unless it is a table whose file name is not unique.

    A table's name is its absolute path; equal tables appear once. Raises ValueError for no name or an unknown one.
    """
    if text is not None and not words(text):
        raise ValueError(f"--problem {text!r}: name at least one of {', '.join(catalogue.CATALOGUE)}, path.csv")
    names: dict[str, str] = {}
    files: dict[str, dict[str, str]] = {}  # by the file's name, then by a hash over the numbers
    for word in words(text or ""):
        base, batch = catalogue.parse(word)
        if is_table(base):
            word = base if "://" in base else str(directory / base) + (f"@{batch}" if batch else "")
            problem, _ = catalogue.build(word, target=target, reading=reading)
            data_hash = hashlib.sha256(problem.X.tobytes() + problem.y.tobytes())
            full_hash = hashlib.sha256(data_hash.digest() + problem.w0.tobytes())
            digest = data_hash.hexdigest()[:HASH_DIGITS] + full_hash.hexdigest()
            if files.setdefault(Path(word).name, {}).setdefault(digest, word) != word:
                continue
        names[word] = ""
    for name, tables_of_name in files.items():
        short_digests = {digest[:HASH_DIGITS] for digest in tables_of_name}
        digits = HASH_DIGITS if len(short_digests) == len(tables_of_name) else 16
        for digest, word in tables_of_name.items() if len(tables_of_name) > 1 else ():
            names[word] = f"{digest[:digits]}~{name}"
    if (target or reading != TableFormat()) and not files:
        raise ValueError(f"--target, {FORMAT_OPTIONS} go with a table: --problem path.csv")
    return names


class Option:
    """An option of `pytest benchmarks`: `--name VALUE` or a flag `--name`, its help text and argparse's settings."""

    def __init__(self, usage: str, help: str, **settings: Any) -> None:
        self.name, _, value = usage.partition(" ")
        self.help = help
        self.settings = settings | ({"metavar": value} if value else {"action": "store_true"})
        self.attribute = settings.get("dest") or self.name.removeprefix("--").replace("-", "_")  # of `config.option`
        kinds: dict[str, type] = {"store_true": bool, "append": list}
        self.kind = kinds.get(self.settings.get("action", ""), settings.get("type", str))  # of a value that is not None


OPTIONS = (
    Option(
        "--preset NAME",
        f"number of problems, dtypes and blocks: {', '.join(PRESETS)} (default: default)",
        default="default",
    ),
    Option(
        "--impl A,PATH.py,PATH.py@REV",
        "implementations: names, or paths of your own files, also as in a git revision (default: all)",
    ),
    Option(
        "--problem P,Q,PATH.csv",
        "problems, `small@32` for mini-batches of 32 rows, or your own table (default: the preset's)",
    ),
    Option(
        "--grid all,B",
        "problems of 100 to 1,000,000 rows and 2 to 1,000 features: full batch, mini-batches of B rows, or both",
    ),
    Option(
        "--target COL", "column of your own table to predict; several: COL,COL or repeat the option", action="append"
    ),
    Option("--sep SEP", "what separates the cells of your table (default: detected)"),
    Option("--decimal {.,,}", "decimal mark of your table (default: detected)", choices=[".", ","]),
    Option("--no-names", "your table has no line of names; columns are called 1, 2, ..."),
    Option("--drop COL", "column of your table to leave out; may be repeated", action="append"),
    Option("--encoding NAME", "encoding of your table, such as cp1252 (default: UTF-8, or by its byte-order mark)"),
    Option("--device cpu,gpu", "cpu, gpu or both (default: cpu)", default="cpu"),
    Option("--dtype float32,bfloat16", "float32, float64; float16, bfloat16 for X alone (default: the preset's)"),
    Option("--blocks K", "number of blocks: each runs everything in fresh processes (default: the preset's)", type=int),
    Option("--minutes M", "time limit in minutes: run as many blocks as fit, at least one (default: none)", type=float),
    Option("--until-decided", "after each block, omit the decided cases; end when all are decided, or after --minutes"),
    Option(
        "--aa A,B",
        "implementations to run twice per block as an A/A control, or none (default: numpy_manual or the first)",
    ),
    Option(
        "--precision highest,tf32",
        "precision of float32 products: highest or tf32, on a GPU both to compare (default: highest)",
        default="highest",
    ),
    Option(
        "--with PACKAGES",
        "packages to install for their framework's implementations: jax==0.9.0, or `here` for none; repeat to compare",
        action="append",
        dest="with_packages",
    ),
    Option("--python PYTHON,NAME=PYTHON", "interpreters that run all implementations, or `here`"),
    Option("--threads N,M", "threads and cores of implementations; several to compare (default: all cores)"),
    Option(
        "--ranks N",
        "number of ranks that share one descent, each on its own cores (default: 0, off)",
        type=int,
        default=0,
    ),
    Option("--hosts A,B", "hosts that share the ranks, this one first, reached by ssh (default: this one)"),
    Option("--remote-shell COMMAND", "command that runs a command on a host (default: ssh)", default=SSH),
    Option("--oversubscribe", "allow more ranks than threads: they share cores"),
    Option("--seed N", "seed of the data and of the order of mini-batches (default: 0)", type=int, default=0),
    Option("--steps N", "updates in a run (default: the problem's own number)", type=int),
    Option("--lr LR", "learning rate (default: the problem's own, 1/L for most)", type=float),
    Option("--machine NAME", "name of this machine in results/runs (default: CPU, cores, GPU, a hash)"),
    Option("--dask-scheduler ADDRESS", "address of a cluster's scheduler (default: a cluster in the worker)"),
    Option("--timeout S", "seconds after which a case is killed (default: 300)", type=float),
    Option("--memory SIZE", "memory limit of a worker, all ranks together: 8GB, 512MiB (default: no limit)"),
    Option("--require", "treat a skip as an error (use --impl to name what must run)"),
    Option("--no-limits", "skip measuring the machine's limits: saves 10 seconds every ten minutes"),
    Option("--energy", "measure the energy of a step on a GPU: one second more a case"),
    Option(
        "--profile",
        "count launches and the GPU's busy time by the framework's profiler, each case on a GPU in its own process",
    ),
    Option("--in-order", "run implementations in the order of --impl, not shuffled: put the important ones first"),
    Option("--wait", "wait until no other measurement runs on this machine (default: refuse)"),
    Option("--rounds-table", "also print pytest-benchmark's table of rounds"),
    Option("--resume", "resume the latest interrupted campaign, with its own options"),
)


def pytest_addoption(parser: pytest.Parser, pluginmanager: pytest.PytestPluginManager) -> None:
    """Add the options to pytest's, without --timeout if pytest-timeout has its own.

    pytest loads this module before it looks for conftest.py files. Otherwise it would take the value of an unknown
    option, such as `--impl mine.py`, for a test path. It would then run the conftest.py beside it.
    """
    group = parser.getgroup("descentbench", "gradient descent, framework against framework")
    blocked = pluginmanager.is_blocked("timeout") or bool(os.environ.get("PYTEST_DISABLE_PLUGIN_AUTOLOAD"))
    installed = importlib.util.find_spec("pytest_timeout") is not None and not blocked
    for option in OPTIONS:
        if option.name != "--timeout" or not (installed or pluginmanager.hasplugin("timeout")):
            group.addoption(option.name, help=option.help, **option.settings)
