"""`python -m results noise`: runs with a known A/A pair, and what is advised of blocks, load, throttling, governor."""

import csv
import io
import json
import math
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from runs import CAMPAIGN, MACHINE, entry, rows, saved_cases, text

from results.__main__ import main
from results.commands.noise import REST, noise
from results.output import FORMATS
from results.stats.noise import NO_PAIR, judge_duplicates, noise_line
from results.stats.signed_rank import ALPHA, detectable
from results.store.columns import COLUMNS
from results.store.reading import Run

QUIET = {"seconds": 95.1, "load_before": 0.3, "load_after": 1.9, "steal": 0.002, "throttled": 0, "gpu_throttled": ""}


def twice(seed: int, spread: float, blocks: int, effect: float = 1.0, **extra: Any) -> list[dict[str, Any]]:
    """One case of the same code under two labels, their log ratios spread by `spread`."""
    log = np.random.default_rng(seed).normal(math.log(effect), spread, blocks)
    again = {"duplicate_of": "numpy_manual"} | extra
    return [
        row
        for b in range(blocks)
        for row in (
            entry(block=b, duplicate_of="", **extra),
            entry("numpy_manual-again", 2e-6 * math.exp(log[b]), block=b, **again),
        )
    ]


def quiet(tmp_path: Path, cases: int = 16, spread: float = 0.005, blocks: int = 14, **top: Any) -> Run:
    """A run of as many A/A cases, on a machine at rest unless `top` says otherwise."""
    pairs = [twice(case, spread, blocks, problem=f"p{case:02}") for case in range(cases)]
    info = {"machine_info": MACHINE | {"governor": "performance"}}
    moments = {"campaign": CAMPAIGN | {"system_load": [QUIET | {"block": b} for b in range(blocks)]}}
    return saved_cases(tmp_path, "box-a", *pairs, **(info | moments | top))


def advised(run: Run) -> list[str]:
    (section,) = [part for part in noise(run).sections if part.title == "Advice"]
    return section.notes


def test_the_same_code_twice_is_called_the_same(tmp_path: Path) -> None:
    run = quiet(tmp_path)
    page = noise(run)
    headline = (
        "The same code twice (numpy_manual and numpy_manual-again), 14 blocks: called different in 0 of 16 cases."
    )
    assert page.sections[0].machine.startswith("QUIET: ")
    assert headline in page.sections[0].text and "5% of runs" in page.sections[0].text
    assert advised(run) == ["Nothing stands out."]
    smallest = page.data["smallest"] - 1
    line = noise_line(run)
    assert line.startswith("Noise (numpy_manual twice, 14 blocks): called different in 0 of 16 cases.")
    shown = [float(number) for number in re.findall(r"([\d.]+) %", line)]
    ends = 100 * smallest.median(), 100 * smallest.min(), 100 * smallest.max()
    assert shown == pytest.approx([*ends, 80], rel=0.05)
    assert 0.003 < smallest.median() < 0.02


def test_a_machine_that_changes_its_pace_is_named(tmp_path: Path) -> None:
    run = quiet(tmp_path)
    run.rows["calibration_s"] = [1e-4 * (1.7 if row % 3 else 1.0) for row in range(len(run.rows))]
    (advice,) = advised(run)
    assert advice.startswith("Interference: ") and "1.7 times as long" in advice


def test_each_case_says_what_its_blocks_show(tmp_path: Path) -> None:
    found = noise(quiet(tmp_path)).data
    assert len(found) == 16
    for row in found.to_dict("records"):
        assert row["alone"] == pytest.approx(math.exp(detectable(row["spread"], 14, ALPHA / 2)))
        assert row["alone"] < row["smallest"] <= math.exp(detectable(row["spread"], 14, ALPHA / 2 / 16))
        wanted = int(row["wanted"])
        assert detectable(row["spread"], wanted, ALPHA / 2 / 16) <= math.log(1.05)
        assert wanted == 11 or detectable(row["spread"], wanted - 1, ALPHA / 2 / 16) > math.log(1.05)
        assert row["spread"] == pytest.approx(0.005, rel=0.8)


def test_a_twin_that_differs_is_counted(tmp_path: Path) -> None:
    cases = [twice(0, 0.005, 14, effect=1.2, problem="off"), twice(1, 0.005, 14, problem="same")]
    run = saved_cases(tmp_path, "box-a", *cases)
    assert "called different in 1 of 2 cases" in noise_line(run)
    found = noise(run).data.set_index("problem")
    assert found.loc["off", "verdict"] == "SLOWER"
    assert found.loc["off", "ratio"] == pytest.approx(1.2, rel=0.01), "duplicate / original"


