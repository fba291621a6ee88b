"""The commands on the runs in the repository: what a reader gets who has just cloned it."""

import contextlib
import io
import json
import re
import shutil
from pathlib import Path

import pytest
from helpers import ROOT

from results.__main__ import main
from results.store.runs import find

RUNS = ROOT / "results" / "runs"
HERE = "amd-epyc-2c-e60e65"  # a reader's own runs may stand beside these, under the same names
BENCH, CAMPAIGN, SWEEP = f"{HERE}/0001_bench", f"{HERE}/0007_campaign", f"{HERE}/0003_sweep"
LIMITS = ["intel-xeon-2c-e60e65/0009_limits", "amd-epyc-2c-556c98/0006_limits-of-chunks"]


def run_command(*words: str) -> tuple[int, str, str]:
    """Exit status, stdout and stderr of a command."""
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        code = main([*words, "--runs", str(RUNS)])
    return code, out.getvalue(), err.getvalue()


@pytest.fixture(scope="module")
def campaign() -> str:
    """The name of the committed campaign."""
    return find(CAMPAIGN, RUNS).label


def test_the_campaign_is_whole_sealed_and_large_enough_for_verdicts(campaign: str) -> None:
    run = find(campaign, RUNS)
    assert run.rows["valid"].all(), run.rows.loc[~run.rows["valid"], ["impl", "problem", "reason"]]
    assert run.rows["block"].nunique() >= 12 and not run.campaign["interrupted"]
    newest = find("intel-xeon-2c-e60e65/campaign", RUNS)  # the one that the page of results is about
    share = newest.campaign["runs_s"] / newest.campaign["wall_s"]
    assert newest.rows["block"].nunique() >= 12 and not newest.campaign["interrupted"]
    assert f"prepare, first and timed runs:** {100 * share:.0f} %" in (ROOT / "docs" / "results.md").read_text()
    assert "edited" not in "".join(run.rows["reason"])


@pytest.mark.parametrize("name", LIMITS)
def test_what_was_aimed_at_and_missed_is_told(name: str) -> None:
    """numba_fused: 90 % of memory, 60 % in a core's cache, 3 times the best framework; numpy_blocked: twice NumPy."""
    rows = find(name, RUNS).rows
    fused = rows[rows["impl"] == "numba_fused"].groupby(["limited_by", "problem", "dtype"])
    shares = fused["fraction_of_limit"].median()
    there = rows[(rows["problem"] == "1000000x100") & (rows["dtype"] == "float32")]
    step = there.groupby("impl")["per_step_s"].median()
    best = step.drop(["numba_fused", "numpy_blocked"], errors="ignore").min()
    times = {best / step["numba_fused"]: 3}
    if "numpy_blocked" in step:
        times |= {step["numpy_manual"] / step["numpy_blocked"]: 2}
    goals = {"memory": 0.9, "cache": 0.6}
    missed = {f"{100 * share:.0f} %" for (limit, *_), share in shares.items() if share < goals[limit]}
    missed |= {f"{reached:.1f} times" for reached, aim in times.items() if reached < aim}
    text = (ROOT / "docs" / "results.md").read_text().partition("### Missed targets")[2].partition("\n## ")[0]
    assert missed <= set(re.findall(r"\d+ %|[\d.]+ times", text))


def test_the_goals_of_the_kernel_are_those_of_its_run() -> None:
    rows = find(LIMITS[-1], RUNS).rows
    fused = rows[rows["impl"] == "numba_fused"]
    shares = fused.groupby(["problem", "dtype"])["fraction_of_limit"].median()
    agreement = rows.groupby("dtype")["read_again_ratio"].median()
    step = (
        rows[(rows["problem"] == "1000000x100") & (rows["dtype"] == "float32")].groupby("impl")["per_step_s"].median()
    )
    told = (ROOT / "docs" / "roofline.md").read_text().partition("## Goals")[2].partition("\\*")[0]
    assert LIMITS[-1] in told
    for part in shares.groupby("problem"):
        assert " and ".join(f"{100 * share:.0f}" for share in part[1]) + " %" in told
    assert f"no median above 103 % | {100 * shares.max():.0f} %" in told
    assert f"{step.drop('numba_fused').min() / step['numba_fused']:.1f} times" in told
    assert " and ".join(f"{100 * ratio:.0f}" for ratio in agreement) + " %" in told


