"""Phases with their spread, and break-even: after how many runs a longer start pays."""

import math
from argparse import Namespace
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from runs import entry, saved_run

from results.options import selected
from results.output import Section
from results.page.phases import break_even, break_even_section
from results.page.report import report
from results.store.outcomes import PHASES, cases

Clocks = tuple[float, float, float]  # prepare, first, steady: seconds
Rows = list[dict[str, Any]]


def rows(impl: str, clocks: Sequence[Clocks], **extra: Any) -> Rows:
    """Return one entry per block."""
    return [
        entry(impl, **({"block": block, "prepare_s": prepare, "first_s": first, "steady_s": steady} | extra))
        for block, (prepare, first, steady) in enumerate(clocks)
    ]


def break_even_row(root: Path, a: Rows, b: Rows) -> dict[str, Any]:
    run = saved_run(root, a + b)
    samples = [run.rows[run.rows["impl"] == name] for name in ("numpy_manual", "jax_scan")]
    return {str(name): value for name, value in break_even(*samples).iloc[0].items()}


def runs_and_until(root: Path, a: Clocks, b: Clocks) -> list[float]:
    row = break_even_row(root, rows("numpy_manual", [a]), rows("jax_scan", [b]))
    return [row["runs"], row["until"]]


def sections(root: Path, entries: Rows, **top: Any) -> dict[str, Section]:
    return {part.title: part for part in report([saved_run(root, entries, **top)], "numpy_manual").sections}


# Break-even


@pytest.mark.parametrize(
    ("a", "b", "runs", "until"),
    [
        ((0.0, 1.0, 1.0), (0.5, 1.0, 0.9), 6, math.inf),  # 0.5 over 0.1 a run: the first, and five more
        ((0.0, 1.0, 1.0), (0.25, 1.3, 0.9), 7, math.inf),  # 5.5 more are 6
        ((0.0, 0.2, 0.2), (0.0, 0.5, 0.1), 4, math.inf),  # 0.3 / 0.1 is 3, whatever floats make of it
        ((0.0, 1.0, 1.0), (0.0, 1.0, 1.0), 1, math.inf),
        ((0.5, 1.0, 1.0), (0.0, 1.0, 0.5), 1, math.inf),
        ((0.5, 1.0, 1.0), (0.0, 1.0, 1.2), 1, 3),  # 0.5 ahead, lost at 0.2 a run: behind in run 4
        ((0.0, 1.0, 1.0), (0.0, 1.1, 1.0), math.inf, math.inf),
        ((0.0, 1.0, 1.0), (0.0, 1.1, 1.1), math.inf, math.inf),
    ],
)
def test_it_is_the_fewest_runs_that_cost_no_more_in_all(
    a: Clocks, b: Clocks, runs: float, until: float, tmp_path: Path
) -> None:
    assert runs_and_until(tmp_path, a, b) == [runs, until]

    def total(clocks: Clocks, number: float) -> float:
        return clocks[0] + clocks[1] + (number - 1) * clocks[2]

    within = [number for number in range(1, 20) if total(b, number) <= total(a, number) + 1e-12]
    assert within[:1] == ([runs] if runs < math.inf else [])
    assert within[-1:] == ([] if runs == math.inf else [min(until, 19)])


def test_blocks_are_paired_and_give_the_median_and_its_extremes(tmp_path: Path) -> None:
    speeds = [1.0, 1.1, 1.2]  # a block's machine is slower for both: paired, that cancels out
    a = rows("numpy_manual", [(0.0, speed, speed) for speed in speeds])
    b = rows(
        "jax_scan", [(extra * speed, speed, 0.9 * speed) for extra, speed in zip((0.3, 0.5, 1.1), speeds, strict=True)]
    )
    row = break_even_row(tmp_path, a, b[::-1])
    assert [row[name] for name in ("runs", "runs_low", "runs_high", "steps", "blocks")] == [6, 4, 12, 600, 3]
    even = break_even_row(tmp_path, a[:2], b[:2])
    assert [even["runs"], even["runs_low"], even["runs_high"]] == [5, 4, 6]
    row = break_even_row(tmp_path, a, b[:1] + rows("jax_scan", [(9.0, 9.0, 9.0)] * 3)[1:])
    assert [row["runs"], row["runs_low"], row["steps"]] == [math.inf, 4, math.inf]


