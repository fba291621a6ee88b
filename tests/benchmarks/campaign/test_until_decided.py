"""--until-decided: a block leaves out what is decided, and what the time left does not hold. Early iterates, once."""

import json
import re
import subprocess
from pathlib import Path

import pytest
from faulty import wait_until, written
from helpers import HONEST, QUICKER, ROOT, bench, command, environment, write
from runs import KNOWN, blocks, rows, saved_cases, text

from benchmarks.campaign.plan import Case
from benchmarks.campaign.until_decided import Costs, Question, choose
from results.commands.show import answer_run
from results.page.standing import look
from results.store.runs import find

PROBLEMS = ("line", "small")
THREE = "line,small,crops"
SLOW = HONEST.replace("w = start.copy()", "w = start.copy()\n        import time; time.sleep(0.002 * steps)")
COUNTED = """import pathlib
import numpy as np
count = pathlib.Path(__file__).with_suffix(".count")  # of the processes before this one
seed = int(count.read_text()) if count.exists() else 0
count.write_text(str(seed + 1))

def prepare"""
ROUNDED = HONEST.replace(
    "        return w", "        return w * np.float32(1 + 3e-7 * seed) if steps == problem.steps else w"
).replace("def prepare", COUNTED)


def block(*names: str, again: str = "") -> list[Case]:
    return [
        Case(impl, "cpu", problem, "float32", 3, repeated)
        for impl, repeated in [*((name, False) for name in names), *([(again, True)] if again else [])]
        for problem in PROBLEMS
    ]


def question(impl: str, problem: str, gain: float = 1.0, other: str = "base") -> Question:
    return Question((f"{other}-cpu-{problem}-float32", f"{impl}-cpu-{problem}-float32"), gain)


def names(cases: list[Case]) -> list[str]:
    return [f"{case.name} {case.problem}" for case in cases]


def test_only_cases_with_an_open_question_run_again() -> None:
    cases, nothing = block("base", "fast", "slow", again="base"), Costs({}, {})
    assert choose(cases, [], nothing, 100) == []
    chosen = choose(cases, [question("fast", "small"), question("slow", "small")], nothing, 100)
    assert names(chosen) == ["base small", "fast small", "slow small", "base-again small"]
    chosen = choose(cases, [question("slow", "line", other="fast")], nothing, 100)
    assert names(chosen) == ["fast line", "slow line"], "two rivals need no baseline"


def test_time_goes_to_the_most_questions_per_second() -> None:
    cases = block("base", "cheap", "dear")
    asked = [question(name, problem) for name in ("cheap", "dear") for problem in PROBLEMS]
    costs = Costs({"base-cpu": 1.0, "cheap-cpu": 1.0, "dear-cpu": 20.0}, {})
    assert names(choose(cases, asked, costs, 30)) == names(cases)
    assert names(choose(cases, asked, costs, 10)) == names(block("base", "cheap"))
    assert choose(cases, asked, costs, 1.5) == [], "a process alone decides nothing"


def test_a_process_is_charged_for_all_blocks_that_it_may_need() -> None:
    cases = block("base", "near", "far")
    asked = [question("near", "small", 1.0), question("far", "small", 0.1)]
    costs = Costs({}, {f"{name}-cpu-small-float32": 5.0 for name in ("base", "near", "far")})
    assert names(choose(cases, asked, costs, 12)) == ["base small", "near small"]
    assert names(choose(cases, asked, costs, 16)) == ["base small", "near small", "far small"], (
        "the remaining time is used"
    )


def test_a_duplicate_that_does_not_fit_is_left_out() -> None:
    costs = Costs({"base-cpu": 4.0, "near-cpu": 4.0, "base-again-cpu": 4.0}, {})
    cases = block("base", "near", again="base")
    assert names(choose(cases, [question("near", "line")], costs, 10)) == ["base line", "near line"]


def test_a_look_asks_for_what_is_undecided_and_for_the_fastest(tmp_path: Path) -> None:
    cases = []
    for problem in ("p0", "p1", "p2", "p3"):
        facts = KNOWN | {"problem": problem, "problem_hash": problem, "dtype": "float32"}
        cases += [rows(impl, step, 4, **facts) for impl, step in {"numpy_manual": 1e-6, "torch_manual": 5e-6}.items()]
        cases += [blocks("jax_scan", [1.1e-6, 0.9e-6, 1.1e-6, 0.9e-6], **facts)]
    found = look(saved_cases(tmp_path, "box", *cases), "numpy_manual")
    assert found.comparisons == 8 and found.decided == 4 and found.fastest == []
    asked = {frozenset(place.partition("-cpu")[0] for place in cases) for cases, _ in found.questions}
    assert asked == {frozenset({"numpy_manual", "jax_scan"})}
    assert all(0 < gain <= 1 for _, gain in found.questions)


def left_out(campaign: dict[str, object], number: int) -> set[str]:
    schedule = campaign["schedule"]
    assert isinstance(schedule, list)
    return {name for entry in schedule if entry["block"] == number for name in entry["left_out"]}


