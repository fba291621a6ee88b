"""`export --format bencher`: the JSON that dashboards of benchmarks read, one series a case."""

import json
from pathlib import Path

import pytest
from runs import blocks, saved_run

from results.__main__ import main


@pytest.fixture
def root(tmp_path: Path) -> Path:
    rows = [*blocks("numpy_manual", [1e-6, 3e-6, 2e-6]), *blocks("jax_scan", [5e-7] * 3)]
    again = blocks("numpy_manual-again", [1e-6] * 3, duplicate_of="numpy_manual")
    saved_run(tmp_path, [*rows, *again, *blocks("torch_nn", [1e-6], valid=False, reason="wrong")])
    return tmp_path


def exported(root: Path, name: str, capsys: pytest.CaptureFixture[str]) -> object:
    assert main(["export", "1", "--format", name, "--runs", str(root)]) == 0
    return json.loads(capsys.readouterr().out)


def test_bencher_metric_format(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = exported(root, "bencher", capsys)
    assert isinstance(found, dict) and set(found) == {"numpy_manual cpu float64 small", "jax_scan cpu float64 small"}
    latency = found["numpy_manual cpu float64 small"]["latency"]
    assert latency == pytest.approx({"value": 2_000, "lower_value": 1_000, "upper_value": 3_000})


def test_github_action_benchmark(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = exported(root, "github-benchmark", capsys)
    assert isinstance(found, list) and len(found) == 2
    (numpy,) = (entry for entry in found if entry["name"].startswith("numpy_manual"))
    assert numpy["unit"] == "ns/step" and numpy["value"] == pytest.approx(2_000)
    assert numpy["range"] == "1.00 µs to 3.00 µs"


def test_several_runs_are_one_line(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    saved_run(root, blocks("numpy_manual", [1e-6]), "0002_more")
    assert main(["export", "all", "--format", "bencher", "--runs", str(root)]) == 2
    assert "--format bencher takes one run" in capsys.readouterr().err