def test_every_committed_run_matches_its_seal() -> None:
    code, out, _ = run_command("verify", "--format", "json")
    seals = {row["run"]: row["seal"] for row in json.loads(out)}
    assert code == 0 and seals.pop(BENCH) == "no seal"
    assert len(seals) >= 5 and set(seals.values()) == {"matches"}


def test_a_file_of_before_is_read_without_what_is_drawn() -> None:
    run = find(BENCH, RUNS)
    assert len(run.rows) and run.rows["per_step_s"].gt(0).all()
    assert run.rows[["iterates", "distances", "losses", "published", "limit_s"]].isna().all(axis=None)
    assert run.campaign and "sources" not in run.campaign


def test_the_campaign_carries_what_is_drawn(campaign: str) -> None:
    run = find(campaign, RUNS)
    assert run.rows[["iterates", "distances", "losses"]].notna().all(axis=None)
    assert set(run.rows.loc[run.rows["published"].notna(), "problem"]) == {"line", "crops", "scalar"}
    assert set(run.campaign["sources"]) >= set(run.rows.loc[run.rows["duplicate_of"].isna(), "impl"])


def test_two_implementations_get_verdicts_with_the_noise_beside_them(campaign: str) -> None:
    code, out, _ = run_command("compare", "numpy_manual", "torch_nn", "--run", campaign)
    assert code == 0
    assert len(re.findall(r"\bSLOWER\b", out)) >= 6 and "Holm corrects 8 comparisons" in out
    assert re.search(r"Noise \(numpy_manual twice, \d+ blocks\): called different in \d of \d cases", out)
    assert "Break-even of torch_nn against numpy_manual" in out


def test_jit_is_earned_back_over_no_jit(campaign: str) -> None:
    code, out, _ = run_command("compare", "jax_grad", "jax_jit", "--run", campaign, "--format", "md")
    assert code == 0 and out.count("| FASTER |") == 8
    assert "from the first run" in out or "runs, " in out


def test_the_noise_of_the_campaign_is_told(campaign: str) -> None:
    code, out, _ = run_command("noise", campaign)
    assert code == 0 and "The same code twice (numpy_manual and numpy_manual-again)" in out
    assert "Advice" in out and "Inside the workers: " in out


def test_the_crossover_of_the_sweep_is_told() -> None:
    code, out, _ = run_command("crossover", "numpy_manual", "jax_scan", "--run", SWEEP)
    assert code == 0 and "d = 10" in out and "d = 100" in out
    assert re.search(r"overtakes|in the whole measured range|never in the measured range|undecided", out)


def test_a_run_is_not_slower_than_its_copy(campaign: str, tmp_path: Path) -> None:
    copy = shutil.copy(find(campaign, RUNS).path, tmp_path / "0001_copy.json")
    code, out, _ = run_command("gate", campaign, str(copy), "--slower", "5%")
    assert code == 0 and "\nNOT SLOWER" in out


@pytest.mark.parametrize("command", [["compare"], ["gate", "--slower", "5%"]])
def test_a_run_of_before_is_not_comparable_and_why_is_said(command: list[str], campaign: str) -> None:
    """One block, another schema, other steps."""
    code, out, err = run_command(command[0], BENCH, campaign, *command[1:])
    assert code == 2
    assert re.search(r"steps|precision|not recorded|threads", out + err)
    assert "Traceback" not in err


