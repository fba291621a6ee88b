"""One term for one thing: identifiers that were replaced do not come back."""

import io
import subprocess
import tokenize

import pytest
from helpers import ROOT

REPLACED = {
    "Checked": "TimedCase",
    "FOUND": "RATIO_COLUMNS",
    "Host": "WorkerServer",
    "Job": "RankInfo",
    "Keeper": "ResumePlugin",
    "Kept": "FinishedCase",
    "Line": "JsonSocket",
    "Side": "Sample",
    "Task": "PreparedProblem",
    "Truth": "ReferenceSolution",
    "admit": "authenticate_to",
    "admitted": "authenticate",
    "adopt": "become_subreaper",
    "alike": "batches_by_size",
    "alone_each": "drop_duplicates_of_runs",
    "by_impl": "samples_by_impl",
    "called": "count_different",
    "ceiling": "bandwidth or roofline",
    "chance": "tail_probability",
    "deserted": "is_stale",
    "drifting": "simulate_noise",
    "employ": "start_worker",
    "endings": "signals",
    "excess": "check_limits",
    "heed": "install_signal_handlers",
    "keeping": "resume",
    "laid_out": "make_table",
    "migrated": "migrate",
    "obituary": "exit_reason",
    "opened": "load_file",
    "outcomes_each": "outcomes_of_runs",
    "over_each": "ratio_rows",
    "refusals": "refused_sections",
    "runs_of": "make_runs",
    "sameness": "fingerprint",
    "segmented": "segment",
    "shelve": "write_problem",
    "spell": "interference",
    "strangers": "untrusted input",
    "summed_up": "summarize",
    "tabled": "with_rows",
    "take_up": "load_checkpoint",
    "tellings": "remaining_texts",
    "twins_each": "duplicate_ratio_rows",
    "understood": "parse_answer",
    "unfit": "not_numeric",
    "weakest": "smallest_t",
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
