"""Cases over time: series and their points, changes in words, the picture, and what strangers' files hold."""

import json
import math
import sys
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from runs import blocks, saved_run

from results.__main__ import main
from results.commands.history import history
from results.output import FORMATS, Page
from results.stats.change_points import MIN_POINTS
from results.store.columns import CASE
from results.store.reading import RunError
from results.store.runs import files, read_all

RUNS, STEP = 12, 1.3  # the change is in the middle
ANY: dict[str, list[str] | None] = dict.fromkeys(CASE)
PNG = b"\x89PNG\r\n\x1a\n"
Rows = list[dict[str, Any]]


def day(number: float) -> str:
    return (datetime(2026, 11, 1, tzinfo=UTC) + timedelta(days=number)).isoformat()


def nights(root: Path, made: Callable[[int, float], Rows], number: int = RUNS, machine: str = "box") -> None:
    """A run a day; `made` has its rows from its number and a factor of noise, 1 % from run to run."""
    for run, noise in enumerate(np.exp(np.random.default_rng(1).normal(0, 0.01, number))):
        commit = {"id": f"{run:x}" * 40, "dirty": run == 1}
        saved_run(root, made(run, noise), f"{run:04d}_night", machine, datetime=day(run), commit_info=commit)


def slowed(run: int, noise: float) -> Rows:
    """torch_nn takes STEP times as long from the middle on, when its version changes; numpy_manual does not."""
    after = run >= RUNS // 2
    torch = {"framework": "torch", "version": "2.13" if after else "2.12", "calibration_s": 1e-4}
    times = [1e-5 * noise * (STEP if after else 1) * spread for spread in (0.99, 1, 1.02)]
    numpy = {"framework": "numpy", "version": "2.4.6", "calibration_s": 1e-4}
    return blocks("torch_nn", times, **torch) + blocks("numpy_manual", [3e-6 * noise] * 3, **numpy)


def page(root: Path, **wanted: list[str] | None) -> Page:
    return history(read_all(files(root), root)[0], ANY | wanted, {})


def page_text(page: Page) -> str:
    """All that a reader sees, on one line."""
    return " ".join(str(section) for section in page.sections)


# Changes


def test_the_sentence_names_what_changed_by_how_much_and_between_which_runs(tmp_path: Path) -> None:
    nights(tmp_path, slowed)
    found = page(tmp_path)
    (row,) = found.data[found.data["ratio"].notna()].to_dict("records")
    assert (row["impl"], row["run"], row["before"]) == ("torch_nn", "box/0006_night", "box/0005_night")
    assert row["earliest"] == row["latest"] == "box/0006_night"
    assert row["ratio_low"] < STEP < row["ratio_high"] and row["p"] <= 0.05
    assert row["pace_ratio"] == pytest.approx(1)
    assert row["changed"] == "torch 2.12 -> 2.13; commit 555555555555 -> 666666666666"
    assert found.sections[0].text.startswith("1 change in 2 series of 1 machine: torch_nn on small became 1.3")
    assert found.sections[0].text.endswith("between 2026-11-06 00:00Z (torch 2.12) and 2026-11-07 00:00Z (torch 2.13).")
    assert found.code == 0


def test_each_point_is_a_run_with_its_spread_commit_and_version(tmp_path: Path) -> None:
    nights(tmp_path, slowed, 2)
    found = page(tmp_path, impl=["torch_nn"])
    first, second = found.data.to_dict("records")
    assert first["low_s"] == pytest.approx(0.99 * first["per_step_s"])
    assert first["high_s"] == pytest.approx(1.02 * first["per_step_s"])
    assert (first["blocks"], first["commit"], second["commit"]) == (3, "000000000000", "111111111111 dirty")
    assert first["datetime"] < second["datetime"] and first["version"] == "2.12"
    assert found.sections[0].text.startswith("Too few runs") and found.sections[0].text.endswith("Missing: 4.")


