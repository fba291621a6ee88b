"""README, CONTRIBUTING and the Makefile say what is: figures of committed runs, commands, options, names and links."""

import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from helpers import ROOT

import impls
from benchmarks.__main__ import _parser as benchmarks_parser
from benchmarks.problems import catalogue
from results.__main__ import main as results
from results.__main__ import parser as results_parser
from results.upkeep import docs

README = (ROOT / "README.md").read_text()
PAGES = sorted((ROOT / "docs").glob("*.md"))
DOCS = [*(ROOT / name for name in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md")), *PAGES]
FILLED = ("questions.md", "results.md", "roofline.md", "simulations.md", "statistics.md")
TABLES = [ROOT / "README.md", *(ROOT / "docs" / name for name in FILLED)]
GENERATED = {"cli.md", "columns.md", "results.md"}
COMMANDS = [
    line.split("  #")[0].strip()
    for path in DOCS
    if path.name != "cli.md"  # the usages of all commands
    for block in re.findall(r"```\n(.*?)```", path.read_text(), re.DOTALL)
    for line in block.splitlines()
]


def test_figures_are_those_of_the_runs_that_they_name(tmp_path: Path) -> None:
    text = "".join(path.read_text() for path in TABLES)
    assert set(re.findall(r"<!-- (\w+) of \S+ -->", text)) == docs.RUN_TABLES.keys() | docs.JSON_TABLES.keys()
    (tmp_path / "results").symlink_to(ROOT / "results")
    (tmp_path / "docs").mkdir()
    stale = {tmp_path / path.relative_to(ROOT): path for path in TABLES}
    for copy, path in stale.items():
        copy.write_text(re.sub(r"\d\.\d\dx", "9.99x", path.read_text()))
    assert results(["readme", *map(str, stale)]) == 0
    for copy, path in stale.items():
        assert copy.read_text() == path.read_text(), f"{path.name} is stale; run: make docs"


def test_readme_is_short() -> None:
    assert len(README.splitlines()) <= 150 and len(README.split()) <= 1_200


@pytest.mark.parametrize("path", [path for path in PAGES if path.name not in GENERATED], ids=lambda path: path.name)
def test_page_is_not_long(path: Path) -> None:
    assert len(path.read_text().splitlines()) <= 300


def test_what_reading_runs_needs_is_named() -> None:
    """All others are hidden, and each named one is imported."""
    (named,) = re.findall(r"only read runs: `pip install ([\w ]+)`", README)
    needed = set(re.findall(r'^    "([\w-]+)>=', (ROOT / "pyproject.toml").read_text(), re.MULTILINE)) - {
        *named.split()
    }
    hidden = [*(name.replace("-", "_") for name in needed), "filelock", "jinja2", "matplotlib"]
    program = (
        f"import sys; sys.modules.update(dict.fromkeys({hidden})); from results.__main__ import main;"
        " code = main(['show', 'intel/0008_layers']); print(*sys.modules, file=sys.stderr); sys.exit(code)"
    )
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert set(named.split()) <= set(done.stderr.split())


def test_the_example_is_the_implementation() -> None:
    (example,) = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
    assert example == (ROOT / "impls" / "numpy_manual.py").read_text()


def test_every_implementation_and_problem_is_there() -> None:
    missing = [name for name in [*impls.names(), *catalogue.CATALOGUE] if f"`{name}`" not in README]
    assert missing == []


def test_no_step_is_shown_shorter_than_a_cycle() -> None:
    """A limit below the cheapest call is no limit of anything."""
    text = (ROOT / "docs" / "results.md").read_text().partition("## Time per step")[2].partition("\n## ")[0]
    steps = [float(number) for number in re.findall(r"\| ([\d.]+) ns", text)]
    assert steps and min(steps) > 1


@pytest.mark.parametrize("command", [command for command in COMMANDS if command.startswith("python -m ")])
def test_every_command_is_understood(command: str) -> None:
    _, _, module, *words = shlex.split(command)
    parser = {"results": results_parser(), "benchmarks": benchmarks_parser()}[module]
    assert parser.parse_args(words)


def test_every_make_target_is_there() -> None:
    targets = set(re.findall(r"^([\w-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    named = {target for path in DOCS for target in re.findall(r"(?:^|`)make ([\w-]+)", path.read_text(), re.MULTILINE)}
    assert {"bench", "test", "overhead", "loops"} <= named <= targets, named - targets


@pytest.mark.parametrize("path", DOCS, ids=lambda path: path.name)
def test_every_link_leads_somewhere(path: Path) -> None:
    links = re.findall(r"\]\((?!https?:)([^)#]+)(?:#[^)]*)?\)", path.read_text())
    assert [link for link in links if not (path.parent / link).exists()] == []


@pytest.mark.parametrize("path", [ROOT / "CONTRIBUTING.md", *PAGES], ids=lambda path: path.name)
def test_every_file_that_is_named_is_there(path: Path) -> None:
    named = re.findall(r"`((?:benchmarks|results|impls|tests)/[\w/]+\.\w+)`", path.read_text())
    assert [name for name in named if not (ROOT / name).exists()] == []


def test_constraints_are_exact_and_cover_what_is_needed() -> None:
    lines = [line for line in (ROOT / "constraints.txt").read_text().splitlines() if not line.startswith("#")]
    assert [line for line in lines if not re.fullmatch(r"[\w.-]+==[\w.]+", line)] == []
    pinned = {line.partition("==")[0].lower().replace("_", "-") for line in lines}
    wanted = re.findall(r'"([\w-]+)(?:\[\w+\])?>=', (ROOT / "pyproject.toml").read_text())
    unpinned = {"setuptools", "nvidia-ml-py", "cupy-cuda12x", "openpyxl", "pyarrow"}  # `make` does not install these
    assert set(wanted) - unpinned <= pinned
