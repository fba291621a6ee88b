"""The machine's limits: what a step must do, what the machine can do, and how rows and pages tell it."""

import json
import subprocess
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from helpers import ROOT, Done, bench, command, environment, random_problem, saved, write
from runs import blocks, saved_run

from benchmarks.extra import closed_form
from benchmarks.machine import bandwidth, roofline
from benchmarks.machine.roofline import Level, Rates
from benchmarks.timing import machine_limits as limits
from benchmarks.timing import parity
from benchmarks.typed_json import decode
from benchmarks.worker.client import Settings
from benchmarks.worker.workspace import Workspace
from impls.interface import Unsupported
from results.commands.compare import compare_implementations
from results.commands.limits import limits as page_of
from results.page.data import make_payload
from results.page.report import report
from results.stats.quiet_or_busy import BUSY, OTHERS_SHARE, QUIET, Quiet
from results.store.outcomes import outcomes
from results.store.reading import RunError

LEVELS = [Level("L2", 2**20, 100e9, "numba"), Level("memory", None, 20e9, "torch")]
FLOPS, MATVEC = {"float32": 200e9, "float64": 100e9}, {"float32": 40e9, "float64": 20e9}
FOUND = Rates(LEVELS, FLOPS, MATVEC, call_s=1e-6)
HUGE = {
    "n": 10**6,
    "d": 100,
    "k": 1,
    "batch": 10**6,
    "steps": 10,
    "dtype": "float32",
    "step_reads": "X",
    "per_step_s": 0.05,
}


def test_a_pass_reads_x_and_y_once_and_two_products_read_x_twice() -> None:
    once, twice = (way(10**6, 100, 1, 4, 0.0) for way in (roofline.one_pass, roofline.two_pass))
    assert once.bytes == 404e6 and once.flops == twice.flops == 4e8
    assert twice.bytes == 812e6


def test_a_gram_matrix_costs_one_pass_a_run_and_next_to_nothing_a_step() -> None:
    few, many = (roofline.gram(10**6, 100, 1, 4, steps) for steps in (1, 10**6))
    assert few.bytes == pytest.approx(404e6 + 40_800) and few.flops == pytest.approx(1.03e10, rel=0.01)
    assert many.bytes == pytest.approx(40_800 + 404) and many.flops == pytest.approx(20_000 + 10_300)


@pytest.mark.parametrize(
    ("change", "seconds", "by"),
    [
        ({}, 404e6 / 20e9, "memory"),
        ({"n": 2000, "batch": 2000}, 2000 * 404 / 100e9, "cache"),
        ({"n": 2000, "batch": 2000, "k": 100}, 4 * 2000 * 100 * 100 / 200e9, "compute"),
        ({"n": 100, "batch": 100, "d": 2}, 1200 / 100e9, "dispatch"),
        ({"batch": 1000, "steps": 1}, 404_000 / 100e9, "cache"),  # no more rows than fit into the cache are touched
        ({"batch": 1000, "steps": 500}, 404_000 / 20e9, "memory"),
    ],
)
def test_a_step_takes_at_least_what_it_waits_for_longest(change: dict[str, Any], seconds: float, by: str) -> None:
    facts = roofline.row_facts(HUGE | change, FOUND)
    assert (facts["limit_s"], facts["limited_by"]) == (pytest.approx(seconds), by)
    if by == "dispatch":  # a share of it would say nothing
        assert "fraction_of_limit" not in facts
    else:
        assert facts["fraction_of_limit"] == pytest.approx(seconds / 0.05)
    assert facts["two_pass_s"] >= facts["limit_s"]


def test_what_was_read_beside_the_rounds_counts_before_what_was_read_at_another_time() -> None:
    facts = roofline.row_facts(HUGE | {"read_bytes_per_s": 10e9}, FOUND)
    assert facts["limit_s"] == pytest.approx(404e6 / 10e9) and facts["two_pass_s"] == pytest.approx(812e6 / 10e9)
    assert facts["limited_by"] == "memory"


