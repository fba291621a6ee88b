"""Every implementation of a run over every other at once: what each pair says by itself, and in how little time."""

import math
import time
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from runs import blocks, entry, saved_run

from results.stats.pairing import ratios, ratios_to, ratios_to_each, sides_along, without_duplicates
from results.stats.verdict_tables import add_verdicts
from results.store.columns import CASE

NAMES = ["jax_scan", "numpy_manual", "torch_nn"]
PACES = [1e-4, 1.7e-4, 1e-4, 1e-4, 1.8e-4, 1e-4, 1e-4, 1.6e-4]


def uneven(root: Path) -> pd.DataFrame:
    """Rows of a run in which pairs differ in all that may differ: work, checks, blocks, cases, facts, spells."""
    rng = np.random.default_rng(0)
    rows: list[dict[str, Any]] = []
    for problem in ("line", "medium", "small"):
        for impl in NAMES:
            rows += blocks(impl, 1e-6 * np.exp(rng.normal(0, 0.1, 8)), problem=problem)
    for row, pace in zip(rows, np.tile(PACES, 9), strict=True):
        row["extra_info"]["calibration_s"] = float(pace * np.exp(rng.normal(0, 0.02)))
    facts = [row["extra_info"] for row in rows]
    facts[3] |= {"valid": False, "reason": "wrong"}  # jax_scan on line
    facts[9].pop("calibration_s")  # numpy_manual on line
    facts[25]["block"] = 24  # jax_scan on medium: seven blocks in common with the others
    for fact in facts[40:48]:  # torch_nn on medium
        fact["steps"] = 7
    for fact in facts[64:]:  # torch_nn on small
        fact["block"] += 100
    facts[56]["threads"] = None  # numpy_manual on small, one block of it
    rows += blocks("only_here", [1e-6] * 3, problem="huge", dtype="float32")
    rows += blocks("numpy_manual-again", [1e-6] * 8, problem="line", duplicate_of="numpy_manual")
    rows.append(entry("numpy_manual", 3e-6, problem="line", block=0, calibration_s=1e-4))  # a block with two rows
    return saved_run(root, rows).rows


def same(found: pd.DataFrame, other: pd.DataFrame) -> None:
    """But for what pandas takes a column for that may hold nothing."""
    tables = [table.drop(columns="logs").fillna({"verdict": "-"}).astype({"verdict": str}) for table in (found, other)]
    pd.testing.assert_frame_equal(*tables, check_exact=True)


def test_every_baseline_at_once_is_each_by_itself(tmp_path: Path) -> None:
    rows = without_duplicates(uneven(tmp_path))
    found = ratios_to_each(uneven(tmp_path))
    names = sorted([*NAMES, "only_here"])
    assert sorted(found["baseline"].unique()) == names
    apart = pd.concat([ratios_to(rows, name).assign(baseline=name) for name in names], ignore_index=True)
    assert len(set(apart["refused"])) > 10 and (apart["refused"] == "").sum() > 6
    same(found, apart)
    for logs, others in zip(found["logs"], apart["logs"], strict=True):
        pd.testing.assert_series_equal(logs, others, check_exact=True)


def test_a_pair_is_the_same_alone(tmp_path: Path) -> None:
    """Whatever else is worked on beside it."""
    rows = uneven(tmp_path)
    together = ratios_to_each(rows).set_index(["baseline", "impl", *CASE[1:]])
    for a, b in [("jax_scan", "numpy_manual"), ("numpy_manual", "torch_nn"), ("only_here", "torch_nn")]:
        sides = [rows[rows["impl"] == name] for name in (a, b)]
        alone = ratios(sides[0], sides[1], CASE[1:], (a, b)).set_index(CASE[1:])
        beside = together.loc[(a, b)].loc[alone.index, list(alone)]
        assert len(alone) > 2
        same(beside, alone)


def test_a_page_of_one_pair_at_a_time_is_the_same_page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = uneven(tmp_path)
    whole = add_verdicts(ratios_to_each(rows))
    monkeypatch.setattr("results.stats.signed_rank.BATCH_ELEMENTS", 1)
    pd.testing.assert_frame_equal(whole, add_verdicts(ratios_to_each(rows)), check_exact=True)


def test_a_calibration_loop_that_the_implementation_slows_changes_nothing(tmp_path: Path) -> None:
    """It runs in the process of pytest: an implementation that keeps the cores busy would look faster than it is."""
    rows = blocks("numpy_manual", [1e-6, 2e-6, 3e-6], calibration_s=1e-4)
    rows += blocks("jax_scan", [2.9e-6] * 3, calibration_s=2.8e-4)
    found = ratios_to(saved_run(tmp_path, rows).rows, "numpy_manual").set_index("impl").loc["jax_scan"]
    assert list(np.exp(found["logs"])) == pytest.approx([2.9, 2.9 / 2, 2.9 / 3])


def test_a_run_of_nothing_has_no_pairs(tmp_path: Path) -> None:
    found = ratios_to_each(saved_run(tmp_path, []).rows)
    assert found.empty and {*CASE, "baseline", "ratio", "refused", "logs"} <= set(found)


def test_a_campaign_is_judged_over_every_baseline_within_seconds(tmp_path: Path) -> None:
    """648 pairs of 12 blocks: some 0.3 s; 25 s where each pair and each baseline was worked on by itself."""
    rng = np.random.default_rng(1)
    rows = [
        row
        for impl in range(9)
        for problem in range(8)
        for row in blocks(
            f"impl_{impl}", 1e-6 * np.exp(rng.normal(0, 0.05, 12)), problem=f"p{problem}", calibration_s=1e-4
        )
    ]
    table = saved_run(tmp_path, rows).rows
    begin = time.process_time()
    pages = [add_verdicts(page) for _, page in ratios_to_each(table).groupby("baseline")]
    assert time.process_time() - begin < 3
    assert [len(page) for page in pages] == [72] * 9
    assert all(math.isfinite(page["ratio"].sum()) for page in pages)


def test_the_usual_sides_of_an_axis_are_its_first_two() -> None:
    assert [str(side) for side in sides_along("a", "b", "dtype")] == ["a@float32", "b@float64"]
    assert [str(side) for side in sides_along("a@float32", "a@bfloat16")] == ["a@float32", "a@bfloat16"]
