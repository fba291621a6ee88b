"""Where B overtakes A: curves with a known crossing, open ends, several crossings, and what cannot be said."""

import json
import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from runs import blocks, saved_run

from results.__main__ import main
from results.output import FORMATS, Page
from results.page.crossover import Curve, crossover, sentence
from results.stats.verdicts import judge
from results.store.reading import Run, RunError

SIZES = (100, 1_000, 10_000, 100_000)
NOISE = np.exp([0, 0.01, -0.01, 0.02, -0.02, 0.015, -0.015, 0.005, -0.005, 0.03, -0.03]).tolist()  # centre: 1
Rows = list[dict[str, Any]]


def power(n0: float, slope: float = 1.0) -> Callable[[float], float]:
    """A ratio that is 1 at n0 and a straight line in logarithms."""
    return lambda n: (n0 / n) ** slope


def sweep(ratio: Callable[[float], float], sizes: Sequence[float] = SIZES, K: int = 11, **extra: Any) -> Rows:
    """Rows of A (numpy_manual) and B (jax_scan): B takes `ratio(n)` times as long, with noise from block to block."""
    rows: Rows = []
    for n in sizes:
        sizes_of = {"problem": f"{n}x10", "n": n, "d": 10, "batch": n} | extra
        rows += blocks("numpy_manual", [1e-9 * n] * K, **sizes_of)
        rows += blocks("jax_scan", [1e-9 * n * ratio(n) * noise for noise in NOISE[:K]], **sizes_of)
    return rows


def page(root: Path, rows: Rows, a: str = "numpy_manual", b: str = "jax_scan") -> Page:
    return crossover([saved_run(root, rows)], a, b)


def answer(root: Path, rows: Rows) -> str:
    """The sentence of the one group there is."""
    (found,) = [part.text for part in page(root, rows).sections if part.title.startswith("d = ")]
    return found


def curve(middle: Sequence[float], half: float | Sequence[float] = 0.1) -> Curve:
    y = np.array(middle, float)
    n = 10.0 ** np.arange(2, 2 + len(y))
    return Curve(n, y, y - np.array(half), y + np.array(half))


# Known crossings


@pytest.mark.parametrize("n0", [1_050, 3_000, 12_300, 90_000])
@pytest.mark.parametrize("slope", [1.0, 2.0])
def test_the_crossing_is_between_the_neighbouring_shown_sizes(n0: float, slope: float, tmp_path: Path) -> None:
    found = page(tmp_path, sweep(power(n0, slope))).data.dropna(subset="crossing_n")
    row = found.iloc[0]
    assert len(found) == 1 and row["crossing_n"] == pytest.approx(n0)
    assert row["crossing_low"] == row["n"] < n0 < row["crossing_high"] == 10 * row["n"]


def test_the_sentence_and_the_table_beneath(tmp_path: Path) -> None:
    found = page(tmp_path, sweep(power(12_300)))
    assert [part.level for part in found.sections] == [2, 3, 2, 3]
    group = found.sections[1]
    assert group.title == "d = 10, k = 1, float64, cpu, full batch"
    assert group.text == "jax_scan overtakes numpy_manual at about n = 12,300 (between 10,000 and 100,000)"
    assert [row["n"] for row in group.table] == ["100", "1,000", "10,000", "100,000"]
    assert group.table[2] | {"interval": ""} == {
        "n": "10,000", "problem": "10000x10", "A per step": "10.0 µs", "B per step": "12.3 µs", "B/A": "1.23x",
        "verdict": "SLOWER", "interval": "", "paired blocks": "11",
    }  # fmt: skip
    low, high = map(float, group.table[2]["interval"].split(" .. "))
    assert low < 1.23 < high


