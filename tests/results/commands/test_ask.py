"""`ask`: measured or predicted, with intervals that hold, and nothing outside what was measured."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from helpers import ROOT
from runs import KNOWN, blocks, saved_run
from scipy.optimize import nnls
from scipy.spatial import Delaunay

from benchmarks.problems import catalogue
from results.__main__ import main
from results.commands import ask
from results.commands.ask import MAX_ELEMENTS, MEASURED_IMPLS, Size
from results.stats.prediction import MIN_SIZES, fit_prices, held_out, measured_sizes, predict
from results.store.reading import Run
from results.store.runs import read_all

ROWS, FEATURES = (100, 1_000, 10_000, 100_000), (2, 10, 100, 1_000)
PRICES = {
    "numpy_manual": (2e-6, 1e-10),
    "jax_scan": (2e-8, 3e-10),
    "torch_nn": (5e-5, 1.2e-10),
}  # of a call, an element


def grid(tmp_path: Path, noise: float = 0.0, count: int = 4) -> Run:
    """A run of all sizes with times of known prices. Processes differ by `noise`."""
    rng, cases = np.random.default_rng(1), []
    for impl, (call, element) in PRICES.items():
        for n in ROWS:
            for d in FEATURES:
                seconds = (call + element * n * d) * np.exp(rng.normal(0, noise, count))
                size = {
                    "problem": f"{n}x{d}",
                    "problem_hash": f"{n}x{d}",
                    "n": n,
                    "d": d,
                    "batch": n,
                    "dtype": "float32",
                }
                cases += blocks(impl, seconds.tolist(), **(KNOWN | size))
    return saved_run(tmp_path, cases)


@pytest.fixture(scope="module")
def exact(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the run of a grid, without noise, for tests that only read it."""
    folder = tmp_path_factory.mktemp("grid")
    grid(folder)
    return folder


def test_a_size_between_the_measured_ones_is_predicted_from_its_prices(tmp_path: Path) -> None:
    sizes = measured_sizes(grid(tmp_path).rows)
    for n, d in ((300, 30), (5_000, 50), (50_000, 3)):
        found = {one.impl: one for one in predict(sizes, n, d)}
        for impl, (call, element) in PRICES.items():
            assert found[impl].per_step_s == pytest.approx(call + element * n * d, rel=0.02)
            assert found[impl].sizes == len(ROWS) * len(FEATURES)
    assert [one.impl for one in predict(sizes, 120, 3)] == ["jax_scan", "numpy_manual", "torch_nn"]
    assert predict(sizes, 10_000_000, 10) == [] and predict(sizes, 1_000, 1) == []


def test_a_measured_size_is_not_predicted(tmp_path: Path) -> None:
    (first, *_) = predict(measured_sizes(grid(tmp_path, 0.1).rows), 1_000, 10)
    assert first.sizes == 0 and first.low_s < first.per_step_s < first.high_s


def test_cases_with_several_targets_or_an_invalid_block_are_no_sizes(tmp_path: Path) -> None:
    run = grid(tmp_path)
    rows = run.rows.assign(k=run.rows["k"].mask(run.rows["n"] == 100, 2))
    failed = (rows["n"] == 10_000) & (rows["block"] == 1) & (rows["impl"] == "jax_scan")
    sizes = measured_sizes(rows.assign(valid=rows["valid"] & ~failed)).groupby("impl")["n"].unique()
    assert sorted(sizes["jax_scan"]) == [1_000, 100_000] and sorted(sizes["torch_nn"]) == [1_000, 10_000, 100_000]


def test_the_level_of_few_sizes_is_what_they_can_show(tmp_path: Path) -> None:
    sizes = measured_sizes(grid(tmp_path, 0.1).rows)
    few = sizes[sizes["d"].isin([2, 10, 100]) & (sizes["n"] < 100_000)]
    assert {one.level for one in predict(sizes, 300, 30)} == {0.9}
    assert {one.level for one in predict(few, 300, 30)} == {5 / 6}  # 5 sizes lie inside the others


