"""One term for one thing: identifiers that were replaced do not come back."""

import io
import subprocess
import tokenize

import pytest
from helpers import ROOT

REPLACED = {
    "Checked": "TimedCase",
    "Host": "WorkerServer",
    "Job": "RankInfo",
    "Keeper": "ResumePlugin",
    "Kept": "FinishedCase",
    "Line": "JsonSocket",
    "Task": "PreparedProblem",
    "Truth": "ReferenceSolution",
    "admit": "authenticate_to",
    "admitted": "authenticate",
    "adopt": "become_subreaper",
    "ceiling": "bandwidth or roofline",
    "deserted": "is_stale",
    "employ": "start_worker",
    "endings": "signals",
    "excess": "check_limits",
    "heed": "install_signal_handlers",
    "keeping": "resume",
    "obituary": "exit_reason",
    "sameness": "fingerprint",
    "shelve": "write_problem",
    "take_up": "load_checkpoint",
    "tellings": "remaining_texts",
    "understood": "parse_answer",
    "wipe": "remove_tree",
    "yardstick": "calibration_loop",
}
LEFT = {("results/commands/scaling.py", "ceiling")}
FILES = subprocess.run(
    ["git", "ls-files", "benchmarks/*.py", "results/*.py", "impls/*.py", "conftest.py"],
    cwd=ROOT,
    capture_output=True,
    text=True,
    check=True,
).stdout.split()


@pytest.mark.parametrize("name", FILES)
def test_identifiers_are_todays(name: str) -> None:
    source = io.StringIO((ROOT / name).read_text())
    used = {token.string for token in tokenize.generate_tokens(source.readline) if token.type == tokenize.NAME}
    old = {word for word in used & REPLACED.keys() if (name, word) not in LEFT}
    assert {word: REPLACED[word] for word in old} == {}


def test_there_is_something_to_read() -> None:
    assert len(FILES) > 100
