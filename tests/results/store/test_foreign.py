"""Files that pytest-benchmark has made for other projects are called what they are."""

import json
from pathlib import Path

import pytest

from results.__main__ import main

STATS = {"min": 1e-6, "median": 2e-6, "iqr": 1e-7, "rounds": 5, "data": [1e-6, 2e-6, 2e-6, 2e-6, 3e-6]}


@pytest.fixture
def files(tmp_path: Path) -> list[str]:
    """Two runs of another project."""
    paths = []
    for number, factor in ((1, 1), (2, 3)):
        rows = [
            {"name": f"test_sort[{size}]", "extra_info": {"n": 10}, "stats": STATS | {"median": 2e-6 * factor * size}}
            for size in (10, 100)
        ]
        info = {"node": "a-laptop", "cpu": {"brand_raw": "Some CPU"}}
        content = {"benchmarks": rows, "machine_info": info, "commit_info": {}, "datetime": "2025-05-01T10:00:00+00:00"}
        (tmp_path / f"000{number}_other.json").write_text(json.dumps(content))
        paths.append(str(tmp_path / f"000{number}_other.json"))
    return paths


def test_show_and_compare_give_names_and_times_that_nobody_has_checked(
    files: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["show", files[0]]) == 0
    shown = capsys.readouterr().out
    assert "test_sort[100]" in shown and "nobody has checked" in shown and "nvalid" not in shown
    assert main(["compare", *files, "--format", "json"]) == 0
    table = json.loads(capsys.readouterr().out)
    assert [row["ratio"] for row in table] == pytest.approx([3, 3])
    assert main(["compare", *files]) == 0
    out = capsys.readouterr().out
    assert "nobody has checked" in out and "FASTER" not in out and "SLOWER" not in out


ONE_RUN = [["noise"], ["limits"], ["scaling"], ["ask", "100x2", "--run"], ["versus", "a", "b", "--run"]]


@pytest.mark.parametrize("command", ONE_RUN, ids=lambda command: command[0])
def test_questions_about_a_run_refuse_them(
    files: list[str], command: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*command, files[0]]) == 2
    assert "holds no descents of this suite" in capsys.readouterr().err


@pytest.mark.parametrize("command", [["gate", "--slower", "5%"], ["report", "--format", "md"]])
def test_verdicts_and_reports_refuse_them(
    files: list[str], command: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([command[0], *files, *command[1:]]) == 2
    out, err = capsys.readouterr()
    assert out == "" and "holds no descents of this suite" in err and err.count("\n") == 1


def test_nothing_is_invented_for_them(files: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["export", files[0], "--format", "json"]) == 0
    rows = json.loads(capsys.readouterr().out)
    assert all(row["step_reads"] is None and row["ranks"] is None and row["impl"] is None for row in rows)
    assert main(["verify", files[0]]) == 0
    assert "not made by this suite" in capsys.readouterr().out