def test_import_and_what_a_process_compiles_once_count(tmp_path: Path) -> None:
    """The second case of a process compiles faster than it would alone."""
    a = [*rows("numpy_manual", [(0, 1.0, 1.0)], problem="x"), *rows("numpy_manual", [(0, 1.0, 1.0)], problem="y")]
    first = rows("jax_scan", [(0, 5.5, 0.5)], problem="x", import_s=a[0]["extra_info"]["import_s"] + 2)
    second = rows("jax_scan", [(0, 0.6, 0.5)], problem="y", import_s=a[0]["extra_info"]["import_s"] + 2)
    run = saved_run(tmp_path, [*a, *first, *second])
    samples = [run.rows[run.rows["impl"] == name] for name in ("numpy_manual", "jax_scan")]
    table = break_even(*samples).set_index("problem")["runs"].to_dict()
    assert table == {"x": 14, "y": 14}  # 2 to import and 4.5 (5.5 - 1, or 0.5 and 5 to compile) over 0.5 a run


def test_what_a_process_builds_once_counts_where_a_filter_leaves_its_first_case_out(tmp_path: Path) -> None:
    """The first case of a process also prepares for longer."""
    entries = [*rows("numpy_manual", [(0, 1.0, 1.0)], problem="x"), *rows("numpy_manual", [(0, 1.0, 1.0)], problem="y")]
    entries += [*rows("jax_scan", [(2, 5.5, 0.5)], problem="x"), *rows("jax_scan", [(0, 0.6, 0.5)], problem="y")]
    chosen = selected(saved_run(tmp_path, entries), Namespace(problem=["y"]))
    (row,) = break_even_section(chosen, "numpy_manual", "jax_scan").table
    assert row["problem"] == "y"
    assert row["break-even"] == "1,400 steps (14 runs)"  # 2 to prepare and 4.5 to compile over 0.5 a run


@pytest.mark.parametrize(
    ("extra", "reason"),
    [
        ({"steps": 7}, "steps 100 in A, 7 in B"),
        ({"valid": False, "reason": "wrong"}, "invalid in B: wrong"),
        ({"per_step_s": math.nan}, "invalid in B: its time per step is zero or not recorded"),
        ({"block": 5}, "no complete block in common"),
        ({"problem": "other"}, "problem small in A, other in B"),
        ({"prepare_s": None}, "import, prepare, first or steady time not recorded"),
        ({"steady_s": math.nan}, "import, prepare, first or steady time not recorded"),
    ],
)
def test_unequal_work_is_refused_with_its_reason(extra: dict[str, Any], reason: str, tmp_path: Path) -> None:
    clocks = [(0.0, 1.0, 1.0)]
    entries = rows("numpy_manual", clocks), rows("jax_scan", clocks, **extra)
    found = break_even_row(tmp_path, *entries) if "problem" not in extra else None
    section = break_even_section(saved_run(tmp_path, [*entries[0], *entries[1]]), "numpy_manual", "jax_scan")
    assert reason in {row["break-even"].split(" above")[0] for row in section.table}
    if found:
        assert reason in found["refused"] and math.isnan(found["runs"])
    assert not [title for title in sections(tmp_path, [*entries[0], *entries[1]]) if title.startswith("Break-even")]


def test_the_section_for_two_says_it_in_words(tmp_path: Path) -> None:
    a = [(0.0, 1.0, 1.0)] * 3
    entries = rows("numpy_manual", a, problem="c") + rows("jax_scan", [(0, 1, 1)] * 3, problem="c")
    entries += rows("numpy_manual", a) + rows("jax_scan", [(0.4, 0.9, 0.9), (0.6, 0.9, 0.9), (120.1, 0.9, 0.9)])
    entries += rows("numpy_manual", a, problem="b") + rows("jax_scan", [(9, 9, 9)] * 3, problem="b")
    entries += rows("numpy_manual", [(1, 1, 1)] * 3, problem="d") + rows("jax_scan", [(0, 1, 1.2)] * 3, problem="d")
    section = break_even_section(saved_run(tmp_path, entries), "numpy_manual", "jax_scan")
    assert section.title == "Break-even of jax_scan against numpy_manual"
    assert {row["problem"]: row["break-even"] for row in section.table} == {
        "small": "600 steps (6 runs; 4 to 1,201)",
        "b": "never",
        "c": "from the first run",
        "d": "from the first run to run 6",
    }
    assert section.notes[0].startswith("Break-even: ")


