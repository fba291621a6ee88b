"""`compare` along one declared axis: device or dtype within a run, threads, ranks or precision between two."""

from pathlib import Path

import pytest
from helpers import ROOT
from runs import MACHINE, rows, saved_cases

from results.__main__ import main
from results.commands.compare import compare_along, compare_environments, compare_revisions, compare_runs
from results.store.reading import Run, RunError

MIXED = {"dtype": "float32", "problem_hash": "abc32", "matmul_bits": 23, "matvec_bits": 23}


def both(tmp_path: Path) -> Run:
    """A run of jax_scan on two devices and in two dtypes, twice as fast on the GPU, and 1.5 times in float32."""
    cases = [rows("numpy_manual"), rows("jax_scan", 1e-6), rows("jax_scan", 5e-7, device="gpu")]
    cases += [rows("numpy_manual", 2e-6 / 3, **MIXED), rows("jax_scan", 2e-6 / 3, **MIXED)]
    return saved_cases(tmp_path, "box", *cases)


def test_devices_and_dtypes_are_compared_where_all_else_is_equal(tmp_path: Path) -> None:
    run = both(tmp_path)
    (row,) = compare_along(run, "jax_scan@cpu", "jax_scan@gpu").data.query("dtype == 'float64'").to_dict("records")
    assert row["verdict"] == "FASTER" and row["ratio"] == pytest.approx(0.5, rel=0.02)
    page = compare_along(run, "numpy_manual@float64", "numpy_manual@float32")
    (row,) = page.data.to_dict("records")
    assert row["verdict"] == "FASTER" and row["ratio"] == pytest.approx(2 / 3, rel=0.02)
    assert "over dtype" in page.sections[0].title
    assert {"error of A", "error of B"} <= page.sections[1].table[0].keys(), "the errors stand beside the times"
    assert {"error_a", "error_b"} <= set(page.data.columns)


def test_a_job_counts_what_comes_before_its_steps(tmp_path: Path) -> None:
    """A step is twice as fast on the GPU, but its context takes a second, so only long jobs pay."""
    cases = [rows("jax_scan", 1e-6), rows("jax_scan", 5e-7, device="gpu", context_s=1.0)]
    run = saved_cases(tmp_path, "box", *cases)
    for steps, word in ((1_000, "SLOWER"), (100_000_000, "FASTER")):
        data = compare_along(run, "jax_scan", "jax_scan", "device", steps).data.set_index("of")
        assert data["verdict"].to_dict() == {"step": "FASTER", "job": word}
    short = compare_along(run, "jax_scan", "jax_scan", "device", 1_000).data.set_index("of")
    assert short.loc["job", "a_s"] == pytest.approx(0.1 + 1e-4 + 0.5 - 1e-4 + 1e-3, rel=0.01)
    assert short.loc["job", "b_s"] - short.loc["job", "a_s"] == pytest.approx(1, rel=0.01)


