"""One mistake a file in `mutants/`: the real command refuses each, says why, and keeps no time of it."""

import importlib.util
import re
import sys
from pathlib import Path

import pytest
from helpers import DEVICE, MUTANTS, Done, bench

PROBLEMS = ("line", "scalar", "crops", "small@32")
DTYPES = ("float32", "float64")
EVERY = {(problem, dtype) for problem in PROBLEMS for dtype in DTYPES}
WIDE = {case for case in EVERY if case[1] == "float64"}
HONEST = "numpy_honest"


def of(*problems: str) -> set[tuple[str, str]]:
    return {case for case in EVERY if case[0] in problems}


SEVERAL = of("line", "crops", "small@32")  # weights: one alone shows less

# mutant: the cases in which it is refused (at least), and what the reason says in each of them
MISTAKES: dict[str, tuple[set[tuple[str, str]], str]] = {
    "numpy_lr_off": (EVERY, "after 1 update: the gradient (or lr) is 1.001 times the reference"),
    "numpy_lr_float32": (WIDE, "after 1 update: the gradient (or lr) is"),
    "numpy_no_two": (EVERY, "after 1 update: the gradient is 0.50 times the reference"),
    "numpy_half_mse": (EVERY, "after 1 update: the gradient is 0.50 times the reference"),
    "numpy_sum": (EVERY, ".00 times the reference"),
    "numpy_mean_of_dot": (EVERY, "wrong weights after 1 update"),
    "numpy_per_row": (of("crops"), "after 1 update: the gradient is 2.00 times the reference"),
    "numpy_step_more": (EVERY, "after 1 update: one step too many"),
    "numpy_step_less": (EVERY, "after 1 update: the first update changes nothing"),
    "numpy_skips_first": (EVERY, "after 1 update: the first update changes nothing"),
    "numpy_late": (EVERY, "after 2 updates: one step too few"),
    "numpy_momentum": (EVERY, "wrong weights after 2 updates"),
    "numpy_heavy_ball": (SEVERAL, "after 2 updates: momentum of 0.9"),
    "numpy_adds_gradients": (EVERY, "after 2 updates: gradients add up over the updates (no zero_grad)"),
    "numpy_slows_down": (SEVERAL, "after 2 updates: the learning rate changes from update to update"),
    "numpy_exponential_rate": (SEVERAL, "after 2 updates: the learning rate changes from update to update"),
    "numpy_stops_early": (of("line"), "updates: it stops after 117 updates"),
    "numpy_adam": (EVERY, "after 1 update: all weights move by lr, as in Adam or Adagrad"),
    "numpy_weight_decay": (WIDE, "wrong weights after"),
    "numpy_shrinks_weights": (of("line", "small@32"), "after 1 update: weight decay of 0.001"),
    "numpy_shrinks_slopes": (of("line", "small@32"), "after 1 update: weight decay of 0.1"),
    "numpy_ascends": (EVERY, "after 1 update: the gradient is -1.00 times the reference (its sign is wrong)"),
    "numpy_doubles": (EVERY, "after 1 update: the gradient is 2.00 times the reference (it is doubled"),
    "numpy_broadcasts": (EVERY - of("crops"), "after 1 update: rows are broadcast against columns"),
    "numpy_standardises": (EVERY, "after 1 update: the columns are standardised once more"),
    "numpy_last_column_first": (SEVERAL, "after 1 update: the columns or the weights are in another order"),
    "numpy_weights_backwards": (SEVERAL, "after 1 update: the columns or the weights are in another order"),
    "numpy_transposes": (of("crops"), "after 1 update: the weights are laid out as (k, d), not as (d, k)"),
    "numpy_from_zeros": (SEVERAL, "after 1 update: it does not start from `start` but from zeros"),
    "numpy_own_start": (EVERY, "after 1 update: they belong to another start"),
    "numpy_solves": (of("small@32"), "after 1 update: they are the least-squares solution: nothing descends"),
    "numpy_every_second_row": (EVERY, "wrong weights after 1 update"),
    "numpy_ignores_batches": (of("small@32"), "after 1 update: mini-batches are ignored: an update sees all rows"),
    "numpy_one_batch": (of("small@32"), "after 2 updates: mini-batches are taken in another order"),
    "numpy_epochs": (of("small@32"), "after 1 update: a step makes 31 updates"),
    "numpy_float32_inside": (WIDE, "wrong weights after"),
    "numpy_tf32": (EVERY, "wrong weights after"),
    "numpy_batches_reversed": (of("small@32"), "after 1 update: mini-batches are taken in another order"),
    "numpy_batches_in_file_order": (of("small@32"), "after 1 update: mini-batches are taken in another order"),
    "numpy_drops_last_row": (EVERY, "wrong weights after 1 update"),
    "numpy_drops_last_block": (EVERY, "wrong weights after 1 update"),
    "numpy_loses_a_sum": (EVERY, "wrong weights after 1 update"),
    "numpy_counts_padding": (EVERY, "after 1 update: the gradient"),
    "numpy_gram_float32": (WIDE & of("line", "small@32"), "wrong weights after"),
    "numpy_gram_of_fewer_rows": (EVERY, "wrong weights after"),
    "numpy_gram_of_all_rows": (of("small@32"), "wrong weights after 1 update"),
    "numpy_stale": (EVERY, "after 2 updates: each update uses the gradient of the one before"),
    "numpy_sequential": (SEVERAL, "after 1 update: weights are updated one after the other, not all at once"),
    "numpy_one_line": (SEVERAL, "wrong weights after 1 update"),
    "numpy_remembers": (WIDE, "they belong to another start: runs remember"),
    "numpy_goes_on": (EVERY, "wrong weights after 1 update"),
    "numpy_same_buffer": (EVERY, "a later run wrote to an earlier result"),
    "numpy_two_buffers": (EVERY, "the result is not the caller's own"),
    "numpy_read_only": (EVERY, "the result is not the caller's own: it cannot be written to"),
    "numpy_dtype": (EVERY - WIDE, "the result is float64, the problem float32"),
    "numpy_shape": (of("line", "scalar", "small@32"), "the result has shape ("),
    "numpy_list": (EVERY, "run returned a list, not a NumPy array"),
    "numpy_nan": (EVERY, "after 1 update: they are not finite"),
    "numpy_changes_start": (EVERY, "run changed its start"),
    "numpy_returns_start": (EVERY, "the result is not the caller's own"),
    "numpy_changes_zero": (of("line", "crops", "small@32"), "run(start, 0) is not start"),  # scalar starts at 0
    "numpy_changes_data": (EVERY, "run changed the problem's data"),
    "numpy_changes_order": (of("small@32"), "run changed the problem's data"),
    "torch_tensor": (EVERY, "run returned a Tensor, not a NumPy array"),
}
# the reason's exact words where problem and dtype make them more specific than above
WORDS = {
    ("numpy_mean_of_dot", "scalar", "float64"): "the gradient is 4.00 times the reference",
    ("numpy_sum", "line", "float32"): "the gradient is 100.00 times the reference",
    ("numpy_sum", "crops", "float64"): "the gradient is 10.00 times the reference",
    ("numpy_sum", "small@32", "float32"): "the gradient is 32.00 times the reference",
    ("numpy_shape", "line", "float64"): "the result has shape (2, 1), w0 (2,)",
    ("numpy_float32_inside", "small@32", "float64"): "they agree only as float32 would",
    ("numpy_counts_padding", "line", "float64"): "the gradient is 0.95 times the reference",
    ("numpy_gram_float32", "small@32", "float64"): "they agree only as float32 would",
    ("numpy_tf32", "line", "float32"): "they agree only as TF32 would",
    ("numpy_tf32", "small@32", "float32"): "they agree only as TF32 would",
    ("numpy_float32_inside", "line", "float64"): "they agree only as float32 would",
    ("numpy_momentum", "line", "float32"): "momentum of 0.001",
    ("numpy_weight_decay", "line", "float64"): "weight decay of 1e-06",
    ("numpy_drops_last_row", "line", "float32"): "the last row is missing",
    ("numpy_per_row", "crops", "float32"): "a mean over rows, but a sum over targets",
}