def test_forty_campaigns_err_as_seldom_as_they_say(tmp_path: Path) -> None:
    called = 0
    for campaign in range(40):
        cases = [twice(1000 * campaign + case, 0.01, 12, problem=f"p{case}") for case in range(3)]
        judged = judge_duplicates(saved_cases(tmp_path, "box-a", *cases))  # the data of the page
        called += judged["verdict"].isin(["FASTER", "SLOWER"]).any()
    assert called <= 5


def test_noise_wants_more_blocks_and_names_the_number(tmp_path: Path) -> None:
    run = quiet(tmp_path, cases=3, spread=0.2, blocks=10)
    wanted = judge_duplicates(run)["wanted"].max()
    assert wanted > 10
    (advice,) = advised(run)
    assert "effect of 5% in 3 of 3 cases" in advice and f"--blocks {wanted:.0f} " in advice
    (advice,) = advised(quiet(tmp_path, cases=1, spread=8.0, blocks=10))
    assert "effect of 5% in 1 of 1 cases" in advice and "not even 1000 blocks" in advice


def test_one_block_says_below_how_many_nothing_can_be_said(tmp_path: Path) -> None:
    run = quiet(tmp_path, blocks=1)
    assert noise_line(run) == "Noise (numpy_manual twice, 1 block): nothing can be said below 3 blocks."
    (advice,) = advised(run)
    assert advice.startswith("One block") and "--blocks 3" in advice
    cells = noise(run).sections[1].table[0]
    assert [
        cells[name] for name in ("spread", "detectable (single)", "detectable (compare)", "blocks for 5%", "interval")
    ] == ["-"] * 5
    few = quiet(tmp_path, cases=1, blocks=3)
    assert noise_line(few) == "Noise (numpy_manual twice, 3 blocks): nothing can be said below 5 blocks."


def test_each_implementation_that_ran_twice_has_its_own_line(tmp_path: Path) -> None:
    """A control that rotates has few blocks of each implementation: all its log ratios are one sample."""
    cases = [twice(case, 0.01, 1, problem=f"p{case}") for case in range(12)]
    noisy = [twice(100 + case, 0.2, 1, problem=f"p{case}") for case in range(12)]
    for row in [row for case in noisy for row in case]:
        facts = row["extra_info"]
        facts |= {"impl": facts["impl"].replace("numpy_manual", "jax_jit"), "block": 1}
        facts["duplicate_of"] = facts["duplicate_of"] and "jax_jit"
    cases += noisy + [rows("torch_nn", problem=f"p{case}", blocks=13) for case in range(12)]
    first, second = noise_line(saved_cases(tmp_path, "box-a", *cases)).split(". Noise (")
    assert (
        first.startswith("Noise (jax_jit twice, 1 block): called different in 0 of 12 cases. ") and "13 blocks" in first
    )
    assert second.startswith("numpy_manual twice, 1 block): ") and second.endswith("among the 24 comparisons.")
    effects = [float(line.split("effect of ")[1].split(" %")[0]) for line in (first, second)]
    assert 20 < effects[0] < 150 and 1 < effects[1] < 5


def test_without_a_pair_nothing_is_known(tmp_path: Path) -> None:
    run = saved_cases(tmp_path, "box-a", rows(), rows("jax_scan"), campaign=CAMPAIGN | {"aa": "numpy_manual"})
    assert noise_line(run) == NO_PAIR
    (advice,) = advised(run)
    assert "A/A pair" in advice and "--aa" in advice
    assert noise(run).data.empty
    empty = saved_cases(tmp_path, "box-a", campaign=None)
    assert noise_line(empty) == NO_PAIR
    assert len(advised(empty)) == 1


def test_a_pair_that_failed_its_check_cannot_be_judged(tmp_path: Path) -> None:
    run = saved_cases(
        tmp_path, "box-a", rows(), rows("numpy_manual-again", duplicate_of="numpy_manual", valid=False, reason="wrong")
    )
    assert noise_line(run) == "The A/A pair cannot be judged: invalid in B: wrong."
    assert noise_line(run) in text(noise(run))
    assert "Not compared" in text(noise(run))
    half = saved_cases(tmp_path, "box-a", twice(0, 0.005, 8), rows("jax_scan"), rows(problem="alone"))
    assert "0 of 1 case." in noise_line(half)
    orphan = saved_cases(tmp_path, "box-a", rows("numpy_manual-again", duplicate_of="numpy_manual"))
    assert noise_line(orphan) == "The A/A pair cannot be judged: only in B."


@pytest.mark.parametrize(
    ("moment", "message"),
    [
        ({"load_before": 1.4}, "Load above a third of the 4 cores before block 0 (up to 1.4)"),
        ({"steal": 0.034}, "More than 1% of the CPU time stolen in block 3 (up to 0.034)"),
        ({"throttled": 7}, "Stopped by a cgroup quota in block 3 (up to 7): "),
        ({"gpu_throttled": "power cap"}, "The GPU was throttled (power cap)"),
    ],
)
def test_a_bad_moment_is_named(moment: dict[str, Any], message: str, tmp_path: Path) -> None:
    moments = [QUIET | {"block": b} | (moment if b == (0 if "load_before" in moment else 3) else {}) for b in range(14)]
    (advice,) = advised(quiet(tmp_path, campaign=CAMPAIGN | {"system_load": moments}))
    assert advice.startswith(message)