@pytest.mark.parametrize(
    ("found", "said"),
    [
        (curve([0.5, -0.5]), "B overtakes A at about n = 316 (between 100 and 1,000)"),
        (curve([-0.5, 0.5]), "A overtakes B at about n = 316 (between 100 and 1,000)"),
        (curve([0.5, -0.05]), "undecided: by the estimate A and B cross within the measured range (n = 100 to 1,000),"
         " but shown only at n = 100"),
        (curve([0.05, -0.5]), "undecided: by the estimate A and B cross within the measured range (n = 100 to 1,000),"
         " but shown only at n = 1,000"),
        (curve([0.5, -0.5, 0.5]), "B overtakes A at about n = 316 (between 100 and 1,000); A overtakes B at about n ="
         " 3,160 (between 1,000 and 10,000)"),
        (curve([0.5, 0.05, -0.05, -0.5]), "B overtakes A at about n = 3,160 (between 100 and 100,000)"),
        (curve([0.5, 0.0, -0.5]), "B overtakes A at about n = 1,000 (between 100 and 10,000)"),
        (curve([0.5, 0.0, 0.5]), "undecided: by the estimate B is slower than A in the whole measured range"),
        (curve([0.5, -0.5], 0.0), "B overtakes A at about n = 316 (between 100 and 1,000)"),
        (curve([0.5, -0.5, -0.5], [0.1, math.inf, 0.1]), "B overtakes A at about n = 316 (between 100 and 10,000)"),
        (curve([-0.5, 0.5, 0.5], [0.1, math.inf, 0.1]), "A overtakes B at about n = 316 (between 100 and 10,000)"),
        (curve([-0.5, -0.4]), "B is faster in the whole measured range (n = 100 to 1,000)"),
        (curve([0.5, 0.4]), "never in the measured range (n = 100 to 1,000): B is slower throughout"),
        (curve([-0.5, -0.05]), "undecided: by the estimate B is faster than A in the whole measured range (n = 100 to"
         " 1,000), but shown only at n = 100"),
        (curve([0.05, -0.05]), "undecided: by the estimate A and B cross within the measured range (n = 100 to"
         " 1,000), but LACKING"),
        (curve([0.05, 0.04]), "undecided: by the estimate B is slower than A in the whole measured range (n = 100 to"
         " 1,000), but LACKING"),
        (curve([0.0, 0.0]), "undecided: by the estimate B is as fast as A in the whole measured range"),
        (curve([0.5]), "one size only (n = 100): B is SLOWER there; LACKING"),
        (curve([-0.5]), "one size only (n = 100): B is FASTER there; LACKING"),
        (curve([0.05]), "one size only (n = 100): B is UNDECIDED there; LACKING"),
    ],
)  # fmt: skip
def test_every_shape_has_its_sentence(found: Curve, said: str) -> None:
    assert sentence(found, "A", "B", "LACKING").startswith(said)


def test_one_shown_size_is_no_crossing() -> None:
    """True ratios 1.65, 1, 1, 1 in 10 blocks: there is no crossing, and seldom one is said."""
    rng = np.random.default_rng(0)
    said = 0
    for _ in range(200):
        logs = rng.normal(np.log([1.65, 1, 1, 1])[:, None], 0.05, (4, 10))
        verdicts = judge(list(logs))
        bounds = np.log([(verdict.ratio, verdict.low, verdict.high) for verdict in verdicts]).T
        said += "overtakes" in sentence(Curve(np.array(SIZES, float), *bounds), "A", "B", "LACKING")
    assert said <= 6


def test_the_crossing_of_a_curve_is_inside_its_interval(tmp_path: Path) -> None:
    """30 µs + n/2 ns against 3 µs + n ns: a straight line between 1,000 and 10,000 would place it too high."""
    row = page(tmp_path, sweep(lambda n: (30e-6 + 0.5e-9 * n) / (3e-6 + 1e-9 * n))).data.dropna(subset="crossing_n")
    assert row["crossing_low"].item() < 54_000 < row["crossing_high"].item()
    row = page(tmp_path, sweep(lambda n: (30e-6 + 5e-9 * n) / (3e-6 + 10e-9 * n))).data.dropna(subset="crossing_n")
    assert row["crossing_low"].item() < 5_400 < row["crossing_high"].item() and row["crossing_n"].item() > 5_700