# mistakes that show on one problem alone, and run on no other
ALONE = {name: problem for name, (cases, _) in MISTAKES.items() for problem in PROBLEMS if cases == of(problem)}


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> Done:
    """All mutants and an honest implementation, in one run of the command."""
    paths = ",".join(str(MUTANTS / f"{name}.py") for name in (HONEST, *MISTAKES))
    elsewhere = " or ".join(f"({name}- and not -{at.partition('@')[0]})" for name, at in ALONE.items())
    cases = ("--problem", ",".join(PROBLEMS), "--dtype", ",".join(DTYPES), "--device", DEVICE)
    return bench(tmp_path_factory.mktemp("mutants"), "--impl", paths, *cases, "-k", f"not ({elsewhere})")


def test_each_file_is_a_mistake_that_is_tested() -> None:
    assert {path.stem for path in MUTANTS.glob("*.py")} == {HONEST, *MISTAKES}


def test_a_run_with_a_mistake_in_it_fails(done: Done) -> None:
    assert done.code == 1, done.err
    assert {row["impl"] for row in done.refused} <= set(MISTAKES)


@pytest.mark.parametrize("name", MISTAKES)
def test_a_mistake_is_refused_with_its_reason(name: str, done: Done) -> None:
    if name.startswith("torch_") and importlib.util.find_spec("torch") is None:
        pytest.skip("torch is not installed")
    cases, says = MISTAKES[name]
    reasons = done.reasons(name)
    assert cases - set(reasons) == set(), "not refused"
    wrong = {case: reasons[case] for case in cases if says not in reasons[case]}
    assert wrong == {}


