"""The saved runs: finding them, reading them, and the tables made of them."""

import json
import math
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from runs import CAMPAIGN, MACHINE, document, entry, rows, saved_run

import results
from results.commands.compare import compare_implementations, compare_runs
from results.commands.show import list_runs
from results.output import counted, digits, records, seconds, short_percent, size, times
from results.page.report import report
from results.page.sections import compile_text
from results.page.summary import agreement
from results.stats.pairing import ratios, ratios_to
from results.stats.prediction import measured_sizes
from results.store.columns import CASE, COLUMNS
from results.store.outcomes import cases, outcomes, rounds
from results.store.reading import Run, RunError
from results.store.runs import find, find_all, find_paths, nearest

Save = Callable[..., Path]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "runs"


@pytest.fixture
def save(root: Path) -> Save:
    def write(
        content: dict[str, Any] | str, name: str = "0001_base", place: str = "box-a/Linux-CPython-3.11-64bit"
    ) -> Path:
        path = root / place / f"{name}.json"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content if isinstance(content, str) else json.dumps(content))
        return path

    return write


def opened(save: Save, root: Path, *entries: dict[str, Any], **top: Any) -> Run:
    return find(str(save(document(*entries, **top))), root)


# Names


@pytest.fixture
def several(save: Save) -> None:
    save(document(entry()), "0001_base")
    save(document(entry(), datetime="2025-03-03T00:00:00+00:00"), "0003_fix")
    save(
        document(entry(), machine="box-b", datetime="2025-03-02T00:00:00"),
        "0001_base",
        "box-b/Linux-CPython-3.11-64bit",
    )
    save(document(entry(), machine="box-b"), "0002_only", "box-b/Linux-CPython-3.11-64bit")


@pytest.mark.parametrize(
    ("name", "label"),
    [
        ("latest", "box-a/0003_fix"),
        ("box-b/latest", "box-b/0001_base"),
        ("0003", "box-a/0003_fix"),
        ("3", "box-a/0003_fix"),
        ("fix", "box-a/0003_fix"),
        ("0003_fix", "box-a/0003_fix"),
        ("box-b/1", "box-b/0001_base"),
        ("box-b/0002_only", "box-b/0002_only"),
        ("box-b/Linux-CPython-3.11-64bit/0002", "box-b/0002_only"),
        ("box/only", "box-b/0002_only"),  # only one of the machines that begin so has it
    ],
)
@pytest.mark.usefixtures("several")
def test_a_run_is_found_by_each_of_its_names(name: str, label: str, root: Path) -> None:
    assert find(name, root).label == label


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("0001", "ambiguous: box-a/0001_base, box-b/0001_base"),
        ("base", "ambiguous"),
        ("box/base", "'box/base' is ambiguous: box-a/0001_base, box-b/0001_base"),
        ("box/latest", "'box' is ambiguous: box-a, box-b"),
        ("box-c/1", "no machine is called 'box-c'; nearest: box-"),
        ("box-a/fxi", "no run is called 'box-a/fxi'; nearest: box-a/0003_fix"),
        ("zzz", "there are 4, such as box-a/0003_fix, box-b/0001_base"),
        ("box-a/", "no run is called"),
        ("absent.json", "cannot read absent.json: No such file"),
        ("../absent", "cannot read ../absent: No such file"),
        ("/tmp", "cannot read /tmp: it is a folder; its runs are read with --runs /tmp"),
        ("/dev/zero", "cannot read /dev/zero: no regular file"),
    ],
)
@pytest.mark.usefixtures("several")
def test_a_name_that_fits_none_or_many_says_so(name: str, said: str, root: Path) -> None:
    with pytest.raises(RunError, match=r"^[^\n]+$") as caught:
        find(name, root)
    assert said in str(caught.value)


@pytest.mark.usefixtures("several")
def test_project_names_the_runs_of_the_project(root: Path) -> None:
    with pytest.raises(RunError, match="project has no run in"):
        find_all(["project"], root)
    listed = [f"{box}/Linux-CPython-3.11-64bit/0001_base.json" for box in ("box-a", "box-b")]
    (root / "project.txt").write_text("\n".join(listed))
    assert [run.label for run in find_all(["project"], root)] == ["box-a/0001_base", "box-b/0001_base"]
    assert [run.label for run in find_all(["box-b/project"], root)] == ["box-b/0001_base"]
    assert find_paths(["project"], root) == [root / path for path in listed]