# What cannot be said


def test_one_block_gives_the_estimate_without_an_interval(tmp_path: Path) -> None:
    found = answer(tmp_path, sweep(power(12_300), K=1))
    assert found == (
        "undecided: by the estimate numpy_manual and jax_scan cross within the measured range (n = 100 to 100,000),"
        " but without an interval: 1 block, it takes 3 (--blocks 3)"
    )
    assert "2 blocks, it takes 3" in answer(tmp_path, sweep(power(12_300), K=2))
    assert answer(tmp_path, sweep(power(12_300), K=3)).startswith("jax_scan overtakes numpy_manual at about n = 12,")


@pytest.mark.parametrize(
    ("extra", "hint"),
    [
        ({}, "more sizes: --problem 1000x10,10000x10,..."),
        ({"batch": 32, "problem": "small@32"}, "more sizes: --problem 1000x10@32,10000x10@32,..."),
        ({"k": 3}, "more sizes are needed"),
    ],
)
def test_one_size_asks_for_more(extra: dict[str, Any], hint: str, tmp_path: Path) -> None:
    found = answer(tmp_path, sweep(power(2_000), [1_000], **extra))
    assert found == f"one size only (n = 1,000): jax_scan is SLOWER there; {hint}"


def test_groups_are_kept_apart(tmp_path: Path) -> None:
    rows = sweep(power(12_300)) + sweep(power(500), dtype="float32") + sweep(power(2_000), device="gpu")
    rows += [row for n in SIZES for row in sweep(power(30_000), [n], batch=32, problem=f"{n}x10@32")]
    found = page(tmp_path, rows)
    texts = {part.title: part.text for part in found.sections if part.title.startswith("d = ")}
    starts = {title: text.split(" (")[0].split()[-1] for title, text in texts.items()}
    assert starts == {
        "d = 10, k = 1, float32, cpu, full batch": "500",
        "d = 10, k = 1, float64, cpu, full batch": "12,300",
        "d = 10, k = 1, float64, cpu, batches of 32": "30,000",
        "d = 10, k = 1, float64, gpu, full batch": "2,000",
    }
    assert found.data["interval_low"].notna().all()


def test_a_second_problem_of_a_size_does_not_count_and_is_named(tmp_path: Path) -> None:
    rows = sweep(power(12_300)) + sweep(lambda n: 99.0, [1_000], K=9, problem="a_table")
    found = page(tmp_path, rows)
    assert found.sections[1].text.startswith("jax_scan overtakes numpy_manual at about n = 12,300 (")
    assert found.sections[2].title == "Not compared"
    assert found.sections[2].table == [
        {
            "device": "cpu",
            "dtype": "float64",
            "problem": "a_table",
            "refused": "another problem of the same size counts",
        }
    ]
    more = sweep(power(12_300), K=9) + sweep(lambda n: 99.0, [1_000], problem="a_table")
    assert page(tmp_path, more).data.set_index("problem").loc["1000x10", "refused"] != ""


def test_unequal_work_is_listed_with_its_reason_and_left_out(tmp_path: Path) -> None:
    rows = sweep(power(12_300))
    for row in rows:
        facts = row["extra_info"]
        if facts["impl"] == "jax_scan":
            facts |= {100: {"steps": 7}, 1_000: {"valid": False, "reason": "wrong"}}.get(facts["n"], {})
    found = page(tmp_path, rows)
    assert [row["refused"] for row in found.sections[2].table] == ["steps 100 in A, 7 in B", "invalid in B: wrong"]
    assert [row["n"] for row in found.sections[1].table] == ["10,000", "100,000"]


