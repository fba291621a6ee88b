"""A short `make fuzz`: some mutated files of every kind, and what the whole has found, each by itself."""

import json
import math
from pathlib import Path
from random import Random
from typing import Any

import fuzz
import pytest
from harmless import check
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from mutations import DATA, KINDS, MARK, mutated
from runs import blocks, document, entry, saved_run

import results
from results.__main__ import main
from results.commands.compare import compare_implementations, compare_runs
from results.page.crossover import crossover
from results.store.runs import find


def test_the_page_of_an_honest_run_is_made_of_known_elements() -> None:
    fuzz.everything([find(str(DATA / "schema-5.json"), DATA)], 0)  # a turn that makes the page


@settings(max_examples=2, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.tuples(st.sampled_from(KINDS), st.integers(0, 2**32)), min_size=10, max_size=10))
def test_mutated_files_are_read_or_refused_in_a_line_and_nothing_comes_alive(
    tmp_path: Path, files: list[tuple[str, int]]
) -> None:
    honest, told = find(str(DATA / "schema-5.json"), DATA), fuzz.Told()
    runs = []
    for number, (kind, seed) in enumerate(files):
        path = tmp_path / f"{number:04}_odd.json"
        path.write_bytes(mutated(Random(seed), kind))
        if run := fuzz.read(path, told):
            fuzz.compared(run, honest, number)
            runs.append(run)
    if runs:
        fuzz.everything(runs, 1 + files[0][1] % 2)


def test_the_same_seed_is_the_same_file_and_a_failure_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert all(mutated(Random(7), kind) == mutated(Random(7), kind) != mutated(Random(8), kind) for kind in KINDS)
    monkeypatch.setattr(fuzz, "KEPT", tmp_path / "kept")
    monkeypatch.setattr(fuzz, "TOGETHER", len(KINDS))
    monkeypatch.setattr(fuzz, "compared", lambda *_: 1 / 0)
    found = fuzz.batch(3)
    failed = [line for told in found.values() for line in told.failed]
    assert len(failed) == sum(told.readable for told in found.values()) == len([*(tmp_path / "kept").iterdir()]) > 5
    assert all("ZeroDivisionError at test_fuzz.py" in line for line in failed)


@pytest.mark.parametrize(
    ("text", "form"),
    [
        (f"<p>{MARK}</p>", "page"),
        ('<p onclick="x">', "page"),
        ('<a href="javascript:x">', "page"),
        (MARK, "md"),
        ("\x1b[0m", "table"),
        ("\u202e", "md"),
        ('a,b\n"=1",2\n', "csv"),
        ("a,b\n1\n", "csv"),
        ("[NaN]", "json"),
    ],
)
def test_what_the_fuzz_looks_for_it_finds(text: str, form: str) -> None:
    with pytest.raises(AssertionError):
        check(text, form)


# Values


@pytest.mark.parametrize(
    ("extra", "said"),
    [
        ({"n": 0}, "impossible value: its n is 0"),
        ({"n": -3}, "impossible value: its n is -3"),
        ({"batch": 1e300}, "impossible value: its batch is 1e+300"),
        ({"prepare_s": -1e-9}, "impossible value: its prepare_s is -1e-09"),
        ({"first_s": math.inf}, "impossible value: its first_s is inf"),
        ({"calibration_s": -1}, "impossible value: its calibration_s is -1"),
        ({"error": -1}, "above the tolerance, or not recorded"),
        ({"error": 1.0, "tolerance": math.inf}, "above the tolerance, or not recorded"),
        ({"per_step_s": 5e-324}, "time per step is zero or not recorded"),
        ({"device": None}, "its device is missing"),
        ({"problem": "x" * 201}, "its problem has 201 characters"),
    ],
)
def test_a_row_of_impossible_values_does_not_count_and_says_why(
    extra: dict[str, Any], said: str, tmp_path: Path
) -> None:
    run = saved_run(tmp_path, [entry(), entry("jax_scan", **extra)])
    assert run.rows["valid"].tolist() == [True, False]
    assert said in run.rows.loc[1, "reason"]
    if said.startswith("impossible"):
        assert run.rows.loc[1, [*extra]].isna().all()


