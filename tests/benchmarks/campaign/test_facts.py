"""What a saved run carries for whoever draws it: iterates with their distances and losses, published numbers, code."""

import copy
import dataclasses
import hashlib
import json
import tracemalloc
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from helpers import HONEST, MUTANTS, ROOT, Done, bench, random_problem, write

from benchmarks.campaign.campaign import Campaign
from benchmarks.campaign.plan import Plan
from benchmarks.problems import catalogue, tutorials
from benchmarks.problems import published as texts
from benchmarks.reference import iterates
from benchmarks.reference.solution import truth
from impls.interface import Array, Problem
from impls.numpy_manual import prepare
from results.store.seal import broken_seals

TUTORIALS = ["line", "crops", "scalar"]
LONG = HONEST + "# é\n" * 6000  # some 30 kB


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> Done:
    """numpy_manual on the texts' problems and two others."""
    names = ",".join([*TUTORIALS, "scalar@2", "40x3"])
    folder = tmp_path_factory.mktemp("facts")
    return bench(folder, "--problem", names, "--dtype", "float32,float64")


@pytest.fixture(scope="module")
def several(tmp_path_factory: pytest.TempPathFactory) -> Done:
    """Implementations from everywhere: ours (twice), a program's, a wrong, a long, a removed file, an entry point."""
    folder = tmp_path_factory.mktemp("zanzibar")
    (info := folder / "theirs-1.0.dist-info").mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: theirs\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[descentbench.impls]\ntheir_way = their_descent\n")
    write(folder, "their_descent", HONEST)
    paths = [MUTANTS / "numpy_sum.py", ROOT / "benchmarks/extra/loops/numpy_tutorial.py", write(folder, "mine", LONG)]
    paths.append(write(folder, "gone", f"import os\nos.remove(__file__)\n{HONEST}"))
    names = ",".join(["numpy_manual", "their_way", *map(str, paths)])
    return bench(folder, "--impl", names, "--aa", "numpy_manual", env={"PYTHONPATH": str(folder)})


def found(row: dict[str, Any]) -> dict[int, float]:
    """Update to loss."""
    return dict(zip(map(int, row["iterates"].split()), map(float, row["losses"].split()), strict=True))


def inside(published: str, losses: dict[int, float]) -> bool:
    return all(low <= losses[t] <= high for t, _, low, high in json.loads(published))


def loss(problem: Problem, weights: Array) -> float:
    X, y = problem.X.astype(np.float64), problem.y.astype(np.float64)
    return float(np.mean((X @ weights.astype(np.float64) - y) ** 2))


# Iterates