@pytest.mark.parametrize(
    ("rows", "reason"),
    [
        (sweep(power(1), [100], n=None, problem="x"), "nothing to compare: n not recorded"),
        (sweep(lambda n: math.nan), "nothing to compare: invalid in B: its time per step"),
        (blocks("jax_scan", [1e-6], problem="x") + blocks("numpy_manual", [1e-6]), "problem small in A, x in B"),
        (blocks("numpy_manual", [1e-6]), "no run here has an implementation 'jax_scan'; known: numpy_manual"),
        (blocks("jax_scn", [1e-6]) + blocks("numpy_manual", [1e-6]), "implementation 'jax_scan'; nearest: jax_scn"),
        ([], "known: none"),
    ],
)
def test_nothing_to_compare_is_an_error_of_one_line(rows: Rows, reason: str, tmp_path: Path) -> None:
    with pytest.raises(RunError, match=r"^[^\n]+$") as caught:
        page(tmp_path, rows)
    assert reason in str(caught.value)


def test_machines_have_sections_of_their_own_and_share_the_correction(tmp_path: Path) -> None:
    runs: list[Run] = [
        saved_run(tmp_path, sweep(power(n0)), machine=machine) for machine, n0 in {"a": 2_000, "b": 50_000}.items()
    ]
    found = crossover(runs, "numpy_manual", "jax_scan")
    titles = [part.title for part in found.sections if part.level == 2 and part.title]
    assert titles == ["jax_scan against numpy_manual: a/0001_base", "jax_scan against numpy_manual: b/0001_base"]
    assert [text.split(" (")[0].split()[-1] for text in (found.sections[1].text, found.sections[3].text)] == [
        "2,000",
        "50,000",
    ]
    alone = crossover(runs[:1], "numpy_manual", "jax_scan").data
    assert (found.data["interval_high"][:4] >= alone["interval_high"]).all()
    assert found.data["machine"].tolist() == ["a"] * 4 + ["b"] * 4


# The command


