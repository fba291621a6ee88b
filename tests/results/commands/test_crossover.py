"""Where B overtakes A: curves with a known crossing, open ends, several crossings, and what cannot be said."""

import json
import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from runs import blocks, kept

from results.__main__ import main
from results.output import FORMATS, Page
from results.stats.crossover import Curve, crossover, sentence
from results.stats.signed_rank import ALPHA, interval
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
    return crossover([kept(root, rows)], a, b)


def answer(root: Path, rows: Rows) -> str:
    """The sentence of the one group there is."""
    (found,) = [part.text for part in page(root, rows).sections if part.title.startswith("d = ")]
    return found


def curve(middle: Sequence[float], half: float | Sequence[float] = 0.1) -> Curve:
    y = np.array(middle, float)
    n = 10.0 ** np.arange(2, 2 + len(y))
    return Curve(n, y, y - np.array(half), y + np.array(half))


# Known crossings


@pytest.mark.parametrize("n0", [1_000, 3_000, 12_300, 99_000])
@pytest.mark.parametrize("slope", [0.3, 1.0])
def test_the_crossing_and_its_interval_are_where_they_are(n0: float, slope: float, tmp_path: Path) -> None:
    found = page(tmp_path, sweep(power(n0, slope))).data.dropna(subset="crossing_n")
    below, above = interval(np.log(NOISE), ALPHA / len(SIZES))
    row = found.iloc[0]
    assert len(found) == 1 and row["n"] <= row["crossing_n"] <= 10 * row["n"] * (1 + 1e-9)
    assert row["crossing_n"] == pytest.approx(n0)
    assert row["crossing_low"] == pytest.approx(n0 * math.exp(below / slope))
    assert row["crossing_high"] == (pytest.approx(n0 * math.exp(above / slope)) if n0 < 99_000 else math.inf)


def test_the_sentence_and_the_table_beneath(tmp_path: Path) -> None:
    found = page(tmp_path, sweep(power(12_300)))
    assert [part.level for part in found.sections] == [2, 3, 2, 3]
    group = found.sections[1]
    assert group.title == "d = 10, k = 1, float64, cpu, full batch"
    assert group.text == "jax_scan overtakes numpy_manual at n = 12,300 (12,100 to 12,500)"
    assert [row["n"] for row in group.table] == ["100", "1,000", "10,000", "100,000"]
    assert group.table[2] | {"interval": ""} == {
        "n": "10,000", "problem": "10000x10", "A per step": "10.0 us", "B per step": "12.3 us", "B/A": "1.23x",
        "interval": "", "paired blocks": "11",
    }  # fmt: skip
    low, high = map(float, group.table[2]["interval"].split(" .. "))
    assert low < 1.23 < high


@pytest.mark.parametrize(
    ("found", "said"),
    [
        (curve([0.5, -0.5]), "B overtakes A at n = 316 (251 to 398)"),
        (curve([-0.5, 0.5]), "A overtakes B at n = 316 (251 to 398)"),
        (curve([0.5, -0.05]), "B overtakes A at n = 811 (534 to above 1,000)"),
        (curve([0.05, -0.5]), "B overtakes A at n = 123 (below 100 to 187)"),
        (curve([0.5, -0.5, 0.5]), "B overtakes A at n = 316 (251 to 398); A overtakes B at n = 3,160 (2,510 to 3,980)"),
        (curve([0.5, 0.05, -0.05, -0.5]), "B overtakes A at n = 3,160 (774 to 12,900)"),
        (curve([0.5, 0.0, -0.5]), "B overtakes A at n = 1,000 (631 to 1,580)"),
        (curve([0.5, 0.0, 0.5]), "undecided: by the estimate B is slower than A in the whole measured range"),
        (curve([0.5, -0.5], 0.0), "B overtakes A at n = 316 (316 to 316)"),
        (curve([0.5, -0.5, -0.5], [0.1, math.inf, 0.1]), "B overtakes A at n = 316 (100 to 10,000)"),
        (curve([-0.5, 0.5, 0.5], [0.1, math.inf, 0.1]), "A overtakes B at n = 316 (100 to 10,000)"),
        (curve([-0.5, -0.4]), "B is faster in the whole measured range (n = 100 to 1,000)"),
        (curve([0.5, 0.4]), "never in the measured range (n = 100 to 1,000): B is slower throughout"),
        (curve([-0.5, -0.05]), "undecided: by the estimate B is faster than A in the whole measured range (n = 100 to"
         " 1,000), but shown only at n = 100"),
        (curve([0.05, -0.05]), "undecided: by the estimate B overtakes A at n = 316, but LACKING"),
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


def test_a_band_as_thin_as_rounding_is_still_around_its_crossing() -> None:
    rng = np.random.default_rng(0)
    for _ in range(2000):
        n, y = np.sort(np.exp(rng.uniform(0, 14, 2))), np.array([1, -1]) * rng.uniform(0, 1, 2)
        low, high = y - rng.choice([0, 1e-16, 1e-15], 2), y + rng.choice([0, 1e-16, 1e-15], 2)
        (found,) = Curve(n, y, low, high).crossings
        assert (found.low, found.high) == pytest.approx((found.n, found.n))


# What cannot be said


def test_one_block_gives_the_estimate_without_an_interval(tmp_path: Path) -> None:
    found = answer(tmp_path, sweep(power(12_300), K=1))
    assert found == (
        "undecided: by the estimate jax_scan overtakes numpy_manual at n = 12,300, but without an interval: 1 block,"
        " it takes 8 (--blocks 8)"
    )
    assert "7 blocks, it takes 8" in answer(tmp_path, sweep(power(12_300), K=7))
    assert answer(tmp_path, sweep(power(12_300), K=9)).startswith("jax_scan overtakes numpy_manual at n = 12,300 (")


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
    assert found.sections[1].text.startswith("jax_scan overtakes numpy_manual at n = 12,300 (")
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
        kept(tmp_path, sweep(power(n0)), machine=machine) for machine, n0 in {"a": 2_000, "b": 50_000}.items()
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
    kept(tmp_path, sweep(power(12_300)))
    command = ["crossover", "numpy_manual", "jax_scan", "--runs", str(tmp_path), "--format", form]
    assert main(command) == 0
    out, err = capsys.readouterr()
    assert err == ""
    if form == "json":
        assert [row["crossing_n"] is None for row in json.loads(out)] == [True, True, False, True]
    elif form == "csv":
        assert "crossing_n" in out.splitlines()[0]
    else:
        assert "jax_scan overtakes numpy_manual at n = 12,300 (12,100 to 12,500)" in out
    assert main([*command, "--run", "base", "latest"]) == 0
    assert main([*command, "--run", "nope"]) == 2
    assert "no run is called 'nope'" in capsys.readouterr().err