def test_an_unknown_name_is_told_what_begins_with_it_or_is_like_it_or_all() -> None:
    known = ["jax_scan", "numpy_blocked", "numpy_gram", "numpy_manual"]
    assert nearest("numpy", known) == "nearest: numpy_blocked, numpy_gram, numpy_manual"
    assert nearest("jax_scn", known) == "nearest: jax_scan"
    assert nearest("larg", ["scalar", "tall"]) == "known: scalar, tall"
    many = [f"run{number}" for number in range(16)]
    assert nearest("run", many).count(",") == 5
    assert nearest("x", many).endswith("run11 and 4 more")
    assert nearest("x", many, "results list").endswith("and 4 more: results list") and nearest("x", []) == "known: none"


@pytest.mark.usefixtures("several")
def test_of_two_runs_of_a_name_the_one_of_the_user_is_meant_and_not_the_projects(root: Path) -> None:
    listed = "box-a/Linux-CPython-3.11-64bit/0001_base.json"
    (root / "project.txt").write_text(f"{listed}\n")
    assert find("base", root).label == find("0001", root).label == "box-b/0001_base"
    (root / "project.txt").write_text(f"{listed}\n{listed.replace('box-a', 'box-b')}\n")
    with pytest.raises(RunError, match="ambiguous"):
        find("base", root)


def test_two_platforms_of_a_machine_keep_their_runs_apart(save: Save, root: Path) -> None:
    for python in ("3.11", "3.12"):
        save(document(entry()), "0001_base", f"box-a/Linux-CPython-{python}-64bit")
    found = find("box-a/Linux-CPython-3.12-64bit/1", root)
    assert found.label == "box-a/Linux-CPython-3.12-64bit/0001_base"


def test_the_same_run_named_twice_counts_once_and_a_namesake_is_refused(save: Save, root: Path, tmp_path: Path) -> None:
    path = save(document(entry()))
    assert len(find_all(["latest", "1", str(path)], root)) == 1
    other = tmp_path / "0001_base.json"
    other.write_text(json.dumps(document(entry(), datetime="2020-01-01T00:00:00")))
    with pytest.raises(RunError, match="two files have the label box-a/0001_base"):
        find_all(["latest", str(other)], root)


# Files


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("", "empty or cut off"),
        (json.dumps(document(entry()))[:-40], "empty or cut off"),
        ('{"benchmarks": [{"na', "empty or cut off"),
        ("hello", "not JSON"),
        ("[" * 100_000, "JSON"),
        ("[]", "not a benchmark file"),
        ('{"benchmarks": 3, "machine_info": {}, "datetime": "2025-01-01"}', "its benchmarks is no list"),
        ('{"benchmarks": [{"name": "x"}], "machine_info": {}, "datetime": "2025-01-01"}', "lacks extra_info or stats"),
        ('{"benchmarks": [], "machine_info": {}, "datetime": 7}', "datetime is not a date"),
    ],
)
def test_a_bad_file_is_an_error_of_one_line_and_a_line_in_the_list(
    content: str, said: str, save: Save, root: Path
) -> None:
    save(document(entry()), "0001_good")
    path = save(content, "0002_bad")
    with pytest.raises(RunError, match=said):
        find(str(path), root)
    assert find("latest", root).label == "box-a/0001_good"
    lines = list_runs(root).data.set_index("run")
    assert said in lines.loc["box-a/0002_bad", "note"]
    assert lines.loc["box-a/0001_good", "rows"] == 1


def test_bytes_that_are_no_text_are_refused(root: Path, save: Save) -> None:
    path = save("")
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(RunError, match="not JSON"):
        find("latest", root)


def test_no_runs_and_no_folder_are_said_plainly(root: Path, tmp_path: Path) -> None:
    with pytest.raises(RunError, match="No such file"):
        find("latest", root)
    root.mkdir()
    with pytest.raises(RunError, match=r"no runs in .*benchmark-save"):
        find("latest", root)
    (tmp_path / "file").touch()
    with pytest.raises(RunError, match=r"cannot read .*Not a directory"):
        find("latest", tmp_path / "file")


# The tidy table


