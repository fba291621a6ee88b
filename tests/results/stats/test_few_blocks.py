"""The agreement rule: its definition, its looks, and the pools of earlier runs."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from runs import blocks, saved_run

from results.__main__ import main
from results.stats import few_blocks
from results.stats.pools import pools_from_runs
from results.stats.verdicts import EQUIVALENT, FASTER, SLOWER, UNDECIDED, judge
from results.store.reading import Run

NOISE = [1.0, 1.03, 0.98, 1.01, 0.97, 1.02]
PROBLEMS = ["p0", "p1", "p2", "p3"]
Rows = list[dict[str, Any]]


def share(pool: list[float], x: float) -> float:
    return (1 + sum(distance >= x for distance in pool)) / (1 + len(pool))


def between(cases: list[np.ndarray]) -> list[float]:
    return [abs(d[i] - d[j]) for d in cases for i in range(len(d)) for j in range(i)]


def test_one_look_is_its_definition() -> None:
    rng = np.random.default_rng(0)
    page = [rng.normal(effect, scale, 3) for effect in (0.0, 0.1, 2.0) for scale in (0.02, 0.3) for _ in range(4)]
    pairs = ["quiet", "quiet", "loud", "loud"] * 6
    found = few_blocks.look(page, pairs, 0.01)
    for d, pair, p in zip(page, pairs, found.p, strict=True):
        own = between([other for other, name in zip(page, pairs, strict=True) if name == pair])
        x = min(abs(d))
        tail = max(share(between(page), x), share(own, x))
        expected = 2 * (tail / 2) ** 3 if len(set(np.sign(d))) == 1 else 1.0
        assert p == pytest.approx(min(1, expected / few_blocks.error_share(3, 3)))
    assert found.p.min() < 0.001 and found.p.max() == 1


@pytest.mark.parametrize("K", [3, 5, 8])
def test_bounds_leave_out_0_just_when_the_looks_reject(K: int) -> None:
    rng = np.random.default_rng(K)
    for level in (0.05, 0.005):
        page = list(rng.normal(rng.choice([0, 0.1, 0.3], (60, 1)), 0.05, (60, K)))
        found = few_blocks.look(page, [0] * 60, level)
        assert ((found.low > 0) | (found.high < 0)).tolist() == (found.p <= level).tolist()
        assert 0 < (found.p <= level).sum() < 60


def test_a_verdict_after_some_blocks_stands_at_the_end() -> None:
    """The running campaign and the finished run see the same looks."""
    rng = np.random.default_rng(1)
    page = list(rng.normal(rng.choice([0.0, 0.2, 0.5, 2.0], (80, 1)), 0.1, (80, 14)))
    decided: dict[int, str] = {}
    for K in range(1, 15):
        words = [verdict.word for verdict in judge([d[:K] for d in page], finished=False)]
        assert all(words[index] in (word, EQUIVALENT) for index, word in decided.items())
        decided |= {index: word for index, word in enumerate(words) if word in (FASTER, SLOWER)}
        assert bool(decided) == (K >= 3)
    words = [verdict.word for verdict in judge(page)]
    assert all(words[index] == word for index, word in decided.items())
    assert len(decided) < sum(word == SLOWER for word in words), "the signed-rank test adds verdicts at the end"


def test_two_blocks_need_forty_distances_of_earlier_runs() -> None:
    rng = np.random.default_rng(2)
    page, pairs = list(rng.normal(2.0, 0.05, (8, 2))), ["a"] * 4 + ["b"] * 4
    pool = few_blocks.distances(rng.normal(0, 0.05, (20, 5))).ravel()
    words = [verdict.word for verdict in judge(page, pairs=pairs, earlier={"a": pool[:40]})]
    assert words == [SLOWER] * 4 + [UNDECIDED] * 4
    assert {verdict.word for verdict in judge(page, pairs=pairs, earlier={"a": pool[:39]})} == {UNDECIDED}


def test_a_noisy_pair_is_not_judged_by_the_noise_of_quiet_ones() -> None:
    """Fifteen pairs of 8 problems, one of them ten times noisier, no differences: the page's pool alone errs."""
    rng, scale, pairs = np.random.default_rng(3), np.repeat([0.5] + [0.05] * 14, 8)[:, None], np.repeat(range(15), 8)
    false = {"own": 0, "page": 0}
    for _ in range(60):
        page = list(rng.standard_t(3, (120, 4)) * scale)
        for name, groups in (("own", list(pairs)), ("page", [0] * 120)):
            words = {verdict.word for verdict in judge(page, pairs=groups)}
            false[name] += bool(words & {FASTER, SLOWER})
    assert false["own"] <= 6 and false["page"] > 2 * false["own"] + 5