def test_intervals_hold_on_sizes_that_were_left_out(tmp_path: Path) -> None:
    found = held_out(measured_sizes(grid(tmp_path, 0.05).rows))
    assert len(found) >= 20 and found["error"].abs().median() < 0.15 and found["inside"].mean() >= 0.85


@pytest.mark.parametrize("seed", range(20))
def test_prices_are_the_best_that_are_not_negative(seed: int) -> None:
    rng = np.random.default_rng(seed)
    n, d = 10.0 ** rng.integers(2, 7, 12), 10.0 ** rng.integers(0, 4, 12)
    terms = np.stack([np.ones(12), n, d, n * d], axis=1)
    seconds = (terms @ (rng.integers(0, 2, 4) * [1e-6, 1e-10, 1e-9, 1e-10]) + 1e-7) * np.exp(rng.normal(0, 0.5, 12))
    best, missed = nnls(terms / seconds[:, None], np.ones(12))
    found = fit_prices(terms / seconds[:, None])
    assert (found >= 0).all()
    assert np.linalg.norm(terms / seconds[:, None] @ found - 1) <= missed * (1 + 1e-9)
    np.testing.assert_allclose(found, best, rtol=1e-6, atol=1e-30)


@pytest.mark.parametrize("seed", range(10))
def test_a_size_is_predicted_exactly_if_it_lies_between_the_measured_ones(seed: int) -> None:
    rng = np.random.default_rng(seed)
    grid = rng.permutation([(10**rows, 10**features) for rows in range(2, 6) for features in range(4)])[:MIN_SIZES]
    table = pd.DataFrame(grid, columns=["n", "d"]).assign(impl="a", per_step_s=1.0, low_s=1.0, high_s=1.0)
    around = Delaunay(np.log(grid))
    for n, d in 10 ** np.stack([rng.integers(1, 7, 50), rng.integers(0, 5, 50)], axis=1):
        assert bool(predict(table, int(n), int(d))) == (around.find_simplex(np.log([n, d]), tol=1e-9) >= 0), (n, d)
    on_a_line = table.assign(d=10)
    assert predict(on_a_line, int(grid[0, 0]) + 1, 10) == []


def test_the_answer_is_in_words(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    grid(tmp_path, 0.02)
    assert main(["ask", "120x3", "--runs", str(tmp_path), "--steps", "500"]) == 0
    predicted = capsys.readouterr().out
    assert "Predicted: jax_scan is fastest" in predicted and "16 sizes" in predicted and "500 steps" in predicted
    assert main(["ask", "1000x2", "--runs", str(tmp_path)]) == 0
    assert "JAX is fastest: jax_scan" in capsys.readouterr().out


def test_one_block_alone_has_no_interval(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    grid(tmp_path, 0.02, 1)
    assert main(["ask", "1000x2", "--runs", str(tmp_path)]) == 0
    alone = capsys.readouterr().out
    assert "too few blocks for an interval" in alone and "nan" not in alone


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["ask", "50000"], "'50000' is no size; write ROWSxFEATURES"),
        (["ask", "--csv", "http://x.org/t.csv", "--target", "y"], "download it first"),
        (["ask", "0x10"], "'0x10': rows and features must be at least 1"),
        (["ask", "999999999x30"], "240 GB"),
        (["ask", "9999999x10"], "says nothing about 9999999x10"),
        (["ask", "300x10", "--device", "gpu"], "no run has 6 sizes with full batch on the gpu"),
        (["ask", "300x10@32"], "no run has 6 sizes with mini-batches of 32 rows"),
        (["ask", "300x10", "--batch", "400"], "mini-batches of 400 rows are more than the 300 rows"),
        (["crossover", "jax_scan", "jax_scan"], "jax_scan is named twice; name two implementations"),
        (["ask"], "give a size, such as 50000x30, or a table"),
        (["ask", "300x10", "--csv", "a.csv"], "give a size, such as 50000x30, or a table"),
        (["ask", "--csv", "a.csv"], "--csv needs --target"),
        (["ask", "--csv", "/none.csv", "--target", "y"], "cannot read /none.csv: No such file or directory"),
        (["ask", "300x10", "--dtype", "float16", "--cold"], "ask 300x10 --dtype float16 --cold --measure"),
        (["ask", "300x10", "--device", "gpu", "--steps", "5"], "ask 300x10 --steps 5 --device gpu --measure"),
        (["crossover", "jax_scan@cpu", "numpy_manual"], "jax_scan@cpu names a device and numpy_manual names none"),
        (["ask", "9999999x10", "--steps", "5"], "ask 9999999x10 --steps 5 --measure"),
        (["ask", "300x10", "--dtype", "float64"], "make map"),
    ],
)
def test_what_cannot_be_said_is_one_line(
    words: list[str], message: str, exact: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*words, "--runs", str(exact)]) == 2
    error = capsys.readouterr().err
    assert message in error and error.count("\n") == 1