def test_load_gives_documented_columns_and_carries_unknown_ones_along(save: Save, root: Path) -> None:
    save(document(entry(tf32=False, notes=["a", {"b": 1}], run="theirs")))
    table = results.load("latest", root=root)
    assert list(table)[: len(COLUMNS)] == list(COLUMNS)
    row = table.iloc[0]
    assert (row["run"], row["machine"], row["tf32"], row["notes"]) == (
        "box-a/0001_base",
        "box-a",
        False,
        '["a", {"b": 1}]',
    )
    assert (row["rounds"], row["min_s"], row["per_step_s"], row["valid"]) == (3, pytest.approx(2e-4), 2e-6, True)
    assert row["datetime"] == "2025-03-01T10:20:30+00:00"


def test_what_a_file_does_not_say_is_nan_and_the_row_does_not_count(save: Save, root: Path) -> None:
    bare = {"name": "plain", "extra_info": {}, "stats": {"min": 1.0}}
    save(document(bare, campaign=None, machine_info={}, commit_info=None))
    table = results.load(root=root)
    assert table.loc[0, ["impl", "n", "error", "median_s"]].isna().all()
    assert (table.loc[0, "valid"], table.loc[0, "reason"], table.loc[0, "machine"]) == (
        False,
        "not marked as valid",
        "unknown",
    )


@pytest.mark.parametrize(
    ("extra", "reason"),
    [
        ({"valid": False, "reason": "threads differ"}, "threads differ"),
        ({"valid": False, "reason": None}, "not marked as valid"),
        ({"valid": "yes"}, "not marked as valid"),
        ({"error": 1.0}, "error is above"),
        ({"error": math.nan}, "not recorded"),
        ({"tolerance": None}, "not recorded"),
        ({"per_step_s": 0.0}, "its time per step"),
        ({"per_step_s": math.nan}, "its time per step"),
        ({"per_step_s": math.inf}, "its time per step"),
        ({"per_step_s": "UNSERIALIZABLE[2]"}, "its time per step"),
    ],
)
def test_a_row_that_is_unchecked_wrong_or_untimed_is_invalid(
    extra: dict[str, Any], reason: str, save: Save, root: Path
) -> None:
    run = opened(save, root, entry(**extra))
    assert not run.rows["valid"].any()
    assert reason in run.rows.loc[0, "reason"]
    assert math.isnan(cases(run.rows).loc[0, "per_step_s"])


def test_a_case_is_the_median_of_its_blocks_and_invalid_if_one_block_is(save: Save, root: Path) -> None:
    steps = [1e-6, 2e-6, 9e-6]
    run = opened(save, root, *[entry(step=step, block=block) for block, step in enumerate(steps)])
    case = cases(run.rows).iloc[0]
    assert (case["per_step_s"], case["low_s"], case["high_s"], case["blocks"]) == (2e-6, 1e-6, 9e-6, 3)
    assert case["error_ratio"] == pytest.approx(0.25)
    run = opened(save, root, entry(), entry(block=1, valid=False, reason="wrong"))
    assert outcomes(run).loc[0, ["status", "reason"]].tolist() == ["invalid", "wrong"]
    assert math.isnan(outcomes(run).loc[0, "per_step_s"])


def test_outcomes_hold_what_was_refused_and_skipped(save: Save, root: Path) -> None:
    found = outcomes(opened(save, root, entry())).set_index("status")
    assert found.loc["refused", "reason"] == "wrong at t = 3"
    assert found.loc["skipped", "impl"] == "torch_nn"


@pytest.mark.parametrize(
    ("label", "reason", "ranks", "valid"),
    [
        ("jax_scan", "wrong weights", [1], False),
        ("jax_scan-again", "timed out", [1], False),  # the same code
        ("jax_scan", "interrupted", [1], True),
        ("jax_scan", "timed out", [1, 2], True),  # with which number of ranks is not known
    ],
)
def test_a_case_that_was_refused_in_one_block_has_no_time(
    label: str, reason: str, ranks: list[int], valid: bool, save: Save, root: Path
) -> None:
    rows = [entry(name, block=block) for name in ("jax_scan", "numpy_manual") for block in (0, 1)]
    rows += [entry("jax_scan-again", duplicate_of="jax_scan")]
    rows = [entry(**(row["extra_info"] | {"ranks": count})) for row in rows for count in ranks]
    of_case = {name: rows[0]["extra_info"][name] for name in CASE} | {"impl": label}
    run = opened(save, root, *rows, campaign={"refused": [{**of_case, "block": 2, "reason": reason}]})
    found = run.rows.groupby("impl")["valid"].all().to_dict()
    assert found == {"jax_scan": valid, "jax_scan-again": valid, "numpy_manual": True}
    assert set(run.rows["reason"]) == {"", *([] if valid else [f"refused in block 2: {reason}"])}


