"""Scaling over ranks: a model gives back what its rows were made from, and says what it cannot know."""

import csv
import io
import json
import os
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from helpers import HONEST, ROOT, command, environment, one_kernel, write
from runs import entry, saved_run

from results.__main__ import main
from results.commands.scaling import LAWS, Limits, design, model, scaling
from results.stats.signed_rank import Array
from results.store.reading import Run, RunError
from results.store.runs import find

TRUE = np.array([20e-6, 3.0, 80e-6, 2e-9])  # call, reading, exchange, byte
SIZES = [(1_000_000, 100), (500_000, 100), (10_000, 100), (1_000, 10), (1_000, 2_000)]
LIMITS: Limits = {1: [(1e6, 4e10), (np.inf, 1e10)], 2: [(2e6, 8e10), (np.inf, 1.8e10)]}
MEASURED_LIMITS = {
    f"cpu, {threads} thread{'s' * (threads > 1)}": {
        "levels": [
            {"level": "L2", "holds": levels[0][0], "bytes_per_s": levels[0][1]},
            {"level": "memory", "holds": None, "bytes_per_s": levels[1][1]},
        ]
    }
    for threads, levels in LIMITS.items()
}


def cases(ranks: tuple[int, ...] = (1, 2), blocks: int = 6) -> pd.DataFrame:
    """Every size by every number of ranks in every block."""
    rows = [(n, d, 1, 4, r, block) for n, d in SIZES for r in ranks for block in range(blocks)]
    return pd.DataFrame(rows, columns=["n", "d", "k", "size", "ranks", "block"])


def timed(rows: pd.DataFrame, law: str = "tree", noise: float = 0.0, true: Array = TRUE) -> pd.DataFrame:
    """The rows with the times that they would have."""
    shaken = np.exp(noise * np.random.default_rng(0).standard_normal(len(rows)))
    return rows.assign(per_step_s=design(rows, LIMITS, law) @ true * shaken)


@pytest.mark.parametrize("law", LAWS)
def test_known_parameters_are_given_back(law: str) -> None:
    found = model(timed(cases((1, 2, 4)), law), LIMITS, law)
    assert found.parameters == pytest.approx(TRUE, rel=1e-6)
    assert np.abs(found.residuals).max() < 1e-9
    assert found.draws == pytest.approx(np.tile(TRUE, (len(found.draws), 1)), rel=1e-6)


def test_intervals_hold_what_noise_hides() -> None:
    found = model(timed(cases(blocks=10), noise=0.05), LIMITS, "ring")
    low, high = np.quantile(found.draws, [0.025, 0.975], axis=0)
    assert (low <= TRUE).all()
    assert (high >= TRUE).all()
    assert (low < high).all()
    assert 0.01 < np.median(np.abs(found.residuals)) < 0.1


def test_a_cost_that_is_not_there_is_0_and_none_is_below() -> None:
    found = model(timed(cases(), noise=0.05, true=TRUE * [1, 1, 1, 0]), LIMITS, "tree")
    assert found.parameters[3] < TRUE[3]
    assert (found.draws >= 0).all()
    assert (found.draws[:, 3] == 0).any()


def test_two_ranks_cannot_tell_the_laws_apart_but_four_can() -> None:
    two, four = timed(cases(), "tree"), timed(cases((1, 2, 4)), "tree")
    tree, ring = (model(two, LIMITS, law).parameters for law in ("tree", "ring"))
    assert tree == pytest.approx(ring)
    tree, ring = (np.abs(model(four, LIMITS, law).residuals).max() for law in ("tree", "ring"))
    assert tree < 1e-6 < 1e-2 < ring


def test_a_prediction_is_the_sum_of_its_costs() -> None:
    rows = cases()
    more = rows.head(1).assign(ranks=512)  # a million rows: 256 pairs, whose parts fit into the cache
    reading = 1_000_000 * 101 * 4 / 256 / 8e10
    for law, exchanges in (("tree", 9), ("ring", 511)):
        expected = 20e-6 + 3 * reading + 80e-6 * exchanges + 2e-9 * 2 * 511 / 512 * 400
        predicted = model(timed(rows, law), LIMITS, law).per_step(more)
        assert predicted == pytest.approx(np.full_like(predicted, expected), rel=1e-6)


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (cases((1,)), "a model takes at least two numbers of ranks, here is 1"),
        (cases((2,)), "a model takes at least two numbers of ranks, here is 1"),
        (cases(blocks=1), "a model takes at least two blocks, here is 1"),
        (cases(blocks=0), "a model takes at least two numbers of ranks, here is 0"),
        (cases().query("n == 1000 and d == 10"), "these sizes cannot tell apart call, reading, exchange, byte"),
        (cases().query("d == 100"), "these sizes cannot tell apart"),
    ],
)
def test_rows_that_cannot_tell_are_an_error(rows: pd.DataFrame, message: str) -> None:
    with pytest.raises(RunError, match=message):
        model(timed(rows), LIMITS, "tree")