def test_quicker_and_the_machines_own_change(tmp_path: Path) -> None:
    def quicker(run: int, noise: float) -> Rows:
        factor = noise / (STEP if run >= RUNS // 2 else 1)
        return blocks("jax_scan", [1e-6 * factor], calibration_s=1e-4 * factor, framework="jax")

    nights(tmp_path, quicker)
    found = page(tmp_path)
    (change,) = next(section.table for section in found.sections if section.title == "Changes")
    assert "x faster (" in change["change"]
    assert float(change["calibration loop"].rstrip("x")) == pytest.approx(1 / STEP, rel=0.02)


def test_machines_are_never_pooled(tmp_path: Path) -> None:
    """Pooled, the second machine would be a change of the first one's series."""
    nights(tmp_path, lambda run, noise: blocks("jax_scan", [1e-6 * noise]), 6)
    for run in range(6):
        saved_run(tmp_path, blocks("jax_scan", [2e-6]), f"{run:04d}_night", "other", datetime=day(20 + run))
    found = page(tmp_path)
    assert found.data["ratio"].isna().all()
    assert found.data.groupby("series")["machine"].unique().map(list).tolist() == [["box"], ["other"]]
    assert found.sections[0].text == "No significant change in 2 series of 2 machines."


@pytest.mark.parametrize("fact", [{"steps": 200}, {"threads": 2}, {"problem_hash": "other"}])
def test_other_work_is_another_series_and_that_is_said(fact: dict[str, Any], tmp_path: Path) -> None:
    def split(run: int, noise: float) -> Rows:
        return blocks("jax_scan", [1e-6 * noise * (1 if run < 6 else 2)], **(fact if run >= 6 else {}))

    nights(tmp_path, split)
    found = page(tmp_path)
    assert found.data["series"].tolist() == [0] * 6 + [1] * 6
    assert found.data["ratio"].isna().all()
    (name,) = fact
    assert f"because of other work or hardware: {name} " in page_text(found)
    assert "Series whose work differs from that of an earlier series: 1." in page_text(found)


def test_invalid_rows_are_no_points_and_are_listed(tmp_path: Path) -> None:
    saved_run(tmp_path, blocks("jax_scan", [1e-6, 3e-6]) + blocks("jax_scan", [9e-6], valid=False, reason="threads"))
    saved_run(tmp_path, blocks("jax_scan", [9e-6] * 2, valid=False, reason="TF32"), "0002_b", datetime=day(2))
    found = page(tmp_path)
    assert found.data["per_step_s"].tolist() == [pytest.approx(2e-6)]
    (listed,) = [section.table for section in found.sections if section.title.startswith("Invalid")]
    assert [(row["run"], row["reason"], row["blocks"]) for row in listed] == [
        ("box/0001_base", "threads", "1"),
        ("box/0002_b", "TF32", "2"),
    ]


def test_nothing_but_invalid_rows(tmp_path: Path) -> None:
    saved_run(tmp_path, blocks("jax_scan", [1e-6], valid=False, reason="wrong"))
    saved_run(tmp_path, [], "0002_empty")
    found = page(tmp_path)
    assert found.data.empty and {"ratio", "per_step_s", "series"} <= set(found.data)
    assert found.sections[0].text == "No valid point in 2 runs."


def test_runs_of_one_moment_stand_by_name_and_interrupted_ones_count(tmp_path: Path) -> None:
    cut = {"campaign": {"seed": 0, "interrupted": True}}
    for name in ("0002_b", "0001_a", "0003_c"):
        saved_run(tmp_path, blocks("jax_scan", [1e-6]), name, **(cut if name == "0001_a" else {}))
    found = page(tmp_path)
    assert found.data["run"].tolist() == ["box/0001_a", "box/0002_b", "box/0003_c"]
    assert "Runs with the same date" in page_text(found)
    assert "Interrupted runs, of which the valid rows count: box/0001_a." in page_text(found)


def test_of_many_series_those_with_enough_runs_are_shown_and_the_others_counted(tmp_path: Path) -> None:
    def many(run: int, noise: float) -> Rows:
        short = [row for number in range(20) for row in blocks(f"short{number}", [1e-5])] if run == 0 else []
        return slowed(run, noise) + short

    nights(tmp_path, many, MIN_POINTS)
    shown = page_text(page(tmp_path))
    assert "short7" not in shown and f"Not shown: 20 series with fewer than {MIN_POINTS} runs" in shown
    assert "torch_nn, cpu" in shown and "numpy_manual, cpu" in shown
    assert "short7, cpu" in page_text(page(tmp_path, impl=["short7"]))
    assert len(page(tmp_path).data) == 2 * MIN_POINTS + 20


def test_an_implementation_that_repeats_another_is_left_out(tmp_path: Path) -> None:
    saved_run(tmp_path, blocks("jax_scan", [1e-6]) + blocks("jax_scan-again", [1e-6], duplicate_of="jax_scan"))
    assert page(tmp_path).data["impl"].tolist() == ["jax_scan"]


def test_only_the_latest_runs_of_a_long_series_are_searched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("results.commands.history.MAX_POINTS", RUNS)
    nights(tmp_path, lambda run, noise: slowed(run - 4, noise)[:3], RUNS + 4)
    found = page(tmp_path)
    assert found.data.loc[found.data["ratio"].notna(), "run"].tolist() == ["box/0010_night"]
    assert f"Searched: the latest {RUNS} runs." in page_text(found)


# The command


@pytest.fixture
def call(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, str, str]]:
    def run(*arguments: str) -> tuple[int, str, str]:
        status = main(["history", *arguments, "--runs", str(tmp_path)])
        return status, *capsys.readouterr()

    return run


Call = Callable[..., tuple[int, str, str]]


@pytest.mark.parametrize("form", FORMATS)
def test_every_format(form: str, tmp_path: Path, call: Call) -> None:
    nights(tmp_path, slowed)
    status, out, err = call("--format", form)
    assert (status, err) == (0, "") and "torch_nn" in out
    if form == "json":
        rows = json.loads(out)
        assert len(rows) == 2 * RUNS and sum(row["ratio"] is not None for row in rows) == 1
        assert {type(row["before"]) for row in rows} == {str, type(None)}