def test_axes_are_declared_by_an_option_as_well(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    where = ["--run", str(both(tmp_path).path)]
    assert main(["compare", "jax_scan", "--over", "device", *where]) == 0
    assert "jax_scan@gpu against jax_scan@cpu, over device: FASTER in 1 of 1" in capsys.readouterr().out


def test_other_work_is_still_refused(tmp_path: Path) -> None:
    cases = [rows("jax_scan"), rows("jax_scan", 5e-7, device="gpu", steps=200)]
    with pytest.raises(RunError, match="nothing to compare: steps 100 in A, 200 in B"):
        compare_along(saved_cases(tmp_path, "box", *cases), "jax_scan@cpu", "jax_scan@gpu")


def test_threads_between_two_runs_are_refused_until_they_are_the_axis(tmp_path: Path) -> None:
    one = saved_cases(tmp_path, "box", rows(threads=1), name="0001_one")
    two = saved_cases(tmp_path, "box", rows(step=6e-7, threads=2), name="0002_two")
    with pytest.raises(RunError, match="threads 1 in A, 2 in B"):
        compare_runs(one, two)
    page = compare_runs(one, two, over="threads")
    assert page.data["verdict"].tolist() == ["FASTER"] and "Over threads: 1 in A, 2 in B." in page.sections[0].text
    with pytest.raises(RunError, match="--over precision: highest in both runs"):
        compare_runs(one, two, over="precision")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["jax_scan@cpu", "jax_scan"], "jax_scan names none; write both sides with @"),
        (["jax_scan@cpu", "jax_scan@float32"], "a device and jax_scan@float32 names a dtype"),
        (["jax_scan@cpu", "--over", "device"], "leave --over device out"),
        (
            ["jax_scan@threads=1@float32", "jax_scan@threads=2@float64"],
            "also differ in their settings, threads=1 and threads=2",
        ),
        (["jax_scan@jax==0.9.2@cpu", "jax_scan@gpu"], "also differ in their settings, jax==0.9.2 and none"),
        (["numpy_manual", "jax_scan", "--job-steps", "10"], "results payback numpy_manual jax_scan --run 1"),
        (["jax_scan@cpu", "nothing@gpu"], "no implementation 'nothing'"),
        (["numpy_manual@cpu", "numpy_manual@gpu"], "has numpy_manual with device cpu, not gpu"),
        (["numpy_manual", "jax_scan", "--over", "threads"], "--over threads compares two runs"),
        (["--over", "ranks"], "--over ranks compares two runs"),
        (["jax_scam", "--over", "threads"], "'jax_scam' is no run, and"),
    ],
)
def test_what_cannot_be_compared_is_one_line(
    words: list[str], message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    both(tmp_path)
    assert main(["compare", *words, "--run", "1", "--runs", str(tmp_path / "runs")]) == 2
    error = capsys.readouterr().err
    assert message in error and error.count("\n") == 1


def test_an_axis_within_a_run_takes_no_run_for_an_implementation(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    both(tmp_path)
    assert main(["compare", "1", "--over", "dtype", "--runs", str(tmp_path / "runs")]) == 2
    assert "compare A --over dtype --run 1" in capsys.readouterr().err


def test_a_committed_run_answers_what_double_precision_costs(capsys: pytest.CaptureFixture[str]) -> None:
    words = ["compare", "numpy_manual@float32", "numpy_manual@float64", "--run", "amd-epyc-2c-e60e65/bench"]
    assert main([*words, "--runs", str(ROOT / "results" / "runs")]) == 0
    out = capsys.readouterr().out
    assert "over dtype" in out and "not compared" not in out.partition("\n\n")[0]


def environments(tmp_path: Path, *steps: float, labels: tuple[str, ...] = ("v1", "v2", "v3"), **extra: object) -> Run:
    """A run of jax_scan in environments, with these seconds a step."""
    cases = [
        rows(f"jax_scan@{label}", step, environment=label, **extra) for label, step in zip(labels, steps, strict=False)
    ]
    facts = {"seed": 0, "environments": {label: {"digest": label} for label in labels}}
    return saved_cases(tmp_path, "box", rows(), *cases, campaign=facts)


def test_the_first_slower_environment_is_named(tmp_path: Path) -> None:
    page = compare_environments(environments(tmp_path, 1e-6, 1e-6, 1.5e-6))
    judged = {(row["against"], row["environment"]): row["verdict"] for row in page.data.to_dict("records")}
    assert judged["v1", "v3"] == judged["v2", "v3"] == "SLOWER" and judged["v1", "v2"] != "SLOWER"
    assert "against v1: first slower in v3 (small 1.5" in page.sections[1].text
    faster = compare_environments(environments(tmp_path, 1.5e-6, 1e-6, 1e-6))
    assert "in none shown slower; first faster in v2 (small 1.5" in faster.sections[1].text


def test_numbers_of_threads_in_one_run_are_environments(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    cases = [
        rows(f"jax_scan@threads={count}", 1e-6 / count, environment=f"threads={count}", threads=count)
        for count in (1, 2)
    ]
    facts = {"seed": 0, "environments": {f"threads={count}": {"threads": count} for count in (1, 2)}}
    run = saved_cases(tmp_path, "box", *cases, campaign=facts)
    (row,) = compare_environments(run).data.to_dict("records")
    assert row["verdict"] == "FASTER" and row["ratio"] == pytest.approx(0.5, rel=0.02)
    other = [rows(f"torch_nn@threads={count}", environment=f"threads={count}", threads=count) for count in (1, 2)]
    both = saved_cases(tmp_path, "box", *cases, *other, name="0002_both", campaign=facts)
    assert len(compare_environments(both).data) == 2 and len(compare_environments(both, "jax_scan").data) == 1
    assert main(["compare", "jax_scan", "--over", "threads", "--run", str(run.path)]) == 0
    assert "against threads=1: in none shown slower; first faster in threads=2" in capsys.readouterr().out
    assert main(["compare", "--over", "precision", str(run.path)]) == 2
    assert "no implementation in two environments; measure them:" in capsys.readouterr().err


def test_one_environment_is_no_comparison(tmp_path: Path) -> None:
    with pytest.raises(RunError, match="no implementation in two environments; measure them"):
        compare_environments(environments(tmp_path, 1e-6, labels=("v1",)))


def test_revisions_of_one_run_are_compared_each_with_the_first(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    steps = {"mine@0a1b2c3": 1e-6, "mine@4d5e6f7": 1e-6, "mine": 1.5e-6, "other": 9e-6}
    run = saved_cases(tmp_path, "box", *[rows(impl, step) for impl, step in steps.items()])
    page = compare_revisions(run)
    judged = {(row["against"], row["environment"]): row["verdict"] for row in page.data.to_dict("records")}
    assert judged["0a1b2c3", "working tree"] == judged["4d5e6f7", "working tree"] == "SLOWER"
    assert judged["0a1b2c3", "4d5e6f7"] != "SLOWER" and len(judged) == 3
    assert main(["compare", "--over", "revision", str(run.path)]) == 0
    assert "mine against 0a1b2c3: first slower in working tree (small 1.5" in capsys.readouterr().out
    with pytest.raises(RunError, match="no implementation in two revisions; measure them"):
        compare_revisions(saved_cases(tmp_path, "box", rows(), name="0002_one"))


def test_machines_are_an_axis_of_two_runs_of_two_machines(tmp_path: Path) -> None:
    here, there, again = (
        saved_cases(
            tmp_path, machine, rows(), rows("jax_scan", 5e-7), name=name, machine_info=MACHINE | {"slug": machine}
        )
        for machine, name in (("box", "0001_a"), ("cube", "0001_b"), ("box", "0002_c"))
    )
    page = compare_runs(here, there, over="machine")
    assert "Different machines" in page.sections[0].text
    with pytest.raises(RunError, match="both runs are of box"):
        compare_runs(here, again, over="machine")


def test_an_axis_of_two_runs_is_refused_for_two_implementations(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    both(tmp_path)
    for axis in ("ranks", "machine"):
        words = ["compare", "numpy_manual", "jax_scan", "--over", axis, "--runs", str(tmp_path / "runs")]
        assert main(words) == 2
        assert f"--over {axis} compares two runs; name runs in place of" in capsys.readouterr().err


def test_a_filter_leaves_the_named_cases(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    both(tmp_path)
    words = ["compare", "numpy_manual", "jax_scan", "--run", "latest", "--runs", str(tmp_path)]
    assert main([*words, "--dtype", "float32", "--format", "csv"]) == 0
    out = capsys.readouterr().out
    assert "float32" in out and "float64" not in out
    assert main([*words, "--dtype", "float16"]) == 2
    assert "has no dtype 'float16'" in capsys.readouterr().err