def saved(root: Path, rows: pd.DataFrame, **more: Any) -> Run:
    """The rows as a file of `make scaling`."""
    entries = [
        entry("torch_ddp", row["per_step_s"], dtype="float32", problem=f"{row['n']:.0f}x{row['d']:.0f}")
        for row in rows.to_dict("records")
    ]
    for saved_row, row in zip(entries, rows.to_dict("records"), strict=True):
        facts = {name: int(row[name]) for name in ("n", "d", "k", "ranks", "block")}
        saved_row["extra_info"] |= {
            **facts,
            "network_bytes": 2 * (facts["ranks"] - 1) // facts["ranks"] * facts["d"] * 4,
            **more,
        }
    return saved_run(root, entries, campaign={"limits": MEASURED_LIMITS})


def test_speed_ups_and_their_limit(tmp_path: Path) -> None:
    found = scaling(saved(tmp_path, timed(cases()))).data
    measured = found[(found["kind"] == "measured") & (found["n"] == 1_000_000)].set_index("mode")
    one, two, half = (
        design(pd.DataFrame([(n, 100, 1, 4, r)], columns=["n", "d", "k", "size", "ranks"]), LIMITS, "tree") @ TRUE
        for n, r in ((1_000_000, 1), (1_000_000, 2), (500_000, 1))
    )
    assert measured["speedup"].to_dict() == pytest.approx({"strong": (one / two)[0], "weak": (2 * half / two)[0]})
    assert measured["ceiling"].to_dict() == pytest.approx({"strong": 1.8, "weak": 1.8})
    assert measured["of_ceiling"]["strong"] == pytest.approx((one / two)[0] / 1.8)
    assert measured["efficiency"]["strong"] == pytest.approx((one / two)[0] / 2)
    weak = found[(found["kind"] == "predicted") & (found["mode"] == "weak") & (found["ranks"] == 4)]
    assert len(weak) and (weak["efficiency"] < 1).all()


def test_predictions_are_never_shown_as_measurements(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = str(saved(tmp_path, timed(cases(), noise=0.02)).path)
    assert main(["scaling", path, "--format", "md"]) == 0
    before, after = capsys.readouterr().out.split(
        "### Predicted, not measured: from 2 ranks over one machine's loopback"
    )
    assert "4 ranks" in after
    assert "never measured" in after
    assert "4 ranks" not in before
    assert main(["scaling", path, "--format", "json"]) == 0
    rows = json.loads(capsys.readouterr().out)
    assert {row["kind"] for row in rows if row["ranks"] and row["ranks"] > 2} == {"predicted"}
    assert main(["scaling", path, "--format", "csv"]) == 0
    assert len(list(csv.DictReader(io.StringIO(capsys.readouterr().out)))) == len(rows)


def test_what_is_no_run_of_ranks_is_an_error(tmp_path: Path) -> None:
    rows = timed(cases())
    without = saved_run(tmp_path, [entry()], "0001_other")
    with pytest.raises(RunError, match="0001_other has no valid row of ranks"):
        scaling(without)
    with pytest.raises(RunError, match="has no valid row of ranks"):
        scaling(saved(tmp_path / "invalid", rows, valid=False))
    unmeasured = saved(tmp_path / "limits", rows)
    unmeasured.document["campaign"]["limits"] = {"cpu": MEASURED_LIMITS["cpu, 1 thread"], "cpu, 2 threads": None}
    with pytest.raises(RunError, match="has no bandwidths by number of threads"):
        scaling(unmeasured)


def test_rows_of_one_rank_and_of_two(tmp_path: Path) -> None:
    """Of an implementation whose ranks each do all of the work: they are started and counted as others are."""
    impl = write(tmp_path, "mine", HONEST + "RANKS = True\n")
    words = command(tmp_path, "--impl", impl, "--problem", "20000x100", "-p", "tests.support.quicker")
    words[words.index("benchmarks")] = "benchmarks/extra/bench_scaling.py"
    env = environment(PYTHONPATH=one_kernel(tmp_path))
    done = subprocess.run([*words, "-p", "one_kernel"], cwd=ROOT, env=env, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stdout
    run = find(str(tmp_path / "out.json"), tmp_path)
    two = min(2, len(os.sched_getaffinity(0)))
    assert run.rows["ranks"].tolist()[:two] == run.rows["threads"].tolist()[:two] == [1, 2][:two]
    assert run.rows["network_bytes"].tolist()[:two] == [0, 400][:two]
    assert run.rows["valid"].all()
    assert set(run.campaign["limits"]) >= {"cpu, 1 thread"}
    with pytest.raises(RunError, match="a model takes at least two"):
        scaling(run)