def test_the_runs_named_are_those_shown(tmp_path: Path, call: Call) -> None:
    nights(tmp_path, slowed, 3)
    rows = json.loads(call("1", "box/0002_night", "--impl", "torch_nn", "--format", "json")[1])
    assert [row["run"] for row in rows] == ["box/0001_night", "box/0002_night"]


def test_files_that_cannot_be_read_are_named(tmp_path: Path, call: Call) -> None:
    saved_run(tmp_path, blocks("jax_scan", [1e-6]))
    (tmp_path / "box" / "0009_cut.json").write_text("{")
    status, out, _ = call()
    assert status == 0 and "Not read" in out and "0009_cut" in out


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        (["--impl", "torch_n"], "the history has no impl 'torch_n'; nearest: torch_nn"),
        (["--problem", "small,", "--impl", "torch_nn"], "has no problem ''"),
        (["--plot", "history.gif"], "must end in one of .svg, .png, .html"),
        (["--plot", "no/such/folder/x.svg"], "No such file or directory"),
        (["nosuchrun"], "no run is called 'nosuchrun'"),
    ],
)
def test_an_error_is_one_line(arguments: list[str], error: str, tmp_path: Path, call: Call) -> None:
    nights(tmp_path, slowed, 2)
    status, out, err = call(*arguments)
    assert (status, out) == (2, "") and error in err
    assert err.count("\n") == 1


def test_no_runs_and_none_that_can_be_read(tmp_path: Path, call: Call) -> None:
    assert "no runs in" in call()[2]
    (tmp_path / "0001_cut.json").write_text("{")
    status, out, err = call()
    assert (status, out) == (2, "") and "no run can be read: " in err and "cut off" in err


@pytest.mark.parametrize(
    ("name", "arguments"), [("ruptures", []), ("altair", ["--plot", "x.svg"]), ("vl_convert", ["--plot", "x.svg"])]
)
def test_a_missing_package_is_one_line(
    name: str, arguments: list[str], tmp_path: Path, call: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    nights(tmp_path, slowed, 6 if name == "ruptures" else 2)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setitem(sys.modules, name, None)
    status, out, err = call(*arguments)
    assert (status, out, err.count("\n")) == (2, "", 1)
    assert f"needs {name}: pip install -e '.[report]'" in err


# The picture


@pytest.mark.parametrize("suffix", ["svg", "png", "html"])
def test_the_picture_is_the_same_every_time(suffix: str, tmp_path: Path, call: Call) -> None:
    nights(tmp_path, slowed)
    made = [tmp_path / f"{number}.{suffix}" for number in range(2)]
    assert [call("--plot", str(path))[0] for path in made] == [0, 0]
    first, second = (path.read_bytes() for path in made)
    assert first == second
    if suffix == "png":
        assert first.startswith(PNG)
    else:
        assert b"torch_nn, small" in first and b"1.3" in first
    assert suffix != "html" or b"<script src=" not in first


def test_names_from_strangers_stay_names(tmp_path: Path, call: Call) -> None:
    strange = "</script><script>alert(1)</script> \"quoted\" 'too' \N{SNAIL} &"
    saved_run(tmp_path, blocks(strange, [1e-6], problem=strange, framework=strange, version=strange), machine="box")
    for suffix in ("svg", "html", "png"):
        assert call("--plot", str(tmp_path / f"x.{suffix}"), "--format", "md")[0] == 0
    assert "<script>alert" not in (tmp_path / "x.html").read_text(encoding="utf-8")
    assert "<script" not in (tmp_path / "x.svg").read_text(encoding="utf-8")
    assert "\N{SNAIL}" in (tmp_path / "x.svg").read_text(encoding="utf-8")


def test_of_many_cases_those_with_a_change_are_drawn_and_the_others_counted(
    tmp_path: Path, call: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("results.commands.history.MAX_PANELS", 1)
    nights(tmp_path, slowed)
    assert "1 of 2 cases" in call("--plot", str(tmp_path / "x.svg"))[1]
    drawing = (tmp_path / "x.svg").read_text(encoding="utf-8")
    assert "torch_nn, small" in drawing and "numpy_manual" not in drawing


def test_a_run_without_rows_has_no_point(tmp_path: Path, call: Call) -> None:
    saved_run(tmp_path, [])
    status, out, err = call()
    assert (status, err) == (0, "") and "No valid point in 1 run" in out
    assert main(["compare", "--over", "revision", "--run", "1", "--runs", str(tmp_path)]) == 2


def test_nothing_to_draw(tmp_path: Path, call: Call) -> None:
    saved_run(tmp_path, blocks("jax_scan", [math.nan], valid=False, reason="wrong"))
    assert "nothing to draw" in call("--plot", str(tmp_path / "x.svg"))[2]
    with pytest.raises(RunError):
        page(tmp_path, impl=["torch_nn"])
