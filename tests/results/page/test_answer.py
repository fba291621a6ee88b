"""The end of a run: an answer in one screen, no winners on a busy machine, `latest` is the reader's own, noise now."""

import io
import json
import math
import re
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest
from helpers import ROOT, bench, command, environment
from runs import CAMPAIGN, rows, saved_cases, saved_run, text

from benchmarks.machine import load
from results.__main__ import main
from results.commands.noise import noise_now
from results.commands.show import answer_run
from results.output import Page, write
from results.page.answer import answer
from results.page.data import make_payload
from results.stats.noise_now import NoiseNow, measure_noise
from results.stats.quiet_or_busy import BUSY, QUIET, UNKNOWN, Quiet, judge_machine
from results.store.reading import Run, RunError
from results.store.runs import PROJECT_FILE, find

RUNS = ROOT / "results" / "runs"
BLOCK = {"seconds": 20.0, "load_before": 0.2, "steal": 0.0, "throttled": 0}


def campaign(**block: Any) -> dict[str, Any]:
    """The facts of a campaign with one block of system load."""
    return CAMPAIGN | {"system_load": [BLOCK | block]}


def machine(tmp_path: Path, others: float | None, name: str = "0001_base") -> Run:
    """A run in which jax_scan is twice as fast as numpy_manual, and others use that share of the CPU time."""
    again = {"duplicate_of": "numpy_manual"}
    cases = [rows(), rows("numpy_manual-again", 1.001e-6, **again), rows("jax_scan", 5e-7)]
    return saved_cases(tmp_path, "box", *cases, name=name, campaign=campaign(others=others))


def printed(page: Page, columns: int | None = None) -> list[str]:
    stream = io.StringIO()
    write(page, "table", stream, columns)
    return [text.rstrip() for text in stream.getvalue().rstrip().split("\n")]


def test_load_before_a_run_is_no_load_during_it(tmp_path: Path) -> None:
    """`make bench` on a fresh clone begins right after an installation that used all cores."""
    loaded = {"system_load": [BLOCK | {"load_before": 9.0, "others": 0.01}]}
    cases = [rows(), rows("numpy_manual-again", 1.001e-6, duplicate_of="numpy_manual"), rows("jax_scan", 5e-7)]
    quiet = judge_machine(saved_cases(tmp_path, "box", *cases, campaign=CAMPAIGN | loaded))
    assert (quiet.word, quiet.load) == (QUIET, 2.25)


@pytest.mark.parametrize(
    "name",
    [
        *(f"amd-epyc-2c-e60e65/{name}" for name in ("0001_bench", "0003_sweep", "0004_limits", "0005_tall")),
        *("amd-epyc-2c-e60e65/0007_campaign", "amd-epyc-2c-556c98/0003_map", "amd-epyc-2c-556c98/0005_pythons"),
        *(f"intel-xeon-2c-e60e65/{name}" for name in ("0002_campaign", "0003_map", "0004_five-minutes")),
    ],
)
def test_an_answer_fits_a_screen(name: str) -> None:
    lines = printed(answer_run(find(name, RUNS)))
    assert len(lines) <= 25 and max(map(len, lines)) <= 80, "\n".join(lines)
    assert re.match(f"- ({QUIET}|{BUSY}|{UNKNOWN}):", lines[1]), "the state of the machine comes first"
    assert "agree with the reference" in "".join(lines[2:4])