@pytest.mark.parametrize("moments", [None, "x", [3, None], [{"block": None, "steal": "much", "load_before": None}]])
def test_moments_that_are_unknown_are_no_complaint(moments: object, tmp_path: Path) -> None:
    run = quiet(tmp_path, campaign=CAMPAIGN | {"system_load": moments}, machine_info=MACHINE)
    assert advised(run) == ["Nothing stands out."]


def test_the_governor_and_an_interruption_are_named(tmp_path: Path) -> None:
    run = quiet(tmp_path, machine_info=MACHINE | {"governor": "powersave"}, campaign=CAMPAIGN | {"interrupted": True})
    governor, interruption = advised(run)
    assert "powersave" in governor and "interrupted" in interruption
    assert advised(quiet(tmp_path, machine_info=MACHINE | {"governor": None})) == ["Nothing stands out."]


def test_blocks_of_until_decided_say_how_many_cases_they_left_out(tmp_path: Path) -> None:
    load = [QUIET | {"block": block} for block in range(2)]
    schedule = [{"block": 1, "after_s": 1.0, "comparisons": 9, "decided": 4, "left_out": ["a", "b"]}]
    for campaign, expected in (
        ({"system_load": load}, [None, None]),
        ({"system_load": load, "schedule": schedule}, [("-", "-"), ("4 of 9", "2")]),
    ):
        table = noise(quiet(tmp_path, campaign=CAMPAIGN | campaign)).sections[-1].table
        columns = ("decided before", "left out")
        assert [tuple(row[name] for name in columns) if columns[0] in row else None for row in table] == expected


def test_moments_and_the_time_inside_the_workers_are_shown(tmp_path: Path) -> None:
    run = quiet(
        tmp_path, campaign=CAMPAIGN | {"system_load": [QUIET | {"block": 0, "throttled": None}], "runs_s": 10.0}
    )
    page = noise(run)
    assert page.sections[0].notes == [f"Inside the workers: 80% of 12.5 s. {REST}"]
    assert page.sections[-1].table == [
        {
            "block": "0",
            "took": "95.1 s",
            "others": "-",
            "load before": "0.300",
            "load after": "1.90",
            "steal": "0.200 %",
        }
        | {"steal": "0.200 %", "throttled periods": "-", "GPU throttled": "-"}
    ]
    assert noise(saved_cases(tmp_path, "box-a", rows())).sections[0].notes == []


def test_the_columns_of_the_contract_are_read(tmp_path: Path) -> None:
    known = {"precision": "tf32", "denormals": "kept", "blas": "OpenBLAS", "matmul_bits": 10, "matvec_bits": 23}
    known |= {"framework_threads": 2, "half_steps_ratio": 0.5, "compiles": 0, "gc_runs": 1, "blocked_s": 0.25}
    known |= {"iterates": "0 1", "distances": "0 0.1", "losses": "30 7.5", "published": "[]", "limit_s": 1e-9}
    row = saved_cases(tmp_path, "box-a", [entry(**known, duplicate_of="jax_scan")]).rows.iloc[0]
    assert {name: row[name] for name in known} == known
    assert row["duplicate_of"] == "jax_scan"
    assert {*known, "duplicate_of"} <= set(COLUMNS)
    older = saved_cases(tmp_path, "box-a", [entry()]).rows
    assert older[[*known, "duplicate_of"]].isna().all(axis=None)


@pytest.mark.parametrize("form", FORMATS)
def test_the_page_is_written_in_every_format(form: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    runs = [quiet(tmp_path, cases=3, blocks=8), saved_cases(tmp_path, "box-b", rows())]
    for run, count in zip(runs, (3, 0), strict=True):
        assert main(["noise", run.label, "--format", form, "--runs", str(tmp_path / "runs")]) == 0
        out, err = capsys.readouterr()
        assert err == ""
        if form == "json":
            assert len(json.loads(out, parse_constant=pytest.fail)) == count
        elif form == "csv":
            assert len(list(csv.reader(io.StringIO(out)))) == count + 1
        else:
            assert f"Noise of {run.label}" in out
            assert "Advice" in out


def test_a_missing_run_is_one_line_and_status_2(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    quiet(tmp_path, cases=1)
    assert main(["noise", "nope", "--runs", str(tmp_path / "runs")]) == 2
    out, err = capsys.readouterr()
    assert (out, err.count("\n")) == ("", 1)
    assert "no run is called 'nope'" in err
