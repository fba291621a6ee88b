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
HONEST = "numpy_honest"

# mutant: the cases that it runs, all of which are refused, and what the reason says; several where the words differ
MISTAKES: dict[str, dict[str, str]] = {
    "numpy_lr_off": {"line float32": "after 1 update: the gradient (or lr) is 1.001 times the reference"},
    "numpy_lr_float32": {"line float64": "after 1 update: the gradient (or lr) is"},
    "numpy_no_two": {"scalar float32": "after 1 update: the gradient is 0.50 times the reference"},
    "numpy_half_mse": {"crops float32": "after 1 update: the gradient is 0.50 times the reference"},
    "numpy_sum": {
        "line float32": "the gradient is 100.00 times the reference",
        "crops float64": "the gradient is 10.00 times the reference",
        "small@32 float32": "the gradient is 32.00 times the reference",
    },
    "numpy_mean_of_dot": {
        "line float64": "wrong weights after 1 update",
        "scalar float64": "the gradient is 4.00 times the reference",
    },
    "numpy_per_row": {
        "crops float64": "after 1 update: the gradient is 2.00 times the reference",
        "crops float32": "a mean over rows, but a sum over targets",
    },
    "numpy_step_more": {"scalar float64": "after 1 update: one step too many"},
    "numpy_step_less": {"crops float64": "after 1 update: the first update changes nothing"},
    "numpy_skips_first": {"small@32 float64": "after 1 update: the first update changes nothing"},
    "numpy_late": {"line float32": "after 2 updates: one step too few"},
    "numpy_momentum": {"scalar float32": "wrong weights after 2 updates", "line float32": "momentum of 0.001"},
    "numpy_heavy_ball": {"line float32": "after 2 updates: momentum of 0.9"},
    "numpy_nesterov": {"line float32": "wrong weights after 2", "small@32 float32": "Nesterov momentum of 0.5"},
    "numpy_adds_gradients": {"crops float32": "after 2 updates: gradients add up over the updates (no zero_grad)"},
    "numpy_slows_down": {"crops float32": "after 2 updates: the learning rate changes from update to update"},
    "numpy_exponential_rate": {"small@32 float32": "after 2 updates: the learning rate changes from update to update"},
    "numpy_stops_early": {"line float64": "updates: it stops after 117 updates"},
    "numpy_adam": {"small@32 float32": "after 1 update: all weights move by lr, as in Adam or Adagrad"},
    "numpy_weight_decay": {"scalar float64": "wrong weights after", "line float64": "weight decay of 1e-06"},
    "numpy_shrinks_weights": {"line float64": "after 1 update: weight decay of 0.001"},
    "numpy_shrinks_slopes": {"small@32 float64": "after 1 update: weight decay of 0.1"},
    "numpy_ascends": {"line float64": "after 1 update: the gradient is -1.00 times the reference (its sign is wrong)"},
    "numpy_doubles": {"scalar float64": "the gradient is 2.00 times the reference (perhaps it is doubled"},
    "numpy_broadcasts": {"line float64": "after 1 update: rows are broadcast against columns"},
    "numpy_standardises": {"crops float64": "after 1 update: the columns are standardised once more"},
    "numpy_last_column_first": {"crops float64": "after 1 update: the columns or the weights are in another order"},
    "numpy_weights_backwards": {"small@32 float64": "after 1 update: the columns or the weights are in another order"},
    "numpy_transposes": {"crops float32": "after 1 update: the weights are laid out as (k, d), not as (d, k)"},
    "numpy_from_zeros": {"line float32": "after 1 update: it does not start from `start` but from zeros"},
    "numpy_own_start": {"small@32 float64": "after 1 update: they belong to another start"},
    "numpy_solves": {"small@32 float64": "after 1 update: they are the least-squares solution: nothing descends"},
    "numpy_every_second_row": {"line float32": "wrong weights after 1 update"},
    "numpy_ignores_batches": {"small@32 float32": "after 1 update: mini-batches are ignored: an update sees all rows"},
    "numpy_one_batch": {"small@32 float64": "after 2 updates: mini-batches are taken in another order"},
    "numpy_epochs": {"small@32 float32": "after 1 update: a step makes 31 updates"},
    "numpy_float32_inside": {
        "scalar float64": "wrong weights after",
        "small@32 float64": "they agree only as float32 would",
        "line float64": "they agree only as float32 would",
    },
    "numpy_tf32": {
        "scalar float32": "wrong weights after",
        "line float32": "they agree only as TF32 would",
        "small@32 float32": "they agree only as TF32 would",
    },
    "numpy_half_floats": {
        "line float32": "wrong weights after 1 update",
        "small@32 float32": "wrong weights after 1 update",
    },
    "numpy_half_targets": {"small@32 float32": "wrong weights after 1 update"},
    "numpy_bytes": {"small@32 float32": "wrong weights after 1 update"},
    "numpy_batches_reversed": {"small@32 float64": "after 1 update: mini-batches are taken in another order"},
    "numpy_batches_in_file_order": {"small@32 float32": "after 1 update: mini-batches are taken in another order"},
    "numpy_drops_last_row": {
        "crops float32": "wrong weights after 1 update",
        "line float32": "the last row is missing",
    },
    "numpy_drops_last_block": {"small@32 float32": "wrong weights after 1 update"},
    "numpy_loses_a_sum": {"line float64": "wrong weights after 1 update"},
    "numpy_counts_padding": {
        "scalar float64": "after 1 update: the gradient",
        "line float64": "the gradient is 0.95 times the reference",
    },
    "numpy_gram_float32": {
        "line float64": "wrong weights after",
        "small@32 float64": "they agree only as float32 would",
    },
    "numpy_gram_of_fewer_rows": {"crops float64": "wrong weights after"},
    "numpy_gram_of_all_rows": {"small@32 float32": "wrong weights after 1 update"},
    "numpy_stale": {"small@32 float64": "after 2 updates: each update uses the gradient of the one before"},
    "numpy_sequential": {"crops float32": "after 1 update: weights are updated one after the other, not all at once"},
    "numpy_one_line": {"small@32 float32": "wrong weights after 1 update"},
    "numpy_remembers": {"scalar float64": "they belong to another start: runs remember"},
    "numpy_goes_on": {"line float32": "wrong weights after 1 update"},
    "numpy_same_buffer": {"scalar float32": "a later run wrote to an earlier result"},
    "numpy_two_buffers": {"crops float32": "the result is not the caller's own"},
    "numpy_read_only": {"small@32 float32": "the result is not the caller's own: it cannot be written to"},
    "numpy_dtype": {"crops float32": "the result is float64, the problem float32"},
    "numpy_shape": {"line float64": "the result has shape (2, 1), w0 (2,)"},
    "numpy_list": {"line float64": "run returned a list, not a NumPy array"},
    "numpy_nan": {"scalar float64": "after 1 update: they are not finite"},
    "numpy_changes_start": {"crops float64": "run changed its start"},
    "numpy_returns_start": {"small@32 float64": "the result is not the caller's own"},
    "numpy_changes_zero": {"crops float64": "run(start, 0) is not start"},
    "numpy_changes_data": {"line float32": "run changed the problem's data"},
    "numpy_changes_order": {"small@32 float64": "run changed the problem's data"},
    "torch_tensor": {"scalar float32": "run returned a Tensor, not a NumPy array"},
    "optax_momentum": {"line float32": "after 2 updates: momentum of 0.9"},
    "mlx_half_loss": {"crops float32": "after 1 update: the gradient is 0.50 times the reference"},
    "sklearn_rows": {"small@32 float32": "wrong weights after 1 update"},
    "keras_momentum": {"small@32 float32": "after 2 updates: momentum of 0.5"},
}