def test_a_quiet_run_names_its_winner_and_a_busy_one_nobody(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    quiet, busy = machine(tmp_path, 0.01), machine(tmp_path, 0.6, "0002_busy")
    assert (judge_machine(quiet).word, judge_machine(busy).word) == (QUIET, BUSY)
    assert "- Fastest: JAX on small" in printed(answer_run(quiet))
    told = "\n".join(printed(answer_run(busy)))
    assert "Fastest: JAX" not in told and "No fastest shown: " in told and "the machine was busy" in told
    runs = str(tmp_path / "runs")
    for form in ("table", "md"):
        assert main(["compare", "numpy_manual", "jax_scan", "--run", "base", "--runs", runs, "--format", form]) == 0
        assert "FASTER in 1 of 1" in capsys.readouterr().out
        assert main(["compare", "numpy_manual", "jax_scan", "--run", "busy", "--runs", runs, "--format", form]) == 0
        out = capsys.readouterr().out
        assert "UNDECIDED in 1 of 1" in out and "FASTER in" not in out and f"{BUSY}: other programs used 60" in out
    verdicts = make_payload([quiet, busy], "numpy_manual").speedups.set_index(["run", "baseline", "impl"])
    assert verdicts.loc[("box/0001_base", "numpy_manual", "jax_scan"), "verdict"] == "FASTER"
    assert tuple(verdicts.loc[("box/0002_busy", "numpy_manual", "jax_scan"), ["verdict", "why"]]) == (
        "UNDECIDED",
        "the machine was busy",
    )
    for run, named in (("base", True), ("busy", False)):
        assert main(["report", run, "--runs", runs, "--format", "md"]) == 0
        assert ("Fastest step on" in capsys.readouterr().out) is named


def test_what_was_decided_before_the_machine_became_busy_stays(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Eight quiet blocks decide; then others take the cores from jax_scan, which is 4 times as slow there."""
    load = [BLOCK | {"block": at, "others": 0.01 if at < 8 else 0.9} for at in range(14)]
    scan, again = rows("jax_scan", 5e-7), rows("numpy_manual-again", 1.001e-6, duplicate_of="numpy_manual")
    for row in scan[8:]:
        row["extra_info"]["per_step_s"] *= 4
    cases = [rows(), again, scan, rows("torch_nn", 1.0005e-6)]
    run = saved_cases(tmp_path, "box", *cases, campaign=CAMPAIGN | {"system_load": load})
    assert (judge_machine(run).word, judge_machine(run).first_blocks) == (BUSY, 8)
    lines = printed(answer_run(run))
    assert "- Fastest: JAX on small" in lines and any(
        "Only what the first 8 blocks decided is named" in x for x in lines
    )
    given = ["--run", "1", "--runs", str(tmp_path / "runs")]
    assert main(["compare", "numpy_manual", "jax_scan", *given]) == 0
    assert "FASTER in 1 of 1" in capsys.readouterr().out
    assert main(["compare", "numpy_manual", "torch_nn", *given]) == 0
    assert "UNDECIDED in 1 of 1" in capsys.readouterr().out
    assert main(["compare", "jax_scan@float64", "torch_nn@float64", *given]) == 0
    assert "SLOWER in 1 of 1" in capsys.readouterr().out, "of sides along an axis as well"
    labels = {f"threads={count}": {"threads": count} for count in (1, 2)}
    sides = [
        [
            row | {"extra_info": row["extra_info"] | {"impl": f"jax_scan@{label}", "environment": label} | facts}
            for row in (rows("jax_scan") if facts["threads"] == 1 else scan)
        ]
        for label, facts in labels.items()
    ]
    facts = {"campaign": CAMPAIGN | {"system_load": load, "environments": labels}}
    saved_cases(tmp_path, "box", rows(), again, *sides, name="0003_threads", **facts)
    assert main(["compare", "jax_scan", "--over", "threads", "--run", "3", *given[2:]]) == 0
    out = capsys.readouterr().out
    assert "first faster in threads=2" in out and "Only what the first 8 blocks decided is named" in out
    busy = [BLOCK | {"block": at, "others": 0.9 if at < 8 else 0.01} for at in range(14)]
    later = saved_cases(tmp_path, "box", *cases, name="0002_later", campaign=CAMPAIGN | {"system_load": busy})
    assert judge_machine(later).first_blocks == 0 and "Fastest" not in "".join(printed(answer_run(later)))


def noisy(tmp_path: Path, difference: float, name: str, **block: Any) -> Run:
    """A run whose A/A control differs, with jax_scan 4 times and torch_nn 1.5 times as fast as numpy_manual."""
    again = rows("numpy_manual-again", (1 + difference) * 1e-6, duplicate_of="numpy_manual")
    cases = [rows(), again, rows("jax_scan", 1e-6 / 4), rows("torch_nn", 1e-6 / 1.5)]
    return saved_cases(tmp_path, "box", *cases, name=name, campaign=campaign(others=0.01, **block))


def test_a_noisy_machine_shows_large_differences_only(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    runs = {
        "quiet": noisy(tmp_path, 0.01, "0001_quiet"),
        "noisy": noisy(tmp_path, 0.2, "0002_noisy"),
        "stolen": noisy(tmp_path, 0.01, "0003_stolen", steal=0.05),
        "wild": noisy(tmp_path, 0.5, "0004_wild"),
    }
    assert {name: judge_machine(run).claims_from for name, run in runs.items()} == {
        "quiet": 1, "noisy": 2, "stolen": 2, "wild": math.inf
    }  # fmt: skip
    shown = {"quiet": ("FASTER", "FASTER"), "wild": ("UNDECIDED", "UNDECIDED")}
    for name, run in runs.items():
        speedups = make_payload([run], "numpy_manual").speedups.set_index(["baseline", "impl"])["verdict"]
        found = tuple(speedups["numpy_manual", impl] for impl in ("jax_scan", "torch_nn"))
        assert found == shown.get(name, ("FASTER", "UNDECIDED"))
        assert speedups["jax_scan", "numpy_manual"] == ("UNDECIDED" if name == "wild" else "SLOWER")
        assert ("- Fastest: JAX on small" in printed(answer_run(run))) is (name != "wild")
        options = ["--run", run.path.stem, "--runs", str(tmp_path / "runs")]
        assert main(["crossover", "numpy_manual", "jax_scan", *options]) == 0
        assert ("jax_scan is FASTER there" in capsys.readouterr().out) is (name != "wild")
        assert main(["crossover", "numpy_manual", "torch_nn", *options]) == 0
        assert ("torch_nn is FASTER there" in capsys.readouterr().out) is (name == "quiet")


def test_each_command_says_that_the_machine_was_busy(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = noisy(tmp_path, 0.2, "0001_noisy")
    given = ["--run", run.path.stem, "--runs", str(tmp_path / "runs")]
    size = f"{run.rows['n'][0]:.0f}x{run.rows['d'][0]:.0f}"
    says = {
        ("compare", "numpy_manual", "torch_nn"): "UNDECIDED (busy)",
        ("compare", "numpy_manual", "jax_scan"): "FASTER",
        ("payback", "numpy_manual", "torch_nn"): "By the medians of a busy machine",
        ("ask", size, "--dtype", run.rows["dtype"][0]): judge_machine(run).line,
    }
    for words, expected in says.items():
        assert main([*words, *given, "--wide"]) == 0
        assert expected in capsys.readouterr().out


def test_the_cause_of_noise_is_named_before_the_noise() -> None:
    assert Quiet(difference=0.5, others=0.6).line.startswith(f"{BUSY}: other programs used 60 %")
    assert Quiet(difference=0.5, steal=0.05).line.startswith(f"{BUSY}: the same code twice differs by 50 %")


@pytest.mark.parametrize(("difference", "shown"), [(0.01, "1% 30 5.00"), (0.2, "100% 30 5.00"), (0.5, "")])
def test_noise_now_promises_what_a_run_would_show(
    monkeypatch: pytest.MonkeyPatch, difference: float, shown: str
) -> None:
    blocks: dict[float, int | None] = {effect: 30 for effect in (0.01, 0.5, 1.0)}
    found = NoiseNow(Quiet(difference=difference, others=0.01), 3, 10.0, difference, difference, 10.0, blocks)
    monkeypatch.setattr("results.commands.noise.measure_noise", lambda seconds: found)
    (section,) = noise_now(1.0).sections
    promised = [" ".join(row.values()) for row in section.table if row["blocks"] != "not while busy"]
    assert promised[:1] == [shown] * bool(shown)


@pytest.mark.parametrize(
    ("block", "told"),
    [
        ({"load_before": 9.0}, "load 2.25 per core"),
        ({"steal": 0.1}, "10 % of the CPU stolen"),
        ({"throttled": 50}, "stopped by a quota 25 % of the time"),
    ],
)
def test_each_disturbance_makes_a_run_busy(block: dict[str, Any], told: str, tmp_path: Path) -> None:
    run = saved_cases(tmp_path, "box", rows(), campaign=campaign(**block))
    assert judge_machine(run).line.startswith(f"{BUSY}: {told}")


def test_an_unequal_control_makes_a_run_busy_and_a_missing_one_is_named(tmp_path: Path) -> None:
    again = rows("numpy_manual-again", 1.5e-6, duplicate_of="numpy_manual")
    assert judge_machine(saved_cases(tmp_path, "box", rows(), again, campaign=campaign())).word == BUSY
    unknown = judge_machine(saved_cases(tmp_path, "box", rows()))
    assert unknown.word == UNKNOWN and "A/A control (--aa)" in unknown.line and "system load" in unknown.line


def test_regressions_are_not_claimed_on_a_busy_machine(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for number, (others, code) in enumerate([(0.01, 1), (0.6, 2)], 1):
        cases, name = (rows(), rows("numpy_mine", 2e-6)), f"{number:04}_run"
        run = str(saved_cases(tmp_path, "box", *cases, name=name, campaign=campaign(others=others)).path)
        assert main(["gate", run, run, "--impl", "numpy_manual", "numpy_mine", "--slower", "5%"]) == code
    capsys.readouterr()
    run = str(noisy(tmp_path, 0.2, "0003_run").path)
    for old, new, code in [
        ("jax_scan", "numpy_manual", 1),  # 4 times as slow
        ("torch_nn", "numpy_manual", 2),  # 1.5 times
        ("numpy_manual", "torch_nn", 2),
        ("numpy_manual", "jax_scan", 0),
    ]:
        assert main(["gate", run, run, "--impl", old, new, "--slower", "5%"]) == code
        assert capsys.readouterr().out.count(f"{BUSY}: the same code twice differs") == 1


@pytest.mark.parametrize(
    ("cases", "facts", "told"),
    [
        ([rows("jax_jit"), rows("jax_scan", 5e-7)], {}, "comparison with jax_jit is decided"),
        ([rows(blocks=1)], {}, "one step"),
        ([rows(blocks=1), rows("jax_scan", 5e-7, blocks=1)], {}, "0 of 1 comparison with numpy_manual is decided"),
        ([rows(), rows("jax_scan")], {"interrupted": True}, "interrupted"),
        (
            [rows(valid=False, reason="wrong")],
            {"refused": []},
            "1 of 1 implementation agrees with the reference.\n- Without a valid time: numpy_manual (wrong)",
        ),
        ([], {"refused": [{"impl": "jax_scan", "reason": "too large"}]}, "Skipped or refused: jax_scan (too large)"),
        ([], {"refused": []}, "No implementation was tried"),
    ],
)
def test_odd_runs_have_an_answer(
    cases: list[list[dict[str, Any]]], facts: dict[str, Any], told: str, tmp_path: Path
) -> None:
    page = answer_run(saved_cases(tmp_path, "box", *cases, campaign=CAMPAIGN | facts))
    assert told in "\n".join(printed(page))
    assert max(map(len, printed(page, 40))) <= 40


def test_few_blocks_are_undecided_and_say_so(tmp_path: Path) -> None:
    told = "\n".join(
        printed(answer_run(saved_cases(tmp_path, "box", rows(blocks=1), rows("jax_scan", 5e-7, blocks=1))))
    )
    assert "2.00x ?" in re.sub(r"(1\.9|2\.0)\dx", "2.00x", told) and "more blocks may decide" in told


def test_latest_is_the_readers_own_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    committed = machine(tmp_path, 0.0)
    root = tmp_path / "runs"
    (root / PROJECT_FILE).write_text(committed.path.relative_to(root).as_posix())
    with pytest.raises(RunError, match="no run of yours"):
        find("latest", root)
    machine(tmp_path, 0.0, "0002_mine")
    assert find("latest", root).label == "box/0002_mine" and find("base", root).label == "box/0001_base"
    assert main(["list", "--runs", str(root), "--format", "json"]) == 0
    assert [row["note"] for row in json.loads(capsys.readouterr().out)] == ["of the project", ""]


def test_the_projects_runs_are_the_committed_ones() -> None:
    names = subprocess.run(["git", "ls-files", "*.json"], cwd=RUNS, capture_output=True, text=True, check=True).stdout
    assert sorted(names.split()) == sorted((RUNS / PROJECT_FILE).read_text().split())


@pytest.mark.parametrize("options", [["--benchmark-save=mine"], []])
def test_a_run_ends_with_its_answer(options: list[str], tmp_path: Path) -> None:
    words = command(tmp_path, *options, "--aa=numpy_manual")
    at = words.index("--benchmark-json")
    done = subprocess.run(
        [*words[:at], *words[at + 2 :]], cwd=ROOT, env=environment(), capture_output=True, text=True, timeout=600
    )
    assert done.returncode == 0, done.stdout
    answer = done.stdout.partition(" answer ")[2]
    assert "1 of 1 implementation agrees with the reference" in answer
    assert ("python -m results show" in answer) == bool(options) and "Rounds" not in done.stdout


def test_a_table_of_rounds_on_request(tmp_path: Path) -> None:
    assert "Rounds" in bench(tmp_path, "--rounds-table").out


def test_others_are_all_but_the_run_and_its_workers() -> None:
    spin = ["python3", "-c", "import time; end = time.time() + 1.5\nwhile time.time() < end: pass"]
    before = load.now()
    subprocess.run(spin, check=True)
    own = load.between(0, before, load.now()).others
    before = load.now()
    with subprocess.Popen(["setsid", "-f", *spin]) as process:
        process.wait()
        time.sleep(1.5)
    others = load.between(0, before, load.now()).others
    assert own is not None and 0 <= own <= 1 and others is not None and others > 0.02


def test_noise_now_needs_no_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    options = ["--runs", str(tmp_path), "--format", "json"]
    assert main(["noise", "--now", "--seconds", "1", *options]) == 0
    (row,) = json.loads(capsys.readouterr().out)
    assert row["pairs"] >= 3 and row["word"] in (QUIET, BUSY) and 0 <= row["others"] <= 1
    assert math.isfinite(row["difference"]) and row["calibration"] >= 1


def test_noise_now_sees_a_machine_that_changes_its_pace_within_seconds(monkeypatch: pytest.MonkeyPatch) -> None:
    """Another guest uses the other hardware thread of the core for a while: neighbours in time differ by nothing."""
    paces = iter([1e-6] * 4 + [1.5e-6] * 2)
    monkeypatch.setattr("results.stats.noise_now._time_process", lambda: (next(paces), 1e-3))
    found = measure_noise(0.0)
    assert (found.near, round(found.apart, 9), found.quiet.word) == (0, 0.5, BUSY)


def test_expert_tuned_implementations_do_not_decide_who_else_is_fastest(tmp_path: Path) -> None:
    """Both jax_scan and numpy_manual are slower than numba_fused, and equally fast."""
    problems = ("small", "line", "crops")
    cases = [
        rows(impl, step, problem=name)
        for name in problems
        for impl, step in (("numpy_manual", 1e-6), ("jax_scan", 1e-6), ("numba_fused", 1e-7))
    ]
    data = answer_run(saved_cases(tmp_path, "box", *cases, campaign=campaign())).data
    assert set(data["fastest"]) <= {"numpy_manual", "jax_scan"} and not data["shown"].any()
    assert (data["may_be_as_fast"] != "").all()


def test_an_implementation_without_a_valid_time_may_be_the_fastest(tmp_path: Path) -> None:
    """jax_scan is shown faster than numpy_manual; torch_nn, faster still, has a block that could not be timed."""
    cases = [*rows(), *rows("jax_scan", 5e-7), *rows("torch_nn", 1e-7), *rows("torch_manual", 1e-8)]
    for row in cases:
        facts = row["extra_info"]
        if facts["impl"].startswith("torch") and facts["block"] == 3:
            reason = "wrong weights after 2 updates" if facts["impl"] == "torch_manual" else "too busy to tell"
            facts |= {"valid": False, "reason": reason}
    (row,) = answer_run(saved_cases(tmp_path, "box", cases, campaign=campaign())).data.to_dict("records")
    assert (row["fastest"], row["shown"], row["may_be_as_fast"]) == ("jax_scan", False, "torch_nn")


def test_without_a_complete_block_the_shortest_step_is_named(tmp_path: Path) -> None:
    facts = campaign() | {"partial_blocks": [0]}
    (row,) = answer_run(
        saved_cases(tmp_path, "box", rows(blocks=1), rows("jax_scan", 1e-8, blocks=1), campaign=facts)
    ).data.to_dict("records")
    assert (row["fastest"], row["shown"]) == ("jax_scan", False)


def test_where_only_expert_tuned_code_has_a_time_no_framework_is_fastest(tmp_path: Path) -> None:
    cases = saved_cases(tmp_path, "box", rows("numba_fused", 1e-7), rows("jax_blocked", 1e-6), campaign=campaign())
    assert not answer_run(cases).data["shown"].any()


def test_an_answer_about_selected_cases_says_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    refused = {"device": "cpu", "dtype": "float64", "problem": "small", "block": 0, "reason": "timed out"}
    facts = campaign() | {"refused": [refused | {"impl": "torch_nn"}]}
    saved_cases(tmp_path, "box", rows(), rows("jax_scan", 5e-7), campaign=facts)
    words = ["answer", "1", "--runs", str(tmp_path / "runs")]
    assert main(words) == 0
    assert "2 of 3 implementations agree" in (out := capsys.readouterr().out) and "Only the selected" not in out
    assert main([*words, "--impl", "numpy_manual,jax_scan"]) == 0
    assert "2 of 2 implementations agree" in (out := capsys.readouterr().out) and "Only the selected cases" in out


def test_a_busy_machine_shows_no_two_to_be_equal(tmp_path: Path) -> None:
    for difference, word in ((0.01, "EQUIVALENT"), (0.2, "UNDECIDED")):
        again = rows("numpy_manual-again", (1 + difference) * 1e-6, duplicate_of="numpy_manual")
        run = saved_cases(tmp_path, "box", rows(), again, rows("jax_scan", 1e-6), campaign=campaign(others=0.01))
        verdicts = make_payload([run], "numpy_manual").speedups.set_index(["baseline", "impl"])["verdict"]
        assert verdicts["numpy_manual", "jax_scan"] == word


def test_the_commands_of_the_answer_name_this_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("results.store.runs.ROOT", tmp_path)
    many = [row for number in range(9) for impl in ("a", "b") for row in rows(impl, problem=f"p{number}", n=number + 2)]
    run, other = (saved_run(tmp_path, many, "0001 mine", machine) for machine in ("box-a", "box-b"))
    assert "python -m results show 'box-a/0001 mine'" in text(answer(run, "a"))
    assert "1 more problem: python -m results answer 'box-a/0001 mine' --format csv" in text(answer(run, "a"))
    other.path.unlink()
    assert "python -m results show '0001 mine'" in text(answer(run, "a"))


def test_what_is_shown_slower_than_any_other_cannot_be_the_fastest(tmp_path: Path) -> None:
    """torch_nn and numpy_manual are equally fast. jax_scan varies: shown slower than one, maybe not than the other."""
    jax = rows("jax_scan", 1.02e-6)
    torch = rows("torch_nn", 0.999e-6)
    for row, factor in zip(torch, [1.0, 1.1, 0.93, 1.05, 0.97] * 3, strict=False):
        row["extra_info"]["per_step_s"] *= factor
    data = answer_run(saved_cases(tmp_path, "box", rows(), jax, torch, campaign=campaign())).data
    (row,) = data.to_dict("records")
    assert "jax_scan" not in (row["fastest"], *row["may_be_as_fast"].split(", ")) and not row["shown"]


def test_a_block_that_ctrl_c_cut_changes_no_verdict(tmp_path: Path) -> None:
    cases = [rows(blocks=4), rows("jax_scan", 5e-7, blocks=4), rows("torch_nn", 9e-7, blocks=4)]
    whole = saved_cases(tmp_path, "box", *(case[:3] for case in cases), campaign=campaign())
    facts = campaign() | {"interrupted": True, "partial_blocks": [3]}
    cut = saved_cases(tmp_path, "box", cases[0], *(case[:3] for case in cases[1:]), name="0002_cut", campaign=facts)
    pages = [answer_run(run) for run in (whole, cut)]
    assert pages[0].data.equals(pages[1].data)
    decided = [[line for line in printed(page) if "are decided, from 3 blocks" in line] for page in pages]
    assert decided[0] == decided[1] != []


@pytest.mark.parametrize("others", [0.01, 0.6])
def test_a_start_up_pays_only_where_the_step_is_shown_to_be_faster(others: float, tmp_path: Path) -> None:
    """jax_scan starts a second later and saves 50 us a run of 100 steps: 20,000 runs. A busy machine shows nothing."""
    clocks = {"prepare_s": 0.0, "first_s": 1e-4, "steady_s": 1e-4, "import_s": 0.1}
    scan = clocks | {"first_s": 5e-5, "steady_s": 5e-5, "import_s": 1.1}
    again = rows("numpy_manual-again", 1.001e-6, duplicate_of="numpy_manual", **clocks)
    cases = [rows(**clocks), again, rows("jax_scan", 5e-7, **scan)]
    told = "\n".join(printed(answer_run(saved_cases(tmp_path, "box", *cases, campaign=campaign(others=others)))))
    assert ("JAX 1.1 (pays from 2,000,000 steps on)" in told) == (others < 0.5)
    assert "Start-up seconds: NumPy 0.1, JAX 1.1" in told
