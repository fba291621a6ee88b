"""One or two blocks have an interval from what processes differed by in earlier runs of the machine."""

import json
from pathlib import Path
from typing import Any

import pytest
from runs import KNOWN, blocks, saved_run

from results.__main__ import main
from results.page.data import make_payload
from results.stats.pools import earlier_runs, pools_from_runs, step_spreads
from results.store.reading import Run

PROBLEMS = ("p0", "p1", "p2")
IMPLS = ("numpy_manual", "jax_scan")


def run(tmp_path: Path, name: str, times: list[float], date: str, source: Any = None, **facts: Any) -> Run:
    """source: of both implementations; by default those of this repository."""
    sources = {impl: {"file": f"impls/{impl}.py", "text": "x", "helpers": {}} | (source or {}) for impl in IMPLS}
    rows = [
        row
        for problem in PROBLEMS
        for impl in IMPLS
        for row in blocks(impl, times, **(KNOWN | {"problem": problem, "problem_hash": problem} | facts))
    ]
    campaign = {"seed": 0, "sources": sources}
    return saved_run(tmp_path, rows, name, datetime=f"2025-03-{date}T10:00:00+00:00", campaign=campaign)


def test_the_spread_of_earlier_runs_is_the_interval_of_one_block(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run(tmp_path, "0001_earlier", [1e-6, 2e-6] * 5, "01")
    now = run(tmp_path, "0002_now", [1e-6], "02")
    spreads = step_spreads(now, earlier_runs(now))
    assert spreads == pytest.approx({"numpy_manual": 0.693, "jax_scan": 0.693}, abs=0.001)
    cases = make_payload([now], "numpy_manual").cases
    assert cases["ci_low_s"].tolist() == pytest.approx([5e-7] * 6)
    assert main(["show", "2", "--runs", str(tmp_path)]) == 0
    assert "1.00 µs (500 ns to 2.00 µs)" in capsys.readouterr().out
    assert main(["ask", "512x16", "--dtype", "float64", "--run", "2", "--runs", str(tmp_path)]) == 0
    assert "1.00 µs a step (500 ns to 2.00 µs)" in capsys.readouterr().out
    assert main(["report", "2", "--runs", str(tmp_path), "--format", "md", "--out", "-"]) == 0
    assert "±100%" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("times", "facts"),
    [
        ([1e-6, 2e-6], {}),
        ([1e-6, 2e-6] * 5, {"version": "0.9"}),
        ([1e-6, 2e-6] * 5, {"threads": 2}),
        ([1e-6, 2e-6] * 5, {"precision": "tf32"}),
    ],
)
def test_few_distances_and_another_configuration_are_no_pool(
    tmp_path: Path, times: list[float], facts: dict[str, Any]
) -> None:
    run(tmp_path, "0001_earlier", times, "01", **facts)
    now = run(tmp_path, "0002_now", [1e-6], "02")
    assert step_spreads(now, earlier_runs(now)) == {}
    assert make_payload([now], "numpy_manual").cases["ci_low_s"].isna().all()


def test_the_noise_of_other_kernels_is_no_pool(tmp_path: Path) -> None:
    earlier = run(tmp_path, "0001_earlier", [1e-6, 2e-6] * 5, "01")
    document = json.loads(earlier.path.read_text())
    document["machine_info"]["env"] = {"OPENBLAS_CORETYPE": "Haswell"}
    earlier.path.write_text(json.dumps(document))
    now = run(tmp_path, "0002_now", [1e-6], "02")
    assert set(step_spreads(now, earlier_runs(now))) == {"jax_scan"}


STRANGER = {"file": "numpy_manual.py", "text": "x", "helpers": {"pkg/a.py": "y"}}


@pytest.mark.parametrize(
    ("before", "now", "pooled"),
    [
        (None, {"text": "edited"}, True),  # a version of the same label
        (None, STRANGER, False),
        (STRANGER, STRANGER, True),
        (STRANGER, STRANGER | {"text": "z"}, False),
        (STRANGER, STRANGER | {"helpers": {"pkg/a.py": "z"}}, False),
        (STRANGER, {"file": "numpy_manual.py", "text": ""}, False),  # nobody knows
    ],
    ids=["edited", "stranger", "same", "other", "helper", "unknown"],
)
def test_only_the_noise_of_the_same_code_counts(tmp_path: Path, before: Any, now: Any, pooled: bool) -> None:
    run(tmp_path, "0001_earlier", [1e-6, 2e-6] * 5, "01", before)
    later = run(tmp_path, "0002_now", [1e-6], "02", now)
    assert bool(step_spreads(later, earlier_runs(later))) is pooled
    pools = pools_from_runs(later, earlier_runs(later), "numpy_manual")
    assert bool(pools.by_pair) is pooled
    assert any("code that differs: jax_scan (" in note for note in pools.notes) is (now == {"text": "edited"})
    assert any("Noise of box/0001_earlier not used for jax_scan: code" in note for note in pools.notes) is not pooled


def test_a_file_named_from_its_folder_has_earlier_runs_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run(tmp_path, "0001_earlier", [1e-6, 2e-6] * 5, "01")
    now = run(tmp_path, "0002_now", [1e-6], "02")
    monkeypatch.chdir(now.path.parent)
    for command in ("show", "report"):
        assert main([command, now.path.name, "--runs", str(tmp_path), "--format", "md"]) == 0