def test_one_block_decides_nothing() -> None:
    code, out, _ = run_command("compare", "numpy_manual", "jax_scan", "--run", BENCH)
    assert code == 0 and "need at least" in out and "No A/A pair in this run" in out
    assert not re.search(r"\b(FASTER|SLOWER|EQUIVALENT) ", out.partition("FASTER and SLOWER describe B")[0])


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["compare", "nothing", CAMPAIGN], "no run is called 'nothing'"),
        (["compare", "--run", CAMPAIGN], "name two implementations of amd-epyc-2c-e60e65/0007_campaign (jax_blocked, "),
        (["compare", "numpy_manual", "--run", CAMPAIGN], "or two runs (python -m results list)"),
        (["compare", "numpy_manual", "numpy_manul", "--run", CAMPAIGN], "nearest: numpy_manual"),
        (["compare", "numpy_manual", "jax_scan", "--run", CAMPAIGN, BENCH], "are runs of one machine"),
        (["noise", "nothing"], "no run is called 'nothing'"),
        (["crossover", "numpy_manual", "nothing", "--run", SWEEP], "implementation 'nothing'"),
        (["gate", CAMPAIGN, "nothing", "--slower", "5%"], "no run is called 'nothing'"),
        (["gate", CAMPAIGN, CAMPAIGN, "--slower", "5"], "no threshold"),
        (["acceptance", BENCH], "no acceptance campaign: no implementation ran twice"),
    ],
)
def test_what_cannot_be_answered_is_one_line(words: list[str], message: str) -> None:
    code, out, err = run_command(*words)
    assert (code, out) == (2, "")
    assert message in err and err.count("\n") == 1


@pytest.mark.parametrize(
    "words",
    [
        ["answer", CAMPAIGN],
        ["ask", "50000x30", "--run", "intel-xeon-2c-e60e65/0003_map"],
        ["compare", "numpy_manual", "jax_scan", "--run", CAMPAIGN],
        ["compare", "numpy_manual", "--over", "dtype", "--run", LIMITS[0]],
        ["compare", "jax_scan", "--over", "threads", "--run", "intel-xeon-2c-e60e65/0007_threads"],
        ["compare", LIMITS[1], "amd-epyc-2c-556c98/0004_limits-of-streams"],
        ["crossover", "numpy_manual", "jax_jit", "--run", SWEEP],
        ["gate", CAMPAIGN, CAMPAIGN, "--slower", "5%", "--impl", "torch_manual", "torch_nn"],
        ["history", SWEEP, BENCH],
        ["limits", LIMITS[0]],
        ["machines", "torch_manual", "torch_nn"],
        ["noise", CAMPAIGN],
        ["payback", "jax_grad", "jax_jit", "--run", CAMPAIGN],
        ["scaling", str(ROOT / "results" / "scaling.json")],
    ],
    ids=" ".join,
)
def test_the_state_of_the_machine_comes_before_any_verdict_or_table(words: list[str]) -> None:
    _, out, err = run_command(*words)
    state = re.search(r"\b(QUIET|BUSY|unknown): ", out)
    answer = re.search(r"FASTER|SLOWER|EQUIVALENT|UNDECIDED|faster|overtakes|Too few|─", out)
    assert state and answer and state.start() < answer.start(), out[:600] + err


@pytest.mark.parametrize("command", ["compare", "crossover"])
def test_a_time_from_two_blocks_has_the_spread_of_earlier_runs(
    command: str, capsys: pytest.CaptureFixture[str]
) -> None:
    run = {"compare": "intel-xeon-2c-e60e65/0004_five-minutes", "crossover": "intel-xeon-2c-e60e65/0003_map"}[command]
    assert main([command, "numpy_manual", "jax_scan", "--run", run, "--runs", str(RUNS)]) == 0
    rows = [line.split() for line in capsys.readouterr().out.splitlines()]
    steps = {
        line[1 if command == "crossover" else 2]: "±" in " ".join(line)
        for line in rows
        if "FASTER" in line or "UNDECIDED" in line
    }
    shown = {"compare": ("line", "medium"), "crossover": ("100x2", "1000x2")}[command]
    assert (steps[shown[0]], steps[shown[1]]) == (True, False)