def test_a_noisy_run_is_not_judged_by_the_noise_of_quiet_earlier_ones() -> None:
    rng, pairs = np.random.default_rng(5), np.repeat(range(7), 8).tolist()
    earlier = {pair: few_blocks.distances(rng.normal(0, 0.01, (80, 12))).ravel() for pair in range(7)}
    false = {2: 0, 3: 0}
    for K in false:
        for _ in range(100):
            words = {one.word for one in judge(list(rng.normal(0, 0.08, (56, K))), pairs=pairs, earlier=earlier)}
            false[K] += bool(words & {FASTER, SLOWER})
    assert max(false.values()) <= 10, false


# Pools of earlier runs


def saved(root: Path, name: str, when: str, K: int, effect: float = 2.0, machine: str = "box", **extra: Any) -> Run:
    rows: Rows = []
    for problem in PROBLEMS:
        rows += blocks("numpy_manual", [1e-6] * K, problem=problem, framework="numpy", version="2.4")
        facts = {"problem": problem, "framework": "jax", "version": "0.10"} | extra
        rows += blocks("jax_scan", [1e-6 * effect * noise for noise in NOISE[:K]], **facts)
    sources = {impl: {"file": f"impls/{impl}.py", "text": "x", "helpers": {}} for impl in ("numpy_manual", "jax_scan")}
    return saved_run(root, rows, name, machine, datetime=when, campaign={"seed": 0, "sources": sources})


def test_a_pool_is_made_of_earlier_runs_with_the_same_configuration(tmp_path: Path) -> None:
    old = saved(tmp_path, "0001_old", "2026-01-01T00:00:00+00:00", 5)
    newer = saved(tmp_path, "0003_newer", "2026-01-03T00:00:00+00:00", 5)
    updated = saved(tmp_path, "0004_other", "2026-01-01T00:00:00+00:00", 5, version="0.9")
    elsewhere = saved(tmp_path, "0001_there", "2026-01-01T00:00:00+00:00", 5, machine="other")
    run = saved(tmp_path, "0002_run", "2026-01-02T00:00:00+00:00", 2)
    pools = pools_from_runs(run, [old, newer, updated, elsewhere, run], "numpy_manual")
    assert {pair: len(pool) for pair, pool in pools.by_pair.items()} == {("numpy_manual", "jax_scan"): 4 * 10}
    assert pools.notes == [
        "Noise of earlier runs used: box/0001_old.",
        "Noise of box/0004_other not used for jax_scan: version 0.9 there, 0.10 here.",
        "Noise of other/0001_there not used: box/0002_run was made on box, other/0001_there on other.",
    ]


def test_compare_decides_two_blocks_by_the_noise_of_an_earlier_run(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    saved(tmp_path, "0002_run", "2026-01-02T00:00:00+00:00", 2)
    command = ["compare", "numpy_manual", "jax_scan", "--runs", str(tmp_path), "--run", "run"]
    assert main(command) == 0
    out = capsys.readouterr().out
    assert "UNDECIDED in 4 of 4" in out and "Noise of" not in out
    saved(tmp_path, "0001_old", "2026-01-01T00:00:00+00:00", 5, threads=2)
    assert main(command) == 0
    out = " ".join(capsys.readouterr().out.split())
    assert "UNDECIDED in 4 of 4" in out and "not used for jax_scan: threads 2 there, 1 here" in out
    saved(tmp_path, "0001_old", "2026-01-01T00:00:00+00:00", 5)
    assert main(command) == 0
    out = " ".join(capsys.readouterr().out.split())
    assert "SLOWER in 4 of 4" in out and "Noise of earlier runs used: box/0001_old." in out


def test_an_interval_contains_its_estimate() -> None:
    """The first blocks agree closely; later ones move the estimate out of the bounds of the first looks."""
    rng = np.random.default_rng(0)
    calm = [rng.normal(0, 1e-3, 12) for _ in range(6)]
    moved = np.concatenate([rng.normal(0, 1e-3, 5), rng.normal(-0.05, 0.01, 7)])
    for verdict in judge([*calm, moved]):
        assert verdict.low <= verdict.ratio <= verdict.high
