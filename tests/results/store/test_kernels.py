"""Variables that choose the kernels of one framework: named beside verdicts, and the same in two runs or no ratio."""

from pathlib import Path
from typing import Any

import pytest
from helpers import ROOT
from runs import CAMPAIGN, MACHINE, rows, saved_cases

from results.__main__ import main
from results.commands.compare import compare_implementations, compare_runs, on_machines
from results.commands.gate import gate
from results.page.answer import answer
from results.store.identity import KERNELS, kernel_settings
from results.store.reading import Run, RunError
from results.store.runs import find

OLD = {"OPENBLAS_CORETYPE": "Haswell", "OMP_NUM_THREADS": "2"}


def run(tmp_path: Path, name: str, env: dict[str, str]) -> Run:
    cases = [rows(), rows("jax_scan", 5e-7, framework="jax"), rows("torch_manual", 3e-6, framework="torch")]
    return saved_cases(tmp_path, "box", *cases, name=name, machine_info=MACHINE | {"slug": "box", "env": env})


def notes(page: Any) -> str:
    return "\n".join(note for section in page.sections for note in section.notes)


def test_what_chose_the_kernels_is_named_beside_the_verdicts(tmp_path: Path) -> None:
    old = run(tmp_path, "0001_old", OLD)
    said = "Unequal: OPENBLAS_CORETYPE=Haswell chose the kernels of numpy."
    for page in (compare_implementations([old], "numpy_manual", "jax_scan"), answer(old, "numpy_manual")):
        assert said in notes(page) and "OMP_NUM_THREADS" not in notes(page)
    assert "Unequal" not in notes(answer(run(tmp_path, "0002_new", {}), "numpy_manual"))


def test_two_runs_with_other_kernels_of_a_framework_are_not_comparable_in_it(tmp_path: Path) -> None:
    old, new = run(tmp_path, "0001_old", OLD), run(tmp_path, "0002_new", {})
    table = compare_runs(old, new).data.set_index("impl")
    assert table.loc["numpy_manual", "verdict"] == "INVALID"
    reason = "kernels OPENBLAS_CORETYPE=Haswell in A, not set in B"
    assert table.loc["numpy_manual", "refused"] == reason and table.loc["jax_scan", "refused"] == ""
    page = gate(old, new, [({}, 0.05)])
    assert page.code == 2 and "kernels OPENBLAS_CORETYPE=Haswell in BASE, not set in NEW" in str(
        page.data["reason"].tolist()
    )


def test_machines_whose_baseline_has_other_kernels_are_not_compared(tmp_path: Path) -> None:
    cases = [rows(), rows("jax_scan", 5e-7, framework="jax"), rows("torch_manual", 3e-6, framework="torch")]
    old, new, third = (
        saved_cases(
            tmp_path,
            name,
            *cases,
            machine_info=MACHINE | {"slug": name, "env": env},
            campaign=CAMPAIGN | {"machine": name},
        )
        for name, env in (("a", OLD), ("b", {}), ("c", {}))
    )
    with pytest.raises(
        RunError, match=r"not comparable for numpy_manual: on a OPENBLAS_CORETYPE=Haswell chose"
    ) as error:
        compare_runs(old, new)
    assert "both: jax_scan, torch_manual; choose another baseline" in str(error.value)
    for names in (("numpy_manual", "jax_scan"), ("jax_scan", "numpy_manual")):
        with pytest.raises(RunError, match=r"for numpy_manual: .* both: jax_scan, torch_manual; each alone: .* a/0001"):
            on_machines([old, new], *names)
    assert len(on_machines([old, new], "torch_manual", "jax_scan").data)
    others = on_machines([old, new, third], "numpy_manual", "jax_scan")
    assert len(others.data) == 1 and notes(others).count("not comparable for numpy_manual: on a") == 2
    table = compare_runs(old, new, baseline="torch_manual").data.set_index("impl")
    assert table.loc["jax_scan", "refused"] == "" and "kernels" in table.loc["numpy_manual", "refused"]


def test_the_committed_runs_say_what_was_set(capsys: pytest.CaptureFixture[str]) -> None:
    campaign = find("amd-epyc-2c-e60e65/campaign", ROOT / "results" / "runs")
    assert set(campaign.rows.loc[campaign.rows["framework"] == "numpy", "kernels"]) == {
        "OPENBLAS_CORETYPE=Haswell OPENBLAS_L2_SIZE=512"
    }
    assert campaign.rows.loc[campaign.rows["framework"] == "jax", "kernels"].isna().all()
    assert main(["compare", "numpy_manual", "jax_scan", "--run", "amd-epyc-2c-e60e65/campaign"]) == 0
    assert "OPENBLAS_CORETYPE=Haswell" in capsys.readouterr().out


def test_each_variable_is_saved(tmp_path: Path) -> None:
    from benchmarks.machine.privacy import SETTINGS

    assert {name for names in KERNELS.values() for name in names} <= SETTINGS
    assert kernel_settings({"XLA_FLAGS": "--x"}, "jax") == "XLA_FLAGS=--x" and kernel_settings(OLD, None) == ""
