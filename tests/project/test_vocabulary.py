"""One term for one thing: identifiers that were replaced do not come back."""

import io
import subprocess
import tokenize

import pytest
from helpers import ROOT

REPLACED = {
    "_abreast": "_speedup_rows",
    "absences": "untimed_sections",
    "admit": "authenticate_to",
    "admitted": "authenticate",
    "adopt": "become_subreaper",
    "again": "is_duplicate or repeat",
    "alike": "batches_by_size",
    "alone": "rows_alone or single_effect",
    "alone_each": "drop_duplicates_of_runs",
    "break_evens_each": "break_even_sections",
    "by_impl": "samples_by_impl",
    "called": "count_different",
    "ceiling": "bandwidth or roofline",
    "chance": "tail_probability",
    "Checked": "TimedCase",
    "CLICKED": "SELECTION",
    "compile_time": "compile_text",
    "deliver": "write",
    "deserted": "is_stale",
    "drifting": "simulate_noise",
    "_earned_back": "_break_even_table",
    "employ": "start_worker",
    "endings": "signals",
    "excess": "check_limits",
    "fault": "error or reason",
    "first_detail": "initial_detail",
    "first_rows": "initial_rows",
    "FOUND": "RATIO_COLUMNS",
    "found": "what it is: rows, match, predictions",
    "FURTHER": "RANKS_FACTOR",
    "heed": "install_signal_handlers",
    "held": "rows_of_shard",
    "Host": "WorkerServer",
    "in_short": "summarize_run",
    "INKS": "PNG_COLOURS",
    "inside_s": "runs_s",
    "Job": "RankInfo",
    "Keeper": "ResumePlugin",
    "keeping": "resume",
    "Kept": "FinishedCase",
    "laid_out": "make_table",
    "Line": "JsonSocket",
    "migrated": "migrate",
    "moment": "point",
    "narrowed": "filter_rows",
    "obituary": "exit_reason",
    "of_limit": "limit_text",
    "one_run_each": "check_one_run_per_machine",
    "opened": "load_file",
    "outcomes_each": "outcomes_of_runs",
    "over_each": "ratio_rows",
    "pace_s": "calibration_s",
    "pace_seconds": "calibration_seconds",
    "parse_answer": "parse",
    "pictures": "draw_plots",
    "refusals": "refused_sections",
    "runs_of": "make_runs",
    "said": "differences",
    "sameness": "fingerprint",
    "segmented": "segment",
    "shelve": "write_problem",
    "Side": "Sample",
    "side_by_side": "machine_sections",
    "spell": "interference",
    "SPELLS": "INTERFERENCE_RATIO",
    "strangers": "untrusted input",
    "summed_up": "summarize",
    "tabled": "with_rows",
    "take_up": "load_checkpoint",
    "tally": "verdicts_by_machine",
    "Task": "PreparedProblem",
    "tellings": "remaining_texts",
    "TOLD": "SUMMARIZED_CHANGES",
    "Truth": "ReferenceSolution",
    "twin": "duplicate_of",
    "twins_each": "duplicate_ratio_rows",
    "understood": "parse_answer",
    "unfit": "not_numeric",
    "wanted": "of_packages or required",
    "weakest": "smallest_t",
    "webpage": "render_page",
    "whole": "page_tail or row_fits",
    "wipe": "remove_tree",
    "wire_bytes": "network_bytes",
    "yardstick": "calibration_loop",
}
LEFT = {("impls/interface.py", "held")}
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