def test_as_many_bytes_are_read_as_asked_for_and_no_more_than_leave_the_caches(monkeypatch: pytest.MonkeyPatch) -> None:
    workspace = Workspace()
    reader = limits.Reader(Settings(threads=1), 60, workspace)
    sizes = list[int]()
    try:
        assert reader.worker is not None
        few, many = reader.bytes_per_s(2**21), reader.bytes_per_s(2**40)
        assert few and many and 1e8 < many < 1e13
        monkeypatch.setattr(reader.worker, "read", lambda size: sizes.append(size) or 1.0)
        reader.bytes_per_s(2**21), reader.bytes_per_s(2**40)
        assert sizes[0] == 2**21 and 2**28 <= sizes[1] < 2**32
    finally:
        reader.close()
        workspace.close()
    assert reader.bytes_per_s(2**21) is None


def test_without_numba_numpy_reads(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    absent = write(tmp_path, "absent", "import a_framework_that_nobody_has\n")
    for impls, loaded in (((absent, "numpy_manual"), "numpy"), ((absent,), None)):
        monkeypatch.setattr(limits, "READER_IMPLS", impls)
        reader = limits.Reader(Settings(threads=1), 60, Workspace())
        assert (reader.worker and reader.worker.loaded.framework) == loaded
        assert bool(reader.bytes_per_s(2**20)) == bool(loaded)
        reader.close()


def test_gram_is_told_its_own_limit_and_no_two_passes() -> None:
    facts = roofline.row_facts(HUGE | {"step_reads": "Gram matrix", "steps": 10**6}, FOUND)
    assert facts["limit_s"] < 1e-5 and "two_pass_s" not in facts


@pytest.mark.parametrize("row", [{}, {"n": 3, "cold_s": 1.0}])
def test_what_is_no_timed_descent_is_told_nothing(row: dict[str, Any]) -> None:
    assert roofline.row_facts(row, FOUND) == {}
    assert roofline.row_facts(HUGE, None) == {}
    assert "fraction_of_limit" not in roofline.row_facts(HUGE | {"per_step_s": 0.0}, FOUND)


def test_caches_that_cores_share_count_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for core in (0, 1):
        for index, (level, kind, size, shared) in enumerate(
            [("1", "Data", "48K", core), ("1", "Instruction", "32K", core), ("2", "Unified", "1024K", core),
             ("3", "Unified", "32768K", "0-1")]
        ):  # fmt: skip
            folder = tmp_path / f"cpu{core}" / "cache" / f"index{index}"
            folder.mkdir(parents=True)
            for name, content in {"level": level, "type": kind, "size": size, "shared_cpu_list": shared}.items():
                (folder / name).write_text(f"{content}\n")
    monkeypatch.setattr(roofline, "CPU_FOLDER", tmp_path)
    assert roofline.caches([0, 1]) == {"L1": 96 * 1024, "L2": 2 * 2**20, "L3": 2**25}
    assert roofline.caches([1]) == {"L1": 48 * 1024, "L2": 2**20, "L3": 2**25}
    assert roofline.caches([7]) == {}


def test_the_best_of_several_kernels_counts_level_by_level() -> None:
    other = Rates([Level("memory", None, 30e9, "numpy")], {"float32": 1e9, "float64": 300e9}, MATVEC, call_s=5e-7)
    best = bandwidth.better(FOUND, other)
    assert [(level.level, level.kernel) for level in best.levels] == [("L2", "numba"), ("memory", "numpy")]
    assert best.flops_per_s == {"float32": 200e9, "float64": 300e9} and best.call_s == 5e-7


def test_a_framework_without_kernels_is_said_to_have_none() -> None:
    with pytest.raises(Unsupported, match="a_stranger has no kernel that reads"):
        bandwidth.measured("a_stranger", None, "cpu", [0])


def test_a_kernel_that_fails_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """One that is not installed or not for the device is nobody's fault; one that dies is named."""
    dies = write(tmp_path, "dies", "import os\nos._exit(3)\n")
    absent = write(tmp_path, "absent", "import a_framework_that_nobody_has\n")
    monkeypatch.setitem(limits.KERNELS, "cpu", (dies, absent))
    measured = limits.MachineLimits(60, Workspace())
    measured.measure("cpu", Settings(threads=1), 0)
    failed = {"failed": {dies: "exited with code 3"}}
    assert measured.summary() == {"cpu": failed}
    assert roofline.row_facts(HUGE, None) == {}
    measured.rates["cpu"] = {1: FOUND}
    assert measured.summary() == {"cpu": asdict(FOUND) | failed}
    monkeypatch.setattr(limits, "Worker", lambda *words: pytest.fail("a resumed campaign measures a block again"))
    measured.measure("cpu", Settings(threads=1), 1)
    run = run_of(
        tmp_path, campaign={"seed": 0, "limits": {"cpu": asdict(FOUND) | {"failed": {"numba_fused": "exited"}}}}
    )
    assert "numba_fused could not measure: exited." in page_of(run).sections[1].notes


def test_a_run_measures_its_limits_and_its_rows_tell_how_near_they_come(tmp_path: Path) -> None:
    options = ["--problem=5000x100", "--threads=1", "-p", "tests.support.quicker"]
    words = [word for word in command(tmp_path, *options) if word != "--no-limits"]
    done = subprocess.run(words, cwd=ROOT, env=environment(), capture_output=True, text=True, timeout=600)
    content = saved(tmp_path / "out.json")
    found = content["campaign"]["limits"]["cpu"]
    rates = {level["level"]: level["bytes_per_s"] for level in found["levels"]}
    assert 1e9 < rates["memory"] < 1e13 and found["call_s"] < 1e-3 and min(found["flops_per_s"].values()) > 1e8
    (row,) = (entry["extra_info"] for entry in content["benchmarks"])
    if "limit_s" not in row:  # other tests made the limit too low
        assert row["valid"] and content["campaign"]["system_load"][0]["others"] > limits.BUSY_SHARE
        return
    again = roofline.row_facts(row, decode(Rates, found))
    assert again and {name: row[name] for name in again} == again
    assert done.returncode == int(bool(row["reason"])), done.stdout + done.stderr
    # On a machine in use, the limit may be too low
    assert not row["reason"] or row["fraction_of_limit"] > parity.MAX_LIMIT_RATIO
    assert row["limited_by"] in ("cache", "memory", "compute") and row["fraction_of_limit"] > 0
    assert 1e8 < row["read_bytes_per_s"] < 1e13
    if row["limited_by"] != "compute":
        assert row["limit_s"] == pytest.approx(roofline.least(row).bytes / row["read_bytes_per_s"])


@pytest.mark.parametrize(("others", "valid", "has_limit"), [(0.0, False, True), (0.1, False, True), (0.5, True, False)])
def test_a_limit_measured_beside_other_programs_accuses_nobody(others: float, valid: bool, has_limit: bool) -> None:
    measured = limits.MachineLimits(60, Workspace())
    measured.rates["cpu"] = {0: FOUND}
    row = HUGE | {"per_step_s": 4e-3, "steady_s": 4e-2, "device": "cpu", "block": 0, "valid": True, "reason": ""}
    found = measured.beside(row | {"read_bytes_per_s": 1e9}, 2e9, others)
    assert (found["valid"], "limit_s" in found, "read_bytes_per_s" in found) == (valid, has_limit, has_limit)
    assert ("leave out work" in found["reason"]) != valid
    assert measured.beside(row | {"steady_s": 1.0}, 2e9, others)["reason"].startswith("runs of no steps took")
    slower = row | {"per_step_s": 4e-2, "steady_s": 4e-1}
    for facts, most_read in ((row, 1e12), (slower, 1e8)):  # a slow reading is no limit, whatever slowed it
        slowed = measured.beside(facts | {"read_bytes_per_s": 1e8}, most_read, others)
        assert slowed["valid"] and "limit_s" not in slowed and "read_bytes_per_s" not in slowed


@pytest.fixture(scope="module")
def few_steps(tmp_path_factory: pytest.TempPathFactory) -> Done:
    """A run of 37 steps without limits."""
    return bench(tmp_path_factory.mktemp("steps"), "--steps", "37", "--problem", "scalar,crops@5")


def test_without_limits_a_run_is_told_none(few_steps: Done) -> None:
    assert few_steps.json["campaign"]["limits"] == {} and "limit_s" not in few_steps.rows[0]


def run_of(tmp_path: Path, **more: Any) -> Any:
    """Two implementations over X, one over the Gram matrix, 8 blocks."""
    near = {"limit_s": 1e-6, "two_pass_s": 2e-6, "limited_by": "memory"}
    rows = blocks("numpy_manual", [4e-6] * 8, **near, fraction_of_limit=0.25)
    rows += blocks("numba_fused", [1.25e-6] * 8, **near, fraction_of_limit=0.8)
    rows += blocks(
        "numpy_gram", [1e-8] * 8, **near | {"limit_s": 5e-9}, fraction_of_limit=0.5, step_reads="Gram matrix"
    )
    return saved_run(tmp_path, rows, **more)


def test_tables_tell_the_limit_and_who_is_how_near(tmp_path: Path) -> None:
    run = run_of(tmp_path, campaign={"seed": 0, "limits": {"cpu": asdict(FOUND)}})
    tables = {section.title: section for section in page_of(run).sections}
    assert [row["bandwidth"] for row in tables["The machine: cpu"].table] == ["100 GB/s", "20.0 GB/s"]
    assert tables["Steps at the limit: cpu, float64"].table == [
        {"problem": "small", "one pass": "1.00 µs (memory)", "two passes": "2.00 µs",
         "shortest step": "1.25 µs, numba_fused", "of the limit": "80.0% (80.0 to 80.0)",
         "second shortest": "4.00 µs, numpy_manual"}
    ]  # fmt: skip
    times = next(part for part in report([run], "numpy_manual").sections if part.title.startswith("Time per step"))
    cells = {row["implementation"]: row["small"] for row in times.table}
    assert cells["the machine's limit"] == "1.00 µs (memory)"
    assert cells["numpy_gram"] == "10.0 ns (Gram matrix)" and cells["numba_fused (expert-tuned)"] == "1.25 µs (3.20x)"


def test_a_step_is_counted_in_passes_or_in_calls(tmp_path: Path) -> None:
    rows = blocks("numpy_manual", [4e-6] * 3, limit_s=1e-6, limited_by="memory", problem="9x2", n=9, d=2)
    rows += blocks("numpy_manual", [6e-6] * 3, limit_s=1e-8, limited_by="dispatch", problem="9x1@3", n=9, d=1, batch=3)
    rows += blocks("numpy_manual", [8e-6] * 3, limit_s=1e-6, limited_by="memory", problem="5x2", n=5, d=2)
    run = saved_run(tmp_path, rows, campaign={"limits": {"cpu": asdict(FOUND) | {"call_s": 2e-6}}})
    (table,) = (section.table for section in page_of(run).sections if section.title == "What a step costs")
    assert table == [
        {"implementation": "numpy_manual", "9 x 1 @3, float64 (dispatch)": "3.00 calls",
         "9 x 2, float64 (memory)": "4.00 passes"}
    ]  # fmt: skip


def test_a_row_above_the_limit_in_every_block_says_that_the_limit_is_too_low(tmp_path: Path) -> None:
    near = {"limit_s": 1e-6, "two_pass_s": 2e-6, "limited_by": "memory"}
    rows = blocks("numba_fused", [9e-7] * 3, **near, fraction_of_limit=1.04)
    rows += blocks("numpy_manual", [2e-6] * 3, **near, fraction_of_limit=0.5)
    notes = page_of(saved_run(tmp_path, rows, campaign={"limits": {"cpu": asdict(FOUND)}})).sections[2].notes
    assert [note for note in notes if "too low" in note] == [
        "numba_fused on small is above the limit in every block: the limit is too low there."
    ]


def test_other_work_is_labelled_and_never_compared_as_equal(tmp_path: Path) -> None:
    run = run_of(tmp_path)
    with pytest.raises(RunError, match="nothing to compare: step_reads X in A, Gram matrix in B"):
        compare_implementations([run], "numba_fused", "numpy_gram")
    cells = make_payload([run], "numpy_manual").speedups.set_index(["impl", "baseline"])
    assert cells.loc[("numpy_gram", "numpy_manual"), "verdict"] == "INVALID"
    assert cells.loc[("numpy_gram", "numpy_manual"), "why"].startswith("step_reads X in ")
    assert cells.loc[("numba_fused", "numpy_manual"), "verdict"] == "FASTER"
    fastest = [line for line in report([run], "numpy_manual").sections[1].notes if line.startswith("Fastest")]
    assert fastest == ["Fastest step on the cpu in float64, as users write it: numpy_manual on small."]


def test_what_a_file_of_before_does_not_say_of_its_work_is_x(tmp_path: Path) -> None:
    assert outcomes(saved_run(tmp_path, blocks("a", [1e-6])))["step_reads"].tolist() == ["X"]


def test_a_run_without_limits_is_an_error_that_says_why(tmp_path: Path) -> None:
    with pytest.raises(RunError, match=r"no measured limits.*--no-limits"):
        page_of(run_of(tmp_path))


def test_layers_are_differences_of_the_same_block(tmp_path: Path) -> None:
    rows = blocks("torch_manual", [5e-6, 9e-6, 7e-6], n=100, d=2, batch=100)
    rows += blocks("torch_autograd", [15e-6, 39e-6, 27e-6], n=100, d=2, batch=100)
    rows += blocks("numpy_manual", [2e-6, 2e-6, 2e-6], n=512, d=16)  # no small problem: it says nothing of layers
    run = saved_run(tmp_path, rows, campaign={"limits": {"cpu": asdict(FOUND)}})
    layers = page_of(run).sections[-1]
    assert layers.title.startswith("The cost of each layer")
    assert [row["per step"] for row in layers.table] == ["20.0 µs (10.0 µs to 30.0 µs)"]


def test_a_wrong_closed_form_is_off(tmp_path: Path) -> None:
    for dtype in ("float32", "float64"):
        problem = random_problem(400, 3, None, None, dtype)
        solved = [way(problem.X, problem.y) for way in closed_form.CLOSED_FORMS.values()]
        assert all(closed_form.off(problem, w) < 1 for w in solved)
        assert closed_form.off(problem, np.asarray(solved[0] * 1.1, dtype)) > 1
        descended = closed_form.sgd(problem.X, problem.y)
        assert descended.shape == solved[0].shape and (closed_form.loss_excess(problem, descended) or 0) > 1e-9
        assert abs(closed_form.loss_excess(problem, solved[0]) or 0) < 1e-9


def test_closed_forms_are_timed_beside(tmp_path: Path) -> None:
    words = command(tmp_path, "--problem=small", "-p", "tests.support.quicker")
    words[words.index("benchmarks")] = "benchmarks/extra/bench_closed_form.py"
    done = subprocess.run(words, cwd=ROOT, env=environment(), capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stdout + done.stderr
    rows = {row["extra_info"]["impl"]: row for row in json.loads((tmp_path / "out.json").read_text())["benchmarks"]}
    assert set(rows) == {*(f"closed form: {way}" for way in closed_form.CLOSED_FORMS), closed_form.SGD}
    assert {name for name, row in rows.items() if "loss_excess" in row["extra_info"]} == {closed_form.SGD}
    assert rows[closed_form.SGD]["extra_info"]["loss_excess"] > 0
    assert all(0 < row["stats"]["median"] == row["extra_info"]["seconds"] < 1 for row in rows.values())


def test_steps_are_what_is_asked_for(few_steps: Done, tmp_path: Path) -> None:
    assert [row["steps"] for row in few_steps.rows] == [37, 37], few_steps.out
    assert bench(tmp_path, "--steps", "0").code == 4


def test_both_packages_call_the_same_load_busy() -> None:
    assert limits.BUSY_SHARE == OTHERS_SHARE


def test_busy_loops_are_called_busy_by_the_committed_check() -> None:
    kept = json.loads((ROOT / "results" / "quiet.json").read_text())
    fields = Quiet.__dataclass_fields__
    words = {row["loops"]: Quiet(**{name: row[name] for name in fields if name in row}).word for row in kept}
    assert words == {0: QUIET} | dict.fromkeys((1, 2, 3), BUSY)