def test_who_was_checked_and_never_wrong_agrees(save: Save, root: Path) -> None:
    rows = [entry(name, block=block) for name in ("wrong", "slow", "right", "noisy") for block in (0, 1)]
    rows += [entry("noisy", block=2, valid=False, reason="this machine is too busy to tell")]
    of_case = {name: rows[0]["extra_info"][name] for name in CASE}
    refused = [of_case | {"impl": impl, "block": 2, "reason": reason} for impl, reason in (
        ("wrong", "wrong weights after 5 updates: they are not the reference's"),
        ("slow", "more steps take no more time"),
        ("never", "timed out"),
    )]  # fmt: skip
    sentence, others = agreement(records(outcomes(opened(save, root, *rows, campaign={"refused": refused}))))
    assert sentence == "3 of 5 implementations agree with the reference"
    assert list(others) == ["never", "noisy", "slow", "wrong"]


def test_rounds_are_one_row_each(save: Save, root: Path) -> None:
    table = rounds(opened(save, root, entry(), entry("jax_scan", 1e-6)))
    assert table["round"].tolist() == [0, 1, 2] * 2
    assert table["seconds"].tolist()[3:] == pytest.approx([1e-4, 1.01e-4, 1.02e-4])
    without = entry()
    del without["stats"]["data"]
    with pytest.raises(RunError, match="no rounds"):
        rounds(opened(save, root, without))


# Comparing


def two(save: Save, root: Path, a: list[dict[str, Any]], b: list[dict[str, Any]], **top: Any) -> tuple[Run, Run]:
    return find(str(save(document(*a), "0001_a")), root), find(str(save(document(*b, **top), "0002_b")), root)


def test_a_ratio_is_the_hodges_lehmann_estimate_over_the_blocks_that_both_have(save: Save, root: Path) -> None:
    a, b = two(
        save,
        root,
        [entry(step=1e-6, block=i) for i in range(4)],
        [entry(step=(i + 1) * 1e-6, block=i) for i in range(3)],
    )
    row = ratios(a.rows, b.rows, CASE).iloc[0]
    assert [row["ratio"], row["low"], row["high"], row["blocks"]] == pytest.approx(
        [math.sqrt(math.sqrt(3) * 2), 1, 3, 3]
    )
    assert row["refused"] == ""


@pytest.mark.parametrize(
    ("extra", "said"),
    [
        ({"steps": 200}, "steps 100 in A, 200 in B"),
        ({"threads": 8}, "threads 1 in A, 8 in B"),
        ({"seed": 1}, "seed 0 in A, 1 in B"),
        ({"problem_hash": "def"}, "problem_hash abc in A, def in B"),
        ({"problem_hash": None}, "problem_hash abc in A, unknown in B"),
        ({"batch": 32}, "batch 512 in A, 32 in B"),
        ({"lr": 0.2}, "lr 0.1 in A, 0.2 in B"),
        ({"n": 1}, "n 512 in A, 1 in B"),
        ({"d": 1}, "d 16 in A, 1 in B"),
        ({"k": 2}, "k 1 in A, 2 in B"),
        ({"valid": False, "reason": "wrong"}, "invalid in B: wrong"),
        ({"block": 7}, "no complete block in common"),
    ],
)
def test_unequal_work_is_refused_and_the_fact_named(extra: dict[str, Any], said: str, save: Save, root: Path) -> None:
    a, b = two(save, root, [entry()], [entry(**extra)])
    with pytest.raises(RunError, match=r"^nothing to compare: [^\n]+$") as caught:
        compare_runs(a, b)
    assert said in str(caught.value)


def test_incomplete_blocks_are_shown_but_not_counted(tmp_path: Path) -> None:
    entries = [*rows("numpy_manual", blocks=8), *rows("jax_scan", 2e-6, blocks=8)]
    entries[3]["extra_info"]["per_step_s"] = entries[11]["extra_info"]["per_step_s"] = 1.0
    run = saved_run(tmp_path, entries, campaign={"seed": 0, "partial_blocks": [3, 5]})
    assert len(run.rows) == 16 and run.rows.loc[~run.rows["complete"], "block"].tolist() == [3, 5, 3, 5]
    (row,) = ratios_to(run.rows, "numpy_manual").query("impl == 'jax_scan'").to_dict("records")
    assert row["blocks"] == 6 and row["high"] < 3
    table = cases(run.rows)
    assert table["blocks"].tolist() == [6, 6] and table["high_s"].max() < 1
    assert measured_sizes(run.rows)["high_s"].max() < 1
    run = saved_run(tmp_path, entries, "0002_cut", campaign={"seed": 0, "partial_blocks": [*range(8)]})
    (row,) = ratios_to(run.rows, "numpy_manual").query("impl == 'jax_scan'").to_dict("records")
    assert row["blocks"] == 8, "where no block is complete, what ran in it is compared"