def test_numbers_that_no_float_holds_are_said_in_the_reason(tmp_path: Path) -> None:
    path = tmp_path / "0001_a.json"
    for number in ("1e400", "1" + "0" * 400, "9" * 6_000, "Infinity"):
        text = json_of(entry(n="HERE")).replace('"HERE"', number)
        path.write_text(text)
        assert "its n is inf" in find(str(path), tmp_path).rows.loc[0, "reason"]


def json_of(*entries: dict[str, Any]) -> str:
    return json.dumps(document(*entries))


def test_a_ratio_stays_one_between_the_shortest_and_the_longest_step(tmp_path: Path) -> None:
    run = saved_run(tmp_path, [*blocks("a", [1e-15] * 6), *blocks("b", [1e15] * 6)])
    page = compare_implementations([run], "a", "b")
    assert page.data.loc[0, "ratio"] == pytest.approx(1e30)
    rows = [row for n in (1, 10**18) for row in (*blocks("a", [1e-15] * 6, n=n), *blocks("b", [1e15 / n] * 6, n=n))]
    assert len(crossover([saved_run(tmp_path, rows, "0002_b")], "a", "b").data)


@pytest.mark.parametrize("told", ["[" * 100_000, "[[1, 2, 3, " + "9" * 5_000 + "]]", "[[1, 2, 3]]", "{}", "7", "nan"])
def test_published_numbers_that_are_none_are_left_out(told: str, tmp_path: Path) -> None:
    assert fuzz.everything([saved_run(tmp_path, [entry(published=told, iterates="0 1", losses="1 1")])], 0) is None


def test_a_fact_called_as_a_column_of_the_rounds_stands_back(tmp_path: Path) -> None:
    path = tmp_path / "0001_a.json"
    path.write_text(json_of(entry(round="mine", seconds="x", at="y", series="z")))
    assert main(["export", "--rounds", str(path), "--out", str(tmp_path / "rounds.csv")]) == 0
    assert '"round"' in (tmp_path / "rounds.csv").read_text().partition("\n")[0]


def test_rounds_that_are_no_numbers_are_no_rounds(tmp_path: Path) -> None:
    odd = entry()
    odd["stats"]["data"] = ["UNSERIALIZABLE[x]", None, 1e-4, {}, math.nan]
    path = tmp_path / "0001_a.json"
    path.write_text(json_of(odd, entry() | {"stats": {"data": "UNSERIALIZABLE[x]"}}))
    assert main(["export", "--rounds", str(path), "--out", str(tmp_path / "rounds.json"), "--format", "json"]) == 0
    assert (tmp_path / "rounds.json").read_text().count('"round"') == 1


def test_facts_called_as_columns_of_ours_stand_back_between_machines(tmp_path: Path) -> None:
    odd = dict.fromkeys(["logs", "refused", "ratio", "verdict", "of", "spread", "machines", "speedup"], "mine")
    rows = [*blocks("numpy_manual", [1e-6] * 6, **odd), *blocks("jax_scan", [2e-6] * 6, **odd)]
    page = compare_runs(saved_run(tmp_path, rows, machine="a"), saved_run(tmp_path, rows, machine="b"))
    assert page.data["ratio"].tolist() == [1]


# Strings


def test_a_long_string_is_cut_where_it_is_shown_and_whole_where_it_is_exported(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "0001_a.json"
    long = "y" * 5_000
    path.write_text(json_of(entry(), entry("jax_scan", valid=False, reason=long)))
    for command in (["show", "--format", "md"], ["report", "--out", "-", "--format", "md"]):
        assert main([command[0], str(path), *command[1:]]) == 0
        out = capsys.readouterr().out
        assert "y... (5,000 characters)" in out and "y" * 1_001 not in out
    assert results.load(str(path))["reason"].tolist() == ["", long]


@pytest.mark.parametrize("first", ["=", "+", "-", "@", "\t", "\r", "\n", "\uff1d", "\uff0b"])
def test_a_formula_in_an_export_is_text_and_a_number_a_number(first: str, tmp_path: Path) -> None:
    path, out = tmp_path / "0001_a.json", tmp_path / "rows.csv"
    path.write_text(json_of(entry(note=f"{first}1+1", below=-2.5)))
    assert main(["export", str(path), "--out", str(out)]) == 0
    assert f'"\'{first}1+1"' in out.read_bytes().decode() and ",-2.5" in out.read_text()