def test_the_report_has_it_per_device_and_dtype_without_twins(tmp_path: Path) -> None:
    entries = rows("numpy_manual", [(0, 1, 1)], problem="big", n=9_999)
    entries += rows("jax_scan", [(0, 1, 1)], problem="big", n=9_999)
    entries += rows("numpy_manual", [(0, 1, 1)]) + rows("jax_scan", [(0.6, 0.9, 0.9)]) + rows("torch_nn", [(0, 2, 2)])
    entries += rows("again", [(0, 1, 1)], duplicate_of="numpy_manual")
    entries += rows("jax_scan", [(0, 1, 1)], device="gpu")
    found = sections(tmp_path, entries)
    assert [title for title in found if title.startswith("Break-even")] == [
        "Break-even against numpy_manual: cpu, float64"
    ]
    assert found["Break-even against numpy_manual: cpu, float64"].table == [
        {"implementation": "jax_scan", "small": "600 steps (6 runs)", "big": "from the first run"},
        {"implementation": "torch_nn", "small": "never", "big": "-"},
    ]


def test_a_run_without_rows_costs_the_others_nothing(tmp_path: Path) -> None:
    good = [*rows("numpy_manual", [(0, 1, 1)]), *rows("jax_scan", [(0.6, 0.9, 0.9)])]
    runs = [saved_run(tmp_path, good, "0001_good"), saved_run(tmp_path, [], "0002_empty")]
    titles = [part.title for part in report(runs, "numpy_manual").sections]
    assert sum(title.startswith("Break-even") for title in titles) == 1


# Phases


def test_cases_have_the_extremes_of_every_phase(tmp_path: Path) -> None:
    clocks = [(0.1, 3.0, 1.0), (0.3, 5.0, 2.0), (0.2, 9.0, 4.0)]
    run = saved_run(tmp_path, rows("numpy_manual", clocks, blocked_s=0.5, context_s=0.7))
    row = cases(run.rows).iloc[0]
    expected = {
        "prepare": (0.1, 0.2, 0.3), "first": (3, 5, 9), "steady": (1, 2, 4), "compile": (2, 3, 5),
        "import": (0.1, 0.1, 0.1), "context": (0.7, 0.7, 0.7), "fixed": (1e-6,) * 3,
        "blocked": (0.5,) * 3, "dispatch": (0.5, 1.5, 3.5),
    }  # fmt: skip
    assert set(expected) == set(PHASES)
    for phase, values in expected.items():
        assert [row[f"{phase}_low_s"], row[f"{phase}_s"], row[f"{phase}_high_s"]] == pytest.approx(values), phase


def test_several_blocks_show_their_spread_and_one_does_not(tmp_path: Path) -> None:
    clocks = [(0.1, 3.0, 1.0), (0.3, 5.0, 2.0), (0.2, 9.0, 4.0)]
    several = sections(tmp_path, rows("numpy_manual", clocks))["Phases: cpu, float64"].table[0]
    assert several == {
        "problem": "small", "implementation": "numpy_manual", "import": "100 ms (100 ms to 100 ms)",
        "prepare": "200 ms (100 ms to 300 ms)", "first": "5.00 s (3.00 s to 9.00 s)",
        "compile": "3.00 s (2.00 s to 5.00 s)", "fixed": "1.00 µs (1.00 µs to 1.00 µs)",
        "steady": "2.00 s (1.00 s to 4.00 s)",
    }  # fmt: skip
    single = sections(tmp_path, rows("numpy_manual", clocks[:1]))["Phases: cpu, float64"].table[0]
    assert (single["prepare"], single["first"]) == ("100 ms", "3.00 s")
    nothing = sections(tmp_path, rows("numpy_manual", [(0.1, 1.0, 1.0)] * 2))["Phases: cpu, float64"].table[0]
    assert nothing["compile"] == "none"


def test_waiting_and_dispatch_are_shown_where_recorded(tmp_path: Path) -> None:
    entries = rows("numpy_manual", [(0.1, 3.0, 1.0)]) + rows("jax_scan", [(0.1, 3.0, 1.0)], blocked_s=0.75)
    table = sections(tmp_path, entries)["Phases: cpu, float64"].table
    assert [(row["blocked"], row["dispatch"]) for row in table] == [("750 ms", "250 ms"), ("-", "-")]