def test_what_can_be_compared_is_and_the_rest_is_listed(save: Save, root: Path) -> None:
    a, b = two(
        save, root, [entry(), entry("jax_scan"), entry("only_a")], [entry(step=4e-6), entry("jax_scan", steps=7)]
    )
    found = compare_runs(a, b).data.set_index("impl")
    assert found.loc["numpy_manual", "ratio"] == pytest.approx(2)
    assert found["refused"].to_dict() == {
        "jax_scan": "steps 100 in A, 7 in B",
        "numpy_manual": "",
        "only_a": "only in A",
    }


def test_a_fact_that_neither_side_knows_is_no_agreement(save: Save, root: Path) -> None:
    a, b = two(save, root, [entry(threads=None)], [entry(threads=None)])
    with pytest.raises(RunError, match="threads not recorded"):
        compare_runs(a, b)
    a, b = two(save, root, [entry(seed=None)], [entry(seed=None)])
    assert compare_runs(a, b).data.loc[0, "ratio"] == 1


def test_runs_without_a_common_case_say_where_they_part(save: Save, root: Path) -> None:
    a, b = two(save, root, [entry()], [entry(dtype="float32")])
    with pytest.raises(RunError, match="nothing to compare: dtype float64 in A, float32 in B"):
        compare_runs(a, b)


def test_another_machine_is_named_with_what_differs(save: Save, root: Path) -> None:
    info = MACHINE | {"slug": "box-b", "gpu": "H200", "packages": {"numpy": "2.5.0", "torch": "2.13"}}
    both = [entry(), entry("jax_scan")]
    a, b = two(save, root, both, both, machine_info=info)
    header = compare_runs(a, b).sections[0]
    assert "Different machines" in header.text
    assert {"gpu: none in A, H200 in B", "numpy: 2.4.6 in A, 2.5.0 in B", "torch: none in A, 2.13 in B"} <= set(
        header.notes
    )


def test_one_block_decides_nothing(save: Save, root: Path) -> None:
    page = compare_implementations([opened(save, root, entry(), entry("jax_scan", 1e-6))], "numpy_manual", "jax_scan")
    said = " ".join(" ".join([part.text, *part.notes]) for part in page.sections)
    assert 'UNDECIDED is not "no difference": verdicts need at least 5 blocks' in said
    assert page.data.loc[0, "verdict"] == "UNDECIDED"
    assert page.data.loc[0, "ratio"] == pytest.approx(0.5)
    with pytest.raises(RunError, match="no implementation 'jax_scn'; nearest: jax_scan"):
        compare_implementations([opened(save, root, entry("jax_scan"))], "jax_scan", "jax_scn")


def test_enough_blocks_decide(save: Save, root: Path) -> None:
    rows = [entry(step=1e-6 * (1 + block / 1000), block=block) for block in range(8)]
    rows += [entry("jax_scan", 0.8e-6 * (1 + block / 900), block=block) for block in range(8)]
    rows += [
        entry("torch_nn", 1e-6 * (1 + block / 1000) * (1.003 if block % 2 else 0.997), block=block)
        for block in range(8)
    ]
    run = opened(save, root, *rows)
    assert compare_implementations([run], "numpy_manual", "jax_scan").data.loc[0, "verdict"] == "FASTER"
    assert compare_implementations([run], "jax_scan", "numpy_manual").data.loc[0, "verdict"] == "SLOWER"
    assert compare_implementations([run], "numpy_manual", "torch_nn").data.loc[0, "verdict"] == "EQUIVALENT"


# The report


