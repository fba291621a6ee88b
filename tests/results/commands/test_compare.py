"""`python -m results compare` over synthetic runs whose truth is known: one machine, two, many, and what is refused."""

import csv
import io
import json
import math
from pathlib import Path
from typing import Any

import pytest
from runs import BLOCKS, CAMPAIGN, KNOWN, MACHINE, entry, rows, saved_cases, text

from results.__main__ import main
from results.commands.compare import compare_implementations, compare_runs
from results.commands.history import history
from results.output import FORMATS, Page, markdown
from results.page.machines import check_one_run_per_machine
from results.stats.pairing import ratios
from results.stats.verdict_tables import count_verdicts
from results.store.columns import CASE
from results.store.reading import Run, RunError


def only(page: Page, impl: str = "jax_scan") -> dict[str, Any]:
    """The one row of the page's data that is about the implementation."""
    (row,) = page.data[page.data["impl"] == impl].to_dict("records")
    return row


# Implementations on several machines


def test_each_machine_has_its_table_and_the_page_one_correction(tmp_path: Path) -> None:
    faster, unclear = (
        rows("jax_scan", 0.8e-6),
        [entry("jax_scan", 1e-6 * (0.5 + b % 2), **KNOWN, block=b) for b in range(14)],
    )
    runs = [
        saved_cases(tmp_path, f"box-{slug}", rows(), side)
        for slug, side in zip("abc", [faster, faster, unclear], strict=True)
    ]
    page = compare_implementations(runs, "numpy_manual", "jax_scan")
    assert dict(zip(page.data["machine"], page.data["verdict"], strict=True)) == {
        "box-a": "FASTER",
        "box-b": "FASTER",
        "box-c": "UNDECIDED",
    }
    assert "Holm corrects 3 comparisons of this page" in text(page)
    (table,) = [part.table for part in page.sections if part.title == "On how many machines"]
    assert [row["machines"] for row in table] == ["FASTER on 2 of 3 machines; UNDECIDED on 1"]
    assert [part.title for part in page.sections if part.title.startswith("box-")] == [
        f"box-{slug} (box-{slug}/0001_base, 2025-03-01 10:20Z)" for slug in "abc"
    ]


def test_holm_counts_the_comparisons_of_all_machines(tmp_path: Path) -> None:
    """The same blocks on each machine: p grows with the number of machines."""
    runs = [saved_cases(tmp_path, f"box-{slug}", rows(blocks=5), rows("jax_scan", 0.5e-6, blocks=5)) for slug in "abcd"]
    pages = [compare_implementations(runs[:count], "numpy_manual", "jax_scan") for count in (2, 4)]
    two, four = (page.data["p"].max() for page in pages)
    assert four == pytest.approx(2 * two) and four < 0.05
    assert "Holm corrects 4 comparisons of this page" in text(pages[1])


def test_one_block_says_how_many_are_needed(tmp_path: Path) -> None:
    cases = [[*rows(problem=name, blocks=1), *rows("jax_scan", 0.5e-6, 1, problem=name)] for name in "abc"]
    page = compare_implementations([saved_cases(tmp_path, "box-a", *cases)], "numpy_manual", "jax_scan")
    assert set(page.data["verdict"]) == {"UNDECIDED"}
    assert "verdicts need at least 3 blocks (--blocks 3)" in text(page)


def noisy(factor: float, spread: float, blocks: int = 12, **extra: Any) -> list[dict[str, Any]]:
    """Return the rows of an implementation that takes `factor` of 1 us, up and down by `spread` in turn."""
    logs = [math.log(factor) + spread * (-1) ** block for block in range(blocks)]
    return [
        entry("jax_scan", 1e-6 * math.exp(log), **(KNOWN | {"block": block} | extra)) for block, log in enumerate(logs)
    ]