@pytest.mark.parametrize("form", FORMATS)
def test_the_command_writes_every_format(form: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    saved_run(tmp_path, sweep(power(12_300)))
    command = ["crossover", "numpy_manual", "jax_scan", "--runs", str(tmp_path), "--format", form]
    assert main(command) == 0
    out, err = capsys.readouterr()
    assert err == ""
    if form == "json":
        assert [row["crossing_n"] is None for row in json.loads(out)] == [True, True, False, True]
    elif form == "csv":
        assert "crossing_n" in out.splitlines()[0]
    else:
        assert "jax_scan overtakes numpy_manual at about n = 12,300 (between 10,000 and 100,000)" in out
    assert main([*command, "--run", "base", "latest"]) == 0
    assert main([*command, "--run", "nope"]) == 2
    assert "no run is called 'nope'" in capsys.readouterr().err


# Along an axis


def devices(root: Path) -> Run:
    """A step on the GPU takes 10 µs at any size, on the CPU 1 ns a row; the GPU's context takes a second."""
    rows: Rows = []
    for n in SIZES:
        sizes = {"problem": f"{n}x10", "n": n, "d": 10, "batch": n}
        rows += blocks("torch_nn", [1e-9 * n * noise for noise in NOISE], **sizes)
        rows += blocks("torch_nn", [1e-5] * len(NOISE), device="gpu", context_s=1.0, **sizes)
    return saved_run(root, rows)


def test_the_gpu_overtakes_where_its_steps_do_and_jobs_later(tmp_path: Path) -> None:
    run = devices(tmp_path)
    for found in (
        crossover([run], "torch_nn@cpu", "torch_nn@gpu", job_steps=20_000),
        crossover([run], "torch_nn", "torch_nn", over="device", job_steps=20_000),
    ):
        first, second = [part for part in found.sections if part.title.startswith("d = ")]
        assert "gpu against cpu" in first.title
        assert first.text == "torch_nn@gpu overtakes torch_nn@cpu at about n = 10,000 (between 1,000 and 100,000)"
        assert second.text.startswith("torch_nn@gpu overtakes torch_nn@cpu") and "B per job" in second.table[0]
        assert found.data.groupby("job_steps")["crossing_n"].max()[20_000] > 40_000


def test_two_axes_are_refused(tmp_path: Path) -> None:
    with pytest.raises(RunError, match="compare along one axis: "):
        crossover([devices(tmp_path)], "torch_nn@cpu", "torch_nn@float64")


def test_one_name_needs_an_axis(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["crossover", "torch_nn", "--run", str(devices(tmp_path).path)]) == 2
    assert "name two implementations: torch_nn B" in capsys.readouterr().err


def refused(words: str, root: Path, capsys: pytest.CaptureFixture[str]) -> str:
    assert main([*words.split(), "--runs", str(root)]) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    return error


@pytest.mark.parametrize("command", ["crossover", "versus"])
def test_the_run_with_the_most_sizes_is_named_where_the_newest_lacks_a_side(
    command: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    wide = saved_run(tmp_path, sweep(power(3_000)), "0001_map")
    later = {"datetime": "2025-04-01T10:20:30+00:00"}
    narrow = saved_run(
        tmp_path, [*sweep(power(3_000), (100, 1_000)), *blocks("torch_nn", [1e-6])], "0002_narrow", **later
    )
    (tmp_path / "project.txt").write_text("\n".join(str(run.path.relative_to(tmp_path)) for run in (wide, narrow)))
    words = f"{command} numpy_manual jax_scan"
    error = refused(words, tmp_path, capsys)
    named = "box/0001_map, a run of the project, has both: try the same with --run box/0001_map, or make one: pytest"
    assert "you have no run of your own yet; " + named in error
    assert main([*words.split(), "--run", "box/0001_map", "--runs", str(tmp_path)]) == 0
    saved_run(tmp_path, blocks("numpy_manual", [1e-6]), "0003_mine")
    error = refused(words, tmp_path, capsys)
    assert "your newest run box/0003_mine has no jax_scan (it has: numpy_manual); " + named in error


def test_a_side_that_no_run_has_comes_with_the_command_that_measures_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    saved_run(tmp_path, sweep(power(3_000)))
    error = refused("crossover jax_scan --over device", tmp_path, capsys)
    assert (
        "your newest run box/0001_base has no jax_scan@gpu (it has: jax_scan, numpy_manual); make one: pytest" in error
    )
    assert "--impl jax_scan --problem 100x10,10000x10,1000000x10 --device cpu,gpu" in error


def of_threads(root: Path, *counts: int) -> Run:
    """A run of jax_scan with numbers of threads: each further one is faster from n = 3,000 on, and slower below."""
    cases: Rows = []
    for n in SIZES:
        for at, count in enumerate(counts):
            seconds = [1e-9 * n * (3_000 / n) ** (0.5 * at) * noise for noise in NOISE]
            setting = {"environment": f"threads={count}", "threads": count, "problem": f"{n}x10"}
            cases += blocks(f"jax_scan@threads={count}", seconds, n=n, d=10, batch=n, **setting)
    facts = {"seed": 0, "environments": {f"threads={count}": {"threads": count} for count in counts}}
    return saved_run(root, cases, campaign=facts)


def test_the_threads_of_one_run_cross(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = of_threads(tmp_path, 1, 2)
    assert main(["crossover", "jax_scan", "--over", "threads", "--run", str(run.path)]) == 0
    answer = "jax_scan@threads=2 overtakes jax_scan@threads=1 at about n = 3,000 (between 1,000 and 10,000)"
    assert answer in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "counts", "says"),
    [
        (["jax_scan", "--over", "threads"], (1, 2, 4), "jax_scan@threads=1, jax_scan@threads=2, jax_scan@threads=4"),
        (["jax_scan", "--over", "precision"], (1, 2), "--precision highest,tf32"),
        (["jax_scan@threads=1", "--over", "threads"], (1, 2), "compare along one axis at a time"),
        (["jax_scan", "--over", "environment"], (1,), "--with"),
    ],
)
def test_a_setting_that_has_no_two_values_is_one_line(
    words: list[str], counts: tuple[int, ...], says: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = of_threads(tmp_path, *counts)
    assert main(["crossover", *words, "--run", str(run.path)]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert says in line