def test_speedups_are_over_the_baseline_and_invalid_rows_have_none(save: Save, root: Path) -> None:
    fast = entry("a_wrong", 1e-9, valid=False, reason="wrong")
    run = opened(save, root, entry(), entry("jax_scan", 1e-6), fast, entry("jax_scan", 1e-7, device="gpu"))
    page = report([run], "numpy_manual")
    found = page.data[page.data["problem"].eq("small") & page.data["device"].eq("cpu")].set_index("impl")["speedup"]
    assert found["jax_scan"] == pytest.approx(2)
    assert math.isnan(found["a_wrong"])
    verdict = " ".join(page.sections[1].notes)
    assert "3 of 4 implementations agree" in verdict
    assert "jax_scan on small" in verdict
    assert "a_wrong (wrong)" in verdict
    speeds = {part.title: part for part in page.sections}
    assert speeds["Time per step: cpu, float64"].table[2]["small"] == "1.00 µs (2.00x?)"
    assert speeds["Time per step: gpu, float64"].notes == ["No speed-ups: numpy_manual has no case here."]


def test_machines_are_sections_of_their_own(save: Save, root: Path) -> None:
    save(document(entry()))
    save(document(entry(step=1.0), machine="box-b"), "0001_b", "box-b/Linux")
    page = report(find_all(["box-b/1", "box-a/1"], root), "numpy_manual")
    assert [part.title for part in page.sections if part.title.startswith("Run ")] == [
        "Run box-b/0001_b",
        "Run box-a/0001_base",
    ]
    assert page.data["speedup"].dropna().tolist() == [1, 1]


@pytest.mark.parametrize(
    "entries", [[], [entry(valid=False, reason="wrong")], [{"name": "x", "extra_info": {}, "stats": {}}]]
)
@pytest.mark.parametrize("campaign", [None, CAMPAIGN, {"refused": [3], "skipped": "x"}])
def test_a_run_without_a_valid_row_is_reported_all_the_same(
    entries: list[dict[str, Any]], campaign: dict[str, Any] | None, save: Save, root: Path
) -> None:
    page = report([opened(save, root, *entries, campaign=campaign)], "numpy_manual")
    assert any("no times" in line for line in page.sections[1].notes)


def test_an_unknown_baseline_names_the_known(save: Save, root: Path) -> None:
    with pytest.raises(RunError, match="'numpy'; known: numpy_manual"):
        report([opened(save, root, entry())], "numpy")


def test_caveats_come_from_the_run(save: Save, root: Path) -> None:
    run = opened(save, root, entry(), campaign=CAMPAIGN | {"interrupted": True}, commit_info={"id": "x", "dirty": True})
    notes = " ".join(report([run], "numpy_manual").sections[3].notes)
    assert all(word in notes for word in ("One block", "Interrupted", "uncommitted"))


# Units


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (1.234e-6, "1.23 µs"),
        (9.996e-7, "1.00 µs"),
        (0.0, "0.00 ns"),
        (5e-9, "5.00 ns"),
        (0.1, "100 ms"),
        (0.9999, "1.00 s"),
        (12345.6, "12346 s"),
        (-0.002, "-2.00 ms"),
        (math.nan, "-"),
    ],
)
def test_seconds_have_three_digits_and_a_unit(value: float, said: str) -> None:
    assert seconds(value) == said


def test_other_units() -> None:
    assert (times(4.1), times(math.nan), size(2**21), size(math.nan)) == ("4.10x", "-", "2 MiB", "-")
    assert (digits(math.inf), digits(1234.5)) == ("inf", "1234")


@pytest.mark.parametrize(
    ("compile_s", "iqr_s", "said"),
    [(-1e-3, 0, "none"), (1e-6, 1e-5, "none"), (1.0, 1e-5, "1.00 s"), (1.0, math.nan, "1.00 s"), (math.nan, 1, "-")],
)
def test_compile_time_within_the_noise_is_none(compile_s: float, iqr_s: float, said: str) -> None:
    assert compile_text({"compile_s": compile_s, "iqr_s": iqr_s}) == said


def test_results_needs_no_framework() -> None:
    code = "import sys, results.__main__; print(*{'torch', 'jax', 'impls', 'benchmarks'} & set(sys.modules))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip() == ""


def test_percentages_have_two_digits_and_no_exponent() -> None:
    assert [short_percent(part) for part in (0, 0.00012, 0.015, 0.5, 1.7, 123.4)] == [
        "0 %",
        "0.012 %",
        "1.5 %",
        "50 %",
        "170 %",
        "12000 %",
    ]


def test_one_thing_is_singular() -> None:
    assert [counted(count, "run") for count in (0, 1, 2)] == ["0 runs", "1 run", "2 runs"]