@pytest.mark.parametrize(
    ("others", "advice"),
    [
        (0, "for these cases, even 1,000 blocks would probably not decide"),
        (1, " (--blocks {}). For 1 of 2, even 1,000 blocks would probably not decide"),
    ],
)
def test_what_1000_blocks_leave_open_asks_for_less_noise(
    others: int, advice: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A real difference of 5 % is hidden by noise. That more blocks never help is not known."""
    cases = [*rows(blocks=12), *noisy(1.05, 0.9)]
    if others:
        cases += [*rows(blocks=12, problem="clear"), *noisy(1.05, 0.1, problem="clear")]
    saved_cases(tmp_path, "box-a", cases)
    args = ["compare", "numpy_manual", "jax_scan", "--run", "latest", "--runs", str(tmp_path / "runs")]
    assert main([*args, "--format", "json"]) == 0
    needed = [row["needed"] for row in json.loads(capsys.readouterr().out) if row["needed"]]
    assert main([*args, "--format", "md"]) == 0
    shown = capsys.readouterr().out
    assert len(needed) == others and advice.format(*(f"{blocks:.0f}" for blocks in needed)) in shown
    assert "Measure again with less noise (python -m results noise RUN says how)" in shown
    assert "would not help" not in shown


def test_two_runs_of_one_machine_are_named(tmp_path: Path) -> None:
    runs = [saved_cases(tmp_path, "box-a", rows(), rows("jax_scan"), name=name) for name in ("0001_a", "0002_b")]
    with pytest.raises(
        RunError, match=r"box-a/0001_a and box-a/0002_b are runs of one machine, box-a: name one run per"
    ):
        compare_implementations(runs, "numpy_manual", "jax_scan")


def test_two_machines_of_one_model_are_two_machines(tmp_path: Path) -> None:
    runs = [
        saved_cases(tmp_path, f"amd-epyc-2c-{slug}", rows(), rows("jax_scan", 0.8e-6)) for slug in ("e60e65", "0a1b2c")
    ]
    check_one_run_per_machine(runs)
    found = compare_implementations(runs, "numpy_manual", "jax_scan").data
    assert sorted(found["machine"]) == ["amd-epyc-2c-0a1b2c", "amd-epyc-2c-e60e65"]
    assert set(found["blocks"]) == {BLOCKS}
    assert set(found["machines"]) == {"FASTER on 2 of 2 machines"}


def test_unequal_work_on_two_machines_is_not_counted_together(tmp_path: Path) -> None:
    runs = [
        saved_cases(tmp_path, f"box-{slug}", rows(steps=steps), rows("jax_scan", 0.8e-6, steps=steps))
        for slug, steps in (("a", 100), ("b", 200))
    ]
    page = compare_implementations(runs, "numpy_manual", "jax_scan")
    assert set(page.data["verdict"]) == {"FASTER"}
    assert set(page.data["machines"]) == {"not the same work: steps 100 in box-a, 200 in box-b"}


def test_a_machine_without_the_implementation_or_with_a_failed_check_is_counted_as_such(tmp_path: Path) -> None:
    runs = [
        saved_cases(tmp_path, "box-a", rows(), rows("jax_scan", 0.8e-6)),
        saved_cases(tmp_path, "box-b", rows()),
        saved_cases(tmp_path, "box-c", rows(), rows("jax_scan", valid=False, reason="wrong")),
    ]
    page = compare_implementations(runs, "numpy_manual", "jax_scan")
    assert set(page.data["machines"]) == {"FASTER on 1 of 3 machines; INVALID on 1; not compared on 1"}
    assert page.data["refused"].tolist() == ["", "only in A", "invalid in B: wrong"]
    with pytest.raises(RunError, match="no implementation 'torch'"):
        compare_implementations(runs, "numpy_manual", "torch")


def test_verdicts_are_counted_in_a_fixed_order() -> None:
    assert count_verdicts(["SLOWER", "FASTER", math.nan]) == "FASTER on 1 of 3 machines; SLOWER on 1; not compared on 1"
    assert count_verdicts(["EQUIVALENT"]) == "EQUIVALENT on 1 of 1 machine"


# Two runs of one machine


def test_two_runs_of_a_machine_name_what_differs_and_the_drift(tmp_path: Path) -> None:
    info = {"governor": "performance", "env": {"OMP_NUM_THREADS": "1", "X": "y"}, "setup_hash": "aa", "gpu_facts": {}}
    info |= {"installed": {"numpy": "2.4.6", **{f"p{i:02}": "1" for i in range(20)}}}
    later = info | {"governor": "powersave", "env": {"OMP_NUM_THREADS": "2", "X": "y"}, "setup_hash": "bb"}
    later |= {"installed": {"numpy": "2.4.6", **{f"p{i:02}": "2" for i in range(20)}}}
    code = {"sources": {"numpy_manual": {"file": "numpy_manual.py", "text": "x"}}}
    a = saved_cases(
        tmp_path, "box-a", rows(), rows("jax_scan", version="1"), machine_info=MACHINE | info, campaign=code
    )
    b = saved_cases(
        tmp_path,
        "box-a",
        rows(step=1.003e-6),
        rows("jax_scan", 1.2e-6, version="2"),
        name="0002_b",
        machine_info=MACHINE | later | {"packages": {"numpy": "2.4.6", "jax": "0.11"}},
        commit_info={"id": "fedcba"},
        campaign=code,
    )
    page = compare_runs(a, b)
    notes = page.sections[0].notes
    assert {
        "commit: 0123456789abcdef in A, fedcba in B",
        "jax: 0.10.2 in A, 0.11 in B",
        "governor: performance in A, powersave in B",
        "setup_hash: aa in A, bb in B",
        "environment: OMP_NUM_THREADS: 1 in A, 2 in B",
    } <= set(notes)
    assert any(note.startswith("installed packages: p00: 1 in A") and note.endswith("; 8 more") for note in notes)
    assert only(page)["verdict"] == "SLOWER"
    assert only(page)["ratio"] == pytest.approx(1.2, rel=0.005)
    (drift,) = [note for note in notes if note.startswith("Drift")]
    assert "numpy_manual: B/A 1.00" in drift
    assert "jax_scan" not in drift


def test_drift_says_what_it_cannot_know(tmp_path: Path) -> None:
    """Only equal code of an equal version is the same code."""

    def run(number: int, version: str, text: str | None) -> Run:
        campaign = {"sources": {"numpy_manual": {"file": "numpy_manual.py", "text": text}}} if text else {}
        return saved_cases(tmp_path, "box-a", rows(blocks=2, version=version), name=f"000{number}_x", campaign=campaign)

    a = run(1, "1", "x")
    for number, other in enumerate([("2", "x"), ("1", "y"), ("1", None)], 2):
        assert any(note.startswith("Drift unknown") for note in compare_runs(a, run(number, *other)).sections[0].notes)
    assert "(no interval below 6 blocks)" in text(compare_runs(a, run(5, "1", "x")))
    edited = compare_runs(a, run(6, "1", "y")).sections[0].notes
    assert any(note.startswith("code that differs: numpy_manual (") for note in edited)


def test_an_image_copies_the_id_to_other_machines(tmp_path: Path) -> None:
    """Two virtual machines of one name and another memory are compared as two machines."""
    small, large = (MACHINE | {"slug": "box-a", "ram_bytes": size * 2**30} for size in (16, 32))
    a = saved_cases(tmp_path, "box-a", rows(), rows("jax_scan", 5e-7), machine_info=small)
    b = saved_cases(tmp_path, "box-a", rows(step=2e-6), rows("jax_scan", 1e-6), name="0002_b", machine_info=large)
    page = compare_runs(a, b)
    assert "Different machines" in text(page) and "memory 16 GiB and 32 GiB" in text(page)
    assert "numpy_manual on A" in markdown(page.sections) and "B per step" not in markdown(page.sections)
    assert set(history([a, b], {}, {}).data["series"]) == {0, 1, 2, 3}, "never pooled"


def test_an_older_file_lacks_facts_and_that_is_said(tmp_path: Path) -> None:
    a = saved_cases(tmp_path, "box-a", rows())
    b = saved_cases(
        tmp_path, "box-a", rows(), name="0002_b", machine_info=MACHINE | {"governor": None, "env": {"A": "1"}}
    )
    notes = compare_runs(a, b).sections[0].notes
    assert {"governor: not recorded in A, none in B", "environment: recorded in only one of the runs"} <= set(notes)


# Two runs of two machines


def test_a_machine_that_is_twice_as_quick_makes_nothing_faster(tmp_path: Path) -> None:
    a = saved_cases(tmp_path, "box-a", rows(), rows("jax_scan", 0.5e-6), rows("torch_nn", 4e-6))
    b = saved_cases(tmp_path, "box-b", rows(step=0.5e-6), rows("jax_scan", 0.25e-6), rows("torch_nn", 0.25e-6))
    page = compare_runs(a, b)
    same, gained = only(page), only(page, "torch_nn")
    assert (same["verdict"], same["machines"]) == ("EQUIVALENT", "FASTER on 2 of 2 machines")
    assert [same[name] for name in ("ratio", "ratio_on_a", "ratio_on_b")] == pytest.approx([1, 0.5, 0.5], rel=0.01)
    assert (gained["verdict"], gained["machines"]) == ("FASTER", "FASTER on 1 of 2 machines; SLOWER on 1")
    assert gained["ratio"] == pytest.approx(1 / 8, rel=0.01)
    assert set(page.data["impl"]) == {"jax_scan", "torch_nn"}
    assert page.data["a_s"].isna().all(), "no raw time of one machine stands beside the other's"
    assert "Holm corrects 6 comparisons of this page" in text(page)


def test_blocks_are_paired_by_number(tmp_path: Path) -> None:
    """A drift that both implementations of a block share goes with the baseline; a missing block goes with its pair."""
    drift = [1 + block / 5 for block in range(BLOCKS)]
    a = saved_cases(
        tmp_path,
        "box-a",
        [entry("numpy_manual", 1e-6 * drift[b], block=b, **KNOWN) for b in range(BLOCKS)],
        [entry("jax_scan", 2e-6 * drift[b], block=b, **KNOWN) for b in range(BLOCKS)],
    )
    base = rows(step=3e-6)
    thrice = [entry("jax_scan", row["extra_info"]["per_step_s"] * 3, block=i, **KNOWN) for i, row in enumerate(base)]
    b = saved_cases(tmp_path, "box-b", base[2:], thrice)
    row = only(compare_runs(a, b))
    assert (row["blocks"], row["verdict"]) == (BLOCKS - 2, "SLOWER")
    assert [row["ratio"], row["low"], row["high"]] == pytest.approx([1.5] * 3)


@pytest.mark.parametrize(
    ("baseline", "message"),
    [
        ("nope", "'nope'; known: jax_scan, numpy_manual"),
        ("numpy", "nearest: numpy_manual"),
        ("jax_scn", "nearest: jax_scan"),
        ("torch_nn", "'torch_nn'"),
    ],
)
def test_an_unknown_baseline_names_the_known(baseline: str, message: str, tmp_path: Path) -> None:
    a = saved_cases(tmp_path, "box-a", rows(), rows("jax_scan"), rows("torch_nn"))
    b = saved_cases(tmp_path, "box-b", rows(), rows("jax_scan"))
    with pytest.raises(RunError, match=message):
        compare_runs(a, b, baseline)
    assert only(compare_runs(a, b, "jax_scan"), "numpy_manual")["ratio"] == pytest.approx(1, rel=0.01)


def test_what_has_no_baseline_on_a_machine_says_so(tmp_path: Path) -> None:
    sides = [rows(), rows("jax_scan", 0.5e-6), rows("jax_scan", 0.1e-6, device="gpu"), rows("torch_nn", device="gpu")]
    page = compare_runs(saved_cases(tmp_path, "box-a", *sides), saved_cases(tmp_path, "box-b", *sides))
    refused = page.data.set_index(["impl", "device"])["refused"]
    assert refused["jax_scan", "cpu"] == ""
    alone = "not comparable with numpy_manual: only in jax_scan"
    assert refused["jax_scan", "gpu"] == f"invalid in A: {alone}; invalid in B: {alone}"
    assert "device cpu in numpy_manual, gpu in torch_nn" in refused["torch_nn", "gpu"]


def test_two_machines_with_nothing_but_the_baseline_say_so(tmp_path: Path) -> None:
    with pytest.raises(RunError, match="neither run has an implementation beside numpy_manual"):
        compare_runs(saved_cases(tmp_path, "box-a", rows()), saved_cases(tmp_path, "box-b", rows()))
    unlike = [saved_cases(tmp_path, f"box-{i}", rows(threads=i), rows("jax_scan", threads=i)) for i in (1, 2)]
    with pytest.raises(RunError, match=r"^nothing to compare: threads 1 in A, 2 in B \(cases: 1\)$"):
        compare_runs(*unlike)
    page = compare_runs(*unlike, force=True)
    assert (only(page)["verdict"], only(page)["ratio"]) == ("INVALID", pytest.approx(1, rel=0.01))


# What is refused


@pytest.mark.parametrize(
    ("extra", "message"),
    [
        ({"precision": "tf32"}, "precision highest in A, tf32 in B"),
        ({"matmul_bits": 10}, "matmul_bits 52 in A, 10 in B"),
        ({"matvec_bits": None}, "matvec_bits 52 in A, unknown in B"),
        ({"precision": None}, "precision highest in A, unknown in B"),
        ({"threads": 8}, "threads 1 in A, 8 in B"),
        ({"dtype": "float32"}, "dtype float64 in A, float32 in B"),
        ({"device": "gpu"}, "device cpu in A, gpu in B"),
        ({"device": "gpu", "dtype": "float32"}, "device cpu in A, gpu in B; dtype float64 in A, float32 in B"),
    ],
)
@pytest.mark.parametrize("where", ["implementations", "runs"])
def test_unequal_sides_are_refused_and_forced_are_not_judged(
    extra: dict[str, Any], message: str, where: str, tmp_path: Path
) -> None:
    other = rows("jax_scan", 3e-6, **extra)

    def compared(force: bool) -> Page:
        if where == "runs":
            runs = [saved_cases(tmp_path, "box", rows("jax_scan")), saved_cases(tmp_path, "box", other, name="0002_b")]
            return compare_runs(*runs, force=force)
        return compare_implementations([saved_cases(tmp_path, "box", rows(), other)], "numpy_manual", "jax_scan", force)

    with pytest.raises(RunError, match=r"^nothing to compare: [^\n]+$") as caught:
        compared(force=False)
    assert message in str(caught.value)
    page = compared(force=True)
    (forced,) = [part for part in page.sections if part.title.startswith("Forced: not comparable")]
    assert all(row["verdict"] == "INVALID" and row["reason"] == message for row in forced.table)
    assert all(row["B/A"] in ("3.00x", "2.99x", "3.01x") for row in forced.table)
    assert page.data["p"].isna().all(), "nothing forced is judged"


def test_what_neither_side_knows_of_newer_facts_is_a_note(tmp_path: Path) -> None:
    older = {"precision": None, "matmul_bits": None, "matvec_bits": None}
    page = compare_implementations(
        [saved_cases(tmp_path, "box", rows(**older), rows("jax_scan", 0.5e-6, **older))], "numpy_manual", "jax_scan"
    )
    assert only_verdict(page) == "FASTER"
    assert "Recorded in neither A nor B, so perhaps unequal: precision, matmul_bits, matvec_bits." in text(page)
    page = compare_implementations([saved_cases(tmp_path, "box", rows(), rows("jax_scan"))], "numpy_manual", "jax_scan")
    assert "Not recorded" not in text(page)


def only_verdict(page: Page) -> str:
    (verdict,) = page.data["verdict"]
    return str(verdict)


def test_forced_cases_count_in_no_correction_and_need_times(tmp_path: Path) -> None:
    run = saved_cases(
        tmp_path,
        "box",
        rows(),
        rows("jax_scan", 0.5e-6),
        rows(problem="wrong"),
        rows("jax_scan", 5e-6, problem="wrong", valid=False, reason="wrong at t = 3"),
        rows(problem="lost"),
        rows("jax_scan", problem="lost", valid=False, reason="lost", per_step_s=math.nan),
        rows(problem="zero"),
        rows("jax_scan", problem="zero", per_step_s=0.0),
        rows(problem="lonely"),
    )
    page = compare_implementations([run], "numpy_manual", "jax_scan", force=True)
    assert "Holm corrects 1 comparison of" in text(page)
    found = page.data.set_index("problem")
    assert found["verdict"].fillna("none").to_dict() == {
        "small": "FASTER",
        "wrong": "INVALID",
        "lost": "INVALID",
        "zero": "INVALID",
        "lonely": "none",
    }
    tables = {
        part.title.partition(":")[0]: [row["problem"] for row in part.table] for part in page.sections if part.table
    }
    assert tables["Forced"] == ["wrong"]
    assert tables["Not compared"] == ["lonely", "lost", "zero"]
    plain = compare_implementations([run], "numpy_manual", "jax_scan").data.set_index("problem")
    assert plain.loc["wrong", ["verdict", "refused"]].tolist() == ["INVALID", "invalid in B: wrong at t = 3"]
    assert math.isnan(plain.loc["wrong", "ratio"])


def test_a_missing_case_is_only_in_one_side(tmp_path: Path) -> None:
    run = saved_cases(tmp_path, "box", rows(), rows("jax_scan"), rows(dtype="float32"))
    sides = [run.rows[run.rows["impl"] == name] for name in ("numpy_manual", "jax_scan")]
    assert ratios(*sides, CASE[1:]).set_index("dtype")["refused"].to_dict() == {"float32": "only in A", "float64": ""}


# Twins


def test_a_twin_is_compared_by_name_only(tmp_path: Path) -> None:
    sides = [rows(), rows("numpy_manual-again", duplicate_of="numpy_manual"), rows("jax_scan", 0.5e-6)]
    a, b = saved_cases(tmp_path, "box", *sides), saved_cases(tmp_path, "box", *sides, name="0002_b")
    elsewhere = saved_cases(tmp_path, "box-b", *sides)
    for page in (compare_runs(a, b), compare_runs(a, elsewhere)):
        assert "numpy_manual-again" not in set(page.data["impl"])
        assert "Noise (numpy_manual twice, 14 blocks): called different in 0 of 1 case." in text(page)
    page = compare_implementations([a], "numpy_manual", "numpy_manual-again")
    assert only_verdict(page) == "EQUIVALENT"
    assert only(compare_runs(a, elsewhere))["verdict"] == "EQUIVALENT"


def test_every_page_ends_with_the_noise_of_each_run(tmp_path: Path) -> None:
    runs = [saved_cases(tmp_path, f"box-{slug}", rows(), rows("jax_scan")) for slug in "ab"]
    again = saved_cases(tmp_path, "box-a", rows(), rows("jax_scan"), name="0002_b")
    names = ("numpy_manual", "jax_scan")
    pages = [compare_runs(*runs), compare_runs(runs[0], again), compare_implementations(runs, *names)]
    for page, number in zip([*pages, compare_implementations(runs[:1], *names)], [2, 2, 2, 1], strict=True):
        notes = page.sections[-1].notes
        assert len(notes) == number
        assert notes[0] == "box-a/0001_base: No A/A pair in this run: how often its verdicts err is unknown."


# The command


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    sides = [
        rows(),
        rows("numpy_manual-again", duplicate_of="numpy_manual"),
        rows("jax_scan", 0.5e-6),
        rows("jax_scan", steps=7, problem="odd"),
        rows(problem="odd"),
    ]
    for machine in ("box-a", "box-b"):
        saved_cases(tmp_path, machine, *sides)
    saved_cases(tmp_path, "box-a", *sides, name="0002_later", campaign=CAMPAIGN | {"interrupted": True})
    return tmp_path / "runs"


COMMANDS = [
    ["compare", "numpy_manual", "jax_scan", "--run", "box-a/1"],
    ["compare", "numpy_manual", "jax_scan", "--run", "box-a/1", "box-b/1", "--force"],
    ["compare", "box-a/1", "box-a/2"],
    ["compare", "box-a/1", "box-b/1", "--baseline", "jax_scan"],
]


@pytest.mark.parametrize("form", FORMATS)
@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_every_page_is_written_in_every_format(
    command: list[str], form: str, saved: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*command, "--format", form, "--runs", str(saved)]) == 0
    out, err = capsys.readouterr()
    assert err == ""
    if form == "json":
        table = json.loads(out, parse_constant=pytest.fail)
        assert {row["verdict"] for row in table} <= {"FASTER", "SLOWER", "EQUIVALENT", "UNDECIDED", "INVALID"}
    elif form == "csv":
        assert len({len(row) for row in csv.reader(io.StringIO(out))}) == 1
    else:
        assert "Noise (numpy_manual twice" in out
        assert ("Forced: not comparable" in out) == ("--force" in command)


@pytest.mark.parametrize(
    ("command", "message"),
    [
        ("numpy_manual jax_scan --run box-a/1 nope", "no run is called 'nope'"),
        ("numpy_manual jax_scan --run box-a/1 box-a/2", "are runs of one machine, box-a"),
        ("numpy_manual jax_scn --run box-a/1 box-b/1", "no implementation 'jax_scn'"),
        ("box-a/1 box-b/1 --baseline numpy", "no implementation of both runs is called 'numpy'; nearest: numpy_manual"),
        ("box-a/1 absent.json", "cannot read absent.json"),
    ],
)
def test_an_error_is_one_line_and_status_2(
    command: str, message: str, saved: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["compare", *command.split(), "--runs", str(saved)]) == 2
    out, err = capsys.readouterr()
    assert (out, err.count("\n")) == ("", 1)
    assert message in err


def test_runs_without_rows_are_refused_in_one_line(tmp_path: Path) -> None:
    a, b = (saved_cases(tmp_path, machine) for machine in ("box-a", "box-b"))
    again = saved_cases(tmp_path, "box-a", name="0002_b")
    for other, message in ((again, "nothing to compare: no case"), (b, "'numpy_manual'; known: none")):
        with pytest.raises(RunError, match=message):
            compare_runs(a, other)
    with pytest.raises(RunError, match="known: none"):
        compare_implementations([a, b], "numpy_manual", "jax_scan")


def test_nothing_is_forced_out_of_a_run_without_rows(tmp_path: Path) -> None:
    empty, full = saved_cases(tmp_path, "box", []), saved_cases(tmp_path, "box", rows())
    for a, b in ((empty, full), (full, empty), (empty, empty)):
        with pytest.raises(RunError, match="nothing to compare"):
            compare_runs(a, b, force=True)


def test_payback_says_it_in_a_sentence(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """jax_scan starts 0.9 s later, and each run of 100 steps is 0.1 s shorter."""
    cases = rows("numpy_manual", 2e-3, first_s=0.2, steady_s=0.2, gradient="by hand", style="eager")
    cases += rows("jax_scan", 1e-3, first_s=1.1, steady_s=0.1, gradient="autograd", style="one launch")
    saved_cases(tmp_path, "box", cases)
    command = ["payback", "numpy_manual", "jax_scan", "--run", "1", "--runs", str(tmp_path / "runs")]
    assert main(command) == 0
    printed = capsys.readouterr().out
    assert "jax_scan instead of numpy_manual pays after 1,000 steps on 1 of 1 problem." in printed
    assert "on the cpu numpy_manual 100 ms, jax_scan 1.10 s." in printed and "differ in 3 ways: framework" in printed
    assert "FASTER in 1 of 1" in printed


def test_payback_counts_the_first_use_of_a_gpu(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """jax_scan's device takes 0.9 s at first; each run of 100 steps is 0.1 s shorter."""
    cases = rows("torch_nn", 2e-3, first_s=0.2, steady_s=0.2, device="gpu")
    cases += rows("jax_scan", 1e-3, first_s=0.2, steady_s=0.1, device="gpu", context_s=0.9)
    saved_cases(tmp_path, "box", cases)
    assert main(["payback", "torch_nn", "jax_scan", "--run", "1", "--runs", str(tmp_path / "runs")]) == 0
    printed = capsys.readouterr().out
    assert "jax_scan instead of torch_nn pays after 1,000 steps on 1 of 1 problem." in printed
    assert "on the gpu torch_nn 100 ms, jax_scan 1.10 s." in printed
    invalid = rows("torch_nn", 2e-3, device="gpu", valid=False, reason="wrong") + rows("torch_nn", 2e-3)
    saved_cases(tmp_path, "box", invalid, rows("jax_scan", device="gpu"), rows("jax_scan"), name="0002_wrong")
    assert main(["payback", "torch_nn", "jax_scan", "--run", "2", "--runs", str(tmp_path / "runs")]) == 0
    printed = capsys.readouterr().out
    assert "on the cpu torch_nn" in printed and "on the gpu" not in printed


def test_payback_says_never_where_a_later_start_is_never_made_up_for(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    cases = rows("numpy_manual", 1e-3, first_s=0.1, steady_s=0.1) + rows("jax_scan", 2e-3, first_s=1.1, steady_s=0.2)
    saved_cases(tmp_path, "box", cases)
    assert main(["payback", "numpy_manual", "jax_scan", "--run", "1", "--runs", str(tmp_path / "runs")]) == 0
    assert "jax_scan instead of numpy_manual never pays: 1 problem." in capsys.readouterr().out


def test_payback_ends_where_the_slower_step_has_caught_up_and_undecided_steps_pay_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """numpy_manual starts 1 s earlier and loses 0.1 s a run of 100 steps: it is ahead for 10 runs."""
    cases = rows("jax_scan", 1e-3, first_s=1.1, steady_s=0.1) + rows("numpy_manual", 2e-3, first_s=0.2, steady_s=0.2)
    equal = {"problem": "line", "steady_s": 0.1}
    cases += rows("jax_scan", 1e-3, first_s=0.3, **equal) + rows("numpy_manual", 1e-3, first_s=0.1, **equal)
    saved_cases(tmp_path, "box", cases)
    assert main(["payback", "jax_scan", "numpy_manual", "--run", "1", "--runs", str(tmp_path / "runs")]) == 0
    printed = capsys.readouterr().out
    assert "pays for the first 1,000 steps on 1, and it is not decided on 1 of 2 problems." in printed


@pytest.mark.parametrize(("shift", "word"), [(1.0, "SLOWER"), (1.1, "UNDECIDED")])
def test_a_difference_between_two_runs_counts_beyond_their_drift(shift: float, word: str, tmp_path: Path) -> None:
    """jax_scan takes 20 % longer in the second run, and unchanged code as long, or 10 % longer."""
    sources = {name: {"file": f"{name}.py", "text": "x"} for name in ("numpy_manual", "torch_nn", "jax_scan")}
    edited = sources | {"jax_scan": {"file": "jax_scan.py", "text": "y"}}
    runs = [
        saved_cases(
            tmp_path, "box", rows("jax_scan", step), rows("numpy_manual", of), rows("torch_nn", of), name=name,
            campaign={"seed": 0, "sources": code},
        )
        for name, step, of, code in (("0001_a", 1e-6, 1e-6, sources), ("0002_b", 1.2e-6, shift * 1e-6, edited))
    ]  # fmt: skip
    data = compare_runs(*runs).data.set_index("impl")
    assert data.loc["jax_scan", "verdict"] == word
    assert bool(data.loc["jax_scan", "withheld"]) == (word == "UNDECIDED")


def test_machines_judges_the_ratio_of_the_ratios(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for machine, step in (("box", 1e-6), ("two", 2e-6)):
        info = MACHINE | {"slug": machine, "node": machine}
        again = rows("numpy_manual-again", 4e-6, duplicate_of="numpy_manual")
        saved_cases(tmp_path, machine, rows("numpy_manual", 4e-6), rows("jax_scan", step), again, machine_info=info)
    command = ["machines", "numpy_manual", "jax_scan", "--runs", str(tmp_path / "runs")]
    assert main(command) == 0
    printed = capsys.readouterr().out
    assert "(A): SLOWER in 1 of 1 comparison, 2.0" in printed
    assert printed.count("Noise (numpy_manual twice") == 2
    few, more = (
        saved_cases(tmp_path, "box", rows("numpy_manual", 4e-6, blocks=n), rows("jax_scan", blocks=n), name=f"{n:04}_n")
        for n in (3, 20)
    )
    saved_cases(tmp_path, "box", rows("numpy_manual", blocks=30), rows("jax_scan", blocks=2), name="0030_one_sided")
    assert main(command) == 0
    printed = capsys.readouterr().out
    assert more.label in printed and few.label not in printed and "one_sided" not in printed
    assert main(["machines", "numpy_manual", "torch_nn", "--runs", str(tmp_path / "runs")]) == 2
    assert "it takes two machines that have both numpy_manual and torch_nn" in capsys.readouterr().err


def mentioned(command: str, root: Path, capsys: pytest.CaptureFixture[str]) -> str:
    """The one line that a refused command writes."""
    assert main([*command.split(), "--runs", str(root)]) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    return error


@pytest.mark.parametrize("command", ["compare", "payback"])
def test_a_run_that_has_both_is_named_where_the_newest_lacks_one(
    command: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root, both = tmp_path / "runs", f"{command} numpy_manual jax_scan"
    sides = [rows(), rows("jax_scan", 0.5e-6)]
    narrow = saved_cases(tmp_path, "box-a", *sides, name="0002_narrow")
    broad = saved_cases(tmp_path, "box-a", *sides, rows("torch_nn"), name="0001_broad")
    names = [run.path.relative_to(root).as_posix() for run in (narrow, broad)]
    (root / "project.txt").write_text("\n".join(names))
    of_project = "box-a/0001_broad, a run of the project, has both: try the same with --run box-a/0001_broad"
    error = mentioned(both, root, capsys)
    assert "you have no run of your own yet" in error and of_project in error and "make bench" in error
    saved_cases(tmp_path, "box-b", rows(), name="0001_mine")
    error = mentioned(both, root, capsys)
    assert "your newest run box-b/0001_mine has no jax_scan (it has: numpy_manual)" in error and of_project in error
    assert "'jax_scn'; nearest: jax_scan" in mentioned(f"{command} numpy_manual jax_scn", root, capsys)