def test_the_three_lists_go_together(done: Done) -> None:
    assert len(done.rows) == 10
    for row in done.rows:
        at, distances = [int(t) for t in row["iterates"].split()], [float(v) for v in row["distances"].split()]
        assert at == sorted({*at, 0, 1, 2, 3, 5, 8, row["steps"] // 2, row["steps"]})
        assert len(at) == len(distances) == len(row["losses"].split())
        assert distances[0] == 0 and 0 < max(distances) <= 1.01 * row["error"] / row["tolerance"] <= 1.01


def test_losses_are_those_of_the_weights_that_came_back(done: Done) -> None:
    """In float32, whose rounding shows in the ninth digit."""
    for row in done.rows:
        problem = catalogue.cast(catalogue.build(row["problem"])[0], row["dtype"])
        run = prepare(problem, "cpu")
        mine = {t: loss(problem, run(problem.w0, t)) for t in (0, 1, 2, 3, 5, 8)}
        assert {t: found(row)[t] for t in mine} == pytest.approx(mine, rel=1e-8), row["problem"]
    first, last = (found(row)[t] for row in done.rows[:1] for t in (0, row["steps"]))
    assert last < first / 10


def test_a_problem_of_one_step_has_two_iterates() -> None:
    one = iterates.Iterate(1, np.array([1.0]), 1.0, 1e-9, 1e-8)
    campaign = Campaign(plan("scalar"))
    told = iterates.row_facts(campaign.task("scalar", "float64").folder, np.array([0.0]), [one, one])
    campaign.close()
    assert told == {"iterates": "0 1", "distances": "0 0.1", "losses": "30 7.5"}  # 7.5 (w - 2)^2


@pytest.mark.parametrize("k", [None, 1, 3])
def test_losses_chunk_by_chunk(k: int | None, monkeypatch: pytest.MonkeyPatch) -> None:
    problem = random_problem(101, 7, k, None, "float32")
    weights = [prepare(problem, "cpu")(problem.w0, t) for t in (0, 1, 12)]
    whole = [loss(problem, w) for w in weights]
    for products in (1, 600, 2**30):
        monkeypatch.setattr(iterates, "CHUNK_PRODUCTS", products)
        assert iterates.losses(problem.X, problem.y, weights) == pytest.approx(whole, rel=1e-12)


@pytest.mark.parametrize("k", [None, 3])
def test_losses_of_a_full_batch_need_no_pass_over_the_rows(k: int | None) -> None:
    """Unless so little is left of y that a difference of sums would be all rounding."""
    problem = random_problem(101, 7, k, None, "float32")
    quadratic = truth(problem, [1]).quadratic
    assert quadratic is not None and truth(random_problem(101, 7, k, 4), [1]).quadratic is None
    for w in [prepare(problem, "cpu")(problem.w0, t) for t in (0, 1, 12)]:
        assert quadratic.loss(w) == pytest.approx(loss(problem, w), rel=1e-10)
    exact = dataclasses.replace(problem, y=(problem.X @ problem.w0).astype("float32"))
    solved = truth(exact, [1]).quadratic
    assert solved is not None and solved.loss(problem.w0) is None


def test_losses_make_no_second_copy_of_the_data() -> None:
    X, y = np.ones((100_000, 20), np.float32), np.ones(100_000, np.float32)  # 8 MB
    tracemalloc.start()
    assert iterates.losses(X, y, [np.zeros(20, np.float32)] * 8) == [1.0] * 8
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 2e6


# Published numbers


def plan(problem: str, **more: Any) -> Plan:
    usual = {"dtypes": ["float32", "float64"], "blocks": 1, "seconds": 0.1, "threads": 1, "seed": 0, "timeout": 60.0}
    return Plan(impls=["numpy_manual"], devices=["cpu"], problems=[problem], **(usual | more))


def test_every_found_loss_is_where_the_text_says(done: Done) -> None:
    rows = {problem: [row for row in done.rows if row["problem"] == problem] for problem in TUTORIALS}
    updates = {name: [one[0] for one in json.loads(of[0]["published"])] for name, of in rows.items()}
    assert updates == {"line": [0, 10, 30, 90], "crops": [0, 1, 2, 102], "scalar": [0, 10, 20, 30, 40]}
    for row in [row for of in rows.values() for row in of]:
        assert inside(row["published"], found(row)), row["problem"]
    assert all("published" not in row for row in done.rows if row["problem"] not in TUTORIALS)


@pytest.mark.parametrize(("name", "factor"), [("line", 1.5), ("crops", 1.001), ("scalar", 1.001)])
def test_an_altered_loss_is_outside(name: str, factor: float, done: Done) -> None:
    """Each for itself, up and down; of `line`, whose draws differ, it takes a wide miss."""
    row = next(row for row in done.rows if row["problem"] == name)
    for t, *_ in json.loads(row["published"]):
        for altered in (found(row)[t] * factor, found(row)[t] / factor):
            assert not inside(row["published"], found(row) | {t: altered}) or (name, t) == ("line", 90)


@pytest.mark.parametrize("factor", [0.5, 2.0])  # without the 2; a mean over the rows of two targets
@pytest.mark.parametrize("name", TUTORIALS)
def test_a_wrong_descent_is_outside(name: str, factor: float, done: Done) -> None:
    row = next(row for row in done.rows if row["problem"] == name)
    problem = catalogue.build(name)[0]
    run = prepare(replace(problem, lr=factor * problem.lr), "cpu")
    assert not inside(row["published"], {t: loss(problem, run(problem.w0, t)) for t in found(row)})


def test_another_text_has_other_limits(monkeypatch: pytest.MonkeyPatch, done: Done) -> None:
    row = next(row for row in done.rows if row["problem"] == "crops")
    monkeypatch.setattr(tutorials, "CROPS_LOSSES", {0: 6266.8789, 1: 4479.5811})
    assert not inside(json.dumps(texts.checked("crops", catalogue.build("crops")[0])), found(row))


@pytest.mark.parametrize("name", TUTORIALS)
def test_the_text_s_numbers_belong_to_its_own_start_and_lr(name: str) -> None:
    problem = catalogue.build(name)[0]
    assert texts.checked(name, catalogue.cast(problem, "float32")) == texts.checked(name, problem) != []
    assert texts.checked(name, replace(problem, lr=problem.lr / 2)) == []
    assert texts.checked(name, replace(problem, w0=problem.w0 + 1)) == []


@pytest.mark.parametrize(
    ("more", "dtypes"), [({}, 2), ({"lr": 0.01}, 2), ({"lr": 0.02}, 0), ({"precision": "tf32"}, 1)], ids=str
)
def test_published_numbers_are_float32_s_at_least(more: dict[str, Any], dtypes: int) -> None:
    campaign = Campaign(plan("scalar", **more))
    facts = [campaign.task("scalar", dtype).facts for dtype in ("float64", "float32")]
    assert ["published" in one for one in facts] == [place < dtypes for place in range(2)]
    campaign.close()


# Code


def test_the_code_of_each_implementation_is_saved_as_it_was_run(several: Done) -> None:
    sources = several.json["campaign"]["sources"]
    assert {name: source["file"] for name, source in sources.items()} == {
        "numpy_manual": "impls/numpy_manual.py",
        "their_way": "their_descent.py",
        "numpy_sum": "tests/support/mutants/numpy_sum.py",
        "numpy_tutorial": "benchmarks/extra/loops/numpy_tutorial.py",
        "mine": "mine.py",
        "gone": "gone.py",
    }
    for name in ("numpy_manual", "numpy_sum", "numpy_tutorial"):
        assert sources[name]["text"] == (ROOT / sources[name]["file"]).read_text()
    assert sources["their_way"]["text"] == HONEST
    assert len(several.refused) == 1 and "zanzibar" not in json.dumps(several.json)


def test_a_long_file_is_cut_and_says_so(several: Done) -> None:
    text, size = several.json["campaign"]["sources"]["mine"]["text"], len(LONG.encode())
    kept, _, note = text.rpartition("\n")
    assert f"the first 20000 of {size} bytes" in note and hashlib.sha256(LONG.encode()).hexdigest() in note
    assert LONG.startswith(kept) and len(kept.encode()) == 20_000


def test_the_second_label_of_a_pair_has_no_code_of_its_own(several: Done) -> None:
    assert {"numpy_manual", "numpy_manual-again"} < {row["impl"] for row in several.rows}
    assert "numpy_manual-again" not in several.json["campaign"]["sources"]


def test_code_that_is_edited_by_hand_is_told(done: Done) -> None:
    assert broken_seals(done.json) == [""] * 10
    edited = copy.deepcopy(done.json)
    edited["campaign"]["sources"]["numpy_manual"]["text"] += "\n"
    assert all("the campaign do not match their digest" in reason for reason in broken_seals(edited))


def test_a_file_that_is_gone_has_no_text(several: Done) -> None:
    assert several.timed("gone") == {("scalar", "float32")}
    assert several.json["campaign"]["sources"]["gone"]["text"] == ""