@pytest.mark.parametrize(("name", "problem", "dtype"), WORDS)
def test_words_of_the_reason(name: str, problem: str, dtype: str, done: Done) -> None:
    assert WORDS[name, problem, dtype] in done.reasons(name)[problem, dtype]


@pytest.mark.parametrize("name", MISTAKES)
def test_no_row_is_left_of_a_case_that_is_refused(name: str, done: Done) -> None:
    assert done.timed(name).isdisjoint(done.reasons(name))
    run = len(DTYPES) if name in ALONE else len(EVERY)
    assert len(done.timed(name) | set(done.reasons(name))) in (run, 0)  # 0: its framework is not installed


def test_a_reason_is_one_line_and_says_something(done: Done) -> None:
    for row in done.refused:
        assert row["reason"].isprintable()
        assert re.search(r"\w+ \w+", row["reason"])
        assert " 1 times the reference" not in row["reason"], row


def test_the_honest_one_beside_them_has_all_its_rows(done: Done) -> None:
    rows = [row for row in done.rows if row["impl"] == HONEST]
    assert done.timed(HONEST) == EVERY
    assert all(row["valid"] and row["reason"] == "" and 0 <= row["error"] <= row["tolerance"] for row in rows)


@pytest.mark.parametrize("name", ["numpy_no_two", "numpy_changes_data"])  # refused before and after the timed rounds
def test_a_mistake_alone_fails_and_is_explained_without_a_traceback(tmp_path: Path, name: str) -> None:
    alone = bench(tmp_path, "--impl", str(MUTANTS / f"{name}.py"))
    assert alone.code == 1
    assert alone.rows == []
    assert MISTAKES[name][1] in alone.out
    unwanted = ("Traceback", "During handling of the above exception", "ERROR", "was not used")
    assert [words for words in unwanted if words in alone.out + alone.err] == []


def test_mutants_are_not_collected_as_tests() -> None:
    assert not any(path.stem.startswith(("test_", "bench_")) for path in MUTANTS.glob("*.py"))
    assert not any(name in sys.modules for name in MISTAKES)