def cases(name: str) -> dict[tuple[str, str], str]:
    """Return the expected words of the reason, by problem and dtype."""
    return {(case.split()[0], case.split()[1]): says for case, says in MISTAKES[name].items()}


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> Done:
    """All mutants and an honest implementation, in one run of the command."""
    paths = ",".join(str(MUTANTS / f"{name}.py") for name in (HONEST, *MISTAKES))
    chosen = [f"({name}- and -{p.partition('@')[0]} and -{dtype}-)" for name in MISTAKES for p, dtype in cases(name)]
    options = ("--problem", ",".join(PROBLEMS), "--dtype", ",".join(DTYPES), "--device", DEVICE)
    return bench(
        tmp_path_factory.mktemp("mutants"), "--impl", paths, *options, "-k", " or ".join([f"{HONEST}-", *chosen])
    )


def test_each_file_is_a_mistake_that_is_tested() -> None:
    assert {path.stem for path in MUTANTS.glob("*.py")} == {HONEST, *MISTAKES}


def test_a_run_with_a_mistake_in_it_fails(done: Done) -> None:
    assert done.code == 1, done.err
    assert {row["impl"] for row in done.refused} <= set(MISTAKES)


@pytest.mark.parametrize("name", MISTAKES)
def test_a_mistake_is_refused_with_its_reason_and_has_no_row(name: str, done: Done) -> None:
    package = name.partition("_")[0]
    if importlib.util.find_spec(package) is None:
        pytest.skip(f"{package} is not installed")
    reasons = done.reasons(name)
    assert reasons.keys() == cases(name).keys(), "not refused"
    assert {case: reasons[case] for case, says in cases(name).items() if says not in reasons[case]} == {}
    assert done.timed(name) == set()


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
    assert next(iter(MISTAKES[name].values())) in alone.out
    unwanted = ("Traceback", "During handling of the above exception", "ERROR", "was not used")
    assert [words for words in unwanted if words in alone.out + alone.err] == []


def test_mutants_are_not_collected_as_tests() -> None:
    assert not any(path.stem.startswith(("test_", "bench_")) for path in MUTANTS.glob("*.py"))
    assert not any(name in sys.modules for name in MISTAKES)