@pytest.mark.measures
def test_a_campaign_leaves_out_what_is_decided(tmp_path: Path) -> None:
    slow = write(tmp_path, "slow", SLOW)
    options = ["--impl", f"numpy_manual,{slow}", "--problem", THREE, "--preset", "quick", "-p", "tests.support.calm"]
    for _ in range(3):  # a burst of other work makes one more block necessary
        done = bench(tmp_path, *options, "--until-decided", "--blocks", "5")
        assert done.code == 0, done.out
        campaign = done.json["campaign"]
        if campaign["blocks"] == 3:
            break
    measured = {row["block"] for row in done.rows}
    assert measured == {0, 1, 2}, done.out
    assert [entry["decided"] for entry in campaign["schedule"]] == [0, 0, 3]
    assert len(left_out(campaign, 3)) == 6 and campaign["blocks"] == 3 and campaign["planned"] == 18
    assert re.search(r"after 3 blocks: \w+; 3 of 3 comparisons decided; the end", done.out)


@pytest.mark.parametrize("impl", ["numpy_manual", "wrong"])
def test_where_nothing_can_be_decided_one_block_is_the_end(tmp_path: Path, impl: str) -> None:
    wrong = write(tmp_path, "wrong", HONEST.replace("return w", "return w + 1"))
    done = bench(tmp_path, "--impl", wrong if impl == "wrong" else impl, "--until-decided")
    assert "block 1" in done.out and "block 2" not in done.out and {row["block"] for row in done.rows} <= {0}
    assert done.code == (impl == "wrong") and "Traceback" not in done.out + done.err


def test_with_less_time_than_a_block_takes_there_is_one_block_and_no_claim(tmp_path: Path) -> None:
    slow = write(tmp_path, "slow", f"import time\ntime.sleep(4)\n{SLOW}")
    limited = ["--until-decided", "--minutes", "0.1", "-p", "tests.support.calm"]
    done = bench(tmp_path, "--impl", f"numpy_manual,{slow}", *limited)
    assert done.code == 0 and {row["block"] for row in done.rows} == {0}, done.out
    told = text(answer_run(find(str(tmp_path / "out.json"), tmp_path)))
    assert "0 of 1 comparison with numpy_manual is decided, from 1 block" in told
    assert "To decide: the same command with --minutes" in told and "Fastest:" not in told


def test_a_campaign_of_given_blocks_says_what_is_decided_after_three(tmp_path: Path) -> None:
    done = bench(tmp_path, "--impl", f"numpy_manual,{write(tmp_path, 'slow', SLOW)}", "--blocks", "4")
    assert done.code == 0 and len(done.rows) == 8, done.out
    told = re.findall(r"after (\d) blocks: \w+; (\d) of 1 comparisons decided; next: 2 cases", done.out)
    assert [block for block, _ in told] == ["3"]


HANGS = """import pathlib, time
here = pathlib.Path(__file__).parent
with (here / "log").open("a") as log:
    log.write("x")
if (here / "log").stat().st_size == 3:
    (here / "hangs").write_text("x")
    time.sleep(300)
"""


def test_a_resumed_campaign_keeps_its_schedule(tmp_path: Path) -> None:
    """It is killed in its third block, and goes on with it."""
    options = ["--impl", f"numpy_manual,{write(tmp_path, 'hangs', HANGS + HONEST)}", "--until-decided", "--blocks", "3"]
    with (tmp_path / "said").open("w") as said:
        process = subprocess.Popen(
            [*command(tmp_path, *options), *QUICKER[:2]], cwd=ROOT, stdout=said, stderr=said, env=environment()
        )
    try:
        assert wait_until(lambda: written(tmp_path / "hangs") or process.poll() is not None)
        assert process.poll() is None, (tmp_path / "said").read_text()
    finally:
        process.kill()
        process.wait()
    (journal,) = tmp_path.rglob("*.journal")
    states = [json.loads(line).get("state", {}) for line in journal.read_text().splitlines() if line.endswith("}")]
    schedule = [entry for state in states for entry in state.get("schedule", [])]
    done = bench(tmp_path, "--resume")
    assert done.code == 0, done.out
    campaign = done.json["campaign"]
    assert [entry["block"] for entry in campaign["schedule"]] == [1, 2]
    assert schedule[0] == campaign["schedule"][0], "what a block left out before, it leaves out again"
    assert len(done.rows) + len(left_out(campaign, 1)) + len(left_out(campaign, 2)) == 6


def test_early_iterates_are_checked_once_and_again_where_the_result_differs(tmp_path: Path) -> None:
    impl = write(tmp_path, "rounded", ROUNDED)
    done = bench(tmp_path, "--impl", f"numpy_manual,{impl}", "--problem", "line", "--blocks", "2")
    assert done.code == 0, done.out
    checked = {(row["impl"], row["block"]): row["iterates"].split() for row in done.rows}
    assert len(checked["numpy_manual", 1]) == 3
    assert checked["numpy_manual", 0][:4] == ["0", "1", "2", "3"]
    assert checked["rounded", 1] == checked["rounded", 0]