def test_a_fresh_process_counts_its_start(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """numpy_manual starts 0.4 s earlier than jax_scan, whose step is 1.98 µs shorter: 202,000 steps."""
    cases = []
    for impl, step, first_s in (("numpy_manual", 2e-6, 0.1), ("jax_scan", 2e-8, 0.5)):
        for n in (100, 1_000):
            for d in (2, 10, 100):
                size = {"problem": f"{n}x{d}", "n": n, "d": d, "batch": n, "first_s": first_s, "steady_s": 0.0}
                cases += blocks(impl, [step] * 4, **(KNOWN | size))
    saved_run(tmp_path, cases)
    ask = ["ask", "100x2", "--dtype", "float64", "--runs", str(tmp_path)]
    assert main([*ask, "--cold"]) == 0
    printed = capsys.readouterr().out
    assert "done first by numpy_manual" in printed and "pays from about 200,000 steps on" in printed
    assert printed.index("done first by numpy_manual") < printed.index("JAX is fastest")
    lines = [line.split()[0] for line in printed.splitlines() if line.startswith(("numpy_manual ", "jax_scan "))]
    assert lines == ["numpy_manual", "jax_scan"]
    assert main(ask) == 0
    printed = capsys.readouterr().out
    lines = [line.split()[0] for line in printed.splitlines() if line.startswith(("numpy_manual ", "jax_scan "))]
    assert lines == ["jax_scan", "numpy_manual"]


def test_mini_batches_are_answered_where_they_were_measured(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    cases = []
    for impl, step in (("numpy_manual", 2e-6), ("jax_scan", 1e-6)):
        for batch, factor in ((1_000, 9), (32, 1)):
            name = "1000x10" if batch == 1_000 else "1000x10@32"
            size = {"problem": name, "problem_hash": name, "n": 1_000, "d": 10, "batch": batch, "dtype": "float32"}
            cases += blocks(impl, [factor * step] * 4, **(KNOWN | size))
    saved_run(tmp_path, cases)
    for words in (["1000x10@32"], ["1000x10", "--batch", "32"]):
        assert main(["ask", *words, "--runs", str(tmp_path)]) == 0
        printed = capsys.readouterr().out
        assert "mini-batches of 32 rows" in printed and "JAX is fastest: jax_scan, 1.00 µs a step" in printed


@pytest.mark.parametrize(
    ("header", "row"),
    [
        ("a,name,b,price", "1.5,x,2,3"),
        (",a,name,b,price,", "7,1.5,x,2,3,"),
        ("   a name  b price ", " 1.5  x   2   3 "),
    ],
)
def test_a_table_gives_the_size(
    tmp_path: Path, exact: Path, capsys: pytest.CaptureFixture[str], header: str, row: str
) -> None:
    table = tmp_path / "mine.csv"
    table.write_text(f"{header}\n" + f"{row}\n" * 120)
    ask = ["ask", "--csv", str(table), "--runs", str(exact)]
    assert main([*ask, "--target", "price"]) == 0
    printed = capsys.readouterr().out
    assert "120 rows x 3 features" in printed and "include an intercept" in printed
    assert "they hold no numbers: name" in printed
    assert main([*ask, "--target", "prise"]) == 2
    assert "has no column 'prise'; nearest: price" in capsys.readouterr().err


def test_a_size_is_measured_as_by_make_bench() -> None:
    assert f"CHOSEN := {MEASURED_IMPLS}\n" in (ROOT / "Makefile").read_text()


def test_a_size_is_limited_as_in_the_catalogue() -> None:
    assert MAX_ELEMENTS == catalogue.MAX_ELEMENTS
    assert Size.parse("50000X30") == Size(50_000, 30)


def at_size(root: Path, name: str, day: int, count: int = 4, busy: bool = False, **extra: Any) -> Run:
    """Save a run of 1000x10. The calibration loops of a busy machine differ."""
    size = {"problem": "1000x10", "n": 1_000, "d": 10, "batch": 1_000, "dtype": "float32"} | KNOWN | extra
    cases = [*blocks("numpy_manual", [2e-6] * count, **size), *blocks("jax_scan", [1e-6] * count, **size)]
    for case in cases:
        case["extra_info"]["calibration_s"] = 1e-3 * (1 + 9 * busy * case["extra_info"]["block"])
    return saved_run(root, cases, name, datetime=f"2026-03-0{day}T10:20:30+00:00")


@pytest.mark.parametrize(("options", "says"), [({"busy": True}, "was BUSY"), ({"count": 1}, "has one block")])
def test_a_quiet_run_of_several_blocks_answers(
    options: dict[str, Any], says: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    good, weak = at_size(tmp_path, "0001_good", 1), at_size(tmp_path, "0002_weak", 2, **options)
    ask = ["ask", "1000x10", "--runs", str(tmp_path)]
    for of_project in ([], [good]):
        (tmp_path / "project.txt").write_text("".join(f"{run.path.relative_to(tmp_path)}\n" for run in of_project))
        assert main(ask) == 0
        printed = " ".join(capsys.readouterr().out.split())
        assert f"Measured in {good.label}" in printed
        assert f"Your run {weak.label} {says}; --run {weak.label} answers" in printed
    good.path.unlink()
    assert main(ask) == 0
    printed = capsys.readouterr().out
    assert f"Measured in {weak.label}" in printed and "Your run" not in printed


def test_the_runs_of_the_project_are_not_read_if_an_own_run_answers(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[Path] = []
    monkeypatch.setattr(ask, "read_all", lambda paths, root: read.extend(paths) or read_all(paths, root))
    own, other = at_size(tmp_path, "0001_own", 1), at_size(tmp_path, "0002_project", 2)
    (tmp_path / "project.txt").write_text(f"{other.path.relative_to(tmp_path)}\n")
    assert main(["ask", "1000x10", "--runs", str(tmp_path)]) == 0
    assert f"Measured in {own.label}" in capsys.readouterr().out and read == [own.path]


def test_sentence_and_column_say_the_same(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """numpy_manual is done first; jax_scan has a shorter step whose interval overlaps; torch_nn has a longer one."""
    size = {"problem": "1000x10", "n": 1_000, "d": 10, "batch": 1_000, "dtype": "float32", "steady_s": 0.0} | KNOWN
    cases = blocks("numpy_manual", [1.0e-6, 2.0e-6, 3.0e-6], first_s=0.2, **size)
    cases += blocks("jax_scan", [0.5e-6, 1.0e-6, 1.5e-6], first_s=0.5, **size)
    cases += blocks("torch_nn", [9e-3] * 3, first_s=0.1, **size)
    saved_run(tmp_path, cases)
    assert main(["ask", "1000x10", "--runs", str(tmp_path)]) == 0
    printed = capsys.readouterr().out
    rows = {line.split()[0]: line for line in printed.splitlines() if " µs " in line or " ms " in line}
    assert "may pay from about 300,000 steps on, or never" in printed and " 300,000 " in rows["jax_scan"]
    assert " never " in rows["torch_nn"]


def test_a_run_with_fewer_threads_says_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    size = {"problem": "1000x10", "n": 1_000, "d": 10, "batch": 1_000, "dtype": "float32"} | KNOWN
    cases = [*blocks("numpy_manual", [2e-6] * 4, **size), *blocks("jax_scan", [1e-6] * 4, **size)]
    for name, threads in (("0001_all", 4), ("0002_one", 1)):
        when = f"2026-03-0{name[3]}T10:20:30+00:00"
        saved_run(tmp_path, cases, name, datetime=when, campaign={"seed": 0, "threads": threads})
    assert main(["ask", "1000x10", "--runs", str(tmp_path)]) == 0
    assert "Measured in box/0001_all" in (out := capsys.readouterr().out) and "of 4 threads" not in out
    assert main(["ask", "1000x10", "--run", "2", "--runs", str(tmp_path)]) == 0
    assert "4 cores; 1 of 4 threads" in " ".join(capsys.readouterr().out.split())


def test_what_a_framework_builds_once_counts_in_either_dtype(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """float32 runs first in each process, and pays what is compiled once: 9 s."""
    size, cases = {"problem": "1000x10", "n": 1_000, "d": 10, "batch": 1_000, "steady_s": 0.1} | KNOWN, []
    for block in range(4):
        for dtype, first_s in (("float32", 9.1), ("float64", 0.2)):
            cases += blocks("jax_scan", [1e-6], block=block, dtype=dtype, first_s=first_s, **size)
    saved_run(tmp_path, cases)
    words = ["compare", "jax_scan", "--over", "dtype", "--job-steps", "10", "--run", "1", "--runs", str(tmp_path)]
    assert main(words) == 0
    assert "FASTER" not in capsys.readouterr().out.partition("A job of")[2].partition("\n")[0]
    assert main(["ask", "1000x10", "--dtype", "float64", "--run", "1", "--steps", "1", "--runs", str(tmp_path)]) == 0
    assert " 9.10 s" in capsys.readouterr().out


def test_the_fastest_version_is_the_first_of_the_table(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["ask", "1000x10", "--run", "intel/jax-versions"]) == 0
    printed = capsys.readouterr().out
    first = next(line.split()[0] for line in printed.splitlines() if line.startswith("jax_scan@"))
    assert f"JAX is fastest: {first}," in printed


def test_what_was_measured_in_an_environment_was_measured(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    size = {"problem": "1000x10", "n": 1_000, "d": 10, "batch": 1_000, "dtype": "float32"} | KNOWN
    saved_run(tmp_path, blocks("jax_scan@threads=2", [2e-6] * 4, **size))
    assert main(["ask", "1000x10", "--run", "1", "--runs", str(tmp_path), "--steps", "1"]) == 0
    printed = "".join(capsys.readouterr().out.split())
    missing = sorted(set(MEASURED_IMPLS.split(",")) - {"jax_scan"})
    assert f"nearthissize:{','.join(missing)}." in printed and f"--impljax_scan,{','.join(missing)}--" in printed
    assert "1stepisdonefirst" in printed


def test_the_targets_of_a_table_may_be_one_list(
    tmp_path: Path, exact: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "t.csv").write_text("a,b,y,z\n" + "1,2,3,4\n" * 300)
    for targets in (["y,z"], ["y", "--target", "z"]):
        assert main(["ask", "--csv", str(tmp_path / "t.csv"), "--target", *targets, "--runs", str(exact)]) == 0
        assert "300 rows x 3 features" in capsys.readouterr().out


def test_the_answer_without_expert_tuned_code_says_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    size = {"problem": "1000x10", "n": 1_000, "d": 10, "batch": 1_000, "dtype": "float32"} | KNOWN
    cases = [*blocks("numpy_manual", [2e-6] * 4, **size), *blocks("numba_fused", [1e-6] * 4, **size)]
    saved_run(tmp_path, cases)
    assert main(["ask", "1000x10", "--runs", str(tmp_path)]) == 0
    printed = " ".join(capsys.readouterr().out.split())
    assert "without the expert-tuned " in printed and "Shortest: numpy_manual" in printed
    missing = [name for name in MEASURED_IMPLS.split(",") if name not in ("numpy_manual", "numba_fused")]
    assert f"near this size: {', '.join(sorted(missing))}." in printed and "--problem 1000x10" in printed
