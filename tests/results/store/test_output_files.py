"""Where commands read and write: special files, links, streams that are closed or full, and names without end."""

import io
import json
import os
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from helpers import ROOT, environment
from runs import blocks, entry, saved_run

from results.commands.compare import compare_implementations
from results.output import Page, Section, seconds, write
from results.page.charts import MAX_DRAWN, all_charts, initial_rows
from results.page.data import make_payload
from results.page.machines import machine_sections
from results.store.atomic import atomic_write
from results.store.reading import RunError


def results(*words: str, to: str = "", timeout: float = 60) -> subprocess.CompletedProcess[str]:
    """Run `python -m results` in a shell, with redirections `to`."""
    command = f'exec {sys.executable} -m results "$@" {to}'
    arguments = ["sh", "-c", command, "sh", *words]
    return subprocess.run(arguments, capture_output=True, text=True, cwd=ROOT, env=environment(), timeout=timeout)


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One good run among things that are no files."""
    root = tmp_path_factory.mktemp("runs")
    folder = saved_run(root, blocks("numpy_manual", [1e-6] * 3)).path.parent
    os.mkfifo(folder / "0002_pipe.json")
    (folder / "0003_folder.json").mkdir()
    (folder / "0004_dangling.json").symlink_to("nothing")
    (folder / "0005_loop.json").symlink_to("0005_loop.json")
    (folder / "0006_endless.json").symlink_to("/dev/zero")
    (folder / "0007_kernel.json").symlink_to("/proc/kmsg")
    (folder / "around").symlink_to(root)
    with socket.socket(socket.AF_UNIX) as listening:
        here = os.getcwd()
        os.chdir(folder)  # a socket's path is short
        listening.bind("0008_socket.json")
        os.chdir(here)
    return root


def test_all_runs_are_read_among_special_files(root: Path) -> None:
    done = results("export", "all", "--format", "json", "--runs", str(root))
    assert (done.returncode, len(json.loads(done.stdout))) == (0, 3)
    skipped = [line.partition(": ")[2] for line in done.stderr.splitlines()]
    assert len(skipped) == 6 and all(line.startswith(("cannot read ", "/")) for line in skipped), done.stderr


@pytest.mark.parametrize("command", [["export", "all"], ["show", "latest"], ["verify"]])
@pytest.mark.parametrize(
    ("to", "says"),
    [("> /dev/full", "No space left on device"), (">&-", "stdout is closed"), ("> /dev/full 2> /dev/full", "")],
)
def test_a_stream_that_takes_nothing_is_one_line(root: Path, command: list[str], to: str, says: str) -> None:
    done = results(*command, "--runs", str(root), to=to)
    lines = [line for line in done.stderr.splitlines() if not line.startswith("skipped: ")]
    assert done.returncode == 2
    assert len(lines) == bool(says) and all(says in line for line in lines), done.stderr


def test_a_file_is_written_with_all_streams_closed(root: Path, tmp_path: Path) -> None:
    done = results("export", "1", "--out", str(tmp_path / "out.csv"), "--runs", str(root), to=">&- 2>&-")
    assert (done.returncode, len((tmp_path / "out.csv").read_text().splitlines())) == (0, 4)
    assert [path.name for path in tmp_path.iterdir()] == ["out.csv"]


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can make another user's link")
@pytest.mark.parametrize("words", [["export", "1", "--out"], ["gate", "1", "COPY", "--slower", "5%", "--junit"]])
def test_another_users_link_is_not_followed(root: Path, tmp_path: Path, words: list[str]) -> None:
    (tmp_path / "mine").write_text("old")
    (tmp_path / "link").symlink_to("mine")
    os.chown(tmp_path / "link", 12345, 12345, follow_symlinks=False)
    copy = str(saved_run(tmp_path, blocks("numpy_manual", [1e-6] * 3)).path)
    done = results(*[copy if word == "COPY" else word for word in words], str(tmp_path / "link"), "--runs", str(root))
    assert (done.returncode, (tmp_path / "mine").read_text()) == (2, "old")
    assert "a link of another user; name the file itself" in done.stderr and len(done.stderr.splitlines()) == 1


@pytest.mark.parametrize("name", ["*", "run[1].json", "{a,b}", "two\nlines", "?"])
def test_names_are_not_patterns(tmp_path: Path, name: str) -> None:
    others = [tmp_path / f".{other}.0badcafe.tmp" for other in ("x", "run1.json", "a")]
    for other in others:
        other.write_text("another's")
        os.utime(other, (0, 0))
    atomic_write(tmp_path / name, "new")
    assert (tmp_path / name).read_text() == "new"
    assert all(other.exists() for other in others)


@pytest.mark.parametrize("column", ["impl", "problem", "block"])
def test_names_have_a_limit(tmp_path: Path, column: str) -> None:
    facts = [{"impl": "numpy_manual", column: index if column == "block" else f"x{index}"} for index in range(1001)]
    rows = [entry(**fact) for fact in facts]
    with pytest.raises(RunError, match=f"1,001 values of {column}; 1,000 are read at most"):
        saved_run(tmp_path, rows)


def test_charts_of_many_cases_say_what_they_leave_out(tmp_path: Path) -> None:
    rows = [entry("numpy_manual", problem=f"p{index}", d=index + 1) for index in range(300)]
    run = saved_run(tmp_path, rows)
    payload = make_payload([run], "numpy_manual")
    shown, omitted = initial_rows(all_charts(payload.measured_impls)["time"], payload, [run], "numpy_manual")
    assert len({row["problem"] for row in shown}) == MAX_DRAWN["problem"]
    assert omitted == ["260 of 300 values of problem"]


def sources(**codes: str) -> dict[str, Any]:
    return {"seed": 0, "sources": {impl: {"file": f"{impl}.py", "text": code} for impl, code in codes.items()}}


@pytest.mark.parametrize(("second", "same"), [("one", True), ("two", False)])
def test_machines_are_counted_together_only_for_the_same_code(tmp_path: Path, second: str, same: bool) -> None:
    rows = blocks("numpy_manual", [2e-6] * 8) + blocks("jax_scan", [1e-6] * 8)
    runs = [
        saved_run(tmp_path, rows, machine=machine, campaign=sources(numpy_manual="one", jax_scan=code))
        for machine, code in (("box", "one"), ("tower", second))
    ]
    payload = make_payload(runs, "numpy_manual")
    section = machine_sections(runs, payload.speedups, "numpy_manual")[-1]
    assert [row["machines"] == "not the same code" for row in section.table] == [not same]
    counts = compare_implementations(runs, "numpy_manual", "jax_scan").data["machines"].unique()
    assert ["has other code" in count for count in counts] == [not same]


@pytest.mark.parametrize("columns", [40, 80, 120])
def test_a_table_fits_the_width_that_is_asked_for(columns: int) -> None:
    """Numbers are never broken: the first columns that fit are shown, and the names of the others."""
    names = [f"number {at}" for at in range(9)]
    table = [
        {"case": f"case {row}", "device": "cpu"} | {name: f"{row}.{at} µs" for at, name in enumerate(names)}
        for row in (1, 2)
    ]
    page, stream, wide = Page(pd.DataFrame(), [Section(table=table)]), io.StringIO(), io.StringIO()
    write(page, "table", stream, columns)
    lines = stream.getvalue().splitlines()
    assert max(map(len, lines)) <= columns
    assert "In every row: device cpu." in (lines if columns < 120 else ["In every row: device cpu."])
    shown = [name for name in names if name in lines[0]]
    assert shown == names[: len(shown)] and len(shown) >= 2
    omitted = stream.getvalue().replace("\n", " ").partition("Not shown: ")[2].partition(" (--wide)")[0]
    assert [*shown, *(omitted.split(", ") if omitted else [])] == names
    write(page, "table", wide, columns, wide=True)
    assert "(--wide)" not in wide.getvalue() and all(name in wide.getvalue() for name in names)


@pytest.mark.parametrize(("encoding", "shown"), [("utf-8", "1.00 µs"), ("ascii", "1.00 us")])
def test_microseconds_are_spelled_as_the_output_can_write_them(encoding: str, shown: str) -> None:
    content = io.BytesIO()
    stream = io.TextIOWrapper(content, encoding)
    cell = seconds(1e-6)
    write(Page(pd.DataFrame(), [Section("title", cell, [{"step": cell}], [cell])]), "table", stream)
    stream.flush()
    assert content.getvalue().decode(encoding).count(shown) == 3


def test_the_width_of_the_environment_counts_behind_a_pipe(monkeypatch: pytest.MonkeyPatch) -> None:
    page, wide, narrow = Page(pd.DataFrame(), [Section(text="word " * 40)]), io.StringIO(), io.StringIO()
    monkeypatch.delenv("COLUMNS", raising=False)
    write(page, "table", wide)
    monkeypatch.setenv("COLUMNS", "60")
    write(page, "table", narrow)
    assert len(wide.getvalue().splitlines()[0]) > 150 and max(map(len, narrow.getvalue().splitlines())) <= 60
